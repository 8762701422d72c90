"""The latest quote of each symbol, from ticks. Read by other threads, written by the loop alone."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from workbench.execution.reports import Quote

BID_SIZE, BID, ASK, ASK_SIZE, LAST = 0, 1, 2, 3, 4
HALTED, SHORTABLE, SHORTABLE_SHARES = 49, 46, 89
DELAYED = {69: BID_SIZE, 66: BID, 67: ASK, 70: ASK_SIZE, 68: LAST, 90: HALTED}
"""Delayed tick -> the live one that it stands for."""

PRICES = {BID: "bid", ASK: "ask", LAST: "last"}
SIZES = {BID_SIZE: "bid_size", ASK_SIZE: "ask_size"}
SIZE_OF = {BID: "bid_size", ASK: "ask_size"}
NOT_LIVE = {354, 10089, 10167, 10168}
"""Errors after which a line shows delayed prices or none."""

EASY, EASY_SHARES = 2.5, 1000.0
LOCATE = 1.5


class QuoteBoard:
    """Lines (request ids) and the quotes that come on them."""

    def __init__(self) -> None:
        self._quotes: dict[str, Quote] = {}  # symbol -> quote
        self._lines: dict[int, str] = {}  # request id -> symbol

    @property
    def lines(self) -> dict[int, str]:
        """Request id -> symbol of the lines in use."""
        return dict(self._lines)

    @property
    def newest(self) -> int:
        """When anything was last heard on any line, UTC ns; 0: never."""
        return max((q.time for q in self._quotes.values()), default=0)

    def open(self, request_id: int, symbol: str) -> None:
        """A line for `symbol`; what an older line said about it being delayed is forgotten, its prices stay."""
        before = self._quotes.get(symbol)
        nan = math.nan
        fresh = Quote(symbol, nan, nan, nan, nan, nan, 0, None, nan, False)
        self._lines[request_id], self._quotes[symbol] = symbol, replace(before, delayed=False) if before else fresh

    def close(self, request_id: int) -> None:
        """The line is no longer in use."""
        self._lines.pop(request_id, None)

    def forget(self, symbol: str) -> None:
        """Nobody watches `symbol` any more."""
        self._quotes.pop(symbol, None)

    def symbol(self, request_id: int) -> str | None:
        """Whose line it is; None where it is none."""
        return self._lines.get(request_id)

    def latest(self) -> dict[str, Quote]:
        """The latest quote of each symbol."""
        return dict(self._quotes)

    def price(self, request_id: int, kind: int, value: float, size: float, now: int) -> bool:
        """A price with its size (-1 and 0: there is none). True if it belongs to a line and to the quote."""
        plain = DELAYED.get(kind, kind)
        if plain not in PRICES:
            return False
        changed: dict[str, Any] = {PRICES[plain]: value if value > 0 else math.nan, "time": now}
        if plain in SIZE_OF:
            changed[SIZE_OF[plain]] = size if value > 0 else 0.0
        return self._change(request_id, kind, changed)

    def size(self, request_id: int, kind: int, value: float, now: int) -> None:
        """A size, or the number of shares that can be borrowed."""
        plain = DELAYED.get(kind, kind)
        if plain in SIZES:
            self._change(request_id, kind, {SIZES[plain]: value, "time": now})
        elif plain == SHORTABLE_SHARES:
            self._change(request_id, kind, {"shortable_shares": value})

    def number(self, request_id: int, kind: int, value: float) -> None:
        """Whether it is halted (-1: not told), how easily it is borrowed (a number of shares says it better)."""
        plain = DELAYED.get(kind, kind)
        if plain == HALTED:
            self._change(request_id, kind, {"halted": None if value < 0 else value > 0})
        elif plain == SHORTABLE:
            self._borrow(request_id, value)

    def _borrow(self, request_id: int, value: float) -> None:
        """Above 2.5 at least 1000 shares; to 1.5 they must be found first, which is nothing known; below it none."""
        quote = self._quotes.get(self._lines.get(request_id, ""))
        if quote is None or (not math.isnan(quote.shortable_shares) and value > LOCATE):
            return
        shares = EASY_SHARES if value > EASY else math.nan if value > LOCATE else 0.0
        self._change(request_id, SHORTABLE, {"shortable_shares": shares})

    def delayed(self, request_id: int, delayed: bool) -> None:
        """The line says whether what it shows is real-time."""
        self._change(request_id, BID, {"delayed": delayed})

    def _change(self, request_id: int, kind: int, changed: dict[str, Any]) -> bool:
        symbol = self._lines.get(request_id)
        if symbol is None:
            return False
        if kind in DELAYED:
            changed = {**changed, "delayed": True}
        self._quotes[symbol] = replace(self._quotes[symbol], **changed)
        return True
