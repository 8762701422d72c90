"""What is traded: symbol, type, leverage, underlying and sector per instrument."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from workbench.core.arrays import FloatArray
from workbench.core.errors import DataError

INSTRUMENT_TYPES = ("STK", "ETF")


@dataclass(frozen=True, slots=True)
class Instrument:
    """One instrument. `leverage` is the delta of one dollar (3 for TQQQ, -3 for SQQQ, 1 for a stock)."""

    symbol: str
    type: str = "STK"
    leverage: float = 1.0
    underlying: str = ""
    sector: str = "UNKNOWN"
    min_tick: float = 0.01
    lot: int = 1

    def __post_init__(self) -> None:
        if not self.symbol or self.symbol != self.symbol.strip():
            raise DataError(f"symbol {self.symbol!r} is empty or has spaces around it; correct the universe file")
        if self.type not in INSTRUMENT_TYPES:
            raise DataError(f"{self.symbol}: type {self.type!r} is unknown; use one of {', '.join(INSTRUMENT_TYPES)}")
        if not np.isfinite(self.leverage) or self.leverage == 0:
            raise DataError(f"{self.symbol}: leverage {self.leverage} must be finite and not zero")
        if not self.min_tick > 0 or self.lot < 1:
            raise DataError(f"{self.symbol}: min_tick {self.min_tick} must be > 0 and lot {self.lot} >= 1")


@dataclass(frozen=True, slots=True)
class Universe:
    """An ordered set of instruments; the order is that of every (N,) array.

    >>> u = Universe.of(["AAPL", "MSFT"])
    >>> u.symbols, u.leverage.tolist()
    (('AAPL', 'MSFT'), [1.0, 1.0])
    """

    instruments: tuple[Instrument, ...]
    symbols: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        symbols = tuple(i.symbol for i in self.instruments)
        twice = sorted({s for s in symbols if symbols.count(s) > 1})
        if twice:
            raise DataError(f"universe lists {', '.join(twice)} more than once; keep one line per symbol")
        object.__setattr__(self, "symbols", symbols)

    @classmethod
    def of(cls, symbols: list[str] | tuple[str, ...]) -> Universe:
        """A universe of plain stocks of unknown sector, when nothing more is known."""
        return cls(tuple(Instrument(s) for s in symbols))

    def select(self, symbols: tuple[str, ...]) -> Universe:
        """The same instruments in the order of `symbols`; :class:`DataError` names those that are missing."""
        by_symbol = {i.symbol: i for i in self.instruments}
        missing = [s for s in symbols if s not in by_symbol]
        if missing:
            raise DataError(f"the universe has no line for {', '.join(missing)}; add them or drop their bars")
        return Universe(tuple(by_symbol[s] for s in symbols))

    @property
    def leverage(self) -> FloatArray:
        """(N,) delta dollars per dollar of position."""
        return np.array([i.leverage for i in self.instruments], dtype=np.float64)

    @property
    def sector_index(self) -> np.ndarray:
        """(N,) int64: index of each instrument's sector in the sorted list of sectors."""
        names = sorted({i.sector for i in self.instruments})
        return np.array([names.index(i.sector) for i in self.instruments], dtype=np.int64)

    def __len__(self) -> int:
        return len(self.instruments)
