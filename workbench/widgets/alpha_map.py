"""Alpha by symbol and horizon as a heat map that is patched at every decision, and what each horizon was heard for."""

from __future__ import annotations

import weakref
from typing import Any, ClassVar

import numpy as np
import param
from bokeh.events import Tap
from bokeh.models import ColorBar, HoverTool, LinearColorMapper, NumeralTickFormatter
from bokeh.palettes import interp_palette

from workbench.core.arrays import FloatArray
from workbench.core.horizon import HORIZONS, N_HORIZONS
from workbench.core.types import Decision, Snapshot, State
from workbench.core.units import BPS, SESSION_MINUTES
from workbench.decision.arbitration import after_round_trip
from workbench.widgets import html, style
from workbench.widgets.hot import Columns, HotPlot, blank, legend_above, painted
from workbench.widgets.models import OPAQUE

UNITS = {"alpha, bps": "alpha", "net of cost, bps": "net", "alpha, sigmas": "sigmas", "alpha, bps a day": "rate"}
"""What a cell can show -> its column."""
LABELS = [h.label for h in HORIZONS]
NUMBERED = 24
"""Up to so many symbols there is room for the number in each cell."""
LEFT, RIGHT = 66, 74
"""Borders that line up the figures by symbol, one below the other, in pixels."""
CROWDED = 40
"""From so many symbols on their names are written small."""
IN_WORDS = {"UNKNOWN": "unknown: data or models are missing", "NO_EDGE": "nothing to earn after costs",
            "FORECAST": "an edge after costs"}  # fmt: skip
"""What the states of a symbol mean."""
STRONG, DARK = 0.7, "#1b1f24"
"""Numbers are dark, and white from this part of the strongest colour on."""
NICE = (1.0, 1.5, 2.0, 3.0, 5.0, 7.0, 10.0)


def cells(decision: Decision, snapshot: Snapshot) -> dict[str, FloatArray]:
    """Each quantity of a decision by horizon and symbol, (H*N,) row by row, float32; NaN unknown.

    Over the horizon in basis points: smoothed blended ``alpha``, ``net`` of a round trip at the one-way ``cost``;
    ``sigmas`` alpha / sigma_h; ``rate`` alpha * 390 / m_h in basis points a day; ``weight`` of the arbitration;
    ``peak`` and ``valley`` probabilities.
    """
    alpha, cost = decision.alphas.smoothed, decision.costs.one_way
    days = np.array([h.minutes / SESSION_MINUTES for h in HORIZONS])[:, None]
    told = {
        "alpha": alpha / BPS, "net": after_round_trip(alpha, cost) / BPS, "sigmas": alpha / snapshot.sigma_h,
        "rate": alpha / days / BPS, "cost": cost / BPS, "weight": decision.choice.weights,
        "peak": decision.forecasts.p_peak, "valley": decision.forecasts.p_valley,
    }  # fmt: skip
    return {name: np.broadcast_to(v + 0.0, alpha.shape).astype(np.float32).ravel() for name, v in told.items()}


def states(decision: Decision) -> list[str]:
    """What is known of each symbol, in words and with the name of its state."""
    return [f"{IN_WORDS[State(s).name]} ({State(s).name})" for s in decision.choice.state.tolist()]


def bound(values: FloatArray) -> float:
    """A round number at or above every |value|, so that the colours change their meaning rarely; 1 if none is known.

    >>> bound(np.array([0.4, -23.0, np.nan])), bound(np.array([np.nan, 0.0]))
    (30.0, 1.0)
    """
    known = np.abs(values[np.isfinite(values)])
    top = float(known.max()) if known.size else 0.0
    if top <= 0:
        return 1.0
    scale = 10.0 ** np.floor(np.log10(top))
    return float(scale * next(n for n in NICE if n >= top / scale - 1e-9))


