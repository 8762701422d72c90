"""Figures about forecasts: IC with intervals, blender weights, reliability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from workbench.analysis.calibration import Calibration
from workbench.analysis.findings import GateFinding
from workbench.analysis.inputs import HorizonBlend
from workbench.analysis.model_table import ModelTable
from workbench.analysis.plotting import figure, ink, legend, zero_line
from workbench.core.horizon import horizon

MODEL_COLOURS = ("m0", "m1", "m2", "m3", "m4", "m5", "m6", "m7")
PER_ROW = 5


def ic_figure(table: ModelTable) -> Markup:
    """Small multiples: one panel per model, one line per horizon; dot = IC, bar = interval, ring = skip-one-bar."""
    families, labels = table.families, table.horizons
    across = min(PER_ROW, len(families))
    down = -(-len(families) // across)

    def draw(fig: Figure) -> None:
        axes = np.atleast_1d(fig.subplots(down, across, sharex=True, sharey=True, squeeze=False)).ravel()
        for ax, family in zip(axes, families):
            _ic_panel(ax, table, family, labels)
        for ax in axes[len(families) :]:
            ax.set_axis_off()
        axes[0].set_yticks(range(len(labels)), labels)
        axes[0].set_ylim(len(labels) - 0.5, -0.5)
        axes[0].locator_params(axis="x", nbins=5)
        fig.supxlabel("information coefficient", fontsize=8, color=ink("muted"))

    return figure("ic", "Information coefficients with intervals", down * (0.55 + 0.21 * len(labels)) + 0.2, draw)


def _ic_panel(ax: Axes, table: ModelTable, family: str, labels: Sequence[str]) -> None:
    ax.set_title(family)
    ax.grid(axis="x")
    ax.grid(visible=False, axis="y")
    zero_line(ax, vertical=True)
    for y, label in enumerate(labels):
        row = table.cell(family, label)
        if row is None or not np.isfinite(row.ic.value):
            ax.text(0, y, "–", color=ink("muted"), ha="center", va="center")
            continue
        strong = row.p_holm < 0.05
        colour = ink("net" if row.ic.value > 0 else "bad") if strong else ink("gross")
        ax.plot([row.ic.low, row.ic.high], [y, y], color=colour, linewidth=1.6, alpha=0.5, solid_capstyle="round")
        ax.plot(row.ic.value, y, "o", color=colour, markersize=3.6)
        ring = {"markerfacecolor": "none", "markeredgecolor": ink("ink"), "markersize": 3.2, "markeredgewidth": 0.7}
        if np.isfinite(row.skip.value):
            ax.plot(row.skip.value, y + 0.3, "o", **ring)


def weights_figure(blends: Mapping[str, HorizonBlend]) -> Markup:
    """Stacked bars: the share of each model in each horizon's blend; an abstaining horizon stays empty."""
    labels = sorted(blends, key=lambda label: horizon(label).order)
    models = _by_total_weight(blends)
    shown, others = models[: len(MODEL_COLOURS) - 1], models[len(MODEL_COLOURS) - 1 :]

    def draw(fig: Figure) -> None:
        ax = fig.subplots()
        left = np.zeros(len(labels))
        groups = [(m, [m]) for m in shown] + ([(f"{len(others)} others", others)] if others else [])
        for (name, members), colour in zip(groups, MODEL_COLOURS):
            width = np.array([_share(blends[label], members) for label in labels])
            ax.barh(range(len(labels)), width, 0.66, left=left, color=ink(colour), label=name,
                    edgecolor=ink("paper"), linewidth=0.7)  # fmt: skip
            left += width
        for y in np.flatnonzero(left == 0):
            ax.text(0.6, y, "abstains", color=ink("muted"), va="center", fontstyle="italic")
        ax.set_yticks(range(len(labels)), labels)
        ax.set_ylim(len(labels) - 0.5, -0.5)
        ax.set_xlim(0, 100)
        ax.set_xlabel("share of the blend, %")
        ax.grid(visible=False)
        if groups:
            legend(ax, len(groups))

    return figure("weights", "Blender weights per horizon", 0.75 + 0.24 * len(labels), draw)


def _by_total_weight(blends: Mapping[str, HorizonBlend]) -> list[str]:
    total: dict[str, float] = {}  # model -> weight summed over horizons
    for blend in blends.values():
        for model, weight in blend.weights.items():
            total[model] = total.get(model, 0.0) + (weight if np.isfinite(weight) else 0.0)
    return sorted(total, key=lambda m: (-total[m], m))


def _share(blend: HorizonBlend, members: Sequence[str]) -> float:
    if blend.abstained:
        return 0.0
    weights = [blend.weights.get(m, 0.0) for m in members]
    return 100 * float(np.nansum(weights))


def reliability_figure(gates: Sequence[GateFinding], side: str) -> Markup:
    """Small multiples per horizon: observed frequency against predicted probability, before and after calibration."""
    chosen = [g for g in gates if g.side == side]
    across = min(PER_ROW, max(len(chosen), 1))
    down = -(-len(chosen) // across)

    def draw(fig: Figure) -> None:
        axes = np.atleast_1d(fig.subplots(down, across, squeeze=False)).ravel()
        for ax, gate in zip(axes, chosen):
            _reliability_panel(ax, gate)
        for ax in axes[len(chosen) :]:
            ax.set_axis_off()
        if chosen:
            handles, names = axes[0].get_legend_handles_labels()
            fig.legend(handles, names, loc="outside upper right", ncols=3)
        fig.supxlabel("predicted probability", fontsize=8, color=ink("muted"))
        fig.supylabel("observed frequency", fontsize=8, color=ink("muted"))

    return figure(f"reliability-{side}", f"Reliability of the {side} classifier", 0.5 + 1.75 * down, draw)


def _reliability_panel(ax: Axes, gate: GateFinding) -> None:
    before, after = gate.report.before, gate.report.after
    ax.set_title(gate.horizon)
    low, high = _window(before, after)
    ax.plot([low, high], [low, high], color=ink("muted"), linewidth=0.7, linestyle=(0, (2, 2)), label="perfect")
    for c, colour, mark, name in ((before, "gross", "s", "before"), (after, "net", "o", "after")):
        r = c.reliability
        ax.plot(r.predicted, r.observed, color=ink(colour), marker=mark, markersize=2.8, linewidth=1.0, label=name)
    r = after.reliability
    if np.isfinite(r.low).any():
        ax.vlines(r.predicted, r.low, r.high, color=ink("net"), linewidth=1.0, alpha=0.4)
    if not before.rows:
        ax.text(0.5, 0.5, "no rows", transform=ax.transAxes, ha="center", color=ink("muted"))
    ax.set_xlim(low, high)
    ax.set_ylim(low, high)
    ax.locator_params(nbins=3)
    ax.grid(visible=True, axis="both")


def _window(*calibrations: Calibration) -> tuple[float, float]:
    """Common limits of both axes, within [0, 1]."""
    seen = np.concatenate([x for c in calibrations for x in (c.reliability.predicted, c.reliability.observed)])
    seen = seen[np.isfinite(seen)]
    if len(seen) == 0:
        return 0.0, 1.0
    pad = max(0.02, 0.08 * float(np.ptp(seen)))
    return max(0.0, float(seen.min()) - pad), min(1.0, float(seen.max()) + pad)
