"""CostArbitrator: net alphas, winner and softmax, states, mandates."""

from __future__ import annotations

import json
from typing import Any

import decision_reference as reference
import numpy as np
import pytest
from decision_builders import book_of, snapshot
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.config import ArbitrationSettings
from workbench.core.types import Alphas, Book, Choice, Costs, Phase, Snapshot, State
from workbench.decision.arbitration import CostArbitrator

N = 6


def alphas_of(values: np.ndarray) -> Alphas:
    return Alphas(values, values)


def costs_of(one_way: np.ndarray) -> Costs:
    zero = np.zeros(len(one_way))
    return Costs(np.broadcast_to(one_way, (9, len(one_way))), one_way, zero, zero, zero)


def choose(
    alpha: np.ndarray, cost: Any = 2e-4, s: Snapshot | None = None, book: Book | None = None, **options: Any
) -> Choice:
    n = alpha.shape[1]
    s = s or snapshot(n)
    one_way = np.broadcast_to(np.asarray(cost, float), (n,)).copy()
    stage = CostArbitrator(None, ArbitrationSettings(**options))  # type: ignore[arg-type]
    return stage.choose(alphas_of(alpha), costs_of(one_way), s, book or book_of(s))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.floats(0, 1e-3), st.sampled_from([0.0, 0.01, -0.01]))
def test_winner_agrees_with_the_reference(seed: int, cost: float, held: float) -> None:
    rng = np.random.default_rng(seed)
    alpha = rng.normal(size=(9, N)) * 6e-4
    alpha[rng.random((9, N)) < 0.3] = np.nan
    s = snapshot(N, seed)
    got = choose(alpha, cost, s, book_of(s, held))
    for i in range(N):
        want = reference.winner(alpha[:, i].tolist(), cost, float(s.sigma_1d[i]), held)
        assert got.state[i] == want["state"]
        np.testing.assert_allclose([got.net[i], got.gross[i]], [want["net"], want["gross"]], rtol=1e-12, atol=1e-18)
        np.testing.assert_allclose(got.weights[:, i], want["weights"], atol=1e-15)


def test_softmax_agrees_with_the_reference() -> None:
    rng = np.random.default_rng(3)
    alpha = np.abs(rng.normal(size=(9, N))) * 1e-3
    s = snapshot(N)
    stage = CostArbitrator(None, ArbitrationSettings(method="softmax", beta=1.3)).fit(np.array([0.5, -0.5, np.nan]))  # type: ignore[arg-type]
    assert stage.z_ref_ == 0.5
    got = stage.choose(alphas_of(alpha), costs_of(np.full(N, 1e-4)), s, book_of(s))
    for i in range(N):
        want = reference.softmax(alpha[:, i].tolist(), 1e-4, float(s.sigma_1d[i]), 1.3, 0.5)
        np.testing.assert_allclose(got.weights[:, i], want, rtol=1e-12)


def test_softmax_never_overflows() -> None:
    got = choose(np.full((9, 2), 10.0), 0.0, method="softmax", beta=100.0)
    assert np.isfinite(got.weights).all()
    np.testing.assert_allclose(got.weights.sum(axis=0), 1)


def test_softmax_of_torn_survivors_admits_nothing() -> None:
    alpha = np.zeros((9, 1))
    alpha[2], alpha[3] = 30e-4, -31e-4  # net rates nearly cancel; gross and net disagree in sign
    got = choose(alpha, 14e-4, method="softmax", beta=1e-3)
    assert np.sign(got.net[0]) * np.sign(got.gross[0]) >= 0


