"""What a feature looks like and whether it says anything: distribution, stability, IC by horizon, correlations.

A feature of bars is known at its bar's END; a daily feature before its session opens. Labels begin after that (see
:mod:`workbench.training.labels`), so no number here sets a feature against a price that it could have seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from workbench.core.arrays import FloatArray, IntArray
from workbench.core.horizon import Horizon
from workbench.stats.bootstrap import Estimate
from workbench.stats.ic import MIN_NAMES, Kind, information_coefficient

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
MAX_CORRELATION_ROWS = 20_000

Entry = Literal["tradable", "one bar later", "own close"]
"""Which return a feature is set against: from the entry of the labels, from the next one, or (never used) from the
feature's own close."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """A feature's values. `edges` (B+1,), `density` (B,) integrates to 1 over the known values; `known` of `rows`
    values are finite; `mean`, `sd`, `skew`, `kurtosis` (excess) and `quantiles` at QUANTILES, NaN below 2 values;
    `at_bounds` share of known values that stand on a bound of the catalogue, NaN without bounds."""

    edges: FloatArray
    density: FloatArray
    rows: int
    known: int
    mean: float
    sd: float
    skew: float
    kurtosis: float
    quantiles: FloatArray
    at_bounds: float


def edges_for(values: FloatArray, bins: int = 60) -> FloatArray:
    """(bins+1,) even edges over the middle 99.8 % of the known values and a little more; (-1, 1) with none known.

    >>> edges_for(np.array([0.0, np.nan, 1.0]), 2).round(2).tolist()
    [-0.02, 0.5, 1.02]
    """
    known = values[np.isfinite(values)]
    low, high = np.quantile(known, [0.001, 0.999]) if len(known) else (-1.0, 1.0)
    if low == high:
        low, high = low - 0.5, high + 0.5
    slack = 0.02 * (high - low)
    return np.linspace(low - slack, high + slack, bins + 1)


def distribution(values: FloatArray, edges: FloatArray, bounds: tuple[float, float] | None = None) -> Distribution:
    """Distribution of `values` (any shape) on `edges`; values outside the edges count in everything but the density."""
    flat = np.asarray(values, np.float64).ravel()
    known = flat[np.isfinite(flat)]
    count = np.histogram(known, edges)[0]
    density = count / (max(len(known), 1) * np.diff(edges))
    at = np.nan if bounds is None or not len(known) else float(np.isin(known, bounds).mean())
    if len(known) < 2:
        nan = float("nan")
        return Distribution(edges, density, len(flat), len(known), nan, nan, nan, nan, np.full(5, np.nan), at)
    mean, sd = float(known.mean()), float(known.std())
    z = (known - mean) / sd if sd > 0 else np.full(len(known), np.nan)
    return Distribution(edges, density, len(flat), len(known), mean, sd, float((z**3).mean()),
                        float((z**4).mean() - 3), np.quantile(known, QUANTILES), at)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Stability:
    """A feature over time: `session` (D,), `quantiles` (D, 5) at QUANTILES over all values of the session, `known` (D,)
    share of values that are finite. NaN quantiles where a session knows none."""

    session: IntArray
    quantiles: FloatArray
    known: FloatArray

    @property
    def drift(self) -> float:
        """Mean median of the later half less that of the earlier half, in mean interquartile ranges.

        0 for a feature whose level stays; beyond 1 the halves hardly overlap. NaN below 4 sessions.
        """
        good = np.isfinite(self.quantiles).all(axis=1)
        q = self.quantiles[good]
        width = float((q[:, 3] - q[:, 1]).mean()) if len(q) else 0.0
        if len(q) < 4 or width <= 0:
            return float("nan")
        half = len(q) // 2
        return float((q[half:, 2].mean() - q[:half, 2].mean()) / width)


def stability(values: FloatArray, session: IntArray) -> Stability:
    """Quantiles by session of `values` (T, ...), whose rows belong to `session` (T,), in order of time.

    >>> s = stability(np.array([[1.0], [3.0], [np.nan]]), np.array([7, 7, 8]))
    >>> s.session.tolist(), s.quantiles[0, 2], s.known.tolist()
    ([7, 8], np.float64(2.0), [1.0, 0.0])
    """
    starts = np.flatnonzero(np.r_[True, np.diff(session) != 0]) if len(session) else np.array([], np.int64)
    out, known = np.full((len(starts), len(QUANTILES)), np.nan), np.zeros(len(starts))
    for i, (a, b) in enumerate(zip(starts, np.r_[starts[1:], len(session)])):
        part = values[a:b].ravel()
        finite = part[np.isfinite(part)]
        known[i] = len(finite) / max(len(part), 1)
        if len(finite):
            out[i] = np.quantile(finite, QUANTILES)
    return Stability(session[starts], out, known)


@dataclass(frozen=True, slots=True)
class FeatureIC:
    """IC of one feature at one horizon. `of`: entry -> estimate with its day-block interval; `kind` as it was measured;
    `pairs` rows used for the tradable entry; `blocks` independent blocks behind the interval."""

    horizon: Horizon
    kind: Kind
    of: Mapping[Entry, Estimate]
    pairs: int
    blocks: int


def feature_ic(
    values: FloatArray,
    labels: Mapping[Entry, FloatArray],
    sigma: FloatArray,
    when: IntArray,
    session: IntArray,
    horizon: Horizon,
    *,
    kind: Kind = "cross_section",
    level: float = 0.95,
) -> FeatureIC:
    """IC of `values` (T, N) with each of `labels` (T, N) divided by `sigma` (T, N), rows known at `when` (T,).

    The feature is unit-free and stays as it is. Blocks are as long as the label in sessions. With fewer than MIN_NAMES
    names a cross-section says nothing and the IC is pooled. NaN with its reason where too little is known.
    """
    n = values.shape[1]
    kind = kind if n >= MIN_NAMES else "pooled"
    row, day = np.repeat(when, n), np.repeat(session, n)
    scale = np.where(sigma > 0, sigma, np.nan)
    estimates: dict[Entry, Estimate] = {}
    pairs = blocks = 0
    for name, label in labels.items():
        ic = information_coefficient(values.ravel(), (label / scale).ravel(), row, day, kind=kind,
                                     block=max(horizon.days, 1), draws=400)  # fmt: skip
        estimates[name] = ic.overall.scalar(level, 0, "too few sessions, or the feature is the same for all names")
        if name == "tradable":
            pairs, blocks = int(ic.pairs[0]), ic.overall.blocks
    return FeatureIC(horizon, kind, estimates, pairs, blocks)


@dataclass(frozen=True, slots=True)
class FeatureCorrelation:
    """`names` F features ordered so that alike ones are neighbours; `matrix` (F, F) Pearson correlations, NaN where
    fewer than 3 rows know both or one is constant; `rows` that were looked at."""

    names: tuple[str, ...]
    matrix: FloatArray
    rows: int

    def nearest(self, name: str, count: int = 5) -> tuple[tuple[str, float], ...]:
        """The features with the largest absolute correlation to `name`, and that correlation."""
        row = self.matrix[self.names.index(name)]
        order = [i for i in np.argsort(-np.abs(row)) if np.isfinite(row[i]) and self.names[i] != name]
        return tuple((self.names[i], float(row[i])) for i in order[:count])


def feature_correlation(values: FloatArray, names: Sequence[str]) -> FeatureCorrelation:
    """Correlations of F features over all bars and symbols of `values` (T, N, F), at most MAX_CORRELATION_ROWS of them
    evenly spaced; each pair over the rows that know both."""
    flat = values.reshape(-1, values.shape[-1])
    flat = flat[:: max(1, -(-len(flat) // MAX_CORRELATION_ROWS))]
    matrix = _pairwise(flat)
    order = _alike(matrix)
    return FeatureCorrelation(tuple(names[i] for i in order), matrix[np.ix_(order, order)], len(flat))


def _pairwise(x: FloatArray) -> FloatArray:
    """(F, F) Pearson correlation of the columns, each pair over its common rows."""
    ok = np.isfinite(x).astype(float)
    count = ok.sum(axis=0)
    mean = np.where(ok > 0, x, 0.0).sum(axis=0) / np.maximum(count, 1)
    v = np.where(ok > 0, x - mean, 0.0)
    n = ok.T @ ok
    with np.errstate(divide="ignore", invalid="ignore"):
        sx, sxx = v.T @ ok, (v * v).T @ ok
        covariance = v.T @ v - sx * sx.T / n
        variance = sxx - sx**2 / n
        r = covariance / np.sqrt(variance * variance.T)
        known = (n >= 3) & (variance > 1e-12 * sxx) & (variance.T > 1e-12 * sxx.T)
    return np.where(known, np.clip(r, -1, 1), np.nan)


def _alike(matrix: FloatArray) -> IntArray:
    """(F,) order of the columns by average-linkage clustering on 1 - |r|."""
    if len(matrix) < 3:
        return np.arange(len(matrix))
    distance = 1 - np.abs(np.nan_to_num(matrix))
    np.fill_diagonal(distance, 0.0)
    distance = np.maximum((distance + distance.T) / 2, 0.0)
    return np.asarray(leaves_list(linkage(squareform(distance, checks=False), "average", optimal_ordering=True)))
