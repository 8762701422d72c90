"""The feature engine: bars in, features out, bit for bit the same whatever the size of the chunks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from workbench.config import FeatureSettings
from workbench.core.arrays import FloatArray
from workbench.core.bars import PRICE_FIELDS, QUOTE_FIELDS, TRADE_FIELDS, Bars
from workbench.core.calendar import iso_time
from workbench.core.errors import ConfigError, DataError, LookAheadError
from workbench.core.types import MarketEvent, Snapshot
from workbench.core.units import BAR_MINUTES, NS_PER_MINUTE
from workbench.core.universe import Universe
from workbench.features.arrivals import Arrivals
from workbench.features.catalogue import catalogue, daily_catalogue
from workbench.features.compiled import FeatureCore, groups_of, signs_of
from workbench.features.correlation import CorrelationTracker
from workbench.features.daily import DailyTracker
from workbench.features.history import FeatureHistory
from workbench.features.spreads import SpreadTracker, quoted_spread
from workbench.features.user import UserFeature

Progress = Callable[[int, int, str], None]
"""``progress(done, total, what)``."""


TOP_FIELDS = ("bid", "ask", "bid_size", "ask_size")
"""Of a bar's quote fields, those that stand at its end."""


def carries_quotes(bars: Bars, settings: FeatureSettings) -> bool:
    """Whether `bars` carry all that the quote features of `settings` need."""
    return settings.quotes != "none" and not _missing_quotes(bars, settings)


def _missing_quotes(bars: Bars, settings: FeatureSettings) -> list[str]:
    needed = TOP_FIELDS if settings.quotes == "top" else QUOTE_FIELDS
    return [name for name in needed if getattr(bars, name) is None]


