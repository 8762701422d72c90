"""The label of one decision, drawn on the path of the price."""

from __future__ import annotations

from typing import Any

import holoviews as hv
import numpy as np
import pandas as pd

from workbench.analysis.label_paths import BarrierPath
from workbench.core.bars import PRICE_FIELDS, Bars
from workbench.core.units import NS_PER_MINUTE
from workbench.widgets.candles import ALIGNED, candles, exchange_time, spans, vertical
from workbench.widgets.style import GREY, INK, LONG, ORANGE, SHORT


def path_figure(bars: Bars, decided: int, minutes: int, path: BarrierPath | None) -> hv.Overlay:
    """Candles of one symbol around the bar that ends at `decided`, and the label of `minutes` if there is one."""
    left, middle, right = spans(bars.ts, bars.interval_minutes)
    prices = np.column_stack([getattr(bars, name)[:, 0] for name in PRICE_FIELDS])
    told = {"Bar end": exchange_time(bars.ts).strftime("%H:%M").to_numpy()}
    now, end = exchange_time(np.array([decided, decided + minutes * NS_PER_MINUTE]))
    future = hv.VSpan(now, end).opts(color=GREY, alpha=0.10, line_alpha=0)
    lines, dots = _marks(path, now, end)
    barriers = hv.Segments(lines, ["time", "price", "to", "price to"], "colour").opts(
        color="colour", line_width=1.8, line_dash="dashed")  # fmt: skip
    points = hv.Points(dots, ["time", "price"], ["colour", "what"]).opts(
        color="colour", fill_alpha=0.25, size=12, line_color="colour", line_width=2.5, tools=["hover"],
        hover_tooltips=[("", "@what"), ("Price", "@price{0,0.00}")])  # fmt: skip
    drawn = candles(left, middle, right, prices, told, "time")
    return (future * drawn * barriers * points * vertical(now)).opts(
        hv.opts.Overlay(xlabel="New York time; dashed line: the decision; shaded: what came after", ylabel="price, USD",
                        xlim=(left[0], max(right[-1], end)), show_grid=True, show_legend=False, **ALIGNED)
    )  # fmt: skip


def _marks(path: BarrierPath | None, now: Any, end: Any) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Lines (both barriers and the entry, from `now` to `end`) and dots (entry and first touch) of a label."""
    lines: list[tuple[Any, ...]] = []
    dots: list[tuple[Any, ...]] = []
    if path is not None and np.isfinite(path.upper):
        levels = ((path.upper, LONG), (path.lower, SHORT), (path.entry, INK))
        lines = [(now, level, end, level, colour) for level, colour in levels]
        dots = [(now, path.entry, INK, "entry")]
        if path.touch_ts >= 0:
            at = exchange_time(np.array([path.touch_ts]))[0]
            touched = [path.touch_price] if np.isfinite(path.touch_price) else [path.upper, path.lower]
            dots += [(at, price, ORANGE, "first touch") for price in touched]
    kinds = {"time": "datetime64[ns]", "price": float, "to": "datetime64[ns]", "price to": float, "colour": object}
    made = pd.DataFrame(lines, columns=[*kinds]).astype(kinds)
    kinds = {"time": "datetime64[ns]", "price": float, "colour": object, "what": object}
    return made, pd.DataFrame(dots, columns=[*kinds]).astype(kinds)
