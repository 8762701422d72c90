"""How an order is priced when it first leaves, under each policy. Pure. What happens to it later: `working.py`.

``market``: MKT. ``marketable_limit``, ``twap``: a limit a little beyond the touch. ``adaptive``: the same limit, which
IB's Adaptive algorithm works (the broker adds the algorithm). ``mid_step``: a limit at the middle of the quote, rounded
to its own side. What trades in the closing auction is MOC. Everything is good for the day: what a bar leaves over is
cancelled at its end, and on-close orders must be.
"""

from __future__ import annotations

from math import ceil, floor, isfinite

from workbench.core.types import Snapshot
from workbench.core.units import BPS

ON_CLOSE = frozenset({"MOC", "LOC"})
"""Order types that trade only in the closing auction."""

AUCTION_CUTOFF_MINUTES = 10.0
"""Before the close: from then on no on-close order is sent, changed or cancelled (Nasdaq and NYSE 15:50)."""
AUCTION_WINDOW_MINUTES = 15.0
"""Before the cut-off: on-close orders leave only then, so that few of them are cancelled by later decisions."""


def price_order(
    policy: str, side: int, i: int, snapshot: Snapshot, offset_bps: float, tick: float
) -> tuple[str, float]:
    """(order type, limit price) for `side` of symbol `i` under `policy`; NaN price for MKT.

    Without a sound quote the touch is the price plus half the (estimated) spread, and nothing waits at a mid that
    nobody quotes: ``mid_step`` is then a marketable limit. With neither, the order is MKT.
    """
    bid, ask = float(snapshot.bid[i]), float(snapshot.ask[i])
    touch = _touch(side, i, snapshot)
    if policy == "market" or not isfinite(touch):
        return "MKT", float("nan")
    if policy == "mid_step" and sound(bid, ask):
        return "LMT", between(side, bid, ask, 0.0, tick)
    return "LMT", marketable_limit(side, touch, offset_bps, tick)


def marketable_limit(side: int, touch: float, offset_bps: float, tick: float) -> float:
    """touch * (1 + side * offset), rounded to the tick so that it never pays more than the offset.

    Never behind the touch, nor below one tick.

    >>> marketable_limit(1, 50.01, 5.0, 0.01), marketable_limit(-1, 99.99, 5.0, 0.01)
    (50.03, 99.95)
    """
    limit = round_to_tick(touch * (1 + side * offset_bps * BPS), tick, up=side < 0)
    floor_price = round_to_tick(touch, tick, up=side > 0)
    return max(limit, floor_price) if side > 0 else max(min(limit, floor_price), tick)


def between(side: int, bid: float, ask: float, part: float, tick: float) -> float:
    """The price `part` (0..1) of the way from the mid to the touch that `side` takes, rounded back to its own side.

    >>> [between(1, 10.00, 10.04, part, 0.01) for part in (0.0, 0.5, 1.0)]
    [10.02, 10.03, 10.04]
    >>> between(1, 10.00, 10.01, 0.0, 0.01), between(-1, 10.00, 10.01, 0.0, 0.01)
    (10.0, 10.01)
    """
    mid, touch = (bid + ask) / 2, ask if side > 0 else bid
    return max(round_to_tick(mid + part * (touch - mid), tick, up=side < 0), tick)


def auction_open(minutes_to_close: float) -> bool:
    """Whether on-close orders leave at a decision that long before the close; never where that is unknown.

    >>> [auction_open(m) for m in (30.0, 25.0, 15.0, 10.0, float("nan"))]
    [False, True, True, False, False]
    """
    return AUCTION_CUTOFF_MINUTES < minutes_to_close <= AUCTION_CUTOFF_MINUTES + AUCTION_WINDOW_MINUTES


def sound(bid: float, ask: float) -> bool:
    """Whether both sides are quoted and not crossed; NaN is unsound."""
    return 0 < bid <= ask


def _touch(side: int, i: int, snapshot: Snapshot) -> float:
    bid, ask = float(snapshot.bid[i]), float(snapshot.ask[i])
    if sound(bid, ask):
        return ask if side > 0 else bid
    spread = float(snapshot.spread[i])
    return float(snapshot.price[i]) * (1 + side * spread / 2)


def round_to_tick(price: float, tick: float, up: bool) -> float:
    """`price` on the grid of `tick`, the next one up or down; a price on the grid stays (to a millionth of a tick).

    >>> round_to_tick(10.004, 0.01, up=True), round_to_tick(10.004, 0.01, up=False), round_to_tick(10.1, 0.01, up=True)
    (10.01, 10.0, 10.1)
    """
    steps = price / tick
    whole = ceil(steps - 1e-6) if up else floor(steps + 1e-6)
    return round(whole * tick, 10)
