"""How long a forecast is smoothed: a half-life per horizon, chosen on out-of-fold rows, net of costs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from workbench.core.arrays import FloatArray, IntArray


def decay_of(halflife: float) -> float:
    """Weight of the previous value after one bar: 2^(-1/halflife); 0 for no smoothing.

    >>> decay_of(0.0), decay_of(1.0)
    (0.0, 0.5)
    """
    return float(2.0 ** (-1.0 / halflife)) if halflife > 0 else 0.0


def paths(known_at: IntArray, session: IntArray, symbol: IntArray) -> IntArray:
    """(Q, P) row numbers in time order, one line per session and symbol, padded with -1."""
    order = np.lexsort((known_at, symbol, session))
    s, n = session[order], symbol[order]
    starts = np.flatnonzero(np.r_[True, (np.diff(s) != 0) | (np.diff(n) != 0)]) if len(order) else np.zeros(0, np.int64)
    length = np.diff(np.r_[starts, len(order)])
    out = np.full((len(starts), int(length.max(initial=0))), -1, np.int64)
    line = np.repeat(np.arange(len(starts)), length)
    out[line, np.arange(len(order)) - np.repeat(starts, length)] = order
    return out


def smooth(values: FloatArray, halflife: float) -> FloatArray:
    """(Q, P) exponential smoothing along each line, m_t = d*m_{t-1} + (1-d)*x_t; it starts anew after a NaN."""
    decay = decay_of(halflife)
    out = values.copy()
    for t in range(1, values.shape[1]):
        before = out[:, t - 1]
        out[:, t] = np.where(np.isfinite(before), decay * before + (1 - decay) * values[:, t], values[:, t])
    return out


def choose_halflife(
    score: FloatArray,
    label: FloatArray,
    sigma_h: FloatArray,
    grid: IntArray,
    bars: int,
    candidates: Sequence[float],
    one_way_cost: float,
) -> float:
    """The half-life (bars) whose positions earn most after costs on rows that no weight was fitted on.

    Positions are smoothed score / sigma_h, divided by their mean size; each earns position*label/bars a bar and pays
    `one_way_cost` (decimal of the traded value) for every change, from flat at the first bar to flat after the last.
    If none earns its costs, the one that earns most before them: such a horizon will not be admitted anyway, and its
    information is kept. `score`, `label`, `sigma_h` (R,); `grid` (Q, P) from :func:`paths`.
    """
    if not candidates or grid.size == 0:
        return 0.0
    there = grid >= 0
    s, y, sigma = (np.where(there, v[grid], np.nan) for v in (score, label, sigma_h))
    results = [_earned(smooth(s, h) / sigma, y / bars, one_way_cost) for h in candidates]
    net = [r[0] for r in results]
    best = net if max(net) > 0 else [r[1] for r in results]
    return float(candidates[int(np.argmax(best))])


def _earned(position: FloatArray, earns: FloatArray, cost: float) -> tuple[float, float]:
    """(net, gross) per bar of unit mean position."""
    seen = np.isfinite(position)
    held = np.where(seen, position, 0.0)
    size = float(np.abs(held).sum())
    if not size > 0:
        return 0.0, 0.0
    gross = float(np.nansum(held * earns)) / size
    traded = float(np.abs(np.diff(held, axis=1, prepend=0.0, append=0.0)).sum()) / size
    return gross - cost * traded, gross
