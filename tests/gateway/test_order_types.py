"""Stops, times in force, modifying, the queue, Adaptive and screens: by hand, without trading hours."""

from __future__ import annotations

import pytest

from workbench.core.units import NS_PER_SECOND
from workbench.gateway.events import Accepted, Activated, Cancelled, Filled, Modified, Refused, Rejected
from workbench.gateway.orders import ExchangeOrder, Status, WorkingOrder

NAN = float("nan")


def names(events) -> list[str]:
    return [type(e).__name__ for e in events]


def test_a_buy_stop_sleeps_until_a_trade_reaches_it_and_then_takes_the_quote(kit) -> None:
    b = kit.Bench()
    b.quote(9.99, 10.01)
    b.send("s", 1, 50, "STP", aux_price=10.10)
    b.trade(10.09, 10)
    b.quote(10.11, 10.13)  # quotes alone elect nothing: the trigger is the last price
    assert names(b.events()) == ["Accepted"]
    b.trade(10.10, 10)
    assert [(type(e), getattr(e, "fill", None) and e.fill.price) for e in b.events()] == [
        (Activated, None),
        (Filled, 10.13),
    ]


def test_a_sell_stop_mirrors_it(kit) -> None:
    b = kit.Bench()
    b.quote(9.99, 10.01)
    b.send("s", -1, 50, "STP", aux_price=9.90)
    b.trade(9.91, 10)
    assert b.got() == []
    b.quote(9.87, 9.89)
    b.trade(9.88, 10)  # through the stop
    assert b.got() == [("s", 50, 9.87)]


def test_a_stop_limit_becomes_a_limit_order_that_may_miss(kit) -> None:
    b = kit.Bench()
    b.quote(9.99, 10.01)
    b.send("s", 1, 50, "STP LMT", limit_price=10.11, aux_price=10.10)
    b.quote(10.19, 10.21)
    b.trade(10.20, 10)  # the price jumped over the limit
    assert b.got() == []
    assert b.engine.order("s").elected
    b.go(1)
    b.quote(10.09, 10.11)
    assert b.got() == [("s", 50, 10.11)]


def test_a_stop_inside_a_bar_meets_the_next_quote_not_the_one_before_the_bar(kit) -> None:
    b = kit.Bench()
    b.quote(9.99, 10.01)
    b.send("s", 1, 50, "STP", aux_price=10.10)
    b.go(5)
    b.engine.on_range("AAA", 9.95, 10.30, b.clock.now())
    assert b.got() == []
    b.quote(10.24, 10.26)
    assert b.got() == [("s", 50, 10.26)]


def test_immediate_or_cancel_takes_what_is_there(kit) -> None:
    b = kit.Bench()
    b.quote(9.99, 10.01, ask_size=30)
    b.send("i", 1, 50, "LMT", limit_price=10.01, tif="IOC")
    assert [(type(e), e.remaining) for e in b.events()[1:]] == [(Filled, 20), (Cancelled, 20)]
    b.send("j", 1, 50, "LMT", limit_price=9.0, tif="IOC")
    assert [type(e) for e in b.events()] == [Accepted, Cancelled]


def test_good_till_date_ends_then_and_good_till_cancelled_does_not(kit) -> None:
    b = kit.Bench()
    b.send("d", 1, 50, "LMT", limit_price=9.0, tif="GTD", good_till=b.at(60))
    b.send("c", 1, 50, "LMT", limit_price=9.0, tif="GTC")
    b.go(59.9)
    assert names(b.events()) == ["Accepted", "Accepted"]
    b.go(100)
    (end,) = b.events()
    assert (end.order_ref, end.time, end.reason) == ("d", b.at(60), "good till its date")
    assert [o.intent.order_ref for o in b.engine.active] == ["c"]


# ---- the queue ----------------------------------------------------------------------------------------------------


def test_a_passive_order_waits_for_the_shares_ahead_of_it(kit) -> None:
    b = kit.Bench()
    b.quote(10.00, 10.02, bid_size=300)
    b.send("q", 1, 100, "LMT", limit_price=10.00)
    b.trade(10.00, 250)  # 50 still ahead
    assert b.got() == []
    b.trade(10.00, 80)  # 50 of them, then 30 of ours
    assert b.got() == [("q", 30, 10.00)]
    b.trade(10.01, 500)  # above us: not our price
    assert b.got() == []
    b.trade(10.00, 500)
    assert b.got() == [("q", 70, 10.00)]


def test_trading_through_fills_at_once_at_our_price(kit) -> None:
    b = kit.Bench()
    b.quote(10.00, 10.02, bid_size=1e6)
    b.send("q", 1, 100, "LMT", limit_price=10.00)
    b.trade(9.99, 1)
    assert b.got() == [("q", 100, 10.00)]


