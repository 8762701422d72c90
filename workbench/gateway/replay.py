"""A market out of recorded bars: the gateway plays them again, second by second, and invents no symbol and no session.

Within a bar of n seconds the price goes open -> nearer extreme -> farther extreme -> close, at the seconds 0, n/3, 2n/3
and n - 1, in straight lines on the tick between them. The four corners trade at least a share each where the volume
suffices, the rest is spread evenly. So bars made of the tape equal the recorded ones exactly (open, high, low, close,
volume), and a bar that was not recorded stays a hole in which nothing trades.
"""

from __future__ import annotations

import tempfile
from collections import OrderedDict
from dataclasses import dataclass
from math import sqrt
from pathlib import Path

import numpy as np

from workbench.core.arrays import FloatArray, IntArray
from workbench.core.bars import Bars
from workbench.core.calendar import iso_date
from workbench.core.errors import DataError, nearest_name
from workbench.core.units import BAR_MINUTES, NS_PER_MINUTE, SESSION_MINUTES
from workbench.data.importers import import_bars
from workbench.data.store import Store
from workbench.gateway.tape import KEPT_TAPES, Tape

DEFAULT_SIGMA = 0.02
"""Of a day, where too little is recorded to tell."""


@dataclass(frozen=True, slots=True)
class _Recorded:
    """What the recording says of a symbol: its `sessions`, `sigma_1d`, `spread` as a share of the price, `depth`."""

    sessions: IntArray
    sigma_1d: float
    spread: float
    depth: int


