"""Two bundles side by side, the one that trades and a candidate: what was fitted differently, and a shadow session."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import holoviews as hv
import numpy as np
import pandas as pd
import panel as pn
import param

from workbench.analysis.bundle_study import Gap, Shadow, blend_ic, calibration_curve, gap, moved
from workbench.analysis.gate_study import along_adverse
from workbench.analysis.model_table import model_name
from workbench.artifacts import Bundle
from workbench.core.calendar import iso_time
from workbench.core.errors import DataError
from workbench.core.horizon import HORIZONS
from workbench.core.types import TIME_BUCKETS
from workbench.decision.arbitration import CostArbitrator
from workbench.decision.blending import HorizonBlender, HorizonFit
from workbench.decision.costs import CostModel
from workbench.decision.gating import BarrierGate
from workbench.decision.sizing import PositionSizer
from workbench.stats.bootstrap import Estimate
from workbench.stats.stack import BarrierStack
from workbench.widgets import html, style
from workbench.widgets.base import StageView
from workbench.widgets.models import interval, whiskers

TRADES, CANDIDATE = "trades", "candidate"
BOTH = (TRADES, CANDIDATE)
COLOURS = {TRADES: style.GREY, CANDIDATE: style.BLUE}
SHIFT = {TRADES: -0.12, CANDIDATE: 0.12}
"""Where the two stand beside their horizon."""
SHOWN = 12
"""Names that the shadow tells of."""
NOT_ASKED = (
    "Not asked yet. What the candidate would have decided is inferred again on the journaled market of a session, bar "
    "by bar, which takes seconds. In a notebook: shadow=shadow_session(journal, session, candidate)."
)
ASKED = (
    "At every decision of the session both were asked with the settings that traded, on the same market and the book "
    "really held; nothing of the shadow was traded. Weights are fractions of NAV."
)


@dataclass(frozen=True, slots=True)
class Half:
    """One of the two: what is read out of a verified bundle."""

    bundle: Bundle
    blender: HorizonBlender
    gate: BarrierGate
    stack: BarrierStack
    costs: CostModel
    arbitrator: CostArbitrator
    sizer: PositionSizer

    @classmethod
    def of(cls, bundle: Bundle) -> Half:
        """Every stage with the settings that it was saved with."""
        gates, sizing, costs = bundle.parts["gates"], bundle.parts["sizing"], CostModel.from_dict(bundle.parts["costs"])
        return cls(
            bundle, HorizonBlender.from_dict(bundle.parts["blender"]), BarrierGate.from_dict(gates["gate"]),
            BarrierStack.from_dict(gates["stack"]), costs, CostArbitrator.from_dict(sizing["arbitrator"], costs),
            PositionSizer.from_dict(sizing["sizer"]),
        )  # fmt: skip

    def weights(self, label: str) -> dict[str, float]:
        """Model -> its weight in the blend of the horizon; empty where the horizon was not fitted."""
        fit = self.blender.fits_.get(label)
        pairs = () if fit is None else zip(fit.keys, fit.weights, strict=True)
        return {model_name(key.family, key.strategy): w for key, w in pairs if w > 0}

    def facts(self) -> dict[str, Any]:
        """What stands in the table of both."""
        b, m = self.bundle, self.bundle.models
        modelled = {key.horizon for key in m.models}
        trading = {label for label, fit in self.blender.fits_.items() if _trades(fit)}
        gating = self.gate.settings
        return {
            "bundle": b.id, "models": m.id, "data origin": b.data_origin,
            "knows labels until": iso_time(b.fitted_until),
            "families": ", ".join(sorted({key.family for key in m.models})),
            "horizons with models": _in_order(modelled), "horizons that trade": _in_order(trading),
            "models and barrier classifiers": f"{len(m.models)} and {len(m.barriers)}",
            "features, intraday and daily": f"{len(m.names)} and {len(m.daily_names)}",
            "k1 spread": self.costs.k1_, "k2 volatility": self.costs.k2_, "k3 impact": self.costs.k3_,
            "reference trade, part of NAV": self.costs.reference_weight_,
            "z_ref of arbitration": self.arbitrator.z_ref_, "z_ref of sizing": self.sizer.z_ref_,
            "gate: g_min, gamma, delta": f"{gating.g_min:g}, {gating.gamma:g}, {gating.delta:g}",
        }  # fmt: skip


class BundlesView(StageView):
    """The bundle that `trades` beside a `candidate`; `shadow` of a session, as :func:`shadow_session` gives it."""

    title: ClassVar[str] = "The bundle that trades, and a candidate"
    turns: ClassVar[tuple[str, ...]] = ("horizon", "side", "bucket")

    horizon = param.Selector(label="Horizon", doc="Horizon of the weights, the gate and the calibration")
    side = param.Selector(
        objects=["long", "short"], label="Side", doc="Whose gate is drawn; for a short, the sides swap"
    )
    bucket = param.Selector(objects=list(TIME_BUCKETS), default="midday", label="Time of day", doc="Whose base rates")
    shadow = param.ClassSelector(class_=Shadow, precedence=-1, doc="What the candidate would have decided in a session")

    def __init__(self, trades: Bundle, candidate: Bundle, **params: Any) -> None:
        self.halves = {TRADES: Half.of(trades), CANDIDATE: Half.of(candidate)}
        fitted = [h.label for h in HORIZONS if any(h.label in half.blender.fits_ for half in self.halves.values())]
        if not fitted:
            raise DataError("neither bundle has a fitted horizon; fit the blenders first (`workbench blend`)")
        self.labels = fitted
        oofs = {name: half.bundle.models.oofs() for name, half in self.halves.items()}
        self.ic = {
            (name, label): blend_ic(half.blender, oofs[name].get(label))
            for name, half in self.halves.items() for label in fitted
        }  # fmt: skip
        self.param["horizon"].objects = fitted
        trading = [label for label in fitted if _trades(self.halves[TRADES].blender.fits_.get(label))]
        super().__init__(**{"horizon": (trading or fitted)[0], **params})

    # ---- fitted -----------------------------------------------------------------------------------------------

    def facts(self) -> str:
        """Both bundles line by line; what differs is marked."""
        one, two = (self.halves[name].facts() for name in BOTH)
        rows = [(what, value, html.mark(html.text(two[what]), "dim") if value == two[what] else two[what])
                for what, value in one.items()]  # fmt: skip
        told = "The very same bundle." if one["bundle"] == two["bundle"] else "Pale: where the candidate is the same."
        return html.card("", told, _whole(html.table(("", *BOTH), rows, left=BOTH)))

    def horizons(self) -> str:
        """Per horizon what both learned."""
        rows: list[tuple[Any, ...]] = []
        for label in self.labels:
            part = moved(*(half.weights(label) for half in self.halves.values()))
            for name, half in self.halves.items():
                first = (label, name) if name == TRADES else ("", name)
                told = html.percent(part, 0) if name == CANDIDATE else ""
                rows.append((*first, *_learned(half.blender.fits_.get(label), self.ic[name, label]), told))
        columns = ("horizon", "", "IC of the blend [95 %]", "slope b", "half-life, bars", "lambda", "windows",
                   "verdict", "weight moved")  # fmt: skip
        about = (
            "IC out of fold, each fold with the weights that earlier folds gave. Weight moved: share of the blend that "
            "lies with other models."
        )
        return html.card("", about, _whole(html.table(columns, rows, left=("", "verdict"))))

    def skill(self) -> Any:
        """IC of both blends by horizon, with intervals."""
        shown: Any = hv.HLine(0)
        for name in BOTH:
            e = [self.ic[name, label] for label in self.labels]
            table = pd.DataFrame({
                "horizon": np.arange(len(e)) + SHIFT[name], "IC": [x.value for x in e],
                "below": [x.value - x.low for x in e], "above": [x.high - x.value for x in e],
            })  # fmt: skip
            dots = hv.Scatter(table, "horizon", "IC", label=name).opts(size=9, color=COLOURS[name], tools=["hover"])
            shown = shown * whiskers(table, "horizon", ["IC", "below", "above"]) * dots
        ticks = list(enumerate(self.labels))
        return shown.opts(xticks=ticks, xlim=(-0.5, len(ticks) - 0.5), xlabel="", height=260,
                          legend_position="right", ylabel="information coefficient")  # fmt: skip

    @param.depends("horizon")
    def weights(self) -> Any:
        """Weights of the horizon's blend, model by model."""
        both = {name: self.halves[name].weights(self.horizon) for name in BOTH}
        models = list(dict.fromkeys(m for of in both.values() for m in of)) or ["none has weight"]
        rows = [(model, name, 100 * both[name].get(model, 0.0)) for name in BOTH for model in models]
        return _pairs(rows, "model", f"weight at {self.horizon}, %").opts(ylim=(0, 105))

    def gate_curve(self, name: str, label: str) -> tuple[np.ndarray, np.ndarray]:
        """(p, gate) along the adverse barrier's probability, with the settings that the bundle was saved with."""
        bucket, short = TIME_BUCKETS.index(self.bucket), self.side == "short"
        return along_adverse(self.halves[name].gate, label, bucket, short=short)

    @param.depends("horizon", "side", "bucket")
    def gates(self) -> Any:
        """Gate by the probability of the adverse barrier."""
        curves = {name: self.gate_curve(name, self.horizon) for name in BOTH}
        return _curves(curves, ("adverse", "gate")).opts(
            xlabel="probability of the adverse barrier", ylabel="gate", xlim=(0, 1), ylim=(0, 1.05), height=280,
            legend_position="top_right",
        )  # fmt: skip

    @param.depends("horizon", "side")
    def maps(self) -> Any:
        """What the calibration makes of the pooled probability of the adverse barrier."""
        barrier = "valley" if self.side == "short" else "peak"
        curves = {name: calibration_curve(self.halves[name].stack, self.horizon, barrier) for name in BOTH}
        ends = np.array([0.0, 1.0])
        same = hv.Curve((ends, ends), "pooled", "calibrated").opts(line_dash="dotted", color=style.INK)
        return (same * _curves(curves, ("pooled", "calibrated"))).opts(
            xlabel=f"pooled probability of the {barrier}", ylabel="calibrated", xlim=(0, 1), ylim=(0, 1), height=280,
            legend_position="top_left",
        )  # fmt: skip

    @param.depends("side", "bucket")
    def gaps(self) -> str:
        """How far gates and calibration maps lie apart, horizon by horizon."""
        rows = []
        for label in self.labels:
            found = [gap(p, one, two) for (p, one), (_, two) in self._both_curves(label)]
            rows.append((label, *(cell for g in found for cell in _gap(g))))
        columns = ("horizon", "gate: mean", "largest, at p", "peak map: mean", "largest, at p", "valley map: mean",
                   "largest, at p")  # fmt: skip
        told = f"Distance of the two curves; gates of a {self.side}, {self.bucket}."
        return html.card("", told, html.table(columns, rows))

    def _both_curves(self, label: str) -> list[list[tuple[np.ndarray, np.ndarray]]]:
        maps = [
            [calibration_curve(half.stack, label, barrier) for half in self.halves.values()]
            for barrier in ("peak", "valley")
        ]
        return [[self.gate_curve(name, label) for name in BOTH], *maps]

    # ---- shadow -----------------------------------------------------------------------------------------------

    @param.depends("shadow")
    def shadow_told(self) -> str:
        """The shadow in numbers."""
        s = self.shadow
        if s is None:
            return html.card("Shadow", "", html.note(NOT_ASKED))
        facts = {
            "decisions": len(s), "names": len(s.symbols),
            "mean |difference| of a weight": html.percent(float(s.difference.mean()), 3),
            "sum |difference|": html.percent(float(s.apart.mean()), 2), "likeness (cosine)": s.likeness,
            "opposite sides": html.percent(s.opposed),
        }  # fmt: skip
        sums = [(which, html.percent(float(t.mean()), 2), html.percent(float(g.mean()), 2))
                for which, t, g in zip(BOTH, s.turnover, s.gross, strict=True)]  # fmt: skip
        rows = [(name, *(html.percent(w, 3) for w in of)) for name, *of in s.largest(SHOWN)]
        names = html.table(("name", "mean weight, trades", "candidate", "mean |difference|"), rows,
                           caption="names that differ most") if rows else html.note("No name differs.")  # fmt: skip
        both = html.table(("", "turnover a decision", "gross"), sums) + self._knows_it(int(s.ts[0]))
        return html.card(
            "Shadow", f"{iso_time(s.ts[0])} to {iso_time(s.ts[-1])}. {ASKED}", html.facts(facts), both, names
        )

    def _knows_it(self, began: int) -> str:
        """A remark where the candidate was fitted on what followed the first decision of the session."""
        until = self.halves[CANDIDATE].bundle.fitted_until
        if until < began:
            return ""
        return html.note(
            f"The candidate was fitted on labels up to {iso_time(until)}, after this session began: it knows part of "
            "what followed, so what it would have done here says nothing about how good it is."
        )

    def shadow_path(self) -> Any:
        """Turnover that each asked for from the book really held, bar by bar."""
        when = self.shadow.ts.astype("datetime64[ns]")
        both = {name: (when, 100 * t) for name, t in zip(BOTH, self.shadow.turnover, strict=True)}
        return _curves(both, ("time", "turnover")).opts(
            xlabel="UTC", ylabel="sum |target - held|, % of NAV", height=260, legend_position="right"
        )

    def shadow_names(self) -> Any:
        """Mean weights of the names that differ most."""
        told = self.shadow.largest(SHOWN)
        rows = [(line[0], which, 100 * line[k]) for k, which in enumerate(BOTH, 1) for line in told]
        return _pairs(rows, "name", "mean target, % of NAV")

    def _shadow_figures(self) -> list[pn.viewable.Viewable]:
        if self.shadow is None or not self.shadow.largest(1):
            return []
        return [self.row(self.plot(self.shadow_path, "Turnover asked for, from the same book"),
                         self.plot(self.shadow_names, "Mean targets of the names that differ most"))]  # fmt: skip

    def body(self) -> pn.viewable.Viewable:
        shadow = pn.Column(*self._shadow_figures(), sizing_mode="stretch_width")
        self.param.watch(lambda _: setattr(shadow, "objects", self._shadow_figures()), "shadow")
        return pn.Column(
            self.text(self.facts),
            self.row(self.plot(self.skill, "IC of the blend out of fold, 95 %"),
                     self.plot(self.weights, "Weights of the chosen horizon", dynamic=False)),
            self.text(self.horizons),
            self.row(self.plot(self.gates, "Gate of the chosen horizon", height=280),
                     self.plot(self.maps, "Calibration of the adverse barrier", height=280)),
            self.text(self.gaps), self.text(self.shadow_told), shadow, sizing_mode="stretch_width",
        )  # fmt: skip


