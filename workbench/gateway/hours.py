"""When an order may trade: regular hours of the exchange, and the extended hours around them.

Pre-market from 04:00 and after-market to 20:00 New York time of a full day (09:30 to 16:00); on an early close the
after-market too ends four hours after the bell.
"""

from __future__ import annotations

from enum import StrEnum

import numpy as np

from workbench.core.calendar import Sessions, exchange_sessions, iso_time
from workbench.core.errors import DataError
from workbench.core.units import NS_PER_MINUTE

PRE_MARKET_NS = 330 * NS_PER_MINUTE
AFTER_MARKET_NS = 240 * NS_PER_MINUTE


class TradingPhase(StrEnum):
    """Where the exchange stands at a moment."""

    CLOSED = "closed"
    PRE = "pre"
    OPEN = "open"
    POST = "post"


class TradingHours:
    """Windows [start, end) of `sessions` (the exchange's own calendar by default), UTC ns."""

    def __init__(self, sessions: Sessions | None = None) -> None:
        self.sessions = exchange_sessions() if sessions is None else sessions

    def window(self, time: int, extended: bool = False) -> tuple[int, int]:
        """(start, end) of the trading window that holds `time`, or else of the next one."""
        after = AFTER_MARKET_NS if extended else 0
        i = int(np.searchsorted(self.sessions.close_ns, time - after, side="right"))
        if i >= len(self.sessions):
            raise DataError(f"the calendar has no session after {iso_time(time)}; give TradingHours later sessions")
        before = PRE_MARKET_NS if extended else 0
        return int(self.sessions.open_ns[i]) - before, int(self.sessions.close_ns[i]) + after

    def phase(self, time: int) -> TradingPhase:
        """Closed, pre-market, open or after-market at `time`."""
        start, end = self.window(time, extended=True)
        if time < start:
            return TradingPhase.CLOSED
        opened, closed = start + PRE_MARKET_NS, end - AFTER_MARKET_NS
        if time < opened:
            return TradingPhase.PRE
        return TradingPhase.OPEN if time < closed else TradingPhase.POST
