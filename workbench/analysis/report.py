"""One self-contained HTML page that says what a run has shown, and what it has not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from workbench.analysis import report_tables as tables
from workbench.analysis.figures_models import ic_figure, reliability_figure, weights_figure
from workbench.analysis.figures_money import equity_figure, exposure_figure, sensitivity_figure, waterfall_figure
from workbench.analysis.figures_time import holding_figure, shares_figure, walkforward_figure
from workbench.analysis.findings import Findings, find
from workbench.analysis.inputs import (
    SIDES,
    CostFit,
    DataSummary,
    GateSample,
    HorizonBlend,
    ProbeVerdict,
    ReportInputs,
)
from workbench.analysis.metrics import traded
from workbench.analysis.model_table import model_name
from workbench.analysis.summary import report_summary
from workbench.analysis.tables import DASH, Table, interval, number, share
from workbench.analysis.verdict import verdict
from workbench.analysis.zoo import ZooCell, zoo_figure
from workbench.core.results import BacktestResult
from workbench.core.units import SESSIONS_PER_YEAR

__all__ = [
    "CostFit", "DataSummary", "Findings", "GateSample", "HorizonBlend", "ProbeVerdict", "ReportInputs", "find",
    "render_report", "report_summary",
]  # fmt: skip


MOST_PANELS = 15
"""Models up to which each has a panel of its own; more of them are a heat map."""


def render_report(inputs: ReportInputs, path: Path | str, findings: Findings | None = None) -> Path:
    """Write the report to `path` (its folder is made if missing) and return it.

    `findings` saves computing them twice where :func:`report_summary` is wanted too. Equal inputs give equal bytes.
    """
    findings = find(inputs) if findings is None else findings
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("workbench.analysis", "templates"),
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    page = environment.get_template("report.html.j2").render(
        inputs=inputs,
        findings=findings,
        verdict=verdict(inputs, findings),
        key_figures=tables.key_figures(findings),
        figures=_figures(inputs, findings),
        tables=_tables(inputs, findings),
        sharpe_note=_sharpe_note(findings),
        crowded=_crowded(findings),
    )
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")
    return path


def _figures(inputs: ReportInputs, findings: Findings) -> Mapping[str, Markup]:
    """Name -> SVG, for the sections that have input; an absent name makes its section say why."""
    out: dict[str, Markup] = {}
    if inputs.base is not None and len(inputs.base.ts):
        out |= _money_figures(inputs.base, inputs.naive, findings)
    if any(np.isfinite(r.ic.value) for r in findings.models.rows):
        out["ic"] = zoo_figure(_zoo_cells(inputs, findings), "ic") if _crowded(findings) else ic_figure(findings.models)
    if any(b.weights and not b.abstained for b in inputs.blends.values()):
        out["weights"] = weights_figure(inputs.blends)
    for side in SIDES:
        if any(g.side == side and g.report.before.rows for g in findings.gates):
            out[f"reliability_{side}"] = reliability_figure(findings.gates, side)
    if any(len(o) for o in inputs.oofs.values()):
        out["walk"] = walkforward_figure(inputs)
    return out


def _crowded(findings: Findings) -> bool:
    return len(findings.models.families) > MOST_PANELS


def _zoo_cells(inputs: ReportInputs, findings: Findings) -> list[ZooCell]:
    """The models as cells of the heat map, with their weights in the final blend."""
    cells = []
    for row in findings.models.rows:
        blend = inputs.blends.get(row.horizon)
        name = model_name(row.family, row.strategy)
        weight = np.nan if blend is None or blend.abstained else blend.weights.get(name, 0.0)
        cells.append(ZooCell(row.family, row.strategy, row.horizon, trained=True, ic=row.ic.value,
                             p_corrected=row.p_holm, weight=weight))  # fmt: skip
    return cells


def _money_figures(base: BacktestResult, naive: BacktestResult | None, findings: Findings) -> Mapping[str, Markup]:
    out: dict[str, Markup] = {}
    if traded(base) or (naive is not None and traded(naive)):
        out["equity"] = equity_figure(base, naive)
        out["sensitivity"] = sensitivity_figure(findings.performances, findings.naive)
    if not traded(base):
        return out
    if findings.waterfall is not None:
        out["waterfall"] = waterfall_figure(findings.waterfall)
    out["exposure"] = exposure_figure(base)
    if np.isfinite(base.horizon_share).any():
        out["shares"] = shares_figure(base)
    if any(np.isfinite(p.holding_minutes) for _, p in findings.performances):
        out["holding"] = holding_figure(findings.performances)
    return out


def _tables(inputs: ReportInputs, findings: Findings) -> Mapping[str, Table | None]:
    models = findings.models
    entry = "Bold: different from zero at 5 % after Holm's correction over all cells."
    later = "The same forecasts acted on one bar later. What vanishes here was bounce, or too fast to trade."
    close = "Entered at the signal's own close, which nobody can trade: what a careless study would report."
    return {
        "horizons": tables.horizon_table(findings, inputs.blends),
        "sensitivity": tables.sensitivity_table(findings) if findings.performances else None,
        "costs": tables.cost_table(inputs.costs) if inputs.costs else None,
        "waterfall": tables.waterfall_table(findings) if inputs.base is not None and traded(inputs.base) else None,
        "ic": tables.ic_heat_table(models, "ic", entry) if models.rows else None,
        "skip": tables.ic_heat_table(models, "skip", later) if models.rows else None,
        "naive": tables.ic_heat_table(models, "naive", close) if models.rows else None,
        "ic_detail": tables.ic_detail_table(models) if models.rows else None,
        "blends": tables.blend_table(inputs.blends) if inputs.blends else None,
        "gates": tables.gate_table(findings.gates) if findings.gates else None,
        "live": tables.live_table(inputs.live) if inputs.live else None,
        "live_facts": tables.live_facts(inputs.live) if inputs.live else None,
        "trades": tables.trades_table(inputs.live) if inputs.live and inputs.live.trades else None,
        "latency": tables.latency_table(inputs.live) if inputs.live and inputs.live.latencies_ms else None,
        "data": tables.data_table(inputs),
        "quarantine": tables.quarantine_table(inputs) if inputs.data.quarantined else None,
        "settings": tables.facts(inputs.settings_summary, "code") if inputs.settings_summary else None,
        "provenance": tables.facts(_provenance(inputs), "code"),
        "timings": tables.timing_table(inputs.timings) if inputs.timings else None,
    }


def _provenance(inputs: ReportInputs) -> dict[str, str]:
    base = inputs.base
    known: dict[str, Any] = {
        "Command": inputs.command,
        "Made at": inputs.made_at,
        "Data origin": inputs.data_origin,
        "Settings digest": inputs.settings_digest,
        "Decisions digest": base.digest if base is not None else "",
        **inputs.provenance,
    }
    return {k: str(v) or f"{DASH} (not recorded)" for k, v in known.items()}


def _sharpe_note(findings: Findings) -> str:
    p, d = findings.base, findings.deflated
    if p is None or d is None:
        return "There is no Sharpe ratio without a backtest."
    if not np.isfinite(d.probability):
        return f"There is no Sharpe ratio to deflate: {p.sharpe.reason or d.reason}."
    best = number(d.expected_maximum * np.sqrt(SESSIONS_PER_YEAR), 2)
    return (
        f"The annualised Sharpe ratio is {number(p.sharpe.value, 2, True)} ({interval(p.sharpe, 2)}) over "
        f"{d.observations} sessions. Among {d.trials} strategies without any merit the best would be expected to show "
        f"{best} over a stretch as short as this. Given the skew ({number(d.skew, 2)}) and kurtosis "
        f"({number(d.kurtosis, 1)}) of the daily returns, the chance that the true ratio exceeds that bar is "
        f"{share(d.probability, 1)} (deflated Sharpe ratio, Bailey and López de Prado 2014). "
        f"The usual bar for that chance is {share(0.95)}."
    )
