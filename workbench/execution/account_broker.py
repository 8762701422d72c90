"""One account at the broker for many systems: nets their orders, records, sends, hears, and reconciles.

    submit (each system) -> flush: net -> journal -> place      record before acting; nothing is ever sent twice
    report -> journal -> order book of record -> journal each event -> the systems that it belongs to
    reconcile: facts -> what is missing, adopted, over -> journal -> the same path as reports

Everything but :meth:`hear` and :meth:`working_ids` is called from one thread.
"""

from __future__ import annotations

import queue
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from math import nan
from typing import Any

from workbench.core.clock import Clock
from workbench.core.errors import DataError
from workbench.core.types import OrderIntent
from workbench.core.units import NS_PER_SECOND
from workbench.execution.account_order import AccountOrder, beyond_recall
from workbench.execution.broker import BrokerTimeout, Connection, NotConnected
from workbench.execution.dealing import Booking, Dealer, Dealt, Part
from workbench.execution.events import Commissioned, Corrected, LiveEvent
from workbench.execution.netting import OUR_MARK, Wish
from workbench.execution.order_ledger import OrderLedger
from workbench.execution.order_states import DONE, OPEN, OrderState
from workbench.execution.outside import Outside
from workbench.execution.reconcile import Cancel, Reconciliation, reconcile
from workbench.execution.recording import Recorder
from workbench.execution.records import flat, report_payload
from workbench.execution.reports import (
    AccountReport,
    CommissionReport,
    ExecutionReport,
    Facts,
    Link,
    LinkReport,
    Report,
)
from workbench.execution.restoring import Rebuilt, rebuild
from workbench.execution.sending import Quoted, number_orders, place_all, sift, write_ahead
from workbench.execution.system_broker import SystemBroker, VirtualBook
from workbench.execution.working import UNKNOWN
from workbench.gateway.events import Filled, Rejected
from workbench.journal import Entry, Journal

FACTS_EVERY_NS = 2 * NS_PER_SECOND
"""Facts are not asked for more often than this, whatever is in doubt."""
HEARD_NS = 5 * NS_PER_SECOND
"""An execution that is older when it is heard of happened at quotes that are gone. Its time is in whole seconds."""


def is_ours(order_ref: str) -> bool:
    """Whether an order with this reference was sent by this program (by any engine of it).

    >>> is_ours("wb-0123456789abcdef"), is_ours("by hand")
    (True, False)
    """
    return order_ref.startswith(OUR_MARK)


