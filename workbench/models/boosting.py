"""What the boosted families share: few looks at later rows, LightGBM's settings for weak signal, trees as ONNX."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from workbench.models.export import INPUT, Graph, Tree, add_trees
from workbench.models.fitted import ONNX_FILE, FittedModel, header_of
from workbench.models.prepare import Sample

EVERY, PATIENCE = 10, 4
NO_TREE = "no tree beats the constant on later rows"


@dataclass(eq=False)  # LightGBM hashes its callbacks and gives them an attribute: no slots
class Looks:
    """Remembers the best of few looks at later rows; enough is PATIENCE looks in a row without a better one.

    >>> looks = Looks(0.0)
    >>> [looks.see(10 * i, score) for i, score in enumerate((0.1, 0.3, 0.2, 0.3, 0.1, 0.0), start=1)]
    [False, False, False, False, False, True]
    >>> looks.best
    20
    """

    best_score: float
    best: int = 0
    missed: int = 0

    def see(self, trees: int, score: float) -> bool:
        """Take note of the score after `trees` trees; True when it is time to stop."""
        if score > self.best_score:
            self.best_score, self.best, self.missed = score, trees, 0
        else:
            self.missed += 1
        return self.missed >= PATIENCE

    def __call__(self, env: Any) -> None:
        """As a callback of LightGBM, called after every tree with the score of an `feval`."""
        if (env.iteration + 1) % EVERY:
            return
        if self.see(env.iteration + 1, env.evaluation_result_list[0][2]):
            from lightgbm.callback import EarlyStopException

            raise EarlyStopException(env.iteration, env.evaluation_result_list)


def common_parameters(seed: int, threads: int) -> dict[str, Any]:
    """What every use of LightGBM here sets: coarse histograms, the same trees each time, silence."""
    return {
        "metric": "None", "max_bin": 63, "deterministic": True, "force_row_wise": True, "num_threads": threads,
        "seed": seed % 2**31, "verbosity": -1,
    }  # fmt: skip


def sparing_parameters(early: Sample, seed: int, threads: int) -> dict[str, Any]:
    """LightGBM's settings for weak signal: see :class:`~workbench.models.families.lightgbm.LightGBM`."""
    return {
        **common_parameters(seed, threads),
        "num_leaves": 8,
        "learning_rate": 0.05,
        "min_data_in_leaf": max(20, len(early) // 100),
        "min_sum_hessian_in_leaf": 1e-3,
        "lambda_l2": len(early) / 2,
        "feature_fraction": 0.4,
        "bagging_fraction": 0.6,
        "bagging_freq": 1,
    }


def trees_of(booster: Any, factor: float, *, trees: int | None = None, start: int = 0, step: int = 1) -> list[Tree]:
    """Trees of a LightGBM booster (fitted without NaN and categories), leaf values times `factor`.

    Of the first `trees` ones (default all) every `step`-th from `start` on: a booster with several outputs per round
    keeps them in turn.
    """
    if factor == 0:
        return []
    infos = booster.dump_model()["tree_info"][start:trees:step]
    return [_tree(info["tree_structure"], factor) for info in infos]


def _tree(root: dict[str, Any], factor: float) -> Tree:
    nodes = [root]
    left, right = [], []
    for node in nodes:  # grows while it is read: breadth first
        leaf = "left_child" not in node
        left.append(-1 if leaf else len(nodes))
        right.append(-1 if leaf else len(nodes) + 1)
        nodes += [] if leaf else [node["left_child"], node["right_child"]]
    columns = [[n.get(name, 0) for n in nodes] for name in ("split_feature", "threshold", "leaf_value")]
    feature, threshold, value = (np.array(c) for c in columns)
    return Tree(feature, threshold, np.array(left), np.array(right), value * factor)


def tree_model(
    sample: Sample,
    imputed: Any,
    trees: list[Tree],
    offset: float,
    native: Callable[[Any], Any],
    info: dict[str, float | int | str],
) -> FittedModel:
    """The model offset + sum of `trees` on rows whose NaN is `imputed` (F,); of a classifier, the sigmoid of that."""
    graph = Graph((sample.x.shape[1],))
    out = add_trees(graph, graph.filled(INPUT, imputed), trees, offset)
    if sample.task == "classify":
        out = graph.add("Sigmoid", out)
    content = {ONNX_FILE: graph.finish(out)}
    return FittedModel(sample.family, sample.task, header_of(sample, "onnx"), content, native, info)
