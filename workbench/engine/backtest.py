"""The honest backtest: Session.step over past bars, against the matching engine, with every dollar accounted for.

One bar t, known at ts[t]: orders of bar t-1 have filled during it; positions are marked (mid of the quote, or close;
a held symbol without a bar keeps its last known mark, counted as a breach "stale mark of a held symbol"); the session
decides; its orders meet the market of bar t+1 (:class:`~workbench.gateway.bar_market.BarMarket`). At the first bar of a
session, shorts held overnight have paid borrow: value at the last marks * rate * calendar days / 360.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from workbench.config import Settings
from workbench.core.arrays import BoolArray, FloatArray, IntArray
from workbench.core.bars import Bars
from workbench.core.clock import ManualClock
from workbench.core.errors import DataError
from workbench.core.results import BacktestResult
from workbench.core.types import Snapshot
from workbench.core.units import BARS_PER_SESSION, NS_PER_SECOND
from workbench.core.universe import Universe
from workbench.engine.naive import naive_backtest
from workbench.engine.session import DecideFunction, Session
from workbench.engine.tally import Tally
from workbench.engine.tranches import ScheduledStages, Tranche, check_schedule
from workbench.execution.portfolio import Portfolio
from workbench.execution.simulated import SimulatedBroker
from workbench.gateway.bar_market import BarMarket
from workbench.gateway.matching import MatchingEngine, MatchingRules
from workbench.journal import CountingJournal, Journal

__all__ = ["BarHistory", "Tranche", "matching_rules", "naive_backtest", "run_backtest"]

DAYS_PER_BORROW_YEAR = 360

Progress = Callable[[int, int, str], None]
"""``progress(done, total, what)``, after every session's worth of bars."""


class BarHistory(Protocol):
    """What a backtest needs of :class:`workbench.features.history.FeatureHistory`."""

    @property
    def symbols(self) -> tuple[str, ...]: ...
    @property
    def ts(self) -> IntArray: ...
    @property
    def spread(self) -> FloatArray: ...
    @property
    def sigma_1d(self) -> FloatArray: ...
    @property
    def universe(self) -> Universe: ...

    def snapshot(self, t: int, window: int = 0) -> Snapshot:
        """All that was known at the end of row `t`."""
        ...


def run_backtest(
    bars: Bars,
    history: BarHistory,
    schedule: Sequence[Tranche],
    settings: Settings,
    *,
    label: str = "",
    spread_multiplier: float = 1.0,
    nav: float | None = None,
    progress: Progress | None = None,
    decide: DecideFunction | None = None,
    journal: Journal | None = None,
    window: int = 0,
) -> BacktestResult:
    """Trade the sessions of `schedule` on 5-minute `bars` with `history` computed from them.

    `spread_multiplier` scales the spreads that fills pay, not what the stages believe: it asks what happens if the
    estimate is wrong. `nav` USD at the start (the setting by default); `window` bars of features for models that read
    sequences. :class:`~workbench.core.errors.ProvenanceError` refuses stages that knew the sessions they trade.
    """
    check_schedule(schedule, settings.backtest.embargo_sessions)
    stages = ScheduledStages(schedule)
    rows = np.flatnonzero(stages.covers(bars.session))
    known = _rows_in_history(bars, history, rows)
    clock = ManualClock(int(bars.ts[rows[0]]) - 1)
    engine = MatchingEngine(clock, matching_rules(settings))
    market = BarMarket(engine, bars, *_market_columns(bars, history, rows, known), spread_multiplier)
    broker = SimulatedBroker(engine, settings.backtest.nav if nav is None else nav)
    kept = CountingJournal() if journal is None else journal
    session = Session(stages, broker, kept, settings, history.universe, "backtest", decide=decide)
    run = _Run(bars, history, market, broker, session, settings.backtest.borrow_rate, window)
    tally = Tally(bars.symbols, bars.ts[rows], bars.session[rows], session.portfolio)
    for number, (t, h) in enumerate(zip(rows.tolist(), known.tolist())):
        clock.advance_to(int(bars.ts[t]))
        run.bar(number, t, h, tally)
        if progress is not None and (number % BARS_PER_SESSION == BARS_PER_SESSION - 1 or number + 1 == len(rows)):
            progress(number + 1, len(rows), f"backtest {label}".strip())
    return tally.result(label, len(session.tracker))


