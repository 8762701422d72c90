"""The one reader of a journal in this process: it follows the session that trades, and every page looks at what it has.

A page never touches the database: `JournalFeed.look` is what is known now, with how old it is and what is wrong. The
thread lives here, in an imported module; one defined in a served script would die with the first page that closes.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from workbench.core.calendar import iso_date, session_of
from workbench.core.errors import WorkbenchError
from workbench.dash.session_log import KINDS, Decided, SessionLog, decided
from workbench.engine.codec import live_codec
from workbench.engine.heart import STUCK_S
from workbench.journal import Entry, JournalError, Pulse, SessionSummary, SqlJournal
from workbench.logs import logger
from workbench.schedule.history import JOURNAL as DESK_JOURNAL
from workbench.schedule.history import Alert, History

T = TypeVar("T")
LOOK_S = 0.5
"""Real seconds between two looks at the journal; after a failure RETRY_S."""
RETRY_S = 2.0
DEAD_AFTER_S = 15.0
"""Real seconds without a sign of life in the journal after which an engine is taken for dead."""
QUIET_PHASES = ("starting", "connecting", "reconciling", "warming up")
"""Phases in which an engine may be busy for as long as its heart waits, and gives no sign."""
OVER = ("stopped", "failed")
KEPT_DECISIONS, KEPT_SESSIONS = 32, 4
ALERTS, ALERTS_S = 20, 5.0
"""Newest alerts that are known, and real seconds between two looks for more."""


@dataclass(frozen=True, slots=True)
class Look:
    """What is known of a journal. `version` rises when anything is new.

    `read_at`: when it was last read without an error, UTC ns by the machine's clock (0: never); `problem`: why it
    cannot be read now, empty where it can; `log`: the newest session; `pulse`: the newest sign of life, by its writer's
    clock, `heard_at` when it was first read, by this machine's; `sessions`: all of them, in the order in which they
    began; `alerts` of the desk, newest first.
    """

    version: int = 0
    read_at: int = 0
    problem: str = ""
    log: SessionLog | None = None
    pulse: Pulse | None = None
    sessions: tuple[SessionSummary, ...] = ()
    alerts: tuple[Alert, ...] = ()
    heard_at: int = 0

    def status(self, now: int) -> dict[str, Any]:
        """The engine's state as :func:`~workbench.engine.status.read_status` gives it, from the journal alone.

        `now` UTC ns by the machine's clock. ``phase`` is "none" where nothing was journaled, "dead" where the signs of
        life ended without a word.
        """
        if self.log is None:
            return {"phase": "none", "alive": False, "age_s": None, "error": self.problem or "the journal is empty"}
        state = {"phase": "starting", "systems": {}, "open_orders": [], **self.log.state}
        pulse = self.pulse if self.pulse is not None and self.pulse.session == self.log.session else None
        if pulse is None:
            return {**state, "alive": False, "age_s": None, "phase": "dead", "error": "no sign of life was journaled"}
        heard_at = self.heard_at or now  # where the engine's clock is ahead, its silence shows by ours
        age = max(now - pulse.at, now - heard_at, 0) / 1e9
        state["phase"] = pulse.phase
        patience = STUCK_S if pulse.phase in QUIET_PHASES else DEAD_AFTER_S
        alive = pulse.phase not in OVER and age < patience
        if pulse.phase == "failed":
            state["error"] = pulse.text
        if not alive and pulse.phase not in OVER:
            state |= {"phase": "dead", "error": f"no sign of life for {age:.0f} s; the watchdog cancels its orders"}
        return {**state, "alive": alive, "age_s": round(age, 1)}


class JournalFeed:
    """Follows the journal at `address` from `start` until `stop`, and the alerts of the desk in the folder `desk`.

    Opening, reading and waiting for a locked database all happen in its thread; what goes wrong is in `look.problem`
    and is tried again for ever.
    """

    def __init__(self, address: str | Path, desk: Path | None = None) -> None:
        self.address, self._desk = address, desk
        self.look = Look()
        self._journal: SqlJournal | None = None
        self._end = threading.Event()
        self._thread: threading.Thread | None = None
        self._past: OrderedDict[str, SessionLog] = OrderedDict()  # session -> its whole log
        self._decisions: OrderedDict[int, Decided] = OrderedDict()  # number -> the decision in that entry
        self._lock = threading.Lock()
        self._log = logger("dash")

    def start(self) -> JournalFeed:
        """Follow from now on, in a thread; itself."""
        self._thread = threading.Thread(target=self._run, name="journal feed", daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Follow no more."""
        self._end.set()
        if self._thread is not None:
            self._thread.join(5.0)
        self._close()

    def refresh(self) -> None:
        """Read what is new, once."""
        try:
            self._read()
        except WorkbenchError as error:
            self._close()
            problem = "\n".join([str(error), *getattr(error, "__notes__", [])])
            if problem != self.look.problem:
                self._log.warning("journal cannot be read", error=problem)
                self.look = replace(self.look, problem=problem, version=self.look.version + 1)

    def refresh_alerts(self) -> None:
        """Read the newest alerts of the desk, where there is one."""
        if self._desk is None or not (self._desk / DESK_JOURNAL).exists():
            return
        try:
            with History(self._desk / DESK_JOURNAL, read_only=True) as history:
                alerts = history.alerts(ALERTS)
        except WorkbenchError as error:
            self._log.warning("alerts cannot be read", error=str(error))
            return
        if alerts != self.look.alerts:
            self.look = replace(self.look, alerts=alerts, version=self.look.version + 1)

    def past(self, session: str) -> SessionLog:
        """The whole log of a session, read once; the one that trades is the living one. May take seconds: not for the
        event loop. :class:`JournalError` where it cannot be read."""
        living = self.look.log
        if living is not None and living.session == session:
            return living
        with self._lock:
            if session not in self._past:
                log = SessionLog(session)
                with self.reading() as journal:
                    _follow(journal, log)
                self._past[session] = log
                _forget(self._past, KEPT_SESSIONS)
            return self._past[session]

    def decision(self, number: int) -> Decided:
        """The decision in that entry of the journal; :class:`JournalError` where it cannot be read."""
        with self._lock:
            if number not in self._decisions:
                with self.reading() as journal:
                    self._decisions[number] = _understood(journal.entry(number), decided)
                _forget(self._decisions, KEPT_DECISIONS)
            self._decisions.move_to_end(number)
            return self._decisions[number]

    def reading(self) -> SqlJournal:
        """The journal, opened for reading, for what no log holds: close it. Not for the event loop."""
        return open_journal(self.address)

    # ---- inside -----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        alerts_at = -ALERTS_S
        while not self._end.is_set():
            self.refresh()
            if time.monotonic() - alerts_at >= ALERTS_S:
                alerts_at = time.monotonic()
                self.refresh_alerts()
            self._end.wait(RETRY_S if self.look.problem else LOOK_S)

    def _read(self) -> None:
        anew = self._journal is None
        journal = self._journal = self._journal or open_journal(self.address)
        look, pulse = self.look, journal.pulse()
        log, sessions = look.log, look.sessions
        if anew or log is None or (pulse is not None and pulse.session != log.session):
            sessions = journal.sessions()
            newest = _newest(sessions, pulse)
            log = log if log is not None and log.session == newest else SessionLog(newest) if newest else None
        new = 0 if log is None else _follow(journal, log)
        changed = new or look.problem or log is not look.log or pulse != look.pulse
        now = time.time_ns()
        heard_at = look.heard_at if pulse == look.pulse else now
        self.look = replace(
            self.look, version=look.version + bool(changed), read_at=now, problem="", log=log, pulse=pulse,
            sessions=sessions, heard_at=heard_at,
        )  # fmt: skip

    def _close(self) -> None:
        if self._journal is not None:
            self._journal.close()
            self._journal = None


