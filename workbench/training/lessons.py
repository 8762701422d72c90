"""What one fit is taught: rows, labels in sigmas, weights, context and auxiliary labels, all matured before its cutoff.

Three kinds. *One horizon* (single_task, cascade, barriers): a row is a bar of a symbol. *Shared* (multi_task, families
that learn several labels at once): the same rows with a label per horizon, NaN where it has not matured or does not
exist. *Pooled* (multi_task, the other families): a row is a bar of a symbol for one horizon.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.core.arrays import BoolArray, FloatArray
from workbench.decision.blending import DEFAULT_COST
from workbench.models.base import Family, Inputs
from workbench.models.pooled import design, place
from workbench.models.strategies import Strategy, context_columns
from workbench.models.windows import WindowView
from workbench.stats.splits import average_uniqueness, thin
from workbench.training.dataset import Panel, Rows, trainable
from workbench.training.labels import Labels

ROUND_TRIP = 2 * DEFAULT_COST
"""Cost of a round trip that a reward is charged with in training, decimal: models are fitted before costs are."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """`y`, `weight`, `auxiliary` (R,) or (R, K); `fitted_until` the last moment (ns) that any label knows of;
    `available` rows before the cap; `gap` rows that one label length covers."""

    rows: Rows
    x: Inputs
    y: FloatArray
    weight: FloatArray
    auxiliary: Mapping[str, FloatArray]
    context: tuple[str, ...]
    fitted_until: int
    available: int
    gap: int

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True, slots=True)
class Desk:
    """What lessons of one axis are made from. `probabilities` (T, N, 2) calibrated out-of-fold p_peak and p_valley of
    one horizon, for cascades; `length` bars of a window, 0 for rows; `cap` rows at most."""

    panel: Panel
    share: FloatArray
    length: int
    cap: int
    probabilities: NDArray[np.float32] | None = None

    def inputs(self, rows: Rows, names: Sequence[str] = (), context: FloatArray | None = None) -> Inputs:
        """(R, F + E) float32 features and context `names` (`context` itself, where given), or the windows that end on
        `rows`."""
        if names and context is None:
            context = self._context(rows, names)
        if self.length:
            p = self.panel
            return WindowView(p.values, p.bar_of_session, rows.bar, rows.column, self.length, context)
        x = rows.of(self.panel.values)
        return x if context is None else np.hstack([x, context.astype(np.float32)])

    def one(self, family: Family, strategy: Strategy | None, labels: Labels, target: str, cutoff_ns: int) -> Lesson:
        """The lesson of one horizon; `strategy` None: a barrier classifier for `target`."""
        mask = trainable(labels, target, self.share, cutoff_ns)
        names = strategy.inputs_of(family) if strategy is not None else ()
        if "p_peak" in names:
            mask &= self._forewarned()
        rows, available = self._thinned(mask)
        weight = rows.of(average_uniqueness(mask, _span(labels)))
        sigma = rows.of(labels.sigma_h)
        value = rows.of(getattr(labels, target))
        return Lesson(
            rows=rows,
            x=self.inputs(rows, names),
            y=value if strategy is None else strategy.label(value, sigma),
            weight=weight / weight.mean() if len(rows) else weight,
            auxiliary=_auxiliary(family, labels, mask, rows),
            context=names,
            fitted_until=_latest(labels, mask),
            available=available,
            gap=_gap(labels, rows),
        )

    def shared(self, family: Family, strategy: Strategy, labels: Sequence[Labels], cutoff_ns: int) -> Lesson:
        """The lesson of several horizons at once, a column each."""
        masks = [trainable(table, "value", self.share, cutoff_ns) for table in labels]
        rows, available = self._thinned(np.logical_or.reduce(masks))
        names = strategy.inputs_of(family)
        taught = [_column(table, mask, rows, strategy) for table, mask in zip(labels, masks, strict=True)]
        each = [_auxiliary(family, table, mask, rows) for table, mask in zip(labels, masks, strict=True)]
        return Lesson(
            rows=rows,
            x=self.inputs(rows, names),
            y=np.column_stack([y for y, _ in taught]),
            weight=np.column_stack([w for _, w in taught]),
            auxiliary={name: np.column_stack([a[name] for a in each]) for name in family.needs},
            context=names,
            fitted_until=max(_latest(table, mask) for table, mask in zip(labels, masks, strict=True)),
            available=available,
            gap=max(_gap(table, rows) for table in labels),
        )

    def pooled(self, family: Family, strategy: Strategy, labels: Sequence[Labels], cutoff_ns: int) -> Lesson:
        """The lesson of several horizons one below the other, in time order."""
        masks = np.stack([trainable(table, "value", self.share, cutoff_ns) for table in labels], axis=2)
        bar, column, task = np.nonzero(masks)
        kept = thin(len(bar), self.cap)
        rows, task = Rows(bar[kept], column[kept]), task[kept]
        parts = [_column(table, masks[:, :, k], rows, strategy) for k, table in enumerate(labels)]
        y, weight = (np.choose(task, [part[i] for part in parts]) for i in (0, 1))
        places = np.array([place(table.horizon) for table in labels])
        return Lesson(
            rows=rows,
            x=design(np.asarray(self.inputs(rows)), places[task], family.linear),
            y=y,
            weight=weight / weight.mean() if len(rows) else weight,
            auxiliary={},
            context=(),
            fitted_until=max(_latest(table, masks[:, :, k]) for k, table in enumerate(labels)),
            available=len(bar),
            gap=max(_gap(table, rows) for table in labels),
        )

    def _context(self, rows: Rows, names: Sequence[str]) -> FloatArray:
        p = None if self.probabilities is None else rows.of(self.probabilities)
        peak, valley = (None, None) if p is None else (p[:, 0], p[:, 1])
        return context_columns(names, len(rows), peak, valley, rows.column)

    def _forewarned(self) -> BoolArray:
        """(T, N) where both probabilities are known out of fold."""
        if self.probabilities is None:
            return np.zeros(self.share.shape, np.bool_)
        known: BoolArray = np.isfinite(self.probabilities).all(axis=2)
        return known

    def _thinned(self, mask: BoolArray) -> tuple[Rows, int]:
        bar, column = np.nonzero(mask)
        kept = thin(len(bar), self.cap)
        return Rows(bar[kept], column[kept]), len(bar)


def _column(labels: Labels, mask: BoolArray, rows: Rows, strategy: Strategy) -> tuple[FloatArray, FloatArray]:
    """(label in sigmas, NaN outside `mask`; uniqueness among the rows of `mask`), each (R,)."""
    inside = rows.of(mask)
    y = np.where(inside, strategy.label(rows.of(labels.value), rows.of(labels.sigma_h)), np.nan)
    return y, np.where(inside, rows.of(average_uniqueness(mask, _span(labels))), 0.0)


def _auxiliary(family: Family, labels: Labels, mask: BoolArray, rows: Rows) -> dict[str, FloatArray]:
    """What `family` needs beside the label, returns in sigmas; NaN outside `mask`, where nothing has matured."""
    inside = rows.of(mask)
    sigma = np.where(inside, rows.of(labels.sigma_h), np.nan)
    made: dict[str, Any] = {
        "peak": lambda: np.where(inside, rows.of(labels.peak), np.nan),
        "valley": lambda: np.where(inside, rows.of(labels.valley), np.nan),
        "highest": lambda: rows.of(labels.highest) / sigma,
        "lowest": lambda: rows.of(labels.lowest) / sigma,
        "cost": lambda: ROUND_TRIP / sigma,
    }
    return {name: made[name]() for name in family.needs}


def _latest(labels: Labels, mask: BoolArray) -> int:
    return int(labels.matured_at[mask.any(axis=1)].max(initial=0))


def _span(labels: Labels) -> int:
    """Rows of its axis that one label covers."""
    return labels.horizon.days or labels.horizon.bars


def _gap(labels: Labels, rows: Rows) -> int:
    """The most rows that any stretch of bars as long as one label holds: so many rows between two of them keep their
    labels apart, wherever the rows are dense (more symbols, or more horizons of a pool)."""
    before = np.concatenate([[0], np.cumsum(np.bincount(rows.bar))])
    span = min(_span(labels), len(before) - 1)
    return int((before[span:] - before[: len(before) - span]).max(initial=0))
