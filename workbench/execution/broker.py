"""What a broker must be able to do. The simulated one and Interactive Brokers' are used through this alone."""

from __future__ import annotations

from typing import Protocol

from workbench.core.types import OrderIntent
from workbench.gateway.events import Event


class Broker(Protocol):
    """Takes orders and says what became of them. Nothing here blocks or raises on a bad order: it is rejected."""

    def submit(self, intent: OrderIntent) -> None:
        """Send an order."""
        ...

    def cancel(self, order_ref: str) -> None:
        """Ask for an order to be cancelled."""
        ...

    def poll(self) -> tuple[Event, ...]:
        """Everything that happened since the last call, in order."""
        ...

    @property
    def cash(self) -> float:
        """USD in the account."""
        ...

    @property
    def positions(self) -> dict[str, int]:
        """Signed shares of every symbol held."""
        ...
