"""Sessions of the exchange: opens, closes, early closes, holidays and daylight saving, from exchange_calendars."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from workbench.core.arrays import IntArray, readonly
from workbench.core.errors import DataError
from workbench.core.units import NS_PER_DAY, NS_PER_MINUTE

EXCHANGE = "XNYS"
FIRST_SESSION, LAST_SESSION = "1990-01-02", "2035-12-31"


@dataclass(frozen=True, slots=True)
class Sessions:
    """S sessions: `date` (S,) days since 1970, `open_ns` and `close_ns` (S,) UTC ns."""

    date: IntArray
    open_ns: IntArray
    close_ns: IntArray

    def __post_init__(self) -> None:
        for name in ("date", "open_ns", "close_ns"):
            object.__setattr__(self, name, readonly(getattr(self, name), np.int64))

    def __len__(self) -> int:
        return len(self.date)

    def between(self, first_ns: int, last_ns: int) -> Sessions:
        """The sessions that overlap [first_ns, last_ns]."""
        keep = (self.close_ns >= first_ns) & (self.open_ns <= last_ns)
        return Sessions(self.date[keep], self.open_ns[keep], self.close_ns[keep])

    def index_of(self, ts: IntArray) -> IntArray:
        """(T,) index of the session with open < ts <= close, -1 outside regular hours (a bar is stamped by its end)."""
        i = np.searchsorted(self.close_ns, ts, side="left")
        inside = i < len(self.date)
        i = np.minimum(i, len(self.date) - 1)
        return np.where(inside & (ts > self.open_ns[i]), i, -1)

    def grid(self, interval_minutes: int) -> tuple[IntArray, IntArray, IntArray, IntArray]:
        """(ts, session date, bar_of_session, bars_in_session) of all bar ENDS; 390 gives one bar, at the close."""
        if interval_minutes >= 390:
            one = np.ones(len(self), np.int64)
            return self.close_ns, self.date, one * 0, one
        step = interval_minutes * NS_PER_MINUTE
        counts = (self.close_ns - self.open_ns) // step
        number = np.concatenate([np.arange(c) for c in counts]) if len(counts) else np.array([], np.int64)
        ts = np.repeat(self.open_ns, counts) + (number + 1) * step
        return ts, np.repeat(self.date, counts), number.astype(np.int64), np.repeat(counts, counts)


@lru_cache(maxsize=1)
def exchange_sessions() -> Sessions:
    """Every regular session of the New York Stock Exchange from 1990 to 2035."""
    import exchange_calendars

    with warnings.catch_warnings():
        # exchange_calendars 4.13 reads Series.values, which pandas 3.1 deprecates; the values are right
        warnings.filterwarnings("ignore", message="Series.values returning")
        calendar: Any = exchange_calendars.get_calendar(EXCHANGE, start=FIRST_SESSION, end=LAST_SESSION)
    dates = calendar.sessions.to_numpy().astype("datetime64[D]").astype(np.int64)
    return Sessions(dates, calendar.opens_nanos, calendar.closes_nanos)


def sessions_between(first: str, last: str) -> Sessions:
    """The sessions dated `first` to `last` (ISO dates, both included).

    >>> s = sessions_between("2025-07-03", "2025-07-07")   # an early close, then the holiday
    >>> ((s.close_ns - s.open_ns) // 60_000_000_000).tolist()
    [210, 390]
    """
    a, b = (np.datetime64(d, "D").astype(np.int64) for d in (first, last))
    every = exchange_sessions()
    keep = (every.date >= a) & (every.date <= b)
    if not keep.any():
        raise DataError(f"no exchange session between {first} and {last}; check the dates ({EXCHANGE} calendar)")
    return Sessions(every.date[keep], every.open_ns[keep], every.close_ns[keep])


def iso_date(session: int) -> str:
    """ISO date of a session number.

    >>> iso_date(20000)
    '2024-10-04'
    """
    return str(np.datetime64(int(session), "D"))


def iso_time(ns: int) -> str:
    """UTC time to the second, for messages.

    >>> iso_time(0)
    '1970-01-01T00:00:00Z'
    """
    return f"{np.datetime64(int(ns) // 1_000_000_000, 's')}Z"


def session_of(ns: int) -> int:
    """Days since 1970 (UTC) of a moment; a New York regular session never spans UTC midnight."""
    return int(ns // NS_PER_DAY)
