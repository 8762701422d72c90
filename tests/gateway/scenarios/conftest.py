"""A gateway with a scenario, and real ib_insync against it."""

from __future__ import annotations

import asyncio
import contextlib
import warnings

import pytest

from workbench.gateway.scenarios import load
from workbench.gateway.scenarios.spec import Scenario
from workbench.gateway.simulated import SimulatedGateway

SPEED = 10.0
SYMBOL = "AAPL"

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    asyncio.set_event_loop(asyncio.new_event_loop())
    from ib_insync import IB, LimitOrder, MarketOrder, Stock


class Bench:
    """A gateway on the test's own loop, and shorthand; waiting is in real seconds."""

    def __init__(self, scenario: str | Scenario) -> None:
        self.gateway = SimulatedGateway(speed=SPEED, scenario=scenario)
        self.sessions: list[IB] = []

    @property
    def hub(self):
        return self.gateway.hub

    @property
    def broker(self):
        return self.gateway.brokerage

    async def connect(self, client_id: int = 1, timeout: float = 2.0) -> IB:
        ib = IB()
        self.sessions.append(ib)
        await ib.connectAsync("127.0.0.1", self.gateway.port, clientId=client_id, timeout=timeout)
        return ib

    async def reconnect(self, client_id: int = 1) -> IB:
        for _ in range(40):
            with contextlib.suppress(OSError, asyncio.TimeoutError):
                return await self.connect(client_id)
            await asyncio.sleep(0.1)
        raise AssertionError("the gateway never came back")

    async def reconnect_after(self, ib: IB) -> IB:
        """Wait until the session of `ib` ends, and come back."""
        await until(lambda: not ib.isConnected())
        return await self.reconnect()

    def price(self, factor: float) -> float:
        """A multiple of the market's price, in cents."""
        return round(self.hub.price(SYMBOL) * factor, 2)

    def limit(self, ib: IB, quantity: int = 100, factor: float = 0.9, side: str = "BUY", ref: str = ""):
        """A limit order that rests."""
        order = LimitOrder(side, quantity, self.price(factor), orderRef=ref)
        return ib.placeOrder(stock(), order)

    def market(self, ib: IB, quantity: int = 100, side: str = "BUY"):
        """A market order."""
        return ib.placeOrder(stock(), MarketOrder(side, quantity))

    @property
    def position(self) -> int:
        return self.broker.books.quantity(SYMBOL)

    @property
    def open_ids(self) -> list[int]:
        return [view.ticket.order_id for view in self.broker.open_orders()]

    async def close(self) -> None:
        for ib in self.sessions:
            ib.disconnect()
        await asyncio.sleep(0)
        await self.gateway.close()
        assert self.broker.books.imbalance == 0


def stock() -> Stock:
    return Stock(SYMBOL, "SMART", "USD")


async def until(condition, seconds: float = 4.0) -> None:
    """Wait for `condition`, in real seconds."""
    for _ in range(int(seconds / 0.01)):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come about")


@pytest.fixture
def play():
    """Run `story(bench)` against a gateway with the named scenario."""

    def run(scenario: str | Scenario, story) -> None:
        async def whole() -> None:
            bench = Bench(load(scenario) if isinstance(scenario, str) else scenario)
            await bench.gateway.serve()
            try:
                await story(bench)
            finally:
                await bench.close()

        asyncio.run(whole())

    return run
