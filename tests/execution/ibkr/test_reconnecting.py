"""The way to the gateway: how it can fail, how it is lost, and how it comes back."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest

from tests.execution.ibkr.conftest import FROZEN, Desk, tws, until
from workbench.execution.ibkr import connection as module
from workbench.execution.ibkr.errors import (
    BrokerError,
    BrokerTimeout,
    ClientIdInUse,
    ClosedAtOnce,
    Mute,
    NotConnected,
    NotTws,
    PortClosed,
    ReadOnlyApi,
    Unreachable,
)
from workbench.execution.reports import ErrorReport, Link, LinkReport, OrderReport


def refusal(port: int, **settings) -> BrokerError:
    d = Desk(port, **{"connect_timeout_s": 1.0, "request_timeout_s": 1.0, **settings})
    with pytest.raises(BrokerError) as caught:
        d.connection.open()
    assert not d.connection.connected
    return caught.value


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def test_a_closed_port_names_the_remedy():
    error = refusal(free_port())
    assert isinstance(error, PortClosed)
    assert "Enable ActiveX and Socket Clients" in str(error)


def test_an_unknown_host():
    d = Desk(4002)
    d.connection.host = "no-such-host.invalid"
    with pytest.raises(Unreachable, match=r"cannot be reached.*check broker\.host"):
        d.connection.open()


def test_a_mute_gateway(fake):
    error = refusal(fake(lambda client: time.sleep(20)))
    assert isinstance(error, Mute)
    assert "accepts connections but does not answer" in str(error)


def test_one_that_shakes_hands_and_is_mute_then(fake):
    error = refusal(fake(tws()))
    assert isinstance(error, BrokerTimeout)
    assert "did not answer within" in str(error)


def test_orders_without_an_end_do_not_hang(fake):
    error = refusal(fake(tws(answers={"49": [(49, 1, 1772461800)]})))
    assert isinstance(error, BrokerTimeout)
    assert "open orders" in str(error)


def test_an_untrusted_address(fake):
    assert isinstance(refusal(fake(lambda client: client.close())), ClosedAtOnce)


def test_another_program(fake):
    error = refusal(fake(lambda client: client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n") or time.sleep(5)))
    assert isinstance(error, NotTws)
    assert "4002 (IB Gateway, paper)" in str(error)


def test_a_read_only_api(fake):
    text = "Error validating request.-'cm' : cause - The API interface is currently in Read-Only mode."
    port = fake(tws(answers={"49": [(49, 1, 1772461800)], "16": [(4, 2, -1, 321, text, "")]}))
    error = refusal(port)
    assert isinstance(error, ReadOnlyApi)
    assert "untick Read-Only API" in str(error)


def test_several_accounts_want_a_choice(fake):
    ready = {"49": [(49, 1, 1772461800)], "16": [(53, 1)]}
    port = fake(tws("DU111,DU222", ready))
    assert "the accounts DU111, DU222; say which" in str(refusal(port))
    d = Desk(port)
    d.connection._wanted_account = "DU222"
    assert d.connection.open().account == "DU222"
    d.connection.close()
    d = Desk(port)
    d.connection._wanted_account = "U333"
    with pytest.raises(BrokerError, match="account U333 is not of this login"):
        d.connection.open()


def test_a_client_id_in_use(desk):
    d = desk()
    error = refusal(d.gateway.port)
    assert isinstance(error, ClientIdInUse)
    assert "client id 17 is in use" in str(error)
    assert d.connection.connected


def test_reconnects_after_a_reset_and_knows_its_order(desk):
    d = desk("connection_reset")
    sent = d.send("wb-1", limit=5.0)
    d.heard(LinkReport, link=Link.DOWN)
    until(lambda: len(d.of(LinkReport, link=Link.UP)) == 2, "the second UP")
    (working,) = d.connection.facts().orders
    assert (working.order_ref, working.order_id, working.client_id) == ("wb-1", sent.order_id, 17)
    assert d.connection.reserve_order_id() > sent.order_id
    d.connection.cancel(sent.order_id)
    d.heard(OrderReport, order_ref="wb-1", status="Cancelled")


def test_fills_while_away_are_among_the_facts(desk):
    d = desk("fill_while_disconnected")
    d.send("wb-1", limit=5.0)
    d.heard(LinkReport, link=Link.DOWN)
    until(lambda: len(d.of(LinkReport, link=Link.UP)) == 2, "the second UP")
    facts = until(lambda: (f := d.connection.facts()).executions and f, "the fill")
    assert [(e.order_ref, e.quantity) for e in facts.executions] == [("wb-1", 100)]
    assert facts.commissions[0].exec_id == facts.executions[0].exec_id
    assert [(p.symbol, p.quantity) for p in facts.positions] == [("AAPL", 100)]
    assert not facts.orders


def test_nothing_is_written_while_down(desk):
    d = desk("fill_while_disconnected", speed=FROZEN)
    order = d.order("wb-2", limit=5.0)
    d.send("wb-1", limit=4.0)
    d.heard(LinkReport, link=Link.DOWN)
    with pytest.raises(NotConnected, match="nothing was sent"):
        d.connection.place(order)
    d.until(lambda: len(d.of(LinkReport, link=Link.UP)) == 2, "the second UP")
    assert all(v.ticket.order_ref != "wb-2" for v in d.gateway.brokerage.open_orders())


def test_an_id_still_in_use_is_tried_again(desk):
    d = desk("id_in_use_after_reconnect", speed=3.0)
    d.heard(LinkReport, link=Link.DOWN)
    until(lambda: len(d.of(LinkReport, link=Link.UP)) == 2, "the second UP")
    d.connection.facts()


def test_a_half_open_socket_is_noticed_and_replaced(desk, monkeypatch):
    monkeypatch.setattr(module, "HEARTBEAT_S", 0.3)
    d = desk("half_open_socket", speed=5.0, connect_timeout_s=1.0)
    down = d.heard(LinkReport, link=Link.DOWN)
    assert "did not answer" in down.text
    until(lambda: len(d.of(LinkReport, link=Link.UP)) == 2, "the second UP")
    assert not d.connection.facts().orders


def test_facts_from_a_mute_gateway_time_out_and_begin_anew(desk):
    d = desk("half_open_socket", request_timeout_s=1.0)
    d.until(lambda: d.gateway.hub.injector.guards, "the silence")
    with pytest.raises(BrokerTimeout, match=r"open orders: the gateway did not answer within 1 s"):
        d.connection.facts()
    until(lambda: len(d.of(LinkReport, link=Link.UP)) == 2, "the second UP")
    d.connection.facts()


def test_states_of_the_link_are_told(desk):
    d = desk("connectivity_lost_data_lost")
    d.heard(LinkReport, link=Link.CUT, code=1100)
    d.heard(LinkReport, link=Link.RESTORED, code=1101)
    assert d.connection.connected


def test_a_message_that_cannot_be_read_is_told(desk):
    d = desk()
    d.connection._loop.do(lambda: d.connection._wire.client.decoder.interpret(["11", "-1", "x"]), 1.0, "garbage")
    assert "could not be read" in d.heard(ErrorReport, code=-1).text


def test_closing_in_the_middle_of_a_reconnect(desk):
    d = desk()
    d.gateway._loop.call_soon_threadsafe(d.gateway.server.close_door)
    d.connection._loop.do(lambda: d.connection._wire.abort("test"), 1.0, "abort")
    d.heard(LinkReport, link=Link.DOWN)
    d.connection.close()
    assert not d.connection.connected


def test_many_reconnects_leave_nothing_behind(desk):
    d = desk()
    open_files = Path("/proc/self/fd")
    before = len(list(open_files.iterdir())) if open_files.is_dir() else 0
    for number in range(2, 8):
        d.connection._loop.do(lambda: d.connection._wire.abort("test"), 1.0, "abort")
        until(lambda n=number: len(d.of(LinkReport, link=Link.UP)) == n and d.connection.connected, f"UP {number}")
    assert len(d.connection.facts().orders) == 0
    assert before == 0 or len(list(open_files.iterdir())) <= before + 1
    assert not d.connection._messages.answers._waiting


def test_an_engine_that_begins_again_at_once_gets_its_id_back(desk):
    d = desk()
    d.connection.close()
    again = Desk(d.gateway.port)
    again.connection.open()
    again.connection.close()
