"""The feed of a dashboard: what it knows of a journal, and what it says when there is nothing to know."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

from workbench.commands import Command
from workbench.config import Settings
from workbench.core.errors import WorkbenchError
from workbench.dash.feed import DEAD_AFTER_S, JournalFeed, Look
from workbench.dash.session_log import Recent, SessionLog
from workbench.engine.codec import live_codec
from workbench.engine.plan import EnginePlan
from workbench.journal import SqlJournal
from workbench.schedule.history import Alert, History

SECOND = 1_000_000_000


class At:
    """A clock that stands."""

    def __init__(self, ns: int) -> None:
        self.ns = ns

    def now(self) -> int:
        return self.ns


def journal_at(folder: Path, session: str = "s1", at: int = 100 * SECOND) -> SqlJournal:
    return SqlJournal(folder / "journal.db", session=session, codec=live_codec(), clock=At(at))


def begin(journal: SqlJournal, *names: str) -> None:
    plan = EnginePlan(tuple(Settings().change(system={"name": n, "symbols": ("AAPL", "MSFT")}) for n in names))
    about = {"account": "DU1", "kind": "simulated", "runtime": {}, "plan": plan.to_public_json(), "bundles": {}}
    journal.record("engine", 10, about)


def state(nav: float | None, **more: Any) -> dict[str, Any]:
    system = {"nav": nav, "gross": 0.25, "net": -0.1, "profit_today": -5.0, "drawdown": None}
    return {"phase": "trading", "systems": {"one": system}, "open_orders": [], **more}


def test_a_list_that_grows_is_read_without_gaps_or_repeats() -> None:
    seen: Recent[int] = Recent(keep=3)
    assert (seen.count, seen.since()) == (0, [])
    for i in range(5):
        seen.append(i)
    assert seen.since(0) == [2, 3, 4]
    assert seen.since(4) == [4]
    assert seen.since(5) == seen.since(9) == []


def test_a_log_is_folded_from_what_the_engine_journals(tmp_path) -> None:
    with journal_at(tmp_path) as journal:
        begin(journal, "one", "two")
        journal.record("state", 20, state(1000.0))
        journal.record("state", 30, state(None))
        ask = Command("c1", "halt", "", "ann", "operator", "odd fills", 1, 2)
        journal.record("command", 31, {"command": ask})
        journal.record("refused", 32, {"command": ask, "reason": "forged: no"})
        fill = {"exec_id": "e.1.01", "order_ref": "o1", "symbol": "AAPL", "quantity": 3, "price": 10.0}
        journal.record("fill", 33, {"fill": fill})
        journal.record("correction", 34, {"after": {**fill, "exec_id": "e.1.02", "price": 11.0}})
        journal.record("commission", 35, {"exec_id": "e.1.02", "amount": 0.5})
        journal.record("market", 36, {"what": "no log takes"})
        log = SessionLog("s1")
        for entry in journal.read(session="s1"):
            if entry.kind != "market":
                log.take(entry)
    assert log.systems == ("one", "two")
    sample, unknown = log.samples.since()
    assert (sample.at, sample.system, sample.nav, sample.gross, sample.net) == (20, "one", 1000.0, 0.25, -0.1)
    assert (unknown.at, unknown.nav == unknown.nav) == (30, False)  # else the value before would stand for it
    assert sample.drawdown != sample.drawdown  # unknown
    assert (log.state["systems"]["one"]["nav"], log.state_at) == (None, 100 * SECOND)
    assert [(h.kind, h.text) for h in log.happenings.since()] == [
        ("command", "halt by ann: odd fills"), ("refused", "halt by ann: refused, forged: no"),
    ]  # fmt: skip
    assert [f["price"] for f in log.fills.rows.values()] == [11.0]
    assert list(log.fills.commissions.values()) == [0.5]


def test_a_feed_follows_what_is_written_and_only_that_raises_its_version(tmp_path) -> None:
    feed = JournalFeed(tmp_path / "journal.db")
    with journal_at(tmp_path) as journal:
        begin(journal, "one")
        journal.beat("trading")
        feed.refresh()
        first = feed.look
        assert first.problem == ""
        assert first.log is not None
        assert first.log.session == "s1"
        assert first.log.systems == ("one",)
        feed.refresh()
        assert feed.look.version == first.version
        assert feed.look.read_at > first.read_at
        journal.record("state", 20, state(1000.0))
        feed.refresh()
        assert feed.look.version == first.version + 1
        assert [s.nav for s in feed.look.log.samples.since()] == [1000.0]
    feed.stop()


def test_a_new_session_takes_the_place_of_the_one_before_which_can_still_be_read(tmp_path) -> None:
    feed = JournalFeed(tmp_path / "journal.db")
    with journal_at(tmp_path) as journal:
        begin(journal, "one")
        journal.record("state", 20, state(1000.0))
        journal.beat("stopped")
        feed.refresh()
    with journal_at(tmp_path, "s2", 200 * SECOND) as journal:
        begin(journal, "one")
        journal.beat("starting")
        feed.refresh()
    look = feed.look
    assert look.log is not None
    assert look.log.session == "s2"
    assert not look.log.samples.since()
    assert [s.session for s in look.sessions] == ["s1", "s2"]
    assert [s.nav for s in feed.past("s1").samples.since()] == [1000.0]
    assert feed.past("s1") is feed.past("s1")
    assert feed.past("s2") is look.log
    feed.stop()


@pytest.mark.parametrize(
    ("phase", "silent_s", "expected", "alive"),
    [
        ("trading", DEAD_AFTER_S - 1, "trading", True),
        ("trading", DEAD_AFTER_S + 1, "dead", False),
        ("warming up", DEAD_AFTER_S + 1, "warming up", True),
        ("warming up", 121.0, "dead", False),
        ("stopped", 9999.0, "stopped", False),
        ("failed", 0.0, "failed", False),
    ],
)
def test_an_engine_that_gives_no_sign_of_life_is_dead_and_not_merely_quiet(
    tmp_path, phase, silent_s, expected, alive
) -> None:
    feed = JournalFeed(tmp_path / "journal.db")
    with journal_at(tmp_path) as journal:
        begin(journal, "one")
        journal.record("state", 20, state(1000.0))
        journal.beat(phase, "no broker" if phase == "failed" else "")
        feed.refresh()
    status = feed.look.status(int((100 + silent_s) * SECOND))
    assert (status["phase"], status["alive"], status["age_s"]) == (expected, alive, silent_s)
    assert status["systems"]["one"]["nav"] == 1000.0  # what was known stays known, with its age
    if expected == "dead":
        assert f"no sign of life for {silent_s:.0f} s" in status["error"]
    if expected == "failed":
        assert status["error"] == "no broker"
    feed.stop()


def test_a_dead_engine_whose_clock_is_ahead_does_not_look_alive(tmp_path, monkeypatch) -> None:
    begun = time.time_ns()
    feed = JournalFeed(tmp_path / "journal.db")
    with journal_at(tmp_path, at=begun + 600 * SECOND) as journal:
        begin(journal, "one")
        journal.beat("trading")
        feed.refresh()
    assert feed.look.status(time.time_ns())["alive"]
    monkeypatch.setattr(time, "time_ns", lambda: begun + int((DEAD_AFTER_S + 5) * SECOND))
    feed.refresh()
    status = feed.look.status(time.time_ns())
    assert (status["phase"], status["alive"]) == ("dead", False)
    feed.stop()


def test_an_entry_that_this_version_cannot_read_is_told_and_does_not_end_the_reader(tmp_path) -> None:
    feed = JournalFeed(tmp_path / "journal.db")
    with journal_at(tmp_path) as journal:
        begin(journal, "one")
        number = journal.record("state", 20, {"phase": "trading"})
        feed.refresh()
        assert f"entry {number} (state) of session s1 is not of a form that this version knows" in feed.look.problem
        with pytest.raises(WorkbenchError, match=f"entry {number} "):
            feed.past("s1")
        odd = journal.record("decision", 21, {"mode": "LIVE"})
        with pytest.raises(WorkbenchError, match=f"entry {odd} .decision. of session s1 is not of a form"):
            feed.decision(odd)
    feed.stop()


def test_a_journal_that_is_not_there_empty_of_another_version_or_gone_is_told_and_found_again(tmp_path) -> None:
    feed = JournalFeed(tmp_path / "journal.db")
    feed.refresh()
    assert "there is no journal journal.db" in feed.look.problem
    assert "--folder" in feed.look.problem
    assert feed.look.status(0)["phase"] == "none"
    with journal_at(tmp_path) as journal:
        feed.refresh()
        assert feed.look.problem == ""
        assert feed.look.log is None
        assert feed.look.status(0)["error"] == "the journal is empty"
        begin(journal, "one")
        feed.refresh()
        assert feed.look.log is not None
    read_at = feed.look.read_at
    with sqlite3.connect(tmp_path / "journal.db") as db:
        db.execute("UPDATE journal_schema SET version = 99")
    db.close()
    for _ in range(2):  # a journal that was open is only checked when it is opened anew
        feed._close()
        feed.refresh()
    assert "schema 99, and this workbench knows up to 3" in feed.look.problem
    assert feed.look.log is not None
    assert feed.look.read_at == read_at
    version = feed.look.version
    feed.refresh()
    assert feed.look.version == version
    for path in tmp_path.glob("journal.db*"):
        path.unlink()
    feed.refresh()
    assert "there is no journal" in feed.look.problem
    with journal_at(tmp_path, "s9") as journal:
        begin(journal, "one")
    feed.refresh()
    assert feed.look.problem == ""
    assert feed.look.log.session == "s9"
    feed.stop()


def test_a_locked_journal_is_told_and_read_again_when_it_is_free(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("workbench.database.TIMEOUT_S", 0.1)
    path = tmp_path / "journal.db"
    with journal_at(tmp_path) as journal:
        begin(journal, "one")
    with sqlite3.connect(path) as db:  # without WAL a writer keeps readers out
        db.execute("PRAGMA journal_mode=DELETE")
    db.close()
    feed = JournalFeed(path)
    lock = sqlite3.connect(path, isolation_level=None)
    lock.execute("BEGIN EXCLUSIVE")
    feed.refresh()
    assert "is locked" in feed.look.problem
    assert "end it" in feed.look.problem
    lock.execute("ROLLBACK")
    lock.close()
    feed.refresh()
    assert feed.look.problem == ""
    assert feed.look.log is not None
    feed.stop()


def test_a_feed_that_runs_sees_what_is_written_meanwhile(tmp_path) -> None:
    with journal_at(tmp_path) as journal:
        begin(journal, "one")
        feed = JournalFeed(tmp_path / "journal.db").start()
        journal.record("state", 20, state(1000.0))
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and not (feed.look.log and feed.look.log.samples.count):
            time.sleep(0.02)
        feed.stop()
    assert feed.look.log is not None
    assert feed.look.log.samples.count == 1


def test_a_decision_that_is_not_in_the_journal_is_an_error(tmp_path) -> None:
    feed = JournalFeed(tmp_path / "journal.db")
    with journal_at(tmp_path) as journal:
        begin(journal, "one")
    with pytest.raises(WorkbenchError, match="has no entry 77"):
        feed.decision(77)
    assert Look().status(5)["phase"] == "none"


def test_alerts_of_the_desk_are_known_where_there_is_a_desk(tmp_path) -> None:
    feed = JournalFeed(tmp_path / "journal.db", tmp_path / "desk")
    feed.refresh_alerts()
    assert feed.look.alerts == ()
    (tmp_path / "desk").mkdir()
    with History(tmp_path / "desk" / "journal.db") as history:
        history.alert(Alert(5, "train", "train-1", "failed: no bars"))
        history.alert(Alert(6, "live", "live-1", "no heartbeat for 30 s"))
    feed.refresh_alerts()
    assert [a.text for a in feed.look.alerts] == ["no heartbeat for 30 s", "failed: no bars"]
    version = feed.look.version
    feed.refresh_alerts()
    assert feed.look.version == version
    with journal_at(tmp_path) as journal:
        begin(journal, "one")
        feed.refresh()
    assert len(feed.look.alerts) == 2
    feed.stop()
