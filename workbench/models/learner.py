"""The frame that the built-in families share, and that a user's own may: checks in front, learning behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from workbench.core.arrays import FloatArray, check_shape
from workbench.core.errors import ConfigError
from workbench.models.base import DEFAULT_BUDGET, Budget, Fitted, Inputs
from workbench.models.fitted import FittedModel, constant_model
from workbench.models.prepare import Sample, make_sample


@dataclass(frozen=True, slots=True)
class Effort:
    """How a fit may go about it: see :meth:`workbench.models.base.Family.fit`."""

    seed: int
    threads: int
    budget: Budget
    gap: int | None
    device: str


@dataclass(frozen=True, slots=True)
class Learner:
    """A family whose `fit` prepares the rows and hands them to `learn` (or `learn_tasks`, where it shares).

    A subclass sets the fields (see :class:`~workbench.models.base.Family` for what they mean) and writes `learn`.
    """

    name: str = ""
    sequential: bool = False
    slow: bool = True
    classifies: bool = False
    shares: bool = False
    linear: bool = False
    per_symbol: bool = False
    neural: bool = False
    needs: tuple[str, ...] = ()
    horizons: tuple[str, ...] = ()
    knows_until: int = 0
    min_rows: int = 200

    def learn(self, sample: Sample, how: Effort) -> FittedModel:
        """The model of `sample`, whose label varies and whose rows suffice for ``sample.split(how.gap)``."""
        return self.learn_tasks(sample, how)[0]

    def learn_tasks(self, sample: Sample, how: Effort) -> tuple[FittedModel, ...]:
        """One model per column of ``sample.y`` (R, K); only where `shares`."""
        raise NotImplementedError

    def fit(
        self,
        X: Inputs,
        y: FloatArray,
        weight: FloatArray | None = None,
        *,
        seed: int,
        classify: bool = False,
        threads: int = 1,
        budget: Budget = DEFAULT_BUDGET,
        gap: int | None = None,
        context: Sequence[str] = (),
        auxiliary: Mapping[str, FloatArray] | None = None,
        device: str = "cpu",
    ) -> Fitted:
        """See :class:`~workbench.models.base.Family`."""
        check_shape(f"{self.name}: y", np.asarray(y), (len(X),))
        sample = make_sample(self, X, y, weight, classify, context, auxiliary)
        if sample.split(gap)[0].constant:
            return constant_model(sample, "the label does not vary")
        return self.learn(sample, Effort(seed, threads, budget, gap, device))

    def fit_tasks(
        self,
        X: Inputs,
        Y: FloatArray,
        weight: FloatArray | None = None,
        *,
        seed: int,
        threads: int = 1,
        budget: Budget = DEFAULT_BUDGET,
        gap: int | None = None,
        context: Sequence[str] = (),
        auxiliary: Mapping[str, FloatArray] | None = None,
        device: str = "cpu",
    ) -> tuple[Fitted, ...]:
        """See :class:`~workbench.models.base.Family`."""
        if not self.shares:
            raise ConfigError(f"{self.name} does not learn several labels at once; its tasks are pooled instead")
        check_shape(f"{self.name}: y", np.asarray(Y), (len(X), -1))
        sample = make_sample(self, X, Y, weight, False, context, auxiliary)
        if sample.split(gap)[0].constant:
            return tuple(constant_model(sample, "the labels do not vary") for _ in range(Y.shape[1]))
        return self.learn_tasks(sample, Effort(seed, threads, budget, gap, device))
