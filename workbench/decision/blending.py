"""Stage 4, HorizonBlender: the models of one horizon become one calibrated expected return.

    alpha_h = b * sigma_h * sum_m p_m s_m,     s_m = (forecast_m / sigma_h) / scale_m       [decimal over the horizon]

so that sigma_h cancels at decision time: alpha_h = b * sum_m p_m forecast_m / scale_m, over the models that have a
view, divided by their share of the weight. Weights, scales and slope are fitted by :mod:`workbench.stats.ridge`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import numpy as np

from workbench.config import BlendingSettings
from workbench.core.arrays import FloatArray, IntArray
from workbench.core.errors import ProvenanceError
from workbench.core.horizon import HORIZONS, N_HORIZONS, Horizon, horizon
from workbench.core.types import Alphas, Carry, Forecasts, ModelKey, OofForecasts, Snapshot
from workbench.decision.hedge import hedge
from workbench.decision.smoothing import choose_halflife, decay_of, paths
from workbench.stats.ridge import BlendFit, Moments, fit_blend, moments, own_evidence
from workbench.stats.whiten import common_correlation, whiten

DEFAULT_COST = 1.5e-4
"""One-way cost assumed when half-lives are fitted before any cost is known, decimal of the traded value."""

_MASS_TOLERANCE = 1e-12
_INTRADAY = np.array([not h.is_day for h in HORIZONS])


@dataclass(frozen=True, slots=True)
class HorizonFit:
    """What was learned of one horizon.

    Per model: `weights` p (sum 1, or all 0), `scale` RMS of forecast/sigma_h, `t` statistic of its own slope.

    `slope` b in use, `raw_slope` as fitted, `slope_lower` its one-sided 95 % bound (NaN where it could not be had).
    `halflife` in bars. `reason`: why the horizon will not trade, or "". `abstains`: its alpha is NaN, not 0.
    """

    keys: tuple[ModelKey, ...]
    weights: tuple[float, ...]
    scale: tuple[float, ...]
    t: tuple[float, ...]
    penalty: float
    slope: float
    raw_slope: float
    slope_lower: float
    halflife: float
    windows: int
    rows: int
    reason: str
    abstains: bool

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; NaN becomes None."""
        plain = {k: v if not isinstance(v, float) or v == v else None for k, v in asdict(self).items()}
        return {**plain, "keys": [list(k) for k in self.keys]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`to_dict`, exact."""
        values: dict[str, Any] = {k: float("nan") if v is None else v for k, v in data.items()}
        for name in ("weights", "scale", "t"):
            values[name] = tuple(float(v) for v in values[name])
        values["keys"] = tuple(ModelKey(*k) for k in values["keys"])
        return cls(**values)


class HorizonBlender:
    """Blends all models per horizon, calibrates, smooths.

    `fit` learns `fits_` (label -> :class:`HorizonFit`) from out-of-fold rows only. A horizon abstains (alpha NaN) with
    "insufficient data: 28 of 30 windows" or where no model shows evidence; where the blend's slope is not above zero
    beyond chance, alpha is exactly 0. A horizon that was never fitted is NaN.
    """

    def __init__(self, settings: BlendingSettings, min_windows: int = 30) -> None:
        self.settings = settings
        self.min_windows = min_windows
        self.fits_: dict[str, HorizonFit] = {}  # label -> what was learned
        self._tables: tuple[tuple[ModelKey, ...], FloatArray, FloatArray] | None = None
        self._decay = np.zeros((N_HORIZONS, 1))

    def fit(self, oofs: Mapping[str, OofForecasts], one_way_cost: float = DEFAULT_COST) -> Self:
        """Learn every horizon in `oofs` (label -> rows); `one_way_cost` decides how much smoothing pays.

        Raises ProvenanceError for anything that is not OofForecasts of the horizon it is filed under.
        """
        for label, oof in oofs.items():
            _check(label, oof)
        return self._set({label: self._fit_one(oof, one_way_cost) for label, oof in oofs.items()})

    def blend(self, forecasts: Forecasts, snapshot: Snapshot, carry: Carry) -> Alphas:
        """Alphas (H, N): NaN where too few models speak, where the horizon abstains or would pass the close.

        A horizon without evidence (slope 0) is NaN beside horizons that have some; where none has any, all are 0: the
        view that nothing is to be earned.
        """
        weights, coefficients, decay = self._tables_for(forecasts.keys)
        returns = forecasts.expected_return
        seen = np.isfinite(returns)
        mass = weights @ seen.astype(np.float64)
        total = coefficients @ np.where(seen, returns, 0.0)
        ok = (mass > 0) & (mass >= self.settings.min_mass - _MASS_TOLERANCE) & snapshot.horizon_open[:, None]
        raw = np.full(total.shape, np.nan)
        np.divide(total, mass, out=raw, where=ok)
        return Alphas(raw, _smoothed(raw, carry, snapshot.session, decay))

    def oof_alpha(self, oof: OofForecasts) -> FloatArray:
        """(R,) raw alpha of out-of-fold rows of one horizon, as `blend` would have made it (before smoothing)."""
        weights, coefficients, _ = self._tables_for(oof.keys)
        row = oof.horizon.order
        seen = np.isfinite(oof.forecast)
        mass = seen @ weights[row]
        ok = (mass > 0) & (mass >= self.settings.min_mass - _MASS_TOLERANCE)
        total = np.where(seen, oof.forecast, 0.0) @ coefficients[row]
        alpha = np.full(len(oof), np.nan)
        np.divide(total, mass, out=alpha, where=ok)
        return alpha

    @property
    def weights_(self) -> dict[str, dict[str, float]]:
        """label -> model -> weight on the simplex (0 for a loser)."""
        return {label: {str(k): w for k, w in zip(f.keys, f.weights)} for label, f in self.fits_.items()}

    @property
    def slope_(self) -> dict[str, float]:
        """label -> calibration slope b in use."""
        return {label: f.slope for label, f in self.fits_.items()}

    @property
    def halflife_(self) -> dict[str, float]:
        """label -> smoothing half-life in bars."""
        return {label: f.halflife for label, f in self.fits_.items()}

    @property
    def abstained_(self) -> dict[str, str]:
        """label -> why the horizon will not trade; horizons that may trade are not listed."""
        return {label: f.reason for label, f in self.fits_.items() if f.reason}

    def reweighted(self, label: str, losses: Mapping[str, float], eta: float, bound: float) -> HorizonBlender:
        """A new blender whose `label` weights are those of :func:`~workbench.decision.hedge.hedge`.

        `losses`: model name (``str(ModelKey)``) -> cumulative loss over matured outcomes; names left out have none yet.
        Call it on the blender that was fitted, never on one already reweighted: the bound is around the OOF weights.
        """
        fit = self.fits_[label]
        loss = np.array([losses.get(str(k), np.nan) for k in fit.keys])
        new = tuple(float(w) for w in hedge(np.array(fit.weights), loss, eta, bound))
        twin = HorizonBlender(self.settings, self.min_windows)
        return twin._set({**self.fits_, label: replace(fit, weights=new)})

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, exact."""
        fits = {label: f.to_dict() for label, f in self.fits_.items()}
        return {"settings": self.settings.model_dump(mode="json"), "min_windows": self.min_windows, "fits": fits}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], settings: BlendingSettings | None = None) -> Self:
        """The blender that `to_dict` described; `settings` replaces the ones it was saved with."""
        out = cls(settings or BlendingSettings(**data["settings"]), int(data["min_windows"]))
        return out._set({label: HorizonFit.from_dict(f) for label, f in data["fits"].items()})

    def _set(self, fits: dict[str, HorizonFit]) -> Self:
        self.fits_ = fits
        self._tables = None
        for label, fit in fits.items():
            self._decay[horizon(label).order] = decay_of(fit.halflife)
        return self

    def _fit_one(self, oof: OofForecasts, one_way_cost: float) -> HorizonFit:
        usable = np.isfinite(oof.label) & (oof.sigma_h > 0)
        rows = oof if usable.all() else oof.take(usable)
        windows = count_windows(rows)
        if windows < self.min_windows:
            return _nothing(oof.keys, f"insufficient data: {windows} of {self.min_windows} windows", windows, len(rows))
        forced = self.settings.force_slope
        fit = fit_blend(block_moments(rows), self.settings.lambdas, screened=forced is None, embargo_ns=rows.embargo_ns)
        if not fit.weights.rms > 0:
            return _nothing(oof.keys, "no model shows evidence of its own out of fold", windows, len(rows), fit)
        halflife = self._halflife(rows, fit, one_way_cost)
        slope = fit.slope if forced is None else forced
        reason = "" if slope > 0 else f"no evidence: slope {fit.raw_slope:.3g}, lower bound {fit.lower:.3g}"
        return _learned(oof.keys, fit, slope, halflife, windows, len(rows), reason)

    def _halflife(self, rows: OofForecasts, fit: BlendFit, cost: float) -> float:
        if rows.horizon.is_day:
            return 0.0
        score = forward_blend(rows, rows.forecast / rows.sigma_h[:, None], fit)
        grid = paths(rows.known_at, rows.session, rows.symbol)
        candidates = self.settings.halflives_bars
        return choose_halflife(score, rows.label, rows.sigma_h, grid, rows.horizon.bars, candidates, cost)

    def _tables_for(self, keys: tuple[ModelKey, ...]) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Weights (H, M), coefficients b*p/scale (H, M) in the order of `keys`, and the smoothing decay (H, 1)."""
        if self._tables is None or self._tables[0] != keys:
            self._tables = (keys, *self._build(keys))
        return self._tables[1], self._tables[2], self._decay

    def _build(self, keys: Sequence[ModelKey]) -> tuple[FloatArray, FloatArray]:
        weights, coefficients = np.zeros((N_HORIZONS, len(keys))), np.zeros((N_HORIZONS, len(keys)))
        column = {k: i for i, k in enumerate(keys)}
        trading = any(fit.slope > 0 for fit in self.fits_.values())
        for label, fit in self.fits_.items():
            if trading and not fit.slope > 0:
                continue  # no evidence is no view, or its 0 would close what the horizons with evidence hold
            row = horizon(label).order
            for key, p, scale in zip(fit.keys, fit.weights, fit.scale):
                if p > 0 and key in column:
                    weights[row, column[key]] = p
                    coefficients[row, column[key]] = fit.slope * p / scale
        return weights, coefficients


def evidence(oof: OofForecasts) -> FloatArray:
    """(M,) p-value of "this model is no better than a constant", corrected over the models of the horizon.

    It is the test by which :class:`HorizonBlender` screens models: what is above .05 here has no weight there. NaN
    where no label has matured.
    """
    rows = oof.take(np.isfinite(oof.label) & (oof.sigma_h > 0))
    if not len(rows):
        return np.full(len(oof.keys), np.nan)
    return own_evidence(block_moments(rows))[0]


def count_windows(oof: OofForecasts) -> int:
    """Non-overlapping out-of-sample windows: per session decision times / bars, rounded up; or sessions / days."""
    if oof.horizon.is_day:
        return len(np.unique(oof.session)) // oof.horizon.days
    times = np.unique(np.stack([oof.session, oof.known_at]), axis=1)
    _, per_session = np.unique(times[0], return_counts=True)
    return int((-(-per_session // oof.horizon.bars)).sum())


def day_blocks(oof: OofForecasts) -> IntArray:
    """(R,) block of each row: whole sessions, as many as the label is long, so that blocks are nearly independent."""
    _, day = np.unique(oof.session, return_inverse=True)
    return np.asarray(day // max(1, oof.horizon.days), np.int64)


def block_moments(rows: OofForecasts) -> Moments:
    """What a horizon is fitted on: block sums of its whitened `rows`, of which every label must be known."""
    x, y = whitened(rows)
    return moments(x, y, day_blocks(rows), rows.known_at, rows.matured_at, overlap=rows.horizon.is_day)


def whitened(rows: OofForecasts) -> tuple[FloatArray, FloatArray]:
    """x (R, M) forecasts and y (R,) labels in sigma_h; names of one moment share the market's noise, which is taken out
    by :mod:`workbench.stats.whiten`."""
    y = rows.label / rows.sigma_h
    rho = common_correlation(y, rows.known_at)
    return whiten(rows.forecast / rows.sigma_h[:, None], rows.known_at, rho), whiten(y, rows.known_at, rho)


def forward_blend(rows: OofForecasts, x: FloatArray, fit: BlendFit) -> FloatArray:
    """(R,) blend of x (R, M), in RMS, by the weights that earlier rows alone gave; NaN in the first fold."""
    block = day_blocks(rows)
    score = np.full(len(rows), np.nan)
    for fold in fit.forward:
        use = (block >= fold.start) & (block < fold.stop)
        score[use] = fold.weights.blend(x[use])
    return score


def _smoothed(raw: FloatArray, carry: Carry, session: int, decay: FloatArray) -> FloatArray:
    """m = d*m_before + (1-d)*raw; intraday horizons start anew in a session, and everything after a NaN."""
    if carry.session != session or not decay.any():
        return raw  # day horizons are not smoothed (d = 0), so a new session leaves nothing to carry
    before = carry.smoothed
    return np.where(np.isfinite(before) & (decay > 0), decay * before + (1 - decay) * raw, raw)


def _check(label: str, oof: OofForecasts) -> None:
    if not isinstance(oof, OofForecasts):
        raise ProvenanceError(
            f"{label}: HorizonBlender.fit accepts only OofForecasts, which prove that they are out of fold; "
            f"got {type(oof).__name__}"
        )
    wanted: Horizon = horizon(label)
    if oof.horizon != wanted:
        raise ProvenanceError(f"{label}: holds forecasts of horizon {oof.horizon}; file them under their own label")


def _nothing(
    keys: tuple[ModelKey, ...], reason: str, windows: int, rows: int, fit: BlendFit | None = None
) -> HorizonFit:
    nan, zero = float("nan"), (0.0,) * len(keys)
    scale, t = (zero, zero) if fit is None else (_floats(fit.weights.scale), _floats(fit.weights.t))
    return HorizonFit(keys, zero, scale, t, nan, 0.0, nan, nan, 0.0, windows, rows, reason, True)


def _learned(
    keys: tuple[ModelKey, ...], fit: BlendFit, slope: float, halflife: float, windows: int, rows: int, reason: str
) -> HorizonFit:
    w = fit.weights
    return HorizonFit(keys, _floats(w.p), _floats(w.scale), _floats(w.t), w.penalty, float(slope), fit.raw_slope,
                      fit.lower, halflife, windows, rows, reason, False)  # fmt: skip


def _floats(values: FloatArray) -> tuple[float, ...]:
    return tuple(float(v) for v in values)
