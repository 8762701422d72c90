"""A live session as a notebook follows it: start the engine or find it running, watch it to the end, stop it.

The notebook is only a client. However it ends before its time, nobody here stops the engine: what was left behind in
its folder (see :mod:`workbench.engine.following`) decides, and the next run goes on from there.
"""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import os
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from workbench.config import Settings
from workbench.core.calendar import exchange_sessions, iso_time
from workbench.core.errors import ConfigError, WorkbenchError
from workbench.core.units import NS_PER_SECOND
from workbench.engine import following
from workbench.engine.codec import live_codec
from workbench.engine.following import LEFT, Follower
from workbench.engine.live import EngineClient
from workbench.engine.locks import process_runs
from workbench.engine.manager import LiveTradingManager
from workbench.engine.modes import COMMANDS, Mode
from workbench.engine.plan import EnginePlan
from workbench.engine.process import PLAN, journal_address
from workbench.engine.simulation import stop_gateway
from workbench.engine.systems import load_system
from workbench.journal import SqlJournal

RUN_VARIABLE = "WORKBENCH_RUN"
"""Environment variable by which a notebook knows the run that it is part of."""
LOOK_S = 1.0
"""Real seconds between two looks, two signs of life and two displays."""
READY_S = 900.0
"""Real seconds in which an engine must come to trade: history of many symbols takes a broker minutes."""
SILENT_S = 60.0
"""Real seconds without a heartbeat after which a process that still runs is given up; its watchdog ends it before."""
REPLAY = "replay:"


class EngineStopped(WorkbenchError):
    """Somebody else stopped the engine, and sees to it."""


def system_of(config: str, start: str = "") -> LiveTradingManager:
    """The systems of the TOML file `config`, whose relative paths are taken from its folder.

    `start`: where the clock of a simulated gateway begins (ISO date or time of the exchange), unless its books are
    later; :class:`ConfigError` for a real broker's.
    """
    path = Path(config)
    plan = EnginePlan(tuple(_located(s, path.resolve().parent) for s in EnginePlan.from_toml(path).systems))
    if start and plan.first.broker.host:
        raise ConfigError(f"start={start!r} is for the simulated gateway, and broker.host is set; leave it empty")
    chosen = plan if not start else EnginePlan(tuple(s.change(broker={"start": start}) for s in plan.systems))
    manager = LiveTradingManager(chosen.systems)
    manager.client = EngineClient(chosen)  # systems are called as the file calls them
    return manager


async def follow(
    client: EngineClient,
    *,
    until: str = "",
    left: str = "",
    show: Callable[[dict[str, Any]], None] = lambda status: None,
) -> dict[str, Any]:
    """Trade until the engine's market clock passes `until`, then stop the engine; its last status while it traded.

    Starts the engine, or attaches to the very same one; one that another bundle was put in force beside is started
    anew: orders cancelled, positions kept. `until`: ISO time, UTC; empty: the close of the session that
    is open or comes next. `left`: what becomes of the engine if this process dies or is interrupted: "hold" or
    "flatten"; empty: "hold" in a run of the schedule, and otherwise no sign of life is left. `show` gets the status
    once a second. At the end orders are cancelled, positions kept, and a simulated gateway ends with its books kept.

    :class:`WorkbenchError` where the engine dies, fails, does not come to trade, or was stopped by somebody else.
    """
    run = os.environ.get(RUN_VARIABLE, "")
    policy, wanted = left or ("hold" if run else ""), _utc(until) if until else None
    client.folder.mkdir(parents=True, exist_ok=True)
    who = Follower(run or getpass.getuser(), policy, time.time_ns()) if policy else None
    try:
        with _silence(client.folder) if who is None else _Signs(client.folder, who):
            await asyncio.to_thread(_begin, client)
            end = closing(_utc(client.status()["time"])) if wanted is None else wanted
            status = await _watch(client, iso_time(end), show)
            await asyncio.to_thread(_end, client)  # an engine that does not stop is left to what was left behind
    except EngineStopped:
        following.let_go(client.folder)  # after the last sign of life, which would be left behind
        raise
    following.let_go(client.folder)
    return status


def closing(now: int) -> int:
    """UTC ns of the close of the session that is open at `now`, or comes next.

    >>> iso_time(closing(_utc("2026-03-02T20:59:59Z"))), iso_time(closing(_utc("2026-03-02T21:00:00Z")))
    ('2026-03-02T21:00:00Z', '2026-03-03T21:00:00Z')
    """
    closes = exchange_sessions().close_ns
    return int(closes[np.searchsorted(closes, now, side="right")])


def abandoned_systems(plan: EnginePlan) -> tuple[str, ...]:
    """Systems in EMERGENCY because a follower was gone, of whom no person has asked for anything since.

    By the journal, since an engine that was started again knows its mode, but no longer why.
    """
    with SqlJournal(journal_address(plan), read_only=True, codec=live_codec()) as journal:
        return tuple(s.system.name for s in plan.systems if _abandoned(journal, s.system.name))


