"""The journal in a database keeps everything in order, for good, and says clearly when it cannot."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError

from workbench.core.clock import ManualClock
from workbench.core.types import Fill, OrderIntent
from workbench.journal import JournalError, SqlJournal

INTENT = OrderIntent("ref", "AAA", 1, 10, "MKT", float("nan"), "DAY", 5, 10.0)


def fill_in(journal: SqlJournal) -> None:
    journal.record("intents", 5, {"orders": (INTENT,)}, system="main", ref="ref")
    journal.record("mode", 6, {"to": "LIVE"}, system="main")
    journal.record("mode", 7, {"to": "OBSERVE"}, system="other")
    journal.record("fill", 9, {"quantity": 10}, system="main", ref="ref")


def test_order_content_and_names_survive_reopening(fresh) -> None:
    address, clock = fresh(), ManualClock(100)
    with SqlJournal(address, session="first", clock=clock) as journal:
        fill_in(journal)
    with SqlJournal(address, session="second", clock=ManualClock(200)) as journal:
        number = journal.record("intents", 8, {"orders": ()})
        entries = list(journal.read())
    assert [(e.session, e.system, e.kind, e.known_at, e.recorded_at, e.ref) for e in entries] == [
        ("first", "main", "intents", 5, 100, "ref"),
        ("first", "main", "mode", 6, 100, ""),
        ("first", "other", "mode", 7, 100, ""),
        ("first", "main", "fill", 9, 100, "ref"),
        ("second", "", "intents", 8, 200, ""),
    ]
    assert [e.number for e in entries] == sorted({e.number for e in entries})
    assert entries[-1].number == number
    (order,) = entries[0].payload["orders"]
    assert (type(order), order.order_ref, np.isnan(order.limit_price)) == (OrderIntent, "ref", True)


def test_reading_by_every_filter(fresh) -> None:
    with SqlJournal(fresh(), session="s") as journal:
        fill_in(journal)
        first, second, *_ = [e.number for e in journal.read()]

        def read(*args, **filters) -> list[int]:
            return [e.known_at for e in journal.read(*args, **filters)]

        assert read("mode") == [6, 7]
        assert read(("mode", "fill")) == [6, 7, 9]
        assert read(()) == []
        assert read(after=second) == [7, 9]
        assert read(system="main") == [5, 6, 9]
        assert read(ref="ref") == [5, 9]
        assert read(ref="") == [6, 7]
        assert read(session="s", since=6, until=7) == [6, 7]
        assert read(session="t") == []
        assert read(newest_first=True) == [9, 7, 6, 5]
        assert read(newest_first=True, after=first, limit=2) == [9, 7]
        assert read(limit=0) == []
        assert journal.last("mode").payload == {"to": "OBSERVE"}
        assert journal.last("mode", until=6).payload == {"to": "LIVE"}
        assert journal.last("none") is None
        with pytest.raises(JournalError, match="limit=-1 entries cannot be read"):
            read(limit=-1)


def test_long_journals_are_read_in_pages_without_gap(fresh) -> None:
    with SqlJournal(fresh()) as journal:
        numbers = journal.record_many([("x", i, {"i": i}) for i in range(300)])
        assert [e.payload["i"] for e in journal.read()] == list(range(300))
        assert [e.known_at for e in journal.read(newest_first=True, limit=200)] == list(range(299, 99, -1))
        assert list(numbers) == [e.number for e in journal.read()]


def test_many_records_are_all_or_none(fresh) -> None:
    with SqlJournal(fresh()) as journal:
        with pytest.raises(JournalError, match=r"payload\.x is a object, which this journal cannot keep"):
            journal.record_many([("a", 1, {}), ("b", 2, {"x": object()})])
        assert journal.record_many([]) == ()
        with pytest.raises(JournalError, match="without a kind"):
            journal.record_many([("a", 1, {}), ("", 2, {})])
        assert list(journal.read()) == []


def test_readers_follow_the_writer_and_cannot_write(fresh) -> None:
    address = fresh()
    with SqlJournal(address) as journal, SqlJournal(address, read_only=True) as reader:
        first = journal.record("a", 1, {})
        assert [e.kind for e in reader.read()] == ["a"]
        journal.record("b", 2, {})
        assert [e.kind for e in reader.read(after=first)] == ["b"]
        slow = reader.read()
        next(slow)
        journal.record("c", 3, {})
        assert [e.kind for e in reader.read()] == ["a", "b", "c"]
        for write in (lambda: reader.record("d", 4, {}), lambda: reader.prune(10**30)):
            with pytest.raises(JournalError, match="opened read-only"):
                write()


def test_nothing_is_changed_or_forgotten(fresh) -> None:
    address = fresh()
    statements = [
        "UPDATE journal_entries SET kind = 'b'",
        "DELETE FROM journal_entries",
        "TRUNCATE journal_entries",
        "INSERT OR REPLACE INTO journal_entries SELECT number, '', '', 'b', 1, 1, '', payload FROM journal_entries",
    ]
    kept = {"sqlite": [0, 1, 3], "postgresql": [0, 1, 2]}
    with SqlJournal(address) as journal:
        journal.record("a", 1, {})
        engine = create_engine(address if "://" in address else f"sqlite:///{address}")
        for i in kept[engine.dialect.name]:
            with pytest.raises(DBAPIError, match="append-only"), engine.begin() as connection:
                connection.execute(text(statements[i]))
        engine.dispose()
        assert [e.kind for e in journal.read()] == ["a"]


def test_sessions_and_their_retention(fresh) -> None:
    address, clock = fresh(), ManualClock(1_000)
    for name, known_at in (("old", 5), ("older", 1), ("late", 50)):
        clock.advance_to(clock.now() + 1_000)  # old 2000, older 3000, late 4000
        with SqlJournal(address, session=name, clock=clock) as journal:
            journal.record_many([("x", known_at, {}), ("x", known_at + 2, {})])
    clock.advance_to(9_000)
    with SqlJournal(address, session="now", clock=clock) as journal:
        journal.record("x", 70, {})
        found = [
            (s.session, s.first_known_at, s.last_known_at, s.last_recorded_at, s.entries) for s in journal.sessions()
        ]
        assert found == [
            ("old", 5, 7, 2_000, 2), ("older", 1, 3, 3_000, 2), ("late", 50, 52, 4_000, 2), ("now", 70, 70, 9_000, 1)
        ]  # fmt: skip
        assert journal.prune(2_000) == ()
        assert [s.session for s in journal.prune(3_001)] == ["old", "older"]
        assert [s.session for s in journal.sessions()] == ["late", "now"]
        assert [s.session for s in journal.prune(10**18)] == ["late"], "never the session that is running"
        first, second = journal.read("pruned")
        assert first.payload == {
            "before": 3_001,
            "sessions": [
                {"session": "old", "first_known_at": 5, "last_known_at": 7, "entries": 2},
                {"session": "older", "first_known_at": 1, "last_known_at": 3, "entries": 2},
            ],
        }
        assert (first.known_at, second.session) == (9_000, "now")


def test_threads_share_one_journal(fresh) -> None:
    with SqlJournal(fresh()) as journal:
        taken: list[int] = []

        def write(name: str) -> None:
            taken.extend(journal.record(name, i, {"i": i}) for i in range(25))

        threads = [threading.Thread(target=write, args=(f"k{t}",)) for t in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(taken) == [e.number for e in journal.read()]
        for t in range(4):
            assert [e.payload["i"] for e in journal.read(f"k{t}")] == list(range(25))


def test_a_newer_schema_is_refused(fresh) -> None:
    address = fresh()
    SqlJournal(address).close()
    engine = create_engine(address if "://" in address else f"sqlite:///{address}")
    with engine.begin() as connection:
        connection.execute(text("UPDATE journal_schema SET version = 99"))
    engine.dispose()
    for read_only in (False, True):
        with pytest.raises(JournalError, match="schema 99, and this workbench knows up to 3; install the workbench"):
            SqlJournal(address, read_only=read_only)


def test_the_second_schema_gets_a_pulse(fresh) -> None:
    address = fresh()
    with SqlJournal(address, session="s") as journal:
        journal.record("a", 1, {"x": 1})
    engine = create_engine(address if "://" in address else f"sqlite:///{address}")
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE journal_pulse"))
        connection.execute(text("UPDATE journal_schema SET version = 2"))
    engine.dispose()
    with pytest.raises(JournalError, match="older schema 2, and this is 3"):
        SqlJournal(address, read_only=True)
    with SqlJournal(address, session="s") as journal:
        assert journal.pulse() is None
        journal.beat("trading")
        assert [e.payload for e in journal.read()] == [{"x": 1}]


class Ticking:
    """A clock that says what it is told."""

    def __init__(self) -> None:
        self.ns = 0

    def now(self) -> int:
        return self.ns


def test_the_pulse_is_the_newest_sign_of_life(fresh) -> None:
    address, clock = fresh(), Ticking()
    with SqlJournal(address, session="old", clock=clock) as old, SqlJournal(address, session="new", clock=clock) as new:
        assert new.pulse() is None
        for clock.ns, journal, phase in ((5, old, "trading"), (7, new, "starting"), (9, new, "trading")):
            journal.beat(phase)
        assert old.pulse() == ("new", 9, "trading", "")
        clock.ns = 11
        old.beat("failed", "no broker")
        assert new.pulse() == ("old", 11, "failed", "no broker")
        assert list(new.read()) == []
    with SqlJournal(address, read_only=True) as reader:
        assert reader.pulse() == ("old", 11, "failed", "no broker")
        with pytest.raises(JournalError, match="opened read-only"):
            reader.beat("trading")


def test_entries_can_be_listed_without_what_they_hold_and_fetched_one_by_one(fresh) -> None:
    address = fresh()
    with SqlJournal(address, session="a") as journal, SqlJournal(address, session="b") as other:
        first = journal.record("decision", 10, {"x": 1}, system="one")
        journal.record("mode", 11, {})
        other.record("decision", 12, {"x": 2}, system="one")
        last = journal.record("decision", 13, {"x": 3}, system="two")
        assert journal.marks("decision", "a") == ((first, 10, "one"), (last, 13, "two"))
        assert journal.marks("decision", "a", after=first) == ((last, 13, "two"),)
        assert journal.entry(last).payload == {"x": 3}
        with pytest.raises(JournalError, match=f"has no entry {last + 9}: it was pruned"):
            journal.entry(last + 9)


def test_an_empty_database_is_no_journal_to_a_reader(fresh, tmp_path) -> None:
    address = fresh()
    if "://" not in address:
        Path(address).touch()
    with pytest.raises(JournalError, match="holds no journal"):
        SqlJournal(address, read_only=True)


def test_a_damaged_payload_names_its_entry(fresh) -> None:
    address = fresh()
    with SqlJournal(address) as journal:
        journal.record("a", 1, {})
        engine = create_engine(address if "://" in address else f"sqlite:///{address}")
        with engine.begin() as connection:
            row = {"p": b"\x00not a payload"}
            columns = "session, system, kind, known_at, recorded_at, ref, payload"
            connection.execute(text(f"INSERT INTO journal_entries ({columns}) VALUES ('','','b',2,2,'',:p)"), row)
        engine.dispose()
        entries = journal.read()
        assert next(entries).kind == "a"
        with pytest.raises(JournalError, match="14 bytes is damaged") as caught:
            next(entries)
        assert "(b) of journal" in caught.value.__notes__[0]


# ---- SQLite alone ---------------------------------------------------------------------------------------------

VERSION_1 = """
CREATE TABLE entries (number INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, known_at INTEGER NOT NULL,
                      payload TEXT NOT NULL);
