"""Every request that ib_insync's IB offers for stocks, encoded by it and read by us; and what cannot be read."""

from __future__ import annotations

import datetime as dt
import struct
from collections import Counter
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ib_insync import ComboLeg as IbLeg
from ib_insync import Contract, DeltaNeutralContract, ExecutionFilter, LimitOrder, Stock, TagValue

from workbench.gateway.wire import messages as m
from workbench.gateway.wire.contracts import ComboLeg, DeltaNeutral, WireContract
from workbench.gateway.wire.fields import MalformedRequest
from workbench.gateway.wire.frames import FrameError, Frames
from workbench.gateway.wire.orders import WireOrder
from workbench.gateway.wire.requests import LAYOUTS, UNSUPPORTED, Unsupported, parse

IB_AAPL = Stock("AAPL", "SMART", "USD", conId=265598, primaryExchange="NASDAQ", localSymbol="AAPL", tradingClass="NMS")
AAPL = WireContract(
    con_id=265598, symbol="AAPL", sec_type="STK", exchange="SMART", primary_exchange="NASDAQ", currency="USD",
    local_symbol="AAPL", trading_class="NMS",
)  # fmt: skip
END = dt.datetime(2026, 1, 2, 21, 0, tzinfo=dt.UTC)
FILTER = ExecutionFilter(3, "DUSIM1", "20260102-14:30:00", "AAPL", "STK", "SMART", "BUY")
BARS = ("1 D", "5 mins", "TRADES", True)
TICKS = (END, "", 1000, "BID_ASK", False, True)

# what the user calls -> what the gateway must understand; ids begin with 7
CALLS = [
    (lambda ib: ib.client.startApi(), m.StartApi(-1, "")),
    (lambda ib: ib.client.reqIds(1), m.ReqIds(1)),
    (lambda ib: ib.client.reqManagedAccts(), m.ReqManagedAccts()),
    (lambda ib: ib.reqCurrentTimeAsync(), m.ReqCurrentTime()),
    (lambda ib: ib.reqContractDetailsAsync(IB_AAPL), m.ReqContractDetails(7, AAPL)),
    (lambda ib: ib.qualifyContractsAsync(IB_AAPL), m.ReqContractDetails(7, AAPL)),
    (lambda ib: ib.reqMatchingSymbolsAsync("app"), m.ReqMatchingSymbols(7, "app")),
    (lambda ib: ib.reqMarketRuleAsync(26), m.ReqMarketRule(26)),
    (lambda ib: ib.reqMktData(IB_AAPL, "233,236") and None, m.ReqMktData(7, AAPL, "233,236", False, False, "")),
    (lambda ib: ib.reqTickersAsync(IB_AAPL), m.ReqMktData(7, AAPL, "", True, False, "")),
    (lambda ib: ib.client.cancelMktData(8), m.CancelMktData(8)),
    (lambda ib: ib.reqMarketDataType(3), m.ReqMarketDataType(3)),
    (
        lambda ib: ib.reqTickByTickData(IB_AAPL, "BidAsk", 10, True) and None,
        m.ReqTickByTickData(7, AAPL, "BidAsk", 10, True),
    ),
    (lambda ib: ib.client.cancelTickByTickData(8), m.CancelTickByTickData(8)),
    (
        lambda ib: ib.reqHistoricalDataAsync(IB_AAPL, END, *BARS, formatDate=2),
        m.ReqHistoricalData(7, AAPL, "20260102 21:00:00 UTC", "5 mins", "1 D", True, "TRADES", 2, False, ""),
    ),
    (
        lambda ib: ib.reqHistoricalDataAsync(IB_AAPL, "", *BARS, keepUpToDate=True),
        m.ReqHistoricalData(7, AAPL, "", "5 mins", "1 D", True, "TRADES", 1, True, ""),
    ),
    (
        lambda ib: ib.reqHistoricalScheduleAsync(IB_AAPL, 5, END),
        m.ReqHistoricalData(7, AAPL, "20260102 21:00:00 UTC", "1 day", "5 D", True, "SCHEDULE", 1, False, ""),
    ),
    (lambda ib: ib.client.cancelHistoricalData(8), m.CancelHistoricalData(8)),
    (
        lambda ib: ib.reqRealTimeBars(IB_AAPL, 5, "MIDPOINT", False) and None,
        m.ReqRealTimeBars(7, AAPL, 5, "MIDPOINT", False, ""),
    ),
    (lambda ib: ib.client.cancelRealTimeBars(8), m.CancelRealTimeBars(8)),
    (
        lambda ib: ib.reqHistoricalTicksAsync(IB_AAPL, *TICKS),
        m.ReqHistoricalTicks(7, AAPL, "20260102 21:00:00 UTC", "", 1000, "BID_ASK", False, True, ""),
    ),
    (
        lambda ib: ib.client.reqHeadTimeStamp(7, IB_AAPL, "TRADES", True, 2),
        m.ReqHeadTimeStamp(7, AAPL, True, "TRADES", 2),
    ),
    (lambda ib: ib.client.cancelHeadTimeStamp(8), m.CancelHeadTimeStamp(8)),
    (lambda ib: ib.client.cancelOrder(8, ""), m.CancelOrder(8, "")),
    (lambda ib: ib.reqGlobalCancel(), m.ReqGlobalCancel()),
    (lambda ib: ib.reqOpenOrdersAsync(), m.ReqOpenOrders()),
    (lambda ib: ib.reqAllOpenOrdersAsync(), m.ReqAllOpenOrders()),
    (lambda ib: ib.reqAutoOpenOrders(True), m.ReqAutoOpenOrders(True)),
    (lambda ib: ib.reqCompletedOrdersAsync(False), m.ReqCompletedOrders(False)),
    (lambda ib: ib.reqExecutionsAsync(), m.ReqExecutions(7)),
    (
        lambda ib: ib.reqExecutionsAsync(FILTER),
        m.ReqExecutions(7, 3, "DUSIM1", "20260102-14:30:00", "AAPL", "STK", "SMART", "BUY"),
    ),
    (lambda ib: ib.reqAccountUpdatesAsync("DUSIM1"), m.ReqAccountUpdates(True, "DUSIM1")),
    (lambda ib: ib.reqAccountUpdatesMultiAsync("DUSIM1", "m"), m.ReqAccountUpdatesMulti(7, "DUSIM1", "m", False)),
    (lambda ib: ib.client.cancelAccountUpdatesMulti(8), m.CancelAccountUpdatesMulti(8)),
    (lambda ib: ib.client.reqAccountSummary(7, "All", "Cash,NLV"), m.ReqAccountSummary(7, "All", "Cash,NLV")),
    (lambda ib: ib.client.cancelAccountSummary(8), m.CancelAccountSummary(8)),
    (lambda ib: ib.reqPositionsAsync(), m.ReqPositions()),
    (lambda ib: ib.client.cancelPositions(), m.CancelPositions()),
    (lambda ib: ib.reqPnL("DUSIM1", "m") and None, m.ReqPnL(7, "DUSIM1", "m")),
    (lambda ib: ib.client.cancelPnL(8), m.CancelPnL(8)),
    (lambda ib: ib.reqPnLSingle("DUSIM1", "", 265598) and None, m.ReqPnLSingle(7, "DUSIM1", "", 265598)),
    (lambda ib: ib.client.cancelPnLSingle(8), m.CancelPnLSingle(8)),
]


