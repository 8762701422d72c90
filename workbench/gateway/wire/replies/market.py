"""Quotes and trades as they happen. Prices in USD, sizes in shares; bits of `mask` as IBKR numbers them."""

from __future__ import annotations

from workbench.gateway.wire.frames import frame


def price_size_tick(request_id: int, tick_type: int, price: float, size: float | None, mask: int = 0) -> bytes:
    """1: a price and its size; price -1 says that there is none."""
    return frame(1, 6, request_id, tick_type, price, size, mask)


def tick_size(request_id: int, tick_type: int, size: float) -> bytes:
    """2: a size or volume."""
    return frame(2, 6, request_id, tick_type, size)


def tick_generic(request_id: int, tick_type: int, value: float) -> bytes:
    """45: a number, halted (49) for one."""
    return frame(45, 6, request_id, tick_type, value)


def tick_string(request_id: int, tick_type: int, value: str) -> bytes:
    """46: a text, RTVolume (48) for one."""
    return frame(46, 6, request_id, tick_type, value)


def tick_req_params(request_id: int, min_tick: float, bbo_exchange: str, snapshot_permissions: int) -> bytes:
    """81: what a subscription gives; it comes first."""
    return frame(81, request_id, min_tick, bbo_exchange, snapshot_permissions)


def market_data_type(request_id: int, data_type: int) -> bytes:
    """58: 1 live, 2 frozen, 3 delayed, 4 delayed and frozen."""
    return frame(58, 1, request_id, data_type)


def tick_snapshot_end(request_id: int) -> bytes:
    """57: the snapshot is complete."""
    return frame(57, 1, request_id)


def tick_by_tick_last(
    request_id: int,
    all_last: bool,
    epoch_s: int,
    price: float,
    size: float,
    exchange: str,
    conditions: str = "",
    past_limit: bool = False,
    unreported: bool = False,
) -> bytes:
    """99: one trade, of a subscription to Last or (`all_last`) AllLast."""
    mask = past_limit | unreported << 1
    return frame(99, request_id, 2 if all_last else 1, epoch_s, price, size, mask, exchange, conditions)


def tick_by_tick_bid_ask(
    request_id: int,
    epoch_s: int,
    bid: float,
    ask: float,
    bid_size: float,
    ask_size: float,
    bid_past_low: bool = False,
    ask_past_high: bool = False,
) -> bytes:
    """99: one quote."""
    return frame(99, request_id, 3, epoch_s, bid, ask, bid_size, ask_size, bid_past_low | ask_past_high << 1)


def tick_by_tick_mid(request_id: int, epoch_s: int, mid: float) -> bytes:
    """99: one midpoint."""
    return frame(99, request_id, 4, epoch_s, mid)
