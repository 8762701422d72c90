"""The engine against a slow Python engine that recomputes everything from lists of what was seen."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from workbench.config import FeatureSettings
from workbench.core.universe import Instrument, Universe
from workbench.features.engine import build_history

_path = Path(__file__).parents[1] / "reference" / "features_reference.py"
_spec = importlib.util.spec_from_file_location("features_reference", _path)
reference = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(reference)

SETTINGS = FeatureSettings(warmup_sessions=2, sigma_halflife_sessions=5, profile_halflife_sessions=5)


@pytest.fixture(scope="module")
def both(market, punch):
    """(engine's history, reference) on 4 symbols and 11 sessions, the early close among them, with holes."""
    rows = np.flatnonzero(np.isin(market.bars.session, np.unique(market.bars.session)[8:19]))
    bars = market.bars.rows(rows[0], rows[-1] + 1).select(market.bars.symbols[:4])
    assert 42 in bars.bars_in_session
    rng = np.random.default_rng(11)
    hole = rng.random(bars.shape) < 0.05
    hole[:78, 1] = True
    bars = punch(bars, hole)
    leverage, sectors = (1.0, 1.0, -3.0, 1.0), ("A", "A", "A", "UNKNOWN")
    universe = Universe(tuple(Instrument(s, leverage=x, sector=g) for s, x, g in zip(bars.symbols, leverage, sectors)))
    expected = reference.run(bars, [1, 1, -1, 1], [0, 0, 0, -1], 5.0, 5.0, 2)
    return build_history(bars, None, universe, SETTINGS), expected


def test_the_level_of_variance_and_what_each_session_starts_with(both):
    history, expected = both
    for name in ("level", "profile", "volume_profile", "overnight", "daily_volume"):
        np.testing.assert_allclose(getattr(history, name), expected[name], rtol=1e-10, err_msg=name)


def test_every_own_and_cross_sectional_feature(both):
    history, expected = both
    compared = [name for name in history.names if name in expected]
    assert len(compared) >= 45
    for name in compared:
        got = history.values[:, :, history.names.index(name)]
        np.testing.assert_allclose(got, expected[name], rtol=1e-7, atol=1e-9, err_msg=name)
        assert np.isfinite(got).mean() > 0.5, name


def test_ranks_breadth_and_dispersion(both):
    history, _ = both
    column = {name: history.values[:, :, i] for i, name in enumerate(history.names)}
    for of, rank in (("ret_1", "rank_ret_1"), ("resid_12", "rank_resid_12"), ("volume_ratio", "rank_volume")):
        for values, ranks in zip(column[of][-100:], column[rank][-100:]):
            there = np.isfinite(values)
            below = (values[there][:, None] > values[there]).sum(axis=1)
            same = (values[there][:, None] == values[there]).sum(axis=1)
            want = (below + (same - 1) / 2) / max(there.sum() - 1, 1) - (0.5 if there.sum() > 1 else 0)
            np.testing.assert_allclose(ranks[there], want, atol=1e-15)


def test_quote_features_follow_from_the_last_quotes(market):
    bars = market.bars
    history = build_history(bars, None, market.universe, SETTINGS)
    column = {name: history.values[:, :, i] for i, name in enumerate(history.names)}
    t = 1000
    depth = bars.bid_size[t] + bars.ask_size[t]
    imbalance = (bars.bid_size - bars.ask_size) / (bars.bid_size + bars.ask_size)
    np.testing.assert_allclose(column["queue_imbalance"][t], imbalance[t])
    np.testing.assert_allclose(column["queue_imbalance_6"][t], imbalance[t - 5 : t + 1].mean(axis=0), rtol=1e-9)
    weights = 0.5 ** (np.arange(t + 1)[::-1] / 390)
    rms = np.sqrt((weights[:, None] * bars.ofi[: t + 1] ** 2).sum(axis=0) / weights.sum())
    np.testing.assert_allclose(column["ofi_1"][t], np.clip(bars.ofi[t] / rms, -5, 5), rtol=1e-9)
    np.testing.assert_allclose(
        column["ofi_6"][t], np.clip(bars.ofi[t - 5 : t + 1].sum(axis=0) / np.sqrt(6) / rms, -5, 5), rtol=1e-9
    )
    weights = 0.5 ** (np.arange(t + 1)[::-1] / 156)
    mean_depth = (weights[:, None] * (bars.bid_size + bars.ask_size)[: t + 1]).sum(axis=0) / weights.sum()
    np.testing.assert_allclose(column["depth_ratio"][t], np.clip(np.log(depth / mean_depth), -3, 3), rtol=1e-8)
    mean_spread = (weights[:, None] * history.spread[: t + 1]).sum(axis=0) / weights.sum()
    want = np.clip(np.log(np.maximum(history.spread[t], 1e-12) / mean_spread), -2, 2)
    np.testing.assert_allclose(column["spread_ratio"][t], want, rtol=1e-8)
