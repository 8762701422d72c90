"""Hedge: exponentiated gradient, bounded."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.decision.hedge import hedge

weights = st.lists(st.floats(0.0, 1.0), min_size=1, max_size=12).filter(lambda w: sum(w) > 0.01)


@given(weights, st.floats(0, 5), st.floats(1, 10), st.integers(0, 2**31))
def test_sum_and_bounds_hold(w: list[float], eta: float, bound: float, seed: int) -> None:
    old = np.array(w) / sum(w)
    losses = np.random.default_rng(seed).normal(size=len(w)) * 3
    new = hedge(old, losses, eta, bound)
    assert new.sum() == pytest.approx(1, abs=1e-9)
    assert (new >= old / bound).all()
    assert (new <= old * bound).all()


def test_without_bound_it_is_exponentiated_gradient() -> None:
    old, losses = np.array([0.2, 0.3, 0.5]), np.array([1.0, 0.5, 2.0])
    want = old * np.exp(-0.7 * losses)
    np.testing.assert_allclose(hedge(old, losses, 0.7, 1e9), want / want.sum(), rtol=1e-12)


def test_no_outcome_yet_is_neutral() -> None:
    old = np.array([0.25, 0.5, 0.25])
    np.testing.assert_array_equal(hedge(old, np.full(3, np.nan), 1.0, 2.0), old)
    new = hedge(old, np.array([1.0, np.nan, 3.0]), 0.1, 100.0)
    assert new[0] > new[2]


@pytest.mark.parametrize(
    ("w", "eta", "bound", "message"),
    [
        ([-0.1, 1.1], 1, 2, "weights must be finite and >= 0"),
        ([0.5, 0.5], -1, 2, "eta = -1"),
        ([0.5, 0.5], 1, 0.5, "bound = 0.5"),
    ],
)
def test_bad_input(w: list[float], eta: float, bound: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        hedge(np.array(w), np.zeros(2), eta, bound)
