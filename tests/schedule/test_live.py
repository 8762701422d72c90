"""How a notebook follows an engine: signs of life, what it resumes and what it does not, how it ends.

The engine is played; the journal and the files in its folder are real.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from workbench.commands import Command
from workbench.config import Settings
from workbench.core.errors import ConfigError, WorkbenchError
from workbench.engine import following
from workbench.engine.codec import live_codec
from workbench.engine.following import FOLLOWER, LEFT, Follower
from workbench.engine.live import EngineClient
from workbench.engine.plan import EnginePlan
from workbench.engine.process import JOURNAL, PLAN
from workbench.journal import SqlJournal
from workbench.schedule import live, runner
from workbench.schedule.live import abandoned_systems, follow, same_engine, system_of

UNTIL = "2026-03-02T15:00:00Z"


class Played(EngineClient):
    """An engine whose market clock moves a minute a look, from 14:55 on; `turn(look)` changes what is seen."""

    def __init__(self, folder: Path, turn: Callable[[int], dict[str, Any]] = lambda look: {}) -> None:
        super().__init__(EnginePlan((Settings().change(live={"folder": str(folder)}, system={"symbols": ("AAA",)}),)))
        self.turn, self.looks, self.alive, self.mode = turn, 0, False, "LIVE"
        self.done: list[str] = []
        self.end: dict[str, Any] = {"phase": "stopped", "alive": False}
        self.sign: Any = None  # of life, while it is stopped

    def start(self) -> None:
        assert self.folder.is_dir()
        self.done.append("start")
        self.alive = True
        with SqlJournal(self.folder / JOURNAL, session="s1", codec=live_codec()):
            pass

    def wait(self, timeout_s: float = 0.0) -> dict[str, Any]:
        return self.status()

    def status(self) -> dict[str, Any]:
        if not self.alive:
            return {"phase": "none", "alive": False, "error": "no engine has run"}
        self.looks += 1
        at = f"2026-03-02T14:{54 + self.looks}:00Z" if self.looks < 6 else UNTIL
        seen = {"phase": "trading", "alive": True, "time": at, "pid": 1, "age_s": 0.1, "plan": self.plan.digest}
        return {**seen, "systems": {"main": {"mode": self.mode}}, **self.turn(self.looks)}

    def command(self, action: str, reason: str, *, system: str = "", timeout_s: float = 10.0) -> str:
        self.done.append(f"{action} {system}")
        return "done: main: LIVE"

    def stop(self, reason: str = "", timeout_s: float = 30.0) -> dict[str, Any]:
        self.sign = follower(self.folder)
        self.done.append(f"stop: {reason}")
        self.alive = self.end["alive"]
        return self.end


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "LOOK_S", 0.01)
    monkeypatch.delenv(live.RUN_VARIABLE, raising=False)


def follower(folder: Path) -> dict[str, Any] | None:
    path = folder / FOLLOWER
    return json.loads(path.read_text()) if path.exists() else None


def journaled(folder: Path, *entries: tuple[str, dict[str, Any], str]) -> EnginePlan:
    """The plan of an engine in `folder` whose journal holds these entries (kind, payload, system)."""
    client = Played(folder)
    with SqlJournal(folder / JOURNAL, session="s0", codec=live_codec()) as journal:
        for number, (kind, payload, system) in enumerate(entries):
            journal.record(kind, number, payload, system=system)
    return client.plan


def mode(to: str, reason: str) -> tuple[str, dict[str, Any], str]:
    return "mode", {"from": "LIVE", "to": to, "reason": reason}, "main"


def command(action: str, reason: str, system: str = "") -> tuple[str, dict[str, Any], str]:
    return "command", {"command": Command("1", action, system, "ann", "operator", reason, 0, 1)}, ""


FLATTENED = (
    mode("EMERGENCY", f"flatten was asked for by run 7: flatten {LEFT}"),
    command("flatten", f"flatten {LEFT}"),
)


def test_the_name_of_the_run_is_where_the_runner_puts_it() -> None:
    assert live.RUN_VARIABLE == runner.RUN_VARIABLE


def test_a_session_is_followed_to_its_end(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv(live.RUN_VARIABLE, "live-7")
    signs: list[Any] = []
    client, seen = Played(tmp_path / "live"), []

    def show(status: dict[str, Any]) -> None:
        seen.append(status["time"])
        signs.append(follower(client.folder))

    status = asyncio.run(follow(client, until=UNTIL, left="flatten", show=show))
    assert status["time"] == UNTIL
    assert seen == sorted(set(seen))
    assert {(s["who"], s["left"]) for s in signs} == {("live-7", "flatten")}
    assert all(abs(s["at"] - time.time_ns()) < 60e9 for s in signs)
    assert follower(client.folder) is None
    assert client.done == ["start", "stop: the session is over"]
    assert client.sign["left"] == "flatten"  # nobody has let go before the engine has ended


@pytest.mark.parametrize(
    ("end", "told"),
    [
        ({"phase": "trading", "alive": True}, "does not stop: it is trading"),
        ({"phase": "failed", "alive": False, "error": "2 orders of ours"}, "left something behind: 2 orders of ours"),
    ],
)
def test_an_engine_that_does_not_end_well_is_left_to_the_policy(tmp_path, end: dict[str, Any], told: str) -> None:
    """The sign of life stays, and grows old: the engine's heart does what was left behind."""
    client = Played(tmp_path / "live")
    client.end = end
    with pytest.raises(WorkbenchError, match=told):
        asyncio.run(follow(client, until=UNTIL, left="flatten"))
    assert follower(client.folder)["left"] == "flatten"


