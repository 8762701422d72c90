"""Streams of quotes, within the lines that may be used, begun anew after whatever may have stopped them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from workbench.execution.ibkr.errors import NotConnected
from workbench.execution.ibkr.messages import Messages
from workbench.execution.ibkr.wire import Wire
from workbench.execution.reports import Link

GENERIC_TICKS = "236"
"""Shortable, and the number of shares. Halts (tick 49) come by themselves."""

LIVE = 1
SETTLE_S = 0.2
"""Notices about data farms come in bursts: one renewal serves them all."""

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

    @property
    def tasks(self) -> tuple[asyncio.Task[None] | None, ...]:
        """What runs in the background."""
        return (self._renewal,)

    def on_link(self, link: Link) -> None:
        """Renew every line where data may have been lost."""
        if link not in (Link.UP, Link.RESTORED, Link.DATA_BACK) or not self._symbols:
            return
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
        self._session = wire
        client.reqMarketDataType(LIVE)
        for count, symbol in enumerate(self._symbols, 1):
            number = self.messages.number()
            quotes.open(number, symbol)
            contract = self.messages.instruments.contract(symbol)
            wire.send().reqMktData(number, contract, GENERIC_TICKS, False, False, [])
            if count % BATCH == 0:
                await asyncio.sleep(self._pause)
