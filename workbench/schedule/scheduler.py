"""The desk's day: every job is started when it is due, once, after what it needs, and watched until it ends.

APScheduler says when; jobs come from schedule.toml, and all that is known of the past from the desk's journal, so that
a scheduler that was killed goes on where it was: runs that still live are watched on, runs that are gone are told of,
and what was due meanwhile is started if it may still be, and counted as missed if not.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from itertools import islice, takewhile
from pathlib import Path
from typing import Any

from apscheduler.schedulers.background import BackgroundScheduler

from workbench.core.calendar import iso_time
from workbench.core.errors import WorkbenchError
from workbench.core.units import NS_PER_MINUTE
from workbench.engine.locks import FileLock
from workbench.research.promotion import own_key, promote_if_green
from workbench.schedule.alerts import Alerts
from workbench.schedule.attempts import GRACE_S, LOOK_S, Attempts, due_of, ended, run_of
from workbench.schedule.clock import DeskClock, MachineClock
from workbench.schedule.history import RETRIED, History, Run, RunState
from workbench.schedule.plan import Job, Schedule
from workbench.schedule.runner import is_running
from workbench.schedule.times import Due

LATE_NS = NS_PER_MINUTE
"""A job that starts later than this (real time) is late, and people are told."""
MOST_MISSED = 20
"""So many missed times of a job are written down one by one after a long pause."""


class Scheduler:
    """Runs `schedule` from `start` until `stop`, writing into `history`; one per desk folder.

    `clock` is the machine's unless a rehearsal runs.
    """

    def __init__(self, schedule: Schedule, history: History, *, clock: DeskClock | None = None) -> None:
        self.schedule, self.history, self.clock = schedule, history, clock or MachineClock()
        self.folder = Path(schedule.desk.folder)
        self.alerts = Alerts(history, schedule.desk.webhook)
        self._lock = FileLock(self.folder / "scheduler.lock", f"the desk {self.folder}")
        self._timer = BackgroundScheduler(timezone="UTC", job_defaults={"misfire_grace_time": None})
        self._armed: dict[str, Due] = {}  # job -> when it is due next
        self._handlers: list[threading.Thread] = []
        self._alive: dict[str, tuple[Job, Run]] = {}  # run id -> what runs now
        self._changes = 0  # how often what runs, or ran, has changed
        self._waiting: dict[str, tuple[int, int | None]] = {}  # run id -> waits at most until; `_changes` it saw
        self._state = threading.RLock()  # of the five above
        self._end = threading.Event()
        self._attempts = Attempts(schedule, history, self.alerts, self.clock, self._end)
        self._until: int | None = None

    # ---- life -------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Take over what runs, see to what was due meanwhile, and wait for what comes. Returns at once."""
        for job in self.schedule.jobs:
            if job.promote:  # else the first word of it would come after the night's training
                own_key(self._workspace(job))
        self._lock.acquire()
        now, running = self.clock.now(), self.history.running()
        for run in running:
            self._take_over(run)
        for job in self.schedule.jobs:
            self._catch_up(job, now, begun=any(run.job == job.name for run in running))
        self._timer.start()
        self._timer.add_job(self._look, "interval", seconds=LOOK_S, coalesce=True)

    def stop(self) -> None:
        """Start nothing more, stop the notebooks that run, and wait for their records."""
        self._end.set()
        if self._timer.running:
            self._timer.shutdown(wait=False)
        for handler in list(self._handlers):
            handler.join(2 * GRACE_S)
        self.alerts.close()
        self._lock.release()

    def run(self, until: int | None = None) -> None:
        """Start, go on until SIGTERM, SIGINT or `until` (by the desk's clock), and stop."""
        self._until = until
        with _signals(self._end):
            self.start()
            try:
                while not self._end.wait(LOOK_S):
                    self._timer.wakeup()  # it sleeps until a time; a clock that was set back would keep it asleep
                    if until is not None and self.clock.now() >= until and not self.busy:
                        break
            finally:
                self.stop()

    @property
    def busy(self) -> bool:
        """Whether anything runs or waits to be run."""
        with self._state:
            self._handlers = [h for h in self._handlers if h.is_alive()]
            return bool(self._handlers)

    def next(self) -> dict[str, Due]:
        """job -> when it is due next."""
        with self._state:
            return dict(self._armed)

    # ---- when -------------------------------------------------------------------------------------------------

    def _arm(self, job: Job, after: int) -> None:
        """Wait for the next time that `job` is due after `after`."""
        due = next(job.times.after(after), None)
        if due is None or self._end.is_set():
            return
        with self._state:
            self._armed[job.name] = due
            self._timer.add_job(self._fire, "date", run_date=self.clock.real(due.at), args=(job, due), id=job.name,
                                replace_existing=True)  # fmt: skip

    def _look(self) -> None:
        """Where nothing happens until the next job, or the end, a rehearsal goes there at once."""
        with self._state:
            due, until = (d.at for d in self._armed.values()), [self._until] if self._until else []
            ahead = [*due, *until, *(at for at, _ in self._waiting.values())]
            in_vain = sum(seen in (None, self._changes) for _, seen in self._waiting.values())
            if sum(h.is_alive() for h in self._handlers) == in_vain and ahead and self.clock.skip_to(min(ahead)):
                for job in self.schedule.jobs:
                    if job.name in self._armed:
                        self._arm(job, self._armed[job.name].at - 1)

    def _fire(self, job: Job, due: Due) -> None:
        with self._state:  # between the two a rehearsal would see nothing to wait for, and skip past what is due
            self._spawn(job.name, self._see_to, job, due)
            self._arm(job, due.at)

    def _catch_up(self, job: Job, now: int, *, begun: bool) -> None:
        """What was due since the last time that anybody saw to: the newest may still be started, the rest is missed.

        `begun`: its last run was taken over. One that was to be tried again when the scheduler ended still is.
        """
        last = self.history.last(job.name)
        if last is not None:
            if not begun and self._may_go_on(job, last):
                self._spawn(job.name, self._afterwards, job, due_of(job, last), last)
            due = list(islice(takewhile(lambda d: d.at <= now, job.times.after(last.due)), 10_000))
            for missed in due[:-1][-MOST_MISSED:]:
                self._record(run_of(job, missed).over(RunState.MISSED, "no scheduler ran when it was due", now))
            if len(due) > 1:
                self.alerts.tell(now, job.name, "", f"missed {len(due) - 1} times while no scheduler ran")
            if due:
                self._spawn(job.name, self._see_to, job, due[-1])
        self._arm(job, now)

    # ---- one time that a job is due ---------------------------------------------------------------------------

    def _spawn(self, job: str, what: Callable[..., object], *arguments: Any) -> None:
        """Do it in a thread of its own; what goes wrong there is told."""

        def told() -> None:
            try:
                what(*arguments)
            except (WorkbenchError, OSError) as error:
                self.alerts.tell(self.clock.now(), job, "", f"not seen to: {error}")

        thread = threading.Thread(target=told, name=job, daemon=True)
        with self._state:
            self._handlers.append(thread)
            thread.start()

    def _see_to(self, job: Job, due: Due) -> None:
        """Start it as soon as what it needs is there, unless that takes too long."""
        run = run_of(job, due)
        if self.history.known(run.id):
            return
        patience = job.span("misfire")
        while True:
            seen = self._changes
            if not (why := self._lacking_any(job) or self._blocked(job, run)):
                break
            if self.clock.now() - due.at > patience:
                self._leave_out(run, RunState.SKIPPED, why)
                return
            if not self._wait(run, due.at + patience + 1, seen):
                return  # the next scheduler sees to it
        with self._runs(job, run):
            late = self.clock.now() - due.at
            if self._end.is_set():
                return
            if late > patience:
                self._leave_out(run, RunState.MISSED, f"{late / NS_PER_MINUTE:.0f} min late, more than {job.misfire}")
                return
            if late > LATE_NS * self.clock.speed:
                self.alerts.tell(self.clock.now(), job.name, run.id, f"starts {late / NS_PER_MINUTE:.0f} min late")
            over = self.attempt(job, due)
        self._afterwards(job, due, over)

    def _blocked(self, job: Job, run: Run) -> str:
        """What holds the lock of `job`; empty where nothing does, and then `run` holds it."""
        with self._state:
            blocking = next((r.id for j, r in self._alive.values() if j.locked == job.locked), "")
            if not blocking:
                self._alive[run.id] = (job, run)
        return f"{blocking} still runs, and shares the lock {job.locked}" if blocking else ""

    def _lacking_any(self, job: Job) -> str:
        """What `job` needs and lacks; empty where it lacks nothing."""
        return next(filter(None, (self._lacking(job, need) for need in job.after)), "")

    def _lacking(self, job: Job, need: str) -> str:
        """Why the last run of `need` does not do; empty where it does."""
        last = self.history.last(need)
        if last is None:
            return f"{need} has never run"
        newer = next(self.schedule.job(need).times.after(last.due), None)
        if newer is not None and newer.at <= self.clock.now():
            return f"{need} was due at {iso_time(newer.at)} and has not run since"
        if last.state is not RunState.SUCCEEDED:
            return f"{need} {last.state}{': ' + last.reason if last.reason else ''}"
        old = self.clock.now() - last.ended
        return (
            f"{need} last succeeded at {iso_time(last.ended)}, not within {job.fresh}"
            if old > job.span("fresh")
            else ""
        )

    def _leave_out(self, run: Run, state: RunState, why: str) -> None:
        self._record(run.over(state, why, self.clock.now()))
        self.alerts.tell(self.clock.now(), run.job, run.id, f"{state}: {why}")

    # ---- one run ----------------------------------------------------------------------------------------------

    def attempt(self, job: Job, due: Due, number: int = 1) -> Run | None:
        """Run it once, now, and wait; None where the scheduler is stopped and the run does not end."""
        with self._runs(job, run_of(job, due, number)):
            return self._attempts.make(job, due, number)

    def once(self, job: Job, due: Due, number: int = 1) -> Run | None:
        """`attempt` for a person who waits: SIGTERM and SIGINT end the run in good order.

        :class:`WorkbenchError` for a live session that lacks what it needs, such as a green check.
        """
        self._attempts.refuse_over(job, due)
        if job.kind == "live" and (why := self._lacking_any(job)):
            raise WorkbenchError(f"{job.name} is not started: {why}. See to that first (`workbench schedule retry`)")
        with _signals(self._end):
            over = self.attempt(job, due, number)
        self.alerts.close()
        return over

    def _go_on(self, job: Job, run: Run) -> None:
        """Watch a run that lives already."""
        with self._runs(job, run):
            over = self._attempts.watch(run)
        self._afterwards(job, due_of(job, run), over)

    def _afterwards(self, job: Job, due: Due, over: Run | None) -> None:
        """What follows from how a run ended: a candidate is put in force, or it is tried again."""
        while over is not None:
            if over.state is RunState.SUCCEEDED and job.promote:
                self._promote(job, over)
            if not self._again(job, over):
                return
            run = run_of(job, due, over.attempt + 1)
            while self._blocked(job, run):
                if self._end.wait(LOOK_S):
                    return
            with self._runs(job, run):
                if self._end.is_set() or self.history.known(run.id):  # a person has tried meanwhile
                    return
                over = self.attempt(job, due, run.attempt)

    def _may_go_on(self, job: Job, over: Run) -> bool:
        """Whether a run that ended while no scheduler saw to it may be tried again: as long as it may still start."""
        late = self.clock.now() - over.due
        return over.state in RETRIED and over.attempt <= job.retries and late <= job.span("misfire")

    def _again(self, job: Job, over: Run) -> bool:
        """Whether to try again after `over`, once the wait for it is over."""
        if over.state is RunState.SUCCEEDED:
            return False
        left = job.retries - over.attempt + 1 if over.state in RETRIED else 0
        wait = job.span("backoff") * 2 ** (over.attempt - 1)
        told = f"; tried again in {wait / NS_PER_MINUTE:g} min" if left > 0 else ""
        self.alerts.tell(self.clock.now(), job.name, over.id, f"{over.state}: {over.reason}{told}")
        again = self.clock.now() + wait
        while left > 0 and self.clock.now() < again:
            if not self._wait(over, again):
                return False
        return left > 0

    def _wait(self, run: Run, until: int, seen: int | None = None) -> bool:
        """A moment; False where the scheduler ends. A rehearsal may skip to `until`, unless the state of things is
        another one than the `seen`, which was not enough."""
        with self._state:
            self._waiting[run.id] = until, seen
        ends = self._end.wait(LOOK_S)
        with self._state:
            del self._waiting[run.id]
        return not ends

    def _workspace(self, job: Job) -> Path:
        return Path(self.schedule.desk.notebooks) / str(job.parameters["workspace"])

    def _promote(self, job: Job, over: Run) -> None:
        """Put the candidate that the job left in force, if it is green; either way people are told."""
        try:
            done = promote_if_green(self._workspace(job))
            told = "nothing to promote: the candidate trades already" if done is None else f"promoted {done['bundle']}"
        except WorkbenchError as error:
            told = f"not promoted: {error}"
        self.alerts.tell(self.clock.now(), job.name, over.id, told)

    @contextlib.contextmanager
    def _runs(self, job: Job, run: Run) -> Iterator[None]:
        with self._state:
            self._alive[run.id] = (job, run)
        try:
            yield
        finally:
            with self._state:
                self._alive.pop(run.id, None)
                self._changes += 1

    def _take_over(self, run: Run) -> None:
        """A run that another scheduler started: watch it on, or say what became of it.

        What is no job of the schedule, or of it no more, is seen to by whoever runs it as long as it lives.
        """
        job = next((job for job in self.schedule.jobs if job.name == run.job), None)
        if is_running(Path(run.folder)):
            if job is not None:
                with self._state:
                    self._alive[run.id] = (job, run)
                self._spawn(job.name, self._go_on, job, run)
            return
        over = ended(run, self.clock.now())
        self._record(over)
        if job is not None and (over.state is RunState.SUCCEEDED or self._may_go_on(job, over)):
            self._spawn(job.name, self._afterwards, job, due_of(job, over), over)
        elif over.state is not RunState.SUCCEEDED:
            self.alerts.tell(self.clock.now(), run.job, run.id, f"{over.state}: {over.reason}")

    def _record(self, run: Run) -> None:
        self.history.record(run, self.clock.now())
        with self._state:
            self._changes += 1


@contextlib.contextmanager
def _signals(end: threading.Event) -> Iterator[None]:
    """SIGTERM and SIGINT set `end` in this block."""
    before = {s: signal.signal(s, lambda *_: end.set()) for s in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for which, handler in before.items():
            signal.signal(which, handler)
