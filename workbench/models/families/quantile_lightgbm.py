"""QuantileLightGBM: three quantiles of the return, and the expected return that they imply."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from workbench.core.arrays import FloatArray
from workbench.models.boosting import EVERY, NO_TREE, Looks, sparing_parameters, tree_model, trees_of
from workbench.models.fitted import FittedModel, constant_model
from workbench.models.learner import Effort, Learner
from workbench.models.losses import TINY
from workbench.models.prepare import Sample, fill, medians

LEVELS = (0.1, 0.5, 0.9)
PENALTY = 0.5


@dataclass(frozen=True, slots=True)
class QuantileLightGBM(Learner):
    """Gradient boosting of the quantiles 0.1, 0.5 and 0.9 (tabular).

    Three boosters learn q_t(x), t = 0.1, 0.5, 0.9, by the pinball loss max(t e, (t - 1) e), e = y - q_t(x): trees of
    4 leaves with rate 0.05, each leaf moved to the t-quantile of what its rows still miss. A quantile of a leaf is
    not shrunk by L2, so leaves are few and hold at least 10 % of the rows, and L2 only decides which splits are worth
    it; each tree sees 60 % of the rows and 40 % of the features. Each booster stops by few looks at its own loss on
    the last 20 % of the rows, beyond a purged gap. The forecast is an expected return, not a quantile::

        f(x) = a (q_0.5(x) - c_0.5) + b ((q_0.1(x) + q_0.9(x)) / 2 - c),   a, b >= 0

    c the means over the early rows (a skew that all rows share is not a forecast): the median moves with the centre
    of the distribution, the midpoint of the tails with its skew too, while their distance (the spread) drops out.
    a and b are a ridge on the later rows, of the two terms scaled to unit RMS; both 0: the constant. NaN is imputed
    by the median.
    Source: Koenker and Bassett 1978, Econometrica; Friedman 2001 (boosting any loss); Ke et al. 2017.
    """

    name: str = "QuantileLightGBM"

    def learn(self, sample: Sample, how: Effort) -> FittedModel:
        """See :class:`~workbench.models.learner.Learner`."""
        early, late = sample.split(how.gap)
        imputed = medians(early.x)
        curves = Curves(imputed, tuple(_boost(early, late, imputed, level, how) for level in LEVELS), how.threads)
        center = np.average(curves.predict(early.x), axis=0, weights=early.weight)
        weights = _weights(curves.predict(late.x) - center, late)
        if not (weights > 0).any():
            return constant_model(sample, NO_TREE)
        return _fitted(sample, curves, weights, float(center @ weights), len(early))


@dataclass(frozen=True, slots=True)
class Curves:
    """The boosters of LEVELS, None where no tree beats the constant quantile; `imputed` (F,)."""

    imputed: Any
    boosters: tuple[Any, ...]
    threads: int

    def predict(self, x: Any) -> FloatArray:
        """(R, 2): the median, and the midpoint of the outer quantiles; a quantile without trees counts as 0."""
        x = fill(x, self.imputed)
        low, median, high = (
            np.zeros(len(x)) if one is None or not len(x) else one.predict(x, num_threads=self.threads)
            for one in self.boosters
        )
        return np.column_stack([median, (low + high) / 2])


def _boost(early: Sample, late: Sample, imputed: Any, level: float, how: Effort) -> Any:
    """The booster of one quantile with its best number of trees on the later rows; None if the constant is best."""
    import lightgbm

    parameters = {
        **sparing_parameters(early, how.seed, how.threads), "objective": "quantile", "alpha": level,
        "num_leaves": 4, "min_data_in_leaf": max(20, len(early) // 10),
    }  # fmt: skip
    data = lightgbm.Dataset(fill(early.x, imputed), early.y, weight=early.weight, params=parameters)
    later = lightgbm.Dataset(fill(late.x, imputed), late.y, weight=late.weight, reference=data, params=parameters)
    constant = np.quantile(early.y, level, weights=early.weight, method="inverted_cdf")
    looks = Looks(-pinball(np.full(len(late), constant), late, level))
    booster = lightgbm.train(
        parameters, data, max(how.budget.rounds, EVERY), valid_sets=[later], callbacks=[looks],
        feval=lambda prediction, _: ("score", -pinball(prediction, late, level), True),
    )  # fmt: skip
    return lightgbm.Booster(model_str=booster.model_to_string(num_iteration=looks.best)) if looks.best else None


def pinball(quantile: FloatArray, sample: Sample, level: float) -> float:
    """Weighted mean of max(t e, (t - 1) e), e = y - quantile."""
    error = sample.y - quantile
    return float(np.average(np.maximum(level * error, (level - 1) * error), weights=sample.weight))


def _weights(terms: FloatArray, late: Sample) -> FloatArray:
    """(2,) a and b: ridge of y on the terms scaled to unit RMS, no weight below 0."""
    scale = np.sqrt(np.average(terms**2, axis=0, weights=late.weight))
    scale = np.where(scale > TINY, scale, np.inf)
    unit, share = terms / scale, late.weight / late.weight.sum()
    gram, moment = (unit * share[:, None]).T @ unit, (unit * share[:, None]).T @ late.y
    both = np.linalg.solve(gram + PENALTY * np.eye(2), moment)
    if (both < 0).any():  # the better of the two alone
        best = int(np.argmax(moment))
        both = np.zeros(2)
        both[best] = max(0.0, moment[best]) / (1 + PENALTY)
    weights: FloatArray = both / scale
    return weights


def _fitted(sample: Sample, curves: Curves, weights: FloatArray, center: float, rows: int) -> FittedModel:
    factors = weights[1] / 2, weights[0], weights[1] / 2
    trees = [t for one, factor in zip(curves.boosters, factors) if one is not None for t in trees_of(one, factor)]
    names = (f"trees_{level:g}" for level in LEVELS)
    info: dict[str, float | int | str] = {
        "rows": rows, "median": float(weights[0]), "midpoint": float(weights[1]),
        **{name: 0 if one is None else one.num_trees() for name, one in zip(names, curves.boosters)},
    }  # fmt: skip

    def native(x: Any) -> Any:
        return curves.predict(x) @ weights - center

    return tree_model(sample, curves.imputed, trees, -center, native, info)
