"""What is known of a candidate: each check on bundles of which it is known what was changed, and the report kept."""

from __future__ import annotations

import copy
import importlib.util
import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from workbench.analysis.bundle_study import Shadow
from workbench.artifacts import Bundle, load_bundle, save_blender
from workbench.core.calendar import iso_time
from workbench.core.errors import ArtifactError
from workbench.core.units import NS_PER_DAY
from workbench.engine.codec import live_codec
from workbench.engine.plan import EnginePlan
from workbench.gateway.simulated import SimulatedGateway
from workbench.journal import SqlJournal
from workbench.research import candidate_checks as checks
from workbench.research.candidate import (
    NOTHING_PROMOTED,
    journal_of,
    read_report,
    report_path,
    study,
    study_again,
)
from workbench.research.candidate_checks import BOUNDS, SHADOW, Bounds, Check
from workbench.research.job import Job

KEPT = ("config.toml", "steps.json", "zoo.json", "store", "models", "blenders")
BARS = 4


@pytest.fixture
def job(traded, tmp_path) -> Job:
    """A workspace of its own that was really trained."""
    (tmp_path / "ws").mkdir()
    for path in (traded.job.ws.root / name for name in KEPT):
        (shutil.copytree if path.is_dir() else shutil.copy)(path, tmp_path / "ws" / path.name)
    return Job.open(tmp_path / "ws")


def loaded(job: Job) -> Bundle:
    return load_bundle(job.ws.models_dir, job.ws.blenders_dir, wanted=job.ws.outcome("calibrate")["bundle"])


def changed(bundle: Bundle, *, days: float = 1, origin: str | None = None, **parts) -> Bundle:
    """`bundle` as if it knew `days` less, with other parts: {"costs": {"k": [...]}} replaces that one entry."""
    until = bundle.fitted_until - int(days * NS_PER_DAY)
    models = replace(bundle.models, fitted_until=until, data_origin=origin or bundle.data_origin)
    folder = replace(bundle.folder, manifest={**bundle.folder.manifest, "fitted_until": until})
    made = copy.deepcopy(dict(bundle.parts))
    for name, entries in parts.items():
        made[name].update(entries)
    return Bundle(models, made, folder)


def of(report, name: str) -> Check:
    return next(check for check in report.checks if check.name == name)


@pytest.fixture
def shadowed(monkeypatch) -> list[bool | None]:
    """What the shadow decisions say; they are tried by themselves below."""
    said: list[bool | None] = [True]
    shadow = checks.shadow
    monkeypatch.setattr(
        checks, "shadow", lambda *a: shadow(*a) if a[2] is None else Check(SHADOW, said[0], "as the test says")
    )
    return said


JOURNAL = SimpleNamespace(address="a journal")


# verdicts --------------------------------------------------------------------------------------------------------


def test_with_nothing_promoted_it_is_unsure(job):
    report = study(job, trading=None)
    assert report.verdict == "unsure"
    assert [c.name for c in report.of(None)] == [
        "data origin", "weights of the blends", "costs", "gates", SHADOW,
    ]  # fmt: skip
    assert {c.detail for c in report.of(None)} == {NOTHING_PROMOTED, checks.NO_JOURNAL}
    assert [c.name for c in report.of(True)] == [
        "truncation probe", "bytes and parity vectors", "out-of-fold evidence", "embargo", "fitted until",
    ]  # fmt: skip
    assert not report.of(False)
    assert (report.trades, report.trades_digest) == ("", "")


def test_what_was_found_is_told_in_numbers(job):
    found = loaded(job)
    report = study(job, trading=None)
    trained = job.ws.outcome("train")
    assert of(report, "truncation probe").detail == trained["probe"]["detail"]
    assert "3 models and 6 barrier classifiers" in of(report, "bytes and parity vectors").detail
    beat = f"{trained['beat_a_constant']} of 3 cells beat a constant"
    assert of(report, "out-of-fold evidence").detail == f"15m, 60m, 1d would trade; {beat}"
    rows = sum(len(oof) for oof in found.models.oofs().values())
    assert f"{rows:,} forecasts of 3 horizons" in of(report, "embargo").detail
    assert f"it knows labels until {iso_time(found.fitted_until)}" in of(report, "fitted until").detail


