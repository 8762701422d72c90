"""What a cascade may know of the barriers: calibrated probabilities that were out of fold when they were given.

Classifiers fitted before a part of the history predict that part; a stack of the classifiers, fitted and calibrated on
the parts before it, turns their answers into probabilities. So the rows that a return regressor learns from carry the
same kind of number that it will meet live: a probability from classifiers, and from a calibration, that had not seen
the row. Rows without one (the earliest) teach a cascade nothing.

For early segments to have such rows, the classifiers alone also predict LEAD_IN parts of the history before the first
segment.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from workbench.core.types import OofForecasts
from workbench.stats.splits import Segment
from workbench.stats.stack import BarrierStack

LEAD_IN = 2
"""Parts of the second half of the initial sessions that classifiers predict before the first segment."""


def out_of_fold_probabilities(
    oof: OofForecasts, parts: Sequence[Segment], known_at: NDArray[np.int64], symbols: int, session: NDArray[np.int64]
) -> NDArray[np.float32]:
    """(T, N, 2) calibrated p_peak and p_valley of one horizon on the rows of its axis, NaN where there is none.

    `oof`: answers of the classifiers to all `parts`; `known_at`, `session` (T,) of the axis. The probabilities of a
    part come from a stack fitted on rows whose label matured before the part's cutoff.
    """
    out = np.full((len(known_at), symbols, 2), np.nan, np.float32)
    for part in parts:
        before = oof.matured_before(part.cutoff_ns)
        asked = oof.take(oof.fold == part.number)
        if not len(before) or not len(asked):
            continue
        stack = BarrierStack().fit({oof.horizon.label: before})
        rows = _rows_of(asked, known_at, session)
        out[rows, asked.symbol] = np.column_stack(stack.apply_rows(asked))
    return out


def _rows_of(oof: OofForecasts, known_at: NDArray[np.int64], session: NDArray[np.int64]) -> NDArray[np.int64]:
    """Row of the axis of each out-of-fold row: a day row is named by its session, a bar by its time."""
    axis, own = (session, oof.session) if oof.horizon.is_day else (known_at, oof.known_at)
    return np.searchsorted(axis, own)
