"""The commands of live trading against one small engine at its simulated gateway: what they print, and exit codes."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from workbench.cli import app
from workbench.core.errors import ConfigError, WorkbenchError
from workbench.engine.codec import live_codec
from workbench.engine.live import EngineClient, LiveTradingSystem
from workbench.engine.manager import LiveTradingManager
from workbench.engine.plan import EnginePlan
from workbench.engine.simulation import stop_gateway
from workbench.engine.status import read_status
from workbench.journal import SqlJournal

CONFIG = """
[system]
symbols = ["AAA", "BBB"]
horizons = ["5m", "10m"]
update_interval = 5.0
[broker]
speed = 60.0
start = "2026-03-02T09:33"
[live]
folder = "{folder}"
warmup_sessions = 6
warmup_days = 60
heartbeat_s = 0.1
[guards]
max_quote_age_s = 600.0
max_clock_skew_s = 60.0
"""


def workbench(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


def refused(*words: str) -> str:
    """What a command that cannot be done says; `workbench` prints it and exits with 2."""
    error = workbench(*words).exception
    assert isinstance(error, WorkbenchError), error
    return str(error)


def until(true: Callable[[], Any], patience_s: float = 60.0) -> None:
    deadline = time.monotonic() + patience_s
    while not true():
        assert time.monotonic() < deadline, f"not within {patience_s:g} s"
        time.sleep(0.05)


def write_config(folder: Path) -> Path:
    path = folder / "live.toml"
    path.write_text(CONFIG.format(folder=folder / "live"))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An engine that `workbench live --detach` started and that has decided once at least."""
    base = tmp_path_factory.mktemp("cli")
    live = base / "live"
    try:
        words = ["live", "--config", str(write_config(base)), "--detach", "--json"]
        started = subprocess.run([sys.executable, "-m", "workbench.cli", *words], capture_output=True, text=True,
                                 timeout=120, check=False)  # fmt: skip
        assert started.returncode == 0, started.stderr
        assert json.loads(started.stdout)["phase"] == "trading"
        until(lambda: read_status(live).get("cycles", 0) >= 1)
        yield live
    finally:
        EngineClient(EnginePlan.from_toml(base / "live.toml")).stop()
        stop_gateway(live)


# ---- without an engine ----------------------------------------------------------------------------------------------


def test_a_wrong_config_starts_nothing(tmp_path: Path) -> None:
    assert "none.toml does not exist" in refused("live", "--config", str(tmp_path / "none.toml"))
    path = write_config(tmp_path)
    path.write_text(path.read_text().replace("warmup_days", "warmup_dais"))
    assert "Did you mean 'warmup_days'?" in refused("live", "--config", str(path))
    path.write_text(path.read_text().replace("warmup_dais = 60", "warmup_days = 1"))
    assert "warmup_days" in refused("live", "--config", str(path))
    assert not (tmp_path / "live").exists()


def test_the_live_account_reaches_the_plan_of_every_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_config(tmp_path)
    path.write_text(path.read_text() + '[[systems]]\nsystem.name = "a"\n[[systems]]\nsystem.name = "b"\n')
    seen = []

    def note(self: EngineClient) -> None:
        seen.append([s.system.live_account for s in self.plan.systems])
        raise ConfigError("that is enough")

    monkeypatch.setattr(EngineClient, "start", note)
    assert refused("live", "--config", str(path), "--live-account", "U1234567") == "that is enough"
    assert refused("live", "--config", str(path)) == "that is enough"
    assert seen == [["U1234567", "U1234567"], ["", ""]]


@pytest.mark.parametrize("command", ["halt", "observe", "resume", "flatten", "stop", "verify"])
def test_a_folder_without_an_engine_is_named(tmp_path: Path, command: str) -> None:
    assert f"{tmp_path} holds no engine" in refused(command, "--folder", str(tmp_path))


def test_the_status_of_a_folder_without_an_engine_is_none_and_exits_with_1(tmp_path: Path) -> None:
    told = workbench("status", "--folder", str(tmp_path), "--json")
    assert (told.exit_code, json.loads(told.stdout)["phase"]) == (1, "none")


@pytest.mark.parametrize(
    ("phase", "code"), [("stopped", 0), ("failed", 1), ("dead", 1), ("trading", 1)]
)  # the last one: it was asked and does not end
def test_a_stop_that_left_orders_exits_with_1_and_names_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, phase: str, code: int
) -> None:
    order = {"ref": "wb-1", "symbol": "AAA", "side": "buy", "quantity": 70, "type": "LMT", "limit": 10.0}
    error = "1 orders of ours could not be taken back" if code else ""
    status = {"phase": phase, "error": error, "alive": False, "open_orders": [order] if code else []}
    (tmp_path / "engine.json").write_text(EnginePlan.from_toml(write_config(tmp_path)).to_json())
    monkeypatch.setattr(EngineClient, "stop", lambda self, reason: status)
    told = workbench("stop", "--folder", str(tmp_path))
    assert told.exit_code == code
    assert ("buy 70 AAA LMT" in told.stdout) == ("could not be taken back" in told.stdout) == bool(code)


