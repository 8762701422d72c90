"""Every shipped scenario against an ordinary session, without sockets: it plays to its end; the books stay exact."""

from __future__ import annotations

import asyncio

import pytest

from workbench.core.units import NS_PER_SECOND
from workbench.gateway.answers import Answers
from workbench.gateway.hub import Client
from workbench.gateway.scenarios import names
from workbench.gateway.simulated import SimulatedGateway
from workbench.gateway.wire import messages as m
from workbench.gateway.wire.contracts import WireContract
from workbench.gateway.wire.orders import WireOrder

STOCK = WireContract(symbol="AAPL", sec_type="STK", exchange="SMART", currency="USD")


class Session:
    """A client of a hub, and the door that it comes through."""

    def __init__(self, name: str) -> None:
        self.gateway = SimulatedGateway(scenario=name)
        self.hub, self.injector = self.gateway.hub, self.gateway.hub.injector
        self.answers, self.got, self.open = Answers(self.hub), [], True
        self.injector.attach(self.hub, self)

    def open_door(self) -> None:
        self.open = True

    def close_door(self) -> None:
        self.open = False

    def come(self) -> None:
        """Connect, if there is no session."""
        if self.open and 1 not in self.hub.clients:
            self.client = Client(lambda frame: self.injector.on_send(self.client, frame, self.got.append), 1)
            self.client.positions = True
            self.hub.clients[1] = self.client
            self.injector.on_start(self.client)

    def ask(self, request: m.Request) -> None:
        if 1 in self.hub.clients:
            self.injector.on_request(self.client, request, lambda: self.answers.answer(self.client, request))

    def go(self, seconds: float) -> None:
        self.hub.advance_to(self.hub.clock.now() + round(seconds * NS_PER_SECOND))
        self.come()

    def place(self, number: int, quantity: float, price: float | None = None, side: str = "BUY") -> None:
        kind = "MKT" if price is None else "LMT"
        terms = WireOrder(action=side, total_quantity=quantity, order_type=kind, lmt_price=price, tif="DAY")
        self.ask(m.PlaceOrder(number, STOCK, terms))


def play(name: str) -> Session:
    s = Session(name)
    s.come()
    s.go(0.5)
    s.ask(m.ReqMktData(1, STOCK, "", False, False, ""))
    s.go(2)
    s.ask(m.ReqHistoricalData(2, STOCK, "", "1 min", "1 D", True, "TRADES", 1, True, ""))
    low = round(s.hub.price("AAPL") * 0.9, 2)
    for number, quantity, price, side in ((10, 100, low, "BUY"), (11, 100, None, "SELL"), (12, 100, None, "BUY")):
        s.place(number, quantity, price, side)
        s.go(2)
    s.place(10, 200, low)
    s.go(1)
    s.ask(m.CancelOrder(10, ""))
    s.ask(m.ReqExecutions(5, 0, "", "", "", "", "", ""))
    s.go(15)
    return s


@pytest.mark.parametrize("name", names())
def test_it_plays_and_the_books_stay_exact(name):
    async def whole() -> Session:
        return play(name)

    s = asyncio.run(whole())
    books, broker = s.hub.brokerage.books, s.hub.brokerage
    assert books.imbalance == 0
    assert all(0 <= v.filled <= v.ticket.quantity for v in (*broker.open_orders(), *broker.completed()))
    if name != "executions_forgotten":
        assert books.quantity("AAPL") == sum(e.side * e.shares for e in broker.executions())
    assert s.open, "the port is open again"
    unseen = [e.on for e, seen in zip(s.injector.scenario.events, s.injector._seen) if e.on and not seen]
    assert not unseen, "its triggers come in an ordinary session"


def test_the_same_calls_meet_the_same_faults():
    async def frames() -> list[bytes]:
        return play("status_regresses").got

    assert asyncio.run(frames()) == asyncio.run(frames())
