"""The full zoo on a slice of the real panel: 20 families x 3 strategies x 3 horizons within an hour on 2 cores."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from real_panel import panel

from workbench.artifacts import load_models

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.soak

SYMBOLS, HORIZONS, BUDGET_S = 20, "5m,30m,60m", 3600


def workbench(*args: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", "workbench.cli", *args], stdout=subprocess.PIPE, text=True, cwd=ROOT, check=True
    ).stdout


def test_the_full_zoo_on_real_bars_within_an_hour(tmp_path):
    bars, out = tmp_path / "bars", tmp_path / "out"
    bars.mkdir()
    for file in sorted(panel().glob("*.parquet")):
        table = pq.read_table(file).to_pandas()
        table[table["symbol"].isin(sorted(table["symbol"].unique())[:SYMBOLS])].to_parquet(bars / file.name)
    workbench("import", "--data", str(bars), "--out", str(out))
    start = time.monotonic()
    train = ["train", "--families", "all", "--strategies", "all", "--horizons", HORIZONS, "--profile", "demo", "--out", str(out)]  # fmt: skip # noqa: E501
    outcome = json.loads(workbench(*train, "--json"))
    seconds = time.monotonic() - start
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    print(f"\nreal panel, {SYMBOLS} symbols, {HORIZONS}, 20 x 3 models: {seconds / 60:.1f} min, {peak:.2f} GiB")
    print(workbench("blend", "--out", str(out)))
    print(workbench("zoo", "--out", str(out)))
    cells = [
        c
        for c in json.loads(workbench("zoo", "--out", str(out), "--json"))["cells"]
        if c["horizon"] in HORIZONS.split(",")
    ]
    print(Counter(c["verdict"] for c in cells))
    assert outcome["probe"]["passed"] is True
    assert len(cells) == 180
    assert all(c["trained"] for c in cells)
    assert not any(c["weight"] and not c["beats_constant"] for c in cells)
    assert len(load_models(out / "models", outcome["models"]).models) == 180  # each agrees with its library to 1e-5
    again = time.monotonic()
    assert json.loads(workbench(*train, "--json"))["unchanged"] is True
    assert time.monotonic() - again < 60
    assert seconds < BUDGET_S
