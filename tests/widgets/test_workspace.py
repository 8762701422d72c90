"""The walk at a glance: what is done, out of date or missing, without running or writing anything."""

from __future__ import annotations

import json

import pytest

from workbench.config import Settings
from workbench.research import steps
from workbench.research.job import Job
from workbench.research.workspace import STEPS
from workbench.widgets import view
from workbench.widgets.workspace import STAGES, bundle_rows, card, session_rows, stage_table, states


def test_nothing_yet_is_all_missing_and_names_the_first_notebook(tmp_path):
    job = Job.open(tmp_path / "new")
    assert set(states(job).values()) == {"missing"}
    told = card(job)
    assert "0 of 10 stages done; next: 01_market_data.ipynb" in told
    shown = view(job)
    for text in (shown.store, shown.bundles, shown.backtests, shown.sessions):
        assert "yet" in text()


@pytest.fixture
def half_way(tmp_path, monkeypatch):
    """A workspace with bars, whose steps are told to be done in no time."""
    monkeypatch.setattr(steps, "_train", lambda job: {"models": "m1", "cells": 4, "beat_a_constant": 2})
    monkeypatch.setattr(steps, "_blend", lambda job: {"horizons": {}, "costs": {"k1": 0.5, "k2": 0.0, "k3": 0.1}})
    monkeypatch.setattr(steps, "record", lambda *a: None)
    monkeypatch.setattr(steps, "zoo_cells", lambda job: [])
    job = Job.open(tmp_path / "walk", Settings().change(training={"profile": "demo", "families": ("FTRLProximal",)}))
    steps.simulate(job, symbols=2, days=2, daily=5)
    (job.ws.root / "zoo.json").write_text("{}", encoding="utf-8")
    steps.train(job)
    steps.blend(job)
    return job


def test_steps_are_done_until_their_settings_change(half_way):
    done = {"data": "done", "train": "done", "blend": "done"}
    missing = {"calibrate": "missing", "backtest": "missing", "sessions": "missing"}
    assert states(half_way) == done | missing
    changed = Job.open(half_way.ws.root, half_way.ws.settings.change(costs={"spread_multiplier": 2.0}))
    assert states(changed) == done | {"blend": "out of date"} | missing
    seed = Job.open(half_way.ws.root, half_way.ws.settings.change(training={"seed": 8}))
    assert states(seed) == done | {"train": "out of date", "blend": "out of date"} | missing


def test_changed_bars_put_all_that_follows_out_of_date(half_way):
    bars = half_way.bars
    half_way.store.write(bars.rows(0, 10).select(bars.symbols[:1]))
    assert states(half_way)["train"] == "done", "the same bars again change nothing"
    meta = half_way.ws.store_dir / "universe.toml"
    meta.write_text(meta.read_text(encoding="utf-8") + "\n# another line\n", encoding="utf-8")
    found = states(Job.open(half_way.ws.root))
    assert (found["data"], found["train"], found["blend"]) == ("done", "out of date", "out of date")


def test_a_step_whose_file_is_gone_is_out_of_date(half_way):
    (half_way.ws.root / "zoo.json").unlink()
    assert states(half_way)["train"] == "out of date"


def test_looking_changes_nothing(half_way):
    before = {p: p.read_bytes() for p in half_way.ws.root.rglob("*") if p.is_file()}
    shown = view(half_way)
    shown.look = True
    assert "3 of 10" not in shown.stages()
    assert {p: p.read_bytes() for p in half_way.ws.root.rglob("*") if p.is_file()} == before


def test_the_table_has_a_row_per_notebook_with_what_was_left(half_way):
    told = stage_table(half_way)
    for stage in STAGES:
        assert stage.notebook in told
    assert "models m1: 2 of 4 cells beat a constant" in told
    assert "k1 0.5, k2 0, k3 0.1" in told
    assert "embedded market: 2 symbols, 2 sessions" in told
    assert {s.step for s in STAGES} <= {*STEPS, "sessions"}


def test_pressing_look_again_shows_what_has_come_since(tmp_path):
    job = Job.open(tmp_path / "walk")
    shown = view(job)
    pane = shown.shown()[0]
    assert "0 of 10" in pane.object
    (job.ws.root / "steps.json").write_text(
        json.dumps({"data": {"inputs": "x", "seconds": 1.0, "outcome": {"origin": "mine"}}}), encoding="utf-8"
    )
    shown.widget().children[2].children[0].click()
    assert "2 of 10 stages done; next: 03_train_models.ipynb" in pane.object
    assert "bars of mine" in pane.object


def test_a_trained_workspace_shows_bundles_and_backtests(traded):
    rows = list(bundle_rows(traded.job))
    assert [r[0] for r in rows] == ["models", "blender"]
    assert rows[1][1] == traded.job.ws.outcome("calibrate")["bundle"]
    assert rows[1][4] == f"stages for models {rows[0][1]}"
    assert {str(r[5]) for r in rows} == {"current"}
    assert states(traded.job)["backtest"] == "done"
    told = view(traded.job).backtests()
    outcome = traded.job.ws.outcome("backtest")
    assert f"{100 * outcome['net_return']:.2f} %" in told
    assert "books" not in told
    assert list(session_rows(traded.job.ws)) == []


def test_a_damaged_bundle_is_told_not_hidden(half_way):
    folder = half_way.ws.models_dir / "0123456789abcdef"
    folder.mkdir(parents=True)
    (row,) = bundle_rows(half_way)
    assert row[:2] == ("models", "0123456789abcdef")
    assert row[5].style == "bad"