CREATE INDEX entries_kind ON entries (kind, number);
CREATE TRIGGER entries_never_change BEFORE UPDATE ON entries
BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER entries_never_go BEFORE DELETE ON entries
BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
"""


def version_1(path: Path, payloads: list[str]) -> None:
    db = sqlite3.connect(path)
    db.executescript(VERSION_1)
    db.executemany("INSERT INTO entries (kind, known_at, payload) VALUES ('k', ?, ?)", enumerate(payloads, 10))
    db.commit()
    db.close()


def test_the_first_schema_is_converted(tmp_path) -> None:
    path = tmp_path / "journal.db"
    version_1(path, ['{"a":null,"b":[1,2.5]}', '{"~":"t"}', *(f'{{"i":{i}}}' for i in range(2_500))])
    with pytest.raises(JournalError, match="older schema 1, and this is 3; open it once for writing"):
        SqlJournal(path, read_only=True)
    with SqlJournal(path, session="s") as journal:
        entries = list(journal.read())
        assert [e.number for e in entries] == list(range(1, 2_503))
        assert [e.known_at for e in entries] == list(range(10, 2_512))
        assert [e.payload for e in entries[:3]] == [{"a": None, "b": [1, 2.5]}, {"~": "t"}, {"i": 0}]
        assert {(e.session, e.recorded_at, e.kind) for e in entries} == {("", 0, "k")}
        assert journal.record("k", 1, {}) == 2_503
        assert journal.prune(10**18)[0].entries == 2_502
    with SqlJournal(path) as journal:
        assert [e.kind for e in journal.read()] == ["k", "pruned"]


def test_a_conversion_that_fails_leaves_the_old_file_as_it_was(tmp_path) -> None:
    path = tmp_path / "journal.db"
    version_1(path, ['{"a":1}', "[1]"])
    for _ in range(2):
        with pytest.raises(JournalError, match="a payload must be a mapping"):
            SqlJournal(path)
    with closing(sqlite3.connect(path)) as db:
        tables = db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    assert {t for (t,) in tables} == {"entries", "sqlite_sequence"}


def test_every_record_is_synced_and_readers_do_not_wait(tmp_path) -> None:
    with SqlJournal(tmp_path / "deep" / "journal.db") as journal:
        journal.record("a", 1, {})
        with journal._database.writing("x") as connection:
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
            assert [e.kind for e in journal.read()] == ["a"], "read while a writer is at work"


def test_a_full_disk_is_an_error_and_room_ends_it(tmp_path) -> None:
    path = tmp_path / "journal.db"
    with SqlJournal(path) as journal:
        with journal._database.writing("x") as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        with journal._database._engine.connect() as connection:  # the one connection of the pool
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
        big = {"noise": np.random.default_rng(1).normal(size=20_000)}
        with pytest.raises(JournalError, match=rf"{path} did not take a 'big' record: .*disk is full; free space"):
            journal.record("big", 1, big)
        assert list(journal.read()) == []
        assert journal.record("big", 1, big) == 1
        assert [e.payload["noise"].tobytes() for e in journal.read()] == [big["noise"].tobytes()]


@pytest.mark.skipif(os.geteuid() != 0, reason="taking permissions away from oneself is tested as root alone")
def test_a_read_only_file_is_an_error_with_its_remedy() -> None:
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    try:
        folder.chmod(0o755)
        SqlJournal(folder / "journal.db").close()
        (folder / "journal.db").chmod(0o444)
        os.seteuid(65_534)
        with pytest.raises(JournalError, match=r"folder writable|folder exists and is accessible"):
            SqlJournal(folder / "journal.db").record("a", 1, {})
        with pytest.raises(JournalError, match="cannot be opened"):
            SqlJournal(folder / "new.db")
    finally:
        os.seteuid(0)
        shutil.rmtree(folder)


def test_a_file_that_vanishes_is_an_error_not_a_silence(tmp_path) -> None:
    path, aside = tmp_path / "journal.db", tmp_path / "aside.db"
    with SqlJournal(path) as journal:
        journal.record("a", 1, {})
        path.rename(aside)
        for _ in range(2):
            with pytest.raises(JournalError, match="did not take a 'b' record"):
                journal.record("b", 2, {})
        assert not path.exists(), "no new, empty journal in its place"
        aside.rename(path)
        assert journal.record("c", 3, {}) == 2
        assert [e.kind for e in journal.read()] == ["a", "c"]


def test_bad_addresses(tmp_path) -> None:
    (tmp_path / "text.db").write_text("this is not a database, it is only a text of some length")
    with pytest.raises(JournalError, match=r"cannot be opened: .*not a database; the file is something else"):
        SqlJournal(tmp_path / "text.db")
    with pytest.raises(JournalError, match="cannot be opened: unable to open database file; check that the folder"):
        SqlJournal(tmp_path / "none" / "journal.db", read_only=True)
    with pytest.raises(JournalError, match=r"cannot be opened: .*Not a directory|File exists"):
        SqlJournal(tmp_path / "text.db" / "journal.db")
    with pytest.raises(JournalError, match="in memory would be lost"):
        SqlJournal("sqlite://")
    with pytest.raises(JournalError, match="has no address"):
        SqlJournal("")
    with pytest.raises(JournalError, match="driver that is not installed"):
        SqlJournal("oracle+nothing://x/y")


@pytest.mark.parametrize(
    "address", ["postgresql://annabel:hunter2@127.0.0.1:1/none", "nonsense://annabel:hunter2@x:y:z/"]
)
def test_credentials_never_show(address) -> None:
    with pytest.raises(JournalError) as caught:
        SqlJournal(address)
    assert "***@" in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert "annabel" not in str(caught.value)


CRASHING_WRITER = """
import os, sys
from workbench.journal import SqlJournal
journal = SqlJournal(sys.argv[1], session="crashed")
for i in range(10_000):
    number = journal.record("x", i, {"i": i})
    os.write(1, b"%d\\n" % number)
