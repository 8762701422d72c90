"""Figures that are fed, not redrawn: columns of which only the changes travel to the pages that show them.

For what changes every second. A figure is drawn once for each page or cell that shows it; after that its
:class:`Columns` are patched and streamed. Everything else is a HoloViews figure of :class:`~workbench.widgets.base`.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import panel as pn
from bokeh.document import Document
from bokeh.model import Model
from bokeh.models import ColumnDataSource, HoverTool, NumeralTickFormatter
from bokeh.plotting import figure
from pyviz_comms import Comm

from workbench.core.errors import DataError
from workbench.widgets import html, style
from workbench.widgets.base import Text

Column = Any
"""A sequence or array of one length with its neighbours."""
MS = 1e6
"""Nanoseconds in a millisecond: the time axes of the browser count those."""


class Columns:
    """Columns of one length that figures show. Numbers as arrays, NaN unknown; `keep`: rows that `stream` leaves.

    >>> told = Columns(x=[1, 2], y=np.array([0.5, np.nan]))
    >>> told.put(y=np.array([0.5, 2.0])), told.put(y=np.array([0.5, 2.0]))
    (('y',), ())
    >>> told.stream(x=[3], y=[1.0]); len(told)
    3
    """

    def __init__(self, keep: int | None = None, **columns: Column) -> None:
        self.keep = keep
        self.data: dict[str, Column] = {name: _own(c) for name, c in columns.items()}
        self._sources: weakref.WeakSet[ColumnDataSource] = weakref.WeakSet()

    def __len__(self) -> int:
        return len(next(iter(self.data.values()), ()))

    def source(self) -> ColumnDataSource:
        """A source with these columns, which follows them for as long as a figure holds it."""
        made = ColumnDataSource({name: _own(c) for name, c in self.data.items()})
        self._sources.add(made)
        return made

    def put(self, **columns: Column) -> tuple[str, ...]:
        """Set columns; the names of those that changed. Another length needs all columns; :class:`DataError` if not."""
        if any(len(c) != len(self) for c in columns.values()):
            self._replace(columns)
            return tuple(columns)
        changed = {name: c for name, c in columns.items() if not _same(self.data[name], c)}
        if changed:
            self.data.update({name: _own(c) for name, c in changed.items()})
            patches = {name: [(slice(0, len(c)), c)] for name, c in changed.items()}
            for source in self._sources:
                source.patch(patches)
        return tuple(changed)

    def stream(self, **rows: Sequence[Any]) -> None:
        """Append rows; the oldest go beyond `keep`."""
        for name, values in rows.items():
            kept = [*self.data[name], *values]
            self.data[name] = kept[-self.keep :] if self.keep else kept
        for source in self._sources:
            source.stream(rows, rollover=self.keep)

    def _replace(self, columns: dict[str, Column]) -> None:
        lengths = {len(c) for c in columns.values()}
        if set(columns) != set(self.data) or len(lengths) != 1:
            wanted, given = ", ".join(self.data), {name: len(c) for name, c in columns.items()}
            raise DataError(f"columns of another length than {len(self)} replace all of {wanted}; given: {given}")
        self.data = {name: _own(c) for name, c in columns.items()}
        for source in self._sources:
            source.data = {name: _own(c) for name, c in columns.items()}


class HotPlot(pn.pane.Bokeh):
    """The figure that `draw` gives, drawn anew for every page or cell that shows it: a Bokeh model has one owner."""

    def __init__(self, draw: Callable[[], Any], **params: Any) -> None:
        self._draw = draw
        super().__init__(None, sizing_mode="stretch_width", margin=params.pop("margin", 0), **params)

    def _get_model(
        self, doc: Document, root: Model | None = None, parent: Model | None = None, comm: Comm | None = None
    ) -> Model:
        if root is None:
            return self.get_root(doc, comm)
        made: Model = self._draw()
        self._models[root.ref["id"]] = (made, parent)
        return made

    def push(self) -> None:
        """In a notebook changes are sent when asked for; a server sends them by itself."""
        if self._models:
            pn.io.push_notebook(self)


class Told(Text):
    """HTML that is set only when it changed; the style of cards travels once."""

    def __init__(self, css: str = "", **params: Any) -> None:
        sheet = style.CARD.replace("<style>", "").replace("</style>", "") + WIDE + css
        super().__init__("", sizing_mode="stretch_width", stylesheets=[sheet], **params)

    def tell(self, body: str) -> bool:
        """Show `body`; whether it was news."""
        shown = f'<div class="wb">{body}</div>' if body else ""
        news = shown != self.object
        if news:
            self.object = shown
        return news


WIDE = ".wb { max-width: 1400px; }"


class Line(NamedTuple):
    """A column to draw over `at`, its name in the legend, its colour."""

    column: str
    label: str
    colour: str


def blank(height: int, **options: Any) -> Any:
    """An empty figure in the house's style: no background, grey text."""
    made = figure(height=height, sizing_mode="stretch_width", toolbar_location=None, min_border_right=12, **options)
    painted(made)
    return made


