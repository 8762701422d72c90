"""The table of models: values from elsewhere, the correction over all cells, and the leak warning."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from workbench.analysis.model_table import model_table
from workbench.core.horizon import horizon
from workbench.stats.multiplicity import holm


def test_cells_hold_the_three_coefficients(make):
    oof = make.oof(horizon("5m"))
    row = model_table({"5m": oof}).cell("LightGBM", "5m")
    for name, label in (("ic", oof.label), ("skip", oof.skip_label), ("naive", oof.naive_label)):
        r = [
            stats.pearsonr((oof.forecast[:, 0] / oof.sigma_h)[g], (label / oof.sigma_h)[g])[0]
            for g in (oof.known_at == t for t in np.unique(oof.known_at))
        ]
        assert getattr(row, name).value == pytest.approx(np.mean(r), rel=1e-9)
    assert row.sessions == len(np.unique(oof.session))
    assert row.rows == len(oof)


def test_holm_runs_over_all_cells(make):
    oofs = {k: make.oof(horizon(k)) for k in ("30m", "5m", "1d")}
    table = model_table(oofs)
    assert table.horizons == ("5m", "30m", "1d")
    assert [r.horizon for r in table.rows] == ["5m"] * 5 + ["30m"] * 5 + ["1d"] * 5
    np.testing.assert_allclose([r.p_holm for r in table.rows], holm([r.p_value for r in table.rows]))
    assert table.cell("LightGBM", "5m").p_holm < 0.05
    assert table.cell("LSTM", "5m").p_holm > 0.05


def test_overlapping_labels_are_resampled_in_long_blocks(make):
    """One drifting view held for months: 20-day labels that overlap must not look like 200 independent days."""
    oof = make.oof(horizon("20d"), sessions=200, families=("LightGBM",))
    drift = np.repeat(np.sin(np.arange(200) / 12), 12) * np.sign(oof.symbol - 5.5)
    oof = replace(oof, forecast=drift[:, None] * oof.sigma_h[:, None], label=np.abs(drift) * drift * oof.sigma_h)
    wrong = replace(oof, horizon=horizon("1d"), keys=(oof.keys[0]._replace(horizon="1d"),))
    assert model_table({"20d": oof}).rows[0].ic.se >= 0
    assert model_table({"20d": oof}).rows[0].lower_99 <= model_table({"1d": wrong}).rows[0].lower_99


@pytest.mark.parametrize(("origin", "signal", "leaks"), [("bars", 0.2, 1), ("bars", 0.03, 0), ("embedded", 0.2, 0)])
def test_a_result_too_good_on_real_bars_warns(make, origin, signal, leaks):
    oof = make.oof(horizon("5m"), signal=signal, origin=origin, families=("LightGBM",))
    table = model_table({"5m": oof})
    assert len(table.leaks) == leaks
    if leaks:
        assert "a leak until proven otherwise" in table.leaks[0]
        assert "LightGBM at 5m" in table.leaks[0]
        assert table.rows[0].lower_99 > 0.05


def test_fewer_than_five_names_are_pooled(make):
    oof = make.oof(horizon("5m"), symbols=1, bars=60, families=("LightGBM",))
    table = model_table({"5m": oof})
    assert table.kind == "pooled"
    s = oof.sigma_h
    assert table.rows[0].ic.value == pytest.approx(stats.pearsonr(oof.forecast[:, 0] / s, oof.label / s)[0], rel=1e-9)


def test_what_is_unknown_says_why(make):
    oof = make.oof(horizon("5m"))
    mute = replace(oof, forecast=np.full_like(oof.forecast, np.nan))
    row = model_table({"5m": mute}).rows[0]
    assert np.isnan([row.ic.value, row.p_value, row.p_holm]).all()
    assert "no row has both" in row.ic.reason
    assert not row.leak
    assert model_table({"5m": oof.take(slice(0, 0))}).rows[0].rows == 0
    assert model_table({}).rows == ()
