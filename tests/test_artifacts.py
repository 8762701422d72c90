"""Bundles on disk: round trip to the bit, refusal of whatever is not as it was saved, and of what knew too much."""

from __future__ import annotations

import json
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from workbench.artifacts import (
    load_bundle,
    load_models,
    load_oofs,
    read_oof,
    refuse_overlap,
    save_blender,
    save_models,
    write_oof,
)
from workbench.config import Settings
from workbench.core.calendar import exchange_sessions
from workbench.core.digest import digest
from workbench.core.errors import ArtifactError, LookAheadError
from workbench.core.horizon import horizon
from workbench.core.types import Book
from workbench.data.simulate import MarketSettings, simulate
from workbench.decision.costs import CostModel
from workbench.decision.pipeline import decide
from workbench.features.engine import build_history
from workbench.training.dataset import Panel, Rows
from workbench.training.fitting import fit_stages
from workbench.training.labels import make_daily_labels, make_labels
from workbench.training.lessons import Desk
from workbench.training.walkforward import train

FAMILIES = ("LightGBM", "FTRLProximal", "LSTM")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A trained bundle on disk and what it was made of."""
    m = simulate(MarketSettings(symbols=6, intraday_sessions=24, daily_sessions=150, minute=False, ic=0.2, sectors=2))
    training = {"families": FAMILIES, "segments": 2, "profile": "demo", "jobs": 1, "max_rows": 3000,
                "max_rows_slow": 600, "max_rows_sequential": 600}  # fmt: skip
    s = Settings().change(training=training, system={"horizons": ("5m", "1d")}, features={"window": 16})
    h = build_history(m.bars, m.daily, m.universe, s.features)
    labels = {**make_labels(m.bars, h, s.labels), **make_daily_labels(m.daily, h, s.labels)}
    trained = train(m.bars, m.daily, h, labels, s)
    fitted = fit_stages(trained.oofs, None, s, CostModel(s.costs), h)
    root = tmp_path_factory.mktemp("bundle")
    models = store(trained, root / "models", oofs=trained.oofs)
    blender = save_blender(root / "blenders", root / "models", models, fitted.parts(), fitted_until=fitted.fitted_until)
    return trained, fitted, h, s, root, models, blender


def store(trained, folder, **more):
    return save_models(folder, trained.models, trained.parity, names=trained.names, daily_names=trained.daily_names,
                       window=trained.window, data_origin=trained.data_origin, **more)  # fmt: skip


@pytest.fixture
def copy(made, tmp_path):
    """A copy of the bundle to spoil: (models/<id>, blenders/<id>)."""
    shutil.copytree(made[4], tmp_path / "b")
    return tmp_path / "b" / "models" / made[5], tmp_path / "b" / "blenders" / made[6]


def test_the_bundle_comes_back_as_it_was(made):
    trained, fitted, _, _, root, models, blender = made
    bundle = load_bundle(root / "models", root / "blenders")
    assert (bundle.models.id, bundle.id) == (models, blender)
    assert bundle.data_origin == "embedded"
    assert bundle.fitted_until == max(trained.fitted_until, fitted.fitted_until)
    assert bundle.parts == json.loads(json.dumps(fitted.parts()))
    assert {o.digest for o in bundle.models.oofs().values()} == {o.digest for o in trained.oofs.values()}
    assert {o.digest for o in load_oofs(root / "models").values()} == {o.digest for o in trained.oofs.values()}
    assert len(bundle.models.models) + len(bundle.models.barriers) == len(trained.models)


def test_the_loaded_stages_decide_and_the_models_see_what_training_saw(made):
    """A forecast from the snapshot equals the model's own on the panel's rows, windows included."""
    _, _, h, s, root, *_ = made
    bundle = load_bundle(root / "models", root / "blenders")
    stages = bundle.stages(s)
    assert stages.artifacts_digest == bundle.digest
    t = len(h.ts) - 20
    snapshot = h.snapshot(t, s.features.window)
    said = stages.predictor.predict(snapshot)
    assert np.isfinite(said.expected_return).all()
    day = int(np.searchsorted(h.daily_session, h.session[t]))
    bars = Panel.of(h.values, h.bar_of_session, h.names)
    days = Panel.of(h.daily_values, np.zeros(len(h.daily_session), np.int64), h.daily_names)
    for row, key in enumerate(said.keys):
        hz, model = horizon(key.horizon), bundle.models.models[key]
        panel, at = (days, day) if hz.is_day else (bars, t)
        rows = Rows(np.full(len(h.symbols), at), np.arange(len(h.symbols)))
        desk = Desk(panel, panel.known_share(), model.length, cap=1)
        want = model.predict(desk.inputs(rows)) * snapshot.sigma_h[hz.order]
        np.testing.assert_allclose(said.expected_return[row], want, rtol=1e-6, atol=1e-12)
    decision = decide(snapshot, Book.flat(h.symbols, 1e6), stages)
    assert decision.artifacts_digest == bundle.digest
    assert np.isfinite(decision.target.weights).all()


def test_the_same_content_gets_the_same_name(made, tmp_path):
    trained, fitted, _, _, _, models, blender = made
    assert store(trained, tmp_path / "m", oofs=trained.oofs) == models
    assert store(trained, tmp_path / "m", oofs=trained.oofs) == models  # again: kept
    name = save_blender(tmp_path / "b", tmp_path / "m", models, fitted.parts(), fitted_until=fitted.fitted_until)
    assert name == blender
    assert store(replace(trained, data_origin="mine"), tmp_path / "m", oofs=trained.oofs) != models
    assert not list(tmp_path.glob("*/.*"))


def test_a_small_bundle_leaves_the_tables_out_and_packs_the_models(made, tmp_path):
    trained = made[0]
    name = store(trained, tmp_path, compress=True)
    bundle = load_models(tmp_path)
    assert bundle.oofs() == {}
    assert len(bundle.models) == sum(m.target == "value" for m in trained.models)
    size = sum(p.stat().st_size for p in (tmp_path / name).rglob("*") if p.is_file())
    raw = sum(len(c) for m in trained.models for c in m.files.values())
    assert size < raw


def test_any_changed_byte_is_refused_by_name(copy):
    models, blender = copy
    for folder in (models, blender):
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            was = path.read_bytes()
            path.write_bytes(was[:-2] + bytes([was[-2] ^ 1]) + was[-1:])
            with pytest.raises(ArtifactError) as caught:
                load_bundle(models, blender)
            assert path.name in str(caught.value)
            path.write_bytes(was)
    load_bundle(models, blender)


def test_a_missing_and_an_unlisted_file_are_named(copy):
    models, blender = copy
    (blender / "gates.json").rename(blender / "gates.bak")
    with pytest.raises(ArtifactError, match=r"file gates\.json is missing"):
        load_bundle(models, blender)
    (blender / "gates.bak").rename(blender / "gates.json")
    (models / "notes.txt").write_text("hello")
    with pytest.raises(ArtifactError, match=r"file notes\.txt is not in the manifest"):
        load_bundle(models, blender)


@pytest.mark.parametrize("name", ["model.pkl", "model.onnx.joblib", "weights.pt", "innocent.txt"])
def test_a_pickle_is_refused_by_name_whatever_it_is_called(copy, name):
    models, blender = copy
    (models / "models" / name).write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(ArtifactError, match=f"{name} is a pickle"):
        load_bundle(models, blender)


def test_a_link_is_refused(copy, tmp_path):
    models, blender = copy
    (tmp_path / "outside").write_text("x")
    (models / "parity" / "link.npy").symlink_to(tmp_path / "outside")
    with pytest.raises(ArtifactError, match=r"link\.npy is a link"):
        load_bundle(models, blender)


def test_other_formats_and_versions_are_refused(copy):
    models, blender = copy
    with pytest.raises(ArtifactError, match="is of format 'workbench-blender', expected 'workbench-models'"):
        load_models(blender)
    manifest = json.loads((models / "manifest.json").read_text())
    (models / "manifest.json").write_text(json.dumps({**manifest, "version": 99}))
    with pytest.raises(ArtifactError, match="is of version 99; this workbench reads version 2"):
        load_models(models)
    (models / "manifest.json").write_text("[1")
    with pytest.raises(ArtifactError, match="is not JSON"):
        load_models(models)


def test_a_rewritten_manifest_is_refused_although_it_lists_itself_rightly(copy):
    models, _ = copy
    text = (models / "manifest.json").read_text()
    (models / "manifest.json").write_text(text.replace('"data_origin": "embedded"', '"data_origin": "real"'))
    with pytest.raises(ArtifactError, match="was changed since it was saved"):
        load_models(models)


def test_models_and_blender_that_do_not_belong_together_are_refused(made, copy, tmp_path):
    trained, *_ = made
    _, blender = copy
    other = store(replace(trained, models=trained.models[:3]), tmp_path / "other")
    with pytest.raises(ArtifactError, match=f"holds no bundle {made[5]}"):
        load_bundle(tmp_path / "other", blender)
    with pytest.raises(ArtifactError, match="they do not belong together"):
        load_bundle(tmp_path / "other" / other, blender)


def test_of_several_bundles_the_current_or_the_wanted_is_taken(made, tmp_path):
    trained, *_ = made
    first = store(trained, tmp_path)
    second = store(replace(trained, models=trained.models[:3]), tmp_path)
    assert load_models(tmp_path).id == second
    assert load_models(tmp_path, first).id == first
    (tmp_path / "CURRENT").unlink()
    with pytest.raises(ArtifactError, match="holds 2 bundles"):
        load_models(tmp_path)
    with pytest.raises(ArtifactError, match="does not exist; train first"):
        load_models(tmp_path / "nowhere")


def test_a_model_that_this_machine_does_not_reproduce_is_refused(made, tmp_path):
    trained = made[0]
    wrong = replace(trained.models[0], parity=trained.models[0].parity + 0.01)
    store(replace(trained, models=(wrong, *trained.models[1:])), tmp_path)
    with pytest.raises(ArtifactError, match=r"differs from the one that was fitted by 0\.01 sigma"):
        load_models(tmp_path)


def test_nothing_to_save_and_bad_names_are_errors(made, tmp_path):
    trained = made[0]
    with pytest.raises(ArtifactError, match="no fitted model to save"):
        store(replace(trained, models=()), tmp_path)
    bad = replace(trained.models[0], key=trained.models[0].key._replace(family="../up"))
    with pytest.raises(ArtifactError, match="cannot name a model folder"):
        store(replace(trained, models=(bad,)), tmp_path)
    with pytest.raises(ArtifactError, match="has the parts blender, gates, costs, sizing"):
        save_blender(tmp_path, made[4] / "models", made[5], {"blender": {}}, fitted_until=0)


def test_forecast_tables_are_exact(made):
    for oof in made[0].oofs.values():
        content = write_oof(oof)
        assert read_oof(content).digest == oof.digest
        assert write_oof(oof) == content
    empty = made[0].oofs["5m"].take(slice(0, 0))
    assert digest(read_oof(write_oof(empty)).digest) == digest(empty.digest)
    with pytest.raises(ArtifactError, match="is not a Parquet table"):
        read_oof(b"nonsense", "x.parquet")


def test_artifacts_that_know_the_test_period_are_refused():
    every = exchange_sessions()
    i = int(np.searchsorted(every.date, np.datetime64("2025-07-07").astype(int)))
    start = int(every.open_ns[i]) + 300_000_000_000  # the first bar of Monday
    friday_before = int(every.open_ns[i - 1])  # Thursday: Friday was a holiday
    refuse_overlap(friday_before - 1, start, 1)
    with pytest.raises(LookAheadError, match=r"with an embargo of 2 session\(s\)"):
        refuse_overlap(int(every.close_ns[i - 1]), start, 2)
    with pytest.raises(LookAheadError, match="start later or use the walk-forward schedule"):
        refuse_overlap(start, start, 1)


def test_the_files_hold_no_machine_path(made):
    root: Path = made[4]
    for path in (p for p in root.rglob("*") if p.is_file()):
        assert str(root).encode() not in path.read_bytes()
