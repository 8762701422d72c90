"""The walk at a glance: which stages are done, what the store holds, which bundles, backtests and sessions exist."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import panel as pn
import param

from workbench.artifacts.bundle import BLENDER_FORMAT, BLENDER_VERSION
from workbench.artifacts.models import MODELS_FORMAT, MODELS_VERSION
from workbench.artifacts.signing import SIGNATURES
from workbench.artifacts.verified import CURRENT, read_folder
from workbench.core.calendar import iso_date, iso_time
from workbench.core.errors import WorkbenchError
from workbench.engine.codec import live_codec
from workbench.engine.process import JOURNAL
from workbench.journal import SqlJournal
from workbench.research import steps
from workbench.research.job import Job
from workbench.research.results_io import load_result
from workbench.research.workspace import Workspace
from workbench.widgets import html
from workbench.widgets.base import StageView
from workbench.widgets.market import store_card

State = Literal["done", "out of date", "missing"]
STYLES = {"done": "good", "out of date": "bad", "missing": "dim"}


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage of the walk: its `number`, the `notebook` that shows it, the `step` that makes it ("sessions": those in
    the journals), and whether that step is its `own`: two stages may come from one step."""

    number: int
    title: str
    notebook: str
    step: str
    own: bool = True


STAGES = (
    Stage(1, "Market data", "01_market_data", "data"),
    Stage(2, "Features and labels", "02_features_and_labels", "data", own=False),
    Stage(3, "Models", "03_train_models", "train"),
    Stage(4, "Blenders", "04_fit_blenders", "blend"),
    Stage(5, "Gates", "05_calibrate_gates", "calibrate"),
    Stage(6, "Costs and arbitration", "06_costs_and_arbitration", "blend", own=False),
    Stage(7, "Position sizing", "07_position_sizing", "calibrate", own=False),
    Stage(8, "Backtest", "08_backtest", "backtest"),
    Stage(9, "Live session", "09_live_session", "sessions"),
    Stage(10, "Session report", "10_session_report", "sessions", own=False),
)
ORDER: tuple[tuple[str, Callable[[Job], Any]], ...] = (
    ("train", steps.train), ("blend", steps.blend), ("calibrate", steps.calibrate), ("backtest", steps.backtest),
)  # fmt: skip
"""The steps after the data, each of which needs the one before."""


class WorkspaceView(StageView):
    """The workspace of a :class:`Job`. Reads what is there, makes nothing."""

    title = "Workspace"
    turns = ("look",)

    look = param.Event(label="Look again", doc="Read the workspace anew")

    def __init__(self, job: Job, **params: Any) -> None:
        super().__init__(**params)
        self.job = job

    def heading(self) -> str:
        return html.card("The walk at a glance", f"workspace {self.job.ws.root.name}")

    def body(self) -> pn.viewable.Viewable:
        texts = (self.stages, self.store, self.bundles, self.backtests, self.sessions)
        return pn.Column(*(self.text(t) for t in texts), sizing_mode="stretch_width")

    @param.depends("look")
    def stages(self) -> str:
        """The ten stages with their state."""
        return html.card("Stages", _summary(states(self.job)), stage_table(self.job))

    @param.depends("look")
    def store(self) -> str:
        """The bars."""
        if not (self.job.ws.store_dir / "meta.json").is_file():
            return html.card("Store", "no bars yet", html.note("01_market_data.ipynb fills it."))
        return store_card(self.job.store)

    @param.depends("look")
    def bundles(self) -> str:
        """Models and blenders that were saved, every byte verified."""
        rows = list(bundle_rows(self.job))
        if not rows:
            return html.card("Bundles", "none yet: 03_train_models.ipynb and 05_calibrate_gates.ipynb save them")
        columns = ("kind", "id", "origin", "knows labels until", "holds", "state")
        told = "what a live system loads: models, and the blender, gates, costs and sizing that were fitted on them"
        return html.card("Bundles", told, html.table(columns, rows, left=columns))

    @param.depends("look")
    def backtests(self) -> str:
        """The runs that were saved."""
        rows = list(backtest_rows(self.job.ws))
        if not rows:
            return html.card("Backtests", "none yet: 08_backtest.ipynb runs them")
        columns = ("run", "first", "last", "bars", "fills", "net return", "decisions")
        told = "after costs, but for the naive one (fills at the mid, no costs); the multiplier is that of the spread"
        return html.card("Backtests", told, html.table(columns, rows, left=("first", "last", "decisions")))

    @param.depends("look")
    def sessions(self) -> str:
        """The live sessions in the journals of the workspace."""
        rows = list(session_rows(self.job.ws))
        if not rows:
            return html.card("Live sessions", "none yet: 09_live_session.ipynb trades one at the simulated gateway")
        columns = ("journal", "session", "kind", "first", "last", "entries")
        return html.card("Live sessions", "times are those of the clock they traded by, UTC",
                         html.table(columns, rows, left=columns[:-1]))  # fmt: skip


