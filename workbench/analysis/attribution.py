"""Whose profit it was: by symbol, by horizon and by hour of the session. Every split adds up to the result's own.

With V_i the value held of symbol i at the end of a bar, and q, p, m the signed shares, price and mid of each fill::

    gross_i    = V_i - V_i before - sum q*m          slippage_i = sum q*(p - m)          (spread and impact together)

Commission is that of the symbol's own fills; borrow is split over the shorts held at the end of the bar before, by
their value, which is how it is charged. A bar's profit and costs belong to the horizons by their share of the alpha
(that of all symbols together) in the last decision before the bar that had any: an approximation, since a position may
be older than that decision. The first bar of a session also holds the move over night; it is kept apart from the hours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workbench.analysis.metrics import session_starts
from workbench.core.arrays import FloatArray, IntArray
from workbench.core.errors import DataError
from workbench.core.horizon import HORIZONS, N_HORIZONS
from workbench.core.results import BacktestResult
from workbench.core.units import BAR_MINUTES

TOLERANCE = 1e-6
"""How far the parts may miss the whole, as a fraction of the starting NAV."""

OVERNIGHT = "night and first bar"
NO_HORIZON = "none"
_HOUR = 60 // BAR_MINUTES
_OPEN_MINUTE = 9 * 60 + 30


@dataclass(frozen=True, slots=True)
class Attribution:
    """Profit of the K `names`, USD: `gross` at mid, costs >= 0, `traded` value. Each (K,)."""

    by: str
    names: tuple[str, ...]
    gross: FloatArray
    slippage: FloatArray
    commission: FloatArray
    borrow: FloatArray
    traded: FloatArray

    @property
    def costs(self) -> FloatArray:
        """(K,) all costs."""
        return self.slippage + self.commission + self.borrow

    @property
    def net(self) -> FloatArray:
        """(K,) after all costs."""
        return self.gross - self.costs


def by_symbol(result: BacktestResult) -> Attribution:
    """One part per symbol; :class:`DataError` where the fills do not explain the profit (a naive backtest has none)."""
    n, column = len(result.symbols), {s: i for i, s in enumerate(result.symbols)}
    value = result.weights * result.nav[:, None]
    at = np.array([column[f.symbol] for f in result.fills], np.int64)
    signed = np.array([f.side * f.quantity for f in result.fills], np.float64)
    price, mid, paid = (
        np.array([getattr(f, k) for f in result.fills], np.float64) for k in ("price", "mid", "commission")
    )

    def summed(values: FloatArray) -> FloatArray:
        return np.bincount(at, values, minlength=n).astype(np.float64)

    gross = value[-1] - summed(signed * mid) if len(value) else np.zeros(n)
    gap = float(gross.sum() - result.gross_pnl.sum())
    if not abs(gap) <= TOLERANCE * result.start_nav:
        raise DataError(
            f"the fills of {result.label!r} leave {gap:,.2f} USD of its profit unexplained, so it cannot be split by "
            "symbol; a naive backtest keeps no fills: split the honest one"
        )
    slip, traded = summed(signed * (price - mid)), summed(np.abs(signed) * price)
    return Attribution("symbol", result.symbols, gross, slip, summed(paid), _borrow(result, value), traded)


def by_horizon(result: BacktestResult) -> Attribution:
    """One part per horizon, and one for bars before any decision had an alpha."""
    share = np.zeros((len(result.ts), N_HORIZONS + 1))
    now = np.append(np.zeros(N_HORIZONS), 1.0)
    for t, row in enumerate(result.horizon_share):
        share[t] = now  # of the decisions before this bar
        if np.isfinite(row).all():
            now = np.append(row, 0.0)
    return _split(result, "horizon", (*(h.label for h in HORIZONS), NO_HORIZON), share)


def by_hour(result: BacktestResult) -> Attribution:
    """One part per hour of the session from its open (exchange time), and one for the first bar with the night."""
    bar = bar_of_session(result.session)
    hour = np.where(bar == 0, 0, bar // _HOUR + 1)
    names = [OVERNIGHT, *(_clock(_OPEN_MINUTE + 60 * k) for k in range(int(hour.max(initial=0))))]
    return _split(result, "hour", tuple(names), np.eye(len(names))[hour])


def bar_of_session(session: IntArray) -> IntArray:
    """(T,) number of each bar in its session, from 0.

    >>> bar_of_session(np.array([5, 5, 8])).tolist()
    [0, 1, 0]
    """
    starts = session_starts(session)
    return np.arange(len(session)) - np.repeat(starts, np.diff(np.append(starts, len(session))))


def _split(result: BacktestResult, by: str, names: tuple[str, ...], share: FloatArray) -> Attribution:
    """Every bar's profit and costs, over `share` (T, K), whose rows sum to 1."""
    slippage, traded = result.spread_cost + result.impact_cost, result.turnover * result.nav
    parts = (result.gross_pnl, slippage, result.commission, result.borrow_cost, traded)
    return Attribution(by, names, *(values @ share for values in parts))


def _borrow(result: BacktestResult, value: FloatArray) -> FloatArray:
    """(N,) borrow paid, each charge split by the value of the shorts held before it."""
    out = np.zeros(value.shape[1])
    for t in np.flatnonzero(result.borrow_cost):
        short = np.maximum(-value[t - 1], 0.0)
        out += result.borrow_cost[t] * short / short.sum()
    return out


def _clock(minute: int) -> str:
    """
    >>> _clock(630)
    '10:30'
    """
    return f"{minute // 60:02d}:{minute % 60:02d}"
