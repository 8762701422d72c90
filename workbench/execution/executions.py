"""Executions by execId: each counts once, a later revision takes its place, its commission is booked once.

An execId ends in a revision: ``0001.02`` corrects ``0001.01``. The part before it names the execution.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

from workbench.core.types import Fill
from workbench.execution.reports import CommissionReport, ExecutionReport

UNSET = 1e300
"""A commission above this is IB's way to say that there is none."""


def revision(exec_id: str) -> tuple[str, int]:
    """Name and revision of an execution.

    >>> revision("0000e0d5.6424.01.02"), revision("paper-7")
    (('0000e0d5.6424.01', 2), ('paper-7', 0))
    """
    head, _, last = exec_id.rpartition(".")
    return (head, int(last)) if head and last.isdecimal() else (exec_id, 0)


@dataclass(slots=True)
class _Cost:
    """`told` USD at revision `number`; `booked` USD so far."""

    exec_id: str
    number: int
    told: float
    time: int
    booked: float = 0.0
    done: bool = False


class ExecutionBook:
    """Fills of our orders, executions of others, and what they cost."""

    def __init__(self) -> None:
        self.fills: dict[str, Fill] = {}  # name of the execution -> its latest revision, ours
        self.foreign: dict[str, ExecutionReport] = {}  # name -> its latest revision, not ours
        self._costs: dict[str, _Cost] = {}  # name -> commission

    def known(self, exec_id: str) -> bool:
        """Whether this revision, or a later one, was counted."""
        name, number = revision(exec_id)
        return name in self.fills and number <= revision(self.fills[name].exec_id)[1]

    def take(self, report: ExecutionReport, order_ref: str) -> tuple[Fill | None, Fill] | None:
        """(what was counted before, what counts now), or None if this says nothing new."""
        if self.known(report.exec_id):
            return None
        name = revision(report.exec_id)[0]
        before = self.fills.get(name)
        after = Fill(
            report.exec_id, order_ref, report.symbol, report.side, report.quantity, report.price, 0.0, report.time
        )
        self.fills[name] = after
        self.foreign.pop(name, None)
        return before, after

    def outside(self, report: ExecutionReport) -> None:
        """Keep an execution that belongs to no order of ours."""
        name, number = revision(report.exec_id)
        held = self.foreign.get(name)
        if held is None or revision(held.exec_id)[1] < number:
            self.foreign[name] = report

    def claim(self, perm_id: int) -> tuple[ExecutionReport, ...]:
        """Executions held to be foreign whose permId turns out to be ours."""
        return tuple(r for r in self.foreign.values() if r.perm_id == perm_id)

    def cost(self, report: CommissionReport) -> None:
        """Note what an execution cost; its execution may still be to come."""
        if not (isfinite(report.commission) and abs(report.commission) < UNSET):
            return
        name, number = revision(report.exec_id)
        held = self._costs.get(name)
        if held is None:
            self._costs[name] = _Cost(report.exec_id, number, report.commission, report.time)
        elif number > held.number:
            booked = held.booked if held.done else 0.0
            self._costs[name] = _Cost(report.exec_id, number, report.commission, report.time, booked)

    def book_cost(self, exec_id: str) -> tuple[Fill, str, float, int] | None:
        """(fill, execId, USD to book now, time) of an execution that is known and whose cost is told; else None."""
        name = revision(exec_id)[0]
        fill, cost = self.fills.get(name), self._costs.get(name)
        if fill is None or cost is None or cost.done:
            return None
        amount, cost.booked, cost.done = cost.told - cost.booked, cost.told, True
        return (fill, cost.exec_id, amount, cost.time) if amount else None

    def restore(self, fill: Fill) -> None:
        """Count a fill that was recorded before a restart."""
        self.fills[revision(fill.exec_id)[0]] = fill

    def restore_cost(self, exec_id: str, amount: float, time: int) -> None:
        """Count a commission that was recorded before a restart; `amount` adds to what is booked."""
        name, number = revision(exec_id)
        booked = (self._costs[name].booked if name in self._costs else 0.0) + amount
        self._costs[name] = _Cost(exec_id, number, booked, time, booked, True)

    def costed(self, exec_id: str) -> bool:
        """Whether the commission of this revision, or of a later one, was told."""
        name, number = revision(exec_id)
        return name in self._costs and number <= self._costs[name].number
