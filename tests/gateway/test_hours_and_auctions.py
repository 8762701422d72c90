"""Trading hours, auctions and halts, on the real calendar: Monday 2 to Friday 6 June 2025, times of New York."""

from __future__ import annotations

from functools import partial

import pytest

from workbench.core.calendar import sessions_between
from workbench.core.errors import DataError
from workbench.gateway.events import Accepted, Activated, Cancelled, Filled, Refused, Rejected
from workbench.gateway.hours import TradingHours, TradingPhase

NAN = float("nan")
UTC_9_30, UTC_16 = 13 * 60 + 30, 20 * 60  # minutes after UTC midnight, summer time


def kinds(events) -> list[type]:
    return [type(e) for e in events]


def test_phases_of_a_day_and_of_an_early_close() -> None:
    hours = TradingHours(sessions_between("2025-07-02", "2025-07-07"))  # 3 July closes at 13:00, the 4th is a holiday
    minute, day = 60 * 10**9, int(hours.sessions.date[1])
    at = [(day * 1440 + m) * minute for m in (7 * 60, 8 * 60, UTC_9_30, 17 * 60, 21 * 60)]
    assert [hours.phase(t) for t in at] == [
        TradingPhase.CLOSED,
        TradingPhase.PRE,
        TradingPhase.OPEN,
        TradingPhase.POST,
        TradingPhase.CLOSED,
    ]
    monday = int(hours.sessions.date[2])
    assert hours.window(at[4]) == ((monday * 1440 + UTC_9_30) * minute, (monday * 1440 + UTC_16) * minute)
    with pytest.raises(DataError, match="no session after"):
        hours.window((monday + 1) * 1440 * minute)


def test_regular_orders_wait_for_the_open_and_extended_ones_do_not(kit) -> None:
    d = kit.Day("08:00", auction_wait_ns=0)
    d.quote(9.99, 10.01, 1e4, 1e4)
    d.send("regular", 1, 10, "LMT", limit_price=10.05)
    d.send("market", 1, 10, "MKT", outside_rth=True)  # a market order waits whatever it says
    d.send("extended", 1, 10, "LMT", limit_price=10.05, outside_rth=True)
    assert d.got() == [("extended", 10, 10.01)]
    d.go("09:29:59")
    d.quote(10.00, 10.02, 1e4, 1e4)
    assert d.got() == []
    d.go("09:30")
    events = d.events()
    assert kinds(events) == [Activated, Filled, Activated, Filled]
    assert [e.time for e in events] == [kit.new_york(0, "09:30")] * 4


def test_day_orders_end_with_their_hours_and_gtc_orders_come_back(kit) -> None:
    d = kit.Day("15:00", auction_wait_ns=0)
    d.quote(9.99, 10.01)
    d.send("day", 1, 10, "LMT", limit_price=9.0)
    d.send("late", 1, 10, "LMT", limit_price=9.0, outside_rth=True)
    d.send("gtc", 1, 10, "LMT", limit_price=9.0, tif="GTC")
    d.send("gtd", 1, 10, "LMT", limit_price=9.0, tif="GTD", good_till=kit.new_york(1, "12:00"))
    d.go("17:00")
    ends = [e for e in d.events() if isinstance(e, Cancelled)]
    assert [(e.order_ref, e.time) for e in ends] == [("day", kit.new_york(0, "16:00"))]
    d.quote(8.0, 8.5, 1e4, 1e4)  # the after-market: only `late` may trade
    assert d.got() == [("late", 10, 9.0)]
    d.go("10:00", day=1)
    assert sorted(d.got()) == [("gtc", 10, 8.5), ("gtd", 10, 8.5)]  # taken as the next day opened


def test_an_order_sent_on_a_closed_evening_is_for_the_next_day(kit) -> None:
    d = kit.Day("21:00", auction_wait_ns=0)
    d.send("a", 1, 10, "LMT", limit_price=9.0)
    d.go("15:59", day=1)
    assert kinds(d.events()) == [Accepted, Activated]
    d.go("16:00", day=1)
    assert kinds(d.events()) == [Cancelled]


