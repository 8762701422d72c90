"""Several clients at one account: whose orders are whose, and what client 0 may see and do."""

from __future__ import annotations

import asyncio
import contextlib

from ib_checks.harness import PATIENCE_S, Session, check, until


@check()
async def orders_belong_to_their_client(s: Session) -> None:
    contract, other = await s.known("GE"), await s.another()
    t = await s.quote(contract)
    trade = s.ib.placeOrder(contract, s.lib.LimitOrder("BUY", 10, round(t.bid * 0.9, 2)))
    await s.status(trade, "Submitted")
    assert await other.reqOpenOrdersAsync() == []
    (seen,) = await other.reqAllOpenOrdersAsync()
    assert (seen.order.permId, seen.order.clientId) == (trade.order.permId, s.ib.client.clientId)
    s.ib.cancelOrder(trade.order)
    await s.status(trade, "Cancelled")
    other.disconnect()


@check()
async def everybody_sees_the_position(s: Session) -> None:
    contract, other = await s.known("GE"), await s.another()
    await s.filled(contract, "BUY", 70)
    await until(lambda: [p.position for p in other.positions() if p.contract.symbol == "GE"] == [70], "the position")
    assert [f for f in other.fills() if f.contract.symbol == "GE"] == []
    other.disconnect()


@check()
async def executions_are_replayed_at_connect(s: Session) -> None:
    trade = await s.filled(await s.known("GM"), "BUY", 25)
    other = await s.another()
    found = [f for f in other.fills() if f.contract.symbol == "GM"]
    assert [f.execution.execId for f in found] == [f.execution.execId for f in trade.fills]
    assert sum(f.commissionReport.commission for f in found) == sum(f.commissionReport.commission for f in trade.fills)
    other.disconnect()


@check()
async def reconnected_client_has_its_orders(s: Session) -> None:
    contract, first = await s.known("GM"), await s.another()
    t = await s.quote(contract)
    trade = first.placeOrder(contract, s.lib.LimitOrder("BUY", 10, round(t.bid * 0.9, 2), orderRef="kept"))
    await s.status(trade, "Submitted")
    number, perm = first.client.clientId, trade.order.permId
    first.disconnect()
    again = await s.another(number)
    (back,) = again.openTrades()
    assert (back.order.permId, back.order.orderRef, back.orderStatus.status) == (perm, "kept", "Submitted")
    assert again.client.getReqId() > trade.order.orderId
    again.cancelOrder(back.order)
    await s.status(back, "Cancelled")
    again.disconnect()


@check()
async def client_zero(s: Session) -> None:
    contract, zero = await s.known("GM"), await s.another(0)
    t = await s.quote(contract)
    trade = s.ib.placeOrder(contract, s.lib.LimitOrder("BUY", 10, round(t.bid * 0.9, 2)))
    await s.status(trade, "Submitted")
    zero.reqAutoOpenOrders(True)
    assert await zero.reqCurrentTimeAsync()
    assert [o.order.permId for o in await zero.reqAllOpenOrdersAsync()] == [trade.order.permId]
    zero.reqGlobalCancel()
    await s.status(trade, "Cancelled")
    zero.disconnect()


@check(321)
async def only_client_zero_binds(s: Session) -> None:
    s.ib.reqAutoOpenOrders(True)
    await until(lambda: any(code == 321 for _, code in s.errors), "the refusal")


@check(326)
async def number_in_use(s: Session) -> None:
    other = s.lib.IB()
    told: list[object] = []
    other.errorEvent += lambda _, code, *__: (told.append(code), s.errors.append((-1, code)))
    other.client.apiError += told.append
    number = s.ib.client.clientId
    attempt = asyncio.ensure_future(other.connectAsync("127.0.0.1", s.port, clientId=number, timeout=PATIENCE_S))
    closed = f"Peer closed connection. clientId {number} already in use?"
    await until(lambda: closed in told, "the end of the socket")
    assert told == [326, closed]
    assert not other.isConnected()
    attempt.cancel()  # the library would wait for all of its time
    with contextlib.suppress(asyncio.CancelledError):
        await attempt
    assert await s.ib.reqCurrentTimeAsync()
