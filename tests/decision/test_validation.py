"""PositionValidator: every rule, its action, and that nothing is ever enlarged."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from decision_builders import book_of, snapshot
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.config import Settings
from workbench.core.types import Book, Breach, Phase, Snapshot, Target
from workbench.decision.validation import PositionValidator

N = 4
NOW = np.array([0.02, -0.02, 0.0, 0.0])
WANT = np.array([0.03, -0.01, 0.02, -0.02])


def check(
    target: np.ndarray = WANT, s: Snapshot | None = None, book: Book | None = None, **options: Any
) -> tuple[Target, tuple[Breach, ...]]:
    s = s or snapshot(len(target))
    tree = Settings().change(validation=options)
    return PositionValidator(tree.validation, tree.sizing).validate(target, s, book or book_of(s, NOW))


def rules(breaches: tuple[Breach, ...]) -> list[tuple[str, str, str]]:
    return [(b.rule, b.symbol, b.action) for b in breaches]


def test_a_sound_target_passes_unchanged() -> None:
    target, breaches = check()
    np.testing.assert_array_equal(target.weights, WANT)
    assert target.tradable.all()
    assert breaches == ()


def changed(name: str, at: int, value: Any) -> Snapshot:
    base = snapshot(N)
    array = getattr(base, name).copy()
    array[at] = value
    return snapshot(N, **{name: array})


@pytest.mark.parametrize(
    ("s", "rule"),
    [
        (changed("halted", 0, True), "halted"),
        (changed("price", 0, np.nan), "price"),
        (changed("quote_age_s", 0, 5000.0), "max_quote_age_s"),
        (changed("bid", 0, 1e5), "max_price_move"),
    ],
)
def test_a_breach_of_one_symbol_freezes_that_symbol(s: Snapshot, rule: str) -> None:
    target, breaches = check(s=s)
    assert (rule, "S00", "freeze") in rules(breaches)
    assert target.weights[0] == NOW[0]
    assert not target.tradable[0]
    np.testing.assert_array_equal(target.weights[1:], WANT[1:])


def test_a_target_that_is_not_finite_freezes() -> None:
    target, breaches = check(np.array([np.nan, np.inf, 0.02, -0.02]))
    assert rules(breaches) == [("finite", "S00", "freeze"), ("finite", "S01", "freeze")]
    np.testing.assert_array_equal(target.weights[:2], NOW[:2])


def test_cap_and_notional_freeze_what_grows() -> None:
    target, breaches = check(np.array([0.09, -0.01, 0.0, 0.0]))
    assert rules(breaches) == [("max_weight", "S00", "freeze")]
    assert (breaches[0].value, breaches[0].bound) == (0.09, 0.05)
    _, breaches = check(max_notional=25_000.0)
    assert rules(breaches) == [("max_notional", "S00", "freeze")]
    assert target.weights[0] == NOW[0]


def test_a_jump_since_the_last_decision_freezes() -> None:
    """A bad print marks the book before it is checked, so the check is against the price of the decision before."""
    s = snapshot(N)
    book = book_of(s, NOW)
    book = replace(book, carry=replace(book.carry, price=s.price))
    jumped = replace(s, price=s.price * np.array([1.5, 1, 1, 1]), bid=s.bid * np.nan, ask=s.ask * np.nan)
    _, breaches = check(s=jumped, book=book)
    assert rules(breaches) == [("max_price_move", "S00", "freeze")]
    assert breaches[0].value == pytest.approx(0.5)
    first = replace(book, carry=replace(book.carry, price=np.full(N, np.nan)))
    assert check(s=jumped, book=first)[1] == ()


def test_participation_cuts_the_step() -> None:
    s = snapshot(N)
    volume = s.expected_volume.copy()
    volume[0, 2] = 0.004 * 1e6 / s.price[2] / 0.05
    target, breaches = check(s=snapshot(N, expected_volume=volume))
    assert rules(breaches) == [("max_participation", "S02", "scale")]
    assert target.weights[2] == pytest.approx(0.004)
    volume[0, :] = np.nan
    target, _ = check(s=snapshot(N, expected_volume=volume))
    np.testing.assert_array_equal(target.weights, [0.02, -0.01, 0.0, 0.0])


def test_drawdown_leaves_only_steps_that_shrink() -> None:
    s = snapshot(N)
    book = replace(book_of(s, NOW), peak_nav=2e6)
    target, breaches = check(s=s, book=book)
    assert rules(breaches) == [("max_drawdown", "", "reduce_only")]
    np.testing.assert_array_equal(target.weights, [0.02, -0.01, 0.0, 0.0])


def test_daily_loss_can_halt_or_flatten() -> None:
    s = snapshot(N)
    book = replace(book_of(s, NOW), day_start_nav=1.2e6)
    target, breaches = check(s=s, book=book, on_daily_loss="halt")
    assert rules(breaches) == [("max_daily_loss", "", "halt")]
    np.testing.assert_array_equal(target.weights, NOW)
    assert not target.tradable.any()
    target, _ = check(s=s, book=book, on_daily_loss="flatten")
    np.testing.assert_array_equal(target.weights, np.zeros(N))
    assert target.tradable.all()


def test_gross_and_net_of_the_book_mean_reduce_only() -> None:
    n = 12
    s = snapshot(n)
    now = np.full(n, 0.01)
    want = np.where(np.arange(n) % 2, -0.05, 0.05)
    target, breaches = check(want, s, book_of(s, now))
    assert rules(breaches) == [("target_gross", "", "reduce_only")]
    assert (np.abs(target.weights) <= now).all()
    _, breaches = check(np.full(n, 0.03), s, book_of(s, now))
    assert rules(breaches) == [("max_net", "", "reduce_only")]


def test_a_frozen_leg_does_not_break_the_net() -> None:
    n = 12
    halted = np.arange(n) % 2 == 1
    now = np.where(halted, -0.04, 0.04)
    s = snapshot(n, quote_age_s=np.where(halted, 5000.0, 1.0))
    target, _ = check(np.zeros(n), s, book_of(s, now))
    assert abs(target.weights.sum()) <= 0.2
    assert np.abs(target.weights).sum() < np.abs(now).sum()


def test_turnover_scales_what_grows_and_never_a_reduction() -> None:
    s = snapshot(N)
    book = replace(book_of(s, NOW), turnover_today=4.97)
    target, breaches = check(s=s, book=book)
    assert rules(breaches) == [("max_turnover_daily", "", "scale")]
    shrunk = np.where(NOW * WANT <= 0, 0.0, np.sign(NOW) * np.minimum(np.abs(NOW), np.abs(WANT)))
    growth = WANT - shrunk
    np.testing.assert_allclose(target.weights, shrunk + growth * 0.03 / np.abs(growth).sum())
    target, breaches = check(np.zeros(N), s, book)
    assert breaches == ()
    np.testing.assert_array_equal(target.weights, np.zeros(N))


def test_one_entry_does_not_block_the_exits_when_turnover_is_used_up() -> None:
    s = snapshot(N)
    book = replace(book_of(s, np.array([0.03, 0.02, 0.01, 0.0])), turnover_today=5.0)
    target, _ = check(np.array([0.0, 0.0, 0.0, 0.01]), s, book)
    np.testing.assert_array_equal(target.weights, np.zeros(N))


@pytest.mark.parametrize("when", [{"phase": Phase.CLOSED}, {"minutes_to_close": 0.0}])
def test_nothing_trades_when_nothing_can(when: dict[str, Any]) -> None:
    target, _ = check(s=snapshot(N, **when))
    np.testing.assert_array_equal(target.weights, NOW)
    assert not target.tradable.any()


@given(st.integers(0, 2**31))
@settings(max_examples=100, deadline=None)
def test_no_step_is_ever_enlarged_or_invented(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = 10
    now, want = rng.normal(size=(2, n)) * 0.04
    s = snapshot(n, seed, halted=rng.random(n) < 0.2, quote_age_s=np.where(rng.random(n) < 0.2, 1e4, 1.0))
    book = replace(book_of(s, now), turnover_today=rng.uniform(0, 6), peak_nav=rng.choice([1e6, 2e6]))
    target, _ = check(want, s, book)
    step, asked = target.weights - now, want - now
    assert (np.abs(step) <= np.abs(asked) + 1e-15).all()
    assert (step * asked >= 0).all()
    assert (target.weights[~target.tradable] == now[~target.tradable]).all()


def test_round_trip() -> None:
    tree = Settings().change(validation={"max_drawdown": 0.1})
    stage = PositionValidator(tree.validation, tree.sizing)
    assert PositionValidator.from_dict(stage.to_dict()).to_dict() == stage.to_dict()
