"""The broker of many systems: netting, write-ahead, one hearing of everything, reconciliation, restart."""

from __future__ import annotations

from dataclasses import replace
from math import isnan

import pytest
from account_desk import Desk
from paper_broker import SECOND, PaperBroker, Resting

from workbench.core.clock import ManualClock
from workbench.core.errors import DataError
from workbench.execution.account_broker import AccountBroker, is_ours
from workbench.execution.broker import BrokerTimeout
from workbench.execution.events import Commissioned, Corrected
from workbench.execution.orders import OrderState, OrderTracker
from workbench.execution.records import report_payload
from workbench.execution.reports import ExecutionReport, Link, LinkReport
from workbench.gateway.events import Accepted, Cancelled, Filled, Rejected
from workbench.journal import JournalError, MemoryJournal


def test_an_order_is_recorded_before_it_is_sent_and_its_fill_and_commission_reach_the_system() -> None:
    desk = Desk()
    ref = desk.want("a", 1, 100)
    seen = []
    place = desk.paper.place
    desk.paper.place = lambda order: (seen.append(desk.kinds()[-1]), place(order))
    assert desk.flush() == 1
    assert seen == ["orders"]
    sent = desk.paper.placed[0]
    assert is_ours(sent.order_ref)
    assert (sent.symbol, sent.side, sent.quantity, sent.order_type) == ("X", 1, 100, "MKT")
    desk.paper.fill(9001, 100, 50.5, 1.25)
    accepted, filled, cost = desk.poll("a")
    assert isinstance(accepted, Accepted)
    assert (accepted.order_ref, filled.order_ref, cost.order_ref) == (ref, ref, ref)
    assert (filled.fill.quantity, filled.fill.price, filled.remaining, filled.fill.commission) == (100, 50.5, 0, 0.0)
    assert (cost.amount, cost.exec_id) == (1.25, "e0.01")
    assert desk.systems["a"].positions == {"X": 100}
    assert desk.systems["a"].cash == 100_000 - 5_050 - 1.25
    assert desk.state() == [OrderState.FILLED]


def test_systems_net_fills_and_commissions_are_dealt_out_and_crossings_cost_nothing() -> None:
    desk = Desk("a", "b", "c")
    desk.want("a", 1, 60)
    desk.want("b", 1, 30)
    desk.want("c", -1, 30)
    assert desk.flush() == 1
    assert desk.paper.placed[0].quantity == 60
    (crossed,) = [e for e in desk.poll("c") if isinstance(e, Filled)]
    assert (crossed.fill.side, crossed.fill.quantity, crossed.fill.price, crossed.fill.mid) == (-1, 30, 50.0, 50.0)
    desk.paper.fill(9001, 60, 51.0, 1.0)
    a, b = desk.poll("a"), desk.poll("b")
    assert sum(e.fill.quantity for e in a if isinstance(e, Filled)) == 60
    assert sum(e.fill.quantity for e in b if isinstance(e, Filled)) == 30
    costs = [e.amount for events in (a, b) for e in events if isinstance(e, Commissioned)]
    assert costs == [0.666667, 0.333333]
    assert [desk.systems[n].positions.get("X", 0) for n in "abc"] == [60, 30, -30]
    assert desk.systems["c"].cash == 100_000 + 1_500


def test_nothing_goes_where_an_order_still_works_or_before_the_books_were_compared() -> None:
    desk = Desk("a", "b")
    desk.want("a", 1, 10)
    desk.flush()
    desk.want("b", -1, 5)
    assert desk.flush() == 0
    (no,) = [e for e in desk.poll("b") if isinstance(e, Rejected)]
    assert "still works" in no.reason
    desk.paper.cut()
    desk.paper.join()
    desk.hear()
    desk.want("b", -1, 5, "Y")
    assert desk.flush() == 0
    assert "not yet compared" in desk.poll("b")[-1].reason
    desk.reconcile()
    desk.want("b", -1, 5, "Y")
    assert desk.flush() == 1
    desk.paper.cut()
    desk.hear()
    desk.want("a", -1, 5, "Z")
    assert desk.flush() == 0
    assert "no connection" in desk.poll("a")[-1].reason
    assert sum(k == "dropped" for k in desk.kinds()) == 3


