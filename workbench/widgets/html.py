"""Cards and tables as plain HTML: what a domain object shows of itself in a cell, readable by a screen reader."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from workbench.core.units import BPS
from workbench.widgets.style import CARD

DASH = "–"
"""What stands for an unknown number."""


def card(title: str, sub: str = "", *body: str) -> str:
    """A titled block; `body` is HTML made by the other functions here."""
    line = f'<p class="sub">{escape(sub)}</p>' if sub else ""
    inside = f"<h4>{escape(title)}</h4>{line}{''.join(body)}"
    return f'{CARD}<section class="wb" aria-label="{escape(title)}">{inside}</section>'


def facts(pairs: Mapping[str, Any]) -> str:
    """Name and value side by side.

    >>> facts({"rows": 12}).count("<dd>12</dd>")
    1
    """
    cells = "".join(f"<div><dt>{escape(k)}</dt><dd>{escape(text(v))}</dd></div>" for k, v in pairs.items())
    return f'<dl class="facts">{cells}</dl>'


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, caption: str = "", left: Sequence[str] = ()) -> str:
    """A table; numbers right, the first column and those named in `left` left. A cell may be ready-made: see `mark`."""
    head = "".join(f'<th scope="col"{_class(c, left)}>{escape(c)}</th>' for c in columns)
    body = "".join(
        "<tr>" + "".join(f"<td{_class(c, left)}>{_cell(v)}</td>" for c, v in zip(columns, row, strict=True)) + "</tr>"
        for row in rows
    )
    told = f'<caption class="sub t">{escape(caption)}</caption>' if caption else ""
    return f'<div class="scroll"><table>{told}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def caption(label: str) -> str:
    """The title of one figure."""
    return f'<div class="wb" style="font-weight:600;color:#7b818a" role="heading" aria-level="5">{escape(label)}</div>'


def note(message: str) -> str:
    """A remark that should not be overlooked."""
    return f'<p class="note" role="note">{escape(message)}</p>'


def error(message: str, notes: Sequence[str] = ()) -> str:
    """What went wrong and what to do about it; `notes` are what was added on the way up."""
    more = "".join(f"<br>{escape(line)}" for line in notes)
    return f'<p class="error" role="alert">{escape(message)}{more}</p>'


class mark(str):
    """Text with a class of the card's style: ``mark("passed", "good")``."""

    __slots__ = ("style",)

    def __new__(cls, value: str, style: str) -> mark:
        out = super().__new__(cls, value)
        out.style = style  # type: ignore[attr-defined]
        return out


def text(value: Any) -> str:
    """A value in words: unknown numbers as a dash, others with four significant digits.

    >>> text(float("nan")), text(0.123456), text(1234567), text(True), text(None)
    ('–', '0.1235', '1,234,567', 'yes', '–')
    """
    if value is None:
        return DASH
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return str(value)
    if hasattr(value, "item") and getattr(value, "ndim", 1) == 0:
        value = value.item()
        if isinstance(value, bool):
            return text(value)
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return DASH if value != value else f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    return str(value)


def bps(value: float, digits: int = 2) -> str:
    """A decimal as basis points with its sign; unknown is a dash.

    >>> bps(0.00012), bps(float("nan"))
    ('+1.20', '–')
    """
    return DASH if value != value else f"{value / BPS:+.{digits}f}"


def percent(value: float, digits: int = 1) -> str:
    """A fraction in percent; unknown is a dash.

    >>> percent(0.1234)
    '12.3 %'
    """
    return DASH if value != value else f"{100 * value:.{digits}f} %"


def _class(column: str, left: Sequence[str]) -> str:
    return ' class="t"' if column in left else ""


def _cell(value: Any) -> str:
    style = getattr(value, "style", "")
    shown = escape(text(value))
    return f'<span class="{style}">{shown}</span>' if style else shown
