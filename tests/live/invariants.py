"""What must hold after every fault: nothing twice, nothing lost, nothing that only one side knows of."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from rig import Rig

from workbench.engine.verify import verify_session
from workbench.execution.account_broker import is_ours
from workbench.gateway.books import MICRO


@dataclass(frozen=True)
class Books:
    """How a story ended, by the gateway and by us."""

    positions: dict[str, int]
    systems: dict[str, tuple[dict[str, int], float]]
    """system -> (its positions, its cash in USD, to the cent)"""
    orders: int
    executions: tuple[tuple[Any, ...], ...]


def never_arrived(rig: Rig) -> tuple[str, ...]:
    """Orders that the broker's answers proved absent."""
    states = rig.host.journal.read("order_state")
    return tuple(e.payload["order_ref"] for e in states if e.payload["after"] == "absent")


def check(rig: Rig, *, by_hand: bool = False) -> Books:
    """No duplicate, no orphan, positions and money equal at the gateway and with us, and every session verifies.

    `by_hand`: somebody traded in the account besides; its money is then not only ours.
    """
    brokerage = rig.gateway.brokerage
    assert rig.at_gateway == rig.in_books
    written = {
        o["order"]["order_ref"]: o["order"] for e in rig.host.journal.read("orders") for o in e.payload["orders"]
    }
    numbers: dict[str, set[int]] = defaultdict(set)  # order_ref -> permIds at the gateway
    shares: Counter[str] = Counter()
    for order in brokerage.register.by_perm_id.values():
        if is_ours(order.ticket.order_ref):
            numbers[order.ticket.order_ref].add(order.perm_id)
    for execution in brokerage.today:
        if is_ours(execution.order_ref):
            shares[execution.order_ref] += execution.shares
    assert {ref: n for ref, n in numbers.items() if len(n) > 1} == {}, "the same order is twice at the gateway"
    assert set(numbers) <= set(written), "an order at the gateway is not in the journal"
    assert {ref: n for ref, n in shares.items() if n > written[ref]["quantity"]} == {}, "more filled than ordered"
    assert set(never_arrived(rig)).isdisjoint(numbers), "held to be absent, and it is there"
    assert [o for o in brokerage.register.open() if is_ours(o.ticket.order_ref)] == [], "an orphan works"
    assert rig.host.account.working() == ()
    systems = {}
    for desk in rig.host.desks:
        book = desk.session.portfolio
        held = {s: int(q) for s, q in zip(book.symbols, book.shares) if q}
        systems[desk.system.name] = held, round(book.cash, 2)
    ours = sum(d.session.portfolio.cash - float(d.system.settings.system.capital or 0) for d in rig.host.desks)
    assert by_hand or ours == pytest.approx(brokerage.books.cash / MICRO - 1_000_000.0, abs=0.005)
    for session in rig.host.journal.sessions():
        verdict = verify_session(rig.host.journal, session.session)
        assert (verdict.first, verdict.first_forecast) == (None, None)
    executions = tuple((e.order_ref, e.symbol, e.side, e.shares, e.price, e.time) for e in brokerage.today)
    return Books(rig.at_gateway, systems, len(numbers), executions)


def _orders(payload: dict[str, Any]) -> Iterator[dict[str, Any]]:
    return (o["order"] for o in payload["orders"])