def test_everything_passed_is_green(job, shadowed):
    report = study(job, trading=changed(loaded(job)), journal=JOURNAL)
    assert (report.verdict, len(report.checks)) == ("green", 10)
    assert of(report, "weights of the blends").detail == "at most 0% of a blend moved to other models (bound 50%)"
    assert "at most 0.000 apart" in of(report, "gates").detail


@pytest.mark.parametrize(("said", "verdict"), [(None, "unsure"), (False, "red")])
def test_one_check_decides(job, shadowed, said, verdict):
    shadowed[0] = said
    assert study(job, trading=changed(loaded(job)), journal=JOURNAL).verdict == verdict


# checks ----------------------------------------------------------------------------------------------------------


def record(job: Job, **train) -> None:
    path = job.ws.root / "steps.json"
    records = json.loads(path.read_text())
    records["train"]["outcome"].update(train)
    path.write_text(json.dumps(records))


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        ({"probe": {"passed": False, "detail": "bars.ret_1 at row 7"}}, "bars.ret_1 at row 7"),
        ({"probe": {"passed": "yes", "detail": "?"}}, "?"),
        ({"probe": None}, "is on record: train again"),
        ({"models": "0123456789abcdef"}, "is on record: train again"),
    ],
)
def test_without_a_passed_probe_it_is_red(job, change, detail):
    record(job, **change)
    report = study(job, trading=None)
    assert report.verdict == "red"
    assert [c.name for c in report.of(False)] == ["truncation probe"]
    assert detail in report.of(False)[0].detail


def test_a_bundle_in_which_no_horizon_trades_is_red(job):
    found = loaded(job)
    parts = copy.deepcopy(dict(found.parts))
    for fit in parts["blender"]["fits"].values():
        fit["reason"] = "no evidence"
    silent = Bundle(found.models, parts, found.folder)
    check = checks.evidence(silent, {"beat_a_constant": 0, "cells": 3})
    assert (check.passed, check.detail) == (False, "no horizon would trade; 0 of 3 cells beat a constant")


def test_an_embargo_shorter_than_asked_is_red(job):
    assert checks.embargo(loaded(job), 1).passed is True
    assert checks.embargo(loaded(job), 2).passed is False


def test_what_it_knows_must_be_newer_and_within_the_bars(job):
    found = loaded(job)
    assert checks.fitted_until(job, found, changed(found, days=0.5)).passed is True
    older = checks.fitted_until(job, found, changed(found, days=-2))
    assert older.passed is False
    assert f"older than the bundle that trades ({iso_time(found.fitted_until + 2 * NS_PER_DAY)})" in older.detail
    same = checks.fitted_until(job, found, found)
    assert same.passed is None
    assert "no newer than" in same.detail
    assert checks.fitted_until(job, changed(found, days=-30), None).passed is False  # after the last bar
    shutil.rmtree(job.ws.store_dir)
    lost = checks.fitted_until(Job.open(job.ws.root), found, None)
    assert lost.passed is None
    assert "the bars cannot be read" in lost.detail


def test_bars_of_another_source_are_red(job):
    report = study(job, trading=changed(loaded(job), origin="Sharadar"))
    assert of(report, "data origin") == Check(
        "data origin", False, "embedded bars; the bundle that trades: Sharadar"
    )  # fmt: skip


def test_costs_that_moved_too_far_are_red(job):
    found = loaded(job)
    k1, k2, k3 = found.parts["costs"]["k"]
    near = checks.costs(found, changed(found, costs={"k": [k1 + 0.2, k2, k3]}), BOUNDS)
    assert near[0] is True
    assert f"k1 {k1 + 0.2:.4g} to {k1:.4g} (bound 0.25)" in near[1]
    for k in ([k1 + 0.3, k2, k3], [k1, k2 + 0.3, k3], [k1, k2, k3 + 0.11]):
        assert checks.costs(found, changed(found, costs={"k": k}), BOUNDS)[0] is False
    assert checks.costs(found, changed(found, costs={"k": [k1 + 0.3, k2, k3]}), Bounds(k1=0.31))[0] is True


