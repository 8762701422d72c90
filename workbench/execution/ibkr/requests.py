"""What is asked over a session: the facts of the account, contracts, history, what an order would do. On the loop."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from typing import Any

from workbench.config.live import BrokerSettings
from workbench.execution.ibkr.backend import UNSET, ExecutionFilter
from workbench.execution.ibkr.bars import BarRow, BarsRequest, read_rows
from workbench.execution.ibkr.errors import BrokerError, BrokerTimeout, NotConnected, RequestRefused
from workbench.execution.ibkr.instruments import stock
from workbench.execution.ibkr.messages import COMMISSIONS, COMPLETED, OPEN_ORDERS, POSITIONS, TIME, Messages
from workbench.execution.ibkr.wire import Wire
from workbench.execution.reports import (
    AccountReport,
    CommissionReport,
    Facts,
    OrderReport,
    PositionReport,
    WhatIf,
)

DONE = frozenset({"Filled", "Cancelled", "ApiCancelled"})
TAGS = {"NetLiquidation": "net_liquidation", "TotalCashValue": "cash", "ExcessLiquidity": "excess_liquidity",
        "BuyingPower": "buying_power"}  # fmt: skip
MAX_HISTORICAL = 45
"""Requests for history in flight; the gateway takes 50."""

MAX_QUESTIONS = 20
"""Contracts asked for at once."""


class Requests:
    """Questions to the gateway over the wire that `wire()` gives at the moment; each has a limit of time."""

    def __init__(self, messages: Messages, settings: BrokerSettings, wire: Callable[[], Wire]) -> None:
        self.messages, self.settings, self._wire = messages, settings, wire
        self._facts, self._time = asyncio.Lock(), asyncio.Lock()
        self._history = asyncio.Semaphore(MAX_HISTORICAL)
        self._questions = asyncio.Semaphore(MAX_QUESTIONS)

    # ---- facts ------------------------------------------------------------------------------------------------

    async def facts(self, timeout_s: float) -> Facts:
        """Orders first, then what became of them: what moves on meanwhile is seen at least once."""
        async with self._facts:
            asked, client = self.messages.clock(), self._wire().send()
            orders = await self.named(OPEN_ORDERS, client.reqAllOpenOrders, timeout_s)
            completed = await self.named(COMPLETED, lambda: client.reqCompletedOrders(False), timeout_s)
            executions, commissions = await self._executions(timeout_s)
            positions = await self._positions(timeout_s)
            account = await self._account(timeout_s)
            return Facts(
                asked, self.messages.clock(), _working(orders), tuple(completed),
                tuple(executions), commissions, positions, account,
            )  # fmt: skip

    async def named(self, name: str, send: Callable[[], None], timeout_s: float) -> list[Any]:
        """A request without a number. Once it has timed out, its answer could be taken for the next one's: the session
        ends, and a new one begins."""
        try:
            return await self.messages.answers.ask(name, send, timeout_s, name)
        except BrokerTimeout as error:
            self._wire().abort(str(error))
            raise

    async def numbered(self, send: Callable[[int], None], timeout_s: float, what: str) -> list[Any]:
        """A request with a number of its own."""
        number = self.messages.number()
        return await self.messages.answers.ask(number, lambda: send(number), timeout_s, what)

    async def _executions(self, timeout_s: float) -> tuple[list[Any], tuple[CommissionReport, ...]]:
        client, wanted = self._wire().send(), ExecutionFilter(acctCode=self.messages.account)
        listening = asyncio.ensure_future(
            self.messages.answers.ask(COMMISSIONS, lambda: None, timeout_s + 1.0, COMMISSIONS)
        )
        try:
            await asyncio.sleep(0)  # lets it listen before the first one can come
            told = await self.numbered(lambda n: client.reqExecutions(n, wanted), timeout_s, "executions")
            self.messages.answers.end(COMMISSIONS)
            return told, tuple(await listening)
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    async def _positions(self, timeout_s: float) -> tuple[PositionReport, ...]:
        client = self._wire().send()
        told = await self.named(POSITIONS, client.reqPositions, timeout_s)
        client.cancelPositions()
        held = {p.symbol: p for p in told}  # the last word on each
        return tuple(p for p in held.values() if p.quantity)

    async def _account(self, timeout_s: float) -> AccountReport:
        client, number = self._wire().send(), self.messages.number()
        told = await self.messages.answers.ask(
            number, lambda: client.reqAccountSummary(number, "All", ",".join(TAGS)), timeout_s, "account values"
        )
        client.cancelAccountSummary(number)
        values = {TAGS[tag]: float(value) for tag, value, currency in told if tag in TAGS and currency == "USD"}
        return AccountReport(self.messages.account, **{name: values.get(name, math.nan) for name in TAGS.values()})

    async def server_time(self, timeout_s: float) -> int:
        """UTC ns of the gateway's clock; it tells whole seconds."""
        async with self._time:
            told = await self.named(TIME, self._wire().send().reqCurrentTime, timeout_s)
            return int(told[-1])

    async def what_if(self, order_id: int, contract: Any, order: Any, timeout_s: float) -> WhatIf:
        """What an order would do to the margin."""
        client = self._wire().send()
        what = f"the margin of {order.action} {order.totalQuantity:g} {contract.symbol}"
        (state, *_) = await self.messages.answers.ask(
            order_id, lambda: client.placeOrder(order_id, contract, order), timeout_s, what
        )
        return WhatIf(
            _number(state.equityWithLoanAfter), _number(state.initMarginAfter), _number(state.maintMarginAfter),
            _number(state.commission),
        )  # fmt: skip

    # ---- contracts --------------------------------------------------------------------------------------------

    async def qualify(self, symbols: Sequence[str], timeout_s: float) -> None:
        """Learn the contracts of `symbols`; a BrokerError names all that the broker does not know."""
        unknown = [s for s in dict.fromkeys(symbols) if s not in self.messages.instruments]
        failed = [f for f in await asyncio.gather(*(self._learn(s, timeout_s) for s in unknown)) if f]
        if failed:
            raise BrokerError(f"no contract for {len(failed)} symbol(s): {'; '.join(failed)}. Correct or remove them")

    async def _learn(self, symbol: str, timeout_s: float) -> str:
        async with self._questions:
            try:
                client, asked = self._wire().send(), stock(symbol)
                told = await self.numbered(
                    lambda n: client.reqContractDetails(n, asked), timeout_s, f"the contract of {symbol}"
                )
                self.messages.instruments.learn(symbol, told)
            except RequestRefused as error:
                return f"{symbol} ({error.text})"
            except (NotConnected, BrokerTimeout):
                raise
            except BrokerError as error:
                return str(error)
            return ""

    # ---- history ----------------------------------------------------------------------------------------------

    async def bars(
        self, symbols: Sequence[str], request: BarsRequest, timeout_s: float
    ) -> tuple[dict[str, list[BarRow]], dict[str, BrokerError]]:
        """Bars of each symbol, and the errors of those that failed."""
        told = await asyncio.gather(*(self._bars(s, request, timeout_s) for s in symbols))
        found = {s: rows for s, rows in zip(symbols, told) if not isinstance(rows, BrokerError)}
        return found, {s: error for s, error in zip(symbols, told) if isinstance(error, BrokerError)}

    async def _bars(self, symbol: str, request: BarsRequest, timeout_s: float) -> list[BarRow] | BrokerError:
        try:
            return await self.history(symbol, request, timeout_s)
        except BrokerError as error:
            return error

    async def history(self, symbol: str, request: BarsRequest, timeout_s: float) -> list[BarRow]:
        """TRADES bars of regular hours; what is not answered in time is cancelled."""
        known = symbol in self.messages.instruments
        contract = self.messages.instruments.contract(symbol) if known else stock(symbol)
        async with self._history:
            client, number = self._wire().send(), self.messages.number()
            try:
                told = await self.messages.answers.ask(
                    number,
                    lambda: client.reqHistoricalData(
                        number, contract, request.end, request.duration, request.size, "TRADES", 1, 2, False, []
                    ),
                    timeout_s,
                    f"bars of {symbol}",
                )
            except BrokerTimeout:
                if self._wire().ready:
                    client.cancelHistoricalData(number)
                raise
        return read_rows(told, request)


def _working(told: list[OrderReport]) -> tuple[OrderReport, ...]:
    """The last word on each order that is not done."""
    last = {(o.perm_id or (o.client_id, o.order_id)): o for o in told}
    return tuple(o for o in last.values() if o.status not in DONE)


def _number(value: str | float) -> float:
    """A number of an order state, NaN where there is none."""
    number = float(value) if value not in ("", None) else math.nan
    return math.nan if number == UNSET else number
