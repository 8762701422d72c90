"""Stage 2 as live and replay share it: what the market told about one bar in, a snapshot out.

A :class:`MarketBatch` holds all that was consumed for the decision at one bar end: the bars of that end, and the quote
and the status of each symbol as they stood when the snapshot was closed. Live journals it before the decision; replay
feeds the same batches through the same code, so both see the same bits.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from workbench.config import FeatureSettings
from workbench.core.arrays import FloatArray, IntArray, check_shape, readonly
from workbench.core.bars import TRADE_FIELDS, Bars
from workbench.core.errors import DataError
from workbench.core.types import MarketEvent, Snapshot
from workbench.core.units import BAR_MINUTES, NS_PER_MINUTE, NS_PER_SECOND
from workbench.core.universe import Universe
from workbench.execution.reports import Quote
from workbench.features.engine import FeatureEngine

QUOTES = ("bid", "ask", "bid_size", "ask_size")
STATUS = ("quote_age_s", "halted", "shortable")
BAR_NS = BAR_MINUTES * NS_PER_MINUTE


@dataclass(frozen=True, slots=True)
class MarketBatch:
    """What was consumed for the bar that ends at `ts`, closed at `closed_at` (UTC ns).

    `bars` (N, 5) open, high, low, close, volume, NaN where the bar did not arrive in time; `bar_known` (N,) ns when it
    did, 0 where it did not. `quotes` (N, 4) bid, ask and their sizes; `quote_known` (N,) ns. `status` (N, 3): age of
    the quote in seconds, halted (1, 0, NaN not told), shares that can be borrowed (NaN not told).
    """

    ts: int
    closed_at: int
    symbols: tuple[str, ...]
    bars: FloatArray
    bar_known: IntArray
    quotes: FloatArray
    quote_known: IntArray
    status: FloatArray

    def __post_init__(self) -> None:
        n = len(self.symbols)
        for name, width in (("bars", len(TRADE_FIELDS)), ("quotes", len(QUOTES)), ("status", len(STATUS))):
            object.__setattr__(self, name, readonly(getattr(self, name)))
            check_shape(f"MarketBatch.{name}", getattr(self, name), (n, width))
        for name in ("bar_known", "quote_known"):
            object.__setattr__(self, name, readonly(getattr(self, name), np.int64))
            check_shape(f"MarketBatch.{name}", getattr(self, name), (n,))

    @property
    def late(self) -> tuple[str, ...]:
        """Symbols whose bar had not arrived when the snapshot was closed."""
        return tuple(s for s, known in zip(self.symbols, self.bar_known) if not known)

    def select(self, symbols: tuple[str, ...]) -> MarketBatch:
        """The same for `symbols`, in that order."""
        column = {s: i for i, s in enumerate(self.symbols)}
        unknown = [s for s in symbols if s not in column]
        if unknown:
            raise DataError(f"the batch of {self.ts} ns holds no {', '.join(unknown)}")
        at = [column[s] for s in symbols]
        arrays = {name: getattr(self, name)[at] for name in ("bars", "bar_known", "quotes", "quote_known", "status")}
        return replace(self, symbols=tuple(symbols), **arrays)

    def events(self) -> Iterator[MarketEvent]:
        """The bars and quotes as the feature engine takes them, symbol by symbol."""
        for i, symbol in enumerate(self.symbols):
            if self.bar_known[i]:
                yield MarketEvent("bar", symbol, int(self.bar_known[i]), dict(zip(TRADE_FIELDS, self.bars[i].tolist())))
            if self.quote_known[i]:
                yield MarketEvent("quote", symbol, int(self.quote_known[i]), dict(zip(QUOTES, self.quotes[i].tolist())))


class Snapshots:
    """The feature engine of one system, from its warm-up on. Carries the engine's state.

    `universe`: the instruments; `closing_minutes` before the close the phase is CLOSING. Whether there are features of
    quotes is said by ``settings.quotes``.
    """

    def __init__(self, universe: Universe, settings: FeatureSettings, closing_minutes: float) -> None:
        self.universe = universe
        self._quotes = settings.quotes != "none"
        self._engine = FeatureEngine(universe, settings, self._quotes, closing_minutes=closing_minutes)

    @property
    def last_ts(self) -> int:
        """End of the last bar that was taken in, UTC ns; -1 before the first."""
        return self._engine.last_ts

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the intraday features, in order."""
        return self._engine.names

    def warm_up(self, bars: Bars, daily: Bars, since: Iterable[Bars | MarketBatch] = ()) -> None:
        """Take in the history before the first live bar: trades, without any quote.

        `since`: what an engine that was stopped had consumed after `bars`, as it had, and history in between.
        """
        self.load_daily(daily)
        self.catch_up(bars)
        for part in since:
            if isinstance(part, MarketBatch):
                self.close(part)
            else:
                self.catch_up(part)

    def load_daily(self, daily: Bars) -> None:
        """Daily bars up to the last close: used from the next session on."""
        self._engine.load_daily(daily)

    def catch_up(self, bars: Bars) -> None:
        """Take in bars that came too late to decide on; those that were taken in before are passed over."""
        own = bars.select(self.universe.symbols).rows(
            int(np.searchsorted(bars.ts, self.last_ts, side="right")), len(bars.ts)
        )
        if not len(own.ts):
            return
        unknown = np.full(own.shape, np.nan)
        quotes: dict[str, Any] = {name: unknown if self._quotes else None for name in QUOTES}
        self._engine.advance(replace(own, ofi=None, **quotes))

    def close(self, batch: MarketBatch) -> Snapshot:
        """The snapshot at the end of the bar of `batch`."""
        own = batch.select(self.universe.symbols)
        for event in own.events():
            self._engine.on_event(event)
        self._engine.close_bar(own.ts)
        age, halted, shortable = own.status.T
        return replace(
            self._engine.snapshot(),
            quote_age_s=age,
            halted=halted == 1.0,
            shortable=~(shortable < 1.0),  # unknown: the guard before sending decides
        )


def requoted(snapshot: Snapshot, quotes: Mapping[str, Quote], now: int) -> Snapshot:
    """The last snapshot with the quotes of `now` (UTC ns): what orders between bars are planned on.

    A quote that is delayed or older than a bar is unknown, NaN.
    """
    bid, ask, age = (np.full(len(snapshot.symbols), np.nan) for _ in range(3))
    for i, symbol in enumerate(snapshot.symbols):
        if (q := quotes.get(symbol)) is not None and now - q.time < BAR_NS and not q.delayed:
            bid[i], ask[i], age[i] = q.bid, q.ask, max(now - q.time, 0) / NS_PER_SECOND
    left = snapshot.minutes_to_close - max(now - snapshot.known_at, 0) / NS_PER_MINUTE
    return replace(snapshot, known_at=now, bid=bid, ask=ask, quote_age_s=age, minutes_to_close=max(left, 0.0))
