"""Lines that all fall silent are begun anew, in regular hours, ever more seldom in vain; history that is not there."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace

import pytest

from tests.execution.ibkr.conftest import until
from workbench.config.live import BrokerSettings
from workbench.core.units import NS_PER_SECOND
from workbench.execution.ibkr.connection import IbkrConnection
from workbench.execution.ibkr.quote_board import QuoteBoard
from workbench.execution.ibkr.subscriptions import LONGEST_NS, SILENT_NS, Subscriptions
from workbench.gateway.simulated import SimulatedGateway

OPEN = 1_772_461_800 * NS_PER_SECOND
"""2026-03-02, 14:30:00 UTC: a session opens."""


def test_quotes_come_again_after_a_silent_loss():
    with SimulatedGateway(speed=60) as gateway:
        connection = IbkrConnection(
            BrokerSettings(), lambda report: None, gateway.clock.now, host="127.0.0.1", port=gateway.port,
            unthrottled=True,
        )  # fmt: skip
        connection.open()
        try:
            connection.watch(["AAPL"])
            until(lambda: connection.quotes()["AAPL"].time, "a quote")
            gateway._loop.call_soon_threadsafe(lambda: [c.market.clear() for c in gateway.hub.clients.values()])
            until(lambda: gateway.hub.lines() == 0, "the loss")
            lost = gateway.clock.now()
            until(lambda: connection.quotes()["AAPL"].time > lost + SILENT_NS / 2, "quotes after the loss")
            assert gateway.hub.lines() == 1
        finally:
            connection.close()


@pytest.fixture
def silent():
    """Subscriptions whose renewals are counted in place of being made."""
    board, clock = QuoteBoard(), SimpleNamespace(now=OPEN)
    board.open(1, "AAPL")
    made = Subscriptions(SimpleNamespace(quotes=board, clock=lambda: clock.now), None, unthrottled=True)
    made._symbols, made.renewals = ("AAPL",), 0

    def count() -> None:
        made.renewals += 1

    made._begin_anew = count
    return made, board, clock


def test_ever_more_seldom(silent):
    lines, _, clock = silent
    times = []
    for second in range(0, 3600, 5):
        clock.now = OPEN + second * NS_PER_SECOND
        before = lines.renewals
        lines.check_silence()
        if lines.renewals > before:
            times.append(second)
    gaps = [b - a for a, b in pairwise(times)]
    assert times[0] == 60
    assert gaps == [120, 240, 480, 960, 960]
    assert LONGEST_NS == 960 * NS_PER_SECOND


def test_a_tick_ends_the_silence(silent):
    lines, board, clock = silent
    clock.now = OPEN + 61 * NS_PER_SECOND
    lines.check_silence()
    board.price(1, 1, 50.0, 100.0, OPEN + 62 * NS_PER_SECOND)
    for second in range(62, 122):
        clock.now = OPEN + second * NS_PER_SECOND
        lines.check_silence()
    assert lines.renewals == 1
    clock.now = OPEN + 123 * NS_PER_SECOND
    lines.check_silence()
    assert lines.renewals == 2, "the patience of the beginning is back"


def test_outside_of_regular_hours_silence_is_no_loss(silent):
    lines, _, clock = silent
    for hours in (-2, 7, 12, 5 * 24):  # before the opening, after the close, at night, on a Saturday
        clock.now = OPEN + hours * 3600 * NS_PER_SECOND
        lines.check_silence()
    assert lines.renewals == 0


@pytest.mark.parametrize(("scenario", "told"), [("historical_no_data", {"AAPL": []}), ("historical_pacing", {})])
def test_no_bars_is_an_answer_and_a_refusal_is_none(desk, scenario, told):
    """The same code 162: only what was refused is worth asking again."""
    d = desk(scenario, speed=0.001)
    end = d.gateway.clock.now()
    assert d.connection.bars(["AAPL"], 5, end, 3) == told
    assert set(d.connection.bar_failures) == {"AAPL"} - set(told)
    assert len(d.connection.bars(["AAPL"], 5, end, 3)["AAPL"]) == 3
    assert d.connection.bar_failures == {}
