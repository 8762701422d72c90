"""The matching engine: time, prices, partial fills, limits, cancels and bad input, against answers by hand."""

from __future__ import annotations

import time

import numpy as np
import pytest
from scipy.integrate import quad

from workbench.core.errors import DataError, LookAheadError, WorkbenchError
from workbench.gateway.events import Accepted, Cancelled, Filled, Rejected
from workbench.gateway.matching import MatchingRules
from workbench.gateway.orders import Status, WorkingOrder

SECOND = 1_000_000_000


def test_nothing_fills_before_it_arrives_and_then_at_the_quote_standing_there(kit) -> None:
    b = kit.Bench(latency_ns=SECOND)
    b.quote(9.99, 10.01)
    b.engine.submit(kit.order("a", 1, 50))
    b.go(0.999)
    assert b.fills() == []
    b.quote(10.19, 10.21)  # the market moves while the order is on its way
    b.go(2)
    (fill,) = b.fills()
    assert (fill.fill.price, fill.fill.time, fill.fill.mid) == (10.21, b.at(1), pytest.approx(10.20))
    assert (fill.spread_cost, fill.impact_cost) == (pytest.approx(0.5), 0.0)


def test_a_quote_after_the_arrival_does_not_reach_back(kit) -> None:
    b = kit.Bench(latency_ns=SECOND)
    b.quote(9.99, 10.01)
    b.engine.submit(kit.order("a", 1, 50))
    b.go(5)
    b.quote(10.19, 10.21)
    (fill,) = b.fills()
    assert (fill.fill.price, fill.fill.time) == (10.01, b.at(1))


def test_displayed_shares_at_the_touch_then_the_curve(kit) -> None:
    b = kit.Bench(k3=0.142, impact_exponent=0.6, max_participation=0.5)
    b.quote(9.99, 10.01, ask_size=100)
    b.window(10_000, sigma=0.02)
    b.engine.submit(kit.order("a", 1, 600))
    shown, walked = b.fills()
    assert (shown.fill.quantity, shown.fill.price, shown.remaining) == (100, 10.01, 500)
    mean, _ = quad(lambda x: 1.6 * 0.142 * 0.02 * (x / 10_000) ** 0.6, 100, 600)
    assert walked.fill.price == pytest.approx(10.01 + 10.0 * mean / 500, rel=1e-12)
    assert walked.impact_cost == pytest.approx(10.0 * mean, rel=1e-9)
    assert walked.spread_cost == pytest.approx(500 * 0.01)


def test_without_displayed_size_the_mean_price_is_the_cost_model(kit) -> None:
    b = kit.Bench(k3=0.142, impact_exponent=0.6)
    b.quote(9.99, 10.01, float("nan"), float("nan"))
    b.window(10_000, sigma=0.02)
    b.engine.submit(kit.order("a", -1, 300))
    (fill,) = b.fills()
    cost = (10.0 - fill.fill.price) / 10.0
    assert cost == pytest.approx(0.001 + 0.142 * 0.02 * 0.03**0.6, rel=1e-12)


def test_two_orders_share_one_window_and_one_displayed_size(kit) -> None:
    b = kit.Bench(max_participation=0.05)
    b.quote(9.99, 10.01, ask_size=100)
    b.window(4_000)  # 200 shares may be had
    b.engine.submit(kit.order("a", 1, 150))
    b.engine.submit(kit.order("b", 1, 150))
    fills = b.fills()
    assert [(f.order_ref, f.fill.quantity) for f in fills] == [("a", 100), ("a", 50), ("b", 50)]
    assert fills[2].fill.price > fills[1].fill.price > fills[0].fill.price
    assert b.engine.order("b").remaining == 100
    assert b.engine.order("b").status is Status.PARTIAL


def test_the_same_quote_said_twice_is_not_new_liquidity(kit) -> None:
    b = kit.Bench()
    b.quote(9.99, 10.01, ask_size=100)
    b.engine.submit(kit.order("a", 1, 150))
    b.quote(9.99, 10.01, ask_size=100)
    assert sum(f.fill.quantity for f in b.fills()) == 100
    b.go(1)
    b.quote(9.99, 10.01, ask_size=100)
    assert sum(f.fill.quantity for f in b.fills()) == 50


