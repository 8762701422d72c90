"""A day at full speed, to its end: delayed data, the closing auction, orders for the day and for longer."""

from __future__ import annotations

from datetime import UTC, datetime

from ib_checks.harness import Session, check, until


@check()
async def delayed(s: Session) -> None:
    contract = await s.known("AAPL")
    s.ib.reqMarketDataType(3)
    t = s.ib.reqMktData(contract)
    await until(lambda: t.bid > 0 and t.last > 0, "the market of a quarter of an hour ago")
    assert t.marketDataType == 3
    assert t.bid < t.ask
    await until(lambda: t.low <= t.last <= t.high, "a range that holds the last price")
    s.ib.cancelMktData(contract)
    s.ib.reqMarketDataType(1)


@check()
async def close(s: Session) -> None:
    contract = await s.known("AAPL")
    day = (await s.ib.reqCurrentTimeAsync()).date()
    limit = s.lib.LimitOrder("BUY", 10, 0.5, tif="DAY")
    kept = s.ib.placeOrder(contract, s.lib.LimitOrder("BUY", 10, 0.5, tif="GTC"))
    passing = s.ib.placeOrder(contract, limit)
    moc = s.ib.placeOrder(contract, s.lib.Order(action="BUY", totalQuantity=100, orderType="MOC"))
    loc = s.ib.placeOrder(contract, s.lib.Order(action="SELL", totalQuantity=50, orderType="LOC", lmtPrice=1.0))
    never = s.ib.placeOrder(contract, s.lib.Order(action="BUY", totalQuantity=50, orderType="LOC", lmtPrice=1.0))
    for trade in (moc, loc):
        await s.status(trade, "Filled")
    await s.status(passing, "Cancelled")
    await s.status(never, "Cancelled")
    assert kept.orderStatus.status in ("Submitted", "PreSubmitted")
    prices = {f.execution.price for t in (moc, loc) for f in t.fills}
    bell = datetime(day.year, day.month, day.day, 21, tzinfo=UTC)
    waited = [(f.execution.time.astimezone(UTC) - bell).total_seconds() for t in (moc, loc) for f in t.fills]
    assert len(prices) == 1
    assert all(0 <= w <= 60 for w in waited)
    end = day.strftime("%Y%m%d 16:00:00 America/New_York")
    bars = await s.ib.reqHistoricalDataAsync(contract, end, "1 D", "1 day", "TRADES", True)
    assert (bars[-1].date, {bars[-1].close}) == (day, prices)
    s.ib.cancelOrder(kept.order)
    await s.status(kept, "Cancelled")
