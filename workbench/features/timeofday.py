"""Windows of trading time: what part of the day's variance and volume lies in the h minutes after a bar."""

from __future__ import annotations

import numpy as np

from workbench.core.arrays import FloatArray, IntArray
from workbench.core.horizon import HORIZONS, Horizon
from workbench.core.units import BARS_PER_SESSION as SLOTS

FROM_CLOSE = 12
"""Bars before the close of a short session that are like those before a full session's close."""


def slots_of(bars: int) -> IntArray:
    """(bars,) the slot of a full session that each bar of a session of `bars` bars is like.

    >>> slots_of(42)[[0, 29, 30, 41]].tolist()
    [0, 29, 66, 77]
    """
    b = np.arange(bars)
    return np.where(b + FROM_CLOSE < bars, b, SLOTS - (bars - b))


def window_share(profile: FloatArray, bars: int) -> FloatArray:
    """(bars, H) sum of `profile` (78,) over the window of each horizon after each bar of a session of `bars` bars.

    A window that passes the close goes on at the next open, taken to be that of a full session; a day horizon of n
    sessions counts n whole days.
    """
    today = np.concatenate([[0.0], np.cumsum(profile[slots_of(bars)])])
    next_day = np.concatenate([[0.0], np.cumsum(profile)])
    after = np.arange(1, bars + 1)
    out = np.empty((bars, len(HORIZONS)))
    for h in HORIZONS:
        if h.is_day:
            out[:, h.order] = h.days * next_day[-1]
        else:
            end = np.minimum(after + h.bars, bars)
            out[:, h.order] = today[end] - today[after] + next_day[after + h.bars - end]
    return out


def closes_crossed(bars: int) -> FloatArray:
    """(bars, H) closes that the window of each horizon crosses: n for a day horizon of n sessions, else 0 or 1."""
    after = np.arange(1, bars + 1)
    return np.stack([np.full(bars, h.days) if h.is_day else after + h.bars > bars for h in HORIZONS], axis=1).astype(
        np.float64
    )


def horizons_open(bars: int) -> np.ndarray:
    """(bars, H) True where an intraday horizon ends by the close; day horizons are left True."""
    return np.stack([_stays(h, bars) for h in HORIZONS], axis=1)


def _stays(h: Horizon, bars: int) -> np.ndarray:
    return np.ones(bars, bool) if h.is_day else np.arange(bars) + h.bars < bars
