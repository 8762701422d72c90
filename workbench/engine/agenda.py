"""When the next bar of the exchange ends."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from workbench.core.calendar import Sessions, exchange_sessions
from workbench.core.errors import DataError
from workbench.core.units import BAR_MINUTES, NS_PER_DAY


def last_bar_end(now: int) -> int:
    """UTC ns of the last 5-minute bar end at or before `now`.

    >>> from workbench.core.calendar import iso_time
    >>> at = 1_772_462_100_000_000_000  # 2026-03-02, 14:35:00 UTC: the first bar of the session ends
    >>> iso_time(last_bar_end(at)), iso_time(last_bar_end(at - 1)), iso_time(next_bar_end(at))
    ('2026-03-02T14:35:00Z', '2026-02-27T21:00:00Z', '2026-03-02T14:40:00Z')
    """
    ends = _ends_around(now)
    return int(ends[np.searchsorted(ends, now, side="right") - 1])


def next_bar_end(now: int) -> int:
    """UTC ns of the first 5-minute bar end after `now`."""
    ends = _ends_around(now)
    return int(ends[np.searchsorted(ends, now, side="right")])


def session_open(now: int) -> bool:
    """Whether the regular session is open at `now`."""
    near = _sessions_around(now)
    return bool(((near.open_ns <= now) & (now < near.close_ns)).any())


def _sessions_around(now: int) -> Sessions:
    return exchange_sessions().between(now - 10 * NS_PER_DAY, now + 10 * NS_PER_DAY)


def _ends_around(now: int) -> np.ndarray:
    ends = _ends_around_day(now // NS_PER_DAY)
    if not len(ends) or now < ends[0] or now >= ends[-1]:
        raise DataError(f"{now} ns lies outside the exchange calendar that is known; check the clock")
    return ends


@lru_cache(maxsize=4)
def _ends_around_day(day: int) -> np.ndarray:
    """Bar ends of the sessions around `day` (since 1970, UTC); kept, since the engine asks many times a second."""
    ends: np.ndarray = _sessions_around(day * NS_PER_DAY).grid(BAR_MINUTES)[0]
    return ends
