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
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np

from workbench.commands import URGENT, Command, read_panic
from workbench.core.calendar import iso_date, session_of
from workbench.core.clock import Clock, ScaledClock
from workbench.core.errors import WorkbenchError
from workbench.core.types import Snapshot
from workbench.core.units import BAR_MINUTES, NS_PER_DAY, NS_PER_MINUTE, NS_PER_SECOND
from workbench.engine.accounts import check_account
from workbench.engine.agenda import last_bar_end, next_bar_end
from workbench.engine.comparison import compare_bars, payload
from workbench.engine.desk import Desk, capital_of, open_desk
from workbench.engine.feed import Feed
from workbench.engine.live_tally import LiveTally
from workbench.engine.modes import STICKY, Mode, after_breaches, after_command
from workbench.engine.plan import EnginePlan
from workbench.engine.recovery import Restored, as_consumed, restore, settle
from workbench.engine.snapshots import MarketBatch
from workbench.engine.surroundings import AccountSurroundings
from workbench.engine.systems import System
from workbench.engine.verify import runtime
from workbench.execution.account_broker import AccountBroker
from workbench.execution.broker import BrokerTimeout, NotConnected
from workbench.execution.ibkr.accounts import AccountKind
from workbench.execution.working import Touch, touch
from workbench.journal import FallbackJournal, JournalError, SqlJournal
from workbench.metrics import Metrics

