"""What a broker tells us, in plain terms: facts about orders, executions, money and the connection. Immutable.

Reports are what arrived, not what we conclude: they may come late, twice, in any order or not at all. The order book of
record (:mod:`workbench.execution.orders`) turns them into events. Times are UTC ns, money USD; `order_ref` is empty
where the broker did not give one (orders entered by hand), numbers are 0 where it gave none.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class OrderReport:
    """State of an order as the broker gives it. `side` +1 buys, -1 sells; `status` in IB's words (``Submitted``)."""

    order_ref: str
    order_id: int
    perm_id: int
    client_id: int
    symbol: str
    side: int
    quantity: int
    order_type: str
    limit_price: float
    tif: str
    status: str
    filled: int
    remaining: int
    why_held: str
    time: int


@dataclass(frozen=True, slots=True)
class ExecutionReport:
    """One execution. `exec_id` as IB gives it: the last segment is a revision, ``.02`` corrects ``.01``."""

    exec_id: str
    order_ref: str
    order_id: int
    perm_id: int
    client_id: int
    symbol: str
    side: int
    quantity: int
    price: float
    time: int


@dataclass(frozen=True, slots=True)
class CommissionReport:
    """What an execution cost; `realized_pnl` NaN where the broker gave none."""

    exec_id: str
    commission: float
    currency: str
    realized_pnl: float
    time: int


@dataclass(frozen=True, slots=True)
class ErrorReport:
    """An error or a piece of information with a code; `order_id` 0, `order_ref` empty: not about an order of ours."""

    code: int
    text: str
    order_id: int
    order_ref: str
    time: int


class Link(StrEnum):
    """State of the way to the broker."""

    UP = "up"
    """Connected; what happened meanwhile is not known until facts were asked for."""
    DOWN = "down"
    """No connection to the gateway: nothing can be sent, nothing is heard."""
    CUT = "cut"
    """Connected to the gateway, which has lost the broker (1100): nothing sent now can be relied upon."""
    RESTORED = "restored"
    """The gateway has the broker again (1101, 1102): ask for facts and subscribe again."""
    DATA_LOST = "data_lost"
    """Market data of some farm stopped (2103, 2105) or our lines were taken (10197)."""
    DATA_BACK = "data_back"
    """Market data is said to be back (2104, 2106): subscribe again, it may not be."""


@dataclass(frozen=True, slots=True)
class LinkReport:
    """The way to the broker changed its state; `code` is IB's, 0 where there is none."""

    link: Link
    code: int
    text: str
    time: int


@dataclass(frozen=True, slots=True)
class PositionReport:
    """Shares of one symbol that the account holds."""

    symbol: str
    quantity: int
    average_cost: float


@dataclass(frozen=True, slots=True)
class AccountReport:
    """Money of the account: USD, NaN where unknown."""

    account: str
    net_liquidation: float
    cash: float
    excess_liquidity: float
    buying_power: float


@dataclass(frozen=True, slots=True)
class Facts:
    """All that the broker says when asked, at `asked_at` .. `told_at` of our clock: the ground of reconciliation.

    `orders` working now, of every client; `completed` those done today, where the broker still knows; `executions`
    and `commissions` of today; `positions` and `account` of our account.
    """

    asked_at: int
    told_at: int
    orders: tuple[OrderReport, ...]
    completed: tuple[OrderReport, ...]
    executions: tuple[ExecutionReport, ...]
    commissions: tuple[CommissionReport, ...]
    positions: tuple[PositionReport, ...]
    account: AccountReport


Report = OrderReport | ExecutionReport | CommissionReport | ErrorReport | LinkReport


@dataclass(frozen=True, slots=True)
class OutgoingOrder:
    """An order as it is sent. The same `order_id` again changes the order (price or quantity) in place.

    `algo`: "" or "Adaptive" with `priority`. `order_type`: MKT, LMT, MOC, LOC. `limit_price` NaN where there is none.
    """

    order_id: int
    order_ref: str
    symbol: str
    side: int
    quantity: int
    order_type: str
    limit_price: float
    tif: str
    algo: str = ""
    priority: str = ""


@dataclass(frozen=True, slots=True)
class Quote:
    """Best bid and ask of one symbol. NaN unknown; `time` UTC ns when it was last heard of (0: never).

    `halted` None: not told. `shortable_shares` NaN: not told. `delayed`: not real-time, refused for live trading.
    """

    symbol: str
    bid: float
    ask: float
    bid_size: float
    ask_size: float
    last: float
    time: int
    halted: bool | None
    shortable_shares: float
    delayed: bool


@dataclass(frozen=True, slots=True)
class WhatIf:
    """What a basket would do to the margin, by the broker: USD, NaN unknown."""

    equity_with_loan: float
    initial_margin_after: float
    maintenance_margin_after: float
    commission: float
