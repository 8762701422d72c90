"""One calibrated probability per barrier and horizon out of several classifiers, fitted on out-of-fold rows.

    q_b  = platt_b(p_b)                                                     each classifier on one scale of honesty
    pool = sum_b w_b q_b / sum_b w_b  over the classifiers that answered,   w on the simplex, least Brier score
    p    = map(pool),  the calibration map that does best on later days (workbench.stats.calibration)

Without the first step an overconfident classifier would be pooled with noise, which tames it at the price of noise.

The same stack is used for live decisions and for research. A classifier that fails leaves the pool; none left is NaN.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from scipy.special import expit, logit

from workbench import kernels
from workbench.core.arrays import FloatArray, IntArray
from workbench.core.errors import ProvenanceError
from workbench.core.horizon import N_HORIZONS, horizon
from workbench.core.types import OofForecasts
from workbench.stats.calibration import EDGE, MIN_ROWS, CalibrationMap, choose_with_evidence, platt

SIDES = ("peak", "valley")


@dataclass(frozen=True, slots=True)
class Side:
    """One barrier of one horizon.

    `first` (slope, intercept) of the logit and pool `weights` of each of the B classifiers; the calibration `map` of
    the pool, its Brier `skill` over the base rate on later days and that skill's standard error `se`.
    """

    first: tuple[tuple[float, float], ...]
    weights: tuple[float, ...]
    map: CalibrationMap
    skill: float
    se: float

    def __call__(self, raw: FloatArray) -> FloatArray:
        """(N,) calibrated probability of raw (B, N)."""
        return self.map(pool(_each(self.first, raw), np.array(self.weights)))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; NaN becomes None."""
        skill, se = (v if v == v else None for v in (self.skill, self.se))
        first = [list(pair) for pair in self.first]
        return {"first": first, "weights": list(self.weights), "map": self.map.to_dict(), "skill": skill, "se": se}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Side:
        """The inverse of `to_dict`."""
        skill, se = (float("nan") if data[k] is None else float(data[k]) for k in ("skill", "se"))
        first = tuple((float(a), float(c)) for a, c in data["first"])
        return cls(first, tuple(map(float, data["weights"])), CalibrationMap.from_dict(data["map"]), skill, se)


class BarrierStack:
    """Stacks and calibrates the barrier classifiers of every horizon.

    `fit` learns `sides_`: label -> {"peak", "valley"} -> :class:`Side`, and `families_`: label -> classifier names, in
    the order of the rows of the raw probabilities. A horizon without classifiers or outcomes is left out: NaN.
    """

    def __init__(self) -> None:
        self.families_: dict[str, tuple[str, ...]] = {}
        self.sides_: dict[str, dict[str, Side]] = {}

    def fit(self, oofs: Mapping[str, OofForecasts]) -> Self:
        """Learn from out-of-fold rows; ProvenanceError for anything else."""
        self.families_, self.sides_ = {}, {}
        for label, oof in oofs.items():
            if not isinstance(oof, OofForecasts):
                raise ProvenanceError(f"{label}: BarrierStack.fit accepts only OofForecasts, got {type(oof).__name__}")
            sides = {side: _fit_side(getattr(oof, f"p_{side}"), getattr(oof, side), oof.session) for side in SIDES}
            if all(side is not None for side in sides.values()):
                self.families_[label] = oof.barrier_families
                self.sides_[label] = {name: side for name, side in sides.items() if side is not None}
        return self

    def apply(
        self, raw_peak: Mapping[str, FloatArray], raw_valley: Mapping[str, FloatArray], n: int | None = None
    ) -> tuple[FloatArray, FloatArray]:
        """(p_peak, p_valley), each (H, N), from raw probabilities: label -> (B, N), rows as in `families_`.

        Horizons that are missing in either argument or were not fitted are NaN. `n`: N, needed where both are empty.
        """
        width = next((v.shape[1] for v in (*raw_peak.values(), *raw_valley.values())), n or 0)
        out = []
        for side, raw in zip(SIDES, (raw_peak, raw_valley), strict=True):
            p = np.full((N_HORIZONS, width), np.nan)
            for label in raw.keys() & self.sides_.keys():
                p[horizon(label).order] = self._one(label, side, raw[label])
            out.append(p)
        return out[0], out[1]

    def apply_rows(self, oof: OofForecasts) -> tuple[FloatArray, FloatArray]:
        """(p_peak, p_valley), each (R,), of out-of-fold rows of one horizon; NaN where it was not fitted."""
        label = oof.horizon.label
        if label not in self.sides_:
            return np.full(len(oof), np.nan), np.full(len(oof), np.nan)
        return self._one(label, "peak", oof.p_peak.T), self._one(label, "valley", oof.p_valley.T)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, exact."""
        sides = {label: {name: s.to_dict() for name, s in both.items()} for label, both in self.sides_.items()}
        return {"families": {k: list(v) for k, v in self.families_.items()}, "sides": sides}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`."""
        out = cls()
        out.families_ = {k: tuple(v) for k, v in data["families"].items()}
        for label, both in data["sides"].items():
            out.sides_[label] = {name: Side.from_dict(side) for name, side in both.items()}
        return out

    def _one(self, label: str, side: str, raw: FloatArray) -> FloatArray:
        families = self.families_[label]
        if raw.ndim != 2 or raw.shape[0] != len(families):
            raise ValueError(
                f"{label} {side}: raw probabilities have shape {raw.shape}, expected ({len(families)}, N), one row for "
                f"each of {', '.join(families)}"
            )
        return self.sides_[label][side](raw)


