"""All 540 cells of a tiny panel, end to end: trained, written, loaded, proved, asked live, blended."""

from __future__ import annotations

import hashlib
import time
from collections import Counter

import numpy as np
import pytest

from workbench.config import ALL_HORIZONS, Settings
from workbench.core.digest import digest
from workbench.core.horizon import horizon
from workbench.core.types import ModelKey
from workbench.models.registry import FAMILIES
from workbench.models.strategies import STRATEGIES
from workbench.research.steps import Job, final_stages, simulate, train
from workbench.research.zoo import every_key, zoo

pytestmark = pytest.mark.slow

BUDGET_S = 900


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    training = {
        "profile": "demo", "families": tuple(FAMILIES), "strategies": tuple(STRATEGIES), "segments": 2, "jobs": 2,
        "max_rows": 2500, "max_rows_slow": 1500, "max_rows_sequential": 900,
    }  # fmt: skip
    settings = Settings().change(training=training, system={"horizons": ALL_HORIZONS}, features={"window": 16})
    job = Job.open(tmp_path_factory.mktemp("zoo"), settings)
    simulate(job, symbols=6, days=50, daily=500, seed=3, ic=0.2)
    start = time.monotonic()
    outcome = train(job)
    return job, outcome, time.monotonic() - start


def test_every_cell_is_trained_within_the_time(made):
    job, outcome, seconds = made
    print(f"\n540 cells: {seconds:.0f} s, {outcome['fitted']} final models")
    cells = zoo(job.ws.root)["cells"]
    assert len(cells) == 540 == len(every_key(FAMILIES))
    untrained = [(c["family"], c["strategy"], c["horizon"], c["reason"]) for c in cells if not c["trained"]]
    assert untrained == []
    assert all(c["supported"] and c["bytes"] > 0 and c["latency_ms"] > 0 for c in cells)
    assert sum(c["ic"] is not None for c in cells) > 450
    assert seconds < BUDGET_S


def test_no_cell_is_an_alias_of_another(made):
    """Of the cells that learned something, no two have the same model file, and no two the same forecasts."""
    job, outcome, _ = made
    folder = job.ws.models_dir / outcome["models"] / "models"
    seen: dict[str, str] = {}
    for model in sorted(folder.iterdir()):
        content = [p.read_bytes() for p in sorted(model.iterdir()) if p.name != "model.json"]
        if not content or not any(s in model.name for s in STRATEGIES):
            continue  # a constant has no file but its header; barriers are no cells
        pooled = b"pooled" in (model / "model.json").read_bytes()
        name = hashlib.sha256(b"".join(content)).hexdigest() + (model.name if pooled else "")
        assert name not in seen, f"{model.name} is {seen.get(name)}"
        seen[name] = model.name
    for label, oof in job_oofs(job).items():
        forecasts = Counter(digest(np.nan_to_num(oof.forecast[:, m])) for m in range(len(oof.keys)))
        silent = digest(np.zeros(len(oof)))
        assert [d for d, n in forecasts.items() if n > 1 and d != silent] == [], label


def test_the_bundle_loads_proves_itself_and_answers_live(made):
    job, _, _ = made
    from workbench.artifacts import load_models
    from workbench.models.predictor import ModelPredictor

    bundle = load_models(job.ws.models_dir)
    fitted = final_stages(job)
    predictor = ModelPredictor(
        bundle.models, bundle.barriers, fitted.stack, bundle.names, bundle.daily_names, bundle.symbols, threads=2
    )
    t = len(job.history.ts) - 40
    said = predictor.predict(job.history.snapshot(t, predictor.window))
    assert len(said.keys) == 540
    open_ = np.array([job.history.snapshot(t, 1).horizon_open[horizon(k.horizon).order] for k in said.keys])
    assert np.isfinite(said.expected_return[open_]).mean() > 0.95
    assert np.isnan(said.expected_return[~open_]).all()
    assert sum(predictor.failed.values()) == 0
    print(f"\none cycle of 540 models for 6 symbols: {1e3 * sum(predictor.seconds.values()):.0f} ms of processor time")


def test_the_same_run_gives_the_same_bundle(made, tmp_path):
    """A part of the zoo again, from nothing: the digest of the bundle is the same."""
    job, _, _ = made
    names = ("LightGBM", "XGBoost", "MLP", "GMMRegime", "CNN1D")
    some = job.settings.change(training={"families": names, "jobs": 1}, system={"horizons": ("30m", "60m")})
    ids = []
    for jobs in (1, 2):
        again = Job.open(tmp_path / str(jobs), some.change(training={"jobs": jobs}))
        simulate(again, symbols=6, days=50, daily=500, seed=3, ic=0.2)
        ids.append(train(again)["models"])
    assert ids[0] == ids[1]


def test_losers_have_no_weight_and_say_so(made):
    job, _, _ = made
    fits = final_stages(job).stages.blender.fits_
    cells = {ModelKey(c["family"], c["strategy"], c["horizon"]): c for c in zoo(job.ws.root)["cells"]}
    weighed = [(k, w) for fit in fits.values() for k, w in zip(fit.keys, fit.weights, strict=True) if w > 0]
    assert weighed
    assert all(cells[k]["beats_constant"] for k, _ in weighed)
    assert {c["verdict"] for c in cells.values()} >= {"no better than a constant"}


def job_oofs(job):
    from workbench.artifacts import load_oofs

    return load_oofs(job.ws.models_dir)
