"""Stages 5 and 6 to look at and to turn: what costs leave of the forecasts, and which horizons are listened to."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, ClassVar

import holoviews as hv
import numpy as np
import panel as pn
import param

from workbench.analysis import cost_study as study
from workbench.analysis.what_if import Moment
from workbench.config import ArbitrationSettings
from workbench.core.arrays import FloatArray, IntArray
from workbench.core.errors import ConfigError
from workbench.core.horizon import HORIZONS, horizon
from workbench.core.types import TIME_BUCKETS, Costs, OofForecasts
from workbench.core.units import BPS
from workbench.decision.arbitration import CostArbitrator
from workbench.decision.blending import HorizonBlender
from workbench.decision.costs import CostModel
from workbench.engine.recall import Recall
from workbench.widgets import html, style
from workbench.widgets.base import StageView

MOMENTS = 300
"""Decisions looked at, evenly spaced over the backtest: enough for the means, few enough to follow a slider."""
HALF_HOUR = 30
PART_COLOURS = dict(zip(study.PARTS, (style.ORANGE, style.PURPLE, style.RED, style.GREY), strict=True))
ONE_WAY_GRID = np.geomspace(0.05, 50.0, 90) * BPS
COLOURS = {h.label: c for h, c in zip(HORIZONS, style.HORIZON_COLOURS, strict=True)}


# cards ---------------------------------------------------------------------------------------------------------------


def costs_card(model: CostModel) -> str:
    """What the cost model learned, beside its defaults."""
    s = model.settings
    sub = (
        f"fitted on {model.rows_:,} probe orders, shrunk to the defaults" if model.rows_ else "not fitted: the defaults"
    )
    rows = [
        ("k1 · spread", model.k1_, s.k1, "half the spread is 0.5"),
        ("k2 · volatility of the execution window", model.k2_, s.k2, f"over {s.execution_minutes} minutes"),
        ("k3 · impact", model.k3_, s.k3, f"times participation ^ {s.impact_exponent:g}"),
    ]
    body = [
        html.table(("weight", "in use", "default", "meaning"), rows, left=("meaning",)),
        html.facts(
            {
                "reference trade": html.percent(model.reference_weight_, 2) + " of NAV",
                "crowding": s.crowding,
                "spread multiplier": s.spread_multiplier,
                "commission plan": s.commission_plan,
            }
        ),
    ]
    if model.bucket_multiplier_ is not None:
        body.append(html.table(TIME_BUCKETS, [model.bucket_multiplier_], caption="spread multiplier by time of day"))
    return html.card("CostModel · one-way cost of a trade", sub, *body)


def arbitrator_card(arbitrator: CostArbitrator) -> str:
    """How horizons are chosen, and the cost model behind it."""
    s = arbitrator.settings
    way = (
        f"the best horizon weighs {s.winner_share:.0%}, its neighbour of the same sign {1 - s.winner_share:.0%}"
        if s.method == "winner"
        else f"survivors weigh exp({s.beta:g} · score / z_ref)"
    )
    facts = {"method": s.method, "z_ref": arbitrator.z_ref_, "beta": s.beta, "winner share": s.winner_share}
    body = [html.facts(facts)]
    if s.force_trading:
        body.append(html.note("force_trading: every forecast is admitted whatever it costs (experiments only)"))
    if isinstance(arbitrator.cost_model, CostModel):
        body.append(costs_card(arbitrator.cost_model))
    return html.card("CostArbitrator · which horizons are listened to", way, *body)


# the view ------------------------------------------------------------------------------------------------------------


class CostView(StageView):
    """Costs and arbitration over the recorded decisions of a backtest.

    `cost_model_or_arbitrator`: a :class:`CostModel`, or a :class:`CostArbitrator` with one. `recall`: where decisions
    come from; without it, `oofs` and `blender` still show which forecasts survive which cost. `costs`, `arbitrator`:
    the other of the two, where it is not the one in force at the end of the backtest.
    """

    title: ClassVar[str] = "Costs and arbitration"
    turns: ClassVar[tuple[str, ...]] = ("horizon", "k1", "k2", "k3", "beta", "fitted", "defaults")
    hints = True
    """Whether what was not given is asked for, as one does in code."""

    horizon = param.Selector(label="horizon", doc="Horizon of the waterfall")
    k1 = param.Number(0.5, bounds=(0, 1.5), step=0.005, label="k1 spread", doc="Part of the spread paid on each trade")
    k2 = param.Number(0.0, bounds=(0, 0.5), step=0.005, label="k2 volatility", doc="Part of the window's volatility")
    k3 = param.Number(0.142, bounds=(0, 0.6), step=0.002, label="k3 impact", doc="Size of the market impact")
    beta = param.Number(1.0, bounds=(0.1, 20), step=0.1, label="beta of softmax", doc="How sharply softmax prefers")
    fitted = param.Event(label="Reset to fitted", doc="k1, k2 and k3 as they were fitted")
    defaults = param.Event(label="Set to defaults", doc="k1, k2 and k3 of the settings")

    def __init__(
        self,
        cost_model_or_arbitrator: CostModel | CostArbitrator,
        *,
        costs: CostModel | None = None,
        arbitrator: CostArbitrator | None = None,
        oofs: Mapping[str, OofForecasts] | None = None,
        blender: HorizonBlender | None = None,
        recall: Recall | None = None,
        **params: Any,
    ) -> None:
        self.moments = _sample(recall)
        self.model, self.arbitrator = _both(cost_model_or_arbitrator, costs, arbitrator, self.moments)
        self.alphas = np.array([m.decision.alphas.smoothed for m in self.moments])
        self._alpha = _by_horizon(self.alphas, oofs, blender)
        for name, k in zip(("k1", "k2", "k3"), (self.model.k1_, self.model.k2_, self.model.k3_), strict=True):
            high = type(self).param[name].bounds[1]
            self.param[name].bounds = (0, max(high, round(2 * k, 2)))
            params.setdefault(name, k)
        params.setdefault("beta", self.arbitrator.settings.beta)
        self._costs = lru_cache(4)(self._estimate)
        self._chosen = lru_cache(4)(self._choose)
        labels = list(self._alpha) or [HORIZONS[0].label]
        self.param.horizon.objects = labels
        super().__init__(**{"horizon": self._best(labels), **params})
        self.param.watch(lambda _: self._set(self.model.k1_, self.model.k2_, self.model.k3_), "fitted")
        s = self.model.settings
        self.param.watch(lambda _: self._set(s.k1, s.k2, s.k3), "defaults")

    def heading(self) -> str:
        fits = (
            f"{len(self.moments)} decisions of the backtest, evenly spaced, at costs as fitted last"
            if self.moments
            else "no decisions"
        )
        return html.card(self.title, f"{fits}; basis points over the horizon; books as they were")

    def body(self) -> pn.viewable.Viewable:
        parts: list[pn.viewable.Viewable] = [self.plot(self.weights, "k1, k2, k3: now, fitted and default", height=150)]
        if self.moments:
            parts += [
                self.row(
                    self.plot(self.waterfall, "From gross to net, one horizon", height=300), self.text(self.table)
                ),
                self.row(
                    self.plot(self.survival, "Which forecasts survive which cost"),
                    self.plot(self.by_name, "One-way cost by name and part"),
                ),
                self.row(
                    self.plot(self.survivors, "Names that survive their costs, through the day"),
                    self.text(self.comparison),
                ),
                self.row(
                    self.plot(self.winner_shares, "Winner: weight of each horizon through the day"),
                    self.plot(self.softmax_shares, "Softmax: weight of each horizon through the day"),
                ),
            ]
        elif self._alpha:
            parts.append(self.plot(self.survival, "Which out-of-fold forecasts survive which cost"))
        if not self.moments and self.hints:
            parts.append(pn.pane.HTML(html.card("", "", html.note(_MISSING)), sizing_mode="stretch_width"))
        return pn.Column(*parts, sizing_mode="stretch_width")

    # ---- figures ----------------------------------------------------------------------------------------------

    @param.depends("k1", "k2", "k3")
    def weights(self) -> hv.Overlay:
        """Where k1..k3 are now, were fitted, and stand by default."""
        s, m = self.model.settings, self.model
        sets = (
            ("default", (s.k1, s.k2, s.k3), "square", style.GREY, 9),
            ("fitted", (m.k1_, m.k2_, m.k3_), "diamond", style.ORANGE, 16),
            ("now", self._k(), "circle", style.BLUE, 7),
        )
        marks = [
            hv.Scatter((values, (2, 1, 0)), "k", "row", label=name).opts(
                marker=marker, color=colour, size=size, alpha=0.9, tools=["hover"]
            )
            for name, values, marker, colour, size in sets
        ]
        return hv.Overlay(marks).opts(
            height=150, xlim=(-0.02, None), ylim=(-0.6, 2.6), ylabel="", xlabel="weight", show_grid=True,
            yticks=[(2, "k1 spread"), (1, "k2 volatility"), (0, "k3 impact")], legend_position="right",
        )  # fmt: skip

    @param.depends("horizon", "k1", "k2", "k3")
    def waterfall(self) -> hv.Overlay:
        """Mean |alpha|, what each part of a round trip takes, what is spared by not trading, what survives."""
        steps = _steps(self._fall(self.horizon))
        box = [(i - 0.38, min(a, b), i + 0.38, max(a, b), colour, name, abs(b - a))
               for i, (name, a, b, colour) in enumerate(steps)]  # fmt: skip
        lift = 0.02 * max(max(abs(a), abs(b)) for _, a, b, _ in steps)
        label = [(i, max(a, b) + lift, f"{b - a:+.2f}") for i, (_, a, b, _) in enumerate(steps)]
        bars = hv.Rectangles(box, vdims=["colour", "step", "bps"]).opts(
            color="colour", line_alpha=0, tools=["hover"], framewise=True
        )
        told = hv.Labels(label, ["x", "y"], "text").opts(
            text_color=style.INK, text_font_size="10px", text_baseline="bottom", framewise=True
        )
        return (bars * hv.HLine(0) * told).opts(
            height=300, xlabel="", ylabel=f"basis points over {self.horizon}", framewise=True, padding=(0.02, 0.12),
            xticks=[(i, name) for i, (name, *_) in enumerate(steps)], xrotation=25, show_legend=False,
        )  # fmt: skip

    @param.depends("k1", "k2", "k3")
    def table(self) -> str:
        """The waterfall of every horizon in figures."""
        columns = ("horizon", "rows", "mean |alpha|", "round trip", "not traded", "net", "survive")
        rows = [
            (f.horizon, f.rows, *map(_bps, (f.gross, f.round_trip, f.spared, f.net)), html.percent(f.admitted))
            for f in self._falls()
            if f.rows
        ]
        silent = [f.horizon for f in self._falls() if not f.rows]
        note = html.note(f"no forecast in these decisions: {', '.join(silent)}") if silent else ""
        told = "Not traded: what forecasts below their cost would have lost, had they been traded."
        return html.card("", told, html.table(columns, rows, caption="basis points over the horizon"), note)

    @param.depends("k1", "k2", "k3")
    def survival(self) -> hv.Overlay:
        """Share of the forecasts of each horizon with |alpha| above a round trip, by the one-way cost."""
        x = ONE_WAY_GRID / BPS
        curves = [
            hv.Curve((x, 100 * study.survival(alpha, ONE_WAY_GRID)), "one-way cost", "survive", label=label).opts(
                color=COLOURS[label], tools=["hover"]
            )
            for label, alpha in self._alpha.items()
        ]
        if self.moments:
            now = float(np.nanmean([c.one_way[0] for c in self._costs(*self._k())])) / BPS
            curves.append(hv.VLine(now).opts(line_dash="dashed", color=style.INK))
        return hv.Overlay(curves).opts(
            logx=True, xlabel="one-way cost (basis points); dashed: mean now", ylabel="forecasts that survive (%)",
            legend_position="right", ylim=(-3, 103), xlim=(x[0], x[-1]),
        )  # fmt: skip

    @param.depends("k1", "k2", "k3")
    def by_name(self) -> hv.Bars:
        """Mean one-way cost of each name by part, dearest first."""
        parts = study.mean_parts(self._costs(*self._k()))
        symbols = self.moments[0].snapshot.symbols
        order = np.argsort(-np.nan_to_num(sum(parts.values())), kind="stable")
        rows = [(symbols[i], name, parts[name][i] / BPS) for i in order for name in study.PARTS]
        return hv.Bars(rows, ["symbol", "part"], "cost").opts(
            stacked=True, color="part", cmap=PART_COLOURS, xlabel="", ylabel="basis points", xrotation=60,
            legend_position="right", tools=["hover"], framewise=True,
        )  # fmt: skip

    @param.depends("k1", "k2", "k3")
    def survivors(self) -> hv.Overlay:
        """Names whose forecast survives its costs by time of day: mean, and the middle 80 % of decisions."""
        group = self._groups()
        x, admitted = np.unique(group), self._chosen(*self._k(), "winner", self.beta).admitted
        forecasts = self._chosen(*self._k(), "winner", self.beta).forecasts
        mean = np.array([admitted[group == g].mean() for g in x])
        low, high = (np.array([np.quantile(admitted[group == g], q) for g in x]) for q in (0.1, 0.9))
        with_view = np.array([forecasts[group == g].mean() for g in x])
        at = (x + 0.5) * HALF_HOUR
        names = len(self.moments[0].snapshot.symbols)
        return hv.Overlay(
            [
                hv.Spread((at, mean, mean - low, high - mean), "minutes", ["names", "below", "above"]),
                hv.Curve((at, mean), "minutes", "names", label="admitted").opts(tools=["hover"]),
                hv.Curve((at, with_view), "minutes", "names", label="admitted or held").opts(
                    color=style.GREY, line_dash="dashed", tools=["hover"]
                ),
            ]
        ).opts(xlabel="minutes since the open", ylabel=f"names of {names}", ylim=(0, names + 0.5),
               legend_position="bottom_left")  # fmt: skip

    @param.depends("k1", "k2", "k3")
    def winner_shares(self) -> hv.Bars:
        """Mean weight of each horizon over the names with a forecast, by time of day."""
        return self._shares("winner")

    @param.depends("k1", "k2", "k3", "beta")
    def softmax_shares(self) -> hv.Bars:
        """The same alphas through softmax."""
        return self._shares("softmax")

    @param.depends("k1", "k2", "k3", "beta")
    def comparison(self) -> str:
        """How far winner and softmax agree on the same alphas."""
        winner, softmax = (self._chosen(*self._k(), method, self.beta) for method in ("winner", "softmax"))
        a = study.agreement(winner, softmax)
        rows = [
            ("both admit", html.percent(a.both)),
            ("winner alone", html.percent(a.first)),
            ("softmax alone", html.percent(a.second)),
            ("neither", html.percent(a.neither)),
            ("same side, where both admit", html.percent(a.same_side)),
            ("same leading horizon, where both admit", html.percent(a.same_horizon)),
            ("correlation of the gross rates", html.text(a.correlation)),
        ]
        told = "Survivors of both signs whose net and gross rates disagree admit nothing under softmax."
        return html.card(
            "Winner against softmax", told,
            html.table(("over the same alphas", f"of {a.names:,} names"), rows),
            html.facts({"in use": self.arbitrator.settings.method, "z_ref": self.arbitrator.z_ref_}),
        )  # fmt: skip

    # ---- inside -----------------------------------------------------------------------------------------------

    def _k(self) -> tuple[float, float, float]:
        return self.k1, self.k2, self.k3

    def _set(self, k1: float, k2: float, k3: float) -> None:
        self.param.update(k1=k1, k2=k2, k3=k3)

    def _estimate(self, k1: float, k2: float, k3: float) -> list[Costs]:
        return study.estimates(self.model.weighing(k1, k2, k3), self.moments)

    def _choose(self, k1: float, k2: float, k3: float, method: str, beta: float) -> study.Choices:
        settings = self.arbitrator.settings.model_copy(update={"method": method, "beta": beta})
        made = CostArbitrator.from_dict(self.arbitrator.to_dict(), self.model, settings)
        return study.choices(made, self._costs(k1, k2, k3), self.moments)

    def _falls(self) -> tuple[study.Waterfall, ...]:
        return study.waterfalls(self.alphas, self._costs(*self._k()))

    def _fall(self, label: str) -> study.Waterfall:
        return self._falls()[horizon(label).order]

    def _best(self, labels: list[str]) -> str:
        """The horizon of which most is left, or the longest."""
        if not self.moments:
            return labels[-1]
        made = study.waterfalls(self.alphas, study.estimates(self.model, self.moments))
        return max((f for f in made if f.horizon in labels), key=lambda f: (f.net, f.gross)).horizon

    def _groups(self) -> IntArray:
        return study.day_groups(self.moments, HALF_HOUR)

    def _shares(self, method: str) -> hv.Bars:
        group = self._groups()
        shares = study.horizon_shares(self._chosen(*self._k(), method, self.beta), group, int(group.max()) + 1)
        rows = [(f"{g * HALF_HOUR}", h.label, 100 * shares[g, h.order]) for g in range(len(shares)) for h in HORIZONS]
        return hv.Bars(rows, ["minutes since the open", "horizon"], "weight").opts(
            stacked=True, color="horizon", cmap=COLOURS, ylabel="mean weight (%)", ylim=(0, 100), tools=["hover"],
            legend_position="right",
        )  # fmt: skip


_MISSING = (
    "Pass recall=recall_backtest(job) to see the waterfall, the survivors and winner against softmax over the "
    "decisions of a backtest."
)


def _sample(recall: Recall | None) -> tuple[Moment, ...]:
    if recall is None:
        return ()
    rows = recall.rows
    return tuple(recall.moments(rows[np.unique(np.linspace(0, len(rows) - 1, MOMENTS).astype(int))]))


def _both(
    given: CostModel | CostArbitrator,
    costs: CostModel | None,
    arbitrator: CostArbitrator | None,
    moments: tuple[Moment, ...],
) -> tuple[CostModel, CostArbitrator]:
    """The cost model and the arbitrator that the view is about."""
    if isinstance(given, CostModel):
        last = moments[-1].stages.arbitrator if moments else None
        return given, arbitrator or last or CostArbitrator(given, ArbitrationSettings())
    model = costs if costs is not None else given.cost_model
    if not isinstance(model, CostModel):
        raise ConfigError(f"the arbitrator estimates with a {type(model).__name__}; pass costs=, a CostModel")
    return model, given


def _by_horizon(
    alphas: FloatArray, oofs: Mapping[str, OofForecasts] | None, blender: HorizonBlender | None
) -> dict[str, FloatArray]:
    """Label -> (K,) forecasts, for horizons that have any: of the decisions, or else of out-of-fold rows."""
    if len(alphas):
        made = {h.label: alphas[:, h.order].ravel() for h in HORIZONS}
    elif oofs is not None and blender is not None:
        made = {h.label: blender.oof_alpha(oofs[h.label]) for h in HORIZONS if h.label in oofs}
    else:
        made = {}
    return {label: alpha for label, alpha in made.items() if np.isfinite(alpha).any()}


def _steps(fall: study.Waterfall) -> list[tuple[str, float, float, str]]:
    """(name, from, to, colour) of each bar, basis points."""
    taken = [(name, 2 * getattr(fall, name) / BPS, PART_COLOURS[name]) for name in study.PARTS]
    out = [("mean |alpha|", 0.0, fall.gross / BPS, style.BLUE)]
    level = fall.gross / BPS
    for name, size, colour in taken:
        out.append((f"2 × {name}", level, level - size, colour))
        level -= size
    out.append(("not traded", level, level + fall.spared / BPS, style.BLUE + "66"))
    out.append(("net", 0.0, fall.net / BPS, style.GREEN))
    return out


def _bps(value: float) -> str:
    return html.DASH if value != value else f"{value / BPS:.2f}"