"""


def test_what_was_recorded_survives_the_kill_of_the_writer(fresh) -> None:
    address = fresh()
    writer = subprocess.Popen([sys.executable, "-c", CRASHING_WRITER, address], stdout=subprocess.PIPE)
    told = [int(writer.stdout.readline()) for _ in range(20)]
    writer.kill()
    told += [int(line) for line in writer.communicate()[0].split(b"\n")[:-1]]
    with SqlJournal(address, session="next") as journal:
        kept = [e.number for e in journal.read(session="crashed")]
        assert kept[: len(told)] == told
        assert len(kept) <= len(told) + 1
        assert journal.record("y", 1, {}) > kept[-1]


# ---- PostgreSQL alone -----------------------------------------------------------------------------------------


def test_a_server_that_goes_and_comes_back(postgres) -> None:
    with SqlJournal(postgres.fresh()) as journal:
        journal.record("a", 1, {"fill": Fill("e", "r", "AAA", 1, 1, 1.0, 0.0, 1)})
        postgres.stop()
        try:
            with pytest.raises(JournalError, match=r"did not take a 'b' record: .*check that") as caught:
                journal.record("b", 2, {})
            assert "opensesame" not in str(caught.value)
            with pytest.raises(JournalError, match="cannot be read"):
                list(journal.read())
        finally:
            postgres.start()
        journal.record("c", 3, {})
        assert [e.kind for e in journal.read()] == ["a", "c"]


def test_durability_and_limits_of_waiting_are_set(postgres) -> None:
    with SqlJournal(postgres.fresh()) as journal, journal._database.writing("x") as connection:
        shown = {n: connection.exec_driver_sql(f"SHOW {n}").scalar() for n in ("synchronous_commit", "lock_timeout")}
        assert shown == {"synchronous_commit": "on", "lock_timeout": "10s"}
        with pytest.raises(JournalError, match="read-only"):
            reader = SqlJournal(_address(journal), read_only=True)
            with reader._database.writing("cannot") as other:
                other.exec_driver_sql("CREATE TABLE x (y int)")


def _address(journal: SqlJournal) -> str:
    return journal._database._engine.url.render_as_string(hide_password=False)
