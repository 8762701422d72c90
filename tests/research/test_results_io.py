"""Backtest results survive the disk exactly, and what is not one is refused by name."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from workbench.core.errors import ArtifactError
from workbench.core.results import BacktestResult
from workbench.core.types import Fill
from workbench.research.results_io import load_result, save_result


def result(fills: tuple[Fill, ...]) -> BacktestResult:
    t, n = 4, 2
    rng = np.random.default_rng(0)
    vector, panel = rng.normal(size=t), rng.normal(size=(t, n))
    return BacktestResult(
        "1x", ("A", "B"), np.arange(t), np.zeros(t), vector, vector, vector, panel, panel, np.zeros((t, n)),
        np.full((t, 9), np.nan), np.zeros((t, 9)), vector, vector, vector, vector, vector, vector, 1e6, 3, fills,
        (("max_net", 2),), "abc",
    )  # fmt: skip


@pytest.mark.parametrize("count", [0, 2])
def test_a_result_survives_the_disk(tmp_path, count):
    before = result(tuple(Fill(f"e{i}", f"o{i}", "A", -1, 5, 10.1 + i, 0.35, i, 10.0) for i in range(count)))
    save_result(tmp_path / "1.npz", before)
    after = load_result(tmp_path / "1.npz")
    for f in fields(before):
        np.testing.assert_array_equal(getattr(after, f.name), getattr(before, f.name), err_msg=f.name)
    assert list(tmp_path.iterdir()) == [tmp_path / "1.npz"]


def test_what_is_no_result_is_refused_by_name(tmp_path):
    path = tmp_path / "1.npz"
    path.write_bytes(b"nonsense")
    with pytest.raises(ArtifactError, match=r"1\.npz is not a saved backtest"):
        load_result(path)
    with pytest.raises(ArtifactError, match=r"none\.npz"):
        load_result(tmp_path / "none.npz")
