"""What an unmodified ib_insync sees of the simulated gateway: ticks a second, the time to connect and to place.

Claim: connecting and placing an order take milliseconds, and the ticks of an accelerated market are more a second than
a hundred lines of a real gateway send (at most four snapshots a second each).

    python benchmarks/gateway.py [--repeats 20] [--symbols 50] [--json]

The gateway runs in a process of its own; this one is the client. Prints medians with their 10th to 90th percentile.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection

import ib_insync
import numpy as np

from workbench.gateway.simulated import SimulatedGateway

WARM_S, SPAN_S, SPANS = 2.0, 0.5, 10
FAST, STEADY = 2000.0, 20.0
"""Simulated seconds a second: for ticks more than the client can take in; for orders a market that moves."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--repeats", type=int, default=20, help="connections and orders measured (default 20)")
    parser.add_argument("--symbols", type=int, default=50, help="symbols that stream (default 50)")
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON")
    arguments = parser.parse_args()
    rows: dict[str, list[float]] = {}
    with served(STEADY) as port:
        rows["connect, ms"] = asyncio.run(connects(port, arguments.repeats))
        rows["place to acknowledged, ms"] = asyncio.run(orders(port, arguments.repeats))
    with served(FAST) as port:
        rows["tick messages a second"] = asyncio.run(ticks(port, arguments.symbols))
    told = {name: [float(x) for x in np.percentile(values, (50, 10, 90))] for name, values in rows.items()}
    if arguments.json:
        print(json.dumps(told, indent=1))
        return
    for name, (median, low, high) in told.items():
        print(f"{name:<28}{median:>12,.2f}   {low:,.2f} .. {high:,.2f}")


@contextlib.contextmanager
def served(speed: float) -> Iterator[int]:
    """The port of a gateway in another process."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(there, speed), daemon=True)
    process.start()
    try:
        yield int(here.recv())
    finally:
        here.send("stop")
        process.join(10)


def _serve(pipe: Connection, speed: float) -> None:
    with SimulatedGateway(speed=speed) as gateway:
        pipe.send(gateway.port)
        pipe.recv()


async def _connected(port: int, client_id: int) -> ib_insync.IB:
    ib = ib_insync.IB()
    ib.client.MaxRequests = 0  # a simulated gateway only
    await ib.connectAsync("127.0.0.1", port, clientId=client_id)
    return ib


async def connects(port: int, repeats: int) -> list[float]:
    """Milliseconds of a whole connectAsync, account and orders downloaded."""
    took = []
    for i in range(repeats):
        begun = time.perf_counter()
        ib = await _connected(port, i + 1)
        took.append((time.perf_counter() - begun) * 1e3)
        ib.disconnect()
    return took


async def orders(port: int, repeats: int) -> list[float]:
    """Milliseconds from placeOrder to the first orderStatus of a limit order that rests."""
    ib = await _connected(port, 500)
    (contract,) = await ib.qualifyContractsAsync(ib_insync.Stock("AAPL", "SMART", "USD"))
    took = []
    for _ in range(repeats):
        begun = time.perf_counter()
        trade = ib.placeOrder(contract, ib_insync.LimitOrder("BUY", 1, 1.0))
        await trade.statusEvent
        took.append((time.perf_counter() - begun) * 1e3)
        ib.cancelOrder(trade.order)
        while not trade.isDone():
            await asyncio.sleep(0.001)
    ib.disconnect()
    return took


async def ticks(port: int, symbols: int) -> list[float]:
    """Tick messages a second that the library takes in, as a rate for every SPAN_S."""
    ib, count = await _connected(port, 501), 0
    names = [f"B{chr(65 + i // 26)}{chr(65 + i % 26)}" for i in range(symbols)]
    contracts = await ib.qualifyContractsAsync(*(ib_insync.Stock(name, "SMART", "USD") for name in names))

    def counted(tickers: set[ib_insync.Ticker]) -> None:
        nonlocal count
        count += sum(len(t.ticks) for t in tickers)

    ib.pendingTickersEvent += counted
    for contract in contracts:
        ib.reqMktData(contract)
    await asyncio.sleep(WARM_S)
    rates = []
    for _ in range(SPANS):
        before, begun = count, time.perf_counter()
        await asyncio.sleep(SPAN_S)
        rates.append((count - before) / (time.perf_counter() - begun))
    ib.disconnect()
    return rates


if __name__ == "__main__":
    main()
