"""The hub without sockets: whose orders are whose, and what it keeps of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from workbench.core.units import NS_PER_MINUTE
from workbench.gateway.answers import Answers
from workbench.gateway.hub import Client
from workbench.gateway.simulated import SimulatedGateway
from workbench.gateway.tickets import Ticket
from workbench.gateway.wire import messages as m
from workbench.gateway.wire.contracts import WireContract
from workbench.gateway.wire.orders import WireOrder

STOCK = WireContract(symbol="AAPL", sec_type="STK", exchange="SMART", currency="USD")


class Desk:
    """A gateway's hub with clients that only listen."""

    def __init__(self) -> None:
        self.hub = SimulatedGateway().hub
        self.answers = Answers(self.hub)
        self.hub.feed.join("AAPL")

    def client(self, client_id: int) -> list[list[str]]:
        """What a client is told."""
        heard: list[list[str]] = []
        client = Client(lambda frame: heard.append(frame[4:-1].decode().split("\0")), client_id=client_id)
        self.hub.clients[client_id] = client
        return heard

    def ask(self, client_id: int, request: m.Request) -> None:
        self.answers.answer(self.hub.clients[client_id], request)


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_orders_entered_by_hand_are_seen_by_client_zero_and_by_who_asks_for_all(desk):
    zero, one = desk.client(0), desk.client(1)
    desk.hub.brokerage.place(0, Ticket(0, "AAPL", 1, 10, "LMT", 1.0))
    desk.hub.settle()
    assert [f[1] for f in zero if f[0] == "5"]
    assert [f for f in one if f[0] == "5"] == []
    for ask, own, wanted in ((m.ReqOpenOrders(), 0, 1), (m.ReqOpenOrders(), 1, 0), (m.ReqAllOpenOrders(), 1, 1)):
        heard = (zero, one)[own]
        heard.clear()
        desk.ask(own, ask)
        assert [f[0] for f in heard] == ["5", "3"] * wanted + ["53"]


BASE = WireOrder(action="BUY", total_quantity=10.0, order_type="LMT", lmt_price=1.0, tif="GTC", display_size=5)


def displayed(desk: Desk, heard: list[list[str]]) -> set[int | None]:
    """Display sizes, a field that the broker does not know, of the orders that are kept."""
    heard.clear()
    return {order.display_size for order in desk.hub.sent.values()}


def test_a_modification_that_is_refused_leaves_the_order_as_it_was_sent(desk):
    heard = desk.client(1)
    desk.ask(1, m.PlaceOrder(1, STOCK, BASE))
    assert displayed(desk, heard) == {5}
    desk.ask(1, m.PlaceOrder(1, STOCK, replace(BASE, action="SELL", display_size=6)))
    assert [f[3] for f in heard if f[0] == "4"] == ["105"]
    assert displayed(desk, heard) == {5}
    desk.ask(1, m.PlaceOrder(1, STOCK, replace(BASE, lmt_price=1.5, display_size=7)))
    assert [f[3] for f in heard if f[0] == "4"] == []
    assert displayed(desk, heard) == {7}


def test_a_new_order_that_is_refused_is_not_kept(desk):
    heard = desk.client(1)
    desk.ask(1, m.PlaceOrder(1, STOCK, replace(BASE, tif="XYZ")))
    assert [f[0] for f in heard if f[0] == "4"] == ["4"]
    assert desk.hub.sent == {}


def test_orders_that_are_done_are_forgotten_with_their_day(desk):
    desk.client(1)
    desk.ask(1, m.PlaceOrder(1, STOCK, BASE))
    for number in range(2, 12):
        desk.ask(1, m.PlaceOrder(number, STOCK, replace(BASE, tif="DAY")))
    desk.ask(1, m.CancelOrder(2, ""))
    assert len(desk.hub.sent) == 11  # the day's completed orders are shown with all their fields
    for hours in (8, 16):  # after the close, then the next morning
        desk.hub.clock.advance_to(desk.hub.clock.now() + hours * 60 * NS_PER_MINUTE)
        desk.hub.settle()
    assert set(desk.hub.sent) == {(1, 1)}
