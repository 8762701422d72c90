"""The engine as a process: locks, logs, journal, connection; then the host runs until it is told to stop."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from workbench.commands import Command, CommandError, CommandStore, read_panic
from workbench.core.clock import Clock, ScaledClock, SystemClock
from workbench.core.errors import WorkbenchError
from workbench.engine.codec import live_codec
from workbench.engine.heart import STATE, Heart
from workbench.engine.host import EngineHost
from workbench.engine.locks import FileLock, account_lock
from workbench.engine.plan import EnginePlan
from workbench.engine.simulation import ensure_gateway
from workbench.engine.status import engine_view
from workbench.engine.systems import load_system
from workbench.engine.teller import Teller
from workbench.execution.account_broker import AccountBroker
from workbench.execution.broker import BrokerTimeout, NotConnected
from workbench.execution.ibkr.accounts import AccountKind
from workbench.execution.ibkr.connection import IbkrConnection
from workbench.journal import FallbackJournal, JournalError, SqlJournal
from workbench.logs import bound, logger, logging_to

PLAN, LOCK, JOURNAL, FALLBACK, COMMANDS, KEY, LOG = (
    "engine.json", "engine.lock", "journal.db", "journal.fallback.jsonl", "commands.db", "commands.key", "engine.log",
)  # fmt: skip


def journal_address(plan: EnginePlan) -> str | Path:
    """Where the journal of a plan is: its URL, or the file in its folder."""
    return plan.first.live.journal or plan.folder / JOURNAL


def open_commands(plan: EnginePlan, folder: Path) -> CommandStore:
    """The command store of a plan: at its URL, or the file in the engine's folder, where the key is in any case."""
    return CommandStore(plan.first.live.commands or folder / COMMANDS, folder / KEY)


def run_engine(folder: Path, until: int | None = None) -> None:
    """Run the engine that ``engine.json`` in `folder` describes; returns when it was stopped."""
    plan = EnginePlan.from_json((folder / PLAN).read_text(encoding="utf-8"))
    lock = FileLock(folder / LOCK, f"the folder {folder}")
    lock.acquire()
    session = f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{uuid.uuid4().hex[:6]}"
    with contextlib.ExitStack() as stack:
        stack.callback(lock.release)
        stack.enter_context(logging_to(folder / LOG))
        stack.enter_context(bound(session=session))
        engine = Engine(plan, folder, session)
        stack.callback(engine.close)
        engine.run(until)


