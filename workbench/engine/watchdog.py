"""The watchdog: when the engine's heartbeat stops it fences, then cancels the engine's orders. It opens no position.

    fence    kill the engine's process, so that nothing can be sent by it any more
    connect  with the engine's client id
    cancel   only orders that carry our references; never a global cancel
    again    until the broker says that none of them works, which is told round by round

``python -m workbench.engine.watchdog FOLDER PID`` is started by the engine and ends with it. What it is at stands in
``watchdog.now``, its last word in ``watchdog.last``.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from itertools import chain, repeat
from pathlib import Path

import psutil

from workbench.config import BrokerSettings
from workbench.core.errors import WorkbenchError
from workbench.engine.heart import STATE
from workbench.engine.plan import EnginePlan
from workbench.engine.process import PLAN
from workbench.engine.simulation import running_gateway
from workbench.engine.status import read_status
from workbench.execution.account_broker import is_ours
from workbench.execution.broker import BrokerTimeout, NotConnected
from workbench.execution.ibkr.connection import IbkrConnection
from workbench.execution.reports import OrderReport, Report
from workbench.logs import logger, logging_to

NOW, LAST = "watchdog.now", "watchdog.last"
LOOK_S = 0.5
PAUSES_S = (1.0, 2.0, 5.0, 30.0)
"""Real seconds between two rounds; the last one again and again: a gateway's nightly restart takes minutes."""
LONGEST_S = 24 * 3600.0
"""Real seconds after which a broker that cannot be asked is given up; by then a day order is over."""
FENCED_S = 10.0
"""Real seconds for a killed process to end; its connection must be gone before another can have its client id."""
PATIENCE_S = 5.0
"""Real seconds for the broker to confirm a cancel before it is asked again."""


def main() -> int:
    """Watch until the engine stops by itself, or act once when it died."""
    folder, pid = Path(sys.argv[1]), int(sys.argv[2])
    plan = EnginePlan.from_json((folder / PLAN).read_text(encoding="utf-8"))
    born = birth(pid)
    with logging_to(folder / "watchdog.jsonl", stderr=False):
        if watch(folder, pid, born, plan.first.live.watchdog_s):
            act(folder, pid, born, plan)
    return 0


def birth(pid: int) -> float:
    """When the process was started; 0 where it has ended. A number may be given to another process later."""
    try:
        return float(psutil.Process(pid).create_time())
    except psutil.NoSuchProcess:
        return 0.0


def watch(folder: Path, pid: int, born: float, after_s: float) -> bool:
    """True when the engine died, failed or hangs; False when it stopped as asked or another engine took over."""
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


def act(folder: Path, pid: int, born: float, plan: EnginePlan) -> None:
    """Fence, then cancel what is ours, round by round, until the broker says that nothing of it works.

    Ends before that where another engine took over, where the folder or the simulated gateway is gone, and after
    LONGEST_S.
    """
    log = logger("watchdog")
    log.error("the engine died or hangs: cancelling its orders", pid=pid)
    fence(pid, born)
    end = time.monotonic() + LONGEST_S
    for pause in chain(PAUSES_S, repeat(PAUSES_S[-1])):
        over, word = _round(folder, pid, plan)
        if not over and not folder.is_dir():
            over, word = True, f"given up, for the engine's folder is gone: {word}"
        if not over and time.monotonic() > end:
            over, word = True, f"given up after {LONGEST_S / 3600:g} hours: {word}; look at the broker's own list"
        log.warning(word, over=over)
        _tell(folder, word, over=over)
        if over:
            return
        time.sleep(pause)


def _round(folder: Path, pid: int, plan: EnginePlan) -> tuple[bool, str]:
    """Ask once; whether there is nothing left to do, and what was found."""
    broker = plan.first.broker
    if read_status(folder).get("pid") not in (None, pid):
        return True, "another engine took over; it reconciles by itself"
    where = _where(folder, broker)
    if where is None:
        return True, "the simulated gateway has ended: nothing works there"
    try:
        left = cancel_ours(broker, *where, plan.first.system.live_account)
    except WorkbenchError as error:
        return False, f"orders of the dead engine may still work: {error}"
    return not left, f"cancelled the orders of a dead engine; {left} still worked when the broker was last asked"


def fence(pid: int, born: float) -> None:
    """Make sure that the engine `pid`, started at `born`, can send nothing any more; another process is left alone."""
    if not _alive(pid, born):
        return
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        if "workbench.engine" not in " ".join(process.cmdline()):
            return
        process.kill()
    deadline = time.monotonic() + FENCED_S
    while _alive(pid, born) and time.monotonic() < deadline:  # one whose parent has not waited for it has ended too
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


def _where(folder: Path, settings: BrokerSettings) -> tuple[str, int] | None:
    """Where the broker listens; None where it is the simulated gateway and that has ended."""
    if settings.host:
        return settings.host, settings.port
    gateway = running_gateway(folder)
    return None if gateway is None else (gateway.host, gateway.port)


def _alive(pid: int, born: float) -> bool:
    try:
        process = psutil.Process(pid)
        return bool(process.create_time() == born and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _tell(folder: Path, word: str, *, over: bool) -> None:
    """Leave a word for whoever looks at the folder; one that cannot be written must not end the watchdog."""
    with suppress(OSError):  # the log has it
        (folder / (LAST if over else NOW)).write_text(f"{os.getpid()} {word}\n", encoding="utf-8")
        if over:
            (folder / NOW).unlink(missing_ok=True)
        os.utime(folder / STATE)


if __name__ == "__main__":
    sys.exit(main())
