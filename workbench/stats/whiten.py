"""Generalised least squares for a cross-section with one common factor, by whitening what is regressed.

At one moment N labels share a common shock: Cov = (1-rho) I + rho 11'. Ordinary least squares then mistakes N names
for N independent observations of the market and drowns what is said about single names in the noise of the common
factor. Regressing whitened on whitened rows is the best linear unbiased estimate under that covariance:

    v*_i = v_i - phi_N * mean_j v_j,     phi_N = 1 - sqrt((1-rho) / (1 + (N-1) rho))

N counts the names of the moment; a missing value adds 0 to the mean and stays missing. rho = 0 changes nothing; a
larger rho trusts the common part less. *Source*: Fuller & Battese 1973, the transformation of the one-way error model.
"""

from __future__ import annotations

import numpy as np

from workbench.core.arrays import FloatArray, IntArray

MAX_RHO = 0.95


def common_correlation(y: FloatArray, when: IntArray) -> float:
    """Mean correlation rho between names at the same moment, in [0, MAX_RHO]; y (R,) finite, `when` (R,).

    rho = sum_t sum_{i != j} y_i y_j / sum_t (N_t - 1) sum_i y_i^2; 0 where no moment has two names.

    >>> common_correlation(np.array([1.0, 1.0, -1.0, -1.0]), np.array([0, 0, 1, 1]))
    0.95
    >>> common_correlation(np.array([1.0, -1.0]), np.array([0, 0]))
    0.0
    """
    _, at, count = np.unique(when, return_inverse=True, return_counts=True)
    total, square = np.bincount(at, y), np.bincount(at, y * y)
    pairs = float(((count - 1) * square).sum())
    if not pairs > 0:
        return 0.0
    return float(np.clip((total**2 - square).sum() / pairs, 0.0, MAX_RHO))


def whiten(values: FloatArray, when: IntArray, rho: float) -> FloatArray:
    """Whitened `values` (R,) or (R, M) for names that share `when` (R,) and the common correlation `rho`.

    >>> whiten(np.array([1.0, 3.0]), np.array([0, 0]), 0.0).tolist()
    [1.0, 3.0]
    """
    _, at, count = np.unique(when, return_inverse=True, return_counts=True)
    phi = 1.0 - np.sqrt((1.0 - rho) / (1.0 + (count - 1.0) * rho))
    table = values[:, None] if values.ndim == 1 else values
    known = np.where(np.isfinite(table), table, 0.0)
    common = np.stack([np.bincount(at, column) for column in known.T], axis=1) * (phi / count)[:, None]
    return np.asarray((table - common[at]).reshape(values.shape))