def test_the_same_intent_is_never_sent_twice() -> None:
    desk = Desk()
    desk.want("a", 1, 10)
    wish = desk.account._wishes[0]
    desk.flush()
    desk.paper.fill(9001, 10, 50.0)
    desk.poll("a")
    desk.account.collect(wish)
    assert desk.flush() == 0
    assert "sent" in desk.poll("a")[-1].reason
    desk.start()
    desk.account.collect(wish)
    assert desk.flush() == 0
    assert len(desk.paper.placed) == 1


def test_a_swallowed_order_is_absent_only_after_two_answers() -> None:
    desk = Desk()
    desk.paper.swallow = True
    ref = desk.want("a", 1, 10)
    desk.flush()
    desk.reconcile()
    assert desk.state() == [OrderState.UNKNOWN]
    desk.want("a", 1, 10)
    assert desk.flush() == 0
    desk.reconcile(1.0)
    assert desk.state() == [OrderState.UNKNOWN]  # too soon after the first
    result = desk.reconcile(5.0)
    assert desk.state() == [OrderState.ABSENT]
    assert "never arrived" in result.findings[0].text
    gone = [e for e in desk.poll("a") if e.order_ref == ref]
    assert isinstance(gone[-1], Rejected)
    desk.want("a", 1, 10)
    assert desk.flush() == 1


def test_an_order_held_to_be_absent_that_shows_up_is_cancelled_and_its_fills_count() -> None:
    desk = Desk()
    desk.paper.swallow = True
    desk.want("a", 1, 10)
    desk.flush()
    desk.reconcile()
    desk.reconcile()
    assert desk.state() == [OrderState.ABSENT]
    desk.paper.place(desk.paper.placed[0])  # the network delivers it after all
    desk.paper.fill(9001, 4, 50.0)
    desk.poll("a")
    assert desk.paper.cancels == [101]
    desk.reconcile()
    assert desk.systems["a"].positions == {"X": 4}
    assert desk.state() == [OrderState.CANCELLED]


def test_after_a_lost_acknowledgement_the_order_is_adopted_with_its_fills() -> None:
    desk = Desk()
    desk.paper.mute = True
    desk.want("a", 1, 10)
    desk.flush()
    desk.paper.fill(9001, 4, 50.0, 0.35)
    desk.paper.mute = False
    result = desk.reconcile()
    assert {f.matter for f in result.findings} >= {"missed", "adopted"}
    assert desk.state() == [OrderState.PARTIAL]
    events = desk.poll("a")
    assert [type(e) for e in events] == [Accepted, Filled, Commissioned]
    assert not desk.reconcile().findings


def test_crash_between_journal_and_acknowledgement() -> None:
    desk = Desk()
    desk.want("a", 1, 10)
    place = desk.paper.place

    def crash(order) -> None:
        place(order)
        raise KeyboardInterrupt

    desk.paper.place = crash
    with pytest.raises(KeyboardInterrupt):
        desk.flush()
    desk.paper.place = place
    desk.paper.outbox.clear()
    desk.clock.advance_to(desk.clock.now() + SECOND)
    desk.start()
    assert desk.state() == [OrderState.ACCEPTED]
    (left,) = desk.systems["a"].open_orders
    assert left.quantity == 10
    tracker = OrderTracker()
    tracker.adopt(left)
    desk.paper.fill(9001, 10, 50.0)
    for event in desk.poll("a"):
        tracker.apply(event)
    assert tracker.state(left.order_ref) is OrderState.FILLED
    assert len(desk.paper.placed) == 1


