"""LiveTradingSystem: how a notebook or a script runs a live system. A client: the engine is a process of its own.

The end of the calling interpreter stops nothing; `stop` does, and a new client of the same folder finds the engine.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from workbench.config import Settings
from workbench.core.errors import ConfigError, WorkbenchError, nearest_name
from workbench.engine.locks import process_runs
from workbench.engine.plan import EnginePlan
from workbench.engine.process import LOG, PLAN, open_commands
from workbench.engine.status import read_status
from workbench.engine.systems import load_system

ENDED = ("none", "stopped", "failed", "dead")


class EngineClient:
    """Starts, asks and stops the engine of a plan, by its folder alone."""

    def __init__(self, plan: EnginePlan) -> None:
        self.plan, self.folder = plan, plan.folder

    def start(self) -> None:
        """Start the engine unless this very one runs already; returns at once, `wait` waits for it to trade.

        :class:`ConfigError`, :class:`~workbench.core.errors.ArtifactError`: what can be seen to be wrong before it
        starts. :class:`WorkbenchError` if an engine with other settings runs in the folder.
        """
        status = self.status()
        if status["alive"]:
            if status["plan"] != self.plan.digest:
                raise WorkbenchError(
                    f"an engine with other settings runs in {self.folder}; stop it, or set another live.folder"
                )
            return
        if (before := getattr(self, "_process", None)) is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):  # a child that has ended is not left behind
                before.wait(1.0)
        for settings in self.plan.systems:
            load_system(settings, simulated=not settings.broker.host)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            file = os.open(self.folder / PLAN, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)  # it may hold passwords
            with open(file, "w", encoding="utf-8") as out:
                out.write(self.plan.to_json())
        except OSError as error:
            raise ConfigError(f"live.folder {self.folder} cannot be written ({error}); choose another one") from error
        self._started = time.time_ns()
        command = [sys.executable, "-m", "workbench.engine", str(self.folder)]
        unit = f"workbench-engine-{self.plan.digest[:8]}-{self._started}"
        with (self.folder / "engine.out").open("ab") as out:
            self._process = subprocess.Popen(
                own_unit(command, os.environ, shutil.which, unit, root=os.geteuid() == 0),
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
            )  # fmt: skip

    def wait(self, timeout_s: float = 120.0) -> dict[str, Any]:
        """Wait until the engine trades; its status. :class:`WorkbenchError` says why it does not."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            status = self.status()
            if status["phase"] == "trading":
                return status
            process = getattr(self, "_process", None)
            if process is not None and process.poll() is not None:
                raise WorkbenchError(f"the engine ended: {self._why_ended()}")
            time.sleep(0.1)
        raise WorkbenchError(
            f"the engine does not trade after {timeout_s:g} s: it is {self.status()['phase']}, and goes on by itself; "
            f"`workbench status --folder {self.folder}` tells more, `workbench stop` ends it"
        )

    def status(self) -> dict[str, Any]:
        """See :func:`~workbench.engine.status.read_status`; an engine whose process is gone is dead at once."""
        status = read_status(self.folder)
        if status["alive"] and not process_runs(status["pid"]):
            gone = "its process is gone; the watchdog cancels its orders, start it again to go on"
            return {**status, "alive": False, "phase": "dead", "error": gone}
        return status

    def command(self, action: str, reason: str, *, system: str = "", timeout_s: float = 10.0) -> str:
        """Ask the engine to act and wait until it took the request; what came of it."""
        names = [s.system.name for s in self.plan.systems]
        if system and system not in names:
            raise ConfigError(f"there is no system {system!r}: {', '.join(names)}.{nearest_name(system, names)}")
        if not self.status()["alive"]:
            raise WorkbenchError(
                f"no engine runs in {self.folder}: nothing was done. panic.flag there works with an engine that hangs"
            )
        with open_commands(self.plan, self.folder) as store:
            number = store.put(
                action, system=system, issuer=getpass.getuser(), role="operator", reason=reason, now=time.time_ns()
            )
            deadline = time.monotonic() + timeout_s
            while time.monotonic() < deadline:
                outcome = store.outcome(number)
                if outcome.state == "done":
                    return outcome.text
                if outcome.state == "refused":
                    return f"refused: {outcome.text}"
                time.sleep(0.05)
            if outcome.state == "taken":
                return "done: taken; the engine is busy and carries it out next (cancels went out already)"
        return f"not taken within {timeout_s:g} s; it expires by itself, look at the status"

    def stop(self, reason: str = "stop() was called", timeout_s: float = 30.0) -> dict[str, Any]:
        """Cancel the orders, keep the positions, end the engine; its last status. Does nothing where none runs.

        Phase "failed": orders could not be taken back; ``error`` and ``open_orders`` name them, the watchdog goes on.
        """
        if self.status()["alive"]:
            self.command("stop", reason)
            deadline = time.monotonic() + timeout_s
            while self.status()["phase"] not in ENDED and time.monotonic() < deadline:
                time.sleep(0.05)
        process: subprocess.Popen[bytes] | None = getattr(self, "_process", None)
        if process is not None:  # a child of ours: it is over for good when it was waited for
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout_s if self.status()["phase"] in ENDED else 0.0)
        return self.status()

    def _why_ended(self) -> str:
        """What this engine said, not the one before it."""
        status = self.status()
        own = status.get("heartbeat", 0) >= self._started
        return str(status.get("error")) if own and status.get("error") else self._last_words()

    def _last_words(self) -> str:
        lines = (self.folder / "engine.out").read_text(encoding="utf-8", errors="replace").strip().splitlines()
        free = shutil.disk_usage(self.folder).free
        full = f": the disk of {self.folder} is full" if free < 2**20 else f"; see {self.folder / LOG}"
        return lines[-1] if lines else f"it said nothing{full}"