def named_calls():
    """CALLS by the name of what they give, numbered where one comes again."""
    seen: Counter[str] = Counter()
    for call, wanted in CALLS:
        name = type(wanted).__name__
        seen[name] += 1
        yield (name if seen[name] == 1 else f"{name}_{seen[name]}"), call, wanted


@pytest.mark.parametrize(("name", "call", "wanted"), list(named_calls()), ids=lambda v: v if isinstance(v, str) else "")
def test_what_the_library_sends_is_frozen_and_understood(insync, golden_requests, name, call, wanted) -> None:
    (message,) = insync.encode(call)
    assert message == golden_requests[name]
    assert parse(message) == wanted


def test_an_order_is_frozen_and_understood(insync, golden_requests) -> None:
    order = LimitOrder("BUY", 100, 150.25, tif="DAY", orderRef="ref-1", account="DUSIM1")
    (message,) = insync.encode(lambda ib: ib.client.placeOrder(8, IB_AAPL, order))
    assert message == golden_requests["PlaceOrder"]
    wanted = WireOrder(
        order_id=8, action="BUY", total_quantity=100.0, order_type="LMT", lmt_price=150.25, tif="DAY",
        account="DUSIM1", order_ref="ref-1",
    )  # fmt: skip
    assert parse(message) == m.PlaceOrder(8, AAPL, wanted)
    assert set(golden_requests) == {name for name, _, _ in named_calls()} | {"PlaceOrder"}


def test_every_class_of_a_message_is_among_the_calls_above() -> None:
    known = {c for c in vars(m).values() if isinstance(c, type) and issubclass(c, m.Request)}
    asked = {type(wanted) for _, wanted in CALLS} | {m.PlaceOrder}
    assert {c.__name__ for c in known - asked} == {"Request", "_ById", "_ForContract"}
    assert {layout.cls for layout in LAYOUTS.values()} == asked - {m.PlaceOrder}


