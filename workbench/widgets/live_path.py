"""Value, exposure, profit and drawdown of live systems over the market's clock: the figures and what they are fed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from workbench.widgets import style
from workbench.widgets.hot import MS, Columns, HotPlot, Line, steps

NAN = float("nan")
NAMES = ("nav", "gross", "net", "profit", "drawdown")
Figures = tuple[float, float, float, float, float]
"""NAMES of a book: USD, fractions of NAV, USD since the day began, fraction below the peak; NaN unknown."""
UNKNOWN: Figures = (NAN,) * 5
KEPT = 3600
"""Newest points that the figures show."""


def total(of: Mapping[str, Figures], systems: Sequence[str]) -> Figures:
    """The systems together, added in dollars: the drawdown is that of the sum below the sum of the peaks.

    Unknown where one of them is.

    >>> made = total({"a": (300.0, 0.5, -0.5, 3.0, 0.0), "b": (100.0, 0.1, 0.1, -1.0, 0.5)}, ("a", "b"))
    >>> [round(x, 9) for x in made]
    [400.0, 0.4, -0.35, 2.0, 0.2]
    """
    told = [of.get(name, UNKNOWN) for name in systems]
    if len(told) == 1:
        return told[0]
    nav = sum(t[0] for t in told)
    gross, net = (sum(t[0] * t[k] for t in told) / nav if nav else NAN for k in (1, 2))
    peak = sum(t[0] / (1 - t[4]) if t[4] < 1 else NAN for t in told)
    return nav, gross, net, sum(t[3] for t in told), 1 - nav / peak if peak else NAN


class LivePath:
    """Four figures over the same points; `mark`, a column `at` (ms), draws an upright line where one looks back."""

    def __init__(self, mark: Columns | None = None) -> None:
        self.columns = Columns(keep=KEPT, at=[], **{name: [] for name in NAMES})
        book = {"height": 200, "mark": mark}
        self.nav = steps(self.columns, [Line("nav", "NAV", style.BLUE)], "NAV (USD)", least=10.0, **book)
        self.profit = steps(self.columns, [Line("profit", "P&L today", style.BLUE)], "P&L today (USD)", least=10.0,
                            **book)  # fmt: skip
        drawn = [Line("drawdown", "drawdown", style.RED)]
        self.drawdown = steps(self.columns, drawn, "below the peak (%)", number="0.000", least=0.05, **book)
        both = [Line("gross", "gross", style.BLUE), Line("net", "net, delta-weighted", style.ORANGE)]
        self.exposure = steps(self.columns, both, "exposure (% of NAV)", least=0.5, **book)

    @property
    def plots(self) -> tuple[HotPlot, ...]:
        """All four."""
        return self.nav, self.profit, self.drawdown, self.exposure

    def show(self, points: Iterable[tuple[int, Figures]]) -> None:
        """Show these points, (UTC ns, figures), and no others."""
        rows = _rows(points)
        self.columns.put(**{name: c[-KEPT:] for name, c in rows.items()})
        self._push()

    def add(self, points: Iterable[tuple[int, Figures]]) -> None:
        """Append newer points."""
        rows = _rows(points)
        if rows["at"]:
            self.columns.stream(**rows)
            self._push()

    def _push(self) -> None:
        for plot in self.plots:
            plot.push()


def _rows(points: Iterable[tuple[int, Figures]]) -> dict[str, list[float]]:
    """Columns of the figures: times in ms, fractions in percent, the drawdown downwards."""
    told = list(points)
    scale = {"nav": 1.0, "gross": 100.0, "net": 100.0, "profit": 1.0, "drawdown": -100.0}
    rows = {name: [f[k] * scale[name] for _, f in told] for k, name in enumerate(NAMES)}
    return {"at": [at / MS for at, _ in told], **rows}
