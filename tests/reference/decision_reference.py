"""Stages 4 to 9 again, slow and obvious: loops over symbols, cvxpy for every optimisation; no code of the stages."""

from __future__ import annotations

import math
from typing import Any

import cvxpy as cp
import numpy as np

MINUTES = [5, 10, 15, 30, 60, 120, 390, 1950, 7800]
LABELS = ["5m", "10m", "15m", "30m", "60m", "120m", "1d", "5d", "20d"]


def blend(fits: dict[str, Any], keys: list, returns: np.ndarray, min_mass: float) -> np.ndarray:
    """(H, N): b * sum p f / scale over the models that speak, divided by their weight."""
    out = np.full((9, returns.shape[1]), np.nan)
    for label, fit in fits.items():
        for i in range(returns.shape[1]):
            mass = total = 0.0
            for key, p, scale in zip(fit["keys"], fit["weights"], fit["scale"]):
                if p > 0 and key in keys:
                    value = returns[keys.index(key), i]
                    if math.isfinite(value):
                        mass += p
                        total += fit["slope"] * p * value / scale
            if mass > 0 and mass >= min_mass - 1e-12:
                out[LABELS.index(label), i] = total / mass
    return out


def one_way_cost(
    spread: float,
    sigma_5m: float,
    sigma_1d: float,
    price: float,
    volume_5m: float,
    commission: float,
    nav: float,
    weight: float,
    k: tuple[float, float, float],
    crowd: float = 1.0,
) -> float:
    """One symbol, five minutes of execution."""
    participation = weight * nav / price / volume_5m
    market = k[0] * spread + k[1] * sigma_5m + k[2] * sigma_1d * participation**0.6
    return market * crowd + commission


def crowd(correlation: np.ndarray, crowding: float) -> np.ndarray:
    n = len(correlation)
    mean = [np.mean([abs(correlation[i, j]) for j in range(n) if j != i]) for i in range(n)]
    return np.array([1 + crowding * max(0.0, m - np.mean(mean)) for m in mean])


def winner(alpha: list[float], cost: float, sigma_1d: float, held: float = 0.0, share: float = 0.7) -> dict[str, Any]:
    """One symbol: state, net and gross daily rate, weights."""
    net = [
        0.0 if math.isnan(a) else math.copysign(max(abs(a) - 2 * cost, 0.0), a) * 390 / m
        for a, m in zip(alpha, MINUTES)
    ]
    gross = [0.0 if math.isnan(a) else a * 390 / m for a, m in zip(alpha, MINUTES)]
    if all(math.isnan(a) for a in alpha):
        return {"state": 0, "net": math.nan, "gross": math.nan, "weights": [0.0] * 9}
    basis, entering = net, True
    if not any(net):
        basis, entering = [g if g * held > 0 else 0.0 for g in gross], False
    score = [b / sigma_1d for b in basis]
    best = max(range(9), key=lambda h: (abs(score[h]), -h))
    weights = [0.0] * 9
    if score[best] == 0:
        return {"state": 1, "net": 0.0, "gross": 0.0, "weights": weights}
    beside = [h for h in (best - 1, best + 1) if 0 <= h < 9 and score[h] * score[best] > 0]
    weights[best] = share if beside else 1.0
    if beside:
        weights[max(beside, key=lambda h: (abs(score[h]), -h))] = 1 - share
    rate = sum(w * g for w, g in zip(weights, gross))
    return {
        "state": 2,
        "net": sum(w * n for w, n in zip(weights, net)) if entering else 0.0,
        "gross": rate,
        "weights": weights,
    }


def softmax(alpha: list[float], cost: float, sigma_1d: float, beta: float, z_ref: float) -> list[float]:
    net = [max(abs(a) - 2 * cost, 0.0) * 390 / m / sigma_1d for a, m in zip(alpha, MINUTES)]
    power = [math.exp(beta * n / z_ref) if n > 0 else 0.0 for n in net]
    return [p / sum(power) for p in power]


def gate(
    peak: float,
    valley: float,
    base_peak: float,
    base_valley: float,
    short: bool,
    g_min: float,
    gamma: float,
    delta: float,
) -> float:
    """One symbol and horizon."""
    if short:
        peak, valley, base_peak, base_valley = valley, peak, base_valley, base_peak

    def g(p: float, q: float) -> float:
        return (1 - p) ** gamma * (0.5 + q / 2) ** delta

    return min(max(g(peak, valley) / g(base_peak, base_valley), g_min), 1.0)


def project(
    point: np.ndarray, leverage: np.ndarray, cap: float, gross: float, net: float, fixed: np.ndarray | None = None
) -> np.ndarray:
    """Euclidean projection on the limits by a conic solver; `fixed` names keep their weight."""
    w = cp.Variable(len(point))
    delta = cp.multiply(leverage, w)
    rules = [cp.abs(delta) <= cap, cp.norm1(delta) <= gross, cp.abs(cp.sum(delta)) <= net]
    if fixed is not None and fixed.any():
        rules.append(w[np.flatnonzero(fixed)] == point[fixed])
    cp.Problem(cp.Minimize(cp.sum_squares(1e3 * (w - point))), rules).solve(solver=cp.CLARABEL)
    return np.asarray(w.value)


def ridge_weights(
    rate: np.ndarray,
    sigma: np.ndarray,
    correlation: np.ndarray,
    z_ref: float,
    z_max: float,
    penalty: float,
    gross: float,
    leverage: np.ndarray,
) -> np.ndarray:
    """w* before the projection."""
    u = np.clip(rate / sigma / z_ref, -z_max, z_max)
    v = np.linalg.inv(correlation + penalty * np.eye(len(u))) @ u / sigma
    return v * gross * min(1.0, math.sqrt(np.mean(u**2))) / np.abs(leverage * v).sum()


def qp(
    alpha: np.ndarray,
    covariance: np.ndarray,
    now: np.ndarray,
    cost: np.ndarray,
    aversion: float,
    cap: float,
    gross: float,
    net: float,
) -> np.ndarray:
    w = cp.Variable(len(alpha))
    value = alpha @ w - aversion / 2 * cp.quad_form(w, cp.psd_wrap(covariance)) - cost @ cp.abs(w - now)
    rules = [cp.abs(w) <= cap, cp.norm1(w) <= gross, cp.abs(cp.sum(w)) <= net]
    cp.Problem(cp.Maximize(value), rules).solve(solver=cp.CLARABEL)
    return np.asarray(w.value)