def test_everything_that_a_contract_may_carry(insync) -> None:
    bag = Contract(
        secType="BAG", symbol="AAPL", exchange="SMART", currency="USD", right="C", strike=1.5, multiplier="100",
        lastTradeDateOrContractMonth="20260116", includeExpired=True, secIdType="ISIN", secId="US0378331005",
        issuerId="e1", comboLegs=[IbLeg(1, 2, "BUY", "SMART"), IbLeg(3, 4, "SELL", "CBOE")],
        deltaNeutralContract=DeltaNeutralContract(5, 0.5, 150.25),
    )  # fmt: skip
    base = WireContract(0, "AAPL", "BAG", "20260116", 1.5, "C", "100", "SMART", "", "USD", "", "")
    legs = (ComboLeg(1, 2, "BUY", "SMART"), ComboLeg(3, 4, "SELL", "CBOE"))

    def with_(**changes):
        return WireContract(**{f.name: getattr(base, f.name) for f in fields(base)} | changes)

    options = [TagValue("a", "1"), TagValue("b", "2")]

    def ask(ib) -> None:
        ib.client.reqMktData(7, bag, "", True, True, options)
        ib.client.reqHistoricalData(7, bag, "", "1 D", "5 mins", "TRADES", 0, 1, True, options)
        ib.client.reqContractDetails(7, bag)

    hedged = with_(legs=legs, delta_neutral=DeltaNeutral(5, 0.5, 150.25))
    assert [parse(message) for message in insync.encode(ask)] == [
        m.ReqMktData(7, hedged, "", True, True, "a=1;b=2;"),
        m.ReqHistoricalData(
            7, with_(legs=legs, include_expired=True), "", "5 mins", "1 D", False, "TRADES", 1, True, "a=1;b=2;"
        ),
        m.ReqContractDetails(7, with_(include_expired=True, sec_id_type="ISIN", sec_id="US0378331005", issuer_id="e1")),
    ]


def stubs(client) -> None:
    """Every message that is not simulated, with the request id 77 where it has one."""
    client.reqMktDepth(77, IB_AAPL, 5, False, [])
    client.cancelMktDepth(77, False)
    client.requestFA(1)
    client.replaceFA(77, 1, "<xml/>")
    client.send(22, 77, *[""] * 23)
    client.cancelScannerSubscription(77)
    client.reqScannerParameters()
    client.reqFundamentalData(77, IB_AAPL, "ReportSnapshot", [])
    client.cancelFundamentalData(77)
    client.calculateImpliedVolatility(77, IB_AAPL, 1.0, 2.0, [])
    client.calculateOptionPrice(77, IB_AAPL, 1.0, 2.0, [])
    client.cancelCalculateImpliedVolatility(77)
    client.cancelCalculateOptionPrice(77)
    client.exerciseOptions(77, IB_AAPL, 1, 1, "", 0)
    client.queryDisplayGroups(77)
    client.subscribeToGroupEvents(77, 1)
    client.updateDisplayGroup(77, "")
    client.unsubscribeFromGroupEvents(77)
    client.reqPositionsMulti(77, "", "")
    client.cancelPositionsMulti(77)
    client.reqSecDefOptParams(77, "AAPL", "", "STK", 1)
    client.reqSoftDollarTiers(77)
    client.reqFamilyCodes()
    client.reqMktDepthExchanges()
    client.reqSmartComponents(77, "a6")
    client.reqNewsArticle(77, "BRFG", "1", [])
    client.reqNewsProviders()
    client.reqHistoricalNews(77, 1, "BRFG", "", "", 10, [])
    client.reqHistogramData(77, IB_AAPL, True, "3 days")
    client.cancelHistogramData(77)
    client.reqWshMetaData(77)
    client.cancelWshMetaData(77)
    client.send(102, 77, 1, "", False, False, False, "", "", 0)
    client.cancelWshEventData(77)
    client.reqUserInfo(77)
    client.reqNewsBulletins(True)
    client.cancelNewsBulletins()
    client.setServerLogLevel(1)
    client.verifyRequest("", "")
    client.verifyMessage("")
    client.verifyAndAuthRequest("", "", "")
    client.verifyAndAuthMessage("", "")


def test_what_is_not_simulated_is_named_and_keeps_its_request_id(insync) -> None:
    got = [parse(message) for message in insync.encode(lambda ib: stubs(ib.client))]
    assert {g.message_id for g in got} == set(UNSUPPORTED)
    without = {12, 13, 14, 18, 24, 65, 66, 72, 73, 80, 82, 85}
    assert [g for g in got if g.request_id != (-1 if g.message_id in without else 77)] == []
    assert got[0] == Unsupported(10, 77, "reqMktDepth")


