"""Plays the tapes of a session to the matching engine, second by second."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import nan

import numpy as np

from workbench.core.clock import ManualClock
from workbench.core.errors import DataError
from workbench.core.units import NS_PER_MINUTE
from workbench.gateway.brokerage import Brokerage
from workbench.gateway.market import Market
from workbench.gateway.tape import NS, Tape

AUCTION_SHARE = 0.05
"""Of the day's volume, in the closing auction (the opening one has half of it)."""


class MarketFeed:
    """Moves `clock` and the market of `brokerage` on; only symbols that somebody is interested in are played."""

    def __init__(self, clock: ManualClock, brokerage: Brokerage, market: Market) -> None:
        self.clock, self.brokerage, self.market = clock, brokerage, market
        self._sessions = brokerage.hours.sessions
        self._joined: dict[str, int] = {}  # symbol -> session whose market is being played
        self.alter: Callable[[str, tuple[float, ...]], tuple[float, ...]] | None = None
        """What the exchange gets instead of a quote (bid, ask, sizes), where a scenario says so."""
        self.printless: set[tuple[str, str]] = set()
        """(symbol, "open" or "close") whose next auction has no print, where a scenario says so."""

    def take(self, brokerage: Brokerage) -> None:
        """Play to another `brokerage` from now on."""
        self.brokerage = brokerage
        self._joined = {}

    def session_at(self, ns: int) -> int:
        """Index of the session that runs at `ns`, or of the last one before it."""
        return int(np.searchsorted(self._sessions.open_ns, ns, side="right")) - 1

    def tape(self, symbol: str, ns: int) -> Tape:
        """The tape of `symbol` that runs at `ns`, or ran last."""
        session = self._latest(symbol, ns)
        if session is None:
            raise DataError(f"{symbol} has no tape up to this session; ask knows() first")
        return self.market.tape(symbol, session)

    def knows(self, symbol: str) -> bool:
        """Whether the market has `symbol` by now."""
        return self._latest(symbol, self.clock.now()) is not None

    def _latest(self, symbol: str, ns: int) -> int | None:
        return self.market.latest(symbol, int(self._sessions.date[self.session_at(ns)]))

    def _runs(self, symbol: str, session: int) -> bool:
        """Whether `symbol` has a tape on the session of index `session`."""
        date = int(self._sessions.date[session])
        return self.market.latest(symbol, date) == date

    def is_open(self, ns: int) -> bool:
        """Whether the regular session runs at `ns`."""
        i = self.session_at(ns)
        return int(self._sessions.open_ns[i]) <= ns < int(self._sessions.close_ns[i])

    def next_open(self, ns: int) -> int:
        """The next opening after `ns`."""
        return int(self._sessions.open_ns[self.session_at(ns) + 1])

    def join(self, symbol: str) -> None:
        """Let `symbol` have its quote now, if the market is open and it has none; before the first second is over there
        is none to be had."""
        now = self.clock.now()
        runs = self.is_open(now) and self._runs(symbol, self.session_at(now))
        if runs and self.tape(symbol, now).row(now) >= 0:
            self._begin(symbol, self.session_at(now), now - now % NS)

    def leave(self, symbol: str) -> None:
        """Play `symbol` no more, until it is stepped or joined again: the quote that stands would grow stale."""
        self._joined.pop(symbol, None)
        self.brokerage.engine.on_quote(symbol, nan, nan, nan, nan, self.clock.now())

    def step(self, ns: int, symbols: Iterable[str]) -> None:
        """Move on to `ns`, a whole second at most one after the clock; `symbols` get their trades and quotes."""
        self.clock.advance_to(ns)
        symbols = list(symbols)
        for gone in sorted(self._joined.keys() - set(symbols)):
            self.leave(gone)
        i = self.session_at(ns - 1)
        if not int(self._sessions.open_ns[i]) < ns <= int(self._sessions.close_ns[i]):
            return
        closing = ns == int(self._sessions.close_ns[i])
        for symbol in symbols:
            if self._runs(symbol, i):
                self._play(symbol, i, ns, closing)

    def _play(self, symbol: str, session: int, ns: int, closing: bool) -> None:
        engine = self.brokerage.engine
        self._begin(symbol, session, ns)
        tape = self.market.tape(symbol, int(self._sessions.date[session]))
        row = tape.row(ns)
        if tape.volume[row] and not engine.halted(symbol):
            engine.on_trade(symbol, float(tape.last[row]), float(tape.volume[row]), ns)
        if closing:
            self._auction(symbol, "close", float(tape.last[row]), AUCTION_SHARE * float(tape.volume.sum()), ns)
            engine.on_quote(symbol, nan, nan, nan, nan, ns)
            return
        if ns % NS_PER_MINUTE == 0:
            self._window(symbol, tape, row, ns)
        self._quote(symbol, tape, row, ns)

    def _quote(self, symbol: str, tape: Tape, row: int, ns: int) -> None:
        quote: tuple[float, ...] = (
            float(tape.bid[row]), float(tape.ask[row]), float(tape.bid_size[row]), float(tape.ask_size[row]),
        )  # fmt: skip
        if self.alter is not None:
            quote = self.alter(symbol, quote)
        bid, ask, bid_size, ask_size = quote
        self.brokerage.engine.on_quote(symbol, bid, ask, bid_size, ask_size, ns)

    def _begin(self, symbol: str, session: int, ns: int) -> None:
        """The first time that a symbol is played in a session: its volume window, at the open its auction."""
        if self._joined.get(symbol) == session:
            return
        self._joined[symbol] = session
        tape = self.market.tape(symbol, int(self._sessions.date[session]))
        row = tape.row(ns)
        if ns == int(self._sessions.open_ns[session]) + NS:
            volume = AUCTION_SHARE / 2 * float(tape.volume.sum())
            self._auction(symbol, "open", float(tape.last[0]), volume, ns)
        self._window(symbol, tape, row, ns)
        self._quote(symbol, tape, row, ns)

    def _auction(self, symbol: str, kind: str, price: float, volume: float, ns: int) -> None:
        if (symbol, kind) in self.printless:
            self.printless.discard((symbol, kind))
            price = nan
        self.brokerage.engine.on_auction(symbol, kind, price, volume, ns)

    def _window(self, symbol: str, tape: Tape, row: int, ns: int) -> None:
        """What will trade until the next whole minute: what market orders beyond the touch are measured by."""
        until = ns - ns % NS_PER_MINUTE + NS_PER_MINUTE
        volume = float(tape.volume[row + 1 : tape.row(until) + 1].sum())
        self.brokerage.engine.on_bar_volume(symbol, volume, tape.sigma_1d, ns, until)
