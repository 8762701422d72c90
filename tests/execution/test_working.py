"""Orders between bars: the walk to the touch, slices, budgets, and quotes that must move nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.config import ExecutionSettings, GuardSettings
from workbench.core.errors import DataError
from workbench.core.types import OrderIntent
from workbench.execution.reports import Quote
from workbench.execution.working import AtWork, Cancel, Change, Keep, SendSlice, first_slice, slice_of, work

SECOND = 10**9
START, END = 1000 * SECOND, 1300 * SECOND
STEP = ExecutionSettings(policy="mid_step", steps=4)
TWAP = ExecutionSettings(policy="twap", steps=4)
GUARDS = GuardSettings()


def quote(now: int, bid: float = 49.96, ask: float = 50.04, **changes) -> Quote:
    return replace(Quote("A", bid, ask, 1.0, 1.0, 50.0, now, False, np.nan, False), **changes)


def at_work(**changes) -> AtWork:
    order = AtWork("r", 1, 100, 100, 0, "LMT", 50.0, 50.0, START, START, 0)
    return replace(order, **changes)


def do(order: AtWork, now: int, settings=STEP, guards=GUARDS, **q):
    return work(order, quote(now, **q), now, END, settings, guards)


def after(order: AtWork, action, now: int) -> AtWork:
    if not isinstance(action, Change):
        return order
    return replace(order, limit_price=action.limit_price, changed=now, replacements=order.replacements + 1)


def walk(order: AtWork, quotes, settings=STEP) -> list[tuple[int, float]]:
    """(second of the bar, limit) of every change, asked each second; quotes: second -> (bid, ask)."""
    changes = []
    for second in range(300):
        now = START + second * SECOND
        bid, ask = quotes(second)
        action = do(order, now, settings, bid=bid, ask=ask)
        if isinstance(action, Change):
            changes.append((second, action.limit_price))
        order = after(order, action, now)
    return changes


def test_the_walk_of_a_buy_and_of_a_sell_in_equal_times() -> None:
    still = lambda second: (49.96, 50.04)  # noqa: E731
    assert walk(at_work(), still) == [(60, 50.01), (120, 50.02), (180, 50.03), (240, 50.04)]
    assert walk(at_work(side=-1), still) == [(60, 49.99), (120, 49.98), (180, 49.97), (240, 49.96)]
    one = ExecutionSettings(policy="mid_step", steps=1)
    assert walk(at_work(), still, one) == [(150, 50.04)]


def test_a_quote_that_runs_away_is_followed_within_the_budget() -> None:
    def away(second):  # a cent a second
        return 49.96 + second / 100, 50.04 + second / 100

    few = ExecutionSettings(policy="mid_step", steps=4, max_replacements=6)
    changes = walk(at_work(), away, few)
    assert len(changes) == 6
    assert [second for second, _ in changes] == [1, 2, 60, 120, 180, 240]  # two to follow with, four for the stays
    assert changes[-1][1] == pytest.approx(52.44)  # the touch at its time
    none = ExecutionSettings(policy="mid_step", steps=4, max_replacements=0)
    assert walk(at_work(), away, none) == []
    two = ExecutionSettings(policy="mid_step", steps=4, max_replacements=2)
    assert [second for second, _ in walk(at_work(), lambda s: (49.96, 50.04), two)] == [100, 200]  # ends at the touch


def test_a_quote_that_comes_nearer_moves_nothing_back() -> None:
    order = at_work(limit_price=50.03, changed=START + 200 * SECOND, replacements=3)
    assert isinstance(do(order, START + 250 * SECOND, bid=49.9, ask=50.02), Keep)


@settings(max_examples=80, deadline=None)
@given(
    side=st.sampled_from([1, -1]),
    steps=st.integers(1, 6),
    budget=st.integers(0, 8),
    drift=st.lists(st.integers(-3, 3), min_size=30, max_size=30),
    spread=st.integers(0, 10),
)
def test_the_walk_never_turns_back_crosses_or_overspends(side, steps, budget, drift, spread) -> None:
    chosen = ExecutionSettings(policy="mid_step", steps=steps, max_replacements=budget)
    order = at_work(side=side, limit_price=50.0 - side)
    bid = 5000
    for k, move in enumerate(drift):
        now, bid = START + k * 10 * SECOND, bid + move
        low, high = round(bid / 100, 2), round((bid + spread) / 100, 2)
        action = do(order, now, chosen, bid=low, ask=high)
        if isinstance(action, Change):
            assert side * (action.limit_price - order.limit_price) > 0
            assert side * (action.limit_price - (high if side > 0 else low)) < 1e-9
            assert action.limit_price == pytest.approx(round(action.limit_price, 2))
        order = after(order, action, now)
    assert order.replacements <= budget


def test_slices_are_equal_due_in_time_and_whole_in_the_end() -> None:
    intent = OrderIntent("r", "A", 1, 103, "LMT", 50.06, "DAY", START, 50.0)
    first = first_slice(intent, 1, TWAP)
    assert (first.order_ref, first.quantity) == ("r", 26)
    order, sent = at_work(quantity=103, sent=26), []
    for second in range(300):
        now = START + second * SECOND
        action = do(order, now, TWAP)
        if isinstance(action, SendSlice):
            part = slice_of(intent, action)
            sent.append((second, part.order_ref, part.quantity, part.order_type, part.limit_price))
            order = replace(order, sent=order.sent + action.quantity)
    assert sent == [  # 50.04 * 1.0005 = 50.065, down
        (75, "r.1", 26, "LMT", 50.06), (150, "r.2", 26, "LMT", 50.06), (225, "r.3", 25, "LMT", 50.06),
    ]  # fmt: skip
    assert first_slice(intent, 1, STEP) is intent
    closing = replace(intent, order_type="MOC")
    assert first_slice(closing, 1, TWAP) is closing


@settings(max_examples=60, deadline=None)
@given(
    quantity=st.integers(1, 500), lot=st.sampled_from([1, 10]), steps=st.integers(1, 20),
    times=st.lists(st.integers(0, 299), max_size=20),
)  # fmt: skip
def test_slices_never_pass_the_whole_and_catch_up(quantity, lot, steps, times) -> None:
    chosen = ExecutionSettings(policy="twap", steps=steps)
    intent = OrderIntent("r", "A", -1, quantity, "MKT", np.nan, "DAY", START, 50.0)
    sent, references = first_slice(intent, lot, chosen).quantity, ["r"]
    assert 0 < sent <= quantity
    for second in [*sorted(times), 299]:
        order = at_work(side=-1, quantity=quantity, sent=sent, order_type="MKT", limit_price=np.nan, lot=lot)
        action = do(order, START + second * SECOND, chosen)
        if isinstance(action, SendSlice):
            sent += action.quantity
            references.append(slice_of(intent, action).order_ref)
            assert sent % lot == 0 or sent == quantity
        assert sent <= quantity
        assert sent >= quantity * second / 300 - lot
    assert sent == quantity
    assert len(set(references)) == len(references)


UNSOUND = [
    ({"bid": np.nan}, "no sound quote"),
    ({"ask": 49.0}, "no sound quote"),
    ({"bid": -1.0}, "no sound quote"),
    ({"delayed": True}, "not real-time"),
    ({"halted": None}, "not told"),
    ({"time": START}, "max_quote_age_s 15"),
    ({"time": 0}, "s old"),
    ({"bid": 49.0}, "max_spread_bps 100"),
    ({"bid": 59.99, "ask": 60.01}, "left 50 by more than max_price_move 0.1"),
]


@pytest.mark.parametrize(("bad", "why"), UNSOUND)
@pytest.mark.parametrize("policy", [STEP, TWAP])
def test_an_unsound_quote_moves_nothing(bad, why, policy) -> None:
    action = do(at_work(sent=25), START + 150 * SECOND, policy, **bad)
    assert isinstance(action, Keep)
    assert why in action.reason


def test_ends_and_orders_that_are_left_alone() -> None:
    later = START + 150 * SECOND
    for policy in ("market", "marketable_limit", "adaptive"):
        alone = ExecutionSettings(policy=policy)
        assert do(at_work(), later, alone) == Keep("its policy leaves it alone")
        assert do(at_work(), END, alone) == Cancel("the bar is over")
        assert do(at_work(), later, alone, halted=True) == Cancel("trading is halted")
    assert isinstance(do(at_work(order_type="MOC", limit_price=np.nan), END), Keep)
    assert isinstance(do(at_work(order_type="MOC", limit_price=np.nan), later, halted=True), Keep)
    assert isinstance(do(at_work(filled=100), END), Keep)
    assert isinstance(do(at_work(order_type="MKT", limit_price=np.nan), later), Keep)  # no mid was known: it is out
    full = at_work(replacements=8)
    assert do(full, later) == Keep("8 changes, max_replacements 8")


def test_a_bar_that_was_over_before_it_left() -> None:
    late = at_work(started=END, changed=END)
    assert work(late, quote(END), END, END, STEP, GUARDS) == Cancel("the bar is over")
    # a clock that was set back: the whole walk counts as over
    assert work(late, quote(START), START, END, STEP, GUARDS) == Change(50.04, "stay 4 of 4")


def test_bad_input_is_named() -> None:
    with pytest.raises(DataError, match="order r: side 0"):
        at_work(side=0)
    with pytest.raises(DataError, match="101 filled of 100 sent of 100"):
        at_work(filled=101)
