"""The gateway without its sockets: one account, one market, many clients.

A :class:`Client` is anything that takes frames; :class:`Hub` knows them all, moves the market on and tells each what
concerns it: its own orders, the positions and values of the account, the market data that it asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import TYPE_CHECKING, Any

from workbench.core.clock import ManualClock
from workbench.core.units import NS_PER_SECOND
from workbench.gateway import refusals
from workbench.gateway.brokerage import Brokerage
from workbench.gateway.history import Past
from workbench.gateway.instruments import Instruments
from workbench.gateway.limits import HistoricalPacing
from workbench.gateway.market import Market
from workbench.gateway.market_feed import MarketFeed
from workbench.gateway.subscriptions import Subscription
from workbench.gateway.tickets import (
    BrokerEvent,
    CommissionCharged,
    Executed,
    OrderMessage,
    OrderOpened,
    OrderStatusChanged,
    OrderView,
    Ticket,
)
from workbench.gateway.translation import commission_frame, execution_frame, order_state, status_frame, wire_order
from workbench.gateway.wire import replies
from workbench.gateway.wire.contracts import WireContract
from workbench.gateway.wire.messages import ReqAccountUpdatesMulti, ReqHistoricalData
from workbench.gateway.wire.orders import WireOrder

if TYPE_CHECKING:
    from workbench.gateway.scenarios.injector import Injector

ACCOUNT_EVERY_NS = 180 * NS_PER_SECOND
LEDGER = ("CashBalance", "NetLiquidation")
"""What a reqAccountUpdatesMulti for `ledgerAndNLV` is about."""


@dataclass(slots=True, eq=False)
class Client:
    """A connected client. `send` takes whole frames; `client_id` -1 until startApi has come; `drop` ends its session
    (True: with a reset)."""

    send: Callable[[bytes], None]
    client_id: int = -1
    data_type: int = 1
    account_updates: bool = False
    positions: bool = False
    market: dict[int, Subscription] = field(default_factory=dict)  # request id -> what it is kept informed of
    growing: dict[int, tuple[str, ReqHistoricalData]] = field(default_factory=dict)  # request id -> symbol, request
    summaries: dict[int, tuple[str, ...]] = field(default_factory=dict)  # request id -> tags
    multis: dict[int, ReqAccountUpdatesMulti] = field(default_factory=dict)  # request id -> request
    pnl: set[int] = field(default_factory=set)  # request ids of reqPnL
    pnl_single: dict[int, str] = field(default_factory=dict)  # request id -> symbol
    drop: Callable[[bool], None] = lambda reset: None

    @property
    def symbols(self) -> Iterator[str]:
        """Symbols whose market the client wants to see."""
        return chain((s.symbol for s in self.market.values()), (symbol for symbol, _ in self.growing.values()))


Handlers = dict[type[Any], Callable[[Client, Any], object]]
"""Class of a request -> what answers it."""


class Hub:
    """The account `brokerage`, the `market`, and the clients that are connected."""

    def __init__(self, clock: ManualClock, brokerage: Brokerage, market: Market) -> None:
        self.clock, self.brokerage, self.market = clock, brokerage, market
        self.feed = MarketFeed(clock, brokerage, market)
        self.past = Past(market, brokerage.hours)
        self.instruments = Instruments(self.feed.knows)
        self.pacing = HistoricalPacing()
        self.clients: dict[int, Client] = {}  # client id -> client
        self.sent: dict[tuple[int, int], WireOrder] = {}  # (client id, order id) -> the order as its client sent it
        self.changes = 0
        """What happened at the broker so far, counted: books that were kept since are up to date."""
        self.injector: Injector | None = None
        """Plays a scenario of faults."""
        self._account_told, self._day = clock.now(), brokerage.ledger.day

    def take(self, brokerage: Brokerage) -> None:
        """Go on with another `brokerage` (the same books, read back): it hears of the market anew."""
        self.brokerage = brokerage
        self.feed.take(brokerage)

    # ---- time -------------------------------------------------------------------------------------------------

    def advance_to(self, ns: int) -> None:
        """Let the market and the orders go on to `ns`, second by second."""
        while (second := self.clock.now() // NS_PER_SECOND * NS_PER_SECOND + NS_PER_SECOND) <= ns:
            self.feed.step(second, self.watched())
            self.settle()
            self._tell_market(second)
        if ns > self.clock.now():
            self.clock.advance_to(ns)
            self.settle()

    def settle(self) -> None:
        """Let due things happen at the broker, and tell the clients."""
        if self.injector is not None:
            self.injector.on_time()
        self.brokerage.advance()
        if self.brokerage.ledger.day != self._day:
            self._day = self.brokerage.ledger.day
            self.sent = {key: order for key, order in self.sent.items() if self.brokerage.register.find(*key)}
        events = self.brokerage.drain()
        self.changes += len(events)
        for event in events:
            self._tell(event)
            if self.injector is not None:
                self.injector.on_broker_event(event)
        if any(isinstance(e, Executed) for e in events):
            self._tell_account({e.execution.symbol for e in events if isinstance(e, Executed)})

    def watched(self) -> list[str]:
        """Every symbol that somebody is interested in: with an order, a position or a subscription."""
        held = (s for s, h in self.brokerage.books.holdings.items() if h.quantity)
        seen = (s for client in self.clients.values() for s in client.symbols)
        return list(dict.fromkeys(chain(self.brokerage.engine.active_symbols, held, seen)))

    # ---- what clients ask -------------------------------------------------------------------------------------

    def find(self, client: Client, request_id: int, asked: WireContract) -> WireContract | None:
        """The instrument that a request names; None if there is no such one, and the client is told."""
        found = self.instruments.find(asked)
        if found is None:
            client.send(refusals.no_security(request_id))
        return found

    def lines(self, kind: type = object) -> int:
        """Market data subscriptions of all clients; those of one `kind`."""
        return sum(isinstance(s, kind) for client in self.clients.values() for s in client.market.values())

    def place(self, client_id: int, ticket: Ticket, order: WireOrder) -> None:
        """Place or modify an order, and keep it as its client sent it unless it is refused."""
        key, register = (client_id, ticket.order_id), self.brokerage.register
        if register.find(*key) is None:
            self.sent[key] = order
        self.brokerage.place(client_id, ticket)
        self.settle()
        known = register.find(*key)
        if known is None:
            self.sent.pop(key, None)
        elif repr(known.ticket.terms("")) == repr(ticket.terms("")):
            self.sent[key] = order

    # ---- what clients are told --------------------------------------------------------------------------------

    def _tell(self, event: BrokerEvent) -> None:
        match event:
            case OrderOpened(order=view):
                self._to(view.client_id, self.open_order_frame(view))
            case OrderStatusChanged(order=view):
                self._to(view.client_id, status_frame(view))
            case Executed(execution=e):
                self._to(e.client_id, execution_frame(-1, e, self.instruments.stock(e.symbol)))
            case CommissionCharged(execution=e):
                self._to(e.client_id, commission_frame(e))
            case OrderMessage(client_id=client_id, order_id=order_id, code=code, text=text):
                self._to(client_id, replies.error(order_id, code, text))

    def _to(self, client_id: int, frame: bytes) -> None:
        client = self.clients.get(client_id)
        if client is not None:
            client.send(frame)

    def open_order_frame(self, view: OrderView) -> bytes:
        """The openOrder of an order."""
        sent = self.sent.get((view.client_id, view.ticket.order_id))
        order = wire_order(view, sent, self.brokerage.account)
        return replies.open_order(self.instruments.stock(view.ticket.symbol), order, order_state(view))

    def _tell_market(self, ns: int) -> None:
        for client in list(self.clients.values()):
            for s in list(client.market.values()):
                tape = self.feed.tape(s.symbol, ns - 1)
                if ns <= tape.open_ns + len(tape) * NS_PER_SECOND:
                    for frame in s.frames(tape, ns, self.brokerage.engine.halted(s.symbol)):
                        client.send(frame)
            for request_id, (symbol, ask) in client.growing.items():
                bar = self.past.growing(symbol, ask, ns)
                if bar is not None:
                    client.send(replies.historical_data_update(request_id, bar))
            self._tell_pnl(client)
        if ns - self._account_told >= ACCOUNT_EVERY_NS:
            self._account_told = ns
            self._tell_account(set())

    def _tell_pnl(self, client: Client) -> None:
        if not client.pnl and not client.pnl_single:
            return
        total = self.brokerage.pnl()
        for request_id in client.pnl:
            client.send(replies.pnl(request_id, total.daily, total.unrealized, total.realized))
        for request_id, symbol in client.pnl_single.items():
            client.send(self.pnl_single_frame(request_id, symbol))

    def pnl_single_frame(self, request_id: int, symbol: str) -> bytes:
        """P&L of one position."""
        price = self.price(symbol)
        quantity = self.brokerage.books.quantity(symbol)
        p = self.brokerage.pnl_single(symbol, price)
        return replies.pnl_single(request_id, quantity, p.daily, p.unrealized, p.realized, quantity * price)

    def price(self, symbol: str) -> float:
        """USD per share: the market's, else the last price of its tape."""
        mark = self.brokerage.engine.mark(symbol)
        if mark == mark:
            return mark
        tape = self.feed.tape(symbol, self.clock.now())
        row = tape.row(self.clock.now())
        return float(tape.last[row]) if row >= 0 else tape.previous_close

    def _tell_account(self, traded: set[str]) -> None:
        for client in list(self.clients.values()):
            if client.positions:
                for frame in self.position_frames(traded):
                    client.send(frame)
            if client.account_updates:
                for frame in self.account_frames():
                    client.send(frame)
            for request in client.multis.values():
                for frame in self.multi_frames(request):
                    client.send(frame)
            for request_id, tags in client.summaries.items():
                for frame in self.summary_frames(request_id, tags):
                    client.send(frame)

    # ---- the account in frames --------------------------------------------------------------------------------

    def position_frames(self, only: set[str] | None = None) -> Iterator[bytes]:
        """Every position, or those of the symbols in `only`."""
        for p in self.brokerage.positions():
            if (only is None and p.quantity) or (only is not None and p.symbol in only):
                contract = self.instruments.stock(p.symbol)
                told = replace(contract, exchange=contract.primary_exchange)
                yield replies.position(self.brokerage.account, told, float(p.quantity), p.average_cost)

    def account_frames(self) -> Iterator[bytes]:
        """Account values, portfolio and the end of the download."""
        account = self.brokerage.account
        for key, value, currency in self.values():
            yield replies.update_account_value(key, value, currency, account)
        for p in self.brokerage.positions():
            price, contract = self.price(p.symbol), self.instruments.stock(p.symbol)
            pnl = self.brokerage.pnl_single(p.symbol, price)
            yield replies.update_portfolio(
                contract, float(p.quantity), price, p.quantity * price, p.average_cost, pnl.unrealized, pnl.realized,
                account,
            )  # fmt: skip
        yield replies.account_download_end(account)

    def multi_frames(self, request: ReqAccountUpdatesMulti) -> Iterator[bytes]:
        """Account values for a model, or only those of the ledger."""
        for key, value, currency in self.values():
            if not request.ledger_and_nlv or key in LEDGER:
                yield replies.account_update_multi(
                    request.request_id, self.brokerage.account, request.model, key, value, currency
                )

    def values(self) -> Iterator[tuple[str, str, str]]:
        """(key, value, currency) of the account."""
        yield "AccountCode", self.brokerage.account, ""
        yield "AccountType", "INDIVIDUAL", ""
        yield "AccountReady", "true", ""
        values = self.brokerage.account_values()
        for key, value in {**values, "CashBalance": values["TotalCashValue"]}.items():
            yield key, f"{value:.2f}", "USD"

    def summary_frames(self, request_id: int, tags: tuple[str, ...]) -> Iterator[bytes]:
        """The wanted tags of the account."""
        for key, value, currency in self.values():
            if key in tags or "All" in tags:
                yield replies.account_summary(request_id, self.brokerage.account, key, value, currency)
