"""What the facts say against what we hold: a pure comparison."""

from __future__ import annotations

from copy import deepcopy
from math import nan

from workbench.execution.order_ledger import OrderLedger
from workbench.execution.orders import OrderState
from workbench.execution.reconcile import ABSENCE_NS, Matter, reconcile
from workbench.execution.reports import (
    AccountReport,
    CommissionReport,
    ExecutionReport,
    Facts,
    OrderReport,
    OutgoingOrder,
    PositionReport,
)

SECOND = 1_000_000_000
T = 100 * SECOND
ACCOUNT = AccountReport("DU1", 1.0, 1.0, 1.0, 1.0)


def ledger(**changes) -> OrderLedger:
    book = OrderLedger(7)
    book.intend(OutgoingOrder(101, "wb-1", "X", 1, 100, "LMT", 50.0, "DAY"), 1)
    book.sent("wb-1", 2)
    for name, value in changes.items():
        setattr(book.orders["wb-1"], name, value)
    return book


def order(status="Submitted", ref="wb-1", order_id=101, perm_id=9001, client_id=7, quantity=100, filled=0, symbol="X"):
    return OrderReport(
        ref, order_id, perm_id, client_id, symbol, 1, quantity, "LMT", 50.0, "DAY", status, filled,
        quantity - filled, "", T,
    )  # fmt: skip


def execution(exec_id="e1.01", quantity=40, ref="wb-1", perm_id=9001, order_id=101) -> ExecutionReport:
    return ExecutionReport(exec_id, ref, order_id, perm_id, 7, "X", 1, quantity, 50.0, T)


def facts(orders=(), completed=(), executions=(), commissions=(), positions=None, asked_at=T) -> Facts:
    held = tuple(PositionReport(s, q, 0.0) for s, q in (positions or {}).items())
    lists = tuple(orders), tuple(completed), tuple(executions), tuple(commissions)
    return Facts(asked_at, asked_at + 1, *lists, held, ACCOUNT)


def matters(result) -> list[Matter]:
    return [f.matter for f in result.findings]


def test_nothing_to_say_when_all_agree_and_nothing_is_changed() -> None:
    book = ledger()
    book.apply(order(), 3)
    before = deepcopy(book.orders["wb-1"])
    result = reconcile(book, facts([order()]), {})
    assert not result.findings
    assert result.working == (order(),)
    assert book.orders["wb-1"] == before


def test_missing_executions_latest_revision_only_and_commissions() -> None:
    book = ledger()
    told = [execution(), execution("e1.02", 30), execution("e2.01", 10, ref="", order_id=0)]
    cost = CommissionReport("e1.02", 0.3, "USD", nan, T)
    result = reconcile(book, facts([order(filled=40)], executions=told, commissions=[cost], positions={"X": 40}), {})
    assert [e.exec_id for e in result.executions] == ["e1.02", "e2.01"]
    assert result.commissions == (cost,)
    assert not result.differences
    for report in (*result.working, *result.executions, *result.commissions):
        book.apply(report, T)
    again = reconcile(
        book, facts([order(filled=40)], executions=told, commissions=[cost], positions={"X": 40}), {"X": 40}
    )
    assert (again.executions, again.commissions, again.differences) == ((), (), ())


def test_absent_needs_two_answers_apart_and_an_order_older_than_the_first() -> None:
    book = ledger()
    assert reconcile(book, facts(asked_at=2), {}).missed == ()  # sent in the same moment
    first = reconcile(book, facts(), {})
    assert (first.missed, first.concluded) == (("wb-1",), ())
    book.missed("wb-1", T, T)
    assert reconcile(book, facts(asked_at=T + ABSENCE_NS - 1), {}).concluded == ()
    (over,) = reconcile(book, facts(asked_at=T + ABSENCE_NS), {}).concluded
    assert over.state is OrderState.ABSENT


def test_an_order_that_was_seen_and_is_gone_is_cancelled_not_absent() -> None:
    book = ledger(acknowledged=True, missed_at=T - ABSENCE_NS)
    result = reconcile(book, facts(), {})
    assert [c.state for c in result.concluded] == [OrderState.CANCELLED]
    assert matters(result) == [Matter.LOST]


def test_completed_orders_end_ours() -> None:
    done = order("Cancelled", order_id=0, client_id=0)
    (over,) = reconcile(ledger(), facts(completed=[done]), {}).concluded
    assert over.state is OrderState.CANCELLED
    refused = order("Inactive", order_id=0, client_id=0)
    (over,) = reconcile(ledger(), facts(completed=[refused]), {}).concluded
    assert over.state is OrderState.REJECTED


