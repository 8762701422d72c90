"""Pacing on a clock that the test holds, at the edges of IBKR's three rules; standing requests are bounded."""

from __future__ import annotations

import pytest

from workbench.gateway.answers import Answers
from workbench.gateway.hub import Client
from workbench.gateway.instruments import Instruments
from workbench.gateway.limits import HistoricalPacing
from workbench.gateway.simulated import SimulatedGateway
from workbench.gateway.wire import messages as m
from workbench.gateway.wire.contracts import WireContract


class Clock:
    """Seconds that the test sets."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pacing(clock: Clock) -> HistoricalPacing:
    return HistoricalPacing(clock)


def test_an_identical_request_waits_fifteen_seconds(clock, pacing):
    assert not pacing.refuses("KO", "1 D")
    clock.now += 14.9
    assert pacing.refuses("KO", "1 D")
    assert not pacing.refuses("KO", "2 D")
    assert not pacing.refuses("PEP", "1 D")
    clock.now += 0.1
    assert not pacing.refuses("KO", "1 D")  # what was refused did not begin the wait again


def test_the_sixth_of_a_series_within_two_seconds_is_refused(clock, pacing):
    assert [pacing.refuses("KO", i) for i in range(6)] == [False] * 5 + [True]
    assert not pacing.refuses("PEP", 0)
    clock.now += 1.9
    assert pacing.refuses("KO", 6)
    clock.now += 0.1
    assert [pacing.refuses("KO", 10 + i) for i in range(6)] == [False] * 5 + [True]


def test_more_than_sixty_in_ten_minutes_are_refused_whatever_they_are_about(clock, pacing):
    for i in range(60):
        clock.now += 1.0
        assert not pacing.refuses(("symbol", i), "1 D")
    clock.now += 539.0  # 599 s after the first
    assert pacing.refuses(("symbol", 0), "other")
    clock.now += 2.0
    assert not pacing.refuses(("symbol", 0), "other")


def test_bid_ask_counts_twice(clock, pacing):
    assert [pacing.refuses("KO", i, weight=2) for i in range(3)] == [False, False, True]
    clock.now += 600.0
    told = []
    for i in range(31):
        clock.now += 1.0
        told.append(pacing.refuses(("symbol", i), "1 D", weight=2))
    assert told == [False] * 30 + [True]


@pytest.fixture
def heard() -> list[list[str]]:
    return []


@pytest.fixture
def ask(heard, pacing):
    """Asks a hub without sockets, whose pacing is on the test's clock."""
    hub = SimulatedGateway().hub
    hub.pacing = pacing
    client = Client(lambda frame: heard.append(frame[4:-1].decode().split("\0")), client_id=1)
    hub.clients[1], answers = client, Answers(hub)
    return lambda request: answers.answer(client, request)


def bars(number: int, symbol: str, size: str = "30 secs", what: str = "TRADES") -> m.ReqHistoricalData:
    stock = WireContract(symbol=symbol, sec_type="STK", exchange="SMART", currency="USD")
    end = "20260227 16:00:00 America/New_York"
    return m.ReqHistoricalData(number, stock, end, size, "60 S", True, what, 1, False, "")


def test_only_bars_of_thirty_seconds_or_less_are_paced(clock, heard, ask):
    for number in range(70):
        clock.now += 2.0
        ask(bars(number, f"A{chr(65 + number // 26)}{chr(65 + number % 26)}"))
    assert [f[0] for f in heard] == ["17"] * 60 + ["4"] * 10
    assert {tuple(f[3:5]) for f in heard[60:]} == {
        ("162", "Historical Market Data Service error message:Historical data request pacing violation")
    }
    heard.clear()
    for number in range(70):
        ask(bars(number, "KO", "1 min"))
    assert {f[0] for f in heard} == {"17"}


def test_standing_requests_of_a_client_are_bounded(heard, ask):
    for number in range(102):
        ask(m.ReqPnL(number, "", ""))
        ask(m.ReqAccountUpdatesMulti(1000 + number, "", "", True))
        ask(m.ReqAccountSummary(2000 + number, "All", "NetLiquidation"))
    refused = [int(f[2]) for f in heard if f[0] == "4" and f[3] == "322"]
    assert sorted(refused) == [100, 101, 1100, 1101, *range(2002, 2102)]
    heard.clear()
    ask(m.ReqPnL(5, "", ""))  # one that stands is asked for again
    assert [f[0] for f in heard] == ["94"]


def test_account_updates_for_the_ledger_are_about_cash_and_net_liquidation(heard, ask):
    ask(m.ReqAccountUpdatesMulti(1, "", "", True))
    assert [f[0] for f in heard] == ["73", "73", "74"]
    assert {f[5] for f in heard[:-1]} == {"CashBalance", "NetLiquidation"}


def test_contract_ids_of_symbols_that_were_only_looked_at_are_forgotten_in_the_end(monkeypatch):
    monkeypatch.setattr("workbench.gateway.instruments.KEPT_IDS", 3)
    instruments = Instruments()
    ids = {symbol: instruments.stock(symbol).con_id for symbol in ("AA", "BB", "CC", "DD")}
    found = [instruments.find(WireContract(con_id=ids[symbol], sec_type="STK")) for symbol in ids]
    assert [contract and contract.symbol for contract in found] == [None, "BB", "CC", "DD"]
