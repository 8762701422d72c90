"""The engine: one account, many systems, one step thread. What happens at a bar end, between bars, and on command.

    start    connect -> check the account -> restore the books -> reconcile -> fetch and journal the warm-up
    bar end  cancel leftovers -> gather bars until grace -> journal them -> Session.step of every system -> send the net
    between  reports, marks, loss limits, reconciliation every minute; a flattening does not wait for the next bar

Everything runs in the thread that calls :meth:`EngineHost.run`; only the heart (:mod:`workbench.engine.heart`) may
cancel from beside it, so that a slow step never blocks a cancel.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from workbench.commands import URGENT, Command, read_panic
from workbench.core.clock import Clock, ScaledClock
from workbench.core.errors import WorkbenchError
from workbench.core.types import OrderIntent
from workbench.core.units import NS_PER_DAY, NS_PER_MINUTE, NS_PER_SECOND
from workbench.engine.accounts import check_account
from workbench.engine.agenda import next_bar_end
from workbench.engine.desk import Desk, capital_of, open_desk
from workbench.engine.feed import Feed
from workbench.engine.live_tally import LiveTally
from workbench.engine.modes import STICKY, Mode, after_breaches, after_command
from workbench.engine.past_bars import PastBars
from workbench.engine.plan import EnginePlan
from workbench.engine.recovery import Restored, restore, settle
from workbench.engine.snapshots import BAR_NS, MarketBatch, requoted
from workbench.engine.surroundings import AccountSurroundings
from workbench.engine.systems import System
from workbench.engine.verify import runtime
from workbench.execution.account_broker import AccountBroker
from workbench.execution.account_order import beyond_recall
from workbench.execution.broker import BrokerTimeout, NotConnected
from workbench.execution.ibkr.accounts import AccountKind
from workbench.execution.working import Touch, touch
from workbench.journal import FallbackJournal, JournalError, SqlJournal
from workbench.metrics import Metrics

WAIT_S = 0.02
"""Real seconds between two looks at the clock when nothing is due."""
STOP_S = 10.0
"""Real seconds for the broker to confirm the last cancels; it takes 45 messages a second."""
MOST_TOLD = 5
"""Entries for other threads that one look may write."""
ACT_AGAIN_WITHIN_NS = 2 * NS_PER_MINUTE
"""After a crash a decision is carried on with only while it is this fresh; later its prices are of the past."""
LATE_NS = ACT_AGAIN_WITHIN_NS
"""A bar that is looked at later than this after its end is not decided on: quotes and prices have moved on."""


class EngineHost:
    """Runs `systems` of `plan` over `connection`, through `account`, keeping `journal`. See the module.

    `publish` takes a plain dict of the engine's state after every turn of the loop; `claim` makes the account ours
    before anything of it is touched; `touch` says that the step thread lives, also where nothing is due; `acknowledge`
    takes a command's id and what came of it.
    """

    def __init__(
        self,
        plan: EnginePlan,
        systems: Sequence[System],
        connection: Any,
        account: AccountBroker,
        journal: SqlJournal,
        clock: Clock,
        *,
        fallback: FallbackJournal,
        publish: Callable[[str], None] = lambda phase: None,
        claim: Callable[[], None] = lambda: None,
        touch: Callable[[], None] = lambda: None,
        acknowledge: Callable[[str, str], None] = lambda command_id, outcome: None,
    ) -> None:
        self.plan, self.systems, self.connection, self.account = plan, tuple(systems), connection, account
        self.journal, self.clock, self.fallback, self.publish = journal, clock, fallback, publish
        self.claim, self.touch, self.acknowledge = claim, touch, acknowledge
        self.settings = plan.first
        self.metrics, self.tally = Metrics(), LiveTally()
        self.around = AccountSurroundings(connection, account, clock, self.metrics, self.tally)
        self.commands: queue.SimpleQueue[Command] = queue.SimpleQueue()
        self.told: queue.SimpleQueue[tuple[str, dict[str, Any]]] = queue.SimpleQueue()
        """(kind, payload) that other threads have to say, to be journaled."""
        self._urgent: set[str] = set()  # ids of commands that end trading, not yet obeyed
        account.held = lambda: "to end trading was asked for" if self._urgent else ""
        account.market = self._market
        account.most = lambda system, symbol: self.around.most(self.desks, system, symbol)
        self.desks: list[Desk] = []
        self.account_id = ""
        self.kind: AccountKind | str = "unknown"
        self.feed: Feed | None = None
        self.past: PastBars | None = None
        self.stopping = ""
        """Why the engine is to stop; empty while it runs."""
        self._reconcile_at = self._update_at = 0

    # ---- start ------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Connect, reconcile, warm up; when it returns the next bar is decided on. Sends nothing."""
        self.publish("connecting")
        greeting = self.connection.open()
        self.account_id, self.kind = greeting.account, greeting.kind
        self._follow_clock(greeting.server_time)
        origins = {s.name: s.bundle.data_origin for s in self.systems}
        check_account(greeting.account, self.settings.system.live_account, origins)
        self.claim()
        now = self.tally.started_at = self.clock.now()
        restored = restore(self.journal, self.fallback, [s.name for s in self.systems])
        self._record("engine", now, self._about(greeting))
        self.publish("reconciling")
        self.account.restore(restored.entries)
        self.account.reconcile(self.clock.now())
        capital = [capital_of(s, self.account, len(self.systems)) for s in self.systems]  # before one has a book
        self.desks = [
            open_desk(
                system, restored.systems.get(system.name), restored.modes.get(system.name, Mode.LIVE), own,
                self.account, self.around, self.journal, self.fallback,
            )
            for system, own in zip(self.systems, capital, strict=True)
        ]  # fmt: skip
        self.connection.qualify(self.plan.symbols)
        self.connection.watch(self.plan.symbols)
        self.publish("warming up")
        self._recall(restored)
        self.feed = Feed(self.connection, self.plan.symbols, self.clock, "live")
        self.past = PastBars(self.feed, self.desks, self.journal, self.settings, self._record)
        self.tally.last_bar = self.past.warm_up(self.clock.now())
        self._carry_on()
        settle(self.journal, self.account, self.clock.now())
        self.journal.prune(time.time_ns() - self.settings.live.retention_days * NS_PER_DAY)
        self._reconcile_at = self.clock.now() + self._ns(self.settings.live.reconcile_s)
        self.publish("trading")

    def _about(self, greeting: Any) -> dict[str, Any]:
        """What a session must say about itself to be verified later."""
        return {
            "account": greeting.account,
            "kind": str(greeting.kind),
            "runtime": runtime(),
            "plan": self.plan.to_public_json(),
            "bundles": {s.name: {"id": s.bundle.id, "digest": s.bundle.digest, "demo": s.demo} for s in self.systems},
        }

    def _recall(self, restored: Restored) -> None:
        """The last decision of each system, and the mode that it leads to."""
        for desk in self.desks:
            past = restored.systems.get(desk.system.name)
            if past is None:
                continue
            if past.decision.symbols == desk.system.universe.symbols:
                desk.session.decision, desk.snapshot = past.decision, past.snapshot
            if not past.switched:
                change = after_breaches(desk.session.mode, past.decision.breaches)
                desk.session.set_mode(change.mode, change.reason, past.decision.known_at)

    def _carry_on(self) -> None:
        """Send what is still missing of decisions that a crash cut short, while they are fresh; take old orders back.

        Where a crash came between the decisions of two systems, the bar is done again first: see `_step`.
        """
        newest = max(desk.decided_at for desk in self.desks)
        if newest < self.tally.last_bar:
            self.account.cancel_all("the bar is over")
        elif newest == self.tally.last_bar and self.clock.now() - newest < ACT_AGAIN_WITHIN_NS:
            for desk in self.desks:
                if desk.decided_at == newest:
                    with self._apart(desk, newest):
                        self._act_again(desk)
            self._flush()

    @staticmethod
    def _act_again(desk: Desk) -> None:
        assert desk.session.decision is not None
        assert desk.snapshot is not None
        desk.session.act_again(desk.session.decision, desk.snapshot)

    # ---- the loop ---------------------------------------------------------------------------------------------

    def run(self, until: int | None = None) -> None:
        """Turn until told to stop, or until the clock passes `until`."""
        while not self.stopping and (until is None or self.clock.now() < until):
            if not self.turn():
                time.sleep(WAIT_S)

    def turn(self) -> bool:
        """Do what is due now; False if nothing was."""
        self.touch()
        self._hear()
        due = next_bar_end(self.tally.last_bar)
        now = self.clock.now()
        if now >= due + self._settling():
            self.bar(due)
        elif now >= self._update_at:
            self._update(now)
        else:
            return False
        self.publish("trading")
        return True

    def _settling(self) -> int:
        """ns after a bar's end by our clock until a real broker's clock has surely passed it: asked before, history may
        hold the bar in progress. A simulated broker's clock is ours."""
        if self.kind is AccountKind.SIMULATED:
            return 0
        skew = self.account.clock_skew_s
        return self._ns(1.0 + (max(skew, 0.0) if skew == skew else 0.0))

    def bar(self, ts: int) -> None:
        """Everything that happens because the bar that ends at `ts` is over."""
        assert self.feed is not None
        assert self.past is not None
        begun = time.perf_counter()
        if self.clock.now() - ts > LATE_NS:
            self.account.cancel_all("the bar is over")
            self._miss(ts, "too late")
            return
        if all(desk.decided_at < ts for desk in self.desks):  # else a crash cut this very bar short
            self.account.cancel_all("the bar is over")
        try:
            with self.metrics.timed("gather"):
                batch = self.feed.gather(ts, ts + self._ns(self.settings.data.bar_grace_s), self._hear)
        except (NotConnected, BrokerTimeout) as error:
            self._miss(ts, str(error))
            return
        late = batch.closed_at - ts > BAR_NS
        if len(batch.late) == len(batch.symbols) or late:
            self._miss(ts, "too late" if late else "no bar arrived")
            return
        self.past.morning(ts)
        self.past.catch_up(ts)
        self._record("market", ts, {"batch": batch})
        for desk in self.desks:
            self._step(desk, batch)
        self._flush()
        self.tally.cycles += 1
        self.tally.last_bar = ts
        self.metrics.observe("cycle", time.perf_counter() - begun)
        self.metrics.observe("lag", (batch.closed_at - ts) / NS_PER_SECOND)
        self._record("cycle", ts, {"cycle": self.tally.cycles, "late": batch.late, "latency": self.metrics.summary()})

    @contextmanager
    def _apart(self, desk: Desk, ts: int, bar: int = 0) -> Iterator[None]:
        """The work of one system at `ts`: where it fails it sends nothing more, and no other system is stopped by it.

        One in EMERGENCY stays there: it may still be flattened. `bar`: the end of the bar that the work is to take in.
        """
        try:
            yield
        except JournalError:
            raise
        except WorkbenchError as error:
            why = f"{type(error).__name__}: {error}"
            taken = desk.snapshots.last_ts >= bar  # whether the features have the bar
            self._record("failed", ts, {"system": desk.system.name, "why": why, "taken": taken})
            if desk.session.mode not in STICKY:
                desk.session.set_mode(Mode.OBSERVE, why, ts)

    def _step(self, desk: Desk, batch: MarketBatch) -> None:
        with self._apart(desk, batch.ts, batch.ts):
            with self.metrics.timed("features"):
                snapshot = desk.snapshots.close(batch)
            if desk.decided_at >= batch.ts:
                self._act_again(desk)
                return
            before = desk.models_asked
            with self.metrics.timed("decide"):
                desk.session.step(snapshot)
            self.metrics.count("models asked", desk.models_asked - before)
            desk.snapshot = snapshot

    def _miss(self, ts: int, why: str) -> None:
        """The bar passes without a decision; its data are fetched when there is a way again."""
        self.tally.missed += 1
        self.tally.last_bar = ts
        self._record("missed", ts, {"why": why})

    def _update(self, now: int) -> None:
        """Between bars: quotes, book, loss limits and reconciliation; no new forecast."""
        for desk in self.desks:
            with self._apart(desk, now):
                self._look_after(desk, now)
        self._flush()
        if self.connection.connected:
            if now >= self._reconcile_at:
                self._reconcile(now)
            elif isinstance(self.clock, ScaledClock):
                with suppress(BrokerTimeout, NotConnected):  # it is asked again
                    self._follow_clock(self.connection.server_time())
        self._update_at = now + self._ns(min(s.settings.system.update_interval for s in self.systems))

    def _look_after(self, desk: Desk, now: int) -> None:
        if desk.snapshot is None:
            return
        quotes = self.connection.quotes()
        fresh = requoted(desk.snapshot, quotes, now)
        desk.session.watch(fresh)
        desk.session.work(fresh, quotes, next_bar_end(self.tally.last_bar))

    def _follow_clock(self, told: int) -> None:
        """A simulated broker's time is ours; a real one's is compared with ours when we reconcile."""
        if isinstance(self.clock, ScaledClock):
            self.clock.follow(told)

    def _reconcile(self, now: int) -> None:
        try:
            self._follow_clock(self.connection.server_time())
            with self.metrics.timed("reconcile"):
                self.account.reconcile(now)
        except (BrokerTimeout, NotConnected) as error:
            self._record("reconcile_failed", now, {"why": str(error)})
        self._reconcile_at = self.clock.now() + self._ns(self.settings.live.reconcile_s)

    def _hear(self) -> None:
        """Reports of the broker and commands of people."""
        self.touch()
        self.account.poll_reports()
        if self.account.needs_facts(self.clock.now()):
            self._reconcile(self.clock.now())
        for _ in range(MOST_TOLD):  # a flood of forgeries must not hold trading up
            if self.told.empty():
                break
            kind, payload = self.told.get_nowait()
            self._record(kind, self.clock.now(), payload)
        while not self.commands.empty():
            command = self.commands.get_nowait()
            outcome = self.obey(command)
            self._urgent.discard(command.id)
            self.acknowledge(command.id, outcome)

    def ask(self, command: Command) -> None:
        """Take a command from another thread; one that ends trading keeps every order back until it is obeyed."""
        if command.action in URGENT:
            self._urgent.add(command.id)
        self.commands.put(command)

    def obey(self, command: Command) -> str:
        """Do what a command asks, which is journaled first; what came of it, in words."""
        now = self.clock.now()
        self._record("command", now, {"command": command})
        if why := self._why_refused(command):
            self._record("refused", now, {"command": command, "reason": why})
            return f"refused: {why}"
        if command.action == "stop":
            self.stopping = command.reason or "stopped by command"
            self.account.cancel_all(self.stopping)
            return "done: orders are cancelled, the engine ends"
        if command.action == "cancel":
            self.account.cancel_all(command.reason)
            return "done: orders are cancelled"
        told = []
        for desk in self.desks:
            if command.system in ("", desk.system.name):
                change = after_command(desk.session.mode, command.action)
                if change.refused:
                    self._record("refused", now, {"command": command, "reason": change.reason})
                told.append(f"{desk.system.name}: {change.reason if change.refused else change.mode}")
                desk.session.set_mode(change.mode, f"{change.reason} by {command.issuer}: {command.reason}", now)
                if change.cancel_all:
                    self.account.cancel_all(change.reason)
        self._update_at = 0  # a flattening does not wait
        refused = all("refused" in line for line in told)
        return f"{'refused' if refused else 'done'}: {'; '.join(told)}"

    def _why_refused(self, command: Command) -> str:
        names = [desk.system.name for desk in self.desks]
        if command.system and command.system not in names:
            return f"there is no system {command.system!r} here; there is {', '.join(names)}"
        word = read_panic(self.plan.folder) if command.action == "resume" else None
        return f"panic.flag says {word}: remove the file first" if word else ""

    def stop(self, reason: str) -> tuple[OrderIntent, ...]:
        """Cancel our orders, keep positions, end the journal's session; the orders that could not be taken back."""
        self.account.cancel_all(reason)
        deadline = time.monotonic() + STOP_S
        while self.connection.connected and self._left() and time.monotonic() < deadline:
            self.account.poll_reports()
            time.sleep(WAIT_S)
        left = self._left()
        self._record("stopped", self.clock.now(), {"reason": reason, "orders left": len(left)})
        return left

    def _left(self) -> tuple[OrderIntent, ...]:
        """Our orders that may still fill, less those that are bound for a closing auction: nobody can cancel them."""
        now = self.clock.now()
        bound = {e.order_ref for e in self.account.ledger.open_orders if beyond_recall(e, now)}
        return tuple(o for o in self.account.working() if o.order_ref not in bound)

    # ---- inside -----------------------------------------------------------------------------------------------

    def _flush(self) -> None:
        self._hear()  # deciding takes time: what was asked for meanwhile comes before what was decided
        if self.stopping:
            self.account.cancel_all(self.stopping)
            return
        with self.metrics.timed("send"):
            sent = self.account.flush(self.clock.now())
        self.tally.sent.extend([self.clock.now()] * sent)
        self.metrics.count("orders sent", sent)

    def _market(self, now: int) -> Callable[[str], Touch]:
        """The quotes of now, where they can be relied upon."""
        told, oldest = self.connection.quotes(), self.settings.guards.max_quote_age_s
        return lambda symbol: touch(told.get(symbol), now, oldest)

    def _record(self, kind: str, known_at: int, payload: dict[str, Any]) -> None:
        try:
            self.journal.record(kind, known_at, payload)
        except WorkbenchError:  # then only what reduces is sent: sessions and account see to it by their own records
            self.fallback.record(kind, known_at, payload)

    @staticmethod
    def _ns(seconds: float) -> int:
        return int(seconds * NS_PER_SECOND)
