"""One session with the gateway: the handshake, with every way it can fail told apart, and its end."""

from __future__ import annotations

import asyncio
import struct
from typing import Any

from workbench.execution.ibkr.backend import Client
from workbench.execution.ibkr.errors import (
    BrokerError,
    ClosedAtOnce,
    Mute,
    NotConnected,
    NotTws,
    PortClosed,
    Unreachable,
)
from workbench.execution.ibkr.messages import Messages

TCP_PORTS = {4001: "IB Gateway, live", 4002: "IB Gateway, paper", 7496: "TWS, live", 7497: "TWS, paper"}
LARGEST_GREETING = 1 << 16


class Wire:
    """A client of the library, connected once. `ended` is done with the reason when the socket is gone."""

    def __init__(self, messages: Messages, host: str, port: int, *, unthrottled: bool) -> None:
        self.messages, self.host, self.port = messages, host, port
        self.client: Any = Client(messages)
        self.client.decoder.logger = messages
        if unthrottled:
            self.client.MaxRequests = 0
        loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[str] = loop.create_future()
        self.heard_at = loop.time()
        self._bytes = 0
        self._head = b""
        self.client.conn.hasData += self._heard
        self.client.conn.disconnected += self._closed

    @property
    def ready(self) -> bool:
        """Whether requests can be sent."""
        return not self.ended.done() and bool(self.client.isReady())

    async def connect(self, client_id: int, timeout_s: float) -> None:
        """Shake hands, and wait until the gateway has named its accounts; a BrokerError says what failed."""
        self.messages.refusal = None
        opening = asyncio.ensure_future(self.client.connectAsync(self.host, self.port, client_id, timeout_s))
        try:
            await asyncio.wait({opening, self.ended}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            if opening.done() and opening.exception() is None and self.ready:
                return
            raise self._failure(opening.exception() if opening.done() else None)
        finally:
            if not opening.done():
                opening.cancel()
            await asyncio.gather(opening, return_exceptions=True)
            if not self.ready:
                self.abort("not connected")

    def _failure(self, error: BaseException | None) -> BrokerError:
        where = f"{self.host}:{self.port}"
        if self.messages.refusal is not None:
            return type(self.messages.refusal)(
                f"{self.messages.refusal}; end the program that uses it, or set another broker.client_id"
            )
        if self._is_foreign():
            return NotTws(
                f"{where} answers, but not as TWS or IB Gateway do; is it another program's port? Theirs are "
                f"{', '.join(f'{p} ({name})' for p, name in TCP_PORTS.items())}"
            )
        if isinstance(error, ConnectionRefusedError):
            return PortClosed(
                f"nothing listens on {where}: start TWS or IB Gateway, enable its API (Configure, API, Settings: "
                f"Enable ActiveX and Socket Clients) and compare the Socket port shown there"
            )
        if isinstance(error, OSError) and not isinstance(error, TimeoutError):
            why = error.strerror or error
            return Unreachable(f"{where} cannot be reached ({why}); check broker.host and the network")
        if self.ended.done():
            return ClosedAtOnce(
                f"{where} closed the connection at once: add this machine's IP to Trusted IPs in its API settings "
                f"(or untick 'Allow connections from localhost only'), and see that it is logged in"
            )
        return Mute(
            f"{where} accepts connections but does not answer: its login may hang, or a dialog waits for an answer; "
            f"look at its window and restart it"
        )

    def _is_foreign(self) -> bool:
        """Whether what came first cannot be the answer to the handshake."""
        if self._bytes and self.client.serverVersion():
            return False
        return len(self._head) >= 4 and struct.unpack(">I", self._head[:4])[0] > LARGEST_GREETING

    def send(self) -> Any:
        """The client, to send with; NotConnected if it cannot."""
        if not self.ready:
            raise NotConnected(f"not connected to {self.host}:{self.port}: nothing was sent")
        return self.client

    def abort(self, reason: str) -> None:
        """End it now, without waiting for the other side."""
        transport = self.client.conn.transport
        if not self.ended.done():
            self.ended.set_result(reason)
        if transport is not None:
            transport.abort()

    def _heard(self, data: bytes) -> None:
        self.heard_at = asyncio.get_running_loop().time()
        if len(self._head) < 4:
            self._head += data[:4]
        self._bytes += len(data)
        if not self.ended.done() and not self.client.serverVersion() and self._is_foreign():
            self.abort("no TWS")

    def _closed(self, reason: str) -> None:
        if not self.ended.done():
            self.ended.set_result(reason or "the gateway closed the connection")
