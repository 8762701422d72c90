"""A thread with an event loop of its own, and the way into it from other threads: blocking, never without a limit."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from workbench.execution.ibkr.errors import BrokerError, BrokerTimeout, NotConnected

T = TypeVar("T")
JOIN_S = 5.0


class LoopThread:
    """Runs a loop until :meth:`stop`. May be started once."""

    def __init__(self, name: str) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
            left = asyncio.all_tasks(self.loop)
            for task in left:
                task.cancel()
            self.loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        finally:
            asyncio.set_event_loop(None)
            self.loop.close()

    def call(self, work: Coroutine[Any, Any, T], timeout_s: float, what: str) -> T:
        """The result of `work`, done on the loop; BrokerTimeout after `timeout_s`."""
        if threading.current_thread() is self._thread:
            work.close()
            raise BrokerError(f"{what} was asked from the adapter's own thread, which would wait for itself forever")
        if self.loop.is_closed() or not self._thread.is_alive():
            work.close()
            raise NotConnected(f"{what}: the connection was closed; open another one")
        future = asyncio.run_coroutine_threadsafe(work, self.loop)
        try:
            return future.result(timeout_s)
        except concurrent.futures.TimeoutError:
            if future.done():
                raise
            future.cancel()
            raise BrokerTimeout(f"{what}: not done within {timeout_s:g} s") from None
        except concurrent.futures.CancelledError:
            raise NotConnected(f"{what}: the connection was closed meanwhile") from None

    def do(self, action: Callable[[], T], timeout_s: float, what: str) -> T:
        """The result of a plain function that runs on the loop."""

        async def work() -> T:
            return action()

        return self.call(work(), timeout_s, what)

    def soon(self, action: Callable[[], object]) -> None:
        """Do `action` on the loop, without waiting for it; not at all where the loop is gone."""
        with contextlib.suppress(RuntimeError):  # closed meanwhile
            self.loop.call_soon_threadsafe(action)

    def stop(self) -> None:
        """End the loop and wait for its thread."""
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(JOIN_S)
