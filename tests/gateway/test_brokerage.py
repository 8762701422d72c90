"""What clients of the account are told, order by order: statuses, errors, brackets, groups, margin, days."""

from __future__ import annotations

import json

import pytest

from workbench.core.errors import DataError
from workbench.core.units import NS_PER_SECOND
from workbench.gateway.borrow import BorrowBook, BorrowLine
from workbench.gateway.brokerage import Brokerage
from workbench.gateway.brokerage_state import from_dict, to_dict
from workbench.gateway.tickets import CommissionCharged, Executed, OrderOpened, OrderStatusChanged, Ticket


def status(number, state) -> tuple:
    return "status", number, state


def test_a_market_order_says_what_was_captured_from_tws(kit) -> None:
    o = kit.Office()
    o.place(1, 1, 100)
    events = o.broker.drain()
    assert [type(e) for e in events] == [
        OrderOpened,
        OrderStatusChanged,
        Executed,
        OrderOpened,
        OrderStatusChanged,
        OrderOpened,
        CommissionCharged,
    ]
    assert [e.order.status for e in events if isinstance(e, OrderOpened)] == ["PreSubmitted", "Filled", "Filled"]
    last_status, execution = events[4].order, events[2].execution
    assert (last_status.filled, last_status.remaining, last_status.average_price) == (100, 0, 100.01)
    assert (execution.shares, execution.price, execution.cumulative, execution.side) == (100, 100.01, 100, 1)
    assert (execution.account, execution.liquidity) == ("DUSIM000001", 2)
    assert events[5].order.commission == execution.commission == 1.0  # fixed plan: the minimum
    (position,) = o.broker.positions()
    assert (position.quantity, position.average_cost) == (100, pytest.approx(100.02))


def test_a_resting_order_is_submitted_and_cancelled_before_error_202(kit) -> None:
    o = kit.Office()
    o.place(1, 1, 100, "LMT", limit_price=99.0)
    o.cancel(1)
    assert o.said() == [
        status(1, "PreSubmitted"),
        status(1, "Submitted"),
        status(1, "Cancelled"),
        ("error", 1, 202),
    ]
    (done,) = o.broker.completed()
    assert (done.status, done.completed_status, done.remaining) == ("Cancelled", "Cancelled by Trader", 100)


def test_cancels_that_come_to_nothing(kit) -> None:
    o = kit.Office()
    o.place(1, 1, 100)
    o.said()
    for number, client, code in ((1, 1, 10148), (1, 1, 10147), (7, 1, 10147), (1, 2, 10147)):
        o.cancel(number, client)
        assert o.said() == [("error", number, code)]
    o.place(2, 1, 5_000)  # far too large
    assert o.said() == [("error", 2, 201), status(2, "Inactive")]
    o.cancel(2)
    assert o.said() == [("error", 2, 161)]


def test_a_cancel_in_flight_may_lose_the_race(kit) -> None:
    o = kit.Office(cancel_latency_ns=NS_PER_SECOND)
    o.place(1, 1, 100, "LMT", limit_price=99.0)
    o.said()
    o.cancel(1)
    assert o.said() == [status(1, "PendingCancel")]
    o.quote(98.0, 98.5)
    assert o.said() == [("fill", 1, 100), status(1, "Filled")]
    o.go("10:01")
    assert o.said() == []
    late = kit.Office(latency_ns=NS_PER_SECOND)
    late.place(1, 1, 100, "LMT", limit_price=99.0)
    late.cancel(1)  # before the exchange had it
    assert late.said()[1:] == [status(1, "ApiCancelled"), ("error", 1, 202)]


@pytest.mark.parametrize(
    ("code", "terms"),
    [
        (110, {"kind": "LMT", "limit_price": 99.005}),
        (110, {"kind": "STP", "aux_price": 101.001}),
        (321, {"kind": "LMT"}),
        (113, {"kind": "MOC", "tif": "GTC"}),
        (113, {"kind": "LOC", "limit_price": 99.0, "tif": "IOC"}),
        (387, {"kind": "TRAIL"}),
        (321, {"tif": "OPG"}),
        (201, {"tif": "GTD", "good_till": 1}),
        (321, {"account": "U1234567"}),
        (321, {"oca_group": "g", "oca_type": 7}),
        (439, {"algo": "Vwap"}),
        (441, {"algo": "Adaptive", "algo_params": (("adaptivePriority", "Lazy"),)}),
        (442, {"kind": "MOC", "algo": "Adaptive"}),
        (135, {"parent_id": 77}),
        (434, {"quantity": 0}),
        (10243, {"quantity": 1.5}),
    ],
)
def test_orders_that_tws_does_not_take(kit, code, terms) -> None:
    o = kit.Office()
    terms = {"quantity": 10, **terms}
    o.place(1, 1, **terms)
    assert o.said() == [("error", 1, code)]
    assert o.broker.open_orders() == ()
    o.place(1, 1, 10)  # the number is still free
    assert ("fill", 1, 10) in o.said()


