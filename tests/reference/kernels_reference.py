"""Slow, obvious answers for the kernels: one loop or one textbook formula each, in wide floats where that helps.

Nothing here shares code, algorithm or shortcut with cpp/.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import special

Wide = np.longdouble


def barrier_gate(p_peak, p_valley, g_min, gamma, delta):
    out = []
    for peak, valley in zip(p_peak.tolist(), p_valley.tolist()):
        if math.isnan(peak) or math.isnan(valley):
            out.append(math.nan)
            continue
        peak, valley = min(max(peak, 0.0), 1.0), min(max(valley, 0.0), 1.0)
        out.append(min(max((1 - peak) ** gamma * (0.5 + valley / 2) ** delta, g_min), 1.0))
    return np.array(out)


def simplex(weights):
    """By the sorted prefix: the largest k with w_(k) > (w_(1) + ... + w_(k) - 1) / k."""
    ordered = np.sort(weights.astype(Wide))[::-1]
    thetas = (np.cumsum(ordered) - 1) / np.arange(1, len(ordered) + 1)
    theta = thetas[np.flatnonzero(ordered > thetas)[-1]]
    return np.maximum(weights.astype(Wide) - theta, 0).astype(float)


def ridge(z, covariance, lam):
    return lam * np.linalg.solve(covariance + lam * np.eye(len(z)), z)


def horizon_softmax(alpha, vol, beta):
    weights = special.softmax(beta * alpha / (vol + 1e-8), axis=1)
    return (weights * alpha).sum(axis=1), weights.mean(axis=0)


def ewma_vol(returns, alpha):
    out, seen = [], []
    for r in returns:
        if not math.isnan(r):
            seen.append(Wide(r))
        weights = (1 - Wide(alpha)) ** np.arange(len(seen))[::-1]
        squares = np.array(seen, dtype=Wide) ** 2
        out.append(float(np.sqrt((weights * squares).sum() / weights.sum())) if seen else math.nan)
    return np.array(out)


def ofi(pb0, pa0, sb0, sa0, pb1, pa1, sb1, sa1):
    out = []
    for b0, a0, qb0, qa0, b1, a1, qb1, qa1 in np.stack([pb0, pa0, sb0, sa0, pb1, pa1, sb1, sa1], axis=1).tolist():
        bid = qb1 if b1 > b0 else -qb0 if b1 < b0 else qb1 - qb0
        ask = qa1 if a1 < a0 else -qa0 if a1 > a0 else qa1 - qa0
        unknown = any(math.isnan(x) for x in (b0, a0, qb0, qa0, b1, a1, qb1, qa1))
        out.append(math.nan if unknown else bid - ask)
    return np.array(out)


def ewma_covariance(returns, halflife):
    _, names = returns.shape
    out = np.full((names, names), np.nan)
    for i in range(names):
        for j in range(names):
            products = (returns[:, i].astype(Wide) * returns[:, j])[::-1]
            products = products[~np.isnan(products)]
            if len(products):
                weights = Wide(2) ** (-np.arange(len(products)) / Wide(halflife))
                out[i, j] = (weights * products).sum() / weights.sum()
    return out


def soft(x, threshold):
    return np.sign(x) * np.maximum(np.abs(x) - threshold, 0)


def project_limits(w, max_weight, gross, net, leverage=None):
    """Plain nested bisection on the two duals, 110 halvings each, in wide floats."""
    w = np.asarray(w, dtype=Wide)
    leverage = np.ones_like(w) if leverage is None else np.asarray(leverage, dtype=Wide)
    cap, size = np.asarray(max_weight, dtype=Wide) / np.abs(leverage), np.abs(leverage)
    ceiling = (np.abs(w).max(initial=0) + cap.max(initial=0) + 1) * 4 / size.min(initial=1)

    def at(lam, mu):
        return np.clip(soft(w - mu * leverage, lam * size), -cap, cap)

    def with_gross(mu):
        if (size * np.abs(at(0, mu))).sum() <= gross:
            return at(0, mu)
        low, high = Wide(0), 2 * ceiling
        for _ in range(110):
            middle = (low + high) / 2
            low, high = (middle, high) if (size * np.abs(at(middle, mu))).sum() > gross else (low, middle)
        return at(high, mu)

    free = with_gross(Wide(0))
    if abs((leverage * free).sum()) <= net:
        return free.astype(float)
    side = np.sign((leverage * free).sum())
    low, high = Wide(0), ceiling
    for _ in range(110):
        middle = (low + high) / 2
        low, high = (middle, high) if side * (leverage * with_gross(side * middle)).sum() > net else (low, middle)
    return with_gross(side * high).astype(float)


def project_around(w, max_weight, gross, net, frozen):
    """cvxpy's projection with the frozen names held; None where that is infeasible."""
    import cvxpy as cp

    x = cp.Variable(len(w))
    limits = [cp.abs(x) <= max_weight, cp.norm1(x) <= gross, cp.abs(cp.sum(x)) <= net, x[frozen] == w[frozen]]
    problem = cp.Problem(cp.Minimize(cp.sum_squares(x - w)), limits)
    problem.solve(solver=cp.CLARABEL, tol_gap_abs=1e-12, tol_gap_rel=1e-12, tol_feas=1e-12)
    return x.value


def objective(w, alpha, cov, w_now, cost, risk_aversion):
    return alpha @ w - risk_aversion / 2 * w @ cov @ w - cost @ np.abs(w - w_now)


def qp_size(alpha, cov, w_now, cost, risk_aversion, max_weight, gross, net, leverage=None):
    """cvxpy with an interior-point method at its tightest."""
    import cvxpy as cp

    leverage = np.ones(len(alpha)) if leverage is None else leverage
    w = cp.Variable(len(alpha))
    factor = np.linalg.cholesky(cov).T
    gain = alpha @ w - risk_aversion / 2 * cp.sum_squares(factor @ w) - cost @ cp.abs(w - w_now)
    exposure = cp.multiply(leverage, w)
    limits = [cp.abs(exposure) <= max_weight, cp.norm1(exposure) <= gross, cp.abs(cp.sum(exposure)) <= net]
    # The scale brings daily variances to order one, where the solver's absolute tolerances bite.
    problem = cp.Problem(cp.Maximize(gain * 1e4), limits)
    problem.solve(solver=cp.CLARABEL, tol_gap_abs=1e-11, tol_gap_rel=1e-11, tol_feas=1e-11)
    return w.value
