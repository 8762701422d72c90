"""The research page: what a job's folder holds, through the same views as in the notebooks, and bundles side by side.

What is shown is loaded once per process and shared (see :mod:`workbench.dash.studies`); views are of one browser
session, and a tab that nobody opens costs nothing. The page runs no step of the job: what is missing or out of date is
told together with the command that makes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import panel as pn

from workbench.core.errors import ConfigError
from workbench.dash.bundles_panel import BundlesPanel
from workbench.dash.settings import DashSettings
from workbench.dash.studies import DAMAGED, SHELF, GoneError, Study, card_of, load, unfold
from workbench.engine.recall import Recall
from workbench.widgets import style
from workbench.widgets.backtest import BacktestView
from workbench.widgets.base import StageView
from workbench.widgets.blender import BlenderView
from workbench.widgets.costs import CostView
from workbench.widgets.gate import GateView
from workbench.widgets.models import ModelsView
from workbench.widgets.sizing import SizingView
from workbench.widgets.workspace import WorkspaceView

if TYPE_CHECKING:
    from workbench.dash.access import Person

CONFIG, COMPARE = "config.toml", "Compare"
DEMO = "`workbench demo --out {0}` makes one on a simulated market, `workbench run --data FILE --out {0}` on your bars."
STEP = "`workbench {0} --out {1}` makes it; it goes on where it was interrupted, and keeps what is up to date."


Shown = tuple[pn.viewable.Viewable, ...]
"""What stands in a tab, from top to bottom."""


class Tab(NamedTuple):
    """A tab: its title, what makes its view, and the step of the job that makes what it shows."""

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
    """The view with the backtest's decisions; without them, and why, where there are none."""
    try:
        recall = study.recall
    except DAMAGED as error:
        remedy = STEP.format("backtest", study.job.ws.root)
        return card_of(error, "Shown without a backtest", remedy), make(None)
    return (make(recall),)


def _backtest(study: Study) -> Shown:
    recall = study.recall
    return (BacktestView(recall.result, other=study.run("naive"), recall=recall),)


TABS = (
    Tab("Overview", lambda study: (WorkspaceView(study.job),), "simulate"),
    Tab("Zoo", lambda study: (ModelsView(study.oofs, cells=study.cells),), "train"),
    Tab("Blenders", lambda study: (BlenderView(study.stages.blender, oofs=study.oofs),), "calibrate"),
    Tab("Reliability", _reliability, "calibrate"),
    Tab("Costs", _costs, "calibrate"),
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
            return TABS[number].make(study)
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
        root, step = self.folder.value, TABS[number].step if number < len(TABS) else "calibrate"
        title = TABS[number].title if number < len(TABS) else COMPARE
        if not (root / CONFIG).is_file():
            return card_of(ConfigError(f"{root} holds no job."), title, DEMO.format(root))
        return card_of(error, f"{title}: nothing to show", STEP.format(step, root))
