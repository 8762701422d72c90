"""Shipped scenarios about orders, seen by a client library; at the end the gateway's books are as `expect` says."""

from __future__ import annotations

from math import isclose

from ib_stories.bench import codes, story, until


@story("tif_preset_message")
async def tif_preset_message_looks_like_a_cancel_while_the_order_fills(b):
    ib = await b.connect()
    trade = b.limit(ib)
    await until(lambda: trade.orderStatus.status == "Cancelled")
    assert trade.log[-1].errorCode == 10349
    assert b.open_ids == [trade.order.orderId]
    await until(lambda: trade.orderStatus.status == "Filled")
    assert b.position == 100
    assert len(b.executions) == 1


@story("failed_modify_keeps_order")
async def failed_modify_looks_like_a_cancel_while_the_order_keeps_its_terms(b):
    ib = await b.connect()
    trade = b.limit(ib)
    await until(lambda: trade.orderStatus.status == "Submitted")
    old, trade.order.totalQuantity = trade.order.totalQuantity, 300
    ib.placeOrder(trade.contract, trade.order)
    await until(lambda: trade.orderStatus.status == ("ValidationError" if b.fork else "Cancelled"))
    assert [o["quantity"] for o in b.tell("open_orders")] == [old]


@story("order_read_then_dropped")
async def a_read_and_dropped_order_exists_only_at_the_client(b):
    ib = await b.connect()
    trade = b.limit(ib)
    await ib.reqCurrentTimeAsync()
    await b.passes(2)
    assert trade.orderStatus.status == "PendingSubmit"
    assert b.open_ids == []
    assert b.position == 0


@story("processed_then_disconnected")
async def a_processed_order_is_found_after_the_socket_went(b):
    ib = await b.connect()
    b.limit(ib, ref="mine-1")
    await until(lambda: not ib.isConnected())
    again = await b.reconnect()
    assert [t.order.orderRef for t in again.openTrades()] == ["mine-1"]
    assert len(b.open_ids) == 1


@story("placement_without_callbacks")
async def an_order_without_callbacks_shows_when_asked_for(b):
    ib = await b.connect()
    trade = b.limit(ib)
    await b.passes(2)
    assert trade.orderStatus.status == "PendingSubmit"
    assert b.open_ids == [trade.order.orderId]
    await ib.reqOpenOrdersAsync()
    assert trade.orderStatus.status == "Submitted"


@story("no_order_status")
async def filled_without_any_status(b):
    ib = await b.connect()
    trade = b.market(ib)
    await until(lambda: sum(f.execution.shares for f in trade.fills) == 100)
    assert not any(entry.message.startswith("Fill") and entry.status == "Filled" for entry in trade.log)
    assert b.position == 100


@story("no_execution_details")
async def execution_missing_until_asked_for(b):
    ib = await b.connect()
    trade = b.market(ib)
    await until(lambda: trade.orderStatus.status == "Filled")
    assert trade.fills == []
    assert b.position == 100
    fills = await ib.reqExecutionsAsync()
    assert [f.execution.shares for f in fills] == [100]


@story("execution_before_open_order")
async def execution_comes_before_its_open_order(b):
    ib = await b.connect()
    heard: list[str] = []
    ib.openOrderEvent += lambda trade: heard.append("open")
    ib.execDetailsEvent += lambda trade, fill: heard.append("fill")
    b.market(ib)
    await until(lambda: {"open", "fill"} <= set(heard))
    assert heard[0] == "fill"
    assert b.position == 100
    assert len(b.executions) == 1


@story("commission_before_execution")
async def commission_before_execution_is_lost(b):
    ib = await b.connect()
    trade = b.market(ib)
    await until(lambda: len(trade.fills) == 1)
    await b.passes(1)
    assert trade.fills[0].commissionReport.commission == 0
    assert b.executions[0]["commission"] > 0
    await ib.reqExecutionsAsync()
    assert isclose(trade.fills[0].commissionReport.commission, b.executions[0]["commission"])


@story("commission_late")
async def late_commission(b):
    ib = await b.connect()
    trade = b.market(ib)
    await until(lambda: len(trade.fills) == 1)
    assert trade.fills[0].commissionReport.execId == ""
    await until(lambda: trade.fills[0].commissionReport.commission > 0)


@story("execution_corrected")
async def correction_counts_twice_in_the_library_and_once_in_the_books(b):
    ib = await b.connect()
    trade = b.market(ib, 10)
    await until(lambda: len(trade.fills) == 2)
    first, second = (f.execution for f in trade.fills)
    assert (first.execId[:-2], second.execId[-2:]) == (second.execId[:-2], "02")
    assert isclose(second.price, first.price + 0.05)
    assert trade.filled() == 20
    assert b.position == 10
    (kept,) = b.executions
    assert kept["exec_id"] == second.execId
    assert isclose(b.tell("average_cost"), second.price + kept["commission"] / 10)


