"""How an order is priced: market, or a limit a little beyond the touch. Pure."""

from __future__ import annotations

from math import ceil, floor, isfinite

from workbench.core.types import Snapshot
from workbench.core.units import BPS


def price_order(
    policy: str, side: int, i: int, snapshot: Snapshot, offset_bps: float, tick: float
) -> tuple[str, float]:
    """(order type, limit price) for `side` of symbol `i` under `policy`; NaN price for MKT.

    ``marketable_limit``: touch * (1 + side * offset), rounded to the tick so that it never pays more than the offset,
    but never behind the touch. Without a sound quote the touch is the price plus half the (estimated) spread.
    """
    touch = _touch(side, i, snapshot)
    if policy == "market" or not isfinite(touch):
        return "MKT", float("nan")
    limit = round_to_tick(touch * (1 + side * offset_bps * BPS), tick, up=side < 0)
    floor_price = round_to_tick(touch, tick, up=side > 0)
    return "LMT", max(limit, floor_price) if side > 0 else max(min(limit, floor_price), tick)


def _touch(side: int, i: int, snapshot: Snapshot) -> float:
    bid, ask = float(snapshot.bid[i]), float(snapshot.ask[i])
    if 0 < bid <= ask:
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