def own_unit(
    command: list[str], environ: Mapping[str, str], which: Callable[[str], str | None], unit: str, *, root: bool
) -> list[str]:
    """`command`, in a systemd scope of its own called `unit` where this process is part of a systemd unit.

    systemd ends everything in a unit with it, however far a process has detached itself. Elsewhere, and for a user
    without a manager of its own to ask, the command is left as it is.

    >>> own_unit(["python"], {"INVOCATION_ID": "1f"}, lambda name: f"/usr/bin/{name}", "engine-1", root=True)
    ['systemd-run', '--scope', '--collect', '--quiet', '--unit=engine-1', 'python']
    """
    managed = "INVOCATION_ID" in environ and which("systemd-run") is not None
    if not managed or not (root or "XDG_RUNTIME_DIR" in environ):
        return command
    user = [] if root else ["--user"]
    return ["systemd-run", "--scope", "--collect", "--quiet", *user, f"--unit={unit}", *command]


class LiveTradingSystem:
    """One live system. `config`: the flat dict of settings (DESIGN section 6), or :class:`Settings`.

    Without a broker address it trades at the simulated gateway; without bundles, the demo bundle there.

    >>> system = LiveTradingSystem({"symbols": ["AAPL", "MSFT"], "max_weight": 0.04})
    >>> system.get_portfolio_status()["phase"] in ("none", "stopped", "dead", "failed", "trading")
    True
    """

    def __init__(self, config: Mapping[str, Any] | Settings) -> None:
        self.client = EngineClient(EnginePlan.of([config]))

    def start(self) -> None:
        """Start the engine and return at once."""
        self.client.start()

    def stop(self) -> None:
        """Cancel orders, keep positions, end the engine; see :func:`end_engine`."""
        end_engine(self.client)

    def get_portfolio_status(self) -> dict[str, Any]:
        """Positions, weights, profit and loss, open orders, mode, health, last decision, latencies."""
        return portfolio_status(self.client.status(), self.client.plan.first.system.name)

    def observe(self, reason: str = "observe() was called") -> str:
        """Decide and journal, send nothing."""
        return self.client.command("observe", reason)

    def resume(self, reason: str = "resume() was called") -> str:
        """Trade again after observe, halt or flatten."""
        return self.client.command("resume", reason)

    def halt(self, reason: str = "halt() was called") -> str:
        """Cancel all orders and send nothing new."""
        return self.client.command("halt", reason)

    def flatten(self, reason: str = "flatten() was called") -> str:
        """Cancel all orders and close all positions."""
        return self.client.command("flatten", reason)


def end_engine(client: EngineClient) -> None:
    """Stop the engine that runs; :class:`WorkbenchError` says where it did not end, or which orders it left."""
    ran = client.status()["alive"]
    found = client.stop()
    if ran and found["phase"] != "stopped":
        raise WorkbenchError(f"the engine in {client.folder} is {found['phase']}, not stopped: {found.get('error')}")


def portfolio_status(status: Mapping[str, Any], system: str) -> dict[str, Any]:
    """The status of one system of an engine, flat."""
    own = status.get("systems", {}).get(system, {})
    shared = ("phase", "alive", "age_s", "error", "account", "kind", "time", "connected", "reconciled", "cycles",
              "missed", "last_bar", "open_orders", "metrics")  # fmt: skip
    return {"system": system, **{k: status.get(k) for k in shared}, **own}


def check_folder(folder: Path) -> Path:
    """`folder` if an engine has run there; :class:`ConfigError` if not."""
    if not (folder / PLAN).is_file():
        raise ConfigError(f"{folder} holds no engine; `workbench live --config live.toml` starts one (live.folder)")
    return folder
