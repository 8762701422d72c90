"""Transaction-cost analysis: amounts by hand, identities under hypothesis, honest unknowns, and bad input."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.analysis import tca
from workbench.config import CostSettings
from workbench.core.errors import DataError
from workbench.decision.costs import CostModel

NAN = np.nan


def ns(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 10**9


def orders(**changes) -> tca.SentOrders:
    """A buy of 100 A at market, filled in two; a sell of 200 B at mid, half filled; one of C, never filled."""
    whole = tca.SentOrders(
        order_ref=("a", "b", "c"),
        system=("one", "two", "one"),
        symbol=("A", "B", "C"),
        policy=("market", "mid_step", "mid_step"),
        side=np.array([1, -1, 1]),
        quantity=np.array([100.0, 200.0, 10.0]),
        filled=np.array([100.0, 100.0, 0.0]),
        cancelled=np.array([False, True, True]),
        replacements=np.array([0, 4, 2]),
        decision_mid=np.array([100.0, 50.0, 20.0]),
        arrival_mid=np.array([100.1, 49.9, 20.0]),
        interval_mid=np.array([100.2, NAN, NAN]),
        spread=np.array([0.0004, 0.001, 0.001]),
        sigma_exec=np.array([0.001, 0.002, 0.002]),
        sigma_1d=np.array([0.01, 0.02, 0.02]),
        expected_volume=np.array([10_000.0, 4_000.0, NAN]),
        bucket=np.array([0, 3, 3]),
        predicted=np.array([0.0008, 0.0010, NAN]),
    )
    return replace(whole, **changes)


def fills(**changes) -> tca.Fills:
    whole = tca.Fills(
        order_ref=("a", "a", "b"),
        quantity=np.array([60.0, 40.0, 100.0]),
        price=np.array([100.2, 100.3, 49.8]),
        commission=np.array([0.3, 0.2, 0.5]),
        mid=np.array([100.15, 100.25, NAN]),
        time=np.array([ns("2026-07-01T13:31:00"), ns("2026-07-01T14:02:00"), ns("2026-01-05T20:10:00")]),
    )
    return replace(whole, **changes)


def test_every_cost_of_a_fill_by_hand() -> None:
    lines = tca.cost_lines(orders(), fills())
    np.testing.assert_allclose(lines.decision_bps, [20.0, 30.0, 40.0])  # 0.2/100, 0.3/100, 0.2/50
    np.testing.assert_allclose(lines.arrival_bps, [0.1 / 100.1 * 1e4, 0.2 / 100.1 * 1e4, 0.1 / 49.9 * 1e4])
    np.testing.assert_allclose(lines.interval_bps, [0.0, 0.1 / 100.2 * 1e4, NAN], atol=1e-9)
    np.testing.assert_allclose(lines.delay_bps, [10.0, 10.0, 20.0])
    np.testing.assert_allclose(lines.spread_bps, [0.05 / 100.1 * 1e4, 0.05 / 100.1 * 1e4, NAN])
    np.testing.assert_allclose(lines.impact_bps, [0.05 / 100.1 * 1e4, 0.15 / 100.1 * 1e4, NAN])
    np.testing.assert_allclose(lines.commission_bps, [0.3 / 6012 * 1e4, 0.2 / 4012 * 1e4, 0.5 / 4980 * 1e4])


def test_groups_count_what_is_known_and_what_is_not() -> None:
    a, b, c = tca.by_symbol(orders(), fills())
    assert (a.key, a.orders, a.fills, a.fill_rate, a.cancel_rate) == ("A", 1, 2, 1.0, 0.0)
    assert a.costs["decision_bps"].mean == pytest.approx((6012 * 20 + 4012 * 30) / 10_024)
    assert np.isnan(a.costs["decision_bps"].se)  # one order is one observation
    assert (b.costs["spread_bps"].fills, b.costs["spread_bps"].unknown, b.fill_rate) == (0, 1, 0.5)
    assert np.isnan(b.costs["spread_bps"].mean)
    assert (c.orders, c.fills, c.value, c.fill_rate, c.cancel_rate) == (1, 0, 0.0, 0.0, 1.0)
    market, step = tca.by_policy(orders(), fills())
    assert (market.key, step.key, step.orders, step.replacements) == ("market", "mid_step", 2, 3.0)
    assert step.fill_rate == pytest.approx(100 / 210)
    whole = tca.overall(orders(), fills())
    assert (whole.orders, whole.fills, whole.cancel_rate) == (3, 3, pytest.approx(2 / 3))


def test_sizes_and_hours_of_new_york() -> None:
    assert [g.key for g in tca.by_size(orders(), fills())] == ["below 1,000 USD", "from 1,000 USD", "from 10,000 USD"]
    unknown = orders(decision_mid=np.full(3, NAN), arrival_mid=np.full(3, NAN))
    (only,) = tca.by_size(unknown, fills())
    assert (only.key, only.costs["decision_bps"].unknown) == ("unknown", 3)
    hours = tca.by_hour(orders(), fills())  # summer 13:31 and 14:02 UTC, winter 20:10 UTC
    assert [(g.key, g.fills, g.orders) for g in hours] == [("09:00", 1, 1), ("10:00", 1, 1), ("15:00", 1, 1)]


def test_standard_error_of_one_fill_per_order_is_the_usual_one() -> None:
    cost = np.random.default_rng(0).normal(3.0, 2.0, 400)
    found = tca.mean_cost(cost, np.full(400, 7.0), np.arange(400))
    assert found.mean == pytest.approx(cost.mean())
    assert found.se == pytest.approx(cost.std(ddof=1) / 20)
    # the same fill split into four is the same information
    split = tca.mean_cost(np.repeat(cost, 4), np.full(1600, 1.75), np.repeat(np.arange(400), 4))
    assert (split.mean, split.se) == (pytest.approx(found.mean), pytest.approx(found.se))
    assert tca.mean_cost(np.array([NAN]), np.ones(1), np.zeros(1, np.int64)).fills == 0


@settings(max_examples=60, deadline=None)
@given(data=st.data(), n=st.integers(1, 12))
def test_signs_and_the_split_of_slippage(data, n) -> None:
    prices = st.lists(st.floats(10, 11), min_size=n, max_size=n).map(np.array)
    price, decision, arrival, at_fill = (data.draw(prices) for _ in range(4))
    side = np.array(data.draw(st.lists(st.sampled_from([1, -1]), min_size=n, max_size=n)))

    def lines(side, flip):
        def turn(p):
            return 20.0 - p if flip else p

        base = tuple(str(k) for k in range(n))
        flat, one = np.full(n, 0.01), np.ones(n)
        sent = tca.SentOrders(
            base, base, base, ("x",) * n, side, one, one, one < 0, np.zeros(n), turn(decision), turn(arrival),
            turn(arrival), flat, flat, flat, one, np.zeros(n), flat,
        )  # fmt: skip
        return tca.cost_lines(sent, tca.Fills(base, one, turn(price), flat, turn(at_fill), np.zeros(n))), turn

    plain, _ = lines(side, False)
    np.testing.assert_allclose(plain.spread_bps + plain.impact_bps, plain.arrival_bps, atol=1e-8)
    paid = side * (price - decision)
    assert (np.sign(np.round(plain.decision_bps, 9)) == np.sign(np.round(paid / decision / 1e-4, 9))).all()
    # a market reflected about 10 with sides turned: the same dollars per share are lost
    other, turn = lines(-side, True)
    np.testing.assert_allclose(other.decision_bps * turn(decision), plain.decision_bps * decision, atol=1e-6)


def test_refit_recovers_what_made_the_costs_and_shrinks_to_the_defaults() -> None:
    rng, n = np.random.default_rng(1), 4000
    refs = tuple(str(k) for k in range(n))
    side, spread, sigma = rng.choice([1, -1], n), rng.uniform(2e-4, 2e-3, n), rng.uniform(0.01, 0.04, n)
    share = np.exp(rng.uniform(np.log(1e-3), np.log(0.05), n))
    cost = 0.7 * spread + 0.3 * sigma * share**0.6
    mid, volume = np.full(n, 50.0), np.full(n, 1e5)
    shares = share * volume
    sent = tca.SentOrders(
        refs, refs, refs, ("market",) * n, side, shares, shares, np.zeros(n, bool), np.zeros(n), mid, mid, mid,
        spread, np.full(n, 1e-3), sigma, volume, np.zeros(n), cost,
    )  # fmt: skip
    # every order filled in two halves around its mean price
    price = mid * (1 + side * cost)
    halves = tca.Fills(
        refs + refs, np.r_[shares, shares] / 2, np.r_[price + 0.01, price - 0.01], np.zeros(2 * n), np.r_[mid, mid],
        np.zeros(2 * n),
    )  # fmt: skip
    observed = tca.cost_observations(sent, halves)
    np.testing.assert_allclose(observed.cost, cost, rtol=1e-9)
    np.testing.assert_allclose(observed.participation, share)
    model = CostModel(CostSettings()).fit(observed)
    assert (model.k1_, model.k3_) == (pytest.approx(0.7, rel=0.02), pytest.approx(0.3, rel=0.05))
    few = tca.cost_observations(sent, replace(halves, price=np.full(2 * n, NAN)))
    assert (CostModel(CostSettings()).fit(few).k1_, len(few.cost)) == (0.5, n)  # nothing known: the defaults


def test_observations_are_of_filled_orders_and_keep_unknowns() -> None:
    seen = tca.cost_observations(orders(expected_volume=np.array([1e4, 0.0, 1.0])), fills())
    assert len(seen.cost) == 2
    np.testing.assert_allclose(seen.participation, [0.01, NAN])
    np.testing.assert_allclose(seen.cost, [(100.24 / 100.1) - 1, 0.1 / 49.9])


def test_interval_mid_weighs_by_time() -> None:
    times, mids = np.array([0, 10, 20]), np.array([100.0, NAN, 110.0])
    assert tca.interval_mid(times, mids, 5, 25) == 105.0  # five of 100, five of 110; the unknown ten are left out
    assert tca.interval_mid(times, mids, 20, 20) == 110.0
    assert tca.interval_mid(times, mids, 30, 40) == 110.0
    assert np.isnan(tca.interval_mid(times, mids, 12, 18))
    assert np.isnan(tca.interval_mid(times[:0], mids[:0], 0, 5))
    with pytest.raises(DataError, match="before it starts"):
        tca.interval_mid(times, mids, 5, 4)


def test_bad_input_is_named() -> None:
    with pytest.raises(DataError, match="fill belongs to order zz, which is not among the 3 orders"):
        tca.cost_lines(orders(), fills(order_ref=("a", "zz", "b")))
    with pytest.raises(DataError, match="order a is listed 2 times"):
        orders(order_ref=("a", "a", "c"))
    with pytest.raises(DataError, match="side of order b is 0"):
        orders(side=np.array([1, 0, 1]))
    with pytest.raises(ValueError, match=r"SentOrders.spread has shape \(2,\)"):
        orders(spread=np.ones(2))
    with pytest.raises(DataError, match="policy has 1 rows, order_ref 3"):
        orders(policy=("x",))


def test_nothing_at_all_is_no_error() -> None:
    none = tca.Fills((), *(np.zeros(0) for _ in range(5)))
    whole = tca.overall(orders(), none)
    assert (whole.fills, whole.fill_rate) == (0, pytest.approx(200 / 310))
    assert tca.by_hour(orders(), none) == ()
    assert len(tca.cost_observations(orders(), none).cost) == 0


def test_cost_of_an_order_is_that_of_its_fills_by_value() -> None:
    decision = tca.order_costs(orders(), fills(), "decision_bps")
    np.testing.assert_allclose(decision, [(6012 * 20 + 4012 * 30) / 10_024, 40.0, NAN])
    spread = tca.order_costs(orders(), fills(mid=np.array([100.15, NAN, 49.85])), "spread_bps")
    np.testing.assert_allclose(spread, [NAN, 0.05 / 49.9 * 1e4, NAN])  # half of an order's value tells nothing of it


def test_groups_of_systems() -> None:
    one, two = tca.by_system(orders(), fills())
    assert (one.key, one.orders, one.fills, two.key, two.orders, two.fills) == ("one", 2, 2, "two", 1, 1)


def test_sessions_are_put_together_and_an_order_that_outlived_one_stands_once() -> None:
    later = orders(order_ref=("b", "d", "e"), filled=np.array([200.0, 200.0, 0.0]), replacements=np.array([7, 0, 0]))
    more = fills(order_ref=("b", "d", "d"))
    sent, made = tca.join([(orders(), fills()), (later, more)])
    assert sent.order_ref == ("a", "c", "b", "d", "e")
    assert sent.replacements.tolist() == [0, 2, 7, 0, 0]  # b as the later session has it
    assert made.order_ref == ("a", "a", "b", "b", "d", "d")
    np.testing.assert_allclose(made.quantity, [60, 40, 100, 60, 40, 100])
    assert tca.overall(sent, made).fills == 6
    with pytest.raises(DataError, match="at least one session"):
        tca.join([])
