"""The life of an order at the exchange: statuses, named sets of them, and the allowed transitions."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from workbench.core.errors import WorkbenchError
from workbench.core.types import OrderIntent


class Status(StrEnum):
    """Where an order stands."""

    PENDING = "pending"
    """On its way: sent, not yet arrived."""
    WORKING = "working"
    PARTIAL = "partial"
    FILLED = "filled"
    CANCELLED = "cancelled"
    REJECTED = "rejected"


ACTIVE = frozenset({Status.PENDING, Status.WORKING, Status.PARTIAL})
RESTING = frozenset({Status.WORKING, Status.PARTIAL})
DONE = frozenset({Status.FILLED, Status.CANCELLED, Status.REJECTED})

# status -> the statuses that may follow
TRANSITIONS: dict[Status, frozenset[Status]] = {
    Status.PENDING: frozenset({Status.WORKING, Status.CANCELLED, Status.REJECTED}),
    Status.WORKING: frozenset({Status.PARTIAL, Status.FILLED, Status.CANCELLED}),
    Status.PARTIAL: frozenset({Status.PARTIAL, Status.FILLED, Status.CANCELLED}),
    Status.FILLED: frozenset(),
    Status.CANCELLED: frozenset(),
    Status.REJECTED: frozenset(),
}

# order type -> whether its own price bounds the fill; further types become one of these when they trigger
PRICE_BOUND: dict[str, bool] = {"MKT": False, "LMT": True}


@dataclass(slots=True)
class WorkingOrder:
    """One order as the exchange sees it. Changes only through :meth:`become` and :meth:`fill`."""

    intent: OrderIntent
    status: Status = Status.PENDING
    filled: int = 0
    value: float = 0.0
    """USD traded so far: the sum of quantity * price."""
    commission: float = 0.0
    """USD charged so far."""
    added: int = 0
    """Filled shares that added liquidity: they rested until someone traded against them."""
    executions: int = 0

    @property
    def remaining(self) -> int:
        """Shares not yet filled."""
        return self.intent.quantity - self.filled

    @property
    def limit(self) -> float:
        """The worst price this order may trade at: +inf for a market buy, 0 for a market sale."""
        if PRICE_BOUND[self.intent.order_type]:
            return self.intent.limit_price
        return np.inf if self.intent.side > 0 else 0.0

    def become(self, status: Status) -> None:
        """Move to `status`; :class:`WorkbenchError` names a transition that the life cycle does not have."""
        if status not in TRANSITIONS[self.status]:
            allowed = ", ".join(sorted(TRANSITIONS[self.status])) or "nothing: it is done"
            raise WorkbenchError(
                f"order {self.intent.order_ref} is {self.status} and cannot become {status}; allowed: {allowed}"
            )
        self.status = status

    def fill(self, quantity: int, price: float, adds: bool = False) -> None:
        """Record `quantity` shares at `price` and move on to PARTIAL or FILLED; `adds` liquidity."""
        if not 0 < quantity <= self.remaining:
            raise WorkbenchError(
                f"order {self.intent.order_ref} cannot fill {quantity} shares: {self.remaining} of "
                f"{self.intent.quantity} remain"
            )
        self.filled += quantity
        self.value += quantity * price
        self.added += quantity if adds else 0
        self.executions += 1
        self.become(Status.PARTIAL if self.remaining else Status.FILLED)


def refusal(intent: OrderIntent) -> str:
    """Why the exchange would refuse `intent`, or the empty string."""
    if intent.order_type not in PRICE_BOUND:
        return f"order type {intent.order_type!r} is not supported; use one of {', '.join(sorted(PRICE_BOUND))}"
    if intent.side not in (1, -1):
        return f"side {intent.side} must be +1 (buy) or -1 (sell)"
    if intent.quantity != int(intent.quantity) or intent.quantity <= 0:
        return f"quantity {intent.quantity} must be a whole number of shares above 0"
    if PRICE_BOUND[intent.order_type] and not (np.isfinite(intent.limit_price) and intent.limit_price > 0):
        return f"limit price {intent.limit_price} of a {intent.order_type} order must be finite and above 0"
    return ""
