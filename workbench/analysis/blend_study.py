"""How a horizon's blend came about: the ridge path, what a model contributes, and the slope that calibrates it.

Everything is refitted by :mod:`workbench.decision.blending` and :mod:`workbench.stats.ridge` on the rows that the
blender learned from; nothing here is a second version of a formula.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from workbench.analysis.model_study import LEVEL, Bins, binned
from workbench.config import BlendingSettings
from workbench.core.types import ModelKey, OofForecasts
from workbench.decision.blending import HorizonBlender, HorizonFit, block_moments, forward_blend, whitened
from workbench.stats.bootstrap import Estimate
from workbench.stats.ic import MIN_NAMES, information_coefficient
from workbench.stats.ridge import BlendFit, PenaltyPath, fit_blend, penalty_path

NOTHING = "no model shows evidence of its own out of fold"
UNTESTED = "no earlier fold gave weights that the next one could test"


def learned_rows(oof: OofForecasts) -> OofForecasts:
    """The rows that a blender learns from: those whose label has matured."""
    return oof.take(np.isfinite(oof.label) & (oof.sigma_h > 0))


def keep_models(oof: OofForecasts, keys: Sequence[ModelKey]) -> OofForecasts:
    """The same rows with the forecasts of `keys` alone, in the order they had."""
    columns = [i for i, key in enumerate(oof.keys) if key in set(keys)]
    return replace(oof, keys=tuple(oof.keys[i] for i in columns), forecast=oof.forecast[:, columns])


def ridge_path(oof: OofForecasts, settings: BlendingSettings) -> PenaltyPath:
    """Cross-validated score and weights for each penalty of `settings`."""
    rows = learned_rows(oof)
    return penalty_path(block_moments(rows), settings.lambdas, settings.force_slope is None, rows.embargo_ns)


@dataclass(frozen=True, slots=True)
class Slope:
    """The blend of earlier rows against what came next: `bins` of both, in sigma_h.

    x = sum_m p_m s_m with the weights that earlier folds gave, y = label / sigma_h, both with the common move of their
    moment taken out, as in the fit. `slope` b with its 90 % interval, whose lower end decides: b is in use only where
    that is above 0. `ic` of the blend itself, by the same forward weights.
    """

    bins: Bins
    slope: Estimate
    ic: Estimate


@dataclass(frozen=True, slots=True)
class Solved:
    """A horizon solved with some of its models: what the blender learned, and how its blends did forward in time."""

    fit: HorizonFit
    forward: Slope


def solve(blender: HorizonBlender, oof: OofForecasts, keys: Sequence[ModelKey]) -> Solved:
    """What `blender` would have learned of the horizon of `oof` had there been only the models `keys`.

    The half-life of the result assumes the default cost and is not that of the bundle.
    """
    rows, label = keep_models(learned_rows(oof), keys), oof.horizon.label
    fit = HorizonBlender(blender.settings, blender.min_windows).fit({label: rows}).fits_[label]
    return Solved(fit, calibration_slope(rows, blender.settings))


def calibration_slope(oof: OofForecasts, settings: BlendingSettings) -> Slope:
    """Slope and bins of the blend of `oof`; unknown, with the reason, where no model has evidence of its own."""
    rows = learned_rows(oof)
    fit = _fit(rows, settings)
    block = max(1, rows.horizon.days)
    if not fit.weights.rms > 0:
        none = np.zeros(0)
        return Slope(binned(none, none, none), Estimate.unknown(NOTHING, 0.9), Estimate.unknown(NOTHING, LEVEL))
    x, y = whitened(rows)
    score = forward_blend(rows, x, fit) * fit.weights.rms
    upper = 2 * fit.raw_slope - fit.lower
    known = np.isfinite(fit.lower)
    slope = Estimate(fit.raw_slope, fit.se, fit.lower, upper, 0.9) if known else Estimate.unknown(UNTESTED, 0.9)
    return Slope(binned(score, y, rows.session, block=block), slope, _ic(rows, fit, block))


def _fit(rows: OofForecasts, settings: BlendingSettings) -> BlendFit:
    return fit_blend(block_moments(rows), settings.lambdas, settings.force_slope is None, rows.embargo_ns)


def _ic(rows: OofForecasts, fit: BlendFit, block: int) -> Estimate:
    blend = forward_blend(rows, rows.forecast / rows.sigma_h[:, None], fit)
    kind = "cross_section" if len(rows.symbols) >= MIN_NAMES else "pooled"
    y = rows.label / rows.sigma_h
    ic = information_coefficient(blend, y, rows.known_at, rows.session, kind=kind, block=block)
    return ic.overall.scalar(LEVEL, 0, UNTESTED)
