"""The report as data: what `--json` prints. Plain types only; unknown numbers are null."""

from __future__ import annotations

from dataclasses import asdict, is_dataclass
from typing import Any

import numpy as np

from workbench.analysis.findings import Findings, GateFinding, find
from workbench.analysis.inputs import ReportInputs
from workbench.analysis.model_table import ModelRow
from workbench.analysis.verdict import verdict


def report_summary(inputs: ReportInputs, findings: Findings | None = None) -> dict[str, Any]:
    """Verdict, horizons, performance, models, gates and provenance; ``json.dumps`` takes it with allow_nan=False."""
    findings = find(inputs) if findings is None else findings
    said = verdict(inputs, findings)
    return _plain({
        "title": inputs.title,
        "data_origin": inputs.data_origin,
        "made_at": inputs.made_at,
        "verdict": {"tone": said.tone, "headline": said.headline, "lede": said.lede, "points": said.points},
        "banners": [{"kind": k, "title": t, "text": x} for k, t, x in said.banners],
        "horizons": [
            {"horizon": s.horizon.label, "status": s.status, "why": s.why, "share": s.share} for s in findings.horizons
        ],
        "performance": {f"{m:g}": p for m, p in findings.performances},
        "naive": findings.naive,
        "waterfall_bps_per_day": findings.waterfall,
        "deflated_sharpe": findings.deflated,
        "models": [_model(r) for r in findings.models.rows],
        "ic_kind": findings.models.kind,
        "gates": [_gate(g) for g in findings.gates],
        "blends": dict(inputs.blends),
        "costs": inputs.costs,
        "truncation_probe": {"passed": inputs.probe.passed, "detail": inputs.probe.detail},
        "data": inputs.data,
        "features": {"intraday": inputs.features, "daily": inputs.daily_features},
        "settings_digest": inputs.settings_digest,
        "provenance": dict(inputs.provenance),
        "timings_s": dict(inputs.timings),
        "notes": inputs.notes,
        "warnings": inputs.warnings,
    })  # fmt: skip


def _model(row: ModelRow) -> dict[str, Any]:
    return asdict(row)


def _gate(gate: GateFinding) -> dict[str, Any]:
    sides = {
        name: {
            "rows": c.rows, "sessions": c.sessions, "base_rate": c.base_rate, "brier": c.brier, "skill": c.skill,
            "ece": c.ece, "ece_null_95": c.ece_null_95,
            "consistent": c.consistent if np.isfinite(c.ece_null_95) else None,
        }
        for name, c in (("before", gate.report.before), ("after", gate.report.after))
    }  # fmt: skip
    return {"horizon": gate.horizon, "side": gate.side, "method": gate.method, **sides}


def _plain(value: Any) -> Any:
    """JSON types: dataclasses as dicts, arrays and tuples as lists, NaN and infinity as None."""
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
