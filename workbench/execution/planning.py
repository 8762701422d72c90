"""From a target to orders: rounding, lots, netting, participation, minimum notional. Pure and deterministic.

For each symbol that is tradable, not halted and has a price, with x = weight * NAV / price shares wanted:

    wanted  = x rounded *towards zero* to whole lots (so that no cap is passed by rounding); exactly 0 for weight 0
    missing = wanted - (position + what open orders still bring)
    quantity = min(|missing|, max_participation * expected volume of the next bar), in whole lots

Differences of less than one lot are left alone unless they close the position. An order below `min_notional` is left
out, except that one which closes a position is never blocked: otherwise dust could not be sold. A symbol of unknown
expected volume is never increased; it may be reduced without that cap. Where a symbol cannot be shorted the position
stops at zero (a short already there is not increased).

With `day_auction`, what a growing position gets from day horizons trades in the closing auction:

    day part = min(shares that grow, (day weight decided - day weight held, never more than is held) * NAV / price)

It waits until the window before the auction's cut-off; inside the window it is the one order of its symbol (MOC), and
the rest waits; afterwards everything follows the policy again. What shrinks a position never waits.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

import numpy as np

from workbench.config import ExecutionSettings
from workbench.core.arrays import BoolArray, FloatArray
from workbench.core.digest import digest
from workbench.core.errors import DataError
from workbench.core.types import Book, OrderIntent, Snapshot, Target
from workbench.core.universe import Universe
from workbench.execution.policies import AUCTION_CUTOFF_MINUTES, auction_open, price_order
from workbench.execution.portfolio import mark_prices

EPSILON = 1e-9
"""Shares: a target this close below a whole number counts as that number (weights are computed by division)."""


@dataclass(frozen=True, slots=True)
class OrderPlan:
    """What became of one target on its way to orders, and the orders: `intents`, reductions first.

    First what it was made from: see :func:`order_plan`. Then (N,) each, in the order of `symbols`: `able`, False where
    the symbol is left as it is; `price` USD, NaN unknown; `lot`. Signed shares: `pending`, what open orders still
    bring; `exact`, of the target; `wanted`, after shortability and rounding. Shares without sign, traded to the `side`
    +1, 0, -1: `allowed` by participation; `cut` to it; `kept`, 0 where below the minimum notional; `auction`, the part
    of day horizons; `quantity` to send now, `on_close` in the closing auction.
    """

    target: Target
    book: Book
    snapshot: Snapshot
    settings: ExecutionSettings
    universe: Universe
    system: str
    reason: str
    day_weight: FloatArray | None
    able: BoolArray
    price: FloatArray
    lot: FloatArray
    pending: FloatArray
    exact: FloatArray
    wanted: FloatArray
    side: FloatArray
    allowed: FloatArray
    cut: FloatArray
    kept: FloatArray
    auction: FloatArray
    quantity: FloatArray
    on_close: BoolArray
    intents: tuple[OrderIntent, ...]

    @property
    def symbols(self) -> tuple[str, ...]:
        return self.snapshot.symbols

    @property
    def held(self) -> FloatArray:
        """(N,) signed shares that the book will have when its open orders are filled."""
        return self.book.positions + self.pending

    @property
    def missing(self) -> FloatArray:
        """(N,) shares between `wanted` and `held`, without sign."""
        return np.abs(self.wanted - self.held)

    def under(self, settings: ExecutionSettings) -> OrderPlan:
        """The plan of the same target with other settings."""
        return order_plan(
            self.target, self.book, self.snapshot, settings, self.universe,
            system=self.system, reason=self.reason, day_weight=self.day_weight,
        )  # fmt: skip

    def why(self, i: int) -> tuple[str, ...]:
        """Every rule that changed the trade of symbol `i` or kept it from being made, in the order of the steps."""
        if not self.able[i]:
            return (self._left_alone(i),)
        exact, held, wanted = float(self.exact[i]), float(self.held[i]), float(self.wanted[i])
        rules = (
            (not self.snapshot.shortable[i] and exact < min(held, 0.0), "cannot be shorted"),
            (wanted == held and abs(wanted - exact) > EPSILON, f"less than a lot of {self.lot[i]:g} away"),
            (self.cut[i] < self.missing[i], self._capped(i)),
            (self.kept[i] < self.cut[i], f"below the minimum notional of {self.settings.min_notional:g} USD"),
            (self.quantity[i] < self.kept[i], self._waits(i)),
        )
        return tuple(text for holds, text in rules if holds)

    def _left_alone(self, i: int) -> str:
        rules = (
            (self.snapshot.halted[i], "halted"),
            (not np.isfinite(self.target.weights[i]), "target unknown"),
            (not self.price[i] > 0, "price unknown"),
        )
        return next((text for holds, text in rules if holds), "frozen by the validation")

    def _capped(self, i: int) -> str:
        if not np.isfinite(self.snapshot.expected_volume[0, i]):
            return "volume unknown: no increase"
        return f"participation cap of {self.settings.max_participation:.3g} of the next bar's volume"

    def _waits(self, i: int) -> str:
        if self.on_close[i]:
            return "the rest waits: the closing auction is the one order"
        return "the part of day horizons waits for the closing auction"


def order_plan(
    target: Target,
    book: Book,
    snapshot: Snapshot,
    settings: ExecutionSettings,
    universe: Universe,
    *,
    system: str = "main",
    reason: str = "target",
    day_weight: FloatArray | None = None,
) -> OrderPlan:
    """The orders that take `book` towards `target`, reductions first, then in the order of the symbols, and every step.

    At most one order per symbol and decision; its reference is a digest of (system, known_at, symbol), so that planning
    the same decision again can never send it twice. `day_weight` (N,): the part of the target with an overnight mandate
    (the decision's ``carry.day_weight``), of use with `day_auction` alone. :class:`DataError` if the symbols differ.
    """
    _same_symbols(book, snapshot, universe)
    _check_target(target, snapshot, day_weight)
    price = mark_prices(snapshot)
    able = target.tradable & ~snapshot.halted & np.isfinite(target.weights) & (price > 0)
    pending = _pending(book)
    held = book.positions + pending
    lot = np.array([i.lot for i in universe.instruments], np.float64)
    exact = np.where(able, target.weights, 0.0) * book.nav / np.where(able, price, 1.0)
    wanted = np.where(able, wanted_shares(exact, held, lot, snapshot.shortable), held)
    allowed, cut, kept = _quantities(wanted, held, snapshot.expected_volume[0], lot, settings, price)
    side = np.sign(wanted - held)
    quantity, on_close, auction = _split(kept, held, side, day_weight, book, snapshot, settings, lot)
    order = np.argsort(side * held >= 0, kind="stable")  # what reduces comes first
    stem = digest(system, int(snapshot.known_at))

    def intent(i: int) -> OrderIntent:
        instrument, way = universe.instruments[i], int(side[i])
        kind, limit = "MOC", float("nan")
        if not on_close[i]:
            kind, limit = price_order(settings.policy, way, i, snapshot, settings.limit_offset_bps, instrument.min_tick)
        reference, shares, mid = _reference(stem, instrument.symbol), int(quantity[i]), float(price[i])
        return OrderIntent(
            reference, instrument.symbol, way, shares, kind, limit, "DAY", snapshot.known_at, mid, reason
        )

    intents = tuple(intent(int(i)) for i in order if quantity[i] > 0)
    return OrderPlan(target, book, snapshot, settings, universe, system, reason, day_weight, able, price, lot, pending,
                     exact, wanted, side, allowed, cut, kept, auction, quantity, on_close, intents)  # fmt: skip


def plan_orders(
    target: Target,
    book: Book,
    snapshot: Snapshot,
    settings: ExecutionSettings,
    universe: Universe,
    *,
    system: str = "main",
    reason: str = "target",
    day_weight: FloatArray | None = None,
) -> tuple[OrderIntent, ...]:
    """The orders that take `book` towards `target`; see :func:`order_plan`, which tells every step too."""
    plan = order_plan(target, book, snapshot, settings, universe, system=system, reason=reason, day_weight=day_weight)
    return plan.intents


def order_reference(system: str, known_at: int, symbol: str) -> str:
    """16 hex digits that name the one order which `system` may send for `symbol` on the decision at `known_at`.

    >>> len(order_reference("main", 1, "AAPL")), order_reference("a", 1, "X") == order_reference("b", 1, "X")
    (16, False)
    """
    return _reference(digest(system, int(known_at)), symbol)


def _reference(stem: str, symbol: str) -> str:
    return blake2b(f"{stem}/{symbol}".encode(), digest_size=8).hexdigest()


def wanted_shares(exact: FloatArray, held: FloatArray, lot: FloatArray, shortable: BoolArray) -> FloatArray:
    """(N,) positions to aim at: `exact` rounded towards zero to lots; `held` where that is less than a lot away.

    >>> one = np.ones(3)
    >>> wanted_shares(np.array([10.9, -10.9, 10.9]), np.array([0.0, 0.0, 10.0]), one, one > 0).tolist()
    [10.0, -10.0, 10.0]
    >>> wanted_shares(np.array([0.0, -10.0]), np.array([37.0, 3.0]), np.array([100.0, 1.0]), one[:2] < 0).tolist()
    [0.0, 0.0]
    """
    exact = np.where(shortable, exact, np.maximum(exact, np.minimum(held, 0.0)))
    wanted = np.sign(exact) * np.floor((np.abs(exact) + EPSILON) / lot) * lot
    return np.where((np.abs(exact - held) < lot - EPSILON) & (wanted != 0), held, wanted) + 0.0


def _quantities(
    wanted: FloatArray,
    held: FloatArray,
    volume: FloatArray,
    lot: FloatArray,
    settings: ExecutionSettings,
    price: FloatArray,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """(N,) shares that participation allows; whole shares after that cap; the same after the minimum notional."""
    missing, closes = np.abs(wanted - held), wanted == 0
    reduces = (np.abs(wanted) < np.abs(held)) & (wanted * held >= 0)
    allowed = np.where(np.isfinite(volume), settings.max_participation * volume, np.where(reduces, np.inf, 0.0))
    least = np.where(closes, np.minimum(lot, missing), 0.0)  # a close always gets a lot through
    capped = np.where(allowed < missing, np.maximum(np.floor(np.minimum(allowed, missing) / lot) * lot, least), missing)
    small = ~closes & ~(capped * price >= settings.min_notional)
    return allowed, capped, np.where(small, 0.0, capped)


def _split(
    quantity: FloatArray,
    held: FloatArray,
    side: FloatArray,
    day_weight: FloatArray | None,
    book: Book,
    snapshot: Snapshot,
    settings: ExecutionSettings,
    lot: FloatArray,
) -> tuple[FloatArray, BoolArray, FloatArray]:
    """(N,) shares to send now of `quantity`, whether they are for the closing auction, and the part that is."""
    never = np.zeros(len(quantity), dtype=bool)
    if not settings.day_auction or day_weight is None or not snapshot.minutes_to_close > AUCTION_CUTOFF_MINUTES:
        return quantity, never, np.zeros_like(quantity)
    price, reduces = mark_prices(snapshot), side * held < 0
    auction = _day_part(quantity, held, side, day_weight, book, price, lot)
    auction = np.where(auction * price >= settings.min_notional, auction, 0.0)
    rest = quantity - auction
    small = (auction > 0) & ~reduces & ~(rest * price >= settings.min_notional)
    on_close = (auction > 0) & ~reduces if auction_open(snapshot.minutes_to_close) else never
    return np.where(on_close, auction, np.where(small, 0.0, rest)), on_close, auction


def _day_part(
    quantity: FloatArray,
    held: FloatArray,
    side: FloatArray,
    day_weight: FloatArray,
    book: Book,
    price: FloatArray,
    lot: FloatArray,
) -> FloatArray:
    """(N,) shares of `quantity` that grow a position and come from day horizons, in whole lots."""
    grows = np.maximum(quantity - np.where(side * held < 0, np.abs(held), 0.0), 0.0)
    per_weight = np.where(price > 0, book.nav / np.where(price > 0, price, 1.0), 0.0)  # shares
    before = np.minimum(np.maximum(side * book.carry.day_weight, 0.0) * per_weight, np.maximum(side * held, 0.0))
    added = np.where(np.isfinite(day_weight), side * day_weight, 0.0) * per_weight - before
    return np.asarray(np.floor((np.minimum(grows, np.maximum(added, 0.0)) + EPSILON) / lot) * lot)


def _pending(book: Book) -> FloatArray:
    """(N,) signed shares that open orders still bring."""
    pending = np.zeros(len(book.symbols))
    column = {symbol: i for i, symbol in enumerate(book.symbols)}
    for order in book.open_orders:
        if order.symbol not in column:
            raise DataError(
                f"open order {order.order_ref} is in {order.symbol}, which this book does not hold a line for"
            )
        pending[column[order.symbol]] += order.side * order.quantity
    return pending


def _same_symbols(book: Book, snapshot: Snapshot, universe: Universe) -> None:
    if not book.symbols == snapshot.symbols == universe.symbols:
        raise DataError(
            f"book, snapshot and universe must list the same symbols in the same order: they have {len(book.symbols)}, "
            f"{len(snapshot.symbols)} and {len(universe)}; use Universe.select and Bars.select"
        )


def _check_target(target: Target, snapshot: Snapshot, day_weight: FloatArray | None) -> None:
    if day_weight is not None and day_weight.shape != target.weights.shape:
        raise DataError(f"day_weight of shape {day_weight.shape} for {target.weights.shape[0]} target weights")
    if target.weights.shape != (len(snapshot.symbols),):
        raise DataError(f"target has {target.weights.shape[0]} weights for {len(snapshot.symbols)} symbols")
    if np.isinf(target.weights).any():
        i = int(np.argmax(np.isinf(target.weights)))
        raise DataError(
            f"target weight of {snapshot.symbols[i]} is {target.weights[i]}; it must be finite, or NaN to hold"
        )
