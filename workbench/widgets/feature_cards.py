"""What features and labels show of themselves in a cell."""

from __future__ import annotations

from typing import Any

import numpy as np

from workbench.core.arrays import FloatArray
from workbench.core.calendar import iso_date
from workbench.core.types import Features
from workbench.features.history import FeatureHistory
from workbench.training.labels import Labels
from workbench.widgets import html


def history_card(history: FeatureHistory) -> str:
    """What a history holds."""
    h = history
    if not len(h):
        return html.card("Features", "no bar")
    spread = "estimated" if h.spread_estimated else "quoted"
    return html.card("Features of every bar", "5-minute features are known at the end of their bar, daily ones before "
                     "the session opens", html.facts({
        "bars": len(h), "symbols": len(h.symbols), "5-minute features": len(h.names),
        "daily features": len(h.daily_names),
        "first": iso_date(int(h.session[0])), "last": iso_date(int(h.session[-1])),
        "values known": html.percent(float(np.isfinite(h.values).mean())), "spread": spread, "content": h.digest[:16],
    }))  # fmt: skip


def features_card(features: Features) -> str:
    """The features of one moment: each over the symbols."""
    n, length, f = features.window.shape
    rows = []
    for i, name in enumerate(features.names):
        column = features.latest[:, i]
        known = column[np.isfinite(column)]
        low, middle, high = np.quantile(known, [0, 0.5, 1]) if len(known) else (np.nan,) * 3
        rows.append((name, f"{len(known)} of {n}", low, middle, high))
    return html.card(f"{f} features of {n} symbols", f"with a window of {length} bars; schema {features.schema[:16]}",
                     html.table(("feature", "known", "lowest", "median", "highest"), rows))  # fmt: skip


def labels_card(labels: Labels) -> str:
    """The labels of one horizon: how many, how large, and how often each barrier comes first."""
    scaled = labels.value / np.where(labels.sigma_h > 0, labels.sigma_h, np.nan)
    known = scaled[np.isfinite(scaled)]
    both, neither = (
        share_of(labels.peak + labels.valley == 2, labels),
        share_of(labels.peak + labels.valley == 0, labels),
    )
    return html.card(f"Labels, {labels.horizon}", "return from a tradable entry after the decision; peak: the lower "
                     "barrier is touched first, valley: the upper", html.facts({
        "rows": len(labels.known_at), "symbols": len(labels.symbols),
        "with a label": int(np.isfinite(labels.value).sum()), "mean, bps": html.bps(mean_of(labels.value)),
        "deviation, in sigma_h": float(known.std()) if len(known) else np.nan,
        "peak": html.percent(mean_of(labels.peak)), "valley": html.percent(mean_of(labels.valley)),
        "both in one bar": html.percent(both), "neither": html.percent(neither),
    }))  # fmt: skip


def share_of(which: Any, labels: Labels) -> float:
    known = np.isfinite(labels.peak) & np.isfinite(labels.valley)
    return float(which[known].mean()) if known.any() else float("nan")


def mean_of(panel: FloatArray) -> float:
    """Mean of what is known; NaN where nothing is."""
    known = panel[np.isfinite(panel)]
    return float(known.mean()) if len(known) else float("nan")