def pool(raw: FloatArray, weights: FloatArray) -> FloatArray:
    """(N,) weighted mean of raw (B, N) over the classifiers that answered, NaN where none with weight did.

    >>> pool(np.array([[0.2, np.nan], [0.6, 0.6]]), np.array([0.5, 0.5])).tolist()
    [0.4, 0.6]
    """
    there = np.isfinite(raw)
    mass = weights @ there
    out = np.full(raw.shape[1], np.nan)
    np.divide(weights @ np.where(there, raw, 0.0), mass, out=out, where=mass > 0)
    return out


def simplex_brier(p: FloatArray, y: FloatArray, steps: int = 500) -> FloatArray:
    """(B,) w >= 0, sum w = 1, that minimises mean (p @ w - y)^2 over rows of p (R, B), by projected gradient."""
    width = p.shape[1]
    gram, cross = p.T @ p / len(y), p.T @ y / len(y)
    step = 1.0 / max(float(np.linalg.eigvalsh(gram)[-1]), 1e-300)
    w = np.full(width, 1.0 / width)
    for _ in range(steps):
        w = np.asarray(kernels.project_simplex(w - step * (gram @ w - cross)))
    return w


def _each(first: tuple[tuple[float, float], ...], raw: FloatArray) -> FloatArray:
    """(B, N) every classifier through its own Platt map; NaN stays NaN."""
    slope, intercept = np.array(first).T[:, :, None]
    return np.asarray(expit(slope * logit(np.clip(raw, EDGE, 1 - EDGE)) + intercept))


def _first(p: FloatArray, y: FloatArray) -> tuple[float, float]:
    """Platt's (slope, intercept) of one classifier; with few rows it is taken at its word."""
    known = np.isfinite(p)
    if known.sum() < MIN_ROWS:
        return 1.0, 0.0
    slope, intercept = platt(p[known], y[known]).values
    return slope, intercept


def _fit_side(raw: FloatArray, outcome: FloatArray, session: IntArray) -> Side | None:
    """The stack of raw (R, B) on outcome (R,), or None where there is nothing to learn from."""
    rows = np.isfinite(outcome) & np.isfinite(raw).any(axis=1)
    if not rows.any():
        return None
    y = outcome[rows]
    first = tuple(_first(column, y) for column in raw[rows].T)
    p = _each(first, raw[rows].T).T
    there = np.isfinite(p)
    mean = np.where(there, p, 0.0).sum(1) / np.maximum(there.sum(1), 1)
    weights = simplex_brier(np.where(there, p, mean[:, None]), y)
    pooled = pool(p.T, weights)
    known = np.isfinite(pooled)
    if not known.any():
        return None
    chosen = choose_with_evidence(pooled[known], y[known], session[rows][known])
    return Side(first, tuple(map(float, weights)), chosen.map, chosen.skill, chosen.se)
