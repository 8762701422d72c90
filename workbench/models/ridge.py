"""Linear models solved at once: ridge regression and its logistic sister, shrunk towards a model known before."""

from __future__ import annotations

from typing import Any

import numpy as np

from workbench.core.arrays import FloatArray
from workbench.models.base import Task
from workbench.models.losses import TINY, slope
from workbench.models.prepare import Sample

NEWTON_STEPS = 6
SHRINKAGE = 0.25
"""The usual penalty for each unit of weight: a feature of unit variance is shrunk by a fifth."""


def linear(
    z: Any,
    y: FloatArray,
    weight: FloatArray,
    penalty: float,
    task: Task,
    base: float = 0.0,
    prior: FloatArray | None = None,
) -> FloatArray:
    """(F,) b of z'b for returns, or of sigmoid(base + z'b) for 0/1 labels; z (R, F), y and weight (R,), prior (F,).

    Returns: minimises sum w (y - z'b)^2 + penalty |b - prior|^2 (ridge; prior 0 by default). Labels: minimises
    sum w log loss + penalty |b - prior|^2 / 8, since the curvature of log loss is at most an eighth of that of the
    square, so that `penalty` shrinks alike. Newton's method; for squared error one step is exact.

    >>> z, y = np.array([[1.0], [1.0]]), np.array([2.0, 4.0])
    >>> linear(z, y, np.ones(2), 2.0, "regress", prior=np.array([1.0])).tolist()
    [2.0]
    """
    prior = np.zeros(z.shape[1]) if prior is None else prior
    classify, b = task == "classify", prior
    diagonal = np.eye(z.shape[1]) * (penalty / 4 if classify else penalty)
    for _ in range(NEWTON_STEPS if classify else 1):
        mean = z @ b + base
        mean = sigmoid(mean) if classify else mean
        curvature = weight * mean * (1 - mean) if classify else weight
        gradient = z.T @ (weight * (mean - y)) + diagonal @ (b - prior)
        b = b - np.linalg.solve((z * curvature[:, None]).T @ z + diagonal, gradient)
    return b


def scale_of(raw: FloatArray, sample: Sample, base: float) -> float:
    """The s >= 0 with which s * raw fits the rows best: returns, or log odds beside `base`; 0 says it is no help.

    A linear model of many features swings too far by far when signal is weak: later rows tell by how much.
    """
    if sample.task == "regress":
        return slope(raw, sample.y, sample.weight)
    return max(0.0, float(linear(raw[:, None], sample.y, sample.weight, TINY, "classify", base)[0]))


def sigmoid(score: Any) -> Any:
    """1 / (1 + exp(-score)), without overflow."""
    return 0.5 * (1.0 + np.tanh(0.5 * score))


def base_of(sample: Sample) -> float:
    """Log odds of the base rate of the very rows of `sample`; 0 for returns."""
    if sample.task == "regress":
        return 0.0
    rate = float(np.average(sample.y, weights=sample.weight))
    return float(np.log(rate / (1 - rate)))
