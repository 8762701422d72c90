"""How much of a panel of bars is there: against the exchange's calendar, symbol by session, and where it is missing.

A bar *is there* when its close or both sides of its quote are known (a bar with a quote and no trade is a bar). What
is expected comes from the calendar alone, so that early closes expect fewer bars and a session without any bar counts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workbench.core.arrays import BoolArray, FloatArray, IntArray, check_shape, readonly
from workbench.core.bars import Bars
from workbench.core.calendar import Sessions, exchange_sessions
from workbench.core.units import NS_PER_MINUTE, SESSION_MINUTES
from workbench.features.spreads import quoted_spread


@dataclass(frozen=True, slots=True)
class Coverage:
    """Bars found and expected. D columns of one or more sessions, N symbols.

    `first`, `last` (D,) first and last session of a column, days since 1970; `expected` (D,) bars that the calendar has
    up to the panel's end; `found` (D, N) bars that are there; `early` (D,) whether a session of it closes early.
    """

    symbols: tuple[str, ...]
    first: IntArray
    last: IntArray
    expected: IntArray
    found: IntArray
    early: BoolArray

    def __post_init__(self) -> None:
        for name in ("first", "last", "expected", "found"):
            object.__setattr__(self, name, readonly(getattr(self, name), np.int64))
        object.__setattr__(self, "early", readonly(self.early, np.bool_))
        check_shape("Coverage.found", self.found, (len(self.first), len(self.symbols)))

    @property
    def share(self) -> FloatArray:
        """(D, N) found / expected; NaN where nothing is expected."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self.expected[:, None] > 0, self.found / self.expected[:, None], np.nan)

    @property
    def missing(self) -> int:
        """Bars expected and not found, over all."""
        return int((self.expected[:, None] - self.found).sum())

    def pooled(self, columns: int) -> Coverage:
        """At most `columns` columns: consecutive sessions summed, so that years fit on a screen.

        >>> c = Coverage(("A",), [1, 2, 3], [1, 2, 3], [78, 78, 42], [[78], [70], [42]], [False, False, True])
        >>> p = c.pooled(2); p.expected.tolist(), p.found[:, 0].tolist(), p.last.tolist(), p.early.tolist()
        ([156, 42], [148, 42], [2, 3], [False, True])
        """
        size = -(-len(self.first) // columns)
        if size <= 1:
            return self
        at = np.arange(0, len(self.first), size)
        end = np.minimum(at + size, len(self.first)) - 1
        return Coverage(
            self.symbols, self.first[at], self.last[end], np.add.reduceat(self.expected, at),
            np.add.reduceat(self.found, at, axis=0), np.logical_or.reduceat(self.early, at),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Gap:
    """`bars` grid bars in a row that a symbol lacks: the first ends at `start`, the last at `end` (UTC ns).

    `kind`: "starts late" (no bar before), "ends early" (none after), "no bars" (none at all), else "gap".
    """

    symbol: str
    start: int
    end: int
    bars: int
    kind: str


def known_bars(bars: Bars) -> BoolArray:
    """(T, N) whether each bar is there: its close, or both sides of its quote, are finite."""
    known = np.isfinite(bars.close)
    if bars.bid is not None and bars.ask is not None:
        known = known | (np.isfinite(bars.bid) & np.isfinite(bars.ask))
    return known


def coverage(bars: Bars) -> Coverage:
    """Bars found and expected by session, from the first session of `bars` to its last bar."""
    sessions, ts, session = _calendar(bars)
    known = np.zeros((len(ts), len(bars.symbols)), np.int64)
    at, there = _place(bars, ts)
    known[at] = known_bars(bars)[there]
    edges = np.r_[np.searchsorted(session, sessions.date), len(ts)]
    so_far = np.vstack([np.zeros((1, known.shape[1]), np.int64), known.cumsum(axis=0)])
    expected, found = np.diff(edges), np.diff(so_far[edges], axis=0)
    short = sessions.close_ns - sessions.open_ns < SESSION_MINUTES * NS_PER_MINUTE
    return Coverage(bars.symbols, sessions.date, sessions.date, expected, found, short)


def gaps(bars: Bars) -> tuple[Gap, ...]:
    """Every run of missing bars of every symbol, the longest first; the close of one session and the open of the next
    are neighbours."""
    _, ts, _ = _calendar(bars)
    at, there = _place(bars, ts)
    known = known_bars(bars)
    out: list[Gap] = []
    for n, symbol in enumerate(bars.symbols):
        lost = np.ones(len(ts), bool)
        lost[at] = ~known[there, n]
        edge = np.flatnonzero(np.diff(np.r_[False, lost, False].astype(np.int8)))
        for a, b in edge.reshape(-1, 2):
            out.append(Gap(symbol, int(ts[a]), int(ts[b - 1]), int(b - a), _kind(a == 0, b == len(ts))))
    return tuple(sorted(out, key=lambda g: (-g.bars, g.start, g.symbol)))


def _kind(first: bool, last: bool) -> str:
    return {(True, True): "no bars", (True, False): "starts late", (False, True): "ends early"}.get(
        (bool(first), bool(last)), "gap"
    )


def _calendar(bars: Bars) -> tuple[Sessions, IntArray, IntArray]:
    """The sessions that the panel spans, and (ts, session) of every bar that the calendar expects up to its end."""
    every = exchange_sessions()
    if not len(bars.ts):
        return Sessions(*(np.array([], np.int64),) * 3), np.array([], np.int64), np.array([], np.int64)
    keep = (every.date >= bars.session[0]) & (every.date <= bars.session[-1])
    sessions = Sessions(every.date[keep], every.open_ns[keep], every.close_ns[keep])
    ts, session, _, _ = sessions.grid(bars.interval_minutes)
    known = ts <= bars.ts[-1]
    return sessions, ts[known], session[known]


def _place(bars: Bars, ts: IntArray) -> tuple[IntArray, BoolArray]:
    """Rows of `ts` at which bars stand, and which of the bars do: those on the exchange's grid."""
    at = np.minimum(np.searchsorted(ts, bars.ts), max(len(ts) - 1, 0))
    there = ts[at] == bars.ts if len(ts) else np.zeros(0, bool)
    return at[there], there


@dataclass(frozen=True, slots=True)
class SessionOverview:
    """One session of N symbols; every array (N,), NaN where it cannot be known.

    `open`, `high`, `low`, `close` USD; `change` close / open - 1; `gap` open / last close of the session before - 1;
    `volatility` square root of the summed squared bar returns within the session (close to close, from the open);
    `volume` shares; `volume_ratio` volume over the median of the up to 20 sessions before; `spread` median relative
    spread at the ends of its bars; `found`, `expected` bars.
    """

    symbols: tuple[str, ...]
    session: int
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    change: FloatArray
    gap: FloatArray
    volatility: FloatArray
    volume: FloatArray
    volume_ratio: FloatArray
    spread: FloatArray
    found: IntArray
    expected: int


VOLUME_MEMORY = 20


def session_overview(bars: Bars, session: int) -> SessionOverview:
    """What each symbol did in `session`; ValueError if `bars` have no row of it."""
    spans = {s: (a, b) for s, a, b in bars.sessions()}
    if session not in spans:
        raise ValueError(f"session {session} has no row among {len(spans)} sessions; choose one of `bars.session`")
    a, b = spans[session]
    before = [(x, y) for s, (x, y) in spans.items() if s < session][-VOLUME_MEMORY:]
    part = bars.rows(a, b)
    first, last = _first(part.open), _first(part.close[::-1])
    previous = _first(bars.close[before[-1][0] : before[-1][1]][::-1]) if before else np.full(len(bars.symbols), np.nan)
    volume = _total(part.volume)
    usual = _median(np.array([_total(bars.volume[x:y]) for x, y in before]).reshape(len(before), len(bars.symbols)))
    with np.errstate(divide="ignore", invalid="ignore"):
        return SessionOverview(
            bars.symbols, session, first, np.fmax.reduce(part.high, axis=0), np.fmin.reduce(part.low, axis=0), last,
            last / first - 1, first / previous - 1, _realised(part, first), volume, volume / usual,
            _median(relative_spread(part)), known_bars(part).sum(axis=0), int(part.bars_in_session[0]),
        )  # fmt: skip


def relative_spread(bars: Bars) -> FloatArray:
    """(T, N) (ask - bid) / mid at each bar's end; NaN without a quote, or where it is crossed."""
    if bars.bid is None or bars.ask is None:
        return np.full(bars.shape, np.nan)
    return quoted_spread(bars.bid, bars.ask)


def _realised(bars: Bars, first: FloatArray) -> FloatArray:
    """(N,) sqrt(sum of squared log returns) from the first open over the known closes; NaN with none."""
    path = np.log(np.vstack([first[None], bars.close]))
    out = np.full(path.shape[1], np.nan)
    for n in range(path.shape[1]):
        known = path[np.isfinite(path[:, n]), n]
        if len(known) > 1:
            out[n] = np.sqrt((np.diff(known) ** 2).sum())
    return out


def _first(panel: FloatArray) -> FloatArray:
    """(N,) first finite value of each column; NaN where there is none."""
    known = np.isfinite(panel)
    return np.where(known.any(axis=0), panel[known.argmax(axis=0), np.arange(panel.shape[1])], np.nan)


def _total(panel: FloatArray) -> FloatArray:
    """(N,) sum of what is known; NaN where nothing is."""
    return np.where(np.isfinite(panel).any(axis=0), np.nansum(panel, axis=0), np.nan)


def _median(panel: FloatArray) -> FloatArray:
    """(N,) median of what is known; NaN where nothing is."""
    return np.array([np.median(k) if len(k := c[np.isfinite(c)]) else np.nan for c in panel.T])
