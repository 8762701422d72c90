"""Brackets, OCA groups, cancelling everything, untransmitted orders."""

from __future__ import annotations

from ib_checks.harness import Session, check


@check()
async def bracket(s: Session) -> None:
    contract = await s.known("INTC")
    t = await s.quote(contract)
    high, low = round(t.ask * 1.2, 2), round(t.ask * 0.8, 2)
    orders = s.ib.bracketOrder("BUY", 20, round(t.ask * 1.02, 2), high, low)
    parent, profit, loss = [s.ib.placeOrder(contract, o) for o in orders]
    await s.status(parent, "Filled")
    await s.status(profit, "Submitted")
    await s.status(loss, "PreSubmitted")
    assert {profit.order.parentId, loss.order.parentId} == {parent.order.orderId}
    other = await s.another()
    told = {o.order.orderId: o.order for o in await other.reqAllOpenOrdersAsync()}
    assert told[profit.order.orderId].ocaGroup == told[loss.order.orderId].ocaGroup != ""
    other.disconnect()
    profit.order.lmtPrice = round(t.bid * 0.98, 2)
    s.ib.placeOrder(contract, profit.order)
    await s.status(profit, "Filled")
    await s.status(loss, "Cancelled")
    assert loss.filled() == 0
    assert [p for p in await s.ib.reqPositionsAsync() if p.contract.symbol == "INTC" and p.position] == []


@check()
async def children_wait_and_go_with_the_parent(s: Session) -> None:
    contract = await s.known("INTC")
    t = await s.quote(contract)
    orders = s.ib.bracketOrder("BUY", 20, round(t.ask * 0.8, 2), round(t.ask * 1.2, 2), round(t.ask * 0.7, 2))
    parent, profit, loss = [s.ib.placeOrder(contract, o) for o in orders]
    await s.status(parent, "Submitted")
    await s.status(profit, "PreSubmitted")
    await s.status(loss, "PreSubmitted")
    assert "child" in profit.orderStatus.whyHeld
    s.ib.cancelOrder(parent.order)
    for trade in (parent, profit, loss):
        await s.status(trade, "Cancelled")


@check()
async def one_cancels_all(s: Session) -> None:
    contract = await s.known("INTC")
    t = await s.quote(contract)
    prices = [round(t.bid * f, 2) for f in (0.7, 0.8, 0.9)]
    orders = s.ib.oneCancelsAll([s.lib.LimitOrder("BUY", 10, p) for p in prices], "group", 1)
    trades = [s.ib.placeOrder(contract, o) for o in orders]
    for trade in trades:
        await s.status(trade, "Submitted")
    trades[1].order.lmtPrice = round(t.ask * 1.05, 2)
    s.ib.placeOrder(contract, trades[1].order)
    await s.status(trades[1], "Filled")
    for trade in (trades[0], trades[2]):
        await s.status(trade, "Cancelled")
        assert trade.order.ocaGroup == "group"


@check()
async def untransmitted(s: Session) -> None:
    contract = await s.known("INTC")
    t = await s.quote(contract)
    order = s.lib.LimitOrder("BUY", 10, round(t.ask * 1.05, 2), transmit=False)
    trade = s.ib.placeOrder(contract, order)
    await s.ib.reqCurrentTimeAsync()
    assert trade.orderStatus.status == "PendingSubmit"
    trade.order.transmit = True
    s.ib.placeOrder(contract, trade.order)
    await s.status(trade, "Filled")


@check()
async def cancel_everything(s: Session) -> None:
    contract = await s.known("INTC")
    t = await s.quote(contract)
    trades = [s.ib.placeOrder(contract, s.lib.LimitOrder("BUY", 10, round(t.bid * f, 2))) for f in (0.8, 0.9)]
    for trade in trades:
        await s.status(trade, "Submitted")
    s.ib.reqGlobalCancel()
    for trade in trades:
        await s.status(trade, "Cancelled")
    assert await s.ib.reqAllOpenOrdersAsync() == []
