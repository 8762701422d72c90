"""One step of a trading session: the same code in backtest, replay and live.

    fills -> marks -> cancel leftovers -> book -> decide -> journal -> plan -> guards -> journal intents -> submit

Nothing is sent that was not journaled before. At the last bar of a session nothing is sent: it could only fill the next
day. An error inside a step is journaled, stops sending (OBSERVE) and goes up to the caller.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from workbench.config import Settings
from workbench.core.errors import DataError
from workbench.core.types import Book, Carry, Decision, OrderIntent, Snapshot, Target
from workbench.core.universe import Universe
from workbench.decision.validation import loss_breaches
from workbench.engine.modes import SENDING, STICKY, Mode, after_breaches
from workbench.engine.working_orders import WorkingOrders
from workbench.execution.broker import Broker
from workbench.execution.events import LiveEvent
from workbench.execution.guards import Guarded, Held, apply_guards
from workbench.execution.orders import OrderTracker
from workbench.execution.planning import plan_orders
from workbench.execution.portfolio import Portfolio, mark_prices
from workbench.execution.reports import Quote
from workbench.gateway.events import Accepted
from workbench.journal import Journal, JournalError


class StagesProvider(Protocol):
    """Which fitted stages decide on a snapshot."""

    def __call__(self, snapshot: Snapshot) -> Any:
        """The stages in force at `snapshot.known_at`."""
        ...


DecideFunction = Callable[[Snapshot, Book, Any], Decision]
GuardFunction = Callable[[tuple[OrderIntent, ...], Book, Snapshot, bool], Guarded]
"""``guard(intents, book, snapshot, reduce_only)``: the last look before orders leave."""


class Session:
    """Steps one system through time. Carries its portfolio, its orders, its mode and the carry between decisions.

    `stages` gives the stages for a snapshot; `decide` is the pure decision function. `fallback`, where given, takes
    records that `journal` refuses: then only cancels and reductions still go out. `guard` replaces the backtest's
    guards; `portfolio`, `carry` and `working` orders are those of a session that goes on where it was stopped. `worked`
    works the orders between bars, where the policy asks for that.
    """

    def __init__(
        self,
        stages: StagesProvider,
        broker: Broker,
        journal: Journal,
        settings: Settings,
        universe: Universe,
        name: str = "main",
        *,
        decide: DecideFunction | None = None,
        mode: Mode = Mode.LIVE,
        fallback: Journal | None = None,
        guard: GuardFunction | None = None,
        portfolio: Portfolio | None = None,
        carry: Carry | None = None,
        working: tuple[OrderIntent, ...] = (),
        worked: WorkingOrders | None = None,
    ) -> None:
        self.stages, self.broker, self.journal, self.settings = stages, broker, journal, settings
        self.universe, self.name, self.mode, self.fallback = universe, name, mode, fallback
        self.decide = decide or _the_decide()
        self.guard = guard or self._plain_guards
        self.portfolio = portfolio or Portfolio(universe.symbols, broker.cash, broker.positions)
        self.tracker = OrderTracker()
        for intent in working:
            self.tracker.adopt(intent)
        self.carry = carry or Carry.empty(len(universe))
        self.worked = worked
        self.events: tuple[LiveEvent, ...] = ()
        """What the broker reported during the last step, in order."""
        self.mode_reason = "as it started"
        self.held: tuple[Held, ...] = ()
        """What the guards held back at the last look."""
        self.decision: Decision | None = None
        self.last_digest = ""
        """Digest of the last decision."""
        self._journal_down = False

    def step(self, snapshot: Snapshot) -> Decision:
        """Decide on `snapshot` and send what follows from it; :class:`WorkbenchError` where the book is worth nothing.

        Such a book can still be flattened: by :meth:`watch`, in EMERGENCY.
        """
        with self._boundary(snapshot.known_at):
            book = self._settle(snapshot)
            self.portfolio.check_value()
            decision = self.decide(snapshot, book, self.stages(snapshot))
            self.carry, self.decision, self.last_digest = decision.carry, decision, decision.digest
            self._record("decision", snapshot.known_at, self._receipt(decision, book, snapshot))
            self._switch(decision, snapshot.known_at)
            self._send(self._plan(decision, book, snapshot), book, snapshot)
            return decision

    def act_again(self, decision: Decision, snapshot: Snapshot) -> None:
        """Send what is still missing of a decision that was made and journaled before a crash.

        Orders that still work are left alone, and nothing that was sent before is sent again.
        """
        with self._boundary(snapshot.known_at):
            self._take_events(snapshot.known_at)
            book = self.portfolio.book(snapshot.known_at, self.tracker.open_orders, self.carry)
            self._send(self._plan(decision, book, snapshot), book, snapshot)

    def observe(self, snapshot: Snapshot) -> Book:
        """Take in fills and prices and cancel what is left over, without deciding: for a bar on which nobody traded."""
        with self._boundary(snapshot.known_at):
            return self._settle(snapshot)

    def watch(self, snapshot: Snapshot) -> None:
        """Between bars: fills, marks and loss limits on the quotes of now. Only a flattening sends anything."""
        with self._boundary(snapshot.known_at):
            self.events = ()
            self._take_events(snapshot.known_at)
            if snapshot.minutes_to_close <= 0:
                return  # quotes of the night, and before the next session's first bar, are of no session: no mark
            self.portfolio.mark(mark_prices(snapshot), snapshot.session)
            p = self.portfolio
            if breaches := loss_breaches(p.nav, p.day_start_nav, p.peak_nav, self.settings.validation):
                change = after_breaches(self.mode, breaches)
                self.set_mode(change.mode, change.reason, snapshot.known_at)
                for order in self.tracker.open_orders if change.cancel_all else ():
                    self.broker.cancel(order.order_ref)
                self._take_events(snapshot.known_at)
            if self.mode is Mode.EMERGENCY and not self.tracker.open_orders:
                book = p.book(snapshot.known_at, (), self.carry)
                self._send(self._flattening(book, snapshot), book, snapshot)

    def work(self, snapshot: Snapshot, quotes: Mapping[str, Quote], bar_end: int) -> None:
        """Between bars, with the snapshot and the quotes of now: limits step and slices leave, as the policy says."""
        if self.worked is None or self.mode not in SENDING:
            return
        with self._boundary(snapshot.known_at):
            moves = self.worked.moves(self.tracker, quotes, snapshot.known_at, bar_end)
            for order_ref in moves.cancels:
                self.broker.cancel(order_ref)
            for order_ref, limit in moves.changes:
                self.worked.change(order_ref, limit, snapshot.known_at)
            if moves.slices:
                book = self.portfolio.book(snapshot.known_at, self.tracker.open_orders, self.carry)
                guarded = self.guard(moves.slices, book, snapshot, self._reduce_only)
                self._submit(guarded.intents, book, snapshot)
                for part in guarded.intents:
                    self.worked.sent(part)

    def set_mode(self, mode: Mode, reason: str, known_at: int) -> None:
        """Change the mode for a reason that is journaled."""
        if not reason:
            raise DataError(f"a change to {mode} needs a reason; it is journaled")
        if mode != self.mode:
            self._record("mode", known_at, {"from": self.mode, "to": mode, "reason": reason})
            self.mode, self.mode_reason = mode, reason

    # ---- inside -----------------------------------------------------------------------------------------------

    def _settle(self, snapshot: Snapshot) -> Book:
        """Fills, marks, and no order of an older decision left working that the broker could still cancel."""
        self.events = ()
        self._take_events(snapshot.known_at)
        self.portfolio.mark(mark_prices(snapshot), snapshot.session)
        stale = self.tracker.open_orders
        if stale:
            for order in stale:
                self.broker.cancel(order.order_ref)
            self._take_events(snapshot.known_at)
            self.portfolio.mark(mark_prices(snapshot), snapshot.session)
        return self.portfolio.book(snapshot.known_at, self.tracker.open_orders, self.carry)

    def _take_events(self, known_at: int) -> None:
        events = self.broker.poll()
        self.events += events
        for event in events:
            self.tracker.apply(event)
            self.portfolio.apply(event)
            if not isinstance(event, Accepted):
                self._record(type(event).__name__.lower(), known_at, {"event": event})

    def _plan(self, decision: Decision, book: Book, snapshot: Snapshot) -> tuple[OrderIntent, ...]:
        if self.mode is Mode.EMERGENCY:
            return self._flattening(book, snapshot)
        if self.mode not in SENDING:
            return ()
        self.portfolio.check_value()
        planned = plan_orders(
            decision.target, book, snapshot, self.settings.execution, self.universe,
            system=self.name, day_weight=decision.carry.day_weight,
        )  # fmt: skip
        return self._guarded(planned, book, snapshot)

    def _flattening(self, book: Book, snapshot: Snapshot) -> tuple[OrderIntent, ...]:
        """Market orders to zero, whatever the policy: a limit that waits for the bar's end is no way out."""
        n = len(snapshot.symbols)
        at_once = self.settings.execution.model_copy(update={"policy": "market", "day_auction": False})
        target = Target(np.zeros(n), np.ones(n, dtype=bool))
        planned = plan_orders(target, book, snapshot, at_once, self.universe, system=self.name, reason="flatten")
        return self._guarded(planned, book, snapshot)

    def _guarded(self, planned: tuple[OrderIntent, ...], book: Book, snapshot: Snapshot) -> tuple[OrderIntent, ...]:
        """What the guards let through of orders that were not sent before; at the last bar of a session nothing."""
        if snapshot.minutes_to_close <= 0:
            return ()
        planned = tuple(i for i in planned if i.order_ref not in self.tracker)
        guarded = self.guard(planned, book, snapshot, self._reduce_only)
        self.held = guarded.held
        if guarded.held:
            self._record("held_back", snapshot.known_at, {"orders": guarded.held})
        return guarded.intents

    @property
    def _reduce_only(self) -> bool:
        return self.mode is not Mode.LIVE or self._journal_down

    def _send(self, intents: tuple[OrderIntent, ...], book: Book, snapshot: Snapshot) -> None:
        """The orders of a decision, or as much of each as its policy sends at once; a flattening never waits."""
        if self.worked is not None:
            if intents:
                self._record("planned", snapshot.known_at, {"orders": intents})
            at_once = self.worked.begin(intents, snapshot.known_at)  # of an older decision nothing more is sent
            intents = intents if self.mode is Mode.EMERGENCY else at_once
        self._submit(intents, book, snapshot)

    def _submit(self, intents: tuple[OrderIntent, ...], book: Book, snapshot: Snapshot) -> None:
        """Write ahead, then send; where the journal just failed, only what shrinks a position."""
        if not intents:
            return
        self._record("intents", snapshot.known_at, {"orders": intents})
        if self._journal_down:
            intents = apply_guards(intents, book, snapshot, self.settings.validation, reduce_only=True).intents
        for intent in intents:
            self.tracker.intend(intent)
            self.broker.submit(intent)
            self.tracker.sent(intent.order_ref)

    def _switch(self, decision: Decision, known_at: int) -> None:
        change = after_breaches(self.mode, decision.breaches)
        self.set_mode(change.mode, change.reason, known_at)

    def _plain_guards(
        self, intents: tuple[OrderIntent, ...], book: Book, snapshot: Snapshot, reduce_only: bool
    ) -> Guarded:
        return apply_guards(intents, book, snapshot, self.settings.validation, reduce_only=reduce_only)

    def _receipt(self, decision: Decision, book: Book, snapshot: Snapshot) -> dict[str, Any]:
        """All that is needed to explain the decision, to repeat it, and to go on from it."""
        return {
            "digest": self.last_digest,
            "mode": self.mode,
            "decision": decision,
            "book": book,
            "snapshot": without_windows(snapshot),
            "portfolio": self.portfolio.state(),
        }

    def _record(self, kind: str, known_at: int, payload: Mapping[str, Any]) -> None:
        try:
            self.journal.record(kind, known_at, payload)
            self._journal_down = False
        except JournalError:
            if self.fallback is None:
                raise
            self._journal_down = True
            self.fallback.record(kind, known_at, payload)

    @contextmanager
    def _boundary(self, known_at: int) -> Iterator[None]:
        """The outermost boundary: what goes wrong inside is journaled and stops sending, and is never swallowed."""
        done = False
        try:
            yield
            done = True
        finally:
            if not done and self.mode not in STICKY:
                error = sys.exception()
                self.set_mode(Mode.OBSERVE, f"{type(error).__name__}: {error}", known_at)


def without_windows(snapshot: Snapshot) -> Snapshot:
    """The snapshot without the windows of sequential models, which are the rows of earlier snapshots."""
    features, daily = snapshot.features, snapshot.daily
    return replace(
        snapshot,
        features=replace(features, window=features.window[:, :0]),
        daily=replace(daily, window=daily.window[:, :0]),
    )


def _the_decide() -> DecideFunction:
    from workbench.decision.pipeline import decide

    return decide
