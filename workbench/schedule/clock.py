"""The clock of the desk: the machine's own, or in a rehearsal one that runs faster and skips what nobody waits for."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

from workbench.core.errors import ConfigError


class DeskClock(Protocol):
    """What the desk goes by, in UTC ns; `speed` desk seconds per real second."""

    speed: float

    def now(self) -> int:
        """The time at the desk."""
        ...

    def real(self, at: int) -> datetime:
        """When the desk's clock will show `at`, by the machine's clock."""
        ...

    def skip_to(self, at: int) -> bool:
        """Nothing happens until `at`: go there at once where the clock can; whether it did."""
        ...


class MachineClock:
    """Real time."""

    speed = 1.0

    def now(self) -> int:
        """The time at the desk."""
        return time.time_ns()

    def real(self, at: int) -> datetime:
        """The same moment."""
        return datetime.fromtimestamp(at / 1e9, UTC)

    def skip_to(self, at: int) -> bool:
        """Never."""
        return False


class RehearsalClock:
    """Begins at `start` (UTC ns), runs `speed` times as fast as real time, and skips forward when told to.

    >>> clock = RehearsalClock(10**18, 60.0); clock.skip_to(10**18 + 3600 * 10**9); clock.now() >= 10**18 + 3600 * 10**9
    True
    True
    """

    def __init__(self, start: int, speed: float) -> None:
        if not speed >= 1:
            raise ConfigError(f"speed={speed:g}: a rehearsal runs at least as fast as real time; give 1 or more")
        self.speed = speed
        self._lock = threading.Lock()
        self._shown, self._since = start, time.monotonic_ns()

    def now(self) -> int:
        """The time at the desk."""
        with self._lock:
            return self._now()

    def real(self, at: int) -> datetime:
        """When the clock will show `at`, unless it skips."""
        return datetime.now(UTC) + timedelta(seconds=(at - self.now()) / 1e9 / self.speed)

    def skip_to(self, at: int) -> bool:
        """Show `at` now; the clock never goes back."""
        with self._lock:
            ahead = at > self._now()
            if ahead:
                self._shown, self._since = at, time.monotonic_ns()
            return ahead

    def _now(self) -> int:
        return self._shown + int((time.monotonic_ns() - self._since) * self.speed)
