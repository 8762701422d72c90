"""One bar from alpha to weights with other settings, what binds on the way, whose the risk is, and what the band saves.

Everything goes through the stage objects: :class:`PositionSizer` traces, :class:`PositionValidator` validates. Weights
are fractions of NAV, (N,) in the order of the snapshot's symbols; NaN is unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from workbench.analysis.what_if import Moment, WhatIf
from workbench.config import SizingSettings, ValidationSettings
from workbench.core.arrays import FloatArray
from workbench.core.types import Breach, Phase, State, Target
from workbench.decision.sizing import PositionSizer, SizingTrace
from workbench.decision.validation import PositionValidator

_SLACK = 1e-9
"""Relative distance from a bound within which it binds."""


@dataclass(frozen=True, slots=True)
class Sized:
    """One bar: the `moment`, the settings it was sized with, the `trace`, the validated `target` and its `breaches`."""

    moment: Moment
    settings: SizingSettings
    trace: SizingTrace
    target: Target
    breaches: tuple[Breach, ...]

    @property
    def delta(self) -> FloatArray:
        """(N,) delta dollars of the target per dollar of NAV."""
        return self.moment.snapshot.leverage * self.target.weights


def resize(moment: Moment, sizing: SizingSettings | None = None, validation: ValidationSettings | None = None) -> Sized:
    """Stages 8 and 9 of `moment` again with other settings (None: as they were); z_ref stays that of its stages."""
    s, d, stages = moment.snapshot, moment.decision, moment.stages
    sizing = stages.sizer.settings if sizing is None else sizing
    sizer = PositionSizer.from_dict(stages.sizer.to_dict(), sizing)
    validator = PositionValidator(validation or stages.validator.settings, sizing)

    def trade_cost(size: FloatArray) -> FloatArray:
        return stages.costs.at_size(d.costs, size, s, moment.book.nav)

    trace = sizer.trace(d.choice, d.gate, d.costs, s, moment.book, trade_cost)
    target, breaches = validator.validate(trace.sizing.weights, s, moment.book)
    return Sized(moment, sizing, trace, target, breaches)


def remarks(sized: Sized) -> tuple[str, ...]:
    """(N,) in a few words, what decided the weight of each name."""
    s, t, moment = sized.settings, sized.trace, sized.moment
    final, weights = sized.target.weights, t.sizing.weights
    capped = np.abs(moment.snapshot.leverage * weights) >= s.max_weight * (1 - _SLACK)
    clipped = np.abs(t.u) >= s.z_max * (1 - _SLACK)
    open_ = np.full(len(final), moment.snapshot.phase is Phase.OPEN)
    state = moment.decision.choice.state
    sized = t.sized & open_
    rules = (
        (t.unknown, "unknown: held"),
        (final != weights, "changed by the validation"),
        (~open_ & ~t.unknown, "flatten window"),
        (open_ & (state == int(State.NO_EDGE)), "no edge"),
        (open_ & ~t.sized & ~t.unknown & (state == int(State.FORECAST)), "not eligible"),
        (sized & (weights != t.target), "moved by the limits"),
        (sized & capped, "at max_weight"),
        (sized & clipped, "z clipped"),
        (sized & t.kept & (t.edge != t.now), "in the band"),
        (sized & (t.edge == t.now) & (t.sizing.desired != t.now), "in the zone"),
        (sized & (weights == t.edge) & (t.edge != t.now) & (t.edge != t.sizing.desired), "to the zone's edge"),
    )
    return tuple(", ".join(text for holds, text in rules if holds[i]) for i in range(len(final)))


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit of the whole book: its value before it was applied (`asked`), after, its bound, and whether it binds."""

    name: str
    asked: float
    value: float
    bound: float
    binds: bool


def limits(sized: Sized) -> tuple[Limit, ...]:
    """Gross, net and the largest weight in delta dollars: w* before the limits, and the validated target."""
    leverage, s = sized.moment.snapshot.leverage, sized.settings
    asked, delta = leverage * sized.trace.raw, sized.delta
    cases = (
        ("gross", np.abs(asked).sum(), np.abs(delta).sum(), s.target_gross),
        ("net", abs(asked.sum()), abs(delta.sum()), s.max_net),
        ("largest weight", np.abs(asked).max(initial=0.0), np.abs(delta).max(initial=0.0), s.max_weight),
    )
    return tuple(Limit(name, float(a), float(v), b, _binds(float(a), float(v), b)) for name, a, v, b in cases)


def _binds(asked: float, value: float, bound: float) -> bool:
    return asked > bound * (1 + _SLACK) or value >= bound * (1 - _SLACK)


@dataclass(frozen=True, slots=True)
class Risk:
    """`volatility` of the book over one day, fraction of NAV; `share` (N,) of its variance, summing to 1."""

    volatility: float
    share: FloatArray


def risk_contributions(weights: FloatArray, sigma_1d: FloatArray, correlation: FloatArray) -> Risk:
    """share_i = w_i (Sigma w)_i / w'Sigma w with Sigma_ij = sigma_i sigma_j C_ij: the Euler parts of the variance.

    An unknown correlation counts as 0, as in sizing; a held name of unknown sigma makes everything NaN; an empty book
    has volatility 0 and NaN shares. Source: Litterman (1996).

    >>> r = risk_contributions(np.array([0.1, -0.1, 0.0]), np.array([0.01, 0.02, np.nan]), np.eye(3))
    >>> round(r.volatility, 8), r.share.round(6).tolist()
    (0.00223607, [0.2, 0.8, 0.0])
    """
    held = weights != 0
    x = np.where(held, weights * sigma_1d, 0.0)
    part = x * (np.nan_to_num(correlation) @ x)
    variance = float(part.sum())
    if not variance > 0:
        volatility = 0.0 if not held.any() else float("nan")
        return Risk(volatility, np.full(len(weights), np.nan))
    return Risk(float(np.sqrt(variance)), part / variance)


@dataclass(frozen=True, slots=True)
class BandSweep:
    """B bands and what each makes of the same bars, per session, fractions of NAV, (B,) each.

    `unpriced` trades of all runs whose cost is unknown; they count as free.
    """

    band: FloatArray
    turnover: FloatArray
    gross: FloatArray
    cost: FloatArray
    sessions: int
    unpriced: int = 0

    @property
    def net(self) -> FloatArray:
        return self.gross - self.cost


def band_sweep(what_if: WhatIf, sizing: SizingSettings, bands: Sequence[float], sessions: int) -> BandSweep:
    """The busiest `sessions` sessions once per band; :mod:`~workbench.analysis.what_if` says what is left out."""
    each = [sizing.model_copy(update={"no_trade_band": float(band)}) for band in bands]
    runs = [what_if.run(sizing=settings, sessions=sessions) for settings in each]
    days = min(sessions, len(np.unique(what_if.session)))
    sums = np.array([[run.turnover.sum(), run.gross.sum(), run.cost.sum()] for run in runs]).reshape(-1, 3) / days
    free = sum(run.unpriced for run in runs)
    return BandSweep(np.array(bands, np.float64), sums[:, 0], sums[:, 1], sums[:, 2], days, free)
