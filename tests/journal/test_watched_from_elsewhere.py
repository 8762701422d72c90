"""An engine whose journal and commands are in PostgreSQL is watched, and halted, by who has only the two addresses."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from workbench.commands import CommandError
from workbench.dash.access import Person
from workbench.dash.feed import JournalFeed
from workbench.dash.live_commands import CommandSender
from workbench.dash.live_page import LivePage
from workbench.dash.settings import DashSettings
from workbench.dash.users import Users
from workbench.engine.live import EngineClient
from workbench.engine.plan import EnginePlan
from workbench.engine.simulation import stop_gateway


@pytest.fixture
def engine(postgres, tmp_path: Path) -> Iterator[SimpleNamespace]:
    """An engine that trades the demo bundle, and its addresses."""
    journal, commands = postgres.fresh(), postgres.fresh()
    live = {"folder": str(tmp_path / "live"), "journal": journal, "commands": commands}
    base = EnginePlan.of([{"symbols": ["AAPL", "MSFT", "NVDA"], "ibkr": {"speed": 60.0}}])
    client = EngineClient(EnginePlan((base.first.change(live=live),)))
    client.start()
    try:
        client.wait(120)
        yield SimpleNamespace(client=client, journal=journal, commands=commands)
    finally:
        client.stop("the test is over")
        stop_gateway(client.folder)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_dashboard_on_another_machine(engine, tmp_path) -> None:
    shutil.copy2(engine.client.folder / "commands.key", tmp_path / "copied.key")
    Users.add(tmp_path / "secrets", "otto", "operator", "correct horse battery")
    settings = DashSettings(
        folder=tmp_path / "not here", journal=engine.journal, commands=engine.commands,
        key=str(tmp_path / "copied.key"), secrets=tmp_path / "secrets",
    )  # fmt: skip
    feed = JournalFeed(settings.journal_address).start()
    try:
        until(lambda: feed.look.log is not None and feed.look.log.state.get("phase") == "trading")
        status = feed.look.status(time.time_ns())
        assert (status["alive"], status["kind"]) == (True, "simulated")
        assert feed.look.log.systems == ("main",)
        about = str(feed.look.log.about)
        assert "opensesame" not in about  # the password in the address
        otto = Person("otto", "operator", Users.load(tmp_path / "secrets").entries["otto"].id)
        page = LivePage(settings, otto, feed)
        assert page.bar is not None  # the buttons are there
        told = CommandSender(settings, Person("vera", "viewer"), lambda: True)
        with pytest.raises(CommandError, match="nothing was sent"):
            told("halt", "not mine to give", "")
        assert page.sender("halt", "from far away", "").startswith("done")
        until(lambda: feed.look.log.state["systems"]["main"]["mode"] == "OBSERVE")
        until(lambda: any("halt by otto: from far away" in h.text for h in feed.look.log.happenings.since()))
    finally:
        feed.stop()
    assert not (engine.client.folder / "journal.db").exists()
    assert not (engine.client.folder / "commands.db").exists()
    assert (engine.client.folder / "engine.json").stat().st_mode & 0o077 == 0  # it holds the password


def until(true: Callable[[], object], timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s"
        time.sleep(0.1)
