"""Figures about money: equity and drawdown, sensitivity to the spread, cost waterfall, exposure and turnover."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from workbench.analysis.metrics import Performance, drawdown, per_session, session_starts
from workbench.analysis.plotting import date_ticks, figure, ink, legend, zero_line
from workbench.analysis.tables import MINUS, number
from workbench.analysis.waterfall import CostWaterfall
from workbench.core.arrays import FloatArray, IntArray
from workbench.core.results import BacktestResult

MOST_POINTS = 900


def equity_figure(result: BacktestResult, naive: BacktestResult | None) -> Markup:
    """Growth of NAV net, before costs and naive, over the drawdown of the net curve; x counts sessions."""

    def draw(fig: Figure) -> None:
        top, bottom = fig.subplots(2, 1, sharex=True, height_ratios=(2.6, 1))
        _equity(top, result, naive)
        x, keep = _thin(result)
        fall = 100 * drawdown(result.nav, result.start_nav)
        bottom.fill_between(x, -fall[keep], 0, color=ink("bad"), alpha=0.25, linewidth=0)
        bottom.plot(x, -fall[keep], color=ink("bad"), linewidth=0.8)
        bottom.set_ylabel("drawdown, %")
        date_ticks(bottom, result.session[session_starts(result.session)])

    return figure("equity", "Equity net, gross and naive, and drawdown", 3.9, draw)


def _equity(ax: Axes, result: BacktestResult, naive: BacktestResult | None) -> None:
    x, keep = _thin(result)
    curves = [("before costs", np.cumsum(result.gross_pnl), "gross", "-"), ("net", result.nav - result.start_nav, "net", "-")]  # fmt: skip # noqa: E501
    if naive is not None and len(naive.nav):
        nx, nkeep = _thin(naive)
        growth = 100 * (naive.nav / naive.start_nav - 1)
        ax.plot(nx, growth[nkeep], color=ink("naive"), linestyle=(0, (3, 2)), linewidth=1.1, label="naive (untradable)")
    for label, money, colour, style in curves:
        ax.plot(x, (100 * money / result.start_nav)[keep], color=ink(colour), linestyle=style, label=label)
    zero_line(ax)
    ax.set_ylabel("% of starting NAV")
    legend(ax)


def sensitivity_figure(performances: Sequence[tuple[float, Performance]], naive: Performance | None) -> Markup:
    """Net bps a day with intervals at each spread multiplier, beside the gross and the naive result."""
    rows = [(f"net, {m:g}x spread", p.net_bps, "net") for m, p in performances]
    base = min(performances, key=lambda mp: abs(mp[0] - 1.0))[1]
    rows.insert(0, ("before costs", base.gross_bps, "gross"))
    if naive is not None:
        rows.append(("naive (untradable)", naive.net_bps, "naive"))

    def draw(fig: Figure) -> None:
        ax = fig.subplots()
        for y, (_, e, colour) in enumerate(rows):
            if np.isfinite(e.value):
                ax.plot([e.low, e.high], [y, y], color=ink(colour), linewidth=2.2, alpha=0.45, solid_capstyle="round")
                ax.plot(e.value, y, "o", color=ink(colour), markersize=5)
        ax.set_yticks(range(len(rows)), [r[0] for r in rows])
        ax.set_ylim(len(rows) - 0.5, -0.5)
        ax.grid(axis="x")
        ax.grid(visible=False, axis="y")
        zero_line(ax, vertical=True)
        ax.set_xlabel("bps of NAV per day, with 95 % day-block interval")

    return figure("sensitivity", "Result per day at each spread multiplier", 0.6 + 0.3 * len(rows), draw)


def waterfall_figure(fall: CostWaterfall) -> Markup:
    """From gross to net, bps of NAV a day."""

    def draw(fig: Figure) -> None:
        ax = fig.subplots()
        steps = [*fall.steps(), ("net", fall.net.value)]
        level = 0.0
        reach = max(abs(v) for _, v in steps) or 1.0
        for x, (name, value) in enumerate(steps):
            total = name in ("gross", "net")
            base = 0.0 if total else level
            colour = "gross" if name == "gross" else "net" if name == "net" else "bad"
            ax.bar(x, value, 0.62, bottom=base, color=ink(colour), alpha=0.9 if total else 0.65, linewidth=0)
            top = max(base, base + value)
            ax.text(x, top + 0.025 * reach, number(value, 2, True), ha="center", va="bottom", fontsize=8)
            level = value if name == "gross" else level + value
            if x < len(steps) - 1:
                ax.plot([x + 0.31, x + 0.69], [level, level], color=ink("muted"), linewidth=0.6)
        names = ["before costs", f"{MINUS} spread", f"{MINUS} impact", f"{MINUS} commission", f"{MINUS} borrow", "net"]
        ax.set_xticks(range(len(steps)), names)
        ax.tick_params(axis="x", length=0)
        ax.margins(y=0.16)
        zero_line(ax)
        ax.set_ylabel("bps of NAV per day")

    return figure("waterfall", "Costs from gross to net", 2.7, draw)


def exposure_figure(result: BacktestResult) -> Markup:
    """Gross and net exposure at session means, and turnover per session."""
    starts = session_starts(result.session)
    counts = np.diff(np.r_[starts, len(result.ts)])

    def mean(values: FloatArray) -> FloatArray:
        return 100 * per_session(result, values) / counts

    def draw(fig: Figure) -> None:
        left, right = fig.subplots(1, 2)
        x = np.arange(len(starts))
        left.fill_between(x, mean(result.gross), 0, color=ink("soft"), linewidth=0, step="mid", label="gross")
        left.plot(x, mean(result.net), color=ink("net"), linewidth=1.0, label="net")
        zero_line(left)
        left.set_title("Exposure, % of NAV")
        legend(left, 2)
        right.fill_between(x, 100 * per_session(result, result.turnover), 0, color=ink("soft"), linewidth=0, step="mid")
        right.set_ylim(bottom=0)
        right.set_title("Turnover, % of NAV per session")
        for ax in (left, right):
            date_ticks(ax, result.session[starts], 4)

    return figure("exposure", "Exposure and turnover through time", 2.3, draw)


def _thin(result: BacktestResult) -> tuple[FloatArray, IntArray]:
    """(x in sessions, rows): at most MOST_POINTS rows, the last always among them."""
    n = len(result.ts)
    keep = (
        np.unique(np.linspace(0, n - 1, min(n, MOST_POINTS)).round().astype(np.int64)) if n else np.zeros(0, np.int64)
    )
    starts = session_starts(result.session)
    ordinal = np.searchsorted(starts, keep, side="right") - 1
    length = np.diff(np.r_[starts, n])
    x = ordinal - 0.5 + (keep - starts[ordinal] + 1) / length[ordinal]
    return x, keep
