"""Coarser bars from finer ones, exactly: the first open, the highest high, the lowest low, the last close, the sum.

>>> from workbench.data.simulate import MarketSettings, simulate
>>> market = simulate(MarketSettings(symbols=2, intraday_sessions=1, daily_sessions=1))
>>> bool((to_daily(market.bars).volume == market.bars.volume.sum(0)).all())
True
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np

from workbench.core.arrays import FloatArray, IntArray
from workbench.core.bars import Bars
from workbench.core.errors import DataError
from workbench.core.units import SESSION_MINUTES

QUOTES = ("bid", "ask", "bid_size", "ask_size")
MIN_COVERAGE = 0.5
"""A day of which fewer grid bars than this share are known has no daily bar: its volume and range are unknown."""


def to_bars(bars: Bars, interval_minutes: int) -> Bars:
    """Bars of `interval_minutes` from finer ones of the same sessions.

    Of a group with missing bars the known ones count (a minute without a trade has no bar), none known: NaN. The quote
    is the one of the group's last bar, NaN where that is missing; `ofi` is NaN unless every bar of the group has it.
    :class:`DataError` if the interval is not a multiple, or a session's bars do not divide by it.
    """
    step = _step(bars, interval_minutes)
    last = slice(step - 1, None, step)
    edges = np.arange(0, len(bars.ts), step)
    return Bars(
        bars.symbols,
        interval_minutes,
        bars.ts[last],
        bars.session[last],
        bars.bar_of_session[last] // step,
        bars.bars_in_session[last] // step,
        *_trades(bars, edges),
        **{name: None if (q := getattr(bars, name)) is None else q[last] for name in QUOTES},
        ofi=None if bars.ofi is None else np.add.reduceat(bars.ofi, edges, axis=0),
        data_origin=bars.data_origin,
    )


def to_daily(bars: Bars, min_coverage: float = MIN_COVERAGE) -> Bars:
    """One bar per session, stamped with its close, without quotes.

    A symbol's day is NaN when fewer than `min_coverage` of its grid bars are known.
    """
    spans = list(bars.sessions())
    edges = np.array([a for _, a, _ in spans], dtype=np.int64)
    last = np.array([b - 1 for _, _, b in spans], dtype=np.int64)
    one = np.ones(len(spans), dtype=np.int64)
    fields = _trades(bars, edges)
    known = np.add.reduceat(np.isfinite(bars.close).astype(float), edges, axis=0) if len(edges) else fields[0]
    unknown = known < min_coverage * bars.bars_in_session[last][:, None]
    for field in fields:
        field[unknown] = np.nan
    return Bars(
        bars.symbols, SESSION_MINUTES, bars.ts[last], bars.session[last], one * 0, one, *fields,
        data_origin=bars.data_origin,
    )  # fmt: skip


def _step(bars: Bars, interval_minutes: int) -> int:
    step, rest = divmod(interval_minutes, bars.interval_minutes)
    if rest or step < 1:
        raise DataError(
            f"{bars.interval_minutes}-minute bars cannot become {interval_minutes}-minute bars: "
            f"the interval must be a multiple of {bars.interval_minutes}"
        )
    if (bars.bars_in_session % step).any() or (len(bars.ts) and bars.bar_of_session[0] % step):
        raise DataError(f"a session's bars do not divide into groups of {step}; give whole sessions")
    return step


def _trades(bars: Bars, edges: IntArray) -> tuple[FloatArray, ...]:
    """Open, high, low, close, volume of the groups of rows that start at `edges`."""
    if not len(edges):
        empty = np.empty((0, len(bars.symbols)))
        return tuple(empty.copy() for _ in range(5))
    stops = np.r_[edges[1:], len(bars.ts)] - 1
    volume = np.add.reduceat(np.nan_to_num(bars.volume, nan=0.0), edges, axis=0)
    volume[~np.logical_or.reduceat(np.isfinite(bars.volume), edges, axis=0)] = np.nan
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="invalid value encountered")
        high = np.fmax.reduceat(bars.high, edges, axis=0)
        low = np.fmin.reduceat(bars.low, edges, axis=0)
    return _first(bars.open, edges, stops, 1), high, low, _first(bars.close, stops, edges, -1), volume


def _first(values: FloatArray, start: IntArray, stop: IntArray, step: int) -> FloatArray:
    """First known value from each `start` row towards its `stop` row (both included)."""
    out = values[start].copy()
    at: Callable[[IntArray], FloatArray] = values.__getitem__
    here = start.copy()
    while True:
        behind = (here < stop) if step > 0 else (here > stop)
        if not (behind & np.isnan(out).any(axis=1)).any():
            return out
        here = np.where(behind, here + step, here)
        out = np.where(np.isnan(out), at(here), out)
