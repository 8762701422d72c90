"""The simulated gateway as a process of its own, started on demand. It keeps its books on disk and outlives engines."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from workbench.config import BrokerSettings
from workbench.core.errors import WorkbenchError

ABOUT, BOOKS, LOG = "gateway.json", "gateway.books.json", "gateway.log"
READY_S = 60.0


@dataclass(frozen=True, slots=True)
class RunningGateway:
    """Where it listens, and its process."""

    host: str
    port: int
    pid: int


def ensure_gateway(folder: Path, settings: BrokerSettings) -> RunningGateway:
    """The gateway of `folder`: the one that runs, or a new one with the books that lie there.

    Its clock begins at ``settings.start`` or where the books were left, whichever is later.
    """
    running = running_gateway(folder)
    if running is not None:
        return running
    folder.mkdir(parents=True, exist_ok=True)
    command = [
        sys.executable,
        "-m",
        "workbench.cli",
        "gateway",
        "--json",
        "--port",
        "0",
        "--books",
        str(folder / BOOKS),
    ]
    command += ["--market", settings.market, "--speed", f"{settings.speed:g}"]
    if settings.start:
        command += ["--start", settings.start]
    log = folder / LOG
    with log.open("ab") as errors:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, stdin=subprocess.DEVNULL, start_new_session=True, text=True
        )
    line = _first_line(process, log)
    told = json.loads(line)
    found = RunningGateway(told["host"], int(told["port"]), process.pid)
    about = {"host": found.host, "port": found.port, "pid": found.pid, "born": psutil.Process(found.pid).create_time()}
    (folder / ABOUT).write_text(json.dumps(about), encoding="utf-8")
    return found


def running_gateway(folder: Path) -> RunningGateway | None:
    """The gateway that was started for `folder` and still runs; None without one."""
    try:
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        process = psutil.Process(about["pid"])
        alive = process.create_time() == about["born"] and process.status() != psutil.STATUS_ZOMBIE
    except (FileNotFoundError, psutil.NoSuchProcess, json.JSONDecodeError, KeyError):
        return None
    return RunningGateway(about["host"], about["port"], about["pid"]) if alive else None


def stop_gateway(folder: Path, patience_s: float = 10.0) -> bool:
    """End the gateway of `folder`; it keeps its books. False if none ran."""
    running = running_gateway(folder)
    if running is None:
        return False
    process = psutil.Process(running.pid)
    process.terminate()
    try:
        process.wait(patience_s)
    except psutil.TimeoutExpired:
        process.kill()
    (folder / ABOUT).unlink(missing_ok=True)
    return True


def _first_line(process: subprocess.Popen[str], log: Path) -> str:
    assert process.stdout is not None
    deadline = time.monotonic() + READY_S
    line = process.stdout.readline()  # ends at once where the process dies
    process.stdout.close()
    if not line or time.monotonic() > deadline:
        said = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-3:]
        raise WorkbenchError(f"the simulated gateway did not start: {' | '.join(said) or 'it said nothing'}")
    return line
