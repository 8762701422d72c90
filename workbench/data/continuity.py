"""Quality of bars over time: what only a symbol's whole history shows.

Two things send rows to quarantine, because a model would learn from them: a part that comes from a thinner source, and
a part that belongs to another company. The rest is told as findings, and the data stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from workbench.core.arrays import BoolArray, FloatArray, IntArray
from workbench.core.calendar import exchange_sessions, iso_date, iso_time
from workbench.core.units import NS_PER_MINUTE
from workbench.data.times import UNREADABLE

SEAM_SHARE = 0.1
"""A session whose bars hold less than this share of the symbol's usual volume comes from a thinner source."""
SEAM_MEMORY, SEAM_HISTORY, SEAM_MIN_SHARES = 20, 5, 1000
"""Usual = median of the last 20 good sessions, at least 5 of them; symbols under 1000 shares a bar are not judged."""
REUSE_SESSIONS, REUSE_JUMP_SESSIONS, REUSE_JUMP = 60, 20, 2.0
"""A ticker was reused after 60 sessions without bars while others had them, or 20 with a price ratio beyond 2."""
SPLIT_RATIOS = (1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0, 12.0, 15.0, 20.0, 25.0, 30.0, 40.0, 50.0, 100.0)
SPLIT_TOLERANCE, SPLIT_VOLUME = 0.06, 4.0
"""A split: the overnight ratio within 6 % of one of these, and dollar volume within 4x of before."""
JUMP = 1.5
"""An overnight price ratio beyond this that is no split is told as a jump."""
GAP_MINUTES = 30
"""Missing bars in a row, in minutes, that are told."""
CHANGE_SESSIONS = 5
"""A symbol that starts or ends this many sessions after or before the panel starts late or dies."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something to know about the data that moved no row: `kind`, `symbol` ("" = all), `when` and `detail` in words."""

    kind: str
    symbol: str
    when: str
    detail: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.symbol or 'all symbols'}, {self.when}: {self.detail}"


@dataclass(frozen=True, slots=True)
class Spells:
    """One entry per symbol and session of a frame sorted by symbol and time: rows `start` to `stop`, `symbol` number,
    exchange `session` index, and the first open, last close and volume of the session."""

    start: IntArray
    stop: IntArray
    symbol: IntArray
    session: IntArray
    open: FloatArray
    close: FloatArray
    volume: FloatArray

    @classmethod
    def of(cls, frame: pd.DataFrame) -> Spells:
        if not len(frame):
            whole, parts = np.zeros(0, np.int64), np.zeros(0)
            return cls(whole, whole, whole, whole, parts, parts, parts)
        symbol = frame["symbol"].cat.codes.to_numpy().astype(np.int64)
        session = exchange_sessions().index_of(frame["ts"].to_numpy())
        new = np.r_[True, (np.diff(symbol) != 0) | (np.diff(session) != 0)]
        start = np.flatnonzero(new)
        stop = np.r_[start[1:], len(frame)].astype(np.int64)
        volume = np.add.reduceat(frame["volume"].to_numpy(float), start)
        opened, close = frame["open"].to_numpy(float), frame["close"].to_numpy(float)
        return cls(start, stop, symbol[start], session[start], opened[start], close[stop - 1], volume)

    def of_symbol(self, number: int) -> IntArray:
        return np.flatnonzero(self.symbol == number)


def series_reasons(
    frame: pd.DataFrame, interval: int, accept: tuple[str, ...] = ()
) -> tuple[np.ndarray, list[Finding]]:
    """Reason of each row of a frame sorted by symbol and time ("" for a good one), and what to know about it.

    `accept` names reasons that are told but quarantine nothing ("second source", "reused ticker").
    """
    reason = np.full(len(frame), "", dtype=object)
    findings: list[Finding] = []
    spells = Spells.of(frame)
    names = list(frame["symbol"].cat.categories)
    active = np.unique(spells.session)
    for number, name in enumerate(names):
        mine = spells.of_symbol(number)
        if not len(mine):
            continue
        bad: dict[str, BoolArray] = {"reused ticker": _reused(spells, mine, active, name, findings)}
        if interval in (1, 5):
            bad["second source"] = _thin(frame, spells, mine, interval, name, findings)
        for why, which in bad.items():
            for spell in () if why in accept else mine[which]:
                reason[spells.start[spell] : spells.stop[spell]] = why
        good = mine[~np.logical_or.reduce(list(bad.values()))]
        findings += _jumps(spells, good, name)
    return reason, findings


