"""ChangePoint: a linear model of the rows since what the features say about the label last changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from workbench.core.arrays import FloatArray
from workbench.models.base import Task
from workbench.models.export import INPUT, Graph
from workbench.models.fitted import ONNX_FILE, FittedModel, constant_model, header_of
from workbench.models.learner import Effort, Learner
from workbench.models.losses import TINY, constant_score, score
from workbench.models.prepare import GAP_FRACTION, Sample, Standardiser
from workbench.models.ridge import SHRINKAGE, base_of, linear, scale_of, sigmoid

BLOCKS, SMALLEST = 40, 50
WATCHED = 5
SHORTEST = 4
CAUTION = 3.0
SHARES = (0.0, 0.5, 1.0)


@dataclass(frozen=True, slots=True)
class ChangePoint(Learner):
    """Breaks in the relation of label and features, and a ridge on the rows since the last one (tabular).

    Rows come in time order and are cut into at most 40 blocks of equal length (none shorter than a label). Of each
    block b and standardised feature j it takes the correlation c_bj of label and feature (blind to the label's
    variance, which comes and goes without meaning anything), in units of its own noise (from the differences of
    neighbouring blocks, so that overlapping labels do not pass for breaks). Of the 5 features whose correlation moves
    most, the blocks are parted so that sum of (c_bj - mean of its part)^2 + penalty x breaks is least, exactly, by
    dynamic programming; the penalty is what a break of noise rarely saves. The model is linear::

        b = (1 - a) b_all + a b_since

    b_all a ridge on all rows, b_since on those since the last break; squared error for returns, log loss (with the
    constant of that time) for barriers. The share a (0, 1/2 or 1) and a common scale are chosen on the last
    20 % of the rows, beyond a purged gap, with breaks that were found before the gap; then breaks and ridges are
    found in all rows (a stays 1/2 where the earlier rows had no break to learn it from). If nothing beats the
    constant on those rows, it is the constant. NaN is the mean.
    Source: Jackson et al. 2005, IEEE SPL (optimal partitioning); Killick et al. 2012, JASA; Pesaran and Timmermann
    2007, J. Econometrics (forecasts after breaks).
    """

    name: str = "ChangePoint"
    slow: bool = False
    classifies: bool = True
    linear: bool = True

    def learn(self, sample: Sample, how: Effort) -> FittedModel:
        """See :class:`~workbench.models.learner.Learner`; nothing here is random."""
        early, late = sample.split(how.gap)
        standardiser = Standardiser.fit(early.x)
        gap = round(GAP_FRACTION * len(sample)) if how.gap is None else how.gap
        share, scale = _tuned(late, Lines.fit(early, standardiser, gap), constant_score(early, late))
        if scale == 0:
            return constant_model(sample, "no line beats the constant on later rows")
        lines = Lines.fit(sample, standardiser, gap)
        share = 0.5 if share is None else share
        return _fitted(sample, lines, lines.mixed(share) * scale, share)


@dataclass(frozen=True, slots=True)
class Lines:
    """(F + 1,) coefficients on standardised features, constant last, of all rows and of those since the last break."""

    standardiser: Standardiser
    every: FloatArray
    since: FloatArray
    base: float
    starts: list[int]
    task: Task

    @classmethod
    def fit(cls, sample: Sample, standardiser: Standardiser, gap: int) -> Lines:
        """Breaks and lines of `sample`, of which nothing later is known here."""
        z = standardiser.apply(sample.x).astype(np.float64)
        design = np.column_stack([z, np.ones(len(z))])
        base, mean = base_of(sample), np.average(sample.y, weights=sample.weight)
        starts = breaks(z, sample.y - mean, sample.weight, gap)
        every, since = (
            linear(design[row:], sample.y[row:], sample.weight[row:], SHRINKAGE * (len(z) - row), sample.task, base)
            for row in (0, starts[-1] if starts else 0)
        )
        return cls(standardiser, every, since, base, starts, sample.task)

    def mixed(self, share: float) -> FloatArray:
        """(F + 1,) the line with `share` of what is new. Of a regressor without its constant: drift is no forecast."""
        line = (1 - share) * self.every + share * self.since
        line[-1] = line[-1] if self.task == "classify" else 0.0
        return line


def _tuned(late: Sample, lines: Lines, constant: float) -> tuple[float | None, float]:
    """The best share on the later rows (None where there was no break to learn it from), and the scale, 0 for none."""
    z, best, chosen = lines.standardiser.apply(late.x), constant, (0.0, 0.0)
    for share in SHARES if lines.starts else SHARES[:1]:
        line = lines.mixed(share)
        scale = scale_of(_score(z, line), late, lines.base)
        if (now := score(late, _predict(z, scale * line, lines.base, late.task))) > best:
            best, chosen = now, (share, scale)
    return (chosen[0] if lines.starts else None), chosen[1]


def _score(z: Any, line: FloatArray) -> Any:
    return z @ line[:-1].astype(np.float32) + np.float32(line[-1])


def _predict(z: Any, line: FloatArray, base: float, task: str) -> Any:
    return sigmoid(_score(z, line) + np.float32(base)) if task == "classify" else _score(z, line)


def breaks(z: FloatArray, y: FloatArray, weight: FloatArray, gap: int) -> list[int]:
    """Rows at which a new relation of y (R,) and z (R, F) begins, in order; blocks hold at least `gap` rows."""
    blocks = min(BLOCKS, len(z) // max(SMALLEST, gap))
    if blocks < 2 * SHORTEST:
        return []
    edges = np.linspace(0, len(z), blocks + 1).astype(int)
    signal = block_correlations(z, y, weight, edges[:-1])
    moves = ((signal - signal.mean(axis=0)) ** 2).sum(axis=0)
    watched = np.sort(np.argsort(-moves, kind="stable")[:WATCHED])
    return [int(edges[block]) for block in segment(signal[:, watched], break_penalty(len(watched), blocks))]


def break_penalty(watched: int, blocks: int) -> float:
    """What a break must save: P(chi2_m > m + 2 sqrt(m t) + 2 t) <= exp(-t) (Laurent and Massart 2000).

    With t = log(blocks) + CAUTION the bound holds for all places of a break at once at 5 %. It is generous: it also
    pays for having chosen the features that move most (5 of 66 of noise pass it in about one sample of a hundred).
    """
    t = float(np.log(blocks)) + CAUTION
    return watched + 2 * float(np.sqrt(watched * t)) + 2 * t


def block_correlations(z: FloatArray, y: FloatArray, weight: FloatArray, starts: Any) -> FloatArray:
    """(B, F) correlation of y and each feature in the blocks that begin at rows `starts`, in units of its noise.

    The noise of a feature is at least that of the median feature: one that looks quiet by luck would seem to move.
    """
    products = np.add.reduceat(z * (weight * y)[:, None], starts)
    scale = np.add.reduceat(weight * y**2, starts)[:, None] * np.add.reduceat(z**2 * weight[:, None], starts)
    correlation = products / np.sqrt(np.where(scale > TINY, scale, np.inf))
    noise = (np.diff(correlation, axis=0) ** 2).mean(axis=0) / 2  # blind to a level that lasts
    return np.asarray(correlation / np.sqrt(np.maximum(noise, max(np.median(noise), len(starts) / len(z)))))


def segment(signal: FloatArray, penalty: float) -> list[int]:
    """Blocks that begin a new part: sum of squares about the parts' means + penalty x breaks is least.

    Parts hold at least SHORTEST blocks.

    >>> segment(np.repeat([[0.0], [3.0]], 10, axis=0), 20.0), segment(np.repeat([[0.0], [3.0]], 10, axis=0), 50.0)
    ([10], [])
    """
    total = np.vstack([np.zeros(signal.shape[1]), signal.cumsum(axis=0)])
    square = np.append(0.0, (signal**2).sum(axis=1).cumsum())
    n = len(signal)
    best, came_from = np.full(n + 1, np.inf), np.zeros(n + 1, int)
    best[0] = -penalty
    for stop in range(SHORTEST, n + 1):
        start = np.arange(stop - SHORTEST + 1)
        within = ((total[stop] - total[start]) ** 2).sum(axis=1) / (stop - start)
        cost = best[start] + square[stop] - square[start] - within + penalty
        came_from[stop] = np.argmin(cost)
        best[stop] = cost[came_from[stop]]
    found, stop = [], n
    while (stop := int(came_from[stop])) > 0:
        found.append(stop)
    return found[::-1]


def _fitted(sample: Sample, lines: Lines, line: FloatArray, share: float) -> FittedModel:
    graph = Graph((sample.x.shape[1],))
    out = graph.affine(graph.standardised(INPUT, lines.standardiser), line[:-1, None], line[-1:] + lines.base)
    if sample.task == "classify":
        out = graph.add("Sigmoid", out)
    since = lines.starts[-1] if lines.starts else 0
    info: dict[str, float | int | str] = {
        "rows": len(sample), "breaks": len(lines.starts), "rows_since": len(sample) - since,
        "share_since": share if lines.starts else 0.0,
    }  # fmt: skip

    def native(x: Any) -> Any:
        return _predict(lines.standardiser.apply(x), line, lines.base, sample.task)

    content = {ONNX_FILE: graph.finish(out)}
    return FittedModel(sample.family, sample.task, header_of(sample, "onnx"), content, native, info)
