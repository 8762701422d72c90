"""One order of the account as the order book of record keeps it, and a change of its state."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from workbench.core.calendar import exchange_sessions
from workbench.core.units import NS_PER_MINUTE
from workbench.execution.order_states import OrderState
from workbench.execution.policies import AUCTION_CUTOFF_MINUTES, ON_CLOSE
from workbench.execution.reports import OrderReport, OutgoingOrder


@dataclass(slots=True)
class AccountOrder:
    """`order` as last sent; times UTC ns of our clock, 0 where it never happened.

    `filled` shares of executions that we counted; `told_filled` the most that a status ever claimed; `gap_at` since
    when it claims more than we counted; `cancels` sent so far; `missed_at` when the facts were asked that first did not
    know the order; `last_error` code of an error since the last sign of work; `revived`: its systems were told that it
    is over, but it lives; `twins` permId -> a second order at the broker with our reference.
    """

    order: OutgoingOrder
    state: OrderState
    sent_at: int
    state_at: int
    filled: int = 0
    told_filled: int = 0
    gap_at: int = 0
    perm_id: int = 0
    acknowledged: bool = False
    cancel_wanted: bool = False
    cancel_sent_at: int = 0
    cancels: int = 0
    changing: bool = False
    missed_at: int = 0
    last_error: int = 0
    revived: bool = False
    twins: dict[int, OrderReport] = field(default_factory=dict)

    @property
    def order_ref(self) -> str:
        return self.order.order_ref

    @property
    def symbol(self) -> str:
        return self.order.symbol

    @property
    def remaining(self) -> int:
        """Shares not filled; below 0 where more was filled than ordered."""
        return self.order.quantity - self.filled

    def tell_filled(self, filled: int, now: int) -> None:
        """A status counts `filled` shares in all."""
        self.told_filled = max(self.told_filled, filled)
        self.settle_gap(now)

    def settle_gap(self, now: int) -> None:
        """Note since when a status counts more than the executions that we know."""
        self.gap_at = (self.gap_at or now) if self.told_filled > self.filled else 0

    def promote(self) -> None:
        """The order is over, its twin takes its place."""
        self.perm_id, twin = min(self.twins.items())
        del self.twins[self.perm_id]
        self.order = replace(self.order, order_id=twin.order_id, limit_price=twin.limit_price)


def beyond_recall(entry: AccountOrder, now: int) -> bool:
    """Whether the exchange no longer lets go of it: an on-close order after the cut-off before the close (15:50)."""
    if entry.order.order_type not in ON_CLOSE:
        return False
    near = exchange_sessions().between(now, now)
    return bool((near.close_ns - now <= AUCTION_CUTOFF_MINUTES * NS_PER_MINUTE).any())


@dataclass(frozen=True, slots=True)
class Transition:
    """A change of state: from `before` to `after` for `reason` at `time` (UTC ns)."""

    order_ref: str
    symbol: str
    order_id: int
    perm_id: int
    before: OrderState
    after: OrderState
    filled: int
    reason: str
    time: int

    @classmethod
    def of(cls, entry: AccountOrder, after: OrderState, reason: str, now: int) -> Transition:
        order = entry.order
        ids = (order.order_ref, order.symbol, order.order_id, entry.perm_id)
        return cls(*ids, entry.state, after, entry.filled, reason, now)
