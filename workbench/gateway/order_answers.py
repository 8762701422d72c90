"""Answers about orders: placing, changing, cancelling, and what became of them."""

from __future__ import annotations

from dataclasses import replace

from workbench.gateway import refusals
from workbench.gateway.hub import Client, Handlers, Hub
from workbench.gateway.margin import WhatIf
from workbench.gateway.tickets import Execution, Ticket
from workbench.gateway.translation import (
    commission_frame,
    execution_frame,
    moment,
    order_state,
    status_frame,
    ticket_of,
    what_if_state,
    wire_order,
)
from workbench.gateway.wire import messages as m
from workbench.gateway.wire import replies
from workbench.gateway.wire.contracts import WireContract

SIDES = {"BUY": 1, "BOT": 1, "SELL": -1, "SLD": -1}


class OrderAnswers:
    """Out of the brokerage of `hub`."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub

    def handlers(self) -> Handlers:
        """Message -> what answers it."""
        return {
            m.PlaceOrder: self._place,
            m.CancelOrder: self._cancel,
            m.ReqGlobalCancel: self._cancel_all,
            m.ReqOpenOrders: lambda c, _: self._open_orders(c, own=True),
            m.ReqAllOpenOrders: lambda c, _: self._open_orders(c, own=False),
            m.ReqAutoOpenOrders: self._auto_open_orders,
            m.ReqCompletedOrders: self._completed,
            m.ReqExecutions: self._executions,
        }

    def _place(self, c: Client, r: m.PlaceOrder) -> None:
        found = self.hub.find(c, r.order_id, r.contract)
        if found is None:
            return
        try:
            ticket = ticket_of(r.order_id, replace(found, exchange=r.contract.exchange or "SMART"), r.order)
        except ValueError as error:
            c.send(refusals.invalid(r.order_id, error))
            return
        if r.order.conditions:
            c.send(refusals.invalid(r.order_id, "conditions on orders are not simulated"))
            return
        self.hub.feed.join(found.symbol)
        if ticket.what_if:
            self._what_if(c, r, found, ticket)
        else:
            self.hub.place(c.client_id, ticket, r.order)

    def _what_if(self, c: Client, r: m.PlaceOrder, contract: WireContract, ticket: Ticket) -> None:
        told = self.hub.brokerage.what_if(ticket)
        if isinstance(told, WhatIf):
            order = replace(r.order, order_id=r.order_id, client_id=c.client_id, account=self.hub.brokerage.account)
            c.send(replies.open_order(contract, order, what_if_state(told)))
        else:
            c.send(replies.error(r.order_id, *told))

    def _cancel(self, c: Client, r: m.CancelOrder) -> None:
        self.hub.brokerage.cancel(c.client_id, r.order_id)
        self.hub.settle()

    def _cancel_all(self, c: Client, r: m.ReqGlobalCancel) -> None:
        self.hub.brokerage.cancel_all()
        self.hub.settle()

    def _open_orders(self, c: Client, own: bool) -> None:
        for view in self.hub.brokerage.open_orders():
            if not own or view.client_id == c.client_id:
                c.send(self.hub.open_order_frame(view))
                c.send(status_frame(view))
        c.send(replies.open_order_end())

    def _auto_open_orders(self, c: Client, r: m.ReqAutoOpenOrders) -> None:
        if c.client_id != 0:
            c.send(refusals.invalid(-1, "only client 0 may bind orders"))
            return
        self.hub.brokerage.bind(r.bind)
        self.hub.settle()

    def _completed(self, c: Client, r: m.ReqCompletedOrders) -> None:
        for view in self.hub.brokerage.completed():
            sent = self.hub.sent.get((view.client_id, view.ticket.order_id))
            order = replace(wire_order(view, sent, self.hub.brokerage.account), filled_quantity=float(view.filled))
            c.send(replies.completed_order(self.hub.instruments.stock(view.ticket.symbol), order, order_state(view)))
        c.send(replies.completed_orders_end())

    def _executions(self, c: Client, r: m.ReqExecutions) -> None:
        for e in self.hub.brokerage.executions():
            if _wanted(e, r):
                c.send(execution_frame(r.request_id, e, self.hub.instruments.stock(e.symbol)))
                c.send(commission_frame(e))
        c.send(replies.exec_details_end(r.request_id))


def _wanted(e: Execution, r: m.ReqExecutions) -> bool:
    """Whether an execution passes the filter of a request."""
    side = SIDES.get(r.side.upper(), 0)
    return (
        (not r.client_id or e.client_id == r.client_id)
        and (not r.symbol or e.symbol == r.symbol)
        and (not side or e.side == side)
        and (not r.time or e.time >= moment(r.time))
        and (not r.account or e.account == r.account)
    )
