"""Stage 1, market data: what is there, what is missing and why, and what a symbol did in a session."""

from __future__ import annotations

import json
from typing import Any

import holoviews as hv
import numpy as np
import pandas as pd
import panel as pn
import param
from bokeh.models import NumeralTickFormatter

from workbench.analysis.coverage import Coverage, coverage, gaps, relative_spread, session_overview
from workbench.core.arrays import FloatArray
from workbench.core.bars import PRICE_FIELDS, Bars
from workbench.core.calendar import iso_date, iso_time, session_of
from workbench.core.errors import DataError
from workbench.core.units import BAR_MINUTES, BPS, SESSION_MINUTES
from workbench.core.universe import Universe
from workbench.data.aggregate import to_daily
from workbench.data.import_report import ImportReport
from workbench.data.quality import REASONS
from workbench.data.store import Store
from workbench.widgets import html
from workbench.widgets.base import StageView
from workbench.widgets.candles import ALIGNED, candles, exchange_time, session_ticks, spans, vertical
from workbench.widgets.style import BAD, BLUE, CARD, ORANGE

COLUMNS = 130
"""Sessions side by side in the coverage map; more are pooled."""
SHOWN_GAPS, SHOWN_ROWS, SHOWN_SESSIONS = 12, 12, 250
CLASSES = (
    ("complete", "#3b82c455"), ("90 % and more", "#d9a32b"), ("half and more", ORANGE), ("less", BAD),
    ("none", "#7a2431"),
)  # fmt: skip
"""Coverage in words, with its colour: what is whole stays pale, so that what is missing stands out."""
COUNTS = NumeralTickFormatter(format="0.[0]a")
KINDS = {1: "1 min", 5: "5 min", 390: "daily"}


