"""What a story has in hand: sessions of the library `lib`, and questions to the gateway behind the port.

A story runs in the library's own interpreter, the gateway in another process: what the gateway's books say is asked
over the pipes (:func:`ask`). The gateway's clock stands still but for the steps that the story's own loop lets it take
(:meth:`Bench.clockwork`): however slow the machine is, a story looks between any two of them, so that nothing that
lasts for more than a step can pass unseen.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import sys
import traceback
from collections.abc import Awaitable, Callable
from types import ModuleType
from typing import Any

SYMBOL = "AAPL"
TOGETHER = 5
"""Stories that run at one time, each against a gateway of its own."""

LOOK_S = 0.01
"""Real seconds between two looks at a condition."""
STEP_S, PAUSE_S = 0.2, 2 * LOOK_S
"""Simulated seconds of a step of the gateway's clock, and real ones at least from one to the next."""

TOLD = re.compile(r"(Warning|Error) \d+, reqId|API connection failed|Peer closed|Make sure API|\[Errno|.*Not connected")
"""What a library logs of a message or of a socket; anything else at level ERROR is a reply that it could not read."""


def ask(name: str, *args: Any) -> Any:
    """The answer of the process that has the gateways."""
    print(json.dumps([name, *args]), flush=True)
    return json.loads(sys.stdin.readline())


class Bench:
    """A gateway with a scenario, and shorthand."""

    def __init__(self, lib: ModuleType, scenario: str) -> None:
        self.lib = lib
        self.key, self.port = ask("open", scenario)
        self.sessions: list[Any] = []
        self.clock = asyncio.ensure_future(self.clockwork())
        self.fork = lib.__name__ == "ib_async"
        """Whether the library is ib_async, where the two differ."""

    def tell(self, fact: str, *args: Any) -> Any:
        """A fact about the gateway."""
        return ask("tell", self.key, fact, *args)

    async def clockwork(self) -> None:
        """Move the gateway's clock on, step by step."""
        while True:
            self.tell("move", STEP_S)
            await asyncio.sleep(PAUSE_S)

    async def passes(self, seconds: float) -> None:
        """Wait for so many simulated seconds."""
        end = self.tell("now") + seconds
        await until(lambda: self.tell("now") >= end)

    async def connect(self, client_id: int = 1, timeout: float = 2.0) -> Any:
        ib = self.lib.IB()
        self.sessions.append(ib)
        await ib.connectAsync("127.0.0.1", self.port, clientId=client_id, timeout=timeout)
        return ib

    async def reconnect(self, client_id: int = 1) -> Any:
        for _ in range(60):
            with contextlib.suppress(OSError, asyncio.TimeoutError):
                return await self.connect(client_id)
            await asyncio.sleep(0.1)
        raise AssertionError("the gateway never came back")

    async def reconnect_after(self, ib: Any) -> Any:
        """Wait until the session of `ib` ends, and come back."""
        await until(lambda: not ib.isConnected())
        return await self.reconnect()

    def stock(self) -> Any:
        """Qualified: ib_async takes no other."""
        return self.lib.Stock(SYMBOL, "SMART", "USD", conId=self.tell("con_id"))

    def price(self, factor: float) -> float:
        """A multiple of the market's price, in cents."""
        return round(self.tell("price") * factor, 2)

    def limit(self, ib: Any, quantity: int = 100, factor: float = 0.9, side: str = "BUY", ref: str = "") -> Any:
        """A limit order that rests."""
        return ib.placeOrder(self.stock(), self.lib.LimitOrder(side, quantity, self.price(factor), orderRef=ref))

    def market(self, ib: Any, quantity: int = 100, side: str = "BUY") -> Any:
        return ib.placeOrder(self.stock(), self.lib.MarketOrder(side, quantity))

    @property
    def position(self) -> int:
        return int(self.tell("position"))

    @property
    def open_ids(self) -> list[int]:
        return [o["order_id"] for o in self.tell("open_orders")]

    @property
    def executions(self) -> list[dict[str, Any]]:
        return list(self.tell("executions"))

    def close(self) -> None:
        self.clock.cancel()
        for ib in self.sessions:
            ib.disconnect()
        assert ask("close", self.key) == 0, "the books are exact"


async def until(condition: Callable[[], object]) -> None:
    """Wait for `condition`, for a few hundred steps of the clock."""
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(LOOK_S)
    raise AssertionError("it did not come about")


async def fails(attempt: Awaitable[Any], *errors: type[Exception]) -> None:
    """`attempt` must raise one of `errors`."""
    with contextlib.suppress(*errors):
        await attempt
        raise AssertionError(f"it did not raise {' or '.join(e.__name__ for e in errors)}")


def codes(ib: Any) -> list[int]:
    """Collects the codes of errors from now on."""
    seen: list[int] = []
    ib.errorEvent += lambda number, code, text, contract: seen.append(code)
    return seen


Story = Callable[[Bench], Awaitable[None]]
STORIES: dict[str, tuple[Story, str]] = {}  # group.story/scenario -> (story, scenario)


def story(*scenarios: str) -> Callable[[Story], Story]:
    """Registers a story under each of `scenarios`."""

    def register(function: Story) -> Story:
        for scenario in scenarios:
            STORIES[f"{function.__module__}.{function.__name__}/{scenario}"] = function, scenario
        return function

    return register


class Unreadable(logging.Handler):
    """Keeps what is logged at level ERROR and is no message of the gateway."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.told: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if not TOLD.match(text):
            self.told.append(text if not record.exc_info else f"{text}: {record.exc_info[1]!r}")


async def perform(lib: ModuleType, function: Story, scenario: str) -> str:
    """What is wrong with one story; empty if nothing."""
    bench = Bench(lib, scenario)
    try:
        await asyncio.wait_for(function(bench), 120)
        await asyncio.sleep(0)
    except Exception:  # noqa: BLE001 - whatever a story raises is its outcome
        return traceback.format_exc(limit=-3)
    finally:
        bench.close()
    return ""


async def run_stories(lib: ModuleType, group: str) -> dict[str, str]:
    """Story -> what is wrong with it, of one group."""
    records, room = Unreadable(), asyncio.Semaphore(TOGETHER)
    logging.getLogger().addHandler(records)

    async def one(function: Story, scenario: str) -> str:
        async with room:
            return await perform(lib, function, scenario)

    mine = {name: entry for name, entry in STORIES.items() if name.startswith(f"ib_stories.{group}.")}
    outcome = dict(zip(mine, await asyncio.gather(*(one(*entry) for entry in mine.values()))))
    return {**outcome, "records of the library": "\n".join(records.told)}
