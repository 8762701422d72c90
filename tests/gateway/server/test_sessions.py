"""Sessions: numbers, introductions, how many, and what becomes of a message that cannot be read."""

from __future__ import annotations

import asyncio

import pytest

from workbench.core.errors import ConfigError
from workbench.gateway.server import GatewayServer
from workbench.gateway.simulated import SimulatedGateway


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
def test_a_message_that_cannot_be_read_is_answered_and_the_session_goes_on(
    gateway, neighbour, connect, wait_for, fields, number
):
    peer = connect(gateway.port, 1)
    peer.until("9")
    peer.say(*fields)
    message = peer.until("4")
    while message[3] in ("2104", "2106", "2158"):
        message = peer.until("4")
    assert (message[2], message[3]) == (number, "320")
    assert peer.alive()
    peer.close()
    wait_for(lambda: 1 not in gateway.hub.clients)


def test_nothing_is_answered_before_the_client_has_introduced_itself(gateway, neighbour, connect):
    peer = connect(gateway.port)
    peer.socket.sendall(b"API\0\0\0\0\x09v157..176")
    assert peer.read()[0] == "176"
    peer.say(61, 1)
    assert peer.read()[:4] == ["4", "2", "-1", "504"]


def test_a_client_id_in_use_is_refused_and_free_again_afterwards(gateway, neighbour, connect, wait_for):
    first = connect(gateway.port, 5)
    assert first.alive()
    assert connect(gateway.port, 5).codes() == ["326"]
    assert first.alive()
    first.close()
    wait_for(lambda: 5 not in gateway.hub.clients)
    assert connect(gateway.port, 5).alive()


def test_a_second_introduction_leaves_no_ghost(gateway, neighbour, connect, wait_for):
    peer = connect(gateway.port, 6)
    assert peer.alive()
    peer.say(71, 2, 60, "")
    assert peer.until("4")[3] == "321"
    assert peer.alive()
    assert 60 not in gateway.hub.clients
    peer.close()
    wait_for(lambda: 6 not in gateway.hub.clients)


def test_thirty_two_clients_are_served_and_the_next_is_told_that_there_is_no_room(connect, wait_for):
    with SimulatedGateway(speed=10) as gateway:
        peers = [connect(gateway.port, 100 + i) for i in range(32)]
        assert all(peer.alive() for peer in peers)
        assert set(gateway.hub.clients) == {100 + i for i in range(32)}
        assert connect(gateway.port, 1).codes() == ["502"]
        assert all(peer.alive() for peer in peers)
        peers[0].close()
        wait_for(lambda: 100 not in gateway.hub.clients)
        assert connect(gateway.port, 1).alive()


def test_a_reset_connection_is_forgotten(gateway, neighbour, connect, wait_for):
    peer = connect(gateway.port, 11)
    assert peer.alive()
    peer.close(reset=True)
    wait_for(lambda: 11 not in gateway.hub.clients)


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
