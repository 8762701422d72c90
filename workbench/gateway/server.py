"""The TCP front of the gateway: sessions, their handshake and their limits. Loopback unless told otherwise.

Everything happens on one event loop: the market moves on in :meth:`GatewayServer._drive`, requests are answered as they
come, frames leave through buffers that have a bound: a client that does not read is dropped, the others notice nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import struct
from time import monotonic_ns

from workbench.core.errors import ConfigError
from workbench.core.units import NS_PER_SECOND
from workbench.gateway.answers import Answers
from workbench.gateway.hub import Client, Hub
from workbench.gateway.wire import replies
from workbench.gateway.wire.frames import FrameError, Frames, Handshake, handshake_answer
from workbench.gateway.wire.messages import Request, StartApi
from workbench.gateway.wire.requests import MalformedRequest, parse
from workbench.gateway.wire.times import connected_at

READ = 1 << 16
MAX_WAITING = 32 << 20
"""Bytes that may wait for a client that reads slowly."""

HANDSHAKE_S = 10.0
TICK_S = 0.02
MAX_STEP_NS = 60 * NS_PER_SECOND
"""Simulated time at most between two looks at the sockets."""

LIMIT_PER_S = 50
WARN_PER_S = 45


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

    def _spawn(self, work: object) -> None:
        task = asyncio.ensure_future(work)  # type: ignore[arg-type]
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
            await asyncio.sleep(TICK_S if self.speed else 0)
            now = monotonic_ns()
            step = int((now - before) * self.speed) if self.speed else NS_PER_SECOND
            before = now
            self.hub.advance_to(self.hub.clock.now() + min(step, MAX_STEP_NS))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            if self.hub.injector is not None and self.hub.injector.silent():
                await reader.read()
                return
            await Session(self, reader, writer).run()
        except (FrameError, ConnectionError, TimeoutError, asyncio.IncompleteReadError):
            pass  # a client that does not speak the protocol, or went away: its session is over, nothing else
        except asyncio.CancelledError:
            pass  # the server stops; asyncio would log a session that ends as cancelled
        finally:
            self._tasks.discard(task)
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


class Session:
    """One socket: handshake, startApi, then requests until it ends."""

    def __init__(self, server: GatewayServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.server, self.hub = server, server.hub
        self.reader, self.writer = reader, writer
        self.client = Client(self._send, drop=self._drop)
        self._second, self._count, self._warned = 0, 0, False

    async def run(self) -> None:
        """Until the client goes, or breaks the protocol."""
        rest = await asyncio.wait_for(self._handshake(), HANDSHAKE_S)
        frames = Frames()
        data = rest
        try:
            while True:
                for fields in frames.feed(data):
                    self._receive(fields)
                    await self.writer.drain()
                    await asyncio.sleep(0)  # the others have their turn after every message
                data = await self.reader.read(READ)
                if not data:
                    return
        finally:
            if self.hub.clients.get(self.client.client_id) is self.client:
                del self.hub.clients[self.client.client_id]
            if self.hub.injector is not None:
                self.hub.injector.on_gone(self.client)

    async def _handshake(self) -> bytes:
        hello, handshake = None, Handshake()
        while hello is None:
            data = await self.reader.read(READ)
            if not data:
                raise ConnectionResetError("the client left during the handshake")
            hello = handshake.feed(data)
        self._send(handshake_answer(hello, connected_at(self.hub.clock.now())))
        return handshake.rest

    def _receive(self, fields: tuple[str, ...]) -> None:
        self._pace()
        try:
            request = parse(fields)
        except MalformedRequest as error:
            self._send(replies.error(error.request_id, 320, f"Error reading request.{error}"))
            return
        if isinstance(request, StartApi):
            self._start(request.client_id)
        elif self.client.client_id < 0:
            self._send(replies.error(-1, 504, "Not connected: startApi comes first"))
        else:
            self._answer(request)

    def _answer(self, request: Request) -> None:
        answers, injector = self.server.answers, self.hub.injector
        if injector is None:
            answers.answer(self.client, request)
        else:
            injector.on_request(self.client, request, lambda: answers.answer(self.client, request))

    def _start(self, client_id: int) -> None:
        injector = self.hub.injector
        if self.client.client_id >= 0:
            self._send(replies.error(-1, 321, "Error validating request.-'bW' : cause - startApi came already"))
            return
        if client_id in self.hub.clients or (injector is not None and injector.holds(client_id)):
            text = f"Unable to connect as the client id is already in use. Retry with a unique client id.({client_id})"
            self._send(replies.error(-1, 326, text))
            raise ConnectionResetError("client id in use")
        self.client.client_id = client_id
        self.hub.clients[client_id] = self.client
        self.server.answers.welcome(self.client)
        if injector is not None:
            injector.on_start(self.client)

    def _pace(self) -> None:
        """IBKR's limit of 50 messages a second, in the machine's own time; a flood ends the session."""
        second = monotonic_ns() // NS_PER_SECOND
        if second != self._second:
            self._second, self._count, self._warned = second, 0, False
        self._count += 1
        if self.server.speed != 1.0:
            return
        if self._count > WARN_PER_S and not self._warned:
            self._warned = True
            text = f"Warning: Approaching max rate of {LIMIT_PER_S} messages per second ({self._count})"
            self._send(replies.error(-1, 0, text))
        if self._count > LIMIT_PER_S:
            self._send(replies.error(-1, 100, "Max rate of messages per second has been exceeded"))
        if self._count > 4 * LIMIT_PER_S:
            raise ConnectionResetError("too many messages a second")

    def _send(self, frame: bytes) -> None:
        if self.hub.injector is None:
            self._write(frame)
        else:
            self.hub.injector.on_send(self.client, frame, self._write)

    def _drop(self, reset: bool) -> None:
        """End the session: what was sent still arrives, unless it is reset."""
        transport = self.writer.transport
        if reset:
            made = transport.get_extra_info("socket")
            made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort()
        else:
            transport.close()

    def _write(self, frame: bytes) -> None:
        transport = self.writer.transport
        if transport.is_closing():
            return
        if transport.get_write_buffer_size() > MAX_WAITING:
            transport.abort()
            return
        self.writer.write(frame)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
