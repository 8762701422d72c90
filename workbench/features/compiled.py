"""The compiled engines, and what of the universe they are told."""

from __future__ import annotations

import numpy as np

from workbench import kernels
from workbench.core.universe import Universe

FeatureCore = kernels.FeatureCore
DailyCore = kernels.DailyCore


def signs_of(universe: Universe) -> list[float]:
    """Sign of each symbol's leverage."""
    return [float(x) for x in np.sign(universe.leverage)]


def groups_of(universe: Universe) -> list[int]:
    """Number of each symbol's sector; -1 where it is not known."""
    sectors = [i.sector for i in universe.instruments]
    return [-1 if s in ("", "UNKNOWN") else int(k) for s, k in zip(sectors, universe.sector_index)]
