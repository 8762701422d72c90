"""What a client asks the broker for, and what the broker tells it: immutable; prices in USD, times UTC ns."""

from __future__ import annotations

from dataclasses import dataclass
from math import nan

from workbench.gateway.orders import ExchangeOrder


@dataclass(frozen=True, slots=True)
class Ticket:
    """An order as a client writes it. `side` +1 buys, -1 sells; NaN price = none.

    `order_id` is the client's own number (0: entered by hand in TWS, each a new order). `algo` is "Adaptive" or empty,
    with `algo_params` (tag, value). `oca_type` 1 cancel with block, 2 reduce with block, 3 reduce without block.
    """

    order_id: int
    symbol: str
    side: int
    quantity: float
    order_type: str
    limit_price: float = nan
    aux_price: float = nan
    tif: str = "DAY"
    good_till: int = 0
    outside_rth: bool = False
    oca_group: str = ""
    oca_type: int = 0
    parent_id: int = 0
    transmit: bool = True
    order_ref: str = ""
    algo: str = ""
    algo_params: tuple[tuple[str, str], ...] = ()
    account: str = ""
    what_if: bool = False
    con_id: int = 0
    exchange: str = "SMART"

    @property
    def urgency(self) -> str:
        """Pace of the Adaptive algorithm; empty for a plain order."""
        return dict(self.algo_params).get("adaptivePriority", "Normal") if self.algo else ""

    def terms(self, reference: str) -> ExchangeOrder:
        """The order that goes to the exchange under `reference`."""
        return ExchangeOrder(
            reference,
            self.symbol,
            self.side,
            int(self.quantity),
            self.order_type,
            self.limit_price,
            self.tif,
            self.aux_price,
            self.good_till,
            self.outside_rth,
            self.urgency,
        )


@dataclass(frozen=True, slots=True)
class OrderView:
    """An order as the broker sees it now. `quantity` in the ticket is what it is after modifications and reductions.

    `commission` USD is NaN until something was charged. `completed_at` is 0 while it is open.
    """

    client_id: int
    perm_id: int
    ticket: Ticket
    status: str
    filled: int
    remaining: int
    average_price: float
    last_price: float
    commission: float
    why_held: str
    parent_perm_id: int
    placed_at: int
    completed_at: int
    completed_status: str


@dataclass(frozen=True, slots=True)
class Execution:
    """One execution; `side` +1 bought, -1 sold; `liquidity` 1 added, 2 removed; `realized` USD, NaN if it only opened
    a position; `commission` USD."""

    exec_id: str
    time: int
    account: str
    symbol: str
    con_id: int
    exchange: str
    side: int
    shares: int
    price: float
    perm_id: int
    client_id: int
    order_id: int
    cumulative: int
    average_price: float
    order_ref: str
    liquidity: int
    commission: float
    realized: float


@dataclass(frozen=True, slots=True)
class OrderOpened:
    """The openOrder callback."""

    order: OrderView


@dataclass(frozen=True, slots=True)
class OrderStatusChanged:
    """The orderStatus callback; its fields are those of the order at that moment."""

    order: OrderView


@dataclass(frozen=True, slots=True)
class Executed:
    """The execDetails callback."""

    execution: Execution


@dataclass(frozen=True, slots=True)
class CommissionCharged:
    """The commissionReport callback: commission and realised P&L of the execution."""

    execution: Execution


@dataclass(frozen=True, slots=True)
class OrderMessage:
    """An error or warning with the id of an order of `client_id`."""

    client_id: int
    order_id: int
    code: int
    text: str


BrokerEvent = OrderOpened | OrderStatusChanged | Executed | CommissionCharged | OrderMessage
