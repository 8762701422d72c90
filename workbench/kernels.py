"""The one door to the compiled kernels: `ibkr_trading_engine_py`, built from `cpp/`.

Every array argument is a float64 `numpy.ndarray`, of any strides, and is checked once, on the way in: another type or
dtype, a wrong shape, a value that is not finite where the kernel needs one, a number out of range raise `ValueError`
with the parameter, the value and the remedy. Nothing is converted silently. Results are new arrays, or `out`: float64,
contiguous, of the result's shape, sharing no memory with an input (unless a kernel says that it may work in place).

NaN, which means unknown: `barrier_gate_batch` and `ofi_batch` pass it on symbol by symbol, `ewma_vol` and
`ewma_covariance` skip it, all others refuse it and name the first one.

Symbols: N names, H horizons, T rows in time order. All kernels are deterministic: same inputs, same bits, whatever the
number of threads and the processor. Work above some microseconds releases the GIL; only work above about 0.3 ms is
spread over threads.
"""

from __future__ import annotations

import os
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


def _load_engine() -> ModuleType:
    """Import the compiled module with OpenMP told to sleep, not spin, while it waits: it reads that once, at load."""
    policy = os.environ.get("OMP_WAIT_POLICY")
    os.environ["OMP_WAIT_POLICY"] = policy or "passive"
    try:
        import ibkr_trading_engine_py
    except ImportError as error:
        raise ImportError(
            "the compiled kernels (ibkr_trading_engine_py) are missing or do not fit this Python: "
            "run `make build`, or `cpp/build_kernels.sh`"
        ) from error
    finally:
        if policy is None:
            del os.environ["OMP_WAIT_POLICY"]
    return ibkr_trading_engine_py


_engine = _load_engine()

# The feature engines keep state; workbench.features documents and drives them.
FeatureCore: Any = _engine.FeatureCore
DailyCore: Any = _engine.DailyCore
feature_names: Any = _engine.feature_names
daily_feature_names: Any = _engine.daily_feature_names


def build_info() -> dict[str, Any]:
    """How the compiled module was built: version, compiler, flags, eigen, blas, openmp (date of its standard, or None),
    threads, instruction_sets_compiled, instruction_sets_available and path.

    >>> build_info()["eigen"].startswith("3.4")
    True
    """
    return {**_engine.build_info(), "path": _engine.__file__}


def barrier_gate_batch(
    p_peak: FloatArray, p_valley: FloatArray, g_min: float, gamma: float, delta: float, *, out: FloatArray | None = None
) -> FloatArray:
    """Attenuation of a long by barrier probabilities: clip((1 - p_peak)^gamma * (1/2 + p_valley/2)^delta, g_min, 1).

    p_peak, p_valley: (N,), clipped to [0, 1]; NaN in either gives NaN. g_min in [0, 1]; gamma, delta >= 0.
    Returns (N,). May work in place. For a short, swap the two. Source: the gate of this system, docs/math.md.

    >>> barrier_gate_batch(np.array([0.0, 0.5, 1.0, np.nan]), np.array([1.0, 0.0, 0.5, 0.5]), 0.2, 1.0, 0.5)
    array([1.        , 0.35355339, 0.2       ,        nan])
    """
    return _engine.barrier_gate_batch(p_peak, p_valley, g_min, gamma, delta, out)


def project_simplex(weights: FloatArray, *, out: FloatArray | None = None) -> FloatArray:
    """Euclidean projection on {w >= 0, sum w = 1}: max(weights - theta, 0) with the theta that makes the sum one.

    weights: (N,), N >= 1, finite. Returns (N,). May work in place.
    Source: Held, Wolfe and Crowder (1974); theta is found exactly, by bisection on the breakpoints.

    >>> project_simplex(np.array([0.9, 0.3, -2.0]))
    array([0.8, 0.2, 0. ])
    """
    return _engine.project_simplex(weights, out)


def risk_parity_ridge(
    z_scores: FloatArray, covariance: FloatArray, lambda_reg: float, *, out: FloatArray | None = None
) -> FloatArray:
    """lambda * (Sigma + lambda I)^-1 z: z itself for a large lambda, the mean-variance direction for a small one.

    z_scores: (N,); covariance: (N, N), symmetric to 1e-8 of its largest entry, finite; lambda_reg > 0, in the units of
    the covariance. Returns (N,). Raises ValueError where Sigma + lambda I is not positive definite.
    Source: ridge regularisation of Markowitz weights, docs/math.md; Cholesky.

    >>> risk_parity_ridge(np.array([1.0, 1.0, -1.0]), np.array([[1, 0.5, 0], [0.5, 1, 0], [0, 0, 1.0]]), 1.0)
    array([ 0.4,  0.4, -0.5])
    """
    return _engine.risk_parity_ridge(z_scores, covariance, lambda_reg, out)


