"""The account's order book of record: what the broker reports, in any order and any number of times, made into events.

Reports are hints about orders and facts about money: an execution always counts, once, by its execId, whatever state
its order is in; a state moves only along :data:`~.order_states.NEXT`. What stays doubtful is UNKNOWN until the broker's
facts settle it (:mod:`.reconcile`). Nothing here does I/O; `now` is UTC ns of our clock.
"""

from __future__ import annotations

from dataclasses import replace
from math import nan

from workbench.core.errors import DataError
from workbench.core.units import NS_PER_SECOND
from workbench.execution.account_order import AccountOrder, Transition
from workbench.execution.events import Commissioned, Corrected, LiveEvent
from workbench.execution.executions import ExecutionBook
from workbench.execution.order_codes import Meaning, meaning
from workbench.execution.order_states import AT_BROKER, DONE, NEXT, OPEN, OrderState
from workbench.execution.reports import (
    CommissionReport,
    ErrorReport,
    ExecutionReport,
    Link,
    LinkReport,
    OrderReport,
    OutgoingOrder,
    Report,
)
from workbench.gateway.events import Accepted, Cancelled, Filled, Rejected

WORKING = frozenset({"PreSubmitted", "Submitted"})
ENDED = frozenset({"Cancelled", "ApiCancelled", "Filled"})
ACKNOWLEDGE_NS = 10 * NS_PER_SECOND
"""An order or a cancel of which nothing was heard for this long is asked about: IB answers in well under a second."""
GAP_NS = 2 * NS_PER_SECOND
"""An execution that a status already counted is asked for after this: it normally follows within milliseconds."""


