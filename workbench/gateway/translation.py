"""Between what is on the wire and what the broker understands: orders, statuses, executions."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from math import isnan, nan
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from workbench.core.units import NS_PER_SECOND
from workbench.gateway.margin import WhatIf
from workbench.gateway.tickets import Execution, OrderView, Ticket
from workbench.gateway.wire import replies
from workbench.gateway.wire.contracts import Tag, WireContract
from workbench.gateway.wire.orders import OrderState, WireExecution, WireOrder
from workbench.gateway.wire.times import date_time

SIDES = {"BUY": 1, "SELL": -1, "SSHORT": -1}


class BadTime(ValueError):
    """A time on the wire that is none."""


def ticket_of(order_id: int, contract: WireContract, order: WireOrder) -> Ticket:
    """The ticket of a wire order; ValueError where the broker has no word for it."""
    if order.action not in SIDES:
        raise ValueError(f"order action {order.action!r} must be BUY or SELL")
    return Ticket(
        order_id=order_id,
        symbol=contract.symbol,
        con_id=contract.con_id,
        exchange=contract.exchange or "SMART",
        side=SIDES[order.action],
        quantity=order.total_quantity,
        order_type=order.order_type,
        limit_price=nan if order.lmt_price is None else order.lmt_price,
        aux_price=nan if order.aux_price is None else order.aux_price,
        tif=order.tif or "DAY",
        good_till=moment(order.good_till_date) if order.good_till_date else 0,
        outside_rth=order.outside_rth,
        oca_group=order.oca_group,
        oca_type=order.oca_type,
        parent_id=order.parent_id,
        transmit=order.transmit,
        order_ref=order.order_ref,
        algo=order.algo_strategy,
        algo_params=tuple((tag, value) for tag, value in order.algo_params),
        account=order.account,
        what_if=order.what_if,
    )


def moment(text: str) -> int:
    """UTC ns of ``20260102 15:30:00 America/New_York``, of ``20260102-20:30:00`` (UTC) or of a date (its end).

    >>> moment("20260102 09:30:00 America/New_York") == moment("20260102-14:30:00")
    True
    """
    if len(text) == 8:
        text += " 23:59:59"
    if len(text) > 8 and text[8] == "-":
        text = f"{text[:8]} {text[9:]} UTC"
    try:
        day, clock, *zone = text.split()
        at = datetime.strptime(f"{day} {clock}", "%Y%m%d %H:%M:%S").replace(
            tzinfo=ZoneInfo(zone[0] if zone else "America/New_York")
        )
    except (ValueError, ZoneInfoNotFoundError) as error:
        raise BadTime(f"time {text[:40]!r} is not like '20260102 15:30:00 America/New_York': {error}") from None
    return int(at.timestamp()) * NS_PER_SECOND


def wire_order(view: OrderView, sent: WireOrder | None, account: str) -> WireOrder:
    """The order as TWS shows it: as the client sent it, with what has become of it."""
    t = view.ticket
    plain = sent or WireOrder(
        order_ref=t.order_ref, algo_strategy=t.algo, algo_params=tuple(Tag(*p) for p in t.algo_params)
    )
    return replace(
        plain,
        order_id=t.order_id,
        client_id=view.client_id,
        perm_id=view.perm_id,
        action="BUY" if t.side > 0 else "SELL",
        total_quantity=float(t.quantity),
        order_type=t.order_type,
        lmt_price=0.0 if isnan(t.limit_price) else t.limit_price,
        aux_price=0.0 if isnan(t.aux_price) else t.aux_price,
        tif=t.tif,
        oca_group=t.oca_group,
        oca_type=t.oca_type,
        parent_id=t.parent_id,
        outside_rth=t.outside_rth,
        account=t.account or account,
        transmit=t.transmit,
    )


def order_state(view: OrderView) -> OrderState:
    """The state inside an openOrder or a completedOrder."""
    charged = None if isnan(view.commission) else view.commission
    return OrderState(
        status=view.status,
        commission=charged,
        commission_currency="" if charged is None else "USD",
        completed_time=date_time(view.completed_at) if view.completed_at else "",
        completed_status=view.completed_status,
    )


def what_if_state(found: WhatIf) -> OrderState:
    """Margins before, by and after an order that only asks."""
    b, c, a = found.before, found.change, found.after
    return OrderState(
        status="PreSubmitted",
        init_margin_before=b.initial, maint_margin_before=b.maintenance, equity_with_loan_before=b.equity,
        init_margin_change=c.initial, maint_margin_change=c.maintenance, equity_with_loan_change=c.equity,
        init_margin_after=a.initial, maint_margin_after=a.maintenance, equity_with_loan_after=a.equity,
        commission=None if isnan(found.commission) else found.commission, commission_currency="USD",
    )  # fmt: skip


def status_frame(view: OrderView) -> bytes:
    """The orderStatus of an order."""
    return replies.order_status(
        view.ticket.order_id, view.status, float(view.filled), float(view.remaining), view.average_price, view.perm_id,
        view.ticket.parent_id, view.last_price, view.client_id, view.why_held,
    )  # fmt: skip


def execution_frame(request_id: int, execution: Execution, contract: WireContract) -> bytes:
    """The execDetails of an execution."""
    e = execution
    told = WireExecution(
        exec_id=e.exec_id, time=date_time(e.time), account=e.account, exchange=e.exchange,
        side="BOT" if e.side > 0 else "SLD", shares=float(e.shares), price=e.price, perm_id=e.perm_id,
        client_id=e.client_id, order_id=e.order_id, cum_qty=float(e.cumulative), avg_price=e.average_price,
        order_ref=e.order_ref, last_liquidity=e.liquidity,
    )  # fmt: skip
    return replies.exec_details(request_id, replace(contract, exchange=e.exchange), told)


def commission_frame(execution: Execution) -> bytes:
    """The commissionReport of an execution."""
    realized = None if isnan(execution.realized) else execution.realized
    return replies.commission_report(execution.exec_id, execution.commission, realized_pnl=realized)
