"""Whatever clients and the market do: money and shares are conserved to the millionth, and runs repeat."""

from __future__ import annotations

import json
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.gateway.brokerage_state import from_dict, to_dict
from workbench.gateway.tickets import CommissionCharged, Executed, OrderStatusChanged, Ticket

DONE = {"Filled", "Cancelled", "ApiCancelled", "Inactive"}
PRICES = st.integers(9_800, 10_200).map(lambda cents: cents / 100)

TERMS = st.fixed_dictionaries(
    {
        "side": st.sampled_from([1, -1]),
        "quantity": st.integers(1, 300),
        "kind": st.sampled_from(["MKT", "LMT", "LMT", "STP", "STP LMT", "MOC", "LOC"]),
        "limit": PRICES,
        "stop": PRICES,
        "tif": st.sampled_from(["DAY", "DAY", "GTC", "IOC"]),
        "group": st.sampled_from(["", "", "g", "h"]),
        "oca_type": st.integers(1, 3),
        "attach": st.sampled_from([False, False, False, True]),
        "transmit": st.sampled_from([True, True, True, False]),
        "adaptive": st.sampled_from([False, False, True]),
    }
)
ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("place"), TERMS),
        st.tuples(st.just("place"), TERMS),
        st.tuples(st.just("modify"), st.tuples(st.integers(1, 8), PRICES, st.integers(1, 300))),
        st.tuples(st.just("cancel"), st.integers(1, 8)),
        st.tuples(st.just("quote"), st.tuples(PRICES, st.sampled_from([0.01, 0.04, -0.01]), st.integers(0, 400))),
        st.tuples(st.just("trade"), st.tuples(PRICES, st.integers(1, 500))),
        st.tuples(st.just("volume"), st.sampled_from([0.0, 1e3, 1e6])),
        st.tuples(st.just("halt"), st.none()),
        st.tuples(st.just("reopen"), PRICES),
        st.tuples(st.just("wait"), st.sampled_from([1, 60, 3_600, 86_400])),
    ),
    min_size=8,
    max_size=40,
)


def ticket(number, t, last) -> Ticket:
    bounded, stop = t["kind"] in ("LMT", "STP LMT", "LOC"), "STP" in t["kind"]
    nan = float("nan")
    algo = "Adaptive" if t["adaptive"] and t["kind"] in ("MKT", "LMT") else ""
    return Ticket(
        number,
        "AAA",
        t["side"],
        t["quantity"],
        t["kind"],
        t["limit"] if bounded else nan,
        t["stop"] if stop else nan,
        "DAY" if t["kind"] in ("MOC", "LOC") else t["tif"],
        oca_group=t["group"],
        oca_type=t["oca_type"],
        parent_id=last if t["attach"] else 0,
        transmit=t["transmit"],
        algo=algo,
    )


