"""What the broker's facts say against what we hold: pure, so that start, restart and every minute are one path.

Nothing is changed here: a :class:`Reconciliation` lists what is to be done, and findings name thing, values, remedy.
An order of which no fact knows is over only after the second such answer: lists that the broker puts together one
after the other can miss an order on its way from one to the next, and one that was just sent may not be in any.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from workbench.core.units import NS_PER_SECOND
from workbench.execution.account_order import AccountOrder, beyond_recall
from workbench.execution.executions import revision
from workbench.execution.netting import OUR_MARK
from workbench.execution.order_ledger import ACKNOWLEDGE_NS, ENDED, OrderLedger
from workbench.execution.order_states import DONE, OPEN, OrderState
from workbench.execution.reports import AccountReport, CommissionReport, ExecutionReport, Facts, OrderReport

ABSENCE_NS = 3 * NS_PER_SECOND
"""Time between the two answers that must both not know an order: a gateway that just came back fills its lists within
a second or two (IBKR_WIRE, restart scenarios); one answer alone proves nothing."""


class Matter(StrEnum):
    """What a finding is about."""

    MISSED = "missed"
    """A fill that we had not heard of."""
    ADOPTED = "adopted"
    LOST = "lost"
    """An order that no fact knows."""
    REVIVED = "revived"
    DOUBLED = "doubled"
    FOREIGN = "foreign"
    GAP = "gap"
    """Shares counted by the broker without executions."""
    TERMS = "terms"
    POSITION = "position"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a person should know; `text` names the thing, the values and the remedy."""

    matter: Matter
    symbol: str
    order_ref: str
    text: str


@dataclass(frozen=True, slots=True)
class Conclusion:
    """An order of ours is over, as proved by the facts."""

    order_ref: str
    state: OrderState
    reason: str


@dataclass(frozen=True, slots=True)
class Cancel:
    """A cancel to send. `order_ref` empty: a foreign order; `surplus`: only a double of an order of ours."""

    order_id: int
    order_ref: str
    reason: str
    surplus: bool = False


@dataclass(frozen=True, slots=True)
class Difference:
    """The account holds `account` shares, our books and the outside position say `expected`."""

    symbol: str
    account: int
    expected: int


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """What is to be done, in this order.

    `working` orders confirmed (their `doubles` noted), `executions` and `commissions` taken in, `missed` orders put in
    doubt, gaps of those `given_up` closed, `concluded` ones ended, `cancels` sent.
    """

    asked_at: int
    told_at: int
    working: tuple[OrderReport, ...] = ()
    doubles: tuple[OrderReport, ...] = ()
    executions: tuple[ExecutionReport, ...] = ()
    commissions: tuple[CommissionReport, ...] = ()
    concluded: tuple[Conclusion, ...] = ()
    missed: tuple[str, ...] = ()
    given_up: tuple[str, ...] = ()
    cancels: tuple[Cancel, ...] = ()
    foreign: tuple[OrderReport, ...] = ()
    differences: tuple[Difference, ...] = ()
    findings: tuple[Finding, ...] = ()
    account: AccountReport | None = None


def reconcile(
    ledger: OrderLedger, facts: Facts, expected_positions: Mapping[str, int], *, unknown_orders: str = "leave"
) -> Reconciliation:
    """Compare. `expected_positions`: systems plus outside, before the executions that this finds missing.

    `unknown_orders`: "leave" or "cancel" working orders that are not ours (only those of our own client can be).
    """
    return _Comparison(ledger, facts, unknown_orders).result(expected_positions)