def _reused(spells: Spells, mine: IntArray, active: IntArray, name: str, findings: list[Finding]) -> BoolArray:
    """(len(mine),) spells before the last break of the ticker's history."""
    session = spells.session[mine]
    others = np.diff(np.searchsorted(active, session)) - 1  # sessions without bars while some symbol had them
    missing = np.diff(session) - 1
    ratio = spells.open[mine][1:] / spells.close[mine][:-1]
    jump = np.abs(np.log(ratio)) > np.log(REUSE_JUMP)
    breaks = np.flatnonzero((others >= REUSE_SESSIONS) | ((missing >= REUSE_JUMP_SESSIONS) & jump))
    for at in breaks:
        findings.append(
            Finding(
                "reused ticker",
                name,
                f"{_day(session[at])} to {_day(session[at + 1])}",
                f"{missing[at]} sessions without bars, price ratio {ratio[at]:.4g}: "
                f"the history before it belongs to something else",
            )
        )
    return np.arange(len(mine)) <= (breaks[-1] if len(breaks) else -1)


def _thin(
    frame: pd.DataFrame, spells: Spells, mine: IntArray, interval: int, name: str, findings: list[Finding]
) -> BoolArray:
    """(len(mine),) sessions of which the typical bar holds under SEAM_SHARE of the usual volume of its time of day."""
    level, usual = _levels(frame, spells, mine, interval)
    thin = np.zeros(len(mine), bool)
    if usual < SEAM_MIN_SHARES:
        return thin
    good: list[float] = []
    for i, here in enumerate(level):
        recent = good[-SEAM_MEMORY:]
        thin[i] = len(recent) >= SEAM_HISTORY and here < np.median(recent) + np.log(SEAM_SHARE)
        if not thin[i]:
            good.append(here)
    for first, last in _runs(thin):
        times = np.exp(np.median(good[-SEAM_MEMORY:]) - np.median(level[first : last + 1]))
        findings.append(
            Finding(
                "second source",
                name,
                f"{_day(spells.session[mine[first]])} to {_day(spells.session[mine[last]])}",
                f"volume is {times:.0f} times smaller than usual: the bars come from a thinner feed",
            )
        )
    return thin


def _levels(frame: pd.DataFrame, spells: Spells, mine: IntArray, interval: int) -> tuple[FloatArray, float]:
    """(len(mine),) median over a session's bars of log(volume / median volume of that time of day); a usual bar."""
    rows = np.arange(spells.start[mine[0]], spells.stop[mine[-1]])
    ts, volume = frame["ts"].to_numpy()[rows], np.maximum(1.0, frame["volume"].to_numpy(float)[rows])
    of_spell = np.repeat(np.arange(len(mine)), spells.stop[mine] - spells.start[mine])
    opened = exchange_sessions().open_ns[spells.session[mine]][of_spell]
    bar = (ts - opened) // (interval * NS_PER_MINUTE) - 1
    log = pd.Series(np.log(volume))
    excess = log - log.groupby(bar).transform("median")
    return excess.groupby(of_spell).median().to_numpy(), float(np.median(volume))


def _runs(flags: BoolArray) -> list[tuple[int, int]]:
    """(first, last) of each run of True."""
    edges = np.flatnonzero(np.diff(np.r_[False, flags, False].astype(np.int8)))
    return [(int(a), int(b) - 1) for a, b in zip(edges[::2], edges[1::2])]


def _jumps(spells: Spells, good: IntArray, name: str) -> list[Finding]:
    """Overnight price ratios that look like a split, and other large ones."""
    out = []
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = spells.close[good][:-1] / spells.open[good][1:]
        volume = spells.volume[good]
        for at in np.flatnonzero(np.abs(np.log(ratio)) > np.log(JUMP) * (1 - SPLIT_TOLERANCE)):
            before = np.median(volume[max(0, at - 19) : at + 1])
            dollars = volume[at + 1] / (before * ratio[at])
            when = _day(spells.session[good[at + 1]])
            factor = split_ratio(float(ratio[at]))
            if factor and 1 / SPLIT_VOLUME < dollars < SPLIT_VOLUME:
                told = f"{factor:g} for 1" if factor > 1 else f"1 for {1 / factor:g}"
                out.append(
                    Finding("split", name, when, f"price ratio {ratio[at]:.4g}: a split {told}? Give adjusted prices")
                )
            elif abs(np.log(ratio[at])) > np.log(JUMP):
                out.append(Finding("price jump", name, when, f"price ratio {ratio[at]:.4g} overnight, no split ratio"))
    return out


