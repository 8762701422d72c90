"""What one model's out-of-fold forecasts say, and how two cells differ: rows of a horizon, scaled by sigma_h."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workbench.analysis.calibration import bin_index
from workbench.core.arrays import FloatArray, IntArray
from workbench.core.types import ModelKey, OofForecasts
from workbench.stats.bootstrap import Bootstrapped, Estimate, day_block_bootstrap, session_sums
from workbench.stats.ic import MIN_NAMES, InformationCoefficient, Kind, information_coefficient

BINS = 15
LEVEL = 0.95
NO_COMMON_DAY = "there is no session in which both cells have an IC: one of them says the same of every name"
NOTHING_SHARED = "the two cells have no decision in common"


@dataclass(frozen=True, slots=True)
class Bins:
    """K bins of about equal numbers of rows: mean `x`, mean `y` with its interval `low`, `high`, and `count` rows."""

    x: FloatArray
    y: FloatArray
    low: FloatArray
    high: FloatArray
    count: IntArray


def binned(
    x: FloatArray, y: FloatArray, session: IntArray, *, bins: int = BINS, block: int = 1, level: float = LEVEL
) -> Bins:
    """Mean of y (R,) by bins of x (R,), with intervals from blocks of `block` sessions; rows with a NaN are left out.

    Equal x share a bin. No row: no bin. Fewer than two blocks: intervals are NaN.

    >>> b = binned(np.arange(6.0), np.arange(6.0) * 2, np.repeat([0, 1], 3), bins=2)
    >>> b.x.tolist(), b.y.tolist(), b.count.tolist()
    ([1.0, 4.0], [2.0, 8.0], [3, 3])
    """
    known = np.isfinite(x) & np.isfinite(y)
    x, y, session = x[known], y[known], session[known]
    if not len(x):
        none = np.zeros(0)
        return Bins(none, none, none, none, none.astype(np.int64))
    index = bin_index(x, bins)
    member = index[:, None] == np.arange(index.max() + 1)
    values = member[:, :, None] * np.stack([np.ones_like(x), x, y], axis=1)[:, None, :]
    _, sums = session_sums(values, session)

    def mean_y(s: FloatArray) -> FloatArray:
        return np.divide(s[..., 2], s[..., 0], out=np.full(s.shape[:-1], np.nan), where=s[..., 0] > 0)

    count, total_x, total_y = np.moveaxis(sums.sum(axis=0), -1, 0)
    low, high = day_block_bootstrap(sums, mean_y, block=block).interval(level)
    return Bins(total_x / count, total_y / count, low, high, count.astype(np.int64))


def prediction_bins(oof: OofForecasts, model: int, *, bins: int = BINS, level: float = LEVEL) -> Bins:
    """Forecast against realised label of column `model`, both in sigma_h; blocks are as long as the label."""
    sigma = np.where(oof.sigma_h > 0, oof.sigma_h, np.nan)
    block = max(1, oof.horizon.days)
    return binned(oof.forecast[:, model] / sigma, oof.label / sigma, oof.session, bins=bins, block=block, level=level)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two cells on the `rows` decisions at which both spoke and both labels are known.

    `correlation` of their forecasts (in sigma_h; NaN with fewer than 2 rows); `first` and `second` their IC there and
    `difference` first - second over the days on which both have one, whose interval resamples the same days for both.
    `session` (D,) and `by_session` (D, 2) the IC of each day, NaN where one has none.
    """

    rows: int
    correlation: float
    first: Estimate
    second: Estimate
    difference: Estimate
    session: IntArray
    by_session: FloatArray


def compare(
    first: tuple[OofForecasts, ModelKey], second: tuple[OofForecasts, ModelKey], *, level: float = LEVEL
) -> Comparison:
    """The two cells side by side, on common ground: the same symbol at the same moment."""
    a, b = _matched(first[0], second[0])
    x, y = a.forecast[:, a.keys.index(first[1])], b.forecast[:, b.keys.index(second[1])]
    known = np.isfinite(x) & np.isfinite(y) & _learnable(a) & _learnable(b)
    if not known.any():
        unknown = Estimate.unknown(NOTHING_SHARED, level)
        empty = np.zeros(0, np.int64)
        return Comparison(0, float("nan"), unknown, unknown, unknown, empty, np.zeros((0, 2)))
    block = max(1, a.horizon.days, b.horizon.days)
    sides = [(oof.take(known), column[known]) for oof, column in ((a, x), (b, y))]
    ics = [_ic(*side, block) for side in sides]
    correlation = _correlation((x / a.sigma_h)[known], (y / b.sigma_h)[known])
    one, two = (ic.overall.scalar(level, 0) for ic in ics)
    session, by_session = _by_session(*ics)
    common = session[np.isfinite(by_session).all(axis=1)]
    difference = _difference(sides, common, block, level)
    return Comparison(int(known.sum()), correlation, one, two, difference, session, by_session)


def _learnable(oof: OofForecasts) -> np.ndarray:
    return np.isfinite(oof.label) & (oof.sigma_h > 0)


def _matched(a: OofForecasts, b: OofForecasts) -> tuple[OofForecasts, OofForecasts]:
    """The rows of both that are of the same symbol at the same moment, in the same order."""
    if a is b:
        return a, b
    place = {name: i for i, name in enumerate(dict.fromkeys((*a.symbols, *b.symbols)))}

    def named(oof: OofForecasts) -> IntArray:
        column = np.array([place[s] for s in oof.symbols], np.int64)[oof.symbol]
        key = np.empty(len(oof), dtype=[("at", np.int64), ("symbol", np.int64)])
        key["at"], key["symbol"] = oof.known_at, column
        return key

    _, left, right = np.intersect1d(named(a), named(b), assume_unique=True, return_indices=True)
    return a.take(left), b.take(right)


def _ic(rows: OofForecasts, forecast: FloatArray, block: int) -> InformationCoefficient:
    kind: Kind = "cross_section" if len(rows.symbols) >= MIN_NAMES else "pooled"
    return information_coefficient(
        forecast, rows.label, rows.known_at, rows.session, sigma=rows.sigma_h, kind=kind, block=block
    )


def _difference(sides: list[tuple[OofForecasts, FloatArray]], common: IntArray, block: int, level: float) -> Estimate:
    """First less second over the sessions `common`: one seed and the same sessions give both the same resamples."""
    if not len(common):
        return Estimate.unknown(NO_COMMON_DAY, level)
    a, b = (_ic(oof.take(at), x[at], block) for oof, x in sides for at in [np.isin(oof.session, common)])
    paired = Bootstrapped(a.value - b.value, a.overall.draws - b.overall.draws, a.overall.blocks)
    return paired.scalar(level, 0, "fewer than two independent blocks of sessions")


def _by_session(a: InformationCoefficient, b: InformationCoefficient) -> tuple[IntArray, FloatArray]:
    session = np.union1d(a.session, b.session)
    out = np.full((len(session), 2), np.nan)
    for column, ic in enumerate((a, b)):
        out[np.searchsorted(session, ic.session), column] = ic.by_session[:, 0]
    return session, out


def _correlation(x: FloatArray, y: FloatArray) -> float:
    x, y = x - x.mean(), y - y.mean()
    size = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / size if len(x) > 1 and size > 0 else float("nan")
