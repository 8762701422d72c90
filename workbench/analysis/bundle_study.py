"""Two bundles side by side: what was fitted differently, and what the other one would have decided.

Pure: plain arrays and fitted stages in, numbers out. A number that cannot be known is NaN.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from workbench.analysis.blend_study import calibration_slope
from workbench.core.arrays import FloatArray, IntArray, check_shape
from workbench.core.errors import DataError
from workbench.core.types import Book, Decision, OofForecasts, Snapshot
from workbench.decision.blending import HorizonBlender
from workbench.decision.pipeline import Stages, decide
from workbench.stats.bootstrap import Estimate
from workbench.stats.stack import BarrierStack

GRID = 101
"""Points at which two curves are compared."""


# fitted ----------------------------------------------------------------------------------------------------------


def moved(one: Mapping[str, float], two: Mapping[str, float]) -> float:
    """Share of a blend that lies with other models: sum_m |p_m - q_m| / 2, from 0 (the same) to 1 (nothing in common).

    A model that one of them does not have weighs 0 there. NaN where one of the two blends has no weight at all.

    >>> moved({"A": 0.6, "B": 0.4}, {"A": 0.5, "C": 0.5})
    0.5
    """
    if not any(one.values()) or not any(two.values()):
        return float("nan")
    return sum(abs(one.get(name, 0.0) - two.get(name, 0.0)) for name in {*one, *two}) / 2


@dataclass(frozen=True, slots=True)
class Gap:
    """How far two curves lie apart: mean and largest |difference|, and the x of the largest."""

    mean: float
    largest: float
    at: float


def gap(x: FloatArray, one: FloatArray, two: FloatArray) -> Gap:
    """The :class:`Gap` of two curves over x, each (P,), where both are known; NaN where they nowhere are.

    >>> gap(np.array([0.0, 0.5, 1.0]), np.array([0.0, 0.5, np.nan]), np.array([0.25, 0.25, 1.0]))
    Gap(mean=0.25, largest=0.25, at=0.0)
    """
    apart = np.abs(one - two)
    known = np.flatnonzero(np.isfinite(apart))
    if not len(known):
        return Gap(*[float("nan")] * 3)
    top = int(known[np.argmax(apart[known])])
    return Gap(float(apart[known].mean()), float(apart[top]), float(x[top]))


def calibration_curve(stack: BarrierStack, label: str, side: str) -> tuple[FloatArray, FloatArray]:
    """(p, q): what the map of one barrier ("peak", "valley") makes of the pooled probability; NaN without one."""
    p = np.linspace(0.0, 1.0, GRID)
    sides = stack.sides_.get(label)
    return p, np.full(GRID, np.nan) if sides is None else sides[side].map(p)


def blend_ic(blender: HorizonBlender, oof: OofForecasts | None) -> Estimate:
    """IC of the horizon's blend, each fold with the weights that earlier folds gave; unknown without forecasts."""
    if oof is None or not len(oof):
        return Estimate.unknown("the bundle keeps no out-of-fold forecasts of the horizon")
    return calibration_slope(oof, blender.settings).ic


# shadow ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Shadow:
    """Target weights of K decisions over N symbols, (K, N) each, as fractions of NAV: `decided` by the bundle that
    traded, `shadow` by the other on the same snapshots and the books really held, and what was `held` then. `ts` (K,)
    UTC ns."""

    symbols: tuple[str, ...]
    ts: IntArray
    decided: FloatArray
    shadow: FloatArray
    held: FloatArray

    def __post_init__(self) -> None:
        shape = (len(self.ts), len(self.symbols))
        for name in ("decided", "shadow", "held"):
            check_shape(f"Shadow.{name}", getattr(self, name), shape)

    def __len__(self) -> int:
        return len(self.ts)

    @property
    def difference(self) -> FloatArray:
        """(K,) mean |difference| of a name's weight."""
        return np.asarray(np.abs(self.shadow - self.decided).mean(axis=1))

    @property
    def apart(self) -> FloatArray:
        """(K,) sum |difference|: what would have to be traded to go from one target to the other."""
        return np.asarray(np.abs(self.shadow - self.decided).sum(axis=1))

    @property
    def turnover(self) -> tuple[FloatArray, FloatArray]:
        """(K,) sum |target - held| of the bundle that traded, and of the other: each from the book really held."""
        return self._turnover(self.decided), self._turnover(self.shadow)

    @property
    def gross(self) -> tuple[FloatArray, FloatArray]:
        """(K,) sum |target| of both."""
        return np.abs(self.decided).sum(axis=1), np.abs(self.shadow).sum(axis=1)

    @property
    def likeness(self) -> float:
        """Cosine of all targets, from -1 to 1: 1 the same up to size; NaN where one of the two wants nothing."""
        length = float(np.sqrt((self.decided**2).sum() * (self.shadow**2).sum()))
        return float((self.decided * self.shadow).sum() / length) if length > 0 else float("nan")

    @property
    def opposed(self) -> float:
        """Share, of the targets that neither leaves at zero, in which one is long and the other short; NaN of none."""
        both = (self.decided != 0) & (self.shadow != 0)
        return float((self.decided * self.shadow < 0)[both].mean()) if both.any() else float("nan")

    def largest(self, count: int) -> tuple[tuple[str, float, float, float], ...]:
        """(symbol, mean weight decided, mean weight in the shadow, mean |difference|) of the `count` names that differ
        most; names on which both always agree are left out."""
        apart = np.abs(self.shadow - self.decided).mean(axis=0)
        order = [i for i in np.argsort(-apart, kind="stable")[:count] if apart[i] > 0]
        one, two = self.decided.mean(axis=0), self.shadow.mean(axis=0)
        return tuple((self.symbols[i], float(one[i]), float(two[i]), float(apart[i])) for i in order)

    def _turnover(self, target: FloatArray) -> FloatArray:
        return np.asarray(np.abs(target - self.held).sum(axis=1))


def shadow_of(recorded: Iterable[tuple[Snapshot, Book, Decision]], stages: Stages) -> Shadow:
    """What `stages` would have decided on the snapshots and books of `recorded`, in the order of time.

    The book is always the one really held; of what one decision hands to the next only the smoothed alphas are the
    shadow's own, for they are its own forecasts. :class:`DataError` where nothing was recorded, or a snapshot lacks
    what the models read.
    """
    rows: list[tuple[int, FloatArray, FloatArray, FloatArray]] = []
    own: FloatArray | None = None
    symbols: tuple[str, ...] = ()
    for snapshot, book, decision in recorded:
        smoothed = np.full_like(book.carry.smoothed, np.nan) if own is None else own
        again = decide(snapshot, replace(book, carry=replace(book.carry, smoothed=smoothed)), stages)
        own, symbols = again.carry.smoothed, decision.symbols
        rows.append((decision.known_at, decision.target.weights, again.target.weights, book.weights))
    if not rows:
        raise DataError("nothing was decided that could be asked again; name a session with decisions")
    ts, decided, shadow, held = zip(*rows, strict=True)
    return Shadow(symbols, np.array(ts, np.int64), np.array(decided), np.array(shadow), np.array(held))
