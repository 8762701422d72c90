"""One function per action: (injector, event, context of the trigger) -> the fault is set up, or happens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from workbench.core.units import NS_PER_SECOND
from workbench.gateway.scenarios import broker_faults
from workbench.gateway.scenarios.actions import CALLBACKS, MARKET_DATA, REQUESTS
from workbench.gateway.scenarios.incoming import Guard
from workbench.gateway.scenarios.outgoing import FOR_EVER, Rule
from workbench.gateway.subscriptions import Quotes
from workbench.gateway.translation import commission_frame, execution_frame, moment, status_frame
from workbench.gateway.wire import messages as m
from workbench.gateway.wire import replies
from workbench.gateway.wire.times import date_time

if TYPE_CHECKING:
    from workbench.gateway.hub import Client
    from workbench.gateway.scenarios.injector import Context, Injector
    from workbench.gateway.scenarios.spec import Event

Deed = Callable[["Injector", "Event", "Context"], None]
PRICE, BY_TICK = 1, 99
"""Message ids of a price tick and of tick-by-tick data."""

EXEC_TIME = 15
"""Place of the time in execDetails: id, request, order, C11, execId, time."""


# ---- messages -------------------------------------------------------------------------------------------------


def send_error(i: Injector, event: Event, context: Context) -> None:
    p = event.params
    for client in i.clients(context):
        for number in _numbers(i, client, p["id"], context):
            client.send(replies.error(number, p["code"], p["text"]))
    if p["count"] > 1:
        again = replace(event, params={**p, "count": p["count"] - 1})
        i.later(p["every"], lambda: send_error(i, again, context))


def _numbers(i: Injector, client: Client, which: str, context: Context) -> list[int]:
    if which == "-1":
        return [-1]
    if which == "request":
        return [context.request_id] if context.request_id >= 0 else [*client.market, *client.growing]
    if context.order_id:
        return [context.order_id]
    mine = (o for o in i.hub.brokerage.register.open() if o.client_id == client.client_id)
    return [o.ticket.order_id for o in mine]


def status_regression(i: Injector, event: Event, context: Context) -> None:
    if context.client is not None and context.order is not None:
        view = context.order.view()
        view = replace(view, status="PreSubmitted", filled=0, remaining=int(view.ticket.quantity), average_price=0.0)
        context.client.send(i.hub.open_order_frame(view))
        context.client.send(status_frame(view))


def replay_executions(i: Injector, event: Event, context: Context) -> None:
    for client in i.clients(context):
        for e in i.hub.brokerage.today:
            if e.client_id == client.client_id:
                client.send(execution_frame(-1, e, i.hub.instruments.stock(e.symbol)))
                client.send(commission_frame(e))


def correct_execution(i: Injector, event: Event, context: Context) -> None:
    told = i.hub.brokerage.today[-1:] if context.execution is None else [context.execution]
    for e in told:
        corrected = broker_faults.correct(i.hub, e, event.params["change"])
        client = i.hub.clients.get(e.client_id)
        if client is not None:
            client.send(execution_frame(-1, corrected, i.hub.instruments.stock(e.symbol)))
            client.send(commission_frame(corrected))


# ---- sockets --------------------------------------------------------------------------------------------------


def refuse_connections(i: Injector, event: Event, context: Context) -> None:
    i.door.close_door()
    i.later(event.params["seconds"], i.door.open_door)


def mute(i: Injector, event: Event, context: Context) -> None:
    rule, ours = _rule(i, "suppress", frozenset(), event), frozenset(i.clients(context))
    rule.wanted = lambda client, _: client in ours
    if event.params["deaf"]:
        i.guards.insert(0, Guard("drop", REQUESTS["any"], FOR_EVER, only=ours))


def restart(i: Injector, event: Event, context: Context) -> None:
    i.hang_up()
    broker_faults.reload(i.hub)
    refuse_connections(i, event, context)


def fill_while_disconnected(i: Injector, event: Event, context: Context) -> None:
    orders = list(i.open_orders(i.targets(event, context)))
    i.hang_up()
    refuse_connections(i, event, context)
    for order in orders:
        broker_faults.fill(i.hub, order)


def hold_client_ids(i: Injector, event: Event, context: Context) -> None:
    until = i.now(event.params["seconds"])
    i.held_ids.update(dict.fromkeys(i.hub.clients, until))


def accept_without_handshake(i: Injector, event: Event, context: Context) -> None:
    i.silent_until = i.now(event.params["seconds"])


# ---- rules over what is sent ----------------------------------------------------------------------------------


def _rule(i: Injector, effect: str, kinds: frozenset[int], event: Event) -> Rule:
    p = event.params
    until = i.now(p["seconds"]) if p.get("seconds") else FOR_EVER
    rule = Rule(effect, kinds, p.get("count") or FOR_EVER, until, p.get("status", ""))
    rule.by = round(p.get("by", 0.0) * NS_PER_SECOND)
    rule.behind = CALLBACKS[p["behind"]] if "behind" in p else frozenset()
    i.outgoing.rules.append(rule)
    return rule


def _callbacks(effect: str) -> Deed:
    def deed(i: Injector, event: Event, context: Context) -> None:
        _rule(i, effect, CALLBACKS[event.params["kind"]], event)

    return deed


def lose_data(i: Injector, event: Event, context: Context) -> None:
    rule = _rule(i, "suppress", MARKET_DATA, event)
    wanted = event.symbol or context.symbol
    place = {1: 2, 2: 2, 45: 2, 46: 2, 50: 2, 90: 1, 99: 1}
    if wanted:
        rule.wanted = lambda c, f: i.symbols.get((c, int(f[place[int(f[0])]]))) == wanted


def restore_data(i: Injector, event: Event, context: Context) -> None:
    i.outgoing.rules = [r for r in i.outgoing.rules if r.kinds != MARKET_DATA or r.effect != "suppress"]
    for client in i.hub.clients.values():
        if event.params["subscriptions"] == "lost":
            client.market.clear()
            client.growing.clear()
        for line in client.market.values():
            if isinstance(line, Quotes):
                line.sent.clear()


def competing_session(i: Injector, event: Event, context: Context) -> None:
    text = "No market data during competing live session"
    send_error(i, replace(event, params={"code": 10197, "text": text, "id": "request", "count": 1}), context)
    _rule(i, "suppress", MARKET_DATA, event)


def stale_next_valid_id(i: Injector, event: Event, context: Context) -> None:
    back = event.params["back"]
    rule = _rule(i, "rewrite", CALLBACKS["nextValidId"], event)
    rule.rewrite = lambda _, f: [*f[:2], str(max(1, int(f[2]) - back))]


def unknown_order_id(i: Injector, event: Event, context: Context) -> None:
    rule = _rule(i, "rewrite", CALLBACKS["execDetails"], event)
    rule.rewrite = lambda _, f: [*f[:2], str(event.params["order_id"]), *f[3:]]


def clock_skew(i: Injector, event: Event, context: Context) -> None:
    by = round(event.params["seconds"])
    clock = Rule("rewrite", CALLBACKS["currentTime"], rewrite=lambda _, f: [*f[:2], str(int(f[2]) + by)])
    fills = Rule("rewrite", CALLBACKS["execDetails"], rewrite=lambda _, f: _later_fill(f, by))
    i.outgoing.rules += [clock, fills]


def _later_fill(fields: list[str], seconds: int) -> list[str]:
    told = date_time(moment(fields[EXEC_TIME]) + seconds * NS_PER_SECOND)
    return [*fields[:EXEC_TIME], told, *fields[EXEC_TIME + 1 :]]


# ---- guards over requests -------------------------------------------------------------------------------------


def _guard(effect: str, kind: str = "") -> Deed:
    def deed(i: Injector, event: Event, context: Context) -> None:
        p = event.params
        kinds = REQUESTS[kind or p["kind"]]
        guard = Guard(effect, kinds, p.get("count", 1), p.get("seconds", 0.0), p.get("code", 0), p.get("text", ""))
        i.guards.append(guard)

    return deed


def double_on_modify(i: Injector, event: Event, context: Context) -> None:
    i.guards.append(Guard("double", (m.PlaceOrder,)))


# ---- the market and the account -------------------------------------------------------------------------------


def fill_orders(i: Injector, event: Event, context: Context) -> None:
    for order in list(i.open_orders(i.targets(event, context))):
        broker_faults.fill(i.hub, order, event.params["shares"])


def manual_trade(i: Injector, event: Event, context: Context) -> None:
    for symbol in i.targets(event, context):
        broker_faults.manual_trade(i.hub, symbol, event.params["quantity"])


def halt(i: Injector, event: Event, context: Context) -> None:
    for symbol in i.targets(event, context):
        broker_faults.halt(i.hub, i.market, symbol)


def resume(i: Injector, event: Event, context: Context) -> None:
    for symbol in i.targets(event, context):
        broker_faults.resume(i.hub, i.market, symbol)


def auction_without_print(i: Injector, event: Event, context: Context) -> None:
    i.hub.feed.printless |= {(symbol, event.params["auction"]) for symbol in i.targets(event, context)}


def borrow_recall(i: Injector, event: Event, context: Context) -> None:
    p = event.params
    for symbol in i.targets(event, context):
        broker_faults.recall(i.hub, symbol, p["shares"], p["buy_in"], p["locatable"])


def bad_quotes(i: Injector, event: Event, context: Context) -> None:
    until, symbols = i.now(event.params["seconds"]), i.targets(event, context)
    for symbol in symbols:
        i.quotes[symbol] = until, event.params.get("by", 0.0)
    i.outgoing.rules.append(Rule("rewrite", frozenset({PRICE, BY_TICK}), until=until, rewrite=i.told_quote))
    i.outgoing.rules.append(Rule("suppress", frozenset({BY_TICK}), until=until, wanted=i.unquoted))
    i.say_again(symbols)
    i.later(event.params["seconds"], lambda: i.say_again(symbols))


DEEDS: dict[str, Deed] = {
    "send_error": send_error,
    "drop_connections": lambda i, event, context: i.hang_up(),
    "reset_connections": lambda i, event, context: i.hang_up(reset=True),
    "mute": mute,
    "split_frames": lambda i, event, context: i.pieces(event.params["bytes"], 0.0),
    "drip": lambda i, event, context: i.pieces(event.params["bytes"], event.params["gap_ms"] / 1000),
    "refuse_connections": refuse_connections,
    "accept_without_handshake": accept_without_handshake,
    "hold_client_ids": hold_client_ids,
    "drop_request": _guard("drop"),
    "delay_request": _guard("delay"),
    "refuse_request": _guard("refuse"),
    "reject_next_order": _guard("refuse", "placeOrder"),
    "drop_after_processing": _guard("hang_up"),
    "double_on_modify": double_on_modify,
    "suppress": _callbacks("suppress"),
    "duplicate": _callbacks("duplicate"),
    "delay": _callbacks("delay"),
    "reorder": _callbacks("reorder"),
    "unknown_order_id": unknown_order_id,
    "stale_next_valid_id": stale_next_valid_id,
    "clock_skew": clock_skew,
    "correct_execution": correct_execution,
    "status_regression": status_regression,
    "replay_executions": replay_executions,
    "forget_executions": lambda i, event, context: i.hub.brokerage.today.clear(),
    "fill_after_cancel": _guard("false_cancel", "cancelOrder"),
    "fill_orders": fill_orders,
    "fill_while_disconnected": fill_while_disconnected,
    "manual_trade": manual_trade,
    "lose_data": lose_data,
    "restore_data": restore_data,
    "competing_session": competing_session,
    "halt": halt,
    "resume": resume,
    "auction_without_print": auction_without_print,
    "no_quotes": bad_quotes,
    "crossed_quotes": bad_quotes,
    "borrow_recall": borrow_recall,
    "restart": restart,
}
