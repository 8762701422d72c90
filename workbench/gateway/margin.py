"""Margin in the manner of Regulation T, for a portfolio of US stocks.

Per symbol, of its market value: 50 % initial and 25 % maintenance for a long, 50 % and 30 % for a short. (The rules say
150 % and 130 % of a short, of which its proceeds cover 100 %; the equity that a requirement is compared with has the
short's value taken off already, so the rest is required here.) For stocks, the equity with loan value is cash + market
value. An order is accepted when the equity after it covers the initial margin after it, or when it lowers the margin.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isnan, nan

INITIAL, MAINTENANCE_LONG, MAINTENANCE_SHORT = 0.50, 0.25, 0.30


@dataclass(frozen=True, slots=True)
class Requirement:
    """USD: what a portfolio must have to open (`initial`) and to keep (`maintenance`) it; its `equity`."""

    initial: float
    maintenance: float
    equity: float


@dataclass(frozen=True, slots=True)
class WhatIf:
    """The account before and after an order, and the commission it would pay (USD); NaN where there is no price."""

    before: Requirement
    after: Requirement
    commission: float

    @property
    def change(self) -> Requirement:
        """After less before, to a millionth."""
        a, b = self.after, self.before
        changes = a.initial - b.initial, a.maintenance - b.maintenance, a.equity - b.equity
        return Requirement(*(round(change, 6) for change in changes))

    @property
    def affordable(self) -> bool:
        """Whether the order may be sent; what cannot be valued is not refused."""
        return not (self.after.initial > self.after.equity and self.after.initial > self.before.initial)


def requirement(positions: Mapping[str, int], prices: Mapping[str, float], cash: float) -> Requirement:
    """The requirement of `positions` (signed shares) at `prices`, with `cash` USD in the account.

    >>> requirement({"A": 100, "B": -100}, {"A": 10.0, "B": 20.0}, 5000.0)
    Requirement(initial=1500.0, maintenance=850.0, equity=4000.0)
    """
    values = [shares * prices.get(symbol, nan) for symbol, shares in positions.items() if shares]
    initial = sum(INITIAL * abs(v) for v in values)
    maintenance = sum(MAINTENANCE_LONG * v if v > 0 else -MAINTENANCE_SHORT * v for v in values)
    return Requirement(float(initial), float(maintenance), float(cash + sum(values)))


def after_trade(
    positions: Mapping[str, int],
    prices: Mapping[str, float],
    cash: float,
    trade: tuple[str, int],
    price: float,
    commission: float,
) -> WhatIf:
    """What `trade` (symbol, signed shares) at `price` would do; the symbol is valued at `price` if it has no other."""
    symbol, shares = trade
    marks = {**prices, symbol: price} if isnan(prices.get(symbol, nan)) else dict(prices)
    held = {**positions, symbol: positions.get(symbol, 0) + shares}
    before = requirement(positions, marks, cash)
    after = requirement(held, marks, cash - shares * marks[symbol] - commission)
    return WhatIf(before, after, commission)
