"""Maps that make probabilities honest, and the choice among them by Brier score on later days.

    constant   q = base rate                                       no skill: the honest answer
    platt      logit q = a*logit p + c,  a >= 0                    Platt (1999)
    beta       logit q = a*ln p - b*ln(1-p) + c,  a, b >= 0        Kull, Silva Filho & Flach (2017)
    isotonic   q = monotone steps through bin means, interpolated  Zadrozny & Elkan (2002)

Every map is monotone, keeps NaN as NaN, and goes to JSON and back without losing a bit. Inputs: p in [0, 1], y 0 or 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import isotonic_regression
from scipy.special import expit, logit

from workbench.core.arrays import FloatArray, IntArray
from workbench.core.errors import ArtifactError
from workbench.stats.ridge import fold_edges

EDGE = 1e-6
"""Probabilities are kept this far from 0 and 1 before a logarithm is taken."""

MIN_ROWS, MIN_CLASS, BINS, FOLDS = 200, 20, 100, 4
MIN_SKILL = 1e-5
"""A map that gains less than this over the base rate only repeats the base rate."""


@dataclass(frozen=True, slots=True)
class CalibrationMap:
    """A fitted map: `kind` and its parameters (`x` are the knots of an isotonic map, else empty)."""

    kind: str
    values: tuple[float, ...]
    x: tuple[float, ...] = ()

    def __call__(self, p: FloatArray) -> FloatArray:
        """Calibrated probabilities of the shape of `p`."""
        out = _APPLY[self.kind](self, np.asarray(p, np.float64))
        return np.asarray(np.where(np.isnan(p), np.nan, out))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {"kind": self.kind, "values": list(self.values), "x": list(self.x)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> CalibrationMap:
        """The inverse of `to_dict`; ArtifactError for a kind that is not known."""
        if data["kind"] not in _APPLY:
            raise ArtifactError(f"calibration map {data['kind']!r} is unknown; known are {', '.join(_APPLY)}")
        return cls(data["kind"], tuple(map(float, data["values"])), tuple(map(float, data["x"])))


def constant(p: FloatArray, y: FloatArray) -> CalibrationMap:
    """The base rate, whatever p says.

    >>> constant(np.array([0.9, 0.8]), np.array([1.0, 0.0]))(np.array([0.2, np.nan])).tolist()
    [0.5, nan]
    """
    return CalibrationMap("constant", (float(np.mean(y)) if len(y) else float("nan"),))


def platt(p: FloatArray, y: FloatArray) -> CalibrationMap:
    """Logistic regression of y on logit p; a negative slope becomes 0 (the base rate)."""
    return CalibrationMap("platt", _logistic(_logit(p)[:, None], y))


def beta(p: FloatArray, y: FloatArray) -> CalibrationMap:
    """Logistic regression of y on ln p and -ln(1-p), neither slope negative."""
    q = np.clip(p, EDGE, 1 - EDGE)
    return CalibrationMap("beta", _logistic(np.stack([np.log(q), -np.log1p(-q)], axis=1), y))


def isotonic(p: FloatArray, y: FloatArray) -> CalibrationMap:
    """Pool-adjacent-violators on the means of at most 100 bins of equal size, straight lines between them."""
    order = np.argsort(p, kind="stable")
    pieces = [piece for piece in np.array_split(order, min(BINS, len(order))) if len(piece)]
    x, target = (np.array([v[piece].mean() for piece in pieces]) for v in (p, y))
    size = np.array([float(len(piece)) for piece in pieces])
    fitted = np.clip(isotonic_regression(target, weights=size).x, 0.0, 1.0)
    x, keep = np.unique(x, return_index=True)
    return CalibrationMap("isotonic", tuple(map(float, fitted[keep])), tuple(map(float, x)))


FITTERS: Mapping[str, Callable[[FloatArray, FloatArray], CalibrationMap]] = {
    "constant": constant,
    "platt": platt,
    "beta": beta,
    "isotonic": isotonic,
}


@dataclass(frozen=True, slots=True)
class Chosen:
    """The `map`, its Brier `skill` over the base rate on later days (NaN if never tested) and the standard error."""

    map: CalibrationMap
    skill: float
    se: float


def choose(p: FloatArray, y: FloatArray, when: IntArray) -> CalibrationMap:
    """The map with the lowest Brier score on later days; the base rate unless it is beaten by one standard error.

    p, y (R,) finite; `when` (R,) session of each row: maps are fitted on earlier sessions and scored on later ones,
    then the winner is fitted on all.
    """
    return choose_with_evidence(p, y, when).map


def choose_with_evidence(p: FloatArray, y: FloatArray, when: IntArray) -> Chosen:
    """As :func:`choose`, with the skill that decided."""
    p, y = np.asarray(p, np.float64), np.asarray(y, np.float64)
    nan = float("nan")
    if not _enough(y):
        return Chosen(constant(p, y), nan, nan)
    day, loss = _forward_losses(p, y, np.asarray(when))
    if not len(day):
        return Chosen(constant(p, y), nan, nan)
    best = min(FITTERS, key=lambda name: float(loss[name].mean()))
    gain, se = _by_day(loss["constant"] - loss[best], day)
    skill, error = gain / float(loss["constant"].mean()), se / float(loss["constant"].mean())
    if best == "constant" or not (gain > se and skill > MIN_SKILL):
        return Chosen(constant(p, y), min(skill, 0.0) if best == "constant" else skill, error)
    return Chosen(FITTERS[best](p, y), skill, error)


def brier(p: FloatArray, y: FloatArray) -> float:
    """Mean of (p - y)^2 over the rows where both are known (Brier 1950).

    >>> brier(np.array([0.5, 1.0, np.nan]), np.array([1.0, 1.0, 0.0]))
    0.125
    """
    return float(np.nanmean((np.asarray(p) - np.asarray(y)) ** 2))


def brier_skill(p: FloatArray, y: FloatArray, base: float) -> float:
    """1 - Brier(p) / Brier(base rate): above 0 only where p knows more than the base rate."""
    return 1.0 - brier(p, y) / brier(np.full(np.shape(y), base), y)


def reliability(p: FloatArray, y: FloatArray, bins: int = 10) -> tuple[FloatArray, FloatArray, IntArray]:
    """Mean p, mean y and rows of `bins` bins of equal numbers of rows, each (bins,)."""
    order = np.argsort(p, kind="stable")
    pieces = [piece for piece in np.array_split(order, bins) if len(piece)]
    mean_p, mean_y = (np.array([v[piece].mean() for piece in pieces]) for v in (p, y))
    return mean_p, mean_y, np.array([len(piece) for piece in pieces], np.int64)


def ece(p: FloatArray, y: FloatArray, bins: int = 10) -> float:
    """Expected calibration error: mean over rows of |mean y - mean p| of the row's bin (Naeini et al. 2015).

    >>> ece(np.array([0.1, 0.1, 0.9, 0.9]), np.array([0.0, 0.0, 1.0, 1.0]), bins=2)
    0.1
    """
    mean_p, mean_y, size = reliability(p, y, bins)
    return float(np.round((np.abs(mean_p - mean_y) * size).sum() / size.sum(), 15))


def _apply_constant(m: CalibrationMap, p: FloatArray) -> FloatArray:
    return np.full(p.shape, m.values[0])


def _apply_platt(m: CalibrationMap, p: FloatArray) -> FloatArray:
    a, c = m.values
    return np.asarray(expit(a * _logit(p) + c))


def _apply_beta(m: CalibrationMap, p: FloatArray) -> FloatArray:
    a, b, c = m.values
    q = np.clip(p, EDGE, 1 - EDGE)
    return np.asarray(expit(a * np.log(q) - b * np.log1p(-q) + c))


def _apply_isotonic(m: CalibrationMap, p: FloatArray) -> FloatArray:
    return np.asarray(np.interp(p, m.x, m.values))


_APPLY: Mapping[str, Callable[[CalibrationMap, FloatArray], FloatArray]] = {
    "constant": _apply_constant,
    "platt": _apply_platt,
    "beta": _apply_beta,
    "isotonic": _apply_isotonic,
}


def _logit(p: FloatArray) -> FloatArray:
    return np.asarray(logit(np.clip(p, EDGE, 1 - EDGE)))


def _enough(y: FloatArray) -> bool:
    return len(y) >= MIN_ROWS and min(float(y.sum()), float((1 - y).sum())) >= MIN_CLASS


def _forward_losses(p: FloatArray, y: FloatArray, when: IntArray) -> tuple[IntArray, dict[str, FloatArray]]:
    """Sessions and squared errors of each map on folds of sessions later than those it was fitted on."""
    _, day = np.unique(when, return_inverse=True)
    days: list[IntArray] = []
    losses: dict[str, list[FloatArray]] = {name: [] for name in FITTERS}
    for a, b in fold_edges(int(day.max()) + 1, FOLDS):
        train, test = day < a, (day >= a) & (day < b)
        if not _enough(y[train]) or not test.any():
            continue
        days.append(day[test])
        for name, fit in FITTERS.items():
            losses[name].append((fit(p[train], y[train])(p[test]) - y[test]) ** 2)
    if not days:
        return np.zeros(0, np.int64), {}
    return np.concatenate(days), {name: np.concatenate(parts) for name, parts in losses.items()}


def _by_day(gain: FloatArray, day: IntArray) -> tuple[float, float]:
    """Mean gain and its standard error clustered by session."""
    _, index = np.unique(day, return_inverse=True)
    mean = float(gain.mean())
    sums = np.bincount(index, gain - mean)
    count = len(sums)
    if count < 2:
        return mean, float("inf")
    return mean, float(np.sqrt((sums**2).sum() * count / (count - 1)) / len(gain))


def _logistic(x: FloatArray, y: FloatArray) -> tuple[float, ...]:
    """(slopes..., intercept) of a logistic regression, slopes >= 0: a negative one is dropped and the rest refitted."""
    use = list(range(x.shape[1]))
    while True:
        coefficients = _newton(np.column_stack([x[:, use], np.ones(len(x))]), y)
        worst = int(np.argmin(coefficients[:-1])) if use else -1
        if worst < 0 or coefficients[worst] >= 0:
            break
        use.pop(worst)
    slopes = np.zeros(x.shape[1])
    slopes[use] = coefficients[:-1]
    return (*map(float, slopes), float(coefficients[-1]))


def _newton(x: FloatArray, y: FloatArray, steps: int = 50) -> FloatArray:
    """Logistic regression by damped Newton steps, with a ridge of 1e-6 a row so that separable data stay finite."""
    penalty = 1e-6 * len(y) * np.eye(x.shape[1])
    coefficients = np.zeros(x.shape[1])
    for _ in range(steps):
        q = expit(x @ coefficients)
        gradient = x.T @ (y - q) - penalty @ coefficients
        hessian = (x * (q * (1 - q))[:, None]).T @ x + penalty
        step = np.linalg.solve(hessian, gradient)
        step *= min(1.0, 4.0 / max(float(np.abs(step).max()), 1e-300))
        coefficients += step
        if float(np.abs(step).max()) < 1e-10:
            break
    return coefficients
