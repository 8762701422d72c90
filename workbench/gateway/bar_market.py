"""Plays the market of a panel of bars to a matching engine, one decision bar after the other.

Time line of a decision at the end of bar t (orders arrive `latency` later): with quotes they meet the quote standing at
the end of bar t; without, a mid at open[t+1] with the estimated spread around it. The volume of bar t+1 bounds what
can be had until ts[t+1], and its low and high fill resting limits that were traded through.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite

from workbench.core.arrays import FloatArray, check_shape
from workbench.core.bars import Bars
from workbench.core.errors import DataError
from workbench.gateway.matching import MatchingEngine

NAN = float("nan")


class BarMarket:
    """`spread` (T, N) relative full spread and `sigma_1d` (T, N), both as known at each bar's end.

    `spread_multiplier` widens (or narrows) every spread around the same mid. A symbol that does not trade in bar t+1
    fills nothing in it.
    """

    def __init__(
        self,
        engine: MatchingEngine,
        bars: Bars,
        spread: FloatArray,
        sigma_1d: FloatArray,
        spread_multiplier: float = 1.0,
    ) -> None:
        check_shape("spread", spread, bars.shape)
        check_shape("sigma_1d", sigma_1d, bars.shape)
        if not (isfinite(spread_multiplier) and spread_multiplier >= 0):
            raise DataError(f"spread_multiplier = {spread_multiplier} must be finite and at least 0")
        self.engine, self.bars, self.multiplier = engine, bars, spread_multiplier
        self._spread, self._sigma = spread, sigma_1d
        self._column = {symbol: i for i, symbol in enumerate(bars.symbols)}  # symbol -> column

    def last_of_session(self, t: int) -> bool:
        """Whether bar `t` is the last row of its session: nothing sent after it can fill any more."""
        return t + 1 >= len(self.bars.ts) or self.bars.session[t + 1] != self.bars.session[t]

    def open_window(self, t: int, symbols: Iterable[str]) -> None:
        """After the decision at the end of bar `t`: the market that its orders in `symbols` meet during bar t+1."""
        if self.last_of_session(t):
            return
        start, until = int(self.bars.ts[t]), int(self.bars.ts[t + 1])
        for symbol in symbols:
            i = self._column[symbol]
            volume = float(self.bars.volume[t + 1, i])
            self.engine.on_bar_volume(
                symbol, max(volume, 0.0) if isfinite(volume) else 0.0, self._sigma[t, i], start, until
            )
            self.engine.on_quote(symbol, *self._standing(t, i), start)

    def close_bar(self, t: int, symbols: Iterable[str]) -> None:
        """At the end of bar `t`: its range and closing quote meet the orders that still rest in `symbols`."""
        now = int(self.bars.ts[t])
        for symbol in symbols:
            i = self._column[symbol]
            low, high = float(self.bars.low[t, i]), float(self.bars.high[t, i])
            if isfinite(low) and isfinite(high):
                self.engine.on_range(symbol, low, high, now)
            quote = self._observed(t, i) if self.bars.has_quotes else (NAN, NAN, NAN, NAN)
            self.engine.on_quote(symbol, *quote, now)

    def _standing(self, t: int, i: int) -> tuple[float, float, float, float]:
        if self.bars.has_quotes:
            return self._observed(t, i)
        mid, half = float(self.bars.open[t + 1, i]), self.multiplier * float(self._spread[t, i]) / 2
        return mid * (1 - half), mid * (1 + half), NAN, NAN

    def _observed(self, t: int, i: int) -> tuple[float, float, float, float]:
        b = self.bars
        bid, ask = _at(b.bid, t, i), _at(b.ask, t, i)
        if not bid <= ask:  # absent or crossed: stays so, whatever the multiplier
            return bid, ask, NAN, NAN
        mid, half = (bid + ask) / 2, self.multiplier * (ask - bid) / 2
        return mid - half, mid + half, _at(b.bid_size, t, i), _at(b.ask_size, t, i)


def _at(array: FloatArray | None, t: int, i: int) -> float:
    return NAN if array is None else float(array[t, i])
