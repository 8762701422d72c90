"""Bars and quotes as they arrive, symbol by symbol, gathered into rows of the grid."""

from __future__ import annotations

from typing import Any

import numpy as np

from workbench.core.bars import QUOTE_FIELDS, TRADE_FIELDS, Bars
from workbench.core.calendar import exchange_sessions, iso_time
from workbench.core.errors import DataError, LookAheadError, nearest_name
from workbench.core.types import MarketEvent
from workbench.core.units import BAR_MINUTES, NS_PER_MINUTE


class Arrivals:
    """The row in progress: for each symbol the bar and the last quote that have arrived since the last row.

    Events of kind "bar" and "quote" carry fields of `Bars` by name (a bar may carry the quote at its end too); "status"
    is not for this room and is passed over. Rows have quotes if the schema does, or once a quote has arrived: they are
    for costs and orders then, for a feature that training did not have stays out.
    """

    def __init__(self, symbols: tuple[str, ...], has_quotes: bool) -> None:
        self._symbols = symbols
        self._column = {s: i for i, s in enumerate(symbols)}
        self._has_quotes = has_quotes
        self._latest = 0
        self._clear()

    def _clear(self) -> None:
        self._row = {name: np.full((1, len(self._symbols)), np.nan) for name in (*TRADE_FIELDS, *QUOTE_FIELDS)}

    def take(self, event: MarketEvent) -> None:
        """Keep the fields of a bar or quote; others are passed over."""
        if event.kind not in ("bar", "quote"):
            return
        if event.symbol not in self._column:
            hint = nearest_name(event.symbol, self._symbols)
            raise DataError(f"{event.kind} of {event.symbol!r}, which is not in the universe.{hint}")
        self._latest = max(self._latest, event.known_at)
        for name in self._row:
            if name in event.payload:
                self._has_quotes |= name == "bid"
                self._row[name][0, self._column[event.symbol]] = float(event.payload[name])

    def close(self, ts: int) -> Bars:
        """The row that ends at `ts`, which must be on the exchange's grid; then the next row begins."""
        sessions = exchange_sessions()
        at = int(sessions.index_of(np.array([ts]))[0])
        step = BAR_MINUTES * NS_PER_MINUTE
        if at < 0 or (ts - int(sessions.open_ns[at])) % step:
            raise DataError(f"{iso_time(ts)} is not the end of a {BAR_MINUTES}-minute bar of a regular session")
        if self._latest - ts > step:
            raise LookAheadError(
                f"an event known at {iso_time(self._latest)} is in the bar that ends at {iso_time(ts)}"
            )
        number = (ts - int(sessions.open_ns[at])) // step - 1
        count = int(sessions.close_ns[at] - sessions.open_ns[at]) // step
        row = {name: x for name, x in self._row.items() if self._has_quotes or name in TRADE_FIELDS}
        self._clear()
        grid = {"ts": ts, "session": sessions.date[at], "bar_of_session": number, "bars_in_session": count}
        fields: dict[str, Any] = {**{name: np.array([x]) for name, x in grid.items()}, **row}
        return Bars(self._symbols, BAR_MINUTES, **fields, data_origin="live")
