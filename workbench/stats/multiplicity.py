"""When many things were tried, the best of them looks good by luck: corrections for that.

Sources: Holm (1979); Benjamini & Hochberg (1995); Bailey & Lopez de Prado (2014), The deflated Sharpe ratio.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from workbench.core.arrays import FloatArray

EULER_GAMMA = float(np.euler_gamma)


def holm(p_values: ArrayLike) -> FloatArray:
    """Adjusted p-values that control the chance of even one false discovery: p_(i) * (m - i + 1), made monotone.

    Any shape; NaN (no test was possible) stays NaN and is not counted among the m tests.

    >>> holm([0.01, 0.04, 0.03]).round(2).tolist()
    [0.03, 0.06, 0.06]
    """
    return _adjust(p_values, lambda p, m: np.maximum.accumulate(p * (m - np.arange(m))))


def benjamini_hochberg(p_values: ArrayLike) -> FloatArray:
    """Adjusted p-values that control the expected share of false discoveries: p_(i) * m / i, made monotone.

    Any shape; NaN stays NaN and is not counted.

    >>> benjamini_hochberg([0.01, 0.04, 0.03]).round(2).tolist()
    [0.03, 0.04, 0.04]
    """
    return _adjust(p_values, lambda p, m: np.minimum.accumulate((p * m / np.arange(1, m + 1))[::-1])[::-1])


@dataclass(frozen=True, slots=True)
class DeflatedSharpe:
    """`sharpe` per observation (not annualised), the `expected_maximum` of `trials` worthless strategies, and the
    `probability` that the true ratio is above that maximum. NaN with a `reason` where it cannot be computed."""

    sharpe: float
    observations: int
    trials: int
    expected_maximum: float
    probability: float
    skew: float
    kurtosis: float
    reason: str = ""


def expected_maximum_sharpe(trials: int, variance: float) -> float:
    """Expected best Sharpe ratio among `trials` independent strategies without merit.

    sqrt(V) * ((1 - g) * Q(1 - 1/n) + g * Q(1 - 1/(n e))), Q the normal quantile, g Euler's constant, V the variance
    of the trials' ratios; 0 for one trial.

    >>> round(expected_maximum_sharpe(10, 1.0), 2)
    1.57
    """
    if trials < 1:
        raise ValueError(f"trials {trials} must be at least 1: the strategy itself is one")
    if not variance >= 0:
        raise ValueError(f"the variance of the trials' Sharpe ratios, {variance}, must be >= 0")
    if trials == 1:
        return 0.0
    q = special.ndtri([1 - 1 / trials, 1 - 1 / (trials * np.e)])
    return float(np.sqrt(variance) * ((1 - EULER_GAMMA) * q[0] + EULER_GAMMA * q[1]))


def probabilistic_sharpe(sharpe: float, benchmark: float, observations: int, skew: float, kurtosis: float) -> float:
    """Probability that the true Sharpe ratio exceeds `benchmark`, given the estimate and the returns' shape.

    Phi((SR - SR0) * sqrt(T - 1) / sqrt(1 - skew*SR + (kurtosis - 1)/4 * SR^2)); kurtosis is 3 for a normal. Ratios
    are per observation, not annualised. NaN if T < 2 or the bracket is not positive.
    """
    bracket = 1 - skew * sharpe + (kurtosis - 1) / 4 * sharpe**2
    if observations < 2 or not bracket > 0:
        return float("nan")
    return float(special.ndtr((sharpe - benchmark) * np.sqrt(observations - 1) / np.sqrt(bracket)))


def deflated_sharpe(returns: ArrayLike, trials: int, trial_variance: float | None = None) -> DeflatedSharpe:
    """Deflated Sharpe ratio of `returns` (D,) per day, chosen as the best of `trials`.

    `trial_variance`: variance of the trials' daily Sharpe ratios; None takes 1/(D - 1), that of estimates of a ratio
    that is truly zero. NaN returns are left out. Fewer than 3 returns or none that varies: NaN with a reason.
    """
    r = np.asarray(returns, dtype=np.float64).ravel()
    r = r[np.isfinite(r)]
    n, nan = len(r), float("nan")
    if n < 3 or np.ptp(r) == 0:
        why = f"only {n} daily returns" if n < 3 else "daily returns do not vary"
        expected_maximum_sharpe(trials, 0.0)  # the same check of `trials` on every path
        return DeflatedSharpe(nan, n, trials, nan, nan, nan, nan, why)
    ratio = float(r.mean() / r.std(ddof=1))
    best = expected_maximum_sharpe(trials, 1 / (n - 1) if trial_variance is None else trial_variance)
    second, third, fourth = (float(((r - r.mean()) ** k).mean()) for k in (2, 3, 4))
    skew, kurtosis = third / second**1.5, fourth / second**2
    return DeflatedSharpe(ratio, n, trials, best, probabilistic_sharpe(ratio, best, n, skew, kurtosis), skew, kurtosis)


def _adjust(p_values: ArrayLike, rule: object) -> FloatArray:
    p = np.asarray(p_values, dtype=np.float64)
    known = np.isfinite(p)
    if ((p < 0) | (p > 1)).any():
        bad = p[(p < 0) | (p > 1)][0]
        raise ValueError(f"p-value {bad} lies outside [0, 1]")
    out = np.full(p.shape, np.nan)
    values = p[known]
    order = np.argsort(values, kind="stable")
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(rule(values[order], len(values)), 1.0)  # type: ignore[operator]
    out[known] = adjusted
    return out
