"""Tells readers of the journal how the engine is: its newest state, and signs of life of the step thread.

A thread with a connection of its own. A journal that is slow, locked or full makes readers wait, never the step thread;
what trading itself must record goes another way, and is told of there.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

from workbench.engine.codec import live_codec
from workbench.journal import JournalError, SqlJournal
from workbench.logs import logger

PULSE_S, STATE_S = 2.0, 1.0
"""Real seconds between two signs of life, and at the least between two states."""


class Teller(threading.Thread):
    """Writes to the journal at `address` in the name of `session` from `start` until `stop`.

    `lives`: the step thread lives; `state`: what it shows, of which the newest is written; neither waits for anything.
    """

    def __init__(self, address: str | Path, session: str) -> None:
        super().__init__(name="teller", daemon=True)
        self._journal = SqlJournal(address, session=session, codec=live_codec())
        self._lock = threading.Lock()
        self._due = threading.Event()
        self._stopping = False
        self._lived = False
        self._state: tuple[int, dict[str, Any]] | None = None
        self._phase, self._why = "starting", ""
        self._log = logger("teller")

    def lives(self) -> None:
        """A sign of life, to be passed on at the next beat."""
        self._lived = True

    def state(self, phase: str, why: str, known_at: int | None, view: dict[str, Any]) -> None:
        """What the engine is now; without a market's clock (`known_at` None) only its phase is told."""
        with self._lock:
            turned, self._phase, self._why, self._lived = phase != self._phase, phase, why, True
            if known_at is not None:
                self._state = (known_at, view)
        if turned:
            self._due.set()

    def stop(self, patience_s: float = 5.0) -> None:
        """Write what is left and end; a journal that does not take it within `patience_s` is left alone."""
        self._stopping = True
        self._due.set()
        if self.is_alive():
            self.join(patience_s)
        self._journal.close()

    def run(self) -> None:
        beat_at = stated_at = -PULSE_S
        while True:
            turned = self._due.wait(min(PULSE_S, STATE_S) / 2)
            self._due.clear()
            now, last = time.monotonic(), self._stopping
            if turned or last or now - stated_at >= STATE_S:
                stated_at = now
                self._write_state()
            if self._lived and (turned or last or now - beat_at >= PULSE_S):
                beat_at, self._lived = now, False
                self._write(lambda: self._journal.beat(self._phase, self._why))
            if last:
                return

    def _write_state(self) -> None:
        with self._lock:
            told, self._state = self._state, None
        if told is not None:
            self._write(lambda: self._journal.record("state", *told))

    def _write(self, tell: Any) -> None:
        try:
            tell()
        except JournalError as error:  # readers see that it is old
            self._log.warning("readers are not told", error=str(error))
