"""One scenario of the gateway against a whole live engine: played second by second until it is over and settled."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

from tests.live.rig import FROZEN, Rig, loud_bundle, trading_settings
from workbench.core.types import OrderIntent
from workbench.core.units import NS_PER_SECOND
from workbench.engine.agenda import next_bar_end
from workbench.engine.modes import Mode
from workbench.engine.recovery import restore
from workbench.engine.systems import System, load_system
from workbench.execution.broker import BrokerTimeout, NotConnected
from workbench.execution.dealing import Dealer
from workbench.execution.ibkr import subscriptions
from workbench.execution.ibkr.errors import BrokerError
from workbench.execution.order_ledger import OrderLedger
from workbench.execution.outside import Outside
from workbench.execution.restoring import rebuild
from workbench.gateway.broker_orders import BrokerOrder
from workbench.gateway.scenarios.outgoing import Outgoing
from workbench.gateway.scenarios.spec import Event
from workbench.gateway.simulated import SimulatedGateway

CLIENT = 17
WATCHED_S = 25
"""Seconds after a bar's end that are played one by one."""
SETTLED_WITHIN_S = 90
"""Seconds that an engine is given at the end until nothing of it is in doubt."""
LAG_NS = 1_000_000
"""How long after its end a bar is looked at."""
BACK_S = 0.4
"""Real seconds that a step waits for a connection that is gone."""


@dataclass(frozen=True)
class Hand:
    """An order sent in the system's name: `away`, as a fraction of the price, is how far its limit lies from it."""

    side: int = 1
    away: float = 0.02
    symbol: str = "AAA"
    quantity: int = 100
    kind: str = "LMT"


Act = Callable[["Run"], None]


@dataclass(frozen=True)
class Case:
    """How a scenario is met. The default: the engine's own orders, two seconds at work when time-driven faults begin.

    `start` of the gateway; `bars` decided on; `quiet`: during the first bar the system only observes; `hand`: so it
    does, and this order is sent in its place; `acts`: seconds after the first bar's end -> what is done then; `leap`:
    seconds after it that pass without the engine hearing anything; `doubles`: orders at the gateway that one reference
    may have; `broker`: settings, such as time-outs; `trades_on`: whether the engine must send what it decides on in
    the last bar; `check`: what the scenario itself expects.
    """

    start: str = "2026-03-02T10:34:59"
    bars: int = 4
    policy: str = "mid_step"
    hand: Hand | None = None
    quiet: bool = False
    acts: Mapping[int, Act] = field(default_factory=dict)
    leap: int = 0
    doubles: int = 1
    broker: Mapping[str, Any] = field(default_factory=dict)
    trades_on: bool = True
    check: Callable[[Run], None] = lambda run: None


@dataclass
class Deed:
    """An event of the scenario that happened: `order_id` and `symbol` of what triggered it, `time` UTC ns."""

    index: int
    order_id: int
    symbol: str
    time: int


