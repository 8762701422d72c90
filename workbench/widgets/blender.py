"""Stage 4, the blender: who has weight and why, what a model's absence changes, and the calibration slope."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from itertools import cycle
from typing import Any

import holoviews as hv
import numpy as np
import pandas as pd
import panel as pn
import param

from workbench.analysis.blend_study import Solved, learned_rows, ridge_path, solve
from workbench.analysis.model_table import model_name
from workbench.core.errors import DataError
from workbench.core.horizon import HORIZONS
from workbench.core.types import OofForecasts
from workbench.decision.blending import HorizonBlender, HorizonFit
from workbench.stats.ridge import PenaltyPath
from workbench.widgets import html, style
from workbench.widgets.base import StageView
from workbench.widgets.models import interval, whiskers

COLOURS = (style.BLUE, style.ORANGE, style.GREEN, style.PURPLE, style.RED, "#8aa83a", "#2f9e8f", "#d9a32b", style.GREY)
PASS_OOFS = "Pass oofs=steps.oofs(job) to see the ridge path, drop models and see the calibration slope."


def card(blender: HorizonBlender) -> str:
    """What was learned of each horizon."""
    if not blender.fits_:
        return html.card("HorizonBlender", "not fitted: every alpha is unknown")
    lines = [_line(label, blender.fits_[label]) for label in _labels(blender)]
    columns = ("horizon", "slope b", "lower bound", "ridge penalty", "half-life, bars", "windows", "rows", "weights")
    trading = sum(f.slope > 0 for f in blender.fits_.values())
    sub = f"{trading} of {len(blender.fits_)} horizons have evidence enough to trade"
    return html.card("HorizonBlender", sub, html.table(columns, lines, left=["weights"]))


def _line(label: str, fit: HorizonFit) -> list[Any]:
    told = ", ".join(f"{name} {100 * w:.0f} %" for name, w in _weights(fit).items() if w > 0)
    verdict = html.mark(fit.reason, "dim") if fit.reason else told
    return [label, fit.slope, fit.slope_lower, fit.penalty, fit.halflife, fit.windows, fit.rows, verdict]


def _labels(blender: HorizonBlender) -> list[str]:
    return [h.label for h in HORIZONS if h.label in blender.fits_]


def _weights(fit: HorizonFit) -> dict[str, float]:
    """Name of the model -> weight."""
    return {model_name(k.family, k.strategy): w for k, w in zip(fit.keys, fit.weights, strict=True)}


class BlenderView(StageView):
    """A fitted blender; `oofs` are the out-of-fold forecasts that it was fitted on (label -> rows)."""

    title = "Blender: many models, one calibrated expected return"

    horizon = param.Selector(label="Horizon", doc="Horizon whose blend is looked at")
    kept = param.ListSelector(label="Models kept", doc="Leave models out and the horizon is solved again without them")
    whole = param.Event(label="Keep all", doc="Back to all models: the blend as it was fitted")

    def __init__(self, blender: HorizonBlender, *, oofs: Mapping[str, OofForecasts] | None = None) -> None:
        if not blender.fits_:
            raise DataError("this blender has not been fitted: fit it on out-of-fold forecasts first (steps.blend)")
        self.blender = blender
        self._oofs = {label: learned_rows(oofs[label]) for label in _labels(blender) if label in (oofs or {})}
        self.turns = ("horizon", "kept", "whole") if self._oofs else ("horizon",)
        self._colour = self._colours()
        self._path = cache(lambda label: ridge_path(self._oofs[label], blender.settings))
        self._solved = cache(self._solve)
        super().__init__()
        self.param["horizon"].objects = [label for label in _labels(blender) if label in (self._oofs or blender.fits_)]
        best = [label for label in self.param["horizon"].objects if not blender.fits_[label].reason]
        self.horizon = (best or self.param["horizon"].objects)[0]
        self._offer()

    def _colours(self) -> dict[str, str]:
        names = dict.fromkeys(name for fit in self.blender.fits_.values() for name in _weights(fit))
        return dict(zip(names, cycle(COLOURS)))

    @param.depends("horizon", "whole", watch=True)
    def _offer(self) -> None:
        names = list(_weights(self.fitted))
        with param.parameterized.batch_call_watchers(self):
            self.param["kept"].objects = names
            self.kept = names

    # ---- the numbers ------------------------------------------------------------------------------------------

    @property
    def fitted(self) -> HorizonFit:
        """What the blender learned of the chosen horizon."""
        return self.blender.fits_[self.horizon]

    def path(self) -> PenaltyPath:
        """The ridge path of the chosen horizon."""
        return self._path(self.horizon)

    def solved(self) -> Solved:
        """The chosen horizon with the kept models alone; :class:`DataError` where none is kept."""
        if not self.kept:
            raise DataError("no model is kept; choose at least one, or press 'Keep all'")
        return self._solved(self.horizon, frozenset(self.kept))

    def _solve(self, label: str, kept: frozenset[str]) -> Solved:
        oof = self._oofs[label]
        return solve(self.blender, oof, [k for k in oof.keys if model_name(k.family, k.strategy) in kept])

    def _whole(self) -> Solved:
        return self._solved(self.horizon, frozenset(_weights(self.fitted)))

    # ---- figures ----------------------------------------------------------------------------------------------

    def weights(self) -> Any:
        """Share of every model in the blend of every horizon; an empty column abstains."""
        labels = _labels(self.blender)
        rows = [
            (label, name, 100 * w)
            for label in labels for name, w in _weights(self.blender.fits_[label]).items()
        ]  # fmt: skip
        table = pd.DataFrame(rows, columns=["horizon", "model", "weight"])
        bars = hv.Bars(table, [hv.Dimension("horizon", values=labels), "model"], "weight")
        return bars.opts(
            stacked=True, color="model", cmap=self._colour, ylabel="share of the blend, %", xlabel="horizon",
            tools=["hover"], legend_position="right", height=260, ylim=(0, 100), line_alpha=0, bar_width=0.7,
        )  # fmt: skip

    @param.depends("horizon")
    def score(self) -> Any:
        """Cross-validated score by penalty; the largest within one standard error of the best is chosen."""
        p = self.path()
        known = np.isfinite(p.score)
        points = hv.Scatter((p.penalties, p.score), "penalty", "score", label="score on later folds")
        span = (float(p.penalties.min()) / 2, float(p.penalties.max()) * 2)
        line = hv.Curve((p.penalties, p.score), "penalty", "score")
        level = float(np.max(p.score[known]) - p.se) if known.any() else float("nan")
        bound = hv.Curve((span, (level, level)), "penalty", "score", label="best less one standard error")
        chosen = hv.Scatter(([p.chosen], p.score[p.penalties == p.chosen][:1]), "penalty", "score", label="chosen")
        return (line * points.opts(size=6, tools=["hover"])
                * bound.opts(line_dash="dashed", color=style.GREY, line_width=1)
                * chosen.opts(size=14, color=style.ORANGE, fill_alpha=0, line_width=2.5)).opts(
            logx=True, xlabel="ridge penalty lambda", ylabel="score", height=260, legend_position="top",
            xlim=span,
        )  # fmt: skip

    @param.depends("horizon")
    def path_weights(self) -> Any:
        """Weights on the simplex by penalty; the vertical line is the penalty chosen."""
        p, names = self.path(), list(_weights(self.fitted))
        curves = [
            hv.Curve((p.penalties, 100 * p.p[:, i]), "penalty", "weight", label=name).opts(
                color=self._colour[name], tools=["hover"]
            )
            for i, name in enumerate(names)
        ]
        at = hv.VLine(p.chosen).opts(color=style.ORANGE, line_width=2)
        return hv.Overlay([at, *curves]).opts(
            logx=True, xlabel="ridge penalty lambda", ylabel="weight, %", height=260, ylim=(-3, 103),
            legend_position="right",
        )  # fmt: skip

    @param.depends("horizon", "kept")
    def drop(self) -> Any:
        """Weights as fitted beside those solved again without the models that were left out."""
        fitted, again = _weights(self.fitted), _weights(self.solved().fit)
        rows = [(name, what, 100 * w.get(name, 0.0))
                for what, w in (("as fitted", fitted), ("solved again", again)) for name in fitted]  # fmt: skip
        table = pd.DataFrame(rows, columns=["model", "which", "weight"])
        return hv.Bars(table, ["model", "which"], "weight").opts(
            color="which", cmap={"as fitted": style.GREY, "solved again": style.BLUE}, multi_level=False, height=260,
            hooks=[style.paint, _ink_groups],
            ylabel="weight, %", xlabel="", legend_position="top_right", tools=["hover"], line_alpha=0,
        )  # fmt: skip

    @param.depends("horizon", "kept")
    def effect(self) -> str:
        """What leaving models out does to slope and IC of the blend."""
        again, whole = self.solved(), self._whole()
        left_out = [name for name in _weights(self.fitted) if name not in self.kept]
        rows = [
            ("all models", *_told(whole)),
            ("without " + ", ".join(left_out) if left_out else "as above: nothing is left out", *_told(again)),
        ]
        columns = ("solved with", "slope b [90 %]", "slope in use", "IC of the blend [95 %]", "verdict")
        return html.card("", "The IC is that of each fold's blend with the weights that earlier folds gave.",
                         html.table(columns, rows, left=["verdict"]))  # fmt: skip

    @param.depends("horizon", "kept")
    def slope(self) -> Any:
        """Blend of earlier weights against what came; the line through the origin is the calibration slope b."""
        forward = self.solved().forward
        b, s = forward.bins, forward.slope
        table = pd.DataFrame({"blend": b.x, "realised": b.y, "below": b.y - b.low, "above": b.high - b.y,
                              "rows": b.count})  # fmt: skip
        ends = np.array([min(b.x.min(), 0), max(b.x.max(), 0)]) if len(b.x) else np.zeros(2)
        bounds = np.sort([s.low * ends, s.high * ends], axis=0)
        band = hv.Area((ends, *bounds), "blend", ["realised", "upper"])
        name = f"slope {s.value:.4f}, 90 % interval" if s.value == s.value else "no slope"
        line = hv.Curve((ends, s.value * ends), "blend", "realised", label=name)
        bars = whiskers(table, "blend", ["realised", "below", "above"])
        dots = hv.Scatter(table, "blend", ["realised", "rows"], label="mean of a bin, 95 %")
        return (
            hv.HLine(0) * band.opts(alpha=0.15, color=style.ORANGE, line_alpha=0) * line.opts(color=style.ORANGE)
            * bars * dots.opts(size=7, tools=["hover"])
        ).opts(xlabel="blend of the scaled forecasts, before the slope", height=280,
               ylabel="realised, sigma of the horizon")  # fmt: skip

    @param.depends("horizon", "kept")
    def slope_told(self) -> str:
        """Whether the slope is used, and why not."""
        fit, s = self.solved().fit, self.solved().forward.slope
        facts = {"slope b": interval(s), "in use": fit.slope, "windows": fit.windows, "rows": fit.rows}
        why = html.note(f"The horizon does not trade: {fit.reason}.") if fit.reason else ""
        return html.card("", "Its one-sided 95 % lower bound must lie above zero before the slope is used.",
                         html.facts(facts), why)  # fmt: skip

    def body(self) -> pn.viewable.Viewable:
        panes = [
            pn.pane.HTML(card(self.blender), sizing_mode="stretch_width"),
            self.plot(self.weights, "Weights per horizon (an empty column abstains)", height=260),
        ]
        if not self._oofs:
            return pn.Column(*panes, pn.pane.HTML(html.card("", "", html.note(PASS_OOFS))), sizing_mode="stretch_width")
        return pn.Column(
            *panes,
            self.row(
                self.plot(self.score, "Ridge path: score by time-ordered cross-validation", height=260, dynamic=False),
                self.plot(self.path_weights, "Ridge path: weights", height=260, dynamic=False),
            ),
            self.row(
                self.plot(self.drop, "Weights with the models kept", height=260, dynamic=False),
                self.plot(self.slope, "Calibration slope of the models kept", height=280, dynamic=False),
            ),
            self.text(self.effect),
            self.text(self.slope_told),
            sizing_mode="stretch_width",
        )


def _ink_groups(plot: Any, element: Any) -> None:
    """A HoloViews hook: names of groups in the colour of all labels."""
    plot.state.xaxis.group_text_color = style.INK


def _told(solved: Solved) -> tuple[Any, ...]:
    fit, forward = solved.fit, solved.forward
    verdict = html.mark(fit.reason, "dim") if fit.reason else html.mark("trades", "good")
    return interval(forward.slope), fit.slope, interval(forward.ic), verdict
