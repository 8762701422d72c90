"""Where the money went: from the gross result to the net one, in basis points of NAV per day."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workbench.analysis.metrics import mean_bps, opening_nav, per_session
from workbench.core.arrays import FloatArray
from workbench.core.results import BacktestResult
from workbench.stats.bootstrap import Estimate

COST_PARTS = ("spread", "impact", "commission", "borrow")


@dataclass(frozen=True, slots=True)
class CostWaterfall:
    """Mean per day, basis points of the day's opening NAV: net = gross - spread - impact - commission - borrow + other.

    Costs are >= 0. `other` is what the parts do not explain; it is 0 up to rounding unless the backtest's accounts do
    not close, and the report says so when it is not.
    """

    gross: Estimate
    spread: Estimate
    impact: Estimate
    commission: Estimate
    borrow: Estimate
    net: Estimate
    other: float

    @property
    def costs(self) -> float:
        """Sum of the four costs."""
        return float(sum(getattr(self, part).value for part in COST_PARTS))

    def steps(self) -> tuple[tuple[str, float], ...]:
        """(name, signed change) from gross to net, costs negative."""
        return (("gross", self.gross.value), *((part, -getattr(self, part).value) for part in COST_PARTS))


def cost_waterfall(result: BacktestResult, *, level: float = 0.95, seed: int = 0) -> CostWaterfall:
    """The waterfall of one backtest, each part with its day-block interval."""
    nav = opening_nav(result)

    def part(values: FloatArray) -> Estimate:
        return mean_bps(per_session(result, values) / nav, level=level, seed=seed)

    gross, net = part(result.gross_pnl), part(result.net_pnl)
    parts = (result.spread_cost, result.impact_cost, result.commission, result.borrow_cost)
    spread, impact, commission, borrow = (part(p) for p in parts)
    explained = gross.value - sum(e.value for e in (spread, impact, commission, borrow))
    other = net.value - explained
    return CostWaterfall(gross, spread, impact, commission, borrow, net, 0.0 if abs(other) < 1e-6 else float(other))


def accounts_close(waterfall: CostWaterfall, tolerance_bps: float = 0.01) -> bool:
    """Whether gross minus costs gives net to `tolerance_bps` a day; NaN counts as closed (nothing to compare)."""
    return bool(np.isnan(waterfall.other) or abs(waterfall.other) <= tolerance_bps)