class AlphaMap(param.Parameterized):
    """The heat map of `symbols`; `show` a decision, read `symbol`, the one that was clicked on.

    Blue is up, red is down, strength is size; what is unknown is hatched and has no number.
    """

    unit = param.Selector(default="alpha", objects=UNITS, label="Cells show", doc="What a cell shows")
    symbol = param.String("", doc="The chosen symbol; a click on a cell changes it")
    clicks = param.Integer(0, doc="Clicks on cells so far")

    turns: ClassVar[tuple[str, ...]] = ("unit",)

    def __init__(self, symbols: tuple[str, ...], **params: Any) -> None:
        super().__init__(**params)
        self.symbols, n = symbols, len(symbols)
        self._told: dict[str, FloatArray] = {}
        unknown = np.full(N_HORIZONS * n, np.nan, np.float32)
        numbers = ("alpha", "net", "sigmas", "rate", "cost", "weight", "peak", "valley", "shown")
        self.columns = Columns(
            symbol=list(symbols) * N_HORIZONS, horizon=[h for h in LABELS for _ in range(n)],
            state=[""] * (N_HORIZONS * n), hatch=np.ones(N_HORIZONS * n, np.float32),
            chosen=np.zeros(N_HORIZONS * n, np.float32), number=[""] * (N_HORIZONS * n),
            ink=[style.INK] * (N_HORIZONS * n), **{name: unknown for name in numbers},
        )  # fmt: skip
        self._mappers: weakref.WeakSet[LinearColorMapper] = weakref.WeakSet()
        self.plot = HotPlot(self._draw, height=self.height)
        self.param.watch(lambda _: self._paint(), "unit")
        self.param.watch(lambda _: self._outline(), "symbol")

    @property
    def height(self) -> int:
        """Pixels: a row a horizon, and room for the names of the symbols."""
        return 26 * N_HORIZONS + (74 if len(self.symbols) > 12 else 40)

    def show(self, decision: Decision, snapshot: Snapshot) -> None:
        """Show what was decided."""
        self._told = cells(decision, snapshot)
        self._paint(state=states(decision) * N_HORIZONS, **self._told)

    def at(self, symbol: str) -> dict[str, FloatArray]:
        """Every quantity of `symbol` by horizon, (H,)."""
        i = self.symbols.index(symbol)
        return {name: v.reshape(N_HORIZONS, -1)[:, i] for name, v in self._told.items()}

    def numbers_html(self) -> str:
        """What the cells show, as a table."""
        if not self._told:
            return ""
        shown = self._told[self.unit].reshape(N_HORIZONS, -1)
        rows = [(s, *(_number(float(v)) or html.DASH for v in shown[:, i])) for i, s in enumerate(self.symbols)]
        name = next(label for label, column in UNITS.items() if column == self.unit)
        return html.table(["symbol", *LABELS], rows, caption=name)

    # ---- inside -----------------------------------------------------------------------------------------------

    def _paint(self, **columns: Any) -> None:
        """Send the new columns and what follows from the unit, in one patch."""
        if not self._told:
            return
        shown = self._told[self.unit]
        top = bound(shown)
        for mapper in self._mappers:
            if mapper.high != top:
                mapper.update(low=-top, high=top)
        if len(self.symbols) <= NUMBERED:
            columns["number"] = [_number(v) for v in shown.tolist()]
            columns["ink"] = ["#fff" if abs(v) > STRONG * top else DARK for v in shown.tolist()]
        self.columns.put(shown=shown, hatch=np.isnan(shown).astype(np.float32), **columns)

    def _outline(self) -> None:
        mine = np.array([s == self.symbol for s in self.symbols] * N_HORIZONS, np.float32)
        self.columns.put(chosen=mine)

    def _draw(self) -> Any:
        made = by_symbol(self.symbols, self.height, y_range=LABELS[::-1], tools="")
        top = bound(self.columns.data["shown"])
        mapper = LinearColorMapper(list(interp_palette(OPAQUE, 61)), low=-top, high=top,
                                   nan_color="#00000000")  # fmt: skip
        self._mappers.add(mapper)
        source = self.columns.source()
        boxes = made.rect(
            "symbol", "horizon", 0.96, 0.92, source=source, fill_color={"field": "shown", "transform": mapper},
            hatch_pattern="/", hatch_alpha="hatch", hatch_color=style.INK, hatch_scale=7, hatch_weight=0.6,
            line_color=style.ORANGE, line_alpha="chosen", line_width=1.6,
        )  # fmt: skip
        if len(self.symbols) <= NUMBERED:
            made.text("symbol", "horizon", text="number", source=source, text_align="center", text_baseline="middle",
                      text_color="ink", text_font_size="11px")  # fmt: skip
        bar = ColorBar(color_mapper=mapper, width=9, padding=2, label_standoff=4, title=None,
                       formatter=NumeralTickFormatter(format="0.[00]"))  # fmt: skip
        made.add_layout(bar, "right")
        made.add_tools(HoverTool(renderers=[boxes], tooltips=HOVER))
        made.on_event(Tap, self._tapped)
        painted(made)
        return made

    def _tapped(self, event: Any) -> None:
        if event.x is not None and 0 <= event.x < len(self.symbols):
            self.symbol = self.symbols[int(event.x)]
            self.clicks += 1


