"""What the kernels refuse, and how arrays go in and come out."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from workbench import kernels

NAN, INF = np.nan, np.inf


def rng_of(seed):
    return np.random.default_rng(seed)


# ---- bad input ----------------------------------------------------------------------------------------------------

V3, V4, M3 = np.ones(3), np.ones(4), np.eye(3)
QP = {"cov": M3, "w_now": V3, "cost": V3, "risk_aversion": 1.0, "max_weight": 0.1, "target_gross": 1.0, "max_net": 1.0}
LIMITS = {"max_weight": 0.1, "target_gross": 1.0, "max_net": 1.0}


def bad(function, message, *args, **kwargs):
    name = getattr(kernels, function)
    return pytest.param(name, args, kwargs, message, id=f"{function}-{message[:40]}")


@pytest.mark.parametrize(
    ("function", "args", "kwargs", "message"),
    [
        bad("project_simplex", r"weights must be a float64 array of shape \(N,\), got list; pass numpy.as", [1.0, 2.0]),
        bad("project_simplex", r"weights .* got dtype int64; pass weights.astype\(float\)", np.arange(3)),
        bad("project_simplex", r"weights .* got dtype float32", V3.astype("f4")),
        bad("project_simplex", r"weights .* got dtype >f8", V3.astype(">f8")),
        bad("project_simplex", r"weights .* got shape \(3, 3\)", M3),
        bad("project_simplex", r"weights must not be empty, got shape \(0,\)", np.empty(0)),
        bad("project_simplex", r"weights\[1\] is nan; it must be finite", np.array([1.0, NAN, INF])),
        bad("project_simplex", r"weights\[2\] is inf; it must be finite", np.array([1.0, 2.0, INF])),
        bad("barrier_gate_batch", r"p_valley must have the shape of p_peak, \(3,\), got \(4,\)", V3, V4, 0.2, 1.0, 0.5),
        bad("barrier_gate_batch", r"g_min must be >= 0.0 and <= 1.0, got 1.5", V3, V3, 1.5, 1.0, 0.5),
        bad("barrier_gate_batch", r"gamma must be >= 0.0, got -1.0", V3, V3, 0.2, -1.0, 0.5),
        bad("barrier_gate_batch", r"delta must be >= 0.0, got nan", V3, V3, 0.2, 1.0, NAN),
        bad("barrier_gate_batch", r"delta must be >= 0.0, got inf", V3, V3, 0.2, 1.0, INF),
        bad("risk_parity_ridge", r"covariance must have one entry for each of the 4 entries of z_scores", V4, M3, 1.0),
        bad("risk_parity_ridge", r"covariance must be square, \(N, N\), got shape \(2, 3\)", V3, np.ones((2, 3)), 1.0),
        bad("risk_parity_ridge", r"covariance\[1, 0\] is 0.0 but .*\[0, 1\] is 1.0", V3, np.triu(M3 + 1), 1.0),
        bad("risk_parity_ridge", r"lambda_reg must be > 0.0, got 0.0", V3, M3, 0.0),
        bad("risk_parity_ridge", r"not positive definite: .*eigenvalue below -1", V3, -2 * M3, 1.0),
        bad("risk_parity_ridge", r"z_scores\[0\] is nan", np.array([NAN, 1, 1]), M3, 1.0),
        bad("horizon_softmax", r"vol_matrix\[1, 0\] is -1.0; it must be >= 0", M3, M3 - np.eye(3, k=-1), 1.0),
        bad("horizon_softmax", r"alpha_matrix must not be empty", np.ones((0, 3)), np.ones((0, 3)), 1.0),
        bad("horizon_softmax", r"beta must be finite, got nan", M3, M3, NAN),
        bad("ewma_vol", r"returns must be a float64 array of shape \(T,\) or \(T, N\)", np.ones((1, 1, 1)), 0.1),
        bad("ewma_vol", r"returns\[1\] is -inf; it must be finite, or NaN where", np.array([NAN, -INF]), 0.1),
        bad("ewma_vol", r"alpha must be > 0.0 and <= 1.0, got 0.0", V3, 0.0),
        bad("ofi_batch", r"sa1\[2\] is inf", *[V3] * 7, np.array([1, NAN, INF])),
        bad("ofi_batch", r"sb0 must have the shape of pb0", V3, V3, V4, *[V3] * 5),
        bad("ewma_covariance", r"halflife must be > 0.0, got -1.0", M3, -1.0),
        bad("ewma_covariance", r"returns must not be empty, got shape \(0, 3\)", np.ones((0, 3)), 1.0),
        bad("ledoit_wolf", r"returns\[1, 2\] is nan", np.array([[1, 2, 3], [1, 2, NAN]])),
        bad("ledoit_wolf", r"returns .* got shape \(3,\)", V3),
        bad("ledoit_wolf_correlation", r"returns\[:, 1\] is all zero", np.array([[1, 0.0], [2, 0]])),
        bad("project_limits", r"w\[1\] is nan", np.array([0.1, NAN]), **LIMITS),
        bad("project_limits", r"max_weight must be >= 0.0, got -0.1", V3, -0.1, 1.0, 1.0),
        bad("project_limits", r"max_weight must be >= 0.0, got inf", V3, INF, 1.0, 1.0),
        bad("project_limits", r"max_weight must be a number or a float64 array", V3, [0.1, 0.1, 0.1], 1.0, 1.0),
        bad("project_limits", r"max_weight must have the shape of w", V3, V4, 1.0, 1.0),
        bad("project_limits", r"target_gross must be >= 0.0, got nan", V3, 0.1, NAN, 1.0),
        bad("project_limits", r"max_net must be >= 0.0, got -1.0", V3, 0.1, 1.0, -1.0),
        bad("project_limits", r"leverage\[2\] is 0.0; it is the delta", V3, leverage=np.array([1, 3, 0.0]), **LIMITS),
        bad("project_limits", r"frozen must be None or a bool array of shape \(3,\)", V3, frozen=V3, **LIMITS),
        bad("project_limits", r"frozen must be None or a bool array", V3, frozen=np.array([True]), **LIMITS),
        bad("qp_size", r"cost\[0\] is -1.0; it must be >= 0", V3, **(QP | {"cost": -V3})),
        bad("qp_size", r"cov must be symmetric positive semidefinite", V3, **(QP | {"cov": -M3})),
        bad("qp_size", r"cov must be symmetric positive semidefinite and not zero", V3, **(QP | {"cov": 0 * M3})),
        bad("qp_size", r"risk_aversion must be > 0.0, got 0.0", V3, **(QP | {"risk_aversion": 0.0})),
        bad("qp_size", r"w_now must have the shape of alpha", V3, **(QP | {"w_now": V4})),
    ],
)  # fmt: skip
def test_bad_input_is_named(function, args, kwargs, message):
    with pytest.raises(ValueError, match=message):
        function(*args, **kwargs)


# ---- arrays in and out --------------------------------------------------------------------------------------------


def test_strides_and_alignment_do_not_matter():
    rng = rng_of(7)
    z, covariance = rng.normal(size=12), np.cov(rng.normal(size=(6, 40)))
    expected = kernels.risk_parity_ridge(z[::2].copy(), covariance, 1.0)
    np.testing.assert_array_equal(kernels.risk_parity_ridge(z[::2], np.asfortranarray(covariance), 1.0), expected)
    spread = np.zeros((12, 18))[::2, ::3]
    spread[:] = covariance
    np.testing.assert_array_equal(kernels.risk_parity_ridge(z[::2], spread, 1.0), expected)
    unaligned = np.frombuffer(b"x" + z[::2].tobytes(), dtype=np.uint8)[1:].view(float)
    np.testing.assert_array_equal(kernels.risk_parity_ridge(unaligned, covariance, 1.0), expected)


def test_the_address_does_not_change_the_bits():
    returns = rng_of(8).normal(size=(51, 7))
    shifted = np.empty(returns.size + 1)[1:].reshape(returns.shape)
    shifted[:] = returns
    np.testing.assert_array_equal(kernels.ledoit_wolf(returns)[0], kernels.ledoit_wolf(shifted)[0])


def test_inputs_are_left_alone_and_read_only_inputs_are_fine():
    w = rng_of(9).normal(size=20)
    w.setflags(write=False)
    before = w.copy()
    assert kernels.project_limits(w, 0.1, 0.5, 0.1) is not w
    np.testing.assert_array_equal(w, before)


def test_out_is_filled_and_returned():
    w, out = rng_of(10).normal(size=5), np.empty(5)
    assert kernels.project_simplex(w, out=out) is out
    np.testing.assert_array_equal(out, kernels.project_simplex(w))
    np.testing.assert_array_equal(kernels.project_simplex(w, out=w), out)


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ([0.0] * 3, "out must be a float64 array, got list"),
        (np.empty(3, "f4"), "out must be a float64 array"),
        (np.empty(4), r"out must have shape \(3,\), got \(4,\); pass numpy.empty"),
        (np.empty(6)[::2], "out must be writeable, contiguous and aligned"),
    ],
)
def test_bad_out(out, message):
    with pytest.raises(ValueError, match=message):
        kernels.project_simplex(V3, out=out)


def test_out_must_not_share_memory():
    buffer = np.ones(9)
    with pytest.raises(ValueError, match="out shares memory with weights"):
        kernels.project_simplex(buffer[:5], out=buffer[1:6])
    with pytest.raises(ValueError, match="out shares memory with returns"):
        kernels.ledoit_wolf(buffer.reshape(3, 3), out=buffer.reshape(3, 3))
    frozen = np.ones(3)
    frozen.setflags(write=False)
    with pytest.raises(ValueError, match="out must be writeable"):
        kernels.project_simplex(V3, out=frozen)


@pytest.mark.parametrize("n", [0, 1])
def test_no_symbols_and_one_symbol(n):
    x = np.full(n, 0.3)
    assert kernels.barrier_gate_batch(x, x, 0.2, 1.0, 0.5).shape == (n,)
    assert kernels.ofi_batch(*[x] * 8).shape == (n,)
    assert kernels.ewma_vol(x, 0.5).shape == (n,)
    assert kernels.project_limits(x, 0.2, 0.5, 0.5).tolist() == [0.2] * n
    assert kernels.risk_parity_ridge(x, np.eye(n), 1.0).tolist() == pytest.approx([0.15] * n)
    assert kernels.qp_size(x, np.eye(n), x, x, 1.0, 0.2, 0.5, 0.5).shape == (n,)


def test_large_work_gives_the_bits_of_small_work():
    """Threads and batches cut the work; they must not change it."""
    p_peak, p_valley = rng_of(11).random((2, 200_000))
    whole = kernels.barrier_gate_batch(p_peak, p_valley, 0.2, 1.3, 0.7)
    parts = [
        kernels.barrier_gate_batch(p_peak[i : i + 999], p_valley[i : i + 999], 0.2, 1.3, 0.7)
        for i in range(0, 200_000, 999)
    ]
    np.testing.assert_array_equal(whole, np.concatenate(parts))


def test_the_gil_is_released_for_long_work():
    ticks, done = 0, threading.Event()

    def work():
        for _ in range(3):
            kernels.ledoit_wolf(np.ones((2000, 250)) + np.arange(250))
        done.set()

    thread = threading.Thread(target=work)
    thread.start()
    while not done.wait(0.0005):
        ticks += 1
    thread.join()
    assert ticks > 3


def test_build_info_tells_what_doctor_shows():
    info = kernels.build_info()
    assert info["eigen"].startswith("3.4")
    assert "-ffp-contract=off" in info["flags"]
    assert "-march=native" not in info["flags"]
    assert "-ffast-math" not in info["flags"]
    assert {"version", "compiler", "blas", "openmp", "threads", "path"} <= set(info)
    assert info["instruction_sets_compiled"][0] == info["instruction_sets_available"][0]