@pytest.mark.parametrize("quote", [(np.nan, 10.0), (10.0, np.nan), (10.02, 10.01), (0.0, 10.0), (-1.0, 10.0)])
def test_absent_or_crossed_quotes_fill_nothing(kit, quote) -> None:
    b = kit.Bench()
    b.quote(*quote)
    b.window(1e6)
    b.engine.submit(kit.order("a", 1, 10))
    assert b.fills() == []
    b.go(1)
    b.quote(9.99, 10.01)
    assert len(b.fills()) == 1  # it waited


def test_no_quote_at_all_and_no_volume(kit) -> None:
    b = kit.Bench()
    b.engine.submit(kit.order("a", 1, 10))
    assert b.fills() == []
    b.window(0.0)
    b.quote(9.99, 10.01)
    assert b.fills() == []  # displayed, but nobody trades in this bar


def test_unknown_volatility_is_taken_to_be_high(kit) -> None:
    prices = []
    for sigma in (0.02, np.nan):
        b = kit.Bench()
        b.quote(9.99, 10.01, ask_size=0)
        b.window(10_000, sigma=sigma)
        b.engine.submit(kit.order("a", 1, 100))
        prices.append(b.fills()[0].fill.price)
    assert prices[1] > prices[0]


def test_marketable_limit_walks_no_further_than_its_price(kit) -> None:
    b = kit.Bench(max_participation=1.0)
    b.quote(9.99, 10.01, ask_size=100)
    b.window(10_000)
    b.engine.submit(kit.order("a", 1, 5_000, limit=10.015))
    fills = b.fills()
    assert all(f.fill.price <= 10.015 for f in fills)
    taken = sum(f.fill.quantity for f in fills)
    marginal = 10.01 + 10.0 * 1.6 * 0.142 * 0.02 * (taken / 10_000) ** 0.6
    assert 100 < taken < 5_000
    assert marginal == pytest.approx(10.015, abs=1e-5)


def test_resting_limit_fills_only_when_traded_through_or_marketable(kit) -> None:
    b = kit.Bench()
    b.quote(9.99, 10.01)
    b.window(100_000)
    b.engine.submit(kit.order("a", 1, 50, limit=9.95))
    b.engine.submit(kit.order("b", -1, 50, limit=10.05))
    assert b.fills() == []
    b.go(1)
    b.engine.on_range("AAA", 9.95, 10.05, b.clock.now())  # touched, not through
    assert b.fills() == []
    b.engine.on_range("AAA", 9.94, 10.05, b.clock.now())
    (fill,) = b.fills()
    assert (fill.order_ref, fill.fill.price, fill.spread_cost, fill.impact_cost) == ("a", 9.95, 0.0, 0.0)
    b.go(2)
    b.quote(10.05, 10.09)  # the bid reaches our offer
    (fill,) = b.fills()
    assert (fill.order_ref, fill.fill.price) == ("b", 10.05)
    assert fill.spread_cost == pytest.approx(50 * 0.02)


def test_long_and_short_mirror(kit) -> None:
    costs = {}
    for side in (1, -1):
        b = kit.Bench(max_participation=0.5)
        b.quote(9.9, 10.1, 70, 70)
        b.window(5_000)
        b.engine.submit(kit.order("a", side, 400))
        fills = b.fills()
        costs[side] = [(f.fill.quantity, f.spread_cost, f.impact_cost) for f in fills]
    np.testing.assert_allclose(costs[1], costs[-1], rtol=1e-12)


def test_commission_minimum_is_paid_once_per_order(kit) -> None:
    b = kit.Bench(plan="fixed", max_participation=0.5)
    b.quote(9.99, 10.01, ask_size=10)
    b.window(1_000)
    b.engine.submit(kit.order("a", 1, 300))
    fills = b.fills()
    assert [f.fill.commission for f in fills] == pytest.approx([1.0, 0.5])  # 1 USD, then 0.005 a share in all
    assert b.engine.order("a").commission == pytest.approx(1.5)


