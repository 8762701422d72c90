"""The tracker and the portfolio follow events exactly once."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.core.clock import ManualClock
from workbench.core.errors import DataError, WorkbenchError
from workbench.core.types import Carry, Fill, OrderIntent
from workbench.execution.orders import OrderState, OrderTracker
from workbench.execution.portfolio import Portfolio, mark_prices
from workbench.execution.simulated import SimulatedBroker
from workbench.gateway.events import Accepted, Cancelled, Filled, Rejected
from workbench.gateway.matching import MatchingEngine


def order(symbol: str, side: int, quantity: int, limit: float = np.nan, ref: str = "r") -> OrderIntent:
    kind = "MKT" if np.isnan(limit) else "LMT"
    return OrderIntent(ref, symbol, side, quantity, kind, limit, "DAY", 0, 50.0)


def filled(
    ref: str, symbol: str, side: int, quantity: int, price: float, remaining: int = 0, number: int = 1
) -> Filled:
    return Filled(Fill(f"{ref}.{number}", ref, symbol, side, quantity, price, 1.0, 5, price), remaining, 0.0, 0.0)


def test_tracker_follows_the_life_of_an_order() -> None:
    t = OrderTracker()
    t.intend(order("AAA", 1, 100))
    assert t.state("r") is OrderState.INTENDED
    t.sent("r")
    assert t.apply(Accepted("r", "AAA", 1))
    assert t.apply(filled("r", "AAA", 1, 40, 50.0, 60))
    assert not t.apply(filled("r", "AAA", 1, 40, 50.0, 60))  # the same execution again
    assert [(o.order_ref, o.quantity) for o in t.open_orders] == [("r", 60)]
    assert t.apply(Cancelled("r", "AAA", 2, 60, "requested"))
    assert not t.apply(Cancelled("r", "AAA", 2, 60, "requested"))
    assert t.apply(filled("r", "AAA", 1, 10, 50.0, 50, number=2))  # a late fill still moved money
    assert (t.state("r"), t.open_orders, len(t), "r" in t) == (OrderState.CANCELLED, (), 1, True)


def test_tracker_fill_before_acceptance_rejection_and_strangers() -> None:
    t = OrderTracker()
    t.intend(order("AAA", 1, 100, ref="a"))
    t.sent("a")
    t.apply(filled("a", "AAA", 1, 100, 50.0))
    assert not t.apply(Accepted("a", "AAA", 1))
    assert t.state("a") is OrderState.FILLED
    t.intend(order("AAA", 1, 100, ref="b"))
    t.sent("b")
    t.apply(Rejected("b", "AAA", 1, "no"))
    assert t.state("b") is OrderState.REJECTED
    assert not t.apply(Accepted("stranger", "AAA", 1))
    with pytest.raises(DataError, match="used before"):
        t.intend(order("AAA", 1, 1, ref="a"))
    with pytest.raises(DataError, match="not ours"):
        t.state("stranger")


def test_portfolio_books_marks_days_and_peaks(desk) -> None:
    p = Portfolio(desk.symbols, 10_000.0)
    p.mark(np.array([50.0, np.nan, 20.0]), 1)
    p.apply(filled("r", "AAA", 1, 100, 50.0))
    p.apply(filled("s", "CCC", -1, 50, 20.0))
    assert p.cash == 10_000 - 5_000 - 1 + 1_000 - 1
    p.mark(np.array([51.0, np.nan, 19.0]), 1)
    assert p.nav == pytest.approx(10_000 - 2 + 100 + 50)
    np.testing.assert_allclose(p.weights, np.array([5100, 0, -950]) / p.nav)
    p.mark(np.array([49.0, np.nan, np.nan]), 2)  # CCC has no bar: last known 19
    assert (p.stale_marks, p.day_start_nav, p.peak_nav) == (1, pytest.approx(10_148), pytest.approx(10_148))
    book = p.book(7, (), Carry.empty(3))
    assert (book.as_of, book.turnover_today, book.nav) == (7, 0.0, pytest.approx(9_948))


def test_portfolio_bad_input(desk) -> None:
    p = Portfolio(desk.symbols, 100.0)
    with pytest.raises(DataError, match="ZZZ is not in this system's universe of 3"):
        p.apply(filled("r", "ZZZ", 1, 100, 50.0))
    p.apply(filled("r", "AAA", 1, 100, 50.0))
    with pytest.raises(DataError, match="AAA held without any price"):
        p.mark(np.full(3, np.nan), 1)
    p.mark(np.array([1.0, 1.0, 1.0]), 1)
    with pytest.raises(WorkbenchError, match="nothing left to size against"):
        _ = p.weights


def test_marks_are_mids_of_sound_quotes(desk) -> None:
    bid, ask = np.array([49.0, 101.0, np.nan]), np.array([50.0, 100.0, 20.0])
    np.testing.assert_array_equal(mark_prices(desk.snapshot(bid=bid, ask=ask)), [49.5, 100.0, 20.0])


def test_simulated_broker_agrees_with_the_portfolio(desk) -> None:
    clock = ManualClock(10)
    broker = SimulatedBroker(MatchingEngine(clock), 10_000.0)
    portfolio = Portfolio(desk.symbols, broker.cash, broker.positions)
    broker.engine.on_quote("AAA", 49.99, 50.01, 500.0, 500.0, 10)
    broker.submit(order("AAA", -1, 30))
    broker.submit(order("AAA", 1, 10, ref="s"))
    broker.charge("borrow", 2.5)
    for event in broker.poll():
        portfolio.apply(event)
    assert broker.positions == {"AAA": -20}
    assert portfolio.cash == pytest.approx(broker.cash)
    assert portfolio.shares.tolist() == [-20, 0, 0]
    broker.cancel("r")
    assert broker.poll() == ()
