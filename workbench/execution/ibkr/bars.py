"""Bars asked from the broker: which request gives them, and which of its rows they are. A bar is stamped by its END."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import numpy as np

from workbench.core.arrays import IntArray
from workbench.core.calendar import Sessions, exchange_sessions, iso_time
from workbench.core.errors import DataError
from workbench.core.units import NS_PER_MINUTE, NS_PER_SECOND, SESSION_MINUTES, SESSIONS_PER_YEAR

SIZES = {1: "1 min", 5: "5 mins", 390: "1 day"}
LONGEST_IN_DAYS = 365


@dataclass(frozen=True, slots=True)
class BarRow:
    """One bar: `ts` UTC ns of its END, prices USD, volume shares."""

    ts: int
    open: float
    high: float
    low: float
    close: float
    volume: float


@dataclass(frozen=True, slots=True)
class BarsRequest:
    """`end`, `duration` and `size` in IB's words; `stamps`: the ends of the bars that are wanted."""

    end: str
    duration: str
    size: str
    interval: int
    stamps: frozenset[int]


@lru_cache(maxsize=64)
def bars_request(interval: int, end: int, count: int) -> BarsRequest:
    """The request for the last `count` bars of `interval` minutes that end by `end` (UTC ns)."""
    if interval not in SIZES or count < 1:
        raise DataError(f"{count} bars of {interval} minutes: at least 1, of {', '.join(map(str, SIZES))} minutes")
    every = exchange_sessions()
    last = int(np.searchsorted(every.open_ns, end, side="left"))
    need = count + 1 if interval >= SESSION_MINUTES else math.ceil(count * interval / (SESSION_MINUTES // 2)) + 1
    span = slice(max(last - need, 0), last)
    grid, session, _, _ = Sessions(every.date[span], every.open_ns[span], every.close_ns[span]).grid(interval)
    keep = grid <= end
    wanted, session = grid[keep][-count:], session[keep][-count:]
    if not len(wanted):
        raise DataError(f"no bar of {interval} minutes ends by {iso_time(end)}")
    return BarsRequest(
        wire_time(int(wanted[-1])), _duration(wanted, session, interval), SIZES[interval], interval,
        frozenset(wanted.tolist()),
    )  # fmt: skip


def _duration(stamps: IntArray, session: IntArray, interval: int) -> str:
    """Seconds within one session, else trading days, with one to spare."""
    if session[0] == session[-1] and interval < SESSION_MINUTES:
        return f"{(int(stamps[-1]) - int(stamps[0])) // NS_PER_SECOND + interval * 60} S"
    days = len(np.unique(session)) + 1
    return f"{days} D" if days <= LONGEST_IN_DAYS else f"{math.ceil(days / SESSIONS_PER_YEAR)} Y"


def wire_time(ns: int) -> str:
    """A moment in UTC as the gateway reads it.

    >>> wire_time(1_772_461_800_000_000_000)
    '20260302-14:30:00'
    """
    return f"{datetime.fromtimestamp(ns // NS_PER_SECOND, UTC):%Y%m%d-%H:%M:%S}"


def read_rows(told: list[Any], request: BarsRequest) -> list[BarRow]:
    """The wanted bars among those that came, each once, in order."""
    rows = {ts: bar for bar in told if (ts := stamp(str(bar.date), request.interval)) in request.stamps}
    return [BarRow(ts, b.open, b.high, b.low, b.close, b.volume) for ts, b in sorted(rows.items())]


def stamp(date: str, interval: int) -> int:
    """UTC ns of the END of a bar that IB names by its start in epoch seconds, or by its date; 0 for no session.

    >>> stamp("1772461800", 5) - 1_772_461_800_000_000_000 == 5 * NS_PER_MINUTE
    True
    >>> stamp("20260302", 390) == 1_772_461_800_000_000_000 + 390 * NS_PER_MINUTE
    True
    """
    if interval < SESSION_MINUTES:
        return int(date) * NS_PER_SECOND + interval * NS_PER_MINUTE
    day = int(np.datetime64(f"{date[:4]}-{date[4:6]}-{date[6:8]}", "D").astype(np.int64))
    every = exchange_sessions()
    at = int(np.searchsorted(every.date, day))
    return int(every.close_ns[at]) if at < len(every) and int(every.date[at]) == day else 0
