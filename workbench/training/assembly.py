"""From the results of cells to OofForecasts: rows of one horizon, each with the proof that it was out of fold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Assembly:
    """Everything that OOF tables are made of. `panels`: "bars" and "days"; `results`: of every cell."""

    panels: Mapping[str, Panel]
    labels: Mapping[str, Labels]
    history: FeatureHistory
    results: Mapping[Cell, CellResult]
    data_origin: str

    def oof(self, h: Horizon, segments: Sequence[Segment], embargo_ns: int) -> OofForecasts | None:
        """The out-of-fold forecasts of `h`, in decimals; None when no model was ever fitted.

        A model that abstained in every segment leaves the table; one that abstained in some has NaN there.
        """
        labels = self.labels[h.label]
        mine = {c: r for c, r in self.results.items() if c.horizon == h.label and c.segment is not None}
        models, barriers = _spoke(mine, ("value",)), _spoke(mine, ("peak", "valley"))
        if not models and not barriers:
            return None
        share = self.panels["days" if h.is_day else "bars"].known_share()
        parts = [predictable(labels, share, s) for s in segments]
        rows = Rows(np.concatenate([p.bar for p in parts]), np.concatenate([p.column for p in parts]))
        fold = np.repeat([s.number for s in segments], [len(p) for p in parts])
        sigma = rows.of(labels.sigma_h)
        columns = _Columns(mine, segments, [len(p) for p in parts])
        returns = [find_strategy(s).expected_return(columns.of(f, s, "value"), sigma) for f, s in models]
        return OofForecasts(
            horizon=h,
            symbols=labels.symbols,
            keys=tuple(ModelKey(family, strategy, h.label) for family, strategy in models),
            barrier_families=tuple(family for family, _ in barriers),
            known_at=labels.known_at[rows.bar],
            matured_at=labels.matured_at[rows.bar],
            fitted_until=_knew(mine, fold),
            session=labels.session[rows.bar],
            symbol=rows.column,
            bucket=np.zeros(len(rows), np.int64) if h.is_day else self.history.bucket[rows.bar],
            fold=fold,
            forecast=_matrix(returns, len(rows)),
            label=rows.of(labels.value),
            skip_label=rows.of(labels.skip),
            naive_label=rows.of(labels.naive),
            sigma_h=sigma,
            p_peak=_matrix([columns.of(f, s, "peak") for f, s in barriers], len(rows)),
            p_valley=_matrix([columns.of(f, s, "valley") for f, s in barriers], len(rows)),
            peak=rows.of(labels.peak),
            valley=rows.of(labels.valley),
            embargo_ns=embargo_ns,
            data_origin=self.data_origin,
        )


@dataclass(frozen=True, slots=True)
class _Columns:
    """The predictions of one horizon, segment after segment; `counts` are the rows of each."""

    mine: Mapping[Cell, CellResult]
    segments: Sequence[Segment]
    counts: Sequence[int]

    def of(self, family: str, strategy: str, target: str) -> FloatArray:
        """(R,) predictions of one model over all segments; NaN where it abstained."""
        wanted = (family, strategy, target)
        found = {c.segment: r.prediction for c, r in self.mine.items() if (c.family, c.strategy, c.target) == wanted}
        return np.concatenate([found.get(s, np.full(n, np.nan)) for s, n in zip(self.segments, self.counts)])


def _spoke(mine: Mapping[Cell, CellResult], targets: tuple[str, ...]) -> list[tuple[str, str]]:
    """(family, strategy) in the order of the cells, of those with at least one fitted cell for `targets`."""
    return list(dict.fromkeys((c.family, c.strategy) for c, r in mine.items() if c.target in targets and not r.reason))


def _knew(mine: Mapping[Cell, CellResult], fold: IntArray) -> IntArray:
    """(R,) last moment that any model which predicted the row's segment knew of."""
    out = np.zeros(len(fold), np.int64)
    for cell, result in mine.items():
        at = fold == (cell.segment.number if cell.segment is not None else np.iinfo(np.int64).min)
        out[at] = np.maximum(out[at], result.fitted_until)
    return out


def _matrix(columns: list[FloatArray], rows: int) -> Any:
    return np.column_stack(columns) if columns else np.empty((rows, 0))
