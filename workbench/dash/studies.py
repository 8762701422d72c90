"""What research left in the folders of jobs, loaded by threads of this module and shared by all browser sessions."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import panel as pn

from workbench.analysis.what_if import WhatIf
from workbench.analysis.zoo import ZooCell
from workbench.artifacts import load_bundle
from workbench.core.digest import digest
from workbench.core.errors import WorkbenchError
from workbench.core.results import BacktestResult
from workbench.core.types import OofForecasts
from workbench.decision.pipeline import Stages
from workbench.engine.recall import Recall
from workbench.progress import Report, shown_by
from workbench.research import steps
from workbench.research.job import Job
from workbench.research.results_io import load_books, load_result
from workbench.research.workspace import Workspace
from workbench.stats.stack import BarrierStack
from workbench.widgets import html
from workbench.widgets.base import StageView, Text

T = TypeVar("T")
COMMAND = "`workbench "
"""How a command begins in the text of an error."""

WIDE = 1500
"""Pixels at which figures stop to grow with the window."""
READERS = ThreadPoolExecutor(2, thread_name_prefix="research")
"""Threads that load: they live as long as the process, whatever page asked."""
KEPT = 2
"""Jobs whose results stay in memory: the last ones that were looked at."""
POLL_S = 0.2
LONG_S = 2.0
"""Seconds after which the time that a piece of work takes is told too."""
DAMAGED = (WorkbenchError, OSError, LookupError, ValueError, TypeError)
"""What reading results can raise: missing, out of date or unreadable, or not of the form that they were saved in."""


class Doing:
    """What is being done right now, in words; may be read from any thread."""

    def __init__(self) -> None:
        self.text = ""

    @contextmanager
    def listen(self, title: str) -> Iterator[Report]:
        """A :data:`~workbench.progress.Listener`."""
        before, self.text = self.text, title

        def report(done: int, total: int, text: str) -> None:
            self.text = f"{title}: {f'{done} of {total} ' if total else ''}{text}"

        try:
            yield report
        finally:
            self.text = before


class SharedRecall(Recall):
    """A recall whose decisions of the whole backtest are made again once, for all who ask."""

    @cached_property
    def every(self) -> WhatIf:
        """All decisions."""
        return super().what_if()

    def what_if(self, rows: Any = None) -> WhatIf:
        """As of a recall."""
        return self.every if rows is None else super().what_if(rows)


class Study:
    """The results of `job`. Each piece is read when it is first asked for, one at a time; thread safe.

    What is out of date is read, too: :func:`workbench.widgets.workspace.states` tells. Every piece raises
    :class:`~workbench.core.errors.WorkbenchError` where it is missing or damaged, the recall also where its decisions
    cannot be made again bit for bit.
    """

    def __init__(self, job: Job) -> None:
        self.job, self.doing = job, Doing()
        self._made: dict[str, Any] = {}  # piece -> what was read
        self._lock = threading.RLock()

    @property
    def oofs(self) -> Mapping[str, OofForecasts]:
        """Out-of-fold forecasts by horizon."""
        return self._once("out-of-fold forecasts", lambda: steps.oofs(self.job))

    @property
    def cells(self) -> list[ZooCell]:
        """The zoo."""
        return self._once("the zoo", lambda: steps.zoo_cells(self.job))

    @property
    def stages(self) -> Stages:
        """The stages of the bundle that was calibrated last, with the settings of the job."""
        return self._once("the bundle", self._load_stages)

    @property
    def recall(self) -> SharedRecall:
        """The base run, every decision at hand."""
        return self._once("the backtest", self._load_recall)

    @property
    def stacks(self) -> Mapping[int, BarrierStack]:
        """Segment -> the barrier stack in force there."""
        return self._once("calibration of every segment", lambda: steps.stacks(self.job))

    @property
    def base(self) -> BacktestResult:
        """The run at 1x the spread, or the nearest to it."""
        return self._run(steps.base_multiplier(self.job))

    @property
    def naive(self) -> BacktestResult:
        """The run without costs."""
        return self._run("naive")

    def _run(self, spread: float | str) -> BacktestResult:
        self.job.ws.outcome("backtest")
        return self._once(f"the run at {spread}", lambda: load_result(steps.backtest_files(self.job)[spread]))

    def _once(self, what: str, make: Callable[[], T]) -> T:
        with self._lock:
            if what not in self._made:
                with shown_by(self.doing.listen), self.doing.listen(what):
                    self._made[what] = make()
            made: T = self._made[what]
            return made

    def _load_stages(self) -> Stages:
        ws = self.job.ws
        bundle = load_bundle(ws.models_dir, ws.blenders_dir, wanted=ws.outcome("calibrate")["bundle"])
        return bundle.stages(self.job.settings)

    def _load_recall(self) -> SharedRecall:
        job, result = self.job, self.base
        books = load_books(steps.books_file(job))
        shared = SharedRecall(result, job.history, steps.tranches(job), job.settings, books)
        with self.doing.listen("every decision of the backtest, again"):
            shared.every  # noqa: B018  seconds, which nobody should wait for while a figure is drawn
        return shared


class Shelf:
    """Job folder -> the study of its newest results; those of the `kept` folders that were asked for last."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._studies: OrderedDict[Path, tuple[str, Study]] = OrderedDict()
        self._lock = threading.Lock()

    def study(self, folder: Path) -> Study:
        """The same one for everybody until a step of the job is run again or its settings change.

        :class:`~workbench.core.errors.ConfigError` where there is no job in `folder`.
        """
        job = Job(Workspace.existing(folder))
        stamp = digest(job.settings.digest, job.ws.records)
        with self._lock:
            found = self._studies.get(folder)
            if found is None or found[0] != stamp:
                found = self._studies[folder] = (stamp, Study(job))
            self._studies.move_to_end(folder)
            while len(self._studies) > self._kept:
                self._studies.popitem(last=False)
            return found[1]


