"""Ensemble: boosted trees, a random forest and a linear model under a stack learned on purged later folds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from workbench.core.arrays import FloatArray
from workbench.models.base import Budget, Fitted, Inputs
from workbench.models.export import INPUT, Graph, Tree, add_trees
from workbench.models.fitted import ONNX_FILE, FittedModel, constant_model, header_of
from workbench.models.losses import TINY
from workbench.models.prepare import Sample, Standardiser, fill, make_sample, medians

MEMBERS = ("boosting", "forest", "linear")
STACK_PENALTY = 0.5
FOLDS = (0.4, 0.2)
"""The last part of the rows that each fold predicts from: 60-80 % from the first 60, 80-100 % from the first 80."""


@dataclass(frozen=True, slots=True)
class Ensemble:
    """Histogram gradient boosting + random forest + ridge regression, stacked (tabular).

    Each member learns the return by squared error on median-imputed features: boosting with trees of 8 leaves at
    rate 0.1 and L2 of a quarter of the rows, a forest of depth 5 on a quarter of the rows per tree, ridge on standardised features with penalty n/4 (a
    feature of unit variance is shrunk by a fifth). The stack is a ridge w = (P'P/n + lambda I)^-1 P'y/n on members
    scaled to unit RMS, P their predictions of rows 60-80 % and 80-100 % from models of the rows before, a purged gap
    between; negative weights are dropped. The members are then fitted to all rows. All weights 0: the constant 0.
    Source: Wolpert 1992; Breiman 1996 (stacked regressions), 2001 (forests); Hoerl and Kennard 1970.
    """

    name: str = "Ensemble"
    sequential: bool = False
    slow: bool = True
    classifies: bool = False
    min_rows: int = 300

    def fit(
        self,
        X: Inputs,
        y: FloatArray,
        weight: FloatArray | None = None,
        *,
        seed: int,
        classify: bool = False,
        threads: int = 1,
        budget: Budget = Budget(),
        gap: int | None = None,
    ) -> Fitted:
        """See :class:`~workbench.models.base.Family`."""
        sample = make_sample(self, X, y, weight, classify)
        early, _ = sample.split(gap, FOLDS[0])
        if early.constant:
            return constant_model(sample, "the label does not vary")
        build = Builder(seed, threads, budget)
        stack = _stack(sample, gap, build)
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

    def predict(self, x: Any) -> FloatArray:
        """(R, 3) predictions in the order of MEMBERS."""
        x = fill(x, self.imputed)
        linear = self.standardiser.apply(x) @ self.coefficient
        trees = [model.predict(x) if len(x) else np.empty(0) for model in (self.boosting, self.forest)]
        return np.column_stack([*trees, linear.astype(np.float64)])


@dataclass(frozen=True, slots=True)
class Builder:
    """Fits the members to a sample within a budget."""

    seed: int
    threads: int
    budget: Budget

    def members(self, sample: Sample) -> Members:
        """All three, on the rows of `sample`."""
        from threadpoolctl import threadpool_limits

        imputed = medians(sample.x)
        x = fill(sample.x, imputed)
        standardiser = Standardiser.fit(sample.x)
        with threadpool_limits(limits=self.threads):
            boosting, forest = (model.fit(x, sample.y, sample.weight) for model in self._trees(len(sample)))
            coefficient = _ridge(standardiser.apply(x), sample)
        return Members(imputed, standardiser, boosting, forest, coefficient)

    def _trees(self, rows: int) -> tuple[Any, Any]:
        from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor

        leaf = max(10, rows // 100)
        boosting = HistGradientBoostingRegressor(
            learning_rate=0.1, max_iter=max(10, self.budget.rounds // 8), max_leaf_nodes=8, min_samples_leaf=leaf,
            l2_regularization=rows / 4, max_bins=63, max_features=0.4, early_stopping=False,
            random_state=self.seed % 2**31,
        )  # fmt: skip
        forest = RandomForestRegressor(
            n_estimators=self.budget.trees, max_depth=5, min_samples_leaf=leaf, max_features=0.15, max_samples=0.25,
            n_jobs=self.threads, random_state=self.seed % 2**31,
        )  # fmt: skip
        return boosting, forest


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
    trees, offset = _boosting_trees(members.boosting, stack[0])
    trees += _forest_trees(members.forest, stack[1])
    grown = add_trees(graph, x, trees, offset)
    linear = graph.affine(graph.standardised(x, members.standardiser), members.coefficient[:, None] * stack[2], [0.0])
    content = {ONNX_FILE: graph.finish(graph.add("Add", grown, linear))}
    info: dict[str, float | int | str] = {"rows": len(sample), **{f"stack_{m}": float(v) for m, v in zip(MEMBERS, stack)}}
    return FittedModel(
        sample.family, sample.task, header_of(sample, "onnx"), content, lambda x: members.predict(x) @ stack, info
    )


def _boosting_trees(model: Any, factor: float) -> tuple[list[Tree], float]:
    """The trees of scikit-learn's booster with leaves times `factor`, and its baseline times `factor`."""
    nodes = [stage[0].nodes for stage in model._predictors]
    return [_boosting_tree(n, factor) for n in nodes], float(np.ravel(model._baseline_prediction)[0]) * factor


def _boosting_tree(nodes: Any, factor: float) -> Tree:
    leaf = nodes["is_leaf"].astype(bool)
    left, right = (np.where(leaf, -1, nodes[side].astype(np.int64)) for side in ("left", "right"))
    return Tree(nodes["feature_idx"], nodes["num_threshold"], left, right, nodes["value"] * factor)


def _forest_trees(model: Any, factor: float) -> list[Tree]:
    """The trees of scikit-learn's forest; its prediction is their mean."""
    each = factor / len(model.estimators_)
    trees = [estimator.tree_ for estimator in model.estimators_]
    return [Tree(t.feature, t.threshold, t.children_left, t.children_right, t.value[:, 0, 0] * each) for t in trees]
