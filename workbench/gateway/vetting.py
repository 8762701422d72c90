"""What TWS checks of an order before it goes anywhere: a code and a text, or nothing.

Codes and their meaning: IBKR's list of API message codes. Texts in our words where the code says enough.
"""

from __future__ import annotations

from math import isfinite, isnan

from workbench.gateway.orders import KINDS, TIFS, URGENCIES, OrderKind
from workbench.gateway.price_rules import RULE_612, PriceRule
from workbench.gateway.tickets import Ticket

Fault = tuple[int, str]

INCREMENT_TEXT = "The price does not conform to the minimum price variation for this contract."
CLOSE_TEXT = "The Tif option should be set to DAY for MOC and LOC orders."


def fault_of(ticket: Ticket, account: str, now: int, rule: PriceRule = RULE_612) -> Fault | None:
    """The first thing that is wrong with `ticket` at `now` (UTC ns), on `account` and under the price `rule`."""
    if ticket.account not in ("", account):
        return 321, f"Error validating request: account {ticket.account!r} is not {account}"
    if ticket.side not in (1, -1):
        return 321, f"Error validating request: side {ticket.side} must be +1 (buy) or -1 (sell)"
    if ticket.order_type not in KINDS:
        return 387, f"Unsupported order type {ticket.order_type!r}; use one of {', '.join(sorted(KINDS))}."
    if not isfinite(ticket.quantity) or ticket.quantity <= 0:
        return 434, "The order size cannot be zero."
    if ticket.quantity != int(ticket.quantity):
        return 10243, f"Fractional-sized order cannot be placed via API: {ticket.quantity} shares."
    kind = KINDS[ticket.order_type]
    return _fault_of_price(ticket, kind, rule) or _fault_of_time(ticket, kind, now) or _fault_of_algo(ticket)


def _fault_of_price(ticket: Ticket, kind: OrderKind, rule: PriceRule) -> Fault | None:
    wanted = [("limit price", ticket.limit_price)] if kind.bounded else []
    wanted += [("stop price", ticket.aux_price)] if kind.stop else []
    for name, price in wanted:
        if isnan(price) or price <= 0:
            return 321, f"Error validating request: a {ticket.order_type} order needs a {name} above 0, not {price}"
        if not rule.conforms(price):
            return 110, INCREMENT_TEXT
    return None


def _fault_of_time(ticket: Ticket, kind: OrderKind, now: int) -> Fault | None:
    if kind.at_close and ticket.tif != "DAY":
        return 113, CLOSE_TEXT
    if ticket.tif not in TIFS:
        return 321, f"Error validating request: time in force {ticket.tif!r}; use one of {', '.join(sorted(TIFS))}"
    if ticket.tif == "GTD" and ticket.good_till <= now:
        return 201, f"Order rejected - reason:the good-till date {ticket.good_till} ns has passed ({now} ns)"
    if ticket.oca_group and ticket.oca_type not in (0, 1, 2, 3):
        return 321, f"Error validating request: OCA type {ticket.oca_type} must be 1, 2 or 3 (0: 3)"
    return None


def _fault_of_algo(ticket: Ticket) -> Fault | None:
    if ticket.algo not in ("", "Adaptive"):
        return 439, f"The order processing failed. Algorithm definition not found: {ticket.algo!r}."
    if ticket.urgency not in URGENCIES:
        return 441, f"Algo attributes validation failed: adaptivePriority {ticket.urgency!r}."
    if ticket.algo and ticket.order_type not in ("MKT", "LMT"):
        return 442, f"Specified algorithm is not allowed for this order: Adaptive {ticket.order_type}."
    return None
