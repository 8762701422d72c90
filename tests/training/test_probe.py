"""The truncation probe catches what looks ahead and passes what does not; shuffled labels leave nothing to find."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from workbench.core.errors import DataError, LookAheadError
from workbench.decision.costs import CostModel
from workbench.features.engine import build_history
from workbench.training import probe as probes
from workbench.training.fitting import fit_stages
from workbench.training.probe import shuffle_labels, truncation_probe
from workbench.training.walkforward import train


def probe(small, **more):
    m = small.market
    return truncation_probe(m.bars, m.daily, m.universe, small.settings, **more)


def leaking(change):
    """A feature builder whose history went through `change(history, values)`."""

    def build(bars, daily, universe, settings):
        history = build_history(bars, daily, universe, settings)
        values = history.values.copy()
        change(history, values)
        return replace(history, values=values)

    return build


def test_the_features_labels_forecasts_and_calibrators_of_the_house_pass(small):
    report = probe(small, full=small.history)
    assert report.passed
    assert set(report.values) == {"features", "labels", "forecasts", "calibrators"}
    assert min(report.values.values()) > 0
    assert report.segments == 2
    assert "unchanged over 2 segments" in report.detail


def test_whatever_is_trained_and_wherever_the_probe_compares_forecasts_here(small):
    """multi_task alone fits nothing with one horizon of each axis, and a cluster cannot see where a probe works."""
    training = {"strategies": ("multi_task",), "scheduler": "dask://127.0.0.1:1"}
    m = small.market
    report = truncation_probe(m.bars, m.daily, m.universe, small.settings.change(training=training), full=small.history)
    assert report.values["forecasts"] > 0


def test_a_probe_with_nothing_to_compare_proves_nothing(small, monkeypatch):
    monkeypatch.setattr(probes, "train", lambda *what, **how: replace(train(*what, **how), oofs={}))
    with pytest.raises(DataError, match=r"FTRLProximal forecasts neither 5m nor 1d before .* nothing to compare"):
        probe(small, full=small.history)


def test_a_feature_scaled_by_the_whole_sample_is_caught_by_name(small):
    def change(history, values):
        values[:, :, 3] /= np.nanstd(values[:, :, 3])

    name = small.history.names[3]
    with pytest.raises(LookAheadError, match=rf"features: values {name} of \w+ at \S+ is .* it looks ahead"):
        probe(small, build=leaking(change))


def test_a_feature_that_knows_the_rest_of_its_session_is_caught(small):
    def change(history, values):
        for session in np.unique(history.session):
            rows = history.session == session
            values[rows, :, 0] = np.nan_to_num(values[rows, :, 0]).mean(axis=0)

    with pytest.raises(LookAheadError, match=f"features: values {small.history.names[0]}"):
        probe(small, build=leaking(change))


def test_a_feature_that_peeks_one_bar_ahead_is_caught_at_the_cut(small):
    def change(history, values):
        values[:-1, :, 1] = values[1:, :, 1]

    with pytest.raises(LookAheadError, match="it looks ahead"):
        probe(small, build=leaking(change))


def test_a_sigma_that_looks_ahead_is_caught_too(small):
    def build(bars, daily, universe, settings):
        history = build_history(bars, daily, universe, settings)
        return replace(history, level=history.level * len(bars.ts))

    with pytest.raises(LookAheadError, match="features: level"):
        probe(small, build=build)


def test_a_cut_before_any_segment_is_refused(small):
    with pytest.raises(DataError, match="no walk-forward segment ends before"):
        probe(small, cut=int(small.market.bars.ts[100]))


def test_shuffling_keeps_the_numbers_and_the_time_of_day(small):
    table = small.labels["30m"]
    mixed = shuffle_labels(small.labels, 3)["30m"]
    for n in range(2):
        np.testing.assert_array_equal(np.sort(np.abs(mixed.value[:, n])), np.sort(np.abs(table.value[:, n])))
    np.testing.assert_array_equal(np.isnan(mixed.value).all(axis=1), np.isnan(table.value).all(axis=1))
    known = np.isfinite(mixed.peak) & np.isfinite(table.peak)
    assert np.isfinite(mixed.peak).sum() == np.isfinite(table.peak).sum()
    assert (mixed.peak[known] != table.peak[known]).mean() > 0.1
    assert abs(np.corrcoef(mixed.value[known], table.value[known])[0, 1]) < 0.05
    np.testing.assert_array_equal(mixed.matured_at, table.matured_at)
    np.testing.assert_array_equal(mixed.sigma_h, table.sigma_h)
    again = shuffle_labels(small.labels, 3)["30m"]
    assert again.digest == mixed.digest
    assert shuffle_labels(small.labels, 4)["30m"].digest != mixed.digest


def test_shuffled_labels_through_the_whole_chain_find_nothing(small):
    m = small.market
    mixed = shuffle_labels(small.labels, 1)
    trained = train(m.bars, m.daily, small.history, mixed, small.settings, final=False)
    for oof in trained.oofs.values():
        known = np.isfinite(oof.label)
        f, y = oof.forecast[known, 0] / oof.sigma_h[known], oof.label[known] / oof.sigma_h[known]
        day = np.unique(oof.session[known], return_inverse=True)[1]
        each = np.bincount(day, f * y) / np.sqrt(np.bincount(day, f * f) * np.bincount(day, y * y) + 1e-300)
        assert abs(each.mean()) < 4 * each.std() / np.sqrt(len(each)) + 1e-3
    fitted = fit_stages(trained.oofs, None, small.settings, CostModel(small.settings.costs), small.history)
    assert not any(slope > 0.5 for slope in fitted.stages.blender.slope_.values())
