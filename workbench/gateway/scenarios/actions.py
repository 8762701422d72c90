"""The vocabulary of actions: their parameters, types, defaults and allowed values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

from workbench.core.errors import ConfigError, nearest_name
from workbench.gateway.wire import messages as m

MARKET_DATA = frozenset({1, 2, 45, 46, 50, 90, 99})
TRADING = frozenset({3, 5, 11, 59})
CALLBACKS: dict[str, frozenset[int]] = {
    "orderStatus": frozenset({3}),
    "openOrder": frozenset({5}),
    "execDetails": frozenset({11}),
    "commissionReport": frozenset({59}),
    "error": frozenset({4}),
    "position": frozenset({61}),
    "portfolio": frozenset({7}),
    "nextValidId": frozenset({9}),
    "currentTime": frozenset({49}),
    "contractDetails": frozenset({10, 52}),
    "historicalData": frozenset({17}),
    "historicalDataUpdate": frozenset({90}),
    "openOrderEnd": frozenset({53}),
    "execDetailsEnd": frozenset({55}),
    "completedOrdersEnd": frozenset({102}),
    "trading": TRADING,
    "market_data": MARKET_DATA,
}
"""Name of a kind of callback -> the message ids that it means."""

REQUESTS: dict[str, tuple[type[m.Request], ...]] = {
    "placeOrder": (m.PlaceOrder,),
    "cancelOrder": (m.CancelOrder,),
    "historicalData": (m.ReqHistoricalData,),
    "marketData": (m.ReqMktData, m.ReqTickByTickData, m.ReqRealTimeBars),
    "contractDetails": (m.ReqContractDetails,),
    "executions": (m.ReqExecutions,),
    "openOrders": (m.ReqOpenOrders, m.ReqAllOpenOrders),
    "any": (m.Request,),
}
"""Name of a kind of request -> its messages."""

REQUIRED = object()


@dataclass(frozen=True, slots=True)
class Param:
    """A parameter: `kind` of its value, its `default` (REQUIRED: none), and what it may be `among`."""

    kind: type
    default: Any = REQUIRED
    among: tuple[str, ...] = ()

    def check(self, value: Any, what: str) -> Any:
        """`value`, or the default for None; ConfigError if it will not do."""
        if value is None:
            if self.default is REQUIRED:
                raise ConfigError(f"{what} is missing; give it as {self.kind.__name__}")
            return self.default
        if self.kind is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if type(value) is not self.kind:
            raise ConfigError(f"{what} = {value!r} must be of type {self.kind.__name__}")
        if self.among and value not in self.among:
            near = nearest_name(str(value), self.among)
            raise ConfigError(f"{what} = {value!r} is unknown.{near} Use one of {', '.join(self.among)}")
        return value


class Action(NamedTuple):
    """What an action does, in a line; its parameters; whether it is about a symbol (the event's, else the trigger's,
    else every one that somebody watches)."""

    about: str
    params: Mapping[str, Param] = MappingProxyType({})
    of_symbol: bool = False


_SECONDS, _COUNT = Param(float, 0.0), Param(int, 1)
_CALLBACK, _REQUEST = Param(str, among=tuple(CALLBACKS)), Param(str, "placeOrder", tuple(REQUESTS))
_MANY = {"count": Param(int, 0), "seconds": _SECONDS, "status": Param(str, "")}
_CODE, _TEXT = Param(int), Param(str)

ACTIONS: dict[str, Action] = {
    "send_error": Action(
        "an error or warning: id -1, of the order, or of the request; `count` times, `every` seconds apart",
        {"code": _CODE, "text": _TEXT, "id": Param(str, "-1", ("-1", "order", "request")), "count": _COUNT,
         "every": Param(float, 1.0)},
    ),
    "drop_connections": Action("every socket is closed in order (FIN)"),
    "reset_connections": Action("every socket is reset (RST)"),
    "mute": Action("sockets that are open stay, and what is sent on them is lost, for `seconds` (0: ever); `deaf`: what"
                   " comes on them too", {"seconds": _SECONDS, "deaf": Param(bool, False)}),
    "split_frames": Action("everything is sent `bytes` at a time", {"bytes": Param(int)}),
    "drip": Action("everything is sent `bytes` at a time, with `gap_ms` real milliseconds between",
                   {"bytes": Param(int), "gap_ms": Param(float, 1.0)}),
    "refuse_connections": Action("nobody listens on the port for `seconds`", {"seconds": Param(float)}),
    "accept_without_handshake": Action("connections of the next `seconds` are accepted and never answered",
                                       {"seconds": Param(float)}),
    "hold_client_ids": Action("client ids in use now stay in use (326) for `seconds`", {"seconds": Param(float)}),
    "drop_request": Action("the next `count` requests are read and forgotten", {"kind": _REQUEST, "count": _COUNT}),
    "delay_request": Action("the next `count` requests are answered `seconds` late",
                            {"kind": _REQUEST, "count": _COUNT, "seconds": Param(float)}),
    "refuse_request": Action("the next `count` requests get an error and nothing else",
                             {"kind": _REQUEST, "count": _COUNT, "code": _CODE, "text": _TEXT}),
    "reject_next_order": Action("the next order gets an error and never exists", {"code": _CODE, "text": _TEXT}),
    "drop_after_processing": Action("the next request is carried out, and the socket closed before the answer",
                                    {"kind": _REQUEST}),
    "double_on_modify": Action("the next modification becomes a second live order with a permId of its own"),
    "suppress": Action("callbacks of a kind are not sent: `count` of them (0: all), for `seconds` (0: ever)",
                       {"kind": _CALLBACK, **_MANY}),
    "duplicate": Action("callbacks of a kind are sent twice", {"kind": _CALLBACK, **_MANY}),
    "delay": Action("callbacks of a kind come `by` seconds late", {"kind": _CALLBACK, "by": Param(float), **_MANY}),
    "reorder": Action("callbacks of a kind wait for the next one of kind `behind`, and follow it",
                      {"kind": _CALLBACK, "behind": _CALLBACK, **_MANY}),
    "unknown_order_id": Action("executions are told with `order_id`, which no client has given",
                               {"order_id": Param(int, 0), "count": _COUNT}),
    "stale_next_valid_id": Action("nextValidId is `back` below the truth, but at least 1", {"back": Param(int)}),
    "clock_skew": Action("the gateway's own times are `seconds` off", {"seconds": Param(float)}),
    "correct_execution": Action("the execution comes again as .02, at a price `change` USD higher; the books follow",
                                {"change": Param(float)}),
    "status_regression": Action("the order is told as PreSubmitted and unfilled once more"),
    "replay_executions": Action("the day's executions of the client are told again as if they happened now"),
    "forget_executions": Action("the day's executions can no longer be asked for"),
    "fill_after_cancel": Action("the cancel is confirmed, and `seconds` later the order fills all the same",
                                {"seconds": _SECONDS}),
    "fill_orders": Action("the market trades through open limit orders; `shares` of each (0: all)",
                          {"shares": Param(int, 0)}, True),
    "fill_while_disconnected": Action("sockets close, open limit orders fill, and the port opens after `seconds`",
                                      {"seconds": Param(float)}, True),
    "manual_trade": Action("somebody trades at the market in TWS: orderId 0, no orderRef; `quantity` < 0 sells",
                           {"quantity": Param(int)}, True),
    "lose_data": Action("market data stops for `seconds` (0: until restore_data)",
                        {"seconds": _SECONDS}, True),
    "restore_data": Action("market data flows again; subscriptions made before are `kept` or `lost`",
                           {"subscriptions": Param(str, "kept", ("kept", "lost"))}),
    "competing_session": Action("10197 on every line, and no market data for `seconds`", {"seconds": Param(float)}),
    "halt": Action("trading in the symbol stops", of_symbol=True),
    "resume": Action("trading in the symbol begins again", of_symbol=True),
    "auction_without_print": Action("the next auction of the symbol has no print",
                                    {"auction": Param(str, "close", ("open", "close"))}, True),
    "no_quotes": Action("neither bid nor ask (-1) for `seconds`", {"seconds": Param(float)}, True),
    "crossed_quotes": Action("bid up and ask down by the fraction `by` of the price, for `seconds`",
                             {"seconds": Param(float), "by": Param(float, 0.005)}, True),
    "borrow_recall": Action("only `shares` can still be borrowed; with `buy_in` a short position is bought back",
                            {"shares": Param(int, 0), "buy_in": Param(bool, False),
                             "locatable": Param(bool, False)}, True),
    "restart": Action("the gateway goes down, and comes back with its books after `seconds`",
                      {"seconds": Param(float)}),
}  # fmt: skip
