"""Every request that the libraries offer is asked in some check, and whatever is not simulated is refused by its name.

A request that a new version of a library brings fails :func:`every_request_is_asked` until a check asks it.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ib_checks.harness import PATIENCE_S, Session, check, until
from ib_checks.limits import texts

LOCAL = {
    "accountValues", "connect", "connectionStats", "disconnect", "executions", "fills", "getAccounts", "getReqId",
    "isConnected", "isReady", "loopUntil", "managedAccounts", "newsBulletins", "newsTicks", "openOrders",
    "openTrades", "orders", "pendingTickers", "pnl", "pnlSingle", "portfolio", "positions", "realtimeBars",
    "reset", "run", "send", "sendMsg", "serverVersion", "setConnectOptions", "setTimeout", "ticker", "tickers",
    "trades", "updateReqId", "waitOnUpdate",
}  # fmt: skip
"""What the libraries do without asking the gateway anything, or on the way of every request."""
NO_NUMBER = {
    "reqNewsBulletins", "cancelNewsBulletins", "reqFamilyCodes", "setServerLogLevel", "verifyRequest",
    "verifyMessage", "verifyAndAuthRequest", "verifyAndAuthMessage",
}  # fmt: skip
"""Requests whose refusal names no request."""


def asked() -> set[str]:
    """Names of the methods that the checks call."""
    sources = [path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("*.py")]
    calls = (node.func for source in sources for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    return {call.attr.removesuffix("Async") for call in calls if isinstance(call, ast.Attribute)}


def offered(kind: type) -> set[str]:
    """Public methods of a class of the library."""
    return {name.removesuffix("Async") for name, member in vars(kind).items()
            if inspect.isfunction(member) and not name.startswith("_")}  # fmt: skip


@check()
async def every_request_is_asked(s: Session) -> None:
    everything = offered(type(s.ib)) | offered(type(s.ib.client))
    assert {"reqMktData", "placeOrder", "cancelPnL", "reqSoftDollarTiers"} <= everything
    missing = sorted(everything - LOCAL - asked())
    assert not missing, f"{s.lib.__name__} offers {missing}, and no check asks them"


def not_simulated(s: Session, stock: Any) -> dict[str, Callable[[int], object]]:
    """Name -> the request by its number; a scanner, news, options, advisors, calendars, windows of TWS."""
    c, lib = s.ib.client, s.lib
    option = lib.Option("AAPL", "20260320", 100.0, "C", "SMART", currency="USD")
    scanner = lib.ScannerSubscription(instrument="STK", locationCode="STK.US", scanCode="TOP_PERC_GAIN")
    account = s.ib.managedAccounts()[0]
    return {
        "reqMktDepth": lambda n: c.reqMktDepth(n, stock, 5, False, []),
        "cancelMktDepth": lambda n: c.cancelMktDepth(n, False),
        "reqScannerSubscription": lambda n: c.reqScannerSubscription(n, scanner, [], []),
        "cancelScannerSubscription": lambda n: c.cancelScannerSubscription(n),
        "reqNewsBulletins": lambda n: c.reqNewsBulletins(True),
        "cancelNewsBulletins": lambda n: c.cancelNewsBulletins(),
        "reqHistoricalNews": lambda n: c.reqHistoricalNews(n, stock.conId, "BRFG", "", "", 10, []),
        "reqWshMetaData": lambda n: c.reqWshMetaData(n),
        "cancelWshMetaData": lambda n: c.cancelWshMetaData(n),
        "reqWshEventData": lambda n: c.reqWshEventData(n, lib.WshEventData(conId=stock.conId)),
        "cancelWshEventData": lambda n: c.cancelWshEventData(n),
        "replaceFA": lambda n: c.replaceFA(n, 1, "<x/>"),
        "exerciseOptions": lambda n: c.exerciseOptions(n, option, 1, 1, account, 0),
        "calculateImpliedVolatility": lambda n: c.calculateImpliedVolatility(n, option, 1.0, 100.0, []),
        "cancelCalculateImpliedVolatility": lambda n: c.cancelCalculateImpliedVolatility(n),
        "calculateOptionPrice": lambda n: c.calculateOptionPrice(n, option, 0.2, 100.0, []),
        "cancelCalculateOptionPrice": lambda n: c.cancelCalculateOptionPrice(n),
        "cancelFundamentalData": lambda n: c.cancelFundamentalData(n),
        "cancelHistogramData": lambda n: c.cancelHistogramData(n),
        "reqPositionsMulti": lambda n: c.reqPositionsMulti(n, account, ""),
        "cancelPositionsMulti": lambda n: c.cancelPositionsMulti(n),
        "queryDisplayGroups": lambda n: c.queryDisplayGroups(n),
        "subscribeToGroupEvents": lambda n: c.subscribeToGroupEvents(n, 1),
        "updateDisplayGroup": lambda n: c.updateDisplayGroup(n, "none"),
        "unsubscribeFromGroupEvents": lambda n: c.unsubscribeFromGroupEvents(n),
        "reqFamilyCodes": lambda n: c.reqFamilyCodes(),
        "reqSoftDollarTiers": lambda n: c.reqSoftDollarTiers(n),
        "setServerLogLevel": lambda n: c.setServerLogLevel(2),
        "verifyRequest": lambda n: c.verifyRequest("name", "1"),
        "verifyMessage": lambda n: c.verifyMessage("data"),
        "verifyAndAuthRequest": lambda n: c.verifyAndAuthRequest("name", "1", "key"),
        "verifyAndAuthMessage": lambda n: c.verifyAndAuthMessage("data", "response"),
    }


@check(322)
async def what_is_not_simulated_is_refused_by_its_name(s: Session) -> None:
    wanted, got = [], []
    s.ib.errorEvent += lambda number, code, text, *_: got.append((number, code, text.rpartition("cause - ")[2]))
    for name, send in not_simulated(s, await s.known("AAPL")).items():
        number = s.ib.client.getReqId()
        send(number)
        wanted.append((-1 if name in NO_NUMBER else number, 322, f"{name} is not simulated"))
    await until(lambda: len(got) >= len(wanted), f"{len(wanted)} refusals")
    assert got == wanted


@check(322)
async def nobody_waits_for_what_is_refused(s: Session) -> None:
    ib, told, stock = s.ib, texts(s), await s.known("AAPL")
    waited = [
        lambda: ib.calculateImpliedVolatilityAsync(stock, 1.0, 100.0),
        lambda: ib.calculateOptionPriceAsync(stock, 0.2, 100.0),
        lambda: ib.reqHistoricalNewsAsync(stock.conId, "BRFG", "", "", 10),
        lambda: ib.getWshMetaDataAsync(),
        lambda: ib.getWshEventDataAsync(s.lib.WshEventData(conId=stock.conId)),
    ]
    for number, request in enumerate(waited, 1):
        assert not await asyncio.wait_for(request(), PATIENCE_S)
        assert len(told) >= number
    assert await asyncio.wait_for(ib.requestFAAsync(1), PATIENCE_S) == ""


@check(321)
async def a_client_introduces_itself_once(s: Session) -> None:
    s.ib.client.startApi()
    await until(lambda: (-1, 321) in s.errors, "the refusal")
    assert s.ib.isConnected()


@check()
async def numbers_and_accounts_are_told_again(s: Session) -> None:
    frames = heard(s)
    contract = await s.known("AAPL")
    trade = s.ib.placeOrder(contract, s.lib.LimitOrder("BUY", 10, 0.5))
    await s.status(trade, "Submitted")
    s.ib.client.reqIds(1)
    s.ib.client.reqManagedAccts()
    await s.ib.reqCurrentTimeAsync()
    assert [f for f in frames if f[0] in ("9", "15")] == [
        ["9", "1", str(trade.order.orderId + 1)],
        ["15", "1", s.ib.managedAccounts()[0]],
    ]
    s.ib.cancelOrder(trade.order)
    await s.status(trade, "Cancelled")


@check(322)
async def a_cancelled_summary_leaves_room_for_another(s: Session) -> None:
    client, frames = s.ib.client, heard(s)
    first, second, third, fourth = [client.getReqId() for _ in range(4)]
    for number in (first, second, third):
        client.reqAccountSummary(number, "All", "NetLiquidation")
    client.cancelAccountSummary(first)
    client.reqAccountSummary(fourth, "All", "NetLiquidation")
    await s.ib.reqCurrentTimeAsync()
    assert [number for number, code in s.errors if code == 322] == [third]
    assert [f[2] for f in frames if f[0] == "64"] == [str(n) for n in (first, second, fourth)]


@check()
async def cancelled_positions_are_silent(s: Session) -> None:
    contract, frames = await s.known("HD"), heard(s)
    await s.filled(contract, "BUY", 10)
    await until(lambda: [f for f in frames if f[0] == "61"], "the position")
    s.ib.client.cancelPositions()
    await s.ib.reqCurrentTimeAsync()
    frames.clear()
    await s.filled(contract, "SELL", 10)
    await s.ib.reqCurrentTimeAsync()
    assert [f for f in frames if f[0] == "61"] == []


@check()
async def a_head_timestamp_may_be_cancelled(s: Session) -> None:
    s.ib.client.cancelHeadTimeStamp(s.ib.client.getReqId())  # nothing is left to end: it is told at once
    await s.ib.reqCurrentTimeAsync()
    assert {code for _, code in s.errors} <= {2104, 2106, 2158}


def heard(s: Session) -> list[list[str]]:
    """The messages that come from now on, field by field."""
    frames: list[list[str]] = []
    interpret = s.ib.client.decoder.interpret

    def note(fields: list[str]) -> None:
        frames.append(list(fields))
        interpret(fields)

    s.ib.client.decoder.interpret = note
    return frames
