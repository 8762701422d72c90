"""Where an account could go wrong unseen: restarts days later, shorts in disguise, cancels that fill, corrections."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from workbench.core.clock import ManualClock
from workbench.core.errors import DataError
from workbench.core.units import NS_PER_SECOND
from workbench.gateway.borrow import BorrowBook, BorrowLine
from workbench.gateway.brokerage_state import from_dict, to_dict
from workbench.gateway.scenarios.broker_faults import correct

NOTHING = BorrowBook(BorrowLine(0, 0.0))


def reborn(office, when: int):
    """The account after a restart at `when`."""
    clock = ManualClock(when)
    text = json.dumps(to_dict(office.broker), allow_nan=False)
    return clock, from_dict(json.loads(text), clock, office.hours)


def test_a_larger_sale_must_be_borrowed_too(kit) -> None:
    o = kit.Office(borrow=BorrowBook(BorrowLine(100, 0.05)))
    o.place(1, -1, 100, "LMT", limit_price=105.0)
    o.said()
    o.place(1, -1, 101, "LMT", limit_price=105.0)
    assert o.said() == [("error", 1, 201)]
    assert [v.ticket.quantity for v in o.broker.open_orders()] == [100]


def test_the_exits_of_a_bracket_sell_the_position_once(kit) -> None:
    o = kit.Office(borrow=NOTHING)
    o.place(1, 1, 100, transmit=False)
    o.place(2, -1, 100, "LMT", limit_price=110.0, parent_id=1, transmit=False)
    o.place(3, -1, 100, "STP", aux_price=90.0, parent_id=1)
    assert o.open() == {2: "Submitted", 3: "PreSubmitted"}
    assert not [s for s in o.said() if s[0] == "error"]
    o.place(4, -1, 1, "LMT", limit_price=110.0)  # one share more than is held
    assert ("error", 4, 201) in o.said()


def test_a_day_order_whose_shares_are_looked_for_ends_with_the_day(kit) -> None:
    o = kit.Office(borrow=BorrowBook(BorrowLine(0, 0.0, locatable=True)))
    o.place(1, -1, 10)
    o.place(2, -1, 10, "LMT", limit_price=105.0, tif="GTC")
    o.place(3, -1, 10, "LMT", limit_price=105.0, tif="GTD", good_till=kit.new_york(0, "12:00"))
    o.go("11:59")
    assert set(o.open()) == {1, 2, 3}
    o.go("12:00")
    assert set(o.open()) == {1, 2}
    o.go("16:01")
    assert set(o.open()) == {2}
    assert o.said()[-1] == ("error", 1, 202)


def test_a_day_order_does_not_outlive_its_day_in_a_file(kit) -> None:
    o = kit.Office()
    o.place(1, 1, 10, "LMT", limit_price=90.0)
    o.place(2, 1, 10, "LMT", limit_price=90.0, tif="GTC")
    o.place(3, 1, 10, "MOC")
    o.place(4, 1, 10, "LMT", limit_price=90.0, outside_rth=True)
    _, same_day = reborn(o, kit.new_york(0, "15:00"))
    assert {v.ticket.order_id for v in same_day.open_orders()} == {1, 2, 3, 4}
    _, evening = reborn(o, kit.new_york(0, "18:00"))
    assert {v.ticket.order_id for v in evening.open_orders()} == {2, 4}
    _, later = reborn(o, kit.new_york(2, "10:00"))
    assert {v.ticket.order_id for v in later.open_orders()} == {2}
    assert {v.ticket.order_id: v.status for v in later.completed()} == dict.fromkeys((1, 3, 4), "Cancelled")


def test_an_order_for_tomorrow_waits_in_a_file(kit) -> None:
    o = kit.Office(clock="17:00")
    o.place(1, 1, 10, "LMT", limit_price=90.0)
    _, next_day = reborn(o, kit.new_york(1, "10:00"))
    next_day.advance()
    assert [(v.ticket.order_id, v.status) for v in next_day.open_orders()] == [(1, "Submitted")]
    _, day_after = reborn(o, kit.new_york(2, "10:00"))
    assert day_after.open_orders() == ()


def test_the_place_in_the_queue_survives_a_restart(kit) -> None:
    o = kit.Office()
    o.quote(99.99, 100.01, size=500)
    o.place(1, 1, 100, "LMT", limit_price=99.99)
    o.trade(99.99, 400)  # 100 are left ahead
    clock, broker = reborn(o, o.clock.now() + NS_PER_SECOND)
    broker.engine.on_quote("AAA", 99.99, 100.01, 500, 500, clock.now())
    broker.engine.on_trade("AAA", 99.99, 130, clock.now())
    broker.advance()
    assert [v.filled for v in broker.open_orders()] == [30]


def test_a_partial_fill_does_not_undo_a_cancel_on_its_way(kit) -> None:
    o = kit.Office(cancel_latency_ns=NS_PER_SECOND)
    o.quote(99.99, 100.01, size=0)
    o.place(1, 1, 100, "LMT", limit_price=99.99)
    o.cancel(1)
    o.trade(99.99, 40)
    assert o.open() == {1: "PendingCancel"}
    clock, broker = reborn(o, o.clock.now())
    clock.advance_to(clock.now() + NS_PER_SECOND)
    broker.advance()
    assert [(v.status, v.filled) for v in broker.completed()] == [("Cancelled", 40)]


@pytest.mark.parametrize(("closing", "average"), [(False, 100.51), (True, 100.49)])
def test_a_correction_reaches_every_record(kit, closing, average) -> None:
    o = kit.Office()
    o.place(1, 1, 10)  # at 100.01, for 1 USD
    if closing:
        o.place(2, -1, 10)  # at 99.99, for 1 USD and TAF
    last = o.broker.executions()[-1]
    told = correct(SimpleNamespace(brokerage=o.broker), last, 0.5)
    assert (told.price, told.average_price) == (pytest.approx(average), pytest.approx(average))
    assert o.broker.completed()[-1].average_price == pytest.approx(average)
    if closing:
        assert told.realized == pytest.approx(last.realized + 5.0)
        assert o.broker.positions()[0].realized == pytest.approx(told.realized)
    assert o.broker.books.imbalance == 0


def test_what_if_changes_nothing(kit) -> None:
    o = kit.Office()
    o.place(1, 1, 100, "LMT", limit_price=90.0)
    o.said()
    before = to_dict(o.broker)
    o.broker.what_if(kit.ticket(2, "AAA", -1, 500, "MKT", what_if=True))
    o.broker.what_if(kit.ticket(1, "AAA", 1, 500, "LMT", limit_price=91.0, what_if=True))
    o.broker.advance()
    assert (to_dict(o.broker), o.said()) == (before, [])


def test_a_flip_realises_the_old_side_only(kit) -> None:
    o = kit.Office()
    o.place(1, 1, 100)  # 100 at 100.01 and 1 USD: cost 10,002
    o.place(2, -1, 300)  # at 99.99: closes 100, opens 200 short, for 1.50 USD and fees on sales
    sold = o.broker.executions()[-1]
    assert (sold.shares, sold.price) == (300, pytest.approx(99.99))
    third = sold.commission / 3
    assert sold.realized == pytest.approx(9_999 - 10_002 - third, abs=2e-6)
    (position,) = o.broker.positions()
    assert position.quantity == -200
    assert position.average_cost == pytest.approx((200 * 99.99 - 2 * third) / 200, abs=1e-6)


@pytest.mark.parametrize("cash", [float("inf"), float("nan"), -1.0])
def test_an_account_begins_with_an_amount_of_money(kit, cash) -> None:
    with pytest.raises(DataError, match="must be finite and at least 0"):
        kit.Office(cash=cash)


def test_in_a_halt_a_share_is_worth_its_last_price(kit) -> None:
    o = kit.Office()
    o.trade(100.0)
    o.broker.engine.on_halt("AAA", o.clock.now())
    o.quote(119.0, 121.0)  # nobody sees it
    assert o.broker.engine.mark("AAA") == 100.0


def test_client_zero_can_cancel_an_order_that_was_entered_by_hand_once_it_is_bound(kit) -> None:
    o = kit.Office()
    o.place(0, 1, 10, "LMT", client=0, limit_price=90.0)
    o.cancel(0, client=0)
    assert ("error", 0, 10147) in o.said()
    o.broker.bind(True)
    o.place(0, 1, 20, "LMT", client=0, limit_price=91.0)
    assert {(v.ticket.order_id, v.ticket.quantity) for v in o.broker.open_orders()} == {(-1, 10), (-2, 20)}
    _, broker = reborn(o, o.clock.now())
    broker.cancel(0, -1)
    broker.advance()
    assert [v.ticket.order_id for v in broker.open_orders()] == [-2]
    broker.bind(False)
    broker.place(0, kit.ticket(0, "AAA", 1, 5, "LMT", limit_price=91.0))
    broker.place(0, kit.ticket(-2, "AAA", 1, 25, "LMT", limit_price=91.0))
    broker.advance()
    assert {(v.ticket.order_id, v.ticket.quantity) for v in broker.open_orders()} == {(-2, 25), (0, 5)}
    assert broker.next_order_id(0) == 1
