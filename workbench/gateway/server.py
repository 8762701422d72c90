"""The TCP front of the gateway: it listens, lets the market run, and ends sessions. Loopback unless told otherwise.

Everything happens on one event loop: the market moves on in :meth:`GatewayServer._drive`, requests are answered as they
come, frames leave through buffers that have a bound, each and all together: a client that does not read is dropped, the
others notice nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from collections.abc import Coroutine
from time import monotonic_ns
from typing import Any

from workbench.core.errors import ConfigError
from workbench.core.units import NS_PER_SECOND
from workbench.gateway.answers import Answers
from workbench.gateway.hub import Hub
from workbench.gateway.session import READ, Session
from workbench.gateway.wire.frames import FrameError

MAX_SOCKETS = 64
"""Sockets that are open at once: 32 clients, and who has not introduced itself yet."""

MAX_WAITING_IN_ALL = 128 << 20
"""Bytes that may wait for all slow clients together."""

TICK_S = 0.02
MAX_STEP_NS = 60 * NS_PER_SECOND
"""Simulated time at most between two looks at the sockets."""


class GatewayServer:
    """Serves `hub` on `host`:`port` (0: any free one). `speed` simulated seconds per second; 0: as fast as it goes."""

    def __init__(
        self, hub: Hub, host: str = "127.0.0.1", port: int = 0, speed: float = 1.0, *, allow_remote: bool = False
    ) -> None:
        if not allow_remote and not _is_loopback(host):
            raise ConfigError(
                f"host {host!r} is not this machine, and the gateway has no password; allow_remote (--allow-remote) "
                f"lets other machines in all the same"
            )
        if speed < 0:
            raise ConfigError(f"speed {speed} must be at least 0 (0: as fast as it goes)")
        self.hub, self.answers = hub, Answers(hub)
        self.host, self.port, self.speed = host, port, speed
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._sessions: set[Session] = set()
        self.moving = False
        """Whether the market moves on right now: what sessions say is sent when it has."""

    async def start(self) -> None:
        """Listen, and let the market run."""
        await self._listen()
        self._spawn(self._drive())

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, self.host, self.port, limit=READ)
        self.port = self._server.sockets[0].getsockname()[1]

    def close_door(self) -> None:
        """Stop listening; sessions go on."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def open_door(self) -> None:
        """Listen again, on the same port."""
        if self._server is None:
            self._spawn(self._listen())

    async def stop(self) -> None:
        """Close every session and the market."""
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """The market has stopped: a client must not trade on against one that stands still."""
        self._tasks.discard(task)
        if task.cancelled() or task.exception() is None:
            return
        told = {"message": "the market of the simulated gateway failed; every session is closed", "task": task,
                "exception": task.exception()}  # fmt: skip
        asyncio.get_running_loop().call_exception_handler(told)
        if self._server is not None:
            self._server.close()
        for other in list(self._tasks):
            other.cancel()

    async def _drive(self) -> None:
        """Move simulated time on with the machine's own."""
        before = monotonic_ns()
        while True:
            spent = (monotonic_ns() - before) / NS_PER_SECOND
            await asyncio.sleep(max(0.0, TICK_S - spent) if self.speed else 0)
            now = monotonic_ns()
            step = int((now - before) * self.speed) if self.speed else NS_PER_SECOND
            before = now
            self.moving = True
            self.hub.advance_to(self.hub.clock.now() + min(step, MAX_STEP_NS))
            self.moving = False
            for session in self._sessions:
                session.flush()
            self._bound_memory()

    def _bound_memory(self) -> None:
        """Drop who reads slowest while too much waits for all together."""
        waiting = {session: session.waiting for session in self._sessions}
        while sum(waiting.values()) > MAX_WAITING_IN_ALL:
            slowest = max(waiting, key=lambda session: waiting[session])
            slowest.abort()
            del waiting[slowest]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._sessions) >= MAX_SOCKETS:
            writer.transport.abort()
            return
        task, session = asyncio.current_task(), Session(self, reader, writer)
        assert task is not None
        self._tasks.add(task)
        self._sessions.add(session)
        try:
            if self.hub.injector is not None and self.hub.injector.silent():
                await _ignored(reader)
            else:
                await session.run()
        except (FrameError, ConnectionError, TimeoutError, asyncio.IncompleteReadError):
            pass  # a client that does not speak the protocol, or went away: its session is over, nothing else
        except asyncio.CancelledError:
            pass  # the server stops; asyncio would log a session that ends as cancelled
        finally:
            self._tasks.discard(task)
            self._sessions.discard(session)
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


async def _ignored(reader: asyncio.StreamReader) -> None:
    """Read until the client gives up."""
    while await reader.read(READ):
        pass


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