WAIT_S = 0.02
"""Real seconds between two looks at the clock when nothing is due."""
MOST_TOLD = 5
"""Entries for other threads that one look may write."""
ACT_AGAIN_WITHIN_NS = 2 * NS_PER_MINUTE
"""After a crash a decision is carried on with only while it is this fresh; later its prices are of the past."""
LATE_NS = ACT_AGAIN_WITHIN_NS
"""A bar that is looked at later than this after its end is not decided on: quotes and prices have moved on."""
BAR_NS = BAR_MINUTES * NS_PER_MINUTE


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
        self.desks: list[Desk] = []
        self.account_id = ""
        self.kind: AccountKind | str = "unknown"
        self.feed: Feed | None = None
        self.stopping = ""
        """Why the engine is to stop; empty while it runs."""
        self._reconcile_at = self._update_at = 0
        self._daily_until = -1  # session (days since 1970) of the last daily bar that was loaded

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
        self._warm_up()
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

    def _warm_up(self) -> None:
        """Fetch history, journal it, feed it. A snapshot of the last bar is at hand afterwards."""
        live, origin = self.settings.live, "live"
        self.feed = Feed(self.connection, self.plan.symbols, self.clock, origin)
        end = max(
            last_bar_end(self.clock.now() - self._ns(self.settings.data.bar_grace_s)),
            min(desk.decided_at for desk in self.desks),  # decided on by all, perhaps within its grace: it is over
        )
        warm = self.feed.warm_up(end, live.warmup_sessions, live.warmup_days)
        bars, since = as_consumed(self.journal, warm.bars, self.plan.symbols)
        self._record("warmup", end, {"bars": bars, "daily": warm.daily, "missing": warm.missing, "since": since})
        for desk in self.desks:
            desk.snapshots.warm_up(bars, warm.daily, since)
        self._daily_until = int(warm.daily.session[-1])
        self.tally.last_bar = end

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
        self._morning(ts)
        self._catch_up(ts)
        self._record("market", ts, {"batch": batch})
        for desk in self.desks:
            self._try_step(desk, batch)
        self._flush()
        self.tally.cycles += 1
        self.tally.last_bar = ts
        self.metrics.observe("cycle", time.perf_counter() - begun)
        self.metrics.observe("lag", (batch.closed_at - ts) / NS_PER_SECOND)
        self._record("cycle", ts, {"cycle": self.tally.cycles, "late": batch.late, "latency": self.metrics.summary()})

    def _try_step(self, desk: Desk, batch: MarketBatch) -> None:
        """A step of one system; one that fails, wherever, sends nothing more, and stops no other system."""
        try:
            self._step(desk, batch)
        except JournalError:
            raise
        except WorkbenchError as error:
            why = f"{type(error).__name__}: {error}"
            taken = desk.snapshots.last_ts >= batch.ts  # whether the features have the bar
            self._record("failed", batch.ts, {"system": desk.system.name, "why": why, "taken": taken})
            if desk.session.mode not in STICKY:
                desk.session.set_mode(Mode.OBSERVE, why, batch.ts)

    def _step(self, desk: Desk, batch: MarketBatch) -> None:
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

    def _morning(self, ts: int) -> None:
        """Before the first bar of a session, the daily bars up to the last close, if history has them all."""
        assert self.feed is not None
        before = max(desk.snapshots.last_ts for desk in self.desks)
        if before < 0 or session_of(before) == session_of(ts):
            return
        self._compare(before)
        if self._daily_until >= session_of(before):
            return  # the warm-up had them
        daily = self.feed.daily(before, self.settings.live.warmup_days)
        lacking = [s for s, known in zip(daily.symbols, np.isfinite(daily.close[-1])) if not known]
        if lacking:  # the feature engine sums up its own bars then
            self._record("no_daily", ts, {"symbols": lacking})
            return
        self._record("daily", ts, {"bars": daily})
        self._daily_until = session_of(before)
        for desk in self.desks:
            desk.snapshots.load_daily(daily)

    def _compare(self, last: int) -> None:
        """The bars of the session that ended at `last` as they were consumed, beside history as it is now."""
        assert self.feed is not None
        begin = last - NS_PER_DAY
        batches = [e.payload["batch"] for e in self.journal.read("market", since=begin, until=last)]
        history = self.feed.missed(begin, last) if batches else None
        if history is None:
            return
        self._record("bars_compared", last, payload(iso_date(session_of(last)), compare_bars(batches, history)))

    def _catch_up(self, ts: int) -> None:
        """Feed the bars before `ts` that were missed, as history has them."""
        assert self.feed is not None
        known = min(desk.snapshots.last_ts for desk in self.desks)
        bars = self.feed.missed(known, ts - 1) if known else None
        if bars is None:
            return
        self._record("backfill", int(bars.ts[-1]), {"bars": bars})
        for desk in self.desks:
            desk.snapshots.catch_up(bars)

    def _update(self, now: int) -> None:
        """Between bars: quotes, book, loss limits and reconciliation; no new forecast."""
        for desk in self.desks:
            if desk.snapshot is not None:
                fresh = self._fresh(desk.snapshot, now)
                desk.session.watch(fresh)
                desk.session.work(fresh, self.connection.quotes(), next_bar_end(self.tally.last_bar))
        self._flush()
        if self.connection.connected:
            if now >= self._reconcile_at:
                self._reconcile(now)
            elif isinstance(self.clock, ScaledClock):
                with suppress(BrokerTimeout, NotConnected):  # it is asked again
                    self._follow_clock(self.connection.server_time())
        self._update_at = now + self._ns(min(s.settings.system.update_interval for s in self.systems))

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

    def stop(self, reason: str) -> None:
        """Cancel our orders, keep positions, end the journal's session."""
        self.account.cancel_all(reason)
        deadline = time.monotonic() + 2.0
        while self.connection.connected and self.account.working() and time.monotonic() < deadline:
            self.account.poll_reports()
            time.sleep(WAIT_S)
        self._record("stopped", self.clock.now(), {"reason": reason, "orders left": len(self.account.working())})

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

    def _fresh(self, snapshot: Snapshot, now: int) -> Snapshot:
        """The last snapshot with the quotes of now: what orders between bars are planned on."""
        told = self.connection.quotes()
        bid, ask, age = (np.full(len(snapshot.symbols), np.nan) for _ in range(3))
        for i, symbol in enumerate(snapshot.symbols):
            if (q := told.get(symbol)) is not None and now - q.time < BAR_NS and not q.delayed:
                bid[i], ask[i], age[i] = q.bid, q.ask, max(now - q.time, 0) / NS_PER_SECOND
        left = snapshot.minutes_to_close - max(now - snapshot.known_at, 0) / NS_PER_MINUTE
        return replace(snapshot, known_at=now, bid=bid, ask=ask, quote_age_s=age, minutes_to_close=max(left, 0.0))

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
