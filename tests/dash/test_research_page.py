"""The research page without a browser: what is loaded when, for whom, and what stands where something is missing."""

from __future__ import annotations

import asyncio
import copy
import json
import re
import shutil
import threading
from html import unescape
from pathlib import Path

import panel as pn
import param
import pytest

from workbench.artifacts import load_bundle, save_blender
from workbench.core.errors import ConfigError
from workbench.dash.bundles_panel import BundlesPanel, Place, candidates, trading
from workbench.dash.research_page import COMPARE, TABS, ResearchPage, jobs, page
from workbench.dash.settings import DashSettings
from workbench.dash.studies import SHELF, Doing, GoneError, Shelf, load
from workbench.engine.codec import live_codec
from workbench.engine.plan import EnginePlan
from workbench.journal import SqlJournal
from workbench.research import steps
from workbench.research.job import Job
from workbench.widgets.backtest import BacktestView
from workbench.widgets.blender import BlenderView
from workbench.widgets.bundles import BundlesView
from workbench.widgets.costs import CostView
from workbench.widgets.gate import GateView
from workbench.widgets.models import ModelsView
from workbench.widgets.sizing import SizingView
from workbench.widgets.workspace import WorkspaceView

VIEWS = {
    "Overview": WorkspaceView, "Zoo": ModelsView, "Blenders": BlenderView, "Reliability": GateView, "Costs": CostView,
    "Sizing": SizingView, "Backtest": BacktestView,
}  # fmt: skip
TITLES = [*(tab.title for tab in TABS), COMPARE]


def words(html: str) -> str:
    """The text of a piece of HTML."""
    return unescape(re.sub(r"\s+", " ", re.sub(r"<style>.*?</style>|<[^>]+>", " ", html, flags=re.S)).strip())


def settings_of(root: Path) -> DashSettings:
    return DashSettings(folder=root / "no_engine", job=root)


def turned(shown: ResearchPage, title: str) -> list:
    """The views in the tab `title` after a person turned to it."""
    with param.parameterized.discard_events(shown.tabs):
        shown.tabs.active = TITLES.index(title)
    asyncio.run(shown.open())
    return list(shown.views.get(TITLES.index(title), ()))


def told(shown: ResearchPage, title: str) -> str:
    """The text of the cards in the tab `title`."""
    turned(shown, title)
    return " ".join(words(o.object) for o in shown.places[TITLES.index(title)].objects if isinstance(o, pn.pane.HTML))


@pytest.fixture
def root(traded, tmp_path) -> Path:
    """A copy of the job, to be damaged."""
    copied = tmp_path / "jobs" / "mine"
    shutil.copytree(traded.job.ws.root, copied)
    return copied


# ---- tabs -------------------------------------------------------------------------------------------------------


def test_every_tab_shows_its_view(traded):
    shown = ResearchPage(settings_of(traded.job.ws.root))
    found = {title: [type(o) for o in turned(shown, title)] for title in VIEWS}
    assert found == {title: [view] for title, view in VIEWS.items()}


def test_the_backtest_opens_bars_to_their_receipts(traded):
    shown = ResearchPage(settings_of(traded.job.ws.root))
    view = turned(shown, "Backtest")[0]
    assert view.recall is not None
    assert view.recall.result.digest == traded.recall.result.digest
    assert view.other.label == "naive"


def test_a_tab_that_nobody_opens_costs_nothing(root):
    shown = ResearchPage(settings_of(root))
    assert all(not place.objects for place in shown.places)
    turned(shown, "Overview")
    assert [bool(place.objects) for place in shown.places] == [True] + [False] * len(VIEWS)
    assert SHELF.study(root)._made == {}


def test_only_the_open_tab_takes_room(traded):
    shown = ResearchPage(settings_of(traded.job.ws.root))
    turned(shown, "Zoo")
    assert [place.visible for place in shown.places].index(True) == TITLES.index("Zoo")
    assert sum(place.visible for place in shown.places) == 1


def test_results_are_read_once_for_all_browsers(root, monkeypatch):
    read = []
    real = steps.oofs
    monkeypatch.setattr(steps, "oofs", lambda job: read.append(job) or real(job))
    one, two = ResearchPage(settings_of(root)), ResearchPage(settings_of(root))
    views = [turned(shown, title)[0] for shown in (one, two) for title in ("Zoo", "Blenders")]
    assert len(read) == 1
    assert len({id(view) for view in views}) == 4


