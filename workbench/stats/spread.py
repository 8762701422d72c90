"""The bid-ask spread where bars carry no quotes: estimated from prices, shrunk to a prior, never below one tick."""

from __future__ import annotations

import numpy as np

from workbench.core.arrays import FloatArray
from workbench.core.units import BPS

PRIOR_AT_1BN_100USD_BPS = 1.7
PRIOR_VOLUME_POWER = -0.55
PRIOR_PRICE_POWER = 0.45
PRIOR_BOUNDS_BPS = (0.1, 150.0)
PRIOR_LOG_SD = 0.6
"""Uncertainty of the prior: most symbols lie within a factor exp(0.6)."""


def edge(open_: FloatArray, high: FloatArray, low: FloatArray, close: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Squared relative spread and its standard error, each (N,), from (T, N) bars; NaN where they say nothing.

    The estimator combines two moment conditions. With logs o, h, l, c of a bar, m = (h + l)/2, and a prime for the bar
    before, centred returns d, tau = 1 unless h = l = c', and the shares of bars that open or close inside their range::

        x1 = -4/p_o d(m - o)(o - m') - 4/p_c d(m - c')(c' - m')
        x2 = -4/p_o d(m - o)(o - c') - 4/p_c d(o - c')(c' - m')
        s^2 = (var(x2) mean(x1) + var(x1) mean(x2)) / (var(x1) + var(x2))

    s^2 may be negative: noise about a small spread. A row of NaN separates sessions. Source: Ardia, Guidotti and
    Kroencke (2024), "Efficient estimation of bid-ask spreads from open, high, low, and close prices", JFE 161.

    >>> bounce = np.where(np.arange(4000)[:, None] % 3 == 0, 100.05, 99.95)
    >>> s2, error = edge(bounce, np.full_like(bounce, 100.05), np.full_like(bounce, 99.95), bounce[::-1])
    >>> bool(0 < s2[0] < 4e-6)
    True
    """
    o, h, l, c = (np.log(x) for x in (open_, high, low, close))  # noqa: E741
    x1, x2 = _moments(o[1:], h[1:], l[1:], h[:-1], l[:-1], c[:-1])
    n = (~np.isnan(x1)).sum(axis=0)
    few = n < 20
    x1, x2 = np.where(few, 0.0, x1), np.where(few, 0.0, x2)
    e1, e2 = np.nanmean(x1, axis=0), np.nanmean(x2, axis=0)
    v1, v2 = np.nanvar(x1, axis=0), np.nanvar(x2, axis=0)
    weight = np.where(v1 + v2 > 0, v2 / np.where(v1 + v2 > 0, v1 + v2, 1.0), 0.5)
    both = weight * x1 + (1 - weight) * x2
    error = np.sqrt(np.nanvar(both, axis=0) / np.maximum(n, 1))
    return np.where(few, np.nan, weight * e1 + (1 - weight) * e2), np.where(few, np.nan, error)


def _moments(
    o: FloatArray,
    h: FloatArray,
    l: FloatArray,  # noqa: E741
    h1: FloatArray,
    l1: FloatArray,
    c1: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """(T - 1, N) x1 and x2 of :func:`edge`; NaN where a bar or the one before is missing."""
    m, m1 = (h + l) / 2, (h1 + l1) / 2
    there = ~(np.isnan(o) | np.isnan(m) | np.isnan(m1) | np.isnan(c1))
    tau = np.where(there, ~((h == l) & (l == c1)), np.nan)
    share = _mean(tau)
    p_open = _mean(tau * (o != h)) + _mean(tau * (o != l))
    p_close = _mean(tau * (c1 != h1)) + _mean(tau * (c1 != l1))
    usable = (share > 0) & (p_open > 0) & (p_close > 0)
    share, p_open, p_close = (np.where(usable, x, np.nan) for x in (share, p_open, p_close))
    d1, d3, d5 = (r - tau * _mean(r) / share for r in (np.where(there, x, np.nan) for x in (m - o, m - c1, o - c1)))
    r2, r4, r5 = o - m1, c1 - m1, o - c1
    x1 = -4 / p_open * d1 * r2 - 4 / p_close * d3 * r4
    x2 = -4 / p_open * d1 * r5 - 4 / p_close * d5 * r4
    return x1, x2


def _mean(x: FloatArray) -> FloatArray:
    """Mean of each column over what is there; NaN for none, without a warning."""
    there = ~np.isnan(x)
    return np.where(there, x, 0.0).sum(axis=0) / np.where(there.any(axis=0), there.sum(axis=0), np.nan)


def spread_prior(price: FloatArray, dollar_volume: FloatArray) -> FloatArray:
    """Relative midday spread expected from price (USD) and daily dollar volume; the tick is not in it.

    1.7 bps * (dollar volume / 1bn)^-0.55 * (price / 100)^0.45, in [0.1, 150] bps. Source: a compromise between the
    median spreads of AAPL 2014, IBM 2013 and GOOG 2015 (MARKET_FACTS: 1.4, 2.2 and 4.9 bps; the prior says 1.5, 2.5 and
    3.8) and what :func:`edge` finds in 2025 for the stocks whose spread is wider than their tick.

    >>> (spread_prior(np.array([183.0]), np.array([0.8e9])) / 1e-4).round(1)
    array([2.5])
    """
    scale = (dollar_volume / 1e9) ** PRIOR_VOLUME_POWER * (price / 100) ** PRIOR_PRICE_POWER
    return np.clip(PRIOR_AT_1BN_100USD_BPS * scale, *PRIOR_BOUNDS_BPS) * BPS


def shrink_spread(squared: FloatArray, error: FloatArray, prior: FloatArray) -> FloatArray:
    """Relative spread between an estimate and the prior, each weighted by its precision, in squares.

    The prior square p^2 has standard deviation 2 * PRIOR_LOG_SD * p^2; s^2 = (w squared + (1 - w) p^2) with
    w = sd^2 / (sd^2 + error^2), kept within a factor of e of the prior. Without an estimate: the prior.
    """
    centre = prior**2
    deviation = 2 * PRIOR_LOG_SD * centre
    weight = np.where(np.isnan(squared), 0.0, deviation**2 / (deviation**2 + np.nan_to_num(error) ** 2))
    mixed = weight * np.nan_to_num(squared) + (1 - weight) * centre
    return np.sqrt(np.clip(mixed, centre / np.e**2, centre * np.e**2))
