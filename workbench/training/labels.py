"""Labels: realised returns from a tradable entry, and which barrier was touched first.

Intraday, horizon of h bars, decision at bar t (known at its end ts[t])::

    with quotes      entry = mid at the end of bar t   exit = mid at the end of bar t+h
    without quotes   entry = open of bar t+1           exit = close of bar t+h
    value = exit / entry - 1, matured at ts[t+h]; only where t+h lies in the same session
    skip  = the same entered and left one bar later; naive = close[t+h] / close[t] - 1 (shown, never used)

Entering at the signal's own close turns bounce into alpha; that is what `naive` measures.

Barriers at entry * exp(+-k sigma_h): *peak* = 1 when the lower one is touched first within bars t+1..t+h, *valley* = 1
when the upper one is; neither: both 0. A bar that touches both is decided by the order of its minutes where 1-minute
bars are given; where that says nothing, peak = valley = 1: the reading that is adverse for a long and for a short.

highest = max high / entry - 1 and lowest = min low / entry - 1 over the same bars t+1..t+h: how far the price strayed.

Day horizon of n sessions, session d: open of d to open of d+n, known at the close of d-1, matured at the open of d+n.

Whatever needs a missing price is NaN. Source: M. Lopez de Prado, *Advances in Financial Machine Learning* (2018),
section 3.4 (the triple barrier).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np

from workbench.config import LabelSettings
from workbench.core.arrays import BoolArray, FloatArray, IntArray, check_shape, readonly
from workbench.core.bars import Bars
from workbench.core.calendar import exchange_sessions
from workbench.core.digest import digest
from workbench.core.errors import DataError
from workbench.core.horizon import DAY_HORIZONS, INTRADAY_HORIZONS, Horizon
from workbench.core.units import NS_PER_MINUTE

TIMES = ("known_at", "matured_at", "session")
PANELS = ("value", "skip", "naive", "peak", "valley", "highest", "lowest", "sigma_h")


class SigmaHistory(Protocol):
    """What labels need of a FeatureHistory."""

    @property
    def ts(self) -> IntArray: ...
    @property
    def daily_session(self) -> IntArray: ...
    def sigma_h(self, h: Horizon) -> FloatArray: ...
    def daily_sigma_h(self, h: Horizon) -> FloatArray: ...


@dataclass(frozen=True, slots=True)
class Labels:
    """Labels of one horizon: rows are decision bars (intraday) or sessions (day horizons), columns are symbols.

    `known_at`, `matured_at`, `session` (T,): when the decision was made, when the label was known (-1 where the horizon
    would pass the close: no label) and the session in which it is traded. `value`, `skip`, `naive` (T, N) returns;
    `peak`, `valley` (T, N) 0/1; `highest`, `lowest` (T, N) returns on the way; `sigma_h` (T, N) as known at `known_at`.
    NaN = unknown.
    """

    horizon: Horizon
    symbols: tuple[str, ...]
    known_at: IntArray
    matured_at: IntArray
    session: IntArray
    value: FloatArray
    skip: FloatArray
    naive: FloatArray
    peak: FloatArray
    valley: FloatArray
    highest: FloatArray
    lowest: FloatArray
    sigma_h: FloatArray

    def __post_init__(self) -> None:
        for name in TIMES:
            object.__setattr__(self, name, readonly(getattr(self, name), np.int64))
            check_shape(f"Labels.{name}", getattr(self, name), (len(self.known_at),))
        for name in PANELS:
            object.__setattr__(self, name, readonly(getattr(self, name)))
            check_shape(f"Labels.{name}", getattr(self, name), (len(self.known_at), len(self.symbols)))

    @property
    def exists(self) -> BoolArray:
        """(T,) whether the horizon ends before its session does (always so for a day horizon)."""
        return self.matured_at >= 0

    @property
    def digest(self) -> str:
        """Content digest of every field."""
        return digest(self.horizon.label, self.symbols, *(getattr(self, name) for name in (*TIMES, *PANELS)))

    def map_panels(self, change: Any) -> Labels:
        """The same labels with `change(name, (T, N))` applied to the realised panels (not to sigma_h)."""
        changed = {f.name: getattr(self, f.name) for f in fields(self)}
        changed |= {name: change(name, getattr(self, name)) for name in PANELS if name != "sigma_h"}
        return Labels(**changed)


def make_labels(
    bars: Bars, history: SigmaHistory, settings: LabelSettings, minute: Bars | None = None
) -> dict[str, Labels]:
    """Labels of the intraday horizons of `bars` (5-minute) by horizon label.

    `settings.latency_s` is far below a bar: the quote standing at known_at + latency is the one observed at the bar's
    end. `minute` (1-minute bars of some or all symbols and days) decides bars that touch both barriers.
    """
    if not np.array_equal(bars.ts, history.ts):
        raise DataError(f"the feature history has {len(history.ts)} bars, not the {len(bars.ts)} given: build both "
                        "from the same bars")  # fmt: skip
    return {h.label: _intraday(bars, h, history.sigma_h(h), settings.barrier_k, minute) for h in INTRADAY_HORIZONS}


def make_daily_labels(
    daily: Bars, history: SigmaHistory, settings: LabelSettings, dividends: FloatArray | None = None
) -> dict[str, Labels]:
    """Labels of the day horizons by horizon label, one row per session of ``history.daily_session``.

    `dividends` (S, N): USD per share whose ex-date is that session of `daily`; they are added to the exit price.
    """
    return {
        h.label: _daily(daily, h, history.daily_session, history.daily_sigma_h(h), settings.barrier_k, dividends)
        for h in DAY_HORIZONS
    }


def _intraday(bars: Bars, h: Horizon, sigma: FloatArray, k: float, minute: Bars | None) -> Labels:
    ends_inside = bars.bar_of_session + h.bars < bars.bars_in_session
    skip_inside = bars.bar_of_session + h.bars + 1 < bars.bars_in_session
    mid = bars.mid
    entry = mid if mid is not None else _ahead(bars.open, 1)
    exit_ = _ahead(mid if mid is not None else bars.close, h.bars)
    value = _where(ends_inside, exit_ / entry - 1)
    skip = _where(skip_inside, _ahead(exit_, 1) / _ahead(entry, 1) - 1)
    naive = _where(ends_inside, _ahead(bars.close, h.bars) / bars.close - 1)
    usable = _where(ends_inside, entry)
    peak, valley = first_touch(bars, usable, k * sigma, h.bars, first=1, minute=minute)
    highest, lowest = excursion(bars, usable, h.bars, first=1)
    matured = np.where(ends_inside, bars.ts + h.minutes * NS_PER_MINUTE, -1)
    return Labels(
        h, bars.symbols, bars.ts, matured, bars.session, value, skip, naive, peak, valley, highest, lowest, sigma
    )


def _daily(
    daily: Bars, h: Horizon, session: IntArray, sigma: FloatArray, k: float, dividends: FloatArray | None
) -> Labels:
    calendar = exchange_sessions()
    place = np.searchsorted(calendar.date, session)
    row = np.searchsorted(daily.session, session)  # of the session itself, in the daily bars
    _require_grid(daily, session)

    def at(panel: FloatArray, step: int) -> FloatArray:
        """(S, N) `panel` `step` sessions after each row's session; NaN beyond the bars."""
        rows = row + step
        out = np.full((len(rows), panel.shape[1]), np.nan)
        inside = (rows >= 0) & (rows < len(panel))
        out[inside] = panel[rows[inside]]
        return out

    paid = np.zeros(daily.shape) if dividends is None else np.cumsum(np.nan_to_num(dividends), axis=0)
    entry, exit_ = at(daily.open, 0), at(daily.open, h.days)
    value = (exit_ + at(paid, h.days) - at(paid, 0)) / entry - 1
    skip = (at(daily.open, h.days + 1) + at(paid, h.days + 1) - at(paid, 1)) / at(daily.open, 1) - 1
    naive = (at(daily.close, h.days - 1) + at(paid, h.days - 1) - at(paid, -1)) / at(daily.close, -1) - 1
    peak, valley = first_touch(daily, at(daily.open, 0), k * sigma, h.days, first=0, rows=row)
    highest, lowest = excursion(daily, at(daily.open, 0), h.days, first=0, rows=row)
    # a window that the bars do not finish has no outcome, even where a barrier was touched already: keeping only those
    # that were would teach that barriers are touched, and date the label after the last bar
    over = (row + h.days < len(daily.ts))[:, None]
    peak, valley, highest, lowest = (np.where(over, x, np.nan) for x in (peak, valley, highest, lowest))
    known, matured = calendar.close_ns[place - 1], calendar.open_ns[place + h.days]
    return Labels(h, daily.symbols, known, matured, session, value, skip, naive, peak, valley, highest, lowest, sigma)