@given(st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_a_cost_never_flips_a_sign(seed: int) -> None:
    rng = np.random.default_rng(seed)
    alpha = rng.normal(size=(9, N)) * 1e-3
    for method in ("winner", "softmax"):
        got = choose(alpha, rng.uniform(0, 1e-3, N), method=method)
        assert (got.net * got.gross >= 0).all()


def test_states() -> None:
    alpha = np.zeros((9, N))
    alpha[:, 0] = np.nan
    alpha[2, 1] = 3e-4  # below the round trip
    alpha[2, 2] = 5e-4  # above it
    alpha[2, 3] = np.nan  # others are zero: a view
    alpha[2, 4] = 9e-4
    s = snapshot(N, halted=np.array([False] * 4 + [True, False]))
    got = choose(alpha, 2e-4, s)
    want = [State.UNKNOWN, State.NO_EDGE, State.FORECAST, State.NO_EDGE, State.UNKNOWN, State.NO_EDGE]
    assert got.state.tolist() == [int(x) for x in want]
    assert np.isnan(got.gross[[0, 4]]).all()
    assert (got.gross[[1, 3, 5]] == 0).all()


def test_missing_market_data_is_unknown() -> None:
    base = snapshot(4)
    price, sigma = base.price.copy(), base.sigma_1d.copy()
    price[0], sigma[1], sigma[2] = np.nan, np.nan, 0.0
    got = choose(np.full((9, 4), 1e-2), 2e-4, snapshot(4, price=price, sigma_1d=sigma))
    assert got.state.tolist() == [0, 0, 0, 2]


def test_costs_admit_new_positions_but_do_not_force_exits() -> None:
    alpha = np.zeros((9, 4))
    alpha[2] = 3e-4
    s = snapshot(4)
    got = choose(alpha, 2e-4, s, book_of(s, np.array([0.0, 0.02, -0.02, 0.02])))
    assert got.state.tolist() == [1, 2, 1, 2]
    assert got.net[1] == 0
    assert got.gross[1] == pytest.approx(3e-4 * 26)


def test_unknown_cost_admits_nothing_and_holds() -> None:
    alpha = np.full((9, 3), 1e-2)
    s = snapshot(3)
    got = choose(alpha, np.nan, s, book_of(s, np.array([0.0, 0.02, -0.02])))
    assert got.state.tolist() == [int(State.UNKNOWN), int(State.FORECAST), int(State.UNKNOWN)]


def test_forced_trading_ignores_costs() -> None:
    alpha = np.zeros((9, 2))
    alpha[0] = 1e-6
    assert choose(alpha, 1e-2, force_trading=True).state.tolist() == [2, 2]


def test_day_share_is_the_part_of_the_rate_from_day_horizons() -> None:
    alpha = np.zeros((9, 2))
    alpha[5], alpha[6] = 40e-4, 100e-4
    alpha[5, 1] = 0
    got = choose(alpha, 1e-4)
    rate = got.weights[:, 0] * alpha[:, 0] * 390 / np.array(reference.MINUTES)
    assert got.day_share[0] == pytest.approx(rate[6:].sum() / rate.sum())
    assert got.day_share[1] == 1.0


def test_a_mandate_lasts_while_a_day_horizon_agrees() -> None:
    alpha = np.zeros((9, 3))
    alpha[0] = 20e-4  # 5m wins the choice
    alpha[6] = [1e-4, -1e-4, 0.0]
    s = snapshot(3)
    book = book_of(s, 0.02, day_weight=np.full(3, 0.015))
    np.testing.assert_allclose(choose(alpha, 2e-4, s, book).day_share, [0.75, 0, 0])


def test_flatten_window_hears_day_horizons_only_and_grants_nothing() -> None:
    alpha = np.zeros((9, 4))
    alpha[:6] = 50e-4
    alpha[6, :3] = 90e-4
    alpha[:, 3] = np.nan
    s = snapshot(4, phase=Phase.CLOSING, minutes_to_close=10.0)
    book = book_of(s, np.array([0.02, 0.02, 0.0, 0.02]), day_weight=np.array([0.01, 0.0, 0.0, 0.02]))
    got = choose(alpha, 2e-4, s, book)
    assert (got.weights[:6] == 0).all()
    np.testing.assert_allclose(got.day_share, [0.5, 0, 0, 1.0])


def test_the_neighbour_must_agree() -> None:
    alpha = np.zeros((9, 2))
    alpha[3], alpha[2], alpha[4] = 60e-4, 20e-4, [30e-4, -30e-4]
    alpha[2, 1] = -20e-4
    got = choose(alpha, 1e-4)
    assert got.weights[[2, 3], 0].tolist() == pytest.approx([0.3, 0.7])
    assert got.weights[3, 1] == 1.0


def test_json_round_trip() -> None:
    stage = CostArbitrator(None, ArbitrationSettings(method="softmax")).fit(np.array([0.1, 0.3]))  # type: ignore[arg-type]
    twin = CostArbitrator.from_dict(json.loads(json.dumps(stage.to_dict())), None)  # type: ignore[arg-type]
    assert twin.to_dict() == stage.to_dict()
    assert CostArbitrator(None, ArbitrationSettings()).fit(np.zeros(3)).z_ref_ == 1.0  # type: ignore[arg-type]