def test_a_step_run_again_is_seen(root):
    shown = ResearchPage(settings_of(root))
    before = SHELF.study(root)
    turned(shown, "Zoo")
    turned(shown, "Overview")
    records = json.loads((root / "steps.json").read_text())
    records["train"]["seconds"] += 1
    (root / "steps.json").write_text(json.dumps(records))
    assert SHELF.study(root) is not before
    turned(shown, "Blenders")
    assert not shown.places[TITLES.index("Zoo")].objects  # it showed what was there before


def test_reload_makes_the_open_tab_anew(root):
    shown = ResearchPage(settings_of(root))
    first = turned(shown, "Zoo")[0]
    asyncio.run(shown.renew())
    again = shown.views[TITLES.index("Zoo")][0]
    assert isinstance(again, ModelsView)
    assert again is not first


def test_jobs_beside_the_first_can_be_chosen(root):
    shutil.copytree(root, root.parent / "other")
    (root.parent / "not_a_job").mkdir()
    assert jobs(root) == {"mine": root, "other": root.parent / "other"}
    assert list(jobs(root.parent / "gone")) == ["gone", "mine", "other"]
    shown = ResearchPage(settings_of(root))
    with param.parameterized.discard_events(shown.folder):
        shown.folder.value = root.parent / "other"
    view = turned(shown, "Overview")[0]
    assert view.job.ws.root == root.parent / "other"


def test_a_page_without_a_server_is_made_all_the_same(traded):
    assert isinstance(page(settings_of(traded.job.ws.root), None), pn.Column)


# ---- what is missing --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("title", TITLES)
def test_no_job(tmp_path, title):
    shown = ResearchPage(settings_of(tmp_path / "none"))
    said = told(shown, title)
    assert said.startswith(
        f"{title} {tmp_path / 'none'} holds no job. `workbench demo --out {tmp_path / 'none'}` makes"
    )
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("title", "command"),
    [("Zoo", "train"), ("Blenders", "calibrate"), ("Reliability", "calibrate"), ("Costs", "backtest"),
     ("Sizing", "calibrate"), ("Backtest", "backtest"), (COMPARE, "calibrate")],
)  # fmt: skip
def test_steps_that_were_not_run_name_their_command(tmp_path, title, command):
    job = Job.open(tmp_path / "young")
    (job.ws.root / "steps.json").write_text(json.dumps({"data": {"inputs": "", "seconds": 1, "outcome": {}}}))
    shown = ResearchPage(settings_of(job.ws.root))
    if title == COMPARE:
        panel = turned(shown, title)[0]
        said = words(panel.place.objects[0].object)
    else:
        said = told(shown, title)
    assert f"workbench {command} --out {job.ws.root}" in said
    assert WorkspaceView in {type(o) for o in turned(shown, "Overview")}


def test_a_damaged_bundle_is_told(root):
    oof = next((root / "models").glob("*/oof/*.parquet"))
    oof.write_bytes(oof.read_bytes()[:-1] + b"x")
    said = told(ResearchPage(settings_of(root)), "Zoo")
    assert "was changed since it was saved" in said
    assert "`workbench train --out" in said


def test_damaged_records_are_told(root):
    (root / "steps.json").write_text("{")
    assert "steps.json is damaged" in told(ResearchPage(settings_of(root)), "Zoo")


def test_records_of_another_form_are_told(root):
    (root / "steps.json").write_text(json.dumps({"train": {"inputs": "", "seconds": 1, "outcome": {}}}))
    said = told(ResearchPage(settings_of(root)), "Zoo")
    assert "a result cannot be read (KeyError('models'))" in said
    assert "`workbench demo --out" in said


def outdate(root: Path, *chosen: str) -> None:
    """The records of the steps in `chosen` are of other code."""
    records = json.loads((root / "steps.json").read_text())
    for step in chosen:
        records[step]["inputs"] = "of other code"
    (root / "steps.json").write_text(json.dumps(records))


def test_a_backtest_out_of_date_is_shown_below_a_warning(root):
    outdate(root, "backtest")
    shown = ResearchPage(settings_of(root))
    said = told(shown, "Backtest")
    assert said.startswith("Out of date")
    assert "The backtest is of other settings, data or code. `workbench backtest --out" in said
    assert [type(o) for o in turned(shown, "Backtest")][1:] == [BacktestView]
    assert turned(shown, "Backtest")[1].recall is not None
    assert [type(o) for o in turned(shown, "Sizing")][1:] == [SizingView]
    assert [type(o) for o in turned(shown, "Costs")][1:] == [CostView]
    assert turned(shown, "Costs")[1].moments
    assert [type(o) for o in turned(shown, "Blenders")] == [BlenderView]


