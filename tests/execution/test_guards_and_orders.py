"""Guards only take away; the tracker and the portfolio follow events exactly once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.config import ValidationSettings
from workbench.core.clock import ManualClock
from workbench.core.errors import DataError, WorkbenchError
from workbench.core.types import Carry, Fill, OrderIntent
from workbench.execution.guards import apply_guards
from workbench.execution.orders import OrderState, OrderTracker
from workbench.execution.portfolio import Portfolio, mark_prices
from workbench.execution.simulated import SimulatedBroker
from workbench.gateway.events import Accepted, Cancelled, Filled, Rejected
from workbench.gateway.matching import MatchingEngine

LIMITS = ValidationSettings()


def order(symbol: str, side: int, quantity: int, limit: float = np.nan, ref: str = "r") -> OrderIntent:
    kind = "MKT" if np.isnan(limit) else "LMT"
    return OrderIntent(ref, symbol, side, quantity, kind, limit, "DAY", 0, 50.0)


def filled(
    ref: str, symbol: str, side: int, quantity: int, price: float, remaining: int = 0, number: int = 1
) -> Filled:
    return Filled(Fill(f"{ref}.{number}", ref, symbol, side, quantity, price, 1.0, 5, price), remaining, 0.0, 0.0)


def test_reduce_only_keeps_the_part_that_shrinks(desk) -> None:
    intents = (order("AAA", -1, 150, ref="a"), order("BBB", 1, 10, ref="b"), order("CCC", 1, 10, ref="c"))
    guarded = apply_guards(intents, desk.book((100, 5, -40)), desk.snapshot(), LIMITS, reduce_only=True)
    assert [(o.symbol, o.quantity) for o in guarded.intents] == [("AAA", 100), ("CCC", 10)]
    assert [(h.symbol, h.quantity, h.reason) for h in guarded.held] == [
        ("AAA", 50, "reduce only"),
        ("BBB", 10, "reduce only"),
    ]


def test_stale_quotes_bands_and_notional(desk) -> None:
    stale = desk.snapshot(quote_age_s=np.array([1e4, 0.0, 1e4]))
    guarded = apply_guards((order("AAA", 1, 10), order("CCC", -1, 10)), desk.book((0, 0, 10)), stale, LIMITS)
    assert [o.symbol for o in guarded.intents] == ["CCC"]
    wild = apply_guards((order("AAA", 1, 10, limit=75.0),), desk.book(), desk.snapshot(), LIMITS)
    assert (wild.intents, wild.held[0].reason) == ((), "price band")
    small = ValidationSettings(max_notional=1000.0)
    assert apply_guards((order("AAA", 1, 100),), desk.book(), desk.snapshot(), small).intents[0].quantity == 20


@settings(max_examples=60, deadline=None)
@given(
    positions=st.lists(st.integers(-100, 100), min_size=3, max_size=3),
    orders=st.lists(st.tuples(st.sampled_from("ABC"), st.sampled_from([1, -1]), st.integers(1, 300)), max_size=4),
    reduce_only=st.booleans(),
    age=st.sampled_from([0.0, 1e5, np.nan]),
)
def test_guards_never_enlarge_or_invent(desk, positions, orders, reduce_only, age) -> None:
    intents = tuple(order(s * 3, side, q, ref=str(k)) for k, (s, side, q) in enumerate(orders))
    snapshot = desk.snapshot(quote_age_s=np.full(3, age))
    limits = ValidationSettings(max_notional=5000.0)
    guarded = apply_guards(intents, desk.book(positions), snapshot, limits, reduce_only=reduce_only)
    before = {o.order_ref: o for o in intents}
    for o in guarded.intents:
        was = before[o.order_ref]
        assert 0 < o.quantity <= was.quantity
        assert (o.symbol, o.side, o.order_type) == (was.symbol, was.side, was.order_type)
    kept = {o.order_ref: o.quantity for o in guarded.intents}
    for ref, was in before.items():
        assert kept.get(ref, 0) + sum(h.quantity for h in guarded.held if h.order_ref == ref) == was.quantity


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
