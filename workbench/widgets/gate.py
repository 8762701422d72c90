"""Stage 7, the gate: whether its probabilities mean what they say, its shape, what it leaves of alpha and profit."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any

import numpy as np
import panel as pn
import param

from workbench.analysis.gate_study import (
    GateRows,
    SideCalibration,
    SideEffect,
    side_calibration,
    side_effect,
    with_settings,
)
from workbench.analysis.what_if import LEFT_OUT, Gated, Outcome, WhatIf
from workbench.config import GatingSettings
from workbench.core.horizon import HORIZONS, horizon
from workbench.core.types import TIME_BUCKETS, OofForecasts
from workbench.decision.blending import HorizonBlender
from workbench.decision.gating import BarrierGate
from workbench.engine.recall import Recall
from workbench.stats.stack import SIDES, BarrierStack
from workbench.widgets import html
from workbench.widgets.base import StageView
from workbench.widgets.gate_figures import (
    NAMES,
    brier_figure,
    calibration_table,
    distribution_figure,
    ece_figure,
    profit_figure,
    reliability_figure,
    section_figure,
    surface_figure,
)

TURNED = ("g_min", "gamma", "delta")
LIVE_SECONDS = 0.06
"""Time within which a slider's effect on profit should be there: so many of the busiest sessions are traded again."""

CLOUD = 400
"""Out-of-fold rows shown on the surface, evenly spaced in time."""

PASS_OOFS = (
    "Pass oofs=steps.oofs(job) and stack=steps.stacks(job) to see the calibration and how much alpha the gate leaves."
)
PASS_RECALL = "Pass recall=recall_backtest(job) to see what other settings do to the profit of the backtest."


def card(gate: BarrierGate) -> str:
    """Settings, base rates and mean gates."""
    s = gate.settings
    facts = {"g_min": s.g_min, "gamma": s.gamma, "delta": s.delta, "replaced by their mean": _names(gate)}
    lines = [_line(gate, label) for label in fitted(gate)]
    columns = ("horizon", "base rate of peak", "base rate of valley", "mean gate, longs", "mean gate, shorts")
    shown = html.table(columns, lines) if lines else html.note("Not fitted: every gate is 1. Fit it on OOF rows.")
    sub = "g(p) = (1 - p_peak)^gamma (1/2 + p_valley/2)^delta for a long, over g at the base rates, in [g_min, 1]"
    return html.card("BarrierGate", sub, html.facts(facts), shown)


def _names(gate: BarrierGate) -> str:
    return ", ".join(sorted(gate.degraded)) or "none"


def _line(gate: BarrierGate, label: str) -> list[Any]:
    h = horizon(label).order
    rates = [f"{a[h].min():.3f} to {a[h].max():.3f}" for a in (gate.base_peak_, gate.base_valley_)]
    return [label, *rates, *gate.mean_gate_[h].tolist()]


def fitted(gate: BarrierGate) -> list[str]:
    """Labels of the horizons that have base rates."""
    return [h.label for h in HORIZONS if np.isfinite(gate.base_peak_[h.order]).all()]


