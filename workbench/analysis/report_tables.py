"""The tables of the report, one function each."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from workbench.analysis.findings import Findings, GateFinding, HorizonStatus
from workbench.analysis.inputs import CostFit, HorizonBlend, LiveSummary, ReportInputs
from workbench.analysis.metrics import Performance
from workbench.analysis.model_table import ModelRow, ModelTable, model_name
from workbench.analysis.tables import (
    DASH,
    Cell,
    Column,
    Table,
    cell,
    columns,
    estimate_cells,
    heat,
    interval,
    minutes,
    number,
    p_text,
    percent,
    plural,
    text_cells,
)
from workbench.core.horizon import horizon

NO_TRADES = "nothing was traded"
IC_FULL_TINT = 0.05


MOST_COLUMNS = 8
"""Models with a column of their own in the table of blends."""


def horizon_table(findings: Findings, blends: Mapping[str, HorizonBlend]) -> Table:
    """All nine horizons: what became of each, and why."""
    heads = ("Horizon", "Outcome", ("Share of the alpha", "%"), ("Slope", "b"), ("Half-life", "bars"), "Windows", "Why")
    cols = [Column(*c) if isinstance(c, tuple) else Column(c, numeric=False) for c in heads]
    cols[5] = Column("Windows", "independent")
    rows = tuple(_horizon_row(s, blends.get(s.horizon.label)) for s in findings.horizons)
    return Table(tuple(cols), rows, "What became of each horizon at 1x the spread. A slope of 0 trades nothing.")


def _horizon_row(s: HorizonStatus, blend: HorizonBlend | None) -> tuple[Cell, ...]:
    kind = {"trades": "good", "abstains": "quiet", "too costly": "quiet"}.get(s.status, "quiet")
    untrained = "the horizon was not trained"
    fitted = (blend.slope, blend.halflife_bars) if blend else (np.nan, np.nan)
    why = s.why if blend is None or not blend.abstained else f"the horizon abstains: {s.why}"
    return (
        Cell(s.horizon.label, kind="strong"),
        Cell(s.status, kind=kind),
        cell(100 * s.share, 1, reason=why if s.status == "not backtested" else untrained),
        cell(fitted[0], 3, reason=untrained if blend is None else f"not fitted: {s.why}"),
        cell(fitted[1], 1, reason=untrained if blend is None else f"not fitted: {s.why}"),
        _windows_cell(blend, untrained),
        Cell(s.why, kind="prose"),
    )


def _windows_cell(blend: HorizonBlend | None, untrained: str) -> Cell:
    if blend is not None and blend.windows:
        return Cell(f"{blend.windows:,}")
    return Cell(DASH, untrained if blend is None else "windows were not counted", "na")


def sensitivity_table(findings: Findings) -> Table:
    """One column per spread multiplier and the naive run, one row per figure."""
    runs = [(f"{m:g}x spread", p) for m, p in findings.performances]
    if findings.naive is not None:
        runs.append(("Naive", findings.naive))
    rows = tuple(
        (Cell(name), *(_performance_cell(p, get, digits, sign) for _, p in runs))
        for name, get, digits, sign in _PERFORMANCE_ROWS
    )
    spans = _span_row("95 % interval of net, bps", runs, lambda p: interval(p.net_bps, 2))
    sharpes = _span_row("95 % interval of Sharpe", runs, lambda p: interval(p.sharpe, 2))
    rows = (rows[0], spans, *rows[1:3], sharpes, *rows[3:])
    caption = (
        "The same decisions' rules at other spreads, and a naive study (same-close entry, mid fills, no costs) that "
        "nobody could have traded. Sharpe from daily net returns, annualised by the square root of 252."
    )
    return Table(columns("", *(name for name, _ in runs)), rows, caption)


_Getter = Callable[[Performance], float]
_PERFORMANCE_ROWS: tuple[tuple[str, _Getter, int, bool], ...] = (
    ("Net, bps of NAV a day", lambda p: p.net_bps.value, 2, True),
    ("Before costs, bps a day", lambda p: p.gross_bps.value, 2, True),
    ("Sharpe ratio, annualised", lambda p: p.sharpe.value, 2, True),
    ("Total return, %", lambda p: 100 * p.total_return, 2, True),
    ("Volatility a year, %", lambda p: 100 * p.annual_volatility, 2, False),
    ("Largest drawdown, %", lambda p: 100 * p.max_drawdown, 2, False),
    ("Longest under water, sessions", lambda p: p.under_water, 0, False),
    ("Turnover a day, % of NAV", lambda p: 100 * p.turnover, 1, False),
    ("Gross exposure, mean, % of NAV", lambda p: 100 * p.gross_exposure, 1, False),
    ("Gross exposure, peak, % of NAV", lambda p: 100 * p.peak_gross, 1, False),
    ("Net exposure, mean absolute, % of NAV", lambda p: 100 * p.net_exposure, 1, False),
    ("Days with a gain, %", lambda p: 100 * p.hit_rate, 1, False),
    ("Holding time, trading minutes", lambda p: p.holding_minutes, 0, False),
    ("Horizon behind the alpha, trading minutes", lambda p: p.horizon_minutes, 0, False),
    ("Fills", lambda p: p.fills, 0, False),
    ("Orders", lambda p: p.orders, 0, False),
)


def _performance_cell(p: Performance, get: _Getter, digits: int, sign: bool) -> Cell:
    return cell(get(p), digits, sign=sign, reason=p.sharpe.reason or "no horizon shares were recorded for this run")


def _span_row(head: str, runs: list[tuple[str, Performance]], get: Callable[[Performance], str]) -> tuple[Cell, ...]:
    cells = (get(p) for _, p in runs)
    values = (Cell(s, p.sharpe.reason or NO_TRADES, "na") if s == DASH else Cell(s, kind="span") for s, (_, p) in zip(cells, runs))  # fmt: skip # noqa: E501
    return (Cell(head, kind="sub"), *values)


def cost_table(costs: CostFit) -> Table:
    """Fitted cost parameters beside the defaults they were shrunk to."""
    meaning = {
        "k1": "the spread",
        "k2": "sigma over the execution window",
        "k3": "sigma of a day x participation^0.6 (impact)",
    }
    names = list(dict.fromkeys([*costs.default, *costs.fitted]))
    rows = tuple(
        (
            Cell(name, kind="strong"),
            Cell(meaning.get(name, ""), kind="prose"),
            cell(costs.default.get(name, np.nan), 3, reason="no default"),
            cell(costs.fitted.get(name, np.nan), 3, reason="too few probe fills to fit it"),
        )
        for name in names
    )
    cols = (
        Column("Parameter", numeric=False),
        Column("Multiplies", numeric=False),
        Column("Default"),
        Column("Fitted"),
    )
    fixed = (
        f"Reference trade {percent(costs.reference_weight, 2)} % of NAV" if np.isfinite(costs.reference_weight) else ""
    )
    plan = f"{costs.commission_plan} commission" if costs.commission_plan else ""
    caption = (
        f"One-way cost = k1 spread + k2 sigma + k3 sigma_1d participation^0.6 + commission; fitted to "
        f"{costs.observations:,} randomised probe orders and shrunk to the defaults. "
        + "".join(f"{part[0].upper()}{part[1:]}. " for part in (fixed, plan) if part)
    )
    return Table(cols, rows, caption)


def waterfall_table(findings: Findings) -> Table | None:
    """Each step of the waterfall with its interval."""
    fall = findings.waterfall
    if fall is None:
        return None
    parts = (
        ("Before costs", fall.gross), ("Spread", fall.spread), ("Impact", fall.impact),
        ("Commission", fall.commission), ("Borrow", fall.borrow), ("Net", fall.net),
    )  # fmt: skip
    rows = [(Cell(name), *estimate_cells(e, 2, sign=name in ("Before costs", "Net"))) for name, e in parts]
    if fall.other:
        rows.insert(-1, (Cell("Unexplained"), cell(fall.other, 2, sign=True), Cell("")))
    return Table(columns("Step", ("Mean", "bps/day"), ("95 % interval", "bps/day")), tuple(rows))


def ic_heat_table(table: ModelTable, which: str, caption: str) -> Table:
    """Families x horizons; `which` is "ic", "skip" or "naive"."""
    rows = tuple(
        (Cell(f, kind="strong"), *(_heat_cell(table.cell(f, label), which) for label in table.horizons))
        for f in table.families
    )
    return Table(columns("Model", *table.horizons), rows, caption)


def _heat_cell(row: ModelRow | None, which: str) -> Cell:
    if row is None:
        return Cell(DASH, "this model was not trained at this horizon", "na")
    estimate = getattr(row, which)
    if not np.isfinite(estimate.value):
        return Cell(DASH, estimate.reason, "na")
    strong = which == "ic" and row.p_holm < 0.05
    return Cell(number(estimate.value, 3), kind="strong" if strong else "", heat=heat(estimate.value, IC_FULL_TINT))


def ic_detail_table(table: ModelTable) -> Table:
    """Every cell in full."""
    cols = columns(
        "Horizon", "Model", "IC", "95 % interval", "Lower 99 %", "Skip one bar", "95 % interval", "Naive entry",
        "p", "p, Holm", "Pairs", "Sessions",
    )  # fmt: skip
    cols = (cols[0], Column("Model", numeric=False), *cols[2:])
    return Table(cols, tuple(_ic_row(r) for r in table.rows))


def _ic_row(r: ModelRow) -> tuple[Cell, ...]:
    untested = r.ic.reason or "no test was possible"
    return (
        *text_cells(r.horizon, model_name(r.family, r.strategy)),
        *estimate_cells(r.ic, 4, sign=False),
        cell(r.lower_99, 4, reason=untested),
        *estimate_cells(r.skip, 4, sign=False),
        cell(r.naive.value, 4, reason=r.naive.reason),
        Cell(p_text(r.p_value), "" if np.isfinite(r.p_value) else untested),
        Cell(p_text(r.p_holm), "" if np.isfinite(r.p_holm) else untested, "strong" if r.p_holm < 0.05 else ""),
        *text_cells(f"{r.rows:,}", f"{r.sessions:,}"),
    )


def blend_table(blends: Mapping[str, HorizonBlend]) -> Table:
    """Weights and fitted numbers per horizon: the models with most weight in all, the others together."""
    labels = sorted(blends, key=lambda label: horizon(label).order)
    models = sorted({m for label in labels for m in blends[label].weights}, key=lambda m: -_total(blends, m))
    shown, others = models[:MOST_COLUMNS], models[MOST_COLUMNS:]
    rows = tuple(_blend_row(label, blends[label], shown, others) for label in labels)
    rest = [(f"{len(others)} others", "%")] if others else []
    heads = ["Horizon", *((m, "%") for m in shown), *rest, ("Penalty", "lambda"), ("Slope", "b"), ("Half-life", "bars")]
    return Table(columns(*heads), rows)


def _total(blends: Mapping[str, HorizonBlend], model: str) -> float:
    """Weight of a model, summed over the horizons that do not abstain."""
    return float(np.nansum([b.weights.get(model, 0.0) for b in blends.values() if not b.abstained]))


def _blend_row(label: str, blend: HorizonBlend, shown: list[str], others: list[str]) -> tuple[Cell, ...]:
    why = f"{label} abstains: {blend.abstained}" if blend.abstained else f"{label}: not part of this blend"
    values = [blend.weights.get(m, np.nan) for m in shown]
    values += [float(np.nansum([blend.weights.get(m, np.nan) for m in others]))] if others else []
    weights = [Cell(DASH, why, "na") if blend.abstained else cell(100 * v, 1, reason=why) for v in values]
    penalty = Cell(f"{blend.penalty:g}") if np.isfinite(blend.penalty) else Cell(DASH, why, "na")
    fitted = (cell(blend.slope, 3, reason=why), cell(blend.halflife_bars, 1, reason=why))
    return (Cell(label, kind="strong"), *weights, penalty, *fitted)


def gate_table(gates: tuple[GateFinding, ...]) -> Table:
    """Brier skill and ECE before and after, per horizon and barrier."""
    cols = columns(
        "Horizon", "Barrier", "Map", ("Base rate", "%"), ("Skill before", "%"), ("Skill after", "%"),
        ("95 % interval", "%"), ("ECE before", "%"), ("ECE after", "%"), ("ECE null 95 %", "%"), "Calibrated?", "Rows",
    )  # fmt: skip
    cols = (cols[0], Column("Barrier", numeric=False), Column("Map", numeric=False), *cols[3:])
    caption = (
        "Brier skill above 0 beats always saying the base rate. An ECE after calibration below its null (the 95th "
        "percentile of a perfectly calibrated forecaster on days that cluster like these) gives no reason for doubt."
    )
    return Table(cols, tuple(_gate_row(g) for g in gates), caption)


def _gate_row(g: GateFinding) -> tuple[Cell, ...]:
    before, after = g.report.before, g.report.after
    why = after.reason or after.skill.reason
    skill, span = estimate_cells(after.skill.scaled(100), 2)
    verdict = Cell(DASH, why or "too few sessions for a null", "na")
    if np.isfinite(after.ece_null_95):
        verdict = Cell("yes", kind="good") if after.consistent else Cell("no", kind="bad")
    return (
        *(Cell(g.horizon, kind="strong"), Cell(g.side), Cell(g.method or "not recorded")),
        cell(100 * after.base_rate, 1, reason=why),
        cell(100 * before.skill.value, 2, sign=True, reason=why),
        skill,
        span,
        cell(100 * before.ece, 2, reason=why),
        cell(100 * after.ece, 2, reason=why),
        cell(100 * after.ece_null_95, 2, reason=why or "too few sessions for a null"),
        verdict,
        Cell(f"{after.rows:,}"),
    )


def facts(pairs: Mapping[str, str], kind: str = "") -> Table:
    """Name and value, both text; `kind` "code" sets the values in a fixed-width face."""
    cols = (Column("", numeric=False), Column("", numeric=False))
    return Table(cols, tuple((Cell(k), Cell(v, kind=kind)) for k, v in pairs.items()))


def live_table(live: LiveSummary) -> Table:
    """A live session beside the backtest of the same bars."""

    def slippage(mean: float, se: float) -> Cell:
        if not np.isfinite(mean):
            return cell(mean, 2, reason="nothing was filled")
        return Cell(f"{number(mean, 2, sign=True)} ± {number(se, 2)}")

    rows = (
        ("Orders", Cell(f"{live.orders:,}"), Cell(f"{live.backtest_orders:,}")),
        ("Fills", Cell(f"{live.fills:,}"), Cell(f"{live.backtest_fills:,}")),
        (
            "Slippage against the mid at the decision, bps",
            slippage(live.slippage_bps, live.slippage_se),
            slippage(live.backtest_slippage_bps, live.backtest_slippage_se),
        ),
    )
    cols = (Column("", numeric=False), Column("Live"), Column("Backtest"))
    caption = (
        "The same stages over the same bars. Positive slippage is a cost, for buys and sells; ± one standard error."
    )
    return Table(cols, tuple((Cell(name), a, b) for name, a, b in rows), caption)


def live_facts(live: LiveSummary) -> Table:
    """What happened in the session."""
    held = ", ".join(f"{rule} {count}" for rule, count in live.held_back.items()) or "nothing"
    missed = f"; {live.missed} missed" if live.missed else ""
    pairs = {
        "Account": f"{live.account}, {live.speed:g} simulated seconds a second",
        "Decisions": f"{live.decisions:,}, {live.first} to {live.last}{missed}",
        "Traded": f"{number(live.traded_usd, 0)} USD, commission {number(live.commission_usd, 2)} USD",
        "Net asset value": f"{number(live.start_nav, 0)} to {number(live.end_nav, 0)} USD",
        "Held back by guards": held,
        "Features and stages 4 to 9, replayed from the journal": live.verdict_stages,
        "Forecasts, inferred again": live.verdict_forecasts,
    }
    if live.first_difference:
        pairs["First difference"] = live.first_difference
    return facts(pairs)


def trades_table(live: LiveSummary) -> Table:
    """The largest orders of the session."""
    cols = (
        Column("First fill, UTC", numeric=False),
        Column("Symbol", numeric=False),
        Column("Shares"),
        Column("Filled"),
        Column("Mean price", "USD"),
        Column("Slippage", "bps"),
    )
    rows = tuple(
        (
            Cell(when[11:19]),
            Cell(symbol, kind="strong"),
            cell(float(shares), 0, sign=True),
            cell(float(filled), 0),
            cell(price, 4),
            cell(bps, 1, sign=True),
        )
        for when, symbol, shares, filled, price, bps in live.trades
    )
    return Table(
        cols, rows, f"The {len(rows)} largest of {live.orders} orders. Slippage against the mid at the decision."
    )


def latency_table(live: LiveSummary) -> Table:
    """Real milliseconds of each part of a cycle."""
    cols = (Column("Part", numeric=False), Column("Median", "ms"), Column("95 %", "ms"), Column("Longest", "ms"))
    rows = tuple((Cell(stage), *(cell(ms, 1) for ms in values)) for stage, values in live.latencies_ms.items())
    return Table(cols, rows)


def data_table(inputs: ReportInputs) -> Table:
    """What went in."""
    d = inputs.data
    symbols = f"{len(d.symbols)}: {', '.join(d.symbols[:12])}" + (" …" if len(d.symbols) > 12 else "")
    daily = f"{d.daily_sessions:,} sessions, {d.daily_first} to {d.daily_last}" if d.daily_sessions else "none"
    quotes = "observed" if d.has_quotes else "none"
    missing = f"{percent(d.missing)} %" if np.isfinite(d.missing) else f"{DASH} (not counted)"
    pairs = {
        "Origin": "embedded market (simulated)" if inputs.simulated else inputs.data_origin,
        "Symbols": symbols,
        "Intraday bars": f"{d.bars:,} in {d.sessions:,} sessions, {d.first_date} to {d.last_date}",
        "Daily bars": daily,
        "Missing grid cells": missing,
        "Quotes": quotes + ("; the spread is estimated from bars" if d.spread_estimated else ""),
        "Features": f"{inputs.features} intraday, {inputs.daily_features} daily",
    }
    return facts(pairs)


def quarantine_table(inputs: ReportInputs) -> Table:
    """Rows set aside, by reason."""
    counts = sorted(inputs.data.quarantined.items(), key=lambda kv: -kv[1])
    rows = tuple((Cell(reason), Cell(f"{n:,}")) for reason, n in counts)
    where = f" They are kept in {inputs.data.quarantine_file}." if inputs.data.quarantine_file else ""
    return Table(columns("Reason", ("Set aside", "rows")), rows, f"Bars that were not used, and why.{where}")


def timing_table(timings: Mapping[str, float]) -> Table:
    """Seconds per step and their share."""
    total = sum(t for t in timings.values() if np.isfinite(t)) or 1.0
    rows = [
        (Cell(step), cell(s, 1, reason="not timed"), Cell(f"{percent(s / total, 0)}", heat=-heat(s, total)))
        for step, s in timings.items()
    ]
    rows.append((Cell("total", kind="strong"), Cell(number(total, 1), kind="strong"), Cell("")))
    return Table(columns("Step", ("Time", "s"), ("Share", "%")), tuple(rows))


def key_figures(findings: Findings) -> tuple[tuple[str, str, str, str], ...]:
    """(name, value, unit, remark) of the strip under the verdict."""
    p = findings.base
    if p is None:
        return ()
    d = findings.deflated
    deflated = percent(d.probability, 0) if d is not None else DASH
    trials = (d.reason or f"chance that the true Sharpe beats the best of {d.trials} worthless tries") if d else ""
    return (
        ("Net", number(p.net_bps.value, 2, True), "bps/day", _remark(p.net_bps.reason, interval(p.net_bps, 2))),
        ("Sharpe", number(p.sharpe.value, 2, True), "a year", _remark(p.sharpe.reason, interval(p.sharpe, 2))),
        ("Deflated Sharpe", deflated, "%" if deflated != DASH else "", trials),
        ("Drawdown", percent(p.max_drawdown, 2), "% of NAV", f"under water at most {plural(p.under_water, 'session')}"),
        ("Turnover", percent(p.turnover, 0), "% a day", f"gross exposure {percent(p.gross_exposure, 0)} % on average"),
        ("Holding", minutes(p.holding_minutes), "", _held(p)),
    )


def _remark(reason: str, span: str) -> str:
    return reason or f"95 % interval {span}"


def _held(p: Performance) -> str:
    if not np.isfinite(p.holding_minutes):
        return NO_TRADES
    return f"horizon behind the alpha {minutes(p.horizon_minutes)}"