def fits(bundle: Bundle, **others) -> dict:
    """The fits of a blender with other entries of some horizons."""
    made = copy.deepcopy(bundle.parts["blender"]["fits"])
    for label, entries in others.items():
        made[label].update(entries)
    return {"fits": made}


def test_weights_that_moved_too_far_are_red(job):
    found = loaded(job)
    keys = [["FTRLProximal", "single_task", "15m"], ["MLP", "single_task", "15m"]]
    two = {"keys": keys, "scale": [1.0, 1.0], "t": [2.0, 2.0]}
    some = changed(found, blender=fits(found, **{"15m": {**two, "weights": [0.6, 0.4]}}))
    assert checks.weights(found, some, BOUNDS) == (True, "at most 40% of a blend moved to other models (bound 50%)")
    most = changed(found, blender=fits(found, **{"15m": {**two, "weights": [0.4, 0.6]}}))
    told = "at most 60% of a blend moved to other models (bound 50%); 15m: 60%"
    assert checks.weights(found, most, BOUNDS) == (False, told)
    none = changed(found, blender=fits(found, **{"15m": {**two, "weights": [0.0, 0.0]}}))
    passed, told = checks.weights(found, none, BOUNDS)  # nothing is known of how far it moved
    assert passed is None
    assert told.endswith("15m: one of the blends has no weights")


def test_a_horizon_that_begins_or_ceases_to_trade_is_for_a_person_to_see(job):
    found = loaded(job)
    quiet = changed(found, blender=fits(found, **{"60m": {"reason": "no evidence"}}))
    passed, told = checks.weights(found, quiet, BOUNDS)
    assert (passed, told.rpartition("; ")[2]) == (None, "60m begins to trade")
    assert checks.weights(quiet, found, BOUNDS)[1].endswith("60m ceases to trade")


def test_a_gate_that_moved_too_far_is_red(job):
    found = loaded(job)
    gate = copy.deepcopy(found.parts["gates"]["gate"])
    gate["settings"]["g_min"] = 0.9  # where it was 0.2: 0.7 apart where the adverse barrier is certain
    other = changed(found, gates={"gate": gate})
    passed, told = checks.gates(found, other, BOUNDS)
    assert passed is False
    assert "30 of 30 curves compared: at most 0.700 apart" in told
    assert checks.gates(found, other, Bounds(gates=0.701))[0] is True


# the report that is kept -----------------------------------------------------------------------------------------


def test_the_report_is_plain_json_beside_the_candidate_and_is_read_back(job):
    report = study(job, trading=changed(loaded(job)), bounds=Bounds(k1=0.1))
    path = job.ws.blenders_dir / "candidates" / f"{report.candidate}.json"
    assert path == report_path(job.ws.blenders_dir, report.candidate)
    content = json.loads(path.read_text())
    assert content["candidate"] == loaded(job).id
    assert content["verdict"] == "unsure"
    assert content["bounds"]["k1"] == 0.1
    assert content["checks"][0]["name"] == "truncation probe"
    assert read_report(job.ws.blenders_dir, report.candidate) == report
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    assert read_report(job.ws.blenders_dir, "0123456789abcdef") is None


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda c: c.update(verdict="green"), "was changed since it was written"),
        (lambda c: c["checks"][-1].update(passed=True), "was changed since it was written"),
        (lambda c: c["bounds"].update(gates=9.0), "was changed since it was written"),
        (lambda c: c.update(version=2), "was changed since it was written"),
        (lambda c: c.pop("self"), "is no report of a candidate"),
        (lambda c: c["bounds"].update(more=1), "is no report of a candidate"),
        (lambda c: c.update(checks=3), "is no report of a candidate"),
    ],
)
def test_a_tampered_report_is_refused(job, spoil, message):
    report = study(job, trading=None)
    path = report_path(job.ws.blenders_dir, report.candidate)
    content = json.loads(path.read_text())
    spoil(content)
    path.write_text(json.dumps(content))
    with pytest.raises(ArtifactError, match=message) as error:
        read_report(job.ws.blenders_dir, report.candidate)
    assert path.name in str(error.value)
    assert "or delete the report" in str(error.value)


