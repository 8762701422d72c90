"""Several systems in one flush: what each may do alone they may not do together."""

from __future__ import annotations

from dataclasses import replace
from math import isnan, nan
from types import SimpleNamespace

import numpy as np
import pytest
from account_desk import Desk

from workbench.config import GuardSettings
from workbench.core.types import OrderIntent
from workbench.engine.live_tally import LiveTally
from workbench.engine.surroundings import AccountSurroundings
from workbench.execution.broker import BrokerTimeout
from workbench.execution.live_facts import LiveFacts
from workbench.execution.live_guards import guard_margin
from workbench.execution.orders import OrderState, OrderTracker
from workbench.execution.reports import AccountReport, Quote, WhatIf
from workbench.execution.sifting import Most
from workbench.gateway.events import Cancelled, Filled, Rejected
from workbench.metrics import Metrics

# ---- margin and open orders -----------------------------------------------------------------------------------------

EQUITY, USED, PRICE, RATE = 100_000.0, 40_000.0, 50.0, 0.5
"""USD of the account, of its initial margin so far, of a share, and the part of a trade that is margin."""


class Gateway:
    """Answers a what-if as Regulation T would, knowing only what it holds: half the value of the order more."""

    connected = True

    def __init__(self) -> None:
        self.told: dict[str, Quote] = {}

    def what_if(self, order) -> WhatIf:
        return WhatIf(EQUITY, USED + RATE * PRICE * order.quantity, nan, nan)

    def quotes(self):
        return self.told


def around(desk: Desk) -> AccountSurroundings:
    desk.account.account = AccountReport("DUSIM1", EQUITY, EQUITY, EQUITY - USED, EQUITY)
    return AccountSurroundings(Gateway(), desk.account, desk.clock, Metrics(), LiveTally())


def wanted(desk: Desk, ref: str, quantity: int, symbol: str = "X") -> OrderIntent:
    return OrderIntent(ref, symbol, 1, quantity, "MKT", nan, "DAY", desk.clock.now(), PRICE)


def through_margin(desk: Desk, surroundings: AccountSurroundings, system: str, intent: OrderIntent) -> int:
    """Shares that the margin guard of `system`, which wants a tenth of EQUITY to stay free, lets it send."""
    facts = replace(LiveFacts.unknown((intent.symbol,)), nav=EQUITY, margin=surroundings.margin((intent,)))
    kept = guard_margin((intent,), np.zeros(1), facts, GuardSettings(min_excess_liquidity=0.1)).intents
    for order in kept:
        desk.systems[system].submit(order)
    return sum(order.quantity for order in kept)


def test_two_systems_together_leave_the_margin_that_each_must_leave() -> None:
    """60,000 USD are free and 10,000 must stay: 2,000 shares at 25 USD of margin each. Each wants 1,600."""
    desk = Desk("a", "b")
    surroundings = around(desk)
    assert through_margin(desk, surroundings, "a", wanted(desk, "1", 1_600)) == 1_600
    assert through_margin(desk, surroundings, "b", wanted(desk, "2", 1_600, "Y")) == 400
    assert through_margin(desk, surroundings, "b", wanted(desk, "3", 10, "Z")) == 0


def test_what_a_system_was_granted_counts_not_what_it_asked_for() -> None:
    desk = Desk("a", "b")
    surroundings = around(desk)
    surroundings.margin((wanted(desk, "1", 1_600),))
    desk.systems["a"].submit(wanted(desk, "1", 400))
    margin = surroundings.margin((wanted(desk, "2", 100, "Y"),))
    assert (margin.before, margin.after) == (USED + 400 * 25, USED + 500 * 25)


def test_the_next_cycle_begins_with_what_the_broker_says() -> None:
    desk = Desk("a", "b")
    surroundings = around(desk)
    through_margin(desk, surroundings, "a", wanted(desk, "1", 1_600))
    desk.flush()
    assert surroundings.margin((wanted(desk, "2", 100, "Y"),)).before == USED


def test_a_what_if_without_an_answer_is_no_margin_and_an_unknown_rise_stays_unknown() -> None:
    desk = Desk("a", "b")
    surroundings = around(desk)
    surroundings.connection.what_if = lambda order: WhatIf(EQUITY, nan, nan, nan)
    first = wanted(desk, "1", 100)
    assert isnan(surroundings.margin((first,)).after)
    desk.systems["a"].submit(first)
    surroundings.connection.what_if = Gateway().what_if
    assert isnan(surroundings.margin((wanted(desk, "2", 100, "Y"),)).before)

    def silent(order):
        raise BrokerTimeout("no answer within 30 s")

    surroundings.connection.what_if = silent
    assert surroundings.margin((wanted(desk, "3", 1, "Z"),)) is None


def test_orders_that_are_about_to_leave_are_open_orders() -> None:
    desk = Desk("a", "b")
    surroundings = around(desk)
    desk.want("a", 1, 10, "Y")
    desk.flush()
    desk.want("a", 1, 10)
    assert [(o.symbol, o.quantity) for o in surroundings.open_orders()] == [("Y", 10), ("X", 10)]
    assert surroundings.orders_last_minute() == 1


