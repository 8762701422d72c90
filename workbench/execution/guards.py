"""The last look before an order leaves: guards drop or reduce orders, never enlarge or invent them. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import isfinite

from workbench.config import ValidationSettings
from workbench.core.types import Book, OrderIntent, Snapshot


@dataclass(frozen=True, slots=True)
class Held:
    """What a guard took away: `quantity` shares of the order `order_ref`, and why."""

    order_ref: str
    symbol: str
    quantity: int
    reason: str


@dataclass(frozen=True, slots=True)
class Guarded:
    """The orders that may leave, and what was held back."""

    intents: tuple[OrderIntent, ...]
    held: tuple[Held, ...]


def apply_guards(
    intents: tuple[OrderIntent, ...],
    book: Book,
    snapshot: Snapshot,
    settings: ValidationSettings,
    *,
    reduce_only: bool = False,
) -> Guarded:
    """Every guard in turn on every order: sound price, fresh quote, price band, notional, and reduce-only if asked.

    A part that only shrinks a position passes the freshness guard: not being able to get out is the greater risk.
    """
    column = {symbol: i for i, symbol in enumerate(snapshot.symbols)}
    kept, held = [], []
    for intent in intents:
        i = column[intent.symbol]
        shrinking = _shrinking(intent, float(book.positions[i]))
        bounds = (
            (shrinking if reduce_only else intent.quantity, "reduce only"),
            (shrinking if _stale(snapshot, i, settings) else intent.quantity, "stale quote"),
            (0 if _off_band(intent, snapshot, i, settings) else intent.quantity, "price band"),
            (_notional_cap(intent, snapshot, i, settings), "notional"),
        )
        quantity = intent.quantity
        for bound, why in bounds:
            after = min(quantity, bound)
            if after < quantity:
                held.append(Held(intent.order_ref, intent.symbol, quantity - after, why))
            quantity = after
        if quantity:
            kept.append(intent if quantity == intent.quantity else replace(intent, quantity=quantity))
    return Guarded(tuple(kept), tuple(held))


def _shrinking(intent: OrderIntent, position: float) -> int:
    """Shares of the order that only bring the position closer to zero."""
    return min(intent.quantity, int(abs(position))) if intent.side * position < 0 else 0


def _stale(snapshot: Snapshot, i: int, settings: ValidationSettings) -> bool:
    return bool(snapshot.quote_age_s[i] > settings.max_quote_age_s)


def _off_band(intent: OrderIntent, snapshot: Snapshot, i: int, settings: ValidationSettings) -> bool:
    price = float(snapshot.price[i])
    if not (isfinite(intent.limit_price) and isfinite(price)):
        return False
    return abs(intent.limit_price / price - 1) > settings.max_price_move


def _notional_cap(intent: OrderIntent, snapshot: Snapshot, i: int, settings: ValidationSettings) -> int:
    price = float(snapshot.price[i])
    return int(settings.max_notional / price) if isfinite(price) and price > 0 else intent.quantity
