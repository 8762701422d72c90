"""From what training hands over to what a family learns from: clean rows, centred labels, later rows kept apart."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from workbench.core.arrays import FloatArray, check_shape
from workbench.core.errors import ConfigError, InsufficientDataError
from workbench.models.base import AUXILIARY, CONTEXT, Family, Inputs, Task
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


def unknown_rows(x: Float32Array, n_context: int = 0) -> Any:
    """(R,) True where all features are NaN, or any of the last `n_context` columns is: such a row abstains.

    >>> unknown_rows(np.array([[np.nan, np.nan, 1], [2, np.nan, 1], [2, 2, np.nan]], np.float32), 1).tolist()
    [True, False, True]
    """
    features = x.shape[1] - n_context
    return np.isnan(x[:, :features]).all(axis=1) | np.isnan(x[:, features:]).any(axis=1)


@dataclass(frozen=True, slots=True)
class Sample:
    """Rows to learn from, in time order.

    `x` (R, F + E) clean float32 features and context (of a window: of its latest bar); `windows` the same rows as
    windows, or None; `y` (R,) centred and winsorised label, or 0/1; `weight` (R,) with mean 1; `center` the weighted
    mean label (of a classifier: the base rate); `min_rows` of the family; `context` names the last E columns;
    `auxiliary` name -> (R,), NaN where unknown. Of K tasks: y, weight and auxiliary are (R, K), a missing label has
    y = 0 and weight 0, the weights of each task have mean 1 over its own rows, and `center` is 0.
    """

    x: Float32Array
    y: FloatArray
    weight: FloatArray
    center: float
    task: Task
    family: str
    min_rows: int
    windows: WindowView | None = None
    context: tuple[str, ...] = ()
    auxiliary: Mapping[str, FloatArray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.y)

    @property
    def n_features(self) -> int:
        """F, without the context."""
        return int(self.x.shape[1]) - len(self.context)

    @property
    def constant(self) -> bool:
        """Whether no label varies, so that there is nothing to learn."""
        return bool(np.max(np.ptp(self.y, axis=0)) <= 1e-12)

    def take(self, index: Any) -> Sample:
        """The rows chosen by a slice, mask or index array."""
        windows = None if self.windows is None else self.windows.take(index)
        auxiliary = {name: values[index] for name, values in self.auxiliary.items()}
        return replace(self, x=self.x[index], y=self.y[index], weight=self.weight[index], windows=windows,
                       auxiliary=auxiliary)  # fmt: skip

    def as_tasks(self) -> Sample:
        """The same with y, weight and auxiliary as (R, K): K = 1 for one label."""
        if self.y.ndim == 2:
            return self
        auxiliary = {name: values[:, None] for name, values in self.auxiliary.items()}
        return replace(self, y=self.y[:, None], weight=self.weight[:, None], auxiliary=auxiliary)

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


def make_sample(
    family: Family,
    X: Inputs,
    y: FloatArray,
    weight: FloatArray | None = None,
    classify: bool = False,
    context: Sequence[str] = (),
    auxiliary: Mapping[str, FloatArray] | None = None,
) -> Sample:
    """The usable rows of (X, y, weight) for `family`; y (R,), or (R, K) for K tasks. Errors name what is missing."""
    given = {name: values for name, values in (auxiliary or {}).items() if name in family.needs}
    _check_inputs(family, X, y, weight, classify, context, given)
    x = clean(X.latest() if isinstance(X, WindowView) else X)
    y = np.asarray(y, np.float64)
    w = np.ones(y.shape) if weight is None else np.asarray(weight, np.float64)
    bad = ~(np.isfinite(w) & (w >= 0))
    if bad.any():
        row = int(np.argmax(bad.reshape(len(y), -1).any(axis=1)))
        raise ValueError(f"{family.name}: weights must be finite and >= 0; row {row} is {w[row]}")
    known = np.isfinite(y) & (w > 0)
    use = (known if y.ndim == 1 else known.any(axis=1)) & ~unknown_rows(x, len(context))
    if use.sum() < family.min_rows:
        raise InsufficientDataError(
            f"{family.name} needs at least {family.min_rows} rows with a known label, a feature and a weight; "
            f"got {int(use.sum())} of {len(y)}: give more history or drop the horizon"
        )
    task: Task = "classify" if classify else "regress"
    label, w, center = _labels(family.name, y[use], w[use], task)
    windows = X.take(use) if isinstance(X, WindowView) else None
    extra = {name: np.asarray(values, np.float64)[use] for name, values in given.items()}
    return Sample(x[use], label, w, center, task, family.name, family.min_rows, windows, tuple(context), extra)


def _labels(name: str, y: FloatArray, w: FloatArray, task: Task) -> tuple[FloatArray, FloatArray, float]:
    """(label, weight, center) as a Sample holds them."""
    if y.ndim == 2:
        columns = [_column(y[:, k], np.where(np.isfinite(y[:, k]), w[:, k], 0.0)) for k in range(y.shape[1])]
        return np.column_stack([c[0] for c in columns]), np.column_stack([c[1] for c in columns]), 0.0
    w = w / w.mean()
    center = float(np.average(y, weights=w))
    return (_binary(name, y) if task == "classify" else _winsorised(y - center)), w, center


def _column(y: FloatArray, w: FloatArray) -> tuple[FloatArray, FloatArray]:
    """One of several labels, centred and winsorised over its own rows; 0 with weight 0 elsewhere."""
    own = w > 0
    label, weight = np.zeros(len(y)), np.zeros(len(y))
    if own.any():
        weight[own] = w[own] / w[own].mean()
        label[own] = _winsorised(y[own] - np.average(y[own], weights=w[own]))
    return label, weight


def _check_inputs(
    family: Family,
    X: Inputs,
    y: FloatArray,
    weight: FloatArray | None,
    classify: bool,
    context: Sequence[str],
    auxiliary: Mapping[str, FloatArray],
) -> None:
    if classify and not family.classifies:
        raise ConfigError(f"{family.name} has no classifier: choose a family whose `classifies` is True")
    if family.sequential != isinstance(X, WindowView):
        want = "a WindowView" if family.sequential else "a (R, F) array"
        raise ValueError(f"{family.name} takes {want}, got {type(X).__name__}")
    unknown = [name for name in context if name not in CONTEXT]
    if unknown:
        raise ValueError(f"{family.name}: context {unknown[0]!r} is unknown: choose from {', '.join(CONTEXT)}")
    missing = [name for name in family.needs if name not in auxiliary]
    if missing:
        raise ValueError(f"{family.name} also learns from {missing[0]!r} (one of {', '.join(AUXILIARY)}): pass it in "
                         "`auxiliary`")  # fmt: skip
    if not isinstance(X, WindowView):
        check_shape(f"{family.name}: X", np.asarray(X), (-1, -1))
    held = X.n_context if isinstance(X, WindowView) else len(context)
    width = X.n_features if isinstance(X, WindowView) else np.shape(X)[1] - len(context)
    if held != len(context) or width < 1:
        raise ValueError(f"{family.name}: context names {len(context)} columns, but X holds {held} behind {width} "
                         "features")  # fmt: skip
    shape = (len(X), *np.shape(y)[1:2])
    check_shape(f"{family.name}: y", np.asarray(y), shape)
    for name, values in {"weight": weight, **auxiliary}.items():
        if values is not None:
            check_shape(f"{family.name}: {name}", np.asarray(values), shape)


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

    def part(self, features: slice) -> Standardiser:
        """That of some of the features."""
        return Standardiser(self.mean[features], self.inverse[features], self.clip)

    def with_marker(self) -> Standardiser:
        """The same with one more channel that passes through: the session marker of a window."""
        mean, inverse = np.append(self.mean, np.float32(0)), np.append(self.inverse, np.float32(1))
        return Standardiser(mean, inverse, self.clip)

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