def excursion(
    bars: Bars, entry: FloatArray, count: int, *, first: int, rows: IntArray | None = None
) -> tuple[FloatArray, FloatArray]:
    """(highest, lowest), each (T, N): the largest and smallest return from `entry` within `count` bars.

    `rows` and `first` as in :func:`first_touch`. A missing bar makes both NaN.
    """
    rows = np.arange(len(entry)) if rows is None else rows
    high, low = np.full(entry.shape, -np.inf), np.full(entry.shape, np.inf)
    for step in range(first, first + count):
        inside = (rows + step < len(bars.ts))[:, None]
        at = np.minimum(rows + step, len(bars.ts) - 1)
        high = np.maximum(high, np.where(inside, bars.high[at], np.nan))  # NaN wins in both: a gap is unknown
        low = np.minimum(low, np.where(inside, bars.low[at], np.nan))
    return high / entry - 1, low / entry - 1


def first_touch(
    bars: Bars,
    entry: FloatArray,
    width: FloatArray,
    count: int,
    *,
    first: int,
    rows: IntArray | None = None,
    minute: Bars | None = None,
) -> tuple[FloatArray, FloatArray]:
    """(peak, valley), each (T, N) of 0, 1 or NaN: which of entry*exp(-+width) is touched first within `count` bars.

    `rows` (T,) is the row of `bars` on which each entry stands (its own row by default); the bars looked at are
    rows+first .. rows+first+count-1. A missing bar before the first touch, entry or width makes both NaN.
    """
    rows = np.arange(len(entry)) if rows is None else rows
    upper, lower = entry * np.exp(width), entry * np.exp(-width)
    undecided = np.isfinite(upper)
    peak, valley = np.zeros(entry.shape, bool), np.zeros(entry.shape, bool)
    for step in range(first, first + count):
        if not undecided.any():
            break
        inside = (rows + step < len(bars.ts))[:, None]
        at = np.minimum(rows + step, len(bars.ts) - 1)
        high, low = bars.high[at], bars.low[at]
        up, down = undecided & inside & (high >= upper), undecided & inside & (low <= lower)
        missing = undecided & (~inside | np.isnan(high) | np.isnan(low))
        undecided &= ~(up | down | missing)
        entry = np.where(missing, np.nan, entry)
        if minute is not None and minute.interval_minutes == 1:
            _order_by_minutes(up, down, bars, at, upper, lower, minute)
        peak |= down
        valley |= up
    known = np.isfinite(entry) & np.isfinite(width)
    return np.where(known, peak, np.nan), np.where(known, valley, np.nan)


