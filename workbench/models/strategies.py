"""How models are spread over horizons. A strategy turns returns into labels and predictions into returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from workbench.core.arrays import FloatArray
from workbench.core.errors import ConfigError, nearest_name
from workbench.models.base import DEFAULT_BUDGET, Budget, Family, Fitted, Inputs


@dataclass(frozen=True, slots=True)
class SingleTask:
    """One model per (family, horizon), learned in units of the horizon's own sigma.

    label = return / sigma_h; expected return = prediction * sigma_h. A sigma that is unknown or not positive makes
    the label, or the expected return, unknown.

    >>> SingleTask().label(np.array([0.02, 0.01]), np.array([0.01, 0.0])).tolist()
    [2.0, nan]
    >>> SingleTask().expected_return(np.array([0.5]), np.array([0.01])).tolist()
    [0.005]
    """

    name: str = "single_task"

    def label(self, returns: FloatArray, sigma: FloatArray) -> FloatArray:
        """(R,) returns in sigmas."""
        return returns / np.where(sigma > 0, sigma, np.nan)

    def expected_return(self, prediction: FloatArray, sigma: FloatArray) -> FloatArray:
        """(R,) decimals over the horizon."""
        return prediction * np.where(sigma > 0, sigma, np.nan)

    def fit(
        self,
        family: Family,
        X: Inputs,
        returns: FloatArray,
        sigma: FloatArray,
        weight: FloatArray | None = None,
        *,
        seed: int,
        threads: int = 1,
        budget: Budget = DEFAULT_BUDGET,
        gap: int | None = None,
    ) -> Fitted:
        """`family` fitted to returns (R,) of one horizon with its sigma (R,)."""
        label = self.label(returns, sigma)
        return family.fit(X, label, weight, seed=seed, threads=threads, budget=budget, gap=gap)


STRATEGIES: Mapping[str, SingleTask] = MappingProxyType({"single_task": SingleTask()})


def find_strategy(name: str) -> SingleTask:
    """The strategy called `name`; :class:`ConfigError` with the nearest known name if there is none."""
    if name not in STRATEGIES:
        known = ", ".join(STRATEGIES)
        raise ConfigError(f"strategy {name!r} is unknown: choose from {known}.{nearest_name(name, STRATEGIES)}")
    return STRATEGIES[name]
