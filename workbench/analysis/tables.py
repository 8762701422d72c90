"""Numbers as a reader wants them: real minus signs, right-aligned, and "–" with a reason where nothing is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_lowercase

import numpy as np

from workbench.stats.bootstrap import Estimate

DASH = "–"
MINUS = "−"


@dataclass(frozen=True, slots=True)
class Cell:
    """Text of one cell; `reason` why it is unknown (becomes a footnote); `kind` a CSS class; `heat` -1..1 tints it."""

    text: str
    reason: str = ""
    kind: str = ""
    heat: float = 0.0


@dataclass(frozen=True, slots=True)
class Column:
    """Head of a column with its `unit`; numeric columns are right-aligned."""

    head: str
    unit: str = ""
    numeric: bool = True


@dataclass(frozen=True, slots=True)
class Table:
    """A table with a `caption` that says how to read it."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    caption: str = ""

    @property
    def footnotes(self) -> dict[str, str]:
        """Reason -> mark (a, b, c ...), in order of appearance."""
        reasons = dict.fromkeys(cell.reason for row in self.rows for cell in row if cell.reason)
        return {reason: _mark(i) for i, reason in enumerate(reasons)}


def number(value: float, digits: int = 2, sign: bool = False) -> str:
    """`value` with `digits` decimals and thousands separators; NaN and infinity are a dash; never "-0.00".

    >>> number(-1234.5, 1), number(0.25, 2, sign=True), number(float("nan")), number(-0.001, 2)
    ('−1,234.5', '+0.25', '–', '0.00')
    """
    if not np.isfinite(value):
        return DASH
    text = f"{value:+,.{digits}f}" if sign else f"{value:,.{digits}f}"
    if not text.strip("+-0.,"):
        text = f"{0:.{digits}f}"
    return text.replace("-", MINUS)


def percent(value: float, digits: int = 1, sign: bool = False) -> str:
    """A fraction in percent, without the unit (that stands in the head of the column)."""
    return number(value * 100, digits, sign)


def plural(count: int, noun: str) -> str:
    """Count and noun.

    >>> plural(1, "session"), plural(1200, "session")
    ('1 session', '1,200 sessions')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def share(value: float, digits: int = 0) -> str:
    """A fraction in percent with its sign, kept on one line."""
    return f"{percent(value, digits)}\u00a0%"


def interval(estimate: Estimate, digits: int = 2) -> str:
    """The interval as "low to high".

    >>> interval(Estimate(1.0, 0.5, 0.0, 2.0, 0.95), 1)
    '0.0 to 2.0'
    """
    if not (np.isfinite(estimate.low) and np.isfinite(estimate.high)):
        return DASH
    return f"{number(estimate.low, digits)} to {number(estimate.high, digits)}"


def p_text(p: float) -> str:
    """A p-value to 3 decimals, "<0.001" below that."""
    if not np.isfinite(p):
        return DASH
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def minutes(value: float) -> str:
    """Trading minutes in the unit a reader thinks in.

    >>> minutes(25), minutes(90), minutes(780), minutes(float("nan"))
    ('25 min', '1.5 h', '2.0 d', '–')
    """
    if not np.isfinite(value):
        return DASH
    if value < 60:
        return f"{value:.0f} min"
    return f"{value / 60:.1f} h" if value < 390 else f"{value / 390:.1f} d"


def cell(value: float, digits: int = 2, *, sign: bool = False, reason: str = "", kind: str = "") -> Cell:
    """A numeric cell; NaN becomes a dash with `reason` (or "not available")."""
    if not np.isfinite(value):
        return Cell(DASH, reason or "not available in this run", "na")
    return Cell(number(value, digits, sign), kind=kind)


def estimate_cells(estimate: Estimate, digits: int = 2, *, sign: bool = True) -> tuple[Cell, Cell]:
    """Value and interval."""
    value = cell(estimate.value, digits, sign=sign, reason=estimate.reason)
    span = interval(estimate, digits)
    return value, Cell(span, estimate.reason or "no interval", "na") if span == DASH else Cell(span, kind="span")


def text_cells(*texts: str) -> tuple[Cell, ...]:
    """Plain text cells."""
    return tuple(Cell(t) for t in texts)


def heat(value: float, full: float) -> float:
    """Tint of a heat map's cell: value / full, clipped to [-1, 1]; 0 for NaN."""
    return float(np.clip(value / full, -1, 1)) if np.isfinite(value) and full > 0 else 0.0


def columns(*heads: str | tuple[str, str]) -> tuple[Column, ...]:
    """Columns of which the first is text: a head, or (head, unit)."""
    pairs: Sequence[tuple[str, str]] = [(h, "") if isinstance(h, str) else h for h in heads]
    return tuple(Column(h, u, numeric=i > 0) for i, (h, u) in enumerate(pairs))


def _mark(i: int) -> str:
    return ascii_lowercase[i] if i < 26 else ascii_lowercase[i // 26 - 1] + ascii_lowercase[i % 26]
