"""Nothing is told too early, and nothing trades in a halt."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.core.calendar import sessions_between
from workbench.core.clock import ManualClock
from workbench.gateway.brokerage import Brokerage
from workbench.gateway.market_feed import MarketFeed
from workbench.gateway.subscriptions import LAST, VOLUME, FiveSeconds, Quotes
from workbench.gateway.tape import NS, SyntheticMarket
from workbench.gateway.tickets import Ticket
from workbench.gateway.wire.frames import Frames

DAY = sessions_between("2026-03-02", "2026-03-02")
OPEN = int(DAY.open_ns[0])


@pytest.fixture
def market():
    return SyntheticMarket(seed=2)


def told(frames) -> list[tuple[str, ...]]:
    return [fields for frame in frames for fields in Frames().feed(frame)]


def test_the_first_quote_stands_only_when_the_first_second_is_over(market):
    clock = ManualClock(OPEN)
    brokerage = Brokerage(clock)
    feed = MarketFeed(clock, brokerage, market)
    feed.join("KO")
    assert not brokerage.engine.quote("KO").valid  # row 0 of the tape is what stands at its end
    clock.advance_to(OPEN + NS - 1)
    feed.join("KO")
    assert not brokerage.engine.quote("KO").valid
    feed.step(OPEN + NS, ["KO"])
    tape = market.tape("KO", int(DAY.date[0]))
    assert (brokerage.engine.quote("KO").bid, brokerage.engine.quote("KO").ask) == (tape.bid[0], tape.ask[0])


def test_who_joins_later_gets_the_second_that_is_over(market):
    clock = ManualClock(OPEN + 100 * NS + NS // 2)
    brokerage = Brokerage(clock)
    MarketFeed(clock, brokerage, market).join("KO")
    tape = market.tape("KO", int(DAY.date[0]))
    assert (brokerage.engine.quote("KO").bid, brokerage.engine.quote("KO").ask) == (tape.bid[99], tape.ask[99])


def test_in_a_halt_nobody_hears_of_trades_or_bars(market):
    tape = market.tape("KO", int(DAY.date[0]))
    quotes = Quotes(1, "KO", generic=frozenset({233}))
    list(quotes.frames(tape, OPEN + 50 * NS, False))
    printed = [s for s in range(60, 600) if tape.volume[s]]
    assert len(printed) > 5
    frames = [f for s in printed for f in told(quotes.frames(tape, OPEN + (s + 1) * NS, True))]
    kinds = {(f[0], f[3]) for f in frames}
    assert not kinds & {("1", str(LAST)), ("2", str(VOLUME)), ("46", "48"), ("46", "45")}
    assert [float(f[4]) for f in frames if f[:1] == ("1",)] == [-1.0, -1.0]  # bid and ask are gone, said once
    bars = FiveSeconds(2, "KO")
    assert told(bars.frames(tape, OPEN + 100 * NS, True)) == []
    assert len(told(bars.frames(tape, OPEN + 100 * NS, False))) == 1


def test_delayed_quotes_are_those_of_a_quarter_of_an_hour_ago(market):
    tape = market.tape("KO", int(DAY.date[0]))
    frames = told(Quotes(1, "KO", delayed=True).frames(tape, OPEN + 1000 * NS, False))
    bid = next(float(f[4]) for f in frames if f[0] == "1" and f[3] == "66")
    assert bid == tape.bid[99]
    high = next(float(f[4]) for f in frames if f[0] == "1" and f[3] == "72")
    assert high == np.max(tape.last[:100])


def test_a_symbol_that_nobody_watched_for_hours_trades_at_the_price_of_now(market):
    clock = ManualClock(OPEN + 100 * NS)
    brokerage = Brokerage(clock)
    feed = MarketFeed(clock, brokerage, market)
    feed.join("KO")
    for second in range(101, 2000):
        feed.step(OPEN + second * NS, [])
    assert not brokerage.engine.quote("KO").valid  # it would be half an hour old
    feed.join("KO")
    brokerage.place(1, Ticket(1, "KO", 1, 1, "MKT"))
    brokerage.advance()
    assert brokerage.executions()[0].price == market.tape("KO", int(DAY.date[0])).ask[1998]


def test_after_the_close_no_old_quote_fills_anybody(market):
    clock = ManualClock(int(DAY.close_ns[0]) - NS)
    brokerage = Brokerage(clock)
    feed = MarketFeed(clock, brokerage, market)
    feed.join("KO")
    for second in (0, 1, 2):
        feed.step(int(DAY.close_ns[0]) + second * NS, [])
    brokerage.place(1, Ticket(1, "KO", 1, 100, "LMT", 1_999.0, outside_rth=True))
    brokerage.advance()
    assert [view.filled for view in brokerage.open_orders()] == [0]