def test_improving_on_the_touch_makes_us_first_and_behind_it_nothing_is_known(kit) -> None:
    b = kit.Bench()
    b.quote(10.00, 10.04, bid_size=300)
    b.send("first", 1, 100, "LMT", limit_price=10.01)
    b.send("deep", 1, 100, "LMT", limit_price=9.98)
    b.trade(10.01, 40)
    b.trade(9.98, 1e6)  # through the first, and at the price of the deep one, whose queue is unknown
    assert b.got() == [("first", 40, 10.01), ("first", 60, 10.01)]
    b.go(1)
    b.quote(9.98, 10.00, bid_size=70)
    b.trade(9.98, 100)
    assert b.got() == [("deep", 30, 9.98)]


def test_a_shrinking_size_shortens_the_queue_and_a_growing_one_does_not_lengthen_it(kit) -> None:
    b = kit.Bench()
    b.quote(10.00, 10.02, bid_size=300)
    b.send("q", 1, 100, "LMT", limit_price=10.00)
    b.go(1)
    b.quote(10.00, 10.02, bid_size=40)
    b.go(2)
    b.quote(10.00, 10.02, bid_size=900)
    b.trade(10.00, 60)
    assert b.got() == [("q", 20, 10.00)]


def test_two_of_ours_do_not_share_one_trade(kit) -> None:
    b = kit.Bench()
    b.quote(10.00, 10.02, bid_size=100)
    b.send("a", 1, 50, "LMT", limit_price=10.00)
    b.send("b", 1, 50, "LMT", limit_price=10.00)
    b.trade(10.00, 170)  # 100 ahead, 50 for a, 20 for b
    assert b.got() == [("a", 50, 10.00), ("b", 20, 10.00)]


# ---- modifying ----------------------------------------------------------------------------------------------------


def modify(b, ref, quantity, limit, **terms) -> None:
    b.engine.modify(ExchangeOrder(ref, "AAA", 1, quantity, "LMT", limit, **terms))
    b.engine.run()


def test_a_smaller_quantity_keeps_the_place_in_the_queue_and_a_larger_one_loses_it(kit) -> None:
    for quantity, filled in ((60, [("q", 50, 10.0)]), (120, [])):
        b = kit.Bench()
        b.quote(10.00, 10.02, bid_size=300)
        b.send("q", 1, 100, "LMT", limit_price=10.00)
        b.trade(10.00, 200)  # 100 left ahead
        modify(b, "q", quantity, 10.00)
        b.trade(10.00, 150)  # 50 reach us, or none: at the back of 300 again
        assert [type(e) for e in b.events() if not isinstance(e, Filled)] == [Accepted, Modified]
        b2 = b.engine.order("q")
        assert (b2.filled, b2.intent.quantity) == (sum(n for _, n, _ in filled), quantity)


def test_a_new_price_takes_at_once_and_loses_priority(kit) -> None:
    b = kit.Bench()
    b.quote(10.00, 10.02, bid_size=0, ask_size=0)
    b.send("a", 1, 50, "LMT", limit_price=10.00)
    b.send("b", 1, 50, "LMT", limit_price=10.00)
    modify(b, "a", 50, 9.99)
    modify(b, "a", 50, 10.00)
    b.trade(10.00, 60)
    assert b.got() == [("b", 50, 10.0), ("a", 10, 10.0)]
    b.go(1)
    b.quote(10.00, 10.02, ask_size=25)
    modify(b, "a", 50, 10.02)
    assert b.got() == [("a", 25, 10.02)]


def test_what_cannot_be_modified_is_refused_and_works_on(kit) -> None:
    b = kit.Bench()
    b.quote(9.99, 10.01, ask_size=30)
    b.send("a", 1, 50, "LMT", limit_price=10.01)
    b.events()
    modify(b, "zzz", 20, 10.01)
    b.engine.modify(ExchangeOrder("a", "AAA", -1, 50, "LMT", 10.01))
    modify(b, "a", 50, -1.0)
    reasons = [e.reason for e in b.events() if isinstance(e, Refused)]
    assert "no order zzz" in reasons[0]
    assert "cannot change symbol or side" in reasons[1]
    assert "limit price -1.0" in reasons[2]
    assert b.engine.order("a").status is Status.PARTIAL
    modify(b, "a", 20, 10.01)
    (refused,) = b.events()
    assert "cannot be cut to 20 shares: 30 are filled" in refused.reason
    modify(b, "a", 30, 10.01)  # to what is filled: done
    assert [type(e) for e in b.events()] == [Cancelled]
    modify(b, "a", 60, 10.01)
    assert "is cancelled and cannot be modified" in b.events()[0].reason


