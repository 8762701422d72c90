"""From what training hands over to what a family learns from: clean rows, centred labels, later rows kept apart."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from workbench.core.arrays import FloatArray, check_shape
from workbench.core.errors import ConfigError, InsufficientDataError
from workbench.models.base import Family, Inputs, Task
from workbench.models.windows import Float32Array, WindowView

LABEL_CLIP = 4.0
"""Regression labels are winsorised at this many of their own standard deviations: returns have fat tails."""
VALIDATION_FRACTION = 0.2
GAP_FRACTION = 0.02


def clean(X: Any) -> Float32Array:
    """(R, F) float32 with every non-finite value as NaN: what every family learns from and predicts on.

    >>> clean(np.array([[1.0, np.inf], [1e300, 2.0]])).tolist()
    [[1.0, nan], [nan, 2.0]]
    """
    with np.errstate(over="ignore"):
        out = np.array(X, dtype=np.float32, order="C")
    out[~np.isfinite(out)] = np.nan
    return out


def unknown_rows(x: Float32Array) -> Any:
    """(R,) True where all F features are NaN: such a row abstains."""
    return np.isnan(x).all(axis=1)


@dataclass(frozen=True, slots=True)
class Sample:
    """Rows to learn from, in time order.

    `x` (R, F) clean float32 features (of a window: of its latest bar); `windows` the same rows as windows, or None;
    `y` (R,) centred and winsorised label, or 0/1; `weight` (R,) with mean 1; `center` the weighted mean label (of a
    classifier: the base rate); `min_rows` of the family.
    """

    x: Float32Array
    y: FloatArray
    weight: FloatArray
    center: float
    task: Task
    family: str
    min_rows: int
    windows: WindowView | None = None

    def __len__(self) -> int:
        return len(self.y)

    @property
    def constant(self) -> bool:
        """Whether the label does not vary, so that there is nothing to learn."""
        return bool(np.ptp(self.y) <= 1e-12)

    def take(self, index: Any) -> Sample:
        """The rows chosen by a slice, mask or index array."""
        windows = None if self.windows is None else self.windows.take(index)
        return replace(self, x=self.x[index], y=self.y[index], weight=self.weight[index], windows=windows)

    def split(self, gap: int | None, fraction: float = VALIDATION_FRACTION) -> tuple[Sample, Sample]:
        """(earlier, later) rows with `gap` rows purged between; the later part is `fraction` of all."""
        gap = math.ceil(GAP_FRACTION * len(self)) if gap is None else gap
        later = len(self) - max(1, round(fraction * len(self)))
        earlier = later - gap
        if earlier < self.min_rows // 2:
            raise InsufficientDataError(
                f"{self.family}: {len(self)} rows leave {max(earlier, 0)} to learn from before a gap of {gap} rows and "
                f"a validation part of {len(self) - later}; at least {self.min_rows // 2} are needed: "
                "give more history or drop the horizon"
            )
        return self.take(slice(0, earlier)), self.take(slice(later, None))


def make_sample(family: Family, X: Inputs, y: FloatArray, weight: FloatArray | None, classify: bool) -> Sample:
    """The usable rows of (X, y, weight) for `family`; errors name what is missing."""
    _check_inputs(family, X, y, weight, classify)
    x = clean(X.latest() if isinstance(X, WindowView) else X)
    y = np.asarray(y, np.float64)
    w = np.ones(len(y)) if weight is None else np.asarray(weight, np.float64)
    bad = ~(np.isfinite(w) & (w >= 0))
    if bad.any():
        row = int(np.argmax(bad))
        raise ValueError(f"{family.name}: weights must be finite and >= 0; row {row} is {w[row]}")
    use = np.isfinite(y) & (w > 0) & ~unknown_rows(x)
    if use.sum() < family.min_rows:
        raise InsufficientDataError(
            f"{family.name} needs at least {family.min_rows} rows with a known label, a feature and a weight; "
            f"got {int(use.sum())} of {len(y)}: give more history or drop the horizon"
        )
    windows = X.take(use) if isinstance(X, WindowView) else None
    y, w = y[use], w[use] / w[use].mean()
    center = float(np.average(y, weights=w))
    task: Task = "classify" if classify else "regress"
    y = _binary(family.name, y) if classify else _winsorised(y - center)
    return Sample(x[use], y, w, center, task, family.name, family.min_rows, windows)


def _check_inputs(family: Family, X: Inputs, y: FloatArray, weight: FloatArray | None, classify: bool) -> None:
    if classify and not family.classifies:
        raise ConfigError(f"{family.name} has no classifier: choose a family whose `classifies` is True")
    if family.sequential != isinstance(X, WindowView):
        want = "a WindowView" if family.sequential else "a (R, F) array"
        raise ValueError(f"{family.name} takes {want}, got {type(X).__name__}")
    if not isinstance(X, WindowView):
        check_shape(f"{family.name}: X", np.asarray(X), (-1, -1))
    check_shape(f"{family.name}: y", np.asarray(y), (len(X),))
    if weight is not None:
        check_shape(f"{family.name}: weight", np.asarray(weight), (len(X),))


def _winsorised(y: FloatArray) -> FloatArray:
    bound = LABEL_CLIP * float(y.std())
    return np.clip(y, -bound, bound)


def _binary(name: str, y: FloatArray) -> FloatArray:
    bad = (y != 0) & (y != 1)
    if bad.any():
        raise ValueError(f"{name}: a classifier's label is 0 or 1 (NaN unknown); got {y[bad][0]}")
    return y


@dataclass(frozen=True, slots=True)
class Standardiser:
    """z = clip((x - mean) * inverse, -clip, clip), NaN -> 0, all in float32; `mean`, `inverse` (F,) float32.

    Moments come from the training rows, twice: the second time without what lies beyond `clip` deviations of the
    first. A feature that does not vary, or is never known, has inverse 0 and therefore no influence.
    """

    mean: Float32Array
    inverse: Float32Array
    clip: float = 5.0

    @classmethod
    def fit(cls, x: Float32Array, clip: float = 5.0) -> Standardiser:
        """Moments of x (R, F)."""
        mean, deviation = _moments(x)
        bounds = (mean - clip * deviation).astype(np.float32), (mean + clip * deviation).astype(np.float32)
        mean, deviation = _moments(np.clip(x, *bounds))
        flat = deviation <= 1e-6 * np.maximum(np.abs(mean), 1e-30)
        inverse = np.where(flat, 0.0, 1.0 / np.where(flat, 1.0, deviation))
        inverse = np.where(inverse > np.finfo(np.float32).max, 0.0, inverse)
        return cls(mean.astype(np.float32), inverse.astype(np.float32), clip)

    def apply(self, x: Float32Array) -> Float32Array:
        """Standardised copy of x (..., F); the exported graphs do the same operations in the same precision."""
        z = x - self.mean
        z *= self.inverse
        np.clip(z, np.float32(-self.clip), np.float32(self.clip), out=z)
        np.copyto(z, np.float32(0.0), where=np.isnan(z))
        return z


def _moments(x: Float32Array) -> tuple[FloatArray, FloatArray]:
    """(F,) mean and standard deviation of the known values; 0 and 0 where nothing is known."""
    known = ~np.isnan(x)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, x, 0).sum(axis=0, dtype=np.float64) / count
    centred = np.where(known, x - mean.astype(np.float32), 0)
    variance = np.einsum("rf,rf->f", centred, centred, dtype=np.float64) / count
    return mean, np.sqrt(variance)


def medians(x: Float32Array) -> Float32Array:
    """(F,) median of each feature's known values; 0 where nothing is known.

    >>> medians(np.array([[1, np.nan], [3, np.nan]], np.float32)).tolist()
    [2.0, 0.0]
    """
    known = ~np.isnan(x)
    out = [np.median(x[known[:, j], j]) if known[:, j].any() else 0.0 for j in range(x.shape[1])]
    return np.array(out, np.float32)


def fill(x: Float32Array, values: Float32Array) -> Float32Array:
    """x (R, F) with NaN replaced by `values` (F,)."""
    return np.where(np.isnan(x), values, x)