# ---- what was traded away outside -----------------------------------------------------------------------------------


def partly_gone(side: int) -> Desk:
    """Two systems that hold 50 shares each (`side` -1: are short of them), of which 40 were traded away by hand."""
    desk = Desk("a", "b")
    for name in "ab":
        desk.want(name, side, 50)
    desk.flush()
    desk.paper.fill(9001, 100, 50.0)
    for name in "ab":
        desk.poll(name)
    desk.paper.manual("X", -40 * side)
    for _ in range(2):
        desk.reconcile()
    assert (desk.account.outside_positions, desk.paper.positions["X"]) == ({"X": -40 * side}, 60 * side)
    return desk


@pytest.mark.parametrize("side", [1, -1])
def test_two_systems_never_sell_together_what_is_no_longer_there(side) -> None:
    desk = partly_gone(side)
    for name in "ab":
        desk.want(name, -side, 50)
    assert desk.flush() == 1
    assert (desk.paper.placed[-1].side, desk.paper.placed[-1].quantity) == (-side, 50)
    reason = desk.poll("b")[-1].reason
    assert f"the account has {60 * side:+d}, of which 50 are wanted already: 50 more would open" in reason


@pytest.mark.parametrize("side", [1, -1])
def test_what_is_still_there_may_be_sold_by_both(side) -> None:
    desk = partly_gone(side)
    desk.want("a", -side, 50)
    desk.want("b", -side, 10)
    assert desk.flush() == 1
    assert desk.paper.placed[-1].quantity == 60


def test_a_wish_that_was_refused_takes_nothing_from_the_others() -> None:
    desk = partly_gone(1)
    desk.want("a", -1, 70)
    desk.want("b", -1, 50)
    assert desk.flush() == 1
    assert desk.paper.placed[-1].quantity == 50
    assert "has +60: 70 more" in desk.poll("a")[-1].reason


# ---- limits in total ------------------------------------------------------------------------------------------------


def bounded(shares: float, *systems: str, lot: int = 1) -> Desk:
    desk = Desk(*systems)
    desk.account.most = lambda system, symbol: Most(shares, lot)
    return desk


def dropped(desk: Desk) -> list[tuple[str, int]]:
    return [(e.payload["system"], e.payload["quantity"]) for e in desk.journal.entries if e.kind == "dropped"]


@pytest.mark.parametrize("side", [1, -1])
def test_orders_of_two_systems_fit_into_one_and_the_rest_is_told_when_it_has_filled(side) -> None:
    desk = bounded(150, "a", "b")
    desk.want("a", side, 100)
    ref = desk.want("b", side, 100)
    tracker = OrderTracker()
    tracker.intend(OrderIntent(ref, "X", side, 100, "MKT", nan, "DAY", 0, 50.0))
    tracker.sent(ref)
    assert desk.flush() == 1
    assert (desk.paper.placed[0].side, desk.paper.placed[0].quantity) == (side, 150)
    assert dropped(desk) == [("b", 50)]
    assert [e for e in desk.poll("b") if isinstance(e, (Cancelled, Rejected))] == []
    desk.paper.fill(9001, 75, 50.0)
    desk.paper.fill(9001, 75, 50.0)
    events = desk.poll("b")
    assert [e.fill.quantity for e in events if isinstance(e, Filled)] == [25, 25]
    (end,) = [e for e in events if isinstance(e, Cancelled)]
    assert (end.order_ref, end.remaining) == (ref, 50)
    assert "200 shares of X on one side" in end.reason
    assert "let one order have 150; b gets what is left" in end.reason
    for event in events:
        tracker.apply(event)
    assert (tracker.state(ref), tracker.open_orders) == (OrderState.CANCELLED, ())
    desk.poll("a")
    assert [desk.systems[n].positions["X"] for n in "ab"] == [100 * side, 50 * side]


def test_what_reduces_is_never_held_back_and_takes_the_room_of_what_grows() -> None:
    desk = bounded(1_000, "a", "b")
    desk.want("a", 1, 300)
    desk.flush()
    desk.paper.fill(9001, 300, 50.0)
    desk.poll("a")
    desk.account.most = lambda system, symbol: Most(250)
    desk.want("b", -1, 100)
    desk.want("a", -1, 300)
    assert desk.flush() == 1
    assert (desk.paper.placed[-1].side, desk.paper.placed[-1].quantity) == (-1, 300)
    assert dropped(desk) == [("b", 100)]
    assert isinstance(desk.poll("b")[-1], Rejected)


def test_an_order_that_goes_from_long_to_short_keeps_what_reduces() -> None:
    desk = bounded(1_000, "a", "b")
    desk.want("a", 1, 100)
    desk.flush()
    desk.paper.fill(9001, 100, 50.0)
    desk.poll("a")
    desk.account.most = lambda system, symbol: Most(120)
    desk.want("b", -1, 90)
    desk.want("a", -1, 180)
    desk.flush()
    assert desk.paper.placed[-1].quantity == 120
    assert dropped(desk) == [("b", 70), ("a", 80)]


