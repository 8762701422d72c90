"""Daily features and sigma: what was known before each session opened, from daily bars that had closed by then."""

from __future__ import annotations

import numpy as np

from workbench.core.arrays import FloatArray, IntArray
from workbench.core.bars import TRADE_FIELDS, Bars
from workbench.core.errors import DataError
from workbench.core.universe import Universe
from workbench.features.catalogue import DAILY_FEATURES
from workbench.features.compiled import DailyCore, groups_of, signs_of


class DailyTracker:
    """Features known before each session, of loaded daily bars, and of sessions seen as 5-minute bars where the loaded
    ones have none."""

    def __init__(self, universe: Universe) -> None:
        self._universe = universe
        self._loaded: dict[int, tuple[int, FloatArray]] = {}  # session -> (ts, (5, N))
        self._own: dict[int, FloatArray] = {}
        self._reloaded = False
        self._reset()

    def _reset(self) -> None:
        self._core = DailyCore(signs=signs_of(self._universe), groups=groups_of(self._universe))
        self._fed = -1
        self._sessions: list[int] = []
        self._values: list[FloatArray] = []
        self._sigma: list[FloatArray] = []
        self._table: tuple[IntArray, FloatArray, FloatArray] | None = None

    def load(self, daily: Bars) -> None:
        """Daily bars; rows of sessions that have not closed yet are kept until they have. Takes effect at the next
        session's start and replaces what was loaded before."""
        if daily.interval_minutes < 390:
            raise DataError(
                f"daily bars have interval {daily.interval_minutes} minutes; aggregate them to sessions first"
            )
        table = np.full((len(daily.ts), 5, len(self._universe)), np.nan)
        for i, symbol in enumerate(self._universe.symbols):
            if symbol in daily.symbols:
                column = daily.symbols.index(symbol)
                table[:, :, i] = np.stack([getattr(daily, name)[:, column] for name in TRADE_FIELDS], axis=1)
        self._loaded = {int(s): (int(ts), row) for s, ts, row in zip(daily.session, daily.ts, table)}
        self._reloaded = True  # the session in progress keeps what it started with

    def close_session(self, session: int, bars: list[FloatArray]) -> None:
        """`bars`: (5, N) open, high, low, close, volume of each bar of the session that has ended."""
        self._own[session] = _aggregate(np.array(bars))

    def open_session(self, session: int, opens_at: int) -> None:
        """Record what is known before `session`, which opens at `opens_at` ns, and before every session on the way."""
        if self._reloaded:
            self._reset()
            self._reloaded = False
        closed = {s: row for s, row in self._own.items() if self._fed < s < session}
        closed |= {s: row for s, (ts, row) in self._loaded.items() if self._fed < s < session and ts <= opens_at}
        for past in sorted(closed):
            self._record(past)
            self._core.update(closed[past])
            self._fed = past
        self._record(session)
        self._table = None

    def table(self) -> tuple[IntArray, FloatArray, FloatArray]:
        """Sessions (S,), values (S, N, Fd) and sigma (S, N) of one session's return, all known before the session."""
        if self._table is None:
            n = len(self._universe)
            values = np.array(self._values).reshape(-1, n, len(DAILY_FEATURES))
            self._table = np.array(self._sessions, np.int64), values, np.array(self._sigma).reshape(-1, n)
        return self._table

    def _record(self, session: int) -> None:
        if self._sessions and self._sessions[-1] >= session:
            return
        self._sessions.append(session)
        self._values.append(self._core.values)
        self._sigma.append(self._core.sigma)


def _aggregate(bars: FloatArray) -> FloatArray:
    """(5, N) session bar of (T, 5, N) bars; NaN for a symbol without any."""
    there = ~np.isnan(bars[:, 3])
    n = bars.shape[2]
    first, last = there.argmax(axis=0), len(bars) - 1 - there[::-1].argmax(axis=0)
    high = np.where(there, bars[:, 1], -np.inf).max(axis=0)
    low = np.where(there, bars[:, 2], np.inf).min(axis=0)
    volume = np.where(there, np.nan_to_num(bars[:, 4]), 0.0).sum(axis=0)
    out = np.stack([bars[first, 0, np.arange(n)], high, low, bars[last, 3, np.arange(n)], volume])
    out[:, ~there.any(axis=0)] = np.nan
    return out
