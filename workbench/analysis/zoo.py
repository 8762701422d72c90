"""The model zoo as a table and a heat map: one cell per family, strategy and horizon."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure

from workbench.analysis.model_table import model_name
from workbench.analysis.plotting import figure, ink
from workbench.core.horizon import HORIZONS
from workbench.stats.ridge import FALSE_DISCOVERIES

ROW_HEIGHT = 0.135


@dataclass(frozen=True, slots=True)
class ZooCell:
    """What is known of one cell; NaN is unknown.

    `supported`: whether it can be trained; `trained`: whether a final model stands in the bundle; `reason`: why not, or
    why it says nothing. `ic` out of fold with its 95 % interval; `p_corrected` p-value of "no better than a constant",
    corrected for all models of its horizon: the test by which the blender screens. `weight` in the blender that would
    go live (NaN before `blend`); `constant`: share of the segments in which the fit found nothing better than a
    constant; `bytes` of its files; `latency_ms` of one call for 100 symbols.
    """

    family: str
    strategy: str
    horizon: str
    supported: bool = True
    trained: bool = False
    reason: str = ""
    rows: int = 0
    ic: float = math.nan
    ic_low: float = math.nan
    ic_high: float = math.nan
    p_corrected: float = math.nan
    constant: float = math.nan
    weight: float = math.nan
    bytes: int = 0
    latency_ms: float = math.nan

    @property
    def beats_constant(self) -> bool:
        """Whether it passes the blender's screen; one that does not has weight zero."""
        return self.p_corrected <= FALSE_DISCOVERIES

    @property
    def verdict(self) -> str:
        """One word or two for a reader."""
        if not self.supported:
            return "not supported"
        if not self.trained and math.isnan(self.ic):
            return "abstains" if self.reason else "not trained"
        if not self.beats_constant:
            return "no better than a constant"
        return "has weight" if self.weight > 0 else "finds it, no weight"

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; NaN becomes None."""
        plain = {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in asdict(self).items()}
        return {**plain, "verdict": self.verdict, "beats_constant": self.beats_constant}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> ZooCell:
        """The inverse of :meth:`to_dict`."""
        known = {name: data[name] for name in cls.__slots__}
        return cls(**{k: math.nan if v is None else v for k, v in known.items()})


def zoo_figure(cells: Sequence[ZooCell], name: str = "zoo") -> Markup:
    """Heat map: a row per model, a column per horizon, colour and number = out-of-fold IC. A dot marks what beats a
    constant; the percentage is the weight in the blend."""
    shown = [c for c in cells if math.isfinite(c.ic)]
    models = list(dict.fromkeys(model_name(c.family, c.strategy) for c in shown))
    labels = [h.label for h in HORIZONS if any(c.horizon == h.label for c in shown)]
    grid = np.full((len(models), len(labels)), np.nan)
    for cell in shown:
        grid[models.index(model_name(cell.family, cell.strategy)), labels.index(cell.horizon)] = cell.ic

    def draw(fig: Figure) -> None:
        ax = fig.subplots()
        top = max(float(np.nanmax(np.abs(grid), initial=0.0)), 1e-6)
        ax.imshow(grid, aspect="auto", cmap="PuOr_r", norm=TwoSlopeNorm(0.0, -1.25 * top, 1.25 * top), alpha=0.6)
        for cell in shown:
            _write(ax, cell, models, labels)
        ax.set_xticks(range(len(labels)), labels)
        ax.xaxis.tick_top()
        ax.set_yticks(range(len(models)), models, fontsize=6.4)
        ax.grid(visible=False)
        ax.spines[:].set_visible(False)
        ax.tick_params(length=0)

    return figure(name, "Out-of-fold information coefficient of every model", 0.35 + ROW_HEIGHT * len(models), draw)


def _write(ax: Axes, cell: ZooCell, models: list[str], labels: list[str]) -> None:
    x, y = labels.index(cell.horizon), models.index(model_name(cell.family, cell.strategy))
    found = "\u2022" if cell.beats_constant else ""
    weight = f"  {100 * cell.weight:.0f} %" if cell.weight >= 0.005 else ""
    ax.text(x, y, f"{cell.ic:.3f}{found}{weight}", ha="center", va="center", fontsize=6.2, color=ink("ink"),
            fontweight="bold" if weight else "normal")  # fmt: skip
