"""Which of the collected wishes may go out, and how much of each: one after the other, with those before in mind. Pure.

A limit of the account is not kept by every system keeping it: two sales of what is left of a position, or two orders
of the size that one may have, are too much together. So what earlier wishes were granted counts against later ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from math import floor, inf, isnan

from workbench.core.types import OrderIntent
from workbench.execution.netting import Wish

Refuse = Callable[[Wish, str], None]


@dataclass(frozen=True, slots=True)
class Cut:
    """`quantity` shares that were taken from what `wish` asked for, all of them or some, and why."""

    wish: Wish
    quantity: int
    reason: str

    @property
    def whole(self) -> bool:
        """Whether nothing is left of the wish."""
        return self.quantity == self.wish.intent.quantity


@dataclass(frozen=True, slots=True)
class Most:
    """`shares` that an order of the account may have unless it only reduces, NaN unknown; what grows goes in `lot`s."""

    shares: float = inf
    lot: int = 1


def sift(
    wishes: Sequence[Wish],
    busy: Set[str],
    used: Set[tuple[str, str]],
    why_not: str,
    gone: Callable[[Wish, int], str],
    refuse: Refuse,
) -> tuple[Wish, ...]:
    """The wishes that may go out: one per system and symbol, none in a `busy` symbol, none where `why_not` says so.

    None, either, where `gone(wish, taken)` says that the shares are not there any more, `taken` being the shares that
    the wishes kept before it buy or sell of its symbol on its side.
    """
    kept: dict[tuple[str, str], Wish] = {}
    taken: Counter[tuple[str, int]] = Counter()  # (symbol, side) -> shares
    for wish in wishes:
        key, symbol = (wish.system, wish.intent.symbol), wish.intent.symbol
        if why_not:
            refuse(wish, why_not)
        elif (wish.system, wish.intent.order_ref) in used:
            refuse(wish, f"{wish.system} sent {wish.intent.order_ref} ({symbol}) before; nothing goes twice")
        elif symbol in busy:
            refuse(wish, f"an order of {symbol} still works, or what became of it is not known; wait for its end")
        elif key in kept:
            refuse(wish, f"{wish.system} wants {symbol} twice at once; only the first goes")
        elif why := gone(wish, taken[_side(wish)]):
            refuse(wish, why)
        else:
            kept[key] = wish
            taken[_side(wish)] += wish.intent.quantity
    return tuple(kept.values())


def gone(wish: Wish, taken: int, held: int, outside: int) -> str:
    """Why an order that reduces would sell (or buy back) what somebody traded away outside of this program; or empty.

    Signed shares of its symbol: `held` by all systems, `outside` of this program; `taken` by wishes before this one.
    """
    side, quantity = wish.intent.side, wish.intent.quantity
    there = max(abs(held) - abs(outside) - taken, 0)
    if not (side * held < 0 and side * outside > 0 and quantity > there):
        return ""
    already = f", of which {taken} are wanted already" if taken else ""
    return (
        f"{wish.intent.symbol}: the systems hold {held:+d} shares, {outside:+d} were traded outside of this program, "
        f"and the account has {held + outside:+d}{already}: {quantity} more would open a position on the other side; "
        "trade the outside shares back where they were traded"
    )


def within(
    wishes: Sequence[Wish],
    positions: Mapping[str, Mapping[str, int]],
    most: Callable[[str, str], Most],
) -> tuple[tuple[Wish, ...], tuple[Cut, ...]]:
    """The wishes as far as they fit into one order of the account together, and what was taken from them.

        room = most - all that only reduces on this side;  of what grows, each in turn gets what earlier ones left

    `positions` of each system; `most(system, symbol)` by the guards of that system: the strictest of those that want to
    trade counts. What reduces is never cut. A wish that is alone on its side passed its own system's guards: it is left
    as it is. Since one side never has more than `most`, no part of it that is left over after netting has.
    """
    sides: dict[tuple[str, int], list[Wish]] = {}
    for wish in wishes:
        sides.setdefault(_side(wish), []).append(wish)
    cuts = {id(cut.wish): cut for side in sides.values() if len(side) > 1 for cut in _cuts(side, positions, most)}
    kept = ((w, w.intent.quantity - cuts[id(w)].quantity if id(w) in cuts else w.intent.quantity) for w in wishes)
    return tuple(_of(w, quantity) for w, quantity in kept if quantity), tuple(cuts.values())


def shrinking(order: OrderIntent, positions: Mapping[str, int]) -> int:
    """Shares of an order that do nothing but bring a position closer to zero."""
    held = positions.get(order.symbol, 0)
    return min(order.quantity, abs(held)) if order.side * held < 0 else 0


def _cuts(side: list[Wish], positions: Mapping[str, Mapping[str, int]], most: Callable[[str, str], Most]) -> list[Cut]:
    bounds = [most(w.system, w.intent.symbol) for w in side]
    shares = min((b.shares for b in bounds), key=lambda n: -inf if isnan(n) else n)
    shrink = [shrinking(w.intent, positions.get(w.system, {})) for w in side]
    room = shares - sum(shrink)
    cuts = []
    for wish, bound, less in zip(side, bounds, shrink):
        grows = wish.intent.quantity - less
        granted = grows if grows <= room else floor(max(room, 0.0) / bound.lot) * bound.lot if room == room else 0
        room -= granted
        if granted < grows:
            cuts.append(Cut(wish, grows - granted, _why(wish, shares, sum(w.intent.quantity for w in side))))
    return cuts


def _why(wish: Wish, shares: float, together: int) -> str:
    known = "unknown" if isnan(shares) else f"{shares:.6g}"
    return (
        f"limits in total: the systems want {together} shares of {wish.intent.symbol} on one side, max_order_notional "
        f"and max_participation let one order have {known}; {wish.system} gets what is left"
    )


def _side(wish: Wish) -> tuple[str, int]:
    return wish.intent.symbol, wish.intent.side


def _of(wish: Wish, quantity: int) -> Wish:
    return wish if quantity == wish.intent.quantity else replace(wish, intent=replace(wish.intent, quantity=quantity))
