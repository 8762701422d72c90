"""A backtest to look at: equity, exposure, turnover, whose profit it was, a second run beside it, any bar's receipt."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, lru_cache
from typing import Any, ClassVar

import holoviews as hv
import numpy as np
import panel as pn
import param

from workbench.analysis.attribution import Attribution, by_horizon, by_hour, by_symbol
from workbench.analysis.metrics import Performance, drawdown, per_session, performance, session_starts
from workbench.analysis.waterfall import cost_waterfall
from workbench.core.arrays import FloatArray, IntArray
from workbench.core.calendar import iso_date, iso_time
from workbench.core.errors import ConfigError, DataError
from workbench.core.results import BacktestResult
from workbench.core.units import BPS
from workbench.engine.recall import Recall
from workbench.stats.bootstrap import Estimate
from workbench.widgets import html, style
from workbench.widgets.base import StageView
from workbench.widgets.receipt import ReceiptView, telling

PERCENT = 100.0
POINTS = 3000
"""Bars that a curve draws at most; of longer runs every k-th and the last."""
TICKS = 8
SPLITS: dict[str, Callable[[BacktestResult], Attribution]] = {
    "symbol": by_symbol, "horizon": by_horizon, "hour": by_hour,
}  # fmt: skip


def card(result: BacktestResult) -> str:
    """What the run earned, risked and traded."""
    p = performance(result)
    sub = f"{iso_date(result.session[0])} to {iso_date(result.session[-1])} · {p.sessions} sessions · " \
          f"{len(result.symbols)} symbols · simulated fills, nothing here is a promise"  # fmt: skip
    told = html.table(("breach", "times"), result.breaches) if result.breaches else ""
    return html.card(
        f"Backtest · {result.label}", sub,
        html.table(("", "", "95 % interval"), _lines(p)), told,
        html.facts({"digest of the decisions": result.digest[:16]}),
    )  # fmt: skip


class BacktestView(StageView):
    """Equity, exposure, turnover and attribution of `result`; of `other` too, where a second run is given.

    `recall` (see :func:`workbench.research.recall.recall_backtest`) opens every bar: click on the equity curve, or turn
    to session and bar, and the receipt of its decision is shown, decided again bit for bit.
    """

    title: ClassVar[str] = "Backtest"
    turns: ClassVar[tuple[str, ...]] = ("split", "session", "bar", "symbol")
    hints = True
    """Whether what was not given is asked for, as one does in code."""

    split = param.Selector(default="symbol", objects=list(SPLITS), label="split profit by", doc="Whose profit it was")
    session = param.Selector(label="session", doc="Day of the bar whose receipt is shown")
    bar = param.Integer(30, bounds=(0, 77), label="bar", doc="Bar of the session, from 0")
    symbol = param.Selector(label="symbol", doc="Whose receipt is shown")

    def __init__(
        self,
        result: BacktestResult,
        *,
        other: BacktestResult | None = None,
        recall: Recall | None = None,
        **params: Any,
    ) -> None:
        if recall is not None and recall.result.digest != result.digest:
            raise ConfigError(
                f"the recall is of the run {recall.result.label!r}, not of {result.label!r}; pass recall.result, "
                "and this one as other="
            )
        self.result, self.other, self.recall = result, other, recall
        self.runs = (result,) if other is None else (result, other)
        self.names = _names(self.runs)
        self._attributed = lru_cache(None)(self._split)
        starts = session_starts(result.session)
        self._first = dict(zip(result.session[starts].tolist(), starts.tolist(), strict=True))  # session -> first row
        self._bars = dict(zip(self._first, np.diff(np.append(starts, len(result.ts))).tolist(), strict=True))
        self.tap = hv.streams.Tap(x=None, y=None)
        self._receipt: ReceiptView | None = None
        super().__init__(**params)
        self._offer()
        if recall is not None:
            self.choose(_busiest(recall))
            self._begin_receipt(recall)

    # ---- the bar ----------------------------------------------------------------------------------------------

    @property
    def row_of_bar(self) -> int:
        """Row of the result that is chosen; a session that closes early ends at its last bar."""
        return self._first[self.session] + min(self.bar, self._bars[self.session] - 1)

    def choose(self, row: float) -> None:
        """Turn to the bar nearest to `row`, which is where a click on a curve lies."""
        at = int(np.clip(round(row), 0, len(self.result.ts) - 1))
        day = int(self.result.session[at])
        self.param.update(session=day, bar=at - self._first[day])

    def _offer(self) -> None:
        self.param.session.objects = {iso_date(day): day for day in self._first}
        self.param.bar.bounds = (0, max(self._bars.values()) - 1)
        self.session = list(self._first)[-1]
        self.param.symbol.objects = list(self.result.symbols)
        self.symbol = self.result.symbols[0]
        self.tap.add_subscriber(lambda x=None, y=None: self.choose(x) if x is not None else None)

    def _begin_receipt(self, recall: Recall) -> None:
        row = self.row_of_bar
        moment = recall.moment(row)
        self.symbol = telling(moment.decision, recall.orders(row))
        self._receipt = ReceiptView(moment.decision, **self._context(row), symbol=self.symbol)
        self.param.watch(lambda *_: self._turn(), ["session", "bar"])
        self.param.watch(lambda event: self._receipt.param.update(symbol=event.new), "symbol")

    def _context(self, row: int) -> dict[str, Any]:
        r = self.recall
        return {"snapshot": r.snapshot(row), "book": r.book(row), "orders": r.orders(row), "fills": r.fills(row)}

    def _turn(self) -> None:
        """Show the receipt of the chosen bar; a bar without a decision keeps the last one and says so."""
        row = self.row_of_bar
        try:
            self._receipt.show(self.recall.decision(row), **self._context(row))
            self.problem = ""
        except DataError as error:
            self.problem = str(error)

    # ---- what is shown ----------------------------------------------------------------------------------------

    def heading(self) -> str:
        runs = " beside ".join(self.names)
        return html.card(f"{self.title} · {runs}", "trading simulated on past bars; nothing here is a promise")

    def controls(self) -> list[pn.viewable.Viewable]:
        return super().controls() if self.recall is not None else super().controls()[:1]

    def body(self) -> pn.viewable.Viewable:
        equity = self.plot(self.equity, "Return since the start; click on the curve to open a bar", height=300)
        self.tap.source = equity[1].object
        return pn.Column(
            self.text(self.numbers),
            equity,
            self.row(
                self.plot(self.fall, "Drawdown from the highest value so far"),
                self.plot(self.exposure, "Gross and net exposure"),
            ),
            self.row(
                self.plot(self.turnover, "Turnover by session"),
                self.plot(self.waterfall, "From gross to net, a day"),
            ),
            self.plot(self.attribution, "Whose profit it was: net, after all costs", dynamic=False),
            self.text(self.parts),
            self.text(self.chosen),
            *([self._receipt.shown()] if self._receipt is not None else []),
            sizing_mode="stretch_width",
        )

    def numbers(self) -> str:
        """Both runs side by side."""
        told = [_lines(performance(r)) for r in self.runs]
        rows = [(same[0][0], *(cell for line in same for cell in line[1:])) for same in zip(*told, strict=True)]
        columns = ["", *(c for name in self.names for c in (name, "95 % interval"))]
        return html.card("", "", html.table(columns, rows))

    @param.depends("session", "bar")
    def equity(self) -> hv.Overlay:
        """Return of each run since its start, and the chosen bar."""
        return self._drawn(lambda r: PERCENT * (r.nav / r.start_nav - 1), "return (%)", marked=True)

    def fall(self) -> hv.Overlay:
        """Drawdown of each run."""
        return self._drawn(lambda r: -PERCENT * drawdown(r.nav, r.start_nav), "drawdown (%)")

    def exposure(self) -> hv.Overlay:
        """Gross and net exposure of the first run; gross of the other."""
        layers = [self._curve(self.result, PERCENT * self.result.gross, "gross", style.BLUE),
                  self._curve(self.result, PERCENT * self.result.net, "net", style.GREEN)]  # fmt: skip
        if self.other is not None:
            layers.append(self._curve(self.other, PERCENT * self.other.gross, f"gross, {self.names[1]}", style.ORANGE))
        return hv.Overlay([hv.HLine(0), *layers]).opts(**self._axis, ylabel="% of NAV", legend_position="top")

    def turnover(self) -> hv.Overlay:
        """Traded value over NAV, a session."""
        curves = []
        for run, name, colour in zip(self.runs, self.names, _COLOURS):
            days, y = np.unique(run.session), PERCENT * per_session(run, run.turnover)
            data = ([self._first.get(int(d), np.nan) for d in days], y, [iso_date(d) for d in days])
            curve = hv.Curve(data, "bar", ["turnover", "day"], label=name)
            curves.append(curve.opts(color=colour, interpolation="steps-post", tools=["hover"]))
        return hv.Overlay(curves).opts(**self._axis, ylabel="% of NAV a session", legend_position="top")

    def waterfall(self) -> hv.Overlay:
        """Mean a day from gross to net, costs negative."""
        steps = [(*w.steps(), ("net", w.net.value)) for w in map(cost_waterfall, self.runs)]
        names = [name for name, _ in steps[0]]
        values = {name: [v for _, v in each] for name, each in zip(self.names, steps)}
        return self._beside(names, values).opts(ylabel="bps of NAV a day", xrotation=0)

    @param.depends("split")
    def attribution(self) -> hv.Overlay:
        """Net profit of each part, of both runs where both can be split."""
        found = {k: a for k in range(len(self.runs)) if not isinstance(a := self._attributed(k, self.split), str)}
        names = list(dict.fromkeys(name for a in found.values() for name in a.names))
        values = {}
        for k, a in found.items():
            made = dict(zip(a.names, a.net / self.runs[k].start_nav / BPS))
            values[self.names[k]] = [made.get(name, float("nan")) for name in names]
        return self._beside(names, values).opts(ylabel="bps of starting NAV", xrotation=60 if len(names) > 10 else 0)

    @param.depends("split")
    def parts(self) -> str:
        """The same as numbers, with every cost."""
        found = [self._attributed(k, self.split) for k in range(len(self.runs))]
        told = [html.note(a) for a in found if isinstance(a, str)]
        whole = [(name, a) for name, a in zip(self.names, found) if not isinstance(a, str)]
        if whole:
            name, a = whole[0]
            values = [a.gross, a.slippage, a.commission, a.borrow, a.net, a.traded, *(o.net for _, o in whole[1:])]
            lines = [line for line in zip(a.names, *values) if any(line[1:])]
            columns = (self.split, "gross", "spread and impact", "commission", "borrow", "net", "traded",
                       *(f"net, {other}" for other, _ in whole[1:]))  # fmt: skip
            rows = [_usd(line) for line in (*lines, ("all", *(float(v.sum()) for v in values)))]
            told.append(html.table(columns, rows, caption=f"{name}, USD"))
        how = {
            "symbol": "Profit at mid and costs of each symbol's own fills; borrow by the value of the shorts.",
            "horizon": "A bar's profit and costs belong to the horizons of the last decision before it, by their share "
                       "of the alpha: an approximation, since positions may be older.",
            "hour": "Hours of the exchange from the open; the first bar of a session also holds the night.",
        }[self.split]  # fmt: skip
        return html.card("", how, *told)

    @param.depends("session", "bar")
    def chosen(self) -> str:
        """Which bar is open, and that it was decided again."""
        if self.recall is None:
            told = html.note("Pass recall=recall_backtest(job) to open any bar of the base run.")
            return html.card("", "", told) if self.hints else ""
        row, r = self.row_of_bar, self.result
        again = "bit for bit, same digest" if not self.problem else None
        facts = {
            "bar": iso_time(r.ts[row]), "NAV, USD": f"{r.nav[row]:,.0f}", "gross": html.percent(r.gross[row]),
            "net": html.percent(r.net[row]), "decided again": again,
        }  # fmt: skip
        return html.card("The chosen bar", "made again by decide() from what was known then", html.facts(facts))

    # ---- inside -----------------------------------------------------------------------------------------------

    @cached_property
    def _axis(self) -> dict[str, Any]:
        """The x axis that all curves share: bar numbers, labelled with dates at the first bar of sessions."""
        days = list(self._first.items())
        days = days[:: max(1, -(-len(days) // TICKS))]
        ticks = [(row, iso_date(day)[5:]) for day, row in days]
        return {"xticks": ticks, "xlim": (0, len(self.result.ts)), "xlabel": "", "show_legend": True}

    def _drawn(self, values: Callable[[BacktestResult], FloatArray], name: str, *, marked: bool = False) -> hv.Overlay:
        curves = [
            self._curve(run, values(run), name, colour) for run, name, colour in zip(self.runs, self.names, _COLOURS)
        ]
        marks = [hv.VLine(self.row_of_bar).opts(color=style.INK, line_dash="dashed")] if marked else []
        return hv.Overlay([hv.HLine(0), *curves, *marks]).opts(**self._axis, ylabel=name, legend_position="top")

    def _curve(self, run: BacktestResult, y: FloatArray, label: str, colour: str) -> Any:
        rows = _thinned(len(y))
        x = np.searchsorted(self.result.ts, run.ts[rows])
        when = [iso_time(ts)[:16].replace("T", " ") for ts in run.ts[rows]]
        curve = hv.Curve((x, y[rows], when), "bar", ["value", "time"], label=label)
        return curve.opts(color=colour, tools=["hover"])

    def _beside(self, names: list[str], values: dict[str, list[float]]) -> hv.Overlay:
        """Bars of each run side by side; `values`: run -> one number for each of `names`."""
        width = 0.76 / max(len(values), 1)
        layers: list[Any] = [hv.HLine(0)]
        for k, (run, made) in enumerate(values.items()):
            left = [i - 0.38 + k * width for i in range(len(names))]
            boxes = [(x, 0.0, x + width, v, name, v) for x, v, name in zip(left, made, names)]
            drawn = hv.Rectangles(boxes, ["x0", "y0", "x1", "y1"], ["part", "value"], label=run)
            layers.append(drawn.opts(color=_COLOURS[self.names.index(run)], line_alpha=0, tools=["hover"]))
        return hv.Overlay(layers).opts(
            xticks=list(enumerate(names)), xlim=(-0.6, len(names) - 0.4), xlabel="", responsive=True, height=260,
            show_legend=len(values) > 1, legend_position="top", padding=(0, 0.1),
        )  # fmt: skip

    def _split(self, number: int, by: str) -> Attribution | str:
        """The profit of a run by symbol, horizon or hour, or in words why it cannot be split so."""
        try:
            return SPLITS[by](self.runs[number])
        except DataError as error:
            return str(error)


_COLOURS = (style.BLUE, style.ORANGE)


def _names(runs: tuple[BacktestResult, ...]) -> tuple[str, ...]:
    """What the runs are called; two of one label are told apart."""
    first, *others = (r.label or "run" for r in runs)
    return (first, *(f"{label} (other)" if label == first else label for label in others))


def _lines(p: Performance) -> list[tuple[str, str, str]]:
    """(what, value, interval) of one run."""
    holding = html.DASH if p.holding_minutes != p.holding_minutes else f"{p.holding_minutes:,.0f} min"
    plain = {
        "volatility, a year": html.percent(p.annual_volatility),
        "largest drawdown": html.percent(p.max_drawdown, 2),
        "sessions under water": html.text(p.under_water),
        "days with a gain": html.percent(p.hit_rate, 0),
        "gross exposure, mean and highest": f"{html.percent(p.gross_exposure)}, {html.percent(p.peak_gross)}",
        "turnover a session": html.percent(p.turnover),
        "holding time": holding,
        "orders, fills": f"{p.orders:,}, {p.fills:,}",
    }
    return [
        ("return", html.percent(p.total_return, 2), ""),
        ("net, bps a day", *_estimate(p.net_bps)),
        ("gross, bps a day", *_estimate(p.gross_bps)),
        ("Sharpe ratio, a year", *_estimate(p.sharpe)),
        *((name, value, "") for name, value in plain.items()),
    ]


def _estimate(e: Estimate) -> tuple[str, str]:
    low, high = (html.text(float(v)) for v in (e.low, e.high))
    return html.text(float(e.value)), f"{low} … {high}"


def _usd(line: tuple[Any, ...]) -> tuple[Any, ...]:
    name, *values = line
    return (name, *(f"{v:,.0f}" for v in values))


def _thinned(count: int) -> IntArray:
    """Rows of a curve of `count` bars: every k-th and the last.

    >>> _thinned(4).tolist(), len(_thinned(10_000)) <= POINTS + 1
    ([0, 1, 2, 3], True)
    """
    step = max(1, -(-count // POINTS))
    return np.unique(np.append(np.arange(0, count, step), count - 1))


def _busiest(recall: Recall) -> int:
    """The row whose orders traded most in the bar after."""
    traded = recall.result.turnover
    after = np.minimum(recall.rows + 1, len(traded) - 1)
    return int(recall.rows[np.argmax(traded[after])])
