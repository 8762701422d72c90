"""From the fields of a client's message to one of the classes of messages.py.

A layout names the fields behind the id in the order of the wire: a literal version first where there is one, then
attributes of the message; one with a ``+`` belongs to the message's contract.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from workbench.gateway.wire.contracts import WireContract, read_c12, read_delta_neutral, read_legs
from workbench.gateway.wire.fields import MalformedRequest, Reader, Step, read_steps, steps
from workbench.gateway.wire.messages import (
    CancelAccountSummary,
    CancelAccountUpdatesMulti,
    CancelHeadTimeStamp,
    CancelHistoricalData,
    CancelMktData,
    CancelOrder,
    CancelPnL,
    CancelPnLSingle,
    CancelPositions,
    CancelRealTimeBars,
    CancelTickByTickData,
    PlaceOrder,
    ReqAccountSummary,
    ReqAccountUpdates,
    ReqAccountUpdatesMulti,
    ReqAllOpenOrders,
    ReqAutoOpenOrders,
    ReqCompletedOrders,
    ReqContractDetails,
    ReqCurrentTime,
    ReqExecutions,
    ReqGlobalCancel,
    ReqHeadTimeStamp,
    ReqHistoricalData,
    ReqHistoricalTicks,
    ReqIds,
    ReqManagedAccts,
    ReqMarketDataType,
    ReqMarketRule,
    ReqMatchingSymbols,
    ReqMktData,
    ReqOpenOrders,
    ReqPnL,
    ReqPnLSingle,
    ReqPositions,
    ReqRealTimeBars,
    ReqTickByTickData,
    Request,
    StartApi,
)
from workbench.gateway.wire.order_reader import read_place_order

_Take = Callable[[Reader, dict[str, Any]], None]


class Layout(NamedTuple):
    """How a message is read: class, literal version (0: none), fields, and the position of its request id (0: none)."""

    cls: type[Request]
    version: int
    takes: tuple[_Take, ...]
    id_at: int


def _contract(reader: Reader, values: dict[str, Any]) -> None:
    values["contract"] = read_c12(reader)


def _legs(reader: Reader, values: dict[str, Any]) -> None:
    if values["contract"].sec_type == "BAG":
        values["contract"] = replace(values["contract"], legs=read_legs(reader, full=False))


def _delta_neutral(reader: Reader, values: dict[str, Any]) -> None:
    values["contract"] = replace(values["contract"], delta_neutral=read_delta_neutral(reader))


def _plain(wanted: tuple[Step, ...]) -> _Take:
    def take(reader: Reader, values: dict[str, Any]) -> None:
        values |= read_steps(reader, wanted)

    return take


def _extra(wanted: tuple[Step, ...]) -> _Take:
    def take(reader: Reader, values: dict[str, Any]) -> None:
        values["contract"] = replace(values["contract"], **read_steps(reader, wanted))

    return take


_SPECIAL: dict[str, _Take] = {"contract": _contract, "+legs": _legs, "+delta_neutral": _delta_neutral}


def _take(cls: type[Request], name: str) -> _Take:
    if name in _SPECIAL:
        return _SPECIAL[name]
    return _extra(steps(WireContract, name[1:])) if name.startswith("+") else _plain(steps(cls, name))


def _layout(cls: type[Request], version: int, names: str = "") -> Layout:
    has_id = names.startswith(("request_id", "order_id"))
    takes = tuple(_take(cls, name) for name in names.split())
    return Layout(cls, version, takes, (2 if version else 1) if has_id else 0)


# message id -> layout; placeOrder (3) has its own reader
LAYOUTS: dict[int, Layout] = {
    1: _layout(
        ReqMktData, 11, "request_id contract +legs +delta_neutral generic_ticks snapshot regulatory_snapshot options"
    ),
    2: _layout(CancelMktData, 2, "request_id"),
    4: _layout(CancelOrder, 1, "order_id manual_time"),
    5: _layout(ReqOpenOrders, 1),
    6: _layout(ReqAccountUpdates, 2, "subscribe account"),
    7: _layout(ReqExecutions, 3, "request_id client_id account time symbol sec_type exchange side"),
    8: _layout(ReqIds, 1, "count"),
    9: _layout(ReqContractDetails, 8, "request_id contract +include_expired +sec_id_type +sec_id +issuer_id"),
    15: _layout(ReqAutoOpenOrders, 1, "bind"),
    16: _layout(ReqAllOpenOrders, 1),
    17: _layout(ReqManagedAccts, 1),
    20: _layout(
        ReqHistoricalData,
        0,
        "request_id contract +include_expired end bar_size duration use_rth what_to_show format_date +legs "
        "keep_up_to_date options",
    ),
    25: _layout(CancelHistoricalData, 1, "request_id"),
    49: _layout(ReqCurrentTime, 1),
    50: _layout(ReqRealTimeBars, 3, "request_id contract bar_size what_to_show use_rth options"),
    51: _layout(CancelRealTimeBars, 1, "request_id"),
    58: _layout(ReqGlobalCancel, 1),
    59: _layout(ReqMarketDataType, 1, "data_type"),
    61: _layout(ReqPositions, 1),
    62: _layout(ReqAccountSummary, 1, "request_id group tags"),
    63: _layout(CancelAccountSummary, 1, "request_id"),
    64: _layout(CancelPositions, 1),
    71: _layout(StartApi, 2, "client_id optional_capabilities"),
    76: _layout(ReqAccountUpdatesMulti, 1, "request_id account model ledger_and_nlv"),
    77: _layout(CancelAccountUpdatesMulti, 1, "request_id"),
    81: _layout(ReqMatchingSymbols, 0, "request_id pattern"),
    87: _layout(ReqHeadTimeStamp, 0, "request_id contract +include_expired use_rth what_to_show format_date"),
    90: _layout(CancelHeadTimeStamp, 0, "request_id"),
    91: _layout(ReqMarketRule, 0, "rule_id"),
    92: _layout(ReqPnL, 0, "request_id account model"),
    93: _layout(CancelPnL, 0, "request_id"),
    94: _layout(ReqPnLSingle, 0, "request_id account model con_id"),
    95: _layout(CancelPnLSingle, 0, "request_id"),
    96: _layout(
        ReqHistoricalTicks,
        0,
        "request_id contract +include_expired start end count what_to_show use_rth ignore_size options",
    ),
    97: _layout(ReqTickByTickData, 0, "request_id contract tick_type count ignore_size"),
    98: _layout(CancelTickByTickData, 0, "request_id"),
    99: _layout(ReqCompletedOrders, 0, "api_only"),
}

# id of a message that is not simulated -> (position of its request id, 0 for none; name)
UNSUPPORTED: dict[int, tuple[int, str]] = {
    10: (2, "reqMktDepth"),
    11: (2, "cancelMktDepth"),
    12: (0, "reqNewsBulletins"),
    13: (0, "cancelNewsBulletins"),
    14: (0, "setServerLogLevel"),
    18: (0, "requestFA"),
    19: (4, "replaceFA"),
    21: (2, "exerciseOptions"),
    22: (1, "reqScannerSubscription"),
    23: (2, "cancelScannerSubscription"),
    24: (0, "reqScannerParameters"),
    52: (2, "reqFundamentalData"),
    53: (2, "cancelFundamentalData"),
    54: (2, "calculateImpliedVolatility"),
    55: (2, "calculateOptionPrice"),
    56: (2, "cancelCalculateImpliedVolatility"),
    57: (2, "cancelCalculateOptionPrice"),
    65: (0, "verifyRequest"),
    66: (0, "verifyMessage"),
    67: (2, "queryDisplayGroups"),
    68: (2, "subscribeToGroupEvents"),
    69: (2, "updateDisplayGroup"),
    70: (2, "unsubscribeFromGroupEvents"),
    72: (0, "verifyAndAuthRequest"),
    73: (0, "verifyAndAuthMessage"),
    74: (2, "reqPositionsMulti"),
    75: (2, "cancelPositionsMulti"),
    78: (1, "reqSecDefOptParams"),
    79: (1, "reqSoftDollarTiers"),
    80: (0, "reqFamilyCodes"),
    82: (0, "reqMktDepthExchanges"),
    83: (1, "reqSmartComponents"),
    84: (1, "reqNewsArticle"),
    85: (0, "reqNewsProviders"),
    86: (1, "reqHistoricalNews"),
    88: (1, "reqHistogramData"),
    89: (1, "cancelHistogramData"),
    100: (1, "reqWshMetaData"),
    101: (1, "cancelWshMetaData"),
    102: (1, "reqWshEventData"),
    103: (1, "cancelWshEventData"),
    104: (1, "reqUserInfo"),
}


@dataclass(frozen=True, slots=True)
class Unsupported(Request):
    """A message that is not simulated; `request_id` -1 where it has none, `name` empty where no client sends it."""

    message_id: int
    request_id: int
    name: str


def parse(fields: tuple[str, ...]) -> Request:
    """The message behind `fields` (0 = its id); :class:`MalformedRequest` for one that cannot be read.

    >>> parse(("93", "7"))
    CancelPnL(request_id=7)
    >>> parse(("84", "12", "BRFG", "BRFG$0a1", ""))
    Unsupported(message_id=84, request_id=12, name='reqNewsArticle')
    """
    message_id = Reader(fields, -1, -1, at=0).int_("messageId")
    if message_id is None:
        raise MalformedRequest(-1, -1, "messageId", 0, "", "must be set")
    if message_id == 3:
        return PlaceOrder(*read_place_order(fields, _id_at(fields, 1)))
    layout = LAYOUTS.get(message_id)
    if layout is None:
        id_at, name = UNSUPPORTED.get(message_id, (0, ""))
        return Unsupported(message_id, _id_at(fields, id_at), name)
    return _read(Reader(fields, message_id, _id_at(fields, layout.id_at)), layout)


def _read(reader: Reader, layout: Layout) -> Request:
    if layout.version and (version := reader.text("version")) != str(layout.version):
        raise reader.refuse("version", version, f"must be {layout.version}")
    values: dict[str, Any] = {}
    for take in layout.takes:
        take(reader, values)
    reader.end()
    return layout.cls(**values)


def _id_at(fields: tuple[str, ...], position: int) -> int:
    """The whole number at `position`, or -1 where there is none."""
    if not 0 < position < len(fields):
        return -1
    try:
        value = Reader(fields, -1, -1, at=position).int_("requestId")
    except MalformedRequest:
        return -1
    return -1 if value is None else value