def split_ratio(ratio: float) -> float:
    """The split that a price ratio (before / after) is close to; 0 if none.

    >>> split_ratio(1.99), split_ratio(0.1183), split_ratio(1.7)
    (2.0, 0.125, 0.0)
    """
    for factor in (*SPLIT_RATIOS, *(1 / r for r in SPLIT_RATIOS)):
        if abs(np.log(ratio / factor)) < SPLIT_TOLERANCE:
            return factor
    return 0.0


def coverage(frame: pd.DataFrame, interval: int) -> list[Finding]:
    """What is missing from the good rows: days without bars, late starts, deaths, runs of missing bars."""
    spells = Spells.of(frame)
    if not len(spells.session):
        return []
    names = list(frame["symbol"].cat.categories)
    first, last = int(spells.session.min()), int(spells.session.max())
    active = np.unique(spells.session)
    empty = np.ones(last - first + 1, bool)
    empty[active - first] = False
    out = [
        Finding(
            "day without bars",
            "",
            _day(first + a) if a == b else f"{_day(first + a)} to {_day(first + b)}",
            f"the exchange was open for {b - a + 1} sessions, no symbol has a bar; they are unknown (NaN)",
        )
        for a, b in _runs(empty)
    ]
    gaps = _gaps(frame, spells, interval) if interval in (1, 5) else np.zeros(len(spells.start), np.int64)
    lives = {name: spells.session[mine] for n, name in enumerate(names) if len(mine := spells.of_symbol(n))}
    usual = tuple(int(np.median([life[edge] for life in lives.values()])) for edge in (0, -1))
    for number, name in enumerate(names):
        if name in lives:
            out += _life(lives[name], usual, active, name)
            out += _missing(gaps[spells.of_symbol(number)], lives[name], name)
    return out


def _life(mine: IntArray, usual: tuple[int, ...], active: IntArray, name: str) -> list[Finding]:
    """A start or end that differs from the median symbol's, and sessions lost in between."""
    out = []
    if abs(mine[0] - usual[0]) >= CHANGE_SESSIONS:
        kind = "starts late" if mine[0] > usual[0] else "starts early"
        out.append(Finding(kind, name, _day(mine[0]), f"the others start on {_day(usual[0])}"))
    if usual[1] - mine[-1] >= CHANGE_SESSIONS:
        out.append(Finding("dies", name, _day(mine[-1]), f"the others go on to {_day(usual[1])}"))
    lost = np.searchsorted(active, mine[-1]) - np.searchsorted(active, mine[0]) + 1 - len(mine)
    if lost:
        out.append(Finding("sessions missing", name, f"{_day(mine[0])} to {_day(mine[-1])}", f"{lost} without any bar"))
    return out


def _gaps(frame: pd.DataFrame, spells: Spells, interval: int) -> IntArray:
    """(spells,) longest run of missing bars of each symbol and session, in minutes."""
    ts, sessions = frame["ts"].to_numpy(), exchange_sessions()
    step = np.diff(ts, prepend=ts[:1])
    step[spells.start] = ts[spells.start] - sessions.open_ns[spells.session]
    longest = np.maximum.reduceat(step, spells.start)
    tail = sessions.close_ns[spells.session] - ts[spells.stop - 1] + interval * NS_PER_MINUTE
    return np.maximum(longest, tail) // NS_PER_MINUTE - interval


def _missing(gaps: IntArray, sessions: IntArray, name: str) -> list[Finding]:
    long = np.flatnonzero(gaps >= GAP_MINUTES)
    if not len(long):
        return []
    worst = int(long[np.argmax(gaps[long])])
    detail = (
        f"{len(long)} sessions lack {GAP_MINUTES} minutes or more in a row; the longest run is {gaps[worst]} minutes"
    )
    return [Finding("missing bars", name, _day(sessions[worst]), detail)]


def _day(index: int) -> str:
    return iso_date(int(exchange_sessions().date[int(index)]))


def row_name(frame: pd.DataFrame, row: int) -> str:
    """A row for a message: symbol, time, file and row in it."""
    r = frame.iloc[row]
    when = "unreadable time" if r["ts"] == UNREADABLE else iso_time(int(r["ts"]))
    return f"{r['symbol']} {when} ({r['file']}, row {r['row']})"
