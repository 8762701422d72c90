"""How well a fit did on the segment that it had not seen, as soon as it is done: for the eye, not for the report."""

from __future__ import annotations

import numpy as np

from workbench.core.arrays import FloatArray
from workbench.models.strategies import find_strategy
from workbench.stats.ic import MIN_NAMES, Kind, information_coefficient
from workbench.training.cells import Cell, CellResult
from workbench.training.dataset import predictable
from workbench.training.labels import Labels


def segment_ic(cell: Cell, result: CellResult, labels: Labels, share: FloatArray) -> float:
    """IC of the forecasts of `cell` over its segment; NaN for a final model, a classifier or one that abstains.

    `labels` of its horizon; `share` (T, N) of the features that are known, which decides on which rows it was asked.
    """
    if cell.segment is None or cell.target != "value" or result.reason:
        return float("nan")
    rows = predictable(labels, share, cell.segment)
    sigma = rows.of(labels.sigma_h)
    forecast = find_strategy(cell.strategy).expected_return(result.prediction, sigma)
    kind: Kind = "cross_section" if len(labels.symbols) >= MIN_NAMES else "pooled"
    when, session = labels.known_at[rows.bar], labels.session[rows.bar]
    ic = information_coefficient(forecast, rows.of(labels.value), when, session, sigma=sigma, kind=kind, draws=2)
    return float(ic.value[0])


def told(cell: Cell, ic: float) -> str:
    """The cell in words, with its IC where there is one.

    >>> from workbench.training.cells import Cell
    >>> told(Cell("5m", "MLP", "single_task", "value", None, 0), float("nan"))
    'MLP 5m, final'
    """
    return str(cell) if np.isnan(ic) else f"{cell}: IC {ic:+.3f}"
