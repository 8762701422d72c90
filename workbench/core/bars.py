"""A panel of bars: the one in-memory form of market history that every room reads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from workbench.core.arrays import FloatArray, IntArray, check_shape, readonly
from workbench.core.digest import digest
from workbench.core.errors import DataError

PRICE_FIELDS = ("open", "high", "low", "close")
TRADE_FIELDS = (*PRICE_FIELDS, "volume")
QUOTE_FIELDS = ("bid", "ask", "bid_size", "ask_size", "ofi")


@dataclass(frozen=True, slots=True)
class Bars:
    """T bars of N symbols on the common grid of the exchange's sessions.

    A bar is stamped with its END (`ts`, UTC ns): the moment it could be known. A bar that is missing is NaN in every
    field, never filled. Every session of the range contributes its whole grid, so that row numbers are trading time.

    Attributes
    ----------
    symbols : (N,) names, in the order of the columns
    interval_minutes : 1 or 5 within a session; 390 for daily bars (one row per session, stamped with its close)
    ts : (T,) int64, strictly increasing
    session : (T,) int64, days since 1970 of the session's date
    bar_of_session : (T,) int64, 0 for the first bar of a session
    bars_in_session : (T,) int64, number of grid bars of that session (78 five-minute bars; 42 on an early close)
    open, high, low, close : (T, N) prices in USD
    volume : (T, N) shares
    bid, ask, bid_size, ask_size : (T, N) quote standing at the bar's end, or None where the source has no quotes
    ofi : (T, N) order-flow imbalance summed over the bar, in shares, or None
    data_origin : "embedded" for simulated bars; otherwise the name of the source
    """

    symbols: tuple[str, ...]
    interval_minutes: int
    ts: IntArray
    session: IntArray
    bar_of_session: IntArray
    bars_in_session: IntArray
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume: FloatArray
    bid: FloatArray | None = None
    ask: FloatArray | None = None
    bid_size: FloatArray | None = None
    ask_size: FloatArray | None = None
    ofi: FloatArray | None = None
    data_origin: str = "unknown"

    def __post_init__(self) -> None:
        n_bars = len(self.ts)
        for name in ("ts", "session", "bar_of_session", "bars_in_session"):
            object.__setattr__(self, name, readonly(getattr(self, name), np.int64))
            check_shape(name, getattr(self, name), (n_bars,))
        for name in (*TRADE_FIELDS, *QUOTE_FIELDS):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, readonly(value))
                check_shape(name, getattr(self, name), (n_bars, len(self.symbols)))
        if n_bars > 1 and not (np.diff(self.ts) > 0).all():
            at = int(np.argmax(np.diff(self.ts) <= 0)) + 1
            raise DataError(f"bar times must increase: row {at} ({self.ts[at]} ns) does not come after row {at - 1}")

    @property
    def shape(self) -> tuple[int, int]:
        """(T, N)."""
        return len(self.ts), len(self.symbols)

    @property
    def has_quotes(self) -> bool:
        """Whether bid and ask are observed (they are never estimated into these fields)."""
        return self.bid is not None and self.ask is not None

    @property
    def mid(self) -> FloatArray | None:
        """(T, N) middle of the quote at the bar's end, NaN where it is crossed or not above 0; None without quotes."""
        if self.bid is None or self.ask is None:
            return None
        return np.where((self.bid > 0) & (self.bid <= self.ask), (self.bid + self.ask) / 2, np.nan)

    def rows(self, start: int, stop: int) -> Bars:
        """Bars `start` to `stop` (exclusive), by row number."""
        return self._map(lambda a: a[start:stop])

    def upto(self, as_of: int) -> Bars:
        """All bars that could be known at `as_of` (ts <= as_of)."""
        return self.rows(0, int(np.searchsorted(self.ts, as_of, side="right")))

    def select(self, symbols: tuple[str, ...]) -> Bars:
        """The same bars for `symbols`, in that order."""
        unknown = [s for s in symbols if s not in self.symbols]
        if unknown:
            raise DataError(f"no bars for {', '.join(unknown)}; the panel holds {len(self.symbols)} symbols")
        index = [self.symbols.index(s) for s in symbols]
        changed: dict[str, Any] = {
            name: getattr(self, name)[:, index]
            for name in (*TRADE_FIELDS, *QUOTE_FIELDS)
            if getattr(self, name) is not None
        }
        return replace(self, symbols=tuple(symbols), **changed)

    def sessions(self) -> Iterator[tuple[int, int, int]]:
        """(session, first row, one past its last row) for each session, in order."""
        starts = np.flatnonzero(np.r_[True, np.diff(self.session) != 0]) if len(self.ts) else np.array([], np.int64)
        stops = np.r_[starts[1:], len(self.ts)]
        for a, b in zip(starts, stops):
            yield int(self.session[a]), int(a), int(b)

    @property
    def digest(self) -> str:
        """Content digest of everything but `data_origin`."""
        return digest(*(getattr(self, f.name) for f in fields(self) if f.name != "data_origin"))

    def _map(self, cut: Any) -> Bars:
        changed = {f.name: cut(v) for f in fields(self) if isinstance(v := getattr(self, f.name), np.ndarray)}
        return replace(self, **changed)
