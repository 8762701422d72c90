"""The gateway's books survive its end: with real ib_insync on both sides of a restart."""

from __future__ import annotations

import asyncio
import json
import socket
import time

import pytest
from ib_insync import IB, LimitOrder, MarketOrder, Stock

from workbench.core.errors import ConfigError, DataError
from workbench.gateway.keeping import UNTOLD, KeptBooks
from workbench.gateway.simulated import SimulatedGateway

SPEED = 20.0


def with_client(gateway, work, client_id=1):
    """What `work(ib)` returns, on a connected ib_insync."""

    async def run():
        ib = IB()
        await ib.connectAsync("127.0.0.1", gateway.port, clientId=client_id, timeout=10)
        try:
            return await work(ib)
        finally:
            ib.disconnect()

    return asyncio.run(run())


async def until(done, seconds=20.0):
    """Wait until `done()`."""
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "it did not happen"
        await asyncio.sleep(0.02)


async def trade(ib):
    """Buy at the market, leave a GTC limit far below; what the client saw."""
    stock = (await ib.qualifyContractsAsync(Stock("AAPL", "SMART", "USD")))[0]
    bought = ib.placeOrder(stock, MarketOrder("BUY", 300))
    await until(bought.isDone)
    order = LimitOrder("BUY", 100, 1.25, tif="GTC", orderRef="mine")
    resting = ib.placeOrder(stock, order)
    await until(lambda: resting.orderStatus.status == "Submitted")
    await until(lambda: all(f.commissionReport.execId for f in ib.fills()))
    return await state(ib)


async def state(ib):
    """Positions, open orders, cash and ids as the client knows them after connecting."""
    await ib.reqPositionsAsync()
    values = {v.tag: v.value for v in await ib.accountSummaryAsync()}
    return {
        "positions": [(p.contract.symbol, p.position, p.avgCost) for p in ib.positions()],
        "open": [
            (t.order.orderId, t.order.permId, t.order.orderRef, t.order.lmtPrice, t.order.tif, t.orderStatus.status)
            for t in ib.openTrades()
        ],
        "cash": values["TotalCashValue"],
        "executions": sorted(f.execution.execId for f in ib.fills()),
        "next": ib.client.getReqId(),
    }


def test_positions_open_orders_cash_and_ids_go_on_after_a_restart(tmp_path):
    path = tmp_path / "books.json"
    with SimulatedGateway(books=path, speed=SPEED, seed=5) as gateway:
        before = with_client(gateway, trade)
        last = gateway.brokerage.next_order_id(1)
        ended = gateway.clock.now()
    assert before["positions"][0][:2] == ("AAPL", 300.0)
    assert before["open"][0][2:] == ("mine", 1.25, "GTC", "Submitted")

    with SimulatedGateway(books=path, speed=SPEED, seed=5) as gateway:
        assert gateway.clock.now() >= ended
        after = with_client(gateway, state)
        assert gateway.brokerage.next_order_id(1) == last
        for name in ("positions", "open", "cash", "executions"):
            assert after[name] == before[name], name
        assert after["next"] > max(order[0] for order in before["open"])

        async def more(ib):
            stock = (await ib.qualifyContractsAsync(Stock("AAPL", "SMART", "USD")))[0]
            sold = ib.placeOrder(stock, MarketOrder("SELL", 300))
            await until(sold.isDone)
            ib.cancelOrder(ib.openTrades()[0].order)
            await until(lambda: not ib.openTrades())
            return sold.order.permId, [f.execution.execId for f in sold.fills], ib.positions()

        perm_id, exec_ids, positions = with_client(gateway, more)
    assert perm_id > before["open"][0][1]
    assert not set(exec_ids) & set(before["executions"])
    assert positions == []


def test_they_are_saved_as_they_change_and_a_crash_never_gives_an_id_twice(tmp_path):
    path = tmp_path / "books.json"
    with SimulatedGateway(books=path, speed=SPEED) as gateway:
        before = with_client(gateway, trade)
        end = time.monotonic() + 15
        while before["open"][0][1] not in {o["perm_id"] for o in KeptBooks.read(path).account["orders"]}:
            assert time.monotonic() < end, "the open order was not kept while it ran"
            time.sleep(0.1)
        crashed = path.read_bytes()  # what is on the disk if the machine stops now
        given = gateway.brokerage.ids.executions
    path.write_bytes(crashed)
    kept = KeptBooks.read(path)
    assert not kept.closed
    again = SimulatedGateway(books=path)
    assert again.brokerage.ids.executions == given + UNTOLD
    assert [v.perm_id for v in again.brokerage.open_orders()] == [before["open"][0][1]]


def test_damaged_books_are_refused_and_left_alone(tmp_path):
    path = tmp_path / "books.json"
    with SimulatedGateway(books=path):
        pass
    whole = path.read_text()
    altered = whole.replace('"closed": true', '"closed": false')
    assert altered != whole
    for bad in (
        whole[:-40],
        altered,
        "",
        "[]",
        json.dumps({"format": "other"}),
        json.dumps({**json.loads(whole), "books": 1}),
    ):
        path.write_text(bad)
        with pytest.raises(DataError, match=r"books.json are damaged .*left as it is"):
            SimulatedGateway(books=path)
        assert path.read_text() == bad
    with pytest.raises(DataError, match="is no folder"):
        SimulatedGateway(books=tmp_path / "none" / "books.json")


def test_books_belong_to_one_market_and_the_clock_only_goes_on(tmp_path):
    path = tmp_path / "books.json"
    with SimulatedGateway(books=path, seed=1, start="2026-03-03"):
        pass
    with pytest.raises(
        DataError, match="kept on the simulated market of seed 1, and this is the simulated market of seed 2"
    ):
        SimulatedGateway(books=path, seed=2)
    kept = KeptBooks.read(path).time
    assert SimulatedGateway(books=path, seed=1).clock.now() == kept
    assert SimulatedGateway(books=path, seed=1, start="2026-03-02").clock.now() == kept
    assert SimulatedGateway(books=path, seed=1, start="2026-03-09").now == "2026-03-09T13:30:01Z"


def test_a_port_that_is_taken_is_named(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"cannot listen on 127.0.0.1 port {port} .*choose another port"):
            SimulatedGateway(port=port).__enter__()


def test_two_gateways_cannot_keep_the_same_books(tmp_path):
    path = tmp_path / "books.json"
    with SimulatedGateway(books=path):
        early = SimulatedGateway(books=path)
        with pytest.raises(DataError, match=r"books.json are in use by another gateway"):
            early.__enter__()
    with pytest.raises(DataError, match=r"books.json have changed since they were read"):
        early.__enter__()
    with SimulatedGateway(books=path):
        pass
