"""decide(): stages 3 to 9 as one pure function. Research, backtest, replay and live call nothing else.

Same inputs, same bits: no clock, no file, no random number, no log; what one decision must tell the next travels in
:class:`~workbench.core.types.Carry`. This is the only module that knows all stages.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from workbench.core.arrays import FloatArray
from workbench.core.types import (
    Alphas,
    Book,
    Breach,
    Carry,
    Choice,
    Costs,
    Decision,
    Forecasts,
    OofForecasts,
    Snapshot,
    Target,
)
from workbench.core.units import SESSION_MINUTES
from workbench.decision.arbitration import CostArbitrator
from workbench.decision.blending import HorizonBlender
from workbench.decision.costs import CostModel
from workbench.decision.gating import BarrierGate
from workbench.decision.sizing import PositionSizer, Sizing
from workbench.decision.validation import PositionValidator

MIN_ADMITTED = 100
"""Admitted out-of-fold rows below which the unit of z is taken from all rows."""


class Predictor(Protocol):
    """Stage 3. Pure: the same snapshot gives the same forecasts."""

    def predict(self, snapshot: Snapshot) -> Forecasts:
        """Expected returns (M, N) and calibrated barrier probabilities (H, N)."""
        ...


@dataclass(frozen=True, slots=True)
class Stages:
    """The fitted stages and the digests of what they were made from."""

    predictor: Predictor
    blender: HorizonBlender
    costs: CostModel
    arbitrator: CostArbitrator
    gate: BarrierGate
    sizer: PositionSizer
    validator: PositionValidator
    config_digest: str
    artifacts_digest: str


def decide(snapshot: Snapshot, book: Book, stages: Stages) -> Decision:
    """Targets for one bar, with every array on the way to them.

    Raises ValueError when the book and the snapshot do not list the same symbols in the same order, or the forecasts
    are of another number of symbols.
    """
    _check_symbols(snapshot, book)
    forecasts = stages.predictor.predict(snapshot)
    _check_forecasts(forecasts, snapshot)
    alphas = stages.blender.blend(forecasts, snapshot, book.carry)
    costs = stages.costs.estimate(snapshot, book.nav)
    end = decide_from(forecasts, alphas, costs, snapshot, book, stages)
    return Decision(snapshot.known_at, snapshot.symbols, forecasts, alphas, costs, end.choice, end.gate, end.desired,
                    end.target, end.carry, end.breaches, stages.config_digest, stages.artifacts_digest,
                    snapshot.digest)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Ending:
    """What stages 6 to 9 make of alphas and costs; the fields are those of a :class:`Decision`."""

    choice: Choice
    gate: FloatArray
    desired: FloatArray
    target: Target
    carry: Carry
    breaches: tuple[Breach, ...]


def decide_from(
    forecasts: Forecasts, alphas: Alphas, costs: Costs, snapshot: Snapshot, book: Book, stages: Stages
) -> Ending:
    """Stages 6 to 9: all that depends on the positions held."""
    choice = stages.arbitrator.choose(alphas, costs, snapshot, book)
    gate = stages.gate.gate(forecasts, choice, snapshot, book.carry)

    def trade_cost(size: FloatArray) -> FloatArray:
        return stages.costs.at_size(costs, size, snapshot, book.nav)

    sizing = stages.sizer.size(choice, gate, costs, snapshot, book, trade_cost)
    target, breaches = stages.validator.validate(sizing.weights, snapshot, book)
    carry = _carry(alphas.smoothed, gate, sizing, target.weights, snapshot, book)
    return Ending(choice, gate, sizing.desired, target, carry, breaches)


def reference_z(blender: HorizonBlender, oofs: Mapping[str, OofForecasts], one_way_cost: float) -> FloatArray:
    """(K,) signed out-of-fold z = a~/sigma_1d of the rows that would be admitted.

    For PositionSizer.fit and CostArbitrator.fit. The gross rate of every horizon that trades; sigma_1d is taken from
    sigma_h by the square root of time.

    Below MIN_ADMITTED admitted rows: of all rows. Nothing trades: an empty array.
    """
    admitted, every = [np.zeros(0)], [np.zeros(0)]
    for label, oof in oofs.items():
        fit = blender.fits_.get(label)
        if fit is None or fit.abstains or not fit.slope > 0:
            continue
        alpha = blender.oof_alpha(oof)
        per_day = SESSION_MINUTES / oof.horizon.minutes
        z = alpha * np.sqrt(per_day) / oof.sigma_h
        known = np.isfinite(z)
        every.append(z[known])
        admitted.append(z[known & (np.abs(alpha) > 2 * one_way_cost)])
    chosen = np.concatenate(admitted)
    return chosen if len(chosen) >= MIN_ADMITTED else np.concatenate(every)


def _carry(
    smoothed: FloatArray, gate: FloatArray, sizing: Sizing, final: FloatArray, snapshot: Snapshot, book: Book
) -> Carry:
    """What the next decision needs. A name that is flat and stays flat carries no gate and no mandate."""
    last = np.where(np.isnan(gate), book.carry.gate, gate)
    last = np.where((final == 0) & (book.weights == 0), np.nan, last)
    side = np.sign(final)
    mandate = side * np.minimum(np.maximum(sizing.day_weight * side, 0.0), np.abs(final))
    price = np.where(np.isfinite(snapshot.price), snapshot.price, book.carry.price)
    return Carry(smoothed, last, mandate, sizing.unknown_bars, snapshot.session, price)


def _check_symbols(snapshot: Snapshot, book: Book) -> None:
    if snapshot.symbols != book.symbols:
        odd = sorted(set(snapshot.symbols) ^ set(book.symbols))
        what = f"only one of them has {', '.join(odd)}" if odd else "their order differs"
        raise ValueError(f"snapshot and book must list the same symbols in the same order: {what}")


def _check_forecasts(forecasts: Forecasts, snapshot: Snapshot) -> None:
    width, wanted = forecasts.expected_return.shape[1], len(snapshot.symbols)
    if width != wanted:
        raise ValueError(f"forecasts are of {width} symbols, the snapshot of {wanted}: predict on this very snapshot")
