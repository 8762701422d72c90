"""Streams of quotes, within the lines that may be used, begun anew after whatever may have stopped them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from workbench.core.calendar import exchange_sessions
from workbench.core.units import NS_PER_DAY, NS_PER_SECOND
from workbench.execution.ibkr.errors import NotConnected
from workbench.execution.ibkr.messages import Messages
from workbench.execution.ibkr.wire import Wire
from workbench.execution.reports import Link

GENERIC_TICKS = "236"
"""Shortable, and the number of shares. Halts (tick 49) come by themselves."""

LIVE = 1
SETTLE_S = 0.2
"""Notices about data farms come in bursts: one renewal serves them all."""

SILENT_NS, LONGEST_NS = 60 * NS_PER_SECOND, 960 * NS_PER_SECOND
"""Without a tick on any line for so long in regular hours all are begun anew; twice as long after every time that did
not help. Losses of data are not always announced."""

BATCH, PAUSE_S = 10, 0.5
"""Lines asked for at once, and the pause after them: orders and cancels must not queue behind quotes."""


class Subscriptions:
    """Lives on the loop. `wire()` gives the session of the moment."""

    def __init__(self, messages: Messages, wire: Callable[[], Wire], *, unthrottled: bool) -> None:
        self.messages, self._wire = messages, wire
        self._pause = 0.0 if unthrottled else PAUSE_S
        self._symbols: tuple[str, ...] = ()
        self._session: Wire | None = None
        self._renewal: asyncio.Task[None] | None = None
        self._lock, self._due = asyncio.Lock(), False
        self._asked_at, self._patience = 0, SILENT_NS

    @property
    def tasks(self) -> tuple[asyncio.Task[None] | None, ...]:
        """What runs in the background."""
        return (self._renewal,)

    def on_link(self, link: Link) -> None:
        """Renew every line where data may have been lost."""
        if link not in (Link.UP, Link.RESTORED, Link.DATA_BACK) or not self._symbols:
            return
        self._begin_anew()

    def check_silence(self) -> None:
        """Renew every line where all fell silent without a word about it."""
        now, newest = self.messages.clock(), self.messages.quotes.newest
        if newest > self._asked_at:
            self._patience = SILENT_NS
        opened = _open_since(now)
        if not self._symbols or not opened or now - max(newest, self._asked_at, opened) < self._patience:
            return
        self._patience = min(2 * self._patience, LONGEST_NS)
        self._asked_at = now
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._due = True
        if self._renewal is None or self._renewal.done():
            self._renewal = asyncio.ensure_future(self._renew())

    async def watch(self, symbols: list[str]) -> None:
        """Stream exactly `symbols`."""
        async with self._lock:
            for symbol in set(self._symbols) - set(symbols):
                self.messages.quotes.forget(symbol)
            self._symbols = tuple(symbols)
            await self._subscribe()

    async def _renew(self) -> None:
        while self._due:
            await asyncio.sleep(SETTLE_S)
            self._due = False
            async with self._lock:
                with contextlib.suppress(NotConnected):  # the next session renews them
                    await self._subscribe()

    async def _subscribe(self) -> None:
        """Cancel the lines of this session and open new ones; those of an older session are gone by themselves."""
        wire, quotes = self._wire(), self.messages.quotes
        client, same = wire.send(), wire is self._session
        for number in quotes.lines:
            quotes.close(number)
            if same:
                client.cancelMktData(number)
        self._session, self._asked_at = wire, self.messages.clock()
        client.reqMarketDataType(LIVE)
        for count, symbol in enumerate(self._symbols, 1):
            number = self.messages.number()
            quotes.open(number, symbol)
            contract = self.messages.instruments.contract(symbol)
            wire.send().reqMktData(number, contract, GENERIC_TICKS, False, False, [])
            if count % BATCH == 0:
                await asyncio.sleep(self._pause)


def _open_since(now: int) -> int:
    """When the regular session of `now` began (UTC ns), 0 outside of them."""
    near = exchange_sessions().between(now - NS_PER_DAY, now + NS_PER_DAY)
    inside = (near.open_ns <= now) & (now < near.close_ns)
    return int(near.open_ns[inside][0]) if inside.any() else 0
