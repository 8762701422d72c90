"""Plays a scenario: stands between the hub and the sockets, watches for triggers, and lets the faults happen.

The server and the hub call it at a few places (a socket has come or gone, a request, a frame, an event of the broker,
time); without a scenario there is none, and nothing is paid for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from heapq import heappop, heappush
from typing import Protocol

from workbench.core.units import NS_PER_SECOND
from workbench.gateway.broker_orders import BrokerOrder
from workbench.gateway.halts import HaltingMarket
from workbench.gateway.hub import Client, Hub
from workbench.gateway.scenarios.deeds import DEEDS
from workbench.gateway.scenarios.incoming import Guard, contract_symbol
from workbench.gateway.scenarios.outgoing import Line, Outgoing
from workbench.gateway.scenarios.spec import Event, Scenario
from workbench.gateway.subscriptions import ASK, BID, Quotes, TickByTick
from workbench.gateway.tickets import BrokerEvent, Executed, Execution, OrderStatusChanged, OrderView
from workbench.gateway.wire import messages as m

QUERIES = (m.ReqExecutions, m.ReqOpenOrders, m.ReqAllOpenOrders)
LINES = (m.ReqMktData, m.ReqTickByTickData, m.ReqRealTimeBars)
CANCELLED = ("Cancelled", "ApiCancelled")
TICK_SIDES = {"1": {4: 1}, "66": {4: 1}, "2": {4: -1}, "67": {4: -1}}
"""Type of a price tick -> place of the price -> +1 bid, -1 ask."""

BY_TICK_SIDES = {"3": {4: 1, 5: -1}}
"""The same of tick-by-tick data."""


class Door(Protocol):
    """The port: listening or not."""

    def open_door(self) -> None: ...

    def close_door(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Context:
    """What a trigger was about; empty for a time."""

    client: Client | None = None
    client_id: int = -1
    order_id: int = 0
    request_id: int = -1
    symbol: str = ""
    order: BrokerOrder | None = None
    execution: Execution | None = None


class Injector:
    """One scenario against one gateway."""

    hub: Hub
    door: Door
    outgoing: Outgoing
    market: HaltingMarket

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.guards: list[Guard] = []
        self.quotes: dict[str, tuple[int, float]] = {}  # symbol -> (until ns, crossed by a fraction; 0: no quotes)
        self.symbols: dict[tuple[Client, int], str] = {}  # (client, request id) -> symbol of a line
        self.held_ids: dict[int, int] = {}  # client id -> ns until which it stays in use
        self.silent_until = 0
        self.queried = False
        self._seen = [0] * len(scenario.events)
        self._accepted: set[int] = set()
        self._agenda: list[tuple[int, int, Callable[[], None]]] = []
        self._sequence = 0
        self._size, self._gap_s = 0, 0.0
        self._lines: dict[Client, Line] = {}

    def attach(self, hub: Hub, door: Door) -> None:
        """Begin, at the hub's time."""
        self.hub, self.door = hub, door
        self.outgoing = Outgoing(hub.clock.now, self._send_later)
        hub.feed.alter = self._altered
        self.market = hub.market = hub.feed.market = HaltingMarket(hub.market)
        hub.past = replace(hub.past, market=self.market)
        for event in self.scenario.events:
            if not event.on:
                self.later(event.at + event.after, lambda e=event: self._do(e, Context()))  # type: ignore[misc]
        self.on_time()

    # ---- called by the server and the hub ---------------------------------------------------------------------

    def silent(self) -> bool:
        """Whether a connection that comes now is never answered."""
        return self.hub.clock.now() < self.silent_until

    def holds(self, client_id: int) -> bool:
        """Whether a client id is said to be in use."""
        return self.hub.clock.now() < self.held_ids.get(client_id, 0)

    def on_start(self, client: Client) -> None:
        """A client has introduced itself."""
        self._fire("connect", Context(client, client.client_id))

    def on_gone(self, client: Client) -> None:
        """A client's socket has gone."""
        self._lines.pop(client, None)
        self.symbols = {key: symbol for key, symbol in self.symbols.items() if key[0] is not client}
        if client.client_id >= 0:
            self._fire("disconnect", Context(None, client.client_id))

    def on_request(self, client: Client, request: m.Request, answer: Callable[[], None]) -> None:
        """Let `answer` happen, or not, or later."""
        context = self._context(client, request)
        if isinstance(request, (*LINES, m.ReqHistoricalData)):
            self.symbols[client, request.request_id] = context.symbol
        trigger = self._trigger(context, request)
        if trigger:
            self._fire(trigger, context)
        for guard in self.guards:
            if guard.takes(client, request):
                guard.left -= 1
                guard.meet(self, context, request, answer)
                return
        self.answer(request, answer)

    def answer(self, request: m.Request, answer: Callable[[], None]) -> None:
        """Let a request be answered; what a query gives is no callback."""
        self.queried = isinstance(request, QUERIES) or (isinstance(request, m.PlaceOrder) and request.order.what_if)
        try:
            answer()
        finally:
            self.queried = False

    def on_send(self, client: Client, data: bytes, write: Callable[[bytes], None]) -> None:
        """Send a frame, or what becomes of it."""
        for frame in self.outgoing.frames(client, data, self.queried):
            self._line(client, write).send(frame)

    def on_broker_event(self, event: BrokerEvent) -> None:
        """Something was told about an order."""
        match event:
            case Executed(execution=e):
                self._fire("fill", self._about(e.perm_id, e.client_id, e.order_id, e.symbol, e))
            case OrderStatusChanged(order=view) if view.status in CANCELLED:
                self._fire("order_cancelled", self._of_order(view))
            case OrderStatusChanged(order=view) if _accepted(view) and view.perm_id not in self._accepted:
                self._accepted.add(view.perm_id)
                self._fire("order_accepted", self._of_order(view))

    def on_time(self) -> None:
        """Do what is due."""
        while self._agenda and self._agenda[0][0] <= self.hub.clock.now():
            heappop(self._agenda)[2]()

    # ---- for the deeds ----------------------------------------------------------------------------------------

    def now(self, seconds: float = 0.0) -> int:
        """UTC ns, `seconds` from now."""
        return self.hub.clock.now() + round(seconds * NS_PER_SECOND)

    def later(self, seconds: float, work: Callable[[], None]) -> None:
        """Do `work` in so many simulated seconds."""
        self._sequence += 1
        heappush(self._agenda, (self.now(seconds), self._sequence, work))

    def pieces(self, size: int, gap_s: float) -> None:
        """Send everything in pieces from now on, to everybody who comes too."""
        self._size, self._gap_s = size, gap_s
        for line in self._lines.values():
            line.size, line.gap_s = size, gap_s

    def clients(self, context: Context) -> list[Client]:
        """The trigger's client, or all."""
        return [context.client] if context.client is not None else list(self.hub.clients.values())

    def targets(self, event: Event, context: Context) -> list[str]:
        """Symbols that an action is about."""
        one = event.symbol or context.symbol
        return [one] if one else self.hub.watched()

    def hang_up(self, reset: bool = False) -> None:
        """End every session."""
        for client in list(self.hub.clients.values()):
            self.hang_up_on(client, reset)

    def hang_up_on(self, client: Client, reset: bool = False) -> None:
        """End the session of one client; its id is free at once."""
        self.hub.clients.pop(client.client_id, None)
        client.drop(reset)

    def open_orders(self, symbols: list[str]) -> Iterator[BrokerOrder]:
        """Open orders in `symbols`."""
        return (o for o in self.hub.brokerage.register.open() if o.ticket.symbol in symbols)

    # ---- inside -----------------------------------------------------------------------------------------------

    def _fire(self, trigger: str, context: Context) -> None:
        for i, event in enumerate(self.scenario.events):
            if event.on != trigger or (event.symbol and context.symbol and event.symbol != context.symbol):
                continue
            self._seen[i] += 1
            if event.nth not in (0, self._seen[i]):
                continue
            if event.after:
                self.later(event.after, lambda e=event: self._do(e, context))  # type: ignore[misc]
            else:
                self._do(event, context)

    def _line(self, client: Client, write: Callable[[bytes], None]) -> Line:
        if client not in self._lines:
            self._lines[client] = Line(write, self._size, self._gap_s)
        return self._lines[client]

    def _do(self, event: Event, context: Context) -> None:
        DEEDS[event.action](self, event, context)

    def _send_later(self, by: int, client: Client, data: bytes) -> None:
        self.later(by / NS_PER_SECOND, lambda: self._lines[client].send(data) if client in self._lines else None)

    def _context(self, client: Client, request: m.Request) -> Context:
        order_id = getattr(request, "order_id", 0)
        order = self.hub.brokerage.register.find(client.client_id, order_id)
        symbol = contract_symbol(request) or (order.ticket.symbol if order else "")
        return Context(client, client.client_id, order_id, getattr(request, "request_id", -1), symbol, order)

    def _trigger(self, context: Context, request: m.Request) -> str:
        match request:
            case m.PlaceOrder() if request.order.what_if:
                return ""  # a question
            case m.PlaceOrder():
                return "order_received" if context.order is None else "modify_received"
            case m.CancelOrder():
                return "cancel_received"
            case m.ReqHistoricalData():
                return "history_request"
            case m.ReqExecutions():
                return "executions_request"
        return "market_data_request" if isinstance(request, LINES) else ""

    def _of_order(self, view: OrderView) -> Context:
        return self._about(view.perm_id, view.client_id, view.ticket.order_id, view.ticket.symbol)

    def _about(
        self, perm_id: int, client_id: int, number: int, symbol: str, execution: Execution | None = None
    ) -> Context:
        order = self.hub.brokerage.register.by_perm_id.get(perm_id)
        return Context(self.hub.clients.get(client_id), client_id, number, -1, symbol, order, execution)

    def _altered(self, symbol: str, quote: tuple[float, ...]) -> tuple[float, ...]:
        until, by = self.quotes.get(symbol, (0, 0.0))
        if self.hub.clock.now() >= until:
            return quote
        if not by:
            return (float("nan"),) * 4
        bid, ask, *sizes = quote
        return round(bid * (1 + by), 2), round(ask * (1 - by), 2), *sizes

    def told_quote(self, client: Client, fields: list[str]) -> list[str]:
        """A quote of a symbol without quotes, or with crossed ones: a price tick, or tick-by-tick."""
        by_tick = fields[0] != "1"
        until, by = self._bad(client, int(fields[1 if by_tick else 2]))
        sides: dict[int, int] = BY_TICK_SIDES.get(fields[2], {}) if by_tick else TICK_SIDES.get(fields[3], {})
        if not sides or self.hub.clock.now() >= until or float(fields[4]) < 0:
            return fields
        told = list(fields)
        for place, side in sides.items():
            told[place] = f"{round(float(fields[place]) * (1 + side * by), 2)}" if by else "-1.0"
        if not by and not by_tick:
            told[5] = "0"
        return told

    def unquoted(self, client: Client, fields: list[str]) -> bool:
        """Whether tick-by-tick data is a quote of a symbol that has none."""
        until, by = self._bad(client, int(fields[1]))
        return fields[2] in ("3", "4") and not by and self.hub.clock.now() < until

    def say_again(self, symbols: list[str]) -> None:
        """Lines of `symbols` tell their quotes anew, changed or not."""
        for client in self.hub.clients.values():
            for line in client.market.values():
                if line.symbol in symbols and isinstance(line, Quotes):
                    line.sent.pop(BID, None)
                    line.sent.pop(ASK, None)
                elif line.symbol in symbols and isinstance(line, TickByTick):
                    line.before = ()

    def _bad(self, client: Client, number: int) -> tuple[int, float]:
        return self.quotes.get(self.symbols.get((client, number), ""), (0, 0.0))


def _accepted(view: OrderView) -> bool:
    """Whether an order works, or waits for its trigger at the broker."""
    return view.status == "Submitted" or (view.status == "PreSubmitted" and bool(view.why_held))
