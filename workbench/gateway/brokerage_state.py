"""A brokerage as plain JSON and back, so that its books and its open orders survive a restart.

What is on its way to the exchange is sent again; a cancel on its way is asked for again; an Adaptive order begins its
next slice. The market (quotes, windows, halts) is not part of the books: whoever plays it says it anew.
"""

from __future__ import annotations

from dataclasses import asdict, fields
from math import isfinite, nan
from typing import Any

from workbench.core.clock import Clock
from workbench.core.errors import DataError
from workbench.gateway.books import Books
from workbench.gateway.borrow import BorrowBook
from workbench.gateway.broker_orders import BrokerOrder, OrderRegister, Stage, State
from workbench.gateway.brokerage import Brokerage
from workbench.gateway.hours import TradingHours
from workbench.gateway.ids import Identifiers
from workbench.gateway.orders import ExchangeOrder, Status, WorkingOrder
from workbench.gateway.rules import MatchingRules
from workbench.gateway.tickets import Execution

FORMAT = 2
LIFE = ("filled", "value", "commission", "added", "executions", "elected", "starts")
"""What an order at the exchange has lived through and keeps."""


def to_dict(brokerage: Brokerage) -> dict[str, Any]:
    """Everything that must survive, of JSON's own types; NaN becomes None."""
    ledger = brokerage.ledger
    ledger.prices()
    return {
        "format": FORMAT,
        "account": brokerage.account,
        "rules": asdict(brokerage.engine.rules),
        "books": brokerage.books.to_dict(),
        "borrow": brokerage.borrow.to_dict(),
        "ids": brokerage.ids.to_dict(),
        "day": ledger.day,
        "day_equity": ledger.day_equity,
        "marks": dict(ledger.marks),
        "last_ids": [list(pair) for pair in brokerage.register.last_id.items()],
        "bound": brokerage.register.bound,
        "orders": [order.to_dict() for order in brokerage.register.by_perm_id.values()],
        "at_exchange": [_working_to_dict(order) for order in brokerage.engine.active],
        "executions": [_none_for_nan(asdict(e)) for e in brokerage.today],
    }


def from_dict(data: dict[str, Any], clock: Clock, hours: TradingHours | None = None) -> Brokerage:
    """The brokerage that :func:`to_dict` described, going on at the clock's time."""
    if data.get("format") != FORMAT:
        raise DataError(f"books of format {data.get('format')} cannot be read: this version reads format {FORMAT}")
    borrow, rules = BorrowBook.from_dict(data["borrow"]), MatchingRules(**data["rules"])
    brokerage = Brokerage(clock, 0.0, data["account"], rules, hours, borrow)
    ledger = brokerage.ledger
    ledger.books = Books.from_dict(data["books"])
    brokerage.ids = Identifiers(**data["ids"])
    ledger.day, ledger.day_equity = data["day"], data["day_equity"]
    ledger.marks = dict(data["marks"])
    brokerage.today = [Execution(**_nan_for_none(e)) for e in data["executions"]]
    brokerage.register.bound = data["bound"]
    for raw in data["orders"]:
        brokerage.register.add(BrokerOrder.from_dict(raw))
    brokerage.register.last_id.update({client: number for client, number in data["last_ids"]})
    for raw in data["at_exchange"]:
        brokerage.engine.adopt(_working_from_dict(raw))
    _cancel_again(brokerage.register, brokerage)
    return brokerage


def _cancel_again(register: OrderRegister, brokerage: Brokerage) -> None:
    for order in register.open():
        if order.stage is Stage.SENT and order.status is State.PENDING_CANCEL:
            brokerage.engine.cancel(order.reference)


def _working_to_dict(order: WorkingOrder) -> dict[str, Any]:
    terms = _none_for_nan({f.name: getattr(order.intent, f.name) for f in fields(order.intent)})
    return {"terms": terms, "status": str(order.status), "ahead": order.ahead if isfinite(order.ahead) else None,
            **{name: getattr(order, name) for name in LIFE}}  # fmt: skip


def _working_from_dict(data: dict[str, Any]) -> WorkingOrder:
    terms = ExchangeOrder(**_nan_for_none(data["terms"]))
    ahead = nan if data["ahead"] is None else data["ahead"]
    return WorkingOrder(terms, Status(data["status"]), ahead=ahead, **{name: data[name] for name in LIFE})


def _none_for_nan(values: dict[str, Any]) -> dict[str, Any]:
    return {name: None if value != value else value for name, value in values.items()}


def _nan_for_none(values: dict[str, Any]) -> dict[str, Any]:
    return {name: nan if value is None else value for name, value in values.items()}
