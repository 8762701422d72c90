"""Requests that wait for their answer: by number, or by name where the wire gives them none."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from workbench.execution.ibkr.errors import BrokerError, BrokerTimeout, NotConnected

Key = int | str


@dataclass(slots=True)
class _Waiting:
    done: asyncio.Future[list[Any]]
    rows: list[Any] = field(default_factory=list)


class Answers:
    """What was asked and not answered yet. Lives on the loop. Every error of the gateway ends its request."""

    def __init__(self) -> None:
        self._waiting: dict[Key, _Waiting] = {}  # key -> request

    def __contains__(self, key: Key) -> bool:
        return key in self._waiting

    async def ask(self, key: Key, send: Callable[[], None], timeout_s: float, what: str) -> list[Any]:
        """Send, and wait for the rows of the answer. BrokerTimeout, or the error that ended it."""
        waiting = _Waiting(asyncio.get_running_loop().create_future())
        if key in self._waiting:
            raise BrokerError(f"{what} is being asked already")
        self._waiting[key] = waiting
        try:
            send()
            async with asyncio.timeout(timeout_s):
                return await waiting.done
        except TimeoutError:
            raise BrokerTimeout(
                f"{what}: the gateway did not answer within {timeout_s:g} s; is it connected to the broker?"
            ) from None
        finally:
            del self._waiting[key]

    def add(self, key: Key, row: Any) -> None:
        """A part of the answer; ignored where nobody asked."""
        if key in self._waiting:
            self._waiting[key].rows.append(row)

    def end(self, key: Key) -> None:
        """The answer is complete."""
        waiting = self._waiting.get(key)
        if waiting is not None and not waiting.done.done():
            waiting.done.set_result(waiting.rows)

    def fail(self, key: Key, error: BrokerError) -> None:
        """The request has failed."""
        waiting = self._waiting.get(key)
        if waiting is not None and not waiting.done.done():
            waiting.done.set_exception(error)

    def fail_named(self, error: BrokerError) -> None:
        """An error that names no request ends those that have no number."""
        for key in [k for k in self._waiting if isinstance(k, str)]:
            self.fail(key, error)

    def fail_all(self, why: str) -> None:
        """The connection is gone: nothing will be answered."""
        for key in list(self._waiting):
            self.fail(key, NotConnected(why))