def test_shares_counted_without_executions_wait_and_are_then_a_finding() -> None:
    done = order("Filled", filled=100, order_id=0, client_id=0)
    first = reconcile(ledger(), facts(completed=[done], executions=[execution()]), {})
    assert (first.missed, first.concluded) == (("wb-1",), ())
    book = ledger(missed_at=T - ABSENCE_NS)
    second = reconcile(book, facts(completed=[done], executions=[execution()], positions={"X": 100}), {})
    assert [c.state for c in second.concluded] == [OrderState.FILLED]
    assert second.given_up == ("wb-1",)
    assert Matter.GAP in matters(second)
    assert [(d.account, d.expected) for d in second.differences] == [(100, 40)]


def test_found_at_the_broker_after_a_crash() -> None:
    book = OrderLedger(7)
    book.intend(OutgoingOrder(101, "wb-1", "X", 1, 100, "LMT", 50.0, "DAY"), 1)
    result = reconcile(book, facts([order()]), {})
    assert matters(result) == [Matter.ADOPTED]
    book.confirm(result.working[0], T)
    assert book.orders["wb-1"].state is OrderState.ACCEPTED


def test_two_live_orders_of_one_reference() -> None:
    book = ledger(perm_id=9001, state=OrderState.ACCEPTED)
    later = order(order_id=102, perm_id=9002)
    result = reconcile(book, facts([later, order()]), {})
    assert result.working == (order(),)
    assert [(c.order_id, c.surplus) for c in result.cancels] == [(102, True)]
    unnumbered = order(order_id=0, perm_id=9002)
    result = reconcile(book, facts([order(), unnumbered]), {})
    assert [(c.order_id, c.surplus) for c in result.cancels] == [(101, True)]


def test_a_wanted_cancel_is_repeated_unless_it_is_on_its_way() -> None:
    book = ledger(state=OrderState.CANCELLING, cancel_wanted=True, cancel_sent_at=5)
    assert [c.order_id for c in reconcile(book, facts([order()]), {}).cancels] == [101]
    assert reconcile(book, facts([order("PendingCancel")]), {}).cancels == ()
    assert reconcile(book, facts([order()], asked_at=5), {}).cancels == ()
    result = reconcile(book, facts([order(order_id=0)]), {})
    assert result.cancels == ()
    assert "cancel it in TWS" in result.findings[-1].text


def test_an_order_held_to_be_over_that_works_is_cancelled() -> None:
    book = ledger(state=OrderState.REJECTED, state_at=5)
    result = reconcile(book, facts([order()]), {})
    assert matters(result) == [Matter.REVIVED]
    assert [c.order_id for c in result.cancels] == [101]
    assert reconcile(ledger(state=OrderState.CANCELLED, state_at=T), facts([order()]), {}).findings == ()


def test_foreign_orders_by_policy() -> None:
    mine = order(ref="wb-lost", order_id=55, perm_id=1)
    manual = order(ref="", order_id=0, perm_id=2, client_id=0)
    leave = reconcile(ledger(acknowledged=True), facts([order(), mine, manual]), {})
    assert leave.foreign == (mine, manual)
    assert leave.cancels == ()
    assert "not in this journal" in leave.findings[-2].text
    cancel = reconcile(ledger(acknowledged=True), facts([order(), mine, manual]), {}, unknown_orders="cancel")
    assert [(c.order_id, c.order_ref) for c in cancel.cancels] == [(55, "")]
    assert "only its own client" in cancel.findings[-1].text


def test_positions_and_changed_terms_are_findings_with_values() -> None:
    result = reconcile(ledger(), facts([order(quantity=70)], positions={"X": 3, "Z": -2}), {"X": 3, "Y": 5})
    assert [(d.symbol, d.account, d.expected) for d in result.differences] == [("Y", 0, 5), ("Z", -2, 0)]
    assert {Matter.TERMS, Matter.POSITION} <= set(matters(result))
    assert "holds -2 Z, our books say 0" in result.findings[-1].text


def test_foreign_executions_are_told_once_and_move_no_expectation() -> None:
    book = ledger(acknowledged=True)
    hand = execution("m1.01", 5, ref="", perm_id=77, order_id=0)
    result = reconcile(book, facts([order()], executions=[hand], positions={"X": 5}), {})
    assert Matter.FOREIGN in matters(result)
    assert [(d.account, d.expected) for d in result.differences] == [(5, 0)]
    book.apply(hand, T)
    assert Matter.FOREIGN not in matters(
        reconcile(book, facts([order()], executions=[hand], positions={"X": 5}), {"X": 5})
    )
