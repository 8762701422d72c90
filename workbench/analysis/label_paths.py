"""The way a price took between its two barriers: what a barrier label saw, bar by bar, for one decision.

The decision is known at the end of its bar; the entry comes after it; the barriers stand at entry * exp(+-width) over
the bars that follow. What was touched first is the label (:mod:`workbench.training.labels`); *when* is what a picture
needs and is found here by the same rule: the first bar that reaches a barrier; a bar that reaches both is decided by
its minutes where they tell, else it counts as both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from workbench.core.arrays import FloatArray, IntArray
from workbench.core.bars import Bars
from workbench.core.units import NS_PER_MINUTE

Outcome = Literal["upper", "lower", "both in one bar", "neither", "unknown"]


@dataclass(frozen=True, slots=True)
class BarrierPath:
    """One label on its path. Prices in USD, times UTC ns.

    `rows` first and one past the last row of the bars looked at; `entry`, `upper`, `lower`; `outcome` what was touched
    first; `touch_ts` the end of the bar (or minute) that did it, -1 where none did; `touch_price` the barrier that was
    touched, NaN for none or both.
    """

    rows: tuple[int, int]
    entry: float
    upper: float
    lower: float
    outcome: Outcome
    touch_ts: int
    touch_price: float

    @property
    def peak(self) -> float:
        """1 where the lower barrier came first, as in the labels; NaN unknown."""
        return _flag(self.outcome, "lower")

    @property
    def valley(self) -> float:
        """1 where the upper barrier came first; NaN unknown."""
        return _flag(self.outcome, "upper")


def _flag(outcome: Outcome, side: str) -> float:
    return float("nan") if outcome == "unknown" else float(outcome in (side, "both in one bar"))


def barrier_path(
    bars: Bars, column: int, rows: tuple[int, int], entry: float, width: float, minute: Bars | None = None
) -> BarrierPath:
    """The path of symbol number `column` over the rows [first, stop) of `bars`, from `entry` with barriers at
    entry * exp(+-width).

    A missing entry, width or bar before the first touch, or rows beyond the panel: outcome "unknown".

    >>> from workbench.core.calendar import sessions_between
    >>> ts, day, number, count = (a[:3] for a in sessions_between("2025-07-01", "2025-07-01").grid(5))
    >>> high = np.array([[100.2], [100.4], [101.5]]); low = high - 0.5
    >>> bars = Bars(("A",), 5, ts, day, number, count, low, high, low, high, high)
    >>> path = barrier_path(bars, 0, (1, 3), 100.0, 0.01)
    >>> path.outcome, round(path.upper, 2), bool(path.touch_ts == ts[2])
    ('upper', 101.01, True)
    """
    upper, lower = entry * float(np.exp(width)), entry * float(np.exp(-width))
    outcome, ts = ("unknown", -1) if not np.isfinite(upper) else _first(bars, column, rows, upper, lower, minute)
    price = {"upper": upper, "lower": lower}.get(outcome, float("nan"))
    return BarrierPath(rows, entry, upper, lower, outcome, ts, price)


def _first(
    bars: Bars, column: int, rows: tuple[int, int], upper: float, lower: float, minute: Bars | None
) -> tuple[Outcome, int]:
    """What the bars of `rows` touch first, and the end of the bar or minute that does."""
    for row in range(*rows):
        if row >= len(bars.ts) or not np.isfinite(bars.high[row, column] + bars.low[row, column]):
            return "unknown", -1
        touched = _touched(bars.high[row, column], bars.low[row, column], upper, lower)
        if touched != "neither":
            return _within(bars, row, bars.symbols[column], upper, lower, minute, touched)
    return "neither", -1


def _within(
    bars: Bars, row: int, symbol: str, upper: float, lower: float, minute: Bars | None, touched: Outcome
) -> tuple[Outcome, int]:
    """The touch of one bar to the minute, where minutes are there; they also decide which of two came first."""
    end = int(bars.ts[row])
    if minute is None or minute.interval_minutes != 1 or symbol not in minute.symbols:
        return touched, end
    when = end - np.arange(bars.interval_minutes - 1, -1, -1) * NS_PER_MINUTE
    n = minute.symbols.index(symbol)
    for ts, high, low in zip(*_minutes(minute, n, when)):
        found = _touched(high, low, upper, lower)
        if found == "neither":
            continue
        if touched == "both in one bar" or found == touched:
            return found, int(ts)
    return touched, end


def _minutes(minute: Bars, column: int, when: IntArray) -> tuple[IntArray, FloatArray, FloatArray]:
    at = np.minimum(np.searchsorted(minute.ts, when), len(minute.ts) - 1)
    at = at[minute.ts[at] == when] if len(minute.ts) else np.array([], np.int64)
    return minute.ts[at], minute.high[at, column], minute.low[at, column]


def _touched(high: float, low: float, upper: float, lower: float) -> Outcome:
    """What one bar reaches; a missing price reaches nothing."""
    up, down = bool(high >= upper), bool(low <= lower)
    return "both in one bar" if up and down else "upper" if up else "lower" if down else "neither"


def entry_price(bars: Bars, column: int, row: int) -> float:
    """Where a decision of bar `row` is entered, as in the labels: at the mid at its end where the bars carry quotes,
    else at the open of the next bar. NaN where that is unknown, or lies beyond the panel."""
    mid = bars.mid
    if mid is not None:
        return float(mid[row, column])
    return float(bars.open[row + 1, column]) if row + 1 < len(bars.ts) else float("nan")
