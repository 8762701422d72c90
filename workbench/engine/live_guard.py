"""The guards of a live session: the facts of the moment gathered, then the pure rules applied."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from workbench.config import Settings
from workbench.core.horizon import horizon
from workbench.core.types import Book, Decision, OrderIntent, Phase, Snapshot
from workbench.core.units import BAR_MINUTES, NS_PER_MINUTE
from workbench.core.universe import Universe
from workbench.execution.guards import Guarded
from workbench.execution.live_facts import LiveFacts, Margin
from workbench.execution.live_guards import guard_margin, guard_orders
from workbench.execution.reports import Quote


class Surroundings(Protocol):
    """What a session's guards must know of the account around it."""

    def now(self) -> int: ...

    def quotes(self) -> Mapping[str, Quote]: ...

    def link_up(self) -> bool: ...

    def reconciled(self) -> bool: ...

    def clock_skew_s(self) -> float: ...

    def open_orders(self) -> tuple[OrderIntent, ...]: ...

    def orders_last_minute(self) -> int: ...

    def margin(self, growing: tuple[OrderIntent, ...]) -> Margin | None: ...


@dataclass
class LiveGuard:
    """Callable as a :data:`~workbench.engine.session.GuardFunction`.

    `decision` gives the one that is acted upon, `working` the system's own orders that may still fill.
    """

    around: Surroundings
    settings: Settings
    universe: Universe
    decision: Callable[[], Decision | None]
    working: Callable[[], tuple[OrderIntent, ...]]
    _lot: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self._lot = np.array([i.lot for i in self.universe.instruments], np.float64)

    def __call__(self, intents: tuple[OrderIntent, ...], book: Book, snapshot: Snapshot, reduce_only: bool) -> Guarded:
        """What may leave, and what was held back and why."""
        if not intents:
            return Guarded((), ())
        facts = self.facts(book, snapshot)
        bounds, limits = self.settings.guards, self.settings.validation
        first = guard_orders(intents, book.positions, facts, bounds, limits, reduce_only=reduce_only)
        growing = tuple(i for i in first.intents if self._grows(i, book))
        asked = replace(facts, margin=self.around.margin(growing) if growing else None)
        second = guard_margin(first.intents, book.positions, asked, bounds)
        return Guarded(second.intents, first.held + second.held)

    def facts(self, book: Book, snapshot: Snapshot) -> LiveFacts:
        """What is known at this moment."""
        around = self.around
        now, working = around.now(), self.working()
        gone = max(now - snapshot.known_at, 0) / NS_PER_MINUTE  # a late decision may stand after the close
        left = snapshot.minutes_to_close - gone
        known = replace(
            LiveFacts.unknown(snapshot.symbols),
            price=snapshot.price,
            expected_volume=snapshot.expected_volume[0],
            features_ok=np.isfinite(snapshot.price) & features_known(self.decision(), snapshot),
            lot=self._lot,
            buying=_working(working, snapshot.symbols, 1),
            selling=_working(working, snapshot.symbols, -1),
            phase=snapshot.phase if left > 0 else Phase.CLOSED,
            minutes_since_open=(snapshot.bar_of_session + 1) * BAR_MINUTES + gone,
            minutes_to_close=max(left, 0.0),
            orders_last_minute=float(around.orders_last_minute()),
            open_orders=float(len(around.open_orders())),
            clock_skew_s=around.clock_skew_s(),
            models_alive=models_alive(self.decision(), snapshot),
            link_up=around.link_up(),
            reconciled=around.reconciled(),
            nav=book.nav,
            day_start_nav=book.day_start_nav,
            peak_nav=book.peak_nav,
            # the API does not tell what borrowing costs: the rate that the backtest assumed
            borrow_rate=np.full(len(snapshot.symbols), self.settings.backtest.borrow_rate),
        )
        return known.with_quotes(around.quotes(), now)

    @staticmethod
    def _grows(intent: OrderIntent, book: Book) -> bool:
        held = float(book.positions[book.symbols.index(intent.symbol)])
        return held * intent.side >= 0 or intent.quantity > abs(held)


def models_alive(decision: Decision | None, snapshot: Snapshot) -> float:
    """Fraction of the models of open horizons that had a view of some symbol; NaN where none was to be asked."""
    if decision is None:
        return float("nan")
    keys = decision.forecasts.keys
    views = np.asarray(np.isfinite(decision.forecasts.expected_return).any(axis=1))
    spoke = [bool(v) for key, v in zip(keys, views) if snapshot.horizon_open[horizon(key.horizon).order]]
    return sum(spoke) / len(spoke) if spoke else float("nan")


def features_known(decision: Decision | None, snapshot: Snapshot) -> np.ndarray:
    """(N,) symbols of which some feature is known that the models of open horizons read; True where none reads any.

    Single features that are NaN are no fault: the models learned from such rows. Where all of a symbol's are NaN its
    models abstain, it is UNKNOWN and never increased; this looks again before an order leaves.
    """
    horizons = [] if decision is None else [horizon(key.horizon) for key in decision.forecasts.keys]
    read = {h.is_day for h in horizons if snapshot.horizon_open[h.order]}
    tables = [snapshot.daily if is_day else snapshot.features for is_day in read]
    known = [np.isfinite(table.latest).any(axis=1) for table in tables]
    return np.any(known, axis=0) if known else np.ones(len(snapshot.symbols), dtype=bool)


def _working(orders: tuple[OrderIntent, ...], symbols: tuple[str, ...], side: int) -> np.ndarray:
    """(N,) shares that orders of one side still bring."""
    column = {s: i for i, s in enumerate(symbols)}
    total = np.zeros(len(symbols))
    for order in orders:
        if order.side == side and order.symbol in column:
            total[column[order.symbol]] += order.quantity
    return total
