"""What is not simulated is refused, by request: nobody waits for ever."""

from __future__ import annotations

import asyncio

from ib_checks.harness import Session, check, until


@check(322)
async def unsupported_requests(s: Session) -> None:
    contract, ib = await s.known("AAPL"), s.ib
    subscription = s.lib.ScannerSubscription(instrument="STK", locationCode="STK.US", scanCode="TOP_PERC_GAIN")
    asked = [
        ib.reqScannerDataAsync(subscription),
        ib.reqFundamentalDataAsync(contract, "ReportsFinSummary"),
        ib.reqSecDefOptParamsAsync("AAPL", "", "STK", contract.conId),
        ib.reqHistogramDataAsync(contract, True, "1 day"),
        ib.reqSmartComponentsAsync("9c0001"),
        ib.reqNewsArticleAsync("BRFG", "BRFG$1"),
        ib.reqUserInfoAsync(),
    ]
    for number, request in enumerate(asked, 1):
        await asyncio.wait_for(request, 5)
        assert sum(code == 322 for _, code in s.errors) >= number
    assert len({request for request, code in s.errors if code == 322}) == len(asked)


@check()
async def empty_answers(s: Session) -> None:
    assert await asyncio.wait_for(s.ib.reqMktDepthExchangesAsync(), 5) == []
    assert await asyncio.wait_for(s.ib.reqNewsProvidersAsync(), 5) == []
    await asyncio.wait_for(s.ib.reqScannerParametersAsync(), 5)


@check(322)
async def depth(s: Session) -> None:
    s.ib.reqMktDepth(await s.known("AAPL"))
    await until(lambda: any(code == 322 for _, code in s.errors), "the refusal")


@check(200)
async def order_in_nothing(s: Session) -> None:
    unknown = s.lib.Stock("NO-SUCH!", "SMART", "USD")
    trade = s.ib.placeOrder(unknown, s.lib.MarketOrder("BUY", 1))
    await s.status(trade, "Cancelled")


@check(387)
async def unknown_order_type(s: Session) -> None:
    order = s.lib.Order(action="BUY", totalQuantity=1, orderType="PEG MID")
    await s.status(s.ib.placeOrder(await s.known("AAPL"), order), "Cancelled")


@check(113)
async def close_order_must_be_for_the_day(s: Session) -> None:
    order = s.lib.Order(action="BUY", totalQuantity=1, orderType="MOC", tif="GTC")
    await s.status(s.ib.placeOrder(await s.known("AAPL"), order), "Cancelled")


@check(201)
async def too_dear(s: Session) -> None:
    contract = await s.known("AAPL")
    await s.quote(contract)
    trade = s.ib.placeOrder(contract, s.lib.MarketOrder("BUY", 1_000_000))
    await s.status(trade, "Cancelled", "Inactive")
    assert trade.filled() == 0


@check(104)
async def filled_order_cannot_change(s: Session) -> None:
    contract = await s.known("AAPL")
    trade = await s.filled(contract, "BUY", 10)
    s.ib.client.placeOrder(trade.order.orderId, contract, s.lib.LimitOrder("BUY", 20, 1.0))
    await until(lambda: (trade.order.orderId, 104) in s.errors, "code 104")
    assert trade.filled() == 10


@check(10147, 10148)
async def cancels_of_nothing(s: Session) -> None:
    trade = await s.filled(await s.known("AAPL"), "BUY", 10)
    s.ib.client.cancelOrder(trade.order.orderId, "")
    s.ib.client.cancelOrder(987_654, "")
    await until(lambda: {(trade.order.orderId, 10148), (987_654, 10147)} <= set(s.errors), "both refusals")


@check(300)
async def cancel_of_no_ticker(s: Session) -> None:
    s.ib.client.cancelMktData(4711)
    await until(lambda: (4711, 300) in s.errors, "code 300")