def test_a_report_under_another_name_is_refused(job):
    report = study(job, trading=None)
    path = report_path(job.ws.blenders_dir, report.candidate)
    path.rename(path.with_name("0123456789abcdef.json"))
    with pytest.raises(ArtifactError, match=f"is a report of bundle {report.candidate}"):
        read_report(job.ws.blenders_dir, "0123456789abcdef")
    path.with_name("0123456789abcdef.json").write_text("[]")
    with pytest.raises(ArtifactError, match="is no report of a candidate"):
        read_report(job.ws.blenders_dir, "0123456789abcdef")


def test_what_needs_no_session_is_examined_again_and_the_shadow_is_kept(job, shadowed):
    found = loaded(job)
    trading = changed(found)
    study(job, trading=trading, journal=JOURNAL, bounds=Bounds(gates=0.5))
    record(job, probe={"passed": False, "detail": "since then"})
    again = study_again(job, found, trading=trading)
    assert (again.verdict, again.bounds) == ("red", Bounds(gates=0.5))
    assert of(again, "truncation probe").detail == "since then"
    assert of(again, SHADOW) == Check(SHADOW, True, "as the test says")
    other = study_again(job, found, trading=None)  # another bundle trades now: the shadow says nothing of it
    assert (of(other, SHADOW).passed, other.bounds) == (None, BOUNDS)


def test_a_damaged_candidate_is_refused(job):
    costs = next(job.ws.blenders_dir.glob("*/costs.json"))
    costs.write_text(costs.read_text().replace("k1", "k9"))
    with pytest.raises(ArtifactError, match=r"costs\.json was changed since it was saved"):
        study(job, trading=None)


def test_reports_are_no_bundles_to_put_aside(job):
    """`calibrate` looks through the folder for damaged bundles."""
    from workbench.research import steps

    report = study(job, trading=None)
    steps._put_damaged_aside(job.ws.blenders_dir, steps.BLENDER_FORMAT, steps.BLENDER_VERSION)
    assert read_report(job.ws.blenders_dir, report.candidate) == report


# shadow ----------------------------------------------------------------------------------------------------------


def live_rig() -> ModuleType:
    """The rig of the live tests: an engine in this process over a gateway whose clock the test moves."""
    path = Path(__file__).parent.parent / "live" / "rig.py"
    spec = importlib.util.spec_from_file_location("rig_of_live_tests", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[SqlJournal, Bundle]]:
    """A journal with a session of a few bars, in the folder of an engine, and the bundle that traded it."""
    rig, folder = live_rig(), tmp_path_factory.mktemp("session")
    settings = rig.trading_settings(rig.loud_bundle(folder / "bundle"))
    (folder / "engine.json").write_text(EnginePlan((settings,)).to_json())
    assert journal_of(folder) is None  # no engine has run yet
    with SimulatedGateway(speed=rig.FROZEN, start=rig.START) as gateway:
        at_work = rig.Rig(folder, gateway, (settings,))
        at_work.open()
        for _ in range(BARS):
            at_work.bar()
        at_work.close()
    bundle = load_bundle(settings.system.model_dir, settings.system.blender_dir)
    opened = journal_of(folder)
    assert opened is not None
    with closing(opened):
        yield opened, bundle


def test_the_bundle_that_traded_is_its_own_shadow(session):
    journal, bundle = session
    check = checks.shadow(bundle, bundle, journal, BOUNDS)
    assert check.passed is True
    assert check.detail.startswith(f"{BARS} decisions of 1 session(s): mean |difference| of a weight 0.000% of NAV")
    assert "turnover 1.00 times" in check.detail


