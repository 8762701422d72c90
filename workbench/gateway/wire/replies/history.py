"""Bars, ticks and sessions of the past, and bars as they grow. Prices in USD, volumes and sizes in shares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from workbench.gateway.wire.frames import frame


class Bar(NamedTuple):
    """`date` as the request wants it: ``20260102``, ``20260102 09:30:00 America/New_York`` or epoch seconds."""

    date: str
    open: float
    high: float
    low: float
    close: float
    volume: float
    wap: float
    count: int  # type: ignore[assignment]


class MidTick(NamedTuple):
    """A midpoint of the past."""

    epoch_s: int
    price: float
    size: float = 0.0


class BidAskTick(NamedTuple):
    """A quote of the past."""

    epoch_s: int
    bid: float
    ask: float
    bid_size: float
    ask_size: float
    bid_past_low: bool = False
    ask_past_high: bool = False


class LastTick(NamedTuple):
    """A trade of the past."""

    epoch_s: int
    price: float
    size: float
    exchange: str
    conditions: str = ""
    past_limit: bool = False
    unreported: bool = False


class TradingSession(NamedTuple):
    """`start` and `end` as ``20260102-09:30:00`` in the schedule's zone; `ref_date` as ``20260102``."""

    start: str
    end: str
    ref_date: str


def historical_data(request_id: int, start: str, end: str, bars: Sequence[Bar]) -> bytes:
    """17: every bar of the request, oldest first, within `start` and `end`."""
    return frame(17, request_id, start, end, len(bars), *(value for bar in bars for value in bar))


def historical_data_update(request_id: int, bar: Bar) -> bytes:
    """90: the newest bar as it grows, in an order of its own."""
    b = bar
    return frame(90, request_id, b.count, b.date, b.open, b.close, b.high, b.low, b.wap, b.volume)


def historical_schedule(request_id: int, start: str, end: str, zone: str, sessions: Sequence[TradingSession]) -> bytes:
    """106: the sessions of a request for SCHEDULE."""
    texts = (text for session in sessions for text in session)
    return frame(106, request_id, start, end, zone, len(sessions), *texts)


def realtime_bar(
    request_id: int,
    epoch_s: int,
    open_: float,
    high: float,
    low: float,
    close: float,
    volume: float,
    wap: float,
    count: int,
) -> bytes:
    """50: a bar of 5 seconds that begins at `epoch_s`."""
    return frame(50, 3, request_id, epoch_s, open_, high, low, close, volume, wap, count)


def historical_ticks(request_id: int, ticks: Sequence[MidTick], done: bool = True) -> bytes:
    """96: midpoints; `done` unless more frames follow."""
    return frame(96, request_id, len(ticks), *(v for t in ticks for v in (t.epoch_s, 0, t.price, t.size)), done)


def historical_ticks_bid_ask(request_id: int, ticks: Sequence[BidAskTick], done: bool = True) -> bytes:
    """97: quotes; their mask has the ask's bit first, other than tick by tick."""
    fields: list[object] = []
    for t in ticks:
        fields += [t.epoch_s, t.ask_past_high | t.bid_past_low << 1, t.bid, t.ask, t.bid_size, t.ask_size]
    return frame(97, request_id, len(ticks), *fields, done)


def historical_ticks_last(request_id: int, ticks: Sequence[LastTick], done: bool = True) -> bytes:
    """98: trades."""
    fields: list[object] = []
    for t in ticks:
        fields += [t.epoch_s, t.past_limit | t.unreported << 1, t.price, t.size, t.exchange, t.conditions]
    return frame(98, request_id, len(ticks), *fields, done)


def head_timestamp(request_id: int, time: str) -> bytes:
    """88: when the oldest data begin: ``19801212-14:30:00`` in UTC, or epoch seconds for format 2."""
    return frame(88, request_id, time)
