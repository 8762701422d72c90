"""Shipped scenarios about orders, seen by real ib_insync; at the end the gateway's books are as `expect` says."""

from __future__ import annotations

import asyncio

import pytest
from ib_insync import ExecutionFilter

from tests.gateway.scenarios.conftest import until


def codes(ib) -> list[int]:
    """Collects the codes of errors from now on."""
    seen: list[int] = []
    ib.errorEvent += lambda number, code, text, contract: seen.append(code)
    return seen


def test_tif_preset_message_looks_like_a_cancel_while_the_order_fills(play):
    async def story(b):
        ib = await b.connect()
        trade = b.limit(ib)
        await until(lambda: trade.orderStatus.status == "Cancelled")
        assert trade.log[-1].errorCode == 10349
        assert b.open_ids == [trade.order.orderId]
        await until(lambda: trade.orderStatus.status == "Filled")
        assert b.position == 100
        assert len(b.broker.executions()) == 1

    play("tif_preset_message", story)


def test_failed_modify_looks_like_a_cancel_while_the_order_keeps_its_terms(play):
    async def story(b):
        ib = await b.connect()
        trade = b.limit(ib)
        await until(lambda: trade.orderStatus.status == "Submitted")
        old, trade.order.totalQuantity = trade.order.totalQuantity, 300
        ib.placeOrder(trade.contract, trade.order)
        await until(lambda: trade.orderStatus.status == "Cancelled")
        assert [view.ticket.quantity for view in b.broker.open_orders()] == [old]

    play("failed_modify_keeps_order", story)


def test_a_read_and_dropped_order_exists_only_at_the_client(play):
    async def story(b):
        ib = await b.connect()
        trade = b.limit(ib)
        await ib.reqCurrentTimeAsync()
        await asyncio.sleep(0.2)
        assert trade.orderStatus.status == "PendingSubmit"
        assert b.broker.open_orders() == ()
        assert b.position == 0

    play("order_read_then_dropped", story)


def test_a_processed_order_is_found_after_the_socket_went(play):
    async def story(b):
        ib = await b.connect()
        b.limit(ib, ref="mine-1")
        await until(lambda: not ib.isConnected())
        again = await b.reconnect()
        assert [t.order.orderRef for t in again.openTrades()] == ["mine-1"]
        assert len(b.open_ids) == 1

    play("processed_then_disconnected", story)


def test_an_order_without_callbacks_shows_when_asked_for(play):
    async def story(b):
        ib = await b.connect()
        trade = b.limit(ib)
        await asyncio.sleep(0.2)
        assert trade.orderStatus.status == "PendingSubmit"
        assert b.open_ids == [trade.order.orderId]
        await ib.reqOpenOrdersAsync()
        assert trade.orderStatus.status == "Submitted"

    play("placement_without_callbacks", story)


def test_filled_without_any_status(play):
    async def story(b):
        ib = await b.connect()
        trade = b.market(ib)
        await until(lambda: sum(f.execution.shares for f in trade.fills) == 100)
        assert not any(entry.message.startswith("Fill") and entry.status == "Filled" for entry in trade.log)
        assert b.position == 100

    play("no_order_status", story)


def test_execution_missing_until_asked_for(play):
    async def story(b):
        ib = await b.connect()
        trade = b.market(ib)
        await until(lambda: trade.orderStatus.status == "Filled")
        assert trade.fills == []
        assert b.position == 100
        fills = await ib.reqExecutionsAsync(ExecutionFilter())
        assert [f.execution.shares for f in fills] == [100]

    play("no_execution_details", story)


def test_execution_comes_before_its_open_order(play):
    async def story(b):
        ib = await b.connect()
        heard: list[str] = []
        ib.openOrderEvent += lambda trade: heard.append("open")
        ib.execDetailsEvent += lambda trade, fill: heard.append("fill")
        b.market(ib)
        await until(lambda: {"open", "fill"} <= set(heard))
        assert heard[0] == "fill"
        assert b.position == 100
        assert len(b.broker.executions()) == 1

    play("execution_before_open_order", story)


def test_commission_before_execution_is_lost(play):
    async def story(b):
        ib = await b.connect()
        trade = b.market(ib)
        await until(lambda: len(trade.fills) == 1)
        await asyncio.sleep(0.1)
        assert trade.fills[0].commissionReport.commission == 0
        assert b.broker.executions()[0].commission > 0
        await ib.reqExecutionsAsync(ExecutionFilter())
        assert trade.fills[0].commissionReport.commission == pytest.approx(b.broker.executions()[0].commission)

    play("commission_before_execution", story)


def test_late_commission(play):
    async def story(b):
        ib = await b.connect()
        trade = b.market(ib)
        await until(lambda: len(trade.fills) == 1)
        assert trade.fills[0].commissionReport.execId == ""
        await until(lambda: trade.fills[0].commissionReport.commission > 0)

    play("commission_late", story)


def test_correction_counts_twice_in_the_library_and_once_in_the_books(play):
    async def story(b):
        ib = await b.connect()
        trade = b.market(ib, 10)
        await until(lambda: len(trade.fills) == 2)
        first, second = (f.execution for f in trade.fills)
        assert (first.execId[:-2], second.execId[-2:]) == (second.execId[:-2], "02")
        assert second.price == pytest.approx(first.price + 0.05)
        assert trade.filled() == 20
        assert b.position == 10
        (kept,) = b.broker.executions()
        assert kept.exec_id == second.execId
        holding = b.broker.books.holdings["AAPL"]
        assert holding.average_cost == pytest.approx(second.price + kept.commission / 10)

    play("execution_corrected", story)


