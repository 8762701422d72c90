"""Where the time comes from. Time is UTC in int64 nanoseconds; only a Clock may ask for *now*."""

from __future__ import annotations

import time
from typing import Protocol

from workbench.core.errors import LookAheadError


class Clock(Protocol):
    """Anything that tells the time."""

    def now(self) -> int:
        """UTC nanoseconds since 1970."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> int:
        return time.time_ns()


class ManualClock:
    """A clock that a backtest or a simulation moves by hand; it never runs backwards.

    >>> clock = ManualClock(10)
    >>> clock.advance_to(25)
    >>> clock.now()
    25
    """

    def __init__(self, start_ns: int = 0) -> None:
        self._now = start_ns

    def now(self) -> int:
        return self._now

    def advance_to(self, when_ns: int) -> None:
        """Move to `when_ns`; :class:`LookAheadError` if that lies in the past."""
        if when_ns < self._now:
            raise LookAheadError(f"the clock stands at {self._now} ns and cannot go back to {when_ns} ns")
        self._now = when_ns
