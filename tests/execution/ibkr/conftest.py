"""A gateway with a connection to it, and sockets that behave as no gateway should."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from workbench.config.live import BrokerSettings
from workbench.core.units import NS_PER_SECOND
from workbench.execution.ibkr.connection import IbkrConnection
from workbench.execution.ibkr.errors import BrokerError
from workbench.execution.reports import OutgoingOrder, Report
from workbench.gateway.simulated import SimulatedGateway

PATIENCE_S = 30.0
NAN = float("nan")
FROZEN = 1e-9
"""Speed of a gateway whose clock stands still, but for the steps of :meth:`Desk.until`."""
STEP_NS = NS_PER_SECOND // 5


def until(condition: Callable[[], Any], what: str, between: Callable[[], object] = lambda: None) -> Any:
    """What `condition` gives once it is true; `between` is done between two looks."""
    limit = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        assert time.monotonic() < limit, f"waited in vain for {what}"
        between()
        time.sleep(0.01)
    return found


class Desk:
    """A connection, and every report that came."""

    gateway: SimulatedGateway | None = None
    """At the other end; None if the test did not make it."""

    def __init__(self, port: int, **settings: Any) -> None:
        self.reports: list[Report] = []
        told = {"connect_timeout_s": 3.0, "request_timeout_s": 5.0, **settings}
        self.connection = IbkrConnection(
            BrokerSettings(**told), self.reports.append, time.time_ns, host="127.0.0.1", port=port, unthrottled=True
        )

    def until(self, condition: Callable[[], Any], what: str) -> Any:
        """As :func:`until`; a clock of the gateway that stands still moves on by a step after every look."""
        frozen = self.gateway is not None and self.gateway.server.speed == FROZEN
        return until(condition, what, self._step if frozen else lambda: None)

    def _step(self) -> None:
        """Move the gateway's clock on, and take in what it has said if it can be reached."""
        gateway = self.gateway
        assert gateway is not None
        assert gateway._loop is not None

        async def move() -> None:
            gateway.hub.advance_to(gateway.clock.now() + STEP_NS)

        asyncio.run_coroutine_threadsafe(move(), gateway._loop).result(PATIENCE_S)
        with contextlib.suppress(BrokerError):
            self.connection.server_time()

    def run(self, speed: float) -> None:
        """Let the gateway's clock run."""
        assert self.gateway is not None
        self.gateway.server.speed = speed

    def of(self, kind: type, **wanted: Any) -> list[Any]:
        """The reports of a kind with these values."""
        return [
            r for r in list(self.reports)
            if isinstance(r, kind) and all(getattr(r, name) == value for name, value in wanted.items())
        ]  # fmt: skip

    def heard(self, kind: type, **wanted: Any) -> Any:
        """The first such report, once it has come."""
        return self.until(lambda: self.of(kind, **wanted), f"{kind.__name__} {wanted}; came: {self.reports[-5:]}")[0]

    def order(self, ref: str, side: int = 1, quantity: int = 100, limit: float = NAN, **more: Any) -> OutgoingOrder:
        """An order that is not sent yet."""
        number = more.pop("order_id", 0) or self.connection.reserve_order_id()
        kind = more.pop("kind", "MKT" if limit != limit else "LMT")
        return OutgoingOrder(number, ref, more.pop("symbol", "AAPL"), side, quantity, kind, limit, "DAY", **more)

    def send(self, ref: str, *args: Any, **more: Any) -> OutgoingOrder:
        """An order that is."""
        order = self.order(ref, *args, **more)
        self.connection.place(order)
        return order


@pytest.fixture
def desk() -> Iterator[Callable[..., Desk]]:
    """Makes connections that are open, and closed at the end; ``.gateway`` is theirs, and runs once they are open."""
    with contextlib.ExitStack() as running:

        def make(scenario: str | None = None, speed: float = 20.0, **settings: Any) -> Desk:
            gateway = running.enter_context(SimulatedGateway(speed=FROZEN, scenario=scenario))
            made = Desk(gateway.port, **settings)
            made.gateway = gateway
            running.callback(made.connection.close)
            made.greeting = made.connection.open()
            made.connection.qualify(["AAPL"])
            made.run(speed)
            return made

        yield make


def frame(*fields: object) -> bytes:
    """A message as it is framed on the wire."""
    body = "".join(f"{f}\0" for f in fields).encode()
    return struct.pack(">I", len(body)) + body


class Fake:
    """Listens, and treats every connection by `behave` (socket -> None), which runs in a thread."""

    def __init__(self, behave: Callable[[socket.socket], None]) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self._behave, self._open = behave, []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._server.accept()
                self._open.append(client)
                threading.Thread(target=self._one, args=(client,), daemon=True).start()

    def _one(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            self._behave(client)

    def close(self) -> None:
        for s in (self._server, *self._open):
            s.close()


@pytest.fixture
def fake() -> Iterator[Callable[[Callable[[socket.socket], None]], int]]:
    """Makes fakes; gives their port."""
    made: list[Fake] = []

    def make(behave: Callable[[socket.socket], None]) -> int:
        made.append(Fake(behave))
        return made[-1].port

    yield make
    for f in made:
        f.close()


def tws(account: str = "DU1234567", answers: dict[str, list[tuple[object, ...]]] | None = None):
    """A gateway that shakes hands, and answers the messages of `answers` (id -> messages); to the rest it is mute."""
    replies = {"71": [(9, 1, 1), (15, 1, account)], **(answers or {})}

    def behave(client: socket.socket) -> None:
        stream = client.makefile("rwb")
        stream.read(4)
        stream.read(struct.unpack(">I", stream.read(4))[0])
        stream.write(frame(176, "20260302 09:30:00 EST"))
        stream.flush()
        while head := stream.read(4):
            message = stream.read(struct.unpack(">I", head)[0]).decode().split("\0")
            for reply in replies.get(message[0], []):
                stream.write(frame(*reply))
            stream.flush()

    return behave