def test_a_failing_journal_lets_only_reductions_out_into_the_fallback() -> None:
    desk = Desk("a", "b")
    desk.want("a", 1, 10)
    desk.flush()
    desk.paper.fill(9001, 10, 50.0)
    desk.poll("a")
    desk.journal.refuses = True
    desk.want("a", -1, 10)
    desk.want("b", 1, 10, "Y")
    assert desk.flush() == 1
    assert (desk.paper.placed[-1].symbol, desk.paper.placed[-1].side) == ("X", -1)
    assert "orders" in [e.kind for e in desk.fallback.entries]
    assert "only what reduces" in desk.poll("b")[-1].reason
    assert desk.account.journal_down
    desk.account.cancel_all("stop")
    assert desk.paper.cancels == [desk.paper.placed[-1].order_id]


def test_without_a_fallback_a_failing_journal_sends_nothing_but_cancels() -> None:
    desk = Desk(fallback=False)
    desk.want("a", 1, 10)
    desk.flush()
    desk.hear()
    desk.account.poll_reports()
    desk.journal.refuses = True
    desk.want("a", 1, 10, "Y")
    with pytest.raises(JournalError):
        desk.flush()
    assert len(desk.paper.placed) == 1
    with pytest.raises(JournalError):
        desk.account.cancel_all("stop")
    assert desk.paper.cancels == [101]
    desk.journal.refuses = False
    told = desk.poll("a")  # what was heard meanwhile was kept
    assert any(isinstance(e, Cancelled) for e in told)
    assert any(isinstance(e, Rejected) for e in told)


def test_a_cancel_is_asked_once_and_again_only_when_the_facts_show_the_order_at_work() -> None:
    desk = Desk()
    ref = desk.want("a", 1, 10)
    desk.flush()
    desk.poll("a")
    cancel = desk.paper.cancel
    desk.paper.cancel = desk.paper.cancels.append  # written, then lost
    desk.systems["a"].cancel(ref)
    desk.systems["a"].cancel(ref)
    desk.account.cancel_all("again")
    assert desk.paper.cancels == [101]
    desk.paper.cancel = cancel
    desk.reconcile()
    assert desk.paper.cancels == [101, 101]
    assert isinstance(desk.poll("a")[-1], Cancelled)
    assert desk.state() == [OrderState.CANCELLED]


def test_a_wish_cancelled_before_it_was_sent_never_leaves() -> None:
    desk = Desk()
    ref = desk.want("a", 1, 10)
    desk.systems["a"].cancel(ref)
    desk.want("a", 1, 10, "Y")
    desk.account.cancel_all("halt")
    assert desk.flush() == 0
    assert [type(e) for e in desk.poll("a")] == [Cancelled, Cancelled]
    assert not desk.paper.placed


def test_change_replaces_the_limit_in_place() -> None:
    desk = Desk()
    desk.want("a", 1, 10, order_type="LMT", limit_price=49.0)
    desk.flush()
    desk.poll("a")
    ref = desk.paper.placed[0].order_ref
    assert desk.account.change(ref, 49.5)
    assert [(o.order_id, o.limit_price) for o in desk.paper.placed] == [(101, 49.0), (101, 49.5)]
    assert not desk.account.change(ref, 49.6)  # the first is not confirmed yet
    desk.poll("a")
    assert desk.account.change(ref, 49.6)
    assert not desk.account.change("other", 1.0)


def test_a_modification_that_doubles_the_order_ends_with_one_quantity_at_most() -> None:
    desk = Desk()
    desk.want("a", 1, 10, order_type="LMT", limit_price=49.0)
    desk.flush()
    desk.poll("a")
    twin = Resting(replace(desk.paper.placed[0], order_id=0, limit_price=49.5), 9002)
    desk.paper.orders[9002] = twin
    result = desk.reconcile()
    assert [f.matter for f in result.findings] == ["doubled"]
    assert desk.paper.cancels == [101]
    desk.poll("a")
    desk.reconcile()
    assert desk.state() == [OrderState.ACCEPTED]
    desk.paper.fill(9002, 10, 49.5)
    desk.poll("a")
    assert desk.systems["a"].positions == {"X": 10}
    assert desk.state() == [OrderState.FILLED]


