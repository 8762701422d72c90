"""Places at which an engine can be made to end: before and after each record of its journal and each broker call.

A site is ``journal:KIND`` (a kind of record; reports and states of orders with what they say) or ``broker:CALL``, each
before and after it is done. A run with no failpoint counts the passages of every site, so that a new kind of record is
a site by itself.
"""

from __future__ import annotations

import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from rig import Rig
from sqlalchemy import event

from workbench.core.units import NS_PER_SECOND
from workbench.engine import process
from workbench.engine.agenda import next_bar_end
from workbench.execution.ibkr.connection import IbkrConnection
from workbench.journal import SqlJournal
from workbench.journal.sql import Record

CALLS = ("open", "reserve_order_id", "place", "cancel", "what_if", "facts", "server_time", "qualify", "watch", "bars")
"""What the engine asks of the broker's connection and waits for."""
SENT = ("place", "cancel")
"""Those that wait for no answer: a socket that is closed at once can lose what was just written."""


class Crash(BaseException):
    """The process ends here; nothing of ours catches it."""


class Site(NamedTuple):
    """The `passage`-th time (from 1) that the engine comes to `name`, before or after it is done."""

    name: str
    when: str
    passage: int

    def __str__(self) -> str:
        return f"{self.when} {self.name} {self.passage}"


@dataclass
class Failpoints:
    """Counts passages; at `at` it calls `end`, and from then on nothing passes any more: the process is dead."""

    at: Site | None = None
    end: Callable[[], None] = lambda: None
    passed: Counter[tuple[str, str]] = field(default_factory=Counter)
    dead: bool = False
    in_memory: bool = True
    """Whether the end is an exception, not the end of a process."""
    late: list[str] = field(default_factory=list)
    """Symbols of which the next answers with live bars lack the bar: one of each answer."""

    def come(self, name: str, when: str) -> None:
        """The engine is at a site; :class:`Crash` if it ends there."""
        if self.dead:
            raise Crash("dead already")
        self.passed[name, when] += 1
        if self.at == Site(name, when, self.passed[name, when]):
            self.dead = True
            self.end()
            raise Crash(str(self.at))

    @property
    def journal_type(self) -> Any:
        """A journal with these failpoints, for ``Rig.open``."""
        return partial(FailingJournal, self)

    @property
    def connection_type(self) -> Any:
        """A connection with these failpoints, for ``Rig.open``."""
        return partial(FailingConnection, self)


class FailingJournal(SqlJournal):
    """A journal whose writes are sites."""

    def __init__(self, points: Failpoints, *args: Any, **kwargs: Any) -> None:
        self._points = points
        super().__init__(*args, **kwargs)
        if points.in_memory:  # what ends is no machine and no process: the disk need not be waited for
            event.listen(self._database._engine, "connect", lambda db, _: db.execute("PRAGMA synchronous=OFF"))
            self._database._engine.dispose()

    def record_many(self, records: Iterable[Record]) -> tuple[int, ...]:
        made = tuple(Record(*r) for r in records)
        name = f"journal:{site_of(made[0])}"
        self._points.come(name, "before")
        numbers = super().record_many(made)
        self._points.come(name, "after")
        return numbers


class FailingConnection(IbkrConnection):
    """A connection whose calls are sites."""

    def __init__(self, points: Failpoints, *args: Any, **kwargs: Any) -> None:
        self._points = points
        super().__init__(*args, **kwargs)


def _site(call: str) -> Callable[..., Any]:
    def called(self: FailingConnection, *args: Any, **kwargs: Any) -> Any:
        self._points.come(f"broker:{call}", "before")
        answer = getattr(IbkrConnection, call)(self, *args, **kwargs)
        if call in SENT:  # in lockstep: what was written has been read, whatever becomes of the socket
            IbkrConnection.server_time(self)
        self._points.come(f"broker:{call}", "after")
        return answer

    return called


