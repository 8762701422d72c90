"""project_limits and qp_size against nested bisection and cvxpy, their limits, and their symmetries."""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench import kernels

_path = Path(__file__).parent / "reference" / "kernels_reference.py"
_spec = importlib.util.spec_from_file_location("kernels_reference", _path)
reference = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(reference)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of cvxpy's own imports
    import cvxpy  # noqa: F401

seeds = st.integers(0, 2**32 - 1)
tight = st.sampled_from([0.0, 0.02, 0.1, 0.5, 3.0])


def draw_case(seed, gross, net, *, with_leverage=True):
    """Weights, caps and leverages of all sorts: ties, zeros, inverse funds, far outside the limits."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 14))
    w = rng.normal(loc=rng.choice([0, 0.2]), scale=rng.choice([0.02, 0.3, 5.0]), size=n)
    w[rng.random(n) < 0.15] = 0.0
    if rng.random() < 0.3:
        w = np.round(w, 1)
    cap = rng.choice([0.05, 0.4]) if rng.random() < 0.5 else rng.uniform(0, 0.5, n)
    leverage = rng.choice([1.0, 1.0, 2.0, 3.0, -1.0, -3.0], n) if with_leverage and rng.random() < 0.5 else None
    return w, {"max_weight": cap, "target_gross": gross, "max_net": net, "leverage": leverage}


def assert_holds(w, max_weight, target_gross, max_net, leverage):
    """Exactly, in the plain sums that a user would write, in two orders."""
    exposure = w if leverage is None else leverage * w
    assert (np.abs(exposure) <= max_weight).all()
    for y in (exposure, exposure[::-1]):
        assert np.abs(y).sum() <= target_gross
        assert abs(y.sum()) <= max(max_net, 1e-15 * len(w) * target_gross)
        assert abs(y.sum()) <= max_net + 1e-12


@given(seeds, tight, tight)
@settings(max_examples=60, deadline=None)
def test_limits_are_the_projection(seed, gross, net):
    w, limits = draw_case(seed, gross, net)
    got = kernels.project_limits(w, **limits)
    expected = reference.project_limits(w, limits["max_weight"], gross, net, limits["leverage"])
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("weight", [0.01, 0.03, -0.5, 1.0])
def test_one_name_under_a_net_limit_of_zero_is_flat(weight):
    """Not a residue of 1e-80 with the other sign."""
    out = kernels.project_limits(np.array([weight]), max_weight=0.05, target_gross=0.02, max_net=0.0)
    np.testing.assert_array_equal(out, [0.0])


@given(seeds, tight, tight)
@settings(max_examples=300)
def test_limits_hold_and_symmetries(seed, gross, net):
    w, limits = draw_case(seed, gross, net)
    got = kernels.project_limits(w, **limits)
    assert_holds(got, **limits)
    np.testing.assert_array_equal(kernels.project_limits(got, **limits), got)
    np.testing.assert_array_equal(kernels.project_limits(-w, **limits), -got)

    order = np.random.default_rng(seed).permutation(len(w))
    shuffled = {k: v[order] if isinstance(v, np.ndarray) else v for k, v in limits.items()}
    np.testing.assert_allclose(kernels.project_limits(w[order], **shuffled), got[order], rtol=0, atol=1e-12)


@given(seeds, tight, tight)
@settings(max_examples=200)
def test_an_inverse_fund_is_a_short(seed, gross, net):
    w, limits = draw_case(seed, gross, net)
    n = len(w)
    leverage = np.ones(n) if limits["leverage"] is None else limits["leverage"]
    flip = np.random.default_rng(seed).choice([1.0, -1.0], n)
    mirrored = limits | {"leverage": leverage * flip}
    np.testing.assert_array_equal(
        kernels.project_limits(w * flip, **mirrored), kernels.project_limits(w, **limits) * flip
    )


@given(seeds, tight, tight)
@settings(max_examples=200)
def test_frozen_names_stay_where_they_can(seed, gross, net):
    w, limits = draw_case(seed, gross, net, with_leverage=False)
    held = kernels.project_limits(0.7 * w, **limits)  # names that hold the limits on their own
    frozen = np.random.default_rng(seed).random(len(w)) < 0.5
    asked = np.where(frozen, held, w)
    got = kernels.project_limits(asked, frozen=frozen, **limits)
    assert_holds(got, **limits)
    np.testing.assert_array_equal(kernels.project_limits(-asked, frozen=frozen, **limits), -got)
    kept = held[frozen]
    room = np.broadcast_to(limits["max_weight"], len(w))[~frozen].sum()
    if abs(kept.sum()) <= net - 1e-9 or (abs(kept.sum()) - min(room, gross - np.abs(kept).sum()) < net - 1e-9):
        np.testing.assert_array_equal(got[frozen], kept)


@given(seeds, st.sampled_from([0.1, 0.5, 3.0]), tight)
@settings(max_examples=40, deadline=None)
def test_free_names_are_the_projection_around_the_frozen(seed, gross, net):
    w, limits = draw_case(seed, gross, net, with_leverage=False)
    frozen = np.random.default_rng(seed).random(len(w)) < 0.5
    asked = np.where(frozen, 0.8 * kernels.project_limits(w, **limits), w)
    if not frozen.any() or not feasible_around(asked, frozen, **limits):
        return
    got = kernels.project_limits(asked, frozen=frozen, **limits)
    expected = reference.project_around(asked, limits["max_weight"], gross, net, frozen)
    # the reference stops within 1e-12 of an objective of order 100; its root is how far it may be from the one optimum
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5)
    assert ((got - asked) ** 2).sum() <= ((expected - asked) ** 2).sum() + 1e-8


def feasible_around(w, frozen, max_weight, target_gross, max_net, leverage):
    """Well inside: cvxpy can't tell the edge from beyond it."""
    room = min(np.broadcast_to(max_weight, len(w))[~frozen].sum(), target_gross - np.abs(w[frozen]).sum())
    return abs(w[frozen].sum()) - room < max_net - 1e-6