def test_numbers_are_used_once_and_rise(kit) -> None:
    o = kit.Office()
    o.place(5, 1, 10)
    o.place(6, 1, 10, "LMT", limit_price=90.0)
    o.cancel(6)
    o.said()
    o.place(5, 1, 20)
    o.place(6, 1, 20)
    o.place(4, 1, 20)
    assert o.said() == [("error", 5, 104), ("error", 6, 103), ("error", 4, 103)]
    o.place(4, 1, 20, client=2)  # another client's numbers are its own
    assert ("fill", 4, 20) in o.said()
    assert (o.broker.next_order_id(1), o.broker.next_order_id(2), o.broker.next_order_id(3)) == (7, 5, 1)


def test_orders_entered_by_hand_have_no_number_and_only_a_global_cancel_takes_them(kit) -> None:
    o = kit.Office()
    for _ in range(2):
        o.place(0, 1, 10, "LMT", client=0, limit_price=90.0)
    o.place(1, 1, 10, "LMT", limit_price=90.0)
    assert len({v.perm_id for v in o.broker.open_orders()}) == 3
    o.broker.cancel_all()
    assert o.broker.open_orders() == ()
    assert o.said()[-6:] == [s for n in (0, 0, 1) for s in (status(n, "Cancelled"), ("error", n, 202))]


def test_modify_changes_the_order_or_leaves_it(kit) -> None:
    o = kit.Office()
    o.place(1, 1, 100, "LMT", limit_price=99.0)
    o.said()
    o.place(1, 1, 100, "LMT", limit_price=99.5)
    assert o.said() == [status(1, "Submitted")]
    assert o.broker.open_orders()[0].ticket.limit_price == 99.5
    for terms, code in (({"side": -1}, 105), ({"symbol": "BBB"}, 105), ({"limit_price": 99.501}, 110)):
        o.broker.modify(1, Ticket(**{**as_dict(1, 100, 99.5), **terms}))
        assert o.said() == [("error", 1, code)]
    o.broker.modify(1, Ticket(**as_dict(1, 9_000, 99.5)))  # more than the account can carry
    o.broker.modify(1, Ticket(**as_dict(9, 100, 99.5)))
    assert o.said() == [("error", 1, 201), ("error", 9, 135)]
    assert [(v.ticket.quantity, v.ticket.limit_price) for v in o.broker.open_orders()] == [(100, 99.5)]
    o.place(1, 1, 100, "MKT")
    assert o.said()[-2:] == [("fill", 1, 100), status(1, "Filled")]


def as_dict(number, quantity, limit) -> dict:
    return {
        "order_id": number, "symbol": "AAA", "side": 1, "quantity": quantity, "order_type": "LMT",
        "limit_price": limit,
    }  # fmt: skip


# ---- brackets and groups ------------------------------------------------------------------------------------------


def bracket(o, client=1) -> None:
    o.place(1, 1, 100, "LMT", limit_price=99.0, transmit=False, client=client)
    o.place(2, -1, 100, "LMT", limit_price=103.0, parent_id=1, transmit=False, client=client)
    o.place(3, -1, 100, "STP", aux_price=97.0, parent_id=1, client=client)


