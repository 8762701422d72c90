"""One system's own book: shares, cash and marks, moved only by events and prices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from workbench.core.arrays import FloatArray
from workbench.core.errors import DataError, WorkbenchError
from workbench.core.types import Book, Carry, Fill, OrderIntent, Snapshot
from workbench.execution.events import Commissioned, Corrected, LiveEvent
from workbench.gateway.events import Charged, Filled

WIDEST = 0.1
"""A quote whose sides are further apart than this part of its mid says nothing of what a share is worth."""


def mark_prices(snapshot: Snapshot) -> FloatArray:
    """(N,) prices at which a book is valued: the mid of a sound quote, else the last price; NaN unknown.

    Sound: 0 < bid <= ask, and no wider than WIDEST: a stub quote would move NAV, peak and limits of the book.
    """
    sound = (snapshot.bid > 0) & (snapshot.bid <= snapshot.ask)
    sound &= snapshot.ask - snapshot.bid <= WIDEST * snapshot.mid
    return np.where(sound, snapshot.mid, snapshot.price)


class Portfolio:
    """`shares` (N,) signed, `marks` (N,) last known price (NaN: never priced), money in USD.

    A held symbol without a price keeps its last known one; `stale_marks` counts how often that happened.
    """

    def __init__(self, symbols: tuple[str, ...], cash: float, positions: dict[str, int] | None = None) -> None:
        self.symbols = symbols
        self._column = {symbol: i for i, symbol in enumerate(symbols)}  # symbol -> column
        self.shares = np.zeros(len(symbols))
        for symbol, quantity in (positions or {}).items():
            self.shares[self._index(symbol)] = quantity
        self.marks = np.full(len(symbols), np.nan)
        self.cash = float(cash)
        self.nav = self.day_start_nav = self.peak_nav = float(cash)
        self.traded_today = 0.0
        self.stale_marks = 0
        self._session = -1

    def apply(self, event: LiveEvent) -> None:
        """Book a fill, its correction, a commission or a charge; other events move nothing."""
        if isinstance(event, Filled):
            self._book(event.fill, 1)
        elif isinstance(event, Corrected):
            self._book(event.before, -1)
            self._book(event.after, 1)
        elif isinstance(event, (Commissioned, Charged)):
            self.cash -= event.amount

    def _book(self, fill: Fill, sign: int) -> None:
        """Book a fill, or with `sign` -1 take it back."""
        self.shares[self._index(fill.symbol)] += sign * fill.side * fill.quantity
        self.cash -= sign * (fill.side * fill.quantity * fill.price + fill.commission)
        self.traded_today += sign * fill.quantity * fill.price

    def mark(self, prices: FloatArray, session: int) -> None:
        """Value the book at `prices` (N,). A new `session` starts its day at the last value of the one before."""
        known = np.isfinite(prices) & (prices > 0)
        self.stale_marks += int(np.count_nonzero(~known & (self.shares != 0)))
        self.marks = np.where(known, prices, self.marks)
        if session != self._session:
            self._session, self.day_start_nav, self.traded_today = session, self.nav, 0.0
        self.nav = self.cash + float(np.dot(self.shares, np.where(self.shares != 0, self.marks, 0.0)))
        self.peak_nav = max(self.peak_nav, self.nav)
        if not np.isfinite(self.nav):
            lost = [s for s, q, m in zip(self.symbols, self.shares, self.marks) if q and not np.isfinite(m)]
            raise DataError(f"the book cannot be valued: {', '.join(lost)} held without any price so far")

    @property
    def weights(self) -> FloatArray:
        """(N,) position values as fractions of NAV; see :meth:`check_value`."""
        self.check_value()
        return self.shares * np.where(self.shares != 0, self.marks, 0.0) / self.nav

    def check_value(self) -> None:
        """:class:`WorkbenchError` where NAV is not above 0: nothing can be sized then, only closed."""
        if self.nav <= 0:
            raise WorkbenchError(f"net asset value fell to {self.nav:.2f} USD: there is nothing left to size against")

    def state(self) -> dict[str, Any]:
        """The whole book in plain numbers (NaN as None), for :meth:`of_state`."""
        return {
            "shares": {s: float(q) for s, q in zip(self.symbols, self.shares) if q},
            "marks": {s: float(m) for s, m in zip(self.symbols, self.marks) if np.isfinite(m)},
            "cash": self.cash,
            "nav": self.nav,
            "day_start_nav": self.day_start_nav,
            "peak_nav": self.peak_nav,
            "traded_today": self.traded_today,
            "stale_marks": self.stale_marks,
            "session": self._session,
        }

    @classmethod
    def of_state(cls, symbols: tuple[str, ...], state: Mapping[str, Any]) -> Portfolio:
        """The book that :meth:`state` wrote, exactly; :class:`DataError` if it holds a symbol not in `symbols`."""
        book = cls(symbols, state["cash"], state["shares"])
        for symbol, mark in state["marks"].items():
            if symbol in book._column:
                book.marks[book._index(symbol)] = mark
        book.nav, book.day_start_nav, book.peak_nav = state["nav"], state["day_start_nav"], state["peak_nav"]
        book.traded_today, book.stale_marks = state["traded_today"], state["stale_marks"]
        book._session = state["session"]
        return book

    def book(self, as_of: int, open_orders: tuple[OrderIntent, ...], carry: Carry) -> Book:
        """The book as the next decision sees it; its weights are NaN where NAV is not above 0."""
        worth = self.nav > 0
        turnover = self.traded_today / self.nav if worth else 0.0
        return Book(
            as_of=as_of,
            symbols=self.symbols,
            positions=self.shares.copy(),
            weights=self.weights if worth else np.full(len(self.symbols), np.nan),
            nav=self.nav,
            cash=self.cash,
            day_start_nav=self.day_start_nav,
            peak_nav=self.peak_nav,
            turnover_today=turnover,
            open_orders=open_orders,
            carry=carry,
        )

    def _index(self, symbol: str) -> int:
        if symbol not in self._column:
            raise DataError(f"{symbol} is not in this system's universe of {len(self.symbols)} symbols; add it there")
        return self._column[symbol]