class FeatureEngine:
    """Turns 5-minute bars into features, sigmas and snapshots, with constant work per bar.

    Profiles, overnight variance, volume, correlation, eligibility and estimated spreads are learned when a session is
    over and used from the next one on; daily features come from daily bars that closed before the session opened.

    Parameters
    ----------
    universe : the instruments; bars must hold the same symbols
    settings : half-lives, warm-up, window
    has_quotes : whether the schema holds the quote features; bars must then carry all quote fields
    extra : features of the user's own, after the catalogue's
    closing_minutes : minutes before the close from which the phase is CLOSING
    """

    def __init__(
        self,
        universe: Universe,
        settings: FeatureSettings | None = None,
        has_quotes: bool = False,
        *,
        extra: tuple[UserFeature, ...] = (),
        closing_minutes: float = 10.0,
    ) -> None:
        self.universe = universe
        self.settings = settings or FeatureSettings()
        self.has_quotes = has_quotes
        self.extra = extra
        every = [s.name for s in catalogue(has_quotes)]
        kept = [s.name for s in catalogue(has_quotes, order_flow=self.settings.quotes != "top")]
        self._computed, self._kept = len(every), [every.index(name) for name in kept]
        self.names = (*kept, *(u.name for u in extra))
        self.closing_minutes = closing_minutes
        if len(set(self.names)) != len(self.names):
            raise ConfigError(f"user features {', '.join(u.name for u in extra)} must have different names")
        self._core = FeatureCore(
            signs=signs_of(universe), groups=groups_of(universe), has_quotes=has_quotes,
            sigma_halflife_sessions=self.settings.sigma_halflife_sessions,
            profile_halflife_sessions=self.settings.profile_halflife_sessions,
            warmup_sessions=self.settings.warmup_sessions,
        )  # fmt: skip
        self._daily = DailyTracker(universe)
        self._spreads = SpreadTracker(universe)
        self._correlation = CorrelationTracker(
            universe, self.settings.correlation_sessions, self.settings.duplicate_correlation
        )
        self._arrivals = Arrivals(universe.symbols, has_quotes)
        self._last_ts = -1
        self._last_close = np.full(len(universe), np.nan)
        self._session: dict[str, Any] = {}  # what the session in progress started with
        self._seen: list[FloatArray] = []  # (5, N) trade fields of each of its bars so far
        self._seen_at: list[int] = []  # and their numbers
        self._recent: Bars | None = None  # rows that user features may look back on
        self._tail: FeatureHistory | None = None

    @property
    def last_ts(self) -> int:
        """End of the last bar taken in, UTC ns; -1 before the first."""
        return self._last_ts

    def load_daily(self, daily: Bars) -> None:
        """Daily bars; each is used only from the first session that opens after its close. May be repeated, say every
        morning: from the next session on, the new bars replace the old. Sessions that the loaded bars lack are
        aggregated from the 5-minute bars that the engine has seen. Symbols without daily bars are NaN."""
        self._daily.load(daily)

    def advance(self, bars: Bars, progress: Progress | None = None) -> FeatureHistory:
        """Take in the next rows of 5-minute bars, any number of them, and return what follows from them."""
        bars = self._accept(bars)
        n_bars, n = bars.shape
        values, level, spread = np.empty((n_bars, n, len(self.names))), np.empty((n_bars, n)), np.empty((n_bars, n))
        sessions = []
        cuts = list(bars.sessions())
        for k, (session, start, stop) in enumerate(cuts):
            piece = bars.rows(start, stop)
            if session != self._session.get("intraday_session"):
                self._turn(piece)
            sessions.append(self._session)
            self._advance_session(piece, values[start:stop], level[start:stop], spread[start:stop])
            if progress is not None:
                progress(k + 1, len(cuts), "features")
        self._user_columns(bars, values)
        part = self._history(bars, values, level, spread, sessions)
        self._keep_tail(part)
        return part

    def on_event(self, event: MarketEvent) -> None:
        """Take in one bar or quote of one symbol as it arrives; `close_bar` turns what has come into a row."""
        self._arrivals.take(event)

    def close_bar(self, ts: int) -> FeatureHistory:
        """The bar that ends at `ts` is over: a symbol whose bar has not arrived is missing in it."""
        return self.advance(self._arrivals.close(ts))

    def snapshot(self) -> Snapshot:
        """All that is known at the last bar, with the window of features that sequential models see."""
        if self._tail is None:
            raise DataError("the engine has seen no bar yet; call advance or close_bar first")
        return self._tail.snapshot(len(self._tail) - 1, self.settings.window)

    def _accept(self, bars: Bars) -> Bars:
        if bars.interval_minutes != BAR_MINUTES:
            raise DataError(f"the engine takes {BAR_MINUTES}-minute bars, not {bars.interval_minutes}-minute ones")
        if len(bars.ts) == 0:
            raise DataError("there is no bar to advance over; the engine needs at least one row")
        if bars.ts[0] <= self._last_ts:
            raise LookAheadError(f"bar {bars.ts[0]} ns does not come after the last one, {self._last_ts} ns")
        if self.has_quotes and (missing := _missing_quotes(bars, self.settings)):
            raise DataError(
                f"the engine has quote features but the bars lack {', '.join(missing)}; give has_quotes=False"
            )
        _refuse_impossible(bars)
        self._last_ts = int(bars.ts[-1])
        return bars if bars.symbols == self.universe.symbols else bars.select(self.universe.symbols)

    def _turn(self, first: Bars) -> None:
        """Learn from the session that is over and start the one whose first rows are `first`."""
        if self._session:
            self._close_session()
        session, bars = int(first.session[0]), int(first.bars_in_session[0])
        self._spreads.open_session(session)
        opens_at = int(first.ts[0]) - (int(first.bar_of_session[0]) + 1) * BAR_MINUTES * NS_PER_MINUTE
        self._daily.open_session(session, opens_at)
        self._core.begin_session(bars)
        volume = self._core.daily_volume
        dollars = volume * self._last_close
        correlation, eligible = self._correlation.current(dollars)
        self._session = {
            "intraday_session": session, "intraday_bars": bars, "profile": self._core.profile,
            "volume_profile": self._core.volume_profile, "overnight": self._core.overnight_variance,
            "daily_volume": volume, "correlation": correlation, "eligible": eligible,
            "midday_spread": self._spreads.midday(self._last_close, dollars),
        }  # fmt: skip

    def _close_session(self) -> None:
        self._core.end_session()
        self._correlation.close_session(self._core.half_hour_returns)
        self._daily.close_session(self._session["intraday_session"], self._seen)
        self._spreads.close_session(self._seen, self._session["intraday_bars"], self._seen_at)
        self._seen, self._seen_at = [], []

    def _advance_session(self, bars: Bars, values: FloatArray, level: FloatArray, spread: FloatArray) -> None:
        trades = _stack(bars, TRADE_FIELDS)
        quotes = _stack(bars, QUOTE_FIELDS) if self.has_quotes else None
        whole = len(self._kept) == self._computed
        computed = values if whole else np.empty((*bars.shape, self._computed))
        self._core.advance(bars.bar_of_session, trades, quotes, computed, level)
        if not whole:
            values[:, :, : len(self._kept)] = computed[:, :, self._kept]
        if bars.bid is not None and bars.ask is not None:
            spread[:] = quoted_spread(bars.bid, bars.ask)
        else:
            spread[:] = self._spreads.of_bars(self._session["midday_spread"], bars)
        self._seen.extend(trades)
        self._seen_at.extend(bars.bar_of_session.tolist())
        for close in bars.close:
            self._last_close = np.where(np.isnan(close), self._last_close, close)

    def _user_columns(self, bars: Bars, values: FloatArray) -> None:
        if not self.extra:
            return
        past = self._recent
        joined = bars if past is None else _join(past, bars)
        first = len(joined.ts) - len(bars.ts)
        for column, feature in enumerate(self.extra, start=len(self.names) - len(self.extra)):
            values[:, :, column] = feature.column(joined, first)
        keep = max(u.lookback for u in self.extra) - 1
        self._recent = joined.rows(max(len(joined.ts) - keep, 0), len(joined.ts))

    def _history(
        self, bars: Bars, values: FloatArray, level: FloatArray, spread: FloatArray, sessions: list[dict[str, Any]]
    ) -> FeatureHistory:
        daily_session, daily_values, daily_sigma = self._daily.table()
        nothing = np.full(bars.shape, np.nan)
        quote = {name: nothing if (v := getattr(bars, name)) is None else v for name in QUOTE_FIELDS[:4]}
        facts = {k: np.array([s[k] for s in sessions]) for k in self._session if k != "midday_spread"}
        return FeatureHistory(
            universe=self.universe, ts=bars.ts, session=bars.session, bar_of_session=bars.bar_of_session,
            bars_in_session=bars.bars_in_session, names=self.names, values=values, price=bars.close, spread=spread,
            level=level, daily_names=tuple(s.name for s in daily_catalogue()), daily_session=daily_session,
            daily_values=daily_values, daily_sigma=daily_sigma, spread_estimated=not bars.has_quotes,
            closing_minutes=self.closing_minutes, **quote, **facts,
        )  # fmt: skip

    def _keep_tail(self, part: FeatureHistory) -> None:
        """Keep the last `window` bars for `snapshot`."""
        length = self.settings.window
        part = part.rows(max(len(part) - length, 0), len(part))
        if self._tail is not None and len(part) < length:
            before = self._tail.rows(max(len(self._tail) + len(part) - length, 0), len(self._tail))
            part = FeatureHistory.concat((before, part))
        self._tail = part


