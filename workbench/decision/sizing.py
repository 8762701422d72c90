"""Stage 8, PositionSizer: from gated daily rates to weights, trading no more than is worth its cost.

    z  = gate * a~ / sigma_1d                    u = clip(z / z_ref, -z_max, z_max)
    (C + lambda*I) y = u                         ridge risk parity over eligible FORECAST names, C with unit diagonal
    v  = y / sigma_1d                            w* = v * K,  K = target_gross * min(1, rms(u)) / sum |l*v|
    project w* on  |l*w| <= max_weight,  sum |l*w| <= target_gross,  |sum l*w| <= max_net   (l = delta per dollar)
    w  = clip(w_now, w* - kappa*c, w* + kappa*c)          zone: trade only to its edge
    w  = w_now where |w - w_now| < band                   band, not for exits, sign changes and limit violations

kappa*c is the change of w* that a forecast lower (or higher) by the cost c would make. c is a return over the horizon,
a~ a daily rate, so with f = sum_h weight_h * 390/m_h and the diagonal approximation (C = I, K fixed)::

    kappa = dw*/da~ * f = K * lambda/(1 + lambda) / sigma_1d * gate / (sigma_1d * z_ref) * f

taken as a finite difference through the clip of u and the cap: where those bind, a slightly worse forecast would ask
for the same weight, and the zone has no width on that side.

`method="qp"` maximises alpha'w - risk_aversion/2 w'Sigma w - cost'|w - w_now| under the same limits; its own no-trade
region takes the place of the zone. UNKNOWN names keep their weight and never grow; after `max_unknown` decisions they
are halved each time. In the flatten window only the overnight mandate stays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from workbench import kernels
from workbench.config import SizingSettings
from workbench.core.arrays import BoolArray, FloatArray, IntArray
from workbench.core.horizon import HORIZONS
from workbench.core.types import Book, Choice, Costs, Phase, Snapshot, State
from workbench.core.units import SESSION_MINUTES
from workbench.decision.limits import within_limits
from workbench.decision.sizing_trace import Sizing, SizingTrace

__all__ = ["PositionSizer", "Sizing", "SizingTrace"]

DEFAULT_BAND = 0.008
DEFAULT_Z_REF = 0.1
_PER_DAY = np.array([SESSION_MINUTES / h.minutes for h in HORIZONS])
_DAY_ROWS = np.array([h.is_day for h in HORIZONS])
_FIRST_DAY = int(np.argmax(_DAY_ROWS))
_UNIT_DIAGONAL = 1e-6

TradeCost = Callable[[FloatArray], FloatArray]
"""One-way cost (N,) of trades of the given sizes (N,), fractions of NAV."""


class PositionSizer:
    """Alpha to weights. `fit` learns `z_ref_`, the out-of-fold root mean square of z; 0.1 before a fit."""

    def __init__(self, settings: SizingSettings) -> None:
        self.settings = settings
        self.z_ref_ = DEFAULT_Z_REF

    def fit(self, z: FloatArray) -> Self:
        """Learn z_ref_ from out-of-fold z = a~/sigma_1d of admitted names (K,); NaN left out, nothing keeps the old."""
        known = np.asarray(z, np.float64)
        known = known[np.isfinite(known)]
        if known.size and np.abs(known).max() > 0:
            self.z_ref_ = float(np.sqrt(np.mean(known**2)))
        return self

    def band(self, n: int) -> float:
        """No-trade band for N symbols: as set, or min(0.008, 0.25 * target_gross / N)."""
        if self.settings.no_trade_band is not None:
            return self.settings.no_trade_band
        return min(DEFAULT_BAND, 0.25 * self.settings.target_gross / max(n, 1))

    def warnings(self, n: int) -> tuple[str, ...]:
        """What the caller should tell the user about these settings for N symbols."""
        mean = self.settings.target_gross / max(n, 1)
        if self.band(n) <= mean:
            return ()
        return (
            f"no_trade_band {self.band(n):g} exceeds the mean weight {mean:g} (target_gross "
            f"{self.settings.target_gross:g} over {n} symbols): most positions can never be opened; leave it unset",
        )

    def size(
        self,
        choice: Choice,
        gate: FloatArray,
        costs: Costs,
        snapshot: Snapshot,
        book: Book,
        trade_cost: TradeCost | None = None,
    ) -> Sizing:
        """Weights to hold. `trade_cost` prices each trade at its own size; without it, at the reference size."""
        return self.trace(choice, gate, costs, snapshot, book, trade_cost).sizing

    def trace(
        self,
        choice: Choice,
        gate: FloatArray,
        costs: Costs,
        snapshot: Snapshot,
        book: Book,
        trade_cost: TradeCost | None = None,
    ) -> SizingTrace:
        """What `size` gives, with every number on the way to it."""
        case = self._case(choice, gate, snapshot, book)
        desired, zone = self._desired(case, choice, gate, costs, snapshot)
        below, above, edge, target, kept = self._towards(case, desired, zone, costs, trade_cost)
        if snapshot.phase is not Phase.OPEN:
            target, kept = self._overnight(case, choice), np.zeros_like(kept)
        cap = self._caps(case, target)
        weights = within_limits(target, cap, case.leverage, self.settings, (kept, case.unknown))
        sizing = Sizing(desired, weights, _mandate(case.now, weights, choice), case.unknown_bars)
        return SizingTrace(case.now, case.z, zone.u, zone.y, zone.v, zone.raw, below, above, edge, target, case.sized,
                           case.unknown, kept, cap, zone.level, zone.strength, case.band, sizing)  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, exact."""
        return {"settings": self.settings.model_dump(mode="json"), "z_ref": self.z_ref_}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], settings: SizingSettings | None = None) -> Self:
        """The inverse of `to_dict`; `settings` replaces the ones it was saved with."""
        out = cls(settings or SizingSettings(**data["settings"]))
        out.z_ref_ = float(data["z_ref"])
        return out

    def _case(self, choice: Choice, gate: FloatArray, s: Snapshot, book: Book) -> _Case:
        now = book.weights
        if not np.isfinite(now).all():
            at = int(np.argmin(np.isfinite(now)))
            raise ValueError(f"Book.weights of {book.symbols[at]} is {now[at]}; mark the position before deciding")
        diagonal = s.correlation.diagonal()
        off = np.abs(diagonal - 1.0) > _UNIT_DIAGONAL
        if off.any():
            at = int(np.argmax(off))
            raise ValueError(
                f"correlation of {s.symbols[at]} with itself is {diagonal[at]} and must be 1: "
                f"pass a correlation matrix, not a covariance"
            )
        z = gate * choice.gross / s.sigma_1d
        forecast = choice.state == int(State.FORECAST)
        unknown = (choice.state == int(State.UNKNOWN)) | (forecast & ~(np.isfinite(z) & np.isfinite(diagonal)))
        bars = np.where(unknown, book.carry.unknown_bars + 1, 0)
        floor = np.where(s.shortable & self.settings.allow_short, -np.inf, np.minimum(now, 0.0))
        sized = forecast & ~unknown & s.eligible
        return _Case(now, s.leverage, z, sized, unknown, s.halted, bars, floor, self.band(len(now)))

    def _desired(
        self, case: _Case, choice: Choice, gate: FloatArray, costs: Costs, s: Snapshot
    ) -> tuple[FloatArray, _Zone]:
        """Weights before zone and band (N,), inside the limits, and what the zone around them is made of."""
        index = np.flatnonzero(case.sized)
        point = np.where(case.unknown, self._hold(case), 0.0)
        slope, score = np.zeros_like(point), np.zeros_like(point)
        u, y, v = np.full((3, len(point)), np.nan)
        level = strength = float("nan")
        if index.size:
            correlation = s.correlation if index.size == len(point) else s.correlation[index[:, None], index]
            if np.isnan(correlation).any():
                correlation = np.where(np.isnan(correlation), 0.0, correlation)
            speed = choice.weights[:, index].T @ _PER_DAY
            if self.settings.method == "qp":
                point[index] = self._qp(case, choice, gate, costs, s, index, correlation, speed)
            else:
                solved = self._ridge(case, s.sigma_1d[index], index, correlation)
                u[index], y[index], v[index], point[index], slope[index], level, strength = solved
                score[index] = gate[index] / (s.sigma_1d[index] * self.z_ref_) * speed
        zone = _Zone(point, slope, score, u, y, v, level, strength)
        point = np.maximum(point, case.floor)
        return within_limits(point, self._caps(case, point), case.leverage, self.settings, (case.unknown,)), zone

    def _ridge(
        self, case: _Case, sigma: FloatArray, index: IntArray, correlation: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray, float, float]:
        """(u, y, v, w*, dw*/du), each (n,), of the sized names; then K and min(1, rms(u))."""
        u = _clip(case.z[index] / self.z_ref_, self.settings.z_max)
        if self.settings.demean:
            u = u - u.mean()
        y = kernels.risk_parity_ridge(u, correlation, self.settings.ridge_lambda)
        v = y / sigma
        strength = min(1.0, float(np.sqrt((u @ u) / len(u))))
        total = float(np.abs(case.leverage[index] * v).sum())
        if not total > 0:
            return u, y, v, np.zeros_like(v), np.zeros_like(v), 0.0, strength
        level = self.settings.target_gross * strength / total
        slope = level * self.settings.ridge_lambda / (1.0 + self.settings.ridge_lambda) / sigma
        return u, y, v, v * level, slope, level, strength

    def _qp(
        self,
        case: _Case,
        choice: Choice,
        gate: FloatArray,
        costs: Costs,
        s: Snapshot,
        index: IntArray,
        correlation: FloatArray,
        speed: FloatArray,
    ) -> FloatArray:
        """(n,) mean-variance weights with turnover costs; what UNKNOWN names hold is taken off the limits first."""
        sigma = s.sigma_1d[index]
        held = case.leverage * np.where(case.unknown, case.now, 0.0)
        gross = max(self.settings.target_gross - float(np.abs(held).sum()), 0.0)
        net = max(self.settings.max_net - abs(float(held.sum())), 0.0)
        cost = costs.one_way[0, index]
        cost = np.where(np.isfinite(cost), cost, 1.0) * speed  # what nobody knows the cost of is not traded
        return kernels.qp_size(
            gate[index] * choice.gross[index],
            correlation * np.outer(sigma, sigma),
            case.now[index],
            cost,
            self.settings.risk_aversion,
            self.settings.max_weight,
            gross,
            net,
            np.ascontiguousarray(case.leverage[index]),
        )

    def _towards(
        self, case: _Case, desired: FloatArray, zone: _Zone, costs: Costs, trade_cost: TradeCost | None
    ) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, BoolArray]:
        """(N,) each: width of the zone below and above, target after it, after the band too, and who stays."""
        now = case.now
        cost = costs.one_way[0] if trade_cost is None else trade_cost(np.abs(desired - now))
        priced = np.isfinite(cost)
        below, above = self._edges(case, zone, np.where(priced, cost, 0.0))
        inside = np.minimum(np.maximum(now, desired - below), desired + above)
        target = np.where(case.sized, np.where(priced, inside, now), desired)
        small = np.abs(target - now) < case.band
        leaves = (target == 0) | (target * now < 0) | (np.abs(case.leverage * now) > self.settings.max_weight)
        kept = small & (~leaves | (now == 0)) & ~case.unknown
        return below, above, target, np.where(kept, now, target), kept

    def _edges(self, case: _Case, zone: _Zone, cost: FloatArray) -> tuple[FloatArray, FloatArray]:
        """kappa*c below and above the desired weight, (N,) each, >= 0."""
        most = self.settings.z_max
        u = np.where(case.sized, case.z, 0.0) / self.z_ref_
        step = zone.score * cost
        middle = _clip(u, most)
        cap = self.settings.max_weight / np.abs(case.leverage)
        floor = np.maximum(-cap, case.floor)
        low, high = (zone.raw + zone.slope * (_clip(u + d, most) - middle) for d in (-step, step))
        raw, low, high = (np.minimum(np.maximum(w, floor), cap) for w in (zone.raw, low, high))
        return raw - low, high - raw

    def _overnight(self, case: _Case, choice: Choice) -> FloatArray:
        """(N,) the mandate of day horizons, never more than is held, scaled under `max_overnight_gross`."""
        target = np.where(case.halted, case.now, case.now * choice.day_share)
        gross = float(np.abs(case.leverage * target).sum())
        if gross <= self.settings.max_overnight_gross:
            return target
        return np.asarray(target * (self.settings.max_overnight_gross / gross * (1.0 - 1e-13)))

    def _hold(self, case: _Case) -> FloatArray:
        """(N,) weights of UNKNOWN names: as they are; once overdue halved, and 0 when that is below the band."""
        half = case.now / 2
        reduced = np.where(np.abs(half) < case.band, 0.0, half)
        overdue = (case.unknown_bars > self.settings.max_unknown) & ~case.halted
        return np.where(overdue, reduced, case.now)

    def _caps(self, case: _Case, target: FloatArray) -> FloatArray:
        """(N,) delta dollars: max_weight; what is flat stays flat; UNKNOWN and unborrowable shorts must not grow."""
        cap = np.where(target == 0, 0.0, self.settings.max_weight)
        bounded = case.unknown | (np.isfinite(case.floor) & (target < 0))
        return np.where(bounded, np.minimum(cap, np.abs(case.leverage * case.now)), cap)


