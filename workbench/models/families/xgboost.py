"""XGBoost: boosted trees, which for several labels at once share their splits and carry a vector in each leaf."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from workbench.core.arrays import FloatArray
from workbench.models.boosting import EVERY, NO_TREE, Looks, tree_model
from workbench.models.export import Tree
from workbench.models.fitted import FittedModel, constant_model
from workbench.models.learner import Effort, Learner
from workbench.models.losses import log_loss, skill
from workbench.models.prepare import Sample, fill, medians


@dataclass(frozen=True, slots=True)
class XGBoost(Learner):
    """Second-order gradient boosting, one tree for all labels (tabular).

    Learns f(x) = sum of trees of at most 8 leaves, grown where the loss falls most, with rate 0.05. A leaf holds the
    Newton step -G_k / (H_k + lambda) of each label k, G and H the sums of gradient and hessian over its rows; a split
    is worth sum_k G_k^2 / (H_k + lambda), so that labels which move together are found with less noise (their leaves
    are vectors). Squared error for returns, log loss for barriers; a missing label has weight 0. Signal is weak, so
    lambda is the hessian of half of the rows, a leaf holds at least 1 % of it, each tree sees 60 % of the rows and
    40 % of the features. After every tenth tree it looks at the last 20 % of the rows, beyond a purged gap, and
    keeps the number of trees with the best correlation about zero (returns, mean of the labels) or log loss
    (barriers). A label without skill there gets the constant. NaN is imputed by the median.
    Source: Chen and Guestrin 2016, KDD; Zhang and Jung 2021, IEEE TNNLS (vector leaves).
    """

    name: str = "XGBoost"
    slow: bool = False
    classifies: bool = True
    shares: bool = True

    def learn_tasks(self, sample: Sample, how: Effort) -> tuple[FittedModel, ...]:
        """See :class:`~workbench.models.learner.Learner`."""
        early, late = sample.as_tasks().split(how.gap)
        imputed = medians(early.x)
        booster, best = _boost(early, late, imputed, how)
        if best == 0:
            return tuple(constant_model(sample, NO_TREE) for _ in range(early.y.shape[1]))
        booster = booster[:best]
        skilled = sample.task == "classify" or _skills(late, _predict(booster, fill(late.x, imputed))) > 0
        info: dict[str, float | int | str] = {"rows": len(early), "best_iteration": best}
        return tuple(
            _fitted(sample, imputed, booster, k, info) if use else constant_model(sample, NO_TREE)
            for k, use in enumerate(np.broadcast_to(skilled, early.y.shape[1]))
        )


def _boost(early: Sample, late: Sample, imputed: Any, how: Effort) -> tuple[Any, int]:
    """The booster and its best number of trees on the later rows; 0 if none beats the constant."""
    import xgboost

    x, bins = fill(early.x, imputed), 64
    alone = {"label": early.y, "weight": early.weight[:, 0]} if early.y.shape[1] == 1 else {}
    data = xgboost.QuantileDMatrix(x, max_bin=bins, nthread=how.threads, **alone)
    booster = xgboost.Booster({**_parameters(early, how), "max_bin": bins}, [data])
    later, looks = fill(late.x, imputed), Looks(_constant_score(early, late))
    for trees in range(1, max(how.budget.rounds, EVERY) + 1):
        booster.update(data, trees - 1, fobj=None if alone else _squared_error(early))
        if trees % EVERY == 0 and looks.see(trees, _score(late, _predict(booster, later))):
            break
    return booster, looks.best


def _parameters(early: Sample, how: Effort) -> dict[str, Any]:
    tasks, classify = early.y.shape[1], early.task == "classify"
    hessian = early.weight.sum() * (0.25 if classify else 1.0)  # of log loss it is at most 1/4
    return {
        "objective": "binary:logistic" if classify else "reg:squarederror",
        "base_score": float(np.average(early.y, weights=early.weight)) if classify else 0.0,
        "tree_method": "hist",
        "multi_strategy": "one_output_per_tree" if tasks == 1 else "multi_output_tree",
        "num_target": tasks,
        "grow_policy": "lossguide",
        "max_depth": 0,
        "max_leaves": 8,
        "eta": 0.05,
        "lambda": hessian / tasks / 2,
        "min_child_weight": hessian / 100,
        "subsample": 0.6,
        "colsample_bytree": 0.4,
        "seed": how.seed % 2**31,
        "seed_per_iteration": True,  # the library's generator is one per thread, not one per booster
        "nthread": how.threads,
        "verbosity": 0,
    }


def _squared_error(early: Sample) -> Callable[[Any, Any], tuple[Any, Any]]:
    """Gradient and hessian (R, K) of squared error; both 0 where a label is missing."""
    hessian = early.weight.astype(np.float32)

    def objective(prediction: Any, _: Any) -> tuple[Any, Any]:
        return hessian * (prediction.reshape(early.y.shape) - early.y).astype(np.float32), hessian

    return objective


def _predict(booster: Any, x: Any) -> FloatArray:
    """(R, K) returns or probabilities for x (R, F) without NaN, R > 0."""
    return np.asarray(booster.inplace_predict(x), np.float64).reshape(len(x), -1)


def _skills(late: Sample, prediction: FloatArray) -> FloatArray:
    """(K,) correlation about zero of each label with its prediction; NaN for a label that has no later rows."""
    tasks = [(prediction[:, k], late.y[:, k], late.weight[:, k]) for k in range(late.y.shape[1])]
    return np.array([skill(p, y, w) if w.any() else np.nan for p, y, w in tasks])


def _score(late: Sample, prediction: FloatArray) -> float:
    """Larger is better: mean correlation about zero of the labels, or minus the log loss of the only one."""
    if late.task == "classify":
        return -log_loss(prediction[:, 0], late.y[:, 0], late.weight[:, 0])
    return float(np.nanmean(_skills(late, prediction)))


def _constant_score(early: Sample, late: Sample) -> float:
    base = np.average(early.y, weights=early.weight)
    return _score(late, np.full(late.y.shape, base)) if early.task == "classify" else 0.0


def _fitted(sample: Sample, imputed: Any, booster: Any, task: int, info: dict[str, float | int | str]) -> FittedModel:
    def native(x: Any) -> Any:
        return _predict(booster, fill(x, imputed))[:, task] if len(x) else np.empty(0)

    trees, offset = read_trees(booster, task)
    if sample.task == "classify":
        offset = float(np.log(offset / (1 - offset)))
    return tree_model(sample, imputed, trees, offset, native, dict(info))


def read_trees(booster: Any, task: int) -> tuple[list[Tree], float]:
    """The trees of label `task` and its base score (of a classifier: a probability), from XGBoost's own JSON.

    XGBoost goes left where x < t and ours go where x <= t: among float32 numbers, x < t says the same as x <= the
    next number below t.
    """
    learner = json.loads(bytes(booster.save_raw("json")))["learner"]
    base = json.loads(learner["learner_model_param"]["base_score"])
    trees = [_tree(tree, task) for tree in learner["gradient_booster"]["model"]["trees"]]
    return trees, float(base[task])


def _tree(tree: dict[str, Any], task: int) -> Tree:
    left, right = (np.array(tree[f"{side}_children"]) for side in ("left", "right"))
    condition, leaf = np.array(tree["split_conditions"], np.float32), left < 0
    value = condition.astype(np.float64)  # of a single label: a leaf's value stands there
    width = int(tree["tree_param"]["size_leaf_vector"])
    if width > 1:  # a leaf names its row of the leaf values in the place of its right child
        value[leaf] = np.array(tree["leaf_weights"]).reshape(-1, width)[right[leaf], task]
    below = np.nextafter(condition, np.float32(-np.inf))
    return Tree(np.array(tree["split_indices"]), below, left, np.where(leaf, -1, right), value)
