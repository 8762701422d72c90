"""Candlesticks for any view: times of the exchange, bodies and wicks, and the axis of sessions without weekends."""

from __future__ import annotations

from typing import Any

import holoviews as hv
import numpy as np
import pandas as pd

from workbench.core.arrays import FloatArray, IntArray
from workbench.core.calendar import iso_date
from workbench.widgets.style import BAD, GOOD, INK

ZONE = "America/New_York"
ALIGNED = {"backend_opts": {"plot.min_border_left": 68, "plot.min_border_right": 12}, "framewise": True}
"""Plot options: the same margins for every plot of a column, so that their time axes stand one above the other; axes
that follow what is drawn."""


def exchange_time(ts: IntArray) -> pd.DatetimeIndex:
    """UTC ns as New York wall-clock time without a zone, which is what a plot can show.

    >>> exchange_time(np.array([1_751_376_900_000_000_000]))[0].isoformat()
    '2025-07-01T09:35:00'
    """
    return pd.DatetimeIndex(np.asarray(ts, "datetime64[ns]"), tz="UTC").tz_convert(ZONE).tz_localize(None)


def spans(end: IntArray, minutes: int) -> tuple[pd.DatetimeIndex, pd.DatetimeIndex, pd.DatetimeIndex]:
    """(left, middle, right) of the candles of bars that END at `end`, in exchange time."""
    stop, length = exchange_time(end), pd.Timedelta(minutes=minutes)
    return stop - 0.85 * length, stop - 0.5 * length, stop - 0.15 * length


def candles(left: Any, middle: Any, right: Any, prices: FloatArray, told: dict[str, Any], axis: str) -> hv.Overlay:
    """Wicks and bodies of K bars. `prices` (K, 4) open, high, low, close; `told` name -> (K,) what hovering shows; rows
    with a missing price are left out."""
    good = np.isfinite(prices).all(axis=1)
    o, h, low, c = prices[good].T
    x = [np.asarray(a)[good] for a in (left, middle, right)]
    rising = np.where(c >= o, GOOD, BAD)
    wicks = hv.Segments((x[1], low, x[1], h, rising), [axis, "low", "to", "high"], "colour")
    named = {"Open": o, "High": h, "Low": low, "Close": c} | {k: np.asarray(v)[good] for k, v in told.items()}
    bodies = hv.Rectangles((x[0], o, x[2], c, rising, *named.values()), [axis, "price", "to", "price to"],
                           ["colour", *named])  # fmt: skip
    tips = [(name, f"@{{{name.replace(' ', '_')}}}" + _format(values)) for name, values in named.items()]
    plain: dict[str, Any] = {"color": "colour", "show_legend": False, "framewise": True}
    return wicks.opts(line_width=1, **plain) * bodies.opts(
        line_color="colour", fill_alpha=0.75, tools=["hover"], hover_tooltips=tips, **plain
    )


def _format(values: Any) -> str:
    return "{0,0.[00]}" if np.asarray(values).dtype.kind == "f" else ""


def session_ticks(session: IntArray, most: int = 12) -> list[tuple[int, str]]:
    """Ticks of an axis that counts sessions: (number, date), at most `most` of them."""
    step = max(1, -(-len(session) // most))
    return [(i, iso_date(int(session[i]))) for i in range(0, len(session), step)]


def vertical(at: Any, dash: str = "dashed") -> hv.VLine:
    """A thin vertical line."""
    return hv.VLine(at).opts(color=INK, line_width=1, line_dash=dash)