class Engine:
    """Puts together what a host needs, and takes it apart again."""

    def __init__(self, plan: EnginePlan, folder: Path, session: str) -> None:
        self.plan, self.folder, self.session = plan, folder, session
        self.host: EngineHost | None = None
        self._log = logger("engine")
        self._end = contextlib.ExitStack()
        commands = open_commands(plan, folder)
        self._end.callback(commands.close)
        for left in commands.unfinished():
            commands.acknowledge(left.id, "the engine ended before it was done", time.time_ns())
        self._commands = commands
        self._heart = Heart(folder, commands, plan.first.live.heartbeat_s, self._cancel_now, self._deliver,
                            self._tell)  # fmt: skip
        self._journal: SqlJournal | None = None
        self._teller: Teller | None = None  # as soon as there is a journal
        self._end.callback(self._heart.stop)
        self._phase, self._error = "starting", ""
        self._early: list[Any] = []  # commands that came before there was anyone to obey them

    def run(self, until: int | None) -> None:
        """From start to stop. What goes wrong is shown in the state, logged and raised."""
        signal.signal(signal.SIGTERM, lambda *_: self._ask_to_stop("SIGTERM"))
        signal.signal(signal.SIGINT, lambda *_: self._ask_to_stop("SIGINT"))
        self._heart.start()
        try:
            self.host = self._host()
            for command in self._early:
                self.host.ask(command)
            self._refuse_panic()
            self.host.start()
            self.host.run(until)
            self._stop(self.host)
        except WorkbenchError as error:
            self._fail(str(error))
            raise
        except Exception as error:  # the outermost boundary: shown, logged, orders cancelled, and raised
            self._fail(f"{type(error).__name__}: {error}")
            raise

    def _stop(self, host: EngineHost) -> None:
        """Stopped is who has taken every order back; :class:`WorkbenchError` names the others."""
        left = host.stop(host.stopping or "the time was over")
        if left:
            named = ", ".join(f"{'buy' if o.side > 0 else 'sell'} {o.quantity} {o.symbol}" for o in left)
            raise WorkbenchError(
                f"{len(left)} orders of ours could not be taken back and may still fill: {named}. The watchdog goes on "
                f"asking until the broker confirms, see {self.folder / 'watchdog.last'}; look at the broker's own list"
            )
        self._show("stopped")

    def close(self) -> None:
        """Give everything back."""
        self._end.close()

    # ---- parts ------------------------------------------------------------------------------------------------

    def _host(self) -> EngineHost:
        plan, broker = self.plan, self.plan.first.broker
        simulated = not broker.host
        systems = [load_system(s, simulated=simulated) for s in plan.systems]
        journal = self._journal = SqlJournal(journal_address(plan), session=self.session, codec=live_codec())
        self._end.callback(journal.close)
        self._teller = Teller(journal_address(plan), self.session)
        self._teller.start()
        self._end.callback(self._teller.stop)
        where = (broker.host, broker.port)
        if simulated:
            gateway = ensure_gateway(self.folder, broker)
            where = (gateway.host, gateway.port)
        fast = simulated and broker.speed > 1
        clock: Clock = ScaledClock(0, broker.speed) if simulated else SystemClock()
        reports: list[Callable[[Any], None]] = []
        connection = IbkrConnection(
            broker, lambda report: reports[0](report), clock.now, host=where[0], port=where[1],
            account=plan.first.system.live_account, unthrottled=fast,
        )  # fmt: skip
        self._end.callback(connection.close)
        fallback = FallbackJournal(self.folder / FALLBACK, session=self.session, codec=live_codec())
        account = AccountBroker(
            connection, journal, clock, systems=tuple(s.name for s in systems), fallback=fallback,
            client_id=broker.client_id, unknown_orders=broker.unknown_orders,
        )  # fmt: skip
        reports.append(account.hear)
        return EngineHost(plan, systems, connection, account, journal, clock, fallback=fallback, publish=self._show,
                          claim=self._claim, touch=self._touch, acknowledge=self._acknowledge)  # fmt: skip

    def _claim(self) -> None:
        """Before anything is restored, adopted or sent: the account is ours alone, and somebody watches over us."""
        host = self.host
        assert host is not None
        if host.kind is not AccountKind.SIMULATED:
            lock = account_lock(host.account_id)
            lock.acquire()
            self._end.callback(lock.release)
        self._watch_over()

    def _watch_over(self) -> None:
        """Start the watchdog, a process of its own, once there is something to watch."""
        command = [sys.executable, "-m", "workbench.engine.watchdog", str(self.folder), str(os.getpid())]
        with (self.folder / "watchdog.log").open("ab") as log:
            subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)

    def _refuse_panic(self) -> None:
        if (word := read_panic(self.folder)) is not None:
            raise WorkbenchError(
                f"panic.flag in {self.folder} says {word}: remove the file to let the engine trade again"
            )

    # ---- state ------------------------------------------------------------------------------------------------

    def _show(self, phase: str) -> None:
        """The state of now, for readers of the folder and for readers of the journal."""
        host, self._phase = self.host, phase
        view = engine_view(host, self.plan, self.session, phase, self._error)
        self._heart.show(view)
        if self._teller is not None:
            known_at = host.clock.now() if host is not None and host.account_id else None  # before: no market's clock
            self._teller.state(phase, self._error, known_at, view)

    def _touch(self) -> None:
        """The step thread lives."""
        self._heart.touch()
        if self._teller is not None:
            self._teller.lives()

    def _fail(self, text: str) -> None:
        self._error = text
        self._log.error("engine failed", error=text)
        if self.host is not None and self.host.connection.connected:
            self._cancel_now("the engine failed")
        self._show("failed")
        if self._journal is not None:
            now = self.host.clock.now() if self.host is not None and self.host.account_id else time.time_ns()
            try:
                self._journal.record("broken", now, {"why": text})
            except JournalError as error:  # the log has it
                self._log.error("failure not journaled", error=str(error))

    def _ask_to_stop(self, why: str) -> None:
        if self.host is None:
            raise SystemExit(0)
        self.host.stopping = why

    def _cancel_now(self, reason: str) -> None:
        """Cancel every order of ours that works, from whatever thread."""
        host = self.host
        if host is None or not host.connection.connected:
            return
        self._log.warning("cancelling all orders", reason=reason)
        for order_id in host.account.working_ids():
            try:
                host.connection.cancel(order_id)
            except (BrokerTimeout, NotConnected) as error:  # the heart must beat on; the step thread asks again
                self._log.error("not cancelled", order_id=order_id, error=str(error))

    def _acknowledge(self, command_id: str, outcome: str) -> None:
        """Tell who asked what came of it; what panic.flag or nobody asked for is of no store."""
        if command_id.startswith(("panic-", "left-")):
            return
        try:
            self._commands.acknowledge(command_id, outcome, time.time_ns())
        except CommandError as error:  # it was obeyed all the same
            self._log.error("not acknowledged", command=command_id, error=str(error))

    def _deliver(self, command: Command) -> None:
        if self.host is None:
            self._early.append(command)
        else:
            self.host.ask(command)

    def _tell(self, kind: str, payload: dict[str, Any]) -> None:
        if self.host is not None:
            self.host.told.put((kind, payload))


def state_file(folder: Path) -> Path:
    """Where the engine shows its state."""
    return folder / STATE
