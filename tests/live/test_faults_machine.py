"""Random sequences of faults: cuts, restarts of the gateway, crashes, hands in the account, late bars, commands.

In CI they are the same ones every time; elsewhere the long test draws new ones.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from failpoints import Failpoints, Reborn, Site
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from invariants import check
from rig import FROZEN, START, SYMBOLS, Rig, loud_bundle, trading_settings

from workbench.commands import Command
from workbench.core.units import NS_PER_SECOND
from workbench.engine.systems import load_system
from workbench.gateway.scenarios import broker_faults
from workbench.gateway.scenarios.injector import Injector
from workbench.gateway.scenarios.spec import Scenario
from workbench.gateway.simulated import SimulatedGateway

WRITES = (
    "market", "decision", "mode", "intents", "orders", "order_state-sent", "order_state-unknown", "warmup", "capital",
    "order_state-cancelling", "report-order", "report-execution", "report-link", "fill", "commission", "filled",
    "cancel", "cancelled", "reconciliation", "outside", "command", "backfill", "missed",
)  # fmt: skip
CALLS = ("place", "cancel", "facts", "what_if", "bars")
SITES = (*(f"journal:{kind}" for kind in WRITES), *(f"broker:{call}" for call in CALLS))
COMMANDS = ("observe", "resume", "resume", "halt", "flatten", "cancel")
BACK_S = 20.0
"""Real seconds for a connection to come back."""


class _Shared:
    """Loaded once: settings and systems."""

    settings: tuple[Any, ...] = ()
    systems: tuple[Any, ...] = ()

    @classmethod
    def load(cls) -> None:
        if not cls.settings:
            bundle = loud_bundle(Path(tempfile.mkdtemp(prefix="loud-")))
            cls.settings = (
                trading_settings(bundle, system={"name": "market", "capital": 500_000.0}),
                trading_settings(
                    bundle,
                    system={"name": "limit", "capital": 400_000.0},
                    execution={"policy": "marketable_limit", "limit_offset_bps": 0.0},
                ),
            )
            cls.systems = tuple(load_system(s, simulated=True) for s in cls.settings)


class Faults(RuleBasedStateMachine):
    """An engine that is started again after every crash, whatever happens around it."""

    @initialize()
    def begin(self) -> None:
        _Shared.load()
        self.folder = tempfile.TemporaryDirectory(prefix="faults-")
        self.gateway = SimulatedGateway(speed=FROZEN, start=START, scenario=Scenario("none", "", "", ()))
        self.gateway.__enter__()
        self.story = Reborn(Rig(Path(self.folder.name), self.gateway, _Shared.settings, _Shared.systems))
        self.by_hand = False
        self.story.open()
        self.story.bar()

    @rule()
    def bar(self) -> None:
        self.story.bar()

    @rule(name=st.sampled_from(SITES), when=st.sampled_from(("before", "after")), nth=st.integers(1, 3))
    def crash_ahead(self, name: str, when: str, nth: int) -> None:
        """The engine ends when it next, or soon, comes to a site."""
        points = self._points
        points.at = Site(name, when, points.passed[name, when] + nth)

    @rule(seconds=st.sampled_from((0, 1, 20, 400)))
    def cut(self, seconds: int) -> None:
        """Every socket breaks; time passes before anybody looks."""
        self._in_gateway(self._injector.hang_up)
        self._pass(seconds)
        self._await_link()

    @rule(seconds=st.sampled_from((0, 30)))
    def restart_gateway(self, seconds: int) -> None:
        """The gateway comes back with the books that it kept."""
        self._in_gateway(self._injector.hang_up)
        self._in_gateway(lambda: broker_faults.reload(self.gateway.hub))
        self._pass(seconds)
        self._await_link()

    @rule(symbol=st.sampled_from(SYMBOLS), quantity=st.sampled_from((-300, -1, 7, 250)))
    def trade_by_hand(self, symbol: str, quantity: int) -> None:
        self.by_hand = True
        self._in_gateway(lambda: broker_faults.manual_trade(self.gateway.hub, symbol, quantity))
        self._pass(2)

    @rule(seconds=st.sampled_from((200, 700)))
    def sleep_over_bars(self, seconds: int) -> None:
        """The engine does nothing for so long: bars are missed, never decided on later."""
        self._pass(seconds)

    @rule(calls=st.integers(1, 2), symbol=st.sampled_from(SYMBOLS))
    def late_bars(self, calls: int, symbol: str) -> None:
        """The next answers lack a symbol."""
        self._points.late = [symbol] * calls

    @rule(action=st.sampled_from(COMMANDS), system=st.sampled_from(("", "market", "limit")))
    def command(self, action: str, system: str) -> None:
        self._pass(1)  # two flattenings at one instant would be one order
        now = time.time_ns()
        asked = Command(f"c{now}", action, system, "test", "operator", "a test", now, now + 10**10)
        self.story.do(lambda: self.story.rig.host.obey(asked))
        self.story.do(self.story.turn)

    def teardown(self) -> None:
        if not hasattr(self, "story"):
            return
        try:
            self._points.at = None
            self.story.settle()
            books = check(self.story.rig, by_hand=self.by_hand)
            assert books.orders > 0, "nothing was sent: nothing was tried"
        finally:
            self.story.rig.close()
            self.gateway.__exit__(None, None, None)
            self.folder.cleanup()

    # ---- inside -----------------------------------------------------------------------------------------------

    @property
    def _points(self) -> Failpoints:
        return self.story.points[-1]

    @property
    def _injector(self) -> Injector:
        assert self.gateway.hub.injector is not None
        return self.gateway.hub.injector

    def _pass(self, seconds: int) -> None:
        when = self.story.rig.clock.now() + seconds * NS_PER_SECOND
        self.story.do(lambda: self.story.rig.move_to(when))

    def _in_gateway(self, work: Callable[[], None]) -> None:
        async def done() -> None:
            work()

        assert self.gateway._loop is not None
        asyncio.run_coroutine_threadsafe(done(), self.gateway._loop).result(10)

    def _await_link(self) -> None:
        """The socket is back, or the engine has noticed nothing of its end yet."""
        time.sleep(0.05)
        deadline = time.monotonic() + BACK_S
        while not self.story.rig.host.connection.connected:
            assert time.monotonic() < deadline, "the connection does not come back"
            time.sleep(0.02)
        self.story.do(self.story.turn)


def _run(examples: int, steps: int, *, again: bool = False) -> None:
    """`again`: the same draws every time."""
    run_state_machine_as_test(
        Faults,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            derandomize=again,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_faults() -> None:
    _run(examples=3, steps=6, again=True)


@pytest.mark.slow
def test_many_faults() -> None:
    _run(examples=15, steps=12, again=bool(os.environ.get("CI") or os.environ.get("WORKBENCH_CI")))


@pytest.mark.soak
def test_faults_for_an_hour() -> None:
    """Drawn anew each time."""
    _run(examples=400, steps=15)
