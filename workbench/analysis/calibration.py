"""Do probabilities mean what they say? Reliability, Brier skill and ECE with day-block uncertainty.

- Brier score: mean (p - y)^2; skill over the base rate: 1 - Brier / Brier of always saying the base rate.
- ECE: sum over bins of (share of rows) * |mean p - mean y|, bins of equal numbers of rows.
- A finite sample of a perfect forecaster has ECE > 0, and days are not coin tosses: the null is built by resampling
  days of the residuals y - p, with each bin's mean residual removed (perfect calibration, the same clustering). An ECE
  below the 95th percentile of that null gives no reason to doubt the calibration.

Sources: Brier (1950); Naeini, Cooper & Hauskrecht (2015) (ECE); Broecker & Smith (2007) (consistency resampling).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workbench.core.arrays import BoolArray, FloatArray, IntArray
from workbench.stats.bootstrap import Estimate, day_block_bootstrap

BINS = 10


@dataclass(frozen=True, slots=True)
class Reliability:
    """K bins: mean `predicted` probability, `observed` frequency with its interval `low`, `high`, and `count` rows."""

    predicted: FloatArray
    observed: FloatArray
    low: FloatArray
    high: FloatArray
    count: IntArray


@dataclass(frozen=True, slots=True)
class Calibration:
    """How well one set of probabilities is calibrated. `ece_null_95`: 95th percentile of ECE if it were perfect."""

    rows: int
    sessions: int
    base_rate: float
    brier: float
    skill: Estimate
    ece: float
    ece_null_95: float
    reliability: Reliability
    reason: str = ""

    @property
    def consistent(self) -> bool:
        """Whether the ECE is one that a perfectly calibrated forecaster could show on these days."""
        return bool(self.ece <= self.ece_null_95)


@dataclass(frozen=True, slots=True)
class CalibrationReport:
    """The same rows before and after the calibration map."""

    before: Calibration
    after: Calibration


def calibration_report(
    p_raw: FloatArray,
    p_calibrated: FloatArray,
    outcome: FloatArray,
    session: IntArray,
    *,
    base: FloatArray | None = None,
    bins: int = BINS,
    block: int = 1,
    level: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> CalibrationReport:
    """Calibration before and after, on the rows (R,) where both probabilities and the outcome are known."""
    p_raw, p_calibrated, outcome = (np.asarray(a, dtype=np.float64) for a in (p_raw, p_calibrated, outcome))
    if not len(p_raw) == len(p_calibrated) == len(outcome) == len(session):
        raise ValueError(
            f"p_raw, p_calibrated, outcome and session have {len(p_raw)}, {len(p_calibrated)}, {len(outcome)} and "
            f"{len(session)} rows; pass one of each per row"
        )
    both = np.isfinite(p_raw) & np.isfinite(p_calibrated)
    y = np.where(both, outcome, np.nan)

    def measure(p: FloatArray) -> Calibration:
        return calibration(p, y, session, base=base, bins=bins, block=block, level=level, draws=draws, seed=seed)

    return CalibrationReport(measure(p_raw), measure(p_calibrated))


def calibration(
    p: FloatArray,
    outcome: FloatArray,
    session: IntArray,
    *,
    base: FloatArray | None = None,
    bins: int = BINS,
    block: int = 1,
    level: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> Calibration:
    """Calibration of `p` (R,) in [0, 1] against `outcome` (R,) 0 or 1.

    `base` (R,): the base rate as it was known before each row; None takes the rate of these rows, which favours the
    base and so makes the skill conservative. `block`: sessions per block, at least the label's length. NaN rows are
    left out. Rows of one class only, or of one session: NaN with a reason.
    """
    p, y, day, b = _clean(p, outcome, session, base)
    if len(y) == 0:
        return _nothing("no row has a probability and an outcome", level)
    index = bin_index(p, bins)
    sums = _day_bin_sums(p, y, b, index, day)
    totals = sums.sum(axis=0)
    options = {"block": block, "draws": draws, "seed": seed}
    skill = day_block_bootstrap(sums.sum(axis=1), _skill_of_sums, **options)
    reason = "all outcomes are the same" if np.ptp(y) == 0 else "fewer than two independent blocks of sessions"
    return Calibration(
        rows=len(y),
        sessions=len(sums),
        base_rate=float(y.mean()),
        brier=float(np.mean((p - y) ** 2)),
        skill=skill.scalar(level, reason=reason),
        ece=float(_ece_of_sums(totals[None])[0]),
        ece_null_95=_ece_null(sums, **options),
        reliability=_reliability(sums, level, **options),
        reason=reason if not np.isfinite(skill.estimate) else "",
    )


def _clean(
    p: FloatArray, outcome: FloatArray, session: IntArray, base: FloatArray | None
) -> tuple[FloatArray, FloatArray, IntArray, FloatArray | None]:
    p, y = np.asarray(p, dtype=np.float64), np.asarray(outcome, dtype=np.float64)
    if p.shape != y.shape or len(session) != len(y) or (base is not None and len(base) != len(y)):
        raise ValueError(f"p {p.shape}, outcome {y.shape} and session ({len(session)},) must have one value per row")
    ok: BoolArray = np.isfinite(p) & np.isfinite(y)
    b = None if base is None else np.asarray(base, dtype=np.float64)[ok]
    p, y, day = p[ok], y[ok], np.asarray(session, dtype=np.int64)[ok]
    if ((p < 0) | (p > 1)).any():
        raise ValueError(f"probability {p[(p < 0) | (p > 1)][0]} lies outside [0, 1]")
    if not np.isin(y, (0.0, 1.0)).all():
        raise ValueError(f"outcome {y[~np.isin(y, (0.0, 1.0))][0]} must be 0, 1 or NaN (unknown)")
    return p, y, day, b


def bin_index(p: FloatArray, bins: int) -> IntArray:
    """(R,) bin 0..K-1 of about equal numbers of rows; equal probabilities share a bin."""
    if bins < 1:
        raise ValueError(f"bins {bins} must be at least 1")
    inner = np.quantile(p, np.arange(1, bins) / bins)
    raw = np.searchsorted(np.unique(inner), p, side="left")
    return np.unique(raw, return_inverse=True)[1].astype(np.int64)


def _day_bin_sums(
    p: FloatArray, y: FloatArray, base: FloatArray | None, index: IntArray, session: IntArray
) -> FloatArray:
    """(D, K, 6): count, sum p, sum y, sum (p-y)^2, sum (base-y)^2, 1 where base is given; by session and bin."""
    day = np.unique(session, return_inverse=True)[1]
    k = int(index.max()) + 1
    cell, shape = day * k + index, (int(day.max()) + 1, k)
    reference = np.zeros_like(y) if base is None else (base - y) ** 2
    given = np.full_like(y, 0.0 if base is None else 1.0)
    columns = (np.ones_like(y), p, y, (p - y) ** 2, reference, given)
    parts = [np.bincount(cell, weights=c, minlength=shape[0] * k).reshape(shape) for c in columns]
    return np.stack(parts, axis=-1)


def _skill_of_sums(sums: FloatArray) -> FloatArray:
    n, _, y, brier, reference, given = np.moveaxis(sums, -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        base = np.where(given > 0, reference, y - y * y / n)
        return np.where(base > 1e-12 * n, 1 - brier / base, np.nan)


def _ece_of_sums(sums: FloatArray) -> FloatArray:
    """(B,) from totals (B, K, >=3)."""
    return np.abs(sums[..., 1] - sums[..., 2]).sum(axis=-1) / sums[..., 0].sum(axis=-1)


def _ece_null(sums: FloatArray, block: int, draws: int, seed: int) -> float:
    """95th percentile of ECE when every bin is calibrated and days cluster as they do."""
    blocks = len(sums) // block
    if blocks < 2:
        return float("nan")
    count, residual = sums[..., 0], sums[..., 2] - sums[..., 1]
    mean = residual.sum(axis=0) / count.sum(axis=0)
    centred = (residual - mean * count) * np.sqrt(blocks / (blocks - 1))
    null = np.stack([count, np.zeros_like(count), centred], axis=-1)
    return float(np.quantile(day_block_bootstrap(null, _ece_of_sums, block=block, draws=draws, seed=seed).draws, 0.95))


def _reliability(sums: FloatArray, level: float, block: int, draws: int, seed: int) -> Reliability:
    def frequency(s: FloatArray) -> FloatArray:
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(s[..., 0] > 0, s[..., 2] / s[..., 0], np.nan)

    totals = sums.sum(axis=0)
    low, high = day_block_bootstrap(sums, frequency, block=block, draws=draws, seed=seed).interval(level)
    count = totals[:, 0]
    return Reliability(
        totals[:, 1] / count, totals[:, 2] / count, np.clip(low, 0, 1), np.clip(high, 0, 1), count.astype(np.int64)
    )


def _nothing(reason: str, level: float) -> Calibration:
    nan, none = float("nan"), np.zeros(0)
    empty = Reliability(none, none, none, none, none.astype(np.int64))
    return Calibration(0, 0, nan, nan, Estimate.unknown(reason, level), nan, nan, empty, reason)