def test_duplicate_execution_counts_once(play):
    async def story(b):
        ib = await b.connect()
        trade = b.market(ib)
        await until(lambda: trade.orderStatus.status == "Filled")
        assert len(trade.fills) == 1
        assert b.position == 100

    play("duplicate_executions", story)


def test_status_regresses_after_a_fill(play):
    async def story(b):
        ib = await b.connect()
        trade = b.limit(ib)
        await until(lambda: trade.orderStatus.filled == 40)
        await until(lambda: trade.orderStatus.status == "PreSubmitted" and trade.orderStatus.filled == 0)
        assert b.position == 40

    play("status_regresses", story)


def test_fill_after_a_confirmed_cancel(play):
    async def story(b):
        ib = await b.connect()
        trade = b.limit(ib)
        await until(lambda: trade.orderStatus.status == "Submitted")
        ib.cancelOrder(trade.order)
        await until(lambda: trade.orderStatus.status == "Cancelled")
        await until(lambda: trade.orderStatus.status == "Filled")
        assert b.position == 100
        assert b.open_ids == []

    play("fill_after_cancel", story)


def test_cancel_meets_fill(play):
    async def story(b):
        ib = await b.connect()
        seen = codes(ib)
        trade = b.limit(ib)
        await until(lambda: trade.orderStatus.status == "Submitted")
        ib.cancelOrder(trade.order)
        await until(lambda: 10148 in seen)
        assert b.position == 100
        assert b.broker.completed()[0].status == "Filled"

    play("cancel_meets_fill", story)


def test_cancel_not_found_while_the_order_lives(play):
    async def story(b):
        ib = await b.connect()
        trade = b.limit(ib)
        await until(lambda: trade.orderStatus.status == "Submitted")
        ib.cancelOrder(trade.order)
        await until(lambda: trade.orderStatus.status == "Cancelled")
        assert b.open_ids == [trade.order.orderId]

    play("cancel_not_found", story)


def test_late_acknowledgement_of_a_cancel(play):
    async def story(b):
        ib = await b.connect()
        trade = b.limit(ib)
        await until(lambda: trade.orderStatus.status == "Submitted")
        ib.cancelOrder(trade.order)
        await asyncio.sleep(0.1)
        assert trade.orderStatus.status == "PendingCancel"
        assert len(b.open_ids) == 1
        await until(lambda: trade.orderStatus.status == "Cancelled")
        assert b.open_ids == []
        assert b.position == 0

    play("cancel_acknowledged_late", story)


def test_modify_makes_two_live_orders(play):
    async def story(b):
        ib = await b.connect()
        trade = b.limit(ib, ref="twin")
        await until(lambda: trade.orderStatus.status == "Submitted")
        trade.order.totalQuantity = 200
        ib.placeOrder(trade.contract, trade.order)
        await until(lambda: len(b.open_ids) == 2)
        views = b.broker.open_orders()
        assert {v.ticket.order_ref for v in views} == {"twin"}
        assert len({v.perm_id for v in views}) == 2

    play("modify_doubles_order", story)


@pytest.mark.parametrize(("name", "code"), [("rejected_insufficient_equity", 201), ("price_increment_refused", 110)])
def test_refused_orders_never_exist(play, name, code):
    async def story(b):
        ib = await b.connect()
        seen = codes(ib)
        trade = b.limit(ib)
        await until(lambda: code in seen)
        assert trade.orderStatus.status == ("Cancelled" if code == 201 else "PendingSubmit")
        assert b.broker.open_orders() == ()
        assert b.broker.completed() == ()

    play(name, story)


def test_stale_next_valid_id_leads_to_a_duplicate_number(play):
    async def story(b):
        first = await b.connect()
        b.limit(first)
        await until(lambda: len(b.open_ids) == 1)
        first.disconnect()
        again = await b.reconnect()
        seen = codes(again)
        assert again.client._reqIdSeq < 100
        again.client._reqIdSeq = b.open_ids[0]
        b.broker.cancel_all()
        await until(lambda: b.open_ids == [])
        b.limit(again)
        await until(lambda: 103 in seen)

    play("stale_next_valid_id", story)


def test_manual_trade_moves_the_position_without_an_order_of_ours(play):
    async def story(b):
        ib = await b.connect()
        await until(lambda: b.position == 100)
        await until(lambda: [p.position for p in ib.positions()] == [100])
        assert ib.trades() == []
        assert ib.fills() == []

    play("manual_trade_in_tws", story)


def test_shares_are_located_and_the_short_sale_goes_on(play):
    async def story(b):
        ib = await b.connect()
        seen = codes(ib)
        trade = b.market(ib, 100, "SELL")
        await until(lambda: trade.orderStatus.status == "Inactive")
        assert 404 in seen
        assert trade.orderStatus.whyHeld == "locate"
        await until(lambda: b.position == -100)

    play("shares_being_located", story)


def test_recalled_borrow_is_bought_in(play):
    async def story(b):
        ib = await b.connect()
        trade = b.market(ib, 100, "SELL")
        await until(lambda: b.position == -100)
        await until(lambda: b.position == 0)
        assert trade.orderStatus.status == "Filled"
        assert [e.order_id for e in b.broker.executions()] == [trade.order.orderId, 0]

    play("borrow_recalled_buy_in", story)