def horizon_softmax(
    alpha_matrix: FloatArray, vol_matrix: FloatArray, beta: float, *, out: FloatArray | None = None
) -> tuple[FloatArray, int]:
    """Softmax over horizons of beta * alpha / (vol + 1e-8), row by row, and the alpha mixed by it.

    alpha_matrix: (N, H); vol_matrix: (N, H), >= 0; both in the same units, finite, not empty; beta: any finite number.
    Returns the mixed alpha, (N,), and the column with the largest mean weight (the first of equals). Never overflows.
    Source: docs/math.md. The score carries the sign of alpha, so shorts do not mirror longs: pass scores for that.

    >>> mixed, best = horizon_softmax(np.array([[0.01, 0.02], [0.0, 0.01]]), np.full((2, 2), 0.01), 1.0)
    >>> mixed.round(5), best
    (array([0.01731, 0.00731]), 1)
    """
    return _engine.horizon_softmax(alpha_matrix, vol_matrix, beta, out)


def ewma_vol(returns: FloatArray, alpha: float, *, out: FloatArray | None = None) -> FloatArray:
    """Square root of the bias-corrected EWMA of squared returns (their mean taken as zero):
    sqrt(sum_k (1-a)^k r_{t-k}^2 / sum_k (1-a)^k), k over the returns there were.

    returns: (T,), or (T, N) with a series per column; a NaN leaves the state as it was, infinity is refused; NaN before
    the first return. alpha in (0, 1], the weight of the newest; half-life in rows = ln 2 / -ln(1 - alpha).
    Returns the shape of `returns`, in its units, per row of time. May work in place.
    Source: RiskMetrics (1996), with the bias correction of an average that starts empty.

    >>> ewma_vol(np.array([0.01, np.nan, 0.02]), 0.5).round(6)
    array([0.01    , 0.01    , 0.017321])
    """
    return _engine.ewma_vol(returns, alpha, out)


def ofi_batch(
    pb0: FloatArray,
    pa0: FloatArray,
    sb0: FloatArray,
    sa0: FloatArray,
    pb1: FloatArray,
    pa1: FloatArray,
    sb1: FloatArray,
    sa1: FloatArray,
    *,
    out: FloatArray | None = None,
) -> FloatArray:
    """Order-flow imbalance between two quotes, in shares: positive where demand grew or supply shrank.

    e = [pb1 >= pb0] sb1 - [pb1 <= pb0] sb0 - [pa1 <= pa0] sa1 + [pa1 >= pa0] sa0
    pb, pa: best bid and ask prices; sb, sa: their sizes; 0 before, 1 after; each (N,). NaN in any of a symbol's eight
    numbers gives NaN; infinity is refused. Returns (N,). May work in place.
    Source: Cont, Kukanov and Stoikov (2014), "The price impact of order book events".

    >>> quote = [np.array([x]) for x in (10.0, 10.01, 300.0, 200.0)]
    >>> after = [np.array([x]) for x in (10.0, 10.02, 500.0, 100.0)]
    >>> ofi_batch(*quote, *after)
    array([400.])
    """
    return _engine.ofi_batch(pb0, pa0, sb0, sa0, pb1, pa1, sb1, sa1, out)


def project_limits(
    w: FloatArray,
    max_weight: float | FloatArray,
    target_gross: float,
    max_net: float,
    leverage: FloatArray | None = None,
    frozen: npt.NDArray[np.bool_] | None = None,
    *,
    out: FloatArray | None = None,
) -> FloatArray:
    """Euclidean projection of w on |l_i w_i| <= max_weight_i, sum |l_i w_i| <= target_gross, |sum l_i w_i| <= max_net.

    w: (N,), fractions of NAV, finite; max_weight: a number or (N,); limits >= 0 and finite, in delta dollars per NAV
    (for "no limit" pass target_gross: neither a weight nor the net can exceed it); leverage l: (N,), delta per dollar
    (3, -3), none zero, default ones. frozen: (N,) bool; those names keep w_i and the others share what is left, unless
    that leaves no admissible point: then all are released and projected together. Returns (N,). May work in place.

    Exact: the duals are roots of piecewise linear functions, found at their breakpoints. The limits hold for float64
    sums taken in any order (a net limit of zero: to N roundings of the gross); a w that holds them already comes back
    as it is; project_limits(-w) == -project_limits(w) bit for bit. Source: KKT conditions, docs/math.md.

    >>> project_limits(np.array([0.4, 0.2, -0.1]), max_weight=0.3, target_gross=0.5, max_net=0.25).round(6)
    array([ 0.2875,  0.0875, -0.125 ])
    >>> project_limits(np.array([0.3, 0.3]), 0.3, 0.5, 0.5, frozen=np.array([True, False])).round(6)
    array([0.3, 0.2])
    """
    return _engine.project_limits(w, max_weight, target_gross, max_net, leverage, frozen, out)


