"""Stage 5, CostModel: what it costs to trade once, in decimals of the traded value.

    c = [k1*m*spread + k2*sigma_exec + k3*sigma_1d*participation^0.6] * (1 + crowding*max(0, rho_i - rho)) + commission

    sigma_exec     = sigma_5m * sqrt(execution_minutes / 5)
    participation  = reference_weight*NAV / price / expected volume of the execution window
    m              time-of-day multiplier of the spread (session-aware)
    rho_i, rho     mean absolute correlation of the symbol with the others, and its mean over the universe
    commission     of an order of that value, with its minimum (workbench.fees), mean of buying and selling

k1 = 1/2 is half the spread; k2 = 0; the impact term is that of Almgren, Thum, Hauptmann & Li (2005). NaN anywhere in
what a term needs makes the cost of that symbol NaN: no new position is admitted without knowing what it costs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from scipy.optimize import nnls

from workbench import fees
from workbench.config import CostSettings
from workbench.core.arrays import FloatArray, IntArray, check_shape, readonly
from workbench.core.horizon import HORIZONS, N_HORIZONS
from workbench.core.types import TIME_BUCKETS, Costs, Snapshot
from workbench.core.units import BAR_MINUTES

PRIOR_ROWS = 50.0
"""Weight of the default k1..k3 and multipliers in a fit, in observations."""


@dataclass(frozen=True, slots=True)
class CostObservations:
    """R executions: `cost` one-way slippage against the mid at arrival, decimal of the traded value, no commission.

    `spread` relative, `sigma_exec` over the execution window, `sigma_1d`, `participation` of the window's volume,
    `bucket` the time of day (:data:`~workbench.core.types.TIME_BUCKETS`); each (R,). Rows with a NaN are not used.
    """

    cost: FloatArray
    spread: FloatArray
    sigma_exec: FloatArray
    sigma_1d: FloatArray
    participation: FloatArray
    bucket: IntArray | None = None

    def __post_init__(self) -> None:
        rows = len(self.cost)
        for name in ("cost", "spread", "sigma_exec", "sigma_1d", "participation"):
            object.__setattr__(self, name, readonly(getattr(self, name)))
            check_shape(f"CostObservations.{name}", getattr(self, name), (rows,))
        if self.bucket is not None:
            object.__setattr__(self, "bucket", readonly(self.bucket, np.int64))
            check_shape("CostObservations.bucket", self.bucket, (rows,))


class CostModel:
    """Estimates one-way costs; `fit` learns k1_, k2_, k3_, `bucket_multiplier_` and `reference_weight_`.

    Before a fit they are the settings' defaults. `bucket_multiplier_` (None until fitted, then one per time bucket) is
    what probes cost beyond the snapshot's spread, which has its own pattern through the day, observed or estimated.
    """

    def __init__(self, settings: CostSettings) -> None:
        self.settings = settings
        self.k1_, self.k2_, self.k3_ = settings.k1, settings.k2, settings.k3
        self.reference_weight_ = settings.reference_weight
        self.bucket_multiplier_: tuple[float, ...] | None = None
        self.rows_ = 0

    def fit(self, probes: CostObservations, reference_weight: float | None = None) -> Self:
        """Non-negative k1..k3 by least squares on `probes`, shrunk to the defaults by PRIOR_ROWS observations.

        minimise sum_r (cost_r - A_r k)^2 + PRIOR_ROWS * sum_j mean(A_j^2) (k_j - default_j)^2,  k >= 0. Then a spread
        multiplier per time bucket in the same way. `reference_weight`: the median |dw| of out-of-fold trades.
        """
        design = self._design(probes)
        usable = np.isfinite(design).all(axis=1) & np.isfinite(probes.cost)
        self.rows_ = int(usable.sum())
        if self.rows_:
            self.k1_, self.k2_, self.k3_ = _shrunk_nnls(design[usable], probes.cost[usable], self._defaults())
            if probes.bucket is not None and self.settings.session_aware:
                fitted = self._fit_buckets(design[usable], probes.cost[usable], probes.bucket[usable])
                self.bucket_multiplier_ = fitted
        if reference_weight is not None:
            if not (np.isfinite(reference_weight) and reference_weight > 0):
                raise ValueError(f"reference_weight = {reference_weight} must be > 0: the median |dw| of OOF trades")
            self.reference_weight_ = float(reference_weight)
        return self

    def estimate(self, snapshot: Snapshot, nav: float) -> Costs:
        """Costs of trading the reference size once, (H, N): the same in every row, since all horizons execute alike."""
        size = np.full(len(snapshot.symbols), self.reference_weight_)
        spread, volatility, impact = self._market(snapshot, nav, size)
        commission = self._commission(snapshot, nav, size)
        total = spread + volatility + impact + commission
        return Costs(np.broadcast_to(total, (N_HORIZONS, total.size)), spread, volatility, impact, commission)

    def at_size(self, costs: Costs, size: FloatArray, snapshot: Snapshot, nav: float) -> FloatArray:
        """(N,) one-way cost of trades of `size` (N,) fractions of NAV; size 0 counts as the reference trade.

        Impact scales with size^0.6; the commission is that of the order's own value, minimum included.
        """
        size = np.where(size > 0, size, self.reference_weight_)
        impact = costs.impact * (size / self.reference_weight_) ** self.settings.impact_exponent
        return costs.spread + costs.volatility + impact + self._commission(snapshot, nav, size)

    def weighing(self, k1: float, k2: float, k3: float) -> Self:
        """The same model with other weights of spread, volatility and impact; all else that was fitted stays."""
        for name, k in (("k1", k1), ("k2", k2), ("k3", k3)):
            if not (np.isfinite(k) and k >= 0):
                raise ValueError(f"{name} = {k} must be finite and >= 0")
        out = self.from_dict(self.to_dict(), self.settings)
        out.k1_, out.k2_, out.k3_ = float(k1), float(k2), float(k3)
        return out

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, exact."""
        return {
            "settings": self.settings.model_dump(mode="json"),
            "k": [self.k1_, self.k2_, self.k3_],
            "reference_weight": self.reference_weight_,
            "bucket_multiplier": None if self.bucket_multiplier_ is None else list(self.bucket_multiplier_),
            "rows": self.rows_,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], settings: CostSettings | None = None) -> Self:
        """The inverse of `to_dict`; `settings` replaces the ones it was saved with, the fitted numbers stay."""
        out = cls(settings or CostSettings(**data["settings"]))
        out.k1_, out.k2_, out.k3_ = map(float, data["k"])
        out.reference_weight_, out.rows_ = float(data["reference_weight"]), int(data["rows"])
        multiplier = data["bucket_multiplier"]
        out.bucket_multiplier_ = None if multiplier is None else tuple(map(float, multiplier))
        return out

    def _market(self, s: Snapshot, nav: float, size: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        crowd = crowding_factor(s.correlation, self.settings.crowding)
        spread = s.spread * crowd * (self.k1_ * self.settings.spread_multiplier * self._multiplier(s))
        volatility = s.sigma_5m * crowd * (self.k2_ * np.sqrt(self.settings.execution_minutes / BAR_MINUTES))
        if self.k2_ == 0.0:
            volatility = np.zeros_like(spread)  # a term without weight must not make a cost unknown
        with np.errstate(divide="ignore", invalid="ignore"):
            participation = size * nav / (s.price * self._window_volume(s))
            participation = np.where(np.isfinite(participation) & (participation >= 0), participation, np.nan)
            impact = crowd * fees.impact(s.sigma_1d, participation, self.k3_, self.settings.impact_exponent)
        return spread, volatility, impact

    def _commission(self, s: Snapshot, nav: float, size: FloatArray) -> FloatArray:
        return fees.commission_rate(self.settings.commission_plan, size * nav, s.price, s.session)

    def _multiplier(self, s: Snapshot) -> float:
        if not self.settings.session_aware:
            return 1.0
        if self.bucket_multiplier_ is not None:
            return self.bucket_multiplier_[s.bucket]
        return 1.0

    def _window_volume(self, s: Snapshot) -> FloatArray:
        """(N,) shares expected in the execution window, from the shortest horizon that covers it."""
        minutes = self.settings.execution_minutes
        cover = next(h for h in HORIZONS if h.minutes >= minutes)
        return np.asarray(s.expected_volume[cover.order] * (minutes / cover.minutes))

    def _defaults(self) -> FloatArray:
        return np.array([self.settings.k1, self.settings.k2, self.settings.k3])

    def _design(self, p: CostObservations) -> FloatArray:
        impact = p.sigma_1d * np.maximum(p.participation, 0.0) ** self.settings.impact_exponent
        return np.stack([p.spread, p.sigma_exec, impact], axis=1)

    def _fit_buckets(self, design: FloatArray, cost: FloatArray, bucket: IntArray) -> tuple[float, ...]:
        spread = self.k1_ * design[:, 0]
        rest = cost - design[:, 1:] @ np.array([self.k2_, self.k3_])
        prior = PRIOR_ROWS * float((spread**2).mean())
        if not prior > 0:
            return (1.0,) * len(TIME_BUCKETS)
        inside = [bucket == b for b in range(len(TIME_BUCKETS))]
        over = [(float(spread[rows] @ rest[rows]), float(spread[rows] @ spread[rows])) for rows in inside]
        return tuple(max((a + prior) / (b + prior), 0.0) for a, b in over)


def crowding_factor(correlation: FloatArray, crowding: float) -> FloatArray:
    """(N,) 1 + crowding * max(0, mean |corr| with the others - its mean over the universe); unknown pairs are left out.

    A symbol of which nothing is known counts as average.

    >>> crowding_factor(np.array([[1.0, 0.8, 0.8], [0.8, 1.0, 0.2], [0.8, 0.2, 1.0]]), 0.5).round(3).tolist()
    [1.1, 1.0, 1.0]
    """
    n = len(correlation)
    if crowding == 0 or n < 2:
        return np.ones(n)
    size = np.abs(correlation)
    total, count = size.sum(axis=1) - size.diagonal(), np.full(n, n - 1)
    if np.isnan(total).any():
        known = np.isfinite(size) & ~np.eye(n, dtype=bool)
        total, count = np.where(known, size, 0.0).sum(axis=1), known.sum(axis=1)
    mean = total / np.maximum(count, 1)
    seen = count > 0
    excess = np.where(seen, mean - mean.sum() / max(int(seen.sum()), 1), 0.0)
    return 1.0 + crowding * np.maximum(excess, 0.0)


def _shrunk_nnls(design: FloatArray, cost: FloatArray, default: FloatArray) -> tuple[float, float, float]:
    """k >= 0 by non-negative least squares with PRIOR_ROWS pseudo-observations of `default` in each column."""
    size = np.sqrt((design**2).mean(axis=0))
    seen = size > 0
    k = default.copy()
    if seen.any():
        scaled, target = design[:, seen] / size[seen], default[seen] * size[seen]
        prior = np.sqrt(PRIOR_ROWS) * np.eye(int(seen.sum()))
        fixed = cost - design[:, ~seen] @ default[~seen]
        solution, _ = nnls(np.vstack([scaled, prior]), np.concatenate([fixed, prior @ target]))
        k[seen] = solution / size[seen]
    return float(k[0]), float(k[1]), float(k[2])
