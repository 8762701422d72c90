"""A check is an async function of a :class:`Session`; it fails by raising, or by a record of level ERROR in the log."""

from __future__ import annotations

import asyncio
import importlib
import itertools
import logging
import re
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

PATIENCE_S = 30.0
_ids = itertools.count(1)
_CODE = re.compile(r"Error (\d+), reqId")


@dataclass
class Session:
    """A connected client `ib` of the library `lib`, and the errors that it was told: (request or order id, code)."""

    lib: ModuleType
    port: int
    ib: Any
    errors: list[tuple[int, int]] = field(default_factory=list)

    def stock(self, symbol: str) -> Any:
        return self.lib.Stock(symbol, "SMART", "USD")

    async def known(self, symbol: str) -> Any:
        """The stock with its contract id."""
        (contract,) = await self.ib.qualifyContractsAsync(self.stock(symbol))
        return contract

    async def quote(self, contract: Any) -> Any:
        """A ticker that streams, once it has a bid and an ask."""
        ticker = self.ib.reqMktData(contract)
        await until(lambda: ticker.bid > 0 and ticker.ask > 0 and ticker.last > 0, f"a quote of {contract.symbol}")
        return ticker

    async def status(self, trade: Any, *wanted: str) -> None:
        await until(lambda: trade.orderStatus.status in wanted, f"{wanted} instead of {trade.orderStatus.status}")

    async def filled(self, contract: Any, side: str, quantity: int) -> Any:
        """A market order, filled, with the commission of every fill."""
        trade = self.ib.placeOrder(contract, self.lib.MarketOrder(side, quantity))
        await self.status(trade, "Filled")
        await until(lambda: all(f.commissionReport.execId for f in trade.fills), "commission reports")
        return trade

    async def another(self, client_id: int | None = None) -> Any:
        """A second client; to be disconnected by the check."""
        ib = self.lib.IB()
        await ib.connectAsync("127.0.0.1", self.port, clientId=next(_ids) if client_id is None else client_id)
        return ib


Check = Callable[[Session], Awaitable[None]]
CHECKS: dict[Check, frozenset[int]] = {}  # check -> the codes of errors that it asks for
REFUSED = ("Peer closed connection", "API connection failed")  # what a library logs when a number is in use


def check(*codes: int) -> Callable[[Check], Check]:
    """Registers a check; each of `codes` must be told to the client, and no other error may be logged."""

    def register(function: Check) -> Check:
        CHECKS[function] = frozenset(codes)
        return function

    return register


async def until(condition: Callable[[], object], what: str) -> None:
    """Wait for the gateway, not for long."""
    for _ in range(int(PATIENCE_S / 0.005)):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError(f"still waiting after {PATIENCE_S:.0f} s for {what}")


class Records(logging.Handler):
    """Keeps what is logged at level ERROR."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.told: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        self.told.append(text if not record.exc_info else f"{text}: {record.exc_info[1]!r}")


async def perform(lib: ModuleType, port: int, function: Check) -> str:
    """What is wrong with one check; empty if nothing."""
    ib, records = lib.IB(), Records()
    ib.client.MaxRequests = 0  # the gateway runs faster than the world: no pacing
    session = Session(lib, port, ib)
    ib.errorEvent += lambda request, code, *_: session.errors.append((request, code))
    logging.getLogger().addHandler(records)
    try:
        await ib.connectAsync("127.0.0.1", port, clientId=next(_ids))
        await asyncio.wait_for(function(session), 120)
    except Exception:  # noqa: BLE001 - whatever a check raises is its outcome
        return traceback.format_exc(limit=-3)
    finally:
        ib.disconnect()
        logging.getLogger().removeHandler(records)
    return _unexpected(records.told, CHECKS[function], {code for _, code in session.errors})


def _unexpected(logged: list[str], wanted: frozenset[int], told: set[int]) -> str:
    if missing := wanted - told:
        return f"the client was not told of {sorted(missing)}"
    fine = wanted | {202}  # ib_async logs the ordinary message of a cancelled order as an error
    bad = [text for text in logged if not ((found := _CODE.match(text)) and int(found[1]) in fine)]
    if 326 in wanted:
        bad = [text for text in bad if not text.startswith(REFUSED)]
    return f"logged as errors: {bad}" if bad else ""


async def run_group(library: str, port: int, group: str) -> dict[str, str]:
    """Check -> what is wrong with it, for every check of a group, in the order in which they are written."""
    module = importlib.import_module(f"ib_checks.{group}")
    lib = importlib.import_module(library)
    return {f.__name__: await perform(lib, port, f) for f in CHECKS if f.__module__ == module.__name__}
