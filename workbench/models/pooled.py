"""Pooled tasks: one model of many horizons for families that cannot learn several labels at once.

A row of the pool is (features of a bar, horizon): the horizon enters as its place c on a logarithmic scale from -1
(the shortest of the axis) to 1 (the longest). A linear family cannot let c change what a feature means, so its rows
also hold x * c. Labels are in sigmas of their own horizon, which makes them comparable.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from workbench.core.arrays import FloatArray, check_shape
from workbench.core.horizon import DAY_HORIZONS, INTRADAY_HORIZONS, Horizon
from workbench.models.base import Fitted, Task
from workbench.models.fitted import HEADER, abstaining
from workbench.models.prepare import clean
from workbench.models.windows import Float32Array


def place(h: Horizon) -> float:
    """c of a horizon: log-minutes from -1 to 1 over its axis.

    >>> from workbench.core.horizon import horizon
    >>> [round(place(horizon(name)), 2) for name in ("5m", "120m", "1d", "20d")]
    [-1.0, 1.0, -1.0, 1.0]
    """
    axis = DAY_HORIZONS if h.is_day else INTRADAY_HORIZONS
    low, high = np.log(axis[0].minutes), np.log(axis[-1].minutes)
    return float(2 * (np.log(h.minutes) - low) / (high - low) - 1)


def design(x: Float32Array, c: FloatArray | float, interacted: bool) -> Float32Array:
    """(R, F + 1) [x, c], or (R, 2F + 1) [x, x * c, c], float32.

    >>> design(np.array([[2.0, 4.0]], np.float32), 0.5, True).tolist()
    [[2.0, 4.0, 1.0, 2.0, 0.5]]
    """
    column = np.broadcast_to(np.asarray(c, np.float32), len(x))[:, None]
    return np.hstack([x, x * column, column] if interacted else [x, column])


@dataclass(frozen=True, slots=True)
class PooledFitted:
    """A pooled model as seen from one horizon at place `c`; `n_features` F of the schema."""

    pool: Fitted
    n_features: int
    c: float
    interacted: bool

    @property
    def family(self) -> str:
        return self.pool.family

    @property
    def task(self) -> Task:
        return self.pool.task

    @property
    def info(self) -> dict[str, float | int | str]:
        return self.pool.info

    def predict(self, X: Any) -> FloatArray:
        """(R,) for X (R, F); NaN where the row has no known feature."""
        check_shape(f"{self.family}: X", np.asarray(X), (-1, self.n_features))
        x = clean(X)
        return abstaining(self.pool.predict(design(x, self.c, self.interacted)), x)

    def files(self) -> dict[str, bytes]:
        """Those of the pool, with a header that says how to ask it."""
        files = dict(self.pool.files())
        header = json.loads(files[HEADER])
        header |= {"n_features": self.n_features, "pooled": {"c": self.c, "interacted": self.interacted}}
        return {**files, HEADER: json.dumps(header, sort_keys=True, indent=1).encode()}
