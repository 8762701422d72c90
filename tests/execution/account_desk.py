"""A paper broker, an account broker over it, and the systems that trade through both."""

from __future__ import annotations

from itertools import count
from math import nan

from paper_broker import SECOND, PaperBroker

from workbench.core.clock import ManualClock
from workbench.core.types import OrderIntent
from workbench.execution.account_broker import AccountBroker
from workbench.execution.orders import OrderState
from workbench.journal import JournalError, MemoryJournal

NUMBERS = count()


class RefusingJournal(MemoryJournal):
    refuses = False

    def record(self, kind, known_at, payload, **more):
        if self.refuses:
            raise JournalError("disk full")
        return super().record(kind, known_at, payload, **more)


class Desk:
    """A paper broker, an account broker over it, and what the systems were told."""

    def __init__(self, *systems: str, fallback: bool = True) -> None:
        self.clock = ManualClock(1_000 * SECOND)
        self.paper = PaperBroker(self.clock)
        self.journal = RefusingJournal()
        self.fallback = MemoryJournal() if fallback else None
        self.names = systems or ("a",)
        self.start()

    def start(self) -> None:
        names, fallback = self.names, self.fallback
        self.account = AccountBroker(self.paper, self.journal, self.clock, systems=names, fallback=fallback)
        self.account.restore(self.journal.entries)
        self.account.reconcile(self.clock.now())
        self.systems = {name: self.account.system(name, 100_000.0) for name in names}

    def want(self, system: str, side: int, quantity: int, symbol: str = "X", **more) -> str:
        ref = f"r{next(NUMBERS)}"
        fields = {"order_type": "MKT", "limit_price": nan, "tif": "DAY", "arrival_mid": 50.0} | more
        intent = OrderIntent(ref, symbol, side, quantity, decided_at=self.clock.now(), **fields)
        self.systems[system].submit(intent)
        return ref

    def flush(self) -> int:
        return self.account.flush(self.clock.now())

    def hear(self) -> None:
        for report in self.paper.outbox:
            self.account.hear(report)
        self.paper.outbox.clear()

    def poll(self, system: str) -> tuple:
        self.hear()
        return self.systems[system].poll()

    def reconcile(self, seconds: float = 5.0):
        self.clock.advance_to(self.clock.now() + int(seconds * SECOND))
        self.hear()
        return self.account.reconcile(self.clock.now())

    def state(self) -> list[OrderState]:
        return [e.state for e in self.account.ledger.orders.values()]

    def kinds(self) -> list[str]:
        return [e.kind for e in self.journal.entries]
