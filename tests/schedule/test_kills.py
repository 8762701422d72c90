"""Everything that a live session hangs on, killed in mid-session: what is held afterwards is what the policy says, and
the next run goes on from there.

Asked of the gateway itself, by a client of its own.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest

from tests.live.rig import loud_bundle, trading_settings
from tests.schedule.books import book
from workbench.core.calendar import iso_time
from workbench.engine.codec import live_codec
from workbench.engine.following import FOLLOWER
from workbench.engine.live import EngineClient
from workbench.engine.process import JOURNAL
from workbench.engine.simulation import running_gateway, stop_gateway
from workbench.execution.account_broker import is_ours
from workbench.execution.ibkr.connection import IbkrConnection
from workbench.journal import SqlJournal
from workbench.schedule.history import History, Run, RunState
from workbench.schedule.live import system_of
from workbench.schedule.runner import PROGRESS

ROOT = Path(__file__).resolve().parents[2]
DAY, SPEED = "2026-03-02", 60.0
SCHEDULE = """
[desk]
folder = "desk"
notebooks = "{notebooks}"
[[jobs]]
name = "check"
notebooks = ["{check}"]
at = "open-1h"
[[jobs]]
name = "live"
notebooks = ["09_live_session"]
kind = "live"
at = "open-15m"
after = ["check"]
until = "close"
left = "{left}"
misfire = "1h"
timeout = "12h"
[jobs.parameters]
config = "{config}"
start = "{{session}}T09:33"
"""
OVER = ("Cancelled", "ApiCancelled", "Filled", "Inactive")
pytestmark = pytest.mark.timeout(900)
SLOW, SOAK = pytest.mark.slow, pytest.mark.soak
"""The two telling ways to die run with the slow suite, the others by hand: each takes a minute or two."""


class Seen(NamedTuple):
    """What the gateway says: shares held by symbol, our orders that may still fill, its time (UTC ns)."""

    held: dict[str, float]
    working: list[str]
    time: int


class Desk:
    """A desk with one live job, whose scheduler runs as a process of its own."""

    def __init__(self, folder: Path, left: str) -> None:
        self.folder, self.live = folder, folder / "live"
        self.config = folder / "live.toml"
        settings = trading_settings(
            loud_bundle(folder / "bundle"),
            broker={"speed": SPEED},
            live={"folder": "live", "heartbeat_s": 0.2, "watchdog_s": 3.0},
            guards={"max_quote_age_s": 600.0, "max_clock_skew_s": 60.0},
            data={"bar_grace_s": 30.0},
        )
        self.config.write_text(settings.to_toml())
        check = book(folder, "check", "1")
        told = SCHEDULE.format(notebooks=ROOT / "notebooks", left=left, config=self.config, check=check)
        (folder / "schedule.toml").write_text(told)
        self.client: EngineClient = system_of(str(self.config), f"{DAY}T09:33").client
        self.processes: list[psutil.Process] = []
        self.commands: list[subprocess.Popen[bytes]] = []
        self.scheduler = self.workbench("schedule", "rehearse", "--from", DAY, "--to", DAY, "--speed", f"{SPEED:g}",
                                        "--file", str(folder / "schedule.toml"))  # fmt: skip

    def workbench(self, *words: str) -> subprocess.Popen[bytes]:
        """A command as a process."""
        with (self.folder / "out.log").open("ab") as log:
            made = subprocess.Popen([sys.executable, "-m", "workbench.cli", *words], stdout=log, stderr=log,
                                    start_new_session=True, cwd=self.folder)  # fmt: skip
        self.commands.append(made)
        return made

    def trades(self) -> None:
        """Wait until the session is in full swing: something is held."""
        until(lambda: running_gateway(self.live) is not None, 240)
        until(lambda: self.client.status()["phase"] == "trading")
        until(lambda: self.seen().held)
        until(lambda: (self.live / FOLLOWER).is_file())
        self.processes += [self.runner, self.kernel, self.engine]

    @property
    def run(self) -> Run:
        with History(self.folder / "desk" / "journal.db", read_only=True) as history:
            (run,) = history.runs(job="live")
        return run

    @property
    def runner(self) -> psutil.Process:
        return psutil.Process(json.loads((Path(self.run.folder) / PROGRESS).read_text())["pid"])

    @property
    def kernel(self) -> psutil.Process:
        (kernel,) = [p for p in self.runner.children() if "ipykernel_launcher" in " ".join(p.cmdline())]
        return kernel

    @property
    def engine(self) -> psutil.Process:
        return psutil.Process(self.client.status()["pid"])

    @property
    def mode(self) -> str:
        return str(self.client.status()["systems"]["main"].get("mode"))

    def seen(self) -> Seen:
        """What the gateway says to another client."""
        at = running_gateway(self.live)
        assert at is not None
        broker = self.client.plan.first.broker.model_copy(update={"client_id": 91})
        connection = IbkrConnection(broker, lambda report: None, time.time_ns, host=at.host, port=at.port,
                                    unthrottled=True)  # fmt: skip
        with closing(connection):
            greeting = connection.open()
            facts = connection.facts()
        held = {p.symbol: p.quantity for p in facts.positions if p.quantity}
        return Seen(held, [o.order_ref for o in facts.orders if is_ours(o.order_ref) and o.status not in OVER],
                    greeting.server_time)  # fmt: skip

    def told(self, kind: str | tuple[str, ...]) -> list[Any]:
        """Payloads of a kind, or of several, in the engine's journal."""
        with SqlJournal(self.live / JOURNAL, read_only=True, codec=live_codec()) as journal:
            return [e.payload for e in journal.read(kind)]

    def goes_on(self) -> None:
        """The next run, for half an hour of the market: it trades, and everything ends in good order."""
        end = iso_time(self.seen().time + int((40 + 30 * SPEED / 60) * 60e9))
        bars = len(self.told(("cycle", "missed")))
        words = ["-p", "config", str(self.config), "-p", "start", f"{DAY}T09:33", "-p", "until", end]
        again = self.workbench("run-notebook", str(ROOT / "notebooks" / "09_live_session.ipynb"), *words, "--folder",
                               str(self.folder / "again"))  # fmt: skip
        until(lambda: len(self.told(("cycle", "missed"))) > bars, 180)  # a busy machine may be late for a bar
        until(lambda: self.mode == "LIVE")
        assert again.wait(300) == 0, (self.folder / "out.log").read_text()[-3000:]
        assert self.client.status()["phase"] == "stopped"
        assert running_gateway(self.live) is None
        assert not (self.live / FOLLOWER).exists()

    def end(self) -> None:
        """Leave nothing running."""
        for command in self.commands:
            command.kill()
            command.wait()
        for process in [*self.processes, *psutil.process_iter()]:
            try:
                if process in self.processes or str(self.folder) in " ".join(process.cmdline()):
                    process.kill()
            except psutil.Error:
                continue
        stop_gateway(self.live)