class _Comparison:
    def __init__(self, ledger: OrderLedger, facts: Facts, unknown_orders: str) -> None:
        self.ledger, self.facts, self.unknown_orders = ledger, facts, unknown_orders
        self.findings: list[Finding] = []
        self.cancels: list[Cancel] = []
        self.working: list[OrderReport] = []
        self.doubles: list[OrderReport] = []
        self.concluded: list[Conclusion] = []
        self.missed: list[str] = []
        self.given_up: list[str] = []
        self.foreign: list[OrderReport] = []
        self.live: dict[str, list[OrderReport]] = defaultdict(list)  # order_ref -> at work now
        self.over: dict[str, list[OrderReport]] = defaultdict(list)  # order_ref -> done today
        self.perms: dict[int, AccountOrder] = {}  # permId -> our order, as the facts have it

    def result(self, expected: Mapping[str, int]) -> Reconciliation:
        for report in self.facts.orders:
            self._sort(report, report.status in ENDED)
        for report in self.facts.completed:
            self._sort(report, True)
        executions = self._news()
        gained = self._gained(executions)
        for entry in self.ledger.orders.values():
            self._order(entry, gained[entry.order_ref])
        self._foreign()
        differences = self._differences(executions, expected)
        commissions = tuple(c for c in self.facts.commissions if not self.ledger.executions.costed(c.exec_id))
        return Reconciliation(
            asked_at=self.facts.asked_at,
            told_at=self.facts.told_at,
            working=tuple(self.working),
            doubles=tuple(self.doubles),
            executions=executions,
            commissions=commissions,
            concluded=tuple(self.concluded),
            missed=tuple(self.missed),
            given_up=tuple(self.given_up),
            cancels=tuple(self.cancels),
            foreign=tuple(self.foreign),
            differences=differences,
            findings=tuple(self.findings),
            account=self.facts.account,
        )

    def _find(self, matter: Matter, symbol: str, ref: str, text: str) -> None:
        self.findings.append(Finding(matter, symbol, ref, text))

    # ---- orders and executions by owner -------------------------------------------------------------------------

    def _sort(self, report: OrderReport, done: bool) -> None:
        entry = self.ledger.find(report)
        if entry is not None:
            (self.over if done else self.live)[entry.order_ref].append(report)
            if report.perm_id:
                self.perms[report.perm_id] = entry
        elif not done:
            self.foreign.append(report)

    def _owner(self, report: ExecutionReport) -> AccountOrder | None:
        return self.ledger.find(report) or (None if report.order_ref else self.perms.get(report.perm_id))

    def _news(self) -> tuple[ExecutionReport, ...]:
        """Executions that we have not counted: of each the latest revision."""
        latest: dict[str, ExecutionReport] = {}
        for report in self.facts.executions:
            name, number = revision(report.exec_id)
            if name not in latest or revision(latest[name].exec_id)[1] < number:
                latest[name] = report
        book = self.ledger.executions
        return tuple(r for r in latest.values() if not book.known(r.exec_id) and r != book.foreign.get(_name(r)))

    def _gained(self, executions: tuple[ExecutionReport, ...]) -> Counter[str]:
        """order_ref -> shares that the missing executions add."""
        gained: Counter[str] = Counter()
        for report in executions:
            entry, counted = self._owner(report), self.ledger.executions.fills.get(_name(report))
            if entry is None:
                self._find(Matter.FOREIGN, report.symbol, "", _foreign_trade(report))
                continue
            gained[entry.order_ref] += report.quantity - (counted.quantity if counted else 0)
            what = f"execution {report.exec_id} of {report.quantity} {report.symbol} at {report.price}"
            self._find(Matter.MISSED, report.symbol, entry.order_ref, f"{what} was not heard of; it is counted now")
        return gained

    # ---- one order of ours --------------------------------------------------------------------------------------

    def _order(self, entry: AccountOrder, gained: int) -> None:
        live = self.live.get(entry.order_ref, [])
        if live and (entry.state in OPEN or entry.state_at < self.facts.asked_at):
            self._at_work(entry, live)
        elif entry.state in DONE:
            if entry.gap_at and entry.told_filled > entry.filled + gained:
                self._gap(entry, entry.told_filled, gained, None)
        elif entry.sent_at >= self.facts.asked_at:
            return  # younger than these facts
        elif entry.filled + gained < entry.order.quantity:
            self._not_at_work(entry, gained)
        else:
            self.concluded.append(Conclusion(entry.order_ref, OrderState.FILLED, "filled"))

    def _at_work(self, entry: AccountOrder, live: list[OrderReport]) -> None:
        main = next((o for o in live if o.perm_id == entry.perm_id), live[0])
        self.working.append(main)
        ref, symbol = entry.order_ref, entry.symbol
        for other in live:
            if other is not main:
                self.doubles.append(other)
                self._doubled(entry, main, other)
        if main.quantity != entry.order.quantity:
            text = f"order {ref} is for {main.quantity} {symbol} at the broker, {entry.order.quantity} were sent"
            self._find(Matter.TERMS, symbol, ref, f"{text}; somebody changed it: its further fills count as they come")
        if entry.state in DONE:
            text = f"order {ref} ({symbol}) was held to be {entry.state} and works at the broker: it is cancelled"
            self._find(Matter.REVIVED, symbol, ref, text)
            self._cancel(entry, main, f"held to be {entry.state}")
        elif entry.cancel_wanted or entry.revived:
            self._cancel(entry, main, "still at work after a cancel was asked")
        elif entry.state in (OrderState.INTENDED, OrderState.SENT, OrderState.UNKNOWN):
            text = f"order {ref} ({symbol}) was {entry.state} and works at the broker as {main.status}: adopted"
            self._find(Matter.ADOPTED, symbol, ref, text)

    def _doubled(self, entry: AccountOrder, main: OrderReport, other: OrderReport) -> None:
        """Two orders of one reference: one goes, the later if it can be cancelled at all (it may have no order id)."""
        surplus = other if other.order_id and other.order_id != main.order_id else main
        ids = f"permIds {main.perm_id} and {other.perm_id}"
        text = f"order {entry.order_ref} ({entry.symbol}) works twice at the broker, {ids}; order {surplus.order_id}"
        self._find(Matter.DOUBLED, entry.symbol, entry.order_ref, f"{text} is cancelled as surplus")
        self.cancels.append(Cancel(surplus.order_id, entry.order_ref, "the same order works twice", surplus=True))

    def _cancel(self, entry: AccountOrder, main: OrderReport, reason: str) -> None:
        pause = ACKNOWLEDGE_NS if entry.cancels > 1 else 0
        fresh = entry.cancel_sent_at and entry.cancel_sent_at >= self.facts.asked_at - pause
        if fresh or main.status == "PendingCancel" or beyond_recall(entry, self.facts.told_at):
            return  # on its way, refused a moment ago, or in vain: it is not asked for again and again
        if main.order_id:
            self.cancels.append(Cancel(main.order_id, entry.order_ref, reason))
            return
        text = f"order {entry.order_ref} ({entry.symbol}, permId {main.perm_id}) has no order id, so it cannot be"
        self._find(Matter.DOUBLED, entry.symbol, entry.order_ref, f"{text} cancelled from here: cancel it in TWS")

    def _not_at_work(self, entry: AccountOrder, gained: int) -> None:
        ref, symbol = entry.order_ref, entry.symbol
        over = self.over.get(ref, [])
        if over:
            told = max(entry.order.quantity if o.status == "Filled" else o.filled for o in over)
            ended = _ended_as(over[-1], entry)
            if told > entry.filled + gained:
                self._gap(entry, told, gained, Conclusion(ref, ended, f"the broker calls it {over[-1].status}"))
            else:
                self.concluded.append(Conclusion(ref, ended, f"the broker calls it {over[-1].status}"))
            return
        if not self._proved(entry):
            return
        arrived = entry.acknowledged or entry.perm_id or entry.filled + gained
        state, what = (OrderState.CANCELLED, "is gone") if arrived else (OrderState.ABSENT, "never arrived")
        text = f"order {ref} ({entry.order.quantity} {symbol}) {what}: twice in no list of the broker"
        self._find(Matter.LOST, symbol, ref, text)
        self.concluded.append(Conclusion(ref, state, f"{what}: the broker does not know it"))

    def _gap(self, entry: AccountOrder, told: int, gained: int, conclusion: Conclusion | None) -> None:
        """The broker counts more than the executions it gives: wait for a second answer, then go on without."""
        if not self._proved(entry):
            return
        known = entry.filled + gained
        text = f"order {entry.order_ref}: the broker counts {told} {entry.symbol} filled, its executions are {known}"
        self._find(Matter.GAP, entry.symbol, entry.order_ref, f"{text}; compare the account's statement and book it")
        self.given_up.append(entry.order_ref)
        if conclusion:
            self.concluded.append(conclusion)

    def _proved(self, entry: AccountOrder) -> bool:
        """Whether this is the second answer; the first one is noted."""
        if entry.missed_at and self.facts.asked_at - entry.missed_at >= ABSENCE_NS:
            return True
        self.missed.append(entry.order_ref)
        return False

    # ---- what is not ours ---------------------------------------------------------------------------------------

    def _foreign(self) -> None:
        for o in self.foreign:
            what = f"order {o.order_ref or o.perm_id} ({o.side * o.quantity:+d} {o.symbol}, client {o.client_id})"
            mine = o.client_id == self.ledger.client_id and o.order_id > 0
            whose = "has our mark but is not in this journal" if o.order_ref.startswith(OUR_MARK) else "is not ours"
            if self.unknown_orders == "cancel" and mine:
                self.cancels.append(Cancel(o.order_id, "", whose))
                done = "it is cancelled"
            else:
                done = "it is left alone" if self.unknown_orders == "leave" else "only its own client can cancel it"
            self._find(Matter.FOREIGN, o.symbol, o.order_ref, f"{what} {whose}; {done}")

    def _differences(
        self, executions: tuple[ExecutionReport, ...], expected: Mapping[str, int]
    ) -> tuple[Difference, ...]:
        wanted = Counter(dict(expected))
        for r in executions:
            if self._owner(r) is not None:
                counted = self.ledger.executions.fills.get(_name(r))
                wanted[r.symbol] += r.side * r.quantity - (counted.side * counted.quantity if counted else 0)
        account = {p.symbol: p.quantity for p in self.facts.positions}
        symbols = sorted({*wanted, *account})
        found = (Difference(s, account.get(s, 0), wanted[s]) for s in symbols if account.get(s, 0) != wanted[s])
        differences = tuple(found)
        for d in differences:
            text = f"the account holds {d.account} {d.symbol}, our books say {d.expected}: traded outside, or a fill is"
            self._find(Matter.POSITION, d.symbol, "", f"{text} missing; if it stays it counts as an outside position")
        return differences


def _name(report: ExecutionReport) -> str:
    return revision(report.exec_id)[0]


def _ended_as(report: OrderReport, entry: AccountOrder) -> OrderState:
    refused = report.status == "Inactive" and not entry.filled
    return OrderState.REJECTED if refused else OrderState.FILLED if report.status == "Filled" else OrderState.CANCELLED


def _foreign_trade(report: ExecutionReport) -> str:
    what = f"{report.side * report.quantity:+d} {report.symbol} at {report.price} (execution {report.exec_id})"
    return f"{what} was traded outside of this program, by client {report.client_id}; it belongs to no system"