@pytest.mark.parametrize("kind", [LiveTradingSystem, LiveTradingManager])
def test_who_stops_by_script_is_told_too_unless_nothing_ran(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type
) -> None:
    plan = EnginePlan.from_toml(write_config(tmp_path))
    made = kind(plan.first) if kind is LiveTradingSystem else kind(plan.systems)
    end = made.stop if kind is LiveTradingSystem else made.stop_all
    end()  # none ran
    monkeypatch.setattr(EngineClient, "stop", lambda self: {"phase": "failed", "error": "buy 70 AAA may still fill"})
    end()  # it had failed before: that is no news
    monkeypatch.setattr(EngineClient, "status", lambda self: {"alive": True})
    with pytest.raises(WorkbenchError, match="is failed, not stopped: buy 70 AAA may still fill"):
        end()


# ---- with one -------------------------------------------------------------------------------------------------------


def test_status_tells_what_is_held(folder: Path) -> None:
    told = workbench("status", "--folder", str(folder), "--json")
    assert told.exit_code == 0
    found = json.loads(told.stdout)
    assert (found["phase"], found["kind"]) == ("trading", "simulated")
    assert found["systems"]["main"]["symbols"] == ["AAA", "BBB"]
    assert re.search(r"^kind +simulated$", workbench("status", "--folder", str(folder)).stdout, re.MULTILINE)


def mode(folder: Path) -> str:
    return str(read_status(folder)["systems"]["main"]["mode"])


def test_observe_resume_halt_and_flatten_change_the_mode_and_say_so(folder: Path) -> None:
    for command, wanted in (("observe", "OBSERVE"), ("resume", "LIVE"), ("halt", "OBSERVE"), ("flatten", "EMERGENCY")):
        told = workbench(command, "--folder", str(folder), "--reason", "a test", "--system", "main")
        assert (told.exit_code, told.stdout) == (0, f"{command}: done: main: {wanted}\n")
        until(lambda wanted=wanted: mode(folder) == wanted)
    until(lambda: not read_status(folder)["systems"]["main"]["positions"])
    assert workbench("resume", "--folder", str(folder)).exit_code == 0
    again = workbench("resume", "--folder", str(folder))
    assert (again.exit_code, "refused" in again.stdout) == (1, True)
    assert "no system 'mian'" in refused("halt", "--folder", str(folder), "--system", "mian")
    until(lambda: mode(folder) == "LIVE")


def test_explain_tells_a_decision(folder: Path) -> None:
    told = workbench("explain", "AAA", "--folder", str(folder), "--json")
    assert told.exit_code == 0
    assert {"digest", "models", "choice", "orders"} <= set(json.loads(told.stdout))
    assert "ZZZ" in refused("explain", "ZZZ", "--folder", str(folder))


def test_stop_ends_it_and_verify_compares_what_it_did(folder: Path, tmp_path: Path) -> None:
    told = workbench("stop", "--folder", str(folder), "--reason", "a test", "--json")
    assert (told.exit_code, json.loads(told.stdout)["phase"]) == (0, "stopped")
    assert workbench("status", "--folder", str(folder)).exit_code == 0
    assert "nothing was done" in refused("halt", "--folder", str(folder))
    told = workbench("verify", "--folder", str(folder), "--json")
    found = json.loads(told.stdout)
    assert (told.exit_code, found["features and stages 4 to 9"], found["forecasts"]) == (0, "equal", "equal")
    assert found["decisions"] >= 1
    told = workbench("verify", "--folder", str(planted(folder, tmp_path)), "--json")
    found = json.loads(told.stdout)
    assert (told.exit_code, found["features and stages 4 to 9"], found["forecasts"]) == (1, "different", "equal")
    assert "9 validation" in found["first difference"]
    assert "no session 'none'" in refused("verify", "none", "--folder", str(folder))


def planted(folder: Path, into: Path) -> Path:
    """A copy of the engine's journal in which every target is off by a hair."""
    shutil.copy(folder / "engine.json", into / "engine.json")
    codec = live_codec()
    with SqlJournal(folder / "journal.db", read_only=True, codec=codec) as journal:
        (session,) = journal.sessions()
        with SqlJournal(into / "journal.db", session=session.session, codec=codec) as copy:
            for entry in journal.read():
                payload = dict(entry.payload)
                if entry.kind == "decision":
                    target = payload["decision"].target
                    target = replace(target, weights=target.weights + 1e-12)
                    payload["decision"] = replace(payload["decision"], target=target)
                copy.record(entry.kind, entry.known_at, payload, system=entry.system, ref=entry.ref)
    return into
