"""Properties of what several systems may send together: limits in total, longs mirroring shorts."""

from __future__ import annotations

from dataclasses import replace
from math import inf, nan

from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.core.types import OrderIntent
from workbench.execution.netting import Wish, net
from workbench.execution.sifting import Most, within

SYSTEMS = ("a", "b", "c", "d")
LIGHT = settings(max_examples=300, deadline=None)


@st.composite
def flushes(draw):
    """(wishes that passed their own systems' guards, positions, bound of each system) of one symbol."""
    wishes, positions, bounds = [], {}, {}
    for name in SYSTEMS:
        held, side = draw(st.integers(-60, 60)), draw(st.sampled_from([1, -1]))
        bound = draw(st.integers(0, 60))
        shrink = abs(held) if held * side < 0 else 0
        most = max(bound, shrink)  # a guard lets what shrinks pass, and of what grows only up to the bound
        positions[name], bounds[name] = {"X": held}, Most(float(bound))
        if quantity := draw(st.integers(0, most)):
            intent = OrderIntent(
                f"r{name}", "X", side, quantity, "MKT", nan, "DAY", 0, draw(st.sampled_from([50.0, nan]))
            )
            wishes.append(Wish(name, intent))
    return wishes, positions, bounds


def reducing(wish: Wish, positions) -> int:
    held = positions[wish.system]["X"]
    return min(wish.intent.quantity, abs(held)) if held * wish.intent.side < 0 else 0


@LIGHT
@given(flushes())
def test_the_net_order_is_within_the_bound_unless_it_only_reduces(flush) -> None:
    wishes, positions, bounds = flush
    kept, _ = within(wishes, positions, lambda system, symbol: bounds[system])
    for order in net(kept).orders:
        asked = [w for w in wishes if w.intent.side == order.side]
        bound = min(bounds[w.system].shares for w in asked)
        only_reduces = all(
            s.quantity <= reducing(w, positions) for s in order.shares for w in asked if w.system == s.system
        )
        assert order.quantity <= bound or only_reduces
        assert order.quantity == sum(share.quantity for share in order.shares)
        signed = sum(w.intent.side * w.intent.quantity for w in kept)
        assert order.side * signed >= 0


@LIGHT
@given(flushes())
def test_nothing_is_enlarged_turned_or_lost_and_what_reduces_stays(flush) -> None:
    wishes, positions, bounds = flush
    kept, cuts = within(wishes, positions, lambda system, symbol: bounds[system])
    left = {w.system: w.intent for w in kept}
    taken = {cut.wish.system: cut.quantity for cut in cuts}
    for wish in wishes:
        after = left.get(wish.system)
        quantity = 0 if after is None else after.quantity
        assert wish.intent.quantity == quantity + taken.get(wish.system, 0)
        assert reducing(wish, positions) <= quantity <= wish.intent.quantity
        assert after is None or after == replace(wish.intent, quantity=quantity)
    assert all(cut.quantity > 0 and "limits in total" in cut.reason for cut in cuts)


@LIGHT
@given(flushes())
def test_longs_and_shorts_mirror(flush) -> None:
    wishes, positions, bounds = flush
    turned = [replace(w, intent=replace(w.intent, side=-w.intent.side)) for w in wishes]
    mirror = {name: {"X": -held["X"]} for name, held in positions.items()}
    here, there = (
        within(w, p, lambda system, symbol: bounds[system])[0] for w, p in ((wishes, positions), (turned, mirror))
    )
    assert [(w.system, w.intent.quantity) for w in here] == [(w.system, w.intent.quantity) for w in there]


@LIGHT
@given(flushes())
def test_without_a_bound_nothing_is_taken(flush) -> None:
    wishes, positions, _ = flush
    assert within(wishes, positions, lambda system, symbol: Most(inf)) == (tuple(wishes), ())
