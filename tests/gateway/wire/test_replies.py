"""Every reply: one call of it, its frozen layout, and the callback that ib_insync makes of it, written by hand."""

from __future__ import annotations

import ast
import datetime as dt
import inspect
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ib_insync import BarData, CommissionReport, Contract, Execution, PriceIncrement, TagValue
from ib_insync.contract import ContractDescription, ContractDetails
from ib_insync.objects import (
    HistoricalSession,
    HistoricalTick,
    HistoricalTickBidAsk,
    HistoricalTickLast,
    TickAttribBidAsk,
    TickAttribLast,
)

from workbench.gateway.wire import contracts, replies
from workbench.gateway.wire.contracts import Tag, WireContract
from workbench.gateway.wire.frames import FrameError, Frames
from workbench.gateway.wire.orders import OrderState, WireExecution, WireOrder

AAPL = WireContract(265598, "AAPL", "STK", "", 0.0, "", "", "SMART", "NASDAQ", "USD", "AAPL", "NMS")
IB_C11 = Contract("STK", 265598, "AAPL", exchange="SMART", currency="USD", localSymbol="AAPL", tradingClass="NMS")
IB_HELD = Contract(
    "STK", 265598, "AAPL", primaryExchange="NASDAQ", currency="USD", localSymbol="AAPL", tradingClass="NMS"
)
ORDER = WireOrder(
    order_id=8, client_id=3, perm_id=1234567, action="BUY", total_quantity=100.0, order_type="LMT", lmt_price=150.25,
    tif="DAY", account="DUSIM1", order_ref="ref-1", outside_rth=True,
)  # fmt: skip
DETAILS = contracts.ContractDetails(
    AAPL, "NMS", 0.01, "LMT,MKT", "SMART,NASDAQ", 1, 0, "Société \\ ACME", "202601", "Technology", "Computers",
    "Phones", "US/Eastern", "20260102:0400-20260102:2000", "20260102:0930-20260102:1600", "aussie", 2,
    (Tag("ISIN", "US0378331005"), Tag("CUSIP", "037833100")), 1, "UND", "IND", "26,32", "20260116", "COMMON", 0.5, 0.25,
    100.0,
)  # fmt: skip
IB_DETAILS = ContractDetails(
    Contract("STK", 265598, "AAPL", exchange="SMART", primaryExchange="NASDAQ", currency="USD", localSymbol="AAPL",
             tradingClass="NMS"),
    "NMS", 0.01, "LMT,MKT", "SMART,NASDAQ", 1, 0, "Société \\ ACME", "202601", "Technology", "Computers", "Phones",
    "US/Eastern", "20260102:0400-20260102:2000", "20260102:0930-20260102:1600", "aussie", 2, aggGroup=1,
    underSymbol="UND", underSecType="IND", marketRuleIds="26,32", realExpirationDate="20260116", stockType="COMMON",
    minSize=0.5, sizeIncrement=0.25, suggestedSizeIncrement=100.0,
    secIdList=[TagValue("ISIN", "US0378331005"), TagValue("CUSIP", "037833100")],
)  # fmt: skip
FILL = WireExecution(
    "0001.01.01", "20260102 09:30:01 America/New_York", "DUSIM1", "ARCA", "BOT", 40.0, 150.25, 1234567, 3, 8, 60.0,
    150.2, 0, "ref-1", "aussie", 0.5, "model", 2,
)  # fmt: skip
IB_FILL = Execution(
    "0001.01.01", dt.datetime(2026, 1, 2, 14, 30, 1, tzinfo=dt.UTC), "DUSIM1", "ARCA", "BOT", 40.0, 150.25, 1234567, 3,
    8, 0, 60.0, 150.2, "ref-1", "aussie", 0.5, "model", 2,
)  # fmt: skip
BAR = replies.Bar("20260102 09:30:00 America/New_York", 1.0, 4.0, 0.5, 2.0, 1000.0, 1.5, 7)
IB_BAR = BarData("20260102 09:30:00 America/New_York", 1.0, 4.0, 0.5, 2.0, 1000.0, 1.5, 7)
DAY = replies.Bar("20260105", 2.0, 2.0, 2.0, 2.0, 0.0, 0.0, 0)
IB_DAY = BarData("20260105", 2.0, 2.0, 2.0, 2.0, 0.0, 0.0, 0)
OPEN = dt.datetime(2026, 1, 2, 14, 30, tzinfo=dt.UTC)
SESSION = replies.TradingSession("20260102-09:30:00", "20260102-16:00:00", "20260102")
SAMPLES = [
    replies.SymbolSample(AAPL, ("CFD", "OPT"), "APPLE INC"),
    replies.SymbolSample(WireContract(1, "AAB", "STK", currency="USD", issuer_id="e1")),
]
IB_SAMPLES = [
    ContractDescription(
        Contract("STK", 265598, "AAPL", primaryExchange="NASDAQ", currency="USD", description="APPLE INC"),
        ["CFD", "OPT"],
    ),
    ContractDescription(Contract("STK", 1, "AAB", currency="USD", issuerId="e1"), []),
]
LAST, QUOTE = TickAttribLast(True, False), TickAttribBidAsk(True, False)
SPAN = ("20260101 00:00:00", "20260106 00:00:00")