def test_a_bracket_waits_for_its_last_order_and_its_children_for_the_parent(kit) -> None:
    o = kit.Office()
    o.place(1, 1, 100, "LMT", limit_price=99.0, transmit=False)
    o.quote(98.0, 98.5)
    assert o.said() == [status(1, "PendingSubmit")]  # not transmitted: it cannot fill
    o.quote(99.99, 100.01)
    o.place(2, -1, 100, "LMT", limit_price=103.0, parent_id=1, transmit=False)
    o.place(3, -1, 100, "STP", aux_price=97.0, parent_id=1)
    assert o.open() == {1: "Submitted", 2: "PreSubmitted", 3: "PreSubmitted"}
    assert [v.why_held for v in o.broker.open_orders()] == ["", "child", "child,trigger"]
    o.quote(104.0, 104.02)  # the take-profit would fill, but it waits
    o.quote(98.9, 98.92)
    assert o.open() == {2: "Submitted", 3: "PreSubmitted"}
    assert o.broker.positions()[0].quantity == 100
    o.quote(103.0, 103.02)
    assert o.open() == {}
    assert [v.status for v in o.broker.completed()] == ["Filled", "Filled", "Cancelled"]
    assert o.broker.positions()[0].quantity == 0
    activity_fee = 100 * 0.000166  # on sales
    assert o.broker.positions()[0].realized == pytest.approx(400.0 - 2 * 1.0 - activity_fee)


def test_children_go_with_a_parent_that_goes(kit) -> None:
    o = kit.Office()
    bracket(o)
    o.said()
    o.cancel(1)
    assert o.open() == {}
    assert [s for s in o.said() if s[0] == "status"] == [status(n, "Cancelled") for n in (1, 2, 3)]
    poor = kit.Office(cash=1_000.0)
    bracket(poor)
    assert [s for s in poor.said() if s[0] == "status"][-3:] == [
        status(1, "Inactive"),
        status(2, "Cancelled"),
        status(3, "Cancelled"),
    ]


def test_children_protect_what_a_cancelled_parent_had_filled(kit) -> None:
    o = kit.Office()
    bracket(o)
    o.broker.engine.on_quote("AAA", 98.9, 99.0, 50, 40, o.clock.now())  # the resting parent is filled whole: no window
    o.broker.advance()
    assert o.broker.positions()[0].quantity == 100
    p = kit.Office()
    p.quote(98.9, 98.95, size=40)
    bracket(p)  # takes 40 and rests
    p.cancel(1)
    assert p.broker.positions()[0].quantity == 40
    assert [(v.ticket.order_id, v.ticket.quantity) for v in p.broker.open_orders()] == [(2, 40), (3, 40)]


@pytest.mark.parametrize(("kind", "left"), [(1, {}), (2, {2: 70}), (3, {2: 70}), (0, {2: 70})])
def test_a_group_after_a_partial_fill(kit, kind, left) -> None:
    o = kit.Office()
    o.place(1, 1, 50, "LMT", limit_price=99.0, oca_group="g", oca_type=kind)
    o.place(2, 1, 100, "LMT", limit_price=98.0, oca_group="g", oca_type=kind)
    o.place(3, 1, 100, "LMT", limit_price=98.0, oca_group="g", oca_type=kind, client=2)  # another client's group
    o.trade(98.99, 1, symbol="CCC")
    o.broker.engine.on_bar_volume("AAA", 300.0, 0.02, o.clock.now(), o.clock.now() + NS_PER_SECOND)
    o.quote(98.5, 98.9)  # 5 % of 300: 15 of 50, so 70 % of the partner stays
    assert {v.ticket.order_id: v.remaining for v in o.broker.open_orders() if v.client_id == 1} == {1: 35, **left}
    assert {v.remaining for v in o.broker.open_orders() if v.client_id == 2} == {100}


def test_only_block_keeps_two_partners_from_filling_at_once(kit) -> None:
    for kind, shares in ((1, 50), (2, 50), (3, 100)):
        o = kit.Office()
        for number in (1, 2):
            o.place(number, 1, 50, "LMT", limit_price=99.0, oca_group="g", oca_type=kind)
        o.quote(98.0, 98.5)
        assert o.broker.positions()[0].quantity == shares
        assert o.open() == {}


def test_a_family_inside_a_group_is_cancelled_once(kit) -> None:
    o = kit.Office()
    for number, terms in ((1, {"transmit": False}), (2, {"transmit": False, "parent_id": 1}), (3, {})):
        o.place(number, 1, 1, oca_group="g", oca_type=1, **terms)
    assert [s for s in o.said() if s[2] == "Cancelled"] == [status(1, "Cancelled"), status(2, "Cancelled")]


# ---- margin, shorts, days -----------------------------------------------------------------------------------------


