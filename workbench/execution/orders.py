"""The orders of one system as it knows them, through named states."""

from __future__ import annotations

from dataclasses import replace

from workbench.core.errors import DataError
from workbench.core.types import OrderIntent
from workbench.execution.events import Corrected, LiveEvent
from workbench.execution.order_states import AT_BROKER, DONE, NEXT, OPEN, OrderState
from workbench.gateway.events import Accepted, Cancelled, Filled, Rejected

__all__ = [
    "AT_BROKER",
    "DONE",
    "NEXT",
    "OPEN",
    "OrderState",
    "OrderTracker",
]


class OrderTracker:
    """All orders of one system. `apply` is idempotent in fills: an execId counts once."""

    def __init__(self) -> None:
        self._intents: dict[str, OrderIntent] = {}  # order_ref -> the order as intended
        self._state: dict[str, OrderState] = {}  # order_ref -> what we know
        self._remaining: dict[str, int] = {}  # order_ref -> shares not filled, open orders only
        self._executions: set[str] = set()  # execIds already counted

    def __len__(self) -> int:
        return len(self._intents)

    def __contains__(self, order_ref: str) -> bool:
        return order_ref in self._intents

    def state(self, order_ref: str) -> OrderState:
        """State of the order; :class:`DataError` if we never intended it."""
        if order_ref not in self._state:
            raise DataError(f"order {order_ref} is not ours: no intent with this reference was journaled")
        return self._state[order_ref]

    @property
    def open_orders(self) -> tuple[OrderIntent, ...]:
        """Orders that may still fill; `quantity` is what remains."""
        return tuple(replace(self._intents[ref], quantity=left) for ref, left in self._remaining.items())

    def intend(self, intent: OrderIntent) -> None:
        """Note an intent before it is journaled and sent; :class:`DataError` if its reference was used before."""
        if intent.order_ref in self._intents:
            raise DataError(
                f"order reference {intent.order_ref} ({intent.symbol}) was used before; it is never sent twice"
            )
        self._intents[intent.order_ref] = intent
        self._state[intent.order_ref] = OrderState.INTENDED
        self._remaining[intent.order_ref] = intent.quantity

    def sent(self, order_ref: str) -> None:
        """The order left for the broker."""
        self._become(order_ref, OrderState.SENT)

    def adopt(self, intent: OrderIntent) -> None:
        """Take over an order that was sent before a restart; `quantity` is what remains of it."""
        self.intend(intent)
        self.sent(intent.order_ref)

    def apply(self, event: LiveEvent) -> bool:
        """Move the order that `event` speaks of; False if the event was already counted or concerns none of ours."""
        if isinstance(event, Corrected):
            return self._apply_correction(event)
        if not isinstance(event, (Accepted, Filled, Cancelled, Rejected)) or event.order_ref not in self._intents:
            return False
        if isinstance(event, Filled):
            return self._apply_fill(event)
        if isinstance(event, Accepted):
            return self._become(event.order_ref, OrderState.ACCEPTED)
        return self._become(
            event.order_ref, OrderState.CANCELLED if isinstance(event, Cancelled) else OrderState.REJECTED
        )

    def _apply_fill(self, event: Filled) -> bool:
        if event.fill.exec_id in self._executions:
            return False
        self._executions.add(event.fill.exec_id)
        left = self._remaining.get(event.order_ref, 0) - event.fill.quantity
        if event.order_ref in self._remaining:
            self._remaining[event.order_ref] = left
        if self._state[event.order_ref] not in DONE:
            self._become(event.order_ref, OrderState.PARTIAL if left > 0 else OrderState.FILLED)
        return True  # a fill after a cancel is still a fill: money moved

    def _apply_correction(self, event: Corrected) -> bool:
        if event.order_ref not in self._intents or event.after.exec_id in self._executions:
            return False
        self._executions |= {event.before.exec_id, event.after.exec_id}
        if event.order_ref in self._remaining:
            self._remaining[event.order_ref] -= event.after.quantity - event.before.quantity
            if self._remaining[event.order_ref] <= 0:
                self._become(event.order_ref, OrderState.FILLED)
        return True

    def _become(self, order_ref: str, state: OrderState) -> bool:
        if state not in NEXT[self._state[order_ref]]:
            return False
        self._state[order_ref] = state
        if state in DONE:
            self._remaining.pop(order_ref, None)
        return True