def open_journal(address: str | Path) -> SqlJournal:
    """The journal at an address, to read it; :class:`JournalError` says what there is instead."""
    if isinstance(address, Path) and not address.exists():
        raise JournalError(
            f"there is no journal {address.name} in {address.parent}: `workbench live` makes one there, or name "
            "another folder with --folder"
        )
    return SqlJournal(address, read_only=True, codec=live_codec())


def last_session(address: str | Path) -> str:
    """The last session that decided anything; :class:`JournalError` where none did."""
    with open_journal(address) as journal:
        decided_last = journal.last("decision")
        if decided_last is None:
            raise JournalError(f"no session of the journal {journal.address} has decided anything yet")
        return decided_last.session


def label(s: SessionSummary) -> str:
    """How a chooser names a session: the day that it traded last, and its id."""
    return f"{iso_date(session_of(s.last_known_at))} · {s.session}"


def _newest(sessions: tuple[SessionSummary, ...], pulse: Pulse | None) -> str:
    """The session that gave the newest sign of life, else the last to begin; empty where there is none."""
    return pulse.session if pulse is not None else sessions[-1].session if sessions else ""


def _follow(journal: SqlJournal, log: SessionLog) -> int:
    """Let `log` take what is new of its session; how many entries that was. :class:`JournalError` for an odd one."""
    new = 0
    for entry in journal.read(KINDS, session=log.session, after=log.number):
        _understood(entry, log.take)
        new += 1
    return new


def _understood(entry: Entry, take: Callable[[Entry], T]) -> T:
    """What `take` makes of `entry`; :class:`JournalError` where it is of another form than it should be."""
    try:
        return take(entry)
    except (LookupError, TypeError, AttributeError) as error:
        raise JournalError(
            f"entry {entry.number} ({entry.kind}) of session {entry.session} is not of a form that this version knows "
            f"({error!r}); look at it with the version of the workbench that wrote it"
        ) from error


def _forget(kept: OrderedDict[Any, Any], most: int) -> None:
    while len(kept) > most:
        kept.popitem(last=False)


_feeds: dict[str, JournalFeed] = {}  # address -> the feed of this process
_feeds_lock = threading.Lock()


def feed_of(address: str | Path, desk: Path | None = None) -> JournalFeed:
    """The feed of a journal, and of a desk's alerts; all pages of this process share it."""
    with _feeds_lock:
        if str(address) not in _feeds:
            _feeds[str(address)] = JournalFeed(address, desk).start()
        return _feeds[str(address)]
