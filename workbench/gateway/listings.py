"""Where a made-up stock is listed: a pure function of its symbol."""

from __future__ import annotations

from workbench.core.digest import digest

LISTINGS = ("NASDAQ", "NYSE")


def symbol_code(symbol: str) -> int:
    """A number of 48 bits for `symbol`."""
    return int(digest("instrument", symbol)[:12], 16)


def listing(symbol: str) -> str:
    """The exchange that lists `symbol` and runs its auctions.

    >>> listing("AAPL") in LISTINGS
    True
    """
    return LISTINGS[symbol_code(symbol) % 2]
