"""Books, margin, borrow, identifiers and price rules against sums by hand."""

from __future__ import annotations

import re
from math import isnan, nan

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.core.errors import DataError
from workbench.gateway.books import MICRO, Books, Holding
from workbench.gateway.borrow import BorrowBook, BorrowLine
from workbench.gateway.ids import Identifiers
from workbench.gateway.margin import after_trade, requirement
from workbench.gateway.price_rules import RULE_612, PriceRule

USD = MICRO


def test_average_cost_includes_commissions_and_realised_is_net_of_all_of_them() -> None:
    books = Books(10_000 * USD)
    assert isnan(books.trade("A", 1, 1, 100, 10.0, 1.0))
    assert books.holdings["A"].average_cost == pytest.approx(10.01)  # 1001 / 100
    assert isnan(books.trade("A", 1, 1, 100, 11.0, 1.0))
    assert books.holdings["A"].average_cost == pytest.approx(10.51)  # 2102 / 200
    assert books.trade("A", 1, -1, 50, 12.0, 1.0) == pytest.approx(600 - 1 - 525.5)
    assert books.holdings["A"].average_cost == pytest.approx(10.51)  # selling leaves it
    assert books.cash / USD == pytest.approx(10_000 - 1001 - 1101 + 599)
    assert books.equity({"A": 12.0}) == pytest.approx(10_000 - 1001 - 1101 + 599 + 150 * 12)


def test_a_trade_across_zero_closes_and_opens_and_splits_its_commission() -> None:
    books = Books(0)
    books.trade("A", 1, 1, 100, 10.0, 1.0)
    assert books.trade("A", 1, -1, 300, 11.0, 3.0) == pytest.approx(1100 - 1 - 1001)
    short = books.holdings["A"]
    assert short.quantity == -200
    assert short.average_cost == pytest.approx((2200 - 2) / 200)  # proceeds less commission
    assert books.trade("A", 1, 1, 200, 10.0, 2.0) == pytest.approx(2198 - 2002)
    assert (short.quantity, short.basis, short.average_cost) == (0, 0, 0.0)


TRADES = st.lists(
    st.tuples(
        st.sampled_from(["A", "B"]),
        st.sampled_from([1, -1]),
        st.integers(1, 1_000),
        st.integers(1, 10_000_000).map(lambda k: k / 10_000),
        st.integers(0, 10_000_000).map(lambda k: k / MICRO),
    ),
    max_size=30,
)


@settings(max_examples=100, deadline=None)
@given(trades=TRADES)
def test_every_millionth_is_accounted_for(trades) -> None:
    books, paid, shares = Books(10**12), 0, {"A": 0, "B": 0}
    for symbol, side, quantity, price, fee in trades:
        books.trade(symbol, 1, side, quantity, price, fee)
        paid += side * quantity * round(price * 10_000) * 100 + round(fee * MICRO)
        shares[symbol] += side * quantity
    assert books.cash == 10**12 - paid
    assert books.imbalance == 0
    assert {s: books.quantity(s) for s in shares} == shares
    for holding in books.holdings.values():
        assert holding.quantity or holding.basis == 0
        assert holding.realized == holding.realized_today
    assert Books.from_dict(books.to_dict()).to_dict() == books.to_dict()


@settings(max_examples=50, deadline=None)
@given(trades=TRADES)
def test_a_short_is_the_mirror_of_a_long(trades) -> None:
    long, short = Holding("A", 1), Holding("A", 1)
    for _, side, quantity, price, _ in trades:
        micro = round(price * 10_000) * 100
        up, down = long.trade(side, quantity, micro, 0), short.trade(-side, quantity, micro, 0)
        assert (up is None) == (down is None)
        assert up is None or up == -down
        assert (long.quantity, long.flow) == (-short.quantity, -short.flow)


def test_margin_of_longs_and_shorts_by_hand() -> None:
    r = requirement({"A": 100, "B": -50, "C": 0}, {"A": 20.0, "B": 10.0}, 1_000.0)
    assert (r.initial, r.maintenance, r.equity) == (1000 + 250, 500 + 150, 1000 + 2000 - 500)
    # 150 % and 130 % of the short, of which its proceeds are 100 %
    assert after_trade({}, {"A": 10.0}, 600.0, ("A", -100), nan, 1.0).after == requirement({"A": -100}, {"A": 10}, 1599)
    what_if = after_trade({"A": 100}, {"A": 10.0}, -400.0, ("A", 30), nan, 1.0)
    assert (what_if.before.equity, what_if.after.equity) == (600.0, 599.0)
    assert (what_if.change.initial, what_if.change.maintenance, what_if.change.equity) == (150.0, 75.0, -1.0)
    assert not what_if.affordable  # 650 needed, 599 there
    assert after_trade({"A": 100}, {"A": 10.0}, -900.0, ("A", -30), nan, 1.0).affordable  # it lowers the margin
    unknown = after_trade({}, {}, 0.0, ("A", 30), nan, nan)
    assert isnan(unknown.after.initial)
    assert unknown.affordable  # nobody can value it


def test_borrow_fee_is_value_times_rate_over_360_a_day() -> None:
    book = BorrowBook(lines={"HARD": BorrowLine(1_000, 0.36, locatable=True)})
    books = Books(0)
    books.trade("HARD", 1, -1, 100, 10.0, 0.0)
    books.trade("LONG", 1, 1, 100, 10.0, 0.0)
    book.charge(books, {"HARD": 20.0, "LONG": 10.0}, 3)
    assert books.fees == round(100 * 20 * 0.36 * 3 / 360 * USD)
    assert books.imbalance == 0
    assert (book.enough("HARD", 1_000), book.enough("HARD", 1_001), book.enough("EASY", 10**6)) == (True, False, True)
    assert BorrowBook.from_dict(book.to_dict()) == book


def test_identifiers_are_shaped_like_ibkrs_and_never_repeat() -> None:
    ids, again = Identifiers(5), Identifiers(5)
    perm = [ids.next_perm_id() for _ in range(500)]
    execs = [ids.next_exec_id() for _ in range(500)]
    assert perm == [again.next_perm_id() for _ in range(500)] == sorted(set(perm))
    assert len(set(execs)) == 500
    assert all(re.fullmatch(r"[0-9a-f]{8}\.[0-9a-f]{8}\.01\.01", e) for e in execs)
    assert max(perm) < 2**31
    resumed = Identifiers(**ids.to_dict())
    assert resumed.next_exec_id() not in execs
    assert resumed.next_perm_id() > perm[-1]


@pytest.mark.parametrize(
    ("price", "fits"),
    [(10.01, True), (10.005, False), (1.0, True), (0.9999, True), (1.0001, False), (0.99995, False), (123.45, True)],
)
def test_rule_612(price, fits) -> None:
    assert RULE_612.conforms(price) is fits
    assert RULE_612.conforms(RULE_612.rounded(price, up=True))
    assert not RULE_612.conforms(nan)


def test_price_rules_are_checked() -> None:
    with pytest.raises(DataError, match="must start at 0"):
        PriceRule(((1.0, 0.01),))
    with pytest.raises(DataError, match="increments above 0"):
        PriceRule(((0.0, 0.0),))
