"""The Adaptive algorithm, as simple as it can be told: an order is worked in equal slices inside the spread.

A slice rests at the middle of the quote, rounded to the price increment towards its own side, for one interval; what
it has not got by then takes the other side of the quote, within the order's own limit. Then comes the next slice.
Urgent works few slices fast, Patient many slowly. What IBKR really does is not public.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from workbench.core.units import NS_PER_SECOND
from workbench.gateway.liquidity import Quote
from workbench.gateway.orders import Slice, WorkingOrder
from workbench.gateway.price_rules import RULE_612


@dataclass(frozen=True, slots=True)
class Pace:
    """`slices` equal parts, each given `interval_ns` to be filled passively."""

    slices: int
    interval_ns: int


# urgency -> pace
PACES: dict[str, Pace] = {
    "Urgent": Pace(2, 2 * NS_PER_SECOND),
    "Normal": Pace(4, 5 * NS_PER_SECOND),
    "Patient": Pace(8, 15 * NS_PER_SECOND),
}


def next_slice(order: WorkingOrder, quote: Quote) -> Slice:
    """The next slice to rest inside the spread; of no shares while there is no quote to stand in."""
    if not quote.valid:
        return Slice(order.worst, 0)
    side = order.intent.side
    shares = min(order.remaining, ceil(order.intent.quantity / PACES[order.intent.urgency].slices))
    middle = RULE_612.rounded(quote.mid, up=side < 0)
    return Slice(min(middle, order.worst) if side > 0 else max(middle, order.worst), shares)
