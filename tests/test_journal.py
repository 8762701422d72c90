"""Journals keep everything in order, survive being reopened, and refuse to forget."""

from __future__ import annotations

import sqlite3

import numpy as np
import pytest

from workbench.core.types import OrderIntent
from workbench.engine.modes import Mode
from workbench.journal import CountingJournal, JournalError, MemoryJournal, SqliteJournal, plain

INTENT = OrderIntent("ref", "AAA", 1, 10, "MKT", float("nan"), "DAY", 5, 10.0)


def test_sqlite_keeps_order_and_content_across_reopening(tmp_path) -> None:
    path = tmp_path / "deep" / "journal.db"
    with SqliteJournal(path) as journal:
        journal.record("intents", 5, {"orders": [INTENT]})
        journal.record("mode", 6, {"to": Mode.LIVE})
    with SqliteJournal(path) as journal:
        journal.record("intents", 7, {"orders": []})
        entries = list(journal.read())
        assert [(e.number, e.kind, e.known_at) for e in entries] == [
            (1, "intents", 5),
            (2, "mode", 6),
            (3, "intents", 7),
        ]
        assert entries[0].payload["orders"][0]["limit_price"] is None
        assert [e.number for e in journal.read("intents", after=1)] == [3]


def test_sqlite_writes_ahead_with_full_sync_and_readers_do_not_wait(tmp_path) -> None:
    path = tmp_path / "journal.db"
    with SqliteJournal(path) as journal:
        journal.record("a", 1, {})
        with SqliteJournal(path, read_only=True) as reader:
            assert [e.kind for e in reader.read()] == ["a"]
            journal.record("b", 2, {})
            assert [e.kind for e in reader.read()] == ["a", "b"]
            with pytest.raises(JournalError, match="read-only"):
                reader.record("c", 3, {})
        assert journal._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert journal._db.execute("PRAGMA synchronous").fetchone() == (2,)


def test_sqlite_is_append_only(tmp_path) -> None:
    with SqliteJournal(tmp_path / "journal.db") as journal:
        journal.record("a", 1, {})
        for sql in ("UPDATE entries SET kind = 'b'", "DELETE FROM entries"):
            with pytest.raises(sqlite3.DatabaseError, match="append-only"):
                journal._db.execute(sql)
        assert [e.kind for e in journal.read()] == ["a"]


def test_a_lost_journal_is_an_error_not_a_silence(tmp_path) -> None:
    journal = SqliteJournal(tmp_path / "journal.db")
    journal.close()
    with pytest.raises(JournalError, match="did not take a 'intents' record"):
        journal.record("intents", 1, {})
    with pytest.raises(JournalError, match="cannot be opened"):
        SqliteJournal(tmp_path / "none.db", read_only=True)
    (tmp_path / "text.db").write_text("this is not a database, it is only a text of some length")
    with pytest.raises(JournalError, match="cannot be opened"):
        SqliteJournal(tmp_path / "text.db")


def test_plain_types() -> None:
    assert plain({"x": np.float64("nan"), "y": np.int64(3), "z": (Mode.LIVE, None, True)}) == {
        "x": None,
        "y": 3,
        "z": ["LIVE", None, True],
    }
    with pytest.raises(JournalError, match="infinite"):
        plain(float("inf"))
    with pytest.raises(JournalError, match="a object cannot be journaled"):
        plain({"x": object()})


def test_memory_and_counting_journals() -> None:
    memory, counting = MemoryJournal(), CountingJournal()
    for journal in (memory, counting):
        journal.record("a", 1, {"v": 1.5})
        journal.record("b", 2, {})
    assert [e.payload for e in memory.read("a")] == [{"v": 1.5}]
    assert counting.counts == {"a": 1, "b": 1}
