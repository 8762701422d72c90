"""Stage 6, CostArbitrator: which horizons a symbol listens to, and whether it may be traded at all.

    net_h   = sign(a_h) * max(|a_h| - 2c, 0)                     a round trip admits new positions; it never flips a sign
    a~_h    = net_h * 390 / m_h                                  daily rate, m_h trading minutes of the horizon
    score_h = |a~_h| / sigma_1d                                  comparable across horizons and symbols

`winner`: the best horizon gets 70 %, its neighbour of the same sign (the better of the two next to it) 30 %; without
one, all. `softmax`: survivors weigh exp(beta * score_h / z_ref). Net and gross rates are mixed with these weights. A
name already held whose gross alpha still has the sign of the position stays a FORECAST by its gross rate even below
cost: the cost of entering is spent, and leaving would cost again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np

from workbench.config import ArbitrationSettings
from workbench.core.arrays import BoolArray, FloatArray
from workbench.core.horizon import HORIZONS, N_HORIZONS
from workbench.core.types import Alphas, Book, Choice, Costs, Phase, Snapshot, State
from workbench.core.units import SESSION_MINUTES

PER_DAY = np.array([[SESSION_MINUTES / h.minutes] for h in HORIZONS])
"""(H, 1) factor from a return over the horizon to a daily rate."""

DAY_ROWS = np.array([h.is_day for h in HORIZONS])
"""(H,) True for horizons that may be held overnight."""

_FIRST_DAY = int(np.argmax(DAY_ROWS))


class Estimator(Protocol):
    """A cost model (stage 5)."""

    def estimate(self, snapshot: Snapshot, nav: float) -> Costs:
        """One-way costs (H, N)."""
        ...


class CostArbitrator:
    """Costs and arbitration of the seed: `cost_model` estimates (stage 5), `choose` decides (stage 6).

    `z_ref_`: root mean square of out-of-fold scores, the unit of the softmax (`fit`); 1 before a fit.
    """

    def __init__(self, costs: Estimator, settings: ArbitrationSettings) -> None:
        self.cost_model = costs
        self.settings = settings
        self.z_ref_ = 1.0

    def fit(self, scores: FloatArray) -> Self:
        """Learn z_ref_ from out-of-fold scores |a~|/sigma_1d (K,); NaN is left out, nothing left keeps the old value."""
        known = np.asarray(scores, np.float64)
        known = known[np.isfinite(known)]
        if known.size and np.abs(known).max() > 0:
            self.z_ref_ = float(np.sqrt(np.mean(known**2)))
        return self

    def choose(self, alphas: Alphas, costs: Costs, snapshot: Snapshot, book: Book) -> Choice:
        """Daily rates, horizon weights and the state of every symbol. In the flatten window only day horizons count."""
        gross, net = self._rates(alphas, costs, snapshot)
        market = (snapshot.sigma_1d > 0) & (snapshot.price > 0) & ~snapshot.halted
        known = np.isfinite(gross).any(axis=0) & market
        gross = np.where(np.isfinite(gross) & known, gross, 0.0)
        net = np.where(np.isfinite(net) & known, net, 0.0)
        sigma = np.where(known, snapshot.sigma_1d, 1.0)
        side = np.sign(book.weights)
        mix = self._mix(net, gross, sigma)
        new = (mix.net != 0) & (np.sign(mix.net) == np.sign(mix.gross))
        keep = _support(gross, side)
        held = self._mix(keep, keep, sigma)
        stay = ~new & (held.gross != 0)
        unknown = ~known | (~new & ~stay & np.isnan(costs.one_way[0]))
        return _choice(mix, held, new, stay, unknown, _Position(book, side, keep, snapshot.phase))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, exact (without the cost model, which saves itself)."""
        return {"settings": self.settings.model_dump(mode="json"), "z_ref": self.z_ref_}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], costs: Estimator, settings: ArbitrationSettings | None = None) -> Self:
        """The inverse of `to_dict`, around a cost model."""
        out = cls(costs, settings or ArbitrationSettings(**data["settings"]))
        out.z_ref_ = float(data["z_ref"])
        return out

    def _rates(self, alphas: Alphas, costs: Costs, snapshot: Snapshot) -> tuple[FloatArray, FloatArray]:
        """Daily gross and net rates (H, N); NaN unknown."""
        alpha = alphas.smoothed
        if snapshot.phase is not Phase.OPEN:
            alpha = np.where(DAY_ROWS[:, None], alpha, np.nan)
        gross = alpha * PER_DAY
        if self.settings.force_trading:
            return gross, gross
        net = np.copysign(np.maximum(np.abs(alpha) - 2.0 * costs.one_way, 0.0), alpha) * PER_DAY
        return gross, net

    def _mix(self, basis: FloatArray, gross: FloatArray, sigma: FloatArray) -> _Mix:
        """Weights by the scores of `basis` (H, N), and the mixed rates of both."""
        score = basis / sigma
        weights = self._winner(score) if self.settings.method == "winner" else self._softmax(score)
        return _Mix(weights, (weights * basis).sum(axis=0), (weights * gross).sum(axis=0))

    def _winner(self, score: FloatArray) -> FloatArray:
        size = np.abs(score)
        columns = np.arange(score.shape[1])
        best = np.argmax(size, axis=0)
        sign = np.sign(score[best, columns])
        padded = np.zeros((N_HORIZONS + 2, score.shape[1]))
        padded[1:-1] = score
        before, after = padded[best, columns] * sign, padded[best + 2, columns] * sign
        beside = np.where(after > before, best + 1, best - 1)
        share = np.where(np.maximum(before, after) > 0, 1.0 - self.settings.winner_share, 0.0)
        weights = np.zeros_like(score)
        weights[best, columns] = np.where(sign != 0, 1.0 - share, 0.0)
        weights[np.clip(beside, 0, N_HORIZONS - 1), columns] += share
        return weights

    def _softmax(self, score: FloatArray) -> FloatArray:
        size = np.abs(score)
        alive = size > 0
        power = np.where(alive, np.exp(self.settings.beta / self.z_ref_ * (size - size.max(axis=0))), 0.0)
        total = power.sum(axis=0)
        return power / np.where(total > 0, total, 1.0)


