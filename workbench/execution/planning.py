"""From a target to orders: rounding, lots, netting, participation, minimum notional. Pure and deterministic.

For each symbol that is tradable, not halted and has a price, with x = weight * NAV / price shares wanted:

    wanted  = x rounded *towards zero* to whole lots (so that no cap is passed by rounding); exactly 0 for weight 0
    missing = wanted - (position + what open orders still bring)
    quantity = min(|missing|, max_participation * expected volume of the next bar), in whole lots

Differences of less than one lot are left alone unless they close the position. An order below `min_notional` is left
out, except that one which closes a position is never blocked: otherwise dust could not be sold. A symbol of unknown
expected volume is never increased; it may be reduced without that cap. Where a symbol cannot be shorted the position
stops at zero (a short already there is not increased).
"""

from __future__ import annotations

from math import floor, isfinite

import numpy as np

from workbench.config import ExecutionSettings
from workbench.core.arrays import FloatArray
from workbench.core.digest import digest
from workbench.core.errors import DataError
from workbench.core.types import Book, OrderIntent, Snapshot, Target
from workbench.core.universe import Universe
from workbench.execution.policies import price_order

EPSILON = 1e-9
"""Shares: a target this close below a whole number counts as that number (weights are computed by division)."""


def plan_orders(
    target: Target,
    book: Book,
    snapshot: Snapshot,
    settings: ExecutionSettings,
    universe: Universe,
    *,
    system: str = "main",
    reason: str = "target",
) -> tuple[OrderIntent, ...]:
    """The orders that take `book` towards `target`, reductions first, then in the order of the symbols.

    At most one order per symbol and decision; its reference is a digest of (system, known_at, symbol), so that planning
    the same decision again can never send it twice. :class:`DataError` if the symbols differ.
    """
    _same_symbols(book, snapshot, universe)
    _check_target(target, snapshot)
    pending = _pending(book)
    intents = []
    for i in np.flatnonzero(target.tradable & ~snapshot.halted & np.isfinite(target.weights)):
        intent = _plan_one(int(i), target, book, pending, snapshot, settings, universe, system, reason)
        if intent is not None:
            intents.append(intent)
    position = dict(zip(book.symbols, book.positions + pending))
    return tuple(sorted(intents, key=lambda o: o.side * position[o.symbol] >= 0))


def order_reference(system: str, known_at: int, symbol: str) -> str:
    """16 hex digits that name the one order which `system` may send for `symbol` on the decision at `known_at`.

    >>> len(order_reference("main", 1, "AAPL")), order_reference("a", 1, "X") == order_reference("b", 1, "X")
    (16, False)
    """
    return digest(system, int(known_at), symbol)[:16]


def _plan_one(
    i: int,
    target: Target,
    book: Book,
    pending: FloatArray,
    snapshot: Snapshot,
    settings: ExecutionSettings,
    universe: Universe,
    system: str,
    reason: str,
) -> OrderIntent | None:
    mid, price = float(snapshot.mid[i]), float(snapshot.price[i])
    price = mid if isfinite(mid) and mid > 0 else price
    if not (isfinite(price) and price > 0):
        return None
    instrument = universe.instruments[i]
    held = float(book.positions[i] + pending[i])
    wanted = wanted_shares(
        float(target.weights[i]) * book.nav / price, held, instrument.lot, bool(snapshot.shortable[i])
    )
    quantity = _quantity(wanted, held, float(snapshot.expected_volume[0, i]), instrument.lot, settings, price)
    if quantity <= 0:
        return None
    side = 1 if wanted > held else -1
    kind, limit = price_order(settings.policy, side, i, snapshot, settings.limit_offset_bps, instrument.min_tick)
    reference = order_reference(system, snapshot.known_at, instrument.symbol)
    return OrderIntent(
        reference, instrument.symbol, side, quantity, kind, limit, "DAY", snapshot.known_at, price, reason
    )


def wanted_shares(exact: float, held: float, lot: int, shortable: bool) -> float:
    """The position to aim at: `exact` rounded towards zero to lots; `held` where that is less than a lot away.

    >>> wanted_shares(10.9, 0.0, 1, True), wanted_shares(-10.9, 0.0, 1, True), wanted_shares(10.9, 10.0, 1, True)
    (10.0, -10.0, 10.0)
    >>> wanted_shares(0.0, 37.0, 100, True), wanted_shares(-10.0, 3.0, 1, False)
    (0.0, 0.0)
    """
    if exact < 0 and not shortable:
        exact = max(exact, min(held, 0.0))
    if exact == 0:
        return 0.0
    wanted = float(np.sign(exact)) * floor((abs(exact) + EPSILON) / lot) * lot
    return held if abs(exact - held) < lot - EPSILON and wanted != 0 else wanted + 0.0


def _quantity(wanted: float, held: float, volume: float, lot: int, settings: ExecutionSettings, price: float) -> int:
    missing, closes = abs(wanted - held), wanted == 0
    reduces = abs(wanted) < abs(held) and wanted * held >= 0
    allowed = settings.max_participation * volume if isfinite(volume) else (missing if reduces else 0.0)
    if allowed < missing:
        missing = floor(allowed / lot) * lot if allowed >= lot or not closes else min(lot, missing)
    if not closes and missing * price < settings.min_notional:
        return 0
    return int(missing)


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


def _check_target(target: Target, snapshot: Snapshot) -> None:
    if target.weights.shape != (len(snapshot.symbols),):
        raise DataError(f"target has {target.weights.shape[0]} weights for {len(snapshot.symbols)} symbols")
    if np.isinf(target.weights).any():
        i = int(np.argmax(np.isinf(target.weights)))
        raise DataError(
            f"target weight of {snapshot.symbols[i]} is {target.weights[i]}; it must be finite, or NaN to hold"
        )