def matching_rules(settings: Settings) -> MatchingRules:
    """The simulated exchange that agrees with `settings`: the cost model's impact, the plan, the latency."""
    return MatchingRules(
        plan=settings.costs.commission_plan,
        latency_ns=int(settings.execution.latency_s * NS_PER_SECOND),
        k3=settings.costs.k3,
        impact_exponent=settings.costs.impact_exponent,
        max_participation=settings.execution.max_participation,
        seed=settings.training.seed,
    )


class _Run:
    """The order of events of one bar."""

    def __init__(
        self,
        bars: Bars,
        history: BarHistory,
        market: BarMarket,
        broker: SimulatedBroker,
        session: Session,
        borrow_rate: float,
        window: int,
    ) -> None:
        self.bars, self.history, self.market, self.broker, self.session = bars, history, market, broker, session
        self.borrow_rate, self.window = borrow_rate, window
        self._traded: BoolArray = np.asarray(np.isfinite(bars.close).any(axis=1))
        self._last_session: int | None = None

    def bar(self, number: int, t: int, h: int, tally: Tally) -> None:
        """Fills of the bar that just ended, marks, decision, and the market its orders meet."""
        engine, session, today = self.broker.engine, self.session, int(self.bars.session[t])
        engine.run()
        self.market.close_bar(t, engine.active_symbols)
        if today != self._last_session:
            self._charge_borrow(today)
        snapshot = self.history.snapshot(h, self.window)
        decision = session.step(snapshot) if self._traded[t] else None
        if decision is None:
            session.observe(snapshot)
        tally.add(number, session.events, snapshot.leverage)
        if decision is None:
            tally.skipped(number)
        else:
            tally.decided(number, decision, session.last_digest)
        self.market.open_window(t, engine.active_symbols)

    def _charge_borrow(self, today: int) -> None:
        before, self._last_session = self._last_session, today
        if before is None:
            return
        cost = borrow_cost(self.session.portfolio, self.borrow_rate, today - before)
        if cost > 0:
            self.broker.charge("borrow", cost)


def borrow_cost(portfolio: Portfolio, rate: float, days: int) -> float:
    """USD that the shorts held at the last marks cost over `days` calendar days: sum of value * rate * days / 360."""
    short = portfolio.shares < 0
    value = float(-np.dot(portfolio.shares[short], portfolio.marks[short]))
    return value * rate * days / DAYS_PER_BORROW_YEAR


def _rows_in_history(bars: Bars, history: BarHistory, rows: IntArray) -> IntArray:
    """Row of `history` for each of `rows` of `bars`."""
    if history.symbols != bars.symbols:
        raise DataError(
            f"bars hold {len(bars.symbols)} symbols and the history {len(history.symbols)}, or in another order; "
            "use Bars.select and compute the history again"
        )
    if not len(rows):
        raise DataError("no bar lies in a session of the schedule; give the bars that the schedule was fitted on")
    at = np.minimum(np.searchsorted(history.ts, bars.ts[rows]), len(history.ts) - 1)
    missing = history.ts[at] != bars.ts[rows]
    if missing.any():
        raise DataError(
            f"the history has no row for {int(missing.sum())} of {len(rows)} bars; compute it on these bars"
        )
    return at


def _market_columns(bars: Bars, history: BarHistory, rows: IntArray, known: IntArray) -> tuple[FloatArray, FloatArray]:
    """Spread and sigma_1d on the rows of `bars`, NaN outside the schedule."""
    spread, sigma = np.full(bars.shape, np.nan), np.full(bars.shape, np.nan)
    spread[rows], sigma[rows] = history.spread[known], history.sigma_1d[known]
    return spread, sigma
