"""The figures of the gate's view, each from finished numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import holoviews as hv
import numpy as np
import pandas as pd

from workbench.analysis.calibration import Calibration
from workbench.analysis.gate_study import EDGES, FoldCalibration, SideCalibration, SideEffect, along_adverse, surface
from workbench.analysis.what_if import Outcome
from workbench.core.horizon import horizon
from workbench.core.units import BPS
from workbench.decision.gating import BarrierGate
from workbench.widgets import html, style
from workbench.widgets.models import interval, ramp, whiskers

NAMES = {"backtest": "backtest", "fitted": "decided again, as fitted", "now": "decided again, now"}
LINES = {"backtest": (style.ORANGE, "dotted"), "fitted": (style.GREY, "dashed"), "now": (style.BLUE, "solid")}
STAGES = (("before", -0.06, style.GREY), ("after", 0.06, style.BLUE))
"""Before and after the calibration map: where they stand beside their segment, and their colour."""


def followed(figure: Any) -> Any:
    """Axes that follow the data of a figure updated in place; HoloViews keeps the first ones otherwise."""
    kinds = (hv.opts.Curve, hv.opts.Scatter, hv.opts.ErrorBars)
    return figure.opts(*(kind(framewise=True) for kind in kinds))


def surface_figure(gate: BarrierGate, label: str, bucket: int, short: bool, cloud: np.ndarray) -> Any:
    """Gate by both probabilities; the cross marks the base rates, the dots `cloud` (R, 2) are out-of-fold rows."""
    s = surface(gate, label, bucket, short=short)
    image = hv.Image((s.p, s.p, s.gate), ["p_peak", "p_valley"], "gate").opts(
        cmap=ramp(style.SEQUENTIAL), clim=(0, 1), tools=["hover"], height=320, clabel="gate",
        clipping_colors={"NaN": "transparent"},
    )  # fmt: skip
    base = hv.Points([s.base], ["p_peak", "p_valley"], label="base rates")
    dots = hv.Points(cloud, ["p_peak", "p_valley"], label="out-of-fold rows")
    return (
        image * dots.opts(size=2.5, color=style.ORANGE, alpha=0.5)
        * base.opts(marker="cross", size=16, color=style.RED, line_width=2.5)
    ).opts(xlabel="P(peak): the fall comes first", ylabel="P(valley): the rise comes first", height=320, xlim=(0, 1),
           ylim=(0, 1), legend_position="top_right")  # fmt: skip


def section_figure(fitted: BarrierGate, now: BarrierGate, label: str, bucket: int, short: bool) -> Any:
    """Gate along the adverse probability, as fitted and now."""
    was, new = (
        hv.Curve(along_adverse(gate, label, bucket, short=short), "adverse", "gate", label=name)
        for name, gate in (("as fitted", fitted), ("now", now))
    )
    rate = (fitted.base_valley_ if short else fitted.base_peak_)[horizon(label).order, bucket]
    mark = hv.VLine(float(rate)).opts(color=style.RED, line_dash="dotted", line_width=1.5)
    return (
        mark * was.opts(color=style.GREY, line_dash="dashed")
        * new.opts(color=style.BLUE, line_width=2.2, tools=["hover"])
    ).opts(xlabel="probability of the adverse barrier (dotted: its base rate)", ylabel="gate", height=320,
           ylim=(0, 1.05), xlim=(0, 1), legend_position="top_right")  # fmt: skip


def distribution_figure(effects: Mapping[tuple[str, str], SideEffect]) -> Any:
    """Share of the rows with a gate below x; `effects`: (side, "fitted" or "now") -> its distribution."""
    lines = {"fitted": {"line_dash": "dashed", "line_width": 1}, "now": {"line_dash": "solid", "line_width": 2}}
    curves = [
        hv.Curve(_below(effect.share), "gate", "share", label=f"{side}, {name}").opts(
            color=style.LONG if side == "long" else style.SHORT, **lines[name]
        )
        for (side, name), effect in effects.items()
    ]
    return hv.Overlay(curves).opts(xlabel="gate", ylabel="rows with a gate below, %", height=260, xlim=(0, 1))


def _below(share: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distribution function of a histogram over EDGES, up to where the untouched rows (gate 1) begin, percent."""
    return EDGES[:-1], 100 * np.concatenate([[0.0], np.cumsum(share[:-1])])


def profit_figure(traded: Mapping[str, Outcome]) -> Any:
    """Net profit, added up, of the same decisions in several ways (the keys of NAMES)."""
    curves = [
        hv.Curve((np.arange(len(o)), np.cumsum(o.net) / BPS), "decision", "net", label=NAMES[name]).opts(
            color=LINES[name][0], line_dash=LINES[name][1], tools=["hover"]
        )
        for name, o in traded.items()
    ]
    return (hv.HLine(0) * hv.Overlay(curves)).opts(
        xlabel="decision (one every 5 minutes)", ylabel="net profit, bps of NAV", height=260
    )