class ReplayMarket:
    """The market of `bars` (1 or 5 minutes); what they do not hold does not exist."""

    name = "replayed bars"

    def __init__(self, bars: Bars) -> None:
        self.bars = bars
        self._rows = {session: slice(a, b) for session, a, b in bars.sessions()}
        self._of = {s: self._look(j) for j, s in enumerate(bars.symbols) if np.isfinite(bars.close[:, j]).any()}
        if not self._of:
            raise DataError("the recording has no bar with a price; replay other bars")
        self._tapes: OrderedDict[tuple[str, int], Tape] = OrderedDict()

    @classmethod
    def of(cls, path: Path | str) -> ReplayMarket:
        """The finest bars of a store, or of a Parquet or CSV file or folder, read as `workbench import` reads them."""
        path = Path(path)
        if not path.exists():
            raise DataError(f"{path} does not exist; replay a store, or a Parquet or CSV file or folder of bars")
        for root in (path, path / "store"):
            if (root / "universe.toml").is_file():
                return cls(_finest(Store(root)))
        with tempfile.TemporaryDirectory(prefix="workbench-replay-") as scratch:
            try:
                import_bars(path, scratch)
            except DataError as error:
                raise DataError(f"{error}. These are options of `workbench import`: replay what it makes") from None
            return cls(_finest(Store(scratch)))

    @property
    def symbols(self) -> tuple[str, ...]:
        """The symbols that were recorded."""
        return tuple(self._of)

    @property
    def sessions(self) -> tuple[int, ...]:
        """The sessions on which any symbol was recorded."""
        return tuple(sorted({int(d) for recorded in self._of.values() for d in recorded.sessions}))

    @property
    def note(self) -> str:
        """What of this market is an estimate."""
        quotes = "recorded at each bar's end, and held until the next"
        if not self.bars.has_quotes:
            quotes = "ESTIMATED from each symbol's volume: the recording has none"
        return f"{self.bars.interval_minutes}-minute bars of {len(self._of)} symbols; quotes {quotes}"

    def check_session(self, date: int) -> None:
        """DataError if nothing was recorded on a session."""
        known = self.sessions
        if date not in known:
            raise DataError(
                f"nothing was recorded on {iso_date(date)}; the recording runs from {iso_date(known[0])} to "
                f"{iso_date(known[-1])}, {len(known)} sessions"
            )

    def latest(self, symbol: str, session: int) -> int | None:
        """The last recorded session up to `session`."""
        recorded = self._of.get(symbol)
        i = 0 if recorded is None else int(np.searchsorted(recorded.sessions, session, side="right"))
        return int(recorded.sessions[i - 1]) if recorded is not None and i else None

    def first(self, symbol: str) -> int:
        """The first recorded session of a symbol."""
        return int(self._known(symbol).sessions[0])

    def tape(self, symbol: str, session: int) -> Tape:
        """The recorded session, second by second; the last few are kept."""
        key = symbol, session
        if key not in self._tapes:
            self._tapes[key] = self._play(symbol, session)
            while len(self._tapes) > KEPT_TAPES:
                self._tapes.popitem(last=False)
        self._tapes.move_to_end(key)
        return self._tapes[key]

    def _known(self, symbol: str) -> _Recorded:
        if symbol not in self._of:
            raise DataError(f"{symbol} was not recorded.{nearest_name(symbol, self._of)}")
        return self._of[symbol]

    def _look(self, j: int) -> _Recorded:
        b, close = self.bars, self.bars.close[:, j]
        known = np.isfinite(close)
        sessions = np.unique(b.session[known])
        moves = np.diff(np.log(close[known]))
        a_day = sqrt(SESSION_MINUTES / b.interval_minutes)
        sigma = float(np.std(moves)) * a_day if len(moves) >= SESSION_MINUTES // b.interval_minutes else DEFAULT_SIGMA
        shares = float(np.nansum(b.volume[:, j])) / len(sessions)
        spread = float(np.clip(3.0 * (5e6 / max(shares, 1.0)) ** 0.35, 0.8, 25.0)) * 1e-4
        return _Recorded(sessions, max(sigma, 1e-4), spread, int(np.clip(shares / 20_000, 100, 5_000)))

    def _play(self, symbol: str, session: int) -> Tape:
        recorded = self._known(symbol)
        if session not in recorded.sessions:
            raise DataError(f"{symbol} was not recorded on {iso_date(session)}; no tape of it can be played")
        b, j, rows = self.bars, self.bars.symbols.index(symbol), self._rows[session]
        n = b.interval_minutes * 60
        before = b.close[: rows.start, j]
        before = before[np.isfinite(before)]
        opens = b.open[rows, j]
        previous = float(before[-1]) if len(before) else float(opens[np.isfinite(opens)][0])
        o, h, low, c, traded = (getattr(b, name)[rows, j] for name in ("open", "high", "low", "close", "volume"))
        last, volume = _seconds(o, h, low, c, traded, n, previous)
        bid, ask = _around(last, self._spread(rows, j, n, last, recorded.spread))
        bid_size, ask_size = (self._size(name, rows, j, n, recorded.depth) for name in ("bid_size", "ask_size"))
        self._stand(rows, j, n, bid, ask)
        opened = int(b.ts[rows.start]) - b.interval_minutes * NS_PER_MINUTE
        return Tape(symbol, session, opened, previous, recorded.sigma_1d, bid, ask, bid_size, ask_size,
                    last, volume)  # fmt: skip

    def _quoted(self, rows: slice, j: int) -> tuple[FloatArray, FloatArray] | None:
        """(bid, ask) at the ends of the bars, NaN where there is no sane one; None without quotes."""
        if self.bars.bid is None or self.bars.ask is None:
            return None
        bid, ask = self.bars.bid[rows, j], self.bars.ask[rows, j]
        sane = (bid > 0) & (ask >= bid)
        return np.where(sane, bid, np.nan), np.where(sane, ask, np.nan)

    def _spread(self, rows: slice, j: int, n: int, last: FloatArray, share: float) -> FloatArray:
        """(S,) USD: that of the last recorded quote, else the estimate."""
        estimate = last * share
        quoted = self._quoted(rows, j)
        if quoted is None:
            return estimate
        held = _held(quoted[1] - quoted[0], n)
        return np.where(np.isfinite(held), held, estimate)

    def _size(self, name: str, rows: slice, j: int, n: int, depth: int) -> IntArray:
        """(S,) shares: those of the last recorded quote, else the estimate."""
        sizes = getattr(self.bars, name)
        if sizes is None:
            return np.full((rows.stop - rows.start) * n, depth, np.int64)
        held = _held(sizes[rows, j], n)
        return np.maximum(np.round(np.where(np.isfinite(held), held, depth)), 1).astype(np.int64)

    def _stand(self, rows: slice, j: int, n: int, bid: FloatArray, ask: FloatArray) -> None:
        """At the end of a bar the recorded quote itself stands."""
        quoted = self._quoted(rows, j)
        if quoted is not None:
            at = np.flatnonzero(np.isfinite(quoted[0]))
            bid[at * n + n - 1], ask[at * n + n - 1] = quoted[0][at], quoted[1][at]


