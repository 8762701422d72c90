"""Live guards: every rule once, what is unknown, the margin of the basket, and properties of them all."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.config import GuardSettings, ValidationSettings
from workbench.core.errors import DataError
from workbench.core.types import OrderIntent, Phase
from workbench.execution.live_facts import LiveFacts, Margin
from workbench.execution.live_guards import apply_live_guards, guard_margin, guard_orders
from workbench.execution.live_rules import RULES
from workbench.execution.reports import Quote, WhatIf

SYMBOLS = ("AAA", "BBB", "CCC")
PRICE = np.array([50.0, 100.0, 20.0])
BOUNDS = GuardSettings(max_order_notional=1e9)
LIMITS = ValidationSettings(max_participation=1.0)
NAN3 = np.full(3, np.nan)
RICH = Margin(1e6, 0.0, 1e5)
LIGHT = settings(max_examples=60, deadline=None)


def facts(**changes) -> LiveFacts:
    """A calm market, a healthy account: nothing is held back."""
    calm = replace(
        LiveFacts.unknown(SYMBOLS),
        bid=PRICE - 0.01,
        ask=PRICE + 0.01,
        price=PRICE,
        quote_age_s=np.ones(3),
        halted=np.zeros(3),
        shortable_shares=np.full(3, 1e6),
        borrow_rate=np.full(3, 0.01),
        expected_volume=np.full(3, 1e6),
        features_ok=np.ones(3, bool),
        phase=Phase.OPEN,
        minutes_since_open=60.0,
        minutes_to_close=330.0,
        orders_last_minute=0,
        open_orders=0,
        clock_skew_s=0.0,
        models_alive=1.0,
        link_up=True,
        reconciled=True,
        nav=1e6,
        day_start_nav=1e6,
        peak_nav=1e6,
        margin=RICH,
    )
    return replace(calm, **changes)


def order(symbol: str, side: int, quantity: int, limit: float = np.nan, ref: str = "") -> OrderIntent:
    kind = "MKT" if np.isnan(limit) else "LMT"
    return OrderIntent(ref or symbol, symbol, side, quantity, kind, limit, "DAY", 0, 50.0)


def left(guarded) -> dict[str, int]:
    return {o.order_ref: o.side * o.quantity for o in guarded.intents}


def reasons(guarded) -> list[str]:
    return [h.reason for h in guarded.held]


def at(i: int, value: float, rest: np.ndarray | float = 0.0) -> np.ndarray:
    out = np.broadcast_to(np.asarray(rest, float), (3,)).copy()
    out[i] = value
    return out


# a sale that flips a long of AAA to a short: 100 shares shrink, 50 open a short
FLIP, HELD = (order("AAA", -1, 150),), np.array([100.0, 0.0, 0.0])


def guard(intents, positions, given_facts, bounds=BOUNDS, limits=LIMITS, **kw):
    return apply_live_guards(tuple(intents), np.asarray(positions, float), given_facts, bounds, limits, **kw)


def test_nothing_is_held_back_when_all_is_well() -> None:
    intents = (*FLIP, order("BBB", 1, 10), order("CCC", -1, 10, limit=19.99))
    guarded = guard(intents, HELD, facts())
    assert guarded.intents == intents
    assert guarded.held == ()


NOTHING = [
    ("link", {"link_up": False}, {}, "does not hear"),
    ("link", {"reconciled": False}, {}, "not reconciled"),
    ("halt", {"halted": at(0, 1.0)}, {}, "halted"),
    ("session", {"phase": Phase.CLOSED}, {}, "exchange is closed"),
    ("opposite order", {"buying": at(0, 30.0)}, {}, "30 shares of ours"),
]
SHRINKS = [
    ("halt", {"halted": at(0, np.nan)}, {}, "not told"),
    ("session", {"phase": Phase.CLOSING}, {}, "only shrink"),
    ("blackout", {"minutes_since_open": 4.0}, {"blackout_open_minutes": 5.0}, "blackout_open_minutes 5"),
    ("blackout", {"minutes_to_close": 4.0}, {"blackout_close_minutes": 5.0}, "4 minutes to the close"),
    ("blackout", {"minutes_to_close": np.nan}, {}, "unknown"),
    ("delayed data", {"delayed": np.array([True, False, False])}, {}, "not real-time"),
    ("quote age", {"quote_age_s": at(0, 20.0)}, {}, "20, max_quote_age_s 15"),
    ("quote age", {"quote_age_s": NAN3}, {}, "unknown, max_quote_age_s"),
    ("spread", {"bid": PRICE - 1.0}, {}, "max_spread_bps 100"),
    ("spread", {"bid": PRICE + 1.0}, {}, "unknown, max_spread_bps"),
    ("price band", {"price": at(0, 40.0, PRICE)}, {}, "0.25, max_price_move 0.1"),
    ("price band", {"price": NAN3}, {}, "unknown, max_price_move"),
    ("features", {"features_ok": np.zeros(3, bool)}, {}, "features"),
    ("models", {"models_alive": 0.4}, {}, "0.4 of the models has a view, min_models 0.5"),
    ("models", {"models_alive": np.nan}, {}, "min_models"),
    ("clock", {"clock_skew_s": -6.0}, {}, "6, max_clock_skew_s 5"),
    ("clock", {"clock_skew_s": np.nan}, {}, "unknown, max_clock_skew_s"),
    ("daily loss", {"day_start_nav": 1.1e6}, {}, "max_daily_loss 0.03"),
    ("drawdown", {"peak_nav": 2e6}, {}, "0.5, max_drawdown 0.2"),
    ("daily loss", {"nav": np.nan}, {}, "unknown, max_daily_loss"),
    ("shorts", {"shortable_shares": NAN3}, {}, "unknown"),
    ("borrow", {"borrow_rate": at(0, 0.6)}, {}, "0.6, max_borrow_rate 0.5"),
    ("borrow", {"borrow_rate": NAN3}, {}, "unknown, max_borrow_rate"),
    ("participation", {"expected_volume": NAN3}, {}, "unknown"),
    ("notional", {}, {"max_order_notional": 50.0}, "7500.00 USD, max_order_notional 50"),
    ("rate", {"orders_last_minute": 200}, {}, "max_orders_per_minute 200"),
    ("rate", {"orders_last_minute": np.nan}, {}, "max_orders_per_minute"),
    ("open orders", {"open_orders": 200}, {}, "200 orders are open, max_open_orders 200"),
    ("margin", {"margin": None}, {}, "was not asked"),
    ("margin", {"margin": Margin(1e6, 0.0, np.nan)}, {}, "unknown"),
]


@pytest.mark.parametrize(("name", "change", "bounds", "why"), NOTHING)
def test_rules_that_let_nothing_pass(name, change, bounds, why) -> None:
    guarded = guard(FLIP, HELD, facts(**change), GuardSettings(**bounds))
    assert guarded.intents == ()
    assert [h.quantity for h in guarded.held] == [150]
    assert guarded.held[0].reason.startswith(f"{name}: ")
    assert why in guarded.held[0].reason


@pytest.mark.parametrize(("name", "change", "bounds", "why"), SHRINKS)
def test_rules_that_let_pass_what_shrinks(name, change, bounds, why) -> None:
    guarded = guard(FLIP, HELD, facts(**change), GuardSettings(**{"max_order_notional": 1e9, **bounds}))
    assert left(guarded) == {"AAA": -100}
    assert [(h.order_ref, h.symbol, h.quantity) for h in guarded.held] == [("AAA", "AAA", 50)]
    assert guarded.held[0].reason.startswith(f"{name}: ")
    assert why in guarded.held[0].reason


def test_every_rule_has_a_case_above() -> None:
    told = {case[0] for case in NOTHING + SHRINKS} | {"reduce only"}  # which has a test of its own
    assert {name for name, _ in RULES} == told - {"margin"}


def test_reduce_only_of_the_session() -> None:
    assert left(guard(FLIP, HELD, facts(), reduce_only=True)) == {"AAA": -100}


def test_a_wild_limit_is_never_sent() -> None:
    guarded = guard((order("AAA", -1, 50, limit=30.0),), HELD, facts())
    assert guarded.intents == ()
    assert reasons(guarded) == ["price band: limit 30 is 0.4 off 50, max_price_move 0.1"]


def test_numbers_of_shares() -> None:
    volume = facts(expected_volume=at(1, 100.0, 1e6))
    assert left(guard((order("BBB", 1, 80),), np.zeros(3), volume, limits=ValidationSettings(max_participation=0.25))) \
        == {"BBB": 25}  # fmt: skip
    assert left(guard((order("BBB", 1, 80),), np.zeros(3), facts(), GuardSettings(max_order_notional=5_050.0))) == {
        "BBB": 50
    }
    lots = facts(lot=np.full(3, 20.0))
    assert left(guard((order("BBB", 1, 80),), np.zeros(3), lots, GuardSettings(max_order_notional=5_050.0))) == {
        "BBB": 40
    }


def test_short_sales_share_what_can_be_borrowed() -> None:
    few = facts(shortable_shares=np.full(3, 70.0))
    assert left(guard((order("AAA", -1, 300),), HELD, few)) == {"AAA": -170}
    # 130 of a working sale of 100 shares long: 30 of the 70 are promised
    assert left(guard((order("AAA", -1, 300),), HELD, replace(few, selling=at(0, 130.0)))) == {"AAA": -40}
    twice = (order("AAA", -1, 300, ref="a"), order("AAA", -1, 300, ref="b"))
    assert left(guard(twice, HELD, few)) == {"a": -170}
    assert left(guard((order("AAA", 1, 300),), -HELD, replace(few, shortable_shares=NAN3))) == {"AAA": 300}


def test_what_works_already_shrinks_no_second_time() -> None:
    stale = facts(quote_age_s=np.full(3, 1e3), selling=at(0, 80.0))
    assert left(guard(FLIP, HELD, stale)) == {"AAA": -20}
    twice = (order("AAA", -1, 70, ref="a"), order("AAA", -1, 70, ref="b"))
    assert sum(left(guard(twice, HELD, replace(stale, selling=np.zeros(3)))).values()) == -100


def test_rate_lets_exits_go_first() -> None:
    intents = (order("BBB", 1, 10, ref="b"), order("CCC", 1, 10, ref="c"), order("AAA", -1, 100, ref="z"))
    assert left(guard(intents, HELD, facts(orders_last_minute=198))) == {"b": 10, "z": -100}
    assert left(guard(intents, HELD, facts(open_orders=250))) == {"z": -100}


def test_the_basket_is_scaled_to_the_margin_in_whole_lots() -> None:
    intents = (order("AAA", -1, 150), order("BBB", 1, 101), order("CCC", 1, 7))
    # 400,000 free before, 100,000 wanted (a tenth of NAV), -100,000 after: three fifths may go
    short = facts(margin=Margin(500_000.0, 100_000.0, 600_000.0))
    guarded = guard(intents, HELD, short)
    assert left(guarded) == {"AAA": -130, "BBB": 60, "CCC": 4}
    assert [(h.symbol, h.quantity) for h in guarded.held] == [("AAA", 20), ("BBB", 41), ("CCC", 3)]
    assert "-100000.00 USD would be free, min_excess_liquidity 0.1 asks for 100000.00" in guarded.held[0].reason
    lots = replace(short, lot=np.full(3, 25.0))
    assert left(guard_margin(intents, HELD, lots, BOUNDS)) == {"AAA": -125, "BBB": 50}
    poor = facts(margin=Margin(500_000.0, 450_000.0, 440_000.0))  # a little better after, and still too little
    assert left(guard_margin(intents, HELD, poor, BOUNDS)) == {"AAA": -100}
    odd = (order("AAA", -1, 33),)  # what only shrinks needs no margin
    assert guard_margin(odd, HELD, facts(margin=None, lot=np.full(3, 25.0)), BOUNDS).intents == odd


def test_margin_of_orders_asked_one_by_one() -> None:
    answers = [WhatIf(9e4, 3e4, 2e4, 1.0), WhatIf(8e4, 1e4, 1e4, 1.0), WhatIf(9e4, 2.5e4, 2e4, 1.0)]
    assert Margin.of_orders(2e4, answers) == Margin(8e4, 2e4, 3.5e4)
    nan = Margin.of_orders(2e4, [*answers, WhatIf(np.nan, np.nan, 1.0, 1.0)])
    assert np.isnan(nan.after)
    assert np.isnan(nan.equity_with_loan)
    assert np.isnan(Margin.of_orders(2e4, []).after)


def test_facts_of_quotes() -> None:
    now = 100 * 10**9
    told = {
        "AAA": Quote("AAA", 49.9, 50.1, 1.0, 1.0, 50.0, now - 10**9, True, 500.0, True),
        "CCC": Quote("CCC", np.nan, np.nan, 0.0, 0.0, 20.0, 0, None, np.nan, False),
    }
    f = facts().with_quotes(told, now)
    np.testing.assert_array_equal(f.quote_age_s, [1.0, np.nan, np.nan])
    np.testing.assert_array_equal(f.halted, [1.0, np.nan, np.nan])
    np.testing.assert_array_equal(f.shortable_shares, [500.0, np.nan, np.nan])
    np.testing.assert_array_equal(f.mid, [50.0, np.nan, np.nan])
    np.testing.assert_array_equal(f.reference, [50.0, 100.0, 20.0])
    assert f.delayed.tolist() == [True, False, False]


# ---- properties -----------------------------------------------------------------------------------------------------

POSITIONS = st.lists(st.integers(-100, 100), min_size=3, max_size=3).map(lambda p: np.array(p, float))
ORDERS = st.lists(st.tuples(st.sampled_from(SYMBOLS), st.sampled_from([1, -1]), st.integers(1, 300)), max_size=5)
MAYBE = st.sampled_from([np.nan, 0.0, 0.5, 1.0, 40.0, 1e6])
BASKETS = ORDERS.map(lambda rows: tuple(order(s, side, q, ref=f"{k}{s}") for k, (s, side, q) in enumerate(rows)))


@st.composite
def any_facts(draw) -> LiveFacts:
    """Facts of every kind, many of them unknown or bad."""

    def vector():
        return np.array([draw(MAYBE) for _ in SYMBOLS])

    names = ("bid", "ask", "price", "quote_age_s", "halted", "shortable_shares", "borrow_rate", "expected_volume")
    some = draw(st.lists(st.sampled_from(names), max_size=3, unique=True))
    scalars = ("minutes_since_open", "minutes_to_close", "clock_skew_s", "models_alive", "nav", "peak_nav")
    odd = draw(st.lists(st.sampled_from(scalars), max_size=2, unique=True))
    margin = draw(st.sampled_from([None, RICH, Margin(1e5, 0.0, 5e4), Margin(5e5, 1e5, 6e5), Margin(1e6, np.nan, 1.0)]))
    phase = draw(st.sampled_from([Phase.OPEN, Phase.OPEN, Phase.CLOSING, Phase.CLOSED]))
    changes = {name: vector() for name in some} | {name: draw(MAYBE) for name in odd}
    lot = np.array([draw(st.sampled_from([1.0, 1.0, 10.0])) for _ in SYMBOLS])
    rate = draw(st.sampled_from([0, 199, 500]))
    return facts(**changes, margin=margin, phase=phase, lot=lot, orders_last_minute=rate)


@LIGHT
@given(intents=BASKETS, positions=POSITIONS, f=any_facts(), reduce_only=st.booleans())
def test_never_enlarges_invents_or_loses_a_share(intents, positions, f, reduce_only) -> None:
    guarded = guard(intents, positions, f, reduce_only=reduce_only)
    before = {o.order_ref: o for o in intents}
    for o in guarded.intents:
        was = before[o.order_ref]
        assert 0 < o.quantity <= was.quantity
        assert (o.symbol, o.side, o.order_type) == (was.symbol, was.side, was.order_type)
    kept = {o.order_ref: o.quantity for o in guarded.intents}
    for ref, was in before.items():
        held = [h for h in guarded.held if h.order_ref == ref]
        assert kept.get(ref, 0) + sum(h.quantity for h in held) == was.quantity
        assert all(h.quantity > 0 and h.symbol == was.symbol and ": " in h.reason for h in held)


@LIGHT
@given(intents=BASKETS, positions=POSITIONS, f=any_facts())
def test_under_reduce_only_no_position_turns_or_grows(intents, positions, f) -> None:
    guarded = guard(intents, positions, f, reduce_only=True)
    for i, symbol in enumerate(SYMBOLS):
        moved = sum(o.side * o.quantity for o in guarded.intents if o.symbol == symbol)
        after = positions[i] + moved
        assert after * positions[i] >= 0
        assert abs(after) <= abs(positions[i])


@LIGHT
@given(intents=BASKETS, positions=POSITIONS)
def test_unknown_facts_let_pass_only_what_shrinks(intents, positions) -> None:
    # all that the outside tells is unknown; that we are connected, reconciled and in session is our own knowledge
    blind = replace(LiveFacts.unknown(SYMBOLS), link_up=True, reconciled=True, phase=Phase.OPEN)
    guarded = guard(intents, positions, blind)
    for i, symbol in enumerate(SYMBOLS):
        moved = sum(o.side * o.quantity for o in guarded.intents if o.symbol == symbol)
        assert moved * positions[i] <= 0
        assert abs(moved) <= abs(positions[i])
    one_sided = [o for o in intents if sum(x.symbol == o.symbol for x in intents) == 1]
    kept = {o.order_ref: o.quantity for o in guarded.intents}
    for o in one_sided:
        position = positions[SYMBOLS.index(o.symbol)]
        assert kept.get(o.order_ref, 0) == (min(o.quantity, abs(position)) if o.side * position < 0 else 0)
    assert guard(intents, positions, LiveFacts.unknown(SYMBOLS)).intents == ()
    assert guard(intents, NAN3, blind).intents == ()


@LIGHT
@given(intents=BASKETS, positions=POSITIONS, f=any_facts())
def test_longs_and_shorts_mirror(intents, positions, f) -> None:
    # shorting has rules of its own: here everything can be borrowed for nothing
    free = replace(f, shortable_shares=np.full(3, 1e9), borrow_rate=np.zeros(3))
    turned = tuple(replace(o, side=-o.side) for o in intents)
    here, there = guard(intents, positions, free), guard(turned, -positions, free)
    assert left(there) == {ref: -q for ref, q in left(here).items()}


@LIGHT
@given(intents=BASKETS, positions=POSITIONS, f=any_facts(), p=st.permutations([0, 1, 2]), seed=st.integers(0, 9))
def test_permuting_symbols_and_orders_permutes_results(intents, positions, f, p, seed) -> None:
    arrays = {
        name: getattr(f, name)[p] for name in LiveFacts.__dataclass_fields__ if isinstance(getattr(f, name), np.ndarray)
    }
    moved = replace(f, symbols=tuple(SYMBOLS[i] for i in p), **arrays)
    shuffled = tuple(intents[k] for k in np.random.default_rng(seed).permutation(len(intents)))
    here, there = guard(intents, positions, f), guard(shuffled, positions[p], moved)
    assert left(here) == left(there)
    assert sorted(here.held, key=repr) == sorted(there.held, key=repr)


@LIGHT
@given(intents=BASKETS, positions=POSITIONS, f=any_facts())
def test_orders_then_margin_is_the_whole(intents, positions, f) -> None:
    first = guard_orders(intents, positions, f, BOUNDS, LIMITS)
    assert guard(intents, positions, f).intents == guard_margin(first.intents, positions, f, BOUNDS).intents


def test_bad_input_is_named() -> None:
    with pytest.raises(DataError, match="order x is in ZZZ, of which there are no facts"):
        guard((order("ZZZ", 1, 10, ref="x"),), HELD, facts())
    with pytest.raises(DataError, match="order reference r stands twice among 2 orders"):
        guard((order("AAA", 1, 10, ref="r"), order("BBB", 1, 10, ref="r")), HELD, facts())
    with pytest.raises(DataError, match=r"positions of shape \(2,\) for 3 symbols"):
        guard((), [0, 0], facts())
    with pytest.raises(ValueError, match=r"LiveFacts.bid has shape \(2,\), expected \(3,\)"):
        facts(bid=np.ones(2))
    with pytest.raises(DataError, match="lot of BBB is nan; a lot is at least 1 share"):
        facts(lot=at(1, np.nan, 1.0))
