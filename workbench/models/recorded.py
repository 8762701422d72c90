"""Stage 3 in research: out-of-fold forecasts played back, so that a backtest asks no model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from workbench.core.arrays import FloatArray, IntArray
from workbench.core.errors import DataError, ProvenanceError
from workbench.core.horizon import N_HORIZONS, Horizon
from workbench.core.types import Forecasts, ModelKey, OofForecasts, Snapshot
from workbench.models.base import Stack


class RecordedForecasts:
    """A predictor that answers from `oofs` (horizon label -> out-of-fold rows) instead of asking models.

    Intraday rows are found by the snapshot's `known_at`, rows of day horizons by its `session`; what was not forecast
    is NaN. p_peak, p_valley are the `stack` (None: NaN) of the recorded raw probabilities, computed once. `horizons`
    restricts the labels. Values are scattered into dense arrays at construction, T moments x (M + 2H) x N float64, so
    that a look-up takes some 10 microseconds.
    """

    def __init__(
        self, oofs: Mapping[str, OofForecasts], stack: Stack | None, horizons: Iterable[Horizon | str] | None = None
    ) -> None:
        wanted = set(oofs) if horizons is None else {str(h) for h in horizons}
        used = sorted((oof for label, oof in oofs.items() if label in wanted), key=lambda oof: oof.horizon.order)
        if not used:
            raise DataError(f"no out-of-fold forecasts for {sorted(wanted)}; there are {sorted(oofs)}")
        self.symbols = used[0].symbols
        for oof in used:
            if oof.symbols != self.symbols:
                raise DataError(f"{oof.horizon}: its forecasts are for other symbols than those of {used[0].horizon}")
        self.keys: tuple[ModelKey, ...] = tuple(key for oof in used for key in oof.keys)
        self._horizon_of = np.array([oof.horizon.order for oof in used for _ in oof.keys], np.int64)
        intraday, day = ([oof for oof in used if oof.horizon.is_day == is_day] for is_day in (False, True))
        self._intraday = _Table.of(intraday, stack, len(self.symbols), "known_at")
        self._day = _Table.of(day, stack, len(self.symbols), "session")

    def predict(self, snapshot: Snapshot) -> Forecasts:
        """What was forecast, out of fold, for this bar and this session."""
        if snapshot.symbols != self.symbols:
            raise DataError(
                f"the snapshot holds {len(snapshot.symbols)} symbols from {snapshot.symbols[0]}, the forecasts "
                f"{len(self.symbols)} from {self.symbols[0]}: they must be the same in the same order"
            )
        intraday, day = self._intraday.at(snapshot.known_at), self._day.at(snapshot.session)
        expected = np.concatenate([intraday[0], day[0]])
        peak, valley = np.where(self._intraday.rows, intraday[1], day[1])
        shut = ~snapshot.horizon_open
        if shut.any():
            expected[shut[self._horizon_of]] = np.nan
            peak[shut] = valley[shut] = np.nan
        return Forecasts(self.keys, expected, peak, valley)


@dataclass(frozen=True, slots=True)
class _Table:
    """Dense rows by moment: `forecast` (T + 1, M, N), `barrier` (T + 1, 2, H, N), NaN in the last; `rows` (H, 1)."""

    where: dict[int, int]  # known_at or session -> row
    forecast: FloatArray
    barrier: FloatArray
    rows: Any

    @classmethod
    def of(cls, oofs: list[OofForecasts], stack: Stack | None, n: int, axis: str) -> _Table:
        moments = np.unique(np.concatenate([getattr(oof, axis) for oof in oofs])) if oofs else np.empty(0, np.int64)
        models = sum(len(oof.keys) for oof in oofs)
        forecast = np.full((len(moments) + 1, models, n), np.nan)
        barrier = np.full((len(moments) + 1, 2, N_HORIZONS, n), np.nan)
        rows = np.zeros((N_HORIZONS, 1), np.bool_)
        first = 0
        for oof in oofs:
            at = np.searchsorted(moments, getattr(oof, axis))
            _refuse_duplicates(oof, at)
            columns = np.arange(first, first + len(oof.keys))
            forecast[at[:, None], columns[None, :], oof.symbol[:, None]] = oof.forecast
            if stack is not None:
                for side, p in enumerate(stack.apply_rows(oof)):
                    barrier[at, side, oof.horizon.order, oof.symbol] = p
            rows[oof.horizon.order] = True
            first += len(oof.keys)
        return cls({int(m): i for i, m in enumerate(moments)}, forecast, barrier, rows)

    def at(self, moment: int) -> tuple[FloatArray, FloatArray]:
        row = self.where.get(moment, -1)
        return self.forecast[row], self.barrier[row]


def _refuse_duplicates(oof: OofForecasts, at: IntArray) -> None:
    place = at * len(oof.symbols) + oof.symbol
    if len(np.unique(place)) == len(place):
        return
    first, count = np.unique(place, return_counts=True)
    row = int(np.argmax(place == first[np.argmax(count > 1)]))
    raise ProvenanceError(
        f"{oof.horizon}: {oof.symbols[oof.symbol[row]]} is forecast twice at {oof.known_at[row]} ns; "
        "folds must not overlap"
    )
