"""Session.step: written ahead, nothing left over, nothing at the last bar, and errors that stop it in the open."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from workbench.config import Settings
from workbench.core.clock import ManualClock
from workbench.core.errors import DataError
from workbench.core.types import Breach
from workbench.engine.modes import Mode, after_breaches
from workbench.engine.session import Session
from workbench.execution.simulated import SimulatedBroker
from workbench.gateway.matching import MatchingEngine
from workbench.journal import JournalError, MemoryJournal

SETTINGS = Settings()


class SpyBroker(SimulatedBroker):
    """Notes what the journal held at the moment an order was sent."""

    def __init__(self, engine, cash, journal) -> None:
        super().__init__(engine, cash)
        self.journal, self.sent, self.cancelled = journal, [], []

    def submit(self, intent) -> None:
        self.sent.append((intent, [e.kind for e in self.journal.entries]))
        super().submit(intent)

    def cancel(self, order_ref) -> None:
        self.cancelled.append(order_ref)
        super().cancel(order_ref)


@pytest.fixture
def desk(toy) -> SimpleNamespace:
    """A session over a market that quotes but, until told, has no volume window."""
    bars = toy.bars()
    history = toy.history(bars)
    clock, journal = ManualClock(int(bars.ts[0])), MemoryJournal()
    engine = MatchingEngine(clock)
    broker = SpyBroker(engine, 1e6, journal)

    def session(rule, **kwargs) -> Session:
        decide = rule if kwargs.pop("raw", False) else toy.follow(rule)
        kwargs.setdefault("journal", journal)
        return Session(
            lambda s: None, broker, kwargs.pop("journal"), SETTINGS, history.universe, decide=decide, **kwargs
        )

    def quote(t: int) -> None:
        clock.advance_to(int(bars.ts[t]))
        for i, symbol in enumerate(bars.symbols):
            engine.on_quote(symbol, bars.bid[t, i], bars.ask[t, i], 100.0, 100.0, int(bars.ts[t]))

    return SimpleNamespace(
        bars=bars,
        history=history,
        clock=clock,
        engine=engine,
        broker=broker,
        journal=journal,
        session=session,
        quote=quote,
        toy=toy,
    )


def test_intents_are_in_the_journal_before_they_are_sent(desk) -> None:
    session = desk.session(lambda s, b: np.full(3, 0.04))
    decision = session.step(desk.history.snapshot(0))
    assert len(desk.broker.sent) == 3
    for intent, kinds in desk.broker.sent:
        assert kinds == ["decision", "intents"]
        assert intent.decided_at == decision.known_at
    (entry,) = desk.journal.read("intents")
    assert [o["order_ref"] for o in entry.payload["orders"]] == [i.order_ref for i, _ in desk.broker.sent]
    (entry,) = desk.journal.read("decision")
    assert (entry.payload["digest"], entry.payload["mode"]) == (decision.digest, "LIVE")
    assert entry.payload["book"]["nav"] == 1e6


def test_leftovers_are_cancelled_and_planned_anew(desk) -> None:
    session = desk.session(lambda s, b: np.full(3, 0.015))
    session.step(desk.history.snapshot(0))
    desk.quote(1)  # 100 shares of each are displayed; the rest keeps working
    session.step(desk.history.snapshot(1))
    assert session.portfolio.shares.tolist() == [100, 100, 100]
    assert len(desk.broker.cancelled) == 3
    first = {i.symbol: i.quantity for i, _ in desk.broker.sent[:3]}
    second = {i.symbol: i.quantity for i, _ in desk.broker.sent[3:]}
    for symbol, quantity in second.items():
        assert quantity == pytest.approx(first[symbol] - 100, rel=0.02)
    assert [e.kind for e in desk.journal.entries].count("filled") == 3
    assert [e.kind for e in desk.journal.entries].count("cancelled") == 3


def test_nothing_is_sent_at_the_last_bar(desk) -> None:
    session = desk.session(lambda s, b: np.full(3, 0.04))
    session.step(desk.history.snapshot(77))
    assert desk.broker.sent == []
    session.step(desk.history.snapshot(78))
    assert len(desk.broker.sent) == 3


def test_observe_mode_decides_and_sends_nothing(desk) -> None:
    session = desk.session(lambda s, b: np.full(3, 0.04), mode=Mode.OBSERVE)
    session.step(desk.history.snapshot(0))
    assert desk.broker.sent == []
    assert len(list(desk.journal.read("decision"))) == 1


def test_emergency_flattens_whatever_was_decided(desk) -> None:
    session = desk.session(lambda s, b: np.full(3, 0.01))
    session.step(desk.history.snapshot(0))
    desk.quote(1)
    session.observe(desk.history.snapshot(1))
    assert session.portfolio.shares.all()
    session.set_mode(Mode.EMERGENCY, "a person said so", desk.clock.now())
    session.step(desk.history.snapshot(1))
    flat = {i.symbol: i.side * i.quantity for i, _ in desk.broker.sent[3:]}
    assert flat == dict(zip(desk.bars.symbols, (-session.portfolio.shares).tolist()))
    assert {i.reason for i, _ in desk.broker.sent[3:]} == {"flatten"}
    assert [e.payload for e in desk.journal.read("mode")] == [
        {"from": "LIVE", "to": "EMERGENCY", "reason": "a person said so"}
    ]


def test_an_error_is_journaled_stops_sending_and_goes_up(desk) -> None:
    def broken(snapshot, book, stages):
        raise ZeroDivisionError("a stage broke")

    session = desk.session(broken, raw=True)
    with pytest.raises(ZeroDivisionError):
        session.step(desk.history.snapshot(0))
    assert session.mode is Mode.OBSERVE
    (entry,) = desk.journal.read("mode")
    assert entry.payload["reason"] == "ZeroDivisionError: a stage broke"


class BrokenJournal:
    def record(self, kind, known_at, payload) -> None:
        raise JournalError("disk full")


def test_without_a_journal_only_reductions_leave(desk) -> None:
    session = desk.session(lambda s, b: np.array([0.04, 0.0, 0.0]))
    session.step(desk.history.snapshot(0))
    desk.quote(1)
    session.observe(desk.history.snapshot(1))
    session.journal, session.fallback, sent = BrokenJournal(), desk.journal, len(desk.broker.sent)
    session.decide = desk.toy.follow(lambda s, b: np.array([0.0, 0.04, -0.04]))
    session.step(desk.history.snapshot(1))
    assert [(i.symbol, i.side * i.quantity) for i, _ in desk.broker.sent[sent:]] == [("AAA", -100)]
    session.fallback = None
    with pytest.raises(JournalError, match="disk full"):
        session.step(desk.history.snapshot(2))


def test_the_journal_failing_at_the_intents_lets_only_reductions_out(desk) -> None:
    class FailsAtIntents(MemoryJournal):
        def record(self, kind, known_at, payload) -> None:
            if kind == "intents":
                raise JournalError("disk full")
            super().record(kind, known_at, payload)

    session = desk.session(lambda s, b: np.full(3, 0.04), journal=FailsAtIntents(), fallback=desk.journal)
    session.step(desk.history.snapshot(0))
    assert desk.broker.sent == []
    assert session.tracker.open_orders == ()


def breach(action: str, symbol: str = "") -> Breach:
    return Breach("rule", symbol, 2.0, 1.0, action)


@pytest.mark.parametrize(
    ("now", "breaches", "after"),
    [
        (Mode.LIVE, [], Mode.LIVE),
        (Mode.LIVE, [breach("freeze", "AAA")], Mode.LIVE),
        (Mode.LIVE, [breach("reduce_only", "AAA")], Mode.LIVE),  # one symbol is not the book
        (Mode.LIVE, [breach("scale")], Mode.LIVE),
        (Mode.LIVE, [breach("reduce_only")], Mode.DEGRADED),
        (Mode.LIVE, [breach("reduce_only"), breach("halt")], Mode.OBSERVE),
        (Mode.LIVE, [breach("flatten"), breach("halt")], Mode.EMERGENCY),
        (Mode.DEGRADED, [], Mode.LIVE),
        (Mode.OBSERVE, [breach("flatten")], Mode.OBSERVE),
        (Mode.EMERGENCY, [], Mode.EMERGENCY),
    ],
)
def test_mode_after_breaches(now, breaches, after) -> None:
    change = after_breaches(now, breaches)
    assert change.mode is after
    assert change.reason


def test_a_mode_needs_a_reason(desk) -> None:
    with pytest.raises(DataError, match="needs a reason"):
        desk.session(lambda s, b: np.zeros(3)).set_mode(Mode.OBSERVE, "", 0)
