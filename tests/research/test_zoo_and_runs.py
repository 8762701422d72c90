"""The zoo of a workspace and the record of its runs, through the command line."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
from typer.testing import CliRunner

from workbench.analysis.zoo import ZooCell, zoo_figure
from workbench.artifacts import load_oofs
from workbench.cli import app
from workbench.config import Settings
from workbench.core.errors import ConfigError, DataError
from workbench.models import registry as rooms
from workbench.models.learner import Learner
from workbench.models.registry import FAMILIES, installed
from workbench.research import experiments
from workbench.research.steps import Job, blend, simulate, train
from workbench.research.workspace import Workspace
from workbench.research.zoo import zoo


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    training = {"profile": "demo", "families": ("FTRLProximal", "LightGBM"), "strategies": ("single_task", "cascade"),
                "segments": 3, "max_rows": 6000, "jobs": 1}  # fmt: skip
    settings = Settings().change(training=training, system={"horizons": ("5m", "30m")})
    job = Job.open(tmp_path_factory.mktemp("ws"), settings)
    simulate(job, symbols=8, days=45, daily=150, seed=5, ic=0.2)
    train(job)
    return job


def test_the_zoo_lists_every_cell_and_says_what_is_trained(job):
    told = zoo(job.ws.root)
    cells = {(c["family"], c["strategy"], c["horizon"]): c for c in told["cells"]}
    assert len(cells) == len(FAMILIES) * 3 * 9
    trained = {k for k, c in cells.items() if c["trained"]}
    assert trained == {
        (f, s, h) for f in ("FTRLProximal", "LightGBM") for s in ("single_task", "cascade") for h in ("5m", "30m")
    }
    assert cells["MLP", "single_task", "5m"]["verdict"] == "not trained"
    one = cells["FTRLProximal", "single_task", "5m"]
    assert one["ic_low"] < one["ic"] < one["ic_high"]
    assert one["bytes"] == sum(
        p.stat().st_size
        for p in (job.ws.models_dir / told["models"] / "models" / "FTRLProximal.single_task.5m").iterdir()
    )
    assert one["latency_ms"] > 0
    assert one["weight"] is None  # before `blend`
    oof = load_oofs(job.ws.models_dir)["5m"]
    m = [str(k) for k in oof.keys].index("FTRLProximal/single_task/5m")
    known = np.isfinite(oof.label)
    pooled = np.corrcoef(oof.forecast[known, m] / oof.sigma_h[known], oof.label[known] / oof.sigma_h[known])[0, 1]
    assert abs(one["ic"] - pooled) < 0.05  # the cross-sectional one, of the same forecasts


def test_weights_come_from_the_blender_and_losers_have_none(job):
    outcome = blend(job)
    for c in zoo(job.ws.root)["cells"]:
        if c["trained"]:
            name = f"{c['family']}/{c['strategy']}/{c['horizon']}"
            assert c["weight"] == outcome["horizons"][c["horizon"]]["weights"].get(name, 0.0)
            assert c["beats_constant"] or c["weight"] == 0
        else:
            assert c["weight"] is None


def test_every_run_keeps_what_went_in_and_came_out_and_two_compare(job):
    first = experiments.runs(job.ws.root)["runs"]
    assert len(first) == 1
    folder = job.ws.root / "runs" / first[0]["id"]
    assert Settings.from_toml(folder / "config.toml") == job.ws.settings
    assert "<svg" in (folder / "zoo.html").read_text()
    assert first[0]["metrics"]["fitted"] == 16
    assert first[0]["code"]["digest"]
    train(job)
    assert len(experiments.runs(job.ws.root)["runs"]) == 1  # nothing changed: the same run
    other = Job.open(job.ws.root, job.ws.settings.change(training={"seed": 8}))
    train(other)
    both = experiments.runs(job.ws.root)["runs"]
    assert len(both) == 2
    told = experiments.compare(job.ws.root, (first[0]["id"], next(r["id"] for r in both if r["id"] != first[0]["id"])))
    assert told["settings"] == {"training.seed": [7, 8]}
    assert "models" in told["metrics"]
    with pytest.raises(DataError, match="0 runs are called zz"):
        experiments.compare(job.ws.root, ("zz", first[0]["id"]))


def test_a_run_holds_no_metrics_that_come_from_other_settings(job):
    blend(job)
    other = Job.open(job.ws.root, job.ws.settings.change(blending={"min_mass": 0.6}))
    train(other)  # up to date, and so not trained again: the blend on record is of the settings before
    latest = experiments.runs(job.ws.root)["runs"]
    mine = next(r for r in latest if r["id"] == experiments.run_id(other))
    assert mine["metrics"]["fitted"] == 16
    assert not [name for name in mine["metrics"] if name.startswith("slope.")]
    assert list(mine["steps"]) == ["train"]


def test_another_family_under_the_same_name_is_another_run_and_is_trained_again(job, monkeypatch):
    asked = []

    class Stop(Exception):
        pass

    def stop(ws, step, inputs, *more):
        asked.append(inputs)
        raise Stop

    monkeypatch.setattr(Workspace, "run", stop)
    ids = []
    for family in (FAMILIES["LightGBM"], FAMILIES["LightGBM"], replace(FAMILIES["LightGBM"], min_rows=201)):
        monkeypatch.setattr(Job, "registry", {**FAMILIES, "LightGBM": family})
        again = Job.open(job.ws.root, job.ws.settings)
        ids.append(experiments.run_id(again))
        with pytest.raises(Stop):
            train(again)
    assert asked[0] == asked[1] != asked[2]
    assert ids[0] == ids[1] != ids[2]


def test_commands(job):
    run = CliRunner()
    told = json.loads(run.invoke(app, ["zoo", "--out", str(job.ws.root), "--json"]).stdout)
    assert {"family", "strategy", "horizon", "supported", "trained", "ic", "ic_low", "ic_high", "p_corrected", "weight",
            "bytes", "latency_ms", "verdict"} <= set(told["cells"][0])  # fmt: skip
    shown = run.invoke(app, ["zoo", "--out", str(job.ws.root), "--families", "LightGBM"]).stdout
    assert "LightGBM" in shown
    assert "FTRLProximal" not in shown
    assert "cells trained" in shown
    assert json.loads(run.invoke(app, ["runs", "--out", str(job.ws.root), "--json"]).stdout)["runs"]
    for bad, message in (
        (["zoo", "--out", "nowhere"], "nowhere is no workspace"),
        (["zoo", "--out", str(job.ws.root), "--families", "LigtGBM"], "Did you mean 'LightGBM'"),
        (["runs", "one", "--out", str(job.ws.root)], "1 run is named; name two"),
        (["train", "--out", str(job.ws.root), "--families", "Nonsense"], "family 'Nonsense' is unknown"),
        (["train", "--out", str(job.ws.root), "--strategies", "cascad"], "Did you mean 'cascade'"),
        (["train", "--out", str(job.ws.root), "--horizons", "7m"], "7m"),
        (["train", "--out", str(job.ws.root), "--families", ","], "names nothing"),
        (["train", "--out", str(job.ws.root), "--scheduler", "dask://8.8.8.8:1"], "not this machine"),
    ):
        outcome = run.invoke(app, bad)
        assert message in str(outcome.exception), bad
    assert Settings.from_toml(job.ws.root / "config.toml").training.scheduler == ""


@dataclass(frozen=True, slots=True)
class Mine(Learner):
    name: str = "Mine"


class Point:
    def __init__(self, name, brought):
        self.name, self.value, self._brought = name, f"package:{name}", brought

    def load(self):
        if isinstance(self._brought, Exception):
            raise self._brought
        return self._brought


@pytest.mark.parametrize("brought", [Mine(), Mine, lambda: Mine()])
def test_a_package_brings_a_family_by_an_entry_point(monkeypatch, brought):
    monkeypatch.setattr(rooms, "entry_points", lambda group: [Point("mine", brought)] if group == rooms.GROUP else [])
    assert set(installed()) == {*FAMILIES, "Mine"}
    assert "Mine" not in FAMILIES


@pytest.mark.parametrize(
    ("brought", "message"),
    [(ImportError("no module x"), "'mine'.*cannot be loaded: no module x"), (lambda: 3, "int is no family"),
     (FAMILIES["MLP"], "registered already")],
)  # fmt: skip
def test_an_entry_point_that_brings_no_family_is_named(monkeypatch, brought, message):
    monkeypatch.setattr(rooms, "entry_points", lambda group: [Point("mine", brought)])
    with pytest.raises(ConfigError, match=message):
        installed()


def test_a_cell_survives_json_and_verdicts_are_plain():
    cell = ZooCell(
        "A", "single_task", "5m", trained=True, ic=0.02, ic_low=0.01, ic_high=0.03, p_corrected=0.01, weight=0.4
    )
    assert ZooCell.from_dict(json.loads(json.dumps(cell.to_dict()))) == cell
    unknown = ZooCell("A", "single_task", "5m")
    back = ZooCell.from_dict(json.loads(json.dumps(unknown.to_dict())))
    assert math.isnan(back.ic)
    verdicts = {
        "has weight": cell,
        "finds it, no weight": ZooCell("A", "s", "5m", trained=True, ic=0.02, p_corrected=0.01, weight=0.0),
        "no better than a constant": ZooCell("A", "s", "5m", trained=True, ic=-0.02, p_corrected=0.2),
        "abstains": ZooCell("A", "s", "5m", reason="too few rows"),
        "not supported": ZooCell("A", "s", "5m", supported=False, reason="no"),
        "not trained": unknown,
    }
    assert {v.verdict for v in verdicts.values()} == set(verdicts)
    for want, c in verdicts.items():
        assert c.verdict == want
    assert "<svg" in str(zoo_figure([cell]))
