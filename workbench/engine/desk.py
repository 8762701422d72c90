"""One system at work in a live engine: its feature engine, its session, and how both are opened."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workbench.core.types import Snapshot
from workbench.engine.accounts import AccountError
from workbench.engine.live_guard import LiveGuard, Surroundings
from workbench.engine.modes import Mode
from workbench.engine.recovery import Past, SystemJournal
from workbench.engine.session import Session
from workbench.engine.snapshots import Snapshots
from workbench.engine.systems import System
from workbench.engine.working_orders import WORKED, WorkingOrders
from workbench.execution.account_broker import AccountBroker
from workbench.execution.system_broker import SystemBroker
from workbench.journal import FallbackJournal, SqlJournal
from workbench.models.predictor import ModelPredictor


@dataclass
class Desk:
    """One system at work."""

    system: System
    snapshots: Snapshots
    session: Session
    snapshot: Snapshot | None = None

    @property
    def decided_at(self) -> int:
        """End of the bar of the last decision, UTC ns; 0 before the first."""
        return 0 if self.session.decision is None else self.session.decision.known_at

    @property
    def models_asked(self) -> int:
        """How often models were asked anew so far; the other answers were remembered."""
        predictor = self.system.stages.predictor
        return predictor.asked.total() if isinstance(predictor, ModelPredictor) else 0


def open_desk(
    system: System,
    past: Past | None,
    mode: Mode,
    capital: float,
    account: AccountBroker,
    around: Surroundings,
    journal: SqlJournal,
    fallback: FallbackJournal,
) -> Desk:
    """The system with the book that it had, or with `capital` USD of the account."""
    settings, universe = system.settings, system.universe
    broker = account.system(system.name, capital)
    if settings.execution.policy == "adaptive":
        broker.algo, broker.priority = "Adaptive", settings.execution.priority
    session = Session(
        lambda snapshot: system.stages,
        broker,
        SystemJournal(journal, system.name),
        settings,
        universe,
        system.name,
        mode=mode,
        fallback=SystemJournal(fallback, system.name),
        guard=LiveGuard(around, settings, universe, lambda: session.decision, lambda: broker.open_orders),
        portfolio=past.portfolio(universe.symbols, broker) if past else None,
        carry=past.carry if past and past.decision.symbols == universe.symbols else None,
        working=broker.open_orders,
        worked=_worked(system, broker),
    )
    return Desk(system, system.snapshots(), session)


def capital_of(system: System, account: AccountBroker, systems: int) -> float:
    """USD of a system that has no book yet: what was set, or an equal part of the account; NaN where its book goes on.

    :class:`AccountError` where neither is there, or others trade the account already.
    """
    if not system.settings.system.capital and account.booked - {system.name}:
        if system.name in account.booked:
            return np.nan
        raise AccountError(
            f"system {system.name} joins an account that {', '.join(sorted(account.booked))} already trade in: "
            "set system.capital, the USD of the account that are its own"
        )
    part = np.nan if account.account is None else account.account.net_liquidation / systems
    capital = system.settings.system.capital or part
    if not capital > 0:
        raise AccountError(
            f"the broker reports a net liquidation of {part * systems:g} USD: there is nothing to trade with; fund the "
            "account, or set system.capital (an account in another currency than USD cannot be traded)"
        )
    return capital


def _worked(system: System, broker: SystemBroker) -> WorkingOrders | None:
    if system.settings.execution.policy not in WORKED:
        return None
    return WorkingOrders(system.settings, system.universe, broker.change)