def test_the_first_step_that_is_out_of_date_is_named_with_the_commands_that_make_all(root):
    outdate(root, "blend", "backtest")
    shown = ResearchPage(settings_of(root))
    commands = " && ".join(f"workbench {step} --out {root}" for step in ("blend", "calibrate", "backtest"))
    for title in ("Blenders", "Reliability", "Costs", "Sizing", "Backtest"):
        said = told(shown, title)
        assert "The blenders are of other settings, data or code." in said, title
        assert f"`{commands}` makes all" in said
    assert [type(o) for o in turned(shown, "Zoo")] == [ModelsView]


def test_decisions_that_cannot_be_made_again_are_not_shown_and_nobody_is_told_to_write_code(root):
    outdate(root, "backtest")
    next((root / "backtest").glob("*.books.npz")).write_bytes(b"of another run")
    shown = ResearchPage(settings_of(root))
    for title, view in (("Backtest", BacktestView), ("Costs", CostView), ("Reliability", GateView)):
        assert "Shown without the decisions of the backtest" in told(shown, title)
        made = turned(shown, title)[-1]
        assert type(made) is view
        texts = [str(pane.object) for pane in made.shown().select(pn.pane.HTML)]
        assert not [text for text in texts if "recall" in text], title
    assert "Sizing: nothing to show" in told(shown, "Sizing")


def test_one_button_reads_the_overview_anew(traded):
    view = turned(ResearchPage(settings_of(traded.job.ws.root)), "Overview")[0]
    assert view.controls() == []


def test_what_failed_is_tried_again(tmp_path, traded):
    folder = tmp_path / "later"
    shown = ResearchPage(settings_of(folder))
    assert "holds no job" in told(shown, "Zoo")
    shutil.copytree(traded.job.ws.root, folder)
    assert [type(o) for o in turned(shown, "Zoo")] == [ModelsView]


# ---- loading ----------------------------------------------------------------------------------------------------


def test_the_loop_goes_on_while_something_loads():
    place, free = pn.Column(), threading.Event()
    seen = []

    def told_now() -> str:
        seen.append(place.objects[0][1].object)
        free.set()  # the work ends only if the loop comes here meanwhile
        return "counting: 3 of 9 bars"

    def work() -> str:
        assert free.wait(30)
        return "done"

    assert asyncio.run(load(place, work, told_now, lambda: True)) == "done"
    assert "Loading" in words(seen[0])
    assert list(place.objects) == []


def test_nobody_waits_any_more():
    place, free = pn.Column(), threading.Event()

    def wanted() -> bool:
        free.set()  # and the reader with it
        return False

    with pytest.raises(GoneError):
        asyncio.run(load(place, lambda: free.wait(30), lambda: "", wanted))


def test_what_is_being_done_is_told():
    doing = Doing()
    with doing.listen("stages") as outer:
        outer(1, 4, "segment 2")
        assert doing.text == "stages: 1 of 4 segment 2"
        with doing.listen("costs") as inner:
            inner(5, 0, "probes")
            assert doing.text == "costs: probes"
    assert doing.text == ""


def test_a_browser_that_has_gone_gets_nothing(traded, monkeypatch):
    """It goes while its first tab is loading; the reader ends only after the page has seen that nobody is there."""
    shown, free = ResearchPage(settings_of(traded.job.ws.root)), threading.Event()
    real = SHELF.study
    monkeypatch.setattr(SHELF, "study", lambda folder: free.wait(30) and real(folder))

    async def opened() -> None:
        shown.leave()
        await shown.open()
        free.set()

    asyncio.run(opened())
    assert shown.views == {}


def test_the_shelf_keeps_the_last_ones(root):
    for name in ("b", "c"):
        shutil.copytree(root, root.parent / name)
    shelf = Shelf(kept=2)
    first = shelf.study(root)
    shelf.study(root.parent / "b")
    assert shelf.study(root) is first
    shelf.study(root.parent / "c")
    assert shelf.study(root) is first  # b was used longest ago
    assert len(shelf._studies) == 2
    with pytest.raises(ConfigError, match="is no workspace"):
        shelf.study(root / "nothing")


