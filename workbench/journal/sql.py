"""The journal in a database: SQLite in a file, or PostgreSQL (and, without triggers, any other) by its URL."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Unpack

from sqlalchemy import Connection, Row, Select, case, func, select

from workbench.core.clock import Clock, SystemClock
from workbench.database import Database
from workbench.journal.codec import Codec
from workbench.journal.records import Entry, Filters, JournalError, Kinds, Query
from workbench.journal.schema import ENTRIES, PRUNING, PULSE, check, lock_writers, prepare

_PAGE = 64
"""Entries fetched at a time: each page is a transaction of its own, so that a slow reader holds nothing up."""


class Record(NamedTuple):
    """What :meth:`SqlJournal.record_many` takes: the arguments of `record`."""

    kind: str
    known_at: int
    payload: Mapping[str, Any]
    system: str = ""
    ref: str = ""


@dataclass(frozen=True, slots=True)
class SessionSummary:
    """What the journal holds of one session; times are UTC ns, `last_recorded_at` by the machine's clock."""

    session: str
    first_known_at: int
    last_known_at: int
    last_recorded_at: int
    entries: int


class Pulse(NamedTuple):
    """The last sign of life of `session`: `at` UTC ns by the machine's clock, the `phase` of its engine, and why."""

    session: str
    at: int
    phase: str
    text: str


class Mark(NamedTuple):
    """An entry without its payload."""

    number: int
    known_at: int
    system: str


