"""BarrierGate: formula, mirror, base rates, missing probabilities, degraded horizons, JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import decision_reference as reference
import numpy as np
import pytest
from decision_builders import all_oofs, gate_with_base, oof_rows, snapshot
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.config import GatingSettings, Settings
from workbench.core.errors import ConfigError, ProvenanceError
from workbench.core.types import Carry, Choice, Forecasts, OofForecasts, State
from workbench.decision.gating import BarrierGate
from workbench.stats.stack import BarrierStack


def choice_of(weights: np.ndarray, gross: np.ndarray) -> Choice:
    state = np.where(gross != 0, int(State.FORECAST), int(State.NO_EDGE))
    return Choice(gross, gross, weights, state, np.zeros(len(gross)))


def probabilities(peak: np.ndarray, valley: np.ndarray) -> Forecasts:
    return Forecasts((), np.zeros((0, peak.shape[1])), peak, valley)


def gated(stage: Any, peak: np.ndarray, valley: np.ndarray, choice: Choice, carry: Carry | None = None) -> np.ndarray:
    n = peak.shape[1]
    return stage.gate(probabilities(peak, valley), choice, snapshot(n), carry or Carry.empty(n))


@given(st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_agrees_with_the_reference(seed: int) -> None:
    rng = np.random.default_rng(seed)
    base_peak, base_valley = rng.uniform(0.1, 0.8, (2, 9, 5))
    peak, valley = rng.random((2, 9, 6))
    weights = rng.dirichlet(np.ones(9), 6).T
    choice = choice_of(weights, rng.choice([-0.01, 0.01], 6))
    got = gated(gate_with_base(Settings(), base_peak, base_valley), peak, valley, choice)
    for i in range(6):
        each = [
            reference.gate(
                peak[h, i], valley[h, i], base_peak[h, 2], base_valley[h, 2], choice.gross[i] < 0, 0.2, 1.0, 0.5
            )
            for h in range(9)
        ]
        assert got[i] == pytest.approx(weights[:, i] @ each, rel=1e-12)


def test_shorts_mirror_longs() -> None:
    rng = np.random.default_rng(1)
    peak, valley = rng.random((2, 9, 20))
    weights = rng.dirichlet(np.ones(9), 20).T
    gross = rng.normal(size=20)
    long, short = (gate_with_base(Settings(), *b) for b in ((0.3, 0.6), (0.6, 0.3)))
    a = gated(long, peak, valley, choice_of(weights, gross))
    b = gated(short, valley, peak, choice_of(weights, -gross))
    np.testing.assert_array_equal(a, b)


def test_the_base_rate_itself_is_not_attenuated() -> None:
    half = np.full((9, 2), 0.45)
    got = gated(gate_with_base(Settings()), half, half, choice_of(np.eye(9)[:, :2], np.array([1.0, -1.0])))
    np.testing.assert_array_equal(got, [1.0, 1.0])


def test_missing_probability_is_g_min_at_entry_and_the_last_gate_when_held() -> None:
    nan = np.full((9, 2), np.nan)
    choice = choice_of(np.eye(9)[:, :2], np.array([1.0, 1.0]))
    carry = replace(Carry.empty(2), gate=np.array([np.nan, 0.63]))
    np.testing.assert_array_equal(gated(gate_with_base(Settings()), nan, nan, choice, carry), [0.2, 0.63])


def test_no_gate_for_names_without_forecast() -> None:
    half = np.full((9, 3), 0.4)
    got = gated(gate_with_base(Settings()), half, half, choice_of(np.zeros((9, 3)), np.zeros(3)))
    assert np.isnan(got).all()


def test_degraded_horizons_use_their_mean() -> None:
    bad = np.full((9, 1), 0.99)
    choice = choice_of(np.eye(9)[:, :1], np.array([1.0]))
    stage = gate_with_base(Settings())
    assert gated(stage, bad, 1 - bad, choice)[0] == 0.2
    assert gated(stage.with_degraded(["5m"]), bad, 1 - bad, choice)[0] == 0.8
    assert stage.degraded == frozenset()
    with pytest.raises(ConfigError, match="horizon '7m' is unknown"):
        stage.with_degraded(["7m"])


def test_a_horizon_without_classifiers_is_not_gated() -> None:
    stage = BarrierGate(GatingSettings())
    bad = np.full((9, 1), 0.99)
    assert gated(stage, bad, 1 - bad, choice_of(np.eye(9)[:, :1], np.array([1.0])))[0] == 1.0


@pytest.fixture(scope="module")
def fitted() -> tuple[BarrierGate, BarrierStack, dict[str, OofForecasts]]:
    oofs = all_oofs()
    stack = BarrierStack().fit(oofs)
    return BarrierGate(GatingSettings()).fit(oofs, stack), stack, oofs


def test_fit_learns_base_rates_and_means(fitted: tuple[BarrierGate, BarrierStack, dict[str, OofForecasts]]) -> None:
    stage, _, oofs = fitted
    for label, row in (("5m", 0), ("30m", 3)):
        oof = oofs[label]
        for bucket in range(5):
            rate = oof.peak[oof.bucket == bucket].mean()
            assert stage.base_peak_[row, bucket] == pytest.approx(rate, abs=0.03)
        assert 0.2 <= stage.mean_gate_[row, 0] < 1
    assert np.isnan(stage.base_peak_[1]).all()


def test_signal_opens_the_gate_for_the_right_side(
    fitted: tuple[BarrierGate, BarrierStack, dict[str, OofForecasts]],
) -> None:
    stage, stack, _ = fitted
    weights = np.eye(9)[:, :1]
    calm, danger = (np.array([[p]]) for p in (0.2, 0.8))
    gates = []
    for p in (calm, danger):
        peak, valley = stack.apply({"5m": p}, {"5m": 1 - p})
        gates.append([gated(stage, peak, valley, choice_of(weights, np.array([side])))[0] for side in (1.0, -1.0)])
    assert gates[0][0] > gates[1][0]
    assert gates[0][1] < gates[1][1]


def test_json_round_trip(fitted: tuple[BarrierGate, BarrierStack, dict[str, OofForecasts]]) -> None:
    stage = fitted[0].with_degraded(["1d"])
    twin = BarrierGate.from_dict(json.loads(json.dumps(stage.to_dict(), allow_nan=False)))
    assert twin.to_dict() == stage.to_dict()
    peak, valley = np.random.default_rng(0).random((2, 9, 9))
    choice = choice_of(np.eye(9), np.linspace(-1, 1, 9) + 0.01)
    np.testing.assert_array_equal(gated(twin, peak, valley, choice), gated(stage, peak, valley, choice))


def test_only_out_of_fold_rows_are_accepted() -> None:
    with pytest.raises(ProvenanceError, match=r"BarrierGate.fit accepts only OofForecasts"):
        BarrierGate(GatingSettings()).fit({"5m": np.zeros(2)}, BarrierStack())  # type: ignore[dict-item]


def test_without_skill_the_gate_is_open() -> None:
    oof = oof_rows("5m", days=30, skill=0.0, ic=0.1)
    guess = np.random.default_rng(0).random((len(oof), 1))
    oof = replace(oof, p_peak=guess, p_valley=1 - guess)
    stack = BarrierStack().fit({"5m": oof})
    stage = BarrierGate(GatingSettings()).fit({"5m": oof}, stack)
    peak, valley = stack.apply({"5m": np.array([[0.1, 0.9]])}, {"5m": np.array([[0.9, 0.1]])})
    got = gated(stage, peak, valley, choice_of(np.eye(9)[:, [0, 0]], np.array([1.0, 1.0])))
    assert (got > 0.97).all()