def _order_by_minutes(
    up: BoolArray, down: BoolArray, bars: Bars, at: IntArray, upper: FloatArray, lower: FloatArray, minute: Bars
) -> None:
    """Drop, in place, the later of two touches in one bar where its minutes tell them apart."""
    t, n = np.nonzero(up & down)
    column = np.array([minute.symbols.index(s) if s in minute.symbols else -1 for s in bars.symbols])
    t, n = t[column[n] >= 0], n[column[n] >= 0]
    open_ = np.ones(len(t), bool)
    for before in range(bars.interval_minutes - 1, -1, -1):
        when = bars.ts[at[t]] - before * NS_PER_MINUTE
        row = np.minimum(np.searchsorted(minute.ts, when), len(minute.ts) - 1)
        here = open_ & (minute.ts[row] == when)
        rises = here & (minute.high[row, column[n]] >= upper[t, n])
        falls = here & (minute.low[row, column[n]] <= lower[t, n])
        down[t[rises & ~falls], n[rises & ~falls]] = False
        up[t[falls & ~rises], n[falls & ~rises]] = False
        open_ &= ~(rises | falls)


def _require_grid(daily: Bars, session: IntArray) -> None:
    calendar = exchange_sessions()
    if len(daily.session) == 0:
        raise DataError("the daily panel has no session; import daily bars or aggregate the 5-minute bars")
    place = np.searchsorted(calendar.date, daily.session)
    gap = np.flatnonzero((np.diff(place) != 1) | (calendar.date[place[1:]] != daily.session[1:]))
    if len(gap):
        at = np.datetime64(int(daily.session[gap[0]]), "D")
        raise DataError(f"daily bars skip an exchange session after {at}; serve them from a Store, whose grid is whole")
    if len(session) and session[0] < daily.session[0]:
        raise DataError("the daily features begin before the daily bars; build both from the same bars")


def _ahead(panel: FloatArray, bars: int) -> FloatArray:
    """`panel` (T, N) as it stands `bars` rows later; NaN where there is no such row."""
    out = np.full(panel.shape, np.nan)
    out[: max(len(panel) - bars, 0)] = panel[bars:]
    return out


def _where(keep: BoolArray, panel: FloatArray) -> FloatArray:
    return np.where(keep[:, None], panel, np.nan)
