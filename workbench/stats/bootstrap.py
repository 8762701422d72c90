"""Day-block bootstrap: how sure one may be of a number when the rows of one day are not independent.

Rows of one session share its market, its news and its volatility, so that R rows carry far less than R observations.
The unit that is resampled is therefore the session, or a run of `block` consecutive sessions where labels overlap
(block >= label length in sessions). Any statistic that is a function of per-session sums can be bootstrapped without
touching the rows again: that is what makes thousands of draws on 400,000 rows cheap.

Source: Politis & Romano (1992), A circular block-resampling procedure for stationary data.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import special

from workbench.core.arrays import FloatArray, IntArray, readonly

Statistic = Callable[[FloatArray], FloatArray]
"""Maps totals (B, ...) to values (B, ...), vectorised over the first axis."""

_CHUNK_CELLS = 4_000_000  # cells of the (draws, sessions) count matrix held in memory at once


@dataclass(frozen=True, slots=True)
class Estimate:
    """One number with its standard error and interval at `level`; NaN where nothing can be said, with the `reason`."""

    value: float
    se: float
    low: float
    high: float
    level: float
    reason: str = ""

    @classmethod
    def unknown(cls, reason: str, level: float = 0.95) -> Estimate:
        """An estimate of which nothing is known, and why."""
        nan = float("nan")
        return cls(nan, nan, nan, nan, level, reason)

    def excludes_zero(self) -> bool:
        """Whether the whole interval lies on one side of zero."""
        return bool(self.low > 0 or self.high < 0)

    def scaled(self, factor: float) -> Estimate:
        """The estimate in another unit (`factor` > 0)."""
        return Estimate(
            self.value * factor, self.se * factor, self.low * factor, self.high * factor, self.level, self.reason
        )


@dataclass(frozen=True, slots=True)
class Bootstrapped:
    """A statistic `estimate` (...) with its B bootstrap `draws` (B, ...) from `blocks` independent blocks.

    Intervals are estimate +- t_(blocks-1) * se: with many blocks they agree with the percentile interval; with few,
    where percentiles are known to be too narrow, they stay honest. `se` is the standard deviation of the draws times
    sqrt(k/(k-1)), k blocks (the bootstrap divides by k). Fewer than 2 blocks: NaN.

    >>> b = day_block_bootstrap(np.c_[[1.0, 2.0, 3.0, 4.0], np.ones(4)], lambda s: s[..., 0] / s[..., 1], seed=1)
    >>> float(b.estimate), b.blocks, bool(b.interval(0.95)[0] < 2.5 < b.interval(0.95)[1])
    (2.5, 4, True)
    """

    estimate: FloatArray
    draws: FloatArray
    blocks: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "estimate", readonly(self.estimate).reshape(np.shape(self.estimate)))
        object.__setattr__(self, "draws", readonly(self.draws))

    @property
    def se(self) -> FloatArray:
        """(...) standard error."""
        if self.blocks < 2:
            return np.full_like(self.estimate, np.nan)
        return _std(self.draws) * np.sqrt(self.blocks / (self.blocks - 1))

    def interval(self, level: float = 0.95) -> tuple[FloatArray, FloatArray]:
        """(low, high), two-sided at `level`."""
        reach = self._quantile((1 + level) / 2) * self.se
        return self.estimate - reach, self.estimate + reach

    def lower(self, level: float = 0.99) -> FloatArray:
        """One-sided lower bound at `level`."""
        return self.estimate - self._quantile(level) * self.se

    def percentile(self, level: float = 0.95) -> tuple[FloatArray, FloatArray]:
        """(low, high) percentiles of the draws."""
        tail = (1 - level) / 2
        with np.errstate(invalid="ignore"):
            return np.quantile(self.draws, tail, axis=0), np.quantile(self.draws, 1 - tail, axis=0)

    def p_value(self) -> FloatArray:
        """(...) two-sided p-value of the hypothesis that the statistic is zero (t with blocks-1 degrees)."""
        se = self.se
        with np.errstate(divide="ignore", invalid="ignore"):
            t = np.where((se == 0) & (self.estimate == 0), 0.0, self.estimate / se)
        return np.asarray(2 * special.stdtr(max(self.blocks - 1, 1), -np.abs(t)))

    def scalar(self, level: float = 0.95, index: tuple[int, ...] | int = (), reason: str = "") -> Estimate:
        """One element as an :class:`Estimate`; `reason` is kept only where the value or its error is NaN."""
        low, high = self.interval(level)
        value, se = float(self.estimate[index]), float(self.se[index])
        known = np.isfinite(value) and np.isfinite(se)
        return Estimate(value, se, float(low[index]), float(high[index]), level, "" if known else reason)

    def _quantile(self, q: float) -> float:
        _check_level(q)
        return float(special.stdtrit(max(self.blocks - 1, 1), q))


def day_block_bootstrap(
    sums: FloatArray, statistic: Statistic, *, block: int = 1, draws: int = 1000, seed: int = 0
) -> Bootstrapped:
    """Bootstrap `statistic` over blocks of consecutive sessions.

    Parameters
    ----------
    sums : (D, ...) sums of finite numbers per session, in order of time; D >= 1
    statistic : maps totals over sessions (B, ...) to (B, ...); totals of a draw are scaled to D sessions
    block : sessions per block, at least the length of a label (1 for labels within a session, n for n-day labels)
    draws, seed : number of resamples and the seed of the generator; the same seed gives the same resamples
    """
    sums = np.asarray(sums, dtype=np.float64)
    _check_sums(sums, block, draws)
    n = len(sums)
    k = -(-n // block)
    totals = _resampled_totals(_block_sums(sums, min(block, n)), k, draws, seed) * (n / (k * min(block, n)))
    estimate = statistic(sums.sum(axis=0)[None])[0]
    return Bootstrapped(np.asarray(estimate), statistic(totals), max(n // block, 1))


def session_sums(values: FloatArray, session: IntArray) -> tuple[IntArray, FloatArray]:
    """(sessions (D,), sums (D, ...)): `values` (R, ...) summed by session, in order of time; NaN must be gone.

    >>> session_sums(np.array([1.0, 2.0, 4.0]), np.array([7, 9, 7]))
    (array([7, 9]), array([5., 2.]))
    """
    session = np.asarray(session)
    if len(session) != len(values):
        raise ValueError(f"session has {len(session)} rows, values {len(values)}; pass one session per row")
    if len(session) == 0:
        return np.array([], np.int64), np.zeros((0, *np.shape(values)[1:]))
    if (np.diff(session) < 0).any():
        order = np.argsort(session, kind="stable")
        values, session = values[order], session[order]
    starts = np.flatnonzero(np.r_[True, np.diff(session) != 0])
    return session[starts].astype(np.int64), np.add.reduceat(values, starts, axis=0)


def _block_sums(sums: FloatArray, block: int) -> FloatArray:
    """(D, ...) sums over `block` consecutive sessions from each start, going round at the end."""
    if block == 1:
        return sums
    wrapped = np.concatenate([sums, sums[: block - 1]])
    return np.lib.stride_tricks.sliding_window_view(wrapped, block, axis=0).sum(axis=-1)


def _resampled_totals(blocks: FloatArray, k: int, draws: int, seed: int) -> FloatArray:
    """(B, ...) sums of `k` blocks drawn with replacement."""
    n, rest = len(blocks), blocks.shape[1:]
    flat = blocks.reshape(n, -1)
    rng = np.random.default_rng(seed)
    out = np.empty((draws, flat.shape[1]))
    step = max(1, _CHUNK_CELLS // max(n, k))
    for a in range(0, draws, step):
        b = min(a + step, draws)
        picks = rng.integers(n, size=(b - a, k)) + np.arange(b - a)[:, None] * n
        counts = np.bincount(picks.ravel(), minlength=(b - a) * n).reshape(b - a, n)
        out[a:b] = counts.astype(np.float64) @ flat
    return out.reshape(draws, *rest)


def _std(draws: FloatArray) -> FloatArray:
    """Standard deviation over the finite draws; NaN where there are fewer than 2 (never a warning)."""
    ok = np.isfinite(draws)
    count = ok.sum(axis=0)
    mean = np.where(ok, draws, 0).sum(axis=0) / np.maximum(count, 1)
    variance = np.where(ok, (draws - mean) ** 2, 0).sum(axis=0) / np.maximum(count, 1)
    return np.where(count >= 2, np.sqrt(variance), np.nan)


def _check_sums(sums: FloatArray, block: int, draws: int) -> None:
    if sums.ndim < 1 or len(sums) == 0:
        raise ValueError("the day-block bootstrap needs the sums of at least one session; got none")
    if not np.isfinite(sums).all():
        raise ValueError("per-session sums hold NaN or infinity; drop unknown rows before summing")
    if block < 1 or draws < 2:
        raise ValueError(f"block {block} must be >= 1 session and draws {draws} >= 2")


def _check_level(q: float) -> None:
    if not 0 < q < 1:
        raise ValueError(f"confidence level leads to the quantile {q}, which must lie strictly between 0 and 1")