def _late(self: FailingConnection, symbols: Sequence[str], interval: int, end: int, count: int) -> Any:
    wanted = symbols
    if count == 1 and self._points.late:
        missing = self._points.late.pop()
        wanted = [s for s in symbols if s != missing]
    return _site("bars")(self, wanted, interval, end, count)


for _call in CALLS:
    setattr(FailingConnection, _call, _late if _call == "bars" else _site(_call))


def site_of(record: Record) -> str:
    """The kind of a record, with what a report or a change of state says.

    >>> site_of(Record("report", 0, {"type": "execution"})), site_of(Record("market", 0, {}))
    ('report-execution', 'market')
    """
    detail = {"report": "type", "order_state": "after"}.get(record.kind)
    return f"{record.kind}-{record.payload[detail]}" if detail else record.kind


def spread(passed: Counter[tuple[str, str]], most: int) -> Iterator[Site]:
    """Up to `most` passages of every site, from the first to the last, evenly."""
    for (name, when), count in sorted(passed.items()):
        kept = min(most, count)
        for k in range(kept):
            yield Site(name, when, 1 + (k * (count - 1) // (kept - 1) if kept > 1 else count // 2))


class Reborn:
    """A rig whose engine is started again over the same journal and gateway whenever it crashes.

    `ends`: where the first engine ends, then the second, and so on; the clock of the gateway stands still in between.
    """

    def __init__(self, rig: Rig, *ends: Site) -> None:
        self.rig, self._ends = rig, list(ends)
        self.points: list[Failpoints] = []
        """Of every engine so far."""

    def open(self) -> None:
        """Start an engine, and another one where it crashes at its start."""
        self.do(lambda: None)

    def do(self, work: Callable[[], None]) -> None:
        """Have `work` done, which may be begun again after a crash: its times must be absolute."""
        while True:
            try:
                if not self.points or self.points[-1].dead:
                    self._start()
                return work()
            except Crash:
                self.rig.close()

    def _start(self) -> None:
        points = Failpoints(self._ends.pop(0) if self._ends else None)
        self.points.append(points)
        self.rig.open(journal_type=points.journal_type, connection_type=points.connection_type)

    def until(self, when: int) -> None:
        """Move the clock to `when` and do what is due then."""
        self.do(lambda: self.rig.move_to(when))
        self.do(self.turn)

    def turn(self) -> None:
        while self.rig.host.turn():
            pass

    def bar(self) -> None:
        """The next bar end, then two looks between bars, the later one with a reconciliation."""
        end = next_bar_end(self.rig.clock.now())
        for seconds in (0, 10, 75):
            self.until(end + seconds * NS_PER_SECOND)

    def settle(self) -> None:
        """Take back what still works, and compare with the broker until nothing is in doubt.

        Orders that were entered by hand are not taken back: what they still fill is waited for.
        """
        for seconds in (1, 5, 9):
            self._settle_for(seconds)
        for _ in range(40):
            if not (self.rig.host.account._outside.unconfirmed or self.rig.gateway.brokerage.register.open()):
                return
            self._settle_for(20)

    def _settle_for(self, seconds: int) -> None:
        when = self.rig.clock.now() + seconds * NS_PER_SECOND
        self.do(lambda: self.rig.host.account.cancel_all("the story is over"))
        self.do(lambda: self.rig.move_to(when))
        self.do(lambda: self._compare())

    def _compare(self) -> None:
        self.rig.host.account.reconcile(self.rig.clock.now())
        self.rig.hear()
        assert self.rig.in_books is not None  # every session takes in what it was told


def main() -> None:
    """``python failpoints.py FOLDER NAME WHEN PASSAGE workbench.engine``: an engine that kills itself at a site.

    The last word is what a watchdog looks for before it kills.
    """
    folder, name, when, passage = sys.argv[1:5]
    points = Failpoints(Site(name, when, int(passage)), lambda: os.kill(os.getpid(), signal.SIGKILL), in_memory=False)
    process.SqlJournal = points.journal_type  # type: ignore[misc]
    process.IbkrConnection = points.connection_type  # type: ignore[misc]
    process.run_engine(Path(folder))


if __name__ == "__main__":
    main()
