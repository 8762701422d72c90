"""A matching engine on a manual clock, and orders for it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from workbench.core.clock import ManualClock
from workbench.core.types import OrderIntent
from workbench.core.units import NS_PER_DAY, NS_PER_SECOND
from workbench.gateway.events import Filled
from workbench.gateway.matching import MatchingEngine, MatchingRules

START = 20_300 * NS_PER_DAY + 15 * 3600 * NS_PER_SECOND


def order(ref: str, side: int, quantity: int, limit: float | None = None, symbol: str = "AAA") -> OrderIntent:
    kind, price = ("MKT", float("nan")) if limit is None else ("LMT", limit)
    return OrderIntent(ref, symbol, side, quantity, kind, price, "DAY", START, 10.0)


class Bench:
    """An engine, its clock, and shorthand: times are seconds after START."""

    def __init__(self, **rules) -> None:
        self.clock = ManualClock(START)
        self.engine = MatchingEngine(self.clock, MatchingRules(**rules))

    def at(self, seconds: float) -> int:
        return START + int(seconds * NS_PER_SECOND)

    def go(self, seconds: float) -> None:
        self.clock.advance_to(self.at(seconds))

    def quote(self, bid, ask, bid_size=100.0, ask_size=100.0, symbol="AAA") -> None:
        self.engine.on_quote(symbol, bid, ask, bid_size, ask_size, self.clock.now())

    def window(self, volume, sigma=0.02, seconds=300.0, symbol="AAA") -> None:
        now = self.clock.now()
        self.engine.on_bar_volume(symbol, volume, sigma, now, now + int(seconds * NS_PER_SECOND))

    def fills(self) -> list[Filled]:
        self.engine.run()
        return [e for e in self.engine.drain() if isinstance(e, Filled)]


@pytest.fixture
def kit() -> SimpleNamespace:
    return SimpleNamespace(Bench=Bench, order=order, START=START)


@pytest.fixture(scope="session")
def kit_factory() -> SimpleNamespace:
    """The same kit for hypothesis, which wants fixtures that outlive an example."""
    return SimpleNamespace(Bench=Bench, order=order, START=START)
