"""A simulated IB Gateway to hold in the hand: in a thread of its own, or on the loop of whoever asks.

>>> with SimulatedGateway() as gateway:
...     gateway.port > 0
True
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from datetime import date, datetime
from pathlib import Path
from types import TracebackType
from typing import Self
from zoneinfo import ZoneInfo

import numpy as np

from workbench.core.calendar import exchange_sessions, iso_date, iso_time
from workbench.core.clock import Clock, ManualClock
from workbench.core.errors import ConfigError, WorkbenchError
from workbench.core.units import NS_PER_SECOND
from workbench.gateway.brokerage import Brokerage
from workbench.gateway.hub import Hub
from workbench.gateway.keeping import Keeper, KeptBooks, check_market
from workbench.gateway.market import Market
from workbench.gateway.replay import ReplayMarket
from workbench.gateway.rules import MatchingRules
from workbench.gateway.scenarios import load
from workbench.gateway.scenarios.injector import Injector
from workbench.gateway.scenarios.spec import Scenario
from workbench.gateway.server import GatewayServer
from workbench.gateway.tape import SyntheticMarket

DEFAULT_START = "2026-03-02"
EXCHANGE_ZONE = ZoneInfo("America/New_York")
READY_S = 30.0


class SimulatedGateway:
    """An account over a market, at a TCP port.

    ``with SimulatedGateway() as gateway:`` runs it in a thread of its own; ``await gateway.serve()`` on the caller's
    loop, until ``await gateway.close()``.

    Parameters
    ----------
    start : session (ISO date) at whose opening the simulated clock begins, or a time of that day (2026-03-02T09:15,
        exchange time); 2026-03-02, or the first that was recorded
    speed : simulated seconds per second; 0: as fast as it goes
    port : 0 for any that is free
    seed : of the simulated market
    cash : USD of a new account
    commission : plan by which a new account is charged, "fixed" or "tiered" (None: tiered); an account that is there
        keeps its own, and another is refused
    market : instead of the simulated one, for example ``ReplayMarket.of(path)``
    books : file that the account is kept in over restarts; an account that is there goes on at its own time
    scenario : faults to inject: a shipped scenario's name, the path of a file, or a scenario
    host, allow_remote : where it listens; it has no password, so any other machine must be allowed
    """

    def __init__(
        self,
        *,
        start: str | None = None,
        speed: float = 1.0,
        port: int = 0,
        seed: int = 0,
        cash: float = 1_000_000.0,
        commission: str | None = None,
        market: Market | None = None,
        books: Path | str | None = None,
        scenario: Scenario | Path | str | None = None,
        host: str = "127.0.0.1",
        allow_remote: bool = False,
    ) -> None:
        market = SyntheticMarket(seed) if market is None else market
        kept = None if books is None else KeptBooks.read(Path(books))
        times = [kept.time] if kept else []
        if start is not None or not kept:
            times.append(_beginning(start, market))
        self.clock = ManualClock(max(times))
        brokerage = _account(kept, self.clock, cash, commission)
        self.hub = Hub(self.clock, brokerage, market)
        if kept:
            check_market(kept, self.hub)
            self.hub.sent.update(kept.orders())
        self.server = GatewayServer(self.hub, host, port, speed, allow_remote=allow_remote)
        if scenario is not None:
            self.hub.injector = Injector(scenario if isinstance(scenario, Scenario) else load(scenario))
        self._keeper = None if books is None else Keeper(Path(books), self.hub, kept)
        self._keeping: asyncio.Task[None] | None = None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._failure: WorkbenchError | None = None

    @property
    def brokerage(self) -> Brokerage:
        """The account; a scenario may put another in its place, read back from its books."""
        return self.hub.brokerage

    @property
    def host(self) -> str:
        """Where it listens."""
        return self.server.host

    @property
    def port(self) -> int:
        """Where it listens."""
        return self.server.port

    @property
    def account(self) -> str:
        """The account id that clients are told."""
        return self.brokerage.account

    @property
    def now(self) -> str:
        """The simulated time."""
        return iso_time(self.clock.now())

    async def serve(self) -> None:
        """Begin to listen on the running loop; ConfigError if the port is not to be had."""
        if self._keeper is not None:
            self._keeper.hold()
        try:
            await self.server.start()
            if self.hub.injector is not None:
                self.hub.injector.attach(self.hub, self.server)
        except OSError as error:
            if self._keeper is not None:
                self._keeper.release()
            raise ConfigError(
                f"cannot listen on {self.host} port {self.port} ({error.strerror or error}); choose another port, "
                f"or 0 for any that is free"
            ) from None
        if self._keeper is not None:
            self._keeping = asyncio.ensure_future(self._keeper.run())

    async def close(self) -> None:
        """Stop listening, end all sessions, keep the books."""
        if self._keeping is not None:
            self._keeping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeping
        await self.server.stop()
        if self._keeper is not None:
            try:
                self._keeper.save(closed=True)
            finally:
                self._keeper.release()

    def __enter__(self) -> Self:
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), name="simulated-gateway", daemon=True)
        self._thread.start()
        if not ready.wait(READY_S):
            raise ConfigError(f"the gateway did not listen within {READY_S:.0f} s")
        self._raise_failure()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._loop is not None and self._thread is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(READY_S)
        if error is None:
            self._raise_failure()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _run(self, ready: threading.Event) -> None:
        self._loop = asyncio.new_event_loop()
        try:
            self._loop.run_until_complete(self.serve())
            ready.set()
            self._loop.run_forever()
            self._loop.run_until_complete(self.close())
        except WorkbenchError as failure:  # for the thread that holds it to raise
            self._failure = failure
        finally:
            ready.set()
            self._loop.close()


def opening(start: str) -> int:
    """UTC ns one second after the opening of a session (ISO date), or at a time of its day (ISO date and time, as the
    exchange's clocks show it); ConfigError if there is no such session.

    >>> from workbench.core.calendar import iso_time
    >>> iso_time(opening("2026-03-02")), iso_time(opening("2026-03-02T09:15"))
    ('2026-03-02T14:30:01Z', '2026-03-02T14:15:00Z')
    """
    sessions = exchange_sessions()
    try:
        moment = datetime.fromisoformat(start)
    except ValueError:
        raise ConfigError(f"{start!r} is no date; write one like {DEFAULT_START} or {DEFAULT_START}T09:15") from None
    day = (moment.date() - date(1970, 1, 1)).days
    i = int(np.searchsorted(sessions.date, day))
    if i >= len(sessions) or int(sessions.date[i]) != day:
        raise ConfigError(f"{start} is no session of the exchange; choose a trading day")
    if len(start) <= len(DEFAULT_START):
        return int(sessions.open_ns[i]) + NS_PER_SECOND
    local = moment if moment.tzinfo else moment.replace(tzinfo=EXCHANGE_ZONE)
    return int(local.timestamp()) * NS_PER_SECOND


def _account(kept: KeptBooks | None, clock: Clock, cash: float, commission: str | None) -> Brokerage:
    """The account of the books, or a new one; ConfigError for a plan of commissions that is unknown, or not its own."""
    rules = MatchingRules() if commission is None else MatchingRules(plan=commission)
    if kept is None:
        return Brokerage(clock, cash, rules=rules)
    brokerage = kept.brokerage(clock)
    plan = brokerage.engine.rules.plan
    if commission is not None and commission != plan:
        raise ConfigError(
            f"commission {commission!r} is not that of these books, which are charged by the {plan} plan: leave it "
            f"out, or begin with new books"
        )
    return brokerage


def _beginning(start: str | None, market: Market) -> int:
    """Where the clock of a new account begins."""
    start = start or (iso_date(market.sessions[0]) if isinstance(market, ReplayMarket) else DEFAULT_START)
    begin = opening(start)
    day = int(np.datetime64(start[: len(DEFAULT_START)], "D").astype(np.int64))
    if isinstance(market, ReplayMarket):
        market.check_session(day)
    elif isinstance(market, SyntheticMarket):
        market.session_index(day)
    return begin
