"""Figures about time: which horizons the alpha came from, how long positions lasted, how training walked forward."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from workbench.analysis.inputs import ReportInputs
from workbench.analysis.metrics import Performance, session_starts
from workbench.analysis.plotting import date_ticks, figure, ink, legend, short_date
from workbench.analysis.tables import minutes
from workbench.core.arrays import FloatArray
from workbench.core.horizon import HORIZONS, N_HORIZONS, horizon
from workbench.core.results import BacktestResult
from workbench.core.types import OofForecasts
from workbench.core.units import NS_PER_DAY


def shares_figure(result: BacktestResult) -> Markup:
    """Stacked: mean share of the alpha from each horizon, per session; sessions without alpha stay empty."""
    starts = session_starts(result.session)
    share = session_shares(result)

    def draw(fig: Figure) -> None:
        ax = fig.subplots()
        x, floor = np.arange(len(starts)), np.zeros(len(starts))
        for h in HORIZONS:
            top = floor + np.nan_to_num(100 * share[:, h.order])
            if (top > floor).any():
                ax.fill_between(x, floor, top, step="mid", color=ink(f"h{h.order}"), label=h.label, linewidth=0)
            floor = top
        ax.set_ylim(0, 100)
        ax.set_ylabel("share of the alpha, %")
        ax.grid(visible=False)
        if ax.get_legend_handles_labels()[1]:
            legend(ax, N_HORIZONS)
        date_ticks(ax, result.session[starts])

    return figure("shares", "Share of the alpha by horizon through time", 2.5, draw)


def session_shares(result: BacktestResult) -> FloatArray:
    """(D, H) mean share over the bars of each session that have one; NaN where none has."""
    known = np.isfinite(result.horizon_share).all(axis=1)
    starts = session_starts(result.session)
    if len(starts) == 0:
        return np.zeros((0, N_HORIZONS))
    total = np.add.reduceat(np.where(known[:, None], result.horizon_share, 0.0), starts, axis=0)
    count = np.add.reduceat(known.astype(float), starts)[:, None]
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def holding_figure(performances: Sequence[tuple[float, Performance]]) -> Markup:
    """A ruler of trading time: how long a dollar stayed in a position against the horizon its alpha came from."""
    rows = [(m, p) for m, p in performances if np.isfinite(p.holding_minutes)]

    def draw(fig: Figure) -> None:
        ax = fig.subplots()
        for y, (_, p) in enumerate(rows):
            both = [p.holding_minutes, p.horizon_minutes]
            if np.isfinite(p.horizon_minutes):
                ax.plot(both, [y, y], color=ink("rule"), linewidth=2, zorder=1)
                ax.plot(p.horizon_minutes, y, "D", markerfacecolor="none", markeredgecolor=ink("ink"), markersize=5)
            ax.plot(p.holding_minutes, y, "o", color=ink("net"), markersize=6)
            ax.annotate(minutes(p.holding_minutes), (p.holding_minutes, y), (0, 7), textcoords="offset points", ha="center", fontsize=7)  # fmt: skip # noqa: E501
        ax.set_xscale("log")
        ax.minorticks_off()
        ax.set_xticks([h.minutes for h in HORIZONS], [h.label for h in HORIZONS])
        values = [v for _, p in rows for v in (p.holding_minutes, p.horizon_minutes) if np.isfinite(v)]
        ax.set_xlim(min([4.0, *(0.8 * v for v in values)]), max([9500.0, *(1.25 * v for v in values)]))
        ax.set_yticks(range(len(rows)), [f"{m:g}x spread" for m, _ in rows])
        ax.set_ylim(len(rows) - 0.4, -0.8)
        ax.grid(axis="x")
        ax.grid(visible=False, axis="y")
        ax.set_xlabel("trading time (log scale), ticks at the nine horizons")

    return figure("holding", "Holding time against horizon", 0.75 + 0.36 * max(len(rows), 1), draw)


def walkforward_figure(inputs: ReportInputs) -> Markup:
    """For intraday and for day horizons: what each segment's models knew, the gap, and what they predicted."""
    axes_of = _example_horizons(inputs.oofs)
    rows = [max(1, len(np.unique(inputs.oofs[label].fold))) for label in axes_of]

    def draw(fig: Figure) -> None:
        axes = np.atleast_1d(fig.subplots(len(axes_of), 1, squeeze=False, height_ratios=rows)).ravel()
        for ax, label in zip(axes, axes_of):
            _walk_panel(ax, inputs, label)

    return figure("walk", "Walk-forward training and prediction", 0.75 * len(axes_of) + 0.24 * sum(rows), draw)


def _example_horizons(oofs: Mapping[str, OofForecasts]) -> list[str]:
    """The shortest intraday and the shortest day horizon that have rows."""
    labels = sorted((k for k, o in oofs.items() if len(o)), key=lambda k: horizon(k).order)
    picked = [next((k for k in labels if horizon(k).is_day is day), "") for day in (False, True)]
    return [k for k in picked if k]


def _walk_panel(ax: Axes, inputs: ReportInputs, label: str) -> None:
    oof, h = inputs.oofs[label], horizon(label)
    folds = np.unique(oof.fold)
    first = _first_day(inputs, h.is_day, oof)
    for y, fold in enumerate(folds):
        rows = oof.fold == fold
        known = float(oof.fitted_until[rows].max()) / NS_PER_DAY
        a, b = float(oof.session[rows].min()), float(oof.session[rows].max()) + 1
        ax.barh(y, known - first, 0.6, left=first, color=ink("soft"), linewidth=0, label="models know" if y == 0 else None)  # fmt: skip # noqa: E501
        ax.barh(y, b - a, 0.6, left=a, color=ink("net"), linewidth=0, label="they predict" if y == 0 else None)
    last = float(oof.session.max()) + 1
    if inputs.base is not None and len(inputs.base.session):
        a, b = float(inputs.base.session[0]), float(inputs.base.session[-1]) + 1
        ax.barh(len(folds), b - a, 0.25, left=a, color=ink("naive"), linewidth=0, label="backtest")
        last = max(last, b)
    ax.set_yticks(range(len(folds) + 1), [*(f"segment {f}" for f in folds), "backtest"])
    ax.set_ylim(len(folds) + 0.6, -0.6)
    ticks = np.linspace(first, last, 5).astype(int)
    ax.set_xticks(ticks, [short_date(int(t)) for t in ticks])
    ax.set_title("Day horizons" if h.is_day else "Intraday horizons")
    ax.grid(visible=False)
    legend(ax)


def _first_day(inputs: ReportInputs, is_day: bool, oof: OofForecasts) -> float:
    text = inputs.data.daily_first if is_day else inputs.data.first_date
    if text:
        return float(np.datetime64(text, "D").astype(np.int64))
    return float(oof.session.min())
