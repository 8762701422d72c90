"""What a dashboard knows of one session: folded from its journal entries as they come, bounded however long it runs."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Generic, TypeVar

import numpy as np

from workbench.core.types import Book, Decision, Snapshot
from workbench.engine.plan import EnginePlan
from workbench.engine.session_record import FILL_KINDS, TOLD, FillTally, Happening, happenings_of
from workbench.journal import Entry, Mark

KINDS = ("engine", "state", "decision", *TOLD, *FILL_KINDS)
"""Kinds of entries that a log takes."""
T = TypeVar("T")
KEPT = 4096
"""Newest items of each list that a log holds."""


class Recent(Generic[T]):
    """The newest items of a list that only grows; `count` is how many there ever were. Safe to read while it grows.

    A reader that asks for what came after its last `count` sees every item once, or misses the oldest if it is slow.

    >>> seen = Recent[str](keep=2); [seen.append(x) for x in "abc"]; (seen.count, seen.since(0), seen.since(2))
    [None, None, None]
    (3, ['b', 'c'], ['c'])
    """

    def __init__(self, keep: int = KEPT) -> None:
        self._items: deque[T] = deque(maxlen=keep)
        self._lock = threading.Lock()
        self.count = 0

    def append(self, item: T) -> None:
        """Add the newest item."""
        with self._lock:
            self._items.append(item)
            self.count += 1

    def since(self, count: int = 0) -> list[T]:
        """What is kept of the items after the first `count`, oldest first."""
        with self._lock:
            new = min(max(self.count - count, 0), len(self._items))
            return list(islice(self._items, len(self._items) - new, None))


@dataclass(frozen=True, slots=True)
class Sample:
    """A system's book at a moment: `at` UTC ns by the clock it trades by; USD and fractions of NAV, NaN unknown.

    `net` is delta-weighted, `drawdown` below the peak.
    """

    at: int
    system: str
    nav: float
    gross: float
    net: float
    profit_today: float
    drawdown: float


@dataclass(frozen=True, slots=True)
class Decided:
    """A journaled decision with what it was made on, and its place in the journal."""

    mark: Mark
    decision: Decision
    snapshot: Snapshot
    book: Book
    mode: str


def decided(entry: Entry) -> Decided:
    """The decision in an entry of that kind."""
    p = entry.payload
    mark = Mark(entry.number, entry.known_at, entry.system)
    return Decided(mark, p["decision"], p["snapshot"], p["book"], str(p["mode"]))


class SessionLog:
    """One session so far; `take` its entries in order, from one thread; others may read.

    `state` is what the engine last showed of itself (:func:`~workbench.engine.status.engine_view`), recorded at
    `state_at` by the machine's clock and `known_at` by the market's; `latest` system -> its last decision; `marks`
    where all decisions are; `number` the last entry taken.
    """

    def __init__(self, session: str) -> None:
        self.session, self.number = session, 0
        self.about: Mapping[str, Any] = {}
        self.plan: EnginePlan | None = None
        self.state: dict[str, Any] = {}
        self.state_at = 0
        self.latest: dict[str, Decided] = {}
        self.marks: Recent[Mark] = Recent()
        self.samples: Recent[Sample] = Recent()
        self.happenings: Recent[Happening] = Recent(500)
        self.fills = FillTally()
        self.fill_changes = 0

    def take(self, entry: Entry) -> None:
        """Take in one entry of the session, of a kind in KINDS."""
        self.number = entry.number
        if entry.kind == "engine":
            self.about, self.plan = entry.payload, EnginePlan.from_json(entry.payload["plan"])
        elif entry.kind == "state":
            self._take_state(entry)
        elif entry.kind in FILL_KINDS:
            self.fills.take(entry)
            self.fill_changes += 1
        else:
            if entry.kind == "decision":
                told = decided(entry)
                self.latest = {**self.latest, entry.system: told}
                self.marks.append(told.mark)
            for happening in happenings_of(entry):
                self.happenings.append(happening)

    def _take_state(self, entry: Entry) -> None:
        self.state, self.state_at = entry.payload, entry.recorded_at
        for name, s in entry.payload["systems"].items():
            if "nav" in s:
                figures = (_float(s[key]) for key in ("nav", "gross", "net", "profit_today", "drawdown"))
                self.samples.append(Sample(entry.known_at, name, *figures))

    @property
    def systems(self) -> tuple[str, ...]:
        """Names of the systems, in the order of the plan."""
        return () if self.plan is None else tuple(s.system.name for s in self.plan.systems)


def _float(value: float | None) -> float:
    return np.nan if value is None else float(value)
