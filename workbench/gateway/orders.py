"""The life of an order at the exchange: its terms, its statuses, named sets of them, and the allowed transitions."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from math import inf, isfinite, nan

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


@dataclass(frozen=True, slots=True)
class OrderKind:
    """`bounded`: its own price bounds the fill; `stop`: sleeps until the last price reaches the stop; `at_close`:
    trades only in the closing auction."""

    bounded: bool
    stop: bool = False
    at_close: bool = False


# order type -> what it does
KINDS: dict[str, OrderKind] = {
    "MKT": OrderKind(bounded=False),
    "LMT": OrderKind(bounded=True),
    "STP": OrderKind(bounded=False, stop=True),
    "STP LMT": OrderKind(bounded=True, stop=True),
    "MOC": OrderKind(bounded=False, at_close=True),
    "LOC": OrderKind(bounded=True, at_close=True),
}
TIFS = frozenset({"DAY", "GTC", "IOC", "GTD"})
URGENCIES = frozenset({"", "Urgent", "Normal", "Patient"})


@dataclass(frozen=True, slots=True)
class ExchangeOrder:
    """The terms of an order. `side` +1 buys, -1 sells; prices in USD, NaN where the type has none.

    `aux_price` is the stop; `good_till` UTC ns (GTD only); `outside_rth` lets LMT and STP LMT trade in extended hours;
    `urgency` names the pace of the Adaptive algorithm, empty without it.
    """

    order_ref: str
    symbol: str
    side: int
    quantity: int
    order_type: str
    limit_price: float = nan
    tif: str = "DAY"
    aux_price: float = nan
    good_till: int = 0
    outside_rth: bool = False
    urgency: str = ""

    @classmethod
    def of(cls, intent: OrderIntent) -> ExchangeOrder:
        """The order that `intent` asks for."""
        i = intent
        return cls(i.order_ref, i.symbol, i.side, i.quantity, i.order_type, i.limit_price, i.tif)

    @property
    def kind(self) -> OrderKind:
        return KINDS[self.order_type]

    @property
    def extended(self) -> bool:
        """Whether it trades in extended hours: a market order never does."""
        return self.outside_rth and self.kind.bounded and not self.kind.at_close


@dataclass(slots=True)
class Slice:
    """The part of an Adaptive order that works now: `shares` at `limit` or better."""

    limit: float
    shares: int


@dataclass(slots=True)
class WorkingOrder:
    """One order as the exchange sees it. Its status changes only through :meth:`become` and :meth:`fill`."""

    intent: ExchangeOrder
    status: Status = Status.PENDING
    filled: int = 0
    value: float = 0.0
    """USD traded so far: the sum of quantity * price."""
    commission: float = 0.0
    """USD charged so far."""
    added: int = 0
    """Filled shares that added liquidity: they rested until someone traded against them."""
    executions: int = 0
    live: bool = True
    """Takes part in continuous trading: within its hours, elected if it is a stop, and not held for the close."""
    held: bool = False
    """Waits for its trading hours, which begin at `starts` (UTC ns)."""
    starts: int = 0
    elected: bool = False
    """A stop whose price was reached."""
    ahead: float = nan
    """Estimated shares in the queue ahead of us at our price; NaN unknown."""
    slice: Slice | None = None
    version: int = 0
    """Counts the changes of its terms; what was due for an older version is void."""

    @property
    def remaining(self) -> int:
        """Shares not yet filled."""
        return self.intent.quantity - self.filled

    @property
    def workable(self) -> int:
        """Shares that may trade now: what remains, or the slice of an Adaptive order."""
        return self.remaining if self.slice is None else min(self.remaining, self.slice.shares)

    @property
    def limit(self) -> float:
        """The worst price this order may trade at now: +inf for a market buy, 0 for a market sale."""
        return self.worst if self.slice is None else self.slice.limit

    @property
    def worst(self) -> float:
        """The worst price this order may ever trade at."""
        if KINDS[self.intent.order_type].bounded:
            return self.intent.limit_price
        return inf if self.intent.side > 0 else 0.0

    @property
    def bounded(self) -> bool:
        """Whether a price of its own bounds the fill now."""
        return 0.0 < self.limit < inf

    def refresh(self) -> None:
        """Work out anew whether it is live."""
        kind = self.intent.kind
        self.live = not self.held and not kind.at_close and (self.elected or not kind.stop)

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
        if self.slice is not None:
            self.slice.shares -= quantity
        self.become(Status.PARTIAL if self.remaining else Status.FILLED)


def refusal(order: ExchangeOrder) -> str:
    """Why the exchange would refuse `order`, or the empty string."""
    if order.order_type not in KINDS:
        return f"order type {order.order_type!r} is not supported; use one of {', '.join(sorted(KINDS))}"
    if order.side not in (1, -1):
        return f"side {order.side} must be +1 (buy) or -1 (sell)"
    if order.quantity != int(order.quantity) or order.quantity <= 0:
        return f"quantity {order.quantity} must be a whole number of shares above 0"
    kind = order.kind
    if kind.bounded and not _is_price(order.limit_price):
        return f"limit price {order.limit_price} of a {order.order_type} order must be finite and above 0"
    if kind.stop and not _is_price(order.aux_price):
        return f"stop price {order.aux_price} of a {order.order_type} order must be finite and above 0"
    return _refusal_of_time(order)


def _refusal_of_time(order: ExchangeOrder) -> str:
    kind = order.kind
    if order.tif not in TIFS:
        return f"time in force {order.tif!r} is not supported; use one of {', '.join(sorted(TIFS))}"
    if order.tif == "GTD" and order.good_till <= 0:
        return f"a GTD order needs the time it is good till; good_till = {order.good_till} ns must be above 0"
    if kind.at_close and order.tif != "DAY":
        return f"time in force {order.tif} of a {order.order_type} order must be DAY: it trades at today's close"
    if order.urgency not in URGENCIES:
        return f"urgency {order.urgency!r} is unknown; use one of {', '.join(sorted(URGENCIES - {''}))}"
    if order.urgency and order.order_type not in ("MKT", "LMT"):
        return f"the Adaptive algorithm works MKT and LMT orders, not {order.order_type}"
    return ""


def _is_price(price: float) -> bool:
    return isfinite(price) and price > 0