# name -> (frame, callbacks as (name, arguments))
CASES: dict[str, tuple[bytes, list[tuple[str, tuple[Any, ...]]]]] = {
    "next_valid_id": (replies.next_valid_id(42), [("nextValidId", (42,))]),
    "managed_accounts": (replies.managed_accounts(["DUSIM1", "DUSIM2"]), [("managedAccounts", ("DUSIM1,DUSIM2",))]),
    "error": (replies.error(8, 201, "Order rejected", "{}"), [("error", (8, 201, "Order rejected", "{}"))]),
    "current_time": (replies.current_time(1767364200), [("currentTime", (1767364200,))]),
    "contract_details": (replies.contract_details(7, DETAILS), [("contractDetails", (7, IB_DETAILS))]),
    "contract_details_end": (replies.contract_details_end(7), [("contractDetailsEnd", (7,))]),
    "symbol_samples": (replies.symbol_samples(7, SAMPLES), [("symbolSamples", (7, IB_SAMPLES))]),
    "market_rule": (
        replies.market_rule(26, [(0.0, 0.0001), (1.0, 0.01)]),
        [("marketRule", (26, [PriceIncrement(0.0, 0.0001), PriceIncrement(1.0, 0.01)]))],
    ),
    "no_depth_exchanges": (replies.no_depth_exchanges(), [("mktDepthExchanges", ([],))]),
    "no_news_providers": (replies.no_news_providers(), [("newsProviders", ([],))]),
    "no_scanner_parameters": (
        replies.no_scanner_parameters(),
        [("scannerParameters", ('<?xml version="1.0"?><ScanParameterResponse/>',))],
    ),
    "no_fa_data": (replies.no_fa_data(1), [("receiveFA", (1, ""))]),
    "price_size_tick": (replies.price_size_tick(7, 1, 150.25, 300.0), [("priceSizeTick", (7, 1, 150.25, 300.0))]),
    "tick_size": (replies.tick_size(7, 8, 1e6), [("tickSize", (7, 8, 1e6))]),
    "tick_generic": (replies.tick_generic(7, 49, 1.0), [("tickGeneric", (7, 49, 1.0))]),
    "tick_string": (
        replies.tick_string(7, 48, "150.25;1;;5;150.2;true"),
        [("tickString", (7, 48, "150.25;1;;5;150.2;true"))],
    ),
    "tick_req_params": (replies.tick_req_params(7, 0.01, "9c0001", 3), [("tickReqParams", (7, 0.01, "9c0001", 3))]),
    "market_data_type": (replies.market_data_type(7, 3), [("marketDataType", (7, 3))]),
    "tick_snapshot_end": (replies.tick_snapshot_end(7), [("tickSnapshotEnd", (7,))]),
    "tick_by_tick_last": (
        replies.tick_by_tick_last(7, True, 1767364200, 150.25, 100.0, "ARCA", "TI", past_limit=True),
        [("tickByTickAllLast", (7, 2, 1767364200, 150.25, 100.0, LAST, "ARCA", "TI"))],
    ),
    "tick_by_tick_bid_ask": (
        replies.tick_by_tick_bid_ask(7, 1767364200, 150.2, 150.3, 100.0, 200.0, bid_past_low=True),
        [("tickByTickBidAsk", (7, 1767364200, 150.2, 150.3, 100.0, 200.0, QUOTE))],
    ),
    "tick_by_tick_mid": (
        replies.tick_by_tick_mid(7, 1767364200, 150.25),
        [("tickByTickMidPoint", (7, 1767364200, 150.25))],
    ),
    "historical_data": (
        replies.historical_data(7, *SPAN, [BAR, DAY]),
        [("historicalData", (7, IB_BAR)), ("historicalData", (7, IB_DAY)), ("historicalDataEnd", (7, *SPAN))],
    ),
    "historical_data_update": (replies.historical_data_update(7, BAR), [("historicalDataUpdate", (7, IB_BAR))]),
    "historical_schedule": (
        replies.historical_schedule(7, "20260102-09:30:00", "20260102-16:00:00", "US/Eastern", [SESSION]),
        [
            (
                "historicalSchedule",
                (7, "20260102-09:30:00", "20260102-16:00:00", "US/Eastern", [HistoricalSession(*SESSION)]),
            )
        ],
    ),
    "realtime_bar": (
        replies.realtime_bar(7, 1767364200, 1.0, 4.0, 0.5, 2.0, 1000.0, 1.5, 7),
        [("realtimeBar", (7, 1767364200, 1.0, 4.0, 0.5, 2.0, 1000.0, 1.5, 7))],
    ),
    "historical_ticks": (
        replies.historical_ticks(7, [replies.MidTick(1767364200, 150.25)], done=False),
        [("historicalTicks", (7, [HistoricalTick(OPEN, 150.25, 0.0)], False))],
    ),
    "historical_ticks_bid_ask": (
        replies.historical_ticks_bid_ask(7, [replies.BidAskTick(1767364200, 1.0, 2.0, 3.0, 4.0, bid_past_low=True)]),
        [("historicalTicksBidAsk", (7, [HistoricalTickBidAsk(OPEN, QUOTE, 1.0, 2.0, 3.0, 4.0)], True))],
    ),
    "historical_ticks_last": (
        replies.historical_ticks_last(7, [replies.LastTick(1767364200, 1.0, 2.0, "ARCA", "TI", past_limit=True)]),
        [("historicalTicksLast", (7, [HistoricalTickLast(OPEN, LAST, 1.0, 2.0, "ARCA", "TI")], True))],
    ),
    "head_timestamp": (replies.head_timestamp(7, "19801212-14:30:00"), [("headTimestamp", (7, "19801212-14:30:00"))]),
    "order_status": (
        replies.order_status(8, "Submitted", 40.0, 60.0, 150.2, 1234567, 5, 150.25, 3, "locate", 1.5),
        [("orderStatus", (8, "Submitted", 40.0, 60.0, 150.2, 1234567, 5, 150.25, 3, "locate", 1.5))],
    ),
    "open_order_end": (replies.open_order_end(), [("openOrderEnd", ())]),
    "exec_details": (replies.exec_details(-1, AAPL, FILL), [("execDetails", (-1, IB_C11, IB_FILL))]),
    "exec_details_end": (replies.exec_details_end(7), [("execDetailsEnd", (7,))]),
    "commission_report": (
        replies.commission_report("0001.01.01", 0.35, "USD", -12.5),
        [("commissionReport", (CommissionReport("0001.01.01", 0.35, "USD", -12.5, 1.7976931348623157e308, 0),))],
    ),
    "completed_orders_end": (replies.completed_orders_end(), [("completedOrdersEnd", ())]),
    "update_account_value": (
        replies.update_account_value("NetLiquidation", "100000.00", "USD", "DUSIM1"),
        [("updateAccountValue", ("NetLiquidation", "100000.00", "USD", "DUSIM1"))],
    ),
    "update_portfolio": (
        replies.update_portfolio(AAPL, -100.0, 150.25, -15025.0, 149.0, -125.0, 3.5, "DUSIM1"),
        [
            (
                "updatePortfolio",
                (IB_HELD, -100.0, 150.25, -15025.0, 149.0, -125.0, 3.5, "DUSIM1"),
            )
        ],
    ),
    "update_account_time": (replies.update_account_time("09:30"), [("updateAccountTime", ("09:30",))]),
    "account_download_end": (replies.account_download_end("DUSIM1"), [("accountDownloadEnd", ("DUSIM1",))]),
    "position": (replies.position("DUSIM1", AAPL, -100.0, 149.0), [("position", ("DUSIM1", IB_C11, -100.0, 149.0))]),
    "position_end": (replies.position_end(), [("positionEnd", ())]),
    "account_summary": (
        replies.account_summary(7, "DUSIM1", "BuyingPower", "4.0", "USD"),
        [("accountSummary", (7, "DUSIM1", "BuyingPower", "4.0", "USD"))],
    ),
    "account_summary_end": (replies.account_summary_end(7), [("accountSummaryEnd", (7,))]),
    "account_update_multi": (
        replies.account_update_multi(7, "DUSIM1", "model", "Cash", "1.0", "USD"),
        [("accountUpdateMulti", (7, "DUSIM1", "model", "Cash", "1.0", "USD"))],
    ),
    "account_update_multi_end": (replies.account_update_multi_end(7), [("accountUpdateMultiEnd", (7,))]),
    "pnl": (replies.pnl(7, -1.5, 2.5, None), [("pnl", (7, -1.5, 2.5, 1.7976931348623157e308))]),
    "pnl_single": (
        replies.pnl_single(7, -100.0, -1.5, None, 3.5, -15025.0),
        [("pnlSingle", (7, -100.0, -1.5, 1.7976931348623157e308, 3.5, -15025.0))],
    ),
}

