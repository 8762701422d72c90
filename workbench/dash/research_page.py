"""The research page: what a job's folder holds, through the same views as in the notebooks, and bundles side by side.

What is shown is loaded once per process and shared (see :mod:`workbench.dash.studies`); views are of one browser
session, and a tab that nobody opens costs nothing. The page runs no step of the job: what is out of date is shown
below a warning, and what is missing is told, together with the commands that make it.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import panel as pn

from workbench.core.errors import ConfigError
from workbench.dash.bundles_panel import BundlesPanel
from workbench.dash.settings import DashSettings
from workbench.dash.studies import DAMAGED, SHELF, GoneError, Study, card_of, load, told_of, unfold
from workbench.engine.recall import Recall
from workbench.research.job import Job
from workbench.research.workspace import Workspace
from workbench.widgets import html, style
from workbench.widgets.backtest import BacktestView
from workbench.widgets.base import StageView
from workbench.widgets.blender import BlenderView
from workbench.widgets.costs import CostView
from workbench.widgets.gate import GateView
from workbench.widgets.models import ModelsView
from workbench.widgets.sizing import SizingView
from workbench.widgets.workspace import ORDER, WorkspaceView, states

if TYPE_CHECKING:
    from workbench.dash.access import Person

CONFIG, COMPARE = "config.toml", "Compare"
DEMO = "`workbench demo --out {0}` makes one on a simulated market, `workbench run --data FILE --out {0}` on your bars."
STEP = "`workbench {0} --out {1}` makes it; it goes on where it was interrupted, and keeps what is up to date."
MADE = {
    "train": "The models are", "blend": "The blenders are", "calibrate": "The gates are", "backtest": "The backtest is"
}  # fmt: skip
"""Step of the job -> how a sentence about what it makes begins."""


Shown = tuple[pn.viewable.Viewable, ...]
"""What stands in a tab, from top to bottom."""


class Tab(NamedTuple):
    """A tab: its title, what makes its view, and the last step of the job that it needs; empty: none."""

    title: str
    make: Callable[[Study], Shown]
    step: str


def _reliability(study: Study) -> Shown:
    s, known = study.stages, {"oofs": study.oofs, "stack": study.stacks}
    return _with_backtest(study, lambda recall: GateView(s.gate, blender=s.blender, recall=recall, **known))


def _costs(study: Study) -> Shown:
    s, oofs = study.stages, study.oofs
    return _with_backtest(study, lambda recall: CostView(s.arbitrator, oofs=oofs, blender=s.blender, recall=recall))


def _with_backtest(study: Study, make: Callable[[Recall | None], StageView]) -> Shown:
    """The view with the backtest's decisions; without them, and why, where they cannot be had."""
    try:
        recall = study.recall
    except DAMAGED as error:
        return card_of(error, "Shown without the decisions of the backtest", *_remedy(study)), _unhinted(make(None))
    return (make(recall),)


def _remedy(study: Study) -> tuple[str, ...]:
    """How the backtest is made again, unless that is told already."""
    return () if advice(study.job, "backtest") else (STEP.format("backtest", study.job.ws.root),)


def _unhinted(view: Any) -> StageView:
    """`view`, which says nothing about code that somebody at a browser cannot write."""
    view.hints = False
    made: StageView = view
    return made


def _overview(study: Study) -> Shown:
    view = WorkspaceView(study.job)
    view.turns = ()  # the page has a button of its own that reads everything anew
    return (view,)


def _backtest(study: Study) -> Shown:
    result, other = study.base, study.naive
    return _with_backtest(study, lambda recall: BacktestView(result, other=other, recall=recall))


TABS = (
    Tab("Overview", _overview, ""),
    Tab("Zoo", lambda study: (ModelsView(study.oofs, cells=study.cells),), "train"),
    Tab("Blenders", lambda study: (BlenderView(study.stages.blender, oofs=study.oofs),), "calibrate"),
    Tab("Reliability", _reliability, "backtest"),
    Tab("Costs", _costs, "backtest"),
    Tab("Sizing", lambda study: (SizingView(study.stages.sizer, recall=study.recall),), "backtest"),
    Tab("Backtest", _backtest, "backtest"),
)


def page(settings: DashSettings, person: Person) -> pn.viewable.Viewable:
    """What stands under the frame's header: choose a job, then look at it. Everybody may: nothing here acts."""
    made = ResearchPage(settings)
    if pn.state.curdoc is not None:
        pn.state.onload(made.open)
        pn.state.on_session_destroyed(lambda _: made.leave())
    return made.layout


def advice(job: Job, last: str) -> str:
    """What must be made anew before everything up to the step `last` is current, and how; empty where it is."""
    root, found, order = shlex.quote(str(job.ws.root)), states(job), [step for step, _ in ORDER]
    if found["data"] != "done":
        return f"There are no bars yet: {DEMO.format(root)}"
    first = next((step for step in order[: order.index(last) + 1] if found[step] != "done"), None)
    if first is None:
        return ""
    why = "not made yet" if found[first] == "missing" else "of other settings, data or code"
    commands = " && ".join(f"workbench {step} --out {root}" for step in order[order.index(first) :])
    return f"{MADE[first]} {why}. `{commands}` makes all; each goes on where it was interrupted."


