"""What a backtest leaves behind: arrays only, so that analysis and reports need no engine to read it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workbench.core.arrays import BoolArray, FloatArray, IntArray, check_shape, readonly
from workbench.core.types import Fill


@dataclass(frozen=True, slots=True)
class BacktestResult:
    """One run over T decision bars, N symbols, H horizons. USD unless said; every (T,) value is at the bar's end.

    `nav`, `gross` and `net` (T,): net asset value, sum |w| and sum of delta-weighted w as fractions of NAV.
    `weights`, `target` (T, N): held and decided; `state` (T, N) of :class:`~workbench.core.types.State`.
    `horizon_share` (T, H): share of the absolute gross rate that came from each horizon, rows sum to 1 or are NaN.
    `horizon_active` (T, H): symbols with a finite alpha at that horizon.
    Money made or paid *during* the bar, (T,): `gross_pnl` is what the same positions would have made trading at mid
    without any cost; `spread_cost`, `impact_cost`, `commission`, `borrow_cost` >= 0; nav change = gross - costs.
    `turnover` (T,) traded value / NAV. `fills` in time order; `orders` sent; `breaches`: (rule, count).
    `digest`: of every decision, in order.
    """

    label: str
    symbols: tuple[str, ...]
    ts: IntArray
    session: IntArray
    nav: FloatArray
    gross: FloatArray
    net: FloatArray
    weights: FloatArray
    target: FloatArray
    state: IntArray
    horizon_share: FloatArray
    horizon_active: FloatArray
    gross_pnl: FloatArray
    spread_cost: FloatArray
    impact_cost: FloatArray
    commission: FloatArray
    borrow_cost: FloatArray
    turnover: FloatArray
    start_nav: float
    orders: int
    fills: tuple[Fill, ...]
    breaches: tuple[tuple[str, int], ...]
    digest: str
    complete: BoolArray | None = None
    """(T,) False where a decision had to be skipped (no bars at all); None when none was."""

    def __post_init__(self) -> None:
        vectors = ("nav", "gross", "net", "gross_pnl", "spread_cost", "impact_cost", "commission", "borrow_cost", "turnover")  # fmt: skip # noqa: E501
        for name in (*vectors, "weights", "target", "horizon_share", "horizon_active"):
            object.__setattr__(self, name, readonly(getattr(self, name)))
        for name in ("ts", "session", "state"):
            object.__setattr__(self, name, readonly(getattr(self, name), np.int64))
        for name in vectors:
            check_shape(f"BacktestResult.{name}", getattr(self, name), (len(self.ts),))
        for name in ("weights", "target", "state"):
            check_shape(f"BacktestResult.{name}", getattr(self, name), (len(self.ts), len(self.symbols)))

    @property
    def net_pnl(self) -> FloatArray:
        """(T,) USD made during each bar after all costs."""
        return np.diff(self.nav, prepend=self.start_nav)
