"""Where the time comes from. Time is UTC in int64 nanoseconds; only a Clock may ask for *now*."""

from __future__ import annotations

import time
from typing import Protocol

from workbench.core.errors import LookAheadError
from workbench.core.units import NS_PER_SECOND


class Clock(Protocol):
    """Anything that tells the time."""

    def now(self) -> int:
        """UTC nanoseconds since 1970."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> int:
        return time.time_ns()


class ScaledClock:
    """Simulated time that runs `speed` times as fast as real time, kept in step with whoever simulates it.

    The real time is the monotonic one: setting the machine's clock moves nothing. It never runs backwards.

    >>> clock = ScaledClock(10**18, speed=60.0)
    >>> clock.follow(2 * 10**18)     # the simulation is ahead
    >>> clock.now() >= 2 * 10**18
    True
    """

    def __init__(self, start_ns: int, speed: float) -> None:
        self._at, self._speed, self._told = start_ns, speed, start_ns
        self._since = time.monotonic_ns()

    def now(self) -> int:
        self._told = max(self._told, self._free())
        return self._told

    def follow(self, second_ns: int) -> None:
        """The simulation is in the second that begins at `second_ns`: move there, unless we are in it already."""
        free = self._free()
        if not second_ns <= free < second_ns + NS_PER_SECOND:
            self._at, self._since = (
                (second_ns if free < second_ns else second_ns + NS_PER_SECOND - 1),
                time.monotonic_ns(),
            )

    def _free(self) -> int:
        return self._at + int((time.monotonic_ns() - self._since) * self._speed)


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
