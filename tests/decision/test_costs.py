"""CostModel: the formula against the reference, its parts, the fit, bad input."""

from __future__ import annotations

import json

import decision_reference as reference
import numpy as np
import pytest
from decision_builders import snapshot

from workbench import fees
from workbench.config import CostSettings
from workbench.decision.costs import CostModel, CostObservations, crowding_factor

NAV = 1e6


@pytest.mark.parametrize("k", [(0.5, 0.0, 0.142), (0.4, 0.1, 0.3), (0.0, 0.0, 0.0)])
def test_estimate_agrees_with_the_reference(k: tuple[float, float, float]) -> None:
    s = snapshot(6)
    settings = CostSettings(k1=k[0], k2=k[1], k3=k[2])
    costs = CostModel(settings).estimate(s, NAV)
    crowd = reference.crowd(s.correlation, settings.crowding)
    for i in range(6):
        quantity = settings.reference_weight * NAV / s.price[i]
        paid = [fees.commission("tiered", side, quantity, float(s.price[i]), s.session) for side in (1, -1)]
        commission = sum(paid) / 2 / (settings.reference_weight * NAV)
        want = reference.one_way_cost(
            s.spread[i], s.sigma_5m[i], s.sigma_1d[i], s.price[i], s.expected_volume[0, i], commission, NAV,
            settings.reference_weight, k, crowd[i],
        )  # fmt: skip
        np.testing.assert_allclose(costs.one_way[:, i], want, rtol=1e-12)


def test_parts_add_up() -> None:
    c = CostModel(CostSettings(k2=0.2)).estimate(snapshot(5), NAV)
    np.testing.assert_allclose(c.spread + c.volatility + c.impact + c.commission, c.one_way[3], rtol=1e-15)
    assert (np.array([c.spread, c.volatility, c.impact, c.commission]) > 0).all()


def test_cost_at_its_own_size() -> None:
    s = snapshot(4)
    model = CostModel(CostSettings())
    costs = model.estimate(s, NAV)
    np.testing.assert_allclose(model.at_size(costs, np.full(4, 0.005), s, NAV), costs.one_way[0], rtol=1e-12)
    np.testing.assert_array_equal(model.at_size(costs, np.zeros(4), s, NAV), costs.one_way[0])
    larger = model.at_size(costs, np.full(4, 0.05), s, NAV)
    np.testing.assert_allclose(larger - costs.spread - costs.volatility - fees.commission_rate(
        "tiered", np.full(4, 0.05 * NAV), s.price, s.session), costs.impact * 10**0.6, rtol=1e-12)  # fmt: skip
    tiny = model.at_size(costs, np.full(4, 1e-5), s, NAV)
    assert (tiny > costs.one_way[0]).all(), "the minimum commission makes a 10 dollar order dear"


def test_unknown_inputs_make_an_unknown_cost() -> None:
    base = snapshot(5)
    spread, volume, price = base.spread.copy(), base.expected_volume.copy(), base.price.copy()
    spread[0], volume[0, 1], price[2], volume[0, 3] = np.nan, np.nan, np.nan, 0.0
    s = snapshot(5, spread=spread, expected_volume=volume, price=price)
    one_way = CostModel(CostSettings()).estimate(s, NAV).one_way
    np.testing.assert_array_equal(np.isnan(one_way).all(axis=0), [True, True, True, True, False])


def test_a_term_without_weight_needs_no_data() -> None:
    s = snapshot(3, sigma_5m=np.full(3, np.nan))
    assert np.isfinite(CostModel(CostSettings(k2=0)).estimate(s, NAV).one_way).all()
    assert np.isnan(CostModel(CostSettings(k2=0.1)).estimate(s, NAV).one_way).all()


def test_before_a_fit_the_time_of_day_is_the_spreads_own() -> None:
    model = CostModel(CostSettings())
    for bucket in range(5):
        for estimated in (False, True):
            s = snapshot(3, bucket=bucket, spread_estimated=estimated)
            np.testing.assert_array_equal(model.estimate(s, NAV).spread, model.estimate(snapshot(3), NAV).spread)