@dataclass(frozen=True, slots=True)
class _Case:
    """The names of one decision, (N,) each: weights now, delta, z, which are sized and which unknown."""

    now: FloatArray
    leverage: FloatArray
    z: FloatArray
    sized: BoolArray
    unknown: BoolArray
    halted: BoolArray
    unknown_bars: IntArray
    floor: FloatArray
    band: float


@dataclass(frozen=True, slots=True)
class _Zone:
    """w* before any limit (`raw`), dw*/du (`slope`) and du/dc (`score`), each (N,), 0 for names that are not sized.

    What w* was made from: see :class:`~workbench.decision.sizing_trace.SizingTrace`.
    """

    raw: FloatArray
    slope: FloatArray
    score: FloatArray
    u: FloatArray
    y: FloatArray
    v: FloatArray
    level: float
    strength: float


def _clip(x: FloatArray, bound: float) -> FloatArray:
    """x within +-bound (np.clip costs five times as much on short arrays)."""
    return np.minimum(np.maximum(x, -bound), bound)


def _mandate(now: FloatArray, weights: FloatArray, choice: Choice) -> FloatArray:
    """(N,) part of `weights` that may stay overnight: `day_share` of what was held, and of what is added.

    A reduction takes the intraday part first; an addition counts only where a day horizon was chosen; a position that
    turned starts anew.
    """
    side = np.sign(weights)
    size, before = np.abs(weights), np.maximum(now * side, 0.0)
    added = np.where(choice.weights[_FIRST_DAY:].any(axis=0), choice.day_share, 0.0) * np.maximum(size - before, 0.0)
    return np.asarray(side * np.minimum(choice.day_share * before + added, size))
