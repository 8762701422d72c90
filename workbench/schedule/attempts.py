"""One attempt at a job: its process is started with all that it is to know, watched to its end, and recorded."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from typing import Any

from workbench.core.calendar import iso_time
from workbench.core.errors import WorkbenchError
from workbench.core.units import NS_PER_SECOND
from workbench.logs import redact
from workbench.schedule.alerts import Alerts
from workbench.schedule.clock import DeskClock
from workbench.schedule.history import History, Run, RunState
from workbench.schedule.parameters import known_parameters
from workbench.schedule.plan import Job, Schedule
from workbench.schedule.runner import LAST_WORDS, Spec, Step, end_run, is_running, read_outcome, silent_s
from workbench.schedule.times import Due

LOOK_S = 0.2
"""Real seconds between two looks at what runs."""
SILENT_S = 30.0
"""Real seconds without a run's heartbeat after which people are told."""
GRACE_S = 60.0
"""Real seconds that a run may take to end after it was told to."""


class Attempts:
    """Makes attempts at the jobs of `schedule` until `end` is set: then what runs is told to end."""

    def __init__(
        self, schedule: Schedule, history: History, alerts: Alerts, clock: DeskClock, end: threading.Event
    ) -> None:
        self.schedule, self.history, self.alerts, self.clock, self._end = schedule, history, alerts, clock, end
        self.folder = Path(schedule.desk.folder)

    def make(self, job: Job, due: Due, number: int = 1) -> Run | None:
        """Start attempt `number`, and wait for its end; None where the scheduler is stopped and the run does not end.

        What cannot be started at all has failed.
        """
        run = run_of(job, due, number)
        try:
            run, process = self._launch(job, due, run)
        except (WorkbenchError, OSError) as error:
            over = run.over(RunState.FAILED, redact(f"it could not be started: {error}"), self.clock.now())
            if not self.history.known(run.id):
                self._record(over)
            return over
        return self.watch(run, process)

    def watch(self, run: Run, process: subprocess.Popen[bytes] | None = None) -> Run | None:
        """Follow a run to its end and record it; None where the scheduler ends before it."""
        folder, silent, told_to_end, ending = Path(run.folder), False, False, 0.0
        while process.poll() is None if process is not None else is_running(folder):
            if self._end.is_set():
                ending = ending or time.monotonic()
                told_to_end = told_to_end or end_run(folder)  # one that has just been started does not hear yet
                if time.monotonic() - ending > GRACE_S:
                    return None
            if (silent_s(folder) > SILENT_S) is not silent:
                silent = not silent
                if silent:
                    self.alerts.tell(self.clock.now(), run.job, run.id, f"no heartbeat for {SILENT_S:g} s")
            time.sleep(LOOK_S)
        over = ended(run, self.clock.now())
        self._record(over)
        return over

    def refuse_over(self, job: Job, due: Due) -> None:
        """:class:`WorkbenchError` for a live session that is over: its engine would trade another one."""
        if job.kind == "live" and job.ends(due) <= self.clock.now():
            raise WorkbenchError(
                f"the session of {due.session} was to end at {iso_time(job.ends(due))}, and that is over"
            )

    def _launch(self, job: Job, due: Due, run: Run) -> tuple[Run, subprocess.Popen[bytes]]:
        """Start its process; it is in the journal before it runs, and its folder is new.

        :class:`WorkbenchError` for a live session that is over: its engine would trade another one.
        """
        self.refuse_over(job, due)
        folder = run_folder(self.folder, run)
        run = replace(run, started=self.clock.now(), folder=str(folder))
        steps = tuple(Step(str(n), self._parameters(job, n, due)) for n in self.schedule.notebooks(job))
        left = max(job.ends(due) - self.clock.now(), 0) if job.kind == "live" else 0
        limit = left + job.span("timeout")
        desk = {name: redact(value) for name, value in self.schedule.desk.model_dump(mode="json").items()}
        config = {"desk": desk, "job": job.model_dump(mode="json")}
        lock = str(self.folder / "locks" / f"{job.locked}.lock")
        spec = Spec(run.id, job.name, run.session, steps, limit / NS_PER_SECOND / self.clock.speed, lock, config)
        spec.write(folder)
        self._record(run)
        return run, launch(folder)

    def _parameters(self, job: Job, notebook: Path, due: Due) -> dict[str, Any]:
        """The job's parameters, and what the desk knows better: until when, and what is left behind."""
        known = known_parameters(notebook)
        own = {"until": iso_time(job.ends(due)), "left": job.left} if job.kind == "live" else {}
        return {**job.parameters_of(notebook, due), **{n: v for n, v in own.items() if n in known}}

    def _record(self, run: Run) -> None:
        self.history.record(run, self.clock.now())


def due_of(job: Job, run: Run) -> Due:
    """When `run` was due; where the schedule names another time by now, what its record knows of it."""
    found = next(takewhile(lambda d: d.at <= run.due, job.times.after(run.due - 1)), None)
    return found or Due(run.due, *(run.session,) * 3)


def run_folder(desk: Path, run: Run) -> Path:
    """Where a run leaves its record."""
    return desk / "runs" / run.job / run.id


def launch(folder: Path) -> subprocess.Popen[bytes]:
    """Start the run that is described in `folder`, in a session of its own: it outlives this process."""
    with (folder / LAST_WORDS).open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "workbench.schedule.runner", str(folder)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip


def ended(run: Run, now: int) -> Run:
    """What became of a run whose process is gone."""
    outcome = read_outcome(Path(run.folder))
    if outcome is None:
        return run.over(
            RunState.LOST, "its process is gone and left no word: it was killed, or the machine went down", now
        )
    return run.over(outcome.state, outcome.reason, now, outcome.digest)


def run_of(job: Job, due: Due, attempt: int = 1) -> Run:
    """The run of a due time: its id says job, session, time and attempt, so that no time is run twice."""
    stamp = iso_time(due.at).replace("-", "").replace(":", "").removesuffix("Z")
    if part := due.at % NS_PER_SECOND:  # due now, as a person asks for it: two may ask in one second
        stamp += f".{part // 1_000_000:03d}"
    return Run(f"{job.name}-{stamp}-{attempt}", job.name, due.session, due.at, attempt)
