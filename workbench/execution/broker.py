"""What a broker must be able to do. The simulated one and Interactive Brokers' are used through this alone."""

from __future__ import annotations

from typing import Protocol

from workbench.core.errors import WorkbenchError
from workbench.core.types import OrderIntent
from workbench.execution.events import LiveEvent
from workbench.execution.reports import Facts, OutgoingOrder


class NotConnected(WorkbenchError):
    """There is no connection: nothing was written, so nothing can have arrived."""


class BrokerTimeout(WorkbenchError):
    """The broker did not answer a question in time; the answer is unknown, not no."""


class Broker(Protocol):
    """Takes orders and says what became of them. Nothing here blocks or raises on a bad order: it is rejected."""

    def submit(self, intent: OrderIntent) -> None:
        """Send an order."""
        ...

    def cancel(self, order_ref: str) -> None:
        """Ask for an order to be cancelled."""
        ...

    def poll(self) -> tuple[LiveEvent, ...]:
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


class Connection(Protocol):
    """The way to a real broker. What it hears goes, from its own thread, to a callback; it concludes nothing."""

    def place(self, order: OutgoingOrder) -> None:
        """Write an order, or a change of the order with this id; :class:`NotConnected` before anything is written."""
        ...

    def cancel(self, order_id: int) -> None:
        """Write a request to cancel; :class:`NotConnected` before anything is written."""
        ...

    def facts(self) -> Facts:
        """Ask for all that the broker knows; blocks. :class:`BrokerTimeout`, :class:`NotConnected`."""
        ...

    def server_time(self) -> int:
        """UTC ns of the gateway's clock, in whole seconds; blocks. :class:`BrokerTimeout`, :class:`NotConnected`."""
        ...

    def reserve_order_id(self, above: int) -> int:
        """An order id never used before, greater than `above`; :class:`NotConnected` if none was given yet."""
        ...

    @property
    def connected(self) -> bool:
        """Whether there is a session with the gateway."""
        ...