@pytest.mark.parametrize(("run", "left", "expected"), [("", "", None), ("", "hold", "hold"), ("r", "", "hold")])
def test_a_person_leaves_no_sign_unless_asked_to(tmp_path, monkeypatch, run: str, left: str, expected: Any) -> None:
    if run:
        monkeypatch.setenv(live.RUN_VARIABLE, run)
    client, found = Played(tmp_path / "live"), set()
    client.folder.mkdir()
    following.follow(client.folder, Follower("a run that was killed", "flatten", 0))
    asyncio.run(
        follow(client, until=UNTIL, left=left, show=lambda s: found.add((follower(client.folder) or {}).get("left")))
    )
    assert found == {expected}


def test_signs_go_on_while_the_cell_is_busy(tmp_path) -> None:
    client, at = Played(tmp_path / "live"), []

    def busy(status: dict[str, Any]) -> None:
        deadline = time.monotonic() + 10
        told = follower(client.folder)
        while follower(client.folder) == told:
            assert time.monotonic() < deadline
        at.append(told)

    asyncio.run(follow(client, until=UNTIL, left="hold", show=busy))
    assert len(at) > 2


def test_an_interrupted_cell_leaves_the_engine_to_the_policy(tmp_path) -> None:
    client = Played(tmp_path / "live", lambda look: {"time": "2026-03-02T14:55:00Z"})

    async def interrupted() -> None:
        task = asyncio.create_task(follow(client, until=UNTIL, left="flatten"))
        while client.looks < 5:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(interrupted())
    told = follower(client.folder)
    assert told is not None
    assert told["left"] == "flatten"
    time.sleep(10 * live.LOOK_S)
    assert follower(client.folder) == told, "the signs have ended"
    assert client.done == ["start"]
    assert client.alive


@pytest.mark.parametrize(
    ("seen", "told", "left"),
    [
        (
            {"phase": "stopped"},
            "was stopped by somebody else before 2026-03-02T15:00:00Z; its positions are kept",
            None,
        ),
        ({"phase": "failed", "error": "no journal"}, "the engine is failed: no journal. Its watchdog", "flatten"),
        ({"phase": "dead", "pid": 2**22 + 1, "error": "gone"}, "the engine is dead: gone", "flatten"),
        ({"phase": "dead", "pid": 1, "age_s": 61.0, "error": "hangs"}, "the engine is dead: hangs", "flatten"),
    ],
)
def test_an_engine_that_ends_fails_the_run(tmp_path, seen: dict[str, Any], told: str, left: str | None) -> None:
    client = Played(tmp_path / "live", lambda look: seen if look > 3 else {})
    with pytest.raises(WorkbenchError, match=told):
        asyncio.run(follow(client, until=UNTIL, left="flatten"))
    assert (follower(client.folder) or {}).get("left") == left
    assert client.done == ["start"]


def test_a_heartbeat_that_is_late_ends_nothing(tmp_path) -> None:
    client = Played(tmp_path / "live", lambda look: {"phase": "dead", "age_s": 8.0} if look in (3, 4) else {})
    assert asyncio.run(follow(client, until=UNTIL))["time"] == UNTIL


def test_only_what_nobody_followed_is_resumed(tmp_path) -> None:
    for name, entries, expected in (
        ("left", FLATTENED, ("main",)),
        ("never", (), ()),
        ("person", (mode("EMERGENCY", "flatten was asked for by ann: news"), command("flatten", "news")), ()),
        ("then a person", (*FLATTENED, command("flatten", "stay out", "main")), ()),
        ("then resumed", (*FLATTENED, command("resume", "on"), mode("LIVE", "resume was asked for")), ()),
        ("a limit", (mode("EMERGENCY", "drawdown 0.3 passed its bound 0.2"),), ()),
        ("observe", (mode("OBSERVE", f"x {LEFT}"), command("flatten", f"flatten {LEFT}")), ()),
        ("then stopped", (*FLATTENED, command("stop", "the session is over")), ("main",)),
    ):
        folder = tmp_path / name
        folder.mkdir()
        assert abandoned_systems(journaled(folder, *entries)) == expected, name


