"""A session as one file: a real session of six bars, opened by a browser that has no network."""

from __future__ import annotations

import asyncio
import importlib.util
import re
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from workbench.core.errors import WorkbenchError
from workbench.dash.execution_page import ExecutionPage, RecordShelf
from workbench.dash.export import export_session
from workbench.dash.feed import JournalFeed
from workbench.engine.codec import live_codec
from workbench.engine.session_record import SessionRecord, read_session
from workbench.gateway.simulated import SimulatedGateway
from workbench.journal import SqlJournal

BARS = 6


def words(html: str) -> str:
    """The text of a piece of HTML."""
    return re.sub(r"\s+", " ", re.sub(r"<(style|script).*?</\1>|<[^>]+>", " ", html, flags=re.S))


def live_rig() -> ModuleType:
    """The rig of the live tests: an engine in this process over a gateway whose clock the test moves."""
    path = Path(__file__).parent.parent / "live" / "rig.py"
    spec = importlib.util.spec_from_file_location("rig_of_live_tests", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An engine's folder after two sessions: s1 of six bars, which was halted in the end, and s2 of one."""
    rig, where = live_rig(), tmp_path_factory.mktemp("session")
    with SimulatedGateway(speed=rig.FROZEN, start=rig.START) as gateway:
        at_work = rig.Rig(where, gateway, (rig.trading_settings(rig.loud_bundle(where / "bundle")),))
        for bars in (BARS, 1):
            at_work.open()
            for _ in range(bars):
                at_work.bar()
            at_work.close()
    return where


@pytest.fixture(scope="module")
def record(folder: Path) -> SessionRecord:
    with closing(SqlJournal(folder / "journal.db", read_only=True, codec=live_codec())) as journal:
        return read_session(journal, "s1")


@pytest.fixture(scope="module")
def exported(folder: Path) -> Path:
    path = folder / "out" / "s1.html"
    export_session(folder / "journal.db", "s1", path)
    return path


def test_the_file_tells_whose_session_it_is_and_what_it_did(exported: Path, record: SessionRecord) -> None:
    told = words(exported.read_text(encoding="utf-8"))
    for wanted in ("Session s1", "no broker, no money", "exported (UTC)", "inferred again equal", "Drift:"):
        assert wanted in told
    assert f"orders {len(record.sent)} fills {len(record.fills)}" in told
    assert "had not been stopped when it was exported" in told
    decisions = told.partition(" Decisions ")[2]
    assert decisions.count("main LIVE") + decisions.count("main DEGRADED") == BARS
    for group in ("hour", "policy", "order value", "system"):
        assert f"Costs by {group}" in told


def test_it_is_one_small_file_and_nothing_is_left_beside_it(exported: Path) -> None:
    assert exported.stat().st_size < 8_000_000
    assert [p.name for p in exported.parent.iterdir()] == ["s1.html"]
    text = exported.read_text(encoding="utf-8")
    assert re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=\"(?!data:)[^\"]*", text) == []


def test_a_browser_without_a_network_shows_every_figure(exported: Path) -> None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(**chromium(playwright))
        page = browser.new_context(offline=True).new_page()
        asked: list[str] = []
        errors: list[str] = []
        page.on("request", lambda r: asked.append(r.url))
        page.on("pageerror", lambda e: errors.append(str(e)))
        page.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
        page.goto(exported.as_uri())
        page.wait_for_function("Bokeh.documents.length > 0 && document.querySelectorAll('.bk-Figure').length >= 9")
        assert errors == []
        assert [url for url in asked if url != exported.as_uri() and not url.startswith(("data:", "blob:"))] == []
        browser.close()


def chromium(playwright: Any) -> dict[str, str]:
    """The system's Chromium, where there is one."""
    path = Path("/usr/bin/chromium")
    if path.exists():
        return {"executable_path": str(path)}
    if not Path(playwright.chromium.executable_path).exists():
        pytest.skip("no Chromium: `playwright install chromium` brings one")
    return {}


def test_what_cannot_be_exported_says_why(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(WorkbenchError, match=r"session s9 .* decided nothing"):
        export_session(folder / "journal.db", "s9", tmp_path / "x.html")
    with pytest.raises(WorkbenchError, match=r"there is no journal journal\.db"):
        export_session(tmp_path / "journal.db", "s1", tmp_path / "x.html")
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkbenchError, match=r"cannot be written to .*choose another file"):
        export_session(folder / "journal.db", "s2", tmp_path / "file" / "x.html")
    assert not (tmp_path / "x.html").exists()


# ---- the page over the same sessions ------------------------------------------------------------------------------


@pytest.fixture
def shown(folder: Path) -> Iterator[ExecutionPage]:
    feed = JournalFeed(folder / "journal.db")
    feed.refresh()
    yield ExecutionPage(feed, RecordShelf())
    feed.stop()


def test_the_newest_session_is_chosen_and_others_can_be(shown: ExecutionPage, record: SessionRecord) -> None:
    assert list(shown.sessions.options.values()) == ["s2", "s1"]
    assert shown.sessions.value == ["s2"]
    assert shown.export.disabled
    asyncio.run(shown.load())
    assert shown.view is not None
    assert shown.view.executions.sessions == ("s2",)
    assert not shown.export.disabled
    shown.sessions.param.update(value=["s2", "s1"])
    asyncio.run(shown.load())
    assert shown.view.executions.sessions == ("s1", "s2")
    assert len(shown.view.executions.fills) >= len(record.fills)
    assert words(str(shown.state.object)).count("A simulated account") == 2


def test_what_is_not_new_is_neither_read_nor_drawn_again(shown: ExecutionPage) -> None:
    asyncio.run(shown.load())
    assert shown.view is not None
    before, version = shown.records, shown.view.version
    asyncio.run(shown.load())
    assert shown.records[0] is before[0]
    assert shown.view.version == version


def test_parity_on_request(shown: ExecutionPage) -> None:
    asyncio.run(shown.load())
    asyncio.run(shown.verify())
    assert "Parity of session s2" in words(str(shown.verdict.object))
    assert "inferred again equal" in words(str(shown.verdict.object))
    assert not shown.check.loading


def test_export_on_request(shown: ExecutionPage, record: SessionRecord) -> None:
    shown.sessions.value = ["s1"]
    asyncio.run(shown.load())
    told = asyncio.run(shown.exported()).read()
    assert shown.export.filename == "session-s1.html"
    assert f"orders {len(record.sent)} fills" in words(told)
    assert np.isfinite(record.sent.arrival_mid).any()