def test_frozen_names_share_the_limits():
    w = np.array([0.3, 0.3, -0.3])
    frozen = np.array([True, False, False])
    got = kernels.project_limits(w, 0.3, 0.5, 0.5, frozen=frozen)
    np.testing.assert_allclose(got, [0.3, 0.1, -0.1], atol=1e-12)
    got = kernels.project_limits(w, 0.3, 0.9, 0.1, frozen=frozen)  # the frozen long forces the net on the others
    np.testing.assert_allclose(got, [0.3, 0.1, -0.3], atol=1e-12)


def test_frozen_names_that_cannot_stay_release_all():
    w = np.array([0.4, 0.3, 0.2])
    released = kernels.project_limits(w, 0.4, 0.3, 0.3)
    got = kernels.project_limits(w, 0.4, 0.3, 0.3, frozen=np.array([True, False, False]))
    np.testing.assert_array_equal(got, released)
    over_its_cap = kernels.project_limits(w, 0.35, 1.0, 1.0, frozen=np.array([True, False, False]))
    np.testing.assert_array_equal(over_its_cap, [0.35, 0.3, 0.2])


@given(seeds)
@settings(max_examples=100)
def test_weights_far_outside_still_end_inside(seed):
    rng = np.random.default_rng(seed)
    w = rng.normal(size=rng.integers(2, 400)) * 10.0 ** rng.uniform(0, 12)
    for net in (0.0, 0.1):
        limits = {"max_weight": 0.05, "target_gross": 0.5, "max_net": net, "leverage": None}
        assert_holds(kernels.project_limits(w, **limits), **limits)


# ---- qp_size ------------------------------------------------------------------------------------------------------


def draw_sizing(seed, gross, net):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 12))
    factors = rng.normal(size=(n, 2)) * 0.01
    cov = factors @ factors.T + np.diag(rng.uniform(0.005, 0.02, n) ** 2)
    leverage = rng.choice([1.0, 3.0, -3.0], n) if rng.random() < 0.4 else None
    cap = rng.choice([0.05, 0.3])
    limits = {"max_weight": cap, "target_gross": gross, "max_net": net, "leverage": leverage}
    w_now = kernels.project_limits(rng.normal(size=n) * 0.1, cap, 1.0, 1.0, leverage)
    w_now[rng.random(n) < 0.3] = 0.0
    cost = rng.choice([0.0, 3e-4]) * rng.uniform(0.5, 2, n)
    problem = {
        "alpha": rng.normal(size=n) * 10.0 ** rng.uniform(-4, -2),
        "cov": cov,
        "w_now": w_now,
        "cost": cost,
        "risk_aversion": float(rng.choice([1.0, 5.0, 50.0])),
    }
    return problem, limits


