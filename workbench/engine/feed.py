"""Live bars: the same TRADES bars as the training history, asked for when a bar is over.

Asking history for the bar that just ended gives the very bars that a later download gives, and survives the blips after
which a stream of bars never resumes. What has not arrived by bar end + grace is missing in that snapshot: UNKNOWN.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from workbench.core.arrays import FloatArray
from workbench.core.bars import Bars
from workbench.core.calendar import Sessions, exchange_sessions
from workbench.core.clock import Clock
from workbench.core.errors import DataError
from workbench.core.units import BAR_MINUTES, NS_PER_MINUTE, NS_PER_SECOND, SESSION_MINUTES
from workbench.engine.snapshots import QUOTES, MarketBatch
from workbench.execution.reports import Quote

ASK_AGAIN_S = 0.25
"""Real seconds between two requests for bars that had not arrived."""
ASK_HISTORY_AGAIN_S = (0.5, 2.0)
"""Real seconds before the second and the third request for history that failed."""
BAR_NS = BAR_MINUTES * NS_PER_MINUTE


class BarRow(Protocol):
    """One bar: `ts` UTC ns of its END, prices USD, volume shares."""

    ts: int
    open: float
    high: float
    low: float
    close: float
    volume: float


class BarSource(Protocol):
    """What the feed asks of the broker's connection."""

    def bars(
        self, symbols: Sequence[str], interval_minutes: int, end: int, count: int
    ) -> Mapping[str, Sequence[BarRow]]:
        """Up to `count` bars per symbol that end at or before `end`; a symbol that failed is absent."""
        ...

    def quotes(self) -> Mapping[str, Quote]:
        """The latest quote of each watched symbol."""
        ...


@dataclass(frozen=True, slots=True)
class Warmup:
    """History before the first live bar; `missing`: symbols of which nothing came."""

    bars: Bars
    daily: Bars
    missing: tuple[str, ...]