def test_an_unknown_message_and_an_unreadable_request_id() -> None:
    assert parse(("999", "7", "8")) == Unsupported(999, -1, "")
    assert parse(("100", "x")) == Unsupported(100, -1, "reqWshMetaData")
    assert parse(("100",)) == Unsupported(100, -1, "reqWshMetaData")


@pytest.mark.parametrize(
    ("fields", "says", "request_id"),
    [
        ((), "message -1: field 0 (messageId) '' is missing", -1),
        (("",), "message -1: field 0 (messageId) '' must be set", -1),
        (("x" * 100,), "(messageId) '" + "x" * 57 + "...' must be a whole number", -1),
        (("71", "1", "0", ""), "message 71: field 1 (version) '1' must be 2", -1),
        (("2", "2", ""), "message 2: field 2 (requestId) '' must be set", -1),
        (("2", "2", "1_0"), "message 2: field 2 (requestId) '1_0' must be a whole number", -1),
        (("2", "2", "2147483647"), "message 2: field 2 (requestId) '' must be set", -1),
        (("2", "2", "7", "8", "9"), "message 2: field 3 (end) '8' must be the message's end: 2 fields are left", 7),
        (("99", "yes"), "message 99: field 1 (apiOnly) 'yes' must be 0 or 1", -1),
        (("81", "7"), "message 81: field 2 (pattern) '' is missing: the message ends after 2 fields", 7),
        (("97", "7", "0", "A", "STK", "", "nan", *[""] * 10), "message 97: field 6 (strike) 'nan' must be a fin", 7),
        (("97", "7", "0", "A", "STK", "", "Infinite", *[""] * 10), "(strike) 'Infinite' must be a finite number", 7),
        (("97", "7", "0", "A", "STK", "", "1e999", *[""] * 10), "(strike) '1e999' must be a finite number", 7),
        (
            ("20", "7", "0", "", "BAG", *[""] * 9, "0", "", "", "", "1", "", "1", "-1"),
            "message 20: field 21 (legs) '-1' must be 0 or more",
            7,
        ),
        (("3", "8", "0", "A"), "message 3: field 4 (secType) '' is missing", 8),
    ],
)
def test_the_error_names_message_field_position_and_value(fields, says, request_id) -> None:
    with pytest.raises(MalformedRequest) as raised:
        parse(fields)
    assert says in str(raised.value)
    assert raised.value.request_id == request_id


NOISE = st.one_of(
    st.sampled_from(
        ["", "0", "1", "-1", "BAG", "STK", "PEG BENCH", "PEGMID", "Infinite", "2147483647", "9" * 18, "1e5"]
    ),
    st.integers(-10, 200).map(str),
    st.text(max_size=5),
)


def outcome(message: tuple[str, ...]) -> m.Request | MalformedRequest:
    """What becomes of a message; any other exception fails the test."""
    try:
        return parse(message)
    except MalformedRequest as error:
        return error


@given(first=st.sampled_from([str(k) for k in [3, *LAYOUTS, *UNSUPPORTED]]), rest=st.lists(NOISE, max_size=30))
def test_random_fields_give_a_request_or_a_malformed_request(first, rest) -> None:
    got = outcome((first, *rest))
    if isinstance(got, MalformedRequest):
        assert got.message_id == int(first)
        assert 0 < got.position <= len(rest) + 1
    else:
        assert isinstance(got, m.Request)


@given(at=st.integers(0, 19), noise=NOISE)
def test_a_good_message_with_one_field_spoiled_is_read_or_refused_by_that_field(at, noise) -> None:
    good = ("1", "11", "7", "265598", "AAPL", "STK", "", "0.0", "", "", "SMART", "NASDAQ", "USD", "AAPL", "NMS", "0",
            "233", "0", "0", "")  # fmt: skip
    assert parse(good) == m.ReqMktData(7, AAPL, "233", False, False, "")
    got = outcome((*good[:at], noise, *good[at + 1 :]))
    if isinstance(got, MalformedRequest) and at not in (0, 5, 15):  # the id, the type and the flag decide what follows
        assert got.position == at


@given(st.lists(st.binary(max_size=60), max_size=10))
def test_random_bytes_through_frames_and_parse(chunks) -> None:
    frames = Frames(limit=256)
    for chunk in chunks:
        try:
            for message in frames.feed(struct.pack(">I", len(chunk) + 1) + chunk + b"\0"):
                outcome(message)
        except FrameError:
            return
