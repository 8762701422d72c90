"""Stage 3, the models: the zoo, how good each cell is, what it said against what came, and two cells side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import holoviews as hv
import numpy as np
import pandas as pd
import panel as pn
import param

from workbench.analysis.model_study import Comparison, compare, prediction_bins
from workbench.analysis.model_table import ModelRow, model_name, model_table
from workbench.analysis.zoo import ZooCell
from workbench.core.calendar import iso_date
from workbench.core.errors import DataError
from workbench.core.horizon import HORIZONS
from workbench.core.types import ModelKey, OofForecasts
from workbench.core.units import NS_PER_DAY
from workbench.decision.blending import evidence
from workbench.stats.bootstrap import Estimate
from workbench.widgets import html, style
from workbench.widgets.base import StageView

ROW = 26
"""Height of one row of the heat map, pixels."""

OPAQUE = ("#c43d4b", "#e9a79c", "#e6e8eb", "#9cc3ea", "#2f6fb4")
"""Low, zero, high: as style.DIVERGING, but numbers are written on it, so that the page must not shine through."""

COLOURED = 0.9
"""Quantile of |IC| at which the colours of the heat map end, so that one wild cell does not pale the others."""


def card(oof: OofForecasts) -> str:
    """Whose forecasts these are, of what, and how good each model was."""
    rows = model_table({oof.horizon.label: oof}).rows
    about = {
        "rows": len(oof), "symbols": len(oof.symbols), "sessions": len(np.unique(oof.session)),
        "from": iso_date(oof.session.min()) if len(oof) else None,
        "to": iso_date(oof.session.max()) if len(oof) else None,
        "segments": len(np.unique(oof.fold)), "embargo, days": oof.embargo_ns / NS_PER_DAY,
        "bars": oof.data_origin,
    }  # fmt: skip
    lines = [(model_name(r.family, r.strategy), interval(r.ic), interval(r.skip), r.rows) for r in rows]
    named = f"Out-of-fold forecasts, {oof.horizon.label}"
    columns = ("model", "IC [95 %]", "entered one bar later", "rows")
    return html.card(named, "", html.facts(about), html.table(columns, lines))


def interval(e: Estimate, digits: int = 4) -> str:
    """A number with its interval; unknown is a dash.

    >>> interval(Estimate(0.02, 0.005, 0.01, 0.03, 0.95), 2)
    '+0.02 [+0.01, +0.03]'
    """
    if e.value != e.value:
        return html.DASH
    bounds = f" [{e.low:+.{digits}f}, {e.high:+.{digits}f}]" if e.low == e.low else ""
    return f"{e.value:+.{digits}f}{bounds}"


def whiskers(table: pd.DataFrame, x: str, values: list[str]) -> hv.ErrorBars:
    """Intervals as plain lines that read on any page; `values` names the middle and its distances to both ends."""
    known = table[[x, *values]].dropna()
    return hv.ErrorBars(known, x, values).opts(line_color=style.INK, upper_head=None, lower_head=None, line_width=1.4)


def ramp(colours: Sequence[str], steps: int = 64) -> list[str]:
    """`steps` colours from the first to the last of `colours` (#rrggbb or #rrggbbaa), evenly mixed.

    >>> ramp(["#000000", "#ffffff"], 3)
    ['#000000ff', '#808080ff', '#ffffffff']
    """
    parts = np.array([[int(c.lstrip("#").ljust(8, "f")[i : i + 2], 16) for i in (0, 2, 4, 6)] for c in colours])
    at = np.linspace(0, len(colours) - 1, steps)
    mixed = np.column_stack([np.interp(at, np.arange(len(colours)), channel) for channel in parts.T])
    return ["#" + "".join(f"{round(v + 1e-9):02x}" for v in row) for row in mixed]


class ModelsView(StageView):
    """Out-of-fold forecasts of one horizon, or of several (a mapping label -> forecasts).

    `cells`: of the zoo (``steps.zoo_cells(job)``); they add what each cell weighs, costs and why one says nothing.
    """

    title = "Models: out of fold, against what came"
    turns = ("strategy", "horizon", "model", "other", "other_horizon")

    strategy = param.Selector(label="Strategy", doc="Strategy that the heat map and the table show")
    horizon = param.Selector(label="Horizon", doc="Horizon of the table, the intervals and the scatter")
    model = param.Selector(label="Model", doc="Model of the scatter, and first of the two compared")
    other = param.Selector(label="Compared with", doc="Second of the two models compared")
    other_horizon = param.Selector(label="at horizon", doc="Horizon of the second model")

    def __init__(
        self, oofs: OofForecasts | Mapping[str, OofForecasts], *, cells: Sequence[ZooCell] | None = None
    ) -> None:
        self._oofs = {oofs.horizon.label: oofs} if isinstance(oofs, OofForecasts) else dict(oofs)
        self._keys = {
            (model_name(k.family, k.strategy), label): k for label, oof in self._oofs.items() for k in oof.keys
        }
        if not self._keys:
            raise DataError("there are no out-of-fold forecasts to show; train models first (steps.train)")
        self._rows = cache(self._make_rows)
        self._zoo = cells is not None
        self._cells = list(cells) if cells is not None else self._own_cells()
        super().__init__()
        self._offer()

    def _offer(self) -> None:
        """What can be chosen."""
        labels = [h.label for h in HORIZONS if h.label in self._oofs]
        names = list(dict.fromkeys(name for name, _ in self._keys))
        strategies = list(dict.fromkeys(c.strategy for c in self._cells if c.ic == c.ic)) or [
            k.strategy for k in list(self._keys.values())[:1]
        ]
        for name, objects in (
            ("strategy", strategies), ("horizon", labels), ("other_horizon", labels), ("model", names), ("other", names)
        ):  # fmt: skip
            self.param[name].objects = objects
            setattr(self, name, objects[0])
        self.other = names[min(1, len(names) - 1)]

    @param.depends("horizon", watch=True)
    def _follow(self) -> None:
        self.other_horizon = self.horizon

    # ---- the numbers ------------------------------------------------------------------------------------------

    def _make_rows(self, label: str) -> dict[ModelKey, ModelRow]:
        rows = model_table({label: self._oofs[label]}).rows
        return {ModelKey(r.family, r.strategy, r.horizon): r for r in rows}

    def _own_cells(self) -> list[ZooCell]:
        """Cells as far as the forecasts alone tell."""
        tested = {k: float(p) for oof in self._oofs.values() for k, p in zip(oof.keys, evidence(oof), strict=True)}
        rows = (pair for label in self._oofs for pair in self._rows(label).items())
        return [
            ZooCell(*k, rows=r.rows, ic=r.ic.value, ic_low=r.ic.low, ic_high=r.ic.high, p_corrected=tested[k])
            for k, r in rows
        ]

    def _key(self, name: str, label: str) -> ModelKey:
        key = self._keys.get((name, label))
        if key is None:
            here = ", ".join(n for n, h in self._keys if h == label)
            raise DataError(f"{name} made no forecasts at {label}; at that horizon there are {here}")
        return key

    def comparison(self) -> Comparison:
        """The two chosen cells; :class:`DataError` where one of them made no forecasts."""
        one, two = self._key(self.model, self.horizon), self._key(self.other, self.other_horizon)
        return compare((self._oofs[self.horizon], one), (self._oofs[self.other_horizon], two))

    # ---- figures ----------------------------------------------------------------------------------------------

    @param.depends("strategy")
    def heat_map(self) -> Any:
        """IC of every family at every horizon; a dot marks what beats a constant, a percentage its weight."""
        shown = [c for c in self._cells if c.strategy == self.strategy and c.ic == c.ic]
        table = pd.DataFrame(
            {
                "horizon": [c.horizon for c in shown], "model": [c.family for c in shown],
                "IC": [c.ic for c in shown], "low": [c.ic_low for c in shown], "high": [c.ic_high for c in shown],
                "written": [_written(c) for c in shown],
            }
        )  # fmt: skip
        top = max(float(table["IC"].abs().quantile(COLOURED)), 1e-6) if len(table) else 1.0
        table["ink"] = np.where(table["IC"].abs() > 0.7 * top, "#ffffff", "#2b333d")
        labels = [h.label for h in HORIZONS if h.label in set(table["horizon"])]
        models = list(dict.fromkeys(table["model"]))
        kdims = [
            hv.Dimension("horizon", label="horizon", values=labels),
            hv.Dimension("model", label="family", values=models[::-1]),
        ]
        heat = hv.HeatMap(table, kdims, ["IC", "low", "high"])
        written = hv.Labels(table, ["horizon", "model"], ["written", "ink"]).opts(
            text_font_size="9pt", text_color="ink", text_font_style="bold"
        )
        height = 70 + ROW * max(len(models), 2)
        return (heat.opts(cmap=ramp(OPAQUE), clim=(-top, top), tools=["hover"], height=height,
                          show_grid=False, xaxis="top", clabel="IC") * written).opts(height=height)  # fmt: skip

    @param.depends("strategy", "horizon")
    def zoo_table(self) -> str:
        """Every model of the strategy at the horizon."""
        rows = self._rows(self.horizon)
        cells = [c for c in self._cells if (c.strategy, c.horizon) == (self.strategy, self.horizon)]
        lines = [self._line(c, rows.get(ModelKey(c.family, c.strategy, c.horizon))) for c in cells if self._worth(c)]
        columns = ["model", "IC [95 %]", "one bar later", "naive", "p", "rows"]
        more = ["weight", "constant", "ms", "KB", "verdict"] if self._zoo else []
        told = (
            "One bar later and naive: IC of an entry one bar later, and at the signal's own close (not tradable). p: "
            "'no better than a constant', corrected for the models of the horizon. Constant: share of the fits that "
            "found nothing better. ms: one call for 100 symbols."
        )
        hint = "" if self._zoo else html.note("Pass cells=steps.zoo_cells(job) to see weights, sizes and verdicts.")
        silent = sum(not self._worth(c) for c in cells)
        rest = html.note(f"{silent} families of the registry were not trained here.") if silent else ""
        return html.card("", told, html.table([*columns, *more], lines, left=["verdict"]), rest, hint)

    def _worth(self, cell: ZooCell) -> bool:
        return cell.trained or cell.ic == cell.ic or bool(cell.reason and cell.supported)

    def _line(self, c: ZooCell, row: ModelRow | None) -> list[Any]:
        ic = Estimate(c.ic, float("nan"), c.ic_low, c.ic_high, 0.95)
        shown = html.mark(interval(ic, 3), "good" if c.ic_low > 0 else "bad" if c.ic_high < 0 else "dim")
        skip, naive = (html.DASH,) * 2 if row is None else (interval(row.skip, 3), f"{row.naive.value:+.3f}")
        line: list[Any] = [c.family, shown, skip, naive, c.p_corrected, c.rows]
        if self._zoo:
            verdict = html.mark(c.verdict, "good" if c.weight > 0 else "dim")
            size = c.bytes / 1024 if c.bytes else None
            line += [html.percent(c.weight, 0), html.percent(c.constant, 0), c.latency_ms, size, verdict]
        return line

    @param.depends("horizon")
    def intervals(self) -> Any:
        """IC of every model at the horizon with its 95 % interval; rings: entered one bar later."""
        rows = list(self._rows(self.horizon).values())
        table = pd.DataFrame(
            {
                "model": [model_name(r.family, r.strategy) for r in rows],
                "IC": [r.ic.value for r in rows], "below": [r.ic.value - r.ic.low for r in rows],
                "above": [r.ic.high - r.ic.value for r in rows], "p_value": [r.p_value for r in rows],
                "later": [r.skip.value for r in rows],
            }
        )  # fmt: skip
        bars = whiskers(table, "model", ["IC", "below", "above"])
        dots = hv.Scatter(table, "model", ["IC", "p_value"], label="tradable entry")
        rings = hv.Scatter(table.assign(IC=table["later"]), "model", "IC", label="one bar later")
        return (
            hv.HLine(0) * bars * dots.opts(size=9, tools=["hover"], color=style.BLUE)
            * rings.opts(size=8, fill_alpha=0, line_color=style.ORANGE, line_width=1.6)
        ).opts(xlabel="", ylabel=f"information coefficient, {self.horizon}", height=280, xrotation=30,
               legend_position="top_right")  # fmt: skip

    @param.depends("horizon", "model")
    def scatter(self) -> Any:
        """Mean realised label by bins of the forecast, with intervals."""
        key = self._key(self.model, self.horizon)
        oof = self._oofs[self.horizon]
        b = prediction_bins(oof, oof.keys.index(key))
        table = pd.DataFrame({"forecast": b.x, "realised": b.y, "below": b.y - b.low, "above": b.high - b.y,
                              "rows": b.count})  # fmt: skip
        ends = np.array([b.x.min(), b.x.max()]) if len(b.x) else np.zeros(2)
        honest = hv.Curve((ends, ends), "forecast", "realised", label="as forecast")
        bars = whiskers(table, "forecast", ["realised", "below", "above"])
        dots = hv.Scatter(table, "forecast", ["realised", "rows"], label="mean of a bin, 95 %")
        return (
            hv.HLine(0) * honest.opts(line_dash="dashed", color=style.GREY) * bars
            * dots.opts(size=7, tools=["hover"])
        ).opts(xlabel="forecast, sigma of the horizon", ylabel="realised, sigma", height=280)  # fmt: skip

    @param.depends("horizon", "model", "other", "other_horizon")
    def side_by_side(self) -> str:
        """The comparison in numbers."""
        c = self.comparison()
        names = [f"{self.model} {self.horizon}", f"{self.other} {self.other_horizon}"]
        verdict = (
            c.difference.reason or ("the interval excludes zero" if c.difference.excludes_zero() else "may be chance")
        )  # fmt: skip
        facts = {
            f"IC of {names[0]}": interval(c.first), f"IC of {names[1]}": interval(c.second),
            "difference [95 %]": interval(c.difference), "verdict": verdict,
            "correlation of the forecasts": c.correlation, "decisions in common": c.rows,
        }  # fmt: skip
        return html.card("", "", html.facts(facts))

    @param.depends("horizon", "model", "other", "other_horizon")
    def day_by_day(self) -> Any:
        """The daily IC of both, added up: a steady climb is skill, a few jumps are luck."""
        c = self.comparison()
        day = c.session.astype("datetime64[D]").astype("datetime64[ns]")
        total = np.nancumsum(c.by_session, axis=0)
        names = [f"{self.model} {self.horizon}", f"{self.other} {self.other_horizon}"]
        if names[0] == names[1]:
            names[1] += " "
        curves = [
            hv.Curve((day, total[:, i]), "session", "IC, added up", label=name).opts(color=colour, tools=["hover"])
            for i, (name, colour) in enumerate(zip(names, (style.BLUE, style.ORANGE), strict=True))
        ]
        return (hv.HLine(0) * curves[0] * curves[1]).opts(xlabel="", ylabel="daily IC, added up", height=240)

    def body(self) -> pn.viewable.Viewable:
        return pn.Column(
            self.plot(self.heat_map, "Information coefficient, out of fold (dot: beats a constant; %: weight in the "
                      "blend)", height=None, dynamic=False),
            self.text(self.zoo_table),
            self.row(
                self.plot(self.intervals, "IC of every model with its 95 % interval", height=280, dynamic=False),
                self.plot(self.scatter, "What the model said, and what came", height=280, dynamic=False),
            ),
            pn.pane.HTML(html.caption("Two cells side by side")),
            self.text(self.side_by_side),
            self.plot(self.day_by_day, "Daily IC of the two, added up", height=240, dynamic=False),
            sizing_mode="stretch_width",
        )  # fmt: skip


def _written(c: ZooCell) -> str:
    dot = " •" if c.beats_constant else ""
    weight = f" {100 * c.weight:.0f} %" if c.weight >= 0.005 else ""
    return f"{c.ic:.3f}{dot}{weight}"
