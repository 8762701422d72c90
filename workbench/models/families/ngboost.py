"""NGBoost: natural gradient boosting of a Normal distribution, whose mean is the forecast."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from workbench.core.arrays import FloatArray
from workbench.models.boosting import EVERY, NO_TREE, PATIENCE, sparing_parameters, tree_model, trees_of
from workbench.models.fitted import FittedModel, constant_model
from workbench.models.learner import Effort, Learner
from workbench.models.losses import skill
from workbench.models.prepare import Sample, fill, medians

WIDEST = float(np.log(3.0))
"""A row's sigma stays within a third and three times the sigma of all rows."""


@dataclass(frozen=True, slots=True)
class NGBoost(Learner):
    """Natural gradient boosting of Normal(mu(x), sigma(x)) (tabular).

    Learns mu and s = log(sigma / sigma_0), sigma_0 the deviation of all labels, by the log score
    -log p(y) = s + (y - mu)^2 / (2 sigma^2) + const. Its natural gradient (the gradient over the Fisher information,
    1 / sigma^2 for mu and 2 for s) is::

        mu: mu - y        s: (1 - ((y - mu) / sigma)^2) / 2

    Each round grows one tree of at most 8 leaves for each, with rate 0.05, fitted to the natural gradient by least
    squares; in the tree of mu a row counts by its Fisher information (sigma_0 / sigma)^2, so that rows which are
    known to be noisy say less about the mean: this is where the distribution helps the forecast. |s| <= log 3.
    Regularised like LightGBM here (L2 of half of the rows, 1 % of the rows in a leaf, 60 % of the rows and 40 % of
    the features for each tree). By few looks at the last 20 % of the rows, beyond a purged gap, mu and s keep the
    numbers of trees with the best log score; a mu that does not correlate with the labels there is the constant.
    NaN is imputed by the median. Only mu is exported; `info` holds the typical sigma.
    Source: Duan et al. 2020, ICML; docs/adr/0012.
    """

    name: str = "NGBoost"

    def learn(self, sample: Sample, how: Effort) -> FittedModel:
        """See :class:`~workbench.models.learner.Learner`."""
        early, late = sample.split(how.gap)
        imputed = medians(early.x)
        booster, watch = _boost(early, late, imputed, how)
        mu_trees, s_trees = watch.best()
        mu = watch.mu[mu_trees // EVERY]
        if mu_trees == 0 or skill(mu, late.y, late.weight) <= 0:
            return constant_model(sample, NO_TREE)
        info: dict[str, float | int | str] = {
            "rows": len(early), "trees_mu": mu_trees, "trees_sigma": s_trees,
            "sigma": float(np.exp(np.median(watch.s[s_trees // EVERY])) * watch.sigma),
        }  # fmt: skip
        trees = trees_of(booster, 1.0, trees=2 * mu_trees, step=2)

        def native(x: Any) -> Any:
            if not len(x):
                return np.empty(0)
            return booster.predict(fill(x, imputed), num_iteration=mu_trees, num_threads=how.threads)[:, 0]

        return tree_model(sample, imputed, trees, 0.0, native, info)


@dataclass(slots=True)
class Watch:
    """The looks at later rows: mu and s (R,) of each, starting with the constant; `sigma` is sigma_0."""

    late: Sample
    sigma: float
    mu: list[FloatArray] = field(default_factory=list)
    s: list[FloatArray] = field(default_factory=list)

    def see(self, mu: FloatArray, s: FloatArray) -> bool:
        """Take note; True when neither has got better for PATIENCE looks."""
        self.mu.append(mu)
        self.s.append(np.clip(s, -WIDEST, WIDEST))
        return len(self.mu) - 1 >= PATIENCE + max(self.best()) // EVERY

    def best(self) -> tuple[int, int]:
        """Trees of mu and of s: s as it scores with the mean of its own round, mu as it scores with that s."""
        s = int(np.argmin([self._log_score(mu, s) for mu, s in zip(self.mu, self.s)]))
        mu = int(np.argmin([self._log_score(mu, self.s[s]) for mu in self.mu]))
        return mu * EVERY, s * EVERY

    def _log_score(self, mu: FloatArray, s: FloatArray) -> float:
        z = (self.late.y - mu) / (self.sigma * np.exp(s))
        return float(np.average(s + 0.5 * z * z, weights=self.late.weight))


def _boost(early: Sample, late: Sample, imputed: Any, how: Effort) -> tuple[Any, Watch]:
    import lightgbm

    parameters = {**sparing_parameters(early, how.seed, how.threads), "objective": "none", "num_class": 2}
    sigma = float(np.sqrt(np.average(early.y**2, weights=early.weight)))
    data = lightgbm.Dataset(fill(early.x, imputed), early.y, params=parameters)
    booster = lightgbm.Booster(parameters, data)
    x, watch = fill(late.x, imputed), Watch(late, sigma)
    both = np.zeros((len(late), 2))
    watch.see(both[:, 0], both[:, 1])

    def objective(prediction: Any, _: Any) -> tuple[Any, Any]:
        return natural_gradient(prediction, early, sigma)

    for rounds in range(1, max(how.budget.rounds, EVERY) + 1):
        booster.update(fobj=objective)
        if rounds % EVERY == 0:
            both = both + np.asarray(
                booster.predict(x, rounds - EVERY, EVERY, raw_score=True, num_threads=how.threads), np.float64
            )
            if watch.see(both[:, 0], both[:, 1]):
                break
    return booster, watch


def natural_gradient(prediction: FloatArray, sample: Sample, sigma: float) -> tuple[FloatArray, FloatArray]:
    """What LightGBM takes, each (R, 2) for mu and s: (natural gradient x importance of the row, importance)."""
    mu, s = prediction[:, 0], np.clip(prediction[:, 1], -WIDEST, WIDEST)
    error = sample.y - mu
    information = np.exp(-2 * s)  # (sigma_0 / sigma)^2
    importance = np.column_stack([sample.weight * information, sample.weight])
    gradient = np.column_stack([-error, 0.5 * (1 - (error / sigma) ** 2 * information)])
    return gradient * importance, importance
