"""The backtest's guards only take away."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.config import ValidationSettings
from workbench.core.types import OrderIntent
from workbench.execution.guards import apply_guards

LIMITS = ValidationSettings()


def order(symbol: str, side: int, quantity: int, limit: float = np.nan, ref: str = "r") -> OrderIntent:
    kind = "MKT" if np.isnan(limit) else "LMT"
    return OrderIntent(ref, symbol, side, quantity, kind, limit, "DAY", 0, 50.0)


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
