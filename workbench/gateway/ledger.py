"""One account's money and shares, moved only by events."""

from __future__ import annotations

from collections import defaultdict

from workbench.gateway.events import Charged, Event, Filled


class Ledger:
    """Cash (USD) and positions (shares). cash + sum(position * price) is the equity at those prices.

    >>> Ledger(1000.0).equity({})
    1000.0
    """

    def __init__(self, cash: float) -> None:
        self.cash = float(cash)
        self.commission = 0.0
        self.charges = 0.0
        self._positions: defaultdict[str, int] = defaultdict(int)  # symbol -> signed shares

    @property
    def positions(self) -> dict[str, int]:
        """Signed shares of every symbol that is held."""
        return {symbol: shares for symbol, shares in self._positions.items() if shares}

    def apply(self, event: Event) -> None:
        """Book a fill or a charge; every other event moves no money."""
        if isinstance(event, Filled):
            fill = event.fill
            self._positions[fill.symbol] += fill.side * fill.quantity
            self.cash -= fill.side * fill.quantity * fill.price + fill.commission
            self.commission += fill.commission
        elif isinstance(event, Charged):
            self.cash -= event.amount
            self.charges += event.amount

    def equity(self, prices: dict[str, float]) -> float:
        """cash + sum of position * price; NaN if a held symbol has no price."""
        return self.cash + sum(q * prices.get(s, float("nan")) for s, q in self.positions.items())
