"""The orders of several systems as one order per symbol, and its fills and costs dealt out again. Pure.

Buys and sells of one symbol meet inside the account first: the crossing part fills at the arrival mid, without
commission; only the rest goes out. Where that mid is unknown, or a limit or a closing auction forbids it, nothing is
crossed and the smaller side is held back: there are never two live orders on opposite sides of one symbol.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from hashlib import blake2b
from math import isfinite, nan

from workbench.core.types import OrderIntent

OUR_MARK = "wb-"
"""Begins the reference of every order that this program sends."""
AUCTION = frozenset({"MOC", "LOC"})
LIMITED = frozenset({"LMT", "LOC"})
MONEY = Decimal("0.000001")
"""Commissions are split to a millionth of a dollar: IB's are not whole cents."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a system wants, by which algo of IB ("" or "Adaptive") and with which priority of that algo."""

    system: str
    intent: OrderIntent
    algo: str = ""
    priority: str = ""


@dataclass(frozen=True, slots=True)
class Share:
    """`quantity` shares of an order of the account, or of a crossing, that belong to a system's intent."""

    system: str
    intent: OrderIntent
    quantity: int


@dataclass(frozen=True, slots=True)
class NetOrder:
    """One order for the account. `shares` sum to `quantity`; the limit is the tightest of those who have one."""

    order_ref: str
    symbol: str
    side: int
    quantity: int
    order_type: str
    limit_price: float
    tif: str
    algo: str
    priority: str
    decided_at: int
    arrival_mid: float
    shares: tuple[Share, ...]


@dataclass(frozen=True, slots=True)
class Cross:
    """Systems that trade with one another at `price`: bought equals sold. `cross_ref` derives from their refs."""

    cross_ref: str
    symbol: str
    price: float
    shares: tuple[Share, ...]


@dataclass(frozen=True, slots=True)
class Netted:
    """Orders to send, crossings to book, and wishes held back with the reason."""

    orders: tuple[NetOrder, ...]
    crosses: tuple[Cross, ...]
    held: tuple[tuple[Wish, str], ...]


def net(wishes: Sequence[Wish], *, cross: bool = True) -> Netted:
    """One order per symbol, in the order in which the symbols first appear; `cross` False never crosses."""
    by_symbol: dict[str, list[Wish]] = {}
    for wish in wishes:
        by_symbol.setdefault(wish.intent.symbol, []).append(wish)
    orders: list[NetOrder] = []
    crosses: list[Cross] = []
    held: list[tuple[Wish, str]] = []
    for group in by_symbol.values():
        group, later = _one_way_of_trading(group)
        held += later
        crossed, rest, smaller = _crossed(group, cross)
        held += smaller
        if crossed:
            crosses.append(crossed)
        if rest:
            orders.append(_order(rest, group))
    return Netted(tuple(orders), tuple(crosses), tuple(held))


