"""plan_orders: amounts by hand, properties under hypothesis, and bad input."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.config import ExecutionSettings
from workbench.core.errors import DataError
from workbench.core.types import Book, OrderIntent, Target
from workbench.core.universe import Universe
from workbench.execution.planning import plan_orders, wanted_shares
from workbench.execution.policies import price_order

PLAIN = ExecutionSettings(min_notional=0.0, max_participation=1.0)
WEIGHTS = st.lists(st.floats(-0.05, 0.05), min_size=3, max_size=3)
SHARES = st.lists(st.integers(-2000, 2000), min_size=3, max_size=3)


def target(*weights, tradable=(True, True, True)) -> Target:
    return Target(np.array(weights), np.array(tradable))


def signed(intents) -> dict[str, int]:
    return {o.symbol: o.side * o.quantity for o in intents}


def digests(intents) -> list[str]:
    return [o.digest for o in intents]  # NaN limits are equal bit for bit, not by ==


def test_rounds_towards_zero_and_reduces_first(desk) -> None:
    plan = plan_orders(target(0.01003, -0.01, 0.0), desk.book((0, 0, 70)), desk.snapshot(), PLAIN, desk.universe)
    assert [(o.symbol, o.side * o.quantity) for o in plan] == [("CCC", -70), ("AAA", 200), ("BBB", -100)]
    assert {(o.order_type, o.tif, o.decided_at, o.reason) for o in plan} == {("MKT", "DAY", 10**18, "target")}
    assert all(np.isnan(o.limit_price) for o in plan)
    assert [o.arrival_mid for o in plan] == [20.0, 50.0, 100.0]


def test_a_weight_that_is_held_gives_no_order(desk) -> None:
    book = desk.book((333, -77, 1001))
    assert plan_orders(target(*book.weights), book, desk.snapshot(), PLAIN, desk.universe) == ()


def test_open_orders_are_netted(desk) -> None:
    working = OrderIntent("w", "AAA", 1, 150, "MKT", np.nan, "DAY", 0, 50.0)
    plan = plan_orders(target(0.01, 0.0, 0.0), desk.book(open_orders=(working,)), desk.snapshot(), PLAIN, desk.universe)
    assert signed(plan) == {"AAA": 50}


def test_minimum_notional_blocks_openings_and_changes_but_never_a_close(desk) -> None:
    small = ExecutionSettings(min_notional=200.0, max_participation=1.0)
    opening = plan_orders(target(0.00015, 0.0, 0.0), desk.book(), desk.snapshot(), small, desk.universe)
    closing = plan_orders(target(0.0, 0.0, 0.0), desk.book((3, 0, -3)), desk.snapshot(), small, desk.universe)
    shrinking = plan_orders(target(0.0001, 0, 0), desk.book((4, 0, 0)), desk.snapshot(), small, desk.universe)
    assert (signed(opening), signed(closing), signed(shrinking)) == ({}, {"AAA": -3, "CCC": 3}, {})


def test_lots_and_odd_lots(desk) -> None:
    plan = plan_orders(target(0.02, 0.0, 0.0), desk.book((0, 0, 37)), desk.snapshot(), PLAIN, desk.lots)
    assert signed(plan) == {"AAA": 400, "CCC": -37}  # an odd lot can be closed
    assert plan_orders(target(0.02, 0.0, 0.0), desk.book((350, 0, 0)), desk.snapshot(), PLAIN, desk.lots) == ()


def test_participation_caps_the_order(desk) -> None:
    volume = np.full((9, 3), 1e6)
    volume[0] = (1000.0, np.nan, 10.0)
    cap = ExecutionSettings(min_notional=0.0, max_participation=0.05)
    snapshot = desk.snapshot(expected_volume=volume)
    assert signed(plan_orders(target(0.05, 0.05, 0.05), desk.book(), snapshot, cap, desk.universe)) == {"AAA": 50}
    closing = plan_orders(target(0.0, 0.0, 0.0), desk.book((500, 300, 40)), snapshot, cap, desk.universe)
    assert signed(closing) == {"AAA": -50, "BBB": -300, "CCC": -1}  # unknown volume never locks a position in


def test_what_cannot_be_traded_is_left_alone(desk) -> None:
    nan = np.array([np.nan, 100.0, 20.0])
    halted = np.array([False, True, False])
    snapshot = desk.snapshot(price=nan, bid=nan, ask=nan, halted=halted)
    aim = target(0.01, 0.01, 0.01, tradable=(True, True, False))
    assert plan_orders(aim, desk.book((5, 5, 5)), snapshot, PLAIN, desk.universe) == ()
    unknown = target(np.nan, np.nan, np.nan)
    assert plan_orders(unknown, desk.book((5, 5, 5)), desk.snapshot(), PLAIN, desk.universe) == ()


def test_what_cannot_be_shorted_stops_at_zero(desk) -> None:
    snapshot = desk.snapshot(shortable=np.zeros(3, bool))
    plan = plan_orders(target(-0.01, -0.01, -0.02), desk.book((100, 0, -500)), snapshot, PLAIN, desk.universe)
    assert signed(plan) == {"AAA": -100}


def test_marketable_limits_are_on_the_tick_and_marketable(desk) -> None:
    policy = replace_settings(policy="marketable_limit", limit_offset_bps=5.0)
    plan = plan_orders(target(0.01, -0.01, 0.0), desk.book(), desk.snapshot(), policy, desk.universe)
    limits = {o.symbol: o.limit_price for o in plan}
    assert limits == {"AAA": 50.03, "BBB": 99.95}  # 50.01 * 1.0005 = 50.035 down; 99.99 * 0.9995 = 99.940005 up
    assert price_order("marketable_limit", 1, 2, desk.snapshot(), 0.0, 0.01) == ("LMT", 20.01)


def test_without_quotes_the_spread_stands_in(desk) -> None:
    nan = np.full(3, np.nan)
    snapshot = desk.snapshot(bid=nan, ask=nan, spread=np.full(3, 0.002))
    assert price_order("marketable_limit", 1, 0, snapshot, 0.0, 0.01) == ("LMT", 50.05)
    assert price_order("marketable_limit", -1, 0, snapshot, 0.0, 0.01) == ("LMT", 49.95)
    blind = desk.snapshot(bid=nan, ask=nan, spread=nan)
    assert price_order("marketable_limit", 1, 0, blind, 0.0, 0.01)[0] == "MKT"


AUCTION = ExecutionSettings(min_notional=0.0, max_participation=1.0, day_auction=True)


def at_close(desk, minutes: float, weights, day, positions=(0.0, 0.0, 0.0), settings=AUCTION, held_day=(0.0, 0.0, 0.0)):
    book = desk.book(positions)
    book = replace(book, carry=replace(book.carry, day_weight=np.array(held_day)))
    snapshot = desk.snapshot(minutes_to_close=minutes)
    plan = plan_orders(target(*weights), book, snapshot, settings, desk.universe, day_weight=np.array(day))
    return {o.symbol: (o.order_type, o.side * o.quantity) for o in plan}


def test_day_weight_waits_for_its_auction_and_follows_the_policy_after_the_cutoff(desk) -> None:
    weights, day = (0.01, -0.01, 0.01), (0.006, -0.01, 0.0)  # 200 AAA of which 120 by days, all of BBB, none of CCC
    assert at_close(desk, 330.0, weights, day) == {"AAA": ("MKT", 80), "CCC": ("MKT", 500)}
    at_the_window = {"AAA": ("MOC", 120), "BBB": ("MOC", -100), "CCC": ("MKT", 500)}
    assert at_close(desk, 25.0, weights, day) == at_close(desk, 15.0, weights, day) == at_the_window
    everything = {"AAA": ("MKT", 200), "BBB": ("MKT", -100), "CCC": ("MKT", 500)}
    assert at_close(desk, 10.0, weights, day) == at_close(desk, np.nan, weights, day) == everything
    assert at_close(desk, 330.0, weights, day, settings=PLAIN) == everything  # not asked for


def test_what_shrinks_never_waits_and_what_days_hold_already_needs_no_auction(desk) -> None:
    assert at_close(desk, 330.0, (0.0, 0.0, 0.0), (0.0, 0.0, 0.0), (100, 0, 0), held_day=(0.005, 0, 0)) == {
        "AAA": ("MKT", -100)
    }
    # a short that turns long: what closes it goes now, at any time; what opens the long is for the auction
    flip = {"AAA": ("MKT", 100)}
    for minutes in (330.0, 20.0):
        assert at_close(desk, minutes, (0.01, 0, 0), (0.01, 0, 0), (-100, 0, 0)) == flip
    # 100 held for days, 160 wanted for days out of 200: 60 in the auction, 40 now
    grown = {"weights": (0.01, 0, 0), "day": (0.008, 0, 0), "positions": (100, 0, 0), "held_day": (0.005, 0, 0)}
    assert at_close(desk, 330.0, **grown) == {"AAA": ("MKT", 40)}
    assert at_close(desk, 20.0, **grown) == {"AAA": ("MOC", 60)}
    # a mandate larger than the position counts only as far as something is held
    assert at_close(desk, 20.0, (0.01, 0, 0), (0.008, 0, 0), held_day=(0.005, 0, 0)) == {"AAA": ("MOC", 160)}


def test_parts_below_the_minimum_notional_are_not_sent_alone(desk) -> None:
    least = ExecutionSettings(min_notional=1_000.0, max_participation=1.0, day_auction=True)
    small_rest = {"weights": (0.01, 0, 0), "day": (0.0096, 0, 0)}  # 192 for the auction, 8 shares are 400 USD
    assert at_close(desk, 330.0, **small_rest, settings=least) == {}
    assert at_close(desk, 20.0, **small_rest, settings=least) == {"AAA": ("MOC", 192)}
    small_day = {"weights": (0.01, 0, 0), "day": (0.0004, 0, 0)}  # 8 shares for the auction: all goes now
    assert at_close(desk, 330.0, **small_day, settings=least) == {"AAA": ("MKT", 200)}


@settings(max_examples=60, deadline=None)
@given(weights=WEIGHTS, parts=st.lists(st.floats(0, 1), min_size=3, max_size=3), shares=SHARES,
       minutes=st.sampled_from([330.0, 20.0, 10.0]))  # fmt: skip
def test_the_auction_mirrors_and_never_sends_more_than_the_plan(desk, weights, parts, shares, minutes) -> None:
    day = np.array(weights) * parts
    here = at_close(desk, minutes, weights, day, shares)
    flipped = at_close(desk, minutes, [-w for w in weights], -day, [-s for s in shares])
    assert flipped == {s: (kind, -q) for s, (kind, q) in here.items()}
    plain = signed(plan_orders(target(*weights), desk.book(shares), desk.snapshot(), PLAIN, desk.universe))
    for symbol, (kind, quantity) in here.items():
        assert 0 < quantity / plain[symbol] <= 1
        assert kind == "MKT" or shares[desk.symbols.index(symbol)] * quantity >= 0
    if minutes == 10.0:
        assert {s: q for s, (_, q) in here.items()} == plain


def replace_settings(**changes) -> ExecutionSettings:
    return PLAIN.model_copy(update=changes)


@settings(max_examples=80, deadline=None)
@given(weights=WEIGHTS, shares=SHARES)
def test_mirror_references_and_no_overshoot(desk, weights, shares) -> None:
    aim, book = target(*weights), desk.book(shares)
    plan = plan_orders(aim, book, desk.snapshot(), PLAIN, desk.universe)
    flipped = plan_orders(
        target(*(-w for w in weights)), desk.book([-s for s in shares]), desk.snapshot(), PLAIN, desk.universe
    )
    assert signed(flipped) == {s: -q for s, q in signed(plan).items()}
    assert digests(plan) == digests(plan_orders(aim, book, desk.snapshot(), PLAIN, desk.universe))
    assert len({o.order_ref for o in plan}) == len(plan)
    for o in plan:
        i = desk.symbols.index(o.symbol)
        after = shares[i] + o.side * o.quantity
        exact = weights[i] * 1e6 / desk.prices[i]
        assert abs(after) <= max(abs(exact) + 1e-6, 0)  # never past the target
        assert abs(after - exact) < max(abs(shares[i] - exact), 1)


@settings(max_examples=40, deadline=None)
@given(weights=WEIGHTS, shares=SHARES, order=st.permutations([0, 1, 2]))
def test_permuting_symbols_permutes_orders(desk, weights, shares, order) -> None:
    snapshot, book = desk.snapshot(), desk.book(shares)
    p = list(order)
    symbols = tuple(desk.symbols[i] for i in p)
    moved = replace(
        snapshot,
        symbols=symbols,
        **{k: getattr(snapshot, k)[p] for k in ("price", "bid", "ask", "spread")},
    )
    moved_book = replace(Book.flat(symbols, 1e6), positions=book.positions[p], weights=book.weights[p])
    plan = plan_orders(target(*weights), book, snapshot, PLAIN, desk.universe)
    other = plan_orders(target(*np.array(weights)[p]), moved_book, moved, PLAIN, Universe.of(symbols))
    assert sorted(digests(plan)) == sorted(digests(other))


def test_bad_input_is_named(desk) -> None:
    with pytest.raises(DataError, match="same symbols in the same order"):
        plan_orders(target(0, 0, 0), desk.book(), desk.snapshot(), PLAIN, Universe.of(["X"]))
    with pytest.raises(DataError, match="target weight of BBB is inf"):
        plan_orders(target(0, np.inf, 0), desk.book(), desk.snapshot(), PLAIN, desk.universe)
    with pytest.raises(DataError, match=r"day_weight of shape \(2,\) for 3 target weights"):
        plan_orders(target(0, 0, 0), desk.book(), desk.snapshot(), PLAIN, desk.universe, day_weight=np.zeros(2))
    with pytest.raises(DataError, match="2 weights for 3 symbols"):
        plan_orders(Target(np.zeros(2), np.ones(2, bool)), desk.book(), desk.snapshot(), PLAIN, desk.universe)
    stray = OrderIntent("w", "ZZZ", 1, 150, "MKT", np.nan, "DAY", 0, 50.0)
    with pytest.raises(DataError, match="open order w is in ZZZ"):
        plan_orders(target(0, 0, 0), desk.book(open_orders=(stray,)), desk.snapshot(), PLAIN, desk.universe)


def test_wanted_shares_keeps_an_existing_short_that_may_not_grow() -> None:
    ones = np.ones(2)
    got = wanted_shares(np.array([-20.0, -5.0]), np.array([-10.0, -10.0]), ones, ones < 0)
    assert got.tolist() == [-10.0, -5.0]