def test_looking_changes_no_file(root):
    before = {p: p.stat().st_mtime_ns for p in root.rglob("*") if p.is_file()}
    shown = ResearchPage(settings_of(root))
    for title in TITLES:
        turned(shown, title)
    assert {p: p.stat().st_mtime_ns for p in root.rglob("*") if p.is_file()} == before


# ---- bundles ----------------------------------------------------------------------------------------------------


@pytest.fixture
def second(root) -> str:
    """Id of another bundle of the same models in the job; the one that was current stays so."""
    ws = Job.open(root).ws
    first = load_bundle(ws.models_dir, ws.blenders_dir)
    parts = copy.deepcopy(dict(first.parts))
    parts["costs"]["k"][0] = 0.25
    made = save_blender(ws.blenders_dir, ws.models_dir, first.models.id, parts, fitted_until=first.fitted_until)
    (ws.blenders_dir / "CURRENT").write_text(first.id + "\n")
    return made


def current(root: Path) -> str:
    return (root / "blenders" / "CURRENT").read_text().strip()


def test_one_bundle_alone(root):
    panel = turned(ResearchPage(settings_of(root)), COMPARE)[0]
    said = words(panel.place.objects[0].object)
    assert f"{current(root)} is the only bundle" in said
    assert f"`workbench calibrate --out {root}`" in said


def test_the_current_one_beside_another(root, second):
    panel = turned(ResearchPage(settings_of(root)), COMPARE)[0]
    assert panel.trades.value == Place(root / "models", root / "blenders", current(root))
    assert panel.candidate.value.id == second
    assert isinstance(panel.view, BundlesView)
    assert [half.bundle.id for half in panel.view.halves.values()] == [current(root), second]
    assert panel.ask.disabled
    assert "No journaled session was traded with this bundle" in words(panel.told.objects[0].object)


def test_what_trades_is_what_the_journal_says(root, second, tmp_path):
    """The engine named the second one, though another is current now."""
    settings = Job.open(root).settings.change(
        system={"name": "alpha", "symbols": ("AAA",), "model_dir": str(root / "models"),
                "blender_dir": str(root / "blenders")}
    )  # fmt: skip
    folder = tmp_path / "engine"
    folder.mkdir()
    payload = {"plan": EnginePlan((settings,)).to_json(), "bundles": {"alpha": {"id": second, "digest": ""}}}
    with SqlJournal(folder / "journal.db", session="s7", codec=live_codec()) as journal:
        journal.record("engine", 5, payload)
    dash = DashSettings(folder=folder, job=root)
    found = trading(dash, Job.open(root).ws)
    assert list(found) == [f"{second} · system alpha, session s7", f"{current(root)} · current in mine"]
    place = next(iter(found.values()))
    assert (place.id, place.system, place.session) == (second, "alpha", "")  # it decided nothing: no session to shadow
    assert [p.id for p in candidates(Job.open(root).ws, place).values()] == [current(root)]
    panel = BundlesPanel(dash, Job.open(root).ws, lambda: True)
    asyncio.run(panel.show())
    assert [half.bundle.id for half in panel.view.halves.values()] == [second, current(root)]
    with param.parameterized.discard_events(panel.trades), param.parameterized.discard_events(panel.candidate):
        panel.trades.value = list(found.values())[1]
        asyncio.run(panel.turn())
        asyncio.run(panel.show())
    assert [half.bundle.id for half in panel.view.halves.values()] == [current(root), second]


def test_a_bundle_that_cannot_be_loaded_is_told(root, second):
    (root / "blenders" / second / "costs.json").write_text("{}")
    panel = turned(ResearchPage(settings_of(root)), COMPARE)[0]
    said = words(panel.place.objects[0].object)
    assert "These bundles cannot be compared" in said
    assert "costs.json" in said


def test_a_shadow_that_cannot_be_had_is_told(root, second, tmp_path):
    panel = BundlesPanel(settings_of(root), Job.open(root).ws, lambda: True)
    asyncio.run(panel.show())
    with param.parameterized.discard_events(panel.trades):
        panel.trades.options = {"gone": panel.trades.value._replace(session="s1", system="main")}
        panel.trades.value = panel.trades.options["gone"]
    asyncio.run(panel.shadow())
    said = words(panel.told.objects[0].object)
    assert "No shadow of this session" in said
    assert "journal.db is gone" in said
    assert panel.view.shadow is None
