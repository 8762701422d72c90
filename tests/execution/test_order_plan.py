"""order_plan: every step of every symbol by hand, the reasons it gives, and that plan_orders sends its orders."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.config import ExecutionSettings
from workbench.core.types import OrderIntent, Target
from workbench.execution.planning import order_plan, plan_orders

PLAIN = ExecutionSettings(min_notional=0.0, max_participation=1.0)


def target(*weights, tradable=(True, True, True)) -> Target:
    return Target(np.array(weights), np.array(tradable))


def test_every_step_by_hand(desk) -> None:
    """1 % of a million at 50 is 200 shares; 3 held and 10 on the way leave 187, of which 5 % of 1000 may trade."""
    book = desk.book((3, 0, 40), open_orders=(OrderIntent("w", "AAA", 1, 10, "MKT", np.nan, "DAY", 0, 50.0),))
    thin = desk.snapshot(expected_volume=np.full((9, 3), 1000.0))
    cap = ExecutionSettings(min_notional=1000.0, max_participation=0.05)
    plan = order_plan(target(0.01, 0.0005, 0.0), book, thin, cap, desk.universe)
    assert plan.exact.tolist() == pytest.approx([200.0, 5.0, 0.0])
    assert plan.pending.tolist() == [10.0, 0.0, 0.0]
    assert plan.held.tolist() == [13.0, 0.0, 40.0]
    assert plan.wanted.tolist() == [200.0, 5.0, 0.0]
    assert plan.missing.tolist() == [187.0, 5.0, 40.0]
    assert plan.allowed.tolist() == [50.0] * 3
    assert plan.cut.tolist() == [50.0, 5.0, 40.0]
    assert plan.kept.tolist() == [50.0, 0.0, 40.0]  # 5 shares of BBB are 500 USD; closing CCC is never blocked
    assert plan.quantity.tolist() == [50.0, 0.0, 40.0]
    assert plan.side.tolist() == [1.0, 1.0, -1.0]
    assert [(o.symbol, o.side * o.quantity) for o in plan.intents] == [("CCC", -40), ("AAA", 50)]
    assert plan.why(0) == ("participation cap of 0.05 of the next bar's volume",)
    assert plan.why(1) == ("below the minimum notional of 1000 USD",)
    assert plan.why(2) == ()


def test_rounding_to_lots_and_what_is_left_alone(desk) -> None:
    plan = order_plan(target(0.0224, 0.021, 0.0), desk.book((350, 0, 0)), desk.snapshot(), PLAIN, desk.lots)
    assert plan.exact.tolist() == pytest.approx([448.0, 210.0, 0.0])
    assert plan.wanted.tolist() == [350.0, 200.0, 0.0]
    assert plan.quantity.tolist() == [0.0, 200.0, 0.0]
    assert plan.why(0) == ("less than a lot of 100 away",)
    assert plan.why(1) == ()


def test_an_exact_hit_has_no_reason(desk) -> None:
    book = desk.book((333, -77, 1001))
    plan = order_plan(target(*book.weights), book, desk.snapshot(), PLAIN, desk.universe)
    assert [plan.why(i) for i in range(3)] == [(), (), ()]
    assert plan.intents == ()


@pytest.mark.parametrize(
    ("changes", "weights", "tradable", "said"),
    [
        ({"halted": np.array([True, False, False])}, (0.01, 0, 0), True, "halted"),
        ({}, (np.nan, 0, 0), True, "target unknown"),
        ({}, (0.01, 0, 0), False, "frozen by the validation"),
        ({k: np.array([np.nan, 100.0, 20.0]) for k in ("price", "bid", "ask")}, (0.01, 0, 0), True, "price unknown"),
        ({"shortable": np.zeros(3, bool)}, (-0.01, 0, 0), True, "cannot be shorted"),
        ({"expected_volume": np.full((9, 3), np.nan)}, (0.01, 0, 0), True, "volume unknown: no increase"),
    ],
)
def test_why_nothing_is_sent(desk, changes, weights, tradable, said) -> None:
    aim = target(*weights, tradable=(tradable, True, True))
    plan = order_plan(aim, desk.book(), desk.snapshot(**changes), PLAIN, desk.universe)
    assert plan.why(0)[0] == said
    assert plan.intents == ()


def test_the_auction_part_is_told(desk) -> None:
    auction = PLAIN.model_copy(update={"day_auction": True})
    day = np.array([0.006, 0.0, 0.0])
    early = order_plan(target(0.01, 0, 0), desk.book(), desk.snapshot(), auction, desk.universe, day_weight=day)
    assert early.auction.tolist() == [120.0, 0.0, 0.0]
    assert early.quantity.tolist() == [80.0, 0.0, 0.0]
    assert early.why(0) == ("the part of day horizons waits for the closing auction",)
    late = desk.snapshot(minutes_to_close=20.0)
    now = order_plan(target(0.01, 0, 0), desk.book(), late, auction, desk.universe, day_weight=day)
    assert now.on_close.tolist() == [True, False, False]
    assert now.intents[0].order_type == "MOC"
    assert now.why(0) == ("the rest waits: the closing auction is the one order",)


def test_other_settings_keep_everything_else(desk) -> None:
    plan = order_plan(target(0.01, 0, 0), desk.book(), desk.snapshot(), PLAIN, desk.universe, system="b", reason="test")
    again = plan.under(PLAIN.model_copy(update={"policy": "marketable_limit", "limit_offset_bps": 0.0}))
    assert (again.intents[0].order_type, again.intents[0].limit_price) == ("LMT", 50.01)
    assert again.intents[0].order_ref == plan.intents[0].order_ref
    assert again.intents[0].reason == "test"


@settings(max_examples=60, deadline=None)
@given(weights=st.lists(st.floats(-0.05, 0.05), min_size=3, max_size=3),
       shares=st.lists(st.integers(-2000, 2000), min_size=3, max_size=3))  # fmt: skip
def test_plan_orders_sends_the_plans_orders(desk, weights, shares) -> None:
    aim, book = target(*weights), desk.book(shares)
    plan = order_plan(aim, book, desk.snapshot(), PLAIN, desk.universe)
    sent = plan_orders(aim, book, desk.snapshot(), PLAIN, desk.universe)
    assert [o.digest for o in sent] == [o.digest for o in plan.intents]
    signed = {o.symbol: o.side * o.quantity for o in sent}
    for i, symbol in enumerate(desk.symbols):
        assert signed.get(symbol, 0) == plan.side[i] * plan.quantity[i]
        assert 0 <= plan.quantity[i] <= plan.kept[i] <= plan.cut[i] <= plan.missing[i]


def test_a_book_without_the_line_of_an_order_is_refused(desk) -> None:
    with pytest.raises(ValueError, match="same symbols in the same order"):
        order_plan(target(0, 0, 0), replace(desk.book(), symbols=("AAA", "BBB", "X")), desk.snapshot(), PLAIN,
                   desk.universe)  # fmt: skip
