"""The heart of an engine: beside the step thread it shows life, hears commands and panic.flag, and can always cancel.

A step may be slow or stuck in a broker's time-out; the heart still takes halt, flatten and cancel, and has the orders
cancelled at once. The mode itself changes in the step thread, which gets the same command.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from workbench.commands import URGENT, Command, CommandError, CommandStore, read_panic
from workbench.engine.following import LEFT, Follower, Vigil, missed
from workbench.logs import logger

STATE = "engine.state.json"
STUCK_S = 120.0
"""Real seconds without progress of the step thread after which the heart stops: then the watchdog acts."""

START_NS = 60 * 10**9
"""An engine is born at most so much later than the last sign of a follower that died while it started it."""


class Heart(threading.Thread):
    """Writes ``engine.state.json`` every `every_s`, takes commands, watches panic.flag and whoever follows the engine.

    `cancel_now(reason)` must be safe from this thread and never raise; `deliver(command)` hands a command to the step
    thread, `tell(kind, payload)` what is to be journaled.
    """

    def __init__(
        self,
        folder: Path,
        store: CommandStore,
        every_s: float,
        cancel_now: Callable[[str], None],
        deliver: Callable[[Command], None],
        tell: Callable[[str, dict[str, Any]], None] = lambda kind, payload: None,
    ) -> None:
        super().__init__(name="heart", daemon=True)
        self.folder, self.store, self.every_s = folder, store, every_s
        self._cancel_now, self._deliver, self._tell = cancel_now, deliver, tell
        self._view: dict[str, Any] = {"phase": "starting"}
        self._progress = time.monotonic()
        self._panicked, self._born = "", time.time_ns()
        self._vigil = Vigil(folder)
        self._gone: Follower | None = None  # what it left behind is done
        self._end = threading.Event()
        self._log = logger("heart")

    def show(self, view: dict[str, Any]) -> None:
        """What the engine's state is now; also a sign that the step thread makes progress."""
        self._view, self._progress = view, time.monotonic()

    def touch(self) -> None:
        """The step thread lives, though nothing may be due."""
        self._progress = time.monotonic()

    def run(self) -> None:
        self.write()  # else the watchdog would take the state of the engine before for that of another one
        while not self._end.wait(self.every_s):
            self.beat()

    def beat(self) -> None:
        """One beat: life, then commands, then panic."""
        stuck = time.monotonic() - self._progress > STUCK_S
        if not stuck:
            self.write()
        self._hear_panic()
        self._miss_follower()
        try:
            for command in self.store.take(time.time_ns(), self._tell_refused):
                self._deliver(command)
                if command.action in URGENT:
                    self._cancel_now(f"{command.action} by {command.issuer}")
        except CommandError as error:  # panic.flag still works
            self._log.error("commands cannot be read", error=str(error))

    def write(self) -> None:
        """Replace the state file: readers see the old or the new one, never a part."""
        state = {**self._view, "pid": os.getpid(), "heartbeat": time.time_ns()}
        scratch = self.folder / f".{STATE}.part"
        try:
            scratch.write_text(json.dumps(state, allow_nan=False), encoding="utf-8")
            os.replace(scratch, self.folder / STATE)
        except OSError as error:  # a full disk must not stop the heart; the watchdog sees the missing beats
            self._log.error("state cannot be written", error=str(error))

    def stop(self) -> None:
        """Beat no more; the state file stays as last written."""
        self._end.set()
        self.join(5.0)
        self.write()

    def _tell_refused(self, command: Command, why: str) -> None:
        """A forgery is worth knowing of."""
        self._tell("refused", {"command": command, "reason": why})

    def _miss_follower(self) -> None:
        """Do once what a follower left behind that is gone without a word; one from before this engine is history."""
        gone = self._vigil.gone(time.monotonic())
        if gone is None or gone == self._gone:
            return
        self._gone, now = gone, time.time_ns()
        if gone.at >= self._born - START_NS:
            self._tell("abandoned", {"by": gone.who, "silent s": round((now - gone.at) / 1e9), "left": gone.left})
            if gone.left == "flatten":
                why = f"flatten {LEFT}"
                self._deliver(Command(f"left-{now}", "flatten", "", gone.who, "operator", why, now, now))
                self._cancel_now(f"{gone.who} is gone")
        missed(self.folder)

    def _hear_panic(self) -> None:
        action = read_panic(self.folder)
        if action and action != self._panicked:
            now, asked = time.time_ns(), "flatten" if action == "flatten" else "halt"  # "cancel" includes "halt"
            self._deliver(Command(f"panic-{now}", asked, "", "panic.flag", "operator", "panic.flag", now, now))
            self._cancel_now("panic.flag")
        self._panicked = action or ""
