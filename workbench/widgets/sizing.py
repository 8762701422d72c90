"""Stages 8 and 9 to look at and to turn: one bar from alpha to weights, what binds, whose the risk is, the band."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, ClassVar

import holoviews as hv
import numpy as np
import panel as pn
import param
from pydantic import ValidationError

from workbench.analysis import sizing_study as study
from workbench.config import SizingSettings, ValidationSettings
from workbench.core.arrays import IntArray
from workbench.core.calendar import iso_date, iso_time
from workbench.core.errors import ConfigError
from workbench.core.units import BPS
from workbench.decision.sizing import PositionSizer
from workbench.decision.validation import PositionValidator
from workbench.engine.recall import Recall
from workbench.widgets import html, style
from workbench.widgets.base import StageView

BANDS = (0.0, 0.001, 0.002, 0.004, 0.006, 0.008, 0.012, 0.016, 0.024)
"""No-trade bands of the sweep, fractions of NAV."""
SWEPT_SESSIONS = 3
SWEEP_S = 0.15
"""Seconds that one run of the sweep may take; fewer sessions where it would take longer."""
KNOBS = ("target_gross", "max_weight", "z_max", "ridge_lambda", "no_trade_band")
PERCENT = 100.0


# cards ---------------------------------------------------------------------------------------------------------------


def sizer_card(sizer: PositionSizer) -> str:
    """Settings and what was learned."""
    s = sizer.settings
    band = "min(0.8 %, 0.25 · target_gross / N)" if s.no_trade_band is None else html.percent(s.no_trade_band, 2)
    facts = {
        "method": s.method,
        "z_ref, out-of-fold RMS of z": sizer.z_ref_,
        "z_max": s.z_max,
        "ridge_lambda": s.ridge_lambda,
        "no-trade band": band,
    }
    limits = {
        "target_gross": html.percent(s.target_gross),
        "max_net": html.percent(s.max_net),
        "max_weight": html.percent(s.max_weight),
        "max_overnight_gross": html.percent(s.max_overnight_gross),
        "flat before the close": f"{s.flatten_before_close:g} min",
        "shorts": "allowed" if s.allow_short else "not allowed",
    }
    return html.card(
        "PositionSizer · from alpha to weights", "fractions of NAV, in delta dollars",
        html.facts(facts), html.facts(limits),
    )  # fmt: skip


def validator_card(validator: PositionValidator) -> str:
    """Every rule with its bound and what a breach does."""
    v, s = validator.settings, validator.sizing
    rows = [
        ("max_weight", html.percent(s.max_weight), "freezes the symbol"),
        ("max_notional", f"{v.max_notional:,.0f} USD", "freezes the symbol"),
        ("max_price_move", html.percent(v.max_price_move), "freezes the symbol"),
        ("max_quote_age_s", f"{v.max_quote_age_s:g} s", "freezes the symbol"),
        ("max_participation", html.percent(v.max_participation), "cuts the step"),
        ("target_gross", html.percent(s.target_gross), "only what shrinks a position"),
        ("max_net", html.percent(s.max_net), "only what shrinks a position"),
        ("max_drawdown", html.percent(v.max_drawdown), v.on_drawdown.replace("_", " ")),
        ("max_daily_loss", html.percent(v.max_daily_loss), v.on_daily_loss.replace("_", " ")),
        ("max_turnover_daily", f"{v.max_turnover_daily:g} × NAV", "scales what grows"),
    ]
    return html.card(
        "PositionValidator · the last look at a target", "it never enlarges a step",
        html.table(("rule", "bound", "a breach"), rows, left=("a breach",)),
    )  # fmt: skip


# the view ------------------------------------------------------------------------------------------------------------


class SizingView(StageView):
    """One bar of a backtest, sized and validated again with every change of a setting.

    `sizer_or_validator` gives the settings to begin with; `sizer` or `validator` those of the other stage, where they
    are not the ones in force at the bar. `recall` gives the bars; z_ref is that of the stages in force at each.
    """

    title: ClassVar[str] = "Sizing and validation of one bar"
    turns: ClassVar[tuple[str, ...]] = ("session", "bar", *KNOBS, "reset", "sweep")

    session = param.Selector(label="session", doc="Day of the backtest")
    bar = param.Integer(30, bounds=(0, 77), label="bar", doc="Bar of the session, from 0")
    target_gross = param.Number(0.5, bounds=(0.02, 3), step=0.01, label="target_gross", doc="Sum |w| at full strength")
    max_weight = param.Number(0.05, bounds=(0.002, 0.5), step=0.002, label="max_weight", doc="Largest weight of a name")
    z_max = param.Number(3.0, bounds=(0.1, 10), step=0.05, label="z_max", doc="Where z / z_ref is clipped")
    ridge_lambda = param.Number(
        1.0, bounds=(0.01, 20), step=0.05, label="ridge_lambda", doc="Large: each name by itself; small: hedged fully"
    )
    no_trade_band = param.Number(
        0.008, bounds=(0, 0.03), step=0.0005, label="no_trade_band", doc="Steps smaller than this are not made"
    )
    reset = param.Event(label="Reset", doc="The settings of the stage")
    sweep = param.Event(label="Sweep the band", doc="Trade the busiest sessions once per band with these settings")

    def __init__(
        self,
        sizer_or_validator: PositionSizer | PositionValidator,
        *,
        recall: Recall | None = None,
        sizer: PositionSizer | None = None,
        validator: PositionValidator | None = None,
        **params: Any,
    ) -> None:
        given = sizer_or_validator
        sizer = given if isinstance(given, PositionSizer) else sizer
        self.recall = recall
        self.validation = _validation(given, validator)
        self.settings = given.sizing if sizer is None else sizer.settings
        self._knobs = {name: getattr(self.settings, name) for name in KNOBS}
        names = 1 if recall is None else len(recall.result.symbols)
        self._knobs["no_trade_band"] = PositionSizer(self.settings).band(names)
        self._resized = lru_cache(8)(self._resize)
        if recall is not None:
            self._begin(recall, params)
        for name, value in self._knobs.items():
            low, high = self.param[name].bounds
            self.param[name].bounds = (min(low, value), max(high, value))
        super().__init__(**{**self._knobs, **params})
        self.param.watch(lambda _: self.param.update(**self._knobs), "reset")
        self.param.watch(lambda _: self._sweep(), "sweep")

    def _begin(self, recall: Recall, params: dict[str, Any]) -> None:
        """Bars to choose from, and the sweep."""
        days = recall.result.session[recall.rows]
        self._rows = {int(day): recall.rows[days == day] for day in np.unique(days)}
        self.param.session.objects = {iso_date(day): day for day in self._rows}
        self.param.bar.bounds = (0, max(map(len, self._rows.values())) - 1)
        busiest = int(days[_busiest(recall, recall.rows)])
        params.setdefault("session", busiest)
        params.setdefault("bar", _busiest(recall, self._rows[params["session"]]))
        upto = list(self._rows).index(busiest) + 1
        swept = list(self._rows.values())[max(upto - SWEPT_SESSIONS, 0) : upto]
        self.what_if = recall.what_if(np.concatenate(swept))
        self._sessions = self.what_if.sessions_within(SWEEP_S)
        self.swept = study.band_sweep(self.what_if, self.settings, BANDS, self._sessions)

    def heading(self) -> str:
        return html.card(self.title, "weights in percent of NAV; the book and the forecasts as they were")

    def body(self) -> pn.viewable.Viewable:
        if self.recall is None:
            told = "Pass recall=recall_backtest(job) to size the bars of a backtest again, step by step."
            return pn.pane.HTML(html.card("", "", html.note(told)), sizing_mode="stretch_width")
        return pn.Column(
            self.text(self.steps),
            self.row(
                self.plot(self.scores, "z / z_ref of each name, clipped at z_max"),
                self.plot(self.weights, "Held, zone, desired and final weight"),
            ),
            self.row(
                self.plot(self.risk, "Whose the risk is: share of variance and of gross"),
                self.text(self.bounds),
            ),
            self.row(
                self.plot(self.turnover, "Turnover a session against the no-trade band, validated as in the backtest"),
                self.plot(self.earned, "What the same sessions make"),
            ),
            sizing_mode="stretch_width",
        )

    # ---- the bar ----------------------------------------------------------------------------------------------

    @property
    def row_of_bar(self) -> int:
        """Row of the backtest that is looked at; a session that closes early ends at its last decision."""
        rows = self._rows[self.session]
        return int(rows[min(self.bar, len(rows) - 1)])

    @property
    def sized(self) -> study.Sized:
        """The bar with the settings of now."""
        return self._resized(self.row_of_bar, tuple(getattr(self, name) for name in KNOBS))

    def _resize(self, row: int, knobs: tuple[float, ...]) -> study.Sized:
        return study.resize(self.recall.moment(row), self._changed(knobs), self.validation)

    def _changed(self, knobs: tuple[float, ...]) -> SizingSettings:
        changed = {**self.settings.model_dump(), **dict(zip(KNOBS, knobs, strict=True))}
        try:
            return SizingSettings(**changed)
        except ValidationError as error:
            told = "; ".join(str(e["msg"]).removeprefix("Value error, ") for e in error.errors())
            raise ConfigError(f"these settings do not go together: {told}") from None

    def _sweep(self) -> None:
        settings = self._changed(tuple(getattr(self, name) for name in KNOBS))
        self.swept = study.band_sweep(self.what_if, settings, BANDS, self._sessions)

    # ---- figures ----------------------------------------------------------------------------------------------

    @param.depends("session", "bar", *KNOBS)
    def steps(self) -> str:
        """Every step of every name."""
        z = self.sized
        t, m, told = z.trace, z.moment, study.remarks(z)
        columns = ("name", "bps a day", "gate", "z", "u", "y", "w*", "in limits", "zone", "held", "after zone",
                   "after band", "in limits", "validated", "what decided")  # fmt: skip
        stages = (t.raw, t.sizing.desired, t.now, t.edge, t.target, t.sizing.weights, z.target.weights)
        rows = []
        for i, name in enumerate(m.snapshot.symbols):
            raw, desired, now, edge, target, limited, final = (_pct(w[i]) for w in stages)
            zone = f"{_pct(t.sizing.desired[i] - t.below[i])} … {_pct(t.sizing.desired[i] + t.above[i])}"
            moved = "good" if z.target.weights[i] > t.now[i] else "bad"
            final = html.mark(final, moved) if z.target.weights[i] != t.now[i] else final
            alpha = (_bps(m.decision.choice.gross[i]), _digits(m.decision.gate[i]))
            scores = (_digits(t.z[i], 4), _digits(t.u[i]), _digits(t.y[i]))
            zone = zone if t.sized[i] else html.DASH
            rows.append((name, *alpha, *scores, raw, desired, zone, now, edge, target, limited, final, told[i]))
        facts = {
            "bar": iso_time(m.decision.known_at), "z_ref": m.stages.sizer.z_ref_, "strength min(1, rms u)": t.strength,
            "level K": t.level, "band": html.percent(t.band, 2), "phase": m.snapshot.phase.value,
            "turnover of this decision": html.percent(float(np.abs(z.target.weights - t.now).sum()), 2),
        }  # fmt: skip
        return html.card("", "", html.facts(facts), html.table(columns, rows, left=("what decided",)))

    @param.depends("session", "bar", *KNOBS)
    def scores(self) -> hv.Overlay:
        """u of each name, and where it is clipped."""
        z, symbols = self.sized, self._symbols
        u, z_ref = z.trace.u, z.moment.stages.sizer.z_ref_
        side = np.where(u > 0, "long", "short")
        bars = hv.Bars((symbols, np.nan_to_num(u), side), "name", ["u", "side"]).opts(
            color="side", cmap={"long": style.LONG, "short": style.SHORT}, tools=["hover"], xrotation=60, framewise=True
        )
        before = hv.Scatter((symbols, np.where(z.trace.sized, z.trace.z / z_ref, np.nan)), "name", "z / z_ref").opts(
            color=style.ORANGE, marker="dash", size=18, line_width=2, tools=["hover"], framewise=True
        )
        return (bars * before * hv.HLine(0)).opts(
            xlabel="", ylabel="u; dash: before the clip", framewise=True, show_legend=False
        )

    @param.depends("session", "bar", *KNOBS)
    def weights(self) -> hv.Overlay:
        """The zone around the desired weight of each name, what is held and what is decided."""
        z = self.sized
        t, n = z.trace, len(self._symbols)
        x, desired = np.arange(n), PERCENT * t.sizing.desired
        low, high = desired - PERCENT * t.below, desired + PERCENT * t.above
        zone = hv.Segments((x, low, x, high), ["x", "low", "x1", "high"]).opts(
            color=style.ORANGE, line_width=7, alpha=0.3, framewise=True
        )
        sets = (("held", t.now, style.GREY, "square", 8), ("desired", t.sizing.desired, style.ORANGE, "diamond", 9),
                ("final", z.target.weights, style.BLUE, "circle", 6))  # fmt: skip
        marks = [
            hv.Scatter((x, PERCENT * w, list(self._symbols)), "x", ["weight", "name"], label=label).opts(
                color=colour, marker=marker, size=size, tools=["hover"], framewise=True
            )
            for label, w, colour, marker, size in sets
        ]
        return (zone * hv.HLine(0) * marks[0] * marks[1] * marks[2]).opts(
            xlabel="", ylabel="weight (% of NAV)", xticks=list(enumerate(self._symbols)), xrotation=60, framewise=True,
            xlim=(-0.6, n - 0.4), legend_position="right",
        )  # fmt: skip

    @param.depends("session", "bar", *KNOBS)
    def risk(self) -> hv.Overlay:
        """Euler parts of the book's variance beside the share of gross; a hedge has a negative part."""
        z, symbols = self.sized, self._symbols
        s, w = z.moment.snapshot, z.target.weights
        share = study.risk_contributions(w, s.sigma_1d, s.correlation).share
        total = float(np.abs(z.delta).sum())
        gross = np.abs(z.delta) / total if total > 0 else np.full(len(w), np.nan)
        bars = hv.Bars((symbols, PERCENT * share), "name", "part", label="of variance").opts(
            color=style.PURPLE, xrotation=60, tools=["hover"], framewise=True
        )
        marks = hv.Scatter((symbols, PERCENT * gross), "name", "part", label="of gross").opts(
            color=style.ORANGE, marker="dash", size=18, line_width=2, tools=["hover"], framewise=True
        )
        return (bars * marks * hv.HLine(0)).opts(xlabel="", ylabel="share (%)", framewise=True, legend_position="right")

    @param.depends("session", "bar", *KNOBS)
    def bounds(self) -> str:
        """Limits that bind, and what the validation found."""
        z = self.sized
        s = z.moment.snapshot
        risk = study.risk_contributions(z.target.weights, s.sigma_1d, s.correlation)
        rows = [
            (limit.name, *(html.percent(v, 2) for v in (limit.asked, limit.value, limit.bound)),
             html.mark("binds", "bad") if limit.binds else "no")
            for limit in study.limits(z)
        ]  # fmt: skip
        found = [(b.rule, b.symbol or "the book", b.value, b.bound, b.action.replace("_", " ")) for b in z.breaches]
        breaches = (
            html.table(("breach", "where", "value", "bound", "action"), found, left=("where", "action"))
            if found
            else "<p>No rule of the validation was broken.</p>"
        )
        return html.card(
            "Limits and guards", "in delta dollars, percent of NAV",
            html.table(("limit", "w*", "final", "bound", ""), rows),
            html.facts({"volatility of the book, a day": html.percent(risk.volatility, 3)}), breaches,
        )  # fmt: skip

    @param.depends("no_trade_band", "sweep")
    def turnover(self) -> hv.Overlay:
        """How much is traded a session, by band."""
        x, y = PERCENT * self.swept.band, PERCENT * self.swept.turnover
        points = hv.Scatter((x, y), "band", "turnover").opts(size=7, tools=["hover"], framewise=True)
        return (hv.Curve((x, y), "band", "turnover").opts(framewise=True) * points * self._now()).opts(
            xlabel="no-trade band (% of NAV); dashed: now", ylabel=f"turnover (% of NAV a session, {self._swept_days})",
            framewise=True, ylim=(0, None),
        )  # fmt: skip

    @param.depends("no_trade_band", "sweep")
    def earned(self) -> hv.Overlay:
        """Gross, cost and net a session, by band."""
        w = self.swept
        lines = (("gross", w.gross, style.GREY), ("cost", -w.cost, style.RED), ("net", w.net, style.BLUE))
        curves = [
            hv.Curve((PERCENT * w.band, y / BPS), "band", "made", label=name).opts(
                color=colour, tools=["hover"], framewise=True
            )
            for name, y, colour in lines
        ]
        return (curves[0] * curves[1] * curves[2] * hv.HLine(0) * self._now()).opts(
            xlabel="no-trade band (% of NAV); dashed: now", ylabel=f"bps of NAV a session, {self._swept_days}",
            legend_position="right", framewise=True,
        )  # fmt: skip

    def _now(self) -> hv.VLine:
        return hv.VLine(PERCENT * self.no_trade_band).opts(line_dash="dashed", color=style.INK)

    @property
    def _swept_days(self) -> str:
        free = f"; {self.swept.unpriced} trades of unknown cost as free" if self.swept.unpriced else ""
        return f"busiest {self.swept.sessions}{free}"

    @property
    def _symbols(self) -> tuple[str, ...]:
        return self.recall.result.symbols


def _validation(
    given: PositionSizer | PositionValidator, validator: PositionValidator | None
) -> ValidationSettings | None:
    """Settings of stage 9; None: those in force at the bar."""
    chosen = given if isinstance(given, PositionValidator) else validator
    return None if chosen is None else chosen.settings


def _busiest(recall: Recall, rows: IntArray) -> int:
    """Which of `rows`, counted from 0, led to the most trading in its next bar."""
    traded = recall.result.turnover
    return int(np.argmax(traded[np.minimum(rows + 1, len(traded) - 1)]))


def _pct(weight: float) -> str:
    return html.DASH if weight != weight else f"{PERCENT * weight:.2f}"


def _bps(rate: float) -> str:
    return html.bps(float(rate), 1)


def _digits(value: float, digits: int = 2) -> str:
    return html.DASH if value != value else f"{value:.{digits}f}"