def test_margin_rejects_and_what_if_says_why(kit) -> None:
    o = kit.Office(cash=10_000.0)
    answer = o.broker.what_if(Ticket(1, "AAA", 1, 100, "MKT", what_if=True))
    assert (answer.before.initial, answer.after.initial, answer.after.maintenance) == (0.0, 5_000.0, 2_500.0)
    assert (answer.commission, answer.after.equity) == (1.0, 9_999.0)
    assert o.broker.what_if(Ticket(1, "AAA", 1, 100, "LMT", 99.001))[0] == 110
    with pytest.raises(DataError, match=r"give it to what_if\(\)"):
        o.place(1, 1, 100, what_if=True)
    o.place(1, 1, 201)
    assert o.said() == [("error", 1, 201), status(1, "Inactive")]
    o.place(2, 1, 199)
    o.place(3, 1, 10)
    assert o.open() == {}
    assert o.broker.completed()[-1].completed_status.endswith("MUST EXCEED THE INITIAL MARGIN [10450.00 USD].")
    o.place(4, -1, 199)  # what lowers the margin is always taken
    assert o.broker.positions()[0].quantity == 0


def test_account_values_by_hand(kit) -> None:
    o = kit.Office(cash=10_000.0)
    o.place(1, 1, 50)  # at 100.01, commission 1
    o.place(2, -1, 40, symbol="BBB")  # at 49.99
    sale = o.broker.executions()[1]
    cash = 10_000 - 5_000.5 - 1 + 1_999.6 - sale.commission
    v = o.broker.account_values({"AAA": 110.0, "BBB": 60.0})
    expected = {
        "NetLiquidation": cash + 5_500 - 2_400,
        "TotalCashValue": cash,
        "GrossPositionValue": 7_900.0,
        "EquityWithLoanValue": cash + 3_100,
        "InitMarginReq": 3_950.0,
        "MaintMarginReq": 1_375 + 720,
        "AvailableFunds": cash + 3_100 - 3_950,
        "ExcessLiquidity": cash + 3_100 - 2_095,
        "BuyingPower": 2 * (cash + 3_100 - 3_950),
        "UnrealizedPnL": (5_500 - 5_001.5) - (2_400 - 1_999.6 + sale.commission),
        "RealizedPnL": 0.0,
    }
    assert v == pytest.approx(expected)
    daily = o.broker.pnl({"AAA": 110.0, "BBB": 60.0}).daily
    assert daily == pytest.approx(v["NetLiquidation"] - 10_000)
    singles = o.broker.pnl_single("AAA", 110.0).daily + o.broker.pnl_single("BBB", 60.0).daily
    assert singles == pytest.approx(daily)
    assert o.broker.pnl_single("ZZZ", 1.0).daily == 0.0


def test_shorts_need_shares_to_borrow(kit) -> None:
    borrow = BorrowBook(lines={"AAA": BorrowLine(100, 0.05), "BBB": BorrowLine(0, 0.9, locatable=True)})
    o = kit.Office(borrow=borrow)
    o.place(1, -1, 101)
    assert o.said() == [("error", 1, 201), status(1, "Inactive")]
    o.place(2, -1, 60, "LMT", limit_price=105.0)
    o.place(3, -1, 60, "LMT", limit_price=105.0)  # with the first, 120
    assert [s for s in o.said() if s[0] == "error"] == [("error", 3, 201)]
    o.place(4, -1, 10, symbol="BBB")
    assert o.said() == [("error", 4, 404), status(4, "Inactive")]
    assert o.broker.open_orders()[-1].why_held == "locate"
    borrow.lines["BBB"] = BorrowLine(10, 0.9)
    o.broker.advance()  # located
    o.broker.advance()
    assert o.said()[-2:] == [("fill", 4, 10), status(4, "Filled")]
    long = kit.Office(borrow=BorrowBook(BorrowLine(0, 0.0)))
    long.place(1, 1, 10)
    long.place(2, -1, 10)  # selling what is held borrows nothing
    assert long.broker.positions()[0].quantity == 0


