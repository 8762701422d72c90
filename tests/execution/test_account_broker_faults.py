"""Random faults: reports lost, doubled, reordered, late; dropped placements, cuts, corrections, crashes and restarts.

Whatever happened, once the line is quiet the books equal the broker's, nothing was sent twice and nothing is in doubt.
"""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from paper_broker import CLIENT, SECOND, PaperBroker

from workbench.core.clock import ManualClock
from workbench.core.types import OrderIntent
from workbench.execution.account_broker import AccountBroker
from workbench.execution.broker import NotConnected
from workbench.execution.orders import DONE, OrderTracker
from workbench.execution.portfolio import Portfolio
from workbench.execution.sifting import Most
from workbench.journal import MemoryJournal

SYSTEMS, SYMBOLS, CAPITAL = ("a", "b"), ("X", "Y"), 100_000.0
MOST = 35.0
"""Shares that both systems together may add on one side."""


class Faults(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock(1_000 * SECOND)
        self.paper = PaperBroker(self.clock)
        self.journal = MemoryJournal()
        self.number = 0
        self.outside: Counter[str] = Counter()
        self.start()

    def start(self) -> None:
        self.account = AccountBroker(self.paper, self.journal, self.clock, systems=SYSTEMS)
        self.account.most = lambda system, symbol: Most(MOST)
        self.account.restore(self.journal.entries)
        self.account.reconcile(self.clock.now())
        self.systems = {name: self.account.system(name, CAPITAL) for name in SYSTEMS}
        self.books = {n: Portfolio(SYMBOLS, s.cash, s.positions) for n, s in self.systems.items()}
        self.trackers = {n: OrderTracker() for n in SYSTEMS}
        for name, system in self.systems.items():
            for intent in system.open_orders:
                self.trackers[name].adopt(intent)

    def poll(self) -> None:
        for name, system in self.systems.items():
            for event in system.poll():
                self.trackers[name].apply(event)
                self.books[name].apply(event)

    # ---- what we do ---------------------------------------------------------------------------------------------

    @rule(system=st.sampled_from(SYSTEMS), symbol=st.sampled_from(SYMBOLS), side=st.sampled_from([1, -1]),
          quantity=st.integers(1, 50), mid=st.sampled_from([50.0, float("nan")]))  # fmt: skip
    def want(self, system, symbol, side, quantity, mid) -> None:
        self.number += 1
        ref = f"r{self.number}"
        intent = OrderIntent(ref, symbol, side, quantity, "LMT", 50.0 + side, "DAY", self.clock.now(), mid)
        self.trackers[system].intend(intent)
        self.systems[system].submit(intent)
        self.trackers[system].sent(ref)

    @rule()
    def flush(self) -> None:
        self.account.flush(self.clock.now())
        self.poll()

    @initialize(side=st.sampled_from([1, -1]), more=st.sampled_from([0, 30]))
    def first_orders(self, side, more) -> None:
        """Of the second one only as much as fits into the order of both."""
        self.want("a", "X", side, 30, 50.0)
        if more:
            self.want("b", "X", side, more, 50.0)
        self.flush()

    @rule(systems=st.sampled_from([("a",), ("b",), SYSTEMS]), symbol=st.sampled_from(SYMBOLS),
          side=st.sampled_from([1, -1]))  # fmt: skip
    def trade(self, systems, symbol, side) -> None:
        """Compare, then send: what an engine does."""
        if self.paper.connected:
            self.reconcile()
        for system in systems:
            self.want(system, symbol, side, 20, 50.0)
        self.flush()

    @rule(system=st.sampled_from(SYSTEMS))
    def cancel(self, system) -> None:
        for order in self.trackers[system].open_orders:
            self.systems[system].cancel(order.order_ref)

    @rule()
    def change(self) -> None:
        for order in self.account.working():
            self.account.change(order.order_ref, 50.5)

    @rule()
    def reconcile(self) -> None:
        try:
            self.account.reconcile(self.clock.now())
        except NotConnected:
            assert not self.paper.connected

    @rule(seconds=st.sampled_from([0.5, 4, 15]))
    def wait(self, seconds) -> None:
        self.clock.advance_to(self.clock.now() + int(seconds * SECOND))

    @precondition(lambda self: self.paper.connected)
    @rule(keep=st.booleans())
    def crash(self, keep) -> None:
        if not keep:
            self.paper.outbox.clear()
        self.clock.advance_to(self.clock.now() + SECOND)
        self.start()

    # ---- what happens there -------------------------------------------------------------------------------------

    def live(self) -> list[int]:
        return [p for p, r in self.paper.orders.items() if r.live and r.client_id == CLIENT]

    @rule(pick=st.integers(0, 9), quantity=st.integers(1, 60), price=st.sampled_from([49.5, 50.0, 50.25]))
    def fill(self, pick, quantity, price) -> None:
        if live := self.live():
            self.paper.fill(live[pick % len(live)], quantity, price, 0.35)

    @rule(pick=st.integers(0, 9), price=st.sampled_from([49.0, 51.0]), less=st.booleans())
    def correct(self, pick, price, less) -> None:
        ours = [i for i, e in enumerate(self.paper.executions) if e.exec_id in self.paper.ours]
        if ours:
            i = ours[pick % len(ours)]
            e = self.paper.executions[i]
            self.paper.correct(i, price, max(e.quantity - int(less), 1))

    @rule(symbol=st.sampled_from(SYMBOLS), quantity=st.sampled_from([-5, 7]))
    def by_hand(self, symbol, quantity) -> None:
        if self.paper.connected:
            self.paper.manual(symbol, quantity)
            self.outside[symbol] += quantity

    @rule(pick=st.integers(0, 9), code=st.sampled_from([10349, 399, 2109, 404, 10148, 161, 105]))
    def error(self, pick, code) -> None:
        if live := self.live():
            order = self.paper.orders[live[pick % len(live)]].order
            self.paper.error(code, order.order_id, order.order_ref)

    @rule(pick=st.integers(0, 9))
    def regress(self, pick) -> None:
        if live := self.live():
            self.paper.outbox.append(self.paper.status(self.paper.orders[live[pick % len(live)]], filled=0))

    @rule()
    def swallow(self) -> None:
        self.paper.swallow = True

    @rule(on=st.booleans())
    def mute(self, on) -> None:
        self.paper.mute = on

    @rule()
    def cut(self) -> None:
        if self.paper.connected:
            self.paper.cut()

    @rule()
    def join(self) -> None:
        if not self.paper.connected:
            self.paper.join()

    # ---- the way between ----------------------------------------------------------------------------------------

    @rule(pick=st.integers(0, 30), how=st.sampled_from(["deliver", "twice", "drop"]))
    def report(self, pick, how) -> None:
        if self.paper.outbox:
            report = self.paper.outbox.pop(pick % len(self.paper.outbox))
            for _ in range({"deliver": 1, "twice": 2, "drop": 0}[how]):
                self.account.hear(report)
            self.poll()

    @rule()
    def deliver(self) -> None:
        for report in self.paper.outbox:
            self.account.hear(report)
        self.paper.outbox.clear()
        self.poll()

    # ---- always -------------------------------------------------------------------------------------------------

    @invariant()
    def one_live_order_per_symbol_and_none_sent_twice(self) -> None:
        symbols = [self.paper.orders[p].order.symbol for p in self.live()]
        assert len(symbols) == len(set(symbols))
        refs = {}
        for order in self.paper.placed:
            assert refs.setdefault(order.order_id, order.order_ref) == order.order_ref
        assert len(set(refs.values())) == len(refs)
        starts = Counter(r.order.order_ref for r in self.paper.orders.values() if r.client_id == CLIENT)
        assert all(n == 1 for n in starts.values())

    def teardown(self) -> None:
        self.paper.mute = self.paper.swallow = False
        if not self.paper.connected:
            self.paper.join()
        for _ in range(4):
            self.deliver()
            self.clock.advance_to(self.clock.now() + 5 * SECOND)
            self.account.reconcile(self.clock.now())
            self.poll()
        self.account.flush(self.clock.now())
        self.poll()
        self.books_equal_the_brokers()
        before = [(b.cash, b.shares.tolist()) for b in self.books.values()]
        self.clock.advance_to(self.clock.now() + SECOND)
        self.account.cancel_all("end")
        self.deliver()
        self.start()
        after = [(b.cash, b.shares.tolist()) for b in self.books.values()]
        for (cash, shares), (cash_after, shares_after) in zip(before, after):
            assert shares == shares_after
            assert cash == pytest.approx(cash_after, abs=1e-6)

    def books_equal_the_brokers(self) -> None:
        held = {s: sum(int(b.shares[i]) for b in self.books.values()) for i, s in enumerate(SYMBOLS)}
        outside = self.account.outside_positions
        # while a status of an order at work claims more than its executions are, what is outside is not concluded
        waits = {e.symbol for e in self.account.ledger.open_orders if e.gap_at}
        for symbol in SYMBOLS:
            assert outside.get(symbol, 0) == self.outside[symbol] or symbol in waits
            assert held[symbol] + self.outside[symbol] == self.paper.positions[symbol]
        ours = [e for e in self.paper.executions if e.exec_id in self.paper.ours]
        names = {e.exec_id.split(".")[0] for e in ours}
        costs = sum(c.commission for c in self.paper.commissions if c.exec_id.split(".")[0] in names)
        truth = len(SYSTEMS) * CAPITAL - sum(e.side * e.quantity * e.price for e in ours) - costs
        assert sum(b.cash for b in self.books.values()) == pytest.approx(truth, abs=1e-6)
        live = {self.paper.orders[p].order.order_ref for p in self.live()}
        ledger = self.account.ledger
        assert {e.order_ref for e in ledger.open_orders} == live
        assert all(e.state in DONE or e.order_ref in live for e in ledger.orders.values())
        for name, system in self.systems.items():
            assert {o.order_ref for o in self.trackers[name].open_orders} == {o.order_ref for o in system.open_orders}


TestFaults = Faults.TestCase
TestFaults.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