class Run:
    """Plays `name` as `case` says; :meth:`play` leaves everything settled and open for inspection."""

    def __init__(self, folder: Path, gateway: SimulatedGateway, case: Case, system: System) -> None:
        self.gateway, self.case = gateway, case
        self.deeds: list[Deed] = []
        self.refusals: list[BrokerError] = []
        """Why the engine could not start, each time that it could not."""
        self.sends_at: dict[str, int] = {}
        self.rig = Rig(folder, gateway, (system.settings,), (system,))
        self.watch()

    # ---- what happens -----------------------------------------------------------------------------------------

    def watch(self) -> None:
        """Keep a record of what the scenario does."""
        injector = self.gateway.hub.injector
        assert injector is not None
        do, events = injector._do, injector.scenario.events

        def noted(event: Event, context: Any) -> None:
            index = next(i for i, e in enumerate(events) if e is event)
            self.deeds.append(Deed(index, context.order_id, context.symbol, self.gateway.clock.now()))
            do(event, context)

        injector._do = noted  # type: ignore[method-assign]
        self.wanted_rules = {e.action for e in events} & {"suppress", "duplicate", "delay", "reorder"}
        self.rules_met: set[str] = set()
        self._watch_rules()

    def _watch_rules(self) -> None:
        injector, apply = self.gateway.hub.injector, Outgoing._apply

        def noted(rule: Any, *args: Any) -> Any:
            self.rules_met.add(rule.effect)
            return apply(injector.outgoing, rule, *args)  # type: ignore[union-attr]

        attach = injector.attach  # type: ignore[union-attr]

        def attached(*args: Any) -> None:
            attach(*args)
            injector.outgoing._apply = noted  # type: ignore[union-attr,method-assign]

        injector.attach = attached  # type: ignore[union-attr,method-assign]

    def play(self) -> None:
        """From the start to a settled end."""
        self.open()
        desk = self.rig.host.desks[0]
        if self.case.hand or self.case.quiet:
            desk.session.set_mode(Mode.OBSERVE, "the test sends by hand", self.rig.clock.now())
        for bar in range(self.case.bars):
            self.bar(first=bar == 0)
            if desk.session.mode is Mode.OBSERVE:
                desk.session.set_mode(Mode.LIVE, "the test is done", self.rig.clock.now())
        self.settle()

    def open(self) -> None:
        """Start the engine, again and again as a supervisor would, until the gateway lets it in."""
        for _ in range(12):
            try:
                self.rig.open()
                return
            except BrokerError as error:
                self.refusals.append(error)
                self.rig.close()
                self.rig.host = None  # type: ignore[assignment]
                self.rig.move(1)
        raise AssertionError(f"the engine never started: {self.refusals[-1]}")

    def restart(self) -> None:
        """The engine ends without a word, and another begins."""
        self.rig.close()
        self.open()

    def bar(self, *, first: bool) -> None:
        """A bar's end, a moment later the engine's turn, and the seconds after it."""
        self.rig.move_to(next_bar_end(self.rig.clock.now()) + LAG_NS)
        self.turn()
        acts = self.case.acts if first else {}
        if first and self.case.hand:
            self.send(self.case.hand)
        leap = self.case.leap if first else 0
        if leap:
            self.rig.move_to(self.rig.clock.now() + leap * NS_PER_SECOND, hear=False)
            acts.get(leap, lambda run: None)(self)
        for second in range(leap + 1, WATCHED_S + 1):
            self.step()
            acts.get(second, lambda run: None)(self)

    def step(self) -> None:
        """A second of the market, and the engine's turn; real time for a connection that must come back."""
        self.rig.move(1)
        self.turn()

    def turn(self) -> None:
        limit = time.monotonic() + BACK_S
        while not self.rig.host.connection.connected and time.monotonic() < limit:
            time.sleep(0.02)
        while self.rig.host.turn():
            pass

    def settle(self) -> None:
        """Cancel what works, and go on until the books are compared and nothing is in doubt."""
        host = self.rig.host
        self.before_the_end = self.working()
        host.account.cancel_all("the test is over")
        for _ in range(SETTLED_WITHIN_S):
            self.step()
            if self.settled():
                break
        host.account.reconcile(self.rig.clock.now())
        host.account.poll_reports()
        for desk in host.desks:
            desk.session._take_events(self.rig.clock.now())

    def settled(self) -> bool:
        account = self.rig.host.account
        return bool(
            self.rig.host.connection.connected
            and account.reconciled
            and not [e for e in account.ledger.open_orders if e.order.order_id]
            and not account.ledger.needs_facts(self.rig.clock.now())
            and not account._outside.unconfirmed
        )

    def send(self, hand: Hand) -> None:
        """An order in the system's name, by the way that its own orders go."""
        desk, now = self.rig.host.desks[0], self.rig.clock.now()
        price = self.gateway.hub.price(hand.symbol)
        limit = round(price * (1 - hand.side * hand.away), 2) if hand.kind == "LMT" else float("nan")
        ref = f"hand{len(self.sends_at):04d}{now % 10**12:012d}"
        self.sends_at[ref] = now
        intent = OrderIntent(ref, hand.symbol, hand.side, hand.quantity, hand.kind, limit, "DAY", now, price)
        assert desk.snapshot is not None
        book = desk.session.portfolio.book(now, desk.session.tracker.open_orders, desk.session.carry)
        desk.session._send((intent,), book, desk.snapshot)
        self.rig.host._flush()
        if not self.case.leap:
            self.rig.hear()

    # ---- what came of it --------------------------------------------------------------------------------------

    @property
    def account(self) -> Any:
        return self.rig.host.account

    @property
    def at_gateway(self) -> list[BrokerOrder]:
        """Every order of ours that the gateway knows."""
        return [o for o in self.gateway.brokerage.register.by_perm_id.values() if o.client_id == CLIENT]

    def filled(self, order_ref: str) -> int:
        """Shares filled of an order, by the gateway."""
        return sum(o.filled for o in self.at_gateway if o.ticket.order_ref == order_ref)

    def known(self, order_ref: str) -> bool:
        """Whether the gateway ever took such an order."""
        return any(o.ticket.order_ref == order_ref for o in self.at_gateway)

    def states(self, order_ref: str) -> list[str]:
        """States that an order went through, by the journal."""
        entries = self.journal("order_state")
        return [e.payload["after"] for e in entries if e.payload["order_ref"] == order_ref]

    def journal(self, *kinds: str) -> list[Any]:
        return list(self.rig.host.journal.read(kinds))

    def reports(self, kind: str) -> list[dict[str, Any]]:
        """What was heard, by the journal: order, execution, commission, error, link."""
        return [e.payload["report"] for e in self.journal("report") if e.payload["type"] == kind]

    def sent(self) -> list[tuple[int, dict[str, Any]]]:
        """(time, order) of all that was written to be sent."""
        return [(e.known_at, o["order"]) for e in self.journal("orders") for o in e.payload["orders"]]

    def working(self) -> tuple[set[str], set[str], bool]:
        """(working at the gateway, working by our book, whether the latter is sure of itself)."""
        ledger = self.account.ledger
        theirs = {o.ticket.order_ref for o in self.at_gateway if o.open}
        sure = self.account.reconciled and not ledger.needs_facts(self.rig.clock.now())
        return theirs, {e.order_ref for e in ledger.open_orders}, sure

    @property
    def in_journal(self) -> dict[str, int]:
        """Positions that the journal alone gives."""
        host, outside = self.rig.host, Outside()
        entries = restore(host.journal, host.fallback, [s.name for s in self.rig.systems]).entries
        rebuilt = rebuild(entries, OrderLedger(CLIENT), Dealer(), outside)
        total = dict(outside.positions)
        for book in rebuilt.books.values():
            for symbol, quantity in book.positions.items():
                total[symbol] = total.get(symbol, 0) + quantity
        return {s: q for s, q in total.items() if q}


def make_system(folder: Path, case: Case) -> System:
    """The demo system of three symbols with the settings of a case."""
    settings = trading_settings(
        loud_bundle(folder / "bundle"),
        execution={"policy": case.policy},
        data={"bar_grace_s": 1.0},
        guards={"max_order_notional": 2_000_000.0},
        broker={"request_timeout_s": 3.0, "connect_timeout_s": 3.0, **case.broker},
    )
    return load_system(settings, simulated=True)


def play(name: str, case: Case, folder: Path, examine: Callable[[Run], None]) -> None:
    """Play a scenario, and look at what came of it while everything is still there."""
    gateway = SimulatedGateway(speed=FROZEN, start=case.start, scenario=name)
    run = Run(folder, gateway, case, make_system(folder, case))
    with gateway, patch.object(subscriptions, "SETTLE_S", 0.0):
        try:
            run.play()
            examine(run)
        finally:
            with suppress(BrokerTimeout, NotConnected):
                run.rig.close()
