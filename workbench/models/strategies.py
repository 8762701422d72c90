"""How models are spread over horizons. A strategy turns returns into labels and predictions into returns.

single_task   one model per (family, horizon)
multi_task    one fit per family for all horizons of an axis: a shared trunk with a head per horizon, or vector-leaf
              trees, where the family `shares`; otherwise one model of pooled rows with the horizon as an input
cascade       as single_task, with the calibrated out-of-fold barrier probabilities of the row as two more inputs

All learn in units of the horizon's own sigma: label = return / sigma_h, expected return = prediction * sigma_h.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from workbench.core.arrays import FloatArray
from workbench.core.errors import ConfigError, nearest_name
from workbench.models.base import Family


@dataclass(frozen=True, slots=True)
class Strategy:
    """`joint`: one fit serves all horizons of an axis. `context`: what the models see beside the features.

    A sigma that is unknown or not positive makes the label, or the expected return, unknown.

    >>> STRATEGIES["single_task"].label(np.array([0.02, 0.01]), np.array([0.01, 0.0])).tolist()
    [2.0, nan]
    >>> STRATEGIES["single_task"].expected_return(np.array([0.5]), np.array([0.01])).tolist()
    [0.005]
    """

    name: str
    joint: bool = False
    context: tuple[str, ...] = ()

    def label(self, returns: FloatArray, sigma: FloatArray) -> FloatArray:
        """(R,) returns in sigmas."""
        return returns / np.where(sigma > 0, sigma, np.nan)

    def expected_return(self, prediction: FloatArray, sigma: FloatArray) -> FloatArray:
        """(R,) decimals over the horizon."""
        return prediction * np.where(sigma > 0, sigma, np.nan)

    def inputs_of(self, family: Family) -> tuple[str, ...]:
        """Names of the context that a model of `family` sees."""
        return (*self.context, *(("symbol",) if family.per_symbol else ()))


STRATEGIES: Mapping[str, Strategy] = MappingProxyType(
    {
        "single_task": Strategy("single_task"),
        "multi_task": Strategy("multi_task", joint=True),
        "cascade": Strategy("cascade", context=("p_peak", "p_valley")),
    }
)


def find_strategy(name: str) -> Strategy:
    """The strategy called `name`; :class:`ConfigError` with the nearest known name if there is none."""
    if name not in STRATEGIES:
        known = ", ".join(STRATEGIES)
        raise ConfigError(f"strategy {name!r} is unknown: choose from {known}.{nearest_name(name, STRATEGIES)}")
    return STRATEGIES[name]


def context_columns(
    names: Sequence[str], n: int, p_peak: FloatArray | None, p_valley: FloatArray | None, symbol: FloatArray | None
) -> FloatArray:
    """(n, E) float64 columns of the context `names`; what is not there is NaN.

    >>> context_columns(("p_peak", "symbol"), 2, np.array([0.1, 0.2]), None, np.array([0, 1])).tolist()
    [[0.1, 0.0], [0.2, 1.0]]
    """
    given = {"p_peak": p_peak, "p_valley": p_valley, "symbol": symbol}
    out = np.full((n, len(names)), np.nan)
    for column, name in enumerate(names):
        if given[name] is not None:
            out[:, column] = given[name]
    return out
