"""Adds up a backtest, bar by bar, and checks that the money adds up.

With q_i signed shares of the fills of a bar, p_i their price, m_i the mid they met, m the marks at the bar's end:

    gross_pnl   = sum over symbols of shares before * (m - m before) + sum over fills of q_i * (m - m_i)
    nav change  = gross_pnl - spread_cost - impact_cost - commission - borrow_cost          (exact, to rounding)
"""

from __future__ import annotations

from collections import Counter

import numpy as np

from workbench.core.arrays import FloatArray, IntArray
from workbench.core.digest import digest
from workbench.core.errors import WorkbenchError
from workbench.core.horizon import N_HORIZONS
from workbench.core.results import BacktestResult
from workbench.core.types import Decision, Fill, State
from workbench.execution.events import LiveEvent
from workbench.execution.portfolio import Portfolio
from workbench.gateway.events import Charged, Filled

TOLERANCE_USD = 1e-6
"""Per million dollars of NAV: how far the two ways to compute a bar's P&L may differ."""

VECTORS = ("nav", "gross", "net", "gross_pnl", "spread_cost", "impact_cost", "commission", "borrow_cost", "turnover")


class Tally:
    """Arrays of a run over `ts` (T,) and `symbols` (N,), filled by `add`, given out by `result`."""

    def __init__(self, symbols: tuple[str, ...], ts: IntArray, session: IntArray, portfolio: Portfolio) -> None:
        n_bars, n = len(ts), len(symbols)
        self.symbols, self.ts, self.session, self.portfolio = symbols, ts, session, portfolio
        self._columns = {symbol: i for i, symbol in enumerate(symbols)}  # symbol -> column
        self._v = {name: np.zeros(n_bars) for name in VECTORS}
        self._weights, self._target = np.zeros((n_bars, n)), np.zeros((n_bars, n))
        self._state = np.full((n_bars, n), int(State.UNKNOWN), np.int64)
        self._share = np.full((n_bars, N_HORIZONS), np.nan)
        self._active = np.zeros((n_bars, N_HORIZONS))
        self._complete = np.ones(n_bars, dtype=bool)
        self._fills: list[Fill] = []
        self._breaches: Counter[str] = Counter()
        self._digests: list[str] = []
        self._before = (portfolio.nav, portfolio.shares.copy(), portfolio.marks.copy())
        self.start_nav = portfolio.nav

    def add(self, row: int, events: tuple[LiveEvent, ...], leverage: FloatArray) -> None:
        """The money of one bar: call after the portfolio was marked at its end and before anything else happens."""
        p, v = self.portfolio, self._v
        nav, shares, marks = self._before
        gross = _dot(shares, p.marks - marks)
        traded = 0.0
        for event in events:
            if isinstance(event, Filled):
                fill, i = event.fill, self._columns[event.symbol]
                gross += fill.side * fill.quantity * (p.marks[i] - fill.mid)
                v["spread_cost"][row] += event.spread_cost
                v["impact_cost"][row] += event.impact_cost
                v["commission"][row] += fill.commission
                traded += fill.quantity * fill.price
                self._fills.append(fill)
            elif isinstance(event, Charged):
                v["borrow_cost"][row] += event.amount
        v["gross_pnl"][row], v["nav"][row], v["turnover"][row] = gross, p.nav, traded / p.nav
        self._check(row, p.nav - nav)
        self._weights[row] = self._target[row] = p.weights
        v["gross"][row], v["net"][row] = np.abs(p.weights).sum(), float(np.dot(p.weights, leverage))
        self._before = (p.nav, p.shares.copy(), p.marks.copy())

    def decided(self, row: int, decision: Decision, decision_digest: str) -> None:
        """What was decided at the end of the bar."""
        self._target[row] = decision.target.weights
        self._state[row] = decision.choice.state
        self._share[row] = horizon_share(decision.choice.weights, decision.choice.gross)
        self._active[row] = np.isfinite(decision.alphas.smoothed).sum(axis=1)
        self._breaches.update(b.rule for b in decision.breaches)
        self._digests.append(decision_digest)

    def skipped(self, row: int) -> None:
        """Nobody traded in this bar: nothing was decided."""
        self._complete[row] = False

    def result(self, label: str, orders: int) -> BacktestResult:
        """Everything added up."""
        breaches = dict(self._breaches)
        if self.portfolio.stale_marks:
            breaches["stale mark of a held symbol"] = self.portfolio.stale_marks
        return BacktestResult(
            label=label,
            symbols=self.symbols,
            ts=self.ts,
            session=self.session,
            weights=self._weights,
            target=self._target,
            state=self._state,
            horizon_share=self._share,
            horizon_active=self._active,
            start_nav=self.start_nav,
            orders=orders,
            fills=tuple(self._fills),
            breaches=tuple(sorted(breaches.items())),
            digest=digest(self._digests),
            complete=None if self._complete.all() else self._complete,
            **self._v,
        )

    def _check(self, row: int, change: float) -> None:
        v = self._v
        paid = v["spread_cost"][row] + v["impact_cost"][row] + v["commission"][row] + v["borrow_cost"][row]
        gap = change - (v["gross_pnl"][row] - paid)
        if not abs(gap) <= TOLERANCE_USD * max(1.0, abs(v["nav"][row]) / 1e6):
            raise WorkbenchError(
                f"bar {row} does not add up: NAV changed by {change:.6f} USD, gross {v['gross_pnl'][row]:.6f} less "
                f"costs {paid:.6f} leaves a gap of {gap:.2e}; this is a defect of the engine, please report it"
            )


def horizon_share(weights: FloatArray, gross: FloatArray) -> FloatArray:
    """(H,) share of the absolute gross rate by horizon, from weights (H, N) and rates (N,); NaN where there is none.

    >>> horizon_share(np.array([[1.0, 0.5], [0.0, 0.5]]), np.array([0.02, -0.02])).tolist()
    [0.75, 0.25]
    """
    size = np.nan_to_num(np.abs(gross))
    per_horizon = np.nan_to_num(weights) @ size
    total = per_horizon.sum()
    return per_horizon / total if total > 0 else np.full(len(per_horizon), np.nan)


def _dot(shares: FloatArray, change: FloatArray) -> float:
    held = shares != 0
    return float(np.dot(shares[held], change[held]))
