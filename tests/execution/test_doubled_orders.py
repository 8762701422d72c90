"""Two orders of one reference at the broker, of which the first is cancelled: the second is the order from then on."""

from __future__ import annotations

from dataclasses import replace
from math import nan

from paper_broker import SECOND

from workbench.execution.order_ledger import OrderLedger
from workbench.execution.order_states import OrderState
from workbench.execution.reconcile import reconcile
from workbench.execution.reports import AccountReport, ErrorReport, Facts, OrderReport, OutgoingOrder

FIRST, SECOND_PERM = 9001, 9002


def report(word: str, perm: int, order_id: int) -> OrderReport:
    return OrderReport("wb-1", order_id, perm, 7, "X", 1, 100, "LMT", 50.0, "DAY", word, 0, 100, "", 3)


def doubled() -> OrderLedger:
    """Ours is accepted as the first; a second without a number has appeared."""
    book = OrderLedger(7)
    book.intend(OutgoingOrder(101, "wb-1", "X", 1, 100, "LMT", 50.0, "DAY"), 1)
    book.sent("wb-1", 2)
    book.apply(report("Submitted", FIRST, 101), 3)
    book.apply(report("Submitted", SECOND_PERM, 0), 4)
    return book


def test_the_first_ones_error_202_does_not_end_the_second():
    """A cancel is told by a status and by error 202, in either order and both of the order that is gone."""
    book = doubled()
    assert book.apply(report("Cancelled", FIRST, 101), 5) == ()
    assert book.apply(ErrorReport(202, "Order Canceled - reason:", 101, "wb-1", 6), 6) == ()
    entry = book.orders["wb-1"]
    assert (entry.state, entry.perm_id, entry.order.order_id) == (OrderState.UNKNOWN, SECOND_PERM, 0)
    assert "X" in book.busy_symbols


def test_what_cannot_be_cancelled_is_at_work_and_is_not_asked_about_for_ever():
    book = doubled()
    book.apply(report("Cancelled", FIRST, 101), 5)
    book.cancel_asked("wb-1", 6, sent=False)
    nothing = AccountReport("DU1", nan, nan, nan, nan)
    facts = Facts(20 * SECOND, 20 * SECOND, (report("Submitted", SECOND_PERM, 0),), (), (), (), (), nothing)
    result = reconcile(book, facts, {})
    assert not result.cancels
    assert any("cancel it in TWS" in f.text for f in result.findings)
    for order in result.working:
        book.confirm(order, 20 * SECOND)
    assert book.orders["wb-1"].state is OrderState.ACCEPTED
    assert not book.needs_facts(200 * SECOND)
    book.apply(replace(report("Filled", SECOND_PERM, 0), filled=100, remaining=0), 201 * SECOND)
    assert book.busy_symbols == {"X"}, "its execution is still to come"
