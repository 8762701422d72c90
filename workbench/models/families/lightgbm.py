"""LightGBM: boosted trees with few leaves, stopped on later rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from workbench.models.boosting import EVERY, NO_TREE, Looks, sparing_parameters
from workbench.models.fitted import LIGHTGBM_FILE, FittedModel, constant_model, header_of
from workbench.models.learner import Effort, Learner
from workbench.models.losses import constant_score, score
from workbench.models.prepare import Sample, fill, medians


@dataclass(frozen=True, slots=True)
class LightGBM(Learner):
    """Gradient boosting on histograms of the features (tabular).

    Learns f(x) = sum of trees of at most 8 leaves, each fitted to the gradient of the loss with rate 0.05: squared
    error for returns (labels centred and winsorised), log loss for barriers. Signal is weak, so leaves hold at least
    1 % of the rows, L2 equals the weight of half of the rows (a leaf with an eighth of them is shrunk fivefold), each
    tree sees 60 % of the rows and 40 % of the features. After every tenth tree it looks at the last 20 % of the rows,
    beyond a purged gap, and keeps the number of trees with the best correlation about zero (returns) or log loss
    (barriers); looks are few because the best of many is mostly luck. If none beats the constant, it is the constant.
    NaN goes to the better side of each split; a feature that was never NaN in training is imputed by its median.
    Source: Ke et al. 2017, NeurIPS 30; Friedman 2001 (shrinkage, early stopping).
    """

    name: str = "LightGBM"
    slow: bool = False
    classifies: bool = True

    def learn(self, sample: Sample, how: Effort) -> FittedModel:
        """See :class:`~workbench.models.learner.Learner`."""
        early, late = sample.split(how.gap)
        booster, best = _boost(early, late, how.seed, how.threads, how.budget.rounds)
        if best == 0:
            return constant_model(sample, NO_TREE)
        text = booster.model_to_string(num_iteration=best)
        return _fitted(sample, early, text, best, how.threads)


def _boost(early: Sample, late: Sample, seed: int, threads: int, rounds: int) -> tuple[Any, int]:
    """The booster and its best number of trees on the later rows; 0 if none beats the constant."""
    import lightgbm

    parameters = _parameters(early, seed, threads)
    data = lightgbm.Dataset(early.x, early.y, weight=early.weight, params=parameters)
    later = lightgbm.Dataset(late.x, late.y, weight=late.weight, reference=data, params=parameters)
    looks = Looks(constant_score(early, late))
    booster = lightgbm.train(
        parameters, data, max(rounds, EVERY), valid_sets=[later], callbacks=[looks],
        feval=lambda prediction, _: ("score", score(late, prediction), True),
    )  # fmt: skip
    return booster, looks.best


def _parameters(early: Sample, seed: int, threads: int) -> dict[str, Any]:
    parameters = {**sparing_parameters(early, seed, threads), "objective": "regression", "boost_from_average": False}
    if early.task == "classify":  # the hessian of log loss is at most 1/4
        parameters |= {"objective": "binary", "boost_from_average": True, "lambda_l2": len(early) / 8}
    return parameters


def _fitted(sample: Sample, early: Sample, text: str, best: int, threads: int) -> FittedModel:
    import lightgbm

    booster = lightgbm.Booster(model_str=text)
    seen_nan = np.isnan(early.x).any(axis=0)
    imputed = np.where(seen_nan, np.float32(np.nan), medians(early.x))
    header = {**header_of(sample, "lightgbm"), "imputed": [None if np.isnan(v) else float(v) for v in imputed]}
    info: dict[str, float | int | str] = {"rows": len(early), "best_iteration": best}

    def native(x: Any) -> Any:
        return booster.predict(fill(x, imputed), num_threads=threads)

    return FittedModel(sample.family, sample.task, header, {LIGHTGBM_FILE: text.encode()}, native, info)