def test_an_abandoned_system_is_resumed_and_another_is_not(tmp_path) -> None:
    folder = tmp_path / "live"
    folder.mkdir()
    journaled(folder, *FLATTENED)
    client = Played(folder)
    client.mode = "EMERGENCY"
    asyncio.run(follow(client, until=UNTIL))
    assert client.done == ["start", "resume main", "stop: the session is over"]
    client = Played(tmp_path / "other")
    client.mode = "EMERGENCY"
    asyncio.run(follow(client, until=UNTIL))
    assert client.done == ["start", "stop: the session is over"]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"until": "noon"}, "until='noon' is no time; write for example 2026-03-02T21:15:00Z"),
        ({"left": "sell"}, "left='sell' is no policy: choose from hold, flatten"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_starts(tmp_path, wrong: dict[str, str], told: str) -> None:
    client = Played(tmp_path / "live")
    with pytest.raises(ConfigError, match=told):
        asyncio.run(follow(client, **wrong))
    assert client.done == []


def test_a_file_means_the_same_wherever_a_notebook_works(tmp_path) -> None:
    (tmp_path / "live.toml").write_text(
        '[system]\nsymbols = ["AAA"]\nmodel_dir = "job/models"\nblender_dir = "/else/blenders"\n'
        '[live]\nfolder = "runs/live"\n[broker]\nmarket = "replay:job"\n'
    )
    made = system_of(str(tmp_path / "live.toml"), "2026-03-02T09:15").client.plan.first
    assert made.live.folder == str(tmp_path / "runs/live")
    assert (made.system.model_dir, made.system.blender_dir) == (str(tmp_path / "job/models"), "/else/blenders")
    assert (made.system.universe, made.broker.market) == ("", f"replay:{tmp_path / 'job'}")
    assert made.broker.start == "2026-03-02T09:15"


def test_a_broker_has_its_own_time(tmp_path) -> None:
    (tmp_path / "live.toml").write_text('[system]\nsymbols = ["AAA"]\n[broker]\nhost = "127.0.0.1"\nport = 4002\n')
    with pytest.raises(ConfigError, match=r"is for the simulated gateway, and broker\.host is set; leave it empty"):
        system_of(str(tmp_path / "live.toml"), "2026-03-02")
    assert system_of(str(tmp_path / "live.toml")).names == ("main",)


def test_another_day_of_a_rehearsal_is_the_same_engine(tmp_path) -> None:
    base = Played(tmp_path).plan.first
    (tmp_path / PLAN).write_text(EnginePlan((base.change(broker={"start": "2026-03-02"}),)).to_json())
    later = EngineClient(EnginePlan((base.change(broker={"start": "2026-03-03"}),)))
    other = EngineClient(EnginePlan((base.change(broker={"start": "2026-03-03"}, sizing={"max_weight": 0.01}),)))
    real = EngineClient(EnginePlan((base.change(broker={"host": "127.0.0.1"}),)))
    assert same_engine(later)
    assert not same_engine(other)
    assert not same_engine(real)


@pytest.mark.parametrize(("trades", "again"), [("b1", True), ("b2", False), (None, False)])
def test_an_engine_that_was_left_with_another_bundle_is_started_anew(tmp_path, monkeypatch, trades, again) -> None:
    """Held through the night, it would have traded on with what was since replaced or rolled back."""
    monkeypatch.setattr(
        live, "load_system", lambda settings, simulated: SimpleNamespace(bundle=SimpleNamespace(id="b2"))
    )
    monkeypatch.setattr(live, "stop_gateway", lambda folder: True)

    class Held(Played):
        def status(self) -> dict[str, Any]:
            now = super().status()
            return {**now, "systems": {"main": {"mode": "LIVE", "bundle": trades}}} if now["alive"] else now

        def stop(self, reason: str = "", timeout_s: float = 30.0) -> dict[str, Any]:
            self.done.append("stop")
            self.alive = False
            return {"phase": "stopped", "alive": False}

    client = Held(tmp_path / "live")
    client.folder.mkdir()
    client.start()
    asyncio.run(follow(client, until=UNTIL))
    assert client.done == ["start", *(["stop"] if again else []), "start", "stop"]
