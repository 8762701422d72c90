"""How everything in a cell and on a dashboard looks: one palette, one set of plot defaults.

Plots have no background of their own and text in a grey that reads on white and on black, so that they need not know
the theme of the page; cards and tables take the page's own colours through CSS variables.
"""

from __future__ import annotations

from functools import cache
from typing import Any

INK = "#7b818a"
"""Axes and labels of plots: contrast of at least 3.9 on white and on #111."""
RULE = "#8a909940"
BLUE, ORANGE, GREEN, RED, PURPLE, GREY = "#3b82c4", "#d9822b", "#2f9e6e", "#d1495b", "#8a63c7", "#8a9099"
LONG, SHORT = GREEN, RED
GOOD, BAD = GREEN, RED
HORIZON_COLOURS = (
    "#7fb2e5", "#5b98d6", "#3b7fc4", "#2f9e8f", "#2f9e6e", "#8aa83a", "#d9a32b", "#d9822b", "#d1495b",
)  # fmt: skip
"""One colour per horizon, 5m to 20d: cool is short."""
DIVERGING = ("#c43d4b", "#e08a7a", "#a8a8a833", "#7fb2e5", "#2f6fb4")
"""Low, zero, high; zero is nearly transparent, so that it reads on any page."""
SEQUENTIAL = ("#3b82c41a", "#3b82c455", "#3b82c490", "#3b82c4c8", "#2b6cb0")

CARD = """
<style>
.wb { font-family: var(--jp-ui-font-family, system-ui, sans-serif); font-size: 13px; line-height: 1.45;
      color: var(--jp-content-font-color1, inherit); max-width: 1080px; }
.wb h4 { margin: 0 0 2px; font-size: 14px; font-weight: 650; }
.wb .sub { color: var(--jp-content-font-color2, #767c85); margin: 0 0 8px; }
.wb .facts { display: flex; flex-wrap: wrap; gap: 6px 26px; margin: 6px 0 8px; padding: 0; }
.wb .facts div { min-width: 64px; }
.wb .facts dt, .wb .facts dd { display: block; float: none; width: auto; padding: 0; margin: 0; }
.wb .facts dt { font-size: 11px; color: var(--jp-content-font-color2, #767c85); font-weight: 400; }
.wb .facts dd { margin: 0; font-variant-numeric: tabular-nums; font-size: 14px; font-weight: 550; }
.wb table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: 6px 0; }
.wb th, .wb td { padding: 2px 12px 2px 0; text-align: right; border: 0;
                 border-bottom: 1px solid var(--jp-border-color2, #8a909940); background: none; white-space: nowrap; }
.wb th { font-weight: 500; color: var(--jp-content-font-color2, #767c85); }
.wb th:first-child, .wb td:first-child, .wb th.t, .wb td.t, .wb .t { text-align: left; }
.wb .good { color: #2f9e6e; } .wb .bad { color: #d1495b; } .wb .dim { color: var(--jp-content-font-color2, #767c85); }
.wb .note { border-left: 3px solid #d9822b; padding: 4px 10px; margin: 6px 0; }
.wb .error { border-left: 3px solid #d1495b; padding: 4px 10px; margin: 6px 0; }
.wb .scroll { max-height: 420px; overflow: auto; }
</style>
"""
"""Style of every card; scoped by its class, so that it can stand in any cell."""


@cache
def apply() -> None:
    """Set the plot defaults of HoloViews, once per process."""
    import holoviews as hv

    hv.Store.set_current_backend("bokeh") if "bokeh" in hv.Store.renderers else hv.extension("bokeh", logo=False)
    plot: dict[str, Any] = {
        "responsive": True,
        "height": 260,
        "toolbar": "above",
        "show_grid": True,
        "hooks": [paint],
        "framewise": True,
    }
    o = hv.opts
    hv.opts.defaults(
        o.Curve(**plot, color=BLUE, line_width=1.6), o.Area(**plot, color=BLUE, alpha=0.35),
        o.Scatter(**plot, color=BLUE, size=4), o.Points(**plot, color=BLUE, size=4),
        o.Bars(**plot, color=BLUE, line_alpha=0), o.Histogram(**plot, color=BLUE, line_alpha=0),
        o.HeatMap(**plot, colorbar=True, line_alpha=0), o.QuadMesh(**plot, colorbar=True),
        o.Image(**plot, colorbar=True), o.ErrorBars(line_color=INK), o.HLine(color=INK, line_width=0.8),
        o.VLine(color=INK, line_width=0.8), o.Spread(color=BLUE, alpha=0.18, line_alpha=0), o.Segments(**plot),
        o.Rectangles(**plot), o.Overlay(responsive=True, height=260, legend_position="top_left", hooks=[paint]),
        o.NdOverlay(responsive=True, height=260, legend_position="top_left", hooks=[paint]),
    )  # fmt: skip


def paint(plot: Any, element: Any) -> None:
    """A HoloViews hook: no background, grey text. A theme would be lost where a plot is shown as an ipywidget."""
    figure = plot.state
    if not hasattr(figure, "axis"):
        return
    figure.update(background_fill_alpha=0.0, border_fill_alpha=0.0, outline_line_color=None)
    figure.toolbar.logo = None
    figure.title.update(text_color=INK, text_font_size="12px")
    for axis in figure.axis:
        axis.update(**_AXIS)
        if hasattr(axis, "group_text_color"):
            axis.group_text_color = INK
    for grid in figure.grid:
        grid.update(grid_line_color=INK, grid_line_alpha=0.14)
    for legend in figure.legend:
        legend.update(**_LEGEND)
    for place in (figure.right, figure.left, figure.above, figure.below):
        for bar in place:
            if hasattr(bar, "color_mapper"):
                bar.update(**_COLOUR_BAR)


_AXIS = {
    "axis_line_color": INK, "axis_line_alpha": 0.5, "major_tick_line_color": INK, "major_tick_line_alpha": 0.5,
    "minor_tick_line_color": None, "major_label_text_color": INK, "axis_label_text_color": INK,
    "axis_label_text_font_style": "normal", "axis_label_text_font_size": "11px", "major_label_text_font_size": "11px",
}  # fmt: skip
_LEGEND = {
    "background_fill_alpha": 0.0, "border_line_alpha": 0.0, "label_text_color": INK, "label_text_font_size": "11px",
    "spacing": 1, "padding": 4,
}  # fmt: skip
_COLOUR_BAR = {
    "background_fill_alpha": 0.0, "major_label_text_color": INK, "title_text_color": INK,
    "major_label_text_font_size": "10px", "bar_line_color": None, "major_tick_line_color": INK,
}  # fmt: skip
