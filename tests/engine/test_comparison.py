"""Bars consumed live beside the bars of history: late, gone and different ones are counted and named."""

from __future__ import annotations

import numpy as np

from workbench.core.bars import Bars
from workbench.core.calendar import sessions_between
from workbench.engine.comparison import compare_bars
from workbench.engine.snapshots import MarketBatch


def batch(ts, rows):
    n = len(rows)
    known = np.where(np.isfinite([r[3] for r in rows]), ts, 0)
    nan = np.full((n, 4), np.nan)
    return MarketBatch(ts, ts, ("A", "B"), np.array(rows), known, nan, np.zeros(n, int), np.full((n, 3), np.nan))


def test_each_kind_of_difference_is_counted_and_named():
    ts, session, number, count = (x[:3] for x in sessions_between("2026-03-02", "2026-03-02").grid(5))
    nan = [np.nan] * 5
    same, other = [1.0, 2.0, 0.5, 1.5, 100.0], [1.0, 2.0, 0.5, 1.5, 120.0]
    table = np.array([[same, same], [same, nan], [same, same]])  # (T, N, 5) of history
    fields = {name: table[:, :, k] for k, name in enumerate(("open", "high", "low", "close", "volume"))}
    history = Bars(("A", "B"), 5, ts, session, number, count, **fields)
    found = compare_bars(
        [batch(int(ts[0]), [same, nan]), batch(int(ts[1]), [other, same]), batch(int(ts[2]), [same, same])], history
    )
    assert (found.bars, found.late, found.gone, found.different) == (4, 1, 1, 1)
    assert found.examples == (("A", "2026-03-02T14:40:00Z", "volume", 120.0, 100.0),)
