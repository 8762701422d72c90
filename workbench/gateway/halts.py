"""A market in which trading can stop: what its tapes would have printed in a halt never happened."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from workbench.gateway.market import Market
from workbench.gateway.tape import NS, Tape

LASTS = 1 << 62
"""The end of a halt that has none yet, UTC ns."""


class HaltingMarket:
    """`market` with halts: their seconds have no prints, and the last quote before them stands."""

    def __init__(self, market: Market) -> None:
        self.market = market
        self._halts: dict[str, list[tuple[int, int]]] = {}  # symbol -> (from, until], UTC ns
        self._silent: dict[tuple[str, int], Tape] = {}  # (symbol, session) -> its tape with the halts so far

    @property
    def name(self) -> str:
        """That of the market itself."""
        return self.market.name

    def latest(self, symbol: str, session: int) -> int | None:
        """As of the market itself."""
        return self.market.latest(symbol, session)

    def first(self, symbol: str) -> int:
        """As of the market itself."""
        return self.market.first(symbol)

    def stop(self, symbol: str, ns: int) -> None:
        """A halt begins at `ns`, unless one lasts."""
        halts = self._halts.setdefault(symbol, [])
        if not halts or halts[-1][1] < LASTS:
            halts.append((ns, LASTS))
            self._silent.clear()

    def resume(self, symbol: str, ns: int) -> None:
        """The halt, if there is one, ends at `ns`."""
        halts = self._halts.get(symbol)
        if halts and halts[-1][1] == LASTS:
            halts[-1] = halts[-1][0], ns
            self._silent.clear()

    def tape(self, symbol: str, session: int) -> Tape:
        """What `symbol` does on `session`, but for its halts."""
        tape = self.market.tape(symbol, session)
        if symbol not in self._halts:
            return tape
        key = symbol, session
        if key not in self._silent:
            self._silent[key] = _without(tape, self._halts[symbol])
        return self._silent[key]


def _without(tape: Tape, halts: list[tuple[int, int]]) -> Tape:
    """The tape with nothing new in the seconds that end in one of `halts`, (from, until]."""
    ends = tape.open_ns + NS * np.arange(1, len(tape) + 1)
    halted = np.zeros(len(tape), bool)
    for start, until in halts:
        halted |= (ends > start) & (ends <= until)
    if not halted.any():
        return tape
    stands = np.maximum.accumulate(np.where(halted, -1, np.arange(len(tape))))
    quoted = np.maximum(stands, 0)
    return replace(
        tape,
        bid=tape.bid[quoted], ask=tape.ask[quoted], bid_size=tape.bid_size[quoted], ask_size=tape.ask_size[quoted],
        last=np.where(stands >= 0, tape.last[quoted], tape.previous_close),
        volume=np.where(halted, 0, tape.volume),
    )  # fmt: skip