def build_history(
    bars: Bars,
    daily: Bars | None,
    universe: Universe,
    settings: FeatureSettings | None = None,
    progress: Progress | None = None,
    *,
    extra: tuple[UserFeature, ...] = (),
    closing_minutes: float = 10.0,
) -> FeatureHistory:
    """The features of all of `bars` at once: the engine in one go.

    The universe is cut to the symbols of `bars`, in their order. The quote features are in the schema where the bars
    carry bid, ask, sizes and order-flow imbalance, and `settings.quotes` lets them.
    """
    settings = settings or FeatureSettings()
    engine = FeatureEngine(
        universe.select(bars.symbols),
        settings,
        carries_quotes(bars, settings),
        extra=extra,
        closing_minutes=closing_minutes,
    )
    if daily is not None:
        engine.load_daily(daily)
    return engine.advance(bars, progress)


def _refuse_impossible(bars: Bars) -> None:
    """DataError that names the first bar with a price <= 0, a volume < 0, an infinity, or its high below its low."""
    bad = (bars.high < bars.low) | (bars.volume < 0)
    for name in TRADE_FIELDS:
        bad |= np.isinf(getattr(bars, name))
    for name in PRICE_FIELDS:
        bad |= getattr(bars, name) <= 0
    if bad.any():
        t, i = (int(x[0]) for x in np.nonzero(bad))
        prices = ", ".join(f"{name} {getattr(bars, name)[t, i]:g}" for name in TRADE_FIELDS)
        raise DataError(
            f"{bars.symbols[i]} at {iso_time(bars.ts[t])}: {prices} is no bar; check the data's quality first"
        )


def _stack(bars: Bars, names: tuple[str, ...]) -> FloatArray:
    """(T, 5, N) fields side by side, as the compiled engine takes them; NaN where a field is absent."""
    absent = np.full(bars.shape, np.nan)
    return np.stack([absent if (v := getattr(bars, name)) is None else v for name in names], axis=1)


def _join(past: Bars, bars: Bars) -> Bars:
    """Rows of `past` followed by those of `bars`; fields that one of them lacks are left out."""
    changed: dict[str, Any] = {
        name: np.concatenate([getattr(past, name), getattr(bars, name)])
        for name in ("ts", "session", "bar_of_session", "bars_in_session", *PRICE_FIELDS, "volume")
    }
    for name in QUOTE_FIELDS:
        both = getattr(past, name), getattr(bars, name)
        changed[name] = None if both[0] is None or both[1] is None else np.concatenate(both)
    return replace(bars, **changed)
