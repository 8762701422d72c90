"""An ordinary session under any scenario: a client that asks afterwards has what the gateway has."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from ib_stories.bench import SYMBOL, Bench

HISTORY = dict(endDateTime="", durationStr="1 D", barSizeSetting="5 mins", whatToShow="TRADES", useRTH=True)
OVER_S = 13
"""Simulated seconds after the last act at which every shipped fault has happened."""


async def everyday(b: Bench) -> None:
    """Trade as if nothing could go wrong; come back when the faults are over, ask, and compare."""
    ib = await b.reconnect()
    for act in (_data, _orders, _change):
        with contextlib.suppress(ConnectionError):  # the fault may be that the session has ended
            await act(b, ib)
        if not ib.isConnected():
            ib = await b.reconnect()
    for _ in range(OVER_S):
        b.tell("move", 1.0)
    ib.disconnect()
    await _same(b, await b.reconnect(2))


async def _data(b: Bench, ib: Any) -> None:
    ib.reqMktData(b.stock())
    with contextlib.suppress(asyncio.TimeoutError):
        await ib.reqHistoricalDataAsync(b.stock(), timeout=0.3, **HISTORY)


async def _orders(b: Bench, ib: Any) -> None:
    b.limit(ib, ref="resting")
    b.market(ib, 100, "SELL")
    await b.passes(2)
    b.market(ib, 200)
    await b.passes(2)


async def _change(b: Bench, ib: Any) -> None:
    open_here = [t for t in ib.openTrades() if t.order.orderRef == "resting"]
    for trade in open_here:
        trade.order.totalQuantity = 200
        ib.placeOrder(trade.contract, trade.order)
    await b.passes(2)
    for trade in open_here:
        ib.cancelOrder(trade.order)
    await b.passes(2)


async def _same(b: Bench, ib: Any) -> None:
    """What another client is told on asking is what the books say."""
    await ib.reqAllOpenOrdersAsync()
    told = {t.order.permId: (t.order.totalQuantity, t.orderStatus.status) for t in ib.openTrades()}
    for done in b.tell("completed"):  # for ib_insync an Inactive one is still open
        told.pop(done["perm_id"], None)
    kept = {o["perm_id"]: (o["quantity"], o["status"]) for o in b.tell("open_orders")}
    assert told == kept, (told, kept)
    await ib.reqExecutionsAsync()
    fills = {f.execution.execId: (f.execution.shares, f.commissionReport.commission) for f in ib.fills()}
    mine = {e["exec_id"]: (e["shares"], e["commission"]) for e in b.executions}
    assert fills == mine, (fills, mine)
    held = {p.contract.symbol: p.position for p in await ib.reqPositionsAsync()}
    assert held == ({SYMBOL: b.position} if b.position else {}), held
