"""A matching engine on a manual clock, orders for it, and an account with a broker over one."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from workbench.core.calendar import sessions_between
from workbench.core.clock import ManualClock
from workbench.core.types import OrderIntent
from workbench.core.units import NS_PER_DAY, NS_PER_MINUTE, NS_PER_SECOND
from workbench.gateway.brokerage import Brokerage
from workbench.gateway.events import Filled
from workbench.gateway.hours import TradingHours
from workbench.gateway.matching import MatchingEngine, MatchingRules
from workbench.gateway.orders import ExchangeOrder
from workbench.gateway.tickets import Executed, OrderMessage, OrderStatusChanged, Ticket

START = 20_300 * NS_PER_DAY + 15 * 3600 * NS_PER_SECOND


def order(ref: str, side: int, quantity: int, limit: float | None = None, symbol: str = "AAA") -> OrderIntent:
    kind, price = ("MKT", float("nan")) if limit is None else ("LMT", limit)
    return OrderIntent(ref, symbol, side, quantity, kind, price, "DAY", START, 10.0)


class Bench:
    """An engine, its clock, and shorthand: times are seconds after START."""

    def __init__(self, hours=None, screen=None, start=START, **rules) -> None:
        self.clock = ManualClock(start)
        self.engine = MatchingEngine(self.clock, MatchingRules(**rules), hours, screen)

    def at(self, seconds: float) -> int:
        return START + int(seconds * NS_PER_SECOND)

    def go(self, seconds: float) -> None:
        self.clock.advance_to(self.at(seconds))

    def quote(self, bid, ask, bid_size=100.0, ask_size=100.0, symbol="AAA") -> None:
        self.engine.on_quote(symbol, bid, ask, bid_size, ask_size, self.clock.now())

    def window(self, volume, sigma=0.02, seconds=300.0, symbol="AAA") -> None:
        now = self.clock.now()
        self.engine.on_bar_volume(symbol, volume, sigma, now, now + int(seconds * NS_PER_SECOND))

    def send(self, ref, side, quantity, kind="MKT", symbol="AAA", **terms) -> None:
        self.engine.submit(ExchangeOrder(ref, symbol, side, quantity, kind, **terms))
        self.engine.run()

    def trade(self, price, size, symbol="AAA") -> None:
        self.engine.on_trade(symbol, price, size, self.clock.now())

    def auction(self, kind, price, volume=0.0, symbol="AAA") -> None:
        self.engine.on_auction(symbol, kind, price, volume, self.clock.now())

    def events(self) -> list:
        self.engine.run()
        return list(self.engine.drain())

    def fills(self) -> list[Filled]:
        return [e for e in self.events() if isinstance(e, Filled)]

    def got(self) -> list[tuple[str, int, float]]:
        """(order, shares, price) of every fill since the last question."""
        return [(f.order_ref, f.fill.quantity, f.fill.price) for f in self.fills()]


# five full sessions: Monday 2 to Friday 6 June 2025, 13:30 to 20:00 UTC
SESSIONS = sessions_between("2025-06-02", "2025-06-06")
MIDNIGHT = int(SESSIONS.date[0]) * NS_PER_DAY + 4 * 60 * NS_PER_MINUTE  # Monday 00:00 in New York


def new_york(day: int, clock: str) -> int:
    """UTC ns of "hh:mm" or "hh:mm:ss" in New York, `day` days after that Monday."""
    parts = [int(part) for part in clock.split(":")] + [0]
    return MIDNIGHT + day * NS_PER_DAY + (parts[0] * 60 + parts[1]) * NS_PER_MINUTE + parts[2] * NS_PER_SECOND


class Day(Bench):
    """A bench with trading hours; times are those of New York."""

    def __init__(self, clock="10:00", screen=None, **rules) -> None:
        super().__init__(TradingHours(SESSIONS), screen, new_york(0, clock), **rules)

    def go(self, clock: str, day: int = 0) -> None:
        self.clock.advance_to(new_york(day, clock))


class Office:
    """A brokerage on a manual clock, with quotes for two symbols and no limit on their volume."""

    def __init__(self, clock="10:00", cash=100_000.0, borrow=None, **rules) -> None:
        self.clock = ManualClock(new_york(0, clock))
        rules = MatchingRules(**{"plan": "fixed", **rules})
        self.hours = TradingHours(SESSIONS)
        self.broker = Brokerage(self.clock, cash, rules=rules, hours=self.hours, borrow=borrow)
        self.quote(99.99, 100.01)
        self.quote(49.99, 50.01, symbol="BBB")

    def quote(self, bid, ask, size=10_000.0, symbol="AAA") -> None:
        self.broker.engine.on_quote(symbol, bid, ask, size, size, self.clock.now())
        self.broker.advance()

    def trade(self, price, size=100.0, symbol="AAA") -> None:
        self.broker.engine.on_trade(symbol, price, size, self.clock.now())
        self.broker.advance()

    def go(self, clock: str, day: int = 0) -> None:
        self.clock.advance_to(new_york(day, clock))
        self.broker.advance()

    def place(self, number, side, quantity, kind="MKT", client=1, symbol="AAA", **terms) -> None:
        self.broker.place(client, Ticket(number, symbol, side, quantity, kind, **terms))
        self.broker.advance()

    def cancel(self, number, client=1) -> None:
        self.broker.cancel(client, number)
        self.broker.advance()

    def said(self) -> list[tuple]:
        """Short form of what clients were told: ("status", id, status), ("error", id, code), ("fill", id, shares)."""
        short: list[tuple] = []
        for e in self.broker.drain():
            if isinstance(e, OrderStatusChanged):
                short.append(("status", e.order.ticket.order_id, e.order.status))
            elif isinstance(e, OrderMessage):
                short.append(("error", e.order_id, e.code))
            elif isinstance(e, Executed):
                short.append(("fill", e.execution.order_id, e.execution.shares))
        return short

    def open(self) -> dict[int, str]:
        """order id -> status of what is open."""
        return {o.ticket.order_id: o.status for o in self.broker.open_orders()}


KIT = SimpleNamespace(
    Bench=Bench, Day=Day, Office=Office, order=order, START=START, new_york=new_york, hours=SESSIONS, ticket=Ticket
)


@pytest.fixture
def kit() -> SimpleNamespace:
    return KIT


@pytest.fixture(scope="session")
def kit_factory() -> SimpleNamespace:
    """The same kit for hypothesis, which wants fixtures that outlive an example."""
    return KIT
