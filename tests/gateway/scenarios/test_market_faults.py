"""Halts, quotes and auctions out of order, at the hub: what was told, what history says, what orders became."""

from __future__ import annotations

import pytest

from workbench.core.units import NS_PER_SECOND
from workbench.gateway.answers import Answers
from workbench.gateway.hub import Client
from workbench.gateway.scenarios.spec import parse
from workbench.gateway.simulated import SimulatedGateway
from workbench.gateway.tape import SyntheticMarket
from workbench.gateway.tickets import Ticket
from workbench.gateway.wire import messages as m
from workbench.gateway.wire.contracts import WireContract

STOCK = WireContract(symbol="AAPL", sec_type="STK", exchange="SMART", currency="USD")


class Floor:
    """A gateway without sockets under `events`, and one client that hears."""

    def __init__(self, *events) -> None:
        told = {"name": "x", "about": "a", "expect": "b", "event": list(events)}
        self.gateway = SimulatedGateway(scenario=parse(told, "here"))
        self.hub, self.heard = self.gateway.hub, []
        self.answers = Answers(self.hub)
        injector = self.hub.injector
        injector.attach(self.hub, None)
        self.client = Client(lambda frame: injector.on_send(self.client, frame, self._hear), 1)
        self.hub.clients[1] = self.client

    def _hear(self, frame: bytes) -> None:
        self.heard.append((self.hub.clock.now(), frame[4:-1].decode().split("\0")))

    def ask(self, request) -> list[list[str]]:
        """What is answered at once."""
        before = len(self.heard)
        self.hub.injector.on_request(self.client, request, lambda: self.answers.answer(self.client, request))
        return [fields for _, fields in self.heard[before:]]

    def go(self, seconds: float) -> list[list[str]]:
        """What is heard meanwhile."""
        before = len(self.heard)
        self.hub.advance_to(self.hub.clock.now() + round(seconds * NS_PER_SECOND))
        return [fields for _, fields in self.heard[before:]]

    def place(self, number: int, *terms, **more) -> None:
        self.hub.feed.join("AAPL")
        self.hub.brokerage.place(1, Ticket(number, "AAPL", *terms, **more))
        self.hub.settle()

    def bars(self, size: str):
        """Today's bars of trades so far."""
        ask = m.ReqHistoricalData(9, STOCK, "", size, "1 D", True, "TRADES", 1, False, "")
        return self.hub.past.bars("AAPL", ask, self.hub.clock.now())[2]

    def line(self, number: int = 1, generic: str = "") -> list[list[str]]:
        return self.ask(m.ReqMktData(number, STOCK, generic, False, False, ""))


def ticks(frames, kind: str) -> list[float]:
    """Prices of a price tick."""
    return [float(f[4]) for f in frames if f[0] == "1" and f[3] == kind]


def test_nothing_prints_in_a_halt_neither_live_nor_in_history():
    floor = Floor({"at": 59, "action": "halt", "symbol": "AAPL"}, {"at": 179, "action": "resume", "symbol": "AAPL"})
    floor.line()
    floor.go(178)  # it is 179 s after the opening
    bars = floor.bars("5 secs")
    still = bars[12:]  # from 60 s on
    assert len(still) == 24
    assert {(b.volume, b.count) for b in still} == {(0.0, 0)}
    assert {(b.open, b.high, b.low, b.close) for b in still} == {(bars[11].close,) * 4}
    told = [float(f[4]) for f in floor.go(62) if f[0] == "2" and f[3] == "8"]  # volume of the day
    tape = SyntheticMarket().tape("AAPL", floor.hub.feed.tape("AAPL", floor.hub.clock.now()).session)
    assert told[-1] == tape.volume[:241].sum() - tape.volume[60:180].sum()
    assert floor.bars("1 day")[-1].volume == told[-1]


def test_after_a_halt_the_first_price_is_one_of_after_the_halt():
    floor = Floor({"at": 60, "action": "halt", "symbol": "AAPL"}, {"at": 7260, "action": "resume", "symbol": "AAPL"})
    floor.line()
    floor.go(100)
    floor.place(1, 1, 1, "MKT")
    floor.go(7150)
    assert floor.hub.brokerage.executions() == ()
    floor.go(20)
    (e,) = floor.hub.brokerage.executions()
    tape = SyntheticMarket().tape("AAPL", floor.hub.feed.tape("AAPL", e.time).session)
    assert e.price == tape.ask[tape.row(e.time)]


def test_a_halt_outlives_a_restart():
    floor = Floor(
        {"at": 5, "action": "halt", "symbol": "AAPL"},
        {"at": 10, "action": "restart", "seconds": 1.0},
        {"at": 20, "action": "resume", "symbol": "AAPL"},
    )
    floor.hub.injector.door = type("Door", (), {"open_door": lambda _: None, "close_door": lambda _: None})()
    floor.place(1, 1, 1, "LMT", 1.0)
    floor.go(15)
    assert floor.hub.brokerage.engine.halted("AAPL")
    floor.go(10)
    assert not floor.hub.brokerage.engine.halted("AAPL")


@pytest.mark.parametrize(("silent", "status"), [(True, "Cancelled"), (False, "Filled")])
def test_a_close_without_print_leaves_on_close_orders_unfilled(silent, status):
    auction = "close" if silent else "open"  # there is no other opening that day
    floor = Floor({"at": 1, "action": "auction_without_print", "symbol": "AAPL", "auction": auction})
    floor.place(1, 1, 100, "MOC")
    floor.go(6.5 * 3600 + 10)
    (view,) = floor.hub.brokerage.completed()
    assert view.status == status


@pytest.mark.parametrize("action", ["crossed_quotes", "no_quotes"])
def test_bad_quotes_begin_and_end_with_their_time_on_every_line(action):
    floor = Floor({"at": 10, "action": action, "symbol": "AAPL", "seconds": 5.0})
    floor.line()
    floor.ask(m.ReqTickByTickData(2, STOCK, "BidAsk", 0, False))
    floor.ask(m.ReqTickByTickData(3, STOCK, "MidPoint", 0, False))
    good = floor.go(8)
    assert all(float(f[4]) < float(f[5]) for f in good if f[:2] == ["99", "2"])
    bad = floor.go(4)  # to 12
    by_tick = [(float(f[4]), float(f[5])) for f in bad if f[:3] == ["99", "2", "3"]]
    if action == "no_quotes":
        assert (ticks(bad, "1")[-1], ticks(bad, "2")[-1]) == (-1.0, -1.0)
        assert not floor.hub.brokerage.engine.quote("AAPL").valid
    else:
        assert ticks(bad, "1")[-1] > ticks(bad, "2")[-1] > 0
        assert by_tick[-1][0] > by_tick[-1][1]
    quiet = floor.go(2)  # to 14
    if action == "no_quotes":
        assert [f for f in quiet if f[:1] == ["99"]] == []
    after = floor.go(3)  # to 17
    assert 0 < ticks(after, "1")[-1] < ticks(after, "2")[-1]
    last = [f for f in after if f[:3] == ["99", "2", "3"]][-1]
    assert float(last[4]) < float(last[5])


def test_shortable_ticks_follow_a_recall():
    floor = Floor({"at": 10, "action": "borrow_recall", "symbol": "AAPL", "shares": 100})
    first = floor.line(generic="236")
    assert [f[4] for f in first if f[0] == "45" and f[3] == "46"] == ["3.0"]
    later = floor.go(12)
    assert [float(f[4]) for f in later if f[0] == "45" and f[3] == "46"] == [2.0]
    assert [float(f[4]) for f in later if f[0] == "2" and f[3] == "89"] == [100.0]