def same_engine(client: EngineClient) -> bool:
    """Whether the engine in the client's folder has its settings, whatever day a simulated gateway began on."""
    plans = [client.plan, EnginePlan.from_json((client.folder / PLAN).read_text(encoding="utf-8"))]
    if plans[0].first.broker.host:
        return plans[0].digest == plans[1].digest
    return len({EnginePlan(tuple(s.change(broker={"start": ""}) for s in p.systems)).digest for p in plans}) == 1


def _utc(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"until={text!r} is no time; write for example 2026-03-02T21:15:00Z") from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()) * NS_PER_SECOND


def _located(settings: Settings, base: Path) -> Settings:
    """The same settings with paths that hold wherever the process works."""
    own, market = settings.system, settings.broker.market
    paths = {n: _at(base, getattr(own, n)) for n in ("model_dir", "blender_dir", "universe")}
    if market.startswith(REPLAY):
        market = REPLAY + _at(base, market.removeprefix(REPLAY))
    return settings.change(live={"folder": _at(base, settings.live.folder)}, system=paths, broker={"market": market})


def _at(base: Path, path: str) -> str:
    return str(base / path) if path else ""


def _begin(client: EngineClient) -> None:
    """An engine that trades; one that only a follower's end has put into EMERGENCY is resumed."""
    status = client.status()
    moved = status["alive"] and status["plan"] != client.plan.digest and same_engine(client)
    if moved or (status["alive"] and status["plan"] == client.plan.digest and _outdated(client, status)):
        _end(client)  # a rehearsal that goes on with another day, or an engine that was left with yesterday's bundle
    client.start()
    status = client.wait(READY_S)
    for system in abandoned_systems(client.plan):
        if status["systems"][system]["mode"] == Mode.EMERGENCY:
            told = client.command("resume", f"followed again by {getpass.getuser()}", system=system)
            if not told.startswith("done"):
                raise WorkbenchError(f"{system} was flattened because nobody followed it, and resume was not: {told}")


def _outdated(client: EngineClient, status: dict[str, Any]) -> bool:
    """Whether the engine that runs trades another bundle than the one that is in force, which was checked."""
    trades = {name: told.get("bundle") for name, told in status["systems"].items()}
    own = ((trades.get(s.system.name), s) for s in client.plan.systems)
    return any(now and now != load_system(s, simulated=not s.broker.host).bundle.id for now, s in own)


async def _watch(client: EngineClient, until: str, show: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Look once a second until the market's clock passes `until`; the last status."""
    while True:
        status = client.status()
        show(status)
        if status["phase"] == "stopped":
            raise EngineStopped(f"the engine was stopped by somebody else before {until}; its positions are kept")
        if status["phase"] in ("failed", "dead", "none") and not _may_recover(status):
            raise WorkbenchError(
                f"the engine is {status['phase']}: {status.get('error') or 'it said nothing'}. Its watchdog cancels "
                "its orders, its positions are kept; the next run, or `workbench live`, goes on from the journal"
            )
        if status["phase"] == "trading" and status["time"] >= until:
            return status
        await asyncio.sleep(LOOK_S)


def _may_recover(status: dict[str, Any]) -> bool:
    """A busy machine may be late with a heartbeat; a process that is gone is gone."""
    return status["phase"] == "dead" and process_runs(status["pid"]) and status["age_s"] < SILENT_S


def _end(client: EngineClient) -> None:
    """Stop the engine and, where it is simulated, its gateway."""
    status = client.stop("the session is over")
    if status["alive"]:
        raise WorkbenchError(
            f"the engine in {client.folder} does not stop: it is {status['phase']}; `workbench stop --folder "
            f"{client.folder}` asks again, panic.flag there works with an engine that hangs"
        )
    if status["phase"] == "failed":
        raise WorkbenchError(f"the engine in {client.folder} ended and left something behind: {status.get('error')}")
    if not client.plan.first.broker.host:
        stop_gateway(client.folder)


def _abandoned(journal: SqlJournal, system: str) -> bool:
    mode = journal.last("mode", system=system)
    if mode is None or mode.payload["to"] != Mode.EMERGENCY or LEFT not in mode.payload["reason"]:
        return False
    for entry in journal.read("command", newest_first=True):
        command = entry.payload["command"]
        if command.action in COMMANDS and command.system in ("", system):
            return LEFT in command.reason
    return False


class _Signs:
    """Signs of life in `folder` from a thread of their own, so that a cell that blocks does not look like a death.

    They end with this block, and with the process, without a word: what was left behind is then done.
    """

    def __init__(self, folder: Path, follower: Follower) -> None:
        self._folder, self._follower, self._over = folder, follower, threading.Event()
        self._thread = threading.Thread(target=self._live, name="signs of life", daemon=True)

    def __enter__(self) -> None:
        following.follow(self._folder, self._follower)
        self._thread.start()

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._over.set()
        self._thread.join()

    def _live(self) -> None:
        told = self._follower
        while not self._over.wait(LOOK_S):
            with contextlib.suppress(OSError):  # a disk that is full: the next sign may be written again
                following.follow(self._folder, Follower(told.who, told.left, time.time_ns(), told.patience_s))


def _silence(folder: Path) -> contextlib.AbstractContextManager[None]:
    """A person takes over: what somebody else left behind is not done any more."""
    following.let_go(folder)
    return contextlib.nullcontext()
