"""How orders are priced when they leave: amounts by hand, and that no limit is worse than its policy allows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.config import ExecutionSettings
from workbench.core.clock import ManualClock
from workbench.core.types import OrderIntent, Target
from workbench.execution.planning import plan_orders
from workbench.execution.policies import between, price_order, round_to_tick
from workbench.gateway.events import Rejected
from workbench.gateway.matching import MatchingEngine

POLICIES = ("market", "marketable_limit", "mid_step", "adaptive", "twap")
TICK = 0.01


def wide(desk, **changes):
    """AAA at 49.95 : 50.05."""
    return desk.snapshot(bid=desk.prices - 0.05, ask=desk.prices + 0.05, **changes)


@pytest.mark.parametrize(
    ("policy", "buy", "sell"),
    [
        ("market", ("MKT", np.nan), ("MKT", np.nan)),
        ("marketable_limit", ("LMT", 50.07), ("LMT", 49.93)),  # 50.05 * 1.0005 = 50.075 down; 49.95 * 0.9995 up
        ("adaptive", ("LMT", 50.07), ("LMT", 49.93)),
        ("twap", ("LMT", 50.07), ("LMT", 49.93)),
        ("mid_step", ("LMT", 50.00), ("LMT", 50.00)),
    ],
)
def test_first_price_of_each_policy(desk, policy, buy, sell) -> None:
    for side, (kind, limit) in ((1, buy), (-1, sell)):
        got = price_order(policy, side, 0, wide(desk), 5.0, TICK)
        assert got[0] == kind
        np.testing.assert_equal(got[1], limit)


def test_an_odd_mid_is_rounded_to_its_own_side(desk) -> None:
    snapshot = desk.snapshot(bid=desk.prices, ask=desk.prices + 0.01)
    assert price_order("mid_step", 1, 0, snapshot, 5.0, TICK) == ("LMT", 50.0)
    assert price_order("mid_step", -1, 0, snapshot, 5.0, TICK) == ("LMT", 50.01)


def test_nothing_waits_at_a_mid_that_nobody_quotes(desk) -> None:
    crossed = desk.snapshot(bid=desk.prices + 1, ask=desk.prices - 1)
    assert price_order("mid_step", 1, 0, crossed, 0.0, TICK) == ("LMT", 50.01)  # price and half the spread
    nan = np.full(3, np.nan)
    blind = desk.snapshot(bid=nan, ask=nan, spread=nan)
    for policy in POLICIES:
        assert price_order(policy, 1, 0, blind, 5.0, TICK)[0] == "MKT"


@settings(max_examples=100, deadline=None)
@given(
    policy=st.sampled_from(POLICIES[1:]),
    side=st.sampled_from([1, -1]),
    bid=st.integers(100, 100_000),
    spread=st.integers(0, 500),
    offset=st.floats(0, 100),
)
def test_no_limit_is_behind_its_policy_or_worse_than_it_allows(desk, policy, side, bid, spread, offset) -> None:
    low, high = bid * TICK, (bid + spread) * TICK
    snapshot = desk.snapshot(bid=np.full(3, low), ask=np.full(3, high))
    _, limit = price_order(policy, side, 0, snapshot, offset, TICK)
    touch = high if side > 0 else low
    assert limit == pytest.approx(round(limit / TICK) * TICK)
    assert limit > 0
    if policy == "mid_step":
        assert low - 1e-9 <= limit <= high + 1e-9
        assert side * ((low + high) / 2 - limit) >= -1e-9  # never past the mid
    else:
        assert side * (limit - touch) >= -1e-9  # marketable now
        assert side * (limit - touch) <= touch * offset * 1e-4 + 1e-9 or limit == pytest.approx(touch)


@settings(max_examples=60, deadline=None)
@given(bid=st.integers(100, 10_000), spread=st.integers(0, 100), part=st.floats(0, 1), more=st.floats(0, 1))
def test_between_walks_one_way_and_mirrors(bid, spread, part, more) -> None:
    low, high = bid * TICK, (bid + spread) * TICK
    less, further = sorted((part, more))
    assert low - 1e-9 <= between(1, low, high, less, TICK) <= between(1, low, high, further, TICK) <= high + 1e-9
    buy, sell = between(1, low, high, part, TICK), between(-1, low, high, part, TICK)
    assert buy + sell == pytest.approx(low + high)  # mirrored at the mid


def test_the_backtest_understands_what_every_policy_plans(desk) -> None:
    aim = Target(np.array([0.01, -0.01, 0.01]), np.ones(3, bool))
    for policy in POLICIES:
        execution = ExecutionSettings(policy=policy, min_notional=0.0)
        engine = MatchingEngine(ManualClock(10**18))
        for intent in plan_orders(aim, desk.book(), desk.snapshot(), execution, desk.universe):
            engine.submit(intent)
        engine.run()
        assert not [e for e in engine.drain() if isinstance(e, Rejected)]
        assert len(engine.active) == 3


def test_prices_on_the_grid_stay() -> None:
    assert round_to_tick(0.29, 0.01, up=True) == round_to_tick(0.29, 0.01, up=False) == 0.29
    assert OrderIntent("r", "A", 1, 1, "LMT", round_to_tick(10.015, 0.01, up=False), "DAY", 0, 0).limit_price == 10.01
