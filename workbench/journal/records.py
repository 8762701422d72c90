"""The append-only record: what was known, decided, intended and filled, written before anything is acted upon."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from workbench.core.errors import WorkbenchError


class JournalError(WorkbenchError):
    """The journal could not be written or read; whatever was to be recorded did not happen."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One record: `number` counts from 1, `known_at` is UTC ns, `payload` holds plain JSON types."""

    number: int
    kind: str
    known_at: int
    payload: dict[str, Any]


class Journal(Protocol):
    """Anything that keeps records in order. When `record` returns, the record is safe; else :class:`JournalError`."""

    def record(self, kind: str, known_at: int, payload: Mapping[str, Any]) -> None:
        """Append one record."""
        ...


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
    """Keeps entries in memory: for tests and notebooks.

    >>> journal = MemoryJournal(); journal.record("mode", 5, {"to": "LIVE"}); journal.entries[0].payload
    {'to': 'LIVE'}
    """

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def record(self, kind: str, known_at: int, payload: Mapping[str, Any]) -> None:
        self.entries.append(Entry(len(self.entries) + 1, kind, int(known_at), plain(payload)))

    def read(self, kind: str | None = None) -> Iterator[Entry]:
        """Entries in order, of one `kind` if given."""
        return (e for e in self.entries if kind is None or e.kind == kind)


class CountingJournal:
    """Keeps only how many records of each kind there were: for backtests, whose result holds the rest."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def record(self, kind: str, known_at: int, payload: Mapping[str, Any]) -> None:
        self.counts[kind] += 1


_SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    known_at INTEGER NOT NULL,
    payload TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS entries_kind ON entries (kind, number);
CREATE TRIGGER IF NOT EXISTS entries_never_change BEFORE UPDATE ON entries
BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER IF NOT EXISTS entries_never_go BEFORE DELETE ON entries
BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
"""


class SqliteJournal:
    """A journal in one SQLite file, in WAL mode so that readers never wait for the writer, synced at every record.

    Every `record` is a transaction of its own: once it returns the entry survives a crash of the machine. Triggers
    refuse updates and deletions. One writer; any number of readers open the same file with `read_only`.
    """

    def __init__(self, path: Path | str, *, read_only: bool = False) -> None:
        self.path = Path(path)
        self._read_only = read_only
        try:
            if read_only:
                self._db = sqlite3.connect(f"{self.path.absolute().as_uri()}?mode=ro", uri=True)
            else:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._db = sqlite3.connect(self.path, isolation_level=None)
                self._db.execute("PRAGMA journal_mode=WAL")
                self._db.execute("PRAGMA synchronous=FULL")
                self._db.executescript(_SCHEMA)
        except (sqlite3.Error, OSError) as error:
            raise JournalError(f"journal {self.path} cannot be opened: {error}") from error

    def record(self, kind: str, known_at: int, payload: Mapping[str, Any]) -> None:
        if self._read_only:
            raise JournalError(f"journal {self.path} was opened read-only; open it without `read_only` to write")
        text = json.dumps(plain(payload), allow_nan=False, separators=(",", ":"))
        try:
            self._db.execute(
                "INSERT INTO entries (kind, known_at, payload) VALUES (?, ?, ?)", (kind, int(known_at), text)
            )
        except sqlite3.Error as error:
            raise JournalError(f"journal {self.path} did not take a {kind!r} record: {error}") from error

    def read(self, kind: str | None = None, after: int = 0) -> Iterator[Entry]:
        """Entries in order, of one `kind` if given, numbered above `after`."""
        where = "number > ?" if kind is None else "number > ? AND kind = ?"
        values: tuple[Any, ...] = (after,) if kind is None else (after, kind)
        try:
            rows = self._db.execute(
                f"SELECT number, kind, known_at, payload FROM entries WHERE {where} ORDER BY number", values
            )
            for number, name, known_at, text in rows:
                yield Entry(number, name, known_at, json.loads(text))
        except (sqlite3.Error, json.JSONDecodeError) as error:
            raise JournalError(f"journal {self.path} cannot be read: {error}") from error

    def close(self) -> None:
        """Close the file; the journal can be opened again."""
        self._db.close()

    def __enter__(self) -> SqliteJournal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
