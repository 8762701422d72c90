"""Start-up, restart and crash are one path: what the journal says of each system, before the broker is asked."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import merge
from typing import Any

from workbench.core.bars import Bars
from workbench.core.types import Carry, Decision, Snapshot
from workbench.core.units import NS_PER_DAY
from workbench.engine.modes import Mode
from workbench.engine.snapshots import MarketBatch
from workbench.execution.account_broker import AccountBroker
from workbench.execution.broker import Broker
from workbench.execution.portfolio import Portfolio
from workbench.execution.restoring import ACCOUNT_KINDS
from workbench.journal import Entry, FallbackJournal, SqlJournal

SETTLED_NS = 8 * NS_PER_DAY
"""Age of a settlement before which a restart need not read: the broker tells executions of a week at most."""


class SystemJournal:
    """The journal in the name of one system, as a Session takes it."""

    def __init__(self, journal: SqlJournal | FallbackJournal, system: str) -> None:
        self.journal, self.system = journal, system

    def record(self, kind: str, known_at: int, payload: Mapping[str, Any]) -> None:
        """Append one record of the system."""
        self.journal.record(kind, known_at, payload, system=self.system)


@dataclass(frozen=True, slots=True)
class Past:
    """Where a system stood: its last decision, its mode, its book at that decision and what it traded since (USD).

    `switched`: the mode was changed after that decision; where not, its breaches may still have to change it.
    """

    mode: Mode
    decision: Decision
    snapshot: Snapshot
    state: Mapping[str, Any]
    traded_since: tuple[float, ...]
    switched: bool

    @property
    def carry(self) -> Carry:
        """What the next decision gets from the last."""
        return self.decision.carry

    def portfolio(self, symbols: tuple[str, ...], broker: Broker) -> Portfolio:
        """The system's book: marks and the day's beginning as of the last decision, money and shares as of now."""
        book = Portfolio.of_state(symbols, self.state)
        now = Portfolio(symbols, broker.cash, broker.positions)
        book.cash, book.shares = now.cash, now.shares
        for amount in self.traded_since:  # one by one, as an engine that went on would have added them
            book.traded_today += amount
        return book


@dataclass(frozen=True, slots=True)
class Restored:
    """What the journal holds of the account: `entries` of its orders and fills, and the past of each system."""

    entries: tuple[Entry, ...]
    systems: Mapping[str, Past]
    modes: Mapping[str, Mode]
    """The last mode of each system that ever changed it or decided."""


def restore(journal: SqlJournal, fallback: FallbackJournal, systems: Sequence[str]) -> Restored:
    """Read what still matters, in the order in which it was recorded. Systems that never decided are absent."""
    after, since = _settled(journal)
    refused = [e for e in fallback.read() if e.kind in ACCOUNT_KINDS and e.recorded_at >= since]
    # each file keeps its own order, whatever the machine's clock did; by that clock they are only put together
    entries = tuple(merge(journal.read(ACCOUNT_KINDS, after=after), refused, key=lambda e: e.recorded_at))
    pasts = {name: past for name in systems if (past := _past(journal, name, entries)) is not None}
    changes = [entry for entry in fallback.read() if entry.kind == "mode"]
    modes = {name: mode for name in systems if (mode := _mode(journal, changes, name, pasts.get(name))) is not None}
    return Restored(entries, pasts, modes)


def settle(journal: SqlJournal, account: AccountBroker, now: int) -> None:
    """Record every book as it stands; where no order is open, also that what came before is over and done with."""
    begin = journal.record("settling", now, {})
    account.checkpoint()
    if not account.ledger.unsettled:
        journal.record("settled", now, {"after": begin})


def _settled(journal: SqlJournal) -> tuple[int, int]:
    """(number, time by the machine's clock) from which on entries matter: an older settlement, none: from the start.

    Not the newest one: for SETTLED_NS the broker may still tell of executions again, and their names must be known.
    """
    for entry in journal.read("settled", newest_first=True):
        if time.time_ns() - entry.recorded_at > SETTLED_NS:
            return int(entry.payload["after"]), entry.recorded_at
    return 0, 0


def _mode(journal: SqlJournal, refused: Sequence[Entry], name: str, past: Past | None) -> Mode | None:
    """Who only watches must not trade after a restart: also where no decision was made yet, or the journal was down."""
    told = [e for e in (journal.last("mode", system=name), *refused) if e is not None and e.system == name]
    if not told:
        return past.mode if past else None
    return Mode(max(told, key=lambda e: e.recorded_at).payload["to"])


def as_consumed(journal: SqlJournal, bars: Bars, symbols: Sequence[str]) -> tuple[Bars, tuple[Bars | MarketBatch, ...]]:
    """History up to the first bar of its last session that an engine consumed live; then what it consumed, and history.

    History has no quotes, and has bars that came too late to be decided on: only what was consumed as it was consumed
    gives a restarted engine the features that it had.
    """
    day = int(bars.ts[bars.session == bars.session[-1]][0])
    consumed: dict[int, MarketBatch] = {}  # end of the bar, UTC ns -> what was consumed, at last
    for entry in journal.read("market", since=day, until=int(bars.ts[-1])):
        batch = entry.payload["batch"]
        if set(symbols) <= set(batch.symbols):
            consumed[batch.ts] = batch
    parts: list[Bars | MarketBatch] = []
    begin = 0
    for row, ts in enumerate(bars.ts.tolist()):
        if ts in consumed:
            if row > begin:
                parts.append(bars.rows(begin, row))
            parts.append(consumed[ts])
            begin = row + 1
    if begin == 0:
        return bars, ()
    if begin < len(bars.ts):
        parts.append(bars.rows(begin, len(bars.ts)))
    first = parts[0]
    assert isinstance(first, Bars), "the sessions before the last one are history"
    return first, tuple(parts[1:])


def _past(journal: SqlJournal, name: str, entries: Sequence[Entry]) -> Past | None:
    last = journal.last("decision", system=name)
    if last is None:
        return None
    told = journal.last("mode", system=name, after=last.number)
    mode = Mode(told.payload["to"] if told else last.payload["mode"])
    p = last.payload
    traded = tuple(_traded(name, [e for e in entries if e.recorded_at > last.recorded_at]))
    return Past(mode, p["decision"], p["snapshot"], p["portfolio"], traded, told is not None)


def _traded(system: str, entries: Sequence[Entry]) -> Iterator[float]:
    """USD of each fill of `system`, and of what corrections changed in them."""
    for entry in entries:
        p = entry.payload
        for share in p["shares"] if entry.kind in ("fill", "correction") else ():
            if share["system"] != system:
                continue
            if entry.kind == "fill":
                yield share["quantity"] * p["fill"]["price"]
            else:
                yield -share["before"] * p["before"]["price"]
                yield share["after"] * p["after"]["price"]
