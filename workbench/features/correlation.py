"""Which symbols move together: the shrunk correlation that sizing uses, and clusters of near-duplicates."""

from __future__ import annotations

from collections import deque

import numpy as np

from workbench import kernels
from workbench.core.arrays import BoolArray, FloatArray
from workbench.core.universe import Universe

LEAST_ROWS = 26
"""Half-hour returns (two sessions) below which nothing is said about a symbol."""
LEAST_SHARE = 0.6
"""Share of the rows that a symbol must have; where it has no return, its mean 0 stands in."""


class CorrelationTracker:
    """Correlation over the last `sessions` sessions of half-hour returns, deseasonalised and scaled by sigma."""

    def __init__(self, universe: Universe, sessions: int, duplicate: float) -> None:
        self._universe = universe
        self._duplicate = duplicate
        self._returns: deque[FloatArray] = deque(maxlen=sessions)

    def close_session(self, half_hours: FloatArray) -> None:
        """`half_hours` (13, N) of the session that has ended; NaN where unknown."""
        self._returns.append(half_hours)

    def current(self, dollar_volume: FloatArray) -> tuple[FloatArray, BoolArray]:
        """(N, N) correlation and (N,) eligible, from past sessions only; `dollar_volume` (N,), NaN unknown."""
        n = len(self._universe)
        rows = np.concatenate(self._returns) if self._returns else np.empty((0, n))
        rows = rows[~np.isnan(rows).all(axis=1)]
        enough = _enough(rows)
        filled = np.nan_to_num(rows[:, enough])
        shrunk, plain = np.eye(n), np.eye(n)
        if enough.any():
            at = np.ix_(enough, enough)
            shrunk[at] = kernels.ledoit_wolf_correlation(np.ascontiguousarray(filled))
            plain[at] = _correlation(filled)
        return shrunk, eligible(plain, dollar_volume, self._universe, self._duplicate)


def _enough(rows: FloatArray) -> BoolArray:
    there = (~np.isnan(rows)).sum(axis=0)
    moves = (np.nan_to_num(rows) != 0).any(axis=0) if len(rows) else np.zeros(rows.shape[1], bool)
    return moves & (there >= max(LEAST_ROWS, LEAST_SHARE * len(rows)))


def _correlation(rows: FloatArray) -> FloatArray:
    """(N, N) plain correlation with zero mean: shrinkage would hide a duplicate."""
    unit = rows / np.sqrt((rows**2).sum(axis=0))
    return unit.T @ unit


def eligible(correlation: FloatArray, dollar_volume: FloatArray, universe: Universe, duplicate: float) -> BoolArray:
    """(N,) True for one symbol of each cluster: the one with the highest dollar volume, then the first by name.

    Symbols belong together where |correlation| > `duplicate` or where they have the same underlying (an instrument
    without one is its own), directly or through others.

    >>> u = Universe.of(["B", "A", "C"])
    >>> c = np.array([[1.0, -0.99, 0.1], [-0.99, 1.0, 0.1], [0.1, 0.1, 1.0]])
    >>> eligible(c, np.array([2.0, 1.0, 1.0]), u, 0.95).tolist()
    [True, False, True]
    """
    base = np.array([i.underlying or i.symbol for i in universe.instruments])
    together = np.abs(correlation) > duplicate
    together |= base[:, None] == base
    label = np.arange(len(base))
    for _ in base:
        smallest = np.where(together, label, len(base)).min(axis=1)
        if (smallest == label).all():
            break
        label = smallest
    worth = np.where(np.isnan(dollar_volume), -1.0, dollar_volume)
    best = sorted(range(len(base)), key=lambda i: (-worth[i], universe.symbols[i]))
    first_of = {label[i]: i for i in reversed(best)}
    return np.array([first_of[label[i]] == i for i in range(len(base))])