class Feed:
    """Asks `source` for the bars of `symbols`."""

    def __init__(self, source: BarSource, symbols: tuple[str, ...], clock: Clock, origin: str) -> None:
        self.source, self.symbols, self.clock, self.origin = source, symbols, clock, origin

    def warm_up(self, last_end: int, sessions: int, days: int) -> Warmup:
        """`sessions` of 5-minute bars up to the bar that ends at `last_end`, and `days` of daily bars before them."""
        every = exchange_sessions()
        # the session of the next bar: the same history from one close to the next, so that a restart sees the same
        today = int(np.searchsorted(every.close_ns, last_end, side="right"))
        bars = self._history(every, max(today - sessions, 0), today, BAR_MINUTES, last_end)
        daily = self.daily(last_end, days)
        missing = tuple(s for i, s in enumerate(self.symbols) if np.isnan(bars.close[:, i]).all())
        if len(missing) == len(self.symbols):
            raise DataError(
                f"the broker gave no bar of any of {len(missing)} symbols ({', '.join(missing[:5])}): nothing can be "
                "decided; `workbench doctor --broker HOST:PORT` tells whether market data are subscribed"
            )
        return Warmup(bars, daily, missing)

    def daily(self, last_end: int, days: int) -> Bars:
        """`days` of daily bars of the sessions that had closed by `last_end`."""
        every = exchange_sessions()
        closed = int(np.searchsorted(every.close_ns, last_end, side="right")) - 1
        return self._history(every, max(closed + 1 - days, 0), closed, SESSION_MINUTES, last_end)

    def gather(self, ts: int, deadline: int, beat: Callable[[], None]) -> MarketBatch:
        """The bar that ends at `ts`, as far as it arrives before `deadline` (of the clock); `beat` shows progress.

        Called when the bar ends: the quotes are those that stand at that moment.
        """
        told, patience = self.source.quotes(), time.monotonic() + max((deadline - ts) / NS_PER_SECOND, ASK_AGAIN_S)
        found: dict[str, tuple[BarRow, int]] = {}
        while True:
            lacking = [s for s in self.symbols if s not in found]
            for symbol, rows in self.source.bars(lacking, BAR_MINUTES, ts, 1).items():
                if (row := next((r for r in rows if r.ts == ts), None)) is not None:
                    found[symbol] = row, self.clock.now()
            beat()
            if len(found) == len(self.symbols) or self.clock.now() >= deadline or time.monotonic() > patience:
                return self._batch(ts, found, told)
            time.sleep(ASK_AGAIN_S)

    def _batch(self, ts: int, found: Mapping[str, tuple[BarRow, int]], told: Mapping[str, Quote]) -> MarketBatch:
        n, now = len(self.symbols), self.clock.now()
        bars, quotes, status = np.full((n, 5), np.nan), np.full((n, 4), np.nan), np.full((n, 3), np.nan)
        bar_known, quote_known = np.zeros(n, np.int64), np.zeros(n, np.int64)
        for i, symbol in enumerate(self.symbols):
            if symbol in found:
                bars[i] = _fields(found[symbol][0])
                bar_known[i] = 0 if np.isnan(bars[i, 0]) else found[symbol][1]
            quote = told.get(symbol)
            if quote is None or not quote.time:
                continue
            age = max(now - quote.time, 0) / NS_PER_SECOND
            status[i] = age, np.nan if quote.halted is None else float(quote.halted), quote.shortable_shares
            if quote.time > ts - BAR_NS and not quote.delayed:  # else it does not stand at the end of this bar
                quotes[i] = [getattr(quote, name) for name in QUOTES]
                quote_known[i] = min(quote.time, now)
        return MarketBatch(ts, now, self.symbols, bars, bar_known, quotes, quote_known, status)

    def missed(self, after: int, until: int) -> Bars | None:
        """The bars that end after `after` and by `until`, as history has them; None where there are none."""
        ts = exchange_sessions().between(after, until).grid(BAR_MINUTES)[0]
        if not ((ts > after) & (ts <= until)).any():
            return None
        first = int(np.searchsorted(exchange_sessions().close_ns, after, side="right"))
        last = int(np.searchsorted(exchange_sessions().close_ns, until))
        bars = self._history(exchange_sessions(), first, last, BAR_MINUTES, until)
        return bars.rows(int(np.searchsorted(bars.ts, after, side="right")), len(bars.ts))

    def _history(self, every: Sessions, first: int, last: int, interval: int, end: int) -> Bars:
        """Bars of sessions `first` to `last` (of all) that end by `end`, on the grid; NaN where nothing came."""
        cut = slice(first, last + 1)
        ts, session, number, count = Sessions(every.date[cut], every.open_ns[cut], every.close_ns[cut]).grid(interval)
        keep = ts <= end
        if not keep.any():
            raise DataError(f"no bar of {interval} minutes ends by {end} ns; start after the first bar of a session")
        ts, session, number, count = ts[keep], session[keep], number[keep], count[keep]
        table = np.full((5, len(ts), len(self.symbols)), np.nan)
        row_of = {int(t): k for k, t in enumerate(ts)}
        for symbol, rows in self._told(interval, int(ts[-1]), len(ts)).items():
            column = self.symbols.index(symbol)
            for row in rows:
                if row.ts in row_of:
                    table[:, row_of[row.ts], column] = _fields(row)
        fields: dict[str, Any] = dict(zip(("open", "high", "low", "close", "volume"), table))
        return Bars(self.symbols, interval, ts, session, number, count, **fields, data_origin=self.origin)

    def _told(self, interval: int, end: int, count: int) -> Mapping[str, Sequence[BarRow]]:
        """What history gives; where a request failed it is made again. No such bars: no rows, and that is final."""
        told = dict(self.source.bars(self.symbols, interval, end, count))
        for pause in ASK_HISTORY_AGAIN_S:
            lacking = [s for s in self.symbols if s not in told]
            if not lacking:
                break
            time.sleep(pause)
            told |= self.source.bars(lacking, interval, end, count)
        return told


def _fields(row: BarRow) -> FloatArray:
    """(5,) open, high, low, close, volume; all NaN for what an import would set aside as no sound bar."""
    values = np.array([row.open, row.high, row.low, row.close, row.volume], np.float64)
    sound = np.isfinite(values).all() and (values[:4] > 0).all() and row.volume >= 0 and row.high >= row.low
    return values if sound else np.full(5, np.nan)