class Play:
    """Actions on an office, with a restart after every `restart` of them (0: never)."""

    def __init__(self, kit, actions, restart=0, latency=0) -> None:
        self.o = kit.Office(latency_ns=latency, cancel_latency_ns=latency // 2, max_participation=0.2)
        self.o.quote(99.99, 100.01, 200)
        self.number, self.now, self.events = 0, self.o.clock.now(), []
        for k, (what, value) in enumerate(actions):
            self.now += 10**8
            self.o.clock.advance_to(self.now)
            getattr(self, what)(value)
            self.o.broker.advance()
            self.events += self.o.broker.drain()
            if restart and k % restart == restart - 1:
                state = json.loads(json.dumps(to_dict(self.o.broker), allow_nan=False))
                self.o.broker = from_dict(state, self.o.clock, self.o.hours)
                assert to_dict(self.o.broker) == state

    def place(self, terms) -> None:
        self.number += 1
        self.o.broker.place(1, ticket(self.number, terms, self.number - 1))

    def modify(self, value) -> None:
        number, limit, quantity = value
        for view in self.o.broker.open_orders():
            if view.ticket.order_id == number:
                old = view.ticket
                self.o.broker.place(1, Ticket(number, "AAA", old.side, quantity, "LMT", limit, parent_id=old.parent_id))

    def cancel(self, number) -> None:
        self.o.broker.cancel(1, number)

    def quote(self, value) -> None:
        bid, width, size = value
        self.o.broker.engine.on_quote("AAA", bid, round(bid + width, 2), size, size, self.now)

    def trade(self, value) -> None:
        self.o.broker.engine.on_trade("AAA", *value, self.now)

    def volume(self, volume) -> None:
        self.o.broker.engine.on_bar_volume("AAA", volume, 0.02, self.now, self.now + 60 * 10**9)

    def halt(self, _) -> None:
        self.o.broker.engine.on_halt("AAA", self.now)

    def reopen(self, price) -> None:
        self.o.broker.engine.on_auction("AAA", "reopen", price, 1_000.0, self.now)

    def wait(self, seconds) -> None:
        self.now = min(self.now + seconds * 10**9, 1_749_160_000 * 10**9 + len(self.events))  # Thursday evening
        self.now = max(self.now, self.o.clock.now())
        self.o.clock.advance_to(self.now)


def check_conservation(play: Play) -> None:
    books, fills = play.o.broker.books, [e.execution for e in play.events if isinstance(e, Executed)]
    assert books.imbalance == 0
    assert books.quantity("AAA") == sum(f.side * f.shares for f in fills)
    micro = [(f.side * f.shares * round(f.price * 10_000) * 100, round(f.commission * 10**6)) for f in fills]
    assert books.cash == books.deposited - sum(v + c for v, c in micro) - books.fees
    assert books.commissions == sum(c for _, c in micro)
    assert len({f.exec_id for f in fills}) == len(fills)
    charged = [e.execution.exec_id for e in play.events if isinstance(e, CommissionCharged)]
    assert charged == [f.exec_id for f in fills]
    shares = Counter()
    for f in fills:
        shares[f.perm_id] += f.shares
    last = {e.order.perm_id: e.order for e in play.events if isinstance(e, OrderStatusChanged)}
    for perm_id, order in last.items():
        assert order.filled == shares[perm_id] <= order.ticket.quantity
        assert order.filled + order.remaining == order.ticket.quantity
        assert (order.status == "Filled") == (order.remaining == 0 and order.filled > 0 and order.status in DONE) or (
            order.status in ("Cancelled", "ApiCancelled")
        )
    open_now = {v.perm_id for v in play.o.broker.open_orders()}
    assert open_now == {p for p, v in last.items() if v.status not in DONE or v.why_held == "locate"}


@settings(max_examples=80, deadline=None)
@given(actions=ACTIONS, latency=st.sampled_from([0, 150_000_000]))
def test_conservation_of_money_shares_and_orders(kit_factory, actions, latency) -> None:
    check_conservation(Play(kit_factory, actions, latency=latency))


@settings(max_examples=40, deadline=None)
@given(actions=ACTIONS, restart=st.integers(1, 5), latency=st.sampled_from([0, 150_000_000]))
def test_restarts_in_the_middle_of_anything_lose_nothing(kit_factory, actions, restart, latency) -> None:
    check_conservation(Play(kit_factory, actions, restart, latency))


@settings(max_examples=25, deadline=None)
@given(actions=ACTIONS)
def test_the_same_calls_say_the_same(kit_factory, actions) -> None:
    one, two = (Play(kit_factory, actions, latency=10**8) for _ in range(2))
    assert repr(one.events) == repr(two.events)
    assert to_dict(one.o.broker) == to_dict(two.o.broker)


@settings(max_examples=25, deadline=None)
@given(actions=ACTIONS)
def test_done_orders_stay_done(kit_factory, actions) -> None:
    done = set()
    for e in Play(kit_factory, actions).events:
        if isinstance(e, OrderStatusChanged):
            assert e.order.perm_id not in done
            if e.order.status in DONE:
                done.add(e.order.perm_id)