# decoded by tests of their own (test_orders.py); here only their layout
ORDER_CASES: dict[str, bytes] = {
    "open_order": replies.open_order(AAPL, ORDER, OrderState("PreSubmitted")),
    "completed_order": replies.completed_order(
        AAPL,
        ORDER,
        OrderState("Filled", completed_time="20260102 15:59:58 America/New_York", completed_status="Filled Size: 100"),
    ),
}


@pytest.mark.parametrize("name", [*CASES, *ORDER_CASES])
def test_a_reply_has_its_frozen_layout(golden_replies, name) -> None:
    data = ORDER_CASES[name] if name in ORDER_CASES else CASES[name][0]
    assert Frames().feed(data) == [golden_replies[name]]


def test_the_messages_that_clients_take_apart_by_count(golden_replies) -> None:
    assert set(golden_replies) == set(CASES) | set(ORDER_CASES)
    counts = {"price_size_tick": 7, "exec_details": 31, "commission_report": 8, "update_portfolio": 20, "error": 6}
    assert {name: len(golden_replies[name]) for name in counts} == counts


@pytest.mark.parametrize("name", CASES)
def test_the_library_decodes_what_went_in(insync, name) -> None:
    data, wanted = CASES[name]
    got = insync.decode(data)
    assert [call for call, _ in got] == [call for call, _ in wanted]
    for (_, arguments), (_, expected) in zip(got, wanted, strict=True):
        assert len(arguments) == len(expected)
        assert [insync.bare(a) for a in arguments] == [insync.bare(e) for e in expected]
        assert [type(a) for a in arguments] == [type(e) for e in expected]


