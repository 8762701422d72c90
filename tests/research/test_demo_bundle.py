"""The bundle that ships: small, verified, symbol-agnostic, and marked as trained on a simulated market."""

from __future__ import annotations

import numpy as np

from workbench.artifacts import load_bundle
from workbench.core.types import Book
from workbench.data.simulate import MarketSettings, simulate
from workbench.features.engine import build_history
from workbench.research.demo_bundle import DEMO_BUNDLE, MAX_BYTES


def test_it_is_small_verified_and_says_where_it_comes_from():
    assert sum(p.stat().st_size for p in DEMO_BUNDLE.rglob("*") if p.is_file()) <= MAX_BYTES
    bundle = load_bundle(DEMO_BUNDLE / "models", DEMO_BUNDLE / "blenders")
    assert bundle.data_origin == "embedded"
    assert len({key.horizon for key in bundle.models.models}) == 9


def test_it_forecasts_any_symbols():
    from workbench.config import FeatureSettings, Settings
    from workbench.decision.pipeline import decide

    market = simulate(MarketSettings(symbols=5, intraday_sessions=20, daily_sessions=300, seed=99, minute=False))
    history = build_history(market.bars, market.daily, market.universe, FeatureSettings(quotes="top"))
    stages = load_bundle(DEMO_BUNDLE / "models", DEMO_BUNDLE / "blenders").stages(Settings())
    snapshot = history.snapshot(len(history) - 30, window=64)
    decision = decide(snapshot, Book.flat(snapshot.symbols, 1e6), stages)
    assert np.isfinite(decision.forecasts.expected_return).any(axis=1).sum() >= 20
    again = decide(snapshot, Book.flat(snapshot.symbols, 1e6), stages)
    assert again.digest == decision.digest
