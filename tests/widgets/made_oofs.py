"""Out-of-fold forecasts made up for the tests of views: how good each model is, is known."""

from __future__ import annotations

import numpy as np

from workbench.core.calendar import sessions_between
from workbench.core.horizon import horizon
from workbench.core.types import ModelKey, OofForecasts
from workbench.core.units import NS_PER_DAY, NS_PER_MINUTE

SYMBOLS = 8


def make_oof(label="15m", models=(("A", 0.3), ("B", 0.15), ("C", 0.0)), *, strategy="single_task", bars=6, seed=0):
    """60 sessions, `bars` decisions each, of 8 symbols; `models`: name -> correlation of its forecast with the label.

    Folds 1 to 4; two barrier classifiers whose probabilities are right.
    """
    h, rng = horizon(label), np.random.default_rng(seed)
    day = sessions_between("2025-05-12", "2025-09-30")
    picked = np.arange(60)
    steps = 5 * NS_PER_MINUTE * np.arange(bars)
    known = np.repeat((day.open_ns[picked, None] + 30 * NS_PER_MINUTE + steps).ravel(), SYMBOLS)
    session = np.repeat(day.date[picked], bars * SYMBOLS)
    rows, sigma = len(known), 0.002
    label_ = rng.normal(size=rows)
    forecast = np.column_stack([ic * label_ + np.sqrt(1 - ic**2) * rng.normal(size=rows) for _, ic in models])
    fold = 1 + np.repeat(picked // 15, bars * SYMBOLS)
    peak, valley = rng.uniform(0.1, 0.5, (2, rows))
    side = rng.random(rows)
    return OofForecasts(
        horizon=h, symbols=tuple(f"S{i}" for i in range(SYMBOLS)),
        keys=tuple(ModelKey(name, strategy, label) for name, _ in models), barrier_families=("A", "B"),
        known_at=known, matured_at=known + h.minutes * NS_PER_MINUTE,
        fitted_until=np.array([known[fold == f].min() for f in range(1, 5)])[fold - 1] - 3 * NS_PER_DAY,
        session=session, symbol=np.tile(np.arange(SYMBOLS), rows // SYMBOLS), bucket=np.full(rows, 1), fold=fold,
        forecast=forecast * sigma, label=label_ * sigma, skip_label=rng.normal(size=rows) * sigma,
        naive_label=label_ * sigma, sigma_h=np.full(rows, sigma),
        p_peak=np.column_stack([peak, peak]), p_valley=np.column_stack([valley, valley]),
        peak=(side < peak).astype(float), valley=(side > 1 - valley).astype(float),
        embargo_ns=NS_PER_DAY, data_origin="embedded",
    )  # fmt: skip


class SamePool:
    """A barrier stack that takes the classifiers at their word."""

    def __init__(self, shift: float = 0.0) -> None:
        self.shift = shift

    def apply_rows(self, oof: OofForecasts) -> tuple[np.ndarray, np.ndarray]:
        return oof.p_peak.mean(axis=1) + self.shift, oof.p_valley.mean(axis=1) + self.shift