SHELF = Shelf()
"""The studies of this process."""


class GoneError(Exception):
    """Nobody waits any more for what was being loaded."""


async def load(place: pn.Column, work: Callable[[], T], told: Callable[[], str], wanted: Callable[[], bool]) -> T:
    """The result of `work`, done by a reader; until then `place` shows a spinner with what `told` says.

    Nothing of this waits in the server's loop. What `work` raises is raised here; :class:`GoneError` as soon as it is
    not `wanted` any more, and work that has not begun by then never begins.
    """
    text, began = Text(_waiting("loading"), margin=(2, 0)), time.monotonic()
    place.objects = [pn.Row(pn.indicators.LoadingSpinner(value=True, size=22, margin=(4, 10)), text)]
    task = asyncio.get_running_loop().run_in_executor(READERS, work)
    while not task.done():
        await asyncio.wait([task], timeout=POLL_S)
        if not wanted():
            task.cancel()
            raise GoneError
        if text.object != (shown := _waiting(told() or "loading", time.monotonic() - began)):
            text.object = shown
    place.objects = [pn.pane.HTML(html.card("", "", html.error("This failed; the log of the server says why.")))]
    made = task.result()
    place.objects = []
    return made


def card_of(error: Exception, title: str, *remedies: str) -> pn.viewable.Viewable:
    """What cannot be shown and why; the commands that help, where the error itself names none."""
    notes, told = getattr(error, "__notes__", []), told_of(error)
    helped = COMMAND in "".join((told, *notes))
    said = (html.error(told, notes), *(() if helped else map(html.note, remedies)))
    return pn.pane.HTML(html.card(title, "", *said), sizing_mode="stretch_width")


def told_of(error: Exception) -> str:
    """An error of :data:`DAMAGED` in words."""
    return str(error) if isinstance(error, WorkbenchError) else f"a result cannot be read ({error!r})"


async def unfold(place: pn.Column, *shown: pn.viewable.Viewable) -> None:
    """Put `shown` into `place`; the body of a view piece by piece, so that others are served in between."""
    for one in shown:
        body = one.shown() if isinstance(one, StageView) else None
        pieces = list(body.objects) if isinstance(body, pn.Column) else []
        if pieces:
            body.objects = []
        laid = one.__panel__() if isinstance(one, StageView) else one
        laid.max_width = WIDE
        place.append(laid)
        for piece in pieces:
            await asyncio.sleep(0)
            body.append(piece)


def _waiting(what: str, seconds: float = 0.0) -> str:
    took = f" ({seconds:.0f} s)" if seconds >= LONG_S else ""
    return html.caption(f"{what[:1].upper()}{what[1:]} …{took}")
