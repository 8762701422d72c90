"""GMMRegime: a linear model for each regime of a Gaussian mixture, mixed by how likely the regime is."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from workbench.core.arrays import FloatArray
from workbench.models.export import INPUT, Graph
from workbench.models.fitted import ONNX_FILE, FittedModel, constant_model, header_of
from workbench.models.learner import Effort, Learner
from workbench.models.losses import constant_score, score
from workbench.models.prepare import Sample, Standardiser
from workbench.models.ridge import SHRINKAGE, base_of, linear, scale_of, sigmoid

COMPONENTS, REGIMES = 4, 3
MIXTURE_ROWS, STARTS = 10_000, 4
FARTHEST = 6.0
STRENGTHS = (4.0, 1.0, 0.25)
"""Shrinkage of the regimes to the pooled model that is tried, per unit of weight; the best on later rows is kept."""


@dataclass(frozen=True, slots=True)
class GMMRegime(Learner):
    """Scale, principal components, Gaussian mixture, a linear model for each regime (tabular).

    Features are standardised to z (NaN is the mean); u are the first 4 principal components of z, scaled to unit
    variance and clipped to 6 deviations; a mixture of 3 Gaussians with full covariance is fitted to u by EM and says
    how likely each regime k is, r_k(u). It learns::

        f(z) = sum_k r_k(u) (z'b_k + c_k)        (barriers: the sigmoid of that and the log odds of the base rate)

    The pooled (b, c) is a ridge on all rows; (b_k, c_k) is a ridge with weights w r_k, shrunk towards the pooled one
    instead of towards 0: a regime must speak up with many rows to differ. Squared error for returns, log loss for
    barriers. The strength of that shrinkage (three are tried) and a common scale are chosen on the last
    20 % of the rows, beyond a purged gap, then the linear models are fitted to all rows. If none beats the constant
    there, it is the constant. Regimes come from the features alone, of the earlier rows.
    Source: Dempster, Laird and Rubin 1977, JRSS B (EM); Jacobs et al. 1991, Neural Computation (mixture of experts);
    Hamilton 1989, Econometrica (regimes in returns).
    """

    name: str = "GMMRegime"
    slow: bool = False
    classifies: bool = True
    linear: bool = True

    def learn(self, sample: Sample, how: Effort) -> FittedModel:
        """See :class:`~workbench.models.learner.Learner`."""
        early, late = sample.split(how.gap)
        standardiser = Standardiser.fit(early.x)
        regimes = Regimes.fit(standardiser.apply(early.x).astype(np.float64), how.seed)
        if regimes is None:
            return constant_model(sample, "no feature varies")
        strength, scale = _tuned(early, late, standardiser, regimes)
        if scale == 0:
            return constant_model(sample, "no mixture of regimes beats the constant on later rows")
        return _fitted(sample, standardiser, _experts(sample, standardiser, regimes, strength).scaled(scale), strength)


@dataclass(frozen=True, slots=True)
class Regimes:
    """u = clip(z @ rotate); log density of regime k: offset_k - |u @ whiten_k - shift_k|^2 / 2, with the weight of k.

    `rotate` (F, D); `whiten` (D, K D) and `shift` (K D,) for all regimes side by side; `offset` (K,).
    """

    rotate: FloatArray
    whiten: FloatArray
    shift: FloatArray
    offset: FloatArray

    @classmethod
    def fit(cls, z: FloatArray, seed: int) -> Regimes | None:
        """The mixture of z (R, F), mean 0; None if z does not vary. sklearn fits it, and is not needed afterwards."""
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.mixture import GaussianMixture

        rotate = _components(z)
        if rotate.shape[1] == 0:
            return None
        u = _reduced(z[:: -(-len(z) // MIXTURE_ROWS)], rotate)
        model = GaussianMixture(
            REGIMES, reg_covar=1e-2, init_params="k-means++", n_init=STARTS, random_state=seed % 2**32
        )
        with warnings.catch_warnings():  # 100 steps of EM suffice: regimes need not be found to the last digit
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(u)
        cholesky = model.precisions_cholesky_
        determinant = np.log(np.diagonal(cholesky, axis1=1, axis2=2)).sum(axis=1)
        shift = np.einsum("kd,kde->ke", model.means_, cholesky)
        return cls(rotate, np.hstack(list(cholesky)), shift.ravel(), determinant + np.log(model.weights_))

    def weights(self, z: FloatArray) -> FloatArray:
        """(R, K) r_k(u) >= 0, summing to 1."""
        distance = _reduced(z, self.rotate) @ self.whiten - self.shift
        log = self.offset - 0.5 * (distance**2).reshape(len(z), len(self.offset), self.rotate.shape[1]).sum(axis=2)
        odds = np.exp(log - log.max(axis=1, keepdims=True))
        return np.asarray(odds / odds.sum(axis=1, keepdims=True))


def _components(z: FloatArray) -> FloatArray:
    """(F, D) directions of the largest variance, scaled so that z @ direction has variance 1."""
    variance, vectors = np.linalg.eigh(z.T @ z / len(z))
    use = np.argsort(variance)[::-1][:COMPONENTS]
    use = use[variance[use] > 1e-6]
    vectors = vectors[:, use]
    largest = vectors[np.argmax(np.abs(vectors), axis=0), np.arange(len(use))]
    return np.asarray(vectors * np.sign(largest) / np.sqrt(variance[use]))


def _reduced(z: FloatArray, rotate: FloatArray) -> FloatArray:
    return np.clip(z @ rotate, -FARTHEST, FARTHEST)


@dataclass(frozen=True, slots=True)
class Mixture:
    """`experts` (F + 1, K): coefficients of each regime and its constant; `base` log odds of a classifier, else 0."""

    regimes: Regimes
    experts: FloatArray
    base: float
    scale: float = 1.0

    def score(self, z: FloatArray) -> FloatArray:
        """(R,) return, or log odds beside `base`."""
        out: FloatArray = (self.regimes.weights(z) * (z @ self.experts[:-1] + self.experts[-1])).sum(axis=1)
        return out

    def scaled(self, scale: float) -> Mixture:
        """The same, `scale` times as far from the constant."""
        return replace(self, experts=self.experts * scale, scale=scale)


def _tuned(early: Sample, late: Sample, standardiser: Standardiser, regimes: Regimes) -> tuple[float, float]:
    """The strength of shrinkage that is best on the later rows, and the scale; 0 if the constant is better."""
    z, best, chosen = standardiser.apply(late.x).astype(np.float64), constant_score(early, late), (0.0, 0.0)
    for strength in STRENGTHS:
        mixture = _experts(early, standardiser, regimes, strength)
        raw = mixture.score(z)
        scale = scale_of(raw, late, mixture.base)
        out = sigmoid(scale * raw + mixture.base) if late.task == "classify" else scale * raw
        if (now := score(late, out)) > best:
            best, chosen = now, (strength, scale)
    return chosen


def _experts(sample: Sample, standardiser: Standardiser, regimes: Regimes, strength: float) -> Mixture:
    z = standardiser.apply(sample.x).astype(np.float64)
    base = base_of(sample)
    share, design = regimes.weights(z), np.column_stack([z, np.ones(len(z))])
    pooled = linear(design, sample.y, sample.weight, SHRINKAGE * len(z), sample.task, base)
    experts = [
        linear(design, sample.y, sample.weight * r, strength * len(z), sample.task, base, pooled) for r in share.T
    ]
    return Mixture(regimes, np.column_stack(experts), base)


def _fitted(sample: Sample, standardiser: Standardiser, mixture: Mixture, strength: float) -> FittedModel:
    def native(x: Any) -> Any:
        out = mixture.score(standardiser.apply(x).astype(np.float64))
        return sigmoid(out + mixture.base) if sample.task == "classify" else out

    content = {ONNX_FILE: _write(sample, standardiser, mixture)}
    share = mixture.regimes.weights(standardiser.apply(sample.x).astype(np.float64)).mean(axis=0)
    info: dict[str, float | int | str] = {
        "rows": len(sample), "shrinkage": strength, "scale": mixture.scale,
        **{f"regime_{k}": float(v) for k, v in enumerate(share)},
    }  # fmt: skip
    return FittedModel(sample.family, sample.task, header_of(sample, "onnx"), content, native, info)


def _write(sample: Sample, standardiser: Standardiser, mixture: Mixture) -> bytes:
    """In double precision after the scaling: far out, log densities are large and their differences decide."""
    graph, regimes = Graph((sample.x.shape[1],)), mixture.regimes

    def product(x: str, weight: Any, bias: Any) -> str:
        return graph.add("Add", graph.add("MatMul", x, double(weight)), double(bias))

    def double(values: Any) -> str:
        return graph.constant(values, np.float64)

    z = graph.add("Cast", graph.standardised(INPUT, standardiser), to=11)  # 11: float64
    u = graph.add("Clip", graph.add("MatMul", z, double(regimes.rotate)), double(-FARTHEST), double(FARTHEST))
    distance = product(u, regimes.whiten, -regimes.shift)
    each = np.kron(np.eye(len(regimes.offset)), np.full((regimes.rotate.shape[1], 1), -0.5))
    share = graph.add("Softmax", product(graph.add("Mul", distance, distance), each, regimes.offset), axis=1)
    mixed = graph.add("Mul", share, product(z, mixture.experts[:-1], mixture.experts[-1] + mixture.base))
    out = graph.add("ReduceSum", mixed, graph.constant([1], np.int64))
    if sample.task == "classify":
        out = graph.add("Sigmoid", out)
    return graph.finish(graph.add("Cast", out, to=1))  # 1: float32
