"""What execution cost: one or several sessions, by whatever may explain it, and what the cost model makes of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import holoviews as hv
import numpy as np
import panel as pn
import param
from bokeh.models import TeeHead

from workbench.analysis import tca
from workbench.analysis.cost_study import FittedWeights, cost_calibration, fit_weights
from workbench.core.arrays import FloatArray
from workbench.engine.session_record import Executions, SessionRecord, together
from workbench.widgets import html, style
from workbench.widgets.base import StageView

GROUPS: dict[str, Callable[[tca.SentOrders, tca.Fills], tuple[tca.CostGroup, ...]]] = {
    "symbol": tca.by_symbol, "hour": tca.by_hour, "policy": tca.by_policy, "order value": tca.by_size,
    "system": tca.by_system,
}  # fmt: skip
COSTS = {
    "slippage against arrival": "arrival_bps", "slippage against the decision": "decision_bps",
    "delay": "delay_bps", "spread paid": "spread_bps", "impact": "impact_bps", "commission": "commission_bps",
}  # fmt: skip
SHORT = {
    "arrival_bps": "arrival", "decision_bps": "decision", "delay_bps": "delay", "spread_bps": "spread",
    "impact_bps": "impact", "commission_bps": "commission",
}  # fmt: skip
PARTS = {
    "delay": style.GREY, "spread paid": style.ORANGE, "impact": style.RED, "commission": style.PURPLE,
}  # fmt: skip
WEIGHTS = ("k1 · spread", "k2 · volatility", "k3 · impact")
Z95 = 1.96
WIDE = 1400
"""Pixels to which the analysis may grow."""
BINS = 30
NOTHING = "Nothing was filled, so there is no cost of execution to analyse."
NO_MIDS = (
    "The mid as orders left and as they filled is not in this journal (it is older than these records, or no sound "
    "quote was known), so slippage against arrival, spread paid and impact are not told."
)


class ExecutionView(StageView):
    """Transaction-cost analysis over one or several :class:`SessionRecord` of one journal, oldest first.

    `show` replaces them by newer ones.
    """

    title: ClassVar[str] = "What execution cost"
    turns: ClassVar[tuple[str, ...]] = ("group", "cost")

    group = param.Selector(default="symbol", objects=list(GROUPS), label="Costs by", doc="How orders are put together")
    cost = param.Selector(default="arrival_bps", objects=COSTS, label="Cost", doc="Which cost the figures show")
    version = param.Integer(0, precedence=-1, doc="How often other sessions were shown")

    def __init__(self, records: SessionRecord | Sequence[SessionRecord], **params: Any) -> None:
        self._take([records] if isinstance(records, SessionRecord) else records)
        super().__init__(**params)
        self._offer()

    def show(self, records: Sequence[SessionRecord]) -> None:
        """Show these sessions; the controls stay as they are where they can."""
        self._take(records)
        self._offer()
        self.version += 1

    def _take(self, records: Sequence[SessionRecord]) -> None:
        self.executions: Executions = together(records)
        self.fit: FittedWeights = fit_weights(tca.cost_observations(*self.tables), self.executions.costs)

    def _offer(self) -> None:
        """Offer the costs that these sessions can tell."""
        known = self.known_costs()
        if self.cost not in known.values():
            self.param.cost.objects = COSTS
            self.cost = next(iter(known.values()))
        self.param.cost.objects = known

    @property
    def tables(self) -> tuple[tca.SentOrders, tca.Fills]:
        """The orders and fills that are shown."""
        return self.executions.sent, self.executions.fills

    def heading(self) -> str:
        return html.card(self.title, "Basis points of the traded value; positive is paid, for buys and sells alike.")

    def body(self) -> pn.viewable.Viewable:
        def drawn(figure: Callable[[], Any], label: str, height: int) -> pn.viewable.Viewable:
            return self.plot(figure, label, height=height, dynamic=False)

        self._costs = (
            self.row(drawn(self.anatomy, "Parts of the cost with 95 % intervals", 250),
                     drawn(self.distribution, "Orders by the chosen cost; dashed: mean", 250)),
            drawn(self.cost_bars, "The chosen cost by group with 95 % intervals", 250),
            self.text(self.cost_html),
        )  # fmt: skip
        self._rates = (drawn(self.rates, "Shares that filled, and orders that ended unfilled, by group", 220),)
        self._model = (
            self.row(drawn(self.calibration, "Predicted and paid: slippage against arrival", 280),
                     drawn(self.weights, "k1, k2, k3: defaults, and what these fills suggest", 280)),
            self.text(self.fit_html),
        )  # fmt: skip
        self._guards = (self.row(drawn(self.guards, "Orders that guards held back", 200), self.text(self.guard_html)),)
        self._place = pn.Column(self.text(self.summary_html), sizing_mode="stretch_width")
        self._arrange()
        self.param.watch(lambda _: self._arrange(), "version")
        return self._place

    def _arrange(self) -> None:
        """Show the figures of which these sessions have anything: no empty holes."""
        sent, fills = self.tables
        there = ((self._costs, len(fills)), (self._rates, len(sent)), (self._model, len(fills)),
                 (self._guards, len(self.executions.held_back)))  # fmt: skip
        wanted = [self._place[0], *(pane for panes, count in there if count for pane in panes)]
        if list(self._place) != wanted:
            self._place[:] = wanted

    def __panel__(self) -> pn.viewable.Viewable:
        made = super().__panel__()
        made.max_width = WIDE
        return made

    # ---- in all -----------------------------------------------------------------------------------------------

    @param.depends("version")
    def summary_html(self) -> str:
        """Everything together in numbers, and what cannot be told."""
        sent, fills = self.tables
        every = tca.overall(sent, fills)
        counts = {"sessions": len(self.executions.sessions), "orders": len(sent), "fills": len(fills),
                  "traded USD": f"{every.value:,.0f}"}  # fmt: skip
        rates = {"filled": html.percent(every.fill_rate), "ended unfilled": html.percent(every.cancel_rate),
                 "changes per order": _rate(every)}  # fmt: skip
        costs = {f"{label} (bps)": mean_text(every.costs[name]) for label, name in COSTS.items() if len(fills)}
        body = html.facts({**counts, **rates}) + html.facts(costs)
        if not len(fills):
            body += html.note(NOTHING)
        elif not every.costs["arrival_bps"].fills:
            body += html.note(NO_MIDS)
        return block(body)

    @param.depends("version")
    def anatomy(self) -> Any:
        """What the traded value lost from the decision to the fill, part by part."""
        every = tca.overall(*self.tables).costs
        known = [(label, every[COSTS[label]]) for label in PARTS if every[COSTS[label]].fills]
        if not known:
            return _nothing(NOTHING)
        rows = [(label, m.mean, m.fills, m.unknown, PARTS[label]) for label, m in known]
        bars = hv.Bars(rows, "part", ["bps", "fills", "unknown", "colour"]).opts(bar_width=_width(len(rows)))
        return (bars.opts(color="colour", tools=["hover"]) * _intervals(known, "part", "bps") * hv.HLine(0.0)).opts(
            xlabel="", ylabel="basis points", show_legend=False
        )

    @param.depends("version", "cost")
    def distribution(self) -> Any:
        """How many orders paid how much."""
        paid = self.paid()
        if not len(paid):
            return _nothing(f"Of no order the {self.cost_label} is known.")
        count, edges = np.histogram(paid, bins=BINS)
        told = hv.Histogram((edges, count)).opts(tools=["hover"], xlabel=self._axis, ylabel="orders")
        mean = hv.VLine(float(paid.mean())).opts(color=style.ORANGE, line_dash="dashed", line_width=1.5)
        return told * hv.VLine(0.0) * mean

    def paid(self) -> FloatArray:
        """(K,) the chosen cost of every order of which it is known, basis points."""
        paid = tca.order_costs(*self.tables, self.cost)
        return paid[np.isfinite(paid)]

    # ---- by group ---------------------------------------------------------------------------------------------

    def groups(self) -> tuple[tca.CostGroup, ...]:
        """The groups of orders that are shown."""
        return GROUPS[self.group](*self.tables)

    def known_costs(self) -> dict[str, str]:
        """The costs that these sessions can tell: label -> name; all where nothing was filled."""
        every = tca.overall(*self.tables).costs
        return {label: name for label, name in COSTS.items() if every[name].fills} or COSTS

    @property
    def cost_label(self) -> str:
        """The chosen cost in words."""
        return next(label for label, name in COSTS.items() if name == self.cost)

    @property
    def _axis(self) -> str:
        return f"{self.cost_label} (bps)"

    @param.depends("version", "group", "cost")
    def cost_bars(self) -> Any:
        """The chosen cost by group, with 1.96 standard errors where known."""
        known = [(g.key, g.costs[self.cost]) for g in self.groups() if g.costs[self.cost].fills]
        if not known:
            return _nothing(NOTHING)
        bars = hv.Bars([(key, m.mean, m.fills) for key, m in known], self.group, [self._axis, "fills"])
        crowded = {"xrotation": 45} if len(known) > 16 else {}
        bars = bars.opts(tools=["hover"], bar_width=_width(len(known)), **crowded)
        return bars * _intervals(known, self.group, self._axis) * hv.HLine(0.0)

    @param.depends("version", "group")
    def cost_html(self) -> str:
        """Every cost of every group; the last line is all together."""
        return html.card("", _caption(self.known_costs(), self.group), self.table_by(self.group))

    def table_by(self, group: str) -> str:
        """Costs and rates of every group of GROUPS[group], and of all."""
        names, rates = list(self.known_costs().values()), ["filled", "unfilled", "changes", "gaps"]
        columns = [group, "orders", "fills", "traded USD", *(SHORT[name] for name in names), *rates]
        lines = [*GROUPS[group](*self.tables), tca.overall(*self.tables)]
        return html.table(columns, [_line(g, names) for g in lines])

    @param.depends("version", "group")
    def rates(self) -> Any:
        """Fill and cancel rates by group, percent."""
        rows = [(g.key, 100 * g.fill_rate, 100 * g.cancel_rate) for g in self.groups() if g.orders]
        if not rows:
            return _nothing("No order was sent.")
        dots = [
            hv.Scatter([(row[0], row[k]) for row in rows], self.group, "percent", label=label).opts(
                color=colour, marker=marker, size=9, tools=["hover"]
            )
            for k, label, colour, marker in (
                (1, "shares filled", style.GREEN, "circle"), (2, "orders ended unfilled", style.ORANGE, "diamond"),
            )
        ]  # fmt: skip
        crowded = {"xrotation": 45} if len(rows) > 16 else {}
        return hv.Overlay(dots).opts(ylim=(-6, 106), ylabel="percent", legend_position="right", height=220, **crowded)

    # ---- the cost model ---------------------------------------------------------------------------------------

    @param.depends("version")
    def calibration(self) -> Any:
        """Groups of orders: what the model predicted at the decision against what was paid."""
        c = cost_calibration(*self.tables)
        if not len(c.predicted):
            return _nothing("Of no order both the predicted cost and the slippage against arrival are known.")
        top = float(max(c.predicted.max(), c.paid.max(), 0.0))
        line = hv.Curve([(0.0, 0.0), (top, top)], "predicted", "paid").opts(color=style.INK, line_dash="dashed")
        dots = hv.Scatter((c.predicted, c.paid, c.orders), "predicted", ["paid", "orders"])
        rows = [(x, y, Z95 * e) for x, y, e in zip(c.predicted, c.paid, c.se, strict=True) if e == e]
        bars = _bars(rows, "predicted", "paid")
        return (line * hv.HLine(0.0) * bars * dots.opts(size=9, tools=["hover"])).opts(
            xlabel="predicted (bps)", ylabel="paid (bps)", padding=0.12
        )

    @param.depends("version")
    def weights(self) -> Any:
        """The weights of the cost model: default, and fitted with its 95 % interval."""
        f, place = self.fit, (2, 1, 0)
        layers: list[Any] = [hv.Scatter((f.default, place), "weight", "row", label="default").opts(
            marker="square", color=style.GREY, size=10, tools=["hover"])]  # fmt: skip
        if f.rows:
            ends = [(k - Z95 * e, y, k + Z95 * e, y) for k, e, y in zip(f.fitted, f.se, place, strict=True) if e == e]
            layers.append(hv.Segments(ends, ["a", "row", "b", "row2"]).opts(color=style.ORANGE, line_width=2))
            layers.append(hv.Scatter((f.fitted, place), "weight", "row", label="from these fills").opts(
                marker="diamond", color=style.ORANGE, size=15, tools=["hover"]))  # fmt: skip
        return hv.Overlay(layers).opts(
            title="", ylim=(-0.6, 2.6), xlabel="weight", ylabel="", legend_position="top", height=280,
            yticks=list(zip(place, WEIGHTS, strict=True)),
        )  # fmt: skip

    @param.depends("version")
    def fit_html(self) -> str:
        """The same in numbers, how far it was shrunk, and what the fit lacks."""
        f = self.fit
        rows = [
            (name, default, fitted if f.rows else html.DASH, _error(fitted, se) if f.rows else html.DASH)
            for name, default, fitted, se in zip(WEIGHTS, f.default, f.fitted, f.se, strict=True)
        ]
        told = html.table(("weight", "default", "from these fills", "standard error"), rows)
        return block(told + html.note(_fit_in_words(f)))

    # ---- guards -----------------------------------------------------------------------------------------------

    @param.depends("version")
    def guards(self) -> Any:
        """Rules and how many orders each held back."""
        held = list(self.executions.held_back.items())
        if not held:
            return _nothing("No guard held an order back.")
        return hv.Bars(held[::-1], "guard", "orders held back").opts(
            invert_axes=True, color=style.ORANGE, xlabel="", tools=["hover"], height=200
        )

    @param.depends("version")
    def guard_html(self) -> str:
        """The same as a table."""
        held = list(self.executions.held_back.items())
        return block(html.table(["guard", "orders dropped or reduced"], held)) if held else ""


def mean_text(cost: tca.MeanCost) -> str:
    """A mean and its standard error; unknown is a dash."""
    if cost.mean != cost.mean:
        return html.DASH
    return f"{cost.mean:+.2f}" + (f" ± {cost.se:.2f}" if cost.se == cost.se else "")


def block(body: str) -> str:
    """HTML in the style of a card, without its title."""
    return f'{style.CARD}<div class="wb">{body}</div>'


def _line(g: tca.CostGroup, names: Sequence[str]) -> list[Any]:
    costs = [mean_text(g.costs[name]) for name in names]
    rates = [html.percent(g.fill_rate), html.percent(g.cancel_rate), _rate(g)]
    return [g.key, g.orders, g.fills, f"{g.value:,.0f}", *costs, *rates, max(g.costs[n].unknown for n in names)]


def _rate(g: tca.CostGroup) -> str:
    return f"{g.replacements:.2f}" if g.orders else html.DASH


def _caption(known: dict[str, str], group: str) -> str:
    told = (
        "Basis points, mean by value ± its standard error: slippage against arrival and against the decision, and the "
        "other costs. An order is one observation, and one order has no error. Unfilled: orders that ended with shares "
        "unfilled. Changes: of the limit, per order. Gaps: fills of which one of these costs is not known."
    )
    if group == "hour":
        told += " Hours of New York: an order counts in every hour that filled it, and one without a fill in none."
    lacking = [label for label in COSTS if label not in known]
    return told + (f" Not told: {', '.join(lacking)}." if lacking else "")


def _error(fitted: float, se: float) -> str:
    if fitted == 0:
        return "at its bound"
    return html.DASH if se != se else f"{se:.3f}"


def _fit_in_words(f: FittedWeights) -> str:
    lacking = ", ".join(f"{name} ({count})" for name, count in f.lacking.items())
    lacks = f" Orders that lack what it needs: {lacking}." if lacking else ""
    if not f.rows:
        return f"None of the {f.orders} filled orders tells everything that a fit of k1 to k3 needs.{lacks}"
    return (
        f"A fit to {f.rows} of {f.orders} filled orders, shrunk to the defaults, which weigh {f.prior:.0%} in it, and "
        f"never below 0. It changes nothing that trades: the bundle keeps its own weights.{lacks}"
    )


def _intervals(known: Sequence[tuple[str, tca.MeanCost]], key: str, axis: str) -> hv.ErrorBars:
    rows = [(name, m.mean, Z95 * m.se) for name, m in known if m.se == m.se]
    return _bars(rows, key, axis)


def _bars(rows: Sequence[tuple[Any, float, float]], key: str, axis: str) -> hv.ErrorBars:
    """Intervals in a grey that reads on any page."""
    head = TeeHead(line_color=style.INK, size=8)
    return hv.ErrorBars(rows, key, [axis, "95 %"]).opts(upper_head=head, lower_head=head.clone())


def _width(count: int) -> float:
    """Part of its place that a bar fills: a few bars are not blocks."""
    return min(0.8, 0.12 * count)


def _nothing(message: str) -> pn.viewable.Viewable:
    return pn.pane.HTML(block(html.note(message)), sizing_mode="stretch_width")
