"""The account's plan of commissions: what its clients are charged, by hand, and that its books keep it.

IBKR Pro's schedule as of workbench/fees.py. Fixed: 0.005 USD a share, at least 1.00, at most 1 % of the value, all else
included. Tiered: 0.0035 a share, at least 0.35, at most 1 %; clearing 0.0002 and, taking liquidity, 0.0030 a share.
FINRA's fee on sales in March 2026: 0.000195 a share; the SEC's was 0.
"""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from ib_insync import IB, MarketOrder, Stock
from typer.testing import CliRunner

import workbench
from workbench.cli_gateway import gateway
from workbench.core.errors import ConfigError
from workbench.gateway.keeping import KeptBooks
from workbench.gateway.simulated import SimulatedGateway

COMMAND = """
import typer
from workbench.cli_gateway import gateway
app = typer.Typer()
app.command()(gateway)
app()
"""


async def traded(client: IB, side: str, quantity: int) -> tuple[float, float]:
    """(USD of commission, value traded) of one market order."""
    trade = client.placeOrder(Stock("AAPL", "SMART", "USD"), MarketOrder(side, quantity))
    while sum(f.execution.shares for f in trade.fills if f.commissionReport.execId) < quantity:
        await asyncio.wait_for(client.updateEvent, 20)
    fills = trade.fills
    return sum(f.commissionReport.commission for f in fills), sum(f.execution.shares * f.execution.price for f in fills)


async def all_traded(port, orders):
    """The same of each of these orders: (side, shares)."""
    client = IB()
    await client.connectAsync("127.0.0.1", port, clientId=1)
    try:
        return [await traded(client, side, quantity) for side, quantity in orders]
    finally:
        client.disconnect()


@pytest.fixture
def charged(simulated_gateway_factory):
    """Charges of an account under a plan: ((side, shares), ...) -> [(commission, value), ...]."""

    def run(commission, *orders):
        served = simulated_gateway_factory(commission=commission, cash=1e7)
        return asyncio.run(all_traded(served.port, orders))

    return run


def test_fixed_is_half_a_cent_a_share_with_its_least_and_its_most(charged):
    bought, few, one, sold = charged("fixed", ("BUY", 1_000), ("BUY", 100), ("BUY", 1), ("SELL", 1_000))
    assert bought[0] == pytest.approx(5.00, abs=1e-6)
    assert few[0] == pytest.approx(1.00, abs=1e-6)
    assert one[1] < 100  # so that 1 % of it is below the least
    assert one[0] == pytest.approx(one[1] / 100, abs=1e-6)
    assert sold[0] == pytest.approx(5.00 + 0.195, abs=1e-6)


def test_tiered_is_what_an_account_is_charged_by_if_nothing_is_said(charged):
    for plan in (None, "tiered"):
        bought, few = charged(plan, ("BUY", 1_000), ("BUY", 10))
        assert bought[0] == pytest.approx(3.50 + 0.20 + 3.00, abs=1e-6)
        assert few[0] == pytest.approx(0.35 + 0.002 + 0.03, abs=1e-6)


def test_the_books_keep_the_plan_and_another_is_refused(tmp_path):
    path = tmp_path / "books.json"
    with SimulatedGateway(books=path, commission="fixed"):
        pass
    for again in (None, "fixed"):
        with SimulatedGateway(books=path, commission=again, speed=60, cash=1.0) as served:
            ((commission, _),) = asyncio.run(all_traded(served.port, [("BUY", 400)]))
            assert commission == pytest.approx(2.00, abs=1e-6)
    with pytest.raises(ConfigError, match=r"'tiered' is not that of these books, which are charged by the fixed plan"):
        SimulatedGateway(books=path, commission="tiered")


@pytest.mark.parametrize("kept", [False, True])
def test_a_plan_that_does_not_exist_is_named(tmp_path, kept):
    path = tmp_path / "books.json"
    if kept:
        with SimulatedGateway(books=path):
            pass
    with pytest.raises(ConfigError, match=r"'fixd' is unknown: choose from fixed, tiered\. Did you mean 'fixed'"):
        SimulatedGateway(books=path, commission="fixd")


def test_the_command_begins_an_account_under_the_plan(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(workbench.__file__).parents[1]))
    path = tmp_path / "books.json"
    arguments = ["--json", "--commission", "fixed", "--books", str(path)]
    process = subprocess.Popen([sys.executable, "-c", COMMAND, *arguments], stdout=subprocess.PIPE, text=True)
    try:
        assert json.loads(process.stdout.readline())["port"] > 0
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
    finally:
        process.kill()
    assert KeptBooks.read(path).account["rules"]["plan"] == "fixed"


def test_the_command_names_a_plan_that_does_not_exist():
    app = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode=None)
    app.command()(gateway)
    done = CliRunner().invoke(app, ["--commission", "free"])
    assert isinstance(done.exception, ConfigError)
    assert "commission plan 'free' is unknown: choose from fixed, tiered" in str(done.exception)
