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
from workbench.execution.dealing import Part
from workbench.execution.events import LiveEvent
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
    OutgoingOrder,
    Report,
)
from workbench.execution.restoring import Rebuilt, rebuild
from workbench.execution.sending import Quoted, number_orders, place_all, write_ahead
from workbench.execution.sifting import Cut, Most, Refuse, gone, sift, within
from workbench.execution.system_books import SystemBooks
from workbench.execution.system_broker import SystemBroker
from workbench.execution.working import UNKNOWN
from workbench.journal import Entry, Journal, JournalError

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
        self.most: Callable[[str, str], Most] = lambda system, symbol: Most()
        """What an order of the account in a symbol may have, by the guards of a system that wants to trade it."""
        self._recorder = Recorder(journal, fallback)
        self._systems = SystemBooks(self._recorder, clock)
        self._outside = Outside()
        self._wishes: list[Wish] = []
        self._heard: queue.SimpleQueue[Report] = queue.SimpleQueue()
        self._reports: deque[Report] = deque()  # taken from the queue, not yet recorded
        self._link_up = connection.connected
        self._links = 0  # changes of the link so far
        self._asked_at = 0

    # ---- systems ------------------------------------------------------------------------------------------------

    def system(self, name: str, capital: float | None = None) -> SystemBroker:
        """The broker of a system. `capital` USD opens its book where it has none yet, which is journaled."""
        if name not in self.names:
            raise DataError(f"system {name} is not of this account, which has {', '.join(self.names)}")
        systems = self._systems
        if name not in systems.brokers:
            if name not in systems.books:
                if capital is None:
                    raise DataError(f"system {name} has no book in this journal yet; give it a capital in USD")
                systems.open_book(name, capital)
            systems.brokers[name] = SystemBroker(self, name, systems.books[name].copy())
        return systems.brokers[name]

    def collect(self, wish: Wish) -> None:
        """Keep what a system wants until the next flush."""
        self._wishes.append(wish)

    def open_parts(self, system: str) -> tuple[Part, ...]:
        """What `system` still has in orders that may fill."""
        return self._systems.parts_of(system, [e.order_ref for e in self.ledger.open_orders])

    def cancel_for(self, system: str, order_ref: str) -> None:
        """Cancel a system's order; not yet sent, it is withdrawn; shared with others, the whole order is cancelled."""
        now = self.clock.now()
        for wish in [w for w in self._wishes if (w.system, w.intent.order_ref) == (system, order_ref)]:
            self._wishes.remove(wish)
            self._systems.brokers[system].withdraw(wish, now)
        parent = self._systems.dealer.parent.get((system, order_ref))
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
    def collected(self) -> tuple[OrderIntent, ...]:
        """Orders that systems want and that were not sent yet."""
        return tuple(wish.intent for wish in self._wishes)

    @property
    def booked(self) -> frozenset[str]:
        """Systems that have a book."""
        return frozenset(self._systems.books)

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
        refused: list[Cut] = []
        try:
            return self._send(wishes, now, refused)
        finally:
            self._systems.refuse(refused, now)

    def _send(self, wishes: list[Wish], now: int, refused: list[Cut]) -> int:
        def refuse(wish: Wish, reason: str) -> None:
            refused.append(Cut(wish, wish.intent.quantity, reason))

        kept = self._may_go(wishes, refused, refuse)
        if not kept:
            return 0
        done = False
        try:
            planned, numbered = write_ahead(
                self._recorder, lambda p: number_orders(self.connection, self.ledger, p), kept,
                self._systems.positions, now, refuse, self.market(now),
            )  # fmt: skip
            done = True
        except NotConnected as error:
            for wish in kept:
                refuse(wish, str(error))
            return 0
        finally:
            if not done:
                told = [cut.wish for cut in refused]
                for wish in kept:
                    if wish not in told:
                        refuse(wish, "it could not be numbered or recorded, so it was not sent")
        for wish, reason in planned.held:
            refuse(wish, reason)
        for net_order, order in numbered:
            self.ledger.intend(order, now)
            self._systems.dealer.add(order.order_ref, net_order.shares)
        for cross in planned.crosses:
            self._systems.later(self._systems.dealer.crossings(cross, now))
        written = self._place([order for _, order in numbered])
        self._settle(())
        return written

    def _may_go(self, wishes: list[Wish], refused: list[Cut], refuse: Refuse) -> tuple[Wish, ...]:
        """What may go out of each wish; what is taken from it is `refused`."""
        held, outside, dealer = self._systems.held, self._outside.positions, self._systems.dealer

        def missing(wish: Wish, taken: int) -> str:
            symbol = wish.intent.symbol
            return gone(wish, taken, held[symbol], outside.get(symbol, 0))

        kept = sift(wishes, self.ledger.busy_symbols, dealer.used, self._why_not(), missing, refuse)
        kept, cuts = within(kept, self._systems.positions, self.most)
        for cut in cuts:
            self._systems.brokers[cut.wish.system].cut(cut)
        refused.extend(cuts)
        return kept

    def _place(self, orders: list[Any]) -> int:
        done = False
        try:
            unsent = place_all(self.connection, self.ledger, orders, self.clock.now, self.held)
            done = True
        finally:
            if not done:  # whatever broke: what was being written is in doubt, and so is what was not reached
                self._abandon(orders)
        for ref, why in unsent:
            self._systems.later(self.ledger.unsent(ref, why, self.clock.now()))
        return len(orders) - len(unsent)

    def _abandon(self, orders: list[Any]) -> None:
        for order in orders:
            if self.ledger.orders[order.order_ref].state is OrderState.INTENDED:
                self.ledger.doubt(order.order_ref, "sending broke off", self.clock.now())

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
        if not self._changing(before, order):
            return False
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

    def _changing(self, before: OutgoingOrder, after: OutgoingOrder) -> bool:
        """Record a change of the limit ahead of it; False where it was not recorded, so that it must not be made.

        Where the journal refuses, only an order that reduces may be changed, recorded in the fallback.
        """
        ids = {"order_ref": after.order_ref, "order_id": after.order_id, "symbol": after.symbol}
        payload = flat({**ids, "from": before.limit_price, "limit_price": after.limit_price})
        spare = self._systems.only_reduces(after.order_ref)
        try:
            self._recorder.record("change", self.clock.now(), payload, spare=spare)
        except JournalError:
            return False
        return True

    def change_for(self, system: str, order_ref: str, limit_price: float) -> bool:
        """Move the limit of a system's order; False where it may not be changed, or others share in it."""
        dealer = self._systems.dealer
        parent = dealer.parent.get((system, order_ref))
        alone = parent is not None and len(dealer.parts[parent]) == 1
        return alone and parent is not None and self.change(parent, limit_price)

    def cancel_all(self, reason: str) -> None:
        """Withdraw what was not sent and cancel our orders, and only ours."""
        now = self.clock.now()
        for wish in self._wishes:
            self._systems.brokers[wish.system].withdraw(wish, now)
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
        self._systems.later(("order_state", flat(t)) for t in self.ledger.transitions)
        self.ledger.transitions.clear()
        self._systems.later(events)
        self._systems.settle()

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
        expected.update(self._systems.held)
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
        rebuilt: Rebuilt = rebuild(entries, self.ledger, self._systems.dealer, self._outside)
        self._systems.books |= rebuilt.books
        now = self.clock.now()
        for entry in self.ledger.open_orders:
            self.ledger.doubt(entry.order_ref, "the engine was restarted", now)
        self._systems.later(rebuilt.crossings)
        self._settle(())
        for report in rebuilt.money:
            self._settle(self.ledger.apply(report, now))

    def checkpoint(self) -> None:
        """Record every book as it stands, so that older sessions may be pruned from the journal."""
        self._systems.checkpoint()
        if self._outside.known:
            payload = {"positions": self.outside_positions, "changes": {}, "reason": "checkpoint"}
            self._recorder.record("outside", self.clock.now(), payload)

    def _as_intent(self, entry: AccountOrder) -> OrderIntent:
        o, part = entry.order, self._systems.dealer.parts[entry.order_ref][0]
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
