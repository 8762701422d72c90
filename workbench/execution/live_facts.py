"""What is known about market, account and ourselves in the moment before orders leave. Immutable; unknown is NaN."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from workbench.core.arrays import BoolArray, FloatArray, check_shape, readonly
from workbench.core.errors import DataError
from workbench.core.types import Phase
from workbench.core.units import NS_PER_SECOND
from workbench.execution.reports import Quote, WhatIf

_VECTORS = ("bid", "ask", "price", "quote_age_s", "halted", "shortable_shares", "borrow_rate", "expected_volume",
            "lot", "buying", "selling")  # fmt: skip
_FLAGS = ("delayed", "features_ok")


@dataclass(frozen=True, slots=True)
class Margin:
    """What a basket does to the initial margin, USD: `equity_with_loan`, margin `before` it and `after` all of it.

    NaN is unknown, and an unknown margin lets nothing grow.
    """

    equity_with_loan: float
    before: float
    after: float

    @classmethod
    def of_orders(cls, before: float, answers: Iterable[WhatIf]) -> Self:
        """The basket of orders that were asked about one by one: their increases of the margin `before` add up.

        What an order releases is not counted, so that the sum is never below what the broker would find.

        >>> Margin.of_orders(1e4, [WhatIf(5e4, 1.3e4, 1.2e4, 1.0), WhatIf(4.9e4, 8e3, 7e3, 1.0)])
        Margin(equity_with_loan=49000.0, before=10000.0, after=13000.0)
        """
        told = list(answers)
        if not told:
            return cls(float("nan"), before, float("nan"))
        rises = np.maximum(np.array([w.initial_margin_after for w in told]) - before, 0.0)
        return cls(float(np.min([w.equity_with_loan for w in told])), before, before + float(rises.sum()))


@dataclass(frozen=True, slots=True)
class LiveFacts:
    """Facts at one moment. (N,) arrays in the order of `symbols`; NaN is unknown everywhere.

    `bid`, `ask` USD and `quote_age_s`; `price` USD of the last bar; `halted` 1 halted, 0 trading; `delayed`: the quote
    is not real-time; `shortable_shares` to be borrowed; `borrow_rate` a year; `expected_volume` shares until the next
    bar ends; `features_ok`: what the models need was computed; `lot` shares; `buying`, `selling` >= 0 shares of our
    orders that still work on that side (our own record, never unknown).

    `orders_last_minute` sent, `open_orders` working; `clock_skew_s` ours less the broker's; `models_alive` fraction of
    the models that have a view; `link_up`, `reconciled`: the broker hears us, and its books equal ours; money USD.
    `margin` None: the broker was not asked.
    """

    symbols: tuple[str, ...]
    bid: FloatArray
    ask: FloatArray
    price: FloatArray
    quote_age_s: FloatArray
    halted: FloatArray
    delayed: BoolArray
    shortable_shares: FloatArray
    borrow_rate: FloatArray
    expected_volume: FloatArray
    features_ok: BoolArray
    lot: FloatArray
    buying: FloatArray
    selling: FloatArray
    phase: Phase
    minutes_since_open: float
    minutes_to_close: float
    orders_last_minute: float
    open_orders: float
    clock_skew_s: float
    models_alive: float
    link_up: bool
    reconciled: bool
    nav: float
    day_start_nav: float
    peak_nav: float
    margin: Margin | None = None

    def __post_init__(self) -> None:
        for names, dtype in ((_VECTORS, np.float64), (_FLAGS, np.bool_)):
            for name in names:
                object.__setattr__(self, name, readonly(getattr(self, name), dtype))
                check_shape(f"LiveFacts.{name}", getattr(self, name), (len(self.symbols),))
        if not (self.lot >= 1).all():
            i = int(np.argmin(self.lot >= 1))
            raise DataError(f"LiveFacts.lot of {self.symbols[i]} is {self.lot[i]}; a lot is at least 1 share")

    @classmethod
    def unknown(cls, symbols: tuple[str, ...]) -> Self:
        """Nothing is known yet: the ground on which what was heard is put with ``replace`` and :meth:`with_quotes`."""
        n = len(symbols)
        nan, zero, no = np.full(n, np.nan), np.zeros(n), np.zeros(n, dtype=bool)
        void = float("nan")
        return cls(symbols, nan, nan, nan, nan, nan, no, nan, nan, nan, no, np.ones(n), zero, zero, Phase.CLOSED,
                   void, void, void, void, void, void, False, False, void, void, void)  # fmt: skip

    def with_quotes(self, quotes: Mapping[str, Quote], now: int) -> Self:
        """These facts with what `quotes` (symbol -> quote) say at `now` (UTC ns); a symbol without one is unknown.

        >>> q = Quote("A", 9.99, 10.01, 1.0, 1.0, 10.0, 10**9, False, float("nan"), False)
        >>> f = LiveFacts.unknown(("A", "B")).with_quotes({"A": q}, 3 * 10**9)
        >>> f.quote_age_s.tolist(), f.halted.tolist()
        ([2.0, nan], [0.0, nan])
        """
        told = [quotes.get(symbol) for symbol in self.symbols]

        def column(name: str) -> FloatArray:
            return np.array([np.nan if q is None else getattr(q, name) for q in told], np.float64)

        age = [np.nan if q is None or q.time <= 0 else (now - q.time) / NS_PER_SECOND for q in told]
        halted = [np.nan if q is None or q.halted is None else float(q.halted) for q in told]
        return replace(
            self,
            bid=column("bid"),
            ask=column("ask"),
            quote_age_s=np.array(age, np.float64),
            halted=np.array(halted, np.float64),
            shortable_shares=column("shortable_shares"),
            delayed=np.array([q is not None and q.delayed for q in told], dtype=bool),
        )

    @property
    def mid(self) -> FloatArray:
        """(N,) middle of a sound quote (0 < bid <= ask); NaN without one."""
        sound = (self.bid > 0) & (self.bid <= self.ask)
        return np.where(sound, (self.bid + self.ask) / 2, np.nan)

    @property
    def reference(self) -> FloatArray:
        """(N,) USD a share is worth: the mid, else the last bar's price; NaN unknown."""
        mid = self.mid
        return np.where(np.isfinite(mid), mid, np.where(self.price > 0, self.price, np.nan))
