"""What the report shows, gathered from the job: the one place that knows both the stages and the report."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np

from workbench.analysis.gate_study import mean_known, through_own_stack
from workbench.analysis.inputs import (
    SIDES,
    CostFit,
    DataSummary,
    GateSample,
    HorizonBlend,
    LiveSummary,
    ProbeVerdict,
    ReportInputs,
)
from workbench.analysis.model_table import model_name
from workbench.core.calendar import iso_date
from workbench.core.results import BacktestResult
from workbench.core.types import OofForecasts
from workbench.decision.blending import HorizonBlender
from workbench.decision.costs import CostModel
from workbench.decision.pipeline import Stages
from workbench.research.job import Job
from workbench.stats.stack import BarrierStack


def data_summary(job: Job) -> DataSummary:
    """The bars behind the report, with what the import set aside."""
    bars, daily, origin = job.bars, job.daily, job.ws.outcome("data")
    present = np.isfinite(bars.close)
    return DataSummary(
        symbols=bars.symbols,
        sessions=len(np.unique(bars.session)),
        first_date=iso_date(bars.session[0]),
        last_date=iso_date(bars.session[-1]),
        bars=int(present.sum()),
        missing=float(1 - present.mean()),
        daily_sessions=len(daily.ts),
        daily_first=iso_date(daily.session[0]),
        daily_last=iso_date(daily.session[-1]),
        has_quotes=bars.has_quotes,
        spread_estimated=job.history.spread_estimated,
        quarantined=origin.get("quarantined", {}),
        quarantine_file=origin.get("quarantine_file", ""),
        remarks=tuple(origin.get("remarks", ())),
    )


def horizon_blends(blender: HorizonBlender, horizons: tuple[str, ...]) -> dict[str, HorizonBlend]:
    """What the final blender learned, for each of `horizons`; one without forecasts says so."""
    silent = HorizonBlend({}, abstained="no family could be fitted out of sample")
    return dict.fromkeys(horizons, silent) | {
        label: HorizonBlend(
            weights={model_name(key.family, key.strategy): w for key, w in zip(fit.keys, fit.weights, strict=True)},
            penalty=fit.penalty,
            slope=fit.slope,
            halflife_bars=fit.halflife,
            windows=fit.windows,
            abstained=fit.reason,
        )
        for label, fit in blender.fits_.items()
    }


def gate_samples(oofs: Mapping[str, OofForecasts], stacks: Mapping[int, BarrierStack]) -> tuple[GateSample, ...]:
    """Barrier probabilities before and after calibration, honestly: rows of segment k through the stack of segment k.

    `stacks`: fold -> the stack that was in force there, fitted on earlier folds only. Rows of folds without one (the
    first) are left out.
    """
    samples = []
    for label, oof in oofs.items():
        rows, *after = through_own_stack(oof, stacks)
        for side, calibrated in zip(SIDES, after, strict=True):
            raw = mean_known(getattr(rows, f"p_{side}"))
            if np.isfinite(calibrated).any():
                last = stacks[max(stacks)].sides_.get(label)
                method = last[side].map.kind if last else ""
                outcome = getattr(rows, side)
                samples.append(GateSample(label, side, raw, calibrated, outcome, rows.session, method))
    return tuple(samples)


def cost_fit(model: CostModel) -> CostFit:
    """The fitted cost parameters beside the defaults."""
    s = model.settings
    return CostFit(
        fitted={"k1": model.k1_, "k2": model.k2_, "k3": model.k3_},
        default={"k1": s.k1, "k2": s.k2, "k3": s.k3},
        observations=model.rows_,
        reference_weight=model.reference_weight_,
        commission_plan=s.commission_plan,
    )


def report_inputs(
    job: Job,
    oofs: Mapping[str, OofForecasts],
    final: Stages,
    stacks: Mapping[int, BarrierStack],
    results: Mapping[float, BacktestResult],
    naive: BacktestResult | None,
) -> ReportInputs:
    """Everything, in the report's own terms."""
    records, training = job.ws.records, job.ws.outcome("train")
    return ReportInputs(
        title=_title(job),
        data_origin=job.bars.data_origin,
        data=data_summary(job),
        oofs=oofs,
        blends=horizon_blends(final.blender, job.settings.system.horizons),
        gates=gate_samples(oofs, stacks),
        costs=cost_fit(final.costs),
        results=results,
        naive=naive,
        probe=ProbeVerdict(training["probe"]["passed"], training["probe"]["detail"]),
        live=_live(records),
        features=len(job.history.names),
        daily_features=len(job.history.daily_names),
        embargo_sessions=job.settings.training.embargo_sessions,
        settings_digest=job.settings.digest,
        settings_summary=_settings_summary(job),
        provenance=_provenance(job, records),
        timings={step: float(record["seconds"]) for step, record in records.items() if step != "report"},
        notes=tuple(training["notes"]),
        made_at=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        command=f"workbench report --out {job.ws.root}",
    )


def _live(records: Mapping[str, Any]) -> LiveSummary | None:
    """The live session, where one was traded with these artifacts."""
    if "live" not in records:
        return None
    told = {k: v for k, v in records["live"]["outcome"].items() if k in LiveSummary.__dataclass_fields__}
    latencies = {stage: tuple(ms) for stage, ms in told["latencies_ms"].items()}
    told["trades"] = tuple(tuple(float("nan") if x is None else x for x in line) for line in told["trades"])
    numbers = {k: float("nan") if v is None else v for k, v in told.items()}
    return LiveSummary(**{**numbers, "latencies_ms": latencies})


def _title(job: Job) -> str:
    return "Embedded market" if job.bars.data_origin == "embedded" else job.bars.data_origin


def _settings_summary(job: Job) -> dict[str, str]:
    s = job.settings
    return {
        "profile": s.training.profile,
        "families": ", ".join(s.training.families),
        "segments": str(s.training.segments),
        "arbitration": s.arbitration.method,
        "sizing": s.sizing.method,
        "max_weight": f"{s.sizing.max_weight:g}",
        "target_gross": f"{s.sizing.target_gross:g}",
        "start": f"{s.backtest.nav:,.0f} USD",
        "commission": s.costs.commission_plan,
    }


def _provenance(job: Job, records: Mapping[str, Any]) -> dict[str, str]:
    return {
        "data": job.data_digest,
        "models": records["train"]["outcome"]["models"],
        "blender": records["calibrate"]["outcome"]["bundle"],
        "decisions": records["backtest"]["outcome"]["decisions"],
    }
