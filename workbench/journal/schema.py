"""The tables of a journal, their version, the way from older versions, and the triggers that refuse to forget."""

from __future__ import annotations

import json
from collections.abc import Iterator

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    inspect,
    select,
    text,
)

from workbench.database import queue_up
from workbench.journal.codec import Codec
from workbench.journal.records import JournalError

VERSION = 3
"""1: table ``entries`` of JSON text, SQLite only. 2: sessions, systems, references, payloads as bytes. 3: a pulse."""

_metadata = MetaData()
_Name = String(255)

ENTRIES = Table(
    "journal_entries",
    _metadata,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("session", _Name, nullable=False),
    Column("system", _Name, nullable=False),
    Column("kind", _Name, nullable=False),
    Column("known_at", BigInteger, nullable=False),
    Column("recorded_at", BigInteger, nullable=False),
    Column("ref", _Name, nullable=False),
    Column("payload", LargeBinary(2**31 - 1), nullable=False),
    sqlite_autoincrement=True,
)
Index("journal_entries_kind", ENTRIES.c.kind, ENTRIES.c.number)
Index("journal_entries_session", ENTRIES.c.session, ENTRIES.c.number)
_with_ref = ENTRIES.c.ref != ""
Index("journal_entries_ref", ENTRIES.c.ref, ENTRIES.c.number, sqlite_where=_with_ref, postgresql_where=_with_ref)

PRUNING = Table("journal_pruning", _metadata, Column("session", _Name, primary_key=True))
"""Sessions that the running transaction prunes: the only rows that the triggers let go. Empty at any other time."""

PULSE = Table(
    "journal_pulse",
    _metadata,
    Column("session", _Name, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("phase", _Name, nullable=False),
    Column("text", Text, nullable=False),
)
"""When each session last gave a sign of life: the one thing that is overwritten, since it says nothing of the past."""

_SCHEMA = Table("journal_schema", _metadata, Column("version", Integer, primary_key=True, autoincrement=False))

_SQLITE_TRIGGERS = (
    """CREATE TRIGGER journal_never_changes BEFORE UPDATE ON journal_entries
    BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END""",
    """CREATE TRIGGER journal_never_forgets BEFORE DELETE ON journal_entries
    WHEN NOT EXISTS (SELECT 1 FROM journal_pruning WHERE session = OLD.session)
    BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END""",
    """CREATE TRIGGER journal_never_replaces BEFORE INSERT ON journal_entries
    WHEN EXISTS (SELECT 1 FROM journal_entries WHERE number = NEW.number)
    BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END""",
)
_POSTGRES_TRIGGERS = (
    """CREATE FUNCTION journal_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'DELETE' THEN
            IF EXISTS (SELECT 1 FROM journal_pruning WHERE session = OLD.session) THEN RETURN OLD; END IF;
        END IF;
        RAISE EXCEPTION 'the journal is append-only';
    END $$""",
    """CREATE TRIGGER journal_never_changes BEFORE UPDATE OR DELETE ON journal_entries
    FOR EACH ROW EXECUTE FUNCTION journal_append_only()""",
    """CREATE TRIGGER journal_never_empties BEFORE TRUNCATE ON journal_entries
    FOR EACH STATEMENT EXECUTE FUNCTION journal_append_only()""",
)
_TRIGGERS = {"sqlite": _SQLITE_TRIGGERS, "postgresql": _POSTGRES_TRIGGERS}

_LOCK = 7_302_116_019


def lock_writers(connection: Connection) -> None:
    """One writer at a time takes numbers and commits them, so that readers who follow never miss an entry."""
    queue_up(connection, _LOCK)


def prepare(connection: Connection, codec: Codec, where: str) -> None:
    """Create the tables or bring them from an older version to this one, all in the transaction of `connection`."""
    lock_writers(connection)
    version = found_version(connection)
    if version == VERSION:
        return
    refuse_newer(version, where)
    _metadata.create_all(connection)
    if version < 2:
        for statement in _TRIGGERS.get(connection.dialect.name, ()):
            connection.exec_driver_sql(statement)
    if version == 1:
        _from_version_1(connection, codec)
    connection.execute(_SCHEMA.delete())
    connection.execute(_SCHEMA.insert().values(version=VERSION))


def check(connection: Connection, where: str) -> None:
    """:class:`JournalError` unless the tables are of this version: for readers, who change nothing."""
    version = found_version(connection)
    refuse_newer(version, where)
    if version == 0:
        raise JournalError(f"journal {where} holds no journal; check the address, or let a session write it first")
    if version < VERSION:
        raise JournalError(
            f"journal {where} has the older schema {version}, and this is {VERSION}; open it once for writing, which "
            "converts it"
        )


def refuse_newer(version: int, where: str) -> None:
    """:class:`JournalError` if `version` comes from a newer workbench."""
    if version > VERSION:
        raise JournalError(
            f"journal {where} has schema {version}, and this workbench knows up to {VERSION}; install the workbench "
            "that wrote it, or give another journal"
        )


def found_version(connection: Connection) -> int:
    """The version of the tables in the database; 0 where there are none."""
    tables = inspect(connection)
    if tables.has_table(_SCHEMA.name):
        return connection.execute(select(_SCHEMA.c.version)).scalar() or 0
    return int(connection.dialect.name == "sqlite" and tables.has_table("entries"))


def _from_version_1(connection: Connection, codec: Codec) -> None:
    """Every old record under its old number; what was not kept then (session, time of recording) is empty."""
    for batch in _old_rows(connection):
        connection.execute(
            ENTRIES.insert(),
            [
                {
                    "number": number, "session": "", "system": "", "kind": kind, "known_at": known_at,
                    "recorded_at": 0, "ref": "", "payload": codec.encode(json.loads(payload)),
                }
                for number, kind, known_at, payload in batch
            ],
        )  # fmt: skip
    connection.exec_driver_sql("DROP TABLE entries")


def _old_rows(connection: Connection, size: int = 1000) -> Iterator[list[tuple[int, str, int, str]]]:
    query = text("SELECT number, kind, known_at, payload FROM entries WHERE number > :last ORDER BY number LIMIT :size")
    last = -1
    while rows := connection.execute(query, {"last": last, "size": size}).fetchall():
        yield [tuple(r) for r in rows]
        last = rows[-1][0]