def test_the_opening_auction_prints_once_for_what_was_sent_before(kit) -> None:
    d = kit.Day("09:00", max_auction_share=0.1)
    d.quote(9.90, 10.10)
    d.send("mkt", 1, 60)
    d.send("good", 1, 60, "LMT", limit_price=10.05)
    d.send("equal", 1, 60, "LMT", limit_price=10.00)
    d.send("poor", 1, 60, "LMT", limit_price=9.95)
    d.send("sell", -1, 500, "LMT", limit_price=9.50)
    d.send("stop", -1, 10, "STP", aux_price=9.80)
    d.go("09:30:05")
    assert d.got() == []  # the print is awaited
    d.auction("open", 10.00, 1_500)  # 150 shares for each side
    assert [g for g in d.got() if g[2] == 10.00] == [
        ("mkt", 60, 10.0),
        ("good", 60, 10.0),
        ("equal", 30, 10.0),
        ("sell", 150, 10.0),
    ]
    d.quote(9.79, 9.81, 1e4, 1e4)
    d.trade(9.80, 1)  # the stop is awake
    assert ("stop", 10, 9.79) in d.got()


def test_the_opening_print_elects_stops_which_then_meet_the_quote(kit) -> None:
    d = kit.Day("09:00")
    d.quote(9.90, 10.10, 1e4, 1e4)
    d.send("stop", -1, 10, "STP", aux_price=10.00)
    d.go("09:30:05")
    d.auction("open", 10.00, 1_500)
    assert d.got() == [("stop", 10, 9.90)]


def test_an_adaptive_order_sleeps_until_the_open_and_through_halts(kit) -> None:
    d = kit.Day("09:00")
    d.quote(9.90, 10.10, 1e4, 1e4)
    d.send("a", 1, 100, urgency="Urgent")
    d.go("09:30:05")
    d.auction("open", 10.00, 1e6)
    assert d.got() == []
    d.engine.on_halt("AAA", d.clock.now())
    d.quote(9.90, 10.10, 1e4, 1e4)
    d.go("09:31")
    assert d.got() == []
    d.auction("reopen", NAN)
    d.go("09:31:10")
    assert d.got() == [("a", 50, 10.10), ("a", 50, 10.10)]


def test_without_an_opening_print_orders_wait_no_longer_than_said(kit) -> None:
    d = kit.Day("09:00", auction_wait_ns=60 * 10**9)
    d.send("a", 1, 10)
    d.go("09:30:30")
    d.quote(9.99, 10.01)
    assert d.got() == []
    d.go("09:31")
    assert d.got() == [("a", 10, 10.01)]
    e = kit.Day("09:00")
    e.send("a", 1, 10)
    e.go("09:30:10")
    e.quote(9.99, 10.01)
    e.auction("open", NAN)  # the exchange says that there is no print
    assert e.got() == [("a", 10, 10.01)]


def test_on_close_orders_trade_in_the_closing_print_only(kit) -> None:
    d = kit.Day("15:00", max_auction_share=0.1)
    d.quote(9.99, 10.01, 1e6, 1e6)
    d.send("moc", 1, 60, "MOC")
    d.send("loc", 1, 60, "LOC", limit_price=10.20)
    d.send("low", 1, 60, "LOC", limit_price=9.99)
    assert d.got() == []
    d.go("16:00:05")
    d.auction("close", 10.10, 1_000)  # 100 shares for buyers
    fills = d.events()
    assert [(e.order_ref, e.fill.quantity, e.fill.price) for e in fills if isinstance(e, Filled)] == [
        ("moc", 60, 10.10),
        ("loc", 40, 10.10),
    ]
    assert [(e.order_ref, e.remaining) for e in fills if isinstance(e, Cancelled)] == [("loc", 20), ("low", 60)]


def test_a_close_without_print_cancels(kit) -> None:
    for told in (True, False):
        d = kit.Day("15:00")
        d.send("moc", 1, 60, "MOC")
        d.go("16:00:05")
        if told:
            d.auction("close", NAN)
        d.go("16:02")
        (end,) = [e for e in d.events() if isinstance(e, Cancelled)]
        assert end.reason == "no closing auction print"
        assert end.time == kit.new_york(0, "16:00:05" if told else "16:01")