def test_manual_trades_are_findings_and_never_a_systems_position() -> None:
    desk = Desk()
    desk.want("a", 1, 10)
    desk.flush()
    desk.paper.fill(9001, 10, 50.0)
    desk.poll("a")
    desk.paper.manual("X", -3)
    first = desk.reconcile()
    assert {f.matter for f in first.findings} == {"position"}
    assert desk.account.outside_positions == {}
    second = desk.reconcile()
    assert second.differences
    assert desk.account.outside_positions == {"X": -3}
    assert not desk.reconcile().findings
    assert desk.systems["a"].positions == {"X": 10}
    desk.start()
    assert desk.account.outside_positions == {"X": -3}
    assert desk.systems["a"].positions == {"X": 10}


def test_what_was_there_before_is_outside() -> None:
    clock = ManualClock(SECOND)
    paper = PaperBroker(clock)
    paper.positions["OLD"] = 7
    account = AccountBroker(paper, MemoryJournal(), clock, systems=("a",))
    account.reconcile(clock.now())
    assert account.outside_positions == {"OLD": 7}
    assert account.system("a", 5.0).positions == {}


def test_corrections_are_dealt_out_and_booked_once() -> None:
    desk = Desk("a", "b")
    desk.want("a", 1, 60)
    desk.want("b", 1, 30)
    desk.flush()
    desk.paper.fill(9001, 90, 50.0)
    desk.poll("a"), desk.poll("b")
    desk.paper.correct(0, 50.05, 87)
    desk.paper.outbox *= 2
    (c,) = desk.poll("a")
    assert isinstance(c, Corrected)
    assert (c.before.quantity, c.after.quantity, c.after.price) == (60, 58, 50.05)
    desk.poll("b")
    assert [desk.systems[n].positions["X"] for n in "ab"] == [58, 29]
    assert desk.systems["a"].cash == pytest.approx(100_000 - 58 * 50.05 - 0.666667, abs=1e-9)


def test_a_restart_gives_back_books_orders_and_what_was_heard_but_not_counted() -> None:
    desk = Desk("a", "b")
    desk.want("a", 1, 60)
    desk.want("b", 1, 30)
    desk.flush()
    desk.paper.fill(9001, 31, 50.0, 0.37)
    desk.poll("a"), desk.poll("b")
    before = {n: (desk.systems[n].cash, desk.systems[n].positions, desk.systems[n].open_orders) for n in "ab"}
    desk.start()
    after = {n: (desk.systems[n].cash, desk.systems[n].positions, desk.systems[n].open_orders) for n in "ab"}
    assert str(after) == str(before)
    assert desk.poll("a") == ()
    # a fill is recorded as heard, then the engine dies before it is counted; the broker has forgotten it
    desk.paper.fill(9001, 59, 50.0, 0.0)
    heard = next(r for r in desk.paper.outbox if isinstance(r, ExecutionReport))
    desk.journal.record("report", 1, report_payload(heard))
    desk.paper.outbox.clear()
    desk.paper.executions.clear()
    desk.clock.advance_to(desk.clock.now() + SECOND)
    desk.start()
    assert [desk.systems[n].positions["X"] for n in "ab"] == [60, 30]
    assert desk.state() == [OrderState.FILLED]


def test_a_crossing_that_was_decided_but_not_booked_is_booked_at_the_restart() -> None:
    desk = Desk("a", "b")
    desk.want("a", 1, 10)
    desk.want("b", -1, 10)
    desk.flush()
    desk.journal.entries = [e for e in desk.journal.entries if e.kind != "fill"]
    desk.start()
    assert [desk.systems[n].positions["X"] for n in "ab"] == [10, -10]
    desk.start()
    assert [desk.systems[n].positions["X"] for n in "ab"] == [10, -10]