class MarketView(StageView):
    """Bars of a :class:`Store`, or a panel of them: coverage, gaps, quarantine, candlesticks and sessions.

    `daily` bars draw the line of sessions (default: the store's own, or summed from the bars); `universe` tells what
    the instruments are (default: the store's).
    """

    title = "Market data"
    turns = ("symbol", "session", "interval")

    symbol = param.Selector(label="Symbol", doc="The instrument whose bars are drawn")
    session = param.Selector(label="Session", doc="The day whose bars are drawn, by the exchange's calendar")
    interval = param.Selector(label="Bar length", doc="Length of the bars in the candlestick chart")

    def __init__(
        self, store_or_bars: Store | Bars, *, daily: Bars | None = None, universe: Universe | None = None, **params: Any
    ) -> None:
        super().__init__(**params)
        self.store = store_or_bars if isinstance(store_or_bars, Store) else None
        self.bars = store_or_bars if isinstance(store_or_bars, Bars) else main_bars(store_or_bars)
        if not len(self.bars.ts):
            raise DataError("the panel holds no bar; serve a longer range from its Store")
        self.universe = universe or (self.store.universe() if self.store else None)
        self.daily = daily or self._daily()
        self.coverage, self.gaps = coverage(self.bars), gaps(self.bars)
        self._minutes: tuple[str, Bars] | None = None
        self._fill_choices()

    # ---- state ------------------------------------------------------------------------------------------------

    def _daily(self) -> Bars:
        if self.bars.interval_minutes == SESSION_MINUTES:
            return self.bars
        return self.store.serve(SESSION_MINUTES) if self.store else to_daily(self.bars)

    def _fill_choices(self) -> None:
        """What there is to choose from; the last session is shown first."""
        kinds = [self.bars.interval_minutes]
        if self.store is not None and 1 in self.store.intervals() and 1 not in kinds:
            kinds.append(1)
        days = [iso_date(int(s)) for s in np.unique(self.bars.session)]
        chosen = {"symbol": list(self.bars.symbols), "session": days[::-1], "interval": [KINDS[k] for k in kinds]}
        for name, objects in chosen.items():
            self.param[name].objects = objects
            setattr(self, name, objects[0])

    @property
    def day(self) -> int:
        """The chosen session, days since 1970."""
        return int(np.datetime64(self.session, "D").astype(np.int64))

    def drawn(self) -> Bars:
        """The bars of the chosen symbol, session and length."""
        bars = self.bars
        if self.interval == "1 min" and self.store is not None and bars.interval_minutes != 1:
            if self._minutes is None or self._minutes[0] != self.symbol:
                self._minutes = (self.symbol, self.store.serve(1, symbols=(self.symbol,)))
            bars = self._minutes[1]
        first, stop = np.searchsorted(bars.session, [self.day, self.day + 1])
        return bars.rows(int(first), int(stop)).select((self.symbol,))

    # ---- what is shown ----------------------------------------------------------------------------------------

    def heading(self) -> str:
        return store_card(self.store) if self.store is not None else bars_card(self.bars)

    def body(self) -> pn.viewable.Viewable:
        parts = [
            self.plot(self.coverage_map, "Coverage: bars found of those that the exchange's calendar expects",
                      height=60 + min(22 * len(self.bars.symbols), 420)),
            self.text(self.coverage_legend),
            self.text(self.gap_table),
            self.text(self.quarantine),
        ]  # fmt: skip
        if self.bars.interval_minutes != SESSION_MINUTES:
            intraday = [
                self.plot(self.candlesticks, "Bars of the session", height=290),
                self.plot(self.volume, "Volume of each bar", height=105),
                self.plot(self.spread, "Spread at the end of each bar", height=120),
            ]
            for column in intraday:
                column[1].linked_axes = True  # one time axis: zooming one zooms all three
            parts += intraday
        parts += [
            self.plot(self.sessions, "Sessions: one candle a day, the chosen one marked", height=240),
            self.text(self.overview),
        ]
        return pn.Column(*parts, sizing_mode="stretch_width")

    def coverage_map(self) -> hv.Overlay:
        """Symbol by session: a rectangle per cell, coloured by the share of its bars that are there."""
        cover = self.coverage.pooled(COLUMNS)
        cells = coverage_cells(cover)
        tips = [("Symbol", "@symbol"), ("Session", "@days"), ("Bars", "@found of @expected"),
                ("Found", "@share{0.0 %}"), ("Early close", "@early")]  # fmt: skip
        told = ["symbol", "days", "found", "expected", "share", "early"]
        layers = [
            hv.Rectangles(cells[cells["class"] == name], ["x0", "y0", "x1", "y1"], told, label=name)
            .opts(color=colour, line_alpha=0, tools=["hover"], hover_tooltips=tips)
            for name, colour in CLASSES if (cells["class"] == name).any()
        ]  # fmt: skip
        named = [(i + 0.5, s) for i, s in enumerate(reversed(cover.symbols))]
        ticks = [(i + 0.5, day) for i, day in session_ticks(cover.first)]
        return hv.Overlay(layers).opts(
            xlabel="", ylabel="", xticks=ticks, yticks=named[:: max(1, len(named) // 40)], show_grid=False,
            show_legend=False, title="", xlim=(0, len(cover.first)), ylim=(0, len(cover.symbols)), **ALIGNED,
        )  # fmt: skip

    @param.depends("symbol", "session", "interval")
    def candlesticks(self) -> hv.Overlay:
        """Open, high, low and close of every bar of the session."""
        bars = self.drawn()
        left, middle, right = spans(bars.ts, bars.interval_minutes)
        told = {"Bar end": exchange_time(bars.ts).strftime("%H:%M").to_numpy(), "Volume": bars.volume[:, 0],
                "Spread bps": relative_spread(bars)[:, 0] / BPS}  # fmt: skip
        drawn = candles(left, middle, right, _prices(bars), told, "time")
        return drawn.opts(
            hv.opts.Overlay(xlabel="", ylabel="price, USD", xlim=_across(bars), show_grid=True, **ALIGNED)
        )

    @param.depends("symbol", "session", "interval")
    def volume(self) -> hv.Rectangles:
        """Shares traded in every bar."""
        bars = self.drawn()
        left, _, right = spans(bars.ts, bars.interval_minutes)
        shares = bars.volume[:, 0]
        good = np.isfinite(shares)
        return hv.Rectangles(
            (left[good], np.zeros(good.sum()), right[good], shares[good]), ["time", "from", "to", "shares"]
        ).opts(color=BLUE, alpha=0.6, line_alpha=0, xlabel="", ylabel="shares", xlim=_across(bars),
               ylim=(0, float(np.max(shares[good], initial=1.0)) * 1.05), yformatter=COUNTS, toolbar=None,
               **ALIGNED)  # fmt: skip

    @param.depends("symbol", "session", "interval")
    def spread(self) -> hv.Curve:
        """The quoted spread in basis points of the middle; empty without quotes."""
        bars = self.drawn()
        wide = relative_spread(bars)[:, 0] / BPS
        top = float(np.nanmax(wide)) if np.isfinite(wide).any() else 1.0
        return hv.Curve((exchange_time(bars.ts), wide), "time", "spread").opts(
            color=ORANGE, interpolation="steps-post", xlabel="New York time", ylabel="bps", xlim=_across(bars),
            ylim=(0, 1.08 * top), tools=["hover"], toolbar=None, **ALIGNED,
        )  # fmt: skip

    @param.depends("symbol", "session")
    def sessions(self) -> hv.Overlay:
        """The symbol's sessions up to the last one of the panel, the chosen one marked."""
        daily = self.daily.select((self.symbol,))
        stop = int(np.searchsorted(daily.session, self.bars.session[-1], side="right"))
        daily = daily.rows(max(0, stop - SHOWN_SESSIONS), stop)
        x = np.arange(len(daily.ts), dtype=float)
        told = {"Session": np.array([iso_date(int(s)) for s in daily.session]), "Volume": daily.volume[:, 0]}
        drawn = candles(x - 0.35, x, x + 0.35, _prices(daily), told, "session")
        marked = vertical(float(np.searchsorted(daily.session, self.day)))
        return (drawn * marked).opts(
            hv.opts.Overlay(xlabel="session", ylabel="price, USD", xticks=session_ticks(daily.session),
                            xlim=(-1, len(x)), **ALIGNED)
        )  # fmt: skip

    # ---- tables -----------------------------------------------------------------------------------------------

    def coverage_legend(self) -> str:
        """What the colours of the map mean."""
        names = "".join(f'<span><span style="background:{colour};display:inline-block;width:11px;height:11px;'
                        f'margin-right:5px"></span>{name}</span>' for name, colour in CLASSES)  # fmt: skip
        pooled = len(self.coverage.first) > COLUMNS
        told = " Columns hold several sessions." if pooled else ""
        return f'{CARD}<div class="wb sub" style="display:flex;gap:18px;padding-left:68px">{names}{told}</div>'

    def gap_table(self) -> str:
        """The longest runs of missing bars."""
        if not self.gaps:
            return html.card("Gaps", "No bar is missing: every symbol has every bar that the calendar expects.")
        kind = KINDS.get(self.bars.interval_minutes, f"{self.bars.interval_minutes} min")
        rows = [(g.symbol, _when(g.start), _when(g.end), g.bars, g.kind) for g in self.gaps[:SHOWN_GAPS]]
        told = f"{self.coverage.missing:,} {kind} bars are missing, in {len(self.gaps):,} runs; the longest:"
        columns = ("symbol", "first missing bar ends", "last missing bar ends", "bars", "kind")
        return html.card("Gaps", told, html.table(columns, rows, left=(*columns[1:3], "kind")))

    def quarantine(self) -> str:
        """Rows that an import kept out of the store, with their reasons, and what it remarked."""
        if self.store is None:
            return html.card("Quarantine", "A panel has no quarantine; pass its Store to see what was kept out.")
        rows = quarantined(self.store)
        found = [f for r in import_reports(self.store) for f in r.findings]
        parts = [html.table(("reason", "rows", "meaning"), _reasons(rows), left=("meaning",)),
                 _examples(rows)] if len(rows) else []  # fmt: skip
        if found:
            parts.append(html.table(("remark", "symbol", "when", "what"),
                                    [(f.kind, f.symbol or "all", f.when, f.detail) for f in found[:SHOWN_GAPS]],
                                    left=("symbol", "when", "what"), caption="Remarks of the import"))  # fmt: skip
        told = f"{len(rows):,} rows were kept out of the store" if len(rows) else "No row was kept out of the store."
        return html.card("Quarantine", told, *parts)

    @param.depends("session")
    def overview(self) -> str:
        """The chosen session of every symbol."""
        o = session_overview(self.bars, self.day)
        rows = [
            (s, o.open[i], o.close[i], html.percent(o.change[i], 2), html.percent(o.gap[i], 2),
             html.percent((o.high[i] - o.low[i]) / o.open[i], 2), html.percent(o.volatility[i], 2),
             _shares(o.volume[i]), o.volume_ratio[i], html.bps(o.spread[i]).lstrip("+"),
             _of(int(o.found[i]), o.expected))
            for i, s in enumerate(o.symbols)
        ]  # fmt: skip
        columns = ("symbol", "open", "close", "open to close", "gap", "range", "realised vol.", "volume",
                   "volume / usual", "spread, bps", "bars")  # fmt: skip
        early = "; early close" if bool(self.coverage.early[self.coverage.first == self.day].any()) else ""
        return html.card(f"Session {self.session}", f"{o.expected} bars expected{early}; usual volume: the median of "
                         "the 20 sessions before", html.table(columns, rows))  # fmt: skip


def main_bars(store: Store) -> Bars:
    """The bars that decisions are made on; daily ones where the store has no others."""
    return store.serve(SESSION_MINUTES if store.intervals() == (SESSION_MINUTES,) else BAR_MINUTES)


def coverage_cells(cover: Coverage) -> pd.DataFrame:
    """A row per symbol and column of sessions: its rectangle, its class in CLASSES and what hovering tells."""
    d, n = cover.found.shape
    column, symbol = np.repeat(np.arange(d), n), np.tile(np.arange(n), d)
    share = cover.share.ravel()
    kind = np.select([share >= 1, share >= 0.9, share >= 0.5, share > 0], [c[0] for c in CLASSES[:4]], CLASSES[4][0])
    days = np.array([_days(int(a), int(b)) for a, b in zip(cover.first, cover.last)], object)
    return pd.DataFrame({
        "x0": column + 0.04, "x1": column + 0.96, "y0": n - 1 - symbol + 0.06, "y1": n - symbol - 0.06,
        "symbol": np.array(cover.symbols, object)[symbol], "days": days[column], "found": cover.found.ravel(),
        "expected": cover.expected[column], "share": share, "early": np.where(cover.early, "yes", "no")[column],
        "class": kind,
    })[lambda cells: cells["expected"] > 0]  # fmt: skip


def quarantined(store: Store) -> pd.DataFrame:
    """Every row that imports kept out of `store`: symbol, ts, prices, file, row, reason."""
    path = store.root / "quarantine.parquet"
    return pd.read_parquet(path) if path.is_file() else pd.DataFrame({"reason": []})


def import_reports(store: Store) -> list[ImportReport]:
    """What the imports into `store` told."""
    files = sorted((store.root / "imports").glob("*.json"))
    return [ImportReport.from_dict(json.loads(p.read_text(encoding="utf-8"))) for p in files]


# ---- cards ------------------------------------------------------------------------------------------------------


def store_card(store: Store) -> str:
    """What a store holds."""
    if not store.intervals():
        return html.card("Store", "empty", html.note("no bars yet: `workbench simulate` or `workbench import`"))
    bars = main_bars(store)
    lost = len(quarantined(store))
    kinds = ", ".join(KINDS[k] for k in store.intervals())
    return html.card(f"Store: {store.data_origin}", f"bars of {kinds}, stamped with their end", html.facts(
        _extent(bars) | {"rows in quarantine": lost, "content": store.digest[:16]}), _origin_note(store.data_origin),
    )  # fmt: skip


def bars_card(bars: Bars) -> str:
    """What a panel of bars holds."""
    kind = KINDS.get(bars.interval_minutes, f"{bars.interval_minutes} min")
    quotes = "with quotes" if bars.has_quotes else "without quotes"
    if not len(bars.ts):
        return html.card(f"Bars, {kind}", "no bar")
    return html.card(f"Bars, {kind}: {bars.data_origin}", f"{quotes}; stamped with their end, in UTC",
                     html.facts(_extent(bars)), _origin_note(bars.data_origin))  # fmt: skip


def _extent(bars: Bars) -> dict[str, Any]:
    cover = coverage(bars)
    expected = int(cover.expected.sum()) * len(bars.symbols)
    return {
        "symbols": len(bars.symbols), "sessions": len(cover.first), "first": iso_date(int(bars.session[0])),
        "last": iso_date(int(bars.session[-1])), "early closes": int(cover.early.sum()),
        "bars found": f"{int(cover.found.sum()):,} of {expected:,}",
    }  # fmt: skip


def _origin_note(origin: str) -> str:
    return html.note("Simulated market with planted alpha: no result from it says anything about real profit.") if (
        origin == "embedded") else ""  # fmt: skip


# ---- small things -----------------------------------------------------------------------------------------------


def _prices(bars: Bars) -> FloatArray:
    """(T, 4) open, high, low, close of the first symbol."""
    return np.column_stack([getattr(bars, name)[:, 0] for name in PRICE_FIELDS])


def _across(bars: Bars) -> tuple[Any, Any]:
    """Exchange time from the session's first open to its last bar, with a little room."""
    first, last = exchange_time(bars.ts[[0, -1]])
    length = pd.Timedelta(minutes=bars.interval_minutes)
    return first - 2 * length, last + length


def _days(first: int, last: int) -> str:
    return iso_date(first) if first == last else f"{iso_date(first)} to {iso_date(last)}"


def _when(ts: int) -> str:
    return f"{iso_date(session_of(ts))} {exchange_time(np.array([ts]))[0]:%H:%M}"


def _shares(volume: float) -> str:
    return html.DASH if np.isnan(volume) else f"{volume:,.0f}"


def _of(found: int, expected: int) -> str:
    return html.mark(f"{found} of {expected}", "dim" if found == expected else "bad")


def _reasons(rows: pd.DataFrame) -> list[tuple[str, int, str]]:
    counts = rows["reason"].value_counts()
    return [(str(reason), int(count), REASONS.get(str(reason), "")) for reason, count in counts.items()]


def _examples(rows: pd.DataFrame) -> str:
    """The first quarantined rows, as they came."""
    shown = rows.head(SHOWN_ROWS)
    columns = ("symbol", "bar end, UTC", "open", "high", "low", "close", "volume", "file", "row", "reason")
    lines = [
        (str(r.symbol), html.DASH if pd.isna(r.ts) else iso_time(pd.Timestamp(r.ts).value), r.open, r.high, r.low,
         r.close, _shares(r.volume), str(r.file), int(r.row), str(r.reason))
        for r in shown.itertuples()
    ]  # fmt: skip
    return html.table(columns, lines, left=("bar end, UTC", "file", "reason"), caption=f"The first {len(shown)}")
