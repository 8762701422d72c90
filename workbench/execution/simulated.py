"""The simulated broker: a thin front of the matching engine with one account's ledger."""

from __future__ import annotations

from workbench.core.types import OrderIntent
from workbench.gateway.events import Charged, Event
from workbench.gateway.ledger import Ledger
from workbench.gateway.matching import MatchingEngine


class SimulatedBroker:
    """A :class:`~workbench.execution.broker.Broker` over `engine`, starting with `cash` USD and no positions."""

    def __init__(self, engine: MatchingEngine, cash: float) -> None:
        self.engine = engine
        self.ledger = Ledger(cash)
        self._charges: list[Charged] = []

    def submit(self, intent: OrderIntent) -> None:
        self.engine.submit(intent)

    def cancel(self, order_ref: str) -> None:
        self.engine.cancel(order_ref)

    def charge(self, kind: str, amount: float) -> None:
        """Take `amount` USD from the account now (borrow, interest); seen at the next poll."""
        self._charges.append(Charged(kind, amount, self.engine.clock.now()))

    def poll(self) -> tuple[Event, ...]:
        self.engine.run()
        events = (*self.engine.drain(), *self._charges)
        self._charges.clear()
        for event in events:
            self.ledger.apply(event)
        return events

    @property
    def cash(self) -> float:
        return self.ledger.cash

    @property
    def positions(self) -> dict[str, int]:
        return self.ledger.positions
