"""Quotes: what they say, whether they are live, and that they come back."""

from __future__ import annotations

import math
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.execution.ibkr.conftest import FROZEN
from workbench.core.errors import ConfigError
from workbench.execution.ibkr.quote_board import QuoteBoard
from workbench.execution.reports import ErrorReport, Link, LinkReport


def watched(desk, scenario=None, speed=20.0):
    """A desk that has a quote before anything else happens."""
    d = desk(scenario, speed=FROZEN)
    d.connection.watch(["AAPL"])
    d.until(lambda: d.connection.quotes()["AAPL"].time, "a quote")
    d.run(speed)
    return d


def test_quotes_are_the_gateways(desk):
    d = desk()
    d.connection.watch(["AAPL", "MSFT"])
    d.until(lambda: all(q.bid < q.ask and q.shortable_shares >= 0 for q in d.connection.quotes().values()), "quotes")
    quote = d.connection.quotes()["MSFT"]
    assert 0 < quote.bid < quote.ask
    assert (quote.halted, quote.delayed) == (False, False)
    assert quote.shortable_shares == d.gateway.brokerage.borrow.line("MSFT").shares


def test_only_what_is_watched_stays(desk):
    d = watched(desk)
    d.connection.watch(["MSFT"])
    assert set(d.connection.quotes()) == {"MSFT"}
    d.until(lambda: d.gateway.hub.lines() == 1, "one line")


def test_lines_are_budgeted(desk):
    d = desk(market_lines=1)
    with pytest.raises(ConfigError, match=r"2 symbols need as many market data lines, and broker\.market_lines is 1"):
        d.connection.watch(["AAPL", "MSFT"])


@pytest.mark.parametrize("scenario", ["delayed_data_shown", "delayed_data_not_enabled"])
def test_delayed_data_is_flagged(desk, scenario):
    d = desk(scenario)
    d.connection.watch(["AAPL"])
    d.until(lambda: d.connection.quotes()["AAPL"].delayed, "the flag")
    assert d.of(ErrorReport, code=10167) or d.of(ErrorReport, code=10168)


def test_a_partly_subscribed_line_is_still_live(desk):
    d = watched(desk, "partly_subscribed_10090")
    d.heard(ErrorReport, code=10090)
    assert not d.connection.quotes()["AAPL"].delayed


def test_a_halt_is_told(desk):
    d = watched(desk, "halt_and_resume", speed=FROZEN)
    d.send("wb-1", limit=5.0)
    d.until(lambda: d.connection.quotes()["AAPL"].halted is True, "the halt")
    d.until(lambda: d.connection.quotes()["AAPL"].halted is False, "the end of the halt")


def test_absent_quotes_are_unknown(desk):
    d = watched(desk, "no_quotes", speed=FROZEN)
    d.until(lambda: math.isnan(d.connection.quotes()["AAPL"].bid), "no bid")
    d.until(lambda: d.connection.quotes()["AAPL"].bid > 0, "the bid again")


@pytest.mark.parametrize(
    ("scenario", "signs"),
    [
        ("farm_blip_data_dead", {(Link.DATA_LOST, 2103)}),
        ("data_paused_despite_1102", {(Link.CUT, 1100), (Link.RESTORED, 1102)}),
        ("connectivity_lost_data_lost", {(Link.CUT, 1100), (Link.RESTORED, 1101)}),
        ("connection_closed", {(Link.DOWN, 0)}),
    ],
)
def test_lines_are_renewed(desk, scenario, signs):
    d = watched(desk, scenario, speed=5.0)
    if scenario == "connection_closed":
        d.send("wb-1", limit=5.0)
    for link, code in signs:
        d.heard(LinkReport, link=link, code=code)
    end = max(d.heard(LinkReport, link=link, code=code).time for link, code in signs)
    back = (Link.UP, Link.RESTORED, Link.DATA_BACK)
    d.until(lambda: any(r.link in back and r.time >= end for r in d.of(LinkReport)), "the end of it")
    since = time.time_ns()
    d.until(lambda: d.connection.quotes()["AAPL"].time > since, "new quotes")
    d.until(lambda: d.gateway.hub.lines() == 1, "one line, not two")


def test_a_competing_session_takes_data_and_gives_it_back(desk):
    d = watched(desk, "competing_session", speed=5.0)
    lost = d.heard(LinkReport, link=Link.DATA_LOST, code=10197)
    back = d.until(lambda: [r for r in d.of(LinkReport, link=Link.DATA_BACK) if r.time > lost.time], "data")[0]
    assert back.time > lost.time
    d.until(lambda: not d.connection.quotes()["AAPL"].delayed, "live quotes")


def board() -> QuoteBoard:
    made = QuoteBoard()
    made.open(1, "AAA")
    return made


def test_delayed_ticks_flag_themselves():
    b = board()
    b.price(1, 66, 10.0, 100.0, 5)
    quote = b.latest()["AAA"]
    assert (quote.bid, quote.delayed, quote.time) == (10.0, True, 5)


@pytest.mark.parametrize(("value", "shares"), [(3.0, 1000.0), (1.0, 0.0), (2.0, math.nan)])
def test_shortable_without_a_number(value, shares):
    b = board()
    b.number(1, 46, value)
    assert b.latest()["AAA"].shortable_shares == pytest.approx(shares, nan_ok=True)
    b.size(1, 89, 250.0, 5)
    b.number(1, 46, 3.0)
    assert b.latest()["AAA"].shortable_shares == 250.0


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from([0, 1, 2, 3, 4, 9, 66, 67]), st.floats(-1, 1e6), st.floats(0, 1e6))
    )
)
def test_no_tick_makes_a_price_that_is_not_above_zero(ticks):
    b = board()
    for now, (line, kind, value, size) in enumerate(ticks, 1):
        b.price(line, kind, value, size, now)
        b.size(line, kind, size, now)
    quote = b.latest()["AAA"]
    assert all(math.isnan(p) or p > 0 for p in (quote.bid, quote.ask, quote.last))
    assert quote.delayed == any(line == 1 and kind >= 66 for line, kind, *_ in ticks)
    assert set(b.latest()) == {"AAA"}