def test_another_bundle_is_within_wide_bounds_only(session, tmp_path):
    journal, bundle = session
    parts = copy.deepcopy(dict(bundle.parts))
    for label, fit in parts["blender"]["fits"].items():
        fit["slope"] *= label != "5m"
    models = bundle.models.folder.path.parent
    made = save_blender(tmp_path, models, bundle.models.id, parts, fitted_until=bundle.fitted_until)
    other = load_bundle(models, tmp_path, wanted=made)
    wide = replace(BOUNDS, difference=1e6, turnover=1e6)
    assert checks.shadow(other, bundle, journal, wide).passed is True
    assert checks.shadow(other, bundle, journal, replace(wide, difference=1e-6)).passed is False
    assert checks.shadow(other, bundle, journal, replace(wide, turnover=1.0)).passed is False


def test_a_candidate_that_expects_nothing_is_too_far(session, tmp_path):
    """Its targets are zero but for names that it must hold for want of data: its distance is that of a flat book."""
    journal, bundle = session
    parts = copy.deepcopy(dict(bundle.parts))
    for fit in parts["blender"]["fits"].values():
        fit["slope"] = 0.0
    models = bundle.models.folder.path.parent
    made = save_blender(tmp_path, models, bundle.models.id, parts, fitted_until=bundle.fitted_until)
    assert checks.shadow(load_bundle(models, tmp_path, wanted=made), None, journal, BOUNDS).passed is False


def shadow(decided: float, other: float) -> Shadow:
    """Two decisions over two names, each bundle with the same weight in both, from a book of nothing."""
    one, two = (np.full((2, 2), w) for w in (decided, other))
    return Shadow(("AAA", "BBB"), np.array([1, 2]), one, two, np.zeros((2, 2)))


@pytest.mark.parametrize(
    ("decided", "other", "passed", "told"),
    [
        (0.02, 0.02, True, "0.000% of NAV, 0.00 times the mean |weight| decided (bound 0.75); turnover 1.00 times"),
        (0.02, 0.03, True, "1.000% of NAV, 0.50 times the mean |weight| decided (bound 0.75); turnover 1.50 times"),
        (0.02, 0.04, False, "2.000% of NAV, 1.00 times"),
        (0.02, 0.0, None, "the candidate wanted nothing"),
        (0.0, 0.02, None, "what traded wanted nothing"),
        (0.0, 0.0, None, "what traded wanted nothing"),
    ],
)
def test_the_distance_of_two_bundles_in_numbers(decided, other, passed, told):
    check = checks._near([shadow(decided, other)], BOUNDS)
    assert check.passed is passed
    assert check.detail.startswith("2 decisions of 1 session(s): ")
    assert told in check.detail


def test_turnover_is_bounded_up_and_down():
    wide = Bounds(difference=10.0, turnover=2.0)
    asked = {ratio: checks._near([shadow(0.02, 0.02 * ratio)], wide).passed for ratio in (0.4, 0.6, 1.9, 2.1)}
    assert asked == {0.4: False, 0.6: True, 1.9: True, 2.1: False}


def test_without_a_session_nothing_is_asked(session, tmp_path):
    bundle = session[1]
    assert journal_of(tmp_path) is None
    assert checks.shadow(bundle, None, None, BOUNDS) == Check(SHADOW, None, checks.NO_JOURNAL)
    with closing(SqlJournal(tmp_path / "journal.db", session="s1", codec=live_codec())) as empty:
        check = checks.shadow(bundle, None, empty, BOUNDS)
    assert check.passed is None
    assert "decided anything" in check.detail


def test_a_session_that_cannot_be_replayed_is_not_passed(session, traded):
    journal, _ = session
    check = checks.shadow(loaded(traded.job), None, journal, BOUNDS)  # has no model of the horizons that traded
    assert check.passed is None
    assert check.detail.startswith("not asked: ")
    assert "has no model of the horizons" in check.detail
