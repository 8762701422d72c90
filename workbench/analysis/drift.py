"""Do live features still look like those that the models were trained on? One distance per feature, with its yardstick.

Distance of Kolmogorov and Smirnov between the live values and those of training, NaN left out of both::

    D = sup over x of |F_live(x) - F_past(x)|, in [0, 1]

A session is one draw of a market regime, not thousands of independent rows, so a p-value from the number of rows would
call every session drifted. The yardstick is what past sessions do themselves: `usual` is the 95th percentile of D of
one past session against all others. Source: Kolmogorov (1933), Smirnov (1948).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from workbench.core.arrays import FloatArray
from workbench.core.errors import DataError

USUAL = 0.95
LEAST_SESSIONS = 10
"""Past sessions without which there is no yardstick: `usual` is NaN."""


@dataclass(frozen=True, slots=True)
class FeatureDrift:
    """(F,) each. `distance` D of the live values, `usual` its yardstick; means and the deviation of the past values;
    `missing` and `past_missing`: shares of NaN. NaN where nothing is known. `rows` live rows, `sessions` past ones."""

    names: tuple[str, ...]
    distance: FloatArray
    usual: FloatArray
    live_mean: FloatArray
    past_mean: FloatArray
    past_sd: FloatArray
    missing: FloatArray
    past_missing: FloatArray
    rows: int
    sessions: int

    @property
    def drifted(self) -> np.ndarray:
        """(F,) True where the distance passes what 19 of 20 past sessions stay below; unknown is False."""
        passed: np.ndarray = self.distance > self.usual
        return passed


def feature_drift(names: Sequence[str], live: FloatArray, past: Sequence[FloatArray]) -> FeatureDrift:
    """Drift of `live` (R, F) against the sessions `past`, each (R_k, F). :class:`DataError` where shapes disagree."""
    width = len(names)
    for what, values in (("live", live), *((f"past[{k}]", p) for k, p in enumerate(past))):
        if values.ndim != 2 or values.shape[1] != width:
            raise DataError(f"{what} has shape {values.shape}; give (rows, {width}), one column per feature name")
    if not past:
        raise DataError("no past session was given; pass those that the models were trained on")
    everything = np.concatenate(list(past))
    distance = np.array([ks_distance(live[:, f], everything[:, f]) for f in range(width)])
    return FeatureDrift(
        names=tuple(names),
        distance=distance,
        usual=np.array([_usual([p[:, f] for p in past]) for f in range(width)]),
        live_mean=_mean(live),
        past_mean=_mean(everything),
        past_sd=_sd(everything),
        missing=np.isnan(live).mean(axis=0) if len(live) else np.full(width, np.nan),
        past_missing=np.isnan(everything).mean(axis=0),
        rows=len(live),
        sessions=len(past),
    )


def ks_distance(a: FloatArray, b: FloatArray) -> float:
    """D of two samples, NaN left out; NaN where one is empty.

    >>> ks_distance(np.array([1.0, 2.0]), np.array([3.0, 4.0])), ks_distance(np.array([1.0]), np.array([np.nan]))
    (1.0, nan)
    """
    a, b = np.sort(a[~np.isnan(a)]), np.sort(b[~np.isnan(b)])
    if not len(a) or not len(b):
        return float("nan")
    at = np.concatenate([a, b])
    below_a = np.searchsorted(a, at, side="right") / len(a)
    below_b = np.searchsorted(b, at, side="right") / len(b)
    return float(np.abs(below_a - below_b).max())


def _usual(sessions: list[FloatArray]) -> float:
    """USUAL quantile of D of each session against all others together."""
    known = [v[~np.isnan(v)] for v in sessions]
    size = np.array([len(v) for v in known])
    if (size > 0).sum() < LEAST_SESSIONS:
        return float("nan")
    values, owner = np.concatenate(known), np.repeat(np.arange(len(known)), size)
    order = np.argsort(values, kind="stable")
    last_of_tie = np.r_[np.diff(values[order]) > 0, True]
    own = np.cumsum(owner[order] == np.arange(len(known))[:, None], axis=1)[:, last_of_tie]  # (K, distinct values)
    others = own.sum(axis=0) - own
    kept = size > 0
    apart = own[kept] / size[kept, None] - others[kept] / (size.sum() - size[kept, None])
    return float(np.quantile(np.abs(apart).max(axis=1), USUAL))


def _mean(values: FloatArray) -> FloatArray:
    """Column means of what is known; NaN where nothing is."""
    count = (~np.isnan(values)).sum(axis=0)
    return np.where(count > 0, np.nansum(values, axis=0) / np.maximum(count, 1), np.nan)


def _sd(values: FloatArray) -> FloatArray:
    """Column deviations of what is known; NaN for fewer than two values."""
    count = (~np.isnan(values)).sum(axis=0)
    squares = np.nansum((values - _mean(values)) ** 2, axis=0)
    return np.where(count > 1, np.sqrt(squares / np.maximum(count - 1, 1)), np.nan)
