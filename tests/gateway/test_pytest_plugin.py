"""The fixtures, as a project of somebody else would use them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import workbench

pytest_plugins = ["pytester"]
PLUGIN = ("-p", "workbench.gateway.pytest_plugin", "-p", "no:cacheprovider")

CLIENT = """
import asyncio
from ib_insync import IB, MarketOrder, Stock

def buy(port):
    async def work():
        ib = IB()
        await ib.connectAsync("127.0.0.1", port, clientId=7, timeout=10)
        trade = ib.placeOrder(Stock("KO", "SMART", "USD"), MarketOrder("BUY", 10))
        while not trade.isDone():
            await asyncio.sleep(0.01)
        held = [(p.contract.symbol, p.position) for p in await ib.reqPositionsAsync()]
        ib.disconnect()
        return held
    return asyncio.run(work())
"""


@pytest.fixture(autouse=True)
def the_plugin_alone(monkeypatch):
    """As if it were installed, and no other."""
    monkeypatch.setenv("PYTHONPATH", str(Path(workbench.__file__).parents[1]))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


def test_each_test_has_a_gateway_of_its_own(pytester):
    pytester.makepyfile(
        CLIENT
        + """
ports = []

def test_one(simulated_gateway):
    ports.append(simulated_gateway)
    assert buy(simulated_gateway.port) == [("KO", 10.0)]

def test_two(simulated_gateway):
    assert simulated_gateway is not ports[0]
    assert not simulated_gateway.brokerage.positions()
"""
    )
    pytester.runpytest_subprocess(*PLUGIN).assert_outcomes(passed=2)


def test_the_factory_makes_several_with_options_and_ends_them(pytester):
    pytester.makepyfile(
        """
import socket
import pytest

made = []

def test_several(simulated_gateway_factory):
    made.extend([simulated_gateway_factory(cash=5.0), simulated_gateway_factory(seed=2, speed=1)])
    assert made[0].port != made[1].port
    assert made[0].brokerage.account_values()["TotalCashValue"] == 5.0
    assert [g.server.speed for g in made] == [60.0, 1]

def test_they_are_gone():
    for gateway in made:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", gateway.port), timeout=2)
"""
    )
    pytester.runpytest_subprocess(*PLUGIN).assert_outcomes(passed=2)


def test_loading_the_plugin_loads_nothing_else():
    code = "import sys, workbench.gateway.pytest_plugin; print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