def card(job: Job) -> str:
    """What a job is, and how far it has come."""
    s, ws = job.settings, job.ws
    origin = ws.records.get("data", {}).get("outcome", {}).get("origin", "no bars yet")
    return html.card(f"Job: {ws.root.name}", _summary(states(job)), html.facts({
        "bars": origin, "profile": s.training.profile, "families": ", ".join(s.training.families),
        "strategies": ", ".join(s.training.strategies), "research sees until": s.data.until or "the last bar",
        "settings": s.digest[:16],
    }), stage_table(job))  # fmt: skip


# ---- states -----------------------------------------------------------------------------------------------------


def states(job: Job) -> dict[str, State]:
    """Step -> its state. A step is out of date when its inputs, the code, or a step that it needs have changed."""
    records = job.ws.records
    found: dict[str, State] = {"data": "done" if "data" in records else "missing"}
    fresh = "data" in records
    for step, call in ORDER:
        fresh = fresh and _is_current(job, call)
        found[step] = "done" if fresh else "out of date" if step in records else "missing"
    return found | {"sessions": "done" if journals(job.ws) else "missing"}


class _Answer(Exception):
    """Carries whether the step that was asked about is current."""

    def __init__(self, current: bool) -> None:
        super().__init__()
        self.current = current


class _Asked:
    """A workspace that answers whether a step is current, where another would run it."""

    def __init__(self, ws: Workspace) -> None:
        self._ws = ws

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ws, name)

    def run(self, step: str, inputs: Any, work: Any, made: tuple[Path, ...] = (), intact: Any = None) -> Any:
        raise _Answer(self._ws.is_current(step, inputs) and all(p.exists() for p in made))


def _is_current(job: Job, call: Callable[[Job], Any]) -> bool:
    asked = copy.copy(job)
    asked.ws = _Asked(job.ws)  # type: ignore[assignment]
    try:
        call(asked)
    except _Answer as answer:
        return answer.current
    except WorkbenchError:  # a step that it needs is missing or out of date
        return False
    raise AssertionError("a step must ask its workspace to run it")


# ---- tables -----------------------------------------------------------------------------------------------------


def stage_table(job: Job) -> str:
    """The ten stages: state, seconds, what they left, and their notebook."""
    found, records = states(job), job.ws.records
    rows = []
    for s in STAGES:
        record = records.get(s.step, {})
        seconds = f"{record['seconds']:.1f} s" if record and s.own else html.DASH
        left = _left(s, record["outcome"]) if record else _told(s, found[s.step])
        state = html.mark(found[s.step], STYLES[found[s.step]])
        rows.append((f"{s.number} {s.title}", state, seconds, left, s.notebook))
    return html.table(("stage", "state", "took", "left", "notebook"), rows, left=("state", "left", "notebook"))


def _told(stage: Stage, state: State) -> str:
    """What a stage without a record left."""
    told = {9: "journals of live sessions", 10: "read from the journal when asked for, never saved"}
    return told.get(stage.number, "") if state == "done" else ""


def _summary(found: Mapping[str, State]) -> str:
    done = sum(found[s.step] == "done" for s in STAGES)
    if done == len(STAGES):
        return "every stage is done and up to date"
    following = next(s for s in STAGES if found[s.step] != "done")
    return f"{done} of {len(STAGES)} stages done; next: {following.notebook}.ipynb"


def _left(stage: Stage, o: Mapping[str, Any]) -> str:
    """What a stage left, in a few words."""
    try:
        return _in_words(stage, o)
    except KeyError as error:
        return f"recorded by another version of workbench, which told no {error}: run it again"