def test_cut_offs_of_on_close_orders(kit) -> None:
    d = kit.Day("15:49:59")
    d.send = partial(d.send, symbol="BBB")  # listed on the NYSE
    d.send("in time", 1, 60, "MOC")
    d.send("regret", 1, 60, "MOC")
    d.send("day", 1, 60, "LMT", limit_price=9.0)
    d.engine.cancel("regret")
    d.events()
    d.go("15:50")
    d.send("on the dot", 1, 60, "LOC", limit_price=10.0)
    d.go("15:50:01")
    d.send("late", 1, 60, "MOC")
    d.engine.cancel("in time")
    d.engine.cancel("day")
    found = {type(e): e for e in d.events()}
    assert found.keys() == {Accepted, Rejected, Refused, Cancelled}
    assert found[Rejected].order_ref == "late"
    assert "after the cut-off at 2025-06-02T19:50:00Z" in found[Rejected].reason
    assert (found[Refused].order_ref, found[Refused].request) == ("in time", "cancel")
    assert found[Cancelled].order_ref == "day"
    assert [o.intent.order_ref for o in d.engine.active] == ["in time", "on the dot"]


def test_nasdaq_takes_on_close_orders_five_minutes_longer_and_gives_none_back(kit) -> None:
    d = kit.Day("15:55")
    d.send("in time", 1, 60, "MOC", symbol="AAA")  # listed on Nasdaq
    d.engine.cancel("in time")
    d.go("15:55:01")
    d.send("late", 1, 60, "LOC", symbol="AAA", limit_price=10.0)
    found = {type(e): e for e in d.events()}
    assert found.keys() == {Accepted, Refused, Rejected}
    assert "cannot be withdrawn after 2025-06-02T19:50:00Z" in found[Refused].reason
    assert "after the cut-off at 2025-06-02T19:55:00Z" in found[Rejected].reason


def test_a_halt_fills_nothing_and_ends_with_a_reopening_print(kit) -> None:
    d = kit.Day("10:00")
    d.quote(9.99, 10.01, 1e6, 1e6)
    d.send("rest", 1, 60, "LMT", limit_price=9.90)
    d.engine.on_halt("AAA", d.clock.now())
    d.send("mkt", 1, 60)
    d.go("10:05")
    d.quote(9.0, 9.1, 1e6, 1e6)
    d.trade(9.0, 100)
    d.engine.on_range("AAA", 8.0, 11.0, d.clock.now())
    assert d.got() == []
    assert d.engine.halted("AAA")
    d.send("gone", 1, 60)
    d.engine.cancel("gone")
    d.go("10:10")
    d.auction("reopen", 9.50, 10_000)
    assert d.got() == [("mkt", 60, 9.5), ("rest", 60, 9.5)]
    assert not d.engine.halted("AAA")


def test_a_reopening_without_print_goes_on_with_the_standing_quote(kit) -> None:
    d = kit.Day("10:00")
    d.quote(9.99, 10.01)
    d.engine.on_halt("AAA", d.clock.now())
    assert d.engine.mark("AAA") == pytest.approx(10.0)  # the last that is known
    d.send("mkt", 1, 60)
    d.quote(9.49, 9.51)
    d.auction("reopen", NAN)
    assert d.got() == [("mkt", 60, 9.51)]


@pytest.mark.parametrize(
    ("kind", "price", "volume", "message"),
    [
        ("noon", 10.0, 1.0, "auction 'noon' is unknown; use one of close, open, reopen"),
        ("open", -1.0, 1.0, "auction price -1.0 must be above 0"),
        ("open", 10.0, NAN, "auction volume nan of a print at 10.0 USD must be finite"),
    ],
)
def test_bad_auctions_are_refused(kit, kind, price, volume, message) -> None:
    with pytest.raises(DataError, match=message):
        kit.Day().auction(kind, price, volume)
