"""One socket of the gateway: its handshake, its requests one after the other, and what it may take of our memory."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from time import monotonic_ns
from typing import TYPE_CHECKING

from workbench.core.units import NS_PER_SECOND
from workbench.gateway import refusals
from workbench.gateway.hub import Client
from workbench.gateway.limits import MAX_CLIENTS
from workbench.gateway.wire import replies
from workbench.gateway.wire.fields import MalformedRequest
from workbench.gateway.wire.frames import SERVER_VERSION, Frames, Handshake, VersionError, handshake_answer
from workbench.gateway.wire.messages import Request, StartApi
from workbench.gateway.wire.requests import parse
from workbench.gateway.wire.times import connected_at

if TYPE_CHECKING:
    from workbench.gateway.server import GatewayServer

READ = 1 << 16
BATCH = 1 << 16
"""Bytes that are written at once while the market moves on; answers are written as they are said."""

MAX_WAITING = 32 << 20
"""Bytes that may wait for a client that reads slowly."""

HANDSHAKE_S = 10.0
LIMIT_PER_S = 50
WARN_PER_S = 45


class Session:
    """One socket: handshake, startApi, then requests until it ends."""

    def __init__(self, server: GatewayServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.server, self.hub = server, server.hub
        self.reader, self.writer = reader, writer
        self._batch = bytearray()
        self.client = Client(self._send, drop=self._drop)
        self._second, self._count, self._warned = 0, 0, False

    async def run(self) -> None:
        """Until the client goes, or breaks the protocol."""
        try:
            data = await asyncio.wait_for(self._handshake(), HANDSHAKE_S)
            await self._converse(data)
        except VersionError as error:
            await self._refuse_version(error)
        finally:
            if self.hub.clients.get(self.client.client_id) is self.client:
                del self.hub.clients[self.client.client_id]
            if self.hub.injector is not None:
                self.hub.injector.on_gone(self.client)

    async def _converse(self, data: bytes) -> None:
        """Answer what `data` holds, and all that follows."""
        frames = Frames()
        while True:
            for fields in frames.feed(data):
                self._receive(fields)
                await self.writer.drain()
                await asyncio.sleep(0)  # the others have their turn after every message
            data = await self.reader.read(READ)
            if not data:
                return

    async def _handshake(self) -> bytes:
        hello, handshake = None, Handshake()
        while hello is None:
            data = await self.reader.read(READ)
            if not data:
                raise ConnectionResetError("the client left during the handshake")
            hello = handshake.feed(data)
        self._send(handshake_answer(hello, connected_at(self.hub.clock.now())))
        return handshake.rest

    async def _refuse_version(self, error: VersionError) -> None:
        """Answer as far as the client understands, and say why it ends: 503, we are too old for it; 506, it is for us.

        What the client says then is read, for a socket that is closed with something unread takes our answer back.
        """
        self._send(handshake_answer(error.hello, connected_at(self.hub.clock.now())))
        old = error.hello.minimum > SERVER_VERSION
        code, text = (503, "The TWS is out of date and must be upgraded") if old else (506, "Unsupported version")
        self._send(replies.error(-1, code, f"{text}: {error}"))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.reader.read(READ), HANDSHAKE_S)

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
            self._send(refusals.invalid(-1, "startApi came already"))
            return
        if len(self.hub.clients) >= MAX_CLIENTS:
            text = f"Couldn't connect to TWS: {MAX_CLIENTS} clients are connected, and no more can be; end one of them"
            self._send(replies.error(-1, 502, text))
            raise ConnectionResetError("too many clients")
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
            self.flush()
            transport.close()

    @property
    def waiting(self) -> int:
        """Bytes that its client has yet to take."""
        return self.writer.transport.get_write_buffer_size() + len(self._batch)

    def abort(self) -> None:
        """End the session, and forget what waits."""
        self.writer.transport.abort()

    def flush(self) -> None:
        """Write what was said."""
        batch, self._batch = self._batch, bytearray()
        if batch and not self.writer.transport.is_closing():
            self.writer.write(batch)

    def _write(self, frame: bytes) -> None:
        self._batch += frame
        if not self.server.moving or len(self._batch) >= BATCH:
            self.flush()
        if self.waiting > MAX_WAITING:
            self.abort()