class GateView(StageView):
    """A fitted gate.

    `oofs` (label -> out-of-fold forecasts) with `stack`, the barrier stack of each segment (``steps.stacks(job)``), add
    calibration and the effect on alpha; `blender` says how large alpha was; `recall` adds the profit of a backtest.
    """

    title = "Gate: less where the path is likely to go wrong first"
    turns = ("horizon", "side", "bucket", *TURNED, "reset")
    hints = True
    """Whether what was not given is asked for, as one does in code."""

    horizon = param.Selector(label="Horizon", doc="Horizon of the figures")
    side = param.Selector(objects=["long", "short"], label="Side", doc="For a short, peak and valley swap")
    bucket = param.Selector(
        objects=list(TIME_BUCKETS), default="midday", label="Time of day", doc="Whose base rates are used"
    )
    g_min = param.Number(0.2, bounds=(0, 1), step=0.01, label="g_min", doc="What the gate leaves at least")
    gamma = param.Number(1.0, bounds=(0, 10), softbounds=(0, 5), step=0.05, label="gamma",
                         doc="How much the adverse barrier counts")  # fmt: skip
    delta = param.Number(0.5, bounds=(0, 10), softbounds=(0, 5), step=0.05, label="delta",
                         doc="How much the favourable barrier counts")  # fmt: skip
    span = param.Selector(label="Profit of", doc="What is traded again: the busiest at once, or all in seconds")
    reset = param.Event(label="Reset", doc="Back to the settings of the gate as it was fitted")

    def __init__(
        self,
        gate: BarrierGate,
        *,
        oofs: Mapping[str, OofForecasts] | None = None,
        stack: Mapping[int, BarrierStack] | None = None,
        recall: Recall | None = None,
        blender: HorizonBlender | None = None,
    ) -> None:
        self.gate = gate
        known = (oofs or {}) if stack else {}
        self._oofs = {label: known[label] for label in fitted(gate) if label in known}
        self._stack, self._blender = dict(stack or {}), blender
        self._rows = cache(self._make_rows)
        self._effect = lru_cache(64)(self._make_effect)
        self._calibrated = cache(lambda label, side: side_calibration(self._oofs[label], self._stack, side))
        self._now = lru_cache(8)(lambda *chosen: with_settings(gate, GatingSettings(**dict(zip(TURNED, chosen)))))
        self._what_if: WhatIf | None = None if recall is None else recall.what_if()
        self._traded, self._gated = lru_cache(32)(self._trade), lru_cache(32)(self._gate_again)
        super().__init__(**{name: getattr(gate.settings, name) for name in TURNED})
        for name in ("gamma", "delta"):
            self.param[name].softbounds = (0, max(5.0, getattr(self, name)))
        if self._what_if is not None:
            self._offer_spans(self._what_if)
        self.param["horizon"].objects = list(self._oofs) or fitted(gate) or [HORIZONS[0].label]
        self.horizon = self.param["horizon"].objects[0]

    def _offer_spans(self, what_if: WhatIf) -> None:
        quick, every = what_if.sessions_within(LIVE_SECONDS), len(np.unique(what_if.session))
        named = (
            {"the busiest session" if quick == 1 else f"the busiest {quick} sessions": quick} if quick < every else {}
        )
        self.param["span"].objects = named | {f"all {every} sessions": every}
        self.span = quick
        self.turns = (*self.turns[:-1], "span", "reset")

    @param.depends("reset", watch=True)
    def _reset(self) -> None:
        self.param.update({name: getattr(self.gate.settings, name) for name in TURNED})

    # ---- the numbers ------------------------------------------------------------------------------------------

    @property
    def chosen(self) -> GatingSettings:
        """The settings that the sliders stand at."""
        return self.now.settings

    @property
    def now(self) -> BarrierGate:
        """The gate with these settings."""
        return self._now(*(getattr(self, name) for name in TURNED))

    @property
    def short(self) -> bool:
        """Whether shorts are looked at."""
        return self.side == "short"

    def _make_rows(self, label: str) -> GateRows:
        oof = self._oofs[label]
        return GateRows.of(oof, self._stack, None if self._blender is None else self._blender.oof_alpha(oof))

    def calibrated(self, barrier: str) -> SideCalibration:
        """Calibration of "peak" or "valley" at the chosen horizon."""
        return self._calibrated(self.horizon, barrier)

    def effects(self) -> dict[tuple[str, str], SideEffect]:
        """(side, "fitted" or "now") -> what the gate does to the rows of the chosen horizon."""
        return {
            (side, name): self._effect(self.horizon, chosen, side == "short")
            for side in ("long", "short") for name, chosen in (("fitted", None), ("now", self.chosen))
        }  # fmt: skip

    def _make_effect(self, label: str, chosen: GatingSettings | None, short: bool) -> SideEffect:
        gate = self.gate if chosen is None else with_settings(self.gate, chosen)
        return side_effect(gate, self._rows(label), short=short)

    def gated(self) -> dict[str, Gated]:
        """The gates of all decisions of the backtest, "fitted" and "now"; only with a recall."""
        assert self._what_if is not None, "gated() needs the recall of a backtest"
        return {"fitted": self._gated(None), "now": self._gated(self._difference())}

    def traded(self) -> dict[str, Outcome]:
        """What the chosen sessions made: "backtest", "fitted" and "now"; only with a recall."""
        assert self._what_if is not None, "traded() needs the recall of a backtest"
        fitted, now = self._traded(None, self.span), self._traded(self._difference(), self.span)
        return {"backtest": self._what_if.own.part(self._what_if.busiest(self.span)), "fitted": fitted, "now": now}

    def _difference(self) -> GatingSettings | None:
        """The sliders' settings, None where they stand as in the backtest: nothing is traded twice."""
        assert self._what_if is not None
        return None if self.chosen == self._what_if.gating else self.chosen

    def _gate_again(self, gating: GatingSettings | None) -> Gated:
        assert self._what_if is not None
        return self._what_if.gated(gating)

    def _trade(self, gating: GatingSettings | None, sessions: int) -> Outcome:
        assert self._what_if is not None
        return self._what_if.run(gating, sessions=sessions)

    # ---- the shape --------------------------------------------------------------------------------------------

    @param.depends("horizon", "side", "bucket", *TURNED)
    def surface(self) -> Any:
        """Gate by both probabilities, under the settings of the sliders."""
        return surface_figure(self.now, self.horizon, TIME_BUCKETS.index(self.bucket), self.short, self._cloud())

    def _cloud(self) -> np.ndarray:
        if not self._oofs:
            return np.zeros((0, 2))
        rows = self._rows(self.horizon)
        pick = np.linspace(0, len(rows.p_peak) - 1, min(CLOUD, len(rows.p_peak))).astype(int)
        return np.column_stack([rows.p_peak[pick], rows.p_valley[pick]])

    @param.depends("horizon", "side", "bucket", *TURNED)
    def section(self) -> Any:
        """Gate along the adverse probability, as fitted and now."""
        return section_figure(self.gate, self.now, self.horizon, TIME_BUCKETS.index(self.bucket), self.short)

    @param.depends(*TURNED)
    def told(self) -> str:
        """Where the sliders stand, and where the fit."""
        rows = [
            (name, getattr(self.gate.settings, name), _changed(getattr(self, name), getattr(self.gate.settings, name)))
            for name in TURNED
        ]
        return html.card("", "", html.table(("setting", "as fitted", "now"), rows))

    # ---- alpha ------------------------------------------------------------------------------------------------

    @param.depends("horizon", *TURNED)
    def distribution(self) -> Any:
        """Share of the out-of-fold rows with a gate below x, as if each were held long, or short."""
        return distribution_figure(self.effects())

    @param.depends("horizon", *TURNED)
    def effect(self) -> str:
        """Mean gate and alpha kept, for longs and shorts."""
        e = self.effects()
        rows = []
        for side in ("long", "short"):
            was, now = e[side, "fitted"], e[side, "now"]
            numbers = [
                _changed(getattr(now, name), getattr(was, name), shown)
                for name, shown in (("mean", html.text), ("at_floor", html.percent), ("kept", html.percent))
            ]
            rows.append((f"{side}s", was.mean, numbers[0], html.percent(was.at_floor), numbers[1],
                         html.percent(was.kept), numbers[2], now.rows))  # fmt: skip
        columns = ("side", "mean gate", "now", "at the floor", "now", "alpha kept", "now", "rows of that side")
        return html.card("", self._alpha_told(), html.table(columns, rows))

    def _alpha_told(self) -> str:
        if self._blender is None:
            return "Pass blender= to see how much alpha is kept."
        fit = self._blender.fits_.get(self.horizon)
        if fit is None or not fit.slope > 0:
            return f"At {self.horizon} the blender has no alpha to be gated."
        return "Alpha kept: sum of gate times |alpha| over sum of |alpha|, of out-of-fold rows blended as fitted last."

    # ---- profit -----------------------------------------------------------------------------------------------

    @param.depends("span", *TURNED)
    def profit(self) -> Any:
        """Net profit of the sessions traded again."""
        return profit_figure(self.traded())

    @param.depends("span", *TURNED)
    def profit_told(self) -> str:
        """The same in numbers, with the gates of all decisions."""
        lines = [
            (NAMES[name], html.bps(o.gross.sum()), html.bps(o.cost.sum()), html.bps(o.net.sum()),
             html.percent(o.turnover.sum()), html.percent(o.exposure.mean()))
            for name, o in self.traded().items()
        ]  # fmt: skip
        columns = ("bps of NAV", "gross", "cost", "net", "turnover", "mean exposure")
        gates = [
            (what, *(html.text(_mean(g.mean_gate[:, i])) for i in (0, 1)),
             *(html.percent(_ratio(g.after[:, i], g.before[:, i])) for i in (0, 1)))
            for what, g in zip((NAMES["fitted"], NAMES["now"]), self.gated().values(), strict=True)
        ]  # fmt: skip
        named = ("all decisions of the backtest", "mean gate, longs", "shorts", "alpha kept, longs", "shorts")
        free = max(o.unpriced for o in self.traded().values())
        told = html.note(f"{free} trades of unknown cost were counted as free: the cost is too low.") if free else ""
        return html.card("", LEFT_OUT, html.table(columns, lines), told, html.table(named, gates))

    # ---- calibration ------------------------------------------------------------------------------------------

    @param.depends("horizon")
    def reliability_peak(self) -> Any:
        """Reliability of the lower barrier's probability."""
        return reliability_figure(self.calibrated("peak"))

    @param.depends("horizon")
    def reliability_valley(self) -> Any:
        """Reliability of the upper barrier's probability."""
        return reliability_figure(self.calibrated("valley"))

    @param.depends("horizon", "side")
    def brier_by_fold(self) -> Any:
        """Brier score of the adverse barrier by segment."""
        return brier_figure(self.calibrated(SIDES[self.short]).folds).opts(legend_position="top")

    @param.depends("horizon", "side")
    def ece_by_fold(self) -> Any:
        """ECE of the adverse barrier by segment."""
        return ece_figure(self.calibrated(SIDES[self.short]).folds).opts(legend_position="top")

    @param.depends("horizon")
    def calibration_told(self) -> str:
        """All of it in numbers."""
        return calibration_table({barrier: self.calibrated(barrier) for barrier in SIDES})

    # ---- put together -----------------------------------------------------------------------------------------

    def body(self) -> pn.viewable.Viewable:
        panes = [
            self.text(self.told),
            *self._money(),
            self.row(
                self.plot(self.surface, "The gate by both probabilities", height=320),
                self.plot(self.section, "Along the adverse probability, the other at its base rate", height=320),
            ),
        ]
        if self._oofs:
            panes += self._evidence()
        elif self.hints:
            panes.append(pn.pane.HTML(html.card("", "", html.note(PASS_OOFS))))
        return pn.Column(*panes, sizing_mode="stretch_width")

    def _money(self) -> list[pn.viewable.Viewable]:
        """Profit, where there is a backtest to be asked."""
        if self._what_if is None:
            return [pn.pane.HTML(html.card("", "", html.note(PASS_RECALL)))] if self.hints else []
        named = "Profit of the backtest's decisions with these gates"
        return [self.plot(self.profit, named, height=260), self.text(self.profit_told)]

    def _evidence(self) -> list[pn.viewable.Viewable]:
        """Alpha and calibration."""
        return [
            self.plot(self.distribution, "Rows that the gate holds back, as if all were long, or short", height=260),
            self.text(self.effect),
            self.row(
                self.plot(self.reliability_peak, "Reliability: peak, before and after the map", height=280),
                self.plot(self.reliability_valley, "Reliability: valley", height=280),
            ),
            self.row(
                self.plot(self.brier_by_fold, "Brier score by segment, adverse barrier, 95 %", height=240,
                          dynamic=False),
                self.plot(self.ece_by_fold, "ECE by segment (line: up to the 95th percentile if perfect)", height=240,
                          dynamic=False),
            ),
            self.text(self.calibration_told),
        ]  # fmt: skip


def _mean(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")


def _ratio(part: np.ndarray, whole: np.ndarray) -> float:
    total = float(np.nansum(whole))
    return float(np.nansum(part)) / total if total > 0 else float("nan")


def _changed(now: float, was: float, shown: Any = html.text) -> Any:
    """`now`, dim where it is as it was."""
    return html.mark(shown(now), "dim" if now == was or (now != now and was != was) else "good")