def test_the_strictest_of_those_that_want_it_counts_and_whole_lots_go() -> None:
    desk = bounded(1_000, "a", "b", "c")
    bounds = {"a": Most(170, 50), "b": Most(500, 50), "c": Most(1, 50)}
    desk.account.most = lambda system, symbol: bounds[system]
    desk.want("a", 1, 100)
    desk.want("b", 1, 100)
    desk.want("c", 1, 100, "Y")
    desk.flush()
    assert [(o.symbol, o.quantity) for o in desk.paper.placed] == [("X", 150), ("Y", 100)]


@pytest.mark.parametrize("shares", [nan, 0.0, -5.0])
def test_where_the_bound_is_unknown_or_used_up_nothing_grows_together(shares) -> None:
    desk = bounded(shares, "a", "b")
    desk.want("a", 1, 10)
    desk.want("b", 1, 10)
    assert desk.flush() == 0
    assert desk.paper.placed == []
    assert ("unknown" in desk.poll("a")[-1].reason) == isnan(shares)


def test_a_cut_order_that_crosses_is_over_with_its_last_share() -> None:
    desk = bounded(100, "a", "b", "c")
    desk.want("a", 1, 80)
    ref = desk.want("b", 1, 80)
    desk.want("c", -1, 90)
    desk.flush()
    desk.paper.fill(9001, 10, 50.0)
    events = desk.poll("b")
    assert sum(e.fill.quantity for e in events if isinstance(e, Filled)) == 20
    assert [(e.order_ref, e.remaining) for e in events if isinstance(e, Cancelled)] == [(ref, 60)]
    assert [type(e) for e in events if isinstance(e, (Filled, Cancelled))] == [Filled, Filled, Cancelled]


def test_a_cut_order_that_does_not_leave_is_rejected_once() -> None:
    desk = bounded(100, "a", "b")
    desk.want("a", 1, 80)
    desk.want("b", 1, 80)
    desk.paper.place = None  # never reached
    desk.account.held = lambda: "" if not desk.account.ledger.orders else "a person asked to stop"
    desk.flush()
    ends = [e for e in desk.poll("b") if isinstance(e, (Cancelled, Rejected))]
    assert [type(e) for e in ends] == [Rejected]
    assert "a person asked" in ends[0].reason


def test_a_restart_gives_back_a_cut_order_as_it_was_sent() -> None:
    desk = bounded(150, "a", "b")
    desk.want("a", 1, 100)
    desk.want("b", 1, 100)
    desk.flush()
    desk.paper.fill(9001, 30, 50.0)
    desk.poll("a"), desk.poll("b")
    desk.start()
    assert [[o.quantity for o in desk.systems[n].open_orders] for n in "ab"] == [[80], [40]]
    desk.paper.fill(9001, 120, 50.0)
    desk.poll("a"), desk.poll("b")
    assert [desk.systems[n].positions["X"] for n in "ab"] == [100, 50]


# ---- where the bound comes from -------------------------------------------------------------------------------------


def system(notional: float, participation: float, *, volume: float = 10_000.0, price: float = 40.0, known: bool = True):
    """What a desk of an engine shows of itself, trading X."""
    settings = SimpleNamespace(
        guards=SimpleNamespace(max_order_notional=notional), validation=SimpleNamespace(max_participation=participation)
    )
    universe = SimpleNamespace(instruments=(SimpleNamespace(lot=10),))
    snapshot = SimpleNamespace(symbols=("X",), price=np.array([price]), expected_volume=np.array([[volume]]))
    whole = SimpleNamespace(name="a", settings=settings, universe=universe)
    return SimpleNamespace(system=whole, snapshot=snapshot if known else None)


@pytest.mark.parametrize(
    ("desk", "shares"),
    [
        (system(1e5, 1.0), 2_000.0),  # 100,000 USD at the mid of 50
        (system(1e9, 0.05), 500.0),  # of 10,000 shares expected
        (system(1e5, 0.05, volume=nan), nan),
        (system(1e5, 1.0, known=False), nan),
    ],
)
def test_the_bound_is_that_of_the_guards_at_the_quotes_of_now(desk, shares) -> None:
    here = Desk("a")
    surroundings = around(here)
    surroundings.connection.told = {"X": Quote("X", 49.99, 50.01, 1, 1, 50.0, here.clock.now(), False, nan, False)}
    np.testing.assert_equal(surroundings.most([desk], "a", "X").shares, shares)


def test_without_a_quote_the_price_of_the_last_bar_counts() -> None:
    surroundings = around(Desk("a"))
    assert surroundings.most([system(1e5, 1.0)], "a", "X") == Most(2_500.0, 10)
    assert isnan(surroundings.most([system(1e5, 1.0, price=nan)], "a", "X").shares)
