"""From the results of cells to OofForecasts: rows of one horizon, each with the proof that it was out of fold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.core.arrays import FloatArray, IntArray
from workbench.core.horizon import Horizon
from workbench.core.types import ModelKey, OofForecasts
from workbench.models.strategies import find_strategy
from workbench.stats.splits import Segment
from workbench.training.cells import Cell, CellResult
from workbench.training.dataset import Panel, Rows, predictable
from workbench.training.labels import Labels

if TYPE_CHECKING:
    from workbench.features.history import FeatureHistory


def assemble(
    h: Horizon,
    segments: tuple[Segment, ...],
    embargo_ns: int,
    panels: Mapping[str, Panel],
    labels: Labels,
    history: FeatureHistory,
    results: Mapping[Cell, CellResult],
    data_origin: str,
) -> OofForecasts | None:
    """The out-of-fold forecasts of `h`, in decimals; None when no regression model was ever fitted.

    A model that abstained in every segment leaves the table; one that abstained in some has NaN there.
    """
    share = panels["days" if h.is_day else "bars"].known_share()
    rows = {s.number: predictable(labels, share, s) for s in segments}
    mine = {c: r for c, r in results.items() if c.horizon == h.label and c.segment is not None}
    keys = _spoke(mine, "value")
    if not keys:
        return None
    barrier = _spoke(mine, "peak", "valley")
    every = Rows(*(np.concatenate([getattr(rows[s.number], part) for s in segments]) for part in ("bar", "column")))
    fold = np.repeat([s.number for s in segments], [len(rows[s.number]) for s in segments])

    def column(key: tuple[str, str], target: str) -> FloatArray:
        by_part = {c.segment.number: r for c, r in mine.items() if (c.family, c.strategy, c.target) == (*key, target)
                   and c.segment is not None}  # fmt: skip
        parts = [by_part[s.number].prediction if s.number in by_part else np.full(len(rows[s.number]), np.nan)
                 for s in segments]  # fmt: skip
        return np.concatenate(parts)

    sigma = every.of(labels.sigma_h)
    return OofForecasts(
        horizon=h,
        symbols=labels.symbols,
        keys=tuple(ModelKey(family, strategy, h.label) for family, strategy in keys),
        barrier_families=tuple(family for family, _ in barrier),
        known_at=labels.known_at[every.bar],
        matured_at=labels.matured_at[every.bar],
        fitted_until=_knew(mine, fold),
        session=labels.session[every.bar],
        symbol=every.column,
        bucket=np.zeros(len(every), np.int64) if h.is_day else history.bucket[every.bar],
        fold=fold,
        forecast=_columns([find_strategy(s).expected_return(column((f, s), "value"), sigma) for f, s in keys], every),
        label=every.of(labels.value),
        skip_label=every.of(labels.skip),
        naive_label=every.of(labels.naive),
        sigma_h=sigma,
        p_peak=_columns([column(key, "peak") for key in barrier], every),
        p_valley=_columns([column(key, "valley") for key in barrier], every),
        peak=every.of(labels.peak),
        valley=every.of(labels.valley),
        embargo_ns=embargo_ns,
        data_origin=data_origin,
    )


def _spoke(mine: Mapping[Cell, CellResult], *targets: str) -> list[tuple[str, str]]:
    """(family, strategy) in the order of the cells, of those with at least one fitted cell for `targets`."""
    return list(dict.fromkeys((c.family, c.strategy) for c, r in mine.items() if c.target in targets and not r.reason))


def _knew(mine: Mapping[Cell, CellResult], fold: IntArray) -> IntArray:
    """(R,) last moment that any model which predicted the row's segment knew of."""
    out = np.zeros(len(fold), np.int64)
    for cell, result in mine.items():
        if cell.segment is not None:
            at = fold == cell.segment.number
            out[at] = np.maximum(out[at], result.fitted_until)
    return out


def _columns(columns: list[FloatArray], rows: Rows) -> Any:
    return np.column_stack(columns) if columns else np.empty((len(rows), 0))
