"""A limit is moved only once that is recorded; where the journal refuses, only for an order that reduces. No error."""

from __future__ import annotations

import pytest
from account_desk import Desk, RefusingJournal


def resting(side: int, quantity: int, *, held: int = 0, fallback: bool = True) -> tuple[Desk, str]:
    """A system that holds `held` shares and has a limit order at work, and that order's reference."""
    desk = Desk(fallback=fallback)
    if held:
        desk.want("a", 1 if held > 0 else -1, abs(held))
        desk.flush()
        desk.paper.fill(9001, abs(held), 50.0)
        desk.poll("a")
    ref = desk.want("a", side, quantity, order_type="LMT", limit_price=50.0)
    desk.flush()
    desk.poll("a")
    return desk, ref


def changes(journal) -> list[tuple[float, float]]:
    return [(e.payload["from"], e.payload["limit_price"]) for e in journal.entries if e.kind == "change"]


@pytest.mark.parametrize(("side", "quantity", "held"), [(1, 100, 0), (-1, 100, 0), (-1, 150, 100), (1, 150, -100)])
def test_an_order_that_opens_a_position_is_not_changed_while_the_journal_refuses(side, quantity, held) -> None:
    desk, ref = resting(side, quantity, held=held)
    sent = len(desk.paper.placed)
    desk.journal.refuses = True
    assert not desk.systems["a"].change(ref, 49.5)
    assert desk.account.journal_down
    assert (len(desk.paper.placed), desk.account.working()[0].limit_price) == (sent, 50.0)
    assert changes(desk.fallback) == []
    desk.journal.refuses = False
    assert desk.systems["a"].change(ref, 49.5)
    assert not desk.account.journal_down
    assert changes(desk.journal) == [(50.0, 49.5)]


@pytest.mark.parametrize(("side", "held"), [(-1, 100), (1, -100)])
def test_an_order_that_reduces_is_changed_and_the_fallback_has_it_first(side, held) -> None:
    desk, ref = resting(side, 100, held=held)
    desk.journal.refuses = True
    seen, place = [], desk.paper.place
    desk.paper.place = lambda order: (seen.append(changes(desk.fallback)), place(order))
    assert desk.systems["a"].change(ref, 49.5)
    assert seen == [[(50.0, 49.5)]]
    assert (desk.paper.placed[-1].order_id, desk.paper.placed[-1].limit_price) == (102, 49.5)


@pytest.mark.parametrize("fallback", [True, False])
def test_where_nothing_takes_the_record_nothing_is_changed_and_nothing_raised(fallback) -> None:
    desk, ref = resting(-1, 100, held=100, fallback=fallback)
    desk.journal.refuses = True
    if fallback:
        desk.account._recorder.fallback = broken = RefusingJournal()
        broken.refuses = True
    sent = len(desk.paper.placed)
    assert not desk.systems["a"].change(ref, 49.5)
    assert (len(desk.paper.placed), desk.account.working()[0].limit_price) == (sent, 50.0)
