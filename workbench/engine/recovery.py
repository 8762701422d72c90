"""Start-up, restart and crash are one path: what the journal says of each system, before the broker is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workbench.core.types import Carry, Decision, Snapshot
from workbench.engine.modes import Mode
from workbench.execution.broker import Broker
from workbench.execution.portfolio import Portfolio
from workbench.execution.restoring import ACCOUNT_KINDS
from workbench.journal import Entry, FallbackJournal, SqlJournal


class SystemJournal:
    """The journal in the name of one system, as a Session takes it."""

    def __init__(self, journal: SqlJournal, system: str) -> None:
        self.journal, self.system = journal, system

    def record(self, kind: str, known_at: int, payload: Mapping[str, Any]) -> None:
        """Append one record of the system."""
        self.journal.record(kind, known_at, payload, system=self.system)


@dataclass(frozen=True, slots=True)
class Past:
    """Where a system stood: its last decision, its mode, its book at that decision and what it traded since (USD)."""

    mode: Mode
    decision: Decision
    snapshot: Snapshot
    state: Mapping[str, Any]
    traded_since: float

    @property
    def carry(self) -> Carry:
        """What the next decision gets from the last."""
        return self.decision.carry

    def portfolio(self, symbols: tuple[str, ...], broker: Broker) -> Portfolio:
        """The system's book: marks and the day's beginning as of the last decision, money and shares as of now."""
        book = Portfolio.of_state(symbols, self.state)
        now = Portfolio(symbols, broker.cash, broker.positions)
        book.cash, book.shares = now.cash, now.shares
        book.traded_today += self.traded_since
        return book


@dataclass(frozen=True, slots=True)
class Restored:
    """What the journal holds of the account: `entries` of its orders and fills, and the past of each system."""

    entries: tuple[Entry, ...]
    systems: Mapping[str, Past]


def restore(journal: SqlJournal, fallback: FallbackJournal, systems: Sequence[str]) -> Restored:
    """Read it all, in the order in which it was recorded. Systems that never decided are absent."""
    refused = [entry for entry in fallback.read() if entry.kind in ACCOUNT_KINDS]
    entries = tuple(sorted((*journal.read(ACCOUNT_KINDS), *refused), key=lambda e: e.recorded_at))
    pasts = {name: past for name in systems if (past := _past(journal, name, entries)) is not None}
    return Restored(entries, pasts)


def _past(journal: SqlJournal, name: str, entries: Sequence[Entry]) -> Past | None:
    last = journal.last("decision", system=name)
    if last is None:
        return None
    told = journal.last("mode", system=name, after=last.number)
    mode = Mode(told.payload["to"] if told else last.payload["mode"])
    traded = sum(
        share["quantity"] * entry.payload["fill"]["price"]
        for entry in entries
        if entry.kind == "fill" and entry.number > last.number
        for share in entry.payload["shares"]
        if share["system"] == name
    )
    return Past(mode, last.payload["decision"], last.payload["snapshot"], last.payload["portfolio"], traded)
