"""PositionSizer: weights, zone, band, states, mandates, limits; values against the reference."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import decision_reference as reference
import numpy as np
import pytest
from decision_builders import book_of, correlation, snapshot
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.config import Settings, SizingSettings
from workbench.core.types import Book, Choice, Costs, Phase, Snapshot, State
from workbench.decision.sizing import PositionSizer, Sizing

N = 8
F, E, U = int(State.FORECAST), int(State.NO_EDGE), int(State.UNKNOWN)


def choice_of(rate: Any, state: Any = None, row: int = 6, share: Any = 0.0) -> Choice:
    """Rates on one horizon (1d by default)."""
    rate = np.asarray(rate, float)
    n = len(rate)
    state = np.where(rate != 0, F, E) if state is None else np.asarray(state)
    weights = np.zeros((9, n))
    weights[row] = state == F
    rate = np.where(state == U, np.nan, rate)
    return Choice(rate, rate, weights, state, np.broadcast_to(np.asarray(share, float), (n,)))


def costs_of(one_way: Any, n: int) -> Costs:
    c = np.broadcast_to(np.asarray(one_way, float), (n,)).copy()
    return Costs(np.broadcast_to(c, (9, n)), c, c * 0, c * 0, c * 0)


def size(
    choice: Choice, now: Any = 0.0, cost: Any = 0.0, s: Snapshot | None = None, book: Book | None = None,
    gate: Any = 1.0, z_ref: float = 0.05, **options: Any,
) -> Sizing:  # fmt: skip
    n = len(choice.gross)
    s = s or snapshot(n)
    stage = PositionSizer(SizingSettings(**{"no_trade_band": 0.0, **options}))
    stage.z_ref_ = z_ref
    gates = np.where(choice.state == F, np.broadcast_to(np.asarray(gate, float), (n,)), np.nan)
    return stage.size(choice, gates, costs_of(cost, n), s, book or book_of(s, now))


@given(st.integers(0, 2**31), st.floats(0.1, 5))
@settings(max_examples=25, deadline=None)
def test_desired_weights_agree_with_the_reference(seed: int, penalty: float) -> None:
    rng = np.random.default_rng(seed)
    leverage = rng.choice([1.0, 1.0, 3.0, -3.0], N)
    s = snapshot(N, seed, leverage=leverage)
    rate = rng.normal(size=N) * 2e-3
    gate = rng.uniform(0.2, 1, N)
    got = size(choice_of(rate), s=s, gate=gate, ridge_lambda=penalty, max_weight=0.08)
    want = reference.ridge_weights(rate * gate, s.sigma_1d, s.correlation, 0.05, 3.0, penalty, 0.5, leverage)
    free = reference.project(want, leverage, 0.08, 0.5, 0.2)
    if (free * want >= -1e-9).all():  # the stage also refuses to turn a position round
        np.testing.assert_allclose(got.desired, free, atol=2e-6)
    np.testing.assert_array_equal(got.weights, got.desired)


def test_without_binding_limits_the_formula_is_exact() -> None:
    rng = np.random.default_rng(5)
    s = snapshot(N)
    rate = rng.normal(size=N) * 1e-3
    got = size(choice_of(rate), s=s, max_weight=1.0, target_gross=1.0, max_net=1.0)
    want = reference.ridge_weights(rate, s.sigma_1d, s.correlation, 0.05, 3.0, 1.0, 1.0, np.ones(N))
    np.testing.assert_allclose(got.weights, want, rtol=1e-10)


def test_weak_alphas_do_not_get_the_full_gross() -> None:
    s = snapshot(N)
    rate = np.where(np.arange(N) % 2, 1, -1) * s.sigma_1d * 0.01  # z = 0.01, a fifth of z_ref
    got = size(choice_of(rate), s=s, max_weight=0.5, max_net=0.5)
    assert np.abs(got.weights).sum() == pytest.approx(0.5 * 0.2, rel=1e-9)


def test_z_is_clipped() -> None:
    s = snapshot(2, correlation=np.eye(2), sigma_1d=np.full(2, 0.01))
    got = size(choice_of([1.0, 0.0005]), s=s, max_weight=0.5, max_net=0.5)
    assert got.weights[0] / got.weights[1] == pytest.approx(3.0)


def test_demeaned_scores_sum_to_zero() -> None:
    s = snapshot(4, correlation=np.eye(4), sigma_1d=np.full(4, 0.01))
    got = size(choice_of([0.001, 0.002, 0.003, 0.004]), s=s, demean=True, max_weight=0.5)
    assert got.weights.sum() == pytest.approx(0, abs=1e-12)


def test_no_edge_is_flat_and_unknown_is_held() -> None:
    got = size(choice_of(np.full(4, 1e-3), [F, E, U, U]), now=[0.01, 0.02, -0.03, 0.0], cost=1e-4)
    assert got.weights[1:].tolist() == [0.0, -0.03, 0.0]
    assert got.unknown_bars.tolist() == [0, 0, 1, 1]


def test_overdue_unknown_is_halved_each_time_until_it_is_gone() -> None:
    s = snapshot(2)
    book = book_of(s, 0.04)
    held = []
    for _ in range(14):
        got = size(choice_of(np.zeros(2), [U, U]), s=s, book=book, max_unknown=6, no_trade_band=0.004)
        held.append(float(got.weights[0]))
        carry = replace(book.carry, unknown_bars=got.unknown_bars)
        book = replace(book, weights=got.weights, carry=carry)
    assert held[:6] == [0.04] * 6
    np.testing.assert_allclose(held[6:10], [0.02, 0.01, 0.005, 0.0])
    assert held[-1] == 0.0


def test_halted_names_are_not_even_halved() -> None:
    s = snapshot(2, halted=np.array([True, False]))
    book = book_of(s, 0.02, unknown_bars=np.full(2, 50))
    assert size(choice_of(np.zeros(2), [U, U]), s=s, book=book).weights.tolist() == [0.02, 0.01]


def test_zone_trades_only_to_its_edge() -> None:
    s = snapshot(3, correlation=np.eye(3), sigma_1d=np.full(3, 0.02))
    choice = choice_of([3e-4, 3e-4, 3e-4])
    free = size(choice, s=s, max_weight=0.5, max_net=0.5)
    level = 0.5 * min(1.0, 3e-4 / 0.02 / 0.05) / 3 / (3e-4 / 0.02 / 0.05)  # target_gross * rms(u) / (n*u)
    width = level / (0.02 * 0.05) * 1e-4  # kappa * c with a diagonal C: dw*/da = K/(sigma^2 z_ref), y = u/2 in both
    got = size(choice, now=[0.0, 0.2, float(free.weights[2])], cost=1e-4, s=s, max_weight=0.5, max_net=0.6)
    w = free.weights[0]
    np.testing.assert_allclose(got.weights, [w - width, w + width, w], rtol=1e-9)


def test_zone_has_no_width_where_the_cap_or_the_clip_binds() -> None:
    s = snapshot(2, correlation=np.eye(2), sigma_1d=np.full(2, 0.02))
    capped = size(choice_of([5e-3, -5e-3]), cost=3e-4, s=s)
    np.testing.assert_array_equal(capped.weights, capped.desired)
    np.testing.assert_allclose(np.abs(capped.weights), 0.05)
    clipped = size(choice_of([5e-2, -5e-2]), cost=3e-4, s=s, max_weight=0.5)
    np.testing.assert_array_equal(clipped.weights, clipped.desired)


def test_zone_of_a_short_horizon_is_wider_for_the_same_daily_rate() -> None:
    s = snapshot(4)
    rate = np.array([2e-3, -2e-3, 1e-3, -1e-3])
    day, bar = (size(choice_of(rate, row=row), now=0.0, cost=2e-5, s=s).weights for row in (6, 0))
    assert (np.abs(bar) < np.abs(day)).all()


def test_unknown_cost_holds() -> None:
    got = size(choice_of(np.full(2, 2e-3)), now=[0.01, 0.02], cost=np.nan)
    assert got.weights.tolist() == [0.01, 0.02]


def test_each_trade_is_priced_at_its_own_size() -> None:
    s = snapshot(2)
    stage = PositionSizer(SizingSettings(no_trade_band=0.0))
    seen = []

    def price(amount: np.ndarray) -> np.ndarray:
        seen.append(amount)
        return np.array([0.0, 1.0])

    got = stage.size(choice_of([2e-3, 2e-3]), np.ones(2), costs_of(5e-4, 2), s, book_of(s), price)
    np.testing.assert_array_equal(seen[0], np.abs(got.desired))
    np.testing.assert_array_equal(got.weights, [got.desired[0], 0.0])


def test_band_holds_small_moves_but_not_exits_and_turns() -> None:
    s = snapshot(4, correlation=np.eye(4), sigma_1d=np.full(4, 0.02))
    rate = np.array([1e-3, 1e-3, 0.0, -1e-3])
    free = size(choice_of(rate), s=s, max_weight=0.5, max_net=0.5).weights
    now = [free[0] - 0.003, free[1] - 0.006, 0.002, 0.001]
    got = size(choice_of(rate), now=now, s=s, no_trade_band=0.005, max_weight=0.5, max_net=0.5).weights
    np.testing.assert_allclose(got, [now[0], free[1], 0.0, free[3]], rtol=1e-12)


def test_default_band_and_its_warning() -> None:
    assert PositionSizer(SizingSettings()).band(60) == pytest.approx(0.25 * 0.5 / 60)
    assert PositionSizer(SizingSettings()).band(3) == 0.008
    assert PositionSizer(SizingSettings()).warnings(60) == ()
    (message,) = PositionSizer(SizingSettings(no_trade_band=0.01)).warnings(60)
    assert "no_trade_band 0.01 exceeds the mean weight 0.00833" in message


def test_kept_names_stay_fixed_while_others_make_room() -> None:
    s = snapshot(6, correlation=np.eye(6), sigma_1d=np.full(6, 0.02))
    rate = np.array([1, 1, 1, -1, -1, -1]) * 5e-3
    now = np.array([0.09, 0.0, 0.0, -0.08, 0.0, 0.0])
    got = size(choice_of(rate), now=now, s=s, max_weight=0.1, no_trade_band=0.02).weights
    np.testing.assert_array_equal(got[[0, 3]], now[[0, 3]])
    assert np.abs(got).sum() <= 0.5
    assert np.abs(got).sum() == pytest.approx(0.5)


def test_kept_names_are_released_when_nothing_else_can_give() -> None:
    s = snapshot(4, correlation=np.eye(4), sigma_1d=np.full(4, 0.02))
    now = np.array([0.13, 0.13, -0.13, -0.13])
    got = size(choice_of(np.sign(now) * 5e-3), now=now, s=s, max_weight=0.2, no_trade_band=0.05).weights
    assert np.abs(got).sum() <= 0.5


def test_limits_count_delta_dollars() -> None:
    s = snapshot(3, leverage=np.array([3.0, -3.0, 1.0]))
    got = size(choice_of([9e-2, -9e-2, 9e-2]), s=s).weights
    delta = got * s.leverage
    assert (np.abs(delta) <= 0.05).all()
    assert delta[0] > 0
    assert delta[1] > 0


def test_unborrowable_names_are_not_sold_short() -> None:
    s = snapshot(4, shortable=np.array([False, False, True, True]))
    rate = np.array([-5e-3, -5e-3, -5e-3, 5e-3])
    got = size(choice_of(rate), now=[0.02, -0.01, 0.0, 0.0], s=s).weights
    assert got[0] == 0.0
    assert -0.01 <= got[1] <= 0
    assert got[2] < 0
    assert (size(choice_of(rate), s=s, allow_short=False).weights >= 0).all()


def test_ineligible_duplicates_are_closed_and_never_opened() -> None:
    s = snapshot(3, eligible=np.array([True, False, False]))
    assert size(choice_of(np.full(3, 1e-3)), now=[0, 0.02, 0], s=s).weights[1:].tolist() == [0.0, 0.0]


def test_a_net_limit_turns_nobody_round() -> None:
    n = 12
    s = snapshot(n, correlation=np.eye(n), sigma_1d=np.full(n, 0.02))
    rate = np.r_[np.full(11, 5e-3), 1e-4]
    got = size(choice_of(rate), s=s, max_net=0.02).weights
    assert (got >= 0).all()
    assert got.sum() <= 0.02


def test_unknown_positions_count_against_the_limits() -> None:
    s = snapshot(4)
    got = size(choice_of(np.full(4, 9e-2), [U, U, F, F]), now=[0.05, 0.05, 0.0, 0.0], s=s, max_net=0.12).weights
    np.testing.assert_array_equal(got[:2], [0.05, 0.05])
    assert got.sum() <= 0.12
    assert got.sum() == pytest.approx(0.12)


def test_unknown_positions_shrink_where_limits_leave_no_choice_and_never_grow() -> None:
    s = snapshot(3)
    now = np.array([0.3, -0.02, 0.2])
    got = size(choice_of(np.zeros(3), [U, U, U]), now=now, s=s).weights
    assert np.abs(got).max() <= 0.05
    assert (np.abs(got) <= np.abs(now)).all()
    assert abs(got.sum()) <= 0.2


def test_flatten_window_keeps_only_the_mandate() -> None:
    s = snapshot(3, phase=Phase.CLOSING, minutes_to_close=10.0)
    got = size(choice_of(np.full(3, 5e-3), share=[1.0, 0.25, 0.0]), now=[0.02, -0.04, 0.03], s=s)
    np.testing.assert_allclose(got.weights, [0.02, -0.01, 0.0])
    np.testing.assert_allclose(got.day_weight, got.weights)


def test_overnight_gross_is_bounded() -> None:
    s = snapshot(4, phase=Phase.CLOSING, minutes_to_close=10.0)
    got = size(choice_of(np.full(4, 5e-3), share=1.0), now=[0.04, -0.04, 0.04, -0.04], s=s, max_overnight_gross=0.08)
    assert np.abs(got.weights).sum() <= 0.08
    assert np.abs(got.weights).sum() == pytest.approx(0.08)


def test_mandate_grows_with_day_trades_only() -> None:
    s = snapshot(2)
    bar = size(choice_of([5e-3, -5e-3], row=0, share=0.5), now=[0.02, 0.02], s=s)
    assert bar.day_weight[0] == pytest.approx(0.5 * 0.02)
    assert bar.day_weight[1] == 0.0
    day = size(choice_of([5e-3, -5e-3], row=6, share=1.0), s=s)
    np.testing.assert_array_equal(day.day_weight, day.weights)


def test_qp_agrees_with_the_reference() -> None:
    rng = np.random.default_rng(2)
    s = snapshot(N)
    rate = rng.normal(size=N) * 2e-3
    now = rng.normal(size=N) * 0.01
    got = size(choice_of(rate), now=now, cost=3e-4, s=s, method="qp")
    covariance = s.correlation * np.outer(s.sigma_1d, s.sigma_1d)
    want = reference.qp(rate, covariance, now, np.full(N, 3e-4), 5.0, 0.05, 0.5, 0.2)
    np.testing.assert_allclose(got.desired, want, atol=1e-6)


def test_qp_does_not_trade_below_cost() -> None:
    got = size(choice_of(np.full(3, 1e-4)), now=[0.01, 0.0, 0.02], cost=5e-3, method="qp")
    np.testing.assert_allclose(got.weights, [0.01, 0.0, 0.02], atol=1e-9)


def test_z_ref_is_the_root_mean_square() -> None:
    stage = PositionSizer(SizingSettings()).fit(np.array([3.0, -4.0, np.nan]))
    assert stage.z_ref_ == pytest.approx(np.sqrt(12.5))
    assert PositionSizer(SizingSettings()).fit(np.zeros(0)).z_ref_ == 0.1
    twin = PositionSizer.from_dict(json.loads(json.dumps(stage.to_dict())))
    assert twin.to_dict() == stage.to_dict()
    assert PositionSizer.from_dict(stage.to_dict(), Settings().sizing).z_ref_ == stage.z_ref_


def test_bad_input() -> None:
    with pytest.raises(ValueError, match=r"Book.weights of S01 is nan; mark the position"):
        size(choice_of(np.zeros(2)), now=[0.0, np.nan])
    with pytest.raises(ValueError, match=r"correlation of S00 with itself is 0.25.*not a covariance"):
        size(choice_of(np.zeros(2)), s=snapshot(2, correlation=np.eye(2) / 4))


def test_unknown_correlations_count_as_none_and_an_unknown_symbol_is_held() -> None:
    c = correlation(4, np.random.default_rng(0))
    c[0, 1] = c[1, 0] = np.nan
    c[3, :] = c[:, 3] = np.nan
    got = size(choice_of(np.full(4, 1e-3)), now=[0, 0, 0, 0.01], s=snapshot(4, correlation=c))
    assert np.isfinite(got.weights).all()
    assert got.weights[3] == 0.01
