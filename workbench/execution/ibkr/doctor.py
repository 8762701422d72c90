"""What stands between this machine and trading at a gateway, each with its remedy. Sends no order."""

from __future__ import annotations

import math
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from workbench.config.live import BrokerSettings
from workbench.core.calendar import exchange_sessions
from workbench.core.units import NS_PER_SECOND
from workbench.execution.ibkr.accounts import AccountKind
from workbench.execution.ibkr.codes import COMPETING
from workbench.execution.ibkr.connection import Greeting, IbkrConnection
from workbench.execution.ibkr.errors import (
    BrokerError,
    ClientIdInUse,
    ClosedAtOnce,
    Mute,
    NotTws,
    PortClosed,
    ReadOnlyApi,
    Unreachable,
)
from workbench.execution.ibkr.quote_board import NOT_LIVE
from workbench.execution.ibkr.wire import TCP_PORTS
from workbench.execution.reports import ErrorReport, Quote, Report

PROBE_S, LISTEN_S = 1.0, 4.0
MAX_SKEW_S = 5.0
SYMBOL = "SPY"
NAMES: dict[type[BrokerError], str] = {
    PortClosed: "port",
    Unreachable: "network",
    NotTws: "not a gateway",
    ClosedAtOnce: "untrusted address",
    Mute: "mute gateway",
    ClientIdInUse: "client id in use",
    ReadOnlyApi: "read-only API",
}
PORT, CONNECTION, ACCOUNT, CLOCK, DATA, COMPETITION = (
    "port", "connection", "account", "clock", "market data", "competing session"
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: `ok`, or what is wrong and its `remedy`."""

    name: str
    ok: bool
    text: str
    remedy: str = ""


def broker_doctor(
    host: str, port: int, client_id: int, *, account: str = "", timeout_s: float = 10.0, listen_s: float = LISTEN_S
) -> list[Finding]:
    """Look at the gateway at `host`:`port` as a live system with `client_id` would find it.

    `timeout_s` for connecting and for each answer; `listen_s` for a quote.
    """
    heard: list[Report] = []
    settings = BrokerSettings(
        host=host, port=port, client_id=client_id, connect_timeout_s=timeout_s, request_timeout_s=timeout_s
    )
    connection = IbkrConnection(settings, heard.append, time.time_ns, host=host, port=port, account=account)
    try:
        greeting = connection.open()
    except BrokerError as error:
        return [_cannot_connect(error, host, port)]
    try:
        findings = [Finding(CONNECTION, True, f"server version {greeting.server_version}, orders may be sent")]
        findings += [_account(greeting), _clock(greeting, time.time_ns())]
        return findings + _market_data(connection, heard, greeting, listen_s)
    finally:
        connection.close()


def open_ports(host: str, probe_s: float = PROBE_S) -> list[int]:
    """Which of the usual ports of TWS and IB Gateway answer."""
    found = []
    for port in TCP_PORTS:
        try:
            with socket.create_connection((host, port), probe_s):
                found.append(port)
        except OSError:
            continue
    return found


def _cannot_connect(error: BrokerError, host: str, port: int) -> Finding:
    text, _, remedy = str(error).partition("; ")
    name = NAMES.get(type(error), CONNECTION)
    if not isinstance(error, PortClosed):
        return Finding(name, False, text, remedy or "see the message")
    text, _, remedy = str(error).partition(": ")
    others = [p for p in open_ports(host) if p != port]
    if others:
        told = ", ".join(f"{p} ({TCP_PORTS[p]})" for p in others)
        return Finding(name, False, f"{text}, but {told} answers", f"use --broker {host}:{others[0]}, or {remedy}")
    return Finding(name, False, f"{text}, nor on {', '.join(map(str, TCP_PORTS))}", remedy)


def _account(greeting: Greeting) -> Finding:
    masked = f"{greeting.account[:2]}...{greeting.account[-2:]}"
    if greeting.kind is AccountKind.LIVE:
        text = f"{masked} is a live account: real money"
        return Finding(ACCOUNT, True, text, "to trade it, name it in full with --live-account; paper accounts need not")
    return Finding(ACCOUNT, True, f"{masked} is a {greeting.kind} account")


def _clock(greeting: Greeting, now: int) -> Finding:
    if greeting.kind is AccountKind.SIMULATED:
        return Finding(CLOCK, True, "the simulated gateway keeps its own time")
    skew = (greeting.server_time - now) / NS_PER_SECOND
    if abs(skew) <= MAX_SKEW_S:
        return Finding(CLOCK, True, f"{abs(skew):.0f} s apart from the gateway's")
    ahead = "behind" if skew > 0 else "ahead of"
    text = f"this machine's clock is {abs(skew):.0f} s {ahead} the gateway's; bars would be asked for at wrong times"
    return Finding(CLOCK, False, text, "synchronise both machines by NTP (chrony, systemd-timesyncd)")


def _market_data(
    connection: IbkrConnection, heard: list[Report], greeting: Greeting, listen_s: float
) -> list[Finding]:  # fmt: skip
    """What one line of quotes says within `listen_s` seconds."""
    try:
        connection.watch([SYMBOL])
    except BrokerError as error:
        return [Finding(DATA, False, f"no contract for {SYMBOL} ({error})", "see that the gateway is logged in")]
    codes: Callable[[], set[int]] = lambda: {r.code for r in list(heard) if isinstance(r, ErrorReport)}  # noqa: E731
    waiting, limit = threading.Event(), time.monotonic() + listen_s
    while time.monotonic() < limit and not codes() & (NOT_LIVE | {COMPETING}):
        waiting.wait(0.05)
    return [_judge(connection.quotes()[SYMBOL], codes(), _market_is_open(greeting.server_time))]


def _judge(quote: Quote, codes: set[int], is_open: bool) -> Finding:
    if COMPETING in codes:
        text = "another session of this login has taken the market data (10197)"
        return Finding(COMPETITION, False, text, "log out of TWS, the mobile app or the web, or use a second user name")
    if quote.delayed or codes & NOT_LIVE:
        text = f"only delayed prices, or none, for {SYMBOL}; they are refused for live trading"
        return Finding(
            DATA, False, text, "subscribe to US stock data for this user (Client Portal, Settings, Market Data), share "
            "it with the paper account, and restart the gateway",
        )  # fmt: skip
    if math.isnan(quote.bid) and math.isnan(quote.last) and is_open:
        return Finding(DATA, False, f"no quote of {SYMBOL} came although the market is open", "restart the gateway")
    return Finding(DATA, True, f"real-time quotes of {SYMBOL}" if quote.time else "no objection; the market is closed")


def _market_is_open(now: int) -> bool:
    return bool(len(exchange_sessions().between(now, now)))
