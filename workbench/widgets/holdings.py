"""What is held against what is wanted, and the gate, by symbol: figures that line up below the heat map of alphas."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
from bokeh.events import Tap
from bokeh.models import HoverTool, NumeralTickFormatter, Range1d

from workbench.core.arrays import FloatArray
from workbench.core.types import Decision
from workbench.widgets import style
from workbench.widgets.alpha_map import bound, by_symbol, states
from workbench.widgets.hot import Columns, HotPlot, legend_above, painted

GATE_HEIGHT, WEIGHT_HEIGHT = 120, 210
LOW = 0.1
"""Where the cross of an unknown gate stands."""
LEAST = 0.002
"""Weight to which the axis reaches at the least."""


class Holdings:
    """Weights and gates of `symbols`, fractions of NAV, NaN unknown; `tapped` is told the symbol of a click."""

    def __init__(self, symbols: tuple[str, ...], tapped: Callable[[str], None]) -> None:
        self.symbols, self._tell = symbols, tapped
        unknown = np.full(len(symbols), np.nan, np.float32)
        self._ranges: weakref.WeakSet[Range1d] = weakref.WeakSet()
        self.columns = Columns(
            symbol=symbols, held=unknown, target=unknown, desired=unknown, gate=unknown, cross=unknown,
            state=[""] * len(symbols),
        )  # fmt: skip
        self.gates = HotPlot(self._draw_gates, height=GATE_HEIGHT)
        self.weights = HotPlot(self._draw_weights, height=self._height(WEIGHT_HEIGHT))

    def show(self, decision: Decision, held: FloatArray) -> None:
        """What was decided, beside the weights that are held."""
        gate = decision.gate
        self.columns.put(
            target=_short(decision.target.weights), desired=_short(decision.desired), gate=_short(gate),
            cross=_short(np.where(np.isnan(gate), LOW, np.nan)), held=_short(held),
            state=states(decision),
        )  # fmt: skip
        self._fit()

    def hold(self, held: FloatArray) -> None:
        """Only what is held has changed."""
        if self.columns.put(held=_short(held)):
            self._fit()

    # ---- inside -----------------------------------------------------------------------------------------------

    def _fit(self) -> None:
        """Have the axis reach round numbers beyond the weights."""
        low, high = self.reach()
        for axis in self._ranges:
            if (axis.start, axis.end) != (low, high):
                axis.update(start=low, end=high)

    def reach(self) -> tuple[float, float]:
        """Ends of the axis of weights: round numbers, 0 between them, and at least LEAST apart from it upwards."""
        both = np.concatenate([self.columns.data["held"], self.columns.data["target"]])
        known = both[np.isfinite(both)].astype(np.float64)
        high = bound(np.append(known[known > 0], LEAST))
        return (-bound(known[known < 0]) if (known < 0).any() else 0.0), high

    def _height(self, height: int) -> int:
        return height + (30 if len(self.symbols) > 12 else 0)

    def _draw_gates(self) -> Any:
        made = by_symbol(self.symbols, GATE_HEIGHT, y_range=(0, 1.08), tools="")
        source = self.columns.source()
        bars = made.vbar("symbol", 0.62, "gate", source=source, color=style.PURPLE, fill_alpha=0.75, line_alpha=0)
        made.scatter("symbol", "cross", source=source, marker="x", size=7, color=style.INK)
        made.add_tools(
            HoverTool(renderers=[bars], tooltips=[("", "@symbol"), ("", "@state"), ("gate", "@gate{0.000}")])
        )
        made.xaxis.major_label_text_alpha = 0
        made.xaxis.major_label_text_font_size = "1px"
        made.yaxis.ticker = [0, 0.5, 1]
        made.on_event(Tap, self._tapped)
        return made

    def _draw_weights(self) -> Any:
        reach = Range1d(*self.reach())
        self._ranges.add(reach)
        made = by_symbol(self.symbols, self._height(WEIGHT_HEIGHT), y_range=reach, tools="")
        source = self.columns.source()
        held = made.vbar("symbol", 0.72, "held", source=source, color=style.GREY, fill_alpha=0.45, line_alpha=0,
                         legend_label="held")  # fmt: skip
        target = made.vbar("symbol", 0.3, "target", source=source, color=style.BLUE, line_alpha=0,
                           legend_label="target")  # fmt: skip
        told = [("", "@symbol"), ("", "@state"), ("held", "@held{+0.00 %}"), ("target", "@target{+0.00 %}"),
                ("before zone and limits", "@desired{+0.00 %}")]  # fmt: skip
        made.add_tools(HoverTool(renderers=[held, target], tooltips=told))
        made.yaxis.formatter = NumeralTickFormatter(format="0.[00] %")
        legend_above(made)
        made.on_event(Tap, self._tapped)
        painted(made)
        return made

    def _tapped(self, event: Any) -> None:
        if event.x is not None and 0 <= event.x < len(self.symbols):
            self._tell(self.symbols[int(event.x)])


def _short(values: FloatArray) -> Any:
    return np.asarray(values, np.float32)
