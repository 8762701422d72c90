"""Orders there and back: any order that ib_insync can send is read whole, and what we send of one it reads whole."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from ib_insync import (
    Bag,
    ComboLeg,
    DeltaNeutralContract,
    ExecutionCondition,
    LimitOrder,
    MarginCondition,
    Order,
    OrderComboLeg,
    PercentChangeCondition,
    PriceCondition,
    SoftDollarTier,
    Stock,
    TagValue,
    TimeCondition,
    VolumeCondition,
    util,
)

from workbench.gateway.wire import replies
from workbench.gateway.wire.fields import MalformedRequest
from workbench.gateway.wire.orders import OrderState
from workbench.gateway.wire.requests import parse

# an order has 140 fields: shrinking one takes minutes, and the assertions name the field that differs
MANY = settings(max_examples=100, deadline=None, phases=[Phase.generate])

TEXT = st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), max_size=6)
INT = st.integers(-(10**9), 10**9)
FLOAT = st.floats(-1e300, 1e300)  # the largest float is how the library spells unset
TAGS = st.lists(st.builds(TagValue, TEXT, TEXT), max_size=3)
SMALL = {str: TEXT, int: INT, float: FLOAT, bool: st.booleans()}
TYPES = ["LMT", "MKT", "STP LMT", "PEG BENCH", "PEG BEST", "PEG MID", "VOL"]


def any_of(cls, **special):
    """Instances of a dataclass of the library, each field drawn by the type of its default."""
    drawn = {f.name: SMALL[type(f.default)] for f in fields(cls) if f.name not in special and f.name != "condType"}
    return st.builds(cls, **drawn, **special)


CONDITIONS = st.lists(
    st.one_of(
        *map(any_of, (PriceCondition, TimeCondition, MarginCondition, ExecutionCondition, VolumeCondition)),
        any_of(PercentChangeCondition),
    ),
    max_size=3,
)
# the library's decoder takes an increment of 0 for unset
INCREMENT = st.one_of(st.just(util.UNSET_DOUBLE), st.floats(-1, 1).filter(bool))
ORDERS = any_of(
    Order,
    orderType=st.sampled_from(TYPES),
    algoParams=TAGS,
    smartComboRoutingParams=TAGS,
    orderMiscOptions=TAGS,
    orderComboLegs=st.lists(st.builds(OrderComboLeg, FLOAT), max_size=2),
    conditions=CONDITIONS,
    softDollarTier=any_of(SoftDollarTier),
    scalePriceIncrement=INCREMENT,
    competeAgainstBestOffset=st.one_of(FLOAT, st.just(float("inf"))),
)
HEDGES = st.one_of(st.none(), st.builds(DeltaNeutralContract, INT, FLOAT, FLOAT))
CONTRACTS = st.one_of(
    st.builds(
        Stock, TEXT, st.sampled_from(["SMART", "IBKRATS"]), TEXT, conId=INT, secIdType=TEXT, secId=TEXT,
        deltaNeutralContract=HEDGES, primaryExchange=TEXT, localSymbol=TEXT, tradingClass=TEXT,
    ),
    st.builds(Bag, symbol=TEXT, comboLegs=st.lists(any_of(ComboLeg), max_size=3), deltaNeutralContract=HEDGES),
)  # fmt: skip

# blocks of placeOrder -> whether the order (and its contract) has them
PLACE_BLOCKS = [
    ("orderComboLegs smartComboRoutingParams", lambda o, c: c.secType == "BAG"),
    (
        "deltaNeutralConId deltaNeutralSettlingFirm deltaNeutralClearingAccount deltaNeutralClearingIntent "
        "deltaNeutralOpenClose deltaNeutralShortSale deltaNeutralShortSaleSlot deltaNeutralDesignatedLocation",
        lambda o, c: o.deltaNeutralOrderType,
    ),
    (
        "scalePriceAdjustValue scalePriceAdjustInterval scaleProfitOffset scaleAutoReset scaleInitPosition "
        "scaleInitFillQty scaleRandomPercent",
        lambda o, c: 0 < o.scalePriceIncrement < util.UNSET_DOUBLE,
    ),
    ("hedgeParam", lambda o, c: o.hedgeType),
    ("algoParams", lambda o, c: o.algoStrategy),
    (
        "referenceContractId isPeggedChangeAmountDecrease peggedChangeAmount referenceChangeAmount referenceExchangeId",
        lambda o, c: o.orderType == "PEG BENCH",
    ),
    ("conditionsIgnoreRth conditionsCancelOrder", lambda o, c: o.conditions),
    ("minTradeQty", lambda o, c: c.exchange == "IBKRATS"),
    ("minCompeteSize competeAgainstBestOffset", lambda o, c: o.orderType == "PEG BEST"),
    (
        "midOffsetAtWhole midOffsetAtHalf",
        lambda o, c: (
            o.orderType == "PEG MID" or (o.orderType == "PEG BEST" and o.competeAgainstBestOffset == float("inf"))
        ),
    ),
]
NEVER_PLACED = (
    "orderId clientId permId basisPoints basisPointsType autoCancelDate filledQuantity refFuturesConId shareholder "
    "imbalanceOnly routeMarketableToBbo parentPermId"
)
NEVER_SENT_BACK = (
    "transmit scaleTable activeStartTime activeStopTime overridePercentageConstraints algoId orderMiscOptions "
    "extOperator mifid2DecisionMaker mifid2DecisionAlgo mifid2ExecutionTrader mifid2ExecutionAlgo "
    "advancedErrorOverride manualOrderTime"
)
NOT_IN_OPEN = (
    f"{NEVER_SENT_BACK} autoCancelDate filledQuantity refFuturesConId shareholder imbalanceOnly routeMarketableToBbo "
    "parentPermId"
)
NOT_IN_COMPLETED = (
    f"{NEVER_SENT_BACK} orderId clientId auctionStrategy blockOrder eTradeOnly firmQuoteOnly nbboPriceCap parentId "
    "basisPoints basisPointsType optOutSmartRouting whatIf adjustedOrderType triggerPrice adjustedStopPrice "
    "adjustedStopLimitPrice adjustedTrailingAmount adjustableTrailingUnit softDollarTier discretionaryUpToLimitPrice "
    "usePriceMgmtAlgo duration postToAts deltaNeutralSettlingFirm deltaNeutralClearingAccount "
    "deltaNeutralClearingIntent deltaNeutralOpenClose"
)
ALWAYS_SENT_BACK = {"orderComboLegs", "minTradeQty", "minCompeteSize", "midOffsetAtWhole"}


def forget(order: Order, names: str) -> Order:
    """The order with the named fields at their defaults."""
    default = Order()
    return replace(order, **{name: getattr(default, name) for name in names.split()})


def without_blocks(order: Order, contract, keep=frozenset()) -> Order:
    for names, there in PLACE_BLOCKS:
        if not there(order, contract) and keep.isdisjoint(names.split()):
            order = forget(order, names)
    return order


@MANY
@given(order=ORDERS, contract=CONTRACTS)
def test_any_order_of_the_library_is_read_whole(insync, order, contract) -> None:
    (message,) = insync.encode(lambda ib: ib.client.placeOrder(41, contract, order))
    placed = parse(message)
    wanted = without_blocks(forget(order, NEVER_PLACED), contract)
    tier = SoftDollarTier(order.softDollarTier.name, order.softDollarTier.val)
    assert placed.order_id == 41
    assert placed.order == insync.wire_order(replace(wanted, orderId=41, softDollarTier=tier))
    assert placed.contract == insync.wire_contract(contract)


@MANY
@given(order=ORDERS, contract=CONTRACTS)
def test_any_open_order_of_ours_is_read_whole(insync, order, contract) -> None:
    data = replies.open_order(insync.wire_contract(contract), insync.wire_order(order), OrderState("Submitted"))
    order_id, got_contract, got, state = insync.decode_one(data)
    wanted = without_blocks(forget(order, NOT_IN_OPEN), contract, ALWAYS_SENT_BACK)
    assert order_id == order.orderId
    assert insync.differences(got, wanted) == {}
    lost = {"primaryExchange", "secIdType", "secId"}
    assert set(insync.differences(got_contract, contract)) <= lost
    assert (state.status, state.commission) == ("Submitted", util.UNSET_DOUBLE)
    assert state.initMarginChange == "1.7976931348623157E308"


@MANY
@given(order=ORDERS, contract=CONTRACTS)
def test_any_completed_order_of_ours_is_read_whole(insync, order, contract) -> None:
    ended = OrderState("Filled", completed_time="20260102 15:59:58 America/New_York", completed_status="Filled Size: 1")
    data = replies.completed_order(insync.wire_contract(contract), insync.wire_order(order), ended)
    got_contract, got, state = insync.decode_one(data)
    wanted = without_blocks(forget(order, NOT_IN_COMPLETED), contract, ALWAYS_SENT_BACK)
    assert insync.differences(got, wanted) == {}
    assert set(insync.differences(got_contract, contract)) <= {"primaryExchange", "secIdType", "secId"}
    assert (state.status, state.completedTime, state.completedStatus) == (
        "Filled",
        "20260102 15:59:58 America/New_York",
        "Filled Size: 1",
    )


def test_the_orders_that_users_place(insync) -> None:
    stock = Stock("AAPL", "SMART", "USD")

    def bracket(ib):
        for order in ib.bracketOrder("BUY", 100, 150.25, 160, 140, tif="GTC", outsideRth=True):
            ib.client.placeOrder(order.orderId, stock, order)

    entry, profit, stop = [parse(message).order for message in insync.encode(bracket)]
    assert [o.order_id for o in (entry, profit, stop)] == [7, 8, 9]
    assert [(o.action, o.order_type, o.parent_id, o.transmit) for o in (entry, profit, stop)] == [
        ("BUY", "LMT", 0, False),
        ("SELL", "LMT", 7, False),
        ("SELL", "STP", 7, True),
    ]
    assert (entry.lmt_price, profit.lmt_price, stop.aux_price, stop.lmt_price) == (150.25, 160.0, 140.0, None)
    assert {(o.total_quantity, o.tif, o.outside_rth) for o in (entry, profit, stop)} == {(100.0, "GTC", True)}


def test_a_what_if_order_ends_its_request_with_the_margins(insync) -> None:
    order = LimitOrder("BUY", 10, 150.0, orderId=7, whatIf=True)
    state = OrderState("PreSubmitted", 0.0, 1.5, 1e6, 750.25, 2.0, -3.0, 4.0, 5.0, 6.0, 1.0, 0.35, 2.5, "USD", "note")
    _, _, got, told = insync.decode_one(
        replies.open_order(insync.wire_contract(Stock("A", "SMART", "USD")), insync.wire_order(order), state)
    )
    assert got.whatIf
    assert util.dataclassAsTuple(told) == (
        "PreSubmitted", "0.0", "1.5", "1000000.0", "750.25", "2.0", "-3.0", "4.0", "5.0", "6.0", 1.0, 0.35, 2.5, "USD",
        "note", "", "",
    )  # fmt: skip


@pytest.mark.parametrize("name", ["PEG BENCH", "PEG BEST", "PEG MID"])
def test_a_type_without_its_blank_is_read_with_the_block_or_without(insync, name) -> None:
    stock, bare = Stock("AAPL", "SMART", "USD"), name.replace("PEG ", "PEG")
    base = {"referenceContractId": 5, "minCompeteSize": 6, "competeAgainstBestOffset": 0.5, "midOffsetAtHalf": 0.25}
    order = Order(action="BUY", totalQuantity=1, orderType=name, **base)
    (message,) = insync.encode(lambda ib: ib.client.placeOrder(1, stock, order))
    with_block = parse(message)
    assert parse((*message[:18], bare, *message[19:])) == with_block  # as ib_async sends it
    order.orderType = bare
    (message,) = insync.encode(lambda ib: ib.client.placeOrder(1, stock, order))  # ib_insync leaves the block out
    without = parse(message).order
    assert (without.order_type, without.reference_contract_id, without.min_compete_size) == (name, 0, None)
    assert without == replace(
        with_block.order,
        reference_contract_id=0,
        min_compete_size=None,
        compete_against_best_offset=None,
        mid_offset_at_half=None,
    )


@pytest.mark.parametrize(
    ("at", "value", "says"),
    [
        (1, "", "field 1 (orderId) '' must be set"),
        (17, "many", "field 17 (totalQuantity) 'many' must be a finite number"),
        (19, "nan", "field 19 (lmtPrice) 'nan' must be a finite number"),
        (27, "2", "field 27 (transmit) '2' must be 0 or 1"),
        (90, "9", "field 91 (conditionType) '0' must be one of 1, 3, 4, 5, 6, 7"),
    ],
)
def test_an_order_that_cannot_be_read(insync, at, value, says) -> None:
    order = LimitOrder("BUY", 10, 150.0)
    (message,) = insync.encode(lambda ib: ib.client.placeOrder(1, Stock("AAPL", "SMART", "USD"), order))
    with pytest.raises(MalformedRequest) as raised:
        parse((*message[:at], value, *message[at + 1 :]))
    assert says in str(raised.value)


@MANY
@given(order=ORDERS, contract=CONTRACTS, data=st.data())
def test_an_order_cut_short_or_made_longer_is_refused(insync, order, contract, data) -> None:
    (message,) = insync.encode(lambda ib: ib.client.placeOrder(41, contract, order))
    with pytest.raises(MalformedRequest):
        parse((*message, ""))
    with pytest.raises(MalformedRequest):
        parse(message[: data.draw(st.integers(1, len(message) - 1))])
