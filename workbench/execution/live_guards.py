"""The last look before a live order leaves: every rule on every order, then the margin of them all. Pure, fail closed.

The rules (:mod:`workbench.execution.live_rules`) drop or reduce, never enlarge or invent. Orders are looked at in a
fixed order, what shrinks a position first, then by reference, so that the order of symbols changes nothing. Then the
margin of the basket scales down what grows, all orders alike.
"""

from __future__ import annotations

from dataclasses import replace
from math import floor, isfinite

import numpy as np

from workbench.config import GuardSettings, ValidationSettings
from workbench.core.arrays import FloatArray
from workbench.core.errors import DataError
from workbench.core.types import OrderIntent
from workbench.execution.guards import Guarded, Held
from workbench.execution.live_facts import LiveFacts
from workbench.execution.live_rules import RULES, Look


def apply_live_guards(
    intents: tuple[OrderIntent, ...],
    positions: FloatArray,
    facts: LiveFacts,
    bounds: GuardSettings,
    limits: ValidationSettings,
    *,
    reduce_only: bool = False,
) -> Guarded:
    """:func:`guard_orders`, then :func:`guard_margin` on what is left. `facts.margin` is that of a basket as large.

    `positions` (N,) signed shares in the order of `facts.symbols`, NaN unknown (nothing there can be said to shrink).
    :class:`DataError` for a symbol that the facts do not list, or a reference given twice.
    """
    first = guard_orders(intents, positions, facts, bounds, limits, reduce_only=reduce_only)
    second = guard_margin(first.intents, positions, facts, bounds)
    return Guarded(second.intents, first.held + second.held)


def guard_orders(
    intents: tuple[OrderIntent, ...],
    positions: FloatArray,
    facts: LiveFacts,
    bounds: GuardSettings,
    limits: ValidationSettings,
    *,
    reduce_only: bool = False,
) -> Guarded:
    """Every rule of RULES on every order; what is left of each, in the order given, and what was held back, and why."""
    basket, held = _Basket(intents, positions, facts), []
    for order in basket.in_turn():
        look = Look(order, basket.column[order.symbol], order.quantity, basket.shrinking(order),
                    *basket.standing(order), basket.passed, facts, bounds, limits, reduce_only)  # fmt: skip
        quantity, reasons = _through_rules(look)
        basket.let_through(order, quantity)
        held += reasons
    return Guarded(basket.kept(), tuple(held))


def guard_margin(
    intents: tuple[OrderIntent, ...], positions: FloatArray, facts: LiveFacts, bounds: GuardSettings
) -> Guarded:
    """What grows, scaled so that the margin leaves `min_excess_liquidity` of NAV: the same part of every order.

        part = (free before - wanted free) / (free before - free after), in [0, 1];   free = equity - initial margin

    Each order's growing shares are multiplied by it and rounded down to lots. Margin is convex in the part traded, so
    the straight line never promises too much. Unknown margin: nothing grows; what shrinks is untouched.
    """
    basket, held = _Basket(intents, positions, facts), []
    part, why = _margin_part(facts, bounds)
    for order in basket.in_turn():
        grows = order.quantity - basket.shrinking(order)
        lot = float(facts.lot[basket.column[order.symbol]])
        cut = 0 if part == 1.0 else grows - int(floor(part * grows / lot) * lot)
        basket.let_through(order, order.quantity - cut)
        if cut:
            held.append(Held(order.order_ref, order.symbol, cut, f"margin: {why}"))
    return Guarded(basket.kept(), tuple(held))


def _margin_part(facts: LiveFacts, bounds: GuardSettings) -> tuple[float, str]:
    """(part of what grows that may go, why no more)."""
    if facts.margin is None:
        return 0.0, "the broker was not asked what the orders would do to it"
    m, wanted = facts.margin, bounds.min_excess_liquidity * facts.nav
    before, after = m.equity_with_loan - m.before, m.equity_with_loan - m.after
    if not (isfinite(before) and isfinite(after) and isfinite(wanted)):
        return 0.0, "what the orders would do to it, or the NAV, is unknown"
    why = f"{after:.2f} USD would be free, min_excess_liquidity {bounds.min_excess_liquidity:g} asks for {wanted:.2f}"
    if after >= wanted:
        return 1.0, why
    return max(before - wanted, 0.0) / (before - after) if before > after else 0.0, why


