"""The account's order book of record, fed with reports late, twice, in any order, wrong, or never."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from math import nan

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paper_broker import SECOND

from workbench.core.errors import DataError
from workbench.core.types import Fill, OrderIntent
from workbench.execution.events import Commissioned, Corrected
from workbench.execution.order_ledger import OrderLedger
from workbench.execution.orders import DONE, NEXT, OPEN, OrderState, OrderTracker
from workbench.execution.portfolio import Portfolio
from workbench.execution.reports import (
    CommissionReport,
    ErrorReport,
    ExecutionReport,
    Link,
    LinkReport,
    OrderReport,
    OutgoingOrder,
)
from workbench.gateway.events import Accepted, Cancelled, Filled, Rejected

REF, ID, PERM, CLIENT = "wb-1", 101, 9001, 7
S = OrderState


def ledger(quantity: int = 100, sent: bool = True) -> OrderLedger:
    book = OrderLedger(CLIENT)
    book.intend(OutgoingOrder(ID, REF, "X", 1, quantity, "LMT", 50.0, "DAY"), 1)
    if sent:
        book.sent(REF, 2)
    return book


def status(word: str = "Submitted", **changes) -> OrderReport:
    plain = OrderReport(REF, ID, PERM, CLIENT, "X", 1, 100, "LMT", 50.0, "DAY", word, 0, 100, "", 3)
    return replace(plain, **changes)


def execution(exec_id: str = "e1.01", quantity: int = 40, price: float = 50.0, **changes) -> ExecutionReport:
    return replace(ExecutionReport(exec_id, REF, ID, PERM, CLIENT, "X", 1, quantity, price, 5), **changes)


def commission(exec_id: str = "e1.01", amount: float = 0.35) -> CommissionReport:
    return CommissionReport(exec_id, amount, "USD", nan, 6)


def error(code: int, ref: str = REF, order_id: int = ID) -> ErrorReport:
    return ErrorReport(code, "as told", order_id, ref, 7)


def feed(book: OrderLedger, *reports) -> list:
    return [event for report in reports for event in book.apply(report, 10)]


def state(book: OrderLedger) -> OrderState:
    return book.orders[REF].state


def test_the_usual_life() -> None:
    book = ledger()
    events = feed(book, status("PendingSubmit"), status("PreSubmitted"), status(), execution(), status(filled=40))
    assert [type(e) for e in events] == [Accepted, Filled]
    assert state(book) is S.PARTIAL
    events = feed(book, execution("e2.01", 60), status("Filled", filled=100), commission(), commission("e2.01", 0.5))
    assert [type(e) for e in events] == [Filled, Commissioned, Commissioned]
    assert [e.amount for e in events[1:]] == [0.35, 0.5]
    assert state(book) is S.FILLED
    assert not book.busy_symbols


@given(st.permutations([status(), execution(), execution(), status(filled=40), commission(), commission(),
                        execution("e1.02", 40, 50.5), status("Filled", filled=100), execution("e2.01", 60),
                        commission("e2.01", 1.0)]))  # fmt: skip
def test_any_order_of_reports_gives_the_same_money(reports) -> None:
    book = ledger()
    portfolio = Portfolio(("X",), 10_000.0)
    for event in feed(book, *reports):
        portfolio.apply(event)
    assert portfolio.shares.tolist() == [100]
    assert portfolio.cash == pytest.approx(10_000 - 40 * 50.5 - 60 * 50 - 1.35, abs=1e-9)
    assert portfolio.traded_today == pytest.approx(40 * 50.5 + 60 * 50)
    assert state(book) is S.FILLED


REPORTS = [
    status(), status("PreSubmitted"), status("Cancelled"), status("PendingCancel"), status("Inactive"),
    execution(), execution("e2.01", 60), execution("e1.02", 39), error(202), error(10148), error(201), error(10349),
    LinkReport(Link.DOWN, 0, "", 9),
]  # fmt: skip


@given(st.lists(st.sampled_from(REPORTS)))
def test_states_follow_the_table_and_what_is_over_stays_over(reports) -> None:
    book = ledger()
    feed(book, *reports)
    for t in book.transitions:
        assert t.after in NEXT[t.before]
        assert t.before is not S.FILLED
        assert t.before is not S.CANCELLED or t.after is S.FILLED  # by executions that came late
        assert t.before is not S.REJECTED or any(isinstance(r, ExecutionReport) for r in reports)
    before = state(book)
    if before in DONE:
        feed(book, status("PendingSubmit"), status("PendingCancel"), error(399), error(10148))
        assert state(book) is before


def test_an_open_order_after_a_partial_fill_moves_nothing_back() -> None:
    book = ledger()
    feed(book, status(), execution(), status("Submitted", filled=0), status("PreSubmitted"), status("PendingSubmit"))
    assert state(book) is S.PARTIAL
    assert book.orders[REF].remaining == 60


@pytest.mark.parametrize("code", [399, 404, 434, 2109, 10349, 110])
def test_information_ends_nothing_even_if_the_library_then_says_cancelled(code) -> None:
    book = ledger()
    feed(book, status())
    assert feed(book, error(code)) == []
    assert state(book) is S.ACCEPTED
    assert feed(book, status("Cancelled")) == []
    assert state(book) is S.UNKNOWN  # facts will tell
    assert book.needs_facts(10)


@pytest.mark.parametrize("code", [201, 203, 200, 321])
def test_rejections_of_a_new_order(code) -> None:
    book = ledger()
    (event,) = feed(book, error(code))
    assert isinstance(event, Rejected)
    assert str(code) in event.reason
    assert state(book) is S.REJECTED
    assert feed(book, status("Inactive"), status("Cancelled"), error(code)) == []


@pytest.mark.parametrize("code", [321, 201, 105])
def test_a_refused_change_is_a_doubt_about_the_order_not_its_end(code) -> None:
    book = ledger()
    feed(book, status())
    book.changed(replace(book.orders[REF].order, limit_price=50.5))
    assert feed(book, error(code)) == []
    assert state(book) is S.UNKNOWN
    events = book.confirm(status(limit_price=50.0), 20)
    assert events == ()
    assert state(book) is S.ACCEPTED
    assert book.orders[REF].order.limit_price == 50.0


@pytest.mark.parametrize("code", [104, 161, 10147, 10148, 135, 105])
def test_a_cancel_that_failed_is_a_doubt_and_fills_still_count(code) -> None:
    book = ledger()
    feed(book, status())
    book.cancel_asked(REF, 8, sent=True)
    assert state(book) is S.CANCELLING
    assert feed(book, status()) == []  # regression
    assert state(book) is S.CANCELLING
    assert feed(book, error(code), status("Cancelled")) == []
    assert state(book) is S.UNKNOWN
    (event,) = feed(book, execution("e1.01", 100))
    assert isinstance(event, Filled)
    assert state(book) is S.FILLED


def test_a_cancel_by_202_and_a_fill_after_it() -> None:
    book = ledger()
    feed(book, status())
    book.cancel_asked(REF, 8, sent=True)
    (event,) = feed(book, error(202), status("Cancelled"), error(202))
    assert isinstance(event, Cancelled)
    assert event.remaining == 100
    (late,) = feed(book, execution())
    assert isinstance(late, Filled)
    assert state(book) is S.CANCELLED
    assert book.orders[REF].filled == 40


def test_revisions_of_an_execution() -> None:
    book = ledger()
    first, fix = feed(book, execution(), execution("e1.02", 30, 50.2))
    assert isinstance(fix, Corrected)
    assert (fix.before, fix.after.quantity, fix.after.price) == (first.fill, 30, 50.2)
    assert feed(book, execution(), execution("e1.02", 30, 50.2)) == []
    assert book.orders[REF].filled == 30
    other = ledger()
    (only,) = feed(other, execution("e1.02", 30, 50.2), execution())
    assert only.fill.quantity == 30


def test_commissions_once_each_whatever_comes_first_and_a_revision_replaces() -> None:
    book = ledger()
    assert feed(book, commission("e1.01", 1.0)) == []
    _, cost = feed(book, execution())
    assert (cost.exec_id, cost.amount) == ("e1.01", 1.0)
    assert feed(book, commission("e1.01", 1.0), commission("e1.01", 9.0)) == []
    events = feed(book, execution("e1.02", 40, 50.5), commission("e1.02", 1.25))
    assert [getattr(e, "amount", None) for e in events] == [None, 0.25]
    assert feed(book, commission("e9.01", 1.0), commission("e1.03", 1.8e308)) == []


def test_matching_by_permid_then_by_order_id_of_our_client_else_foreign() -> None:
    book = ledger()
    feed(book, status())
    assert len(feed(book, execution("a.01", order_ref="", order_id=0))) == 1  # permId
    assert len(feed(book, execution("b.01", 10, order_ref="", perm_id=0))) == 1  # order id and client
    outside = [
        execution("c.01", order_ref="", perm_id=0, client_id=3),
        execution("d.01", order_ref="", perm_id=0, order_id=0),
        execution("f.01", order_ref="someone"),
        execution("g.01", order_ref="", perm_id=0, symbol="Y"),
        execution("h.01", order_ref="", perm_id=0, side=-1),
    ]
    assert feed(book, *outside) == []
    assert {r.exec_id for r in book.executions.foreign.values()} == {"c.01", "d.01", "f.01", "g.01", "h.01"}
    assert book.orders[REF].filled == 50


def test_an_execution_before_its_permid_is_known_becomes_ours_later() -> None:
    book = ledger()
    assert feed(book, execution(order_ref="", order_id=0), commission()) == []
    events = feed(book, status())
    assert [type(e) for e in events] == [Filled, Commissioned]
    assert not book.executions.foreign
    assert state(book) is S.PARTIAL


def test_a_gap_between_status_and_executions_needs_facts() -> None:
    book = ledger()
    feed(book, status(), status("Cancelled", filled=40))
    assert state(book) is S.CANCELLED
    assert book.busy_symbols == {"X"}
    assert not book.needs_facts(10 + SECOND)
    assert book.needs_facts(10 + 3 * SECOND)
    feed(book, execution())
    assert not book.busy_symbols
    assert not book.needs_facts(10 + 3 * SECOND)


def test_inactive_is_not_final() -> None:
    book = ledger()
    feed(book, error(404), status("Inactive", why_held="locate"))
    assert state(book) is S.ACCEPTED
    feed(book, status("Inactive"))
    assert state(book) is S.UNKNOWN
    assert feed(book, error(201))[0].reason.startswith("error 201")


@pytest.mark.parametrize("link", [Link.DOWN, Link.CUT])
def test_a_lost_connection_puts_every_order_in_doubt(link) -> None:
    book = ledger()
    feed(book, status(), LinkReport(link, 1100, "", 9))
    assert state(book) is S.UNKNOWN
    feed(book, status())
    assert state(book) is S.UNKNOWN  # only facts settle it
    book.confirm(status(), 20)
    assert state(book) is S.ACCEPTED
    feed(book, LinkReport(Link.DATA_LOST, 2103, "", 21))
    assert state(book) is S.ACCEPTED


def test_silence_after_sending_is_a_doubt() -> None:
    book = ledger()
    book.age(2 + 10 * SECOND)
    assert state(book) is S.SENT
    book.age(3 + 10 * SECOND)
    assert state(book) is S.UNKNOWN


def test_bad_input() -> None:
    book = ledger()
    with pytest.raises(DataError, match="used before"):
        book.intend(OutgoingOrder(ID, "wb-2", "X", 1, 1, "MKT", nan, "DAY"), 1)
    with pytest.raises(DataError, match="used before"):
        book.intend(OutgoingOrder(ID + 1, REF, "X", 1, 1, "MKT", nan, "DAY"), 1)
    assert feed(book, error(201, ref="other"), error(201, ref="", order_id=5), status(order_ref="other")) == []
    with pytest.raises(DataError, match="fallback"):
        book.of("nobody")


def test_the_table_has_every_state_and_no_way_back_to_the_start() -> None:
    assert set(NEXT) == set(S) == OPEN | DONE
    assert not any({S.INTENDED, S.SENT} & after for before, after in NEXT.items() if before is not S.INTENDED)
    assert all(after <= {S.UNKNOWN, S.FILLED} for before, after in NEXT.items() if before in DONE)
    assert S.FILLED not in NEXT[S.REJECTED] | NEXT[S.ABSENT]


def test_the_tracker_and_the_portfolio_take_corrections() -> None:
    before = Fill("e1.01", "r", "X", -1, 60, 50.0, 0.0, 1)
    after = replace(before, exec_id="e1.02", quantity=50, price=49.0)
    intent = OrderIntent("r", "X", -1, 100, "MKT", nan, "DAY", 1, 50.0)
    tracker, portfolio = OrderTracker(), Portfolio(("X",), 0.0)
    tracker.adopt(intent)
    for event in (Filled(before, 40, nan, nan), Corrected("r", "X", before, after, 2)):
        assert tracker.apply(event)
        portfolio.apply(event)
    assert not tracker.apply(Corrected("r", "X", before, after, 2))
    assert [o.quantity for o in tracker.open_orders] == [50]
    assert (portfolio.shares.tolist(), portfolio.cash) == ([-50], 50 * 49.0)
    portfolio.apply(Commissioned("r", "e1.02", "X", 1.5, 3))
    assert portfolio.cash == 50 * 49.0 - 1.5


def test_a_portfolio_comes_back_exactly() -> None:
    import json

    import numpy as np

    book = Portfolio(("X", "Y"), 1_000 / 3)
    book.apply(Filled(Fill("e", "r", "X", 1, 7, 0.1, 0.0, 1), 0, nan, nan))
    book.mark(np.array([0.3, nan]), 5)
    again = Portfolio.of_state(("Y", "X"), json.loads(json.dumps(book.state())))
    assert again.state() == book.state()
    assert again.shares.tolist() == [0, 7]
    book.mark(np.array([0.2, 1.0]), 6)
    again.mark(np.array([1.0, 0.2]), 6)
    assert again.state() == book.state()
    with pytest.raises(DataError, match="X is not in"):
        Portfolio.of_state(("Y",), book.state())


def test_every_order_of_ack_fill_and_cancel_keeps_the_shares() -> None:
    for reports in permutations([status(), execution(), error(202), status("Cancelled", filled=40), commission()]):
        book = ledger()
        events = feed(book, *reports)
        assert book.orders[REF].filled == 40
        assert sum(isinstance(e, Filled) for e in events) == 1
        assert sum(isinstance(e, Commissioned) for e in events) == 1
        assert sum(isinstance(e, Cancelled) for e in events) == 1
