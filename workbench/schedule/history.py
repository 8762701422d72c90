"""What ran, runs and did not run: the desk's journal, from which everything else about the past is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from workbench.core.errors import WorkbenchError, nearest_name
from workbench.journal import SqlJournal

JOURNAL = "journal.db"
SESSION = "desk"
RECENT = 50
"""So many of the newest records of a job are looked through for its last run."""


class RunState(StrEnum):
    """RUNNING, or how it ended."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    """A cell failed, or the notebook could not be run."""
    STOPPED = "stopped"
    """Somebody asked it to stop."""
    TIMED_OUT = "timed out"
    LOST = "lost"
    """Its process is gone and said nothing."""
    MISSED = "missed"
    """It was due while nobody could start it, for longer than it may be late."""
    SKIPPED = "skipped"
    """It was due, and what it needs was not there; its reason says what."""


RETRIED = frozenset({RunState.FAILED, RunState.TIMED_OUT, RunState.LOST})
"""Ends after which a job that is safe to retry is tried again."""


@dataclass(frozen=True, slots=True)
class Run:
    """One attempt at a job. `due`, `started` and `ended` in UTC ns of the desk's clock (0: not yet, or never).

    `session`: the session that it is counted from; `digest` of the executed notebooks and their outcome.
    """

    id: str
    job: str
    session: str
    due: int
    attempt: int = 1
    state: RunState = RunState.RUNNING
    reason: str = ""
    started: int = 0
    ended: int = 0
    folder: str = ""
    digest: str = ""

    def over(self, state: RunState, reason: str, ended: int, digest: str = "") -> Run:
        """The same run, ended."""
        return replace(self, state=state, reason=reason, ended=ended, digest=digest)


@dataclass(frozen=True, slots=True)
class Alert:
    """Something that a person should know: `at` UTC ns of the desk's clock."""

    at: int
    job: str
    run: str
    text: str


class History:
    """The runs and alerts in the journal at `address` (a path or a SQLAlchemy URL); `heard` hears of every record.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, History(Path(folder) / "journal.db") as history:
    ...     history.record(Run("train-1", "train", "2026-03-02", due=5, started=6), now=6)
    ...     history.last("train").state
    <RunState.RUNNING: 'running'>
    """

    def __init__(
        self, address: str | Path, *, read_only: bool = False, heard: Callable[[Run], None] = lambda run: None
    ) -> None:
        self._heard = heard
        self._journal = SqlJournal(address, session=SESSION, read_only=read_only)

    def record(self, run: Run, now: int) -> None:
        """Write how a run stands; what is written last counts."""
        payload = {**asdict(run), "state": str(run.state)}
        self._journal.record("run", now, payload, system=run.job, ref=run.id)
        self._heard(run)

    def alert(self, alert: Alert) -> None:
        """Write an alert."""
        self._journal.record("alert", alert.at, asdict(alert), ref=alert.run)

    def runs(self, limit: int | None = None, *, job: str = "") -> tuple[Run, ...]:
        """The newest runs, newest first."""
        found: dict[str, Run] = {}
        for entry in self._journal.read("run", system=job or None, newest_first=True):
            if limit is not None and len(found) >= limit:
                break
            if entry.ref not in found:
                found[entry.ref] = _run(entry.payload)
        return tuple(found.values())

    def run(self, run_id: str) -> Run:
        """How that run stands; :class:`WorkbenchError` where there is none."""
        entry = self._journal.last("run", ref=run_id)
        if entry is None:
            known = [r.id for r in self.runs(200)]
            raise WorkbenchError(
                f"there is no run {run_id!r}.{nearest_name(run_id, known)} See `workbench schedule history`"
            )
        return _run(entry.payload)

    def known(self, run_id: str) -> bool:
        """Whether there was such a run."""
        return self._journal.last("run", ref=run_id) is not None

    def last(self, job: str) -> Run | None:
        """The run of `job` that was due last, its newest attempt; what a person tried again later does not count."""
        found: dict[str, Run] = {}
        for entry in self._journal.read("run", system=job, newest_first=True, limit=RECENT):
            found.setdefault(entry.ref, _run(entry.payload))
        return max(found.values(), key=lambda r: (r.due, r.attempt), default=None)

    def running(self) -> tuple[Run, ...]:
        """The runs that were started and did not end, as far as anybody wrote."""
        return tuple(r for r in self.runs() if r.state is RunState.RUNNING)

    def alerts(self, limit: int = 100, *, run: str = "") -> tuple[Alert, ...]:
        """The newest alerts, newest first; `run`: of one run alone."""
        found = self._journal.read("alert", ref=run or None, newest_first=True, limit=limit)
        return tuple(Alert(**e.payload) for e in found)

    def close(self) -> None:
        """Close every connection."""
        self._journal.close()

    def __enter__(self) -> History:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _run(payload: dict[str, Any]) -> Run:
    return Run(**{**payload, "state": RunState(payload["state"])})
