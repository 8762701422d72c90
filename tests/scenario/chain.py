"""Markets and walk-forwards small enough for tests, and the blend as it stood in each segment."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from workbench.config import Settings
from workbench.core.types import OofForecasts
from workbench.data.simulate import Market, MarketSettings, simulate
from workbench.decision.blending import HorizonBlender
from workbench.features.engine import build_history
from workbench.features.history import FeatureHistory
from workbench.training.labels import make_daily_labels, make_labels
from workbench.training.walkforward import Trained, train


@dataclass(frozen=True)
class Studied:
    """A market and what was learned of it."""

    market: Market
    history: FeatureHistory
    trained: Trained
    settings: Settings


def study(market_settings: MarketSettings, settings: Settings, cache: Path, change_labels=None) -> Studied:
    """Features, labels (changed by `change_labels`) and a walk-forward without final models."""
    market = simulate(market_settings)
    history = build_history(market.bars, market.daily, market.universe, settings.features)
    labels = {
        **make_labels(market.bars, history, settings.labels, market.minute),
        **make_daily_labels(market.daily, history, settings.labels),
    }
    labels = {k: v for k, v in labels.items() if k in settings.system.horizons}
    if change_labels is not None:
        labels = change_labels(labels)
    trained = train(market.bars, market.daily, history, labels, settings, cache, final=False)
    return Studied(market, history, trained, settings)


def blended(oof: OofForecasts, settings: Settings) -> tuple[OofForecasts, np.ndarray]:
    """The rows of folds 2..K and the alpha that the blender fitted on earlier folds gave them."""
    rows, alphas = [], []
    for fold in np.unique(oof.fold)[1:]:
        here = oof.take(oof.fold == fold)
        before = oof.matured_before(int(here.known_at.min()) - settings.training.embargo_sessions * 86_400 * 10**9)
        blender = HorizonBlender(settings.blending, settings.training.min_windows).fit({oof.horizon.label: before})
        rows.append(np.flatnonzero(oof.fold == fold))
        alphas.append(blender.oof_alpha(here))
    order = np.concatenate(rows)
    return oof.take(order), np.concatenate(alphas)
