"""What a naive backtest would have claimed for the same targets: shown beside the honest one, never used."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from workbench.core.arrays import FloatArray, IntArray
from workbench.core.bars import Bars
from workbench.core.errors import DataError
from workbench.core.results import BacktestResult


def naive_backtest(
    honest: BacktestResult, bars: Bars, *, label: str = "naive", leverage: FloatArray | None = None
) -> BacktestResult:
    """The targets of `honest` traded at the signal's own close, in fractions of shares, without any cost.

        nav[t+1] = nav[t] * (1 + sum_i w_i[t] * (close_i[t+1] / close_i[t] - 1)),   w[t] the target decided at bar t

    A missing close is the last known one; a target of NaN keeps the weight. Every cost is 0 and there are no fills;
    `orders` counts the changes of weight; `leverage` (N,) weighs `net` (ones by default). The close holds half the
    bounce of the trade that made the signal: the difference to the honest run shows what that would have invented.
    """
    rows = np.searchsorted(bars.ts, honest.ts).astype(np.int64)
    if bars.symbols != honest.symbols or (rows >= len(bars.ts)).any() or (bars.ts[rows] != honest.ts).any():
        raise DataError("the bars do not hold every bar and symbol of the backtest; give those it was run on")
    weights = np.where(np.isfinite(honest.target), honest.target, honest.weights)
    growth = _returns(bars.close, rows)
    portfolio = np.zeros(len(rows))
    portfolio[1:] = np.sum(weights[:-1] * growth[1:], axis=1)
    nav = np.asarray(honest.start_nav * np.cumprod(1 + portfolio), np.float64)
    columns = _columns(honest, weights, growth, portfolio, nav)
    columns["net"] = weights @ (np.ones(len(honest.symbols)) if leverage is None else np.asarray(leverage, np.float64))
    return replace(honest, label=label, weights=weights, fills=(), **columns)


def _returns(close: FloatArray, rows: IntArray) -> FloatArray:
    """(T, N) simple return of each row over the one before, on last known closes; 0 where unknown."""
    known = close[: rows[-1] + 1].copy()
    for t in range(1, len(known)):
        known[t] = np.where(np.isfinite(known[t]), known[t], known[t - 1])
    picked = known[rows]
    out = np.zeros_like(picked)
    out[1:] = np.nan_to_num(picked[1:] / picked[:-1] - 1)
    return np.asarray(out)


def _columns(
    honest: BacktestResult, weights: FloatArray, growth: FloatArray, portfolio: FloatArray, nav: FloatArray
) -> dict[str, Any]:
    zero = np.zeros(len(nav))
    drifted = np.zeros_like(weights)
    drifted[1:] = weights[:-1] * (1 + growth[1:]) / (1 + portfolio[1:, None])
    change = np.abs(weights - drifted)
    return {
        "nav": nav,
        "gross": np.abs(weights).sum(axis=1),
        "gross_pnl": np.diff(nav, prepend=honest.start_nav),
        "spread_cost": zero,
        "impact_cost": zero,
        "commission": zero,
        "borrow_cost": zero,
        "turnover": change.sum(axis=1),
        "orders": int(np.count_nonzero(change > 1e-6)),
    }