def reliability_figure(c: SideCalibration) -> Any:
    """Observed frequency against predicted probability, before and after the map, all segments together."""
    before, after = c.report.before.reliability, c.report.after.reliability
    ends = np.concatenate([before.predicted, before.observed, after.predicted, after.observed])
    ends = np.array([ends.min(), ends.max()]) if len(ends) else np.array([0.0, 1.0])
    table = pd.DataFrame(
        {"predicted": after.predicted, "observed": after.observed, "below": after.observed - after.low,
         "above": after.high - after.observed, "rows": after.count}
    )  # fmt: skip
    raw = hv.Curve((before.predicted, before.observed), "predicted", "observed", label="before")
    made = hv.Scatter(table, "predicted", ["observed", "rows"], label="after, 95 %")
    perfect = hv.Curve((ends, ends), "predicted", "observed", label="perfect")
    return followed(
        perfect.opts(line_dash="dotted", color=style.INK) * raw.opts(color=style.ORANGE, line_width=1.4)
        * whiskers(table, "predicted", ["observed", "below", "above"])
        * made.opts(size=7, color=style.BLUE, tools=["hover"])
    ).opts(xlabel="predicted probability", ylabel="observed frequency", height=280)  # fmt: skip


def brier_figure(folds: Sequence[FoldCalibration]) -> Any:
    """Brier score by segment with its 95 % interval, before and after the map."""
    shown = hv.Overlay([])
    for name, shift, colour in STAGES:
        e = [getattr(f, f"brier_{name}") for f in folds]
        table = pd.DataFrame(
            {"segment": [f.fold + shift for f in folds], "Brier": [x.value for x in e],
             "below": [x.value - x.low for x in e], "above": [x.high - x.value for x in e]}
        )  # fmt: skip
        dots = hv.Scatter(table, "segment", "Brier", label=name).opts(size=8, color=colour, tools=["hover"])
        shown = shown * whiskers(table, "segment", ["Brier", "below", "above"]) * dots
    return shown.opts(**_by_fold(folds, "Brier score"))


def ece_figure(folds: Sequence[FoldCalibration]) -> Any:
    """ECE by segment; the line reaches to where a perfectly calibrated forecaster may come to (95th percentile)."""
    shown = hv.Overlay([])
    for name, shift, colour in STAGES:
        c = [getattr(f.report, name) for f in folds]
        x = [f.fold + shift for f in folds]
        reach = pd.DataFrame({"segment": x, "ECE": 0.0, "below": 0.0, "above": [v.ece_null_95 for v in c]})
        dots = hv.Scatter((x, [v.ece for v in c]), "segment", "ECE", label=name)
        shown = shown * whiskers(reach, "segment", ["ECE", "below", "above"])
        shown = shown * dots.opts(size=8, color=colour, tools=["hover"])
    return shown.opts(**_by_fold(folds, "expected calibration error"))


def _by_fold(folds: Sequence[FoldCalibration], ylabel: str) -> dict[str, Any]:
    numbers = [f.fold for f in folds]
    span = (min(numbers) - 0.5, max(numbers) + 0.5) if numbers else (0, 1)
    return {"xlabel": "segment", "ylabel": ylabel, "height": 240, "xticks": numbers, "xlim": span,
            "legend_position": "top_right"}  # fmt: skip


def calibration_table(both: Mapping[str, SideCalibration]) -> str:
    """Barrier -> its calibration, all of it in numbers."""
    lines = []
    for barrier, c in both.items():
        all_of_it = (html.text(c.report.before.brier), html.text(c.report.after.brier))
        lines.append(_line(barrier, "all", c.report, all_of_it))
        for fold in c.folds:
            briers = (interval(fold.brier_before), interval(fold.brier_after))
            lines.append(_line(barrier, str(fold.fold), fold.report, tuple(b.replace("+", "") for b in briers)))
    columns = ("barrier", "segment", "rows", "Brier before [95 %]", "Brier after [95 %]", "skill after [95 %]",
               "ECE before", "ECE after")  # fmt: skip
    told = "ECE in red: more than a perfectly calibrated forecaster shows on these days in 95 of 100 cases."
    return html.card("", told, html.table(columns, lines, left=["segment"]))


def _line(barrier: str, segment: str, report: Any, briers: tuple[str, ...]) -> list[Any]:
    skill = interval(report.after.skill)
    return [barrier, segment, report.after.rows, *briers, skill, _ece(report.before), _ece(report.after)]


def _ece(c: Calibration) -> Any:
    if c.ece != c.ece:
        return html.DASH
    doubtful = c.ece > c.ece_null_95
    return html.mark(f"{c.ece:.4f}", "bad" if doubtful else "dim")