def test_a_new_day_charges_borrow_and_starts_the_records(kit) -> None:
    o = kit.Office(borrow=BorrowBook(BorrowLine(1_000, 0.36)))
    o.place(1, -1, 100)  # 10,000 USD short
    o.place(2, 1, 10, "LMT", limit_price=90.0, tif="GTC")
    o.place(3, 1, 10, "LMT", limit_price=90.0)
    cash = o.broker.books.cash
    o.go("23:59")
    assert (len(o.broker.executions()), o.broker.books.cash) == (1, cash)
    assert [v.ticket.order_id for v in o.broker.completed()] == [1, 3]  # the DAY order ended with the day
    o.go("09:00", day=2)
    assert cash - o.broker.books.cash == 2 * 10 * 1_000_000  # two nights at 10 USD
    assert (o.broker.executions(), o.broker.completed()) == ((), ())
    assert o.open() == {2: "Submitted"}
    assert o.broker.pnl().daily == 0.0
    o.place(3, 1, 5)
    assert o.said()[-1] == ("error", 3, 103)  # yesterday's number stays used


def test_warnings_about_hours(kit) -> None:
    o = kit.Office("08:00")
    o.quote(99.99, 100.01)
    o.place(1, 1, 10, outside_rth=True)
    assert o.said() == [("error", 1, 2109), status(1, "PreSubmitted"), ("error", 1, 399)]
    o.place(2, 1, 10, "LMT", limit_price=100.5, outside_rth=True)
    assert ("fill", 2, 10) in o.said()
    o.go("09:32")
    assert o.said() == [("fill", 1, 10), status(1, "Filled")]
    o.place(3, -1, 10, "STP", aux_price=99.0)
    o.place(4, -1, 10, "MOC")
    assert [v.why_held for v in o.broker.open_orders()] == ["trigger", ""]
    o.trade(98.99)
    assert o.open() == {4: "PreSubmitted"}
    o.go("15:55:01")
    o.said()
    o.cancel(4)
    o.place(5, -1, 10, "MOC")
    assert o.said() == [
        ("error", 4, 10148),
        status(4, "PreSubmitted"),
        status(5, "PreSubmitted"),
        ("error", 5, 201),
        status(5, "Inactive"),
    ]


def test_no_more_than_twenty_orders_a_side(kit) -> None:
    o = kit.Office()
    for number in range(1, 21):
        o.place(number, 1, 1, "LMT", limit_price=90.0)
    o.said()
    o.place(21, 1, 1, "LMT", limit_price=90.0)
    o.place(21, -1, 1, "LMT", limit_price=110.0)
    assert o.said() == [("error", 21, 201), status(21, "PreSubmitted"), status(21, "Submitted")]


def test_the_account_must_be_simulated(kit) -> None:
    with pytest.raises(DataError, match="must begin with 'DUSIM'"):
        Brokerage(kit.Office().clock, account="U1234567")


def test_books_survive_a_restart_in_the_middle(kit) -> None:
    o = kit.Office()
    o.place(1, 1, 100)
    o.place(2, 1, 100, "LMT", limit_price=98.0, tif="GTC", transmit=False)
    o.place(3, -1, 100, "STP", aux_price=97.0, tif="GTC", parent_id=2)
    o.place(4, -1, 50, "STP LMT", limit_price=95.0, aux_price=95.5, tif="GTC")
    o.quote(99.99, 100.01, size=30)
    o.place(5, -1, 50, "LMT", limit_price=99.99, tif="GTC")  # takes 30, 20 rest
    before = o.broker.account_values()
    text = json.dumps(to_dict(o.broker), allow_nan=False)
    reborn = from_dict(json.loads(text), o.clock, o.hours)
    assert json.dumps(to_dict(reborn), allow_nan=False) == text
    assert reborn.account_values() == before
    assert reborn.executions() == o.broker.executions()
    assert reborn.next_order_id(1) == 6
    assert [v.status for v in reborn.open_orders()] == [v.status for v in o.broker.open_orders()]
    first, o.broker = o.broker, reborn
    o.quote(97.9, 97.95)  # the parent buys, its stop becomes live
    assert {v.ticket.order_id: v.why_held for v in reborn.open_orders()}[3] == "trigger"
    o.trade(97.0)
    assert reborn.books.quantity("AAA") == 100 - 30 + 100 - 100
    assert reborn.books.imbalance == 0
    assert {e.exec_id for e in reborn.executions()} > {e.exec_id for e in first.executions()}
    with pytest.raises(DataError, match="format None"):
        from_dict({}, o.clock)
