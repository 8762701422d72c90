"""What a gateway says about an order, in the order in which it happens. Events are immutable; times are UTC ns."""

from __future__ import annotations

from dataclasses import dataclass

from workbench.core.types import Fill


@dataclass(frozen=True, slots=True)
class Accepted:
    """The order arrived at the exchange and works."""

    order_ref: str
    symbol: str
    time: int


@dataclass(frozen=True, slots=True)
class Filled:
    """An execution; `remaining` shares still work afterwards.

    `spread_cost` + `impact_cost` (USD, >= 0) = side * quantity * (price - mid): the part paid up to the displayed
    price, and the part paid for walking beyond it.
    """

    fill: Fill
    remaining: int
    spread_cost: float
    impact_cost: float

    @property
    def order_ref(self) -> str:
        return self.fill.order_ref

    @property
    def symbol(self) -> str:
        return self.fill.symbol

    @property
    def time(self) -> int:
        return self.fill.time


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The order is gone with `remaining` shares unfilled."""

    order_ref: str
    symbol: str
    time: int
    remaining: int
    reason: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """The order (or the request to cancel it) was never acted upon; `reason` names the value and the remedy."""

    order_ref: str
    symbol: str
    time: int
    reason: str


@dataclass(frozen=True, slots=True)
class Activated:
    """An order that was held for its hours, or slept until its stop, begins to work."""

    order_ref: str
    symbol: str
    time: int


@dataclass(frozen=True, slots=True)
class Modified:
    """The order has the terms that were asked for."""

    order_ref: str
    symbol: str
    time: int


@dataclass(frozen=True, slots=True)
class Refused:
    """A `request` ("cancel" or "modify") was not followed; the order stays as it is. `reason` says why."""

    order_ref: str
    symbol: str
    time: int
    request: str
    reason: str


@dataclass(frozen=True, slots=True)
class Charged:
    """Money taken from the account that belongs to no order (`amount` USD > 0 is paid): borrow, for one."""

    kind: str
    amount: float
    time: int


Event = Accepted | Activated | Filled | Modified | Cancelled | Rejected | Refused | Charged
