"""Orders, allocations and books back from the journal, exactly: conclusions are replayed, not drawn again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from math import nan
from typing import Any

from workbench.core.types import Fill, OrderIntent
from workbench.execution.dealing import Booking, Dealer
from workbench.execution.netting import Cross, Share
from workbench.execution.order_ledger import OrderLedger
from workbench.execution.order_states import DONE, OrderState
from workbench.execution.outside import Outside
from workbench.execution.records import build, report_of
from workbench.execution.reports import CommissionReport, ExecutionReport, OutgoingOrder
from workbench.execution.system_broker import VirtualBook
from workbench.journal import Entry

ACCOUNT_KINDS = (
    "capital",
    "orders",
    "order_state",
    "change",
    "cancel",
    "report",
    "fill",
    "commission",
    "correction",
    "outside",
)
"""Entries that :func:`rebuild` reads; all others are ignored."""


@dataclass
class Rebuilt:
    """Books of the systems; executions and commissions that were heard; crossings that were decided, not booked."""

    books: dict[str, VirtualBook] = field(default_factory=dict)
    money: list[ExecutionReport | CommissionReport] = field(default_factory=list)
    crossings: list[Booking] = field(default_factory=list)


def rebuild(entries: Iterable[Entry], ledger: OrderLedger, dealer: Dealer, outside: Outside) -> Rebuilt:
    """Replay `entries` into `ledger`, `dealer` and `outside`, which are new and empty."""
    rebuilt = Rebuilt()
    for entry in entries:
        payload = entry.payload
        match entry.kind:
            case "capital":
                rebuilt.books[payload["system"]] = VirtualBook(payload["cash"], dict(payload["positions"]))
            case "orders":
                _orders(payload, entry.known_at, ledger, dealer, rebuilt)
            case "order_state":
                _state(payload, ledger)
            case "change":
                order = ledger.of(payload["order_ref"])
                limit = payload["limit_price"]
                order.order = replace(order.order, limit_price=nan if limit is None else limit)
            case "cancel":
                _cancel(payload, ledger)
            case "report":
                report = report_of(payload)
                if isinstance(report, (ExecutionReport, CommissionReport)):
                    rebuilt.money.append(report)
            case "fill" | "commission" | "correction":
                _money(entry.kind, payload, ledger, dealer, rebuilt)
            case "outside":
                outside.accept(payload)
    rebuilt.crossings = [c for c in rebuilt.crossings if not dealer.booked(c[1])]
    return rebuilt


def _orders(payload: Mapping[str, Any], at: int, ledger: OrderLedger, dealer: Dealer, rebuilt: Rebuilt) -> None:
    for o in payload["orders"]:
        order = build(OutgoingOrder, o["order"])
        ledger.intend(order, at)
        dealer.add(order.order_ref, [_share(s) for s in o["shares"]])
    for c in payload["crosses"]:
        price = nan if c["price"] is None else c["price"]
        cross = Cross(c["cross_ref"], c["symbol"], price, tuple(_share(s) for s in c["shares"]))
        rebuilt.crossings += dealer.crossings(cross, at)


def _share(value: Mapping[str, Any]) -> Share:
    return Share(value["system"], build(OrderIntent, value["intent"]), value["quantity"])


def _state(payload: Mapping[str, Any], ledger: OrderLedger) -> None:
    order = ledger.of(payload["order_ref"])
    was, order.state, order.state_at = order.state, OrderState(payload["after"]), payload["time"]
    if order.state is OrderState.SENT:
        order.sent_at = payload["time"]
    order.acknowledged |= order.state in (OrderState.ACCEPTED, OrderState.PARTIAL, OrderState.CANCELLING)
    order.revived |= was in DONE
    ledger.know(order, payload["perm_id"])


def _cancel(payload: Mapping[str, Any], ledger: OrderLedger) -> None:
    """A cancel that was recorded may not have been written: it is wanted, and the next facts have it asked again."""
    order = ledger.orders.get(payload["order_ref"])
    if order is not None and not payload["surplus"]:
        order.cancel_wanted = True


def _money(kind: str, payload: Mapping[str, Any], ledger: OrderLedger, dealer: Dealer, rebuilt: Rebuilt) -> None:
    book = ledger.executions
    if kind == "commission":
        book.restore_cost(payload["exec_id"], payload["amount"], payload["time"])
    elif kind == "correction":
        before, after = build(Fill, payload["before"]), build(Fill, payload["after"])
        book.restore(after)
        ledger.of(payload["order_ref"]).filled += after.quantity - before.quantity
    elif not payload["internal"]:
        fill = build(Fill, payload["fill"])
        book.restore(fill)
        ledger.of(payload["order_ref"]).filled += fill.quantity
    for system, event in dealer.book(kind, payload):
        rebuilt.books[system].apply(event)