class AccountBroker:
    """See the module. `unknown_orders`: "leave" or "cancel" working orders that are not ours.

    `fallback` takes what `journal` refuses; then only cancels and pure reductions go out.
    """

    def __init__(
        self,
        connection: Connection,
        journal: Journal,
        clock: Clock,
        *,
        systems: tuple[str, ...],
        fallback: Journal | None = None,
        client_id: int | None = None,
        unknown_orders: str = "leave",
    ) -> None:
        self.connection, self.clock, self.names, self.unknown_orders = connection, clock, systems, unknown_orders
        self.ledger = OrderLedger(client_id)
        self.reconciled = False
        """Whether our books were compared with the broker's since the connection last came up."""
        self.account: AccountReport | None = None
        """Money of the account as last told."""
        self.clock_skew_s = nan
        """Our clock less the broker's, seconds; 0 within its whole seconds, NaN before it was asked."""
        self.last: Reconciliation | None = None
        self.taken = 0
        """Reports of the broker so far."""
        self.held: Callable[[], str] = str
        """Why nothing may be sent at this moment; empty where it may."""
        self.market: Callable[[int], Quoted] = lambda now: lambda symbol: UNKNOWN
        """Bid and ask of every symbol at `now` (UTC ns), for the record alone: nothing is traded by it."""
        self._recorder = Recorder(journal, fallback)
        self._dealer = Dealer()
        self._books: dict[str, VirtualBook] = {}  # system -> its book with every recorded event
        self._brokers: dict[str, SystemBroker] = {}
        self._outside = Outside()
        self._wishes: list[Wish] = []
        self._heard: queue.SimpleQueue[Report] = queue.SimpleQueue()
        self._reports: deque[Report] = deque()  # taken from the queue, not yet recorded
        self._pending: deque[Booking | LiveEvent] = deque()  # to be recorded and told, in order
        self._link_up = connection.connected
        self._links = 0  # changes of the link so far
        self._asked_at = 0

    # ---- systems ------------------------------------------------------------------------------------------------

    def system(self, name: str, capital: float | None = None) -> SystemBroker:
        """The broker of a system. `capital` USD opens its book where it has none yet, which is journaled."""
        if name not in self.names:
            raise DataError(f"system {name} is not of this account, which has {', '.join(self.names)}")
        if name not in self._brokers:
            if name not in self._books:
                if capital is None:
                    raise DataError(f"system {name} has no book in this journal yet; give it a capital in USD")
                self._recorder.record("capital", self.clock.now(), {"system": name, "cash": capital, "positions": {}})
                self._books[name] = VirtualBook(capital, {})
            self._brokers[name] = SystemBroker(self, name, self._books[name].copy())
        return self._brokers[name]

    def collect(self, wish: Wish) -> None:
        """Keep what a system wants until the next flush."""
        self._wishes.append(wish)

    def open_parts(self, system: str) -> tuple[Part, ...]:
        """What `system` still has in orders that may fill."""
        parts = (p for e in self.ledger.open_orders for p in self._dealer.parts[e.order_ref])
        return tuple(p for p in parts if p.system == system and p.remaining)

    def cancel_for(self, system: str, order_ref: str) -> None:
        """Cancel a system's order; not yet sent, it is withdrawn; shared with others, the whole order is cancelled."""
        now = self.clock.now()
        for wish in [w for w in self._wishes if (w.system, w.intent.order_ref) == (system, order_ref)]:
            self._wishes.remove(wish)
            self._brokers[system].withdraw(wish, now)
        parent = self._dealer.parent.get((system, order_ref))
        if parent is not None:
            self._cancel(self.ledger.orders[parent], f"{system} cancels {order_ref}")

    # ---- what the engine asks -----------------------------------------------------------------------------------

    def working(self) -> tuple[OrderIntent, ...]:
        """The account's orders that may still fill; `quantity` is what remains."""
        return tuple(self._as_intent(e) for e in self.ledger.open_orders if e.remaining > 0)

    def working_ids(self) -> tuple[int, ...]:
        """Order ids of those at the broker; may be called from another thread."""
        entries = list(self.ledger.orders.values())
        return tuple(e.order.order_id for e in entries if e.state in OPEN and e.order.order_id)

    @property
    def initial_margin(self) -> float:
        """USD of margin that the account uses, NaN unknown: its maintenance margin, never above the initial one."""
        return nan if self.account is None else self.account.net_liquidation - self.account.excess_liquidity

    @property
    def outside_positions(self) -> dict[str, int]:
        """Signed shares in the account that belong to no system."""
        return dict(self._outside.positions)

    @property
    def collected(self) -> int:
        """Orders that systems want and that were not sent yet."""
        return len(self._wishes)

    @property
    def booked(self) -> frozenset[str]:
        """Systems that have a book."""
        return frozenset(self._books)

    @property
    def journal_down(self) -> bool:
        """Whether the journal refused the last record."""
        return self._recorder.down

    def needs_facts(self, now: int) -> bool:
        """Whether to reconcile now rather than at the next regular time."""
        if now - self._asked_at < FACTS_EVERY_NS or not (self._link_up and self.connection.connected):
            return False
        doubts = self.ledger.needs_facts(now)
        self._settle(())
        return not self.reconciled or doubts or bool(self._outside.unconfirmed)

    # ---- sending ------------------------------------------------------------------------------------------------

    def flush(self, now: int) -> int:
        """Send what was collected, netted; how many orders were written. What may not go is told as Rejected."""
        self.poll_reports()
        wishes, self._wishes = self._wishes, []
        refused: list[tuple[Wish, str]] = []
        try:
            return self._send(wishes, now, refused)
        finally:
            self._refuse(refused, now)

    def _send(self, wishes: list[Wish], now: int, refused: list[tuple[Wish, str]]) -> int:
        def refuse(wish: Wish, reason: str) -> None:
            refused.append((wish, reason))

        kept = sift(wishes, self.ledger.busy_symbols, self._dealer.used, self._why_not(), self._gone, refuse)
        if not kept:
            return 0
        positions = {name: book.positions for name, book in self._books.items()}
        done = False
        try:
            planned, numbered = write_ahead(
                self._recorder, lambda p: number_orders(self.connection, self.ledger, p), kept, positions, now, refuse,
                self.market(now),
            )  # fmt: skip
            done = True
        except NotConnected as error:
            refused.extend((w, str(error)) for w in kept)
            return 0
        finally:
            if not done:
                told = [w for w, _ in refused]
                refused.extend(
                    (w, "it could not be numbered or recorded, so it was not sent") for w in kept if w not in told
                )
        refused.extend(planned.held)
        for net_order, order in numbered:
            self.ledger.intend(order, now)
            self._dealer.add(order.order_ref, net_order.shares)
        for cross in planned.crosses:
            self._pending.extend(self._dealer.crossings(cross, now))
        written = self._place([order for _, order in numbered])
        self._settle(())
        return written

    def _place(self, orders: list[Any]) -> int:
        done = False
        try:
            unsent = place_all(self.connection, self.ledger, orders, self.clock.now, self.held)
            done = True
        finally:
            if not done:  # whatever broke: what was being written is in doubt, and so is what was not reached
                self._abandon(orders)
        events: tuple[LiveEvent, ...] = ()
        for ref, why in unsent:
            events += self.ledger.unsent(ref, why, self.clock.now())
        self._pending.extend(events)
        return len(orders) - len(unsent)

    def _abandon(self, orders: list[Any]) -> None:
        for order in orders:
            if self.ledger.orders[order.order_ref].state is OrderState.INTENDED:
                self.ledger.doubt(order.order_ref, "sending broke off", self.clock.now())

    def _refuse(self, refused: list[tuple[Wish, str]], now: int) -> None:
        for wish, reason in refused:
            i = wish.intent
            self._brokers[wish.system].tell(Rejected(i.order_ref, i.symbol, now, reason))
        for wish, reason in refused:
            i = wish.intent
            payload = {"system": wish.system, "order_ref": i.order_ref, "symbol": i.symbol, "reason": reason}
            self._recorder.record("dropped", now, payload)

    def _gone(self, wish: Wish) -> str:
        """Why an order that reduces would sell (or buy back) what somebody traded away outside of this program."""
        symbol, side = wish.intent.symbol, wish.intent.side
        outside = self._outside.positions.get(symbol, 0)
        held = sum(book.positions.get(symbol, 0) for book in self._books.values())
        there = abs(held) - abs(outside)
        if not (side * held < 0 and side * outside > 0 and wish.intent.quantity > max(there, 0)):
            return ""
        return (
            f"{symbol}: the systems hold {held:+d} shares, {outside:+d} were traded outside of this program, and the "
            f"account has {held + outside:+d}: {wish.intent.quantity} more would open a position on the other side; "
            "trade the outside shares back where they were traded"
        )

    def _why_not(self) -> str:
        if why := self.held():
            return why
        if not (self._link_up and self.connection.connected):
            return "there is no connection to the broker"
        return "" if self.reconciled else "our books were not yet compared with the broker's since it came back"

    def change(self, order_ref: str, limit_price: float) -> bool:
        """Move the limit of an account's order in place; False where it may not be changed now."""
        entry = self.ledger.orders.get(order_ref)
        able = entry is not None and entry.state in (OrderState.ACCEPTED, OrderState.PARTIAL) and not entry.changing
        if entry is None or not able or entry.cancel_wanted or self._why_not():
            return False
        before, order = entry.order, replace(entry.order, limit_price=limit_price)
        payload = {
            "order_ref": order_ref,
            "order_id": order.order_id,
            "symbol": order.symbol,
            "from": before.limit_price,
        }
        self._recorder.journal.record("change", self.clock.now(), flat({**payload, "limit_price": limit_price}))
        self.ledger.changed(order)
        try:
            self.connection.place(order)
        except NotConnected:
            entry.order, entry.changing = before, False
            return False
        except BrokerTimeout:
            self.ledger.doubt(order_ref, "a change may have been written or not", self.clock.now())
            self._settle(())
        return True

    def change_for(self, system: str, order_ref: str, limit_price: float) -> bool:
        """Move the limit of a system's order; False where it may not be changed, or others share in it."""
        parent = self._dealer.parent.get((system, order_ref))
        alone = parent is not None and len(self._dealer.parts[parent]) == 1
        return alone and parent is not None and self.change(parent, limit_price)

    def cancel_all(self, reason: str) -> None:
        """Withdraw what was not sent and cancel our orders, and only ours."""
        now = self.clock.now()
        for wish in self._wishes:
            self._brokers[wish.system].withdraw(wish, now)
        self._wishes.clear()
        for entry in self.ledger.open_orders:
            self._cancel(entry, reason)

    def _cancel(self, entry: AccountOrder, reason: str) -> None:
        """Ask once; it is repeated only when the broker's facts show the order still at work.

        An on-close order that the exchange no longer lets go of is left to its auction.
        """
        if entry.state in DONE or entry.cancel_sent_at or beyond_recall(entry, self.clock.now()):
            return
        self._write_cancel(Cancel(entry.order.order_id, entry.order_ref, reason))

    def _write_cancel(self, cancel: Cancel) -> None:
        """A cancel goes out even if nothing records it: not being able to stop is the greater risk."""
        now = self.clock.now()
        payload = {"order_ref": cancel.order_ref, "order_id": cancel.order_id, "reason": cancel.reason}
        try:
            self._recorder.record("cancel", now, {**payload, "surplus": cancel.surplus})
        finally:
            sent = cancel.order_id > 0 and self._try_cancel(cancel.order_id)
            if cancel.order_ref and not cancel.surplus:
                self.ledger.cancel_asked(cancel.order_ref, now, sent=sent)
        self._settle(())

    def _try_cancel(self, order_id: int) -> bool:
        try:
            self.connection.cancel(order_id)
        except NotConnected:
            return False
        except BrokerTimeout:
            return True  # it may have been written; the facts will show
        return True

    # ---- hearing ------------------------------------------------------------------------------------------------

    def hear(self, report: Report) -> None:
        """The adapter's callback, from its own thread."""
        self._heard.put(report)

    def poll_reports(self) -> None:
        """Take in what was heard: record it, apply it, record and tell what follows."""
        self._settle(())
        while self._reports or not self._heard.empty():
            if not self._reports:
                self._reports.append(self._heard.get_nowait())
            self._take(self._reports[0])
        now = self.clock.now()
        self.ledger.age(now)
        self._settle(())
        for entry in self.ledger.unsettled:
            if entry.revived and not entry.cancel_wanted and entry.state in OPEN:
                self._write_cancel(Cancel(entry.order.order_id, entry.order_ref, "it was held to be over, and lives"))

    def _take(self, report: Report) -> None:
        """One report; it is forgotten only once it is recorded."""
        self.taken += 1
        now = self.clock.now()
        if not (isinstance(report, CommissionReport) and self.ledger.executions.costed(report.exec_id)):
            self._recorder.record("report", now, report_payload(report))  # facts tell the commissions of the day again
        if self._reports and self._reports[0] is report:
            self._reports.popleft()
        if isinstance(report, LinkReport):
            self._link(report.link)
        self._settle(self.ledger.apply(report, now, self._mid_at(report, now)))

    def _mid_at(self, report: Report, now: int) -> float:
        """The mid at an execution that is heard of as it happens; NaN of one told later."""
        if not isinstance(report, ExecutionReport) or abs(now - report.time) > HEARD_NS:
            return nan
        return sum(self.market(now)(report.symbol)) / 2

    def _link(self, link: Link) -> None:
        if link in (Link.DATA_LOST, Link.DATA_BACK):
            return
        self._link_up = link in (Link.UP, Link.RESTORED)
        self.reconciled = False
        self._links += 1

    def _settle(self, events: Iterable[LiveEvent]) -> None:
        """Record and tell events and changes of state, in order; what could not be recorded waits for the next call."""
        self._pending.extend(("order_state", flat(t)) for t in self.ledger.transitions)
        self.ledger.transitions.clear()
        self._pending.extend(events)
        while self._pending:
            self._tell(self._recorded(self._pending[0]))
            self._pending.popleft()

    def _recorded(self, item: Booking | LiveEvent) -> Dealt:
        if isinstance(item, (Filled, Commissioned, Corrected)):
            item = self._dealer.split(item)
        if not isinstance(item, tuple):
            return self._dealer.pass_on(item)  # type: ignore[arg-type]
        kind, payload = item
        self._recorder.record(kind, self.clock.now(), payload)
        return () if kind == "order_state" else self._dealer.book(kind, payload)

    def _tell(self, dealt: Dealt) -> None:
        for system, event in dealt:
            self._books[system].apply(event)
            if system in self._brokers:
                self._brokers[system].tell(event)

    # ---- reconciling --------------------------------------------------------------------------------------------

    def reconcile(self, now: int) -> Reconciliation:
        """Ask for the facts and make our books equal to them; :class:`BrokerTimeout` leaves everything as it was."""
        self.poll_reports()
        links, self._asked_at = self._links, now
        self._compare_clocks()
        facts = self.connection.facts()
        self.poll_reports()
        result = reconcile(self.ledger, facts, self._expected(), unknown_orders=self.unknown_orders)
        self._recorder.record("reconciliation", now, _summary(facts, result))
        self._follow(result, facts)
        self._absorb(result)
        self.account, self.last = facts.account, result
        if links == self._links and self._link_up:
            self.reconciled = True
        return result

    def _compare_clocks(self) -> None:
        before = self.clock.now()
        told = self.connection.server_time()
        ours = (before + self.clock.now()) // 2
        skew = min(ours - told, 0) + max(ours - told - NS_PER_SECOND, 0)
        self.clock_skew_s = skew / NS_PER_SECOND

    def _follow(self, result: Reconciliation, facts: Facts) -> None:
        """Do what a reconciliation says, in its order."""
        now = self.clock.now()
        self.ledger.doubled(result.doubles)
        for order in result.working:
            self._settle(self.ledger.confirm(order, now))
        missing: tuple[Report, ...] = (*result.executions, *result.commissions)
        for report in missing:
            self._take(report)
        for ref in result.missed:
            self.ledger.missed(ref, facts.asked_at, now)
        for ref in result.given_up:
            self.ledger.give_up_gap(ref)
        for c in result.concluded:
            self._settle(self.ledger.conclude(c.order_ref, c.state, c.reason, now))
        self._settle(())
        for cancel in result.cancels:
            self._write_cancel(cancel)

    def _expected(self) -> Counter[str]:
        expected = Counter(self._outside.positions)
        for book in self._books.values():
            for symbol, quantity in book.positions.items():
                expected[symbol] += quantity
        return expected

    def _absorb(self, result: Reconciliation) -> None:
        payload = self._outside.observe(result.differences, self.ledger.doubtful_symbols, result.asked_at)
        if payload:
            self._recorder.record("outside", self.clock.now(), payload)
            self._outside.accept(payload)

    # ---- after a restart ----------------------------------------------------------------------------------------

    def restore(self, entries: Iterable[Entry]) -> None:
        """Rebuild orders, allocations and books from the journal's :data:`~.restoring.ACCOUNT_KINDS`, oldest first.

        Every order that was open is UNKNOWN until the next reconciliation. What was recorded as heard but not as
        counted, and crossings that were decided but not booked, are counted now.
        """
        rebuilt: Rebuilt = rebuild(entries, self.ledger, self._dealer, self._outside)
        self._books |= rebuilt.books
        now = self.clock.now()
        for entry in self.ledger.open_orders:
            self.ledger.doubt(entry.order_ref, "the engine was restarted", now)
        self._pending.extend(rebuilt.crossings)
        self._settle(())
        for report in rebuilt.money:
            self._settle(self.ledger.apply(report, now))

    def checkpoint(self) -> None:
        """Record every book as it stands, so that older sessions may be pruned from the journal."""
        now = self.clock.now()
        for name, book in self._books.items():
            payload = {"system": name, "cash": book.cash, "positions": dict(book.positions)}
            self._recorder.record("capital", now, payload)
        if self._outside.known:
            payload = {"positions": self.outside_positions, "changes": {}, "reason": "checkpoint"}
            self._recorder.record("outside", now, payload)

    def _as_intent(self, entry: AccountOrder) -> OrderIntent:
        o, part = entry.order, self._dealer.parts[entry.order_ref][0]
        decided_at, mid = part.intent.decided_at, part.intent.arrival_mid
        kind, limit = o.order_type, o.limit_price
        return OrderIntent(o.order_ref, o.symbol, o.side, entry.remaining, kind, limit, o.tif, decided_at, mid)


def _summary(facts: Facts, result: Reconciliation) -> Mapping[str, Any]:
    return {
        "asked_at": facts.asked_at,
        "told_at": facts.told_at,
        "positions": {p.symbol: p.quantity for p in facts.positions},
        "net_liquidation": flat(facts.account.net_liquidation),
        "cash": flat(facts.account.cash),
        "orders": len(facts.orders),
        "executions": len(facts.executions),
        "findings": flat(result.findings),
        "differences": flat(result.differences),
    }