def _in_words(stage: Stage, o: Mapping[str, Any]) -> str:
    match stage.number:
        case 1 if o.get("origin") == "embedded":
            return f"embedded market: {o['symbols']} symbols, {o['sessions']} sessions"
        case 1:
            return f"bars of {o.get('origin', html.DASH)}"
        case 2:
            return "computed from the bars when asked for, never saved"
        case 3:
            return f"models {o['models']}: {o['beat_a_constant']} of {o['cells']} cells beat a constant"
        case 4:
            silent = sum(bool(h["abstains"]) for h in o["horizons"].values())
            return f"weights of {len(o['horizons'])} horizons" + (f", {silent} of which abstain" if silent else "")
        case 5:
            return f"bundle {o['bundle']}"
        case 6:
            return ", ".join(f"{k} {o['costs'][k]:.3g}" for k in ("k1", "k2", "k3"))
        case 7:
            return f"in bundle {o['bundle']}"
        case 8:
            return f"{o['first']} to {o['last']}, net {html.percent(o['net_return'], 2)}"
        case _:
            raise AssertionError(f"stage {stage.number} leaves no record")


def bundle_rows(job: Job) -> Iterator[tuple[Any, ...]]:
    """(kind, id, origin, until, what it holds, state) of each bundle; a damaged one says so."""
    ws, found = job.ws, states(job)
    kinds = (
        ("models", ws.models_dir, MODELS_FORMAT, MODELS_VERSION, found["train"]),
        ("blender", ws.blenders_dir, BLENDER_FORMAT, BLENDER_VERSION, found["calibrate"]),
    )
    for kind, root, form, version, made in kinds:
        current = (root / CURRENT).read_text(encoding="utf-8").strip() if (root / CURRENT).is_file() else ""
        for path in sorted(p for p in root.glob("[!.]*") if p.is_dir() and p.name != SIGNATURES):
            try:
                about = read_folder(path, form, version).manifest
            except WorkbenchError as error:
                yield kind, path.name, html.DASH, html.DASH, html.DASH, html.mark(str(error), "bad")
                continue
            newest = ("current, out of date", "bad") if made == "out of date" else ("current", "good")
            state = html.mark(*newest if path.name == current else ("earlier", "dim"))
            until = iso_time(int(about["fitted_until"])) if "fitted_until" in about else html.DASH
            holds = f"{len(about['models'])} models" if kind == "models" else f"stages for models {about['models']}"
            yield kind, path.name, about["data_origin"], until, holds, state


def backtest_rows(ws: Workspace) -> Iterator[tuple[Any, ...]]:
    """(label, first, last, bars, fills, net return, digest) of each saved run."""
    for path in sorted(p for p in ws.backtest_dir.glob("*.npz") if not p.stem.endswith(".books")):
        try:
            r = load_result(path)
        except WorkbenchError as error:
            yield path.name, html.DASH, html.DASH, math.nan, math.nan, html.mark(str(error), "bad"), html.DASH
            continue
        if not len(r.ts):
            yield r.label, html.DASH, html.DASH, 0, 0, html.DASH, r.digest[:16]
            continue
        net = float(r.nav[-1] / r.start_nav - 1)
        yield (r.label, iso_date(int(r.session[0])), iso_date(int(r.session[-1])), len(r.ts), len(r.fills),
               html.percent(net, 2), r.digest[:16])  # fmt: skip


def session_rows(ws: Workspace) -> Iterator[tuple[Any, ...]]:
    """(journal's folder, session, kind, first, last, entries) of each session in a journal of the workspace."""
    for path in journals(ws):
        with SqlJournal(path, read_only=True, codec=live_codec()) as journal:
            for s in journal.sessions():
                about = journal.last("engine", session=s.session)
                kind = str(about.payload["kind"]) if about else html.DASH
                yield (path.parent.name, s.session, kind, iso_time(s.first_known_at), iso_time(s.last_known_at),
                       s.entries)  # fmt: skip


def journals(ws: Workspace) -> list[Path]:
    """The journals of engines that traded in the workspace."""
    return sorted((*ws.root.glob(JOURNAL), *ws.root.glob(f"*/{JOURNAL}")))
