"""FTRLProximal: an online linear model with a learning rate and a sparsity of its own per feature."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from workbench.core.arrays import FloatArray
from workbench.models.export import INPUT, Graph
from workbench.models.fitted import ONNX_FILE, FittedModel, constant_model, header_of
from workbench.models.learner import Effort, Learner
from workbench.models.losses import log_loss, skill, slope
from workbench.models.prepare import Sample, Standardiser

BATCH = 256
ALPHA, BETA = 0.05, 1.0
PENALTIES = ((0.0, 1.0), (0.5, 10.0), (2.0, 50.0))
"""(L1, L2) tried, weakest first; the one that is best on later rows is kept."""


class Weights(NamedTuple):
    """`w` (F,) on standardised features, and the intercept."""

    w: FloatArray
    b: float


@dataclass(frozen=True, slots=True)
class FTRLProximal(Learner):
    """Follow the regularised leader, per coordinate (tabular).

    Learns w in w'z (returns, squared error) or sigmoid(w'z + b) (barriers, log loss) on standardised features z, by
    passes in time order over batches of 256 rows with mean gradient g::

        n' = n + g^2;  s = (sqrt(n') - sqrt(n)) / alpha;  q += g - s * w
        w = 0 if |q| <= L1 else -(q - sign(q) * L1) / ((beta + sqrt(n')) / alpha + L2)

    The result is the average of w over the last pass (Polyak and Juditsky 1992), which removes the noise of the
    last batches. (L1, L2) and a common scale are chosen on later rows, then all rows are used. NaN is imputed by the
    mean.
    Source: McMahan et al. 2013, KDD; batches instead of single rows, so that a fit takes a fraction of a second.
    """

    name: str = "FTRLProximal"
    slow: bool = False
    classifies: bool = True
    linear: bool = True
    min_rows: int = 100

    def learn(self, sample: Sample, how: Effort) -> FittedModel:
        """See :class:`~workbench.models.learner.Learner`; nothing here is random or threaded."""
        early, late = sample.split(how.gap)
        standardiser = Standardiser.fit(early.x)
        penalty, scale = _tuned(early, late, standardiser, how.budget.passes)
        if penalty is None:
            return constant_model(sample, "no penalty beats the constant on later rows")
        weights = follow(standardiser.apply(sample.x), sample, *penalty, how.budget.passes)
        return _fitted(sample, standardiser, Weights(weights.w * scale, weights.b), penalty)


def _tuned(
    early: Sample, late: Sample, standardiser: Standardiser, passes: int
) -> tuple[tuple[float, float] | None, float]:
    """The (L1, L2) that is best on the later rows, and the scale to use it with; None if the constant is better."""
    z, later = standardiser.apply(early.x), standardiser.apply(late.x)
    best = _measure(late, np.full(len(late), early.center)) if early.task == "classify" else 0.0
    chosen, scale = None, 1.0
    for penalty in PENALTIES:
        prediction = np.asarray(_predict(later, follow(z, early, *penalty, passes), early.task), np.float64)
        if (measure := _measure(late, prediction)) > best:
            best, chosen = measure, penalty
            scale = 1.0 if early.task == "classify" else slope(prediction, late.y, late.weight)
    return chosen, scale


def _measure(sample: Sample, prediction: FloatArray) -> float:
    """Larger is better: correlation about zero for returns, minus log loss for barriers."""
    if sample.task == "regress":
        return skill(prediction, sample.y, sample.weight)
    return -log_loss(prediction, sample.y, sample.weight)


def follow(z: Any, sample: Sample, l1: float, l2: float, passes: int) -> Weights:
    """Weights after `passes` over z (R, F) in time order, averaged over the last pass."""
    classify = sample.task == "classify"
    z = np.column_stack([z, np.full(len(z), 1.0 if classify else 0.0, np.float32)]).astype(np.float64)
    base = float(np.log(sample.center / (1 - sample.center))) if classify else 0.0
    width = z.shape[1]
    q, n, root, w, total = (np.zeros(width) for _ in range(5))
    sparse = np.full(width, l1)
    sparse[-1] = 0.0  # the intercept is not shrunk to zero
    starts = range(0, len(z), BATCH)
    for number in range(passes):
        for start in starts:
            rows = slice(start, start + BATCH)
            error = z[rows] @ w + base
            error = (_sigmoid(error) if classify else error) - sample.y[rows]
            error *= sample.weight[rows] / len(error)
            g = error @ z[rows]
            n += g * g
            after = np.sqrt(n)
            q += g - (after - root) / ALPHA * w
            root = after
            w = -np.sign(q) * np.maximum(np.abs(q) - sparse, 0.0) / ((BETA + root) / ALPHA + l2)
            if number == passes - 1:
                total += w
    average = total / len(starts)
    return Weights(average[:-1], base + float(average[-1]))


def _predict(z: Any, weights: Weights, task: str) -> Any:
    score = z @ weights.w.astype(np.float32) + np.float32(weights.b)
    return _sigmoid(score) if task == "classify" else score


def _sigmoid(score: Any) -> Any:
    return 0.5 * (1.0 + np.tanh(0.5 * score))


def _fitted(sample: Sample, standardiser: Standardiser, weights: Weights, penalty: tuple[float, float]) -> FittedModel:
    graph = Graph((sample.x.shape[1],))
    out = graph.affine(graph.standardised(INPUT, standardiser), weights.w[:, None], [weights.b])
    if sample.task == "classify":
        out = graph.add("Sigmoid", out)
    content = {ONNX_FILE: graph.finish(out)}
    info: dict[str, float | int | str] = {"rows": len(sample), "l1": penalty[0], "l2": penalty[1]}

    def native(x: Any) -> Any:
        return _predict(standardiser.apply(x), weights, sample.task)

    return FittedModel(sample.family, sample.task, header_of(sample, "onnx"), content, native, info)