def ewma_covariance(returns: FloatArray, halflife: float, *, out: FloatArray | None = None) -> FloatArray:
    """Bias-corrected EWMA covariance with zero mean: c_ij = sum_t d^k r_ti r_tj / sum_t d^k, d = 2^(-1/halflife), where
    k counts the later rows that have both i and j.

    returns: (T, N), not empty, infinity refused. A row with a NaN in i or j leaves the pair ij as it was; a pair never
    seen together is NaN. With gaps the pairs rest on different rows, and the matrix may be indefinite: shrink it before
    a solve. halflife > 0, in rows. Returns (N, N), exactly symmetric, per row of time. Source: RiskMetrics (1996).

    >>> ewma_covariance(np.array([[0.01, 0.02], [0.02, np.nan]]), halflife=1.0)
    array([[0.0003, 0.0002],
           [0.0002, 0.0004]])
    """
    return _engine.ewma_covariance(returns, halflife, out)


def ledoit_wolf(returns: FloatArray, *, out: FloatArray | None = None) -> tuple[FloatArray, float]:
    """Covariance with zero mean, shrunk to a scaled identity: (1 - s) S + s tr(S)/N I with S = X'X / T.

    returns: (T, N), finite, not empty. Returns the covariance, (N, N), and s in [0, 1], which minimises the expected
    squared error as T and N grow. Source: Ledoit and Wolf (2004), "A well-conditioned estimator for large-dimensional
    covariance matrices"; the numbers of scikit-learn's `ledoit_wolf(X, assume_centered=True)`.

    >>> cov, s = ledoit_wolf(np.array([[1.0, 0.5], [-1.0, 0.3], [0.5, -0.2]]))
    >>> cov.round(4), round(s, 4)
    (array([[0.5575, 0.0127],
           [0.0127, 0.3192]]), 0.6177)
    """
    return _engine.ledoit_wolf(returns, out)


def ledoit_wolf_correlation(returns: FloatArray, *, out: FloatArray | None = None) -> FloatArray:
    """Ledoit-Wolf correlation: returns are first scaled to unit mean square per symbol, so that the target is the
    identity and no symbol counts more for being volatile.

    returns: (T, N), finite, not empty; a symbol whose returns are all zero raises ValueError. Returns (N, N): exactly
    symmetric, ones on the diagonal, positive semidefinite. Source: as `ledoit_wolf`.

    >>> ledoit_wolf_correlation(np.array([[1.0, 2.0], [-1.0, -2.1], [0.5, 1.0], [2.0, 4.1]])).round(3)
    array([[1.   , 0.573],
           [0.573, 1.   ]])
    """
    return _engine.ledoit_wolf_correlation(returns, out)


def qp_size(
    alpha: FloatArray,
    cov: FloatArray,
    w_now: FloatArray,
    cost: FloatArray,
    risk_aversion: float,
    max_weight: float | FloatArray,
    target_gross: float,
    max_net: float,
    leverage: FloatArray | None = None,
    *,
    out: FloatArray | None = None,
) -> FloatArray:
    """The w that maximises alpha'w - risk_aversion/2 w' cov w - cost'|w - w_now| under the limits of `project_limits`.

    alpha, w_now, cost: (N,), cost one-way per unit of weight and >= 0; cov: (N, N), symmetric, positive semidefinite,
    over the same time as alpha; risk_aversion > 0. All finite. Returns (N,), holding the limits as `project_limits`
    does. Optimal to 1e-9 in weight (the largest move of a proximal gradient step of mean curvature). Raises ValueError
    where cov is not positive semidefinite, RuntimeError with the residual where it does not converge.
    Source: ADMM (Boyd et al. 2011) with an exact second step, finished on the active set; docs/math.md.

    >>> qp_size(np.array([0.02, 0.001]), np.eye(2) * 0.04, np.zeros(2), np.full(2, 0.002), 5.0, 0.05, 0.5, 0.5)
    array([0.05, 0.  ])
    """
    return _engine.qp_size(alpha, cov, w_now, cost, risk_aversion, max_weight, target_gross, max_net, leverage, out)
