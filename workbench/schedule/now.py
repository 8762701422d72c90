"""One notebook now, recorded as a scheduled run is."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from workbench.core.calendar import exchange_sessions, iso_date
from workbench.schedule.history import JOURNAL, History, Run
from workbench.schedule.parameters import from_words
from workbench.schedule.plan import Desk, Job, Schedule
from workbench.schedule.scheduler import Scheduler
from workbench.schedule.times import Due

NAME = "run-notebook"


def run_now(notebook: str, words: Mapping[str, str], desk: Path) -> Run | None:
    """Run a notebook (its path, or its name in ``notebooks``) with parameters as words; how the run ended.

    :class:`~workbench.core.errors.ConfigError` for a notebook or a parameter that is not there or does not fit.
    """
    path = Path(notebook if "/" in notebook or notebook.endswith(".ipynb") else f"notebooks/{notebook}.ipynb").resolve()
    given = from_words(path, words)
    now = time.time_ns()
    job = Job(name=NAME, notebooks=(path.stem,), cron="0 0 1 1 *", lock=f"{NAME}-{now}", parameters=given)
    schedule = Schedule(desk=Desk(folder=str(desk.resolve()), notebooks=str(path.parent)), jobs=(job,))
    with History(desk / JOURNAL) as history:
        return Scheduler(schedule, history).once(job, _now(now))


def _now(now: int) -> Due:
    """Due now, counted from the last session that opened."""
    every = exchange_sessions()
    i = int(np.searchsorted(every.open_ns, now, side="right")) - 1
    return Due(now, *(iso_date(int(every.date[j])) for j in (i, i - 1, i + 1)))