def test_cancel_at_once_in_flight_and_after_a_delay(kit) -> None:
    b = kit.Bench(latency_ns=SECOND)
    b.engine.submit(kit.order("a", 1, 10))
    b.engine.cancel("a")
    b.go(5)
    b.quote(9.99, 10.01)
    b.engine.run()
    assert b.engine.drain() == (Cancelled("a", "AAA", kit.START, 10, "requested"),)
    slow = kit.Bench(cancel_latency_ns=2 * SECOND)
    slow.engine.submit(kit.order("a", 1, 10))
    slow.engine.cancel("a")
    slow.go(1)
    slow.quote(9.99, 10.01)  # fills while the cancel is on its way
    slow.go(3)
    slow.engine.run()
    assert [type(e) for e in slow.engine.drain()] == [Accepted, Filled]


def test_expire_cancels_what_is_left(kit) -> None:
    b = kit.Bench()
    b.engine.submit(kit.order("a", 1, 10, limit=5.0))
    b.engine.run()
    b.engine.expire()
    assert [type(e) for e in b.engine.drain()] == [Accepted, Cancelled]
    assert b.engine.active == ()
    assert b.engine.active_symbols == ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"quantity": 0}, "quantity 0 must be a whole number"),
        ({"quantity": 1.5}, "quantity 1.5 must be a whole number"),
        ({"side": 2}, "side 2 must be"),
        ({"order_type": "TRAIL"}, "'TRAIL' is not supported; use one of LMT, LOC, MKT, MOC, STP, STP LMT"),
        ({"order_type": "STP"}, "stop price nan of a STP order must be finite"),
        ({"tif": "OPG"}, "time in force 'OPG' is not supported; use one of DAY, GTC, GTD, IOC"),
        ({"tif": "GTD"}, "a GTD order needs the time it is good till"),
        ({"order_type": "MOC", "tif": "GTC"}, "GTC of a MOC order must be DAY"),
        ({"order_type": "LMT"}, "limit price nan"),
    ],
)
def test_bad_orders_are_rejected_with_the_reason(kit, change, message) -> None:
    from dataclasses import replace

    b = kit.Bench()
    b.engine.submit(replace(kit.order("a", 1, 10), **change))
    (event,) = b.engine.drain()
    assert isinstance(event, Rejected)
    assert message in event.reason


def test_a_reference_is_used_once_and_a_stranger_cannot_be_cancelled(kit) -> None:
    b = kit.Bench()
    b.engine.submit(kit.order("a", 1, 10))
    b.engine.submit(kit.order("a", 1, 10))
    b.engine.cancel("zzz")
    b.engine.run()
    reasons = [e.reason for e in b.engine.drain() if isinstance(e, Rejected)]
    assert "used before" in reasons[0]
    assert "nothing to cancel" in reasons[1]
    with pytest.raises(DataError, match="zzz"):
        b.engine.order("zzz")


def test_the_future_is_refused(kit) -> None:
    b = kit.Bench()
    with pytest.raises(LookAheadError, match="quote of AAA"):
        b.engine.on_quote("AAA", 1.0, 2.0, 1.0, 1.0, kit.START + 1)


def test_rules_and_life_cycle_are_checked(kit) -> None:
    with pytest.raises(DataError, match=r"max_participation = 0.0 must lie in \(0, 1\]"):
        MatchingRules(max_participation=0.0)
    with pytest.raises(DataError, match="latency_ns = -1"):
        MatchingRules(latency_ns=-1)
    order = WorkingOrder(kit.order("a", 1, 10))
    with pytest.raises(WorkbenchError, match="is pending and cannot become filled"):
        order.become(Status.FILLED)
    order.become(Status.WORKING)
    with pytest.raises(WorkbenchError, match="cannot fill 11 shares: 10 of 10 remain"):
        order.fill(11, 10.0)


def test_thousands_of_orders_a_second(kit) -> None:
    b = kit.Bench()
    b.quote(9.99, 10.01, 1e9, 1e9)
    start = time.perf_counter()
    for i in range(2_000):
        b.engine.submit(kit.order(str(i), 1 if i % 2 else -1, 10))
    assert len(b.fills()) == 2_000
    assert time.perf_counter() - start < 5.0  # a fifth of a second on an idle machine
