"""Scenarios as real clients see them: ib_insync, and ib_async in its own environment, each in a process of its own.

The gateways live here; the stories ask over a pipe what their books say.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.conformance.test_conformance import ib_async_python
from workbench.core.units import NS_PER_SECOND
from workbench.gateway.scenarios import names
from workbench.gateway.simulated import SimulatedGateway

HERE = Path(__file__).parent
FROZEN = 1e-9
"""Speed of gateways whose clocks only the stories move."""
PARTS = 2
SYMBOL = "AAPL"


class Facts:
    """What the stories may ask of a gateway; each answer is of JSON's own types."""

    def __init__(self, gateway: SimulatedGateway) -> None:
        self.gateway = gateway

    @property
    def broker(self):
        return self.gateway.brokerage

    def price(self) -> float:
        return self.gateway.hub.price(SYMBOL)

    def con_id(self) -> int:
        return self.gateway.hub.instruments.stock(SYMBOL).con_id

    def now(self) -> float:
        return self.gateway.clock.now() / NS_PER_SECOND

    def move(self, seconds: float) -> None:
        """Let the gateway's clock go on; returns when everything of that time is written to the sockets."""
        self.gateway.hub.advance_to(self.gateway.clock.now() + round(seconds * NS_PER_SECOND))

    def position(self) -> int:
        return self.broker.books.quantity(SYMBOL)

    def average_cost(self) -> float:
        return self.broker.books.holdings[SYMBOL].average_cost

    def open_orders(self) -> list[dict[str, Any]]:
        return [_order(view) for view in self.broker.open_orders()]

    def completed(self) -> list[dict[str, Any]]:
        return [_order(view) for view in self.broker.completed()]

    def executions(self) -> list[dict[str, Any]]:
        wanted = ("exec_id", "order_id", "shares", "price", "commission", "time")
        return [{name: getattr(e, name) for name in wanted} for e in self.broker.executions()]

    def guards(self) -> int:
        return len(self.gateway.hub.injector.guards)

    def bid(self) -> float | None:
        bid = self.broker.engine.quote(SYMBOL).bid
        return None if bid != bid else bid

    def cancel_all(self) -> None:
        self.broker.cancel_all()


def _order(view) -> dict[str, Any]:
    t = view.ticket
    told = {"order_id": t.order_id, "quantity": t.quantity, "order_ref": t.order_ref}
    return {**told, "perm_id": view.perm_id, "status": view.status, "filled": view.filled}


class Park:
    """Gateways on demand, each in a thread of its own; they are asked there."""

    def __init__(self) -> None:
        self.gateways: dict[int, SimulatedGateway] = {}

    def open(self, scenario: str) -> tuple[int, int]:
        gateway = SimulatedGateway(speed=FROZEN, scenario=scenario)
        gateway.__enter__()
        self.gateways[gateway.port] = gateway
        return gateway.port, gateway.port

    def tell(self, key: int, fact: str, *args: Any) -> Any:
        gateway = self.gateways[key]

        async def there() -> Any:
            return getattr(Facts(gateway), fact)(*args)

        return asyncio.run_coroutine_threadsafe(there(), gateway._loop).result(60)

    def close(self, key: int) -> int:
        gateway = self.gateways.pop(key)
        gateway.__exit__(None, None, None)
        return gateway.brokerage.books.imbalance

    def serve(self, process: subprocess.Popen[str]) -> dict[str, str]:
        """Answer until the stories are told; story -> what is wrong with it."""
        answers: dict[str, Callable[..., Any]] = {"open": self.open, "tell": self.tell, "close": self.close}
        for line in process.stdout:
            name, *args = json.loads(line)
            if name == "done":
                process.stdin.write("null\n")
                process.stdin.flush()
                return args[0]
            process.stdin.write(json.dumps(answers[name](*args)) + "\n")
            process.stdin.flush()
        raise AssertionError(f"the stories ended early:\n{process.stderr.read()}")


def tell_stories(library: str, *words: str) -> None:
    python = sys.executable if library == "ib_insync" else ib_async_python()
    park, pipe = Park(), subprocess.PIPE
    command = [python, "-W", "ignore", "-m", "ib_stories", library, *words]
    quiet = {**os.environ, "PYTHONPATH": ""}
    with subprocess.Popen(command, cwd=HERE, text=True, stdin=pipe, stdout=pipe, stderr=pipe, env=quiet) as process:
        try:
            outcome = park.serve(process)
        finally:
            process.stdin.close()
            for key in list(park.gateways):
                park.close(key)
    assert len(outcome) > 1, "no story was told"
    bad = {name: text for name, text in outcome.items() if text}
    assert not bad, "\n".join(f"--- {name}\n{text}" for name, text in bad.items())


@pytest.mark.parametrize("group", ["orders", "connections"])
@pytest.mark.parametrize("library", ["ib_insync", "ib_async"])
def test_stories(library, group):
    tell_stories(library, group)


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("library", ["ib_insync", pytest.param("ib_async", marks=pytest.mark.slow)])
def test_an_ordinary_session_under_every_scenario(library, part):
    tell_stories(library, "everyday", *names()[part::PARTS])