def test_a_checkpoint_replaces_what_came_before() -> None:
    desk = Desk()
    desk.want("a", 1, 10)
    desk.flush()
    desk.paper.fill(9001, 10, 50.0)
    desk.poll("a")
    desk.account.checkpoint()
    number = len(desk.journal.entries)
    desk.journal.entries = desk.journal.entries[number - 2 :]
    desk.start()
    assert desk.systems["a"].positions == {"X": 10}
    assert desk.systems["a"].cash == 100_000 - 500 - 1


def test_a_write_that_timed_out_is_in_doubt_not_lost() -> None:
    desk = Desk()
    desk.want("a", 1, 10)
    place = desk.paper.place

    def slow(order) -> None:
        place(order)
        raise BrokerTimeout("not written within 1 s")

    desk.paper.place = slow
    desk.flush()
    assert desk.state() == [OrderState.UNKNOWN]
    desk.reconcile()
    assert desk.state() == [OrderState.ACCEPTED]


def test_not_connected_at_the_moment_of_sending_is_a_rejection() -> None:
    desk = Desk()
    ref = desk.want("a", 1, 10)
    desk.paper.connected = False
    assert desk.flush() == 0
    no = desk.poll("a")[-1]
    assert isinstance(no, Rejected)
    assert no.order_ref == ref


def test_facts_are_needed_for_doubts_and_not_asked_too_often() -> None:
    desk = Desk()
    now = desk.clock.now
    assert not desk.account.needs_facts(now())
    desk.paper.mute = True
    desk.want("a", 1, 10)
    desk.flush()
    desk.clock.advance_to(now() + 5 * SECOND)
    assert not desk.account.needs_facts(now())
    desk.clock.advance_to(now() + 6 * SECOND)
    assert desk.account.needs_facts(now())
    desk.account.hear(LinkReport(Link.CUT, 1100, "lost", now()))
    desk.account.poll_reports()
    assert not desk.account.needs_facts(now())


def test_unknown_orders_are_listed_and_cancelled_only_if_policy_says_and_ours_to_cancel() -> None:
    desk = Desk()
    desk.want("a", 1, 10, "Y")
    desk.flush()
    desk.poll("a")
    stranger = Resting(replace(desk.paper.placed[0], order_id=55, order_ref="tws", symbol="Z"), 9100)
    desk.paper.orders[9100] = stranger
    result = desk.reconcile()
    assert "left alone" in result.findings[0].text
    assert desk.paper.cancels == []
    desk.account.unknown_orders = "cancel"
    desk.reconcile()
    assert desk.paper.cancels == [55]
    assert desk.state() == [OrderState.ACCEPTED]


@pytest.mark.parametrize("policy", ["leave", "cancel"])
def test_an_order_with_our_mark_that_no_record_knows_is_never_adopted(policy) -> None:
    """Of another journal, or sent before this one was begun: nobody knows whose it is."""
    desk = Desk()
    desk.account.unknown_orders = policy
    desk.want("a", 1, 10, "Y")
    desk.flush()
    desk.poll("a")
    stray = replace(desk.paper.placed[0], order_id=55, order_ref="wb-0123456789abcdef", symbol="Z")
    desk.paper.orders[9100] = Resting(stray, 9100)
    desk.paper.fill(9100, 4, 50.0)
    result = desk.reconcile()
    assert "has our mark but is not in this journal" in next(f.text for f in result.findings if f.matter == "foreign")
    desk.reconcile()
    assert (desk.paper.cancels, list(desk.account.ledger.orders)) == (
        [55] if policy == "cancel" else [],
        [desk.paper.placed[0].order_ref],
    )
    assert (desk.systems["a"].positions, desk.account.outside_positions) == ({}, {"Z": 4})


def test_bad_use() -> None:
    desk = Desk()
    with pytest.raises(DataError, match="not of this account"):
        desk.account.system("z", 1.0)
    with pytest.raises(DataError, match="capital"):
        AccountBroker(desk.paper, desk.journal, desk.clock, systems=("a",)).system("a")
    assert isnan(AccountBroker(desk.paper, desk.journal, desk.clock, systems=("a",)).initial_margin)