def painted(made: Any) -> None:
    """Paint a figure as HoloViews figures are painted; once more after a legend or colour bar was added."""
    style.paint(SimpleNamespace(state=made), None)


def steps(columns: Columns, lines: Sequence[Line], y_label: str, *, height: int = 200, number: str = "0,0.00",
          least: float | None = None, mark: Columns | None = None) -> HotPlot:  # fmt: skip
    """Step lines over the column `at` (ms since 1970, UTC); the axis spans `least` or more, so that its labels differ.

    `mark`, a column `at` of its own, draws an upright line.
    """

    def draw() -> Any:
        made = blank(height, x_axis_type="datetime", tools="xpan,xwheel_zoom,reset", y_axis_label=y_label)
        source = columns.source()
        for line in lines:
            label = {"legend_label": line.label} if len(lines) > 1 else {}
            made.step("at", line.column, source=source, mode="after", color=line.colour, line_width=1.7, **label)
        first = made.renderers[0]
        told = [("at (UTC)", "@at{%F %T}"), *((line.label, f"@{line.column}{{{number}}}") for line in lines)]
        made.add_tools(HoverTool(renderers=[first], tooltips=told, formatters={"@at": "datetime"}, mode="vline"))
        if mark is not None:
            made.vspan("at", source=mark.source(), color=style.PURPLE, line_width=2, line_dash="dashed")
        made.yaxis.formatter = NumeralTickFormatter(format="0,0.[00]")
        made.y_range.update(only_visible=False, min_interval=least, default_span=least or 2.0)
        legend_above(made)
        made.toolbar.autohide = True
        painted(made)
        return made

    return HotPlot(draw, height=height)


def legend_above(made: Any) -> None:
    """Have the legend of a figure stand above it in a line, where it hides nothing."""
    for legend in list(made.legend):
        legend.update(orientation="horizontal", location="left", margin=0)
        made.center.remove(legend)
        made.add_layout(legend, "above")


def titled(label: str | Text, *shown: Any, **options: Any) -> pn.Column:
    """Panes under a caption that screen readers announce; a ready-made one may change: see :func:`caption`."""
    heading = label if isinstance(label, Text) else caption(label)
    return pn.Column(heading, *shown, sizing_mode="stretch_width", margin=0, **options)


def caption(label: str = "") -> Text:
    """The title of a figure as a pane."""
    return Text(html.caption(label), sizing_mode="stretch_width", margin=(6, 10, 0, 10))


def side_by_side(*panes: Any) -> pn.Row:
    """Panes beside each other, or one below the other where the page is narrow."""
    boxes = [pn.Column(p, styles={"flex": "1 1 440px", "min-width": "0"}, margin=0) for p in panes]
    return pn.Row(*boxes, sizing_mode="stretch_width", margin=0, styles={"flex-wrap": "wrap", "gap": "0 12px"})


def _own(column: Column) -> Column:
    return np.array(column) if isinstance(column, np.ndarray) else list(column)


def _same(old: Column, new: Column) -> bool:
    if isinstance(old, np.ndarray) and isinstance(new, np.ndarray):
        return bool(np.array_equal(old, new, equal_nan=old.dtype.kind == "f"))
    return list(old) == list(new)
