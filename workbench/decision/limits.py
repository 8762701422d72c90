"""Exact limits on a book in which some names must not move, and some must not grow."""

from __future__ import annotations

import numpy as np

from workbench import kernels
from workbench.config import SizingSettings
from workbench.core.arrays import BoolArray, FloatArray

_ROUNDS = 8


def within_limits(
    point: FloatArray, cap: FloatArray, leverage: FloatArray, settings: SizingSettings, keep: tuple[BoolArray, ...] = ()
) -> FloatArray:
    """(N,) the nearest admissible weights to `point`: caps, gross and net in delta dollars hold exactly.

    `cap` (N,) delta dollars per name, >= 0 (0: the name stays flat). `keep`: masks of names that stay as they are, in
    the order in which they are released: all of them first; if that cannot be, without the first mask, and so on. A
    name above its own cap is never kept. No name changes its sign: one that the net limit would push through zero stays
    at zero. A point that holds the limits comes back bit for bit.
    """
    inside = np.abs(leverage * point) <= cap
    masks = [np.logical_or.reduce(keep[i:]) & inside for i in range(len(keep))]
    for kept in masks:
        out = _project(point, cap, leverage, settings, kept)
        if np.array_equal(out[kept], point[kept]):
            return out
    return _project(point, cap, leverage, settings, None)


def _project(
    point: FloatArray, cap: FloatArray, leverage: FloatArray, settings: SizingSettings, kept: BoolArray | None
) -> FloatArray:
    for _ in range(_ROUNDS):
        out = kernels.project_limits(point, cap, settings.target_gross, settings.max_net, leverage, kept)
        crossed = out * point < 0
        if not crossed.any():
            return out
        cap = np.where(crossed, 0.0, cap)
        point = np.where(crossed, 0.0, point)
    return _shrink(np.where(crossed, 0.0, out), leverage, settings)


def _shrink(w: FloatArray, leverage: FloatArray, settings: SizingSettings) -> FloatArray:
    """Scale the book down until gross and net hold: always possible, seldom needed."""
    delta = w * leverage
    gross, net = float(np.abs(delta).sum()), abs(float(delta.sum()))
    factor = min(1.0, settings.target_gross / max(gross, 1e-300), settings.max_net / max(net, 1e-300))
    return np.asarray(w * factor * (1.0 - 1e-13))