class OrderLedger:
    """All orders that this account's engine ever sent. `client_id` None: learned from the first report of an order."""

    def __init__(self, client_id: int | None = None) -> None:
        self.client_id = client_id
        self.orders: dict[str, AccountOrder] = {}  # order_ref -> order
        self.executions = ExecutionBook()
        self.transitions: list[Transition] = []
        """Changes of state that nobody has taken yet, oldest first; whoever journals them clears the list."""
        self._unsettled: set[str] = set()  # references of orders that are not over for good, as of the last look
        self._last_order_id = 0
        self._by_perm: dict[int, str] = {}  # permId -> order_ref
        self._by_id: dict[int, str] = {}  # orderId -> order_ref

    # ---- what we do ---------------------------------------------------------------------------------------------

    def intend(self, order: OutgoingOrder, now: int) -> AccountOrder:
        """Enter an order before it is journaled and sent; :class:`DataError` if its reference or id was used before."""
        for key, used in ((order.order_ref, self.orders), (order.order_id, self._by_id)):
            if key in used:
                raise DataError(
                    f"order {order.order_ref} ({order.symbol}): {key!r} was used before; nothing goes twice"
                )
        entry = self.orders[order.order_ref] = AccountOrder(order, OrderState.INTENDED, now, now)
        self._by_id[order.order_id] = order.order_ref
        self._last_order_id = max(self._last_order_id, order.order_id)
        self._unsettled.add(order.order_ref)
        return entry

    def sent(self, order_ref: str, now: int) -> None:
        """The order left for the broker."""
        entry = self.orders[order_ref]
        entry.sent_at = now
        self._become(entry, OrderState.SENT, "sent", now)

    def doubt(self, order_ref: str, reason: str, now: int) -> None:
        """Whether the order lives only the broker's facts can say."""
        self._become(self.orders[order_ref], OrderState.UNKNOWN, reason, now)

    def unsent(self, order_ref: str, reason: str, now: int) -> tuple[LiveEvent, ...]:
        """The order certainly never left."""
        return self.conclude(order_ref, OrderState.ABSENT, reason, now)

    def changed(self, order: OutgoingOrder) -> None:
        """A change of price went out for an order at the broker."""
        entry = self.orders[order.order_ref]
        entry.order, entry.changing = order, True

    def cancel_asked(self, order_ref: str, now: int, *, sent: bool) -> None:
        """A cancel is wanted; `sent` whether it could be written."""
        entry = self.orders[order_ref]
        entry.cancel_wanted = True
        if sent:
            entry.cancel_sent_at = now
            entry.cancels += 1
            if entry.state is not OrderState.UNKNOWN:
                self._become(entry, OrderState.CANCELLING, "cancel sent", now)

    # ---- what the broker says -----------------------------------------------------------------------------------

    def apply(self, report: Report, now: int, mid: float = nan) -> tuple[LiveEvent, ...]:
        """Events that follow from `report`; none if it says nothing new or concerns no order of ours.

        `mid`: of the market as an execution is heard of, NaN unknown; kept with the fill, and nothing depends on it.
        """
        match report:
            case ExecutionReport():
                return self._execution(report, now, mid)
            case CommissionReport():
                return self._commission(report)
            case OrderReport():
                return self._status(report, now)
            case ErrorReport():
                return self._error(report, now)
            case LinkReport():
                return self._link(report, now)

    def of(self, order_ref: str) -> AccountOrder:
        """Our order of this reference; :class:`DataError` if it was never entered."""
        if order_ref not in self.orders:
            raise DataError(
                f"order {order_ref} has fills or states in the journal, but no record of its sending; add the records "
                "of the fallback file to those that are restored"
            )
        return self.orders[order_ref]

    def find(self, report: OrderReport | ExecutionReport) -> AccountOrder | None:
        """Our order that a report speaks of: by reference, else permId, else order id of our client; None: foreign."""
        entry = self._found(report)
        if entry is not None:
            self._unsettled.add(entry.order_ref)  # what is reported may change it
        return entry

    def _found(self, report: OrderReport | ExecutionReport) -> AccountOrder | None:
        if report.order_ref:
            return self.orders.get(report.order_ref)
        if report.perm_id in self._by_perm:
            return self.orders[self._by_perm[report.perm_id]]
        if not report.order_id or report.client_id != self.client_id:
            return None
        entry = self.orders.get(self._by_id.get(report.order_id, ""))
        same = entry is not None and (entry.symbol, entry.order.side) == (report.symbol, report.side)
        return entry if same else None

    def know(self, entry: AccountOrder, perm_id: int) -> None:
        """The broker's own number of an order, 0 where there is none yet."""
        if perm_id:
            self._by_perm[perm_id] = entry.order_ref
            entry.perm_id = entry.perm_id or perm_id

    def age(self, now: int) -> None:
        """Doubt the orders of which nothing was heard for too long."""
        for entry in self.unsettled:
            if entry.state is OrderState.SENT and now - entry.sent_at > ACKNOWLEDGE_NS:
                self._become(entry, OrderState.UNKNOWN, "not acknowledged", now)
            if entry.state in DONE and not (entry.gap_at or entry.twins or entry.revived):
                self._unsettled.discard(entry.order_ref)

    # ---- what the facts prove -----------------------------------------------------------------------------------

    def confirm(self, report: OrderReport, now: int) -> tuple[LiveEvent, ...]:
        """The broker's facts show this order of ours at work, whatever we held it to be."""
        entry = self.find(report)
        if entry is None or entry.state is OrderState.FILLED:
            return ()
        claimed = self._learn(entry, report, now)
        entry.missed_at, entry.changing = 0, False
        entry.order = replace(entry.order, limit_price=report.limit_price)
        events = (*claimed, *self._acknowledge(entry, now))
        if entry.state in DONE:
            self._revive(entry, "the broker shows it at work", now)
        if entry.state is OrderState.CANCELLING and report.status != "PendingCancel":
            self._become(entry, OrderState.UNKNOWN, "the broker shows it at work", now)
        if entry.state in (OrderState.UNKNOWN, OrderState.INTENDED, OrderState.SENT):
            can = entry.order.order_id > 0  # without a number it cannot be cancelled
            doubted = report.status == "PendingCancel" or (can and (entry.cancel_wanted or entry.revived))
            state = OrderState.CANCELLING if doubted else OrderState.PARTIAL if entry.filled else OrderState.ACCEPTED
            self._become(entry, state, "the broker shows it at work", now)
        return events

    def conclude(self, order_ref: str, state: OrderState, reason: str, now: int) -> tuple[LiveEvent, ...]:
        """The order is over for a reason that was proved; the event that tells its systems."""
        entry = self.orders[order_ref]
        if not self._become(entry, state, reason, now):
            return ()
        if state in (OrderState.REJECTED, OrderState.ABSENT):
            return (Rejected(order_ref, entry.symbol, now, reason),)
        left = max(entry.remaining, 0)
        return (Cancelled(order_ref, entry.symbol, now, left, reason),) if left else ()

    def missed(self, order_ref: str, asked_at: int, now: int) -> None:
        """The broker's facts of `asked_at` did not know the order: doubt it, and note when that was first so."""
        entry = self.orders[order_ref]
        entry.missed_at = entry.missed_at or asked_at
        if entry.state in OPEN:
            self._become(entry, OrderState.UNKNOWN, "the broker did not show it", now)

    def doubled(self, reports: tuple[OrderReport, ...]) -> None:
        """These, and no others, are the second orders at the broker with a reference of ours."""
        for entry in self.unsettled:
            entry.twins.clear()
        for report in reports:
            ours = self.find(report)
            if ours is not None:
                self._twin(ours, report)

    def give_up_gap(self, order_ref: str) -> None:
        """No answer of the broker has the executions that a status counted: stop waiting for them."""
        entry = self.orders[order_ref]
        entry.told_filled, entry.gap_at, entry.missed_at = entry.filled, 0, 0

    def needs_facts(self, now: int) -> bool:
        """Whether something is in doubt that only the broker's facts can settle."""
        self.age(now)
        return any(
            entry.state is OrderState.UNKNOWN
            or entry.twins
            or (entry.gap_at and now - entry.gap_at > GAP_NS)
            or (entry.state is OrderState.CANCELLING and now - entry.state_at > ACKNOWLEDGE_NS)
            for entry in self.unsettled
            if entry.state not in DONE or entry.gap_at
        )

    @property
    def open_orders(self) -> tuple[AccountOrder, ...]:
        """Orders that may still fill."""
        return tuple(entry for entry in self.unsettled if entry.state in OPEN)

    @property
    def unsettled(self) -> tuple[AccountOrder, ...]:
        """Orders that are not over for good, in the order in which they were entered: few, however many there were."""
        return tuple(sorted((self.orders[ref] for ref in self._unsettled), key=lambda e: (e.sent_at, e.order.order_id)))

    @property
    def busy_symbols(self) -> frozenset[str]:
        """Symbols that have an order which may still fill, or executions not yet heard of: nothing new goes there."""
        return frozenset(e.symbol for e in self.unsettled if e.state in OPEN or e.gap_at)

    @property
    def doubtful_symbols(self) -> frozenset[str]:
        """Symbols of which something is not known that may have changed a position."""
        doubts = (OrderState.INTENDED, OrderState.SENT, OrderState.UNKNOWN)
        return frozenset(e.symbol for e in self.unsettled if e.state in doubts or e.gap_at)

    @property
    def last_order_id(self) -> int:
        """The highest order id ever used, 0 if none."""
        return self._last_order_id

    # ---- inside -------------------------------------------------------------------------------------------------

    def _execution(self, report: ExecutionReport, now: int, mid: float = nan) -> tuple[LiveEvent, ...]:
        entry = self.find(report)
        if entry is None:
            self.executions.outside(report)
            return ()
        change = self.executions.take(report, entry.order_ref)
        if change is None:
            return ()
        claimed = self._learn(entry, report, now)
        before = change[0]
        after = replace(change[1], mid=mid if before is None else before.mid)  # a correction does not move the market
        self.executions.restore(after)
        entry.missed_at = 0
        entry.filled += after.quantity - (before.quantity if before else 0)
        entry.settle_gap(now)
        if entry.state in (OrderState.ABSENT, OrderState.REJECTED):
            self._revive(entry, f"an execution came of an order held to be {entry.state}", now)
        if entry.state is OrderState.CANCELLED and entry.remaining <= 0:
            self._transit(entry, OrderState.FILLED, "filled after all", now)
        self._after_fill(entry, now)
        if before is not None:
            return (*claimed, Corrected(entry.order_ref, entry.symbol, before, after, after.time))
        filled = Filled(after, max(entry.remaining, 0), nan, nan)
        return (*claimed, filled, *self._due(after.exec_id))

    def _after_fill(self, entry: AccountOrder, now: int) -> None:
        if entry.remaining <= 0:
            state = OrderState.UNKNOWN if entry.twins else OrderState.FILLED
            self._become(entry, state, "filled", now)
        elif entry.state in (OrderState.INTENDED, OrderState.SENT, OrderState.ACCEPTED):
            entry.acknowledged = True
            self._become(entry, OrderState.PARTIAL, "filled in part", now)

    def _commission(self, report: CommissionReport) -> tuple[LiveEvent, ...]:
        self.executions.cost(report)
        return self._due(report.exec_id)

    def _due(self, exec_id: str) -> tuple[LiveEvent, ...]:
        """The commission of an execution that is known, if it was told and not booked yet."""
        due = self.executions.book_cost(exec_id)
        if due is None:
            return ()
        fill, exec_id, amount, time = due
        return (Commissioned(fill.order_ref, exec_id, fill.symbol, amount, time),)

    def _status(self, report: OrderReport, now: int) -> tuple[LiveEvent, ...]:
        entry = self.find(report)
        if entry is None:
            return ()
        if entry.perm_id and report.perm_id and report.perm_id != entry.perm_id:
            return self._twin(entry, report)
        events = self._learn(entry, report, now)
        entry.tell_filled(entry.order.quantity if report.status == "Filled" else report.filled, now)
        if report.status in WORKING or (report.status == "Inactive" and report.why_held):
            entry.last_error = 0
            entry.changing = entry.changing and report.limit_price != entry.order.limit_price
            return (*events, *self._work(entry, now))
        if report.status == "PendingCancel":
            self._become(entry, OrderState.CANCELLING, "the broker is cancelling it", now)
        elif report.status == "Inactive":
            self._become(entry, OrderState.UNKNOWN, "inactive: held or refused", now)
        elif report.status in ("Cancelled", "ApiCancelled"):
            return (*events, *self._cancelled(entry, now, report.status))
        return events

    def _work(self, entry: AccountOrder, now: int) -> tuple[LiveEvent, ...]:
        if entry.state is OrderState.ABSENT:
            self._revive(entry, "held to be absent, and now reported at work", now)
            return ()
        if entry.state not in (OrderState.INTENDED, OrderState.SENT):
            return ()
        events = self._acknowledge(entry, now)
        self._become(entry, OrderState.ACCEPTED, "acknowledged", now)
        return events

    def _acknowledge(self, entry: AccountOrder, now: int) -> tuple[LiveEvent, ...]:
        if entry.acknowledged:
            return ()
        entry.acknowledged = True
        return (Accepted(entry.order_ref, entry.symbol, now),)

    def _cancelled(self, entry: AccountOrder, now: int, reason: str) -> tuple[LiveEvent, ...]:
        """Over, unless another order of the same reference lives, or the word follows an error that is no end."""
        if entry.twins:
            entry.promote()
            self._by_perm[entry.perm_id] = entry.order_ref
            self._become(entry, OrderState.UNKNOWN, "cancelled, but a second order of this reference works", now)
            return ()
        if entry.last_error:  # both client libraries say Cancelled after errors that end nothing
            self._become(entry, OrderState.UNKNOWN, f"called cancelled after error {entry.last_error}", now)
            return ()
        return self.conclude(entry.order_ref, OrderState.CANCELLED, reason, now)

    def _twin(self, entry: AccountOrder, report: OrderReport) -> tuple[LiveEvent, ...]:
        """A second order with our reference but another permId: it happens to changes sent during an outage."""
        self._by_perm[report.perm_id] = entry.order_ref
        if report.status in ENDED or entry.state in DONE:
            entry.twins.pop(report.perm_id, None)
        else:
            entry.twins[report.perm_id] = report
        return ()

    def _error(self, report: ErrorReport, now: int) -> tuple[LiveEvent, ...]:
        ref = report.order_ref or self._by_id.get(report.order_id, "")
        entry = self.orders.get(ref)
        if entry is None or entry.state in DONE or report.order_id not in (0, entry.order.order_id):
            return ()  # the last: it is about the order that a second one of the same reference took the place of
        asked = entry.changing or entry.cancel_sent_at > 0
        what, reason = meaning(report.code, acknowledged=entry.acknowledged, asked=asked), _reason(report)
        if what is Meaning.CANCELLED:
            entry.last_error = 0
            return self._cancelled(entry, now, reason)
        entry.last_error = report.code
        entry.changing = False
        if what is Meaning.DOUBT:
            self._become(entry, OrderState.UNKNOWN, reason, now)
        if what is not Meaning.REJECTED:
            return ()
        return self.conclude(ref, OrderState.CANCELLED if entry.filled else OrderState.REJECTED, reason, now)

    def _link(self, report: LinkReport, now: int) -> tuple[LiveEvent, ...]:
        if report.link in (Link.DOWN, Link.CUT):
            for entry in self.unsettled:
                if entry.state in AT_BROKER:
                    self._become(entry, OrderState.UNKNOWN, f"connection {report.link}", now)
        return ()

    def _learn(self, entry: AccountOrder, report: OrderReport | ExecutionReport, now: int) -> tuple[LiveEvent, ...]:
        """Note the permId and client of an order; executions that were foreign for want of the permId become ours."""
        if report.order_ref and self.client_id is None and report.client_id:
            self.client_id = report.client_id
        if not report.perm_id or report.perm_id in self._by_perm:
            return ()
        self.know(entry, report.perm_id)
        events: tuple[LiveEvent, ...] = ()
        for execution in self.executions.claim(report.perm_id):
            events += self._execution(execution, now)
        return events

    def _revive(self, entry: AccountOrder, reason: str, now: int) -> None:
        """An order that its systems believe over lives: it is in doubt again."""
        entry.revived = True
        self._transit(entry, OrderState.UNKNOWN, reason, now)

    def _become(self, entry: AccountOrder, state: OrderState, reason: str, now: int) -> bool:
        """Move on, never back: what is over stays over but for :meth:`_revive`."""
        return entry.state not in DONE and self._transit(entry, state, reason, now)

    def _transit(self, entry: AccountOrder, state: OrderState, reason: str, now: int) -> bool:
        if state not in NEXT[entry.state] or state is entry.state:
            return False
        self._unsettled.add(entry.order_ref)
        self.transitions.append(Transition.of(entry, state, reason, now))
        entry.state, entry.state_at = state, now
        return True


def _reason(report: ErrorReport) -> str:
    return f"error {report.code}: {report.text}"
