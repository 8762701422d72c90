"""The server against clients that break the rules: it refuses them, and serves the others as if nothing had been."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workbench.core.errors import ConfigError
from workbench.gateway.answers import Answers
from workbench.gateway.hub import Client
from workbench.gateway.server import MAX_WAITING, GatewayServer
from workbench.gateway.simulated import SimulatedGateway
from workbench.gateway.tickets import Ticket
from workbench.gateway.wire import messages as m

HELLO = b"API\0" + struct.pack(">I", 9) + b"v157..176"
PATIENCE_S = 10.0


def packed(*fields: object) -> bytes:
    body = "".join(f"{field}\0" for field in fields).encode()
    return struct.pack(">I", len(body)) + body


OPEN: list[socket.socket] = []  # of the test that runs


@pytest.fixture(autouse=True)
def closed_sockets() -> Iterator[None]:
    yield
    while OPEN:
        OPEN.pop().close()


class Peer:
    """A client that may do anything; reads frames as the API documents them."""

    def __init__(self, port: int, client_id: int | None = None) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
        self.buffer = b""
        OPEN.append(self.socket)
        if client_id is not None:
            self.socket.sendall(HELLO)
            assert self.read()[0] == "176"
            self.say(71, 2, client_id, "")

    def say(self, *fields: object) -> None:
        self.socket.sendall(packed(*fields))

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

    def close(self) -> None:
        self.socket.close()


@pytest.fixture(scope="module")
def gateway() -> Iterator[SimulatedGateway]:
    with SimulatedGateway(speed=10) as running:
        yield running


@pytest.fixture
def neighbour(gateway: SimulatedGateway) -> Iterator[Peer]:
    """A decent client; it must be served whatever the others do."""
    peer = Peer(gateway.port, 900)
    yield peer
    assert peer.alive()
    peer.close()


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"API\0\xff\xff\xff\xff",
        b"API\0\0\0\0\0",
        b"API\0" + struct.pack(">I", 7) + b"v9..100",
        b"API\0" + struct.pack(">I", 7) + b"nothing",
        HELLO + b"\xff\xff\xff\xff" + b"x" * 100,
        HELLO + b"\0\0\0\0",
        HELLO + struct.pack(">I", 3) + b"71\0"[:2] + b"x",
        HELLO + struct.pack(">I", 3) + b"\xff\xfe\0",
    ],
)
def test_bytes_that_are_no_api_end_the_session(gateway, neighbour, sent):
    peer = Peer(gateway.port)
    peer.socket.sendall(sent)
    peer.until("never")
    assert peer.read() == []
    peer.close()


@pytest.mark.parametrize("sent", [b"", b"A", b"API\0", HELLO[:-2], HELLO, HELLO + b"\0\0", HELLO + packed(71)[:-1]])
def test_half_a_handshake_disturbs_nobody(gateway, neighbour, sent):
    peer = Peer(gateway.port)
    peer.socket.sendall(sent)
    assert neighbour.alive()
    peer.close()


def test_a_silent_handshake_is_not_waited_for_for_ever(monkeypatch):
    monkeypatch.setattr("workbench.gateway.server.HANDSHAKE_S", 0.2)
    with SimulatedGateway() as gateway:
        peer = Peer(gateway.port)
        assert peer.read() == []


@pytest.mark.parametrize(
    ("fields", "number"),
    [
        ((1, 11, 7), "7"),
        ((1, 10, 7, "AAPL"), "7"),
        ((4, 1, "seven", ""), "-1"),
        ((20, 5, "x"), "5"),
        ((3, 12, "only"), "12"),
        (("",), "-1"),
        (("what",), "-1"),
        ((92, 4, "", "", "and more"), "4"),
    ],
)
def test_a_message_that_cannot_be_read_is_answered_and_the_session_goes_on(gateway, neighbour, fields, number):
    peer = Peer(gateway.port, 1)
    peer.until("9")
    peer.say(*fields)
    message = peer.until("4")
    while message[3] in ("2104", "2106", "2158"):
        message = peer.until("4")
    assert (message[2], message[3]) == (number, "320")
    assert peer.alive()
    peer.close()
    wait_for(lambda: 1 not in gateway.hub.clients)


def test_nothing_is_answered_before_the_client_has_introduced_itself(gateway, neighbour):
    peer = Peer(gateway.port)
    peer.socket.sendall(HELLO)
    assert peer.read()[0] == "176"
    peer.say(61, 1)
    assert peer.read()[:4] == ["4", "2", "-1", "504"]
    peer.close()


def test_a_client_id_in_use_is_refused_and_free_again_afterwards(gateway, neighbour):
    first = Peer(gateway.port, 5)
    assert first.alive()
    second = Peer(gateway.port, 5)
    assert second.codes() == ["326"]
    assert first.alive()
    first.close()
    wait_for(lambda: 5 not in gateway.hub.clients)
    third = Peer(gateway.port, 5)
    assert third.alive()
    third.close()


def test_a_second_introduction_leaves_no_ghost(gateway, neighbour):
    peer = Peer(gateway.port, 6)
    assert peer.alive()
    peer.say(71, 2, 60, "")
    assert peer.until("4")[3] == "321"
    assert peer.alive()
    assert 60 not in gateway.hub.clients
    peer.close()
    wait_for(lambda: 6 not in gateway.hub.clients)


def test_frames_may_come_in_pieces_of_any_size(gateway, neighbour):
    peer = Peer(gateway.port)
    for byte in HELLO + packed(71, 2, 8, "") + packed(49, 1):
        peer.socket.sendall(bytes([byte]))
    assert peer.until("49")
    peer.close()


def test_a_flood_is_warned_of_then_refused_then_cut_off():
    with SimulatedGateway(speed=1) as gateway:
        decent, peer = Peer(gateway.port, 2), Peer(gateway.port, 1)
        peer.socket.sendall(packed(49, 1) * 1000)
        codes = [code for code in peer.codes() if code in ("0", "100")]
        assert codes[0] == "0"
        assert "100" in codes
        assert decent.alive()


def test_a_client_may_send_as_fast_as_it_likes_when_time_is_accelerated(gateway, neighbour):
    peer = Peer(gateway.port, 3)
    peer.socket.sendall(packed(49, 1) * 2000)
    assert all(peer.until("49") for _ in range(2000))
    peer.close()


def subscribe(peer: Peer, number: int, symbol: str) -> None:
    peer.say(1, 11, number, 0, symbol, "STK", "", "0", "", "", "SMART", "", "USD", "", "", 0, "", 0, 0, "")


def test_a_client_that_does_not_read_its_ticks_is_dropped(monkeypatch):
    monkeypatch.setattr("workbench.gateway.server.MAX_WAITING", 1 << 17)
    with SimulatedGateway(speed=2000) as gateway:
        decent, lazy = Peer(gateway.port, 2), Peer(gateway.port, 1)
        lazy.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        for i in range(20):
            subscribe(lazy, i, f"S{chr(65 + i)}")
        wait_for(lambda: 1 in gateway.hub.clients)
        wait_for(lambda: 1 not in gateway.hub.clients)
        assert decent.alive()


def test_a_client_that_asks_and_does_not_read_makes_nobody_wait(gateway, neighbour):
    lazy = Peer(gateway.port, 12)
    ask = packed(20, 1, 0, "AAPL", "STK", "", "0", "", "", "SMART", "", "USD", "", "", 0, "", "1 min", "5 D", 1,
                 "TRADES", 1, 0, "")  # fmt: skip
    lazy.socket.sendall(ask * 300)
    begun = time.monotonic()
    assert all(neighbour.alive() for _ in range(5))
    assert time.monotonic() - begun < 3
    lazy.close()
    wait_for(lambda: 12 not in gateway.hub.clients)


def test_the_bound_of_what_waits_is_small_enough_for_many_clients():
    assert MAX_WAITING <= 64 << 20


def test_many_clients_are_served_at_once(gateway, neighbour):
    peers = [Peer(gateway.port, 100 + i) for i in range(60)]
    assert all(peer.alive() for peer in peers)
    assert {100 + i for i in range(60)} <= set(gateway.hub.clients)
    for peer in peers:
        peer.close()
    wait_for(lambda: not {100 + i for i in range(60)} & set(gateway.hub.clients))


def test_a_reset_connection_is_forgotten(gateway, neighbour):
    peer = Peer(gateway.port, 11)
    assert peer.alive()
    peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()
    wait_for(lambda: 11 not in gateway.hub.clients)


# a session that has been introduced, then sends whatever hypothesis thinks of
FIELD = st.one_of(
    st.text(max_size=8).filter(lambda s: "\0" not in s),
    st.sampled_from(["", "0", "1", "-1", "2147483647", "1e308", "nan", "AAPL", "STK", "SMART", "USD", "BUY", "LMT"]),
    st.integers(-5, 10**12).map(str),
)
MESSAGE = st.tuples(st.integers(-1, 110).map(str), st.lists(FIELD, max_size=30)).map(lambda m: packed(m[0], *m[1]))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(messages=st.lists(st.one_of(MESSAGE, st.binary(min_size=1, max_size=60)), min_size=1, max_size=5))
def test_random_bytes_and_messages_never_end_the_server(gateway, messages):
    peer, other = Peer(gateway.port, 700), Peer(gateway.port, 701)
    peer.socket.sendall(b"".join(messages))
    assert other.alive()
    peer.close()
    other.close()
    wait_for(lambda: not {700, 701} & set(gateway.hub.clients))


NUMBER = st.sampled_from(["0", "1", "-1", "7", "20000", "999999999999", "2147483647"])
WORD = st.sampled_from(["", "AAPL", "aapl", "TRADES", "SCHEDULE", "BID", "1 min", "1 week", "1 month", "1 day",
                        "5 secs", "8 hours", "2 D", "60 S", "1 Y", "0 D", "99999 S", "20260227 16:00:00",
                        "20260227-16:00:00", "20260230", "Last", "BidAsk", "LMT", "MOC", "all"])  # fmt: skip
FLAG = st.sampled_from(["0", "1"])
STOCK = st.tuples(
    st.sampled_from(["0", "7"]), st.sampled_from(["AAPL", "", "x", "é", "A" * 40]), st.sampled_from(["STK", "OPT", ""]),
    st.just(""), st.just("0"), st.just(""), st.just(""), st.sampled_from(["SMART", "NYSE", "MARS"]), st.just(""),
    st.sampled_from(["USD", "EUR"]), st.just(""), st.just(""),
)  # fmt: skip
GROWING = ("AAPL", "STK", "", "0", "", "", "SMART", "", "USD", "", "")
FORMS = [  # of the documented requests: what is said literally, and what may be anything
    (1, "11", NUMBER, STOCK, "0", WORD, FLAG, "0", ""),
    (97, NUMBER, STOCK, WORD, NUMBER, FLAG),
    (20, NUMBER, STOCK, FLAG, WORD, WORD, WORD, FLAG, WORD, NUMBER, FLAG, ""),
    (20, NUMBER, ("0", *GROWING), "0", "", WORD, st.sampled_from(["2 D", "60 S"]), "1", "TRADES", "1", "1", ""),
    (50, "3", NUMBER, STOCK, NUMBER, WORD, FLAG, ""),
    (87, NUMBER, STOCK, FLAG, FLAG, WORD, NUMBER),
    (96, NUMBER, STOCK, FLAG, WORD, WORD, NUMBER, WORD, FLAG, FLAG, ""),
    (7, "3", NUMBER, NUMBER, WORD, WORD, WORD, WORD, WORD, WORD),
    (6, "2", FLAG, WORD),
    (62, "1", NUMBER, WORD, WORD),
    (76, "1", NUMBER, WORD, WORD, FLAG),
    (92, NUMBER, WORD, WORD),
    (94, NUMBER, WORD, WORD, NUMBER),
    (91, NUMBER),
    (81, NUMBER, WORD),
    (59, "1", NUMBER),
    (4, "1", NUMBER, WORD),
    (2, "2", NUMBER),
    (9, "8", NUMBER, STOCK, FLAG, WORD, WORD, WORD),
]


def _flat(parts: tuple) -> bytes:
    fields: list[str] = []
    for part in parts:
        fields.extend(part if isinstance(part, tuple) else [part])
    return packed(*fields)


REQUEST = st.one_of(
    [st.tuples(*(p if isinstance(p, st.SearchStrategy) else st.just(p) for p in form)).map(_flat) for form in FORMS]
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(requests=st.lists(REQUEST, min_size=1, max_size=6))
def test_well_formed_requests_with_odd_values_are_answered_and_the_market_goes_on(gateway, caplog, requests):
    peer = Peer(gateway.port, 800)
    peer.socket.sendall(b"".join(requests))
    assert peer.alive()
    before = gateway.clock.now()
    wait_for(lambda: gateway.clock.now() >= before + 1_000_000_000)
    assert peer.alive()
    peer.close()
    wait_for(lambda: 800 not in gateway.hub.clients)
    assert [r for r in caplog.records if r.levelname == "ERROR"] == []


def test_only_this_machine_is_listened_to_unless_said_otherwise():
    hub = SimulatedGateway().hub
    for host in ("0.0.0.0", "::", "192.168.1.7", "example.org", ""):
        with pytest.raises(ConfigError, match="not this machine"):
            GatewayServer(hub, host=host)
    GatewayServer(hub, host="0.0.0.0", allow_remote=True)

    async def bound(server: GatewayServer) -> str:
        await server.start()
        host = server._server.sockets[0].getsockname()[0]
        await server.stop()
        return str(host)

    assert asyncio.run(bound(GatewayServer(hub))) == "127.0.0.1"


def hub_client(hub, client_id: int) -> list[list[str]]:
    """What a client without a socket is told."""
    heard: list[list[str]] = []
    hub.clients[client_id] = Client(lambda frame: heard.append(frame[4:-1].decode().split("\0")), client_id=client_id)
    return heard


def test_orders_entered_by_hand_are_seen_by_client_zero_and_by_who_asks_for_all():
    hub = SimulatedGateway().hub
    answers = Answers(hub)
    zero, one = hub_client(hub, 0), hub_client(hub, 1)
    hub.feed.join("AAPL")
    hub.brokerage.place(0, Ticket(0, "AAPL", 1, 10, "LMT", 1.0))
    hub.settle()
    assert [f[1] for f in zero if f[0] == "5"]
    assert [f for f in one if f[0] == "5"] == []
    for ask, own, wanted in ((m.ReqOpenOrders(), 0, 1), (m.ReqOpenOrders(), 1, 0), (m.ReqAllOpenOrders(), 1, 1)):
        heard = (zero, one)[own]
        heard.clear()
        answers.answer(hub.clients[own], ask)
        assert [f[0] for f in heard] == ["5", "3"] * wanted + ["53"]


def wait_for(condition) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "still waiting"
        time.sleep(0.005)
