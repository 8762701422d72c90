"""A small embedded market with strong alpha, its features and its labels, made once."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from workbench.config import Settings
from workbench.data.simulate import Market, MarketSettings, simulate
from workbench.features.engine import build_history
from workbench.features.history import FeatureHistory
from workbench.training.labels import Labels, make_daily_labels, make_labels


@dataclass(frozen=True)
class Small:
    """What training takes."""

    market: Market
    history: FeatureHistory
    labels: dict[str, Labels]
    settings: Settings


@pytest.fixture(scope="session")
def small() -> Small:
    market = simulate(
        MarketSettings(symbols=8, intraday_sessions=36, daily_sessions=200, minute=False, ic=0.2, sectors=2)
    )
    training = {"families": ("FTRLProximal",), "segments": 3, "profile": "demo", "jobs": 1, "max_rows": 6000,
                "max_rows_slow": 2000, "max_rows_sequential": 2000}  # fmt: skip
    settings = Settings().change(training=training, system={"horizons": ("5m", "30m", "1d")})
    history = build_history(market.bars, market.daily, market.universe, settings.features)
    labels = make_labels(market.bars, history, settings.labels)
    labels |= make_daily_labels(market.daily, history, settings.labels)
    return Small(market, history, labels, settings)
