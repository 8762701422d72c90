"""A session again, from its journal: the same events through the same feature engine and the same decide()."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from workbench.config import Settings
from workbench.core.errors import ArtifactError, WorkbenchError
from workbench.core.types import Book, Decision, Snapshot
from workbench.engine.plan import EnginePlan
from workbench.engine.snapshots import Snapshots
from workbench.engine.systems import System, load_system
from workbench.journal import Entry, SqlJournal

KINDS = ("engine", "warmup", "daily", "backfill", "market", "decision")


@dataclass(frozen=True, slots=True)
class Recorded:
    """One decision as it was journaled, and the snapshot that its events give today."""

    system: System
    snapshot: Snapshot
    journaled: Snapshot
    book: Book
    decision: Decision
    digest: str


def session_systems(journal: SqlJournal, session: str) -> dict[str, System]:
    """The systems of `session`, with the bundles that it named; an error names what is not there any more."""
    about = journal.last("engine", session=session)
    if about is None:
        known = [s.session for s in journal.sessions()]
        raise WorkbenchError(f"the journal holds no session {session!r}; it holds {', '.join(known) or 'none'}")
    plan = EnginePlan.from_json(about.payload["plan"])
    return {s.system.name: _as_traded(s, about.payload["bundles"][s.system.name]) for s in plan.systems}


def _as_traded(settings: Settings, traded: Mapping[str, str]) -> System:
    """The system with the bundle that it traded, whatever was trained or promoted since."""
    name = settings.system.name
    try:
        system = load_system(settings, simulated=not settings.broker.host, wanted=traded["id"])
    except ArtifactError as error:
        raise WorkbenchError(f"system {name} traded bundle {traded['id']}, which cannot be loaded: {error}") from error
    if system.bundle.digest != traded["digest"]:
        raise WorkbenchError(
            f"system {name} traded bundle {traded['id']} with the digest {traded['digest']}, its folders give "
            f"{system.bundle.digest}; put the bundle back that was traded"
        )
    return system


def replay_session(journal: SqlJournal, session: str) -> Iterator[Recorded]:
    """Every decision of `session` in order."""
    systems = session_systems(journal, session)
    engines = {name: system.snapshots() for name, system in systems.items()}
    failed = journal.read("failed", session=session)
    untaken = {(e.payload["system"], e.known_at) for e in failed if not e.payload["taken"]}
    fresh: dict[str, Snapshot] = {}
    for entry in journal.read(KINDS, session=session):
        if entry.kind == "decision":
            yield _recorded(entry, systems[entry.system], fresh)
        else:
            left_out = untaken if entry.kind == "market" else set()
            fed = {name: engine for name, engine in engines.items() if (name, entry.known_at) not in left_out}
            fresh = _feed(entry, fed) or fresh


def _feed(entry: Entry, engines: dict[str, Snapshots]) -> dict[str, Snapshot]:
    """Take in what the entry holds; the snapshots it closes, by system."""
    payload: dict[str, Any] = entry.payload
    if entry.kind == "market":
        return {name: engine.close(payload["batch"]) for name, engine in engines.items()}
    for engine in engines.values():
        if entry.kind == "warmup":
            engine.warm_up(payload["bars"], payload["daily"], payload.get("since", ()))
        elif entry.kind == "daily":
            engine.load_daily(payload["bars"])
        elif entry.kind == "backfill":
            engine.catch_up(payload["bars"])
    return {}


def _recorded(entry: Entry, system: System, fresh: dict[str, Snapshot]) -> Recorded:
    p = entry.payload
    if system.name not in fresh:
        raise WorkbenchError(f"entry {entry.number}: a decision of {system.name} without the market it was made on")
    return Recorded(system, fresh[system.name], p["snapshot"], p["book"], p["decision"], p["digest"])
