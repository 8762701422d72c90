"""How a family judges itself on later rows."""

from __future__ import annotations

import numpy as np

from workbench.core.arrays import FloatArray
from workbench.models.prepare import Sample

TINY = 1e-12


def mean_square(prediction: FloatArray, y: FloatArray, weight: FloatArray) -> float:
    """Weighted mean of (y - prediction)^2."""
    return float(np.average((y - prediction) ** 2, weights=weight))


def log_loss(probability: FloatArray, y: FloatArray, weight: FloatArray) -> float:
    """Weighted mean of -y log p - (1 - y) log(1 - p), p kept off 0 and 1."""
    p = np.clip(probability, 1e-7, 1 - 1e-7)
    return float(np.average(-(y * np.log(p) + (1 - y) * np.log1p(-p)), weights=weight))


def slope(prediction: FloatArray, y: FloatArray, weight: FloatArray) -> float:
    """The b >= 0 that minimises the weighted mean of (y - b * prediction)^2; 0 for a prediction that does not vary.

    >>> slope(np.array([1.0, -1.0]), np.array([2.0, -2.0]), np.ones(2))
    2.0
    """
    variance = float(np.average(prediction**2, weights=weight))
    if variance < TINY:
        return 0.0
    return max(0.0, float(np.average(prediction * y, weights=weight)) / variance)


def skill(prediction: FloatArray, y: FloatArray, weight: FloatArray) -> float:
    """Correlation about zero of prediction and label; 0 for a prediction that does not vary.

    >>> round(skill(np.array([1.0, -1.0]), np.array([2.0, -2.0]), np.ones(2)), 12)
    1.0
    """
    variance = float(np.average(prediction**2, weights=weight)) * float(np.average(y**2, weights=weight))
    if variance < TINY**2:
        return 0.0
    return float(np.average(prediction * y, weights=weight)) / float(np.sqrt(variance))


def score(sample: Sample, prediction: FloatArray) -> float:
    """Larger is better: correlation about zero for returns, minus log loss for barriers."""
    if sample.task == "regress":
        return skill(prediction, sample.y, sample.weight)
    return -log_loss(prediction, sample.y, sample.weight)


def constant_score(early: Sample, late: Sample) -> float:
    """What the constant of the early rows scores on the later ones."""
    if early.task == "regress":
        return 0.0
    return score(late, np.full(len(late), np.average(early.y, weights=early.weight)))
