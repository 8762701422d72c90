"""What stage 8 hands on, and every number on the way to it."""

from __future__ import annotations

from dataclasses import dataclass

from workbench.core.arrays import BoolArray, FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class Sizing:
    """`desired` (N,) before zone and band; `weights` (N,) to hold; and what is carried to the next decision.

    `day_weight` (N,) the part of `weights` with an overnight mandate; `unknown_bars` (N,).
    """

    desired: FloatArray
    weights: FloatArray
    day_weight: FloatArray
    unknown_bars: IntArray


@dataclass(frozen=True, slots=True)
class SizingTrace:
    """The steps of one :meth:`~workbench.decision.sizing.PositionSizer.size`, (N,) each, in their order.

    `now` the weight held; `z` (NaN unknown); `u` after z_ref and clip, `y` the ridge solution, `v` = y/sigma_1d, which
    are NaN for names that are not sized and under ``method="qp"``; `raw` w* before any limit; the limits make it
    ``sizing.desired``. `below`, `above`: width of the no-trade zone on either side of it; `edge` after the zone;
    `target` after the band (in the flatten window: the overnight mandate); the limits make it ``sizing.weights``.

    `sized`: eligible names with a forecast; `unknown`: without a view; `kept`: left alone by the band. `cap` delta
    dollars allowed. `level` K, weight per unit of v; `strength` min(1, rms(u)), the part of `target_gross` that is
    asked for, both NaN under ``method="qp"`` or without a sized name; `band` in use.
    """

    now: FloatArray
    z: FloatArray
    u: FloatArray
    y: FloatArray
    v: FloatArray
    raw: FloatArray
    below: FloatArray
    above: FloatArray
    edge: FloatArray
    target: FloatArray
    sized: BoolArray
    unknown: BoolArray
    kept: BoolArray
    cap: FloatArray
    level: float
    strength: float
    band: float
    sizing: Sizing