def _finest(store: Store) -> Bars:
    return store.serve(1 if 1 in store.intervals() else BAR_MINUTES)


def _seconds(
    o: FloatArray, h: FloatArray, low: FloatArray, c: FloatArray, volume: FloatArray, n: int, previous: float
) -> tuple[FloatArray, IntArray | FloatArray]:
    """(last, volume), (B * n,) each, of B bars of `n` seconds; before the first bar stands `previous`."""
    known = np.isfinite(c)
    up_first = (h - o < o - low) | ((h - o == o - low) & (c < o))
    corners = np.stack([o, np.where(up_first, h, low), np.where(up_first, low, h), c], axis=1)
    at = np.array([0, n // 3, 2 * n // 3, n - 1])
    weights = np.stack([np.interp(np.arange(n), at, np.eye(4)[k]) for k in range(4)])
    path = corners @ weights
    path = np.clip(np.where(path < 1.0, np.round(path, 4), np.round(path, 2)), low[:, None], h[:, None])
    path[:, at] = corners
    traded = _spread_volume(np.where(known, volume, 0.0), n, at)
    printed = traded > 0
    printed[:, at] = True
    printed[~known] = False
    last = np.r_[previous, path.ravel()]
    stands = np.maximum.accumulate(np.where(np.r_[True, printed.ravel()], np.arange(len(last)), 0))
    shares = traded.ravel()
    whole = (shares == np.floor(shares)).all()
    return last[stands][1:], shares.astype(np.int64) if whole else shares


def _spread_volume(volume: FloatArray, n: int, at: IntArray) -> FloatArray:
    """(B, n) shares that sum to `volume` exactly: one at each corner, whole shares evenly, the rest in the last."""
    whole = np.floor(volume)
    corners = whole >= len(at)
    even = np.where(corners, whole - len(at), 0.0)
    edges = np.floor(even[:, None] * np.arange(n + 1) / n)
    traded = np.diff(edges, axis=1)
    traded[:, at] += corners[:, None]
    traded[:, -1] += np.where(corners, volume - whole, volume)
    return traded


def _held(values: FloatArray, n: int) -> FloatArray:
    """(B,) at the ends of bars -> (B * n,): each stands from the last second of its bar on; NaN before the first."""
    known = np.isfinite(values)
    place = np.maximum.accumulate(np.where(known, np.arange(len(values)), -1))
    now = np.where(place >= 0, values[np.maximum(place, 0)], np.nan)
    out = np.repeat(np.r_[np.nan, now[:-1]], n)
    out[n - 1 :: n] = now
    return out


def _around(last: FloatArray, spread: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(bid, ask) on the tick: the last print was at the ask if the price rose there, else at the bid."""
    tick = np.where(last < 1.0, 0.0001, 0.01)
    move = np.sign(np.diff(last, prepend=last[0]))
    rose = move[np.maximum.accumulate(np.where(move != 0, np.arange(len(last)), 0))] > 0
    wide = np.maximum(np.round(spread / tick), 1)
    place = last / tick
    bid = np.where(rose, np.ceil(place - 1e-6) - wide, np.floor(place + 1e-6))
    bid = np.maximum(bid, 1)
    return np.round(bid * tick, 4), np.round((bid + wide) * tick, 4)
