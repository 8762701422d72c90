"""One account's money and shares in whole millionths of a dollar, so that they add up exactly.

Average cost and realised P&L as IBKR counts them: the cost of a position includes the commissions paid to open it, the
P&L of closing it is net of those and of the closing commission. For every account, exactly,

    cash = deposited - sum of basis + sum of realised - fees,    equity = cash + sum of quantity * price
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import nan
from typing import Any

MICRO = 1_000_000


def micros(usd: float) -> int:
    """USD in whole millionths.

    >>> micros(10.0137)
    10013700
    """
    return round(usd * MICRO)


@dataclass(slots=True)
class Holding:
    """`quantity` signed shares; `basis`, `realized`, `realized_today`, `flow` millionths of USD.

    `basis` is what the shares held cost, signed like them, commissions included. `flow` is the cash that trading this
    symbol brought today, `start` the value of the shares held when the day began.
    """

    symbol: str
    con_id: int
    quantity: int = 0
    basis: int = 0
    realized: int = 0
    realized_today: int = 0
    flow: int = 0
    start: int = 0

    @property
    def average_cost(self) -> float:
        """USD per share; 0 without a position."""
        return self.basis / self.quantity / MICRO if self.quantity else 0.0

    def value(self, price: float) -> float:
        """USD at `price`; 0 without a position, whatever the price."""
        return self.quantity * price if self.quantity else 0.0

    def trade(self, side: int, shares: int, price: int, commission: int) -> int | None:
        """Book a trade at `price` and its `commission` (millionths); what it realised, or None if it only opened."""
        closing = min(shares, abs(self.quantity)) if self.quantity * side < 0 else 0
        opening = shares - closing
        paid_to_close = commission * closing // shares
        self.flow -= side * shares * price + commission
        gain = self._close(side, closing, price, paid_to_close) if closing else None
        if opening:
            self.quantity += side * opening
            self.basis += side * opening * price + commission - paid_to_close
        return gain

    def _close(self, side: int, shares: int, price: int, commission: int) -> int:
        released = abs(self.basis) * shares // abs(self.quantity) * (1 if self.basis > 0 else -1)
        gain = -side * shares * price - commission - released
        self.quantity += side * shares
        self.basis -= released
        self.realized += gain
        self.realized_today += gain
        return gain


class Books:
    """Cash and holdings of one account; money in whole millionths of USD."""

    def __init__(self, deposited: int) -> None:
        self.deposited = self.cash = deposited
        self.fees = self.fees_today = 0
        self.commissions = 0
        self.holdings: dict[str, Holding] = {}  # symbol -> what is held, and what was traded today

    def quantity(self, symbol: str) -> int:
        """Signed shares held."""
        return self.holdings[symbol].quantity if symbol in self.holdings else 0

    def trade(self, symbol: str, con_id: int, side: int, shares: int, price: float, commission: float) -> float:
        """Book an execution; its realised P&L in USD, NaN if it only opened a position."""
        holding = self.holdings.setdefault(symbol, Holding(symbol, con_id))
        charged = micros(commission)
        gain = holding.trade(side, shares, micros(price), charged)
        self.cash -= side * shares * micros(price) + charged
        self.commissions += charged
        return nan if gain is None else gain / MICRO

    def charge(self, amount: int) -> None:
        """Take a fee (borrow) of `amount` millionths."""
        self.cash -= amount
        self.fees += amount
        self.fees_today += amount

    def begin_day(self, prices: Mapping[str, float]) -> None:
        """Daily P&L counts from here; symbols no longer held and all of today's flows are dropped."""
        self.fees_today = 0
        self.holdings = {s: h for s, h in self.holdings.items() if h.quantity or h.realized}
        for symbol, holding in self.holdings.items():
            holding.realized_today = holding.flow = 0
            holding.start = holding.quantity * micros(prices[symbol]) if holding.quantity else 0

    def equity(self, prices: Mapping[str, float]) -> float:
        """Cash + sum of quantity * price, USD."""
        return self.cash / MICRO + sum(h.value(prices[s]) for s, h in self.holdings.items() if h.quantity)

    @property
    def imbalance(self) -> int:
        """What the identity of this module's head is off by, millionths of USD: always 0."""
        held = self.holdings.values()
        return self.cash - (self.deposited - sum(h.basis - h.realized for h in held) - self.fees)

    def to_dict(self) -> dict[str, Any]:
        plain = {n: getattr(self, n) for n in ("deposited", "cash", "fees", "fees_today", "commissions")}
        return {**plain, "holdings": [asdict(h) for h in self.holdings.values()]}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Books:
        books = cls(data["deposited"])
        for name in ("cash", "fees", "fees_today", "commissions"):
            setattr(books, name, data[name])
        books.holdings = {h["symbol"]: Holding(**h) for h in data["holdings"]}
        return books