def value(w, problem):
    return reference.objective(w, **problem)


@given(seeds, st.sampled_from([0.05, 0.3, 2.0]), st.sampled_from([0.0, 0.05, 0.5, 2.0]))
@settings(max_examples=40, deadline=None)
def test_qp_is_the_optimum(seed, gross, net):
    problem, limits = draw_sizing(seed, gross, net)
    got = kernels.qp_size(**problem, **limits)
    assert_holds(got, **limits)
    expected = reference.qp_size(
        **problem, max_weight=limits["max_weight"], gross=gross, net=net, leverage=limits["leverage"]
    )
    assert value(got, problem) >= value(expected, problem) - 1e-10
    np.testing.assert_allclose(got, expected, atol=2e-6)


@given(seeds, st.sampled_from([0.05, 0.3, 2.0]), st.sampled_from([0.0, 0.05, 0.5]))
@settings(max_examples=100, deadline=None)
def test_no_admissible_move_improves_the_qp(seed, gross, net):
    problem, limits = draw_sizing(seed, gross, net)
    got = kernels.qp_size(**problem, **limits)
    rng = np.random.default_rng(seed + 1)
    for scale in (1e-4, 1e-2, 1.0):
        other = kernels.project_limits(got + scale * rng.normal(size=len(got)), **limits)
        assert value(other, problem) <= value(got, problem) + 1e-12


@given(seeds, st.sampled_from([0.05, 0.3]), st.sampled_from([0.0, 0.05]))
@settings(max_examples=60, deadline=None)
def test_qp_symmetries(seed, gross, net):
    problem, limits = draw_sizing(seed, gross, net)
    got = kernels.qp_size(**problem, **limits)
    np.testing.assert_array_equal(kernels.qp_size(**problem, **limits), got)
    mirrored = problem | {"alpha": -problem["alpha"], "w_now": -problem["w_now"]}
    np.testing.assert_allclose(kernels.qp_size(**mirrored, **limits), -got, rtol=0, atol=1e-9)
    order = np.random.default_rng(seed).permutation(len(got))
    moved = {k: v[order] if isinstance(v, np.ndarray) and v.ndim == 1 else v for k, v in (problem | limits).items()}
    moved["cov"] = problem["cov"][np.ix_(order, order)]
    np.testing.assert_allclose(kernels.qp_size(**moved), got[order], rtol=0, atol=1e-9)


def test_qp_stays_put_when_trading_costs_more_than_it_brings():
    problem, limits = draw_sizing(5, 2.0, 2.0)
    n = len(problem["alpha"])
    held = np.linspace(-0.04, 0.04, n)
    lazy = problem | {"w_now": held, "cost": np.full(n, 10.0)}
    np.testing.assert_array_equal(kernels.qp_size(**lazy, **limits), held)


def test_qp_without_costs_or_binding_limits_is_the_markowitz_solve():
    rng = np.random.default_rng(3)
    cov = np.cov(rng.normal(size=(8, 50))) * 1e-4
    alpha = rng.normal(size=8) * 1e-6
    zero = np.zeros(8)
    got = kernels.qp_size(alpha, cov, zero, zero, 2.0, 1.0, 10.0, 10.0)
    np.testing.assert_allclose(got, np.linalg.solve(2 * cov, alpha), rtol=1e-10)


@pytest.mark.parametrize("net", [0.0, 0.2])
def test_qp_with_a_singular_covariance(net):
    """Two identical names and more names than rows: the optimum is a set, and any of it will do."""
    rng = np.random.default_rng(4)
    x = rng.normal(size=(6, 10)) * 0.01
    x[:, 9] = x[:, 8]
    problem = {
        "alpha": x.mean(axis=0),
        "cov": x.T @ x / 6,
        "w_now": np.zeros(10),
        "cost": np.full(10, 1e-5),
        "risk_aversion": 5.0,
    }
    limits = {"max_weight": 0.3, "target_gross": 1.0, "max_net": net, "leverage": None}
    got = kernels.qp_size(**problem, **limits)
    assert_holds(got, **limits)
    for scale in (1e-3, 1e-1, 1.0):
        for _ in range(50):
            other = kernels.project_limits(got + scale * rng.normal(size=10), **limits)
            assert value(other, problem) <= value(got, problem) + 1e-10
