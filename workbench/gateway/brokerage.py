"""An account at a simulated IBKR, over the matching engine: orders, executions, positions, margin, as TWS tells them.

The owner of a brokerage feeds the market to ``brokerage.engine`` (quotes, trades, auctions), calls :meth:`advance` to
let due things happen, and takes what clients must be told with :meth:`drain`. Money is kept in whole millionths of a
dollar (:mod:`workbench.gateway.books`); prices are on a grid of 0.0001 USD. A day is a calendar day in New York.
Deterministic: the same seed, clock and calls give the same events. :mod:`workbench.gateway.brokerage_state` keeps the
books over a restart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import inf, nan

from workbench.core.clock import Clock
from workbench.core.errors import DataError
from workbench.gateway.account import Account, Pnl, PositionView
from workbench.gateway.books import MICRO, Books, micros
from workbench.gateway.borrow import BorrowBook
from workbench.gateway.broker_orders import BrokerOrder, OrderRegister, State
from workbench.gateway.events import Filled
from workbench.gateway.hours import TradingHours
from workbench.gateway.ids import Identifiers
from workbench.gateway.margin import WhatIf
from workbench.gateway.matching import MatchingEngine
from workbench.gateway.order_flow import OrderFlow
from workbench.gateway.order_texts import (
    DUPLICATE_TEXT,
    FILLED_TEXT,
    MISMATCH_TEXT,
    NOT_SHORTABLE_TEXT,
    margin_text,
    rejection_text,
)
from workbench.gateway.rules import MatchingRules
from workbench.gateway.tickets import (
    BrokerEvent,
    CommissionCharged,
    Executed,
    Execution,
    OrderMessage,
    OrderOpened,
    OrderStatusChanged,
    OrderView,
    Ticket,
)
from workbench.gateway.vetting import Fault, fault_of

PRICE_STEP = 0.0001
MAX_ACTIVE = 20
"""Active orders per contract, side and account (IBKR's order limitations)."""


class Brokerage:
    """One account, its id beginning with ``DUSIM``, with `cash` USD at the start."""

    def __init__(
        self,
        clock: Clock,
        cash: float = 1_000_000.0,
        account: str = "DUSIM000001",
        rules: MatchingRules | None = None,
        hours: TradingHours | None = None,
        borrow: BorrowBook | None = None,
    ) -> None:
        if not account.startswith("DUSIM"):
            raise DataError(f"account {account!r} of a simulated broker must begin with 'DUSIM'")
        if not 0 <= cash < inf:
            raise DataError(f"cash = {cash} USD of a new account must be finite and at least 0")
        rules = rules or MatchingRules()
        self.clock, self.account, self.hours = clock, account, hours or TradingHours()
        self.engine = MatchingEngine(clock, replace(rules, price_step=rules.price_step or PRICE_STEP), self.hours)
        self.ids, self.register = Identifiers(rules.seed), OrderRegister()
        self.ledger = Account(self.engine, cash, borrow or BorrowBook())
        self.today: list[Execution] = []
        self.binds = False
        self._events: list[BrokerEvent] = []
        self._flow = OrderFlow(
            self.engine,
            self.register,
            self._events.append,
            self._unaffordable,
            self._unborrowable,
            self._book,
            lambda symbol: self.borrow.line(symbol).locatable,
        )

    # ---- requests ---------------------------------------------------------------------------------------------

    def place(self, client_id: int, ticket: Ticket) -> None:
        """Place an order, or modify the open one that has the same number; what is wrong comes as a message."""
        if ticket.what_if:
            raise DataError(f"ticket {ticket.order_id} only asks what if; give it to what_if()")
        known = self.register.find(client_id, ticket.order_id)
        if known is not None:
            self._modify(known, ticket)
            return
        if 0 < ticket.order_id <= self.register.last_id.get(client_id, 0):
            self._say(client_id, ticket, (103, DUPLICATE_TEXT))
            return
        parent = self.register.find(client_id, ticket.parent_id) if ticket.parent_id else None
        fault = fault_of(ticket, self.account, self.clock.now()) or self._fault_of_family(ticket, parent)
        if fault:
            self._say(client_id, ticket, fault)
            return
        if ticket.oca_group and not ticket.oca_type:
            ticket = replace(ticket, oca_type=3)  # what TWS makes of a group without a type
        if self.binds and client_id == ticket.order_id == 0:
            ticket = replace(ticket, order_id=self.register.next_bound())
        order = BrokerOrder(client_id, self.ids.next_perm_id(), ticket, self.clock.now())
        if parent is not None:
            order.parent_perm_id = parent.perm_id
            if not ticket.oca_group:  # siblings of a bracket reduce one another, as TWS groups them itself
                order.ticket = replace(ticket, oca_group=str(parent.perm_id), oca_type=3)
        self._flow.enter(order)

    def bind(self, automatically: bool) -> None:
        """Give orders entered by hand, the open ones and if so wanted all to come, a number below 0, by which client 0
        can change and cancel them (TWS API, reqAutoOpenOrders)."""
        self.binds = automatically
        for order in self.register.open():
            if automatically and order.client_id == order.ticket.order_id == 0:
                order.ticket = replace(order.ticket, order_id=self.register.next_bound())
                self.register.add(order)
                self._events.append(OrderOpened(order.view()))

    def modify(self, client_id: int, ticket: Ticket) -> None:
        """Modify an open order: the same as placing its number again; code 135 if there is none."""
        if self.register.find(client_id, ticket.order_id) is None:
            self._say(client_id, ticket, (135, f"Can't find order with id = {ticket.order_id}"))
        else:
            self.place(client_id, ticket)

    def cancel(self, client_id: int, order_id: int) -> None:
        """Ask to cancel; what cannot be cancelled comes as a message (10147, 10148, 161)."""
        order = self.register.find(client_id, order_id)
        if order is None or order.refused_cancel:
            text = f"OrderId {order_id} that needs to be cancelled is not found."
            self._events.append(OrderMessage(client_id, order_id, 10147, text))
        elif order.open:
            self._flow.cancel(order)
        else:
            order.refused_cancel = True
            fault = (10148, rejection_text(order, order.status))
            if order.status is State.INACTIVE:
                text = f"Cancel attempted when order is not in a cancellable state. Order permId = {order.perm_id}"
                fault = (161, text)
            self._say(client_id, order.ticket, fault)

    def cancel_all(self) -> None:
        """Cancel every open order of every client, those entered by hand too."""
        for order in self.register.open():
            if order.open:  # a child may have gone with its parent
                self._flow.cancel(order)

    def what_if(self, ticket: Ticket) -> WhatIf | Fault:
        """What the order would do to the margin and cost in commission; or (code, text) of what is wrong with it."""
        fault = fault_of(ticket, self.account, self.clock.now())
        return fault or self.ledger.what_if(ticket.symbol, ticket.side, int(ticket.quantity), own_price(ticket))

    def advance(self) -> None:
        """Let everything happen that is due by the clock's time."""
        self._begin_day()
        self.engine.run()
        self._flow.settle()
        self.engine.drain()  # they were heard one by one

    def drain(self) -> tuple[BrokerEvent, ...]:
        """What clients must be told, in order, since the last call."""
        events = tuple(self._events)
        self._events.clear()
        return events

    # ---- views ------------------------------------------------------------------------------------------------

    def open_orders(self) -> tuple[OrderView, ...]:
        """Orders that are not done, oldest first."""
        return tuple(order.view() for order in self.register.open())

    def completed(self) -> tuple[OrderView, ...]:
        """Orders that ended today, in the order in which they did."""
        done = [o for o in self.register.by_perm_id.values() if not o.open]
        return tuple(order.view() for order in sorted(done, key=lambda o: o.completed_at))

    def executions(self) -> tuple[Execution, ...]:
        """Today's executions, in order."""
        return tuple(self.today)

    def next_order_id(self, client_id: int) -> int:
        """The lowest number that the client may use for its next order."""
        return self.register.last_id.get(client_id, 0) + 1

    def positions(self) -> tuple[PositionView, ...]:
        """What is held, and with quantity 0 what was closed today."""
        return self.ledger.positions()

    def account_values(self, prices: Mapping[str, float] | None = None) -> dict[str, float]:
        """USD by IBKR's tags at `prices` (the market's by default); see :class:`~workbench.gateway.account.Account`."""
        return self.ledger.values(prices)

    def pnl(self, prices: Mapping[str, float] | None = None) -> Pnl:
        """P&L of the account at `prices` (the market's by default)."""
        return self.ledger.pnl(prices)

    def pnl_single(self, symbol: str, price: float) -> Pnl:
        """P&L of one symbol at `price`; zeros if it was never traded."""
        return self.ledger.pnl_single(symbol, price)

    @property
    def books(self) -> Books:
        """Cash and holdings in whole millionths of USD."""
        return self.ledger.books

    @property
    def borrow(self) -> BorrowBook:
        """What can be sold short; its lines may be changed at any time."""
        return self.ledger.borrow

    # ---- inside -----------------------------------------------------------------------------------------------

    def _say(self, client_id: int, ticket: Ticket, fault: Fault) -> None:
        self._events.append(OrderMessage(client_id, ticket.order_id, *fault))

    def _fault_of_family(self, ticket: Ticket, parent: BrokerOrder | None) -> Fault | None:
        if ticket.parent_id and parent is None:
            return 135, f"Can't find order with id = {ticket.parent_id}"
        same = [o for o in self.register.open() if (o.ticket.symbol, o.ticket.side) == (ticket.symbol, ticket.side)]
        if len(same) >= MAX_ACTIVE:
            reason = f"{len(same)} orders are active for {ticket.symbol} on this side; {MAX_ACTIVE} are allowed"
            return 201, f"Order rejected - reason:{reason}"
        return None

    def _modify(self, order: BrokerOrder, ticket: Ticket) -> None:
        old = order.ticket
        fault = fault_of(ticket, self.account, self.clock.now())
        if order.status is State.FILLED:
            fault = (104, FILLED_TEXT)
        elif not order.open:
            fault = (103, DUPLICATE_TEXT)
        elif (old.symbol, old.con_id, old.side, old.parent_id) != (
            ticket.symbol,
            ticket.con_id,
            ticket.side,
            ticket.parent_id,
        ):
            fault = (105, MISMATCH_TEXT)
        if not fault and ticket.quantity > old.quantity:
            extra = int(ticket.quantity - old.quantity)
            more = self._unborrowable(order, extra) or self._refusal_of(extra, ticket)
            fault = (201, f"Order rejected - reason:{more}") if more else None
        if fault:
            self._say(order.client_id, ticket, fault)
        else:
            self._flow.change(order, ticket)

    def _refusal_of(self, quantity: int, ticket: Ticket) -> str:
        what_if = self.ledger.what_if(ticket.symbol, ticket.side, quantity, own_price(ticket))
        return "" if what_if.affordable else margin_text(what_if.after.equity, what_if.after.initial)

    def _unaffordable(self, order: BrokerOrder) -> str:
        return self._refusal_of(order.remaining, order.ticket)

    def _unborrowable(self, order: BrokerOrder, extra: int = 0) -> str:
        symbol = order.ticket.symbol
        if order.ticket.side > 0 or not self.ledger.unborrowable(symbol, self.register.for_sale(symbol, order) + extra):
            return ""
        return NOT_SHORTABLE_TEXT

    def _book(self, order: BrokerOrder, event: Filled) -> None:
        """An execution: into the books, and said in the order in which TWS was seen to say it."""
        fill, ticket = event.fill, order.ticket
        gain = self.books.trade(fill.symbol, ticket.con_id, fill.side, fill.quantity, fill.price, fill.commission)
        charged = micros(fill.commission)
        added = self.engine.order(order.reference).added
        liquidity, order.added = (1 if added > order.added else 2), added
        order.filled += fill.quantity
        order.value += fill.quantity * micros(fill.price)
        order.last_price = fill.price
        execution = Execution(
            exec_id=self.ids.next_exec_id(),
            time=fill.time,
            account=self.account,
            symbol=fill.symbol,
            con_id=ticket.con_id,
            exchange=self.ids.venue() if ticket.exchange == "SMART" else ticket.exchange,
            side=fill.side,
            shares=fill.quantity,
            price=fill.price,
            perm_id=order.perm_id,
            client_id=order.client_id,
            order_id=ticket.order_id,
            cumulative=order.filled,
            average_price=order.average_price,
            order_ref=ticket.order_ref,
            liquidity=liquidity,
            commission=charged / MICRO,
            realized=gain,
        )
        self.today.append(execution)
        self._events += [Executed(execution), OrderOpened(order.view()), OrderStatusChanged(order.view())]
        order.commission, order.charged = order.commission + charged, True
        self._events += [OrderOpened(order.view()), CommissionCharged(execution)]

    def _begin_day(self) -> None:
        """When a new day has come, today's records begin empty."""
        if self.ledger.begin_day():
            for order in self.register.trim():
                self.engine.forget(order.reference)
            self.today.clear()


def own_price(ticket: Ticket) -> float:
    """The price above 0 that an order names itself: its limit, else its stop, else NaN."""
    return next((price for price in (ticket.limit_price, ticket.aux_price) if price > 0), nan)