@story("duplicate_executions")
async def duplicate_execution_counts_once(b):
    ib = await b.connect()
    trade = b.market(ib)
    await until(lambda: trade.orderStatus.status == "Filled")
    assert len(trade.fills) == 1
    assert b.position == 100


@story("status_regresses")
async def status_regresses_after_a_fill(b):
    ib = await b.connect()
    trade = b.limit(ib)
    await until(lambda: trade.orderStatus.filled == 40)
    await until(lambda: trade.orderStatus.status == "PreSubmitted" and trade.orderStatus.filled == 0)
    assert b.position == 40


@story("fill_after_cancel")
async def fill_after_a_confirmed_cancel(b):
    ib = await b.connect()
    trade = b.limit(ib)
    await until(lambda: trade.orderStatus.status == "Submitted")
    ib.cancelOrder(trade.order)
    await until(lambda: trade.orderStatus.status == "Cancelled")
    await until(lambda: trade.orderStatus.status == "Filled")
    assert b.position == 100
    assert b.open_ids == []


@story("cancel_meets_fill")
async def cancel_meets_fill(b):
    ib = await b.connect()
    seen = codes(ib)
    trade = b.limit(ib)
    await until(lambda: trade.orderStatus.status == "Submitted")
    ib.cancelOrder(trade.order)
    await until(lambda: 10148 in seen)
    assert b.position == 100
    assert b.tell("completed")[0]["status"] == "Filled"


@story("cancel_not_found")
async def cancel_not_found_while_the_order_lives(b):
    ib = await b.connect()
    trade = b.limit(ib)
    await until(lambda: trade.orderStatus.status == "Submitted")
    ib.cancelOrder(trade.order)
    await until(lambda: trade.orderStatus.status == "Cancelled")
    assert b.open_ids == [trade.order.orderId]


@story("cancel_acknowledged_late")
async def late_acknowledgement_of_a_cancel(b):
    ib = await b.connect()
    trade = b.limit(ib)
    await until(lambda: trade.orderStatus.status == "Submitted")
    ib.cancelOrder(trade.order)
    await b.passes(1)
    assert trade.orderStatus.status == "PendingCancel"
    assert len(b.open_ids) == 1
    await until(lambda: trade.orderStatus.status == "Cancelled")
    assert b.open_ids == []
    assert b.position == 0


@story("modify_doubles_order")
async def modify_makes_two_live_orders(b):
    ib = await b.connect()
    trade = b.limit(ib, ref="twin")
    await until(lambda: trade.orderStatus.status == "Submitted")
    trade.order.totalQuantity = 200
    ib.placeOrder(trade.contract, trade.order)
    await until(lambda: len(b.open_ids) == 2)
    views = b.tell("open_orders")
    assert {v["order_ref"] for v in views} == {"twin"}
    assert len({v["perm_id"] for v in views}) == 2


@story("rejected_insufficient_equity", "price_increment_refused")
async def refused_orders_never_exist(b):
    ib = await b.connect()
    seen = codes(ib)
    trade = b.limit(ib)
    await until(lambda: {201, 110} & set(seen))
    cancelled = 201 in seen or b.fork  # a 110 of a new order ends the trade in ib_async only
    assert trade.orderStatus.status == ("Cancelled" if cancelled else "PendingSubmit")
    assert b.open_ids == []
    assert b.tell("completed") == []


@story("stale_next_valid_id")
async def stale_next_valid_id_leads_to_a_duplicate_number(b):
    first = await b.connect()
    b.limit(first)
    await until(lambda: len(b.open_ids) == 1)
    first.disconnect()
    again = await b.reconnect()
    seen = codes(again)
    assert again.client._reqIdSeq < 100
    again.client._reqIdSeq = b.open_ids[0]
    b.tell("cancel_all")
    await until(lambda: b.open_ids == [])
    b.limit(again)
    await until(lambda: 103 in seen)


@story("manual_trade_in_tws")
async def manual_trade_moves_the_position_without_an_order_of_ours(b):
    ib = await b.connect()
    await until(lambda: b.position == 100)
    await until(lambda: [p.position for p in ib.positions()] == [100])
    assert ib.trades() == []
    assert ib.fills() == []


@story("shares_being_located")
async def shares_are_located_and_the_short_sale_goes_on(b):
    ib = await b.connect()
    seen = codes(ib)
    trade = b.market(ib, 100, "SELL")
    await until(lambda: trade.orderStatus.status == "Inactive")
    assert 404 in seen
    assert trade.orderStatus.whyHeld == "locate"
    await until(lambda: b.position == -100)


@story("borrow_recalled_buy_in")
async def recalled_borrow_is_bought_in(b):
    ib = await b.connect()
    trade = b.market(ib, 100, "SELL")
    await until(lambda: b.position == -100)
    await until(lambda: b.position == 0)
    assert trade.orderStatus.status == "Filled"
    assert [e["order_id"] for e in b.executions] == [trade.order.orderId, 0]
