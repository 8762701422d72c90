"""The first bytes of a session: what is no client is shut out, and one of another version is told why."""

from __future__ import annotations

import struct

import pytest

from workbench.gateway.simulated import SimulatedGateway
from workbench.gateway.wire.frames import frame

HELLO = b"API\0" + struct.pack(">I", 9) + b"v157..176"


def offer(text: bytes) -> bytes:
    return b"API\0" + struct.pack(">I", len(text)) + text


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"API\0\xff\xff\xff\xff",
        b"API\0\0\0\0\0",
        offer(b"nothing"),
        HELLO + b"\xff\xff\xff\xff" + b"x" * 100,
        HELLO + b"\0\0\0\0",
        HELLO + struct.pack(">I", 3) + b"71\0"[:2] + b"x",
        HELLO + struct.pack(">I", 3) + b"\xff\xfe\0",
    ],
)
def test_bytes_that_are_no_api_end_the_session(gateway, neighbour, connect, sent):
    peer = connect(gateway.port)
    peer.socket.sendall(sent)
    peer.until("never")
    assert peer.read() == []


@pytest.mark.parametrize("sent", [b"", b"A", b"API\0", HELLO[:-2], HELLO, HELLO + b"\0\0", HELLO + frame(71)[:-1]])
def test_half_a_handshake_disturbs_nobody(gateway, neighbour, connect, sent):
    peer = connect(gateway.port)
    peer.socket.sendall(sent)
    assert neighbour.alive()


def test_a_silent_handshake_is_not_waited_for_for_ever(monkeypatch, connect):
    monkeypatch.setattr("workbench.gateway.session.HANDSHAKE_S", 0.2)
    with SimulatedGateway() as gateway:
        assert connect(gateway.port).read() == []


def test_frames_may_come_in_pieces_of_any_size(gateway, neighbour, connect):
    peer = connect(gateway.port)
    for byte in HELLO + frame(71, 2, 8, "") + frame(49, 1):
        peer.socket.sendall(bytes([byte]))
    assert peer.until("49")


@pytest.mark.parametrize(
    ("versions", "announced", "code"),
    [(b"v9..100", "100", "506"), (b"v100..175", "175", "506"), (b"v177..200", "176", "503"), (b"v38", "38", "506")],
)
def test_a_client_of_another_version_is_told_why_it_is_refused(gateway, neighbour, connect, versions, announced, code):
    peer = connect(gateway.port)
    peer.socket.sendall(offer(versions))
    version, time = peer.read()
    assert (version, time[:4]) == (announced, "2026")
    peer.say(71, 2, 1, "")  # as a client does that has not read on
    told = peer.read()
    assert told[:4] == ["4", "2", "-1", code]
    assert "this gateway 176 only" in told[4]
    assert peer.read() == []
    assert 1 not in gateway.hub.clients


def test_a_client_that_ends_at_176_or_goes_beyond_is_served(gateway, neighbour, connect):
    for number, versions in enumerate((b"v157..176", b"v157..178", b"v100..176 +PACEAPI"), 20):
        peer = connect(gateway.port)
        peer.socket.sendall(offer(versions))
        assert peer.read()[0] == "176"
        peer.say(71, 2, number, "")
        assert peer.alive()


def test_more_sockets_than_there_may_be_are_closed_at_once(monkeypatch, connect, wait_for):
    monkeypatch.setattr("workbench.gateway.server.MAX_SOCKETS", 3)
    with SimulatedGateway(speed=10) as gateway:
        client, silent, _ = connect(gateway.port, 1), connect(gateway.port), connect(gateway.port)
        assert client.alive()
        wait_for(lambda: len(gateway.server._sessions) == 3)
        assert connect(gateway.port).read() == []
        silent.close()
        wait_for(lambda: len(gateway.server._sessions) == 2)
        assert connect(gateway.port, 2).alive()