def test_a_change_arrives_after_the_latency_and_may_come_too_late(kit) -> None:
    b = kit.Bench(latency_ns=NS_PER_SECOND)
    b.send("a", 1, 50, "LMT", limit_price=9.00)
    b.go(2)
    b.quote(9.99, 10.01)
    modify(b, "a", 50, 10.01)
    b.go(2.5)
    b.engine.on_range("AAA", 8.0, 9.0, b.clock.now())  # fills the old terms meanwhile
    b.go(4)
    assert names(b.events()) == ["Accepted", "Filled", "Refused"]


# ---- Adaptive, screens, the watcher, adoption -----------------------------------------------------------------------


def test_adaptive_rests_at_the_middle_and_crosses_what_is_left_of_each_slice(kit) -> None:
    b = kit.Bench()
    b.quote(10.00, 10.04, ask_size=1000)
    b.send("a", 1, 100, "MKT", urgency="Urgent")  # two slices of 50, two seconds each
    assert b.got() == []
    b.trade(10.02, 20)  # at the middle, where we are alone
    assert b.got() == [("a", 20, 10.02)]
    b.go(2)
    assert b.got() == [("a", 30, 10.04)]
    b.trade(10.01, 1)
    assert b.got() == [("a", 50, 10.02)]
    assert b.engine.order("a").status is Status.FILLED


def test_adaptive_never_passes_its_own_limit(kit) -> None:
    b = kit.Bench()
    b.quote(10.00, 10.04, ask_size=1000)
    b.send("a", 1, 100, "LMT", limit_price=10.01, urgency="Urgent")
    b.go(10)
    assert b.got() == []
    b.quote(9.96, 10.00, ask_size=1000)
    assert b.got() == [("a", 50, 10.01)]  # the slice that rested at our limit; the market came to it
    b.go(12)
    b.engine.run()
    b.trade(9.98, 70)
    assert b.got() == [("a", 50, 9.98)]


def test_a_screen_refuses_on_arrival(kit) -> None:
    b = kit.Bench(screen=lambda order: "no shares to borrow" if order.side < 0 else "", latency_ns=NS_PER_SECOND)
    b.send("buy", 1, 10)
    b.send("short", -1, 10)
    assert b.events() == []
    b.go(1)
    accepted, rejected = b.events()
    assert (accepted.order_ref, type(rejected), rejected.reason) == ("buy", Rejected, "no shares to borrow")
    assert b.engine.order("short").status is Status.REJECTED


def test_a_watcher_can_end_a_partner_in_the_middle_of_a_match(kit) -> None:
    b = kit.Bench()
    b.send("a", 1, 50, "LMT", limit_price=10.00)
    b.send("b", 1, 50, "LMT", limit_price=10.00)
    b.engine.watch = lambda e: b.engine.withdraw("b", "partner filled") if isinstance(e, Filled) else None
    b.quote(9.98, 9.99)
    assert b.got() == [("a", 50, 10.00)]
    assert b.engine.order("b").status is Status.CANCELLED


def test_a_watcher_can_end_the_order_that_is_filling(kit) -> None:
    b = kit.Bench(max_participation=1.0)
    b.engine.watch = lambda e: b.engine.withdraw("a", "enough") if isinstance(e, Filled) else None
    b.quote(9.99, 10.01, ask_size=30)
    b.window(10_000)
    b.send("a", 1, 100)
    assert b.got() == [("a", 30, 10.01)]
    assert b.engine.order("a").status is Status.CANCELLED


def test_an_order_read_from_disk_works_on(kit) -> None:
    b = kit.Bench(plan="fixed")
    old = WorkingOrder(ExchangeOrder("a", "AAA", 1, 300, "LMT", 10.01, "GTC"), Status.PARTIAL, 100, 1001.0, 1.0, 0, 1)
    b.quote(9.99, 10.01, ask_size=1000)
    b.engine.adopt(old)
    (fill,) = b.fills()
    assert (fill.fill.quantity, fill.fill.exec_id, fill.fill.commission) == (200, "a.02", pytest.approx(0.5))
    with pytest.raises(ValueError, match=r"order a \(filled\) is known or done"):
        b.engine.adopt(old)


def test_walked_prices_lie_on_the_step_and_favour_nobody_but_the_market(kit) -> None:
    prices = {}
    for step in (0.0, 0.01):
        for side in (1, -1):
            b = kit.Bench(price_step=step)
            b.quote(9.99, 10.01, NAN, NAN)
            b.window(10_000)
            b.send("a", side, 300)
            prices[step, side] = b.fills()[0].fill.price
    assert (prices[0.01, 1], prices[0.01, -1]) == (10.02, 9.98)
    assert 10.01 < prices[0.0, 1] < 10.02
    assert 9.98 < prices[0.0, -1] < 9.99
