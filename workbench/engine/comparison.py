"""The next morning: were the bars that were traded on the bars that history has now?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from workbench.core.bars import TRADE_FIELDS, Bars
from workbench.core.calendar import iso_time
from workbench.engine.snapshots import MarketBatch

SHOWN = 50
"""Differences that are told one by one."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """`bars` consumed live that history has too, `different` of them; `late` that history has and live did not get in
    time, `gone` that live had and history has not; `examples` (symbol, bar's end, field, live, history).
    """

    bars: int
    late: int
    gone: int
    different: int
    examples: tuple[tuple[str, str, str, float, float], ...]


def compare_bars(batches: Iterable[MarketBatch], history: Bars) -> Comparison:
    """The bars of `batches` beside those of `history`, bit for bit."""
    row = {int(ts): t for t, ts in enumerate(history.ts)}
    counts = {"bars": 0, "late": 0, "gone": 0, "different": 0}
    examples: list[tuple[str, str, str, float, float]] = []
    for batch in batches:
        if batch.ts not in row:
            continue
        told = np.stack([getattr(history, name)[row[batch.ts]] for name in TRADE_FIELDS], axis=1)
        for i, symbol in enumerate(batch.symbols):
            live, now = batch.bars[i], told[history.symbols.index(symbol)]
            had, has = bool(np.isfinite(live[3])), bool(np.isfinite(now[3]))
            counts["late"] += has and not had
            counts["gone"] += had and not has
            counts["bars"] += had and has
            if had and has and not np.array_equal(live, now):
                counts["different"] += 1
                examples += [(symbol, iso_time(batch.ts), f, float(a), float(b))
                             for f, a, b in zip(TRADE_FIELDS, live, now) if a != b]  # fmt: skip
    return Comparison(**counts, examples=tuple(examples[:SHOWN]))


def payload(session: str, found: Comparison) -> dict[str, Any]:
    """What the journal keeps of it."""
    return {"session": session, "bars": found.bars, "late": found.late, "gone": found.gone,
            "different": found.different, "examples": found.examples}  # fmt: skip
