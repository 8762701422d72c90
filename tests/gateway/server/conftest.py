"""A running gateway, and clients that may do anything to it."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable, Iterator

import pytest

from workbench.gateway.simulated import SimulatedGateway

HELLO = b"API\0" + struct.pack(">I", 9) + b"v157..176"
PATIENCE_S = 60.0


class Peer:
    """Reads and writes frames as the API documents them, or whatever bytes it likes."""

    def __init__(self, port: int, client_id: int | None = None) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
        self.buffer = b""
        if client_id is not None:
            self.socket.sendall(HELLO)
            assert self.read()[0] == "176"
            self.say(71, 2, client_id, "")

    def say(self, *fields: object, times: int = 1) -> None:
        body = "".join(f"{field}\0" for field in fields).encode()
        self.socket.sendall((struct.pack(">I", len(body)) + body) * times)

    def subscribe(self, number: int, symbol: str) -> None:
        self.say(1, 11, number, 0, symbol, "STK", "", "0", "", "", "SMART", "", "USD", "", "", 0, "", 0, 0, "")

    def read(self) -> list[str]:
        """The next message; empty when the server has hung up."""
        while len(self.buffer) < 4 or len(self.buffer) < 4 + struct.unpack(">I", self.buffer[:4])[0]:
            try:
                more = self.socket.recv(1 << 16)
            except ConnectionError:
                return []
            if not more:
                return []
            self.buffer += more
        (length,) = struct.unpack(">I", self.buffer[:4])
        body, self.buffer = self.buffer[4 : 4 + length], self.buffer[4 + length :]
        return body[:-1].decode().split("\0")

    def until(self, wanted: str) -> list[str]:
        """The next message with that id; empty when the server hung up before."""
        while message := self.read():
            if message[0] == wanted:
                return message
        return []

    def codes(self) -> list[str]:
        """Codes of all errors until the server hangs up."""
        found = []
        while message := self.until("4"):
            found.append(message[3])
        return found

    def alive(self) -> bool:
        """Whether the server answers the time."""
        self.say(49, 1)
        return bool(self.until("49"))

    def close(self, *, reset: bool = False) -> None:
        if reset:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


@pytest.fixture
def connect() -> Iterator[Callable[..., Peer]]:
    """Makes peers of a port, and with a client id if they are to introduce themselves; closed with the test."""
    peers: list[Peer] = []

    def make(port: int, client_id: int | None = None) -> Peer:
        peers.append(Peer(port, client_id))
        return peers[-1]

    yield make
    for peer in peers:
        peer.close()


@pytest.fixture(scope="session")
def wait_for() -> Callable[[Callable[[], object]], None]:
    """Waits for a condition, not for long."""

    def wait(condition: Callable[[], object]) -> None:
        end = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < end, "still waiting"
            time.sleep(0.005)

    return wait


@pytest.fixture(scope="module")
def gateway() -> Iterator[SimulatedGateway]:
    with SimulatedGateway(speed=10) as running:
        yield running


@pytest.fixture
def neighbour(gateway: SimulatedGateway, connect: Callable[..., Peer]) -> Iterator[Peer]:
    """A decent client; it must be served whatever the others do."""
    peer = connect(gateway.port, 900)
    yield peer
    assert peer.alive()
