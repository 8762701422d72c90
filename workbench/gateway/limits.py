"""How much clients may ask for: IBKR's limits on market data and its pacing of requests for small bars.

They hold for all clients of a gateway together, as they do for the one user who is logged in. Sources: IBKR's API
documentation, "Historical Data Limitations", "5 Second Real Time Bars", "Tick-by-Tick Data", "Account Summary".
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from time import monotonic
from typing import NamedTuple

MAX_CLIENTS = 32
MAX_LINES = 100
"""Market data subscriptions of all kinds: quotes, five-second bars, tick-by-tick."""

MAX_TICK_BY_TICK = 3
"""As many as books of market depth: one for every 100 lines, three at least."""

MAX_OPEN_HISTORICAL = 50
"""Historical requests that are open at once: here those whose bars are kept up to date, all others are done at once."""

MAX_SUMMARIES = 2
"""Account summaries of one client."""

MAX_STANDING = 100
"""Of one client's requests for P&L, or for account updates, each. Ours: IBKR names no number, and there must be one."""

SMALL_BAR_S = 30
IDENTICAL_S, BURST_S, WINDOW_S = 15.0, 2.0, 600.0
BURST, MAX_IN_WINDOW = 6, 60
PACING = "Historical data request pacing violation"


class Asked(NamedTuple):
    """A request for small bars at `time`, in seconds; BID_ASK has a `weight` of 2."""

    time: float
    series: Hashable
    details: Hashable
    weight: int


class HistoricalPacing:
    """Refuses requests for bars of 30 seconds or less, and for five-second bars, that come too fast.

    A violation is (1) an identical request within 15 s, (2) the sixth for the same series (contract, exchange and tick
    type) within 2 s, (3) more than 60 within 10 minutes. A request for BID_ASK counts twice; one that is refused does
    not count. `now` gives seconds: the machine's own, however fast the simulated clock runs, for that is what clients
    pace themselves by.

    >>> pacing = HistoricalPacing(now=lambda: 0.0)
    >>> [pacing.refuses(("KO", "SMART", "TRADES"), "1 D") for _ in range(2)]
    [False, True]
    """

    def __init__(self, now: Callable[[], float] = monotonic) -> None:
        self._now = now
        self._asked: deque[Asked] = deque()  # of the last ten minutes, oldest first

    def refuses(self, series: Hashable, details: Hashable, weight: int = 1) -> bool:
        """Whether a request for `series` that is otherwise described by `details` comes too fast; counts it if not."""
        new = Asked(self._now(), series, details, weight)
        while self._asked and self._asked[0].time <= new.time - WINDOW_S:
            self._asked.popleft()
        if self._violates(new):
            return True
        self._asked.append(new)
        return False

    def _violates(self, new: Asked) -> bool:
        same = [a for a in self._asked if a.series == new.series]
        burst = new.weight + sum(a.weight for a in same if a.time > new.time - BURST_S)
        return (
            any(a.details == new.details and a.time > new.time - IDENTICAL_S for a in same)
            or burst >= BURST
            or new.weight + sum(a.weight for a in self._asked) > MAX_IN_WINDOW
        )
