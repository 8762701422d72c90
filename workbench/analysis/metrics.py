"""What a backtest earned, risked and traded, per day, with day-block intervals. Reads BacktestResult only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workbench.core.arrays import FloatArray, IntArray
from workbench.core.horizon import HORIZONS, N_HORIZONS
from workbench.core.results import BacktestResult
from workbench.core.units import BAR_MINUTES, BPS, SESSIONS_PER_YEAR
from workbench.stats.bootstrap import Estimate, day_block_bootstrap

NEVER_TRADED = "nothing was held, so there is nothing to measure"
TOO_SHORT = "fewer than two sessions"


@dataclass(frozen=True, slots=True)
class Performance:
    """One backtest in numbers. Fractions of NAV unless the name says otherwise; NaN where nothing was held.

    `net_bps`, `gross_bps`: mean per day; `sharpe`: annualised, from daily net returns; `max_drawdown` >= 0 and the
    longest time `under_water` in sessions; `turnover` traded value per day; `gross_exposure`, `net_exposure` (mean
    absolute), `peak_gross`; `hit_rate` share of days with a gain among days that moved; `holding_minutes`,
    `horizon_minutes`: see :func:`holding_minutes` and :func:`alpha_weighted_horizon`.
    """

    label: str
    sessions: int
    total_return: float
    net_bps: Estimate
    gross_bps: Estimate
    sharpe: Estimate
    annual_volatility: float
    max_drawdown: float
    under_water: int
    turnover: float
    gross_exposure: float
    net_exposure: float
    peak_gross: float
    hit_rate: float
    holding_minutes: float
    horizon_minutes: float
    fills: int
    orders: int


def session_starts(session: IntArray) -> IntArray:
    """(D,) first row of each session.

    >>> session_starts(np.array([5, 5, 8])).tolist()
    [0, 2]
    """
    if len(session) == 0:
        return np.array([], np.int64)
    return np.flatnonzero(np.r_[True, np.diff(session) != 0])


def per_session(result: BacktestResult, values: FloatArray) -> FloatArray:
    """(D,) or (D, ...) sums of `values` (T, ...) over each session."""
    if len(result.ts) == 0:
        return np.zeros((0, *values.shape[1:]))
    return np.add.reduceat(values, session_starts(result.session), axis=0)


def opening_nav(result: BacktestResult) -> FloatArray:
    """(D,) NAV before the first bar of each session, USD."""
    starts = session_starts(result.session)
    before = np.r_[result.start_nav, result.nav]
    return before[starts]


def daily_returns(result: BacktestResult) -> FloatArray:
    """(D,) net return of each session: NAV at its last bar over NAV at the last bar before it, minus 1."""
    _check_nav(result)
    if len(result.nav) == 0:
        return np.zeros(0)
    opening = opening_nav(result)
    return np.r_[opening[1:], result.nav[-1]] / opening - 1


def daily_gross_returns(result: BacktestResult) -> FloatArray:
    """(D,) what the same positions would have returned at mid, without any cost."""
    return per_session(result, result.gross_pnl) / opening_nav(result)


def traded(result: BacktestResult) -> bool:
    """Whether anything was ever held or traded."""
    return bool(len(result.fills) or (result.turnover > 0).any() or (result.gross > 0).any())


def sharpe(returns: FloatArray, *, block: int = 1, level: float = 0.95, seed: int = 0) -> Estimate:
    """Annualised Sharpe ratio of daily `returns` (D,): mean / standard deviation * sqrt(252), day-block interval."""
    if len(returns) < 2:
        return Estimate.unknown(TOO_SHORT, level)
    if np.ptp(returns) == 0:
        return Estimate.unknown(NEVER_TRADED, level)
    sums = np.c_[np.ones(len(returns)), returns, returns**2]
    return day_block_bootstrap(sums, _sharpe_of_sums, block=block, seed=seed).scalar(level)


def mean_bps(returns: FloatArray, *, block: int = 1, level: float = 0.95, seed: int = 0) -> Estimate:
    """Mean of daily `returns` (D,) in basis points of NAV with its day-block interval."""
    if len(returns) < 2:
        return Estimate.unknown(TOO_SHORT, level)
    sums = np.c_[np.ones(len(returns)), returns]
    boot = day_block_bootstrap(sums, lambda s: s[..., 1] / s[..., 0] / BPS, block=block, seed=seed)
    return boot.scalar(level)


def drawdown(nav: FloatArray, start_nav: float) -> FloatArray:
    """(T,) fall from the highest NAV so far, >= 0.

    >>> drawdown(np.array([110.0, 99.0, 120.0]), 100.0).round(2).tolist()
    [0.0, 0.1, 0.0]
    """
    peak = np.maximum.accumulate(np.r_[start_nav, nav])[1:]
    return 1 - nav / peak


def holding_minutes(result: BacktestResult) -> float:
    """Average holding time of a dollar, trading minutes, by Little's law: time in position / positions entered.

    sum_t gross_t * 5 minutes / (half of all turnover); entering and leaving are two trades. A night adds none. NaN if
    nothing was traded. Positions still open at the end count with the time they have stood.
    """
    entered = float(result.turnover.sum()) / 2
    return float(result.gross.sum()) * BAR_MINUTES / entered if entered > 0 else float("nan")


def alpha_weighted_horizon(result: BacktestResult) -> float:
    """Mean trading minutes of the horizons behind the alpha: bars weighted by the gross exposure they led to.

    NaN if no bar has shares.
    """
    share = result.horizon_share
    known = np.isfinite(share).all(axis=1)
    weight = np.where(known, result.gross, 0.0)
    if not weight.sum() > 0:
        return float("nan")
    minutes = np.array([h.minutes for h in HORIZONS], dtype=np.float64)
    per_bar = np.where(known[:, None], share, 0.0) @ minutes
    return float(per_bar @ weight / weight.sum())


def mean_horizon_share(result: BacktestResult) -> FloatArray:
    """(H,) mean share of the alpha that came from each horizon, over bars that have one; NaN if none has."""
    known = np.isfinite(result.horizon_share).all(axis=1)
    if not known.any():
        return np.full(N_HORIZONS, np.nan)
    return result.horizon_share[known].mean(axis=0)


def performance(result: BacktestResult, *, level: float = 0.95, seed: int = 0) -> Performance:
    """All numbers of one backtest; :class:`Performance` says what each is."""
    returns, active = daily_returns(result), traded(result)
    fall = drawdown(result.nav, result.start_nav)
    return Performance(
        label=result.label,
        sessions=len(returns),
        total_return=float(result.nav[-1] / result.start_nav - 1) if len(returns) else float("nan"),
        net_bps=mean_bps(returns, level=level, seed=seed),
        gross_bps=mean_bps(daily_gross_returns(result), level=level, seed=seed),
        sharpe=sharpe(returns, level=level, seed=seed),
        annual_volatility=float(returns.std(ddof=1) * np.sqrt(SESSIONS_PER_YEAR)) if len(returns) > 1 else float("nan"),
        max_drawdown=float(fall.max()) if len(fall) else float("nan"),
        under_water=_longest_under_water(result, fall),
        turnover=_mean(per_session(result, result.turnover)),
        gross_exposure=_mean(result.gross),
        net_exposure=_mean(np.abs(result.net)),
        peak_gross=float(result.gross.max()) if len(result.gross) else float("nan"),
        hit_rate=_hit_rate(returns),
        holding_minutes=holding_minutes(result) if active else float("nan"),
        horizon_minutes=alpha_weighted_horizon(result),
        fills=len(result.fills),
        orders=result.orders,
    )


def _sharpe_of_sums(sums: FloatArray) -> FloatArray:
    n, total, squares = np.moveaxis(sums, -1, 0)
    mean = total / n
    variance = (squares / n - mean**2) * n / (n - 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(variance > 1e-14 * squares / n, mean / np.sqrt(variance) * np.sqrt(SESSIONS_PER_YEAR), np.nan)


def _hit_rate(returns: FloatArray) -> float:
    moved = returns != 0
    return float((returns[moved] > 0).mean()) if moved.any() else float("nan")


def _longest_under_water(result: BacktestResult, fall: FloatArray) -> int:
    """Longest run of sessions that end below an earlier peak."""
    if len(fall) == 0:
        return 0
    last = np.r_[session_starts(result.session)[1:], len(fall)] - 1
    longest = run = 0
    for below in fall[last] > 0:
        run = run + 1 if below else 0
        longest = max(longest, run)
    return longest


def _mean(values: FloatArray) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _check_nav(result: BacktestResult) -> None:
    bad = ~(np.isfinite(result.nav) & (result.nav > 0))
    if bad.any():
        row = int(np.argmax(bad))
        raise ValueError(
            f"backtest {result.label!r}: NAV at bar {row} is {result.nav[row]}; returns need a finite NAV above 0"
        )
