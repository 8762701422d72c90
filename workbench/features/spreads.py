"""The spread of each bar: from its quote, or estimated by month where there are none."""

from __future__ import annotations

import numpy as np

from workbench.core.arrays import FloatArray, readonly
from workbench.core.bars import Bars
from workbench.core.units import BARS_PER_SESSION as SLOTS
from workbench.core.universe import Universe
from workbench.features.timeofday import slots_of
from workbench.stats.spread import edge, shrink_spread, spread_prior

FIRST_QUIET, LAST_QUIET = 6, SLOTS - 4
"""The estimate uses bars of these slots: neither the first half hour nor the last 15 minutes."""


def _shape() -> FloatArray:
    """(78,) spread by slot over that of midday: 2.5 in the first 10 minutes, 0.55 in the last 15 (MARKET_FACTS)."""
    shape = np.ones(SLOTS)
    shape[:2] = 2.5
    shape[2:12] = 1.0 + 0.9 * 0.75 ** np.arange(10)
    shape[-3:] = 0.55
    return readonly(shape)


SHAPE = _shape()


def quoted_spread(bid: FloatArray, ask: FloatArray) -> FloatArray:
    """Relative spread (ask - bid) / mid; NaN where the quote is absent or crossed.

    >>> quoted_spread(np.array([99.99, 100.02]), np.array([100.01, 100.01])).round(6)
    array([0.0002,    nan])
    """
    good = (bid > 0) & (ask >= bid)
    return np.where(good, 2 * (ask - bid) / np.where(good, ask + bid, 1.0), np.nan)


class SpreadTracker:
    """Estimates the midday spread of a month from the bars of the calendar month before it; in the first month, the
    prior alone. Sees past sessions only."""

    def __init__(self, universe: Universe) -> None:
        self._tick = np.array([i.min_tick for i in universe.instruments])
        self._month: np.datetime64 | None = None
        self._seen: list[
            FloatArray
        ] = []  # (4, T, N) quiet bars of the month so far, and a row of NaN after each session
        self._dollars: list[FloatArray] = []  # (N,) traded value of each of its sessions
        self._estimate: FloatArray | None = None

    def open_session(self, session: int) -> None:
        """Must be called at each session's start: a new month begins with the estimate from the old one."""
        month = np.datetime64(session, "D").astype("datetime64[M]")
        if self._month is not None and month != self._month and self._seen:
            self._estimate = self._month_estimate()
            self._seen, self._dollars = [], []
        self._month = month

    def close_session(self, bars: list[FloatArray], bars_in_session: int, bar_of_session: list[int]) -> None:
        """`bars`: (5, N) open, high, low, close, volume of each bar of the session that has ended."""
        table = np.array(bars)
        slot = slots_of(bars_in_session)[bar_of_session]
        quiet = table[(slot >= FIRST_QUIET) & (slot <= LAST_QUIET), :4]
        n = table.shape[2]
        self._seen.append(np.concatenate([quiet, np.full((1, 4, n), np.nan)]).transpose(1, 0, 2))
        self._dollars.append(np.nansum(table[:, 3] * table[:, 4], axis=0))

    def midday(self, price: FloatArray, dollar_volume: FloatArray) -> FloatArray:
        """(N,) relative midday spread, tick aside; the arguments are used in the first month only."""
        return spread_prior(price, dollar_volume) if self._estimate is None else self._estimate

    def of_bars(self, midday: FloatArray, bars: Bars) -> FloatArray:
        """(T, N) spread of bars of one session: midday times the shape, at least one tick; NaN without a price."""
        shape = SHAPE[slots_of(int(bars.bars_in_session[0]))[bars.bar_of_session]]
        return np.maximum(shape[:, None] * midday, self._tick / bars.close)

    def _month_estimate(self) -> FloatArray:
        o, h, l, c = np.concatenate(self._seen, axis=1)  # noqa: E741
        there = ~np.isnan(c)
        count = np.where(there.any(axis=0), there.sum(axis=0), np.nan)
        price = np.where(there, c, 0.0).sum(axis=0) / count
        dollars = np.mean(self._dollars, axis=0)
        prior = spread_prior(price, np.where(dollars > 0, dollars, np.nan))
        return _without_tick(
            shrink_spread(*edge(o, h, l, c), np.maximum(prior, self._tick / price)), prior, self._tick / price
        )


def _without_tick(spread: FloatArray, prior: FloatArray, tick: FloatArray) -> FloatArray:
    """(N,) what the spread would be if there were no tick: `spread` where it is clearly wider than one tick, else the
    prior, at most a tick (a spread of one tick says nothing more, and must not widen at the open as if it did)."""
    return np.where(spread > 1.25 * tick, spread, np.minimum(prior, tick))
