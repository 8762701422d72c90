"""The doctor: every trouble recognised, with a remedy, and nothing traded."""

from __future__ import annotations

import asyncio
import socket
import time

import pytest

from tests.execution.ibkr.conftest import FROZEN, tws
from workbench import cli_ibkr
from workbench.core.errors import ConfigError
from workbench.execution.ibkr import doctor
from workbench.execution.ibkr.doctor import broker_doctor
from workbench.gateway.simulated import SimulatedGateway

READY = {"49": [(49, 1, 1772461800)], "16": [(53, 1)]}


def look(port: int, **more):
    options = {"timeout_s": 1.5, "listen_s": 1.0, **more}
    return {f.name: f for f in broker_doctor("127.0.0.1", port, 17, **options)}


def test_a_healthy_gateway():
    with SimulatedGateway(speed=20.0) as gateway:
        found = look(gateway.port)
        assert all(f.ok for f in found.values()), found
        assert "simulated account" in found["account"].text
        assert gateway.account not in found["account"].text
        assert not gateway.brokerage.executions()


@pytest.mark.parametrize(
    ("scenario", "name", "text"),
    [
        ("competing_session", "competing session", "10197"),
        ("delayed_data_shown", "market data", "delayed prices"),
        ("delayed_data_not_enabled", "market data", "delayed prices"),
        ("no_market_data_subscription", "market data", "delayed prices"),
    ],
)
def test_market_data(scenario, name, text):
    with SimulatedGateway(speed=FROZEN, scenario=scenario) as gateway:
        assert gateway._loop is not None
        asyncio.run_coroutine_threadsafe(_run_once_watched(gateway), gateway._loop)
        found = look(gateway.port, listen_s=4.0)
        assert text in found[name].text
        assert not found[name].ok
        assert found[name].remedy


async def _run_once_watched(gateway: SimulatedGateway) -> None:
    """Its clock stands still until somebody wants quotes, so that no fault comes before."""
    while not gateway.hub.lines():
        await asyncio.sleep(0.01)
    gateway.server.speed = 20.0


def test_a_mute_gateway_in_the_shipped_scenario():
    with SimulatedGateway(scenario="accept_without_handshake") as gateway:
        (finding,) = look(gateway.port).values()
        assert (finding.name, finding.ok) == ("mute gateway", False)
        assert "restart it" in finding.remedy


def test_a_port_that_is_closed_says_which_answers(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as other, socket.create_server(("127.0.0.1", 0)) as gone:
        closed, open_one = gone.getsockname()[1], other.getsockname()[1]
        gone.close()
        monkeypatch.setattr(doctor, "TCP_PORTS", {open_one: "TWS, paper", closed: "TWS, live"})
        (finding,) = look(closed).values()
        assert f"{open_one} (TWS, paper) answers" in finding.text
        assert finding.remedy.startswith(f"use --broker 127.0.0.1:{open_one}, or start TWS")
        other.close()
        (finding,) = look(closed).values()
        assert f"nor on {open_one}, {closed}" in finding.text


def test_an_id_in_use():
    with SimulatedGateway() as gateway:
        (finding,) = (f for f in [*_held(gateway)])
        assert finding.name == "client id in use"
        assert "broker.client_id" in finding.remedy


def _held(gateway):
    from tests.execution.ibkr.conftest import Desk

    d = Desk(gateway.port)
    d.connection.open()
    try:
        return look(gateway.port).values()
    finally:
        d.connection.close()


def test_an_untrusted_address(fake):
    (finding,) = look(fake(lambda client: client.close())).values()
    assert finding.name == "untrusted address"
    assert "Trusted IPs" in finding.text + finding.remedy


def test_a_read_only_api(fake):
    text = "Error validating request.-'cm' : cause - The API interface is currently in Read-Only mode."
    (finding,) = look(fake(tws(answers={**READY, "16": [(4, 2, -1, 321, text, "")]}))).values()
    assert finding.name == "read-only API"
    assert "untick Read-Only API" in finding.remedy


@pytest.mark.parametrize(("account", "kind"), [("DU1234567", "paper account"), ("U1234567", "live account")])
def test_kinds_of_accounts_and_a_wrong_clock(fake, account, kind):
    found = look(fake(tws(account, READY)), timeout_s=0.5)
    assert kind in found["account"].text
    assert account not in found["account"].text
    assert not found["clock"].ok
    assert "NTP" in found["clock"].remedy
    assert not found["market data"].ok  # it answers nothing about contracts


def test_a_right_clock(fake):
    found = look(fake(tws(answers={**READY, "49": [(49, 1, int(time.time()))]})), timeout_s=0.5)
    assert found["clock"].ok


def test_the_command(capsys):
    with SimulatedGateway(speed=20.0) as gateway:
        assert cli_ibkr.doctor_broker(f"127.0.0.1:{gateway.port}")
        assert "ok    connection: server version 176" in capsys.readouterr().out
    assert not cli_ibkr.doctor_broker(f"127.0.0.1:{gateway.port}", as_json=True)
    assert '"ok": false' in capsys.readouterr().out


@pytest.mark.parametrize("text", ["4002", "localhost", ":4002", "localhost:0", "localhost:x"])
def test_bad_addresses(text):
    with pytest.raises(ConfigError, match="is not HOST:PORT"):
        cli_ibkr.address(text)