HOVER = [
    ("", "@symbol · @horizon"), ("", "@state"), ("alpha", "@alpha{+0.00} bps, @sigmas{+0.000} sigmas"),
    ("net of a round trip", "@net{+0.00} bps, at @cost{0.00} one way"), ("a day", "@rate{+0.0} bps"),
    ("arbitration weight", "@weight{0 %}"), ("peak, valley", "@peak{0.00}, @valley{0.00}"),
]  # fmt: skip


class Shares:
    """How much the arbitration listened to each horizon: mean over names that it listens to at all, and one name."""

    def __init__(self) -> None:
        unknown = np.full(N_HORIZONS, np.nan, np.float32)
        self.columns = Columns(horizon=LABELS, mean=unknown, one=unknown)
        self.plot = HotPlot(self._draw, height=210)

    def show(self, weights: FloatArray, chosen: int | None) -> None:
        """(H, N) weights of the arbitration; `chosen` is the column of one name."""
        one = np.full(N_HORIZONS, np.nan) if chosen is None else weights[:, chosen]
        self.columns.put(mean=mean_shares(weights).astype(np.float32), one=one.astype(np.float32))

    def _draw(self) -> Any:
        made = blank(210, x_range=LABELS, y_range=(0, 1.04), tools="", y_axis_label="share")
        source = self.columns.source()
        bars = made.vbar("horizon", 0.72, "mean", source=source, color=style.BLUE, fill_alpha=0.8, line_alpha=0,
                         legend_label="mean")  # fmt: skip
        made.scatter("horizon", "one", source=source, marker="diamond", size=13, color=style.ORANGE,
                     legend_label="chosen symbol")  # fmt: skip
        made.add_tools(HoverTool(renderers=[bars], tooltips=[("", "@horizon"), ("mean", "@mean{0.0 %}"),
                                                             ("chosen", "@one{0.0 %}")]))  # fmt: skip
        made.yaxis.formatter = NumeralTickFormatter(format="0 %")
        legend_above(made)
        painted(made)
        return made


def mean_shares(weights: FloatArray) -> FloatArray:
    """(H,) mean of (H, N) weights over the names that any horizon is heard for; NaN where there is none.

    >>> w = np.zeros((9, 3)); w[0, 0] = 1.0; w[1, 1] = 1.0; w[:, 2] = np.nan
    >>> mean_shares(w)[:3].tolist()
    [0.5, 0.5, 0.0]
    """
    known = np.nan_to_num(weights)
    heard = known.sum(axis=0) > 0
    return np.asarray(known[:, heard].mean(axis=1) if heard.any() else np.full(N_HORIZONS, np.nan), np.float64)


def by_symbol(symbols: tuple[str, ...], height: int, **options: Any) -> Any:
    """A figure with a place for each symbol from left to right, as wide as its neighbours above and below."""
    made = blank(height, x_range=list(symbols), min_border_left=LEFT, **options)
    made.min_border_right = RIGHT
    made.xgrid.visible = False
    if len(symbols) > 12:
        made.xaxis.major_label_orientation = 1.1
    painted(made)
    if len(symbols) > CROWDED:
        made.xaxis.major_label_text_font_size = "9px"
    made.xaxis.major_tick_line_color = None
    return made


def _number(value: float) -> str:
    """With its sign; what rounds to nothing has none.

    >>> [_number(v) for v in (12.34, -0.5, -0.001, 0.0, float("nan"))]
    ['+12.3', '-0.50', '0', '0', '']
    """
    if value != value:
        return ""
    return "0" if abs(value) < 0.005 else f"{value:+.1f}" if abs(value) >= 10 else f"{value:+.2f}"
