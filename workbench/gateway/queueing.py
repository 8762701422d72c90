"""Where a passive order stands in the queue at its price: an estimate from what is displayed and what trades.

Joining the touch puts everything displayed there ahead of us. What trades at our price comes off the front first; what
is displayed can never be less than what is still ahead, so a shrinking size lowers the estimate. Improving on the touch
makes us first. Behind the touch the queue is unknown (NaN) and nothing fills until prices trade through us. Pessimistic
where it does not know: nobody ahead of us is assumed to have cancelled while the displayed size still covers them.
"""

from __future__ import annotations

from math import inf, isnan, nan

from workbench.gateway.liquidity import Quote

SAME_PRICE = 1e-9
"""USD within which two prices are the same."""


def joined(side: int, limit: float, quote: Quote) -> float:
    """Shares ahead of an order on `side` that joins at `limit` while `quote` stands."""
    return refreshed(nan, side, limit, quote)


def refreshed(ahead: float, side: int, limit: float, quote: Quote) -> float:
    """`ahead` after the quote became `quote`: bounded by what is displayed at our price."""
    if not quote.valid:
        return ahead
    touch, displayed = (quote.bid, quote.bid_size) if side > 0 else (quote.ask, quote.ask_size)
    better = side * (limit - touch)
    if better > SAME_PRICE:
        return 0.0
    if better < -SAME_PRICE:
        return ahead
    shown = inf if isnan(displayed) else displayed
    return shown if isnan(ahead) else min(ahead, shown)


def consumed(ahead: float, size: float, taken: float) -> tuple[float, float]:
    """(shares still ahead, shares that reach us) after `size` traded at our price, `taken` of it by our own orders.

    >>> consumed(300.0, 400.0, 0.0), consumed(300.0, 400.0, 100.0), consumed(300.0, 100.0, 0.0)
    ((0.0, 100.0), (0.0, 0.0), (200.0, 0.0))
    """
    if isnan(ahead):
        return ahead, 0.0
    return max(0.0, ahead - size), max(0.0, size - ahead - taken)
