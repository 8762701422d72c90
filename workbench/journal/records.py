"""What a journal is: numbered entries in order, written before anything is acted upon, and the journals in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol, TypedDict, Unpack

import numpy as np

from workbench.core.clock import Clock, SystemClock
from workbench.core.errors import WorkbenchError

if TYPE_CHECKING:
    from workbench.journal.codec import Codec


class JournalError(WorkbenchError):
    """The journal could not be written or read; whatever was to be recorded did not happen."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One record. `number` rises with every entry; `known_at` and `recorded_at` are UTC ns.

    `known_at` is when the content could be known, by the clock of whatever is traded; `recorded_at` when it was
    written, by the machine's clock (0: unknown). `session` is the run that wrote it, `system` the trading system,
    `ref` the order or command that it is about; each is empty where there is none.
    """

    number: int
    session: str
    system: str
    kind: str
    known_at: int
    recorded_at: int
    ref: str
    payload: dict[str, Any]


class Journal(Protocol):
    """Anything that keeps records in order. When `record` returns, the record is safe; else :class:`JournalError`."""

    def record(self, kind: str, known_at: int, payload: Mapping[str, Any]) -> int | None:
        """Append one record."""
        ...


Kinds = str | tuple[str, ...] | None


class Filters(TypedDict, total=False):
    """Which entries are wanted, besides their kind: see :class:`Query`."""

    after: int
    session: str | None
    system: str | None
    ref: str | None
    since: int | None
    until: int | None
    newest_first: bool
    limit: int | None


@dataclass(frozen=True, slots=True)
class Query:
    """Entries of `kind` (one, several, or None for all) numbered above `after`, in order or `newest_first`.

    `session`, `system`, `ref` must equal where given; ``since <= known_at <= until``; at most `limit` entries.
    """

    kind: Kinds = None
    after: int = 0
    session: str | None = None
    system: str | None = None
    ref: str | None = None
    since: int | None = None
    until: int | None = None
    newest_first: bool = False
    limit: int | None = None

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 0:
            raise JournalError(f"limit={self.limit} entries cannot be read; give 0 or more, or None for all")

    @property
    def kinds(self) -> tuple[str, ...] | None:
        """The kinds wanted; None means every kind."""
        return (self.kind,) if isinstance(self.kind, str) else self.kind

    def wants(self, entry: Entry) -> bool:
        """Whether `entry` is among those wanted (`limit` aside)."""
        return (
            entry.number > self.after
            and (self.kinds is None or entry.kind in self.kinds)
            and all(getattr(self, n) in (None, getattr(entry, n)) for n in ("session", "system", "ref"))
            and (self.since is None or entry.known_at >= self.since)
            and (self.until is None or entry.known_at <= self.until)
        )


def plain(value: Any) -> Any:
    """`value` as plain JSON types: messages become mappings, arrays lists, NaN None; else :class:`JournalError`.

    >>> plain({"a": np.array([1.0, float("nan")]), "b": (1, "x")})
    {'a': [1.0, None], 'b': [1, 'x']}
    """
    if isinstance(value, Enum):
        return value.value
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, (float, np.floating)):
        if np.isinf(value):
            raise JournalError("an infinite number cannot be journaled; NaN means unknown")
        return None if np.isnan(value) else float(value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain(v) for v in value]
    raise JournalError(
        f"a {type(value).__name__} cannot be journaled; use numbers, strings, lists, mappings or messages"
    )


class MemoryJournal:
    """Keeps entries in memory: for tests and notebooks. With a `codec`, payloads read back exactly as from a database.

    >>> journal = MemoryJournal(); journal.record("mode", 5, {"to": "LIVE"}); journal.entries[0].payload
    1
    {'to': 'LIVE'}
    """

    def __init__(self, *, session: str = "", codec: Codec | None = None, clock: Clock | None = None) -> None:
        self.session, self.entries = session, []  # type: str, list[Entry]
        self._codec, self._clock = codec, clock or SystemClock()

    def record(self, kind: str, known_at: int, payload: Mapping[str, Any], *, system: str = "", ref: str = "") -> int:
        """Append one record; its number, from 1."""
        kept = self._codec.decode(self._codec.encode(payload)) if self._codec else plain(payload)
        number = len(self.entries) + 1
        self.entries.append(Entry(number, self.session, system, kind, int(known_at), self._clock.now(), ref, kept))
        return number

    def read(self, kind: Kinds = None, **filters: Unpack[Filters]) -> Iterator[Entry]:
        """The entries that a :class:`Query` with these values wants."""
        query = Query(kind, **filters)
        entries = reversed(self.entries) if query.newest_first else iter(self.entries)
        return islice((e for e in entries if query.wants(e)), query.limit)

    def last(self, kind: Kinds = None, **filters: Unpack[Filters]) -> Entry | None:
        """The newest entry wanted; None where there is none."""
        filters["newest_first"], filters["limit"] = True, 1
        return next(self.read(kind, **filters), None)


class CountingJournal:
    """Keeps only how many records of each kind there were: for backtests, whose result holds the rest."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def record(self, kind: str, known_at: int, payload: Mapping[str, Any]) -> None:
        self.counts[kind] += 1
