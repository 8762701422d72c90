"""The connection to TWS or IB Gateway: a facade for other threads over one session at a time, which it keeps alive."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import threading
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from workbench.config.live import BrokerSettings
from workbench.core.errors import ConfigError
from workbench.execution.ibkr.accounts import AccountKind, account_kind
from workbench.execution.ibkr.bars import BarRow, bars_request
from workbench.execution.ibkr.codes import is_no_data
from workbench.execution.ibkr.errors import (
    BrokerError,
    BrokerTimeout,
    ClientIdInUse,
    NotConnected,
    ReadOnlyApi,
    RequestRefused,
)
from workbench.execution.ibkr.looping import LoopThread
from workbench.execution.ibkr.messages import FIRST_REQUEST, OPEN_ORDERS, Messages
from workbench.execution.ibkr.outgoing import library_order
from workbench.execution.ibkr.requests import MAX_HISTORICAL, Requests
from workbench.execution.ibkr.subscriptions import Subscriptions
from workbench.execution.ibkr.wire import Wire
from workbench.execution.reports import Facts, Link, OutgoingOrder, Quote, Report, WhatIf

log = logging.getLogger("workbench.ibkr")
T = TypeVar("T")

SLACK_S = 2.0
"""Beyond the limits of what it waits for, a caller waits no longer than this."""

LEAST_S = 0.5
"""What every question at the start is given, however late it is."""

HEARTBEAT_S = 5.0
"""After so long without a word the gateway is asked for the time."""

BACKOFF_S = (0.25, 0.5, 1.0, 2.0, 5.0, 10.0)
QUESTIONS = 6
"""Requests that facts are made of."""


@dataclass(frozen=True, slots=True)
class Greeting:
    """What the gateway said at the start. `server_time` UTC ns of its clock, in whole seconds."""

    account: str
    kind: AccountKind
    server_version: int
    next_order_id: int
    server_time: int


class IbkrConnection:
    """Talks to the gateway at `host`:`port` from a thread of its own; every method may be called from any other one.

    What the gateway says goes to `on_report`, which is called on the adapter's thread, must not raise and must not call
    back. `clock` gives UTC ns for what carries no time. `account`: which one, where the login has several.
    `unthrottled`: no limit of messages per second, for the simulated gateway alone.
    """

    def __init__(
        self, settings: BrokerSettings, on_report: Callable[[Report], None], clock: Callable[[], int], *, host: str,
        port: int, account: str = "", unthrottled: bool = False,
    ) -> None:  # fmt: skip
        self.settings, self.host, self.port, self.unthrottled = settings, host, port, unthrottled
        self.bar_failures: dict[str, str] = {}
        """Symbol -> why its last request for bars failed."""
        self._wanted_account = account
        self._messages = Messages(settings.client_id, on_report, clock)
        self._loop: LoopThread | None = None
        self._wire: Wire | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._requests: Requests | None = None
        self._lines: Subscriptions | None = None
        self._ids, self._next_id = threading.Lock(), 1
        self._closing = False

    # ---- life -------------------------------------------------------------------------------------------------

    def open(self) -> Greeting:
        """Connect; a BrokerError names what stands in the way, and its remedy. Within connect_timeout_s."""
        if self._loop is not None:
            raise BrokerError("this connection is open already")
        self._loop, self._closing = LoopThread("ibkr"), False
        with contextlib.ExitStack() as undo:
            undo.callback(self.close)
            greeting = self._loop.call(self._open(), 2 * self.settings.connect_timeout_s + SLACK_S, "connecting")
            undo.pop_all()
        return greeting

    def close(self) -> None:
        """End the session; orders and positions stay as they are. Does nothing twice."""
        if self._loop is None:
            return
        self._closing = True
        loop, self._loop = self._loop, None
        try:
            loop.call(self._close(), SLACK_S, "closing")
        except (BrokerTimeout, NotConnected) as error:
            log.warning("the connection was not closed in order: %s", error)
        finally:
            loop.stop()

    @property
    def connected(self) -> bool:
        """Whether something can be sent. It says nothing about the gateway's own way to the broker."""
        wire = self._wire
        return self._loop is not None and wire is not None and wire.ready

    @property
    def account(self) -> str:
        """The account in use; "" before it is known."""
        return self._messages.account

    # ---- orders -----------------------------------------------------------------------------------------------

    def reserve_order_id(self, above: int = 0) -> int:
        """A number for an order: above every one that was given, seen or named as used (`above`).

        NotConnected before the gateway has named one.
        """
        if not self._messages.next_valid_id:
            raise NotConnected("no order id: the gateway was never connected; open the connection first")
        with self._ids:
            seen = self._messages.orders.highest.get(self.settings.client_id, 0)
            number = max(self._next_id, self._messages.next_valid_id, seen + 1, above + 1)
            if number >= FIRST_REQUEST:
                raise BrokerError(
                    f"order ids are used up ({number}); reset them in the gateway: Configure, API, Settings, "
                    f"Reset API order ID sequence"
                )
            self._next_id = number + 1
            return number

    def place(self, order: OutgoingOrder) -> None:
        """Hand an order to the client library; the same order_id again changes it in place.

        NotConnected: nothing was written. BrokerTimeout: it may have been.
        """
        self._check_connected(f"order {order.order_ref}")
        made = library_order(order, self._messages.account)
        contract = self._messages.instruments.contract(order.symbol)

        def send() -> None:
            client = self._session().send()
            self._messages.orders.placed(self.settings.client_id, order, self._messages.clock())
            client.placeOrder(order.order_id, contract, made)

        self._on_loop().do(send, self.settings.request_timeout_s, f"order {order.order_ref}")

    def cancel(self, order_id: int) -> None:
        """Ask for an order of ours to be cancelled; what becomes of it is reported."""
        self._check_connected(f"the cancel of order {order_id}")

        def send() -> None:
            self._session().send().cancelOrder(order_id, "")

        self._on_loop().do(send, self.settings.request_timeout_s, f"the cancel of order {order_id}")

    def what_if(self, order: OutgoingOrder) -> WhatIf:
        """What an order would do to the margin, under a number of its own. Sends nothing to the market.

        NaN where the broker refuses to say, for example because the order would be rejected; the reason is logged.
        """
        self._check_connected("what-if")
        made = library_order(order, self._messages.account, what_if=True)
        contract = self._messages.instruments.contract(order.symbol)
        work = self._asking().what_if(self.reserve_order_id(), contract, made, self.settings.request_timeout_s)
        try:
            return self._wait(work, 1, "what-if")
        except RequestRefused as error:
            log.warning("what-if of %s %d %s: %s", order.order_type, order.quantity * order.side, order.symbol, error)
            return WhatIf(math.nan, math.nan, math.nan, math.nan)

    # ---- facts ------------------------------------------------------------------------------------------------

    def facts(self) -> Facts:
        """What the broker says now about orders, executions, positions and the account; of all its clients.

        BrokerTimeout after request_timeout_s without an answer: the session is then begun anew, since an answer that
        comes late could be taken for another one's. It is also what a refusal of the gateway to answer becomes.
        """
        self._check_connected("facts")
        try:
            return self._wait(self._asking().facts(self.settings.request_timeout_s), QUESTIONS, "facts")
        except (RequestRefused, ReadOnlyApi) as error:
            raise BrokerTimeout(f"facts: the gateway refuses to tell them ({error})") from error

    def server_time(self) -> int:
        """UTC ns of the gateway's clock, in whole seconds."""
        self._check_connected("the time")
        return self._wait(self._asking().server_time(self.settings.request_timeout_s), 2, "the time")

    # ---- instruments, quotes, bars ----------------------------------------------------------------------------

    def qualify(self, symbols: Sequence[str]) -> None:
        """Ask for the contracts of `symbols`, once; a BrokerError names all that are unknown."""
        self._check_connected("contracts")
        rounds = 2 + len(symbols) // 20
        self._wait(self._asking().qualify(symbols, self.settings.request_timeout_s), rounds, "contracts")

    def watch(self, symbols: Sequence[str]) -> None:
        """Stream quotes of exactly `symbols` from now on; renewed after every interruption."""
        wanted = list(dict.fromkeys(symbols))
        if len(wanted) > self.settings.market_lines:
            raise ConfigError(
                f"{len(wanted)} symbols need as many market data lines, and broker.market_lines is "
                f"{self.settings.market_lines}; watch fewer, or raise it if your subscription has more"
            )
        self.qualify(wanted)
        assert self._lines is not None
        self._wait(self._lines.watch(wanted), 2 + len(wanted) // 20, "quotes")

    def quotes(self) -> dict[str, Quote]:
        """The latest quote of each watched symbol; never blocks. Lines that all fell silent are begun anew."""
        if self.connected and self._loop is not None and self._lines is not None:
            self._loop.soon(self._lines.check_silence)
        return self._messages.quotes.latest()

    def bars(self, symbols: Iterable[str], interval_minutes: int, end: int, count: int) -> dict[str, list[BarRow]]:
        """The last `count` bars of regular hours that end by `end` (UTC ns), of 1, 5 or 390 (daily) minutes.

        A symbol of which the broker has no such bars has none. One whose request failed is absent, and its reason
        stands in :attr:`bar_failures`: it is worth asking again.
        """
        found, failed = self.ask_bars(symbols, interval_minutes, end, count)
        for symbol, error in list(failed.items()):
            if isinstance(error, RequestRefused) and is_no_data(error.code, error.text):
                found[symbol] = []
                del failed[symbol]
        told = {symbol: str(error) for symbol, error in failed.items()}
        self.bar_failures = {s: why for s, why in self.bar_failures.items() if s not in found} | told
        return found

    def ask_bars(
        self, symbols: Iterable[str], interval_minutes: int, end: int, count: int
    ) -> tuple[dict[str, list[BarRow]], dict[str, BrokerError]]:
        """As :meth:`bars`, with the errors of those that failed."""
        wanted, request = list(dict.fromkeys(symbols)), bars_request(interval_minutes, end, count)
        if not self.connected:
            return {}, {s: NotConnected(f"bars of {s}: not connected") for s in wanted}
        work = self._asking().bars(wanted, request, self.settings.request_timeout_s)
        return self._wait(work, 2 + len(wanted) // MAX_HISTORICAL, "bars")

    # ---- inside: other threads --------------------------------------------------------------------------------

    def _wait(self, work: Coroutine[Any, Any, T], rounds: int, what: str) -> T:
        return self._on_loop().call(work, rounds * self.settings.request_timeout_s + SLACK_S, what)

    def _on_loop(self) -> LoopThread:
        if self._loop is None:
            raise NotConnected("the connection is not open")
        return self._loop

    def _asking(self) -> Requests:
        if self._requests is None:
            raise NotConnected("the connection is not open")
        return self._requests

    def _check_connected(self, what: str) -> None:
        if not self.connected:
            raise NotConnected(f"{what}: not connected to {self.host}:{self.port}; nothing was sent")

    # ---- inside: the loop -------------------------------------------------------------------------------------

    def _session(self) -> Wire:
        if self._wire is None:
            raise NotConnected(f"not connected to {self.host}:{self.port}; nothing was sent")
        return self._wire

    async def _open(self) -> Greeting:
        limit = asyncio.get_running_loop().time() + self.settings.connect_timeout_s
        self._requests = Requests(self._messages, self.settings, self._session)
        self._lines = Subscriptions(self._messages, self._session, unthrottled=self.unthrottled)
        self._messages.on_link = self._lines.on_link
        await self._connect_while_in_use(limit)
        now = await self._first_questions(limit)
        version = self._session().client.serverVersion()
        self._keeper = asyncio.ensure_future(self._keep())
        self._messages.link(Link.UP, 0, "connected")
        account = self._messages.account
        return Greeting(account, account_kind(account), version, self._messages.next_valid_id, now)

    async def _connect_while_in_use(self, limit: float) -> None:
        """A program that has just ended leaves its client id in use for a moment."""
        for pause in (*BACKOFF_S, 0.0):
            left = limit - asyncio.get_running_loop().time()
            try:
                return await self._connect(max(left, LEAST_S))
            except ClientIdInUse:
                if left < 2 * pause or not pause:
                    raise
            await asyncio.sleep(pause)

    async def _first_questions(self, limit: float) -> int:
        """Whether it answers before `limit` (of the loop), and takes orders; the gateway's time."""
        loop = asyncio.get_running_loop()
        try:
            now = await self._asking().server_time(max(limit - loop.time(), LEAST_S))
            client = self._session().send()
            await self._asking().named(OPEN_ORDERS, client.reqAllOpenOrders, max(limit - loop.time(), LEAST_S))
        except ReadOnlyApi as error:
            raise ReadOnlyApi(
                f"the API of {self.host}:{self.port} is read-only ({error}); untick Read-Only API in its Configure, "
                f"API, Settings"
            ) from None
        return now

    async def _connect(self, timeout_s: float) -> None:
        wire = Wire(self._messages, self.host, self.port, unthrottled=self.unthrottled)
        await wire.connect(self.settings.client_id, timeout_s)
        try:
            self._messages.account = self._choose(tuple(wire.client.getAccounts()))
        except BrokerError:
            wire.abort("the account is another one")
            raise
        self._wire = wire

    def _choose(self, accounts: tuple[str, ...]) -> str:
        """The account to trade: the one that was chosen, or the only one; after a reconnect the same as before."""
        wanted = self._messages.account or self._wanted_account
        if wanted and wanted not in accounts:
            raise BrokerError(f"account {wanted} is not of this login, which has {', '.join(accounts)}")
        if not wanted and len(accounts) != 1:
            raise BrokerError(f"this login has the accounts {', '.join(accounts)}; say which one shall trade")
        return wanted or accounts[0]

    async def _keep(self) -> None:
        """Hold the session, and begin a new one when it is gone, until closed."""
        while True:
            reason = await self._until_gone()
            self._messages.answers.fail_all(f"the connection was lost: {reason}")
            self._messages.link(Link.DOWN, 0, reason)
            await self._come_back()
            self._messages.link(Link.UP, 0, "connected again")

    async def _until_gone(self) -> str:
        wire, loop = self._session(), asyncio.get_running_loop()
        while True:
            await asyncio.wait({wire.ended}, timeout=HEARTBEAT_S)
            if not wire.ended.done() and loop.time() - wire.heard_at >= HEARTBEAT_S:
                await self._ping()
            if wire.ended.done():
                return wire.ended.result()

    async def _ping(self) -> None:
        """Ask for the time; without an answer the session is ended."""
        try:
            await self._asking().server_time(self.settings.connect_timeout_s)
        except BrokerError as error:
            log.warning("heartbeat: %s", error)

    async def _come_back(self) -> None:
        """Connect again, however long it takes."""
        attempt = 0
        while True:
            await asyncio.sleep(BACKOFF_S[min(attempt, len(BACKOFF_S) - 1)])
            try:
                return await self._connect(self.settings.connect_timeout_s)
            except BrokerError as error:
                attempt += 1
                log.info("reconnecting to %s:%d, attempt %d: %s", self.host, self.port, attempt, error)

    async def _close(self) -> None:
        for task in (self._keeper, *(self._lines.tasks if self._lines else ())):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        if self._wire is not None and self._wire.ready:
            self._wire.client.disconnect()
            await asyncio.wait({self._wire.ended}, timeout=SLACK_S / 2)
            self._wire.abort("closed")
        self._messages.answers.fail_all("the connection was closed")
