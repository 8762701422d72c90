"""The watchdog: when the engine's heartbeat stops it fences, then cancels the engine's orders. It opens no position.

    fence    kill the engine's process, so that nothing can be sent by it any more
    connect  with the engine's client id
    cancel   only orders that carry our references; never a global cancel

``python -m workbench.engine.watchdog FOLDER PID`` is started by the engine and ends with it.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import psutil

from workbench.config import BrokerSettings
from workbench.core.errors import WorkbenchError
from workbench.engine.heart import STATE
from workbench.engine.locks import process_runs
from workbench.engine.plan import EnginePlan
from workbench.engine.process import PLAN
from workbench.engine.simulation import running_gateway
from workbench.engine.status import read_status
from workbench.execution.account_broker import is_ours
from workbench.execution.broker import BrokerTimeout, NotConnected
from workbench.execution.ibkr.connection import IbkrConnection
from workbench.execution.reports import OrderReport, Report
from workbench.logs import logger, logging_to

LOOK_S = 0.5
TRIES = 20
FENCED_S = 10.0
"""Real seconds for a killed process to end; its connection must be gone before another can have its client id."""
PATIENCE_S = 5.0
"""Real seconds for the broker to confirm a cancel before it is asked again."""


def main() -> int:
    """Watch until the engine stops by itself, or act once when it died."""
    folder, pid = Path(sys.argv[1]), int(sys.argv[2])
    plan = EnginePlan.from_json((folder / PLAN).read_text(encoding="utf-8"))
    with logging_to(folder / "watchdog.jsonl", stderr=False):
        if watch(folder, pid, plan.first.live.watchdog_s):
            act(folder, pid, plan)
    return 0


def watch(folder: Path, pid: int, after_s: float) -> bool:
    """True when the engine `pid` died or hangs; False when it stopped as asked or another engine took over."""
    try:
        born = psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        born = 0.0
    heard, at = None, time.monotonic()
    while True:
        status = read_status(folder)
        if status.get("pid") not in (None, pid) or status["phase"] == "stopped":
            return False
        if status.get("heartbeat") != heard:  # by our own monotonic time: a clock that is set kills no engine
            heard, at = status.get("heartbeat"), time.monotonic()
        if time.monotonic() - at > after_s or not _alive(pid, born):
            return True
        time.sleep(LOOK_S)


def act(folder: Path, pid: int, plan: EnginePlan) -> None:
    """Fence, then cancel what is ours until the broker confirms that nothing of it works."""
    log = logger("watchdog")
    log.error("the engine died or hangs: cancelling its orders", pid=pid)
    fence(pid)
    broker = plan.first.broker
    host, port = _where(folder, broker)
    for attempt in range(TRIES):
        if read_status(folder).get("pid") != pid:
            log.warning("another engine took over; it reconciles by itself")
            return
        try:
            left = cancel_ours(broker, host, port, plan.first.system.live_account)
        except WorkbenchError as error:
            log.error("not yet", attempt=attempt, error=str(error))
            time.sleep(1.0)
            continue
        log.warning("done", orders_still_working=left)
        _tell(folder, left)
        return


def fence(pid: int) -> None:
    """Make sure that the engine can send nothing any more."""
    try:
        process = psutil.Process(pid)
        if "workbench.engine" not in " ".join(process.cmdline()):
            return
        process.kill()
    except psutil.NoSuchProcess:
        return
    deadline = time.monotonic() + FENCED_S
    while process_runs(pid) and time.monotonic() < deadline:  # one whose parent has not waited for it has ended too
        time.sleep(0.05)


def cancel_ours(settings: BrokerSettings, host: str, port: int, account: str) -> int:
    """Cancel every working order with a reference of ours; how many still work when the broker was last asked."""
    heard: list[Report] = []
    connection = IbkrConnection(settings, heard.append, time.time_ns, host=host, port=port, account=account)
    connection.open()
    try:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            working = ours(connection.facts().orders, settings.client_id)
            for order in working:
                connection.cancel(order.order_id)
            if not working or time.monotonic() > deadline:
                return len(working)
            time.sleep(LOOK_S)
    except (BrokerTimeout, NotConnected) as error:
        raise WorkbenchError(f"the broker could not be asked: {error}") from error
    finally:
        connection.close()


def ours(orders: Iterable[OrderReport], client_id: int) -> tuple[OrderReport, ...]:
    """The orders that the engine sent: our reference, and the client id that may cancel it."""
    return tuple(o for o in orders if is_ours(o.order_ref) and o.client_id == client_id)


def _where(folder: Path, settings: BrokerSettings) -> tuple[str, int]:
    if settings.host:
        return settings.host, settings.port
    gateway = running_gateway(folder)
    if gateway is None:
        raise WorkbenchError("the simulated gateway does not run: there is nothing to cancel at")
    return gateway.host, gateway.port


def _alive(pid: int, born: float) -> bool:
    try:
        process = psutil.Process(pid)
        return bool(process.create_time() == born and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _tell(folder: Path, left: int) -> None:
    """Leave a word for whoever looks at the folder."""
    text = f"{os.getpid()} cancelled the orders of a dead engine; {left} still worked when the broker was last asked\n"
    (folder / "watchdog.last").write_text(text, encoding="utf-8")
    (folder / STATE).touch()


if __name__ == "__main__":
    sys.exit(main())