def test_every_reply_is_among_the_cases() -> None:
    functions = {name for name in replies.__all__ if inspect.isfunction(getattr(replies, name))}
    assert functions == set(CASES) | set(ORDER_CASES)


def test_every_public_function_of_the_rooms_is_given_out() -> None:
    for room in (replies.account, replies.history, replies.market, replies.session, replies.trading):
        tree = ast.parse(inspect.getsource(room))
        names = {n.name for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef) and n.name[0] != "_"}
        assert names <= set(replies.__all__)


def test_an_absent_price_is_minus_one_and_an_unknown_size_is_zero(insync) -> None:
    assert insync.decode_one(replies.price_size_tick(7, 1, -1.0, None)) == (7, 1, -1.0, 0.0)


def test_an_opening_fill_has_no_realised_profit(insync) -> None:
    (report,) = insync.decode_one(replies.commission_report("e", 1.0))
    assert (report.currency, report.realizedPNL) == ("USD", 1.7976931348623157e308)


@given(st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"])))
def test_any_long_name_arrives_as_it_was(insync, name) -> None:
    _, details = insync.decode_one(
        replies.contract_details(7, contracts.ContractDetails(WireContract(), long_name=name))
    )
    assert details.longName == name


def test_nan_is_refused_because_clients_would_take_it_for_a_price() -> None:
    with pytest.raises(FrameError, match="NaN cannot be sent: send None"):
        replies.price_size_tick(7, 1, float("nan"), 100)


@pytest.mark.parametrize(("past_limit", "unreported", "mask"), [(0, 0, "0"), (1, 0, "1"), (0, 1, "2"), (1, 1, "3")])
def test_the_bits_of_a_trade(insync, past_limit, unreported, mask) -> None:
    bits = {"past_limit": bool(past_limit), "unreported": bool(unreported)}
    live = insync.decode_one(replies.tick_by_tick_last(7, False, 1, 2.0, 3.0, "X", **bits))
    _, ticks, _ = insync.decode_one(replies.historical_ticks_last(7, [replies.LastTick(1, 2.0, 3.0, "X", **bits)]))
    for attribute in (live[5], ticks[0].tickAttribLast):
        assert (attribute.pastLimit, attribute.unreported) == (bool(past_limit), bool(unreported))


@pytest.mark.parametrize("bits", [(False, False), (True, False), (False, True), (True, True)])
def test_the_bits_of_a_quote(insync, bits) -> None:
    live = insync.decode_one(replies.tick_by_tick_bid_ask(7, 1, 2.0, 3.0, 4.0, 5.0, *bits))[6]
    tick = replies.BidAskTick(1, 2.0, 3.0, 4.0, 5.0, *bits)
    _, ticks, _ = insync.decode_one(replies.historical_ticks_bid_ask(7, [tick]))
    for attribute in (live, ticks[0].tickAttribBidAsk):
        assert (attribute.bidPastLow, attribute.askPastHigh) == bits