class SqlJournal:
    """An append-only journal at a path (SQLite) or a SQLAlchemy URL, written in the name of `session`.

    `record` returns only when the entry is committed and survives a crash of the machine; otherwise it raises
    :class:`JournalError`, which says what failed, where and what to do, and the next record tries anew. Where a server
    goes away during the commit the entry may exist all the same. Readers (`read_only`) may read at any time. Thread
    safe. `codec` says which types payloads may hold.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, SqlJournal(f"{folder}/journal.db", session="s1") as journal:
    ...     journal.record("mode", 5, {"to": "LIVE"}, system="main")
    ...     [(e.number, e.session, e.kind, e.payload) for e in journal.read()]
    1
    [(1, 's1', 'mode', {'to': 'LIVE'})]
    """

    def __init__(
        self,
        address: str | Path,
        *,
        session: str = "",
        read_only: bool = False,
        codec: Codec | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.session, self.codec = session, codec or Codec()
        self._clock = clock or SystemClock()
        self._database = Database(address, "journal", JournalError, read_only=read_only)
        if read_only:
            with self._database.reading("cannot be opened") as connection:
                check(connection, self.address)
        else:
            with self._database.writing("cannot be opened") as connection:
                prepare(connection, self.codec, self.address)

    @property
    def address(self) -> str:
        """Where the journal is, without credentials."""
        return self._database.shown

    # ---- writing ----------------------------------------------------------------------------------------------

    def record(self, kind: str, known_at: int, payload: Mapping[str, Any], *, system: str = "", ref: str = "") -> int:
        """Append one record and commit it; its number."""
        return self.record_many([Record(kind, known_at, payload, system, ref)])[0]

    def record_many(self, records: Iterable[Record]) -> tuple[int, ...]:
        """Append `records` in one transaction, all or none; their numbers."""
        rows = [self._row(Record(*r)) for r in records]
        if not rows:
            return ()
        self._refuse_reader()
        kinds = ", ".join(sorted({repr(r["kind"]) for r in rows}))
        with self._database.writing(f"did not take a {kinds} record") as connection:
            lock_writers(connection)
            return _insert(connection, rows)

    def beat(self, phase: str, text: str = "") -> None:
        """Give a sign of life, in the name of the session; it takes the place of the one before."""
        self._refuse_reader()
        told = {"at": self._clock.now(), "phase": phase, "text": text}
        with self._database.writing("did not take a sign of life") as connection:
            change = PULSE.update().where(PULSE.c.session == self.session).values(**told)
            if connection.execute(change).rowcount == 0:
                connection.execute(PULSE.insert().values(session=self.session, **told))

    def prune(self, before_ns: int) -> tuple[SessionSummary, ...]:
        """Forget whole sessions whose last entry was recorded before `before_ns`, and record that; what is gone.

        The session of this journal is never among them. Entries converted from an older schema, whose time of
        recording is unknown, count by their `known_at`. Other writers wait meanwhile: prune before or after trading.
        """
        self._refuse_reader()
        with self._database.writing("cannot be pruned") as connection:
            lock_writers(connection)
            found = _summaries(connection)
            old = tuple(s for s in found if s.last_recorded_at < before_ns and s.session != self.session)
            if old:
                names = [{"session": s.session} for s in old]
                connection.execute(PRUNING.insert(), names)
                connection.execute(ENTRIES.delete().where(ENTRIES.c.session.in_(select(PRUNING.c.session))))
                connection.execute(PULSE.delete().where(PULSE.c.session.in_(select(PRUNING.c.session))))
                connection.execute(PRUNING.delete())
                payload = {"before": int(before_ns), "sessions": [_as_plain(s) for s in old]}
                _insert(connection, [self._row(Record("pruned", self._clock.now(), payload))])
        return old

    # ---- reading ----------------------------------------------------------------------------------------------

    def read(self, kind: Kinds = None, **filters: Unpack[Filters]) -> Iterator[Entry]:
        """The entries that a :class:`Query` with these values wants; entries written meanwhile are seen too."""
        query = Query(kind, **filters)
        left, edge = query.limit, None if query.newest_first else query.after
        while left is None or left > 0:
            size = _PAGE if left is None else min(left, _PAGE)
            with self._database.reading("cannot be read") as connection:
                rows = connection.execute(_statement(query, edge, size)).all()
            for row in rows:
                yield self._entry(row)
            if len(rows) < size:
                return
            edge, left = rows[-1].number, left if left is None else left - size

    def last(self, kind: Kinds = None, **filters: Unpack[Filters]) -> Entry | None:
        """The newest entry wanted; None where there is none."""
        filters["newest_first"], filters["limit"] = True, 1
        return next(self.read(kind, **filters), None)

    def entry(self, number: int) -> Entry:
        """The entry of that number; :class:`JournalError` where there is none."""
        with self._database.reading("cannot be read") as connection:
            row = connection.execute(select(ENTRIES).where(ENTRIES.c.number == number)).first()
        if row is None:
            raise JournalError(f"journal {self.address} has no entry {number}: it was pruned, or never was")
        return self._entry(row)

    def marks(self, kind: str, session: str, after: int = 0) -> tuple[Mark, ...]:
        """All entries of `kind` of a session, numbered above `after`, without what they hold."""
        c = ENTRIES.c
        query = select(c.number, c.known_at, c.system).where(c.kind == kind, c.session == session, c.number > after)
        with self._database.reading("cannot be read") as connection:
            return tuple(Mark(*row) for row in connection.execute(query.order_by(c.number)))

    def pulse(self) -> Pulse | None:
        """The newest sign of life of any session; None where there was none."""
        with self._database.reading("cannot be read") as connection:
            row = connection.execute(select(PULSE).order_by(PULSE.c.at.desc()).limit(1)).first()
        return None if row is None else Pulse(*row)

    def sessions(self) -> tuple[SessionSummary, ...]:
        """Every session in the journal, in the order in which they began."""
        with self._database.reading("cannot be read") as connection:
            return _summaries(connection)

    def close(self) -> None:
        """Close every connection."""
        self._database.close()

    def __enter__(self) -> SqlJournal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- inside -----------------------------------------------------------------------------------------------

    def _refuse_reader(self) -> None:
        if self._database.read_only:
            raise JournalError(f"journal {self.address} was opened read-only; open it without `read_only` to write")

    def _row(self, record: Record) -> dict[str, Any]:
        if not record.kind:
            raise JournalError(f"journal {self.address} takes no record without a kind")
        return {
            "session": self.session,
            "system": record.system,
            "kind": record.kind,
            "known_at": int(record.known_at),
            "recorded_at": self._clock.now(),
            "ref": record.ref,
            "payload": self.codec.encode(record.payload),
        }

    def _entry(self, row: Row[Any]) -> Entry:
        try:
            payload = self.codec.decode(bytes(row.payload))
        except JournalError as error:
            error.add_note(f"entry {row.number} ({row.kind}) of journal {self.address}")
            raise
        named = (row.number, row.session, row.system, row.kind, row.known_at, row.recorded_at, row.ref)
        return Entry(*named, payload)


def _insert(connection: Connection, rows: list[dict[str, Any]]) -> tuple[int, ...]:
    statement = ENTRIES.insert().returning(ENTRIES.c.number, sort_by_parameter_order=True)
    return tuple(connection.execute(statement, rows).scalars())


def _statement(query: Query, edge: int | None, size: int) -> Select[Any]:
    """One page of `query`, beyond the number `edge`."""
    c = ENTRIES.c
    statement = select(ENTRIES).where(c.number > query.after)
    if query.kinds is not None:
        statement = statement.where(c.kind.in_(query.kinds))
    for column, value in ((c.session, query.session), (c.system, query.system), (c.ref, query.ref)):
        if value is not None:
            statement = statement.where(column == value)
    if query.since is not None:
        statement = statement.where(c.known_at >= query.since)
    if query.until is not None:
        statement = statement.where(c.known_at <= query.until)
    if edge is not None:
        statement = statement.where(c.number < edge if query.newest_first else c.number > edge)
    return statement.order_by(c.number.desc() if query.newest_first else c.number).limit(size)


def _summaries(connection: Connection) -> tuple[SessionSummary, ...]:
    c = ENTRIES.c
    recorded = func.max(case((c.recorded_at == 0, c.known_at), else_=c.recorded_at))
    columns = (c.session, func.min(c.known_at), func.max(c.known_at), recorded, func.count())
    rows = connection.execute(select(*columns).group_by(c.session).order_by(func.min(c.number)))
    return tuple(SessionSummary(*row) for row in rows)


def _as_plain(summary: SessionSummary) -> dict[str, Any]:
    return {
        "session": summary.session,
        "first_known_at": summary.first_known_at,
        "last_known_at": summary.last_known_at,
        "entries": summary.entries,
    }
