"""Stage 2, features and labels: what a feature looks like, whether it lasts and says anything, and what a label saw."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import holoviews as hv
import numpy as np
import panel as pn
import param
from bokeh.palettes import interp_palette

from workbench.analysis.feature_study import (
    Distribution,
    Entry,
    FeatureCorrelation,
    FeatureIC,
    Stability,
    distribution,
    edges_for,
    feature_correlation,
    feature_ic,
    stability,
)
from workbench.analysis.label_paths import BarrierPath, barrier_path, entry_price
from workbench.config import LabelSettings
from workbench.core.arrays import FloatArray, IntArray
from workbench.core.bars import Bars
from workbench.core.calendar import iso_date
from workbench.core.errors import DataError
from workbench.core.horizon import DAY_HORIZONS, HORIZONS, INTRADAY_HORIZONS, horizon
from workbench.core.units import BPS
from workbench.features.catalogue import FeatureSpec, catalogue, daily_catalogue
from workbench.features.history import FeatureHistory
from workbench.training.labels import Labels
from workbench.widgets import html
from workbench.widgets.base import StageView
from workbench.widgets.candles import ALIGNED, exchange_time
from workbench.widgets.feature_cards import features_card, history_card, labels_card, mean_of
from workbench.widgets.label_path import path_figure
from workbench.widgets.style import BLUE, DIVERGING, GREY, INK, ORANGE

__all__ = ["FeaturesView", "features_card", "history_card", "labels_card"]

T = TypeVar("T")
ALL = "all symbols"
CROSS, POOLED = "cross-section", "pooled"
ENTRIES: tuple[tuple[Entry, str, str, str], ...] = (
    ("tradable", "value", BLUE, "tradable"),
    ("one bar later", "skip", ORANGE, "one bar later"),
    ("own close", "naive", GREY, "own close (not tradable)"),
)  # fmt: skip
"""Entry, field of Labels, colour and name in the legend."""
IC_TIPS = [("Horizon", "@label"), ("IC", "@IC{0.0000}"), ("95 %", "@low{0.0000} to @high{0.0000}")]
BEFORE, AFTER = 24, 4
"""Bars drawn before a decision and after its horizon."""
NO_LABELS = "pass labels=job.labels to see what the feature says about returns"
NO_BARS = "pass bars=job.bars to see the barriers on the path of the price"


class FeaturesView(StageView):
    """A :class:`FeatureHistory`: distribution, stability, IC by horizon, correlations, and barrier labels on the price.

    `labels` (horizon label -> Labels) give the IC, `bars` (5-minute, those of the history) the path; `minute` bars
    order two touches within one bar, as they do in training; `barrier_k` is what the labels were made with.
    """

    title = "Features and labels"
    turns = ("feature", "symbol", "kind", "path_symbol", "session", "bar", "horizon", "k")

    feature = param.Selector(label="Feature", doc="d_ features are of daily bars, known before the open")
    symbol = param.Selector(label="Symbols", doc="All symbols together, or one")
    kind = param.Selector(
        default=CROSS, objects=[CROSS, POOLED], label="IC",
        doc="Are the names of one time ranked well (cross-section), or does the feature move with returns over all "
        "rows, the market's direction included (pooled)?")  # fmt: skip
    path_symbol = param.Selector(label="Symbol of the path", doc="Whose price is drawn with its barriers")
    session = param.Selector(label="Session of the path", doc="The day of the decision")
    bar = param.Integer(36, bounds=(1, 78), label="Decision after bar", doc="The decision is made at its end")
    horizon = param.Selector(
        default="30m", objects=[h.label for h in INTRADAY_HORIZONS], label="Horizon", doc="Length of the label"
    )
    k = param.Number(1.0, bounds=(0.25, 3.0), step=0.05, label="Barriers at k sigma",
                     doc="Distance of each barrier, in deviations of the return over the horizon")  # fmt: skip
    axis = param.Selector(default="5-minute", objects=["5-minute", "daily"], precedence=-1, doc="Bars of the feature")

    def __init__(
        self, history: FeatureHistory, *, labels: Mapping[str, Labels] | None = None, bars: Bars | None = None,
        minute: Bars | None = None, barrier_k: float | None = None, **params: Any,
    ) -> None:  # fmt: skip
        super().__init__(**params)
        self.history, self.labels, self.bars, self.minute = history, labels or {}, bars, minute
        self.trained_k = LabelSettings().barrier_k if barrier_k is None else barrier_k
        self._kept: dict[Any, Any] = {}
        _check(history, self.labels, bars)
        self._fill_choices()

    def _fill_choices(self) -> None:
        h = self.history
        days = [iso_date(int(s)) for s in h.intraday_session][::-1]
        for name, objects in {
            "feature": [*h.names, *h.daily_names], "symbol": [ALL, *h.symbols], "path_symbol": list(h.symbols),
            "session": days,
        }.items():  # fmt: skip
            self.param[name].objects = objects
            setattr(self, name, objects[0] if objects else None)
        self.k = self.trained_k
        self.param.watch(self._follow, ["feature", "session"])
        self._follow()

    def _follow(self, *_: Any) -> None:
        """The axis of the feature, and as many bars as the session has."""
        self.axis = "daily" if self.feature in self.history.daily_names else "5-minute"
        first, stop = self._rows()
        if stop > first:
            self.param.bar.bounds = (1, stop - first)
            self.bar = min(self.bar, stop - first)

    # ---- what the figures ask for -----------------------------------------------------------------------------

    def keep(self, what: Any, make: Callable[[], T]) -> T:
        """`make()`, the first time that `what` is asked for."""
        if what not in self._kept:
            self._kept[what] = make()
        made: T = self._kept[what]
        return made

    def values(self) -> tuple[FloatArray, IntArray, IntArray]:
        """(values (T, N), known at (T,), session (T,)) of the chosen feature and symbols; a daily one is known before
        its session opens."""
        h = self.history
        if self.axis == "daily":
            panel, session = h.daily_values[:, :, h.daily_names.index(self.feature)], h.daily_session
            when = session
        else:
            panel, when, session = h.values[:, :, h.names.index(self.feature)], h.ts, h.session
        return self._chosen(panel), when, session

    def _chosen(self, panel: FloatArray) -> FloatArray:
        return panel if self.symbol == ALL else panel[:, [self.history.symbols.index(self.symbol)]]

    def spec(self) -> FeatureSpec | None:
        """The catalogue's line of the chosen feature; None for a user's own."""
        every = (*catalogue(True), *daily_catalogue())
        return next((s for s in every if s.name == self.feature), None)

    def distributions(self) -> tuple[Distribution, Distribution]:
        """Of the chosen symbols, and of all, on the same edges."""
        spec = self.spec()
        bounds = (spec.low, spec.high) if spec else None
        every = self._every()
        edges = self.keep(("edges", self.feature), lambda: edges_for(every))
        pooled = self.keep(("all", self.feature), lambda: distribution(every, edges, bounds))
        chosen = pooled if self.symbol == ALL else distribution(self.values()[0], edges, bounds)
        return chosen, pooled

    def _every(self) -> FloatArray:
        h = self.history
        if self.axis == "daily":
            return h.daily_values[:, :, h.daily_names.index(self.feature)]
        return h.values[:, :, h.names.index(self.feature)]

    def over_time(self) -> Stability:
        """Quantiles of the chosen feature and symbols by session."""
        values, _, session = self.values()
        return self.keep(("stability", self.feature, self.symbol), lambda: stability(values, session))

    def coefficients(self) -> list[FeatureIC]:
        """IC of the chosen feature at each horizon of its kind that has labels."""
        of = DAY_HORIZONS if self.axis == "daily" else INTRADAY_HORIZONS
        return [self._coefficient(h.label) for h in of if h.label in self.labels]

    def _coefficient(self, label: str) -> FeatureIC:
        values, when, session = self.values()
        made, kind = self.labels[label], "pooled" if self.kind == POOLED else "cross_section"
        returns = {entry: self._chosen(getattr(made, name)) for entry, name, _, _ in ENTRIES}
        sigma = self._chosen(made.sigma_h)
        return self.keep(
            ("ic", self.feature, self.symbol, kind, label),
            lambda: feature_ic(values, returns, sigma, when, session, horizon(label), kind=kind),  # type: ignore[arg-type]
        )

    def correlation(self) -> FeatureCorrelation:
        """Correlations of all features of the chosen feature's kind."""
        h = self.history
        values, names = (h.daily_values, h.daily_names) if self.axis == "daily" else (h.values, h.names)
        return self.keep(("correlation", self.axis), lambda: feature_correlation(values, names))

    def _rows(self) -> tuple[int, int]:
        """First and one past the last row of the chosen session."""
        day = int(np.datetime64(self.session, "D").astype(np.int64)) if self.session else -1
        first, stop = np.searchsorted(self.history.session, [day, day + 1])
        return int(first), int(stop)

    def decision_row(self) -> int:
        """Row of the bar after which the decision is made."""
        return self._rows()[0] + self.bar - 1

    def path(self) -> BarrierPath | None:
        """The chosen label on its path; None where the horizon would pass the close, or the bars are not known."""
        row, stop = self.decision_row(), self._rows()[1]
        h = horizon(self.horizon)
        if self.bars is None or row + h.bars >= stop:
            return None
        column = self.bars.symbols.index(self.path_symbol)
        sigma = float(self.keep(("sigma", h.label), lambda: self.history.sigma_h(h))[row, column])
        entry = entry_price(self.bars, column, row)
        return barrier_path(self.bars, column, (row + 1, row + 1 + h.bars), entry, self.k * sigma, self.minute)

    # ---- what is shown ----------------------------------------------------------------------------------------

    def heading(self) -> str:
        return history_card(self.history)

    def body(self) -> pn.viewable.Viewable:
        parts: list[Any] = [
            self.text(self.about),
            self.row(
                self.plot(self.histogram, "Distribution", height=230),
                self.plot(self.ic, "Information coefficient by horizon, with 95 % interval by days", height=230)
                if self.labels else _note("IC", NO_LABELS),
            ),
            self.plot(self.quantiles, "Stability: 5, 25, 50, 75 and 95 % quantiles of each session", height=210),
            self.plot(self.correlations, "Correlations, alike features side by side", height=780, dynamic=False),
            self.text(self.alike),
            *([self.plot(self.barriers, "The label of one decision, on the path of the price", height=330),
               self.text(self.outcome)] if self.bars is not None else [_note("Barrier labels", NO_BARS)]),
        ]  # fmt: skip
        return pn.Column(*parts, sizing_mode="stretch_width")

    @param.depends("feature", "symbol")
    def about(self) -> str:
        """What the feature is, and its distribution in numbers."""
        spec, (d, _), s = self.spec(), self.distributions(), self.over_time()
        known = html.percent(d.known / d.rows if d.rows else np.nan)
        told = spec.description if spec else "a feature of your own"
        when = "before its session opens" if self.axis == "daily" else "at the end of its bar"
        return html.card(self.feature, f"{told}; known {when}", html.facts({
            "known": known, "mean": d.mean, "deviation": d.sd, "5 %": d.quantiles[0], "median": d.quantiles[2],
            "95 %": d.quantiles[4], "skew": d.skew, "excess kurtosis": d.kurtosis,
            "at its bounds": html.percent(d.at_bounds), "drift of the median, in quartile ranges": s.drift,
        }))  # fmt: skip

    @param.depends("feature", "symbol")
    def histogram(self) -> hv.Overlay:
        """Density of the chosen symbols, and the outline of all."""
        chosen, every = self.distributions()
        bars = hv.Histogram((chosen.edges, chosen.density), kdims="value", vdims="density", label="chosen symbols")
        line = hv.Curve((every.edges[:-1], every.density), "value", "density", label=f"{ALL}, outline")
        return (bars * line).opts(
            hv.opts.Histogram(alpha=0.6, tools=["hover"], framewise=True),
            hv.opts.Curve(color=INK, line_width=1.2, interpolation="steps-post", framewise=True),
            hv.opts.Overlay(xlabel="value (no unit)", ylabel="density", legend_position="top_right", framewise=True),
        )

    @param.depends("feature", "symbol")
    def quantiles(self) -> hv.Overlay:
        """The feature by session: bands of the middle half and of nine tenths, and the median."""
        s = self.over_time()
        day, q = s.session.astype("datetime64[D]").astype("datetime64[ns]"), s.quantiles.T
        follow: dict[str, Any] = {"line_alpha": 0, "framewise": True}
        outer = hv.Area((day, q[0], q[4]), "session", ["low", "high"], label="5 to 95 %").opts(alpha=0.16, **follow)
        inner = hv.Area((day, q[1], q[3]), "session", ["low", "high"], label="25 to 75 %").opts(alpha=0.3, **follow)
        middle = hv.Curve((day, q[2]), "session", "value", label="median").opts(tools=["hover"], framewise=True)
        return (outer * inner * middle).opts(hv.opts.Overlay(xlabel="", ylabel="value (no unit)", **ALIGNED))

    @param.depends("feature", "symbol", "kind")
    def ic(self) -> hv.Overlay:
        """IC by horizon for each entry; the interval belongs to the tradable one."""
        found = self.coefficients()
        at = np.array([f.horizon.order for f in found], float)
        layers: list[Any] = [hv.HLine(0.0)]
        for i, (entry, _, colour, told) in enumerate(ENTRIES):
            values = [f.of[entry] for f in found]
            x, y = at + 0.16 * (i - 1), np.array([e.value for e in values], float)
            low, high = (np.array([getattr(e, side) for e in values], float) for side in ("low", "high"))
            named = np.array([f.horizon.label for f in found], object)
            dots = hv.Scatter((x, y, low, high, named), "horizon", ["IC", "low", "high", "label"], label=told)
            main = entry == "tradable"
            if main:
                bars = hv.ErrorBars((x, y, y - low, high - y), "horizon", ["IC", "below", "above"])
                layers.append(bars.opts(line_color=colour, line_width=1.4))
            marker, size = ("circle", 8) if main else ("diamond", 6)
            layers.append(dots.opts(color=colour, marker=marker, size=size, framewise=True, tools=["hover"],
                                    hover_tooltips=IC_TIPS))  # fmt: skip
        ticks = [(h.order, h.label) for h in HORIZONS]
        return hv.Overlay(layers).opts(hv.opts.Overlay(
            xlabel="horizon", ylabel="IC", xticks=ticks, xlim=(-0.6, len(HORIZONS) - 0.4), legend_position="bottom",
            framewise=True))  # fmt: skip

    @param.depends("axis")
    def correlations(self) -> hv.HeatMap:
        """All features of one kind against one another."""
        c = self.correlation()
        f = len(c.names)
        x, y = np.tile(np.array(c.names, object), f), np.repeat(np.array(c.names, object), f)
        return hv.HeatMap((x, y, c.matrix.ravel()), ["feature", "other"], "correlation").opts(
            cmap=list(interp_palette(DIVERGING, 61)), clim=(-1, 1), tools=["hover"], xrotation=90, xlabel="", ylabel="",
            invert_yaxis=True, show_grid=False, responsive=True, height=760,
        )  # fmt: skip

    @param.depends("feature")
    def alike(self) -> str:
        """The features that say nearly the same as the chosen one."""
        c = self.correlation()
        near = c.nearest(self.feature, 8)
        told = f"over {c.rows:,} rows; a model gains little from two features that are nearly one"
        table = html.table([n for n, _ in near], [[f"{r:+.2f}" for _, r in near]]) if near else ""
        return html.card(f"Most like {self.feature}", told, table)

    @param.depends("path_symbol", "session", "bar", "horizon", "k")
    def barriers(self) -> hv.Overlay:
        """Candles around the decision, entry, both barriers, and what was touched first."""
        assert self.bars is not None, "the body leaves this figure out without bars"
        row, (first, stop), h = self.decision_row(), self._rows(), horizon(self.horizon)
        around = self.bars.rows(max(first, row - BEFORE), min(stop, row + 1 + h.bars + AFTER))
        return path_figure(around.select((self.path_symbol,)), int(self.bars.ts[row]), h.minutes, self.path())

    @param.depends("path_symbol", "session", "bar", "horizon", "k")
    def outcome(self) -> str:
        """The label in numbers, and how often each outcome comes."""
        assert self.bars is not None, "the body leaves this table out without bars"
        row, path = self.decision_row(), self.path()
        decided = exchange_time(self.bars.ts[[row]])[0]
        title = f"{self.path_symbol}, decision {decided:%Y-%m-%d %H:%M} New York, horizon {self.horizon}"
        if path is None:
            return html.card(title, "no label: the horizon would pass the close, so every model abstains")
        entered = "mid after the decision" if self.bars.mid is not None else "open of the next bar"
        when = html.DASH if path.touch_ts < 0 else f"{exchange_time(np.array([path.touch_ts]))[0]:%H:%M}"
        facts: dict[str, Any] = {
            "entry": f"{path.entry:,.2f} ({entered})", "upper": f"{path.upper:,.2f}", "lower": f"{path.lower:,.2f}",
            "half width, bps": (path.upper / path.entry - 1) / BPS, "touched first": path.outcome, "by": when,
        }  # fmt: skip
        return html.card(title, WHAT_IT_IS, html.facts(facts | self._label_facts(row)), self._disagreement(row, path))

    def _label_facts(self, row: int) -> dict[str, Any]:
        """What training got for this row, and the base rates of its horizon."""
        made = self.labels.get(self.horizon)
        if made is None:
            return {}
        n = made.symbols.index(self.path_symbol)
        return {
            "return, bps": html.bps(made.value[row, n]), "trained: peak": made.peak[row, n],
            "trained: valley": made.valley[row, n], "peak in all rows": html.percent(mean_of(made.peak)),
            "valley in all rows": html.percent(mean_of(made.valley)),
        }  # fmt: skip

    def _disagreement(self, row: int, path: BarrierPath) -> str:
        """Why the path says something else than the label that was trained on."""
        made = self.labels.get(self.horizon)
        if made is None:
            return ""
        n = made.symbols.index(self.path_symbol)
        same = np.array_equal([path.peak, path.valley], [made.peak[row, n], made.valley[row, n]], equal_nan=True)
        if same:
            return ""
        if not np.isclose(self.k, self.trained_k):
            return html.note(f"Trained with barriers at {self.trained_k:g} sigma; this is what {self.k:g} would give.")
        return html.note("The label was decided by 1-minute bars; pass minute=job.minute to see them decide here too.")


WHAT_IT_IS = (
    "peak: the lower barrier is touched first (a fall comes first); valley: the upper. The shaded part was not known "
    "at the decision: it makes the label, never a feature."
)


def _check(history: FeatureHistory, labels: Mapping[str, Labels], bars: Bars | None) -> None:
    """DataError unless labels and bars belong to `history`."""
    if bars is not None and not (bars.symbols == history.symbols and np.array_equal(bars.ts, history.ts)):
        raise DataError(f"{len(bars.ts)} bars of {len(bars.symbols)} symbols do not belong to a history of "
                        f"{len(history)} bars of {len(history.symbols)}; pass the bars it was built from")  # fmt: skip
    for label, made in labels.items():
        want = len(history.daily_session) if made.horizon.is_day else len(history)
        if len(made.known_at) != want or made.symbols != history.symbols:
            raise DataError(f"the {label} labels have {len(made.known_at)} rows, the history {want}; make both from "
                            "the same bars")  # fmt: skip


def _note(title: str, told: str) -> pn.viewable.Viewable:
    return pn.pane.HTML(html.card(title, "", html.note(told)), sizing_mode="stretch_width")
