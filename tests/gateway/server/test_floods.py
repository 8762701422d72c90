"""Clients that send too much or read too little: they go, memory stays bounded, and nobody else waits."""

from __future__ import annotations

import socket
import time

from workbench.gateway.server import MAX_WAITING_IN_ALL
from workbench.gateway.session import MAX_WAITING
from workbench.gateway.simulated import SimulatedGateway


def lazy(peer, letter: str) -> None:
    """Subscribe to twenty symbols, and read nothing."""
    peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    for i in range(20):
        peer.subscribe(i, f"{letter}{chr(65 + i)}")


def test_a_flood_is_warned_of_then_refused_then_cut_off(connect):
    with SimulatedGateway(speed=1) as gateway:
        decent, peer = connect(gateway.port, 2), connect(gateway.port, 1)
        peer.say(49, 1, times=1000)
        codes = [code for code in peer.codes() if code in ("0", "100")]
        assert codes[0] == "0"
        assert "100" in codes
        assert decent.alive()


def test_a_client_may_send_as_fast_as_it_likes_when_time_is_accelerated(gateway, neighbour, connect):
    peer = connect(gateway.port, 3)
    peer.say(49, 1, times=2000)
    assert all(peer.until("49") for _ in range(2000))


def test_a_client_that_does_not_read_its_ticks_is_dropped(monkeypatch, connect, wait_for):
    monkeypatch.setattr("workbench.gateway.session.MAX_WAITING", 1 << 17)
    with SimulatedGateway(speed=2000) as gateway:
        decent, slow = connect(gateway.port, 2), connect(gateway.port, 1)
        lazy(slow, "S")
        wait_for(lambda: 1 in gateway.hub.clients)
        wait_for(lambda: 1 not in gateway.hub.clients)
        assert decent.alive()


def test_many_that_read_slowly_have_one_bound_together(monkeypatch, connect, wait_for):
    monkeypatch.setattr("workbench.gateway.server.MAX_WAITING_IN_ALL", 1 << 18)
    with SimulatedGateway(speed=2000) as gateway:
        decent = connect(gateway.port, 9)
        for number, letter in enumerate("STU", 1):
            lazy(connect(gateway.port, number), letter)
        wait_for(lambda: {1, 2, 3} <= set(gateway.hub.clients))
        wait_for(lambda: set(gateway.hub.clients) == {9})  # each is below the bound of one client
        assert decent.alive()


def test_a_client_that_asks_and_does_not_read_makes_nobody_wait(gateway, neighbour, connect, wait_for):
    slow = connect(gateway.port, 12)
    slow.say(20, 1, 0, "AAPL", "STK", "", "0", "", "", "SMART", "", "USD", "", "", 0, "", "1 min", "5 D", 1,
             "TRADES", 1, 0, "", times=300)  # fmt: skip
    begun = time.monotonic()
    assert all(neighbour.alive() for _ in range(5))
    assert time.monotonic() - begun < 15
    slow.close()
    wait_for(lambda: 12 not in gateway.hub.clients)


def test_the_bounds_of_what_waits_are_small_enough_for_an_ordinary_machine():
    assert MAX_WAITING <= 32 << 20
    assert MAX_WAITING_IN_ALL <= 128 << 20
