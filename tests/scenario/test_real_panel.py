"""The project's main job on real bars. They are private: where they are absent the tests say so, loudly."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from real_panel import panel

ROOT = Path(__file__).resolve().parents[2]
SECTIONS = ("Horizons", "Equity", "Costs", "Forecasts", "Blends", "Gates", "Positions", "Sharpe", "Data", "Method")

pytestmark = pytest.mark.slow
STOCKS = 40


@pytest.fixture(scope="module")
def job(tmp_path_factory) -> tuple[Path, float, dict]:
    """`workbench run` on 40 symbols with the families that a test can afford."""
    source, folder = panel(), tmp_path_factory.mktemp("real")
    bars = folder / "bars"
    bars.mkdir()
    symbols = None
    for file in sorted(source.glob("*.parquet")):
        table = pq.read_table(file).to_pandas()
        symbols = symbols or sorted(table["symbol"].unique())[:STOCKS]
        table[table["symbol"].isin(symbols)].to_parquet(bars / file.name)
    config = folder / "config.toml"
    config.write_text('[training]\nfamilies = ["LightGBM", "FTRLProximal", "MLP"]\nsegments = 4\nmax_rows = 40000\n')
    out, start = folder / "out", time.monotonic()
    command = ["run", "--data", str(bars), "--config", str(config), "--out", str(out), "--json"]
    done = subprocess.run([sys.executable, "-m", "workbench.cli", *command], capture_output=True, text=True, cwd=ROOT, check=False)  # fmt: skip # noqa: E501
    print(done.stderr[-3000:])
    assert done.returncode == 0, done.stderr[-3000:]
    return out, time.monotonic() - start, json.loads(done.stdout)


def test_the_report_has_every_section_and_a_verdict(job):
    out, seconds, outcome = job
    page = (out / "report.html").read_text()
    assert all(section in page for section in SECTIONS)
    assert outcome["verdict"]["headline"]
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    print(f"real panel, {STOCKS} symbols: {seconds:.0f} s, largest process {peak:.2f} GiB")
    assert peak < 6


def test_the_truncation_probe_passed_and_nothing_looks_like_a_leak(job):
    out, _, _ = job
    steps = json.loads((out / "steps.json").read_text())
    assert steps["train"]["outcome"]["probe"]["passed"] is True
    assert "leak until proven otherwise" not in (out / "report.html").read_text().split("<body", 1)[1][:6000]


def test_every_horizon_either_trades_or_says_why_not(job):
    out, _, _ = job
    steps = json.loads((out / "steps.json").read_text())
    horizons = steps["blend"]["outcome"]["horizons"]
    assert set(horizons) == {"5m", "10m", "15m", "30m", "60m", "120m", "1d", "5d", "20d"}
    assert all(h["abstains"] or h["slope"] > 0 for h in horizons.values())
    assert "insufficient data" in horizons["20d"]["abstains"]


def test_a_second_run_changes_nothing(job):
    out, _, _ = job
    before = (out / "steps.json").read_bytes()
    done = subprocess.run([sys.executable, "-m", "workbench.cli", "train", "--out", str(out), "--json"], capture_output=True, text=True, cwd=ROOT, check=True)  # fmt: skip # noqa: E501
    assert json.loads(done.stdout)["unchanged"] is True
    assert (out / "steps.json").read_bytes() == before


def test_shuffled_labels_through_the_whole_chain_find_nothing(tmp_path):
    from chain import blended

    from workbench.config import Settings
    from workbench.data.importers import import_bars
    from workbench.data.store import Store
    from workbench.features.engine import build_history
    from workbench.stats.ic import information_coefficient
    from workbench.training.labels import make_labels
    from workbench.training.probe import shuffle_labels
    from workbench.training.walkforward import train

    import_bars(panel(), tmp_path / "store")
    store = Store(tmp_path / "store")
    bars = store.serve(5, symbols=store.universe().symbols[:STOCKS])
    daily = store.serve(390, symbols=bars.symbols)
    settings = Settings().change(
        training={"families": ("LightGBM", "FTRLProximal"), "segments": 3, "max_rows": 40_000},
        system={"horizons": ("5m", "30m")},
    )
    history = build_history(bars, daily, store.universe(), settings.features)
    labels = {k: v for k, v in make_labels(bars, history, settings.labels).items() if k in ("5m", "30m")}
    trained = train(bars, daily, history, shuffle_labels(labels, seed=9), settings, tmp_path / "cells", final=False)
    for label, oof in trained.oofs.items():
        found = information_coefficient(oof.forecast, oof.label, oof.known_at, oof.session, sigma=oof.sigma_h)
        estimate, error = found.value, found.overall.se
        print(label, "IC of shuffled labels", np.round(estimate, 4), "+-", np.round(error, 4))
        assert (np.abs(estimate) < 3 * error).all()
        _, alpha = blended(oof, settings)
        assert not (np.nan_to_num(alpha) != 0).any()
