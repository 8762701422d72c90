"""Everything the report states, computed once from its inputs."""

from __future__ import annotations

from dataclasses import dataclass

from workbench.analysis.calibration import CalibrationReport, calibration_report
from workbench.analysis.inputs import SIDES, GateSample, ReportInputs
from workbench.analysis.metrics import Performance, daily_returns, mean_horizon_share, performance, traded
from workbench.analysis.model_table import ModelTable, model_table
from workbench.analysis.waterfall import CostWaterfall, cost_waterfall
from workbench.core.horizon import HORIZONS, Horizon, horizon
from workbench.stats.multiplicity import DeflatedSharpe, deflated_sharpe

TRADED_SHARE = 0.001  # a horizon behind less of the alpha than this is not called traded


@dataclass(frozen=True, slots=True)
class GateFinding:
    """Calibration of one barrier at one horizon before and after its `method`."""

    horizon: str
    side: str
    method: str
    report: CalibrationReport


@dataclass(frozen=True, slots=True)
class HorizonStatus:
    """One horizon: `status` is "trades", "too costly", "abstains", "not trained" or "not backtested", `why` in words,
    `share` of the alpha it stood behind (NaN unknown)."""

    horizon: Horizon
    status: str
    why: str
    share: float


@dataclass(frozen=True, slots=True)
class Findings:
    """All derived numbers of one report. `performances` by spread multiplier, ascending."""

    models: ModelTable
    performances: tuple[tuple[float, Performance], ...]
    base: Performance | None
    naive: Performance | None
    waterfall: CostWaterfall | None
    deflated: DeflatedSharpe | None
    gates: tuple[GateFinding, ...]
    horizons: tuple[HorizonStatus, ...]


def find(inputs: ReportInputs, *, draws: int = 1000, seed: int = 0) -> Findings:
    """Compute every number of the report (`draws` bootstrap resamples each, same `seed`, same numbers)."""
    base = inputs.base
    models = model_table(inputs.oofs, draws=draws, seed=seed)
    trials = inputs.trials or max(1, len(models.rows))
    by_multiplier = tuple((m, performance(inputs.results[m], seed=seed)) for m in sorted(inputs.results))
    ran = base is not None
    return Findings(
        models=models,
        performances=by_multiplier,
        base=next((p for m, p in by_multiplier if inputs.results[m] is base), None),
        naive=performance(inputs.naive, seed=seed) if inputs.naive is not None else None,
        waterfall=cost_waterfall(base, seed=seed) if ran else None,
        deflated=deflated_sharpe(daily_returns(base), trials) if ran else None,
        gates=tuple(_gate(g, draws, seed) for g in sorted(inputs.gates, key=_gate_order)),
        horizons=tuple(_status(h, inputs) for h in HORIZONS),
    )


def _gate_order(gate: GateSample) -> tuple[int, int]:
    return horizon(gate.horizon).order, SIDES.index(gate.side)


def _gate(gate: GateSample, draws: int, seed: int) -> GateFinding:
    report = calibration_report(
        gate.p_raw, gate.p_calibrated, gate.outcome, gate.session, base=gate.base,
        block=max(1, horizon(gate.horizon).days), draws=draws, seed=seed,
    )  # fmt: skip
    return GateFinding(gate.horizon, gate.side, gate.method, report)


def _status(h: Horizon, inputs: ReportInputs) -> HorizonStatus:
    blend, nan = inputs.blends.get(h.label), float("nan")
    if blend is None:
        return HorizonStatus(h, "not trained", "it has no out-of-fold forecasts in this run", nan)
    if blend.abstained:
        return HorizonStatus(h, "abstains", blend.abstained, 0.0)
    if inputs.base is None:
        return HorizonStatus(h, "not backtested", "no backtest in this run", nan)
    share = float(mean_horizon_share(inputs.base)[h.order]) if traded(inputs.base) else 0.0
    if share >= TRADED_SHARE:
        return HorizonStatus(h, "trades", "its forecasts survive their costs often enough to trade", share)
    return HorizonStatus(h, "too costly", "its forecasts never exceeded the cost of acting on them", share)
