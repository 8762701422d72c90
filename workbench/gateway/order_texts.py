"""What TWS writes in its messages about orders."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from workbench.core.units import NS_PER_SECOND
from workbench.gateway.broker_orders import BrokerOrder
from workbench.gateway.tickets import Ticket

NEW_YORK = ZoneInfo("America/New_York")

CANCELLED_TEXT = "Order Canceled - reason:"
LOCATE_TEXT = "Order held while securities are located."
NOT_SHORTABLE_TEXT = "The contract is not available for short sale."
DUPLICATE_TEXT = "Duplicate order id"
FILLED_TEXT = "Cannot modify a filled order."
MISMATCH_TEXT = "Order being modified does not match original order."
IGNORED_TEXT = (
    "Order Event Warning:Attribute 'Outside Regular Trading Hours' is ignored based on the order type and destination."
)


def rejection_text(order: BrokerOrder, state: str) -> str:
    """Why a cancel comes to nothing, code 10148."""
    return f"OrderId {order.ticket.order_id} that needs to be cancelled cannot be cancelled, state: {state}."


def margin_text(equity: float, initial: float) -> str:
    """Why an order is not accepted: `equity` with loan value against `initial` margin, USD.

    >>> margin_text(1000.0, 1500.0)[-45:]
    'MUST EXCEED THE INITIAL MARGIN [1500.00 USD].'
    """
    return (
        "YOUR ORDER IS NOT ACCEPTED. IN ORDER TO OBTAIN THE DESIRED POSITION YOUR EQUITY WITH LOAN VALUE "
        f"[{equity:.2f} USD] MUST EXCEED THE INITIAL MARGIN [{initial:.2f} USD]."
    )


def held_text(ticket: Ticket, starts: int) -> str:
    """Warning 399: the order waits at the broker until `starts`, UTC ns."""
    action = "BUY" if ticket.side > 0 else "SELL"
    opening = new_york(starts).strftime("%Y-%m-%d %H:%M:%S")
    return (
        f"Order Message:\n{action} {int(ticket.quantity)} {ticket.symbol}\n"
        f"Warning: Your order will not be placed at the exchange until {opening} US/Eastern."
    )


def new_york(ns: int) -> datetime:
    """The moment `ns` (UTC ns) on the clocks of New York, to the second."""
    return datetime.fromtimestamp(ns // NS_PER_SECOND, NEW_YORK)


def new_york_day(ns: int) -> int:
    """Number of the calendar day in New York at `ns`."""
    return new_york(ns).toordinal()