def until(what: Callable[[], Any], patience_s: float = 120.0) -> None:
    """Wait until `what` is true."""
    deadline = time.monotonic() + patience_s
    while not what():
        assert time.monotonic() < deadline, f"not within {patience_s:g} s"
        time.sleep(0.5)


@pytest.fixture(params=[pytest.param("hold", marks=SOAK), "flatten"])
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Desk, str]]:
    made = Desk(tmp_path, request.param)
    try:
        made.trades()
        yield made, request.param
    finally:
        made.end()


def follows_the_policy(desk: Desk, left: str) -> None:
    """The engine has missed its follower; hold: it goes on with what it holds; flatten: nothing is held any more."""
    engine = desk.engine.pid
    until(lambda: desk.told("abandoned"))
    assert [t["left"] for t in desk.told("abandoned")] == [left]
    if left == "flatten":
        until(lambda: desk.mode == "EMERGENCY")
        until(lambda: desk.seen()[:2] == ({}, []))
    else:
        cycles = desk.client.status()["cycles"]
        until(lambda: desk.client.status()["cycles"] > cycles)
        assert desk.mode == "LIVE"
        assert desk.seen().held
    assert desk.client.status()["alive"]
    assert desk.engine.pid == engine


@pytest.mark.parametrize(
    ("victim", "how", "state"),
    [
        pytest.param("kernel", signal.SIGKILL, RunState.FAILED, marks=SLOW),
        pytest.param("runner", signal.SIGTERM, RunState.STOPPED, marks=SOAK),
        pytest.param("runner", signal.SIGKILL, RunState.LOST, marks=SOAK),
        pytest.param("scheduler", signal.SIGTERM, RunState.STOPPED, marks=SOAK),
    ],
    ids=lambda x: getattr(x, "name", str(x)),
)
def test_nobody_follows_any_more(desk: tuple[Desk, str], victim: str, how: signal.Signals, state: RunState) -> None:
    place, left = desk
    os.kill(getattr(place, victim).pid, how)
    follows_the_policy(place, left)
    until(lambda: place.run.state is state)
    place.goes_on()


@pytest.mark.soak
def test_without_the_scheduler_the_session_goes_on(desk: tuple[Desk, str]) -> None:
    place, _ = desk
    place.scheduler.kill()
    place.scheduler.wait()
    cycles, began = place.client.status()["cycles"], time.monotonic()
    until(lambda: place.client.status()["cycles"] > cycles and time.monotonic() - began > 20)
    assert place.told("abandoned") == []
    assert place.seen().held
    assert place.kernel.is_running()
    place.runner.terminate()
    until(lambda: place.told("abandoned"))
    place.goes_on()


@pytest.mark.parametrize(
    "how", [pytest.param(signal.SIGTERM, marks=SOAK), pytest.param(signal.SIGKILL, marks=SLOW)], ids=lambda s: s.name
)
def test_without_the_engine_its_orders_are_cancelled_and_its_positions_kept(
    desk: tuple[Desk, str], how: signal.Signals
) -> None:
    place, _ = desk
    os.kill(place.engine.pid, how)
    until(lambda: place.run.state is RunState.FAILED)
    assert ("stopped by somebody else" if how == signal.SIGTERM else "the engine is dead") in place.run.reason
    if how == signal.SIGKILL:
        until(lambda: (place.live / "watchdog.last").exists())
    held, working, _ = place.seen()
    assert held
    assert working == []
    place.goes_on()
