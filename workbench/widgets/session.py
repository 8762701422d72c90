"""What a journaled session did: books, costs of execution, calibration, drift, latencies and everything unusual."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import holoviews as hv
import ipywidgets
import numpy as np
import panel as pn
import param

from workbench.analysis import tca
from workbench.analysis.drift import FeatureDrift
from workbench.core.calendar import iso_date, iso_time
from workbench.core.horizon import INTRADAY_HORIZONS
from workbench.core.units import NS_PER_DAY
from workbench.engine.session_record import SessionPath, SessionRecord, read_happenings, read_path
from workbench.engine.verify import Verdict
from workbench.features.history import FeatureHistory
from workbench.journal import SqlJournal
from workbench.research.session_outcomes import SessionOutcomes, live_calibration, live_drift, live_ic, session_outcomes
from workbench.widgets import html, style
from workbench.widgets.base import StageView
from workbench.widgets.controls import control
from workbench.widgets.execution import ExecutionView, block, mean_text
from workbench.widgets.live_tables import latency_table

HORIZONS = [h.label for h in INTRADAY_HORIZONS]
FEW_ROWS = 200
SHOWN_FEATURES = 10
NEED_JOURNAL = "pass journal= (the journal that the record was read from) to see this"
NEED_HISTORY = "not told, for it needs the features that the models were trained on (`history=` of the view)"
NEED_VERDICT = "whether live did what research promised was not checked (`verdict=verify_session(...)` of the view)"


class SessionView(StageView):
    """One :class:`SessionRecord`, as `read_session` gives it.

    `journal`: where it was read from: books, breaches, modes and what came of the forecasts; `history`: the training
    features, for drift; `verdict` of `verify_session`. What needs a missing one is left out, and that is said.
    """

    title: ClassVar[str] = "Session report"
    turns: ClassVar[tuple[str, ...]] = ("horizon", "side")

    horizon = param.Selector(default="5m", objects=HORIZONS, label="Horizon", doc="Of the barrier probabilities")
    side = param.Selector(default="peak", objects=["peak", "valley"], label="Barrier", doc="Peak: a fall comes first")

    def __init__(
        self,
        record: SessionRecord,
        *,
        journal: SqlJournal | None = None,
        history: FeatureHistory | None = None,
        verdict: Verdict | None = None,
    ) -> None:
        self.record, self.verdict = record, verdict
        self.execution = ExecutionView(record)
        self.path: SessionPath | None = None
        self.outcomes: SessionOutcomes | None = None
        self.drift: FeatureDrift | None = None
        self.happenings: tuple[Any, ...] = ()
        if journal is not None:
            self.path = read_path(journal, record.session)
            self.happenings = read_happenings(journal, record.session)
            self.outcomes = session_outcomes(journal, record.session)
            self.drift = None if history is None else live_drift(self.outcomes, history)
        super().__init__()

    def heading(self) -> str:
        return card(self.record, self.verdict)

    def body(self) -> pn.viewable.Viewable:
        parts: list[Any] = []
        if self.path is None:
            parts.append(_note(f"Books, modes, breaches, calibration and drift: {NEED_JOURNAL}."))
        else:
            parts.append(self.row(self.plot(self.nav, "Net asset value at each decision", height=220),
                                  self.plot(self.exposure, "Exposure at each decision", height=220)))  # fmt: skip
        parts += [pn.pane.HTML(html.caption(self.execution.title)), self.execution.shown()]
        if self.outcomes is not None:
            said = self.plot(self.reliability, "Said and came: barrier probabilities of the gate", height=280)
            ic = self.plot(self.ic, "IC of the blended forecast in this session", height=280)
            parts += [self.row(said, ic), self.text(self.outcome_html)]
        if self.drift is not None:
            parts.append(self.plot(self.drift_bars, "Features furthest from training, and how far a session usually is",
                                   height=320))  # fmt: skip
        return pn.Column(*parts, self.text(self.rest_html), sizing_mode="stretch_width")

    def controls(self) -> list[pn.viewable.Viewable]:
        return [*self.execution.controls(), *super().controls()]

    def widget(self) -> ipywidgets.VBox:
        """The view as real ipywidgets, those of the costs among them."""
        made = super().widget()
        turns = made.children[2]
        turns.children = (*(control(self.execution, name) for name in self.execution.turns), *turns.children)
        return made

    # ---- books ------------------------------------------------------------------------------------------------

    def nav(self) -> hv.Curve:
        """NAV of all systems at each decision."""
        assert self.path is not None
        when = self.path.ts.astype("datetime64[ns]")
        curve = hv.Curve((when, self.path.nav), "bar end (UTC)", "NAV (USD)")
        return curve.opts(yformatter="%.0f", tools=["hover"], interpolation="steps-post")

    def exposure(self) -> hv.Overlay:
        """Gross and net exposure, percent of NAV."""
        assert self.path is not None
        when, axes = self.path.ts.astype("datetime64[ns]"), ("bar end (UTC)", "exposure (% of NAV)")
        step = {"interpolation": "steps-post", "tools": ["hover"]}
        return hv.Overlay(
            [
                hv.Curve((when, 100 * self.path.gross), *axes, label="gross").opts(color=style.BLUE, **step),
                hv.Curve((when, 100 * self.path.net), *axes, label="net").opts(color=style.ORANGE, **step),
            ]
        ).opts(legend_position="top")

    # ---- what came of it --------------------------------------------------------------------------------------

    @param.depends("horizon", "side")
    def reliability(self) -> hv.Overlay:
        """Observed frequency against the probability said, by bins of equal counts."""
        r = self.calibration().reliability
        said = hv.Dimension("said", label="probability said", range=(0, 1))
        came = hv.Dimension("came", label="frequency observed", range=(0, 1))
        dots = hv.Scatter((r.predicted, r.observed, r.count), said, [came, "rows"])
        line = hv.Curve([(0, 0), (1, 1)], said, came).opts(color=style.INK, line_dash="dashed")
        return line * dots.opts(size=9, color=style.BLUE, tools=["hover"])

    def calibration(self) -> Any:
        """Calibration of the chosen probabilities over this session."""
        assert self.outcomes is not None
        return live_calibration(self.outcomes, self.horizon, self.side)

    def ic(self) -> hv.Overlay:
        """Information coefficient by horizon; unknown ones are left out."""
        assert self.outcomes is not None
        found = [(h, live_ic(self.outcomes, h)) for h in HORIZONS]
        rows = [(h, float(i.value[0]), int(i.times[0])) for h, i in found]
        bars = hv.Bars(rows, hv.Dimension("horizon", values=HORIZONS), ["IC", "decisions"])
        return bars.opts(tools=["hover"]) * hv.HLine(0.0)

    @param.depends("horizon", "side")
    def outcome_html(self) -> str:
        """The same in numbers, and how little one session can say."""
        c = self.calibration()
        told = {"rows": c.rows, "base rate": c.base_rate, "Brier": c.brier, "Brier skill": c.skill.value, "ECE": c.ece}
        if not c.rows:
            note = f"No {self.horizon} window ended within this session, so nothing is known of its barriers."
        else:
            few = "and so few rows " if c.rows < FEW_ROWS else ""
            why = c.skill.reason or c.reason
            note = f"One session {few}give no interval: {why}. Read it as a sign of life, not proof."
        return block(html.facts({f"{self.horizon} {self.side}": "", **told}) + html.note(note))

    def drift_bars(self) -> hv.Overlay:
        """Distances beside what 19 of 20 training sessions stay below: first the features that pass it."""
        d = self.drift
        assert d is not None
        order = np.lexsort((-np.nan_to_num(d.distance, nan=-1.0), ~d.drifted))[:SHOWN_FEATURES]
        axis = hv.Dimension("distance", label="Kolmogorov-Smirnov distance", range=(0, 1))
        bars = hv.Bars([(d.names[i], d.distance[i]) for i in order], "feature", axis)
        bars = bars.opts(tools=["hover"], xrotation=35)
        usual = [(d.names[i], d.usual[i]) for i in order if d.usual[i] == d.usual[i]]
        dots = hv.Scatter(usual, "feature", axis, label="19 of 20 training sessions stay below")
        return bars * dots.opts(color=style.RED, marker="dash", size=22, line_width=3)

    # ---- the rest ---------------------------------------------------------------------------------------------

    def rest_html(self) -> str:
        """Drift in words, latencies, and everything that is not an ordinary bar."""
        parts = [self._drift_note(), latency_table(self.record.latencies)]
        rows = [[iso_time(h.at), h.kind, h.system, h.text] for h in self.happenings]
        if rows:
            columns = ["time (UTC)", "what", "system", "in words"]
            parts.append(html.table(columns, rows, caption="Unusual", left=("what", "system", "in words")))
        elif self.path is not None:
            parts.append(html.note("No breach, no change of mode, no command, no missed bar."))
        return block("".join(parts))

    def _drift_note(self) -> str:
        if self.drift is None:
            return html.note(f"Drift: {NEED_HISTORY if self.outcomes is not None else NEED_JOURNAL}.")
        d, count = self.drift, int(self.drift.drifted.sum())
        return html.note(
            f"{count} of {len(d.names)} features are further from training ({d.sessions} sessions, same times of day, "
            f"{d.rows} live rows) than 19 of 20 training sessions; about {len(d.names) / 20:.0f} would be so by chance."
        )


def card(record: SessionRecord, verdict: Verdict | None = None) -> str:
    """A session in numbers."""
    fills, sent = record.fills, record.sent
    mean = tca.overall(sent, fills).costs["decision_bps"] if len(sent) else None
    pairs: Mapping[str, Any] = {
        "account": record.kind,
        "bars (UTC)": f"{iso_time(record.first_bar)[11:16]} to {iso_time(record.last_bar)[11:16]}",
        "decisions": record.decisions,
        "missed bars": record.missed,
        "orders": len(sent),
        "fills": len(fills),
        "traded USD": f"{float(np.sum(fills.quantity * fills.price)):,.0f}",
        "commission USD": f"{paid:,.2f}" if (paid := float(np.sum(fills.commission))) == paid else None,
        "NAV at the end USD": f"{record.nav[-1]:,.2f}",
        "change (bps)": html.bps(record.nav[-1] / record.nav[0] - 1),
        "slippage (bps)": html.DASH if mean is None else mean_text(mean),
    }
    body = html.facts(pairs)
    body += html.note(f"Parity: {NEED_VERDICT}.") if verdict is None else verdict_html(verdict)
    if record.kind == "simulated":
        body += html.note("A simulated account: what it earned says nothing about real profit.")
    return html.card("Session report", f"{iso_date(record.first_bar // NS_PER_DAY)}, session {record.session}", body)


def verdict_html(verdict: Verdict) -> str:
    """Whether live did what research promised, in two lines, and where not."""
    first = verdict.first or verdict.first_forecast
    rows = [
        ["features and stages 4 to 9, replayed from the journal", _mark(verdict.stages)],
        ["forecasts, inferred again", _mark(verdict.forecasts)],
    ]
    told = html.table([f"parity of {verdict.decisions} decisions", "bit for bit"], rows, left=("bit for bit",))
    return told + (html.error(f"First difference: {first}") if first else "")


def _mark(word: str) -> str:
    return html.mark(word, {"equal": "good", "different": "bad"}.get(word, "dim"))


def _note(message: str) -> pn.viewable.Viewable:
    return pn.pane.HTML(block(html.note(message)), sizing_mode="stretch_width")
