"""Quality of bars, row by row: what cannot be right goes to quarantine with a reason, and is never dropped silently.

A frame of bars has the columns ``symbol, ts`` (UTC ns, END of bar), ``open, high, low, close, volume``, optionally
``bid, ask, bid_size, ask_size, ofi``, and ``file, row``: where each came from.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from workbench.core.arrays import BoolArray, IntArray
from workbench.core.bars import PRICE_FIELDS
from workbench.core.calendar import exchange_sessions
from workbench.core.units import NS_PER_MINUTE, SESSION_MINUTES
from workbench.data.times import UNREADABLE

REASONS = {
    "no symbol": "the symbol is empty",
    "unreadable time": "the time is missing, ambiguous or cannot be read",
    "outside regular hours": "the bar does not end inside a regular session of the exchange",
    "off grid": "the bar does not end on a multiple of the interval after the open",
    "price missing": "open, high, low or close is missing or not a number (a bar with a quote and no trade is kept)",
    "price not above zero": "a price is zero or negative",
    "high and low contradict": "the high is below, or the low above, another price of the bar",
    "volume missing or negative": "the volume is missing, not a number or below zero",
    "quote not above zero": "bid, ask or a size is zero or negative",
    "crossed quote": "the bid is above the ask",
    "duplicate": "the same bar again, with the same values",
    "duplicate with other values": "the same bar with other values; the one with the larger volume was kept",
    "not in the universe": "the universe file has no line for the symbol",
    "second source": "volume fell to a small fraction of what is usual: the bars come from a thinner feed",
    "reused ticker": "the ticker's history breaks off for long: an earlier part belongs to something else",
    "thin session": "coarse bars cover too little of the session to make a daily bar",
}
"""Reason -> what it means. The first that applies is given."""

TOLERANCE = 1e-6
"""Relative slack of comparisons between prices: adjusted prices carry rounding."""


@dataclass(frozen=True, slots=True)
class Checked:
    """`clean` + `quarantined` (with ``reason``) hold every row that came in."""

    clean: pd.DataFrame
    quarantined: pd.DataFrame


def check(frame: pd.DataFrame, interval: int) -> Checked:
    """Split a frame by what can be seen in a row alone, and by duplicates. Rows keep their order."""
    reason = row_reasons(frame, interval)
    reason = np.where(reason == "", duplicate_reasons(frame, reason == ""), reason)
    return split(frame, reason)


def split(frame: pd.DataFrame, reason: np.ndarray) -> Checked:
    """Rows with an empty reason, and the others."""
    bad = reason != ""
    return Checked(frame[~bad].reset_index(drop=True), frame[bad].assign(reason=reason[bad]).reset_index(drop=True))


def row_reasons(frame: pd.DataFrame, interval: int) -> np.ndarray:
    """(R,) reason of each row, "" for a good one."""
    ts = frame["ts"].to_numpy()
    inside, on_grid = _grid(ts, interval)
    price = frame[list(PRICE_FIELDS)].to_numpy(float)
    volume = frame["volume"].to_numpy(float)
    quote_bad, crossed, quoted = _quotes(frame)
    unquoted = np.isnan(price).all(axis=1) & quoted
    top, bottom = np.fmax.reduce(price, axis=1), np.fmin.reduce(price, axis=1)
    slack = TOLERANCE * np.abs(top)
    tests = {
        "no symbol": frame["symbol"].isna().to_numpy() | (frame["symbol"].astype(str) == "").to_numpy(),
        "unreadable time": ts == UNREADABLE,
        "outside regular hours": ~inside,
        "off grid": ~on_grid,
        "price missing": ~np.isfinite(price).all(axis=1) & ~unquoted,
        "price not above zero": (price <= 0).any(axis=1),
        "high and low contradict": (price[:, 1] < top - slack) | (price[:, 2] > bottom + slack),
        "volume missing or negative": ~(volume >= 0) | np.isinf(volume),
        "quote not above zero": quote_bad,
        "crossed quote": crossed,
    }
    return np.select(list(tests.values()), list(tests), default="").astype(object)


def _grid(ts: IntArray, interval: int) -> tuple[BoolArray, BoolArray]:
    """(R,) inside a regular session; on its grid. Bars coarser than 5 minutes follow the clock, not the open."""
    sessions = exchange_sessions()
    index = sessions.index_of(ts)
    inside = index >= 0
    if interval > 5:
        return inside, np.ones(len(ts), bool)
    return inside, (ts - sessions.open_ns[np.maximum(index, 0)]) % (interval * NS_PER_MINUTE) == 0


def _quotes(frame: pd.DataFrame) -> tuple[BoolArray, BoolArray, BoolArray]:
    """(R,) a part that is not above zero; bid above ask; both bid and ask known."""
    no = np.zeros(len(frame), bool)
    names = [n for n in ("bid", "ask", "bid_size", "ask_size") if n in frame]
    bad = (frame[names].to_numpy(float) <= 0).any(axis=1) if names else no
    if "bid" not in frame or "ask" not in frame:
        return bad, no, no
    bid, ask = frame["bid"].to_numpy(float), frame["ask"].to_numpy(float)
    return bad, bid > ask, np.isfinite(bid) & np.isfinite(ask)


def duplicate_reasons(frame: pd.DataFrame, among: BoolArray) -> np.ndarray:
    """(R,) reason of each further row of the same symbol and time, among the rows marked.

    Of equal rows the first stays; of contradicting ones that with the larger volume (the fuller source).
    """
    reason = np.full(len(frame), "", dtype=object)
    rows = np.flatnonzero(among)
    part = frame.iloc[rows]
    twice = part.duplicated(["symbol", "ts"], keep=False).to_numpy()
    if not twice.any():
        return reason
    fields = [c for c in part.columns if c not in ("file", "row")]
    part, rows = part[twice], rows[twice]
    order = np.lexsort((np.arange(len(part)), -part["volume"].to_numpy(float)))
    ranked = part.iloc[order]
    spare = ranked.duplicated(["symbol", "ts"], keep="first").to_numpy()
    same = ranked.duplicated(fields, keep="first").to_numpy()
    reason[rows[order[spare & same]]] = "duplicate"
    reason[rows[order[spare & ~same]]] = "duplicate with other values"
    return reason


def session_of_bar(ts: IntArray) -> IntArray:
    """(R,) index into the exchange's sessions; every ts must lie inside one."""
    return exchange_sessions().index_of(ts)


def is_daily(interval: int) -> bool:
    """Whether bars of this length end up as daily ones: only 1 and 5 minutes carry decisions."""
    return interval not in (1, 5)


def expected_bars(interval: int) -> int:
    """Bars of a full session, for coarse bars that follow the clock (7 for hours: 10:00 to 16:00)."""
    return -(-SESSION_MINUTES // interval)
