"""Several systems' wishes as one order per symbol, and back."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from fractions import Fraction
from math import isnan, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.core.types import OrderIntent
from workbench.execution.netting import Wish, net, split_money, split_shares


def wish(system: str, side: int, quantity: int, symbol: str = "X", kind: str = "MKT", limit: float = nan,
         mid: float = 50.0, algo: tuple[str, str] = ("", "")) -> Wish:  # fmt: skip
    intent = OrderIntent(f"{system}-{symbol}-{kind}", symbol, side, quantity, kind, limit, "DAY", 5, mid)
    return Wish(system, intent, *algo)


def test_one_system_goes_out_as_it_is() -> None:
    (order,) = net([wish("a", -1, 10, kind="LMT", limit=49.5)]).orders
    assert (order.side, order.quantity, order.order_type, order.limit_price) == (-1, 10, "LMT", 49.5)
    assert (order.decided_at, order.arrival_mid, order.order_ref[:3]) == (5, 50.0, "wb-")


def test_the_crossing_part_stays_inside_at_the_mid() -> None:
    netted = net([wish("a", 1, 10), wish("b", 1, 5), wish("c", -1, 9), wish("d", 1, 4, "Y")])
    (cross,), (x, y) = netted.crosses, netted.orders
    assert (cross.price, cross.symbol) == (50.0, "X")
    assert [(s.system, s.quantity) for s in cross.shares] == [("a", 6), ("b", 3), ("c", 9)]
    assert [(s.system, s.quantity) for s in x.shares] == [("a", 4), ("b", 2)]
    assert (x.side, x.quantity, y.quantity) == (1, 6, 4)


def test_without_a_mid_the_smaller_side_waits() -> None:
    netted = net([wish("a", 1, 10, mid=nan), wish("c", -1, 9)])
    assert [(o.side, o.quantity) for o in netted.orders] == [(1, 10)]
    assert [w.system for w, _ in netted.held] == ["c"]
    assert "mid is unknown" in netted.held[0][1]
    equal = net([wish("a", 1, 9, mid=nan), wish("c", -1, 9)])
    assert (equal.orders, len(equal.held)) == ((), 2)


def test_limits_and_auctions_forbid_crossing() -> None:
    netted = net([wish("a", 1, 10, kind="LMT", limit=49.9), wish("c", -1, 9)])
    assert not netted.crosses
    assert "forbids" in netted.held[0][1]
    assert net([wish("a", 1, 10, kind="LMT", limit=50.0), wish("c", -1, 9)]).crosses
    assert not net([wish("a", 1, 10, kind="MOC"), wish("c", -1, 9, kind="MOC")]).crosses
    assert not net([wish("a", 1, 10), wish("c", -1, 9)], cross=False).crosses


def test_what_trades_now_goes_before_the_auction() -> None:
    netted = net([wish("a", 1, 10, kind="MOC"), wish("b", -1, 9)])
    assert [(o.order_type, o.side) for o in netted.orders] == [("MKT", -1)]
    assert [w.system for w, _ in netted.held] == ["a"]


def test_the_tightest_limit_and_the_common_algo() -> None:
    buys = [wish("a", 1, 10, kind="LMT", limit=50.2), wish("b", 1, 10, kind="LMT", limit=50.1), wish("c", 1, 5)]
    (order,) = net(buys).orders
    assert (order.order_type, order.limit_price) == ("LMT", 50.1)
    (order,) = net([wish("a", -1, 10, kind="LOC", limit=49.0), wish("b", -1, 1, kind="MOC")]).orders
    assert (order.order_type, order.limit_price) == ("LOC", 49.0)
    same, other = ("Adaptive", "Normal"), ("Adaptive", "Urgent")
    (order,) = net([wish("a", 1, 1, algo=same), wish("b", 1, 1, algo=same)]).orders
    assert (order.algo, order.priority) == same
    (order,) = net([wish("a", 1, 1, algo=same), wish("b", 1, 1, algo=other)]).orders
    assert (order.algo, order.priority, isnan(order.limit_price)) == ("", "", True)


WISHES = st.lists(
    st.tuples(st.sampled_from("XYZ"), st.sampled_from([1, -1]), st.integers(1, 500), st.sampled_from([50.0, nan])),
    max_size=8,
)


@given(WISHES)
def test_nothing_is_lost_or_invented(drawn) -> None:
    wishes = [wish(f"s{i}", side, q, symbol, mid=mid) for i, (symbol, side, q, mid) in enumerate(drawn)]
    netted = net(wishes)
    got: Counter[str] = Counter()
    for group in (*netted.orders, *netted.crosses):
        for share in group.shares:
            assert share.quantity > 0
            got[share.system] += share.quantity
    for w, _ in netted.held:
        got[w.system] += w.intent.quantity
    assert got == Counter({w.system: w.intent.quantity for w in wishes})
    for cross in netted.crosses:
        assert sum(s.intent.side * s.quantity for s in cross.shares) == 0
    assert len({o.symbol for o in netted.orders}) == len(netted.orders)
    for order in netted.orders:
        assert order.quantity == sum(s.quantity for s in order.shares)
        assert {s.intent.side for s in order.shares} == {order.side}
    assert str(net(wishes)) == str(netted)


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=6), st.data())
def test_shares_split_in_proportion(weights, data) -> None:
    if not sum(weights):
        weights[0] = 1
    quantity = data.draw(st.integers(0, sum(weights)))
    parts = split_shares(quantity, weights)
    assert sum(parts) == quantity
    for part, weight in zip(parts, weights):
        assert 0 <= part <= weight
        assert abs(part - Fraction(quantity * weight, sum(weights))) < 1


@given(st.floats(-1e5, 1e5, allow_subnormal=False), st.lists(st.integers(1, 10_000), min_size=1, max_size=6))
def test_money_splits_exactly(amount, weights) -> None:
    amount = round(amount, 6)
    parts = split_money(amount, weights)
    assert sum(Decimal(repr(p)) for p in parts) == Decimal(repr(amount))
    for part, weight in zip(parts, weights):
        assert part == pytest.approx(amount * weight / sum(weights), abs=2e-6)
