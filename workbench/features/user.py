"""Features that users add in Python: the same function on the same rows in batch and streaming."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from workbench.core.arrays import FloatArray
from workbench.core.bars import Bars
from workbench.core.errors import ConfigError, DataError
from workbench.features.catalogue import BAR_FEATURES, QUOTE_FEATURES


@dataclass(frozen=True, slots=True)
class UserFeature:
    """A feature of the user's own.

    `fn` gets the last `lookback` rows of bars, the row of the decision last, and returns (N,) finite values or NaN. It
    can't see later rows, and it must not remember earlier calls. NaN until `lookback` rows are there, and where the
    symbol's bar is missing.

    >>> UserFeature("range", 1, lambda bars: np.log(bars.high[-1] / bars.low[-1])).name
    'range'
    """

    name: str
    lookback: int
    fn: Callable[[Bars], FloatArray]

    def __post_init__(self) -> None:
        if not self.name or self.name in {s.name for s in BAR_FEATURES + QUOTE_FEATURES}:
            raise ConfigError(
                f"user feature {self.name!r}: the name is empty or one of the catalogue's; choose another"
            )
        if self.lookback < 1:
            raise ConfigError(f"user feature {self.name!r}: lookback {self.lookback} must be at least 1 bar")

    def column(self, bars: Bars, first: int) -> FloatArray:
        """(T - first, N) values at the rows from `first` on."""
        n_bars, n = bars.shape
        out = np.full((n_bars - first, n), np.nan)
        for t in range(max(first, self.lookback - 1), n_bars):
            out[t - first] = self._one(bars.rows(t + 1 - self.lookback, t + 1))
        out[np.isnan(bars.close[first:])] = np.nan
        return out

    def _one(self, seen: Bars) -> FloatArray:
        value = np.asarray(self.fn(seen), dtype=np.float64)
        if value.shape != (len(seen.symbols),) or np.isinf(value).any():
            raise DataError(
                f"user feature {self.name!r} returned shape {value.shape} (infinite: {int(np.isinf(value).sum())}) at "
                f"{seen.ts[-1]} ns; it must return {len(seen.symbols)} values, finite or NaN"
            )
        return value
