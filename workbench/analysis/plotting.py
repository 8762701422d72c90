"""The drawing style of the report: matplotlib figures as inline SVG whose colours follow the reader's theme.

Colours are drawn with stand-in values and leave as CSS variables (``var(--net)``), so that one SVG serves light and
dark. No pyplot, no state of its own, nothing fetched; the same figure gives the same bytes.
"""

from __future__ import annotations

import io
import re
from calendar import month_abbr
from collections.abc import Callable

import matplotlib
import numpy as np
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from workbench.core.arrays import IntArray
from workbench.core.calendar import iso_date

VARIABLES = (
    "ink", "muted", "rule", "paper", "net", "gross", "naive", "good", "bad", "soft",
    "h0", "h1", "h2", "h3", "h4", "h5", "h6", "h7", "h8",
    "m0", "m1", "m2", "m3", "m4", "m5", "m6", "m7",
)  # fmt: skip
"""CSS variables that a figure may use; the template defines each for light and dark."""

_STAND_IN = {name: f"#0a{i:02x}b7" for i, name in enumerate(VARIABLES)}
WIDTH = 8.2  # inches; the page shows it about 1,000 px wide
FONT = "var(--sans)"

STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "workbench",
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.titlesize": 8.4,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 6,
    "axes.labelsize": 8,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.facecolor": "none",
    "axes.axisbelow": True,
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "legend.frameon": False,
    "legend.fontsize": 7.8,
    "legend.handlelength": 1.4,
    "xtick.labelsize": 7.6,
    "ytick.labelsize": 7.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 0,
    "xtick.major.width": 0.6,
    "grid.linewidth": 0.5,
    "lines.linewidth": 1.3,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.unicode_minus": True,
    "text.parse_math": False,
}


def ink(name: str) -> str:
    """The stand-in colour that becomes ``var(--name)`` in the page."""
    return _STAND_IN[name]


def figure(name: str, alt: str, height: float, draw: Callable[[Figure], None]) -> Markup:
    """Draw on a fresh figure of WIDTH x `height` inches; inline SVG described by `alt`."""
    colours = {
        "text.color": ink("ink"), "axes.labelcolor": ink("muted"), "axes.edgecolor": ink("rule"),
        "xtick.color": ink("rule"), "ytick.color": ink("rule"), "xtick.labelcolor": ink("muted"),
        "ytick.labelcolor": ink("muted"), "grid.color": ink("rule"),
    }  # fmt: skip
    with matplotlib.rc_context({**STYLE, **colours}):
        fig = Figure(figsize=(WIDTH, height), layout="constrained")
        FigureCanvasSVG(fig)
        draw(fig)
        buffer = io.StringIO()
        fig.savefig(buffer, format="svg", metadata={"Date": None})
    return Markup(_inline(buffer.getvalue(), name, alt))  # matplotlib escaped the labels


def date_ticks(ax: Axes, sessions: IntArray, most: int = 7) -> None:
    """Label an axis that counts sessions with their dates."""
    if len(sessions) == 0:
        return
    at = np.unique(np.linspace(0, len(sessions) - 1, min(most, len(sessions))).round().astype(int))
    ax.set_xticks(at, [short_date(int(sessions[i])) for i in at])
    ax.set_xlim(-0.5, max(len(sessions) - 0.5, 0.5))


def short_date(session: int) -> str:
    """Day and month first, for an axis.

    >>> short_date(20000)
    '4 Oct 24'
    """
    year, month, day = iso_date(session).split("-")
    return f"{int(day)} {month_abbr[int(month)]} {year[2:]}"


def zero_line(ax: Axes, *, vertical: bool = False) -> None:
    """A hairline at zero."""
    draw = ax.axvline if vertical else ax.axhline
    draw(0, color=ink("muted"), linewidth=0.7, zorder=1)


def legend(ax: Axes, columns: int = 4, **options: object) -> None:
    """A frameless legend in a row above the axes."""
    ax.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=columns, borderaxespad=0.2, **options)


def _inline(svg: str, name: str, alt: str) -> str:
    """The <svg> element alone: ids made unique, colours as variables, sized by the page."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>\s*", "", svg, count=1, flags=re.DOTALL)
    box = re.search(r'viewBox="[^"]*"', svg)
    head = f'<svg role="img" aria-label="{escape(alt)}" {box.group(0) if box else ""}>'
    svg = head + svg[svg.index(">") + 1 :]
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    svg = re.sub(r'\bid="([^"]*)"', rf'id="{name}-\1"', svg)
    svg = re.sub(r"url\(#([^)]*)\)", rf"url(#{name}-\1)", svg)
    svg = re.sub(r'xlink:href="#([^"]*)"', rf'href="#{name}-\1"', svg)
    for variable, colour in _STAND_IN.items():
        svg = svg.replace(colour, f"var(--{variable})")
    svg = svg.replace("font-family: 'DejaVu Sans'", f"font-family: {FONT}").replace("'DejaVu Sans'", FONT)
    svg = re.sub(r' transform="rotate\(-0 [^)]*\)"', "", svg)
    svg = re.sub(r"<[^>]*>", lambda tag: re.sub(r"(\d+\.\d{2})\d+", r"\1", tag.group()), svg)  # coordinates, not text
    return re.sub(r"\s*\n\s*", " ", svg).strip()
