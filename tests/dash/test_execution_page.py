"""The execution page where there is little to show: no journal, an empty one, a session that decided nothing."""

from __future__ import annotations

import asyncio
import re
import threading
from pathlib import Path
from typing import Any

import pytest

from workbench.config import Settings
from workbench.dash.execution_page import ExecutionPage, RecordShelf
from workbench.dash.feed import JournalFeed
from workbench.engine.codec import live_codec
from workbench.engine.plan import EnginePlan
from workbench.engine.session_record import SessionRecord
from workbench.journal import JournalError, SqlJournal


def words(html: Any) -> str:
    """The text of a piece of HTML."""
    return re.sub(r"\s+", " ", re.sub(r"<style>.*?</style>|<[^>]+>", " ", str(html), flags=re.S)).strip()


def page_of(folder: Path, shelf: RecordShelf | None = None) -> ExecutionPage:
    feed = JournalFeed(folder / "journal.db")
    feed.refresh()
    made = ExecutionPage(feed, shelf or RecordShelf())
    asyncio.run(made.load())
    return made


def begin(folder: Path, session: str) -> SqlJournal:
    plan = EnginePlan((Settings(),))
    journal = SqlJournal(folder / "journal.db", session=session, codec=live_codec())
    about = {"account": "DU1", "kind": "paper", "runtime": "", "plan": plan.to_public_json(), "bundles": {}}
    journal.record("engine", 1_772_462_100 * 10**9, about)
    return journal


def test_no_journal_names_the_remedy(tmp_path: Path) -> None:
    shown = page_of(tmp_path)
    told = words(shown.told.object)
    assert "The journal cannot be read" in told
    assert "`workbench live` makes one there" in told
    assert shown.check.disabled
    assert shown.pulse.beats == 0  # nothing was read: the page must not look alive


def test_an_empty_journal_waits_for_its_first_session(tmp_path: Path) -> None:
    with SqlJournal(tmp_path / "journal.db", session="s0", codec=live_codec()):
        shown = page_of(tmp_path)
        assert "Nothing was journaled yet" in words(shown.told.object)
        assert "No session" not in words(shown.state.object)
        with begin(tmp_path, "s1"):
            shown.feed.refresh()
            shown.refresh()
            assert "empty" not in str(shown.told.object)
            assert shown.sessions.value == ["s1"]
            assert list(shown.sessions.options) == ["2026-03-02 · s1"]


def test_a_session_that_decided_nothing_says_so(tmp_path: Path) -> None:
    with begin(tmp_path, "s1"):
        shown = page_of(tmp_path)
        assert "Session s1 decided nothing, so there is nothing to analyse" in words(shown.state.object)
        assert str(tmp_path) not in shown.state.object
        assert shown.view is None
        assert shown.export.disabled
        shown.sessions.value = []
        asyncio.run(shown.load())
        assert words(shown.state.object) == "No session is chosen."


def test_a_choice_that_stands_is_kept_when_a_session_begins(tmp_path: Path) -> None:
    with begin(tmp_path, "s1") as first:
        first.beat("trading")
        shown = page_of(tmp_path)
        with begin(tmp_path, "s2") as second:
            second.beat("starting")
            shown.feed.refresh()
            shown.refresh()
            assert list(shown.sessions.options.values()) == ["s2", "s1"]
            assert shown.sessions.value == ["s1"]


@pytest.mark.parametrize(("phase", "told"), [("failed", "has failed"), ("stopped", ""), ("trading", "")])
def test_an_engine_that_is_not_at_work_though_it_should_be(tmp_path: Path, phase: str, told: str) -> None:
    with begin(tmp_path, "s1") as journal:
        silent = words(page_of(tmp_path).told.object)
        assert "gives no sign of life" in silent
        journal.beat(phase)
        assert told in (found := words(page_of(tmp_path).told.object))
        assert bool(found) == bool(told)


class Slow(RecordShelf):
    """Waits with s1 until it is told to go on; has no record of anything."""

    def __init__(self) -> None:
        super().__init__()
        self.reached, self.go_on = threading.Event(), threading.Event()

    def read(self, feed: JournalFeed, session: str) -> SessionRecord:
        if session == "s1":
            self.reached.set()
            assert self.go_on.wait(20)
        raise JournalError(f"nothing of {session}")


def test_the_last_choice_wins_however_late_the_first_is_read(tmp_path: Path) -> None:
    shelf = Slow()
    with begin(tmp_path, "s1"), begin(tmp_path, "s2"):
        feed = JournalFeed(tmp_path / "journal.db")
        feed.refresh()
        shown = ExecutionPage(feed, shelf)

        async def choose_twice() -> None:
            shown.sessions.value = ["s1"]
            first = asyncio.create_task(shown.load())
            await asyncio.to_thread(shelf.reached.wait, 20)
            assert "Analysing s1" in words(shown.state.object)
            shown.sessions.value = ["s2"]
            await shown.load()
            assert "nothing of s2" in words(shown.state.object)
            shelf.go_on.set()
            await first

        asyncio.run(choose_twice())
        assert "nothing of s2" in words(shown.state.object)


def test_parity_that_cannot_be_checked_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with begin(tmp_path, "s1"):
        shown = page_of(tmp_path)
        monkeypatch.setattr(shown, "_verdict", _gone)
        asyncio.run(shown.verify())
        assert words(shown.verdict.object) == ""  # nothing to check without a record
        shown.records = (_named("s1"),)
        asyncio.run(shown.verify())
        told = words(shown.verdict.object)
        assert "The parity of session s1 cannot be checked: the bundle is gone" in told
        assert not shown.check.loading


def _gone(session: str) -> Any:
    raise JournalError("the bundle is gone")


def _named(session: str) -> Any:
    from types import SimpleNamespace

    return SimpleNamespace(session=session)
