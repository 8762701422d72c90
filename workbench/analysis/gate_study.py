"""What the gate does: its surface, its probabilities fold by fold, and how much alpha it leaves.

Gates are those of :class:`~workbench.decision.gating.BarrierGate`; probabilities go through the stack that was in force
in their own segment, so that nothing is judged on rows it was fitted on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from workbench.analysis.calibration import CalibrationReport, calibration_report
from workbench.config import GatingSettings
from workbench.core.arrays import FloatArray, IntArray
from workbench.core.horizon import horizon
from workbench.core.types import OofForecasts
from workbench.decision.gating import BarrierGate
from workbench.stats.bootstrap import Estimate, day_block_bootstrap, session_sums
from workbench.stats.stack import SIDES, BarrierStack

GRID = 41
EDGES = np.linspace(0.0, 1.0, 41)
"""Bins of the distribution of gates."""


def with_settings(gate: BarrierGate, settings: GatingSettings) -> BarrierGate:
    """The fitted gate under other `settings`; base rates and mean gates stay those of the fit."""
    return BarrierGate.from_dict(gate.to_dict(), settings)


@dataclass(frozen=True, slots=True)
class Surface:
    """Gate (P, P) over `p` (P,): rows are p_valley, columns p_peak, of one side, horizon and time of day.

    `base` (p_peak, p_valley): the base rates at which the unclipped gate is 1.
    """

    p: FloatArray
    gate: FloatArray
    base: tuple[float, float]


def surface(gate: BarrierGate, label: str, bucket: int, *, short: bool, points: int = GRID) -> Surface:
    """The gate over all pairs of probabilities, those that cannot occur (sum above 1) NaN."""
    p = np.linspace(0.0, 1.0, points)
    peak, valley = (a.ravel() for a in np.meshgrid(p, p))
    g = gate.of_rows(label, peak, valley, np.full(peak.size, bucket), short=short)
    g = np.where(peak + valley <= 1 + 1e-9, g, np.nan).reshape(points, points)
    h = horizon(label).order
    return Surface(p, g, (float(gate.base_peak_[h, bucket]), float(gate.base_valley_[h, bucket])))


def along_adverse(
    gate: BarrierGate, label: str, bucket: int, *, short: bool, points: int = 101
) -> tuple[FloatArray, FloatArray]:
    """(p, gate), each (P,): the adverse barrier's probability from 0 to 1, the other's at its base rate."""
    p, h = np.linspace(0.0, 1.0, points), horizon(label).order
    rate = (gate.base_peak_ if short else gate.base_valley_)[h, bucket]
    other = np.full(points, float(rate))
    pair = (other, p) if short else (p, other)
    return p, gate.of_rows(label, *pair, np.full(points, bucket), short=short)


def through_own_stack(
    oof: OofForecasts, stacks: Mapping[int, BarrierStack]
) -> tuple[OofForecasts, FloatArray, FloatArray]:
    """The rows of folds that have a stack, and their calibrated p_peak and p_valley (R,): fold k through stack k."""
    rows = oof.take(np.isin(oof.fold, sorted(stacks)))
    peak, valley = np.full(len(rows), np.nan), np.full(len(rows), np.nan)
    for fold, stack in stacks.items():
        here = rows.fold == fold
        peak[here], valley[here] = stack.apply_rows(rows.take(here))
    return rows, peak, valley


def mean_known(p: FloatArray) -> FloatArray:
    """(R,) mean of the classifiers (R, B) that answered; NaN where none did.

    >>> mean_known(np.array([[0.2, 0.4], [np.nan, 0.6], [np.nan, np.nan]])).round(6).tolist()
    [0.3, 0.6, nan]
    """
    known = np.isfinite(p)
    count = known.sum(axis=1)
    total = np.where(known, p, 0.0).sum(axis=1)
    return np.divide(total, count, out=np.full(len(p), np.nan), where=count > 0)


@dataclass(frozen=True, slots=True)
class FoldCalibration:
    """One segment: Brier scores before and after the map, each with its day-block interval, and the full `report`."""

    fold: int
    brier_before: Estimate
    brier_after: Estimate
    report: CalibrationReport


@dataclass(frozen=True, slots=True)
class SideCalibration:
    """One barrier of one horizon: all segments together, and each on its own."""

    report: CalibrationReport
    folds: tuple[FoldCalibration, ...]


def side_calibration(oof: OofForecasts, stacks: Mapping[int, BarrierStack], side: str) -> SideCalibration:
    """How well the probabilities of `side` ("peak" or "valley") are calibrated, before and after the map."""
    rows, *both = through_own_stack(oof, stacks)
    after = both[SIDES.index(side)]
    before, outcome = mean_known(getattr(rows, f"p_{side}")), getattr(rows, side)
    block = max(1, oof.horizon.days)

    def measure(here: np.ndarray) -> CalibrationReport:
        return calibration_report(before[here], after[here], outcome[here], rows.session[here], block=block)

    folds = []
    for fold in np.unique(rows.fold):
        here = (rows.fold == fold) & np.isfinite(before) & np.isfinite(after) & np.isfinite(outcome)
        if here.any():
            briers = (brier(p[here], outcome[here], rows.session[here], block=block) for p in (before, after))
            folds.append(FoldCalibration(int(fold), *briers, measure(here)))
    return SideCalibration(measure(np.ones(len(rows), bool)), tuple(folds))


def brier(p: FloatArray, outcome: FloatArray, session: IntArray, *, block: int = 1, level: float = 0.95) -> Estimate:
    """Mean (p - y)^2 of known rows (R,), with its interval from blocks of `block` sessions.

    >>> brier(np.array([0.5, 1.0]), np.array([1.0, 1.0]), np.array([0, 1])).value
    0.125
    """
    _, sums = session_sums(np.stack([(p - outcome) ** 2, np.ones_like(p)], axis=1), session)
    made = day_block_bootstrap(sums, lambda s: s[..., 0] / s[..., 1], block=block)
    return made.scalar(level, reason="fewer than two independent blocks of sessions")


@dataclass(frozen=True, slots=True)
class GateRows:
    """Out-of-fold rows of one horizon as the gate sees them, all (R,): calibrated probabilities, time bucket, alpha.

    `alpha` is NaN where nobody said how much is expected.
    """

    label: str
    p_peak: FloatArray
    p_valley: FloatArray
    bucket: IntArray
    alpha: FloatArray

    @classmethod
    def of(cls, oof: OofForecasts, stacks: Mapping[int, BarrierStack], alpha: FloatArray | None = None) -> GateRows:
        """Rows whose probabilities are known; `alpha` (rows of `oof`,) of the blender, if there is one."""
        rows, peak, valley = through_own_stack(oof, stacks)
        kept = np.isin(oof.fold, sorted(stacks))
        own = np.full(len(rows), np.nan) if alpha is None else alpha[kept]
        known = np.isfinite(peak) & np.isfinite(valley)
        return cls(oof.horizon.label, peak[known], valley[known], rows.bucket[known], own[known])


@dataclass(frozen=True, slots=True)
class SideEffect:
    """What the gate does to one side: distribution `share` (K,) over EDGES and `mean`, as if every row were held so.

    `kept`: sum gate*|alpha| / sum |alpha| over the `rows` whose alpha is of this side; NaN where there is none.
    """

    share: FloatArray
    mean: float
    at_floor: float
    kept: float
    rows: int


def side_effect(gate: BarrierGate, rows: GateRows, *, short: bool) -> SideEffect:
    """The gate over `rows`, for longs or for shorts."""
    g = gate.of_rows(rows.label, rows.p_peak, rows.p_valley, rows.bucket, short=short)
    if not len(g):
        nan = float("nan")
        return SideEffect(np.full(len(EDGES) - 1, nan), nan, nan, nan, 0)
    mine = rows.alpha < 0 if short else rows.alpha > 0
    size = np.abs(rows.alpha[mine])
    kept = float((g[mine] * size).sum() / size.sum()) if size.sum() > 0 else float("nan")
    share = np.histogram(g, EDGES)[0] / len(g)
    return SideEffect(share, float(g.mean()), float((g <= gate.settings.g_min).mean()), kept, int(mine.sum()))