class _Basket:
    """The orders of one moment, looked at one after the other: what passed counts as working for those that follow."""

    def __init__(self, intents: tuple[OrderIntent, ...], positions: FloatArray, facts: LiveFacts) -> None:
        self.intents, self.positions = intents, np.asarray(positions, np.float64)
        self.column = {symbol: i for i, symbol in enumerate(facts.symbols)}  # symbol -> column
        self._check(facts)
        self._working = {1: facts.buying.copy(), -1: facts.selling.copy()}  # side -> (N,) shares at work
        self._left: dict[str, int] = {}  # order_ref -> shares that may go

    def in_turn(self) -> list[OrderIntent]:
        """What only shrinks first, then by reference (a digest that favours no symbol)."""
        return sorted(self.intents, key=lambda o: (self.shrinking(o) < o.quantity, o.order_ref))

    def shrinking(self, order: OrderIntent) -> int:
        """Shares of the order that only bring the position closer to zero, once what works on its side is filled."""
        position, buying, selling = self.standing(order)
        room = abs(position) - (buying if order.side > 0 else selling)
        return min(order.quantity, int(room)) if order.side * position < 0 and room > 0 else 0

    def standing(self, order: OrderIntent) -> tuple[float, float, float]:
        """(position, shares buying, shares selling) in the symbol of the order."""
        i = self.column[order.symbol]
        return float(self.positions[i]), float(self._working[1][i]), float(self._working[-1][i])

    def let_through(self, order: OrderIntent, quantity: int) -> None:
        """`quantity` shares of the order may go."""
        self._left[order.order_ref] = quantity
        self._working[order.side][self.column[order.symbol]] += quantity

    @property
    def passed(self) -> int:
        """Orders of which something may go."""
        return sum(quantity > 0 for quantity in self._left.values())

    def kept(self) -> tuple[OrderIntent, ...]:
        """What may go, in the order given."""
        left = ((order, self._left[order.order_ref]) for order in self.intents)
        return tuple(o if q == o.quantity else replace(o, quantity=q) for o, q in left if q)

    def _check(self, facts: LiveFacts) -> None:
        if self.positions.shape != (len(facts.symbols),):
            raise DataError(f"positions of shape {self.positions.shape} for {len(facts.symbols)} symbols of the facts")
        for order in self.intents:
            if order.symbol not in self.column:
                raise DataError(
                    f"order {order.order_ref} is in {order.symbol}, of which there are no facts: ask for its quote"
                )
        refs = [order.order_ref for order in self.intents]
        twice = sorted({ref for ref in refs if refs.count(ref) > 1})
        if twice:
            raise DataError(f"order reference {twice[0]} stands twice among {len(refs)} orders; each needs its own")


def _through_rules(look: Look) -> tuple[int, list[Held]]:
    """Shares that every rule lets through, and what each took away."""
    order, held = look.intent, []
    for name, rule in RULES:
        if not look.quantity:
            break
        allowed, why = rule(look)
        allowed = _whole_lots(min(allowed, look.quantity), look)
        if allowed < look.quantity:
            held.append(Held(order.order_ref, order.symbol, look.quantity - allowed, f"{name}: {why}"))
            look = replace(look, quantity=allowed)
    return look.quantity, held


def _whole_lots(allowed: int, look: Look) -> int:
    """`allowed` with what grows in it rounded down to lots; as it is if nothing that grows was cut."""
    if allowed >= look.quantity or allowed <= look.shrink:
        return allowed
    lot = float(look.facts.lot[look.i])
    return look.shrink + int(floor((allowed - look.shrink) / lot) * lot)
