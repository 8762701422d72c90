"""Every message of the gateway, as it comes off the wire: to the request that waits for it, and out as a report.

The methods are what the decoders of ib_insync and ib_async call; their names and arguments are IB's. This takes the
place of the libraries' own `Wrapper` and `IB`, whose Trade objects say Cancelled of orders that live (10349, 404),
count corrections twice, lose a commission that comes early, and are wiped when the socket closes.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from workbench.core.units import NS_PER_SECOND
from workbench.execution.ibkr.answers import Answers
from workbench.execution.ibkr.backend import UNSET
from workbench.execution.ibkr.codes import (
    CLIENT_ID_IN_USE,
    COMPETING,
    LINKS,
    TOO_LATE,
    UNPROCESSED,
    VALIDATION,
    informs,
    is_read_only,
)
from workbench.execution.ibkr.errors import ClientIdInUse, ReadOnlyApi, RequestRefused
from workbench.execution.ibkr.instruments import Instruments
from workbench.execution.ibkr.known_orders import KnownOrders, price, whole
from workbench.execution.ibkr.quote_board import NOT_LIVE, QuoteBoard
from workbench.execution.reports import (
    CommissionReport,
    ErrorReport,
    ExecutionReport,
    Link,
    LinkReport,
    OrderReport,
    PositionReport,
    Report,
)

log = logging.getLogger("workbench.ibkr")

FIRST_REQUEST = 2_000_000_000
"""Requests are numbered from here on, orders below: an error names its number alone."""

OPEN_ORDERS, COMPLETED, POSITIONS, TIME = "open orders", "completed orders", "positions", "the time"
COMMISSIONS = "commissions"
UNREADABLE = -1
"""Code of the ErrorReport about a message that could not be read."""


class Messages:
    """Callbacks of the client library's decoder. Lives on the loop; `on_report` is called there and must not block.

    `account`: messages of other accounts are none of our business; "" until it is chosen.
    """

    def __init__(self, client_id: int, on_report: Callable[[Report], None], clock: Callable[[], int]) -> None:
        self.client_id, self.on_report, self.clock = client_id, on_report, clock
        self.answers, self.orders, self.quotes = Answers(), KnownOrders(), QuoteBoard()
        self.instruments = Instruments()
        self.account = ""
        self.accounts: tuple[str, ...] = ()
        self.next_valid_id = 0
        self.refusal: ClientIdInUse | None = None
        self.read_only: ReadOnlyApi | None = None
        self.data_taken = False
        """Market data went to another session (10197); the next tick says that it is back."""
        self.on_link: Callable[[Link], None] = lambda link: None
        self._next_request = FIRST_REQUEST
        self.ib = SimpleNamespace(TimezoneTWS="")  # read by the decoders; a time without zone is the host's own
        self.defaultTimezone = UTC

    def number(self) -> int:
        """A number for a request."""
        self._next_request += 1
        return self._next_request

    def report(self, report: Report) -> None:
        """Hand out what arrived."""
        self.on_report(report)

    def link(self, link: Link, code: int, text: str) -> None:
        """The way to the broker has changed."""
        self.report(LinkReport(link, code, text, self.clock()))
        self.on_link(link)

    def exception(self, _text: str) -> None:
        """A message could not be read: the decoder logs here (it stands in for its logger)."""
        error = sys.exception()
        log.error("a message of the gateway could not be read: %r", error, exc_info=error)
        self.report(ErrorReport(UNREADABLE, f"a message could not be read: {error!r}", 0, "", self.clock()))

    # ---- the session ------------------------------------------------------------------------------------------

    def connectAck(self) -> None:
        """The handshake is done."""

    def setEventsDone(self) -> None:
        """The library's socket has closed; the session hears of it by itself."""

    def connectionClosed(self) -> None:
        """As above."""

    def managedAccounts(self, names: str) -> None:
        """The accounts of the login."""
        self.accounts = tuple(a.strip() for a in names.split(",") if a.strip())

    def nextValidId(self, number: int) -> None:
        """A number that the gateway believes to be free."""
        self.next_valid_id = max(self.next_valid_id, number)

    def currentTime(self, seconds: int) -> None:
        """The gateway's clock."""
        self.answers.add(TIME, seconds * NS_PER_SECOND)
        self.answers.end(TIME)

    def error(self, number: int, code: int, text: str, advanced: str = "") -> None:
        """An error, a warning or a piece of information, about a request, an order or nothing in particular."""
        if number >= FIRST_REQUEST and code in TOO_LATE:
            return
        if code == CLIENT_ID_IN_USE:
            self.refusal = ClientIdInUse(f"client id {self.client_id} is in use: {text}")
        if is_read_only(code, text):
            self.read_only = ReadOnlyApi(text)
            self.answers.fail_named(self.read_only)
        if code in LINKS and not (code == COMPETING and self.data_taken):
            self.data_taken = code == COMPETING
            self.link(LINKS[code], code, text)
        if number in self.answers:
            if not informs(code):
                self.answers.fail(number, RequestRefused(code, text))
            return
        if number < 0 and code in (VALIDATION, UNPROCESSED):
            self.answers.fail_named(RequestRefused(code, text))
        self._tell(number, code, text)

    def _tell(self, number: int, code: int, text: str) -> None:
        symbol = self.quotes.symbol(number)
        if symbol is not None:
            text = f"{symbol}: {text}"
            if code in NOT_LIVE or code == COMPETING:
                self.quotes.delayed(number, True)
        order_id = number if 0 < number < FIRST_REQUEST else 0
        ref = self.orders.ref(self.client_id, order_id)
        self.report(ErrorReport(code, text, order_id, ref, self.clock()))

    # ---- orders -----------------------------------------------------------------------------------------------

    def openOrder(self, order_id: int, contract: Any, order: Any, state: Any) -> None:
        """An order as it stands; the answer, where it is asked what it would do."""
        if order.whatIf:
            self.answers.add(order_id, state)
            self.answers.end(order_id)
        elif self._ours(order.account):
            self._order(self.orders.opened(self.instruments.name(contract), order, state, self.clock()))

    def orderStatus(
        self, order_id: int, status: str, filled: float, remaining: float, _average: float, perm_id: int, _parent: int,
        _last: float, client_id: int, why_held: str, _cap: float = 0.0,
    ) -> None:  # fmt: skip
        """The state of an order."""
        now = self.clock()
        self._order(self.orders.status(order_id, status, filled, remaining, perm_id, client_id, why_held, now))

    def _order(self, report: OrderReport) -> None:
        self.answers.add(OPEN_ORDERS, report)
        self.report(report)

    def openOrderEnd(self) -> None:
        """All open orders were told."""
        self.answers.end(OPEN_ORDERS)

    def completedOrder(self, contract: Any, order: Any, state: Any) -> None:
        """An order that is done: without its number."""
        if self._ours(order.account):
            filled = whole(order.filledQuantity)
            quantity = max(whole(order.totalQuantity), filled)
            self.answers.add(
                COMPLETED,
                OrderReport(
                    order.orderRef, 0, order.permId, 0, self.instruments.name(contract),
                    1 if order.action == "BUY" else -1, quantity, order.orderType, price(order.lmtPrice), order.tif,
                    state.status, filled, quantity - filled, state.completedStatus, self.clock(),
                ),
            )  # fmt: skip

    def completedOrdersEnd(self) -> None:
        """All were told."""
        self.answers.end(COMPLETED)

    def execDetails(self, number: int, contract: Any, told: Any) -> None:
        """An execution: the answer to a request, or as it happens (number -1)."""
        if not self._ours(told.acctNumber):
            return
        report = ExecutionReport(
            told.execId, told.orderRef, told.orderId, told.permId, told.clientId, self.instruments.name(contract),
            1 if told.side == "BOT" else -1, whole(told.shares), told.price, utc_ns(told.time),
        )  # fmt: skip
        if number in self.answers:
            self.answers.add(number, report)
        else:
            self.report(report)

    def execDetailsEnd(self, number: int) -> None:
        """All were told."""
        self.answers.end(number)

    def commissionReport(self, told: Any) -> None:
        """What an execution cost; it may come before the execution."""
        pnl = float("nan") if told.realizedPNL == UNSET else told.realizedPNL
        report = CommissionReport(told.execId, told.commission, told.currency, pnl, self.clock())
        self.answers.add(COMMISSIONS, report)
        self.report(report)

    # ---- the account ------------------------------------------------------------------------------------------

    def position(self, account: str, contract: Any, shares: float, cost: float) -> None:
        """Shares held."""
        if self._ours(account):
            self.answers.add(POSITIONS, PositionReport(self.instruments.name(contract), whole(shares), cost))

    def positionEnd(self) -> None:
        """All were told."""
        self.answers.end(POSITIONS)

    def accountSummary(self, number: int, account: str, tag: str, value: str, currency: str) -> None:
        """A value of the account."""
        if self._ours(account):
            self.answers.add(number, (tag, value, currency))

    def accountSummaryEnd(self, number: int) -> None:
        """All were told."""
        self.answers.end(number)

    def _ours(self, account: str) -> bool:
        return not (self.account and account) or account == self.account

    # ---- instruments and history ------------------------------------------------------------------------------

    def contractDetails(self, number: int, told: Any) -> None:
        """A contract that fits the question."""
        self.answers.add(number, told.contract)

    def contractDetailsEnd(self, number: int) -> None:
        """All were told."""
        self.answers.end(number)

    def historicalData(self, number: int, bar: Any) -> None:
        """A bar."""
        self.answers.add(number, bar)

    def historicalDataEnd(self, number: int, _start: str, _end: str) -> None:
        """All were told."""
        self.answers.end(number)

    # ---- quotes -----------------------------------------------------------------------------------------------

    def priceSizeTick(self, number: int, kind: int, value: float, size: float) -> None:
        """A price with its size."""
        if self.quotes.price(number, kind, value, size, self.clock()) and self.data_taken and value > 0:
            self.data_taken = False
            self.link(Link.DATA_BACK, 0, "quotes come again")

    def tickSize(self, number: int, kind: int, size: float) -> None:
        """A size."""
        self.quotes.size(number, kind, size, self.clock())

    def tickGeneric(self, number: int, kind: int, value: float) -> None:
        """A number: halted, shortable."""
        self.quotes.number(number, kind, value)

    def marketDataType(self, number: int, kind: int) -> None:
        """1 live, 2 frozen, 3 delayed, 4 delayed and frozen."""
        self.quotes.delayed(number, kind != 1)


def utc_ns(time: datetime) -> int:
    """UTC ns of a moment that knows its zone.

    >>> utc_ns(datetime(2026, 3, 2, 14, 30, tzinfo=UTC)) == 1_772_461_800_000_000_000
    True
    """
    return int(time.timestamp()) * NS_PER_SECOND
