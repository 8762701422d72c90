"""The job behind the notebooks."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.core.errors import WorkbenchError
from workbench.research.walk import walk


def test_the_embedded_market_fills_an_empty_workspace_and_hides_two_sessions(tmp_path):
    job = walk(tmp_path / "w", symbols=3, sessions=20, families=("FTRLProximal",))
    assert len(job.bars.symbols) == 3
    assert len(np.unique(job.bars.session)) == 20
    assert len(np.unique(job.store.serve(5).session)) == 22
    assert job.settings.training.families == ("FTRLProximal",)
    assert job.settings.features.quotes == "top"


def test_a_workspace_that_holds_bars_is_opened_as_it_is(tmp_path):
    first = walk(tmp_path / "w", symbols=3, sessions=20, families=("FTRLProximal",))
    again = walk(tmp_path / "w", symbols=9, sessions=40, families=("LightGBM",))
    assert again.bars.symbols == first.bars.symbols
    assert again.settings.training.families == ("FTRLProximal",)
    assert again.settings.data.until == first.settings.data.until


def test_bars_of_the_users_own_are_imported_once(tmp_path):
    bars = walk(tmp_path / "made", symbols=3, sessions=20).store.serve(5)
    import pandas as pd

    t, n = bars.shape
    frame = pd.DataFrame(
        {
            "ts": np.repeat(pd.to_datetime(bars.ts, utc=True), n),
            "symbol": np.tile(bars.symbols, t),
            **{name: getattr(bars, name).ravel() for name in ("open", "high", "low", "close", "volume")},
        }
    )
    frame.to_parquet(tmp_path / "mine.parquet")
    job = walk(tmp_path / "own", tmp_path / "mine.parquet")
    assert job.bars.data_origin != "embedded"
    assert np.isfinite(job.bars.close).sum() == np.isfinite(bars.close).sum()
    assert walk(tmp_path / "own", tmp_path / "mine.parquet").data_digest == job.data_digest


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(WorkbenchError, match=r"nowhere\.parquet"):
        walk(tmp_path / "w", tmp_path / "nowhere.parquet")