def test_crowded_names_cost_more() -> None:
    c = np.full((5, 5), 0.1)
    c[:2, :2] = 0.9
    np.fill_diagonal(c, 1.0)
    factor = crowding_factor(c, 0.5)
    np.testing.assert_allclose(factor, reference.crowd(c, 0.5), rtol=1e-12)
    assert factor[0] > 1
    assert factor[4] == 1
    np.testing.assert_array_equal(crowding_factor(c, 0.0), np.ones(5))
    np.testing.assert_array_equal(crowding_factor(np.ones((1, 1)), 0.5), np.ones(1))
    c[0, :] = c[:, 0] = np.nan
    assert np.isfinite(crowding_factor(c, 0.5)).all()


def test_spread_multiplier_scales_the_spread_alone() -> None:
    one, two = (CostModel(CostSettings(spread_multiplier=m)).estimate(snapshot(3), NAV) for m in (1.0, 2.0))
    np.testing.assert_allclose(two.spread, 2 * one.spread, rtol=1e-12)
    np.testing.assert_array_equal(two.impact, one.impact)


def probes(
    rows: int, k: tuple[float, float, float], seed: int = 0, buckets: tuple[float, ...] | None = None
) -> CostObservations:
    rng = np.random.default_rng(seed)
    spread, sigma, day = rng.uniform(1e-4, 1e-3, rows), rng.uniform(5e-4, 3e-3, rows), rng.uniform(0.01, 0.03, rows)
    part = rng.uniform(0.001, 0.05, rows)
    bucket = rng.integers(0, 5, rows)
    factor = np.ones(rows) if buckets is None else np.array(buckets)[bucket]
    cost = k[0] * spread * factor + k[1] * sigma + k[2] * day * part**0.6 + rng.normal(size=rows) * 2e-5
    return CostObservations(cost, spread, sigma, day, part, None if buckets is None else bucket)


def test_fit_recovers_the_coefficients() -> None:
    model = CostModel(CostSettings()).fit(probes(20_000, (0.7, 0.05, 0.25)), reference_weight=0.004)
    np.testing.assert_allclose([model.k1_, model.k2_, model.k3_], [0.7, 0.05, 0.25], rtol=0.03)
    assert model.reference_weight_ == 0.004


def test_few_probes_stay_near_the_defaults() -> None:
    model = CostModel(CostSettings()).fit(probes(5, (2.0, 0.0, 0.142)))
    assert 0.5 < model.k1_ < 0.8


def test_coefficients_never_become_negative() -> None:
    p = probes(3000, (0.5, 0.0, 0.0))
    cheap = CostObservations(p.cost - 0.5 * p.sigma_exec, p.spread, p.sigma_exec, p.sigma_1d, p.participation)
    model = CostModel(CostSettings()).fit(cheap)
    assert min(model.k1_, model.k2_, model.k3_) >= 0


def test_time_of_day_is_fitted_from_probes() -> None:
    truth = (1.8, 1.0, 1.0, 1.0, 0.6)
    model = CostModel(CostSettings()).fit(probes(40_000, (0.5, 0.0, 0.142), buckets=truth))
    fitted = np.array(model.bucket_multiplier_) * model.k1_
    np.testing.assert_allclose(fitted, 0.5 * np.array(truth), rtol=0.05)


def test_no_usable_probe_changes_nothing() -> None:
    nan = np.full(3, np.nan)
    model = CostModel(CostSettings()).fit(CostObservations(nan, nan, nan, nan, nan))
    assert (model.k1_, model.k2_, model.k3_, model.rows_) == (0.5, 0.0, 0.142, 0)


def test_json_round_trip_is_exact() -> None:
    model = CostModel(CostSettings()).fit(probes(500, (0.7, 0.05, 0.25), buckets=(1.5, 1, 1, 1, 1)), 0.0031)
    twin = CostModel.from_dict(json.loads(json.dumps(model.to_dict(), allow_nan=False)))
    assert twin.to_dict() == model.to_dict()
    s = snapshot(4)
    np.testing.assert_array_equal(twin.estimate(s, NAV).one_way, model.estimate(s, NAV).one_way)


def test_bad_input() -> None:
    with pytest.raises(ValueError, match=r"CostObservations.spread has shape \(2,\), expected \(3,\)"):
        CostObservations(np.zeros(3), np.zeros(2), np.zeros(3), np.zeros(3), np.zeros(3))
    with pytest.raises(ValueError, match=r"reference_weight = 0.0 must be > 0"):
        CostModel(CostSettings()).fit(probes(10, (0.5, 0, 0.1)), reference_weight=0.0)
