"""Stage 7, BarrierGate: attenuates alpha where the path is likely to go wrong first.

For a long, per horizon h and time bucket::

    g(p)   = (1 - p_peak)^gamma * (1/2 + p_valley/2)^delta
    gate_h = clip(g(p) / g(p_base), g_min, 1)

`p_base` is the mean calibrated out-of-fold probability of that bucket: without it the gate would measure the clock. For
a short, peak and valley swap, in p and in p_base. The gates of the horizons are mixed by the arbitration weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol, Self

import numpy as np

from workbench import kernels
from workbench.config import GatingSettings
from workbench.core.arrays import FloatArray, IntArray
from workbench.core.errors import ProvenanceError
from workbench.core.horizon import HORIZONS, N_HORIZONS, horizon
from workbench.core.types import TIME_BUCKETS, Carry, Choice, Forecasts, OofForecasts, Snapshot, State

PRIOR_ROWS = 500.0
"""Rows of the horizon's overall base rate that each time bucket's rate is shrunk with."""

_BUCKETS = len(TIME_BUCKETS)


class RowStack(Protocol):
    """The calibrated stack of the barrier classifiers (workbench.stats.stack.BarrierStack)."""

    def apply_rows(self, oof: OofForecasts) -> tuple[FloatArray, FloatArray]:
        """Calibrated (p_peak, p_valley) of out-of-fold rows, each (R,)."""
        ...


class BarrierGate:
    """Multiplies alpha by a number in [g_min, 1].

    `fit` learns `base_peak_`, `base_valley_` (H, 5) and `mean_gate_` (H, 2), the mean gate of longs and of shorts over
    the out-of-fold predictions. `degraded`: labels of horizons whose live calibration left its tolerance; they use the
    mean until they recover. Horizons without classifiers (`base_peak_` NaN) have nothing to say: their gate is 1.
    """

    def __init__(self, settings: GatingSettings, degraded: Iterable[str] = ()) -> None:
        self.settings = settings
        self.degraded = frozenset(degraded)
        nan = np.full((N_HORIZONS, _BUCKETS), np.nan)
        self._set(nan, nan, np.ones((N_HORIZONS, 2)))

    def fit(self, oofs: Mapping[str, OofForecasts], stack: RowStack) -> Self:
        """Learn base rates and mean gates from out-of-fold rows through the fitted `stack`."""
        peak, valley = (np.full((N_HORIZONS, _BUCKETS), np.nan) for _ in range(2))
        rows: dict[int, tuple[FloatArray, FloatArray, IntArray]] = {}
        for label, oof in oofs.items():
            if not isinstance(oof, OofForecasts):
                raise ProvenanceError(f"{label}: BarrierGate.fit accepts only OofForecasts, got {type(oof).__name__}")
            p, q = stack.apply_rows(oof)
            known = np.isfinite(p) & np.isfinite(q)
            if known.any():
                h = horizon(label).order
                rows[h] = (p[known], q[known], oof.bucket[known])
                peak[h], valley[h] = (_base(v, rows[h][2]) for v in rows[h][:2])
        self._set(peak, valley, np.ones((N_HORIZONS, 2)))
        mean = np.ones((N_HORIZONS, 2))
        for h, (p, q, bucket) in rows.items():
            mean[h] = [float(self.of_rows(HORIZONS[h].label, p, q, bucket, short=s).mean()) for s in (False, True)]
        return self._set(peak, valley, mean)

    def gate(self, forecasts: Forecasts, choice: Choice, snapshot: Snapshot, carry: Carry) -> FloatArray:
        """(N,) gates of FORECAST names, NaN for the others.

        A probability that is missing counts as g_min at entry; for a name that carries a gate, as that last gate.
        """
        return self.gates(
            forecasts.p_peak,
            forecasts.p_valley,
            choice.weights,
            choice.gross,
            choice.state,
            snapshot.bucket,
            carry.gate,
        )

    def gates(
        self,
        p_peak: FloatArray,
        p_valley: FloatArray,
        weights: FloatArray,
        gross: FloatArray,
        state: IntArray,
        bucket: IntArray | int,
        last: FloatArray,
    ) -> FloatArray:
        """(..., N) gates of one decision or of many at once, as `gate` gives them one by one.

        `p_peak`, `p_valley`, horizon `weights` (..., H, N); `gross`, `state` and the gates `last` carried (..., N);
        time `bucket` (...).
        """
        short = (gross < 0)[..., None, :]
        lower, upper = np.where(short, p_valley, p_peak), np.where(short, p_peak, p_valley)
        base, mean = self._base_gate[:, bucket][..., None], self._mean[..., None]
        each = self._relative(lower, upper, np.where(short, base[1], base[0]))
        missing = np.where(np.isfinite(last), last, self.settings.g_min)[..., None, :]
        each = np.where(np.isnan(each), missing, each)
        each = np.where(self._replaced[:, None], np.where(short, mean[1], mean[0]), each)
        total = weights.sum(axis=-2)
        mixed = np.full(total.shape, np.nan)
        np.divide((weights * each).sum(axis=-2), total, out=mixed, where=total > 0)
        mixed = np.minimum(np.maximum(mixed, self.settings.g_min), 1.0)
        return np.where(state == int(State.FORECAST), mixed, np.nan)

    def of_rows(
        self, label: str, p_peak: FloatArray, p_valley: FloatArray, bucket: IntArray, *, short: bool = False
    ) -> FloatArray:
        """(R,) gates of rows of one horizon, before the horizons are mixed; NaN where a probability is unknown.

        1 for a horizon without classifiers; a degraded one answers as if it were not.
        """
        h = horizon(label).order
        if np.isnan(self.base_peak_[h]).all():
            return np.ones(len(p_peak))
        side, lower, upper = _sides(p_peak, p_valley)[short]
        return self._relative(lower, upper, self._base_gate[side, bucket, h])

    def with_degraded(self, degraded: Iterable[str]) -> BarrierGate:
        """The same gate with other horizons replaced by their mean (health is judged between decisions)."""
        twin = BarrierGate(self.settings, degraded)
        return twin._set(self.base_peak_, self.base_valley_, self.mean_gate_)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, exact; NaN becomes None."""
        arrays = {"base_peak": self.base_peak_, "base_valley": self.base_valley_, "mean_gate": self.mean_gate_}
        plain = {k: [[None if v != v else float(v) for v in row] for row in a] for k, a in arrays.items()}
        return {"settings": self.settings.model_dump(mode="json"), "degraded": sorted(self.degraded), **plain}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], settings: GatingSettings | None = None) -> Self:
        """The inverse of `to_dict`; with other `settings` the mean gates stay those of the fit."""
        out = cls(settings or GatingSettings(**data["settings"]), data["degraded"])
        names = ("base_peak", "base_valley", "mean_gate")
        peak, valley, mean = (
            np.array([[np.nan if v is None else v for v in row] for row in data[name]], np.float64) for name in names
        )
        return out._set(peak, valley, mean)

    def _set(self, peak: FloatArray, valley: FloatArray, mean: FloatArray) -> Self:
        self.base_peak_, self.base_valley_, self.mean_gate_ = peak, valley, mean
        sides = [self._shape(a, b) for _, a, b in _sides(peak.ravel(), valley.ravel())]
        # (2, 5, H): long and short, bucket, horizon
        self._base_gate = np.array([g.reshape(N_HORIZONS, _BUCKETS).T for g in sides])
        fitted = np.isfinite(peak).all(axis=1)
        self._replaced = ~fitted | np.array([h in {horizon(d).order for d in self.degraded} for h in range(N_HORIZONS)])
        self._mean = np.where(fitted, mean.T, 1.0)
        return self

    def _shape(self, lower: FloatArray, upper: FloatArray) -> FloatArray:
        """g(p), unclipped, of a vector."""
        return kernels.barrier_gate_batch(lower, upper, 0.0, self.settings.gamma, self.settings.delta)

    def _relative(self, lower: FloatArray, upper: FloatArray, base: FloatArray) -> FloatArray:
        """clip(g(p)/g(base), g_min, 1), any shape. A base of 0 (a barrier that was always touched) gives 1."""
        g = self._shape(np.ascontiguousarray(lower).ravel(), np.ascontiguousarray(upper).ravel()).reshape(lower.shape)
        ratio = g / np.where(base > 0, base, np.where(g > 0, g, 1.0))
        return np.asarray(np.where(np.isnan(g), np.nan, np.minimum(np.maximum(ratio, self.settings.g_min), 1.0)))


def _sides(peak: FloatArray, valley: FloatArray) -> tuple[tuple[int, FloatArray, FloatArray], ...]:
    """(0, adverse, favourable) for longs, (1, ...) for shorts."""
    return (0, peak, valley), (1, valley, peak)


def _base(p: FloatArray, bucket: IntArray) -> FloatArray:
    """(5,) mean of p per time bucket, shrunk to the overall mean by PRIOR_ROWS rows."""
    count = np.bincount(bucket, minlength=_BUCKETS)
    total = np.bincount(bucket, p, minlength=_BUCKETS)
    return np.asarray((total + PRIOR_ROWS * p.mean()) / (count + PRIOR_ROWS))
