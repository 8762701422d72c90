"""Cancels that are refused, or that would be, are not asked for again and again."""

from __future__ import annotations

from dataclasses import replace
from math import nan

import pytest
from test_account_broker import Desk

from workbench.core.calendar import exchange_sessions
from workbench.core.units import NS_PER_SECOND
from workbench.execution.account_order import AccountOrder, beyond_recall
from workbench.execution.order_ledger import OrderLedger
from workbench.execution.order_states import OrderState
from workbench.execution.reconcile import reconcile
from workbench.execution.reports import AccountReport, ErrorReport, Facts, OrderReport, OutgoingOrder

WORKS = OrderReport("wb-1", 101, 9001, 7, "X", 1, 100, "LMT", 50.0, "DAY", "Submitted", 0, 100, "", 3)


def test_a_cancel_that_is_refused_every_time_is_sent_every_ten_seconds():
    """With facts every two seconds, as long as there is a doubt: 10148 is one each time."""
    book = OrderLedger(7)
    book.intend(OutgoingOrder(101, "wb-1", "X", 1, 100, "LMT", 50.0, "DAY"), 1)
    book.sent("wb-1", 2)
    book.apply(WORKS, 3)
    book.cancel_asked("wb-1", 4, sent=True)
    cancels = []
    for second in range(2, 64, 2):
        now = second * NS_PER_SECOND
        book.apply(ErrorReport(10148, "cannot be cancelled, state: PreSubmitted", 101, "wb-1", now), now)
        facts = Facts(now, now, (WORKS,), (), (), (), (), AccountReport("DU1", nan, nan, nan, nan))
        result = reconcile(book, facts, {})
        for order in result.working:
            book.confirm(order, now)
        for _ in result.cancels:
            book.cancel_asked("wb-1", now, sent=True)
            cancels.append(second)
    assert cancels == [2, 14, 26, 38, 50, 62]


def on_close(kind: str = "MOC") -> AccountOrder:
    limit = 50.0 if kind in ("LOC", "LMT") else nan
    order = OutgoingOrder(101, "wb-1", "X", 1, 100, kind, limit, "DAY")
    return AccountOrder(order, OrderState.ACCEPTED, 0, 0)


@pytest.mark.parametrize("day", ["2026-03-02", "2026-11-27"])  # a whole session, and one that closes at 13:00
def test_an_on_close_order_is_beyond_recall_from_ten_minutes_before_the_close(day):
    sessions = exchange_sessions()
    number = next(i for i, d in enumerate(sessions.date) if str(d.astype("datetime64[D]")) == day)
    close = int(sessions.close_ns[number])
    cutoff = close - 600 * NS_PER_SECOND
    for kind in ("MOC", "LOC"):
        assert not beyond_recall(on_close(kind), cutoff - 1)
        assert beyond_recall(on_close(kind), cutoff)
        assert beyond_recall(on_close(kind), close)
        assert not beyond_recall(on_close(kind), close + 1)
    assert not beyond_recall(on_close("LMT"), cutoff)


def test_it_is_left_to_its_auction():
    desk = Desk()
    ref = desk.want("a", 1, 10)
    desk.flush()
    desk.poll("a")
    (entry,) = desk.account.ledger.open_orders
    entry.order = replace(entry.order, order_type="MOC")
    sessions = exchange_sessions()
    before = desk.clock.now
    desk.account.clock.now = lambda: int(sessions.close_ns[-300]) - NS_PER_SECOND
    desk.systems["a"].cancel(ref)
    desk.account.cancel_all("the bar is over")
    assert desk.paper.cancels == []
    desk.account.clock.now = before
    desk.account.cancel_all("the next day")
    assert len(desk.paper.cancels) == 1
