"""The properties of DESIGN section 4 for decide(): permutation, mirror, silence, exact limits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from decision_builders import (
    book_of,
    gate_with_base,
    negated,
    permuted,
    permuted_book,
    permuted_snapshot,
    random_forecasts,
    snapshot,
    stages_for,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.config import Settings
from workbench.core.types import Book, Carry, Decision, Forecasts, Phase, Snapshot
from workbench.decision.pipeline import decide

METHODS = st.sampled_from([(m, a) for m in ("ridge", "qp") for a in ("winner", "softmax")])
SEEDS = st.integers(0, 2**31)


def settings_for(method: tuple[str, str], **sizing: Any) -> Settings:
    return Settings().change(sizing={"method": method[0], **sizing}, arbitration={"method": method[1]})


def scene(seed: int, n: int, **options: Any) -> tuple[Snapshot, Book, Forecasts]:
    """A random moment: some names halted, missing, leveraged, late; a book inside its limits."""
    rng = np.random.default_rng(seed)
    leverage, halted = rng.choice([1.0, 1.0, 1.0, 3.0, -3.0], n), rng.random(n) < 0.1
    eligible, age = rng.random(n) < 0.9, np.where(rng.random(n) < 0.05, 1e4, 1.0)
    base = snapshot(n, seed, leverage=leverage, halted=halted, eligible=eligible, quote_age_s=age, **options)
    gone = rng.random(n) < 0.1
    s = replace(base, price=np.where(gone, np.nan, base.price))
    held = np.where(rng.random(n) < 0.6, rng.normal(size=n), 0.0)
    delta = np.abs(held * s.leverage)
    held *= min(0.4 / max(delta.sum(), 1e-9), 0.04 / max(delta.max(), 1e-9))
    book = book_of(s, held * 0.45)
    smoothed = rng.normal(size=(9, n)) * 1e-3
    smoothed[:, rng.random(n) < 0.2] = np.nan
    day = book.weights * rng.random(n)
    carry = Carry(
        smoothed, np.where(book.weights != 0, rng.uniform(0.2, 1, n), np.nan), day, rng.integers(0, 9, n), s.session,
        s.price * rng.choice([1.0, 1.3, np.nan], n, p=[0.9, 0.05, 0.05]),
    )  # fmt: skip
    forecasts = random_forecasts(s, seed, strength=float(rng.choice([0.02, 0.1, 0.5])), missing=0.3)
    return s, replace(book, carry=carry), forecasts


def mirror(book: Book) -> Book:
    c = book.carry
    carry = Carry(-c.smoothed, c.gate, -c.day_weight, c.unknown_bars, c.session, c.price)
    return replace(book, weights=-book.weights, positions=-book.positions, carry=carry)


def limits_hold(d: Decision, s: Snapshot, config: Settings) -> None:
    delta = d.target.weights * s.leverage
    assert np.abs(delta).max() <= config.sizing.max_weight
    assert np.abs(delta).sum() <= config.sizing.target_gross
    assert abs(delta.sum()) <= config.sizing.max_net


@given(SEEDS, st.integers(1, 14), METHODS)
@settings(max_examples=60, deadline=None)
def test_permuting_symbols_permutes_the_decision(seed: int, n: int, method: tuple[str, str]) -> None:
    s, book, f = scene(seed, n)
    order = np.random.default_rng(seed).permutation(n)
    config = settings_for(method)
    a = decide(s, book, stages_for(f, config))
    g = permuted(f, order)
    b = decide(permuted_snapshot(s, order), permuted_book(book, order), stages_for(g, config))
    slack = 1e-12 if method[0] == "ridge" else 1e-7
    np.testing.assert_array_equal(b.choice.state, a.choice.state[order])
    np.testing.assert_array_equal(b.target.tradable, a.target.tradable[order])
    np.testing.assert_allclose(b.desired, a.desired[order], rtol=1e-9, atol=slack)
    np.testing.assert_allclose(b.target.weights, a.target.weights[order], rtol=1e-9, atol=slack)
    np.testing.assert_allclose(b.carry.day_weight, a.carry.day_weight[order], rtol=1e-9, atol=slack)


@given(SEEDS, st.integers(1, 14), METHODS)
@settings(max_examples=60, deadline=None)
def test_mirrored_views_give_mirrored_weights(seed: int, n: int, method: tuple[str, str]) -> None:
    s, book, f = scene(seed, n)
    config = settings_for(method)
    rng = np.random.default_rng(seed)
    base = rng.uniform(0.2, 0.7, (2, 9, 5))
    a = decide(s, book, stages_for(f, config, gate=gate_with_base(config, *base)))
    b = decide(s, mirror(book), stages_for(negated(f), config, gate=gate_with_base(config, *base[::-1])))
    np.testing.assert_array_equal(b.choice.state, a.choice.state)
    np.testing.assert_array_equal(b.gate, a.gate)
    np.testing.assert_array_equal(b.desired, -a.desired)
    np.testing.assert_array_equal(b.target.weights, -a.target.weights)


@given(SEEDS, st.integers(1, 14))
@settings(max_examples=40, deadline=None)
def test_silence_leaves_a_book_unchanged(seed: int, n: int) -> None:
    s, book, f = scene(seed, n)
    nan = np.full_like(f.p_peak, np.nan)
    quiet = Forecasts(f.keys, np.full_like(f.expected_return, np.nan), nan, nan)
    fresh = replace(book, carry=replace(book.carry, unknown_bars=np.zeros(n, int)))
    np.testing.assert_array_equal(decide(s, fresh, stages_for(quiet)).target.weights, book.weights)


@given(SEEDS, st.integers(1, 25), METHODS, st.sampled_from([0.02, 0.05, 0.2]), st.sampled_from([0.0, 0.01, 0.2]))
@settings(max_examples=120, deadline=None)
def test_limits_hold_exactly(seed: int, n: int, method: tuple[str, str], cap: float, net: float) -> None:
    s, book, f = scene(seed, n)
    config = settings_for(method, max_weight=cap, max_net=net, target_gross=0.3)
    fine = np.abs(book.weights * s.leverage)
    inside = fine.max() <= cap and fine.sum() <= 0.3 and abs((book.weights * s.leverage).sum()) <= net
    if not inside:
        book = replace(book, weights=book.weights * 0.0, positions=book.positions * 0.0)
    d = decide(s, book, stages_for(f, config))
    if net > 0:
        limits_hold(d, s, config)
    else:
        assert abs((d.target.weights * s.leverage).sum()) <= 1e-15 * n


@given(SEEDS, st.integers(1, 14))
@settings(max_examples=60, deadline=None)
def test_the_flatten_window_only_ever_reduces(seed: int, n: int) -> None:
    s, book, f = scene(seed, n, phase=Phase.CLOSING, minutes_to_close=10.0)
    d = decide(s, book, stages_for(f))
    assert (np.abs(d.target.weights) <= np.abs(book.weights)).all()
    assert (d.target.weights * book.weights >= 0).all()
    mandate = np.clip(book.carry.day_weight * np.sign(book.weights), 0, np.abs(book.weights))
    loose = d.target.tradable
    assert (np.abs(d.target.weights[loose]) <= mandate[loose] + 1e-15).all()


@given(SEEDS, st.integers(1, 14))
@settings(max_examples=60, deadline=None)
def test_unknown_names_never_grow(seed: int, n: int) -> None:
    s, book, f = scene(seed, n)
    d = decide(s, book, stages_for(f))
    unknown = d.choice.state == 0
    assert (np.abs(d.target.weights[unknown]) <= np.abs(book.weights[unknown])).all()


@given(SEEDS, st.integers(2, 14))
@settings(max_examples=40, deadline=None)
def test_higher_costs_never_turn_a_weight(seed: int, n: int) -> None:
    s, _, f = scene(seed, n)
    book = book_of(s)
    cheap, dear = (
        decide(s, book, stages_for(f, Settings().change(costs={"spread_multiplier": m, "crowding": 0})))
        for m in (0.5, 3.0)
    )
    both = (cheap.choice.state == 2) & (dear.choice.state == 2)
    same = (cheap.choice.weights == dear.choice.weights).all(axis=0)
    assert (np.sign(cheap.choice.gross) == np.sign(dear.choice.gross))[both & same].all()
    assert ((dear.choice.state == 2) <= (cheap.choice.state == 2)).all()
