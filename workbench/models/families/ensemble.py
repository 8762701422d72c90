"""Ensemble: boosted trees, a random forest and a linear model under a stack learned on purged later folds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from workbench.core.arrays import FloatArray
from workbench.models.base import Budget
from workbench.models.boosting import common_parameters, trees_of
from workbench.models.export import INPUT, Graph, add_trees
from workbench.models.fitted import ONNX_FILE, FittedModel, constant_model, header_of
from workbench.models.learner import Effort, Learner
from workbench.models.losses import TINY
from workbench.models.prepare import Sample, Standardiser, fill, medians

MEMBERS = ("boosting", "forest", "linear")
STACK_PENALTY = 0.5
FOLDS = (0.4, 0.2)
"""The last part of the rows that each fold predicts from: 60-80 % from the first 60, 80-100 % from the first 80."""


@dataclass(frozen=True, slots=True)
class Ensemble(Learner):
    """Histogram gradient boosting + random forest + ridge regression, stacked (tabular).

    Each member learns the return by squared error on median-imputed features: boosting with trees of 8 leaves at
    rate 0.1 and L2 of a quarter of the rows; a forest of 16 leaves per tree on a quarter of the rows with a sixth of
    the features at each node; ridge on standardised features with penalty n/4 (a feature of unit variance is shrunk
    by a fifth). Both tree members run on LightGBM's histograms (the forest in its `rf` mode). The stack is a ridge
    w = (P'P/n + lambda I)^-1 P'y/n on members scaled to unit RMS, P their predictions of rows 60-80 % and 80-100 %
    from models of the rows before, a purged gap between; negative weights are dropped. The members are then fitted
    to all rows. All weights 0: the constant 0.
    Source: Wolpert 1992; Breiman 1996 (stacked regressions), 2001 (forests); Hoerl and Kennard 1970.
    """

    name: str = "Ensemble"
    min_rows: int = 300

    def learn(self, sample: Sample, how: Effort) -> FittedModel:
        """See :class:`~workbench.models.learner.Learner`."""
        sample.split(how.gap, FOLDS[0])
        build = Builder(how.seed, how.threads, how.budget)
        stack = _stack(sample, how.gap, build)
        if not (stack > 0).any():
            return constant_model(sample, "no member predicts later rows")
        return _fitted(sample, build.members(sample), stack)


@dataclass(frozen=True, slots=True)
class Members:
    """The three fitted members and their imputation; `coefficient` (F,) of the ridge on standardised features."""

    imputed: Any
    standardiser: Standardiser
    boosting: Any
    forest: Any
    coefficient: Any
    threads: int

    def predict(self, x: Any) -> FloatArray:
        """(R, 3) predictions in the order of MEMBERS."""
        x = fill(x, self.imputed)
        linear = self.standardiser.apply(x) @ self.coefficient
        trees = [
            m.predict(x, num_threads=self.threads) if len(x) else np.empty(0) for m in (self.boosting, self.forest)
        ]
        return np.column_stack([*trees, linear.astype(np.float64)])


@dataclass(frozen=True, slots=True)
class Builder:
    """Fits the members to a sample within a budget."""

    seed: int
    threads: int
    budget: Budget

    def members(self, sample: Sample) -> Members:
        """All three, on the rows of `sample`."""
        imputed = medians(sample.x)
        x = fill(sample.x, imputed)
        standardiser = Standardiser.fit(sample.x)
        boosting, forest = self._trees(x, sample)
        coefficient = _ridge(standardiser.apply(x), sample)
        return Members(imputed, standardiser, boosting, forest, coefficient, self.threads)

    def _trees(self, x: Any, sample: Sample) -> tuple[Any, Any]:
        import lightgbm

        common = self._common(len(x))
        data = lightgbm.Dataset(x, sample.y, weight=sample.weight, params=common)
        boosting = {**common, "num_leaves": 8, "learning_rate": 0.1, "lambda_l2": len(x) / 4, "feature_fraction": 0.4}
        forest = {
            **common, "boosting": "rf", "num_leaves": 16, "bagging_freq": 1, "bagging_fraction": 0.25,
            "feature_fraction_bynode": 1 / 6,
        }  # fmt: skip
        rounds = max(10, self.budget.rounds // 8), self.budget.trees
        one, two = (lightgbm.train(p, data, n) for p, n in zip((boosting, forest), rounds))
        return one, two

    def _common(self, rows: int) -> dict[str, Any]:
        return {
            **common_parameters(self.seed, self.threads), "objective": "regression", "boost_from_average": False,
            "min_data_in_leaf": max(10, rows // 100), "feature_pre_filter": False,
        }  # fmt: skip


def _ridge(z: Any, sample: Sample) -> Any:
    """(F,) float32 ridge coefficients with penalty n / 4."""
    z = z.astype(np.float64)
    weighted = z * sample.weight[:, None]
    penalty = 0.25 * len(z) * np.eye(z.shape[1])
    return np.linalg.solve(weighted.T @ z + penalty, weighted.T @ sample.y).astype(np.float32)


def _stack(sample: Sample, gap: int | None, build: Builder) -> FloatArray:
    """(3,) weights >= 0 of the members as they are (not scaled), from purged later folds."""
    predictions, labels, weights = [], [], []
    for fraction in FOLDS:
        early, later = sample.split(gap, fraction)
        stop = round(0.2 * len(sample))
        later = later.take(slice(0, stop))
        predictions.append(build.members(early).predict(later.x))
        labels.append(later.y)
        weights.append(later.weight)
    p, y, w = np.concatenate(predictions), np.concatenate(labels), np.concatenate(weights)
    scale = np.sqrt(np.average(p**2, axis=0, weights=w))
    scale = np.where(scale > TINY, scale, np.inf)
    p = p / scale
    gram = (p * w[:, None]).T @ p / w.sum() + STACK_PENALTY * np.eye(p.shape[1])
    solved: FloatArray = np.maximum(np.linalg.solve(gram, (p * w[:, None]).T @ y / w.sum()), 0.0) / scale
    return solved


def _fitted(sample: Sample, members: Members, stack: FloatArray) -> FittedModel:
    graph = Graph((sample.x.shape[1],))
    x = graph.filled(INPUT, members.imputed)
    trees = trees_of(members.boosting, stack[0]) + trees_of(members.forest, stack[1] / members.forest.num_trees())
    linear = graph.affine(graph.standardised(x, members.standardiser), members.coefficient[:, None] * stack[2], [0.0])
    content = {ONNX_FILE: graph.finish(graph.add("Add", add_trees(graph, x, trees, 0.0), linear))}
    info: dict[str, float | int | str] = {
        "rows": len(sample),
        **{f"stack_{m}": float(v) for m, v in zip(MEMBERS, stack)},
    }
    return FittedModel(
        sample.family, sample.task, header_of(sample, "onnx"), content, lambda x: members.predict(x) @ stack, info
    )