def split_shares(quantity: int, weights: Sequence[int]) -> tuple[int, ...]:
    """`quantity` dealt out in proportion to `weights`, in whole shares by largest remainder (ties: the first).

    The parts sum to `quantity`, and none is above its weight unless `quantity` is above their sum.

    >>> split_shares(10, (1, 1, 1)), split_shares(2, (1, 0, 5)), split_shares(9, (1, 2, 3))
    ((4, 3, 3), (0, 0, 2), (2, 3, 4))
    """
    total = sum(weights)
    parts = [quantity * w // total for w in weights]
    order = sorted(range(len(weights)), key=lambda i: (-(quantity * weights[i] % total), i))
    for i in order[: quantity - sum(parts)]:
        parts[i] += 1
    return tuple(parts)


def split_money(amount: float, weights: Sequence[int]) -> tuple[float, ...]:
    """`amount` USD dealt out in proportion to `weights`; as decimals the parts sum to `amount` exactly.

    >>> split_money(1.0, (1, 1, 1)), split_money(-0.35, (3, 1))
    ((0.333334, 0.333333, 0.333333), (-0.2625, -0.0875))
    """
    exact = Decimal(repr(amount))
    sign, size = (-1 if exact < 0 else 1), abs(exact)
    whole = int(size / MONEY)
    parts = [sign * MONEY * part for part in split_shares(whole, weights)]
    parts[max(range(len(parts)), key=lambda i: weights[i])] += sign * (size - MONEY * whole)
    return tuple(float(part) for part in parts)


def account_reference(order_refs: Sequence[str]) -> str:
    """The reference of the account's order for these intents: the same ones can never be sent twice.

    >>> len(account_reference(["a"])), account_reference(["a", "b"]) == account_reference(["b", "a"])
    (19, True)
    """
    return OUR_MARK + blake2b("/".join(sorted(order_refs)).encode(), digest_size=8).hexdigest()


def _one_way_of_trading(group: list[Wish]) -> tuple[list[Wish], list[tuple[Wish, str]]]:
    """Orders for now and for the closing auction do not mix: those for now go first."""
    now = [w for w in group if w.intent.order_type not in AUCTION]
    auction = [w for w in group if w.intent.order_type in AUCTION]
    if not now or not auction:
        return group, []
    why = f"an order for the closing auction of {group[0].intent.symbol} waits for one that trades now"
    return now, [(w, why) for w in auction]


def _crossed(group: list[Wish], cross: bool) -> tuple[Cross | None, list[Share], list[tuple[Wish, str]]]:
    """(crossing, what is left to send, the wishes of the smaller side where they may not cross)."""
    buys, sells = [w for w in group if w.intent.side > 0], [w for w in group if w.intent.side < 0]
    bought, sold = (sum(w.intent.quantity for w in side) for side in (buys, sells))
    if not buys or not sells:
        return None, [Share(w.system, w.intent, w.intent.quantity) for w in group], []
    price = sum(w.intent.arrival_mid for w in group) / len(group)
    why = _why_not_cross(group, price) if cross else "systems do not trade with one another now"
    if why:
        out = [] if bought == sold else buys if bought > sold else sells
        kept = [Share(w.system, w.intent, w.intent.quantity) for w in out]
        return None, kept, [(w, why) for w in group if w not in out]
    inside = min(bought, sold)
    parts = [_part(side, inside) for side in (buys, sells)]
    met = tuple(share for side in parts for share in side if share.quantity)
    ref = account_reference([s.intent.order_ref for s in met]).replace(OUR_MARK, "cross-")
    left = [
        Share(w.system, w.intent, w.intent.quantity - share.quantity)
        for side, shares in zip((buys, sells), parts)
        for w, share in zip(side, shares)
        if w.intent.quantity > share.quantity
    ]
    return Cross(ref, group[0].intent.symbol, price, met), left, []


def _part(side: list[Wish], inside: int) -> list[Share]:
    quantities = split_shares(inside, [w.intent.quantity for w in side])
    return [Share(w.system, w.intent, q) for w, q in zip(side, quantities)]


def _why_not_cross(group: list[Wish], price: float) -> str:
    symbol = group[0].intent.symbol
    if not (isfinite(price) and price > 0):
        return f"systems want both sides of {symbol} and its mid is unknown: the smaller side waits"
    if any(w.intent.order_type in AUCTION for w in group):
        return f"systems want both sides of the closing auction of {symbol}: the smaller side waits"
    for w in group:
        if w.intent.order_type in LIMITED and w.intent.side * (price - w.intent.limit_price) > 0:
            return f"systems want both sides of {symbol}, and a limit of {w.intent.limit_price} forbids {price}"
    return ""


def _order(shares: list[Share], group: list[Wish]) -> NetOrder:
    ways = {(w.algo, w.priority) for w in group if w.intent.side == shares[0].intent.side}
    algo, priority = ways.pop() if len(ways) == 1 else ("", "")  # those who disagree get the plain order
    first, intents = shares[0].intent, [s.intent for s in shares]
    limits = [i.limit_price for i in intents if i.order_type in LIMITED]
    auction = first.order_type in AUCTION
    kind = ("LOC" if limits else "MOC") if auction else ("LMT" if limits else "MKT")
    limit = nan if not limits else min(limits) if first.side > 0 else max(limits)
    tifs = {i.tif for i in intents}
    return NetOrder(
        order_ref=account_reference([i.order_ref for i in intents]),
        symbol=first.symbol,
        side=first.side,
        quantity=sum(s.quantity for s in shares),
        order_type=kind,
        limit_price=limit,
        tif=tifs.pop() if len(tifs) == 1 else "DAY",
        algo=algo,
        priority=priority,
        decided_at=max(i.decided_at for i in intents),
        arrival_mid=first.arrival_mid,
        shares=tuple(shares),
    )