def jobs(first: Path) -> dict[str, Path]:
    """Name -> folder of every job beside `first`, which stands first even where there is none."""
    beside = (path.parent for path in sorted(first.parent.glob(f"*/{CONFIG}")))
    found = {path.resolve(): path for path in (first, *(p for p in beside if p.name != first.name))}
    return {path.name: path for path in found.values()}


class ResearchPage:
    """The tabs of one browser session. `open` is called when one is turned to, and loads what it shows."""

    def __init__(self, settings: DashSettings) -> None:
        style.apply()
        self.settings = settings
        self.folder = pn.widgets.Select(label="Workspace", options=jobs(settings.job), value=settings.job, width=240)
        self.again = pn.widgets.Button(label="Reload", description="Load what was made anew", align="end")
        self.places = [pn.Column(sizing_mode="stretch_width", margin=(12, 0)) for _ in range(len(TABS) + 1)]
        titles = (*(tab.title for tab in TABS), COMPARE)
        self.tabs = pn.Tabs(*zip(titles, self.places, strict=True), sizing_mode="stretch_width")
        self.layout = pn.Column(pn.Row(self.folder, self.again), self.tabs, sizing_mode="stretch_width")
        self.views: dict[int, Shown] = {}  # number of a tab -> what it shows
        self._opened: set[int] = set()
        self._study: Study | None = None
        self._turn = 0  # how often everything was dropped; what was asked for before is not wanted any more
        self._left = False
        self.folder.param.watch(self.renew, "value")
        self.again.on_click(self.renew)
        self.tabs.param.watch(self.open, "active")

    def leave(self) -> None:
        """The browser has gone: nothing is wanted any more."""
        self._left = True

    async def renew(self, *_: Any) -> None:
        """Drop what is shown, and load the open tab."""
        self._turn += 1
        self._drop(range(len(self.places)))
        await self.open()

    async def open(self, *_: Any) -> None:
        """Fill the tab that is turned to, if it is not."""
        number = int(self.tabs.active)
        for k, place in enumerate(self.places):
            place.visible = k == number  # hidden tabs would still make the page as long as the longest of them
        if number in self._opened:
            return
        self._opened.add(number)
        turn, place, folder, found = self._turn, self.places[number], self.folder.value, list[Study]()

        def work() -> Shown:
            found.append(SHELF.study(folder))
            return self._view(number, found[0])

        def told() -> str:
            return found[0].doing.text if found else ""

        def wanted() -> bool:
            return not self._left and turn == self._turn

        try:
            shown = await load(place, work, told, wanted)
        except GoneError:
            return
        except DAMAGED as error:
            self._opened.discard(number)  # to be tried again when somebody turns to it
            place.objects = [self._missing(number, error)]
            return
        self._keep(number, found[0])
        self.views[number] = shown
        await unfold(place, *shown)
        if isinstance(shown[0], BundlesPanel):
            await shown[0].show()

    def _view(self, number: int, study: Study) -> Shown:
        if number < len(TABS):
            tab = TABS[number]
            made = tab.make(study)
            told = advice(study.job, tab.step) if tab.step else ""
            return (_outdated(told), *made) if told else made
        return (BundlesPanel(self.settings, study.job.ws, lambda: not self._left),)

    def _keep(self, number: int, study: Study) -> None:
        """Tabs that show older results than this one are loaded again when they are turned to."""
        if self._study is not None and self._study is not study:
            self._drop(k for k in range(len(self.places)) if k != number)
        self._study = study

    def _drop(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            self._opened.discard(number)
            self.views.pop(number, None)
            self.places[number].objects = []

    def _missing(self, number: int, error: Exception) -> pn.viewable.Viewable:
        root, title = self.folder.value, TABS[number].title if number < len(TABS) else COMPARE
        if not (root / CONFIG).is_file():
            return card_of(ConfigError(f"{root} holds no job."), title, DEMO.format(root))
        step = TABS[number].step if number < len(TABS) else "calibrate"
        return _missing(title, error, root, step or "train")


def _missing(title: str, error: Exception, root: Path, step: str) -> pn.viewable.Viewable:
    """A card instead of a view: what is to be made, or where that is not the reason, what is wrong."""
    title, remedy = f"{title}: nothing to show", STEP.format(step, root)
    try:
        job = Job(Workspace.existing(root))
        told, there = advice(job, step), step in job.ws.records
    except DAMAGED:
        return card_of(error, title, remedy)
    if not told:
        return card_of(error, title, remedy)
    said = (html.error(told_of(error)),) if there else ()
    return pn.pane.HTML(html.card(title, "", *said, html.note(told)), sizing_mode="stretch_width")


def _outdated(told: str) -> pn.viewable.Viewable:
    """The warning above a result that is out of date."""
    shown = html.card("Out of date", "What is shown below is what was made then.", html.note(told))
    return pn.pane.HTML(shown, sizing_mode="stretch_width")
