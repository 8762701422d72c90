"""The account as a statement: prices, margin, P&L, positions, by IBKR's tags; and the turn of a day."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import isnan, nan

from workbench.core.units import NS_PER_DAY
from workbench.fees import commission
from workbench.gateway.books import MICRO, Books, micros
from workbench.gateway.borrow import BorrowBook
from workbench.gateway.margin import INITIAL, WhatIf, after_trade, requirement
from workbench.gateway.matching import MatchingEngine
from workbench.gateway.order_texts import new_york_day


@dataclass(frozen=True, slots=True)
class PositionView:
    """`quantity` signed shares (0: closed today), `average_cost` USD with commissions, `realized` USD today."""

    symbol: str
    con_id: int
    quantity: int
    average_cost: float
    realized: float


@dataclass(frozen=True, slots=True)
class Pnl:
    """USD: since the day began, on what is held, and from what was closed today."""

    daily: float
    unrealized: float
    realized: float


class Account:
    """Money, shares and prices of one account that trades at `engine`; `cash` USD at the start."""

    def __init__(self, engine: MatchingEngine, cash: float, borrow: BorrowBook) -> None:
        self.engine, self.borrow = engine, borrow
        self.books = Books(micros(cash))
        self.marks: dict[str, float] = {}  # symbol -> the last price known, USD
        self.day = new_york_day(engine.clock.now())
        self.day_equity = self.books.cash / MICRO

    def prices(self, also: Iterable[str] = ()) -> dict[str, float]:
        """USD per share of every symbol held (and of `also`): the market's, else the last known, else the cost."""
        for symbol in (*self.books.holdings, *also):
            mark = self.engine.mark(symbol)
            if not isnan(mark):
                self.marks[symbol] = mark
        costs = {s: h.average_cost for s, h in self.books.holdings.items() if h.quantity}
        return {**costs, **self.marks}

    def positions(self) -> tuple[PositionView, ...]:
        """What is held, and with quantity 0 what was closed today."""
        return tuple(
            PositionView(h.symbol, h.con_id, h.quantity, h.average_cost, h.realized_today / MICRO)
            for h in self.books.holdings.values()
            if h.quantity or h.flow or h.start
        )

    def values(self, prices: Mapping[str, float] | None = None) -> dict[str, float]:
        """USD by IBKR's tags, at `prices` (:meth:`prices` by default)."""
        prices = self.prices() if prices is None else prices
        held = {s: h.quantity for s, h in self.books.holdings.items() if h.quantity}
        cash = self.books.cash / MICRO
        need, pnl = requirement(held, prices, cash), self.pnl(prices)
        available = need.equity - need.initial
        return {
            "NetLiquidation": self.books.equity(prices),
            "TotalCashValue": cash,
            "GrossPositionValue": float(sum(abs(q * prices[s]) for s, q in held.items())),
            "EquityWithLoanValue": need.equity,
            "InitMarginReq": need.initial,
            "MaintMarginReq": need.maintenance,
            "AvailableFunds": available,
            "ExcessLiquidity": need.equity - need.maintenance,
            "BuyingPower": max(0.0, available) / INITIAL,
            "UnrealizedPnL": pnl.unrealized,
            "RealizedPnL": pnl.realized,
        }

    def pnl(self, prices: Mapping[str, float] | None = None) -> Pnl:
        """P&L of the account at `prices`."""
        prices = self.prices() if prices is None else prices
        holdings = self.books.holdings.values()
        unrealized = sum(h.value(prices[h.symbol]) - h.basis / MICRO for h in holdings if h.quantity)
        realized = sum(h.realized_today for h in holdings) / MICRO
        return Pnl(self.books.equity(prices) - self.day_equity, float(unrealized), realized)

    def pnl_single(self, symbol: str, price: float) -> Pnl:
        """P&L of one symbol at `price`; zeros if it was never traded."""
        h = self.books.holdings.get(symbol)
        if h is None:
            return Pnl(0.0, 0.0, 0.0)
        value = h.value(price)
        return Pnl(value + (h.flow - h.start) / MICRO, value - h.basis / MICRO, h.realized_today / MICRO)

    def what_if(self, symbol: str, side: int, quantity: int, own_price: float = nan) -> WhatIf:
        """What a trade would do, at the market's price or, where it has none, at `own_price`."""
        prices = self.prices((symbol,))
        price, session = prices.get(symbol, own_price), self.engine.clock.now() // NS_PER_DAY
        fee = nan if isnan(price) else commission(self.engine.rules.plan, side, quantity, price, session)
        held = {s: h.quantity for s, h in self.books.holdings.items()}
        return after_trade(held, prices, self.books.cash / MICRO, (symbol, side * quantity), price, fee)

    def unborrowable(self, symbol: str, quantity: int) -> bool:
        """Whether selling `quantity` shares in all is shorter than can be borrowed."""
        held = self.books.quantity(symbol)
        short = quantity - held
        return short > max(0, -held) and not self.borrow.enough(symbol, short)

    def begin_day(self) -> bool:
        """If a new day has come: charge the borrow of the days gone by, and count today's P&L from here."""
        day = new_york_day(self.engine.clock.now())
        if day <= self.day:
            return False
        prices = self.prices()
        self.borrow.charge(self.books, prices, day - self.day)
        self.books.begin_day(prices)
        self.day, self.day_equity = day, self.books.equity(prices)
        return True
