"""What the engine has computed, bar by bar: features, sigmas, spreads, and the snapshot of any bar."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np

from workbench.core.arrays import BoolArray, FloatArray, IntArray, check_shape, readonly
from workbench.core.digest import digest
from workbench.core.errors import DataError
from workbench.core.horizon import DAY_HORIZONS, HORIZONS, Horizon
from workbench.core.types import Features, Phase, Snapshot, schema_hash, time_bucket
from workbench.core.units import BAR_MINUTES, SESSION_MINUTES
from workbench.core.units import BARS_PER_SESSION as SLOTS
from workbench.core.universe import Universe
from workbench.features.timeofday import closes_crossed, horizons_open, slots_of, window_share

_DAY_ROWS = [h.order for h in DAY_HORIZONS]
_ROOT_DAYS = np.sqrt([[float(h.days)] for h in DAY_HORIZONS])

ROW_INTS = ("ts", "session", "bar_of_session", "bars_in_session")
ROW_FLOATS = ("values", "price", "bid", "ask", "bid_size", "ask_size", "spread", "level")
SESSION_FIELDS = ("intraday_session", "intraday_bars", "profile", "volume_profile", "overnight", "daily_volume",
                  "correlation", "eligible")  # fmt: skip
DAILY_FIELDS = ("daily_session", "daily_values", "daily_sigma")


@dataclass(frozen=True)
class FeatureHistory:
    """T bars of N symbols after the engine. NaN = unknown. Arrays are read-only.

    Attributes
    ----------
    universe : the instruments, in the order of `symbols`
    ts, session, bar_of_session, bars_in_session : (T,) as in `Bars`
    names, values : F names and (T, N, F) features known at ts
    price : (T, N) last close, USD; bid, ask, bid_size, ask_size : (T, N), NaN without quotes
    spread, spread_estimated : (T, N) relative spread; whether it is estimated, not quoted
    level : (T, N) variance of a five-minute return where the profile is 1, NaN in the warm-up
    intraday_session, intraday_bars : (S,) session and its number of bars, of each session with rows here
    profile, volume_profile : (S, 78) variance (mean 1) and volume (sum 1) by slot, learned before the session
    overnight : (S, N) variance of an overnight gap; daily_volume : (S, N) shares of a full session; both from the past
    correlation : (S, N, N) shrunk correlation; eligible : (S, N) one of each cluster of near-duplicates; from the past
    daily_names, daily_session, daily_values : Fd names, (D,) and (D, N, Fd) features known before the session opens
    daily_sigma : (D, N) deviation of one session's return, from daily bars before the session
    closing_minutes : minutes before the close from which the phase is CLOSING
    """

    universe: Universe
    ts: IntArray
    session: IntArray
    bar_of_session: IntArray
    bars_in_session: IntArray
    names: tuple[str, ...]
    values: FloatArray
    price: FloatArray
    bid: FloatArray
    ask: FloatArray
    bid_size: FloatArray
    ask_size: FloatArray
    spread: FloatArray
    level: FloatArray
    intraday_session: IntArray
    intraday_bars: IntArray
    profile: FloatArray
    volume_profile: FloatArray
    overnight: FloatArray
    daily_volume: FloatArray
    correlation: FloatArray
    eligible: BoolArray
    daily_names: tuple[str, ...]
    daily_session: IntArray
    daily_values: FloatArray
    daily_sigma: FloatArray
    spread_estimated: bool = False
    closing_minutes: float = 10.0

    def __post_init__(self) -> None:
        for name in (*ROW_INTS, "intraday_session", "intraday_bars", "daily_session"):
            object.__setattr__(self, name, readonly(getattr(self, name), np.int64))
        for name in (*ROW_FLOATS, "profile", "volume_profile", "overnight", "daily_volume", "correlation",
                     "daily_values", "daily_sigma"):  # fmt: skip
            object.__setattr__(self, name, readonly(getattr(self, name)))
        object.__setattr__(self, "eligible", readonly(self.eligible, np.bool_))
        check_shape("FeatureHistory.values", self.values, (len(self.ts), len(self.symbols), len(self.names)))

    def __len__(self) -> int:
        return len(self.ts)

    @property
    def symbols(self) -> tuple[str, ...]:
        """The N names."""
        return self.universe.symbols

    @cached_property
    def session_row(self) -> IntArray:
        """(T,) index of each bar's session in `intraday_session`."""
        return np.searchsorted(self.intraday_session, self.session)

    @cached_property
    def minutes_to_close(self) -> FloatArray:
        """(T,) trading minutes from each bar's end to the close."""
        return ((self.bars_in_session - 1 - self.bar_of_session) * BAR_MINUTES).astype(np.float64)

    @cached_property
    def bucket(self) -> IntArray:
        """(T,) time-of-day bucket, see :func:`workbench.core.types.time_bucket`."""
        since = (self.bar_of_session + 1) * BAR_MINUTES
        return np.array([time_bucket(a, b) for a, b in zip(since, self.minutes_to_close)], np.int64)

    @cached_property
    def horizon_open(self) -> BoolArray:
        """(T, H) an intraday horizon that ends by the close; a day horizon wherever its session has daily features."""
        open_ = self._by_bar(lambda s: horizons_open(int(self.intraday_bars[s]))).astype(bool)
        day = [h.order for h in HORIZONS if h.is_day]
        rows, back = np.unique(self._daily_row_of, return_inverse=True)
        known = np.array([r >= 0 and bool(np.isfinite(self.daily_values[r]).any()) for r in rows])
        open_[:, day] &= known[back][:, None]
        return open_

    @cached_property
    def window_variance(self) -> FloatArray:
        """(T, H) profile variance of the window of each horizon after each bar, in units of `level`."""
        return self._by_bar(lambda s: window_share(self.profile[s], int(self.intraday_bars[s])))

    @cached_property
    def window_volume(self) -> FloatArray:
        """(T, H) share of a full session's volume in the window of each horizon after each bar."""
        return self._by_bar(lambda s: window_share(self.volume_profile[s], int(self.intraday_bars[s])))

    @cached_property
    def closes(self) -> FloatArray:
        """(T, H) closes that the window of each horizon crosses."""
        return self._by_bar(lambda s: closes_crossed(int(self.intraday_bars[s])))

    @cached_property
    def sigma_5m(self) -> FloatArray:
        """(T, N) deviation of the session's next five-minute return (after the last bar: as at that bar)."""
        return np.sqrt(self.level * self._next_variance[:, None])

    @cached_property
    def sigma_1d(self) -> FloatArray:
        """(T, N) deviation of the return of a full day, close to close, overnight included."""
        return np.sqrt(self.level * SLOTS + self.overnight[self.session_row])

    def sigma_h(self, h: Horizon) -> FloatArray:
        """(T, N) deviation of the return over the window of `h` after each bar.

        sigma_h^2 = level * (profile summed over the window) + overnight variance for each close crossed; a day horizon
        of n sessions: n * (78 level + overnight variance).
        """
        weight, closes = self.window_variance[:, h.order, None], self.closes[:, h.order, None]
        return np.sqrt(self.level * weight + self.overnight[self.session_row] * closes)

    def daily_sigma_h(self, h: Horizon) -> FloatArray:
        """(D, N) deviation of the return over `h` (a day horizon) from each session's open, from daily bars only."""
        if not h.is_day:
            raise DataError(f"daily_sigma_h is for day horizons, not {h.label}; use sigma_h")
        return self.daily_sigma * np.sqrt(h.minutes / SESSION_MINUTES)

    def expected_volume(self, t: int) -> FloatArray:
        """(H, N) shares expected over each horizon's window after bar `t`: share of the day's volume, by time of day,
        times the exponential mean of daily volume."""
        return self.window_volume[t][:, None] * self.daily_volume[self.session_row[t]]

    def window(self, t: int, length: int) -> FloatArray:
        """(N, L, F) features of bars t - L + 1 .. t, oldest first; NaN before the history begins."""
        t = self._row(t)
        n, f = self.values.shape[1:]
        first = max(t + 1 - length, 0)
        out = np.full((n, length, f), np.nan)
        if length:
            out[:, length - (t + 1 - first) :] = self.values[first : t + 1].transpose(1, 0, 2)
        return out

    def daily_window(self, d: int, length: int) -> FloatArray:
        """(N, L, Fd) daily features of sessions d - L + 1 .. d, oldest first; NaN before the history begins."""
        n, f = self.daily_values.shape[1:]
        first = max(d + 1 - length, 0)
        out = np.full((n, length, f), np.nan)
        if d >= 0:
            out[:, length - (d + 1 - first) :] = self.daily_values[first : d + 1].transpose(1, 0, 2)
        return out

    def snapshot(self, t: int, window: int = 0) -> Snapshot:
        """All that is known at ts[t], as stage 3 to 9 take it; `window` bars (and days) for sequential models.

        The rows of day horizons in `sigma_h` are those of the daily bars (:meth:`daily_sigma_h`), on which their labels
        stand: like the forecast they hold for the whole session.
        No source tells of halts or of what can be borrowed: `halted` is False and `shortable` True throughout. A quote
        is of the bar's end: its age is 0, NaN where there is none.
        """
        t = self._row(t)
        s, d = self.session_row[t], self._daily_row_of[t]
        left = float(self.minutes_to_close[t])
        level, overnight = self.level[t], self.overnight[s]
        sigma_h = np.sqrt(level * self.window_variance[t][:, None] + overnight * self.closes[t][:, None])
        sigma_h[_DAY_ROWS] = self.daily_sigma[d] * _ROOT_DAYS if d >= 0 else np.nan
        return Snapshot(
            known_at=int(self.ts[t]), symbols=self.symbols,
            features=Features(self.names, self.values[t], self._no_window if window == 0 else self.window(t, window),
                              self._schema),
            daily=Features(self.daily_names, self.daily_values[d] if d >= 0 else self._no_daily,
                           self._no_daily_window if window == 0 else self.daily_window(d, window), self._daily_schema),
            price=self.price[t], bid=self.bid[t], ask=self.ask[t], bid_size=self.bid_size[t],
            ask_size=self.ask_size[t], quote_age_s=np.where(self.ask[t] >= self.bid[t], 0.0, np.nan),
            spread=self.spread[t], sigma_5m=self.sigma_5m[t], sigma_1d=self.sigma_1d[t], sigma_h=sigma_h,
            expected_volume=self.window_volume[t][:, None] * self.daily_volume[s], correlation=self.correlation[s],
            leverage=self._leverage, halted=self._none, shortable=self._all, eligible=self.eligible[s],
            horizon_open=self.horizon_open[t], session=int(self.session[t]),
            bar_of_session=int(self.bar_of_session[t]), minutes_to_close=left, bucket=int(self.bucket[t]),
            phase=Phase.CLOSED if left <= 0 else Phase.CLOSING if left <= self.closing_minutes else Phase.OPEN,
            spread_estimated=self.spread_estimated,
        )  # fmt: skip

    def rows(self, start: int, stop: int) -> FeatureHistory:
        """Bars `start` to `stop` (exclusive) with the sessions they belong to and all of the daily part."""
        changed: dict[str, Any] = {name: getattr(self, name)[start:stop] for name in (*ROW_INTS, *ROW_FLOATS)}
        used = np.unique(self.session_row[start:stop])
        cut = slice(used[0], used[-1] + 1) if len(used) else slice(0, 0)
        changed |= {name: getattr(self, name)[cut] for name in SESSION_FIELDS}
        return replace(self, **changed)

    @classmethod
    def concat(cls, parts: Sequence[FeatureHistory]) -> FeatureHistory:
        """Parts that follow one another, as one engine returned them; the daily part is that of the last."""
        last = parts[-1]
        changed: dict[str, Any] = {n: np.concatenate([getattr(p, n) for p in parts]) for n in (*ROW_INTS, *ROW_FLOATS)}
        sessions = np.concatenate([p.intraday_session for p in parts])
        _, first = np.unique(sessions, return_index=True)
        changed |= {n: np.concatenate([getattr(p, n) for p in parts])[first] for n in SESSION_FIELDS}
        return replace(last, **changed)

    @cached_property
    def digest(self) -> str:
        """Content digest of everything, the universe included."""
        parts = (getattr(self, f.name) for f in fields(self) if f.name != "universe")
        return digest([repr(i) for i in self.universe.instruments], *parts)

    # What snapshots share.

    @cached_property
    def _next_variance(self) -> FloatArray:
        def next_slot(s: int) -> FloatArray:
            slot = slots_of(int(self.intraday_bars[s]))
            return self.profile[s][np.r_[slot[1:], slot[-1:]]]

        return self._by_bar(next_slot)

    @cached_property
    def _daily_row_of(self) -> IntArray:
        """(T,) row of the daily part, -1 where the session has none."""
        if len(self.daily_session) == 0:
            return np.full(len(self), -1)
        row = np.minimum(np.searchsorted(self.daily_session, self.session), len(self.daily_session) - 1)
        return np.where(self.daily_session[row] == self.session, row, -1)

    @cached_property
    def _schema(self) -> str:
        return schema_hash(self.names)

    @cached_property
    def _daily_schema(self) -> str:
        return schema_hash(self.daily_names)

    @cached_property
    def _no_window(self) -> FloatArray:
        return readonly(np.empty((len(self.symbols), 0, len(self.names))))

    @cached_property
    def _no_daily(self) -> FloatArray:
        return readonly(np.full((len(self.symbols), len(self.daily_names)), np.nan))

    @cached_property
    def _no_daily_window(self) -> FloatArray:
        return readonly(np.empty((len(self.symbols), 0, len(self.daily_names))))

    @cached_property
    def _leverage(self) -> FloatArray:
        return readonly(self.universe.leverage)

    @cached_property
    def _none(self) -> BoolArray:
        return readonly(np.zeros(len(self.symbols)), np.bool_)

    @cached_property
    def _all(self) -> BoolArray:
        return readonly(np.ones(len(self.symbols)), np.bool_)

    def _row(self, t: int) -> int:
        if not -len(self) <= t < len(self):
            raise IndexError(f"bar {t} is outside a history of {len(self)} bars")
        return t % len(self)

    def _by_bar(self, table: Any) -> FloatArray:
        """(T, ...) rows of `table(s)` (bars of session s, ...), looked up by bar."""
        parts: Iterable[FloatArray] = (table(s) for s in range(len(self.intraday_session)))
        padded = [np.pad(p, [(0, SLOTS - len(p))] + [(0, 0)] * (p.ndim - 1)) for p in parts]
        shape = padded[0].shape if padded else (SLOTS, len(HORIZONS))
        return np.array(padded).reshape(-1, *shape)[self.session_row, self.bar_of_session]
