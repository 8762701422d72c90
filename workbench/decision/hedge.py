"""Hedge: exponentiated-gradient weights that learn from matured outcomes, bounded around the out-of-fold weights."""

from __future__ import annotations

import numpy as np

from workbench.core.arrays import FloatArray


def hedge(weights: FloatArray, losses: FloatArray, eta: float, bound: float) -> FloatArray:
    """New weights (M,) proportional to weights * exp(-eta * losses), each within a factor `bound` of its OOF weight.

    w'_m = clip(tau * w_m * exp(-eta * L_m), w_m / bound, w_m * bound), with the one tau for which sum w' = sum w.
    `weights` (M,) >= 0: the OOF weights, always the starting point; `losses` (M,): cumulative loss of each model over
    the outcomes matured so far, any unit (`eta` >= 0 is in its inverse); NaN, no outcome yet, counts as the weighted
    mean of the others. Run between decisions, never inside `decide`.

    Raises ValueError for negative weights, eta < 0 or bound < 1.
    Sources: Freund & Schapire (1997); Herbster & Warmuth (1998) for the bound.

    >>> hedge(np.array([0.5, 0.5]), np.array([0.0, np.log(3.0)]), 1.0, 10.0).round(12).tolist()
    [0.75, 0.25]
    >>> hedge(np.array([0.5, 0.5]), np.array([0.0, 9.0]), 1.0, 1.5).round(12).tolist()
    [0.666666666667, 0.333333333333]
    """
    w, loss = np.asarray(weights, np.float64), np.asarray(losses, np.float64)
    _check(w, loss, eta, bound)
    seen = np.isfinite(loss) & (w > 0)
    if not seen.any() or eta == 0 or bound == 1:
        return w.copy()
    mean = float(w[seen] @ loss[seen]) / float(w[seen].sum())
    loss = np.where(np.isfinite(loss), loss, mean)
    moved = np.where(w > 0, w * np.exp(-eta * (loss - loss[w > 0].min())), 0.0)
    low, high = w / bound, w * bound
    return np.clip(_level(moved, low, high, float(w.sum())) * moved, low, high)


def _level(moved: FloatArray, low: FloatArray, high: FloatArray, total: float) -> float:
    """tau with sum clip(tau*moved, low, high) = total: exact, between two breakpoints of a nondecreasing line."""
    use = moved > 0
    m, a, b = moved[use], low[use], high[use]
    rest = float(low[~use].sum())
    points = np.sort(np.concatenate([a / m, b / m]))
    sums = np.clip(points[:, None] * m, a, b).sum(1) + rest
    i = int(np.clip(np.searchsorted(sums, total), 1, len(points) - 1))
    rise = sums[i] - sums[i - 1]
    if rise <= 0:
        return float(points[i])
    return float(points[i - 1] + (total - sums[i - 1]) * (points[i] - points[i - 1]) / rise)


def _check(w: FloatArray, loss: FloatArray, eta: float, bound: float) -> None:
    if w.ndim != 1 or w.shape != loss.shape:
        raise ValueError(f"weights {w.shape} and losses {loss.shape} must be two vectors of one length")
    if not (np.isfinite(w).all() and (w >= 0).all()):
        raise ValueError(f"weights must be finite and >= 0, got a least of {w.min()}; pass the out-of-fold weights")
    if not eta >= 0:
        raise ValueError(f"eta = {eta} must be >= 0; it is the learning rate, in the inverse of the loss's unit")
    if not bound >= 1:
        raise ValueError(f"bound = {bound} must be >= 1; weights stay between w/bound and w*bound")
