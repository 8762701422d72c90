"""Whatever is sent and whatever the market does: money, shares and time are conserved, and runs repeat."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.gateway.events import Accepted, Cancelled, Filled
from workbench.gateway.ledger import Ledger
from workbench.gateway.orders import DONE

ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("quote"), st.floats(9, 11), st.sampled_from([-0.02, 0.0, 0.01, 0.2]), st.integers(0, 300)),
        st.tuples(
            st.just("order"), st.sampled_from([1, -1]), st.integers(1, 500), st.sampled_from([None, 9.5, 10.0, 10.5])
        ),
        st.tuples(st.just("volume"), st.sampled_from([0.0, 1e3, 1e5, float("nan")]), st.just(0), st.just(0)),
        st.tuples(st.just("range"), st.floats(9, 10), st.floats(0, 1), st.just(0)),
        st.tuples(st.just("cancel"), st.integers(0, 5), st.just(0), st.just(0)),
    ),
    min_size=1,
    max_size=30,
)


def play(kit, actions, jitter=0):
    b = kit.Bench(latency_ns=700_000_000, jitter_ns=jitter, max_participation=0.1, seed=3)
    sent = 0
    for k, (what, x, y, z) in enumerate(actions):
        b.go(k)
        if what == "quote":
            b.quote(x - y / 2, x + y / 2, z, z)
        elif what == "order":
            b.engine.submit(kit.order(f"o{sent}", x, y, limit=z))
            sent += 1
        elif what == "volume":
            b.window(x, seconds=10)
        elif what == "range":
            b.engine.on_range("AAA", x, x + y, b.clock.now())
        elif sent:
            b.engine.cancel(f"o{x % sent}")
    b.go(len(actions) + 5)
    b.engine.run()
    return b, sent, b.engine.drain()


@settings(max_examples=60, deadline=None)
@given(actions=ACTIONS)
def test_conservation_of_shares_money_and_time(kit_factory, actions) -> None:
    b, sent, events = play(kit_factory, actions)
    ledger, filled = Ledger(1e6), {}
    paid = 0.0
    accepted = {e.order_ref: e.time for e in events if isinstance(e, Accepted)}
    for e in events:
        ledger.apply(e)
        if isinstance(e, Filled):
            f = e.fill
            filled[f.order_ref] = filled.get(f.order_ref, 0) + f.quantity
            paid += f.side * f.quantity * f.price + f.commission
            assert f.commission >= 0
            assert e.spread_cost >= -1e-9
            assert e.impact_cost >= -1e-9
            assert e.spread_cost + e.impact_cost == pytest.approx(f.side * f.quantity * (f.price - f.mid), abs=1e-7)
            assert f.time >= accepted[f.order_ref]
    cancelled = {e.order_ref: e.remaining for e in events if isinstance(e, Cancelled)}
    for k in range(sent):
        order = b.engine.order(f"o{k}")
        assert filled.get(f"o{k}", 0) == order.filled <= order.intent.quantity
        assert order.filled + cancelled.get(f"o{k}", order.remaining) == order.intent.quantity
        assert (order in b.engine.active) == (order.status not in DONE)
    assert ledger.cash == pytest.approx(1e6 - paid)
    assert ledger.equity({"AAA": 10.0}) == pytest.approx(ledger.cash + 10.0 * ledger.positions.get("AAA", 0))


@settings(max_examples=25, deadline=None)
@given(actions=ACTIONS)
def test_the_same_calls_give_the_same_events(kit_factory, actions) -> None:
    assert play(kit_factory, actions, 10**9)[2] == play(kit_factory, actions, 10**9)[2]


@settings(max_examples=25, deadline=None)
@given(actions=ACTIONS, cut=st.integers(1, 29))
def test_what_comes_later_changes_nothing_before(kit_factory, actions, cut) -> None:
    cut = min(cut, len(actions))
    horizon = kit_factory.START + (cut - 1) * 10**9

    def before(events):
        return [e for e in events if isinstance(e, Filled) and e.time < horizon]

    assert before(play(kit_factory, actions)[2]) == before(play(kit_factory, actions[:cut])[2])