@dataclass(frozen=True, slots=True)
class _Mix:
    """Weights (H, N) and the mixed daily rates (N,)."""

    weights: FloatArray
    net: FloatArray
    gross: FloatArray


@dataclass(frozen=True, slots=True)
class _Position:
    """What is held: the book, the `side` (N,) of each position, `support` (H, N) gross rates of its sign."""

    book: Book
    side: FloatArray
    support: FloatArray
    phase: Phase


def _support(gross: FloatArray, side: FloatArray) -> FloatArray:
    """(H, N) gross rates where they have the sign of a position held, else 0."""
    return np.where(gross * side > 0, gross, 0.0)


def _choice(
    mix: _Mix, held: _Mix, new: BoolArray, stay: BoolArray, unknown: BoolArray, position: _Position
) -> Choice:
    weights = np.where(new, mix.weights, np.where(stay, held.weights, 0.0))
    gross = np.where(new, mix.gross, np.where(stay, held.gross, 0.0))
    net = np.where(new, mix.net, 0.0)
    state = np.where(new | stay, int(State.FORECAST), int(State.NO_EDGE))
    state = np.where(unknown, int(State.UNKNOWN), state)
    chosen = np.where(new, _day_part(mix), np.where(stay, _day_part(held), 0.0))
    share = _day_share(chosen, gross, state, position)
    hide = np.where(unknown, np.nan, 0.0)
    return Choice(net + hide, gross + hide, np.where(unknown, 0.0, weights), state, share)


def _day_part(mix: _Mix) -> FloatArray:
    """(N,) share of the mixed weight that lies on day horizons."""
    return mix.weights[_FIRST_DAY:].sum(axis=0)


def _day_share(chosen: FloatArray, gross: FloatArray, state: Any, position: _Position) -> FloatArray:
    """(N,) in [0, 1]: the part that may stay overnight.

    That of the horizons just chosen, or, where it is larger, the mandate that the position already has while a day
    horizon still agrees with it. In the flatten window nothing new is granted; UNKNOWN keeps what it has.
    """
    book, side = position.book, position.side
    size = np.where(side != 0, np.abs(book.weights), 1.0)
    mandate = np.clip(book.carry.day_weight * side / size, 0.0, 1.0)
    agrees = position.support[_FIRST_DAY:].any(axis=0) & (gross * side > 0)
    kept = np.where(agrees | (state == int(State.UNKNOWN)), mandate, 0.0)
    if position.phase is not Phase.OPEN:
        return kept
    return np.where(state == int(State.FORECAST), np.maximum(np.clip(chosen, 0.0, 1.0), kept), kept)
