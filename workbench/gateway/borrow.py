"""Which shares can be sold short, and what borrowing them costs: value * yearly rate / 360 for every calendar day."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from workbench.gateway.books import Books, micros

DAYS_PER_YEAR = 360


@dataclass(frozen=True, slots=True)
class BorrowLine:
    """`shares` that can be lent to the account in all; `fee_rate` decimal a year.

    `locatable`: an order for more waits while shares are looked for, instead of being rejected.
    """

    shares: int
    fee_rate: float
    locatable: bool = False


EASY = BorrowLine(10_000_000, 0.0025)
"""What a symbol has that nobody said anything about: plenty, at 0.25 % a year."""


@dataclass(slots=True)
class BorrowBook:
    """Lines by symbol; `default` serves every other symbol."""

    default: BorrowLine = EASY
    lines: dict[str, BorrowLine] = field(default_factory=dict)  # symbol -> what can be borrowed

    def line(self, symbol: str) -> BorrowLine:
        """What can be borrowed of `symbol`."""
        return self.lines.get(symbol, self.default)

    def enough(self, symbol: str, short: int) -> bool:
        """Whether the account may be `short` shares of `symbol`."""
        return short <= self.line(symbol).shares

    def fee(self, symbol: str, short: int, price: float, days: int) -> int:
        """Millionths of USD for `short` shares held over `days` calendar days.

        >>> BorrowBook(BorrowLine(1000, 0.36)).fee("A", 100, 10.0, 3) / 1e6
        3.0
        """
        return micros(short * price * self.line(symbol).fee_rate * days / DAYS_PER_YEAR)

    def charge(self, books: Books, prices: Mapping[str, float], days: int) -> None:
        """Charge every short position for `days` calendar days at `prices`."""
        for symbol, holding in books.holdings.items():
            if holding.quantity < 0:
                books.charge(self.fee(symbol, -holding.quantity, prices[symbol], days))

    def to_dict(self) -> dict[str, Any]:
        return {"default": asdict(self.default), "lines": {s: asdict(line) for s, line in self.lines.items()}}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> BorrowBook:
        return cls(BorrowLine(**data["default"]), {s: BorrowLine(**line) for s, line in data["lines"].items()})
