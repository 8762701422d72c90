"""Every order type and time in force, changes, cancels, what-if, executions."""

from __future__ import annotations

from datetime import UTC, datetime

from ib_checks.harness import Session, check, until


@check()
async def market(s: Session) -> None:
    contract = await s.known("ORCL")
    t = await s.quote(contract)
    trade = await s.filled(contract, "BUY", 30)
    assert trade.filled() == 30
    assert trade.remaining() == 0
    assert [e.status for e in trade.log if e.status][-1] == "Filled"
    shares = sum(f.execution.shares for f in trade.fills)
    value = sum(f.execution.shares * f.execution.price for f in trade.fills)
    assert shares == 30
    assert abs(trade.orderStatus.avgFillPrice - value / shares) < 1e-4
    assert abs(value / shares - t.ask) < 0.02 * t.ask
    for f in trade.fills:
        e = f.execution
        assert (e.side, e.acctNumber[:5]) == ("BOT", "DUSIM")
        assert (e.clientId, e.orderId) == (s.ib.client.clientId, trade.order.orderId)
        assert e.permId == trade.order.permId > 0
        assert e.time.astimezone(UTC) >= datetime(2026, 3, 2, 14, 30, tzinfo=UTC)
        assert f.commissionReport.execId == e.execId
        assert 0 < f.commissionReport.commission < 2
        assert f.commissionReport.currency == "USD"
    assert len({f.execution.execId for f in trade.fills}) == len(trade.fills)
    back = await s.filled(contract, "SELL", 30)
    sold = sum(f.execution.shares * f.execution.price for f in back.fills)
    cost = sum(f.commissionReport.commission for f in [*trade.fills, *back.fills])
    gain = sum(f.commissionReport.realizedPNL for f in back.fills)
    assert abs(gain - (sold - value - cost)) < 0.01
    assert {f.execution.side for f in back.fills} == {"SLD"}


@check()
async def marketable_limit(s: Session) -> None:
    contract = await s.known("ORCL")
    t = await s.quote(contract)
    limit = round(t.ask + 1, 2)
    trade = s.ib.placeOrder(contract, s.lib.LimitOrder("BUY", 10, limit, orderRef="mine"))
    await s.status(trade, "Filled")
    assert all(f.execution.price <= limit for f in trade.fills)
    assert {f.execution.orderRef for f in trade.fills} == {"mine"}


@check()
async def resting_limit(s: Session) -> None:
    contract = await s.known("ORCL")
    t = await s.quote(contract)
    order = s.lib.LimitOrder("BUY", 10, round(t.bid * 0.9, 2), tif="GTC", outsideRth=True, orderRef="low")
    trade = s.ib.placeOrder(contract, order)
    await s.status(trade, "Submitted")
    assert (trade.filled(), trade.remaining(), trade.orderStatus.avgFillPrice) == (0, 10, 0)
    (told,) = await s.ib.reqOpenOrdersAsync()
    o = told.order
    assert (o.orderType, o.lmtPrice, o.tif, o.totalQuantity, o.action) == ("LMT", order.lmtPrice, "GTC", 10, "BUY")
    assert (o.outsideRth, o.orderRef, o.permId) == (True, "low", trade.order.permId)
    assert told.contract.conId == contract.conId
    s.ib.cancelOrder(trade.order)
    await s.status(trade, "Cancelled")
    assert await s.ib.reqOpenOrdersAsync() == []
    done = [c for c in await s.ib.reqCompletedOrdersAsync(False) if c.order.permId == o.permId]
    assert [(c.orderStatus.status, c.contract.symbol) for c in done] == [("Cancelled", "ORCL")]
    assert done[0].order.totalQuantity == 10


@check()
async def modify(s: Session) -> None:
    contract = await s.known("ORCL")
    t = await s.quote(contract)
    trade = s.ib.placeOrder(contract, s.lib.LimitOrder("BUY", 10, round(t.bid * 0.9, 2)))
    await s.status(trade, "Submitted")
    number = trade.order.permId
    trade.order.lmtPrice, trade.order.totalQuantity = round(t.ask * 1.05, 2), 25
    assert s.ib.placeOrder(contract, trade.order) is trade
    await s.status(trade, "Filled")
    assert sum(f.execution.shares for f in trade.fills) == 25
    assert {f.execution.permId for f in trade.fills} == {number}


@check()
async def stop(s: Session) -> None:
    contract = await s.known("ORCL")
    t = await s.quote(contract)
    high = round(t.ask * 1.2, 2)
    waits = s.ib.placeOrder(contract, s.lib.StopOrder("BUY", 10, high))
    await s.status(waits, "PreSubmitted", "Submitted")
    fires = s.ib.placeOrder(contract, s.lib.StopOrder("SELL", 10, round(t.ask * 1.1, 2)))
    await s.status(fires, "Filled")
    assert waits.orderStatus.status == "PreSubmitted"
    assert waits.order.auxPrice == high
    s.ib.cancelOrder(waits.order)
    await s.status(waits, "Cancelled")


@check()
async def stop_limit(s: Session) -> None:
    contract = await s.known("ORCL")
    t = await s.quote(contract)
    limit = round(t.ask * 1.1, 2)
    fires = s.ib.placeOrder(contract, s.lib.StopLimitOrder("BUY", 10, limit, round(t.bid * 0.9, 2)))
    await s.status(fires, "Filled")
    assert all(f.execution.price <= limit for f in fires.fills)
    waits = s.ib.placeOrder(contract, s.lib.StopLimitOrder("BUY", 10, round(limit * 1.1, 2), limit))
    await s.status(waits, "PreSubmitted")
    s.ib.cancelOrder(waits.order)
    await s.status(waits, "Cancelled")


