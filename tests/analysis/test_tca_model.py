"""The cost model against executions: the error of its fit, and what it predicted beside what was paid."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.analysis.cost_study import cost_calibration, fit_weights
from workbench.analysis.tca import Fills, SentOrders
from workbench.config import CostSettings
from workbench.decision.costs import CostObservations

K = np.array([0.6, 0.1, 0.3])


def observed(rng: np.random.Generator, rows: int, noise: float = 3e-4) -> CostObservations:
    spread, sigma = rng.uniform(2e-4, 2e-3, rows), rng.uniform(5e-4, 3e-3, rows)
    day, share = rng.uniform(0.01, 0.04, rows), rng.uniform(1e-3, 0.05, rows)
    cost = K @ np.stack([spread, sigma, day * share**0.6]) + noise * rng.normal(size=rows)
    return CostObservations(cost, spread, sigma, day, share)


def test_standard_errors_are_those_that_repeated_sessions_show() -> None:
    rng = np.random.default_rng(3)
    made = [fit_weights(observed(rng, 400), CostSettings()) for _ in range(200)]
    shown = np.std([f.fitted for f in made], axis=0)
    np.testing.assert_allclose(np.median([f.se for f in made], axis=0), shown, rtol=0.2)
    assert made[0].prior == pytest.approx(50 / 450)


def test_no_error_at_the_bound_or_without_rows_to_spare() -> None:
    rng = np.random.default_rng(4)
    seen = observed(rng, 100)
    at_bound = fit_weights(CostObservations(-seen.cost, *known_of(seen)), CostSettings())
    assert at_bound.fitted.tolist() == [0.0, 0.0, 0.0]
    assert np.isnan(at_bound.se).all()
    assert np.isnan(fit_weights(observed(rng, 3), CostSettings(k2=0.1)).se).all()


def test_a_fit_of_nothing_is_the_default_and_says_what_lacks() -> None:
    rng = np.random.default_rng(5)
    seen = observed(rng, 4)
    blind = CostObservations(np.full(4, np.nan), seen.spread, seen.sigma_exec, seen.sigma_1d, seen.participation)
    found = fit_weights(blind, CostSettings(k1=0.45))
    assert (found.orders, found.rows, found.prior) == (4, 0, 1.0)
    assert found.fitted.tolist() == found.default.tolist() == [0.45, 0.0, 0.142]
    assert found.lacking == {"mid when it was sent": 4}


def known_of(seen: CostObservations) -> tuple[np.ndarray, ...]:
    return seen.spread, seen.sigma_exec, seen.sigma_1d, seen.participation


def traded(paid_bps: list[float], predicted_bps: list[float], shares: list[float]) -> tuple[SentOrders, Fills]:
    """Orders bought at a mid of 100 that paid so much of it."""
    n = len(paid_bps)
    refs, one = tuple(str(k) for k in range(n)), np.ones(n)
    sent = SentOrders(
        refs, refs, refs, ("market",) * n, np.ones(n), np.array(shares), np.array(shares), np.zeros(n, bool),
        np.zeros(n), one * 100, one * 100, one * 100, one, one, one, one, np.zeros(n), np.array(predicted_bps) * 1e-4,
    )  # fmt: skip
    price = 100 * (1 + np.array(paid_bps) * 1e-4)
    return sent, Fills(refs, np.array(shares), price, np.zeros(n), one * 100, np.zeros(n))


def test_predicted_beside_paid_from_the_cheapest() -> None:
    sent, fills = traded([4.0, 1.0, 3.0, 2.0, 9.0], [4.0, 2.0, 8.0, 2.5, np.nan], [1.0, 1.0, 1.0, 3.0, 1.0])
    found = cost_calibration(sent, fills, groups=2)
    assert (found.orders.tolist(), found.unknown) == ([2, 2], 1)
    np.testing.assert_allclose(found.paid, [(1 + 3 * 2) / 4, 3.5], rtol=1e-3)  # by value
    np.testing.assert_allclose(found.predicted, [(2 + 3 * 2.5) / 4, 6.0], rtol=1e-3)
    assert np.isfinite(found.se).all()


def test_nothing_filled_calibrates_nothing() -> None:
    sent, _ = traded([1.0], [1.0], [1.0])
    none = np.zeros(0)
    found = cost_calibration(sent, Fills((), none, none, none, none, np.zeros(0, np.int64)))
    assert (len(found.predicted), found.unknown) == (0, 0)
