"""The job behind the notebooks."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.core.calendar import iso_date
from workbench.core.errors import WorkbenchError
from workbench.research.walk import pick, walk


def test_the_embedded_market_fills_an_empty_workspace_and_hides_two_sessions(tmp_path):
    job = walk(tmp_path / "w", symbols=3, sessions=20, families=("FTRLProximal",))
    assert len(job.bars.symbols) == 3
    assert len(np.unique(job.bars.session)) == 20
    assert len(np.unique(job.store.serve(5).session)) == 22
    assert job.settings.training.families == ("FTRLProximal",)
    assert job.settings.features.quotes == "top"


def test_a_workspace_that_holds_bars_is_opened_as_it_is(tmp_path, capsys):
    first = walk(tmp_path / "w", symbols=3, sessions=20, families=("FTRLProximal",))
    again = walk(tmp_path / "w", symbols=9, sessions=40, families=("LightGBM",))
    told = capsys.readouterr().out
    assert "families FTRLProximal, not LightGBM; symbols 3, not 9; sessions 20, not 40" in told
    assert again.bars.symbols == first.bars.symbols
    assert again.settings.training.families == ("FTRLProximal",)
    assert again.settings.data.until == first.settings.data.until


def test_research_sees_a_day_more_each_night_and_nothing_beyond(tmp_path, capsys):
    shape = {"symbols": 3, "sessions": 20, "families": ("FTRLProximal",)}
    first = walk(tmp_path / "w", **shape)
    dates = [iso_date(int(d)) for d in np.unique(first.store.serve(5).session)]
    assert first.settings.data.until == dates[19]
    later = walk(tmp_path / "w", **shape, until=dates[20])
    assert iso_date(int(later.bars.session[-1])) == iso_date(int(later.daily.session[-1])) == dates[20]
    assert later.history.ts[-1] == later.bars.ts[-1]
    assert later.data_digest != first.data_digest
    again = walk(tmp_path / "w", **shape)
    assert (again.settings.data.until, again.data_digest) == (dates[20], later.data_digest)
    assert "opened as it is" not in capsys.readouterr().out  # a day more is no other workspace
    rows = len(first.history.ts)
    assert first.history.ts[-1] == first.bars.ts[-1] < later.bars.ts[-1]
    np.testing.assert_array_equal(later.history.values[:rows], first.history.values)
    for label, seen in later.labels.items():
        known = seen.matured_at[np.isfinite(seen.value).any(axis=1)]
        assert known.max() <= later.bars.ts[-1], label


def test_a_date_that_is_none_is_refused(tmp_path):
    with pytest.raises(WorkbenchError, match="until"):
        walk(tmp_path / "w", symbols=3, sessions=20, families=("FTRLProximal",), until="yesterday")


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


def test_an_option_of_the_command_is_translated_for_a_notebook(tmp_path):
    bare = tmp_path / "bare.csv"
    bare.write_text("symbol,time,open,high,low,close,volume\nAAA,2025-03-03 09:35:00,1,1,1,1,5\n")
    with pytest.raises(WorkbenchError, match="no time zone") as told:
        walk(tmp_path / "w", bare)
    (note,) = told.value.__notes__
    assert f"workbench import --data {bare.resolve()} --out {(tmp_path / 'w').resolve()}" in note

    with pytest.raises(WorkbenchError, match="is a file") as told:
        walk(bare)
    assert told.value.__notes__ == ["in a notebook, --out is the parameter `workspace`"]


def test_a_parameter_names_what_there_is():
    assert pick({"5m": 1, "30m": 2}, "30m", "horizon") == 2
    assert pick(["resid_3"], "resid_3", "feature") == "resid_3"
    with pytest.raises(WorkbenchError, match=r"no horizon '7m'\..* There are 5m, 30m"):
        pick({"5m": 1, "30m": 2}, "7m", "horizon")