def _trades(fit: HorizonFit | None) -> bool:
    return fit is not None and not fit.reason


def _in_order(labels: Iterable[str]) -> str:
    """Labels of horizons, the shortest first; none is a dash."""
    return ", ".join(h.label for h in HORIZONS if h.label in set(labels)) or html.DASH


def _learned(fit: HorizonFit | None, ic: Estimate) -> tuple[Any, ...]:
    """IC, slope, half-life, penalty, windows and verdict of one horizon of one bundle."""
    if fit is None:
        return interval(ic), *[html.DASH] * 4, html.mark("not fitted", "dim")
    verdict = html.mark(fit.reason, "dim") if fit.reason else html.mark("trades", "good")
    return interval(ic), fit.slope, fit.halflife, fit.penalty, fit.windows, verdict


def _gap(g: Gap) -> tuple[str, str]:
    """Mean, and the largest with where it is."""
    if g.largest == 0:
        return "the same", ""
    return (html.DASH, html.DASH) if g.mean != g.mean else (f"{g.mean:.4f}", f"{g.largest:.4f} at {g.at:.2f}")


def _pairs(rows: list[tuple[str, str, float]], what: str, ylabel: str) -> hv.Bars:
    """Two bars for each of `what`; `rows` (what, which, value) begin with all of that which trades, for HoloViews gives
    colours in the order of the rows but draws one of the two after the other."""
    table = pd.DataFrame(rows, columns=[what, "which", "weight"])
    return hv.Bars(table, [what, hv.Dimension("which", values=list(BOTH))], "weight").opts(
        color="which", cmap=COLOURS, multi_level=False, height=260, ylabel=ylabel, xlabel="", tools=["hover"],
        legend_position="right", line_alpha=0, hooks=[style.paint, _ink_groups],
    )  # fmt: skip


def _ink_groups(plot: Any, element: Any) -> None:
    """A HoloViews hook: names of groups in the colour of all labels."""
    plot.state.xaxis.group_text_color = style.INK


def _whole(table: str) -> str:
    """The table without a scroll bar of its own."""
    return table.replace('class="scroll"', 'class="scroll" style="max-height:none"', 1)


def _curves(curves: Mapping[str, tuple[Any, Any]], axes: tuple[str, str]) -> hv.Overlay:
    """One line for each of the two; that which trades is dashed, so that equal ones are both seen."""
    dash = {TRADES: "dashed", CANDIDATE: "solid"}
    return hv.Overlay([
        hv.Curve(xy, *axes, label=name).opts(color=COLOURS[name], line_dash=dash[name], tools=["hover"])
        for name, xy in curves.items()
    ])  # fmt: skip