@check()
async def immediate_or_cancel(s: Session) -> None:
    contract = await s.known("ORCL")
    t = await s.quote(contract)
    none = s.ib.placeOrder(contract, s.lib.LimitOrder("BUY", 10, round(t.bid * 0.9, 2), tif="IOC"))
    await s.status(none, "Cancelled")
    assert none.filled() == 0
    some = s.ib.placeOrder(contract, s.lib.LimitOrder("BUY", 10, round(t.ask * 1.1, 2), tif="IOC"))
    await s.status(some, "Filled")


@check()
async def good_till_date(s: Session) -> None:
    contract = await s.known("ORCL")
    t = await s.quote(contract)
    now = (await s.ib.reqCurrentTimeAsync()).timestamp()
    soon, late = [
        s.lib.LimitOrder("BUY", 10, round(t.bid * 0.9, 2), tif="GTD",
                         goodTillDate=datetime.fromtimestamp(now + alive, UTC).strftime("%Y%m%d-%H:%M:%S"))
        for alive in (60, 3600)
    ]  # fmt: skip
    ends, stays = s.ib.placeOrder(contract, soon), s.ib.placeOrder(contract, late)
    await s.status(stays, "Submitted")
    assert {o.order.tif for o in await s.ib.reqOpenOrdersAsync()} == {"GTD"}
    await s.status(ends, "Cancelled")
    assert (await s.ib.reqCurrentTimeAsync()).timestamp() - now >= 60
    assert "Submitted" in [entry.status for entry in ends.log]
    assert stays.orderStatus.status == "Submitted"
    s.ib.cancelOrder(stays.order)
    await s.status(stays, "Cancelled")


@check()
async def adaptive(s: Session) -> None:
    contract = await s.known("ORCL")
    t = await s.quote(contract)
    order = s.lib.LimitOrder("BUY", 10, round(t.ask + 1, 2), algoStrategy="Adaptive")
    order.algoParams = [s.lib.TagValue("adaptivePriority", "Urgent")]
    trade = s.ib.placeOrder(contract, order)
    await s.status(trade, "Filled")
    assert trade.order.algoStrategy == "Adaptive"
    assert [(p.tag, p.value) for p in trade.order.algoParams] == [("adaptivePriority", "Urgent")]


@check()
async def at_the_close(s: Session) -> None:
    contract = await s.known("ORCL")
    t = await s.quote(contract)
    moc = s.ib.placeOrder(contract, s.lib.Order(action="BUY", totalQuantity=10, orderType="MOC"))
    loc = s.ib.placeOrder(
        contract, s.lib.Order(action="BUY", totalQuantity=10, orderType="LOC", lmtPrice=round(t.ask * 2, 2))
    )
    for trade in (moc, loc):
        await s.status(trade, "PreSubmitted", "Submitted")
    assert {o.order.orderType for o in await s.ib.reqOpenOrdersAsync()} == {"MOC", "LOC"}
    for trade in (moc, loc):
        s.ib.cancelOrder(trade.order)
        await s.status(trade, "Cancelled")


@check()
async def what_if(s: Session) -> None:
    contract = await s.known("ORCL")
    t = await s.quote(contract)
    state = await s.ib.whatIfOrderAsync(contract, s.lib.LimitOrder("BUY", 100, round(t.ask, 2)))
    change, before, after = (float(getattr(state, f"initMargin{when}")) for when in ("Change", "Before", "After"))
    assert abs(after - before - change) < 0.02
    assert abs(change - 0.5 * 100 * t.ask) < 0.05 * 100 * t.ask
    assert 0 < state.commission < 2
    assert state.commissionCurrency == "USD"
    assert 0 < float(state.maintMarginChange) <= change
    assert await s.ib.reqOpenOrdersAsync() == []


@check()
async def executions(s: Session) -> None:
    contract = await s.known("CSCO")
    trade = await s.filled(contract, "BUY", 40)
    await s.filled(contract, "SELL", 15)
    every = await s.ib.reqExecutionsAsync(s.lib.ExecutionFilter(symbol="CSCO"))
    bought = await s.ib.reqExecutionsAsync(s.lib.ExecutionFilter(symbol="CSCO", side="BUY"))
    assert sum(f.execution.shares for f in every) == 55
    assert [f.execution.execId for f in bought] == [f.execution.execId for f in trade.fills]
    assert all(f.commissionReport.commission > 0 for f in s.ib.fills())
    assert await s.ib.reqExecutionsAsync(s.lib.ExecutionFilter(symbol="NOBODY")) == []
    mine = await s.ib.reqExecutionsAsync(s.lib.ExecutionFilter(clientId=s.ib.client.clientId))
    assert {f.contract.symbol for f in mine} == {"CSCO"}
    done = [c for c in await s.ib.reqCompletedOrdersAsync(True) if c.order.permId == trade.order.permId]
    assert [(c.orderStatus.status, c.order.filledQuantity) for c in done] == [("Filled", 40)]


@check(110)
async def price_off_the_grid(s: Session) -> None:
    contract = await s.known("ORCL")
    t = await s.quote(contract)
    s.ib.placeOrder(contract, s.lib.LimitOrder("BUY", 10, round(t.bid * 0.9, 2) + 0.005))
    await until(lambda: any(code == 110 for _, code in s.errors), "code 110")
    other = await s.another()  # for ib_insync, the order lives on in the client that was refused
    assert await other.reqAllOpenOrdersAsync() == []
    other.disconnect()
