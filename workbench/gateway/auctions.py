"""One print at one price: which of our orders an opening, closing or reopening auction fills, and with how much.

Orders whose limit is at least as good as the print take part, in the order of their aggressiveness (market orders
first), then of their arrival. Each side may have at most a share of the volume printed.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import floor, isfinite

from workbench.core.errors import DataError
from workbench.gateway.orders import RESTING, WorkingOrder

OPENING, CLOSING, REOPENING = "open", "close", "reopen"
AUCTIONS = frozenset({OPENING, CLOSING, REOPENING})


def check_auction(kind: str, price: float, volume: float) -> None:
    """:class:`DataError` for an unknown kind, a price that is neither NaN (no print) nor above 0, or a bad volume."""
    if kind not in AUCTIONS:
        raise DataError(f"auction {kind!r} is unknown; use one of {', '.join(sorted(AUCTIONS))}")
    if price == price and not (isfinite(price) and price > 0):
        raise DataError(f"auction price {price} must be above 0, or NaN where there was no print")
    if price == price and not (isfinite(volume) and volume >= 0):
        raise DataError(f"auction volume {volume} of a print at {price} USD must be finite and at least 0")


def takes_part(order: WorkingOrder, kind: str) -> bool:
    """Whether `order` is in an auction of that kind: on-close orders only at the close, no Adaptive order."""
    if order.status not in RESTING or order.intent.urgency:
        return False
    return kind == CLOSING if order.intent.kind.at_close else order.live


def cross(orders: Iterable[WorkingOrder], price: float, volume: float, share: float) -> list[tuple[WorkingOrder, int]]:
    """(order, shares) filled at `price` when `volume` shares print and each side of ours may have `share` of them."""
    fills: list[tuple[WorkingOrder, int]] = []
    eligible = [o for o in orders if o.intent.side * (o.worst - price) >= 0]
    for side in (1, -1):
        room = floor(share * volume)
        ours = sorted((o for o in eligible if o.intent.side == side), key=lambda o: -side * o.worst)
        for order in ours:
            quantity = min(order.remaining, room)
            if quantity > 0:
                fills.append((order, quantity))
                room -= quantity
    return fills
