"""Stage 6, CostArbitrator: which horizons a symbol listens to, and whether it may be traded at all.

    net_h   = sign(a_h) * max(|a_h| - 2c, 0)                     a round trip admits new positions, never flips a sign
    a~_h    = net_h * 390 / m_h                                  daily rate, m_h trading minutes of the horizon
    score_h = |a~_h| / sigma_1d                                  comparable across horizons and symbols

`winner`: the best horizon gets 70 %, its neighbour of the same sign (the better of the two next to it) 30 %; without
one, all. `softmax`: survivors weigh exp(beta * score_h / z_ref). Net and gross rates are mixed with these weights. A
name already held stays a FORECAST even below cost as long as some horizon's gross alpha has the sign of the position,
by the gross rates of those horizons: the cost of entering is spent, and leaving would cost again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np

from workbench.config import ArbitrationSettings
from workbench.core.arrays import BoolArray, FloatArray, IntArray
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
        """Learn z_ref_ from out-of-fold scores |a~|/sigma_1d (K,), NaN left out; nothing left keeps the old value."""
        known = np.asarray(scores, np.float64)
        known = known[np.isfinite(known)]
        if known.size and np.abs(known).max() > 0:
            self.z_ref_ = float(np.sqrt(np.mean(known**2)))
        return self

    def choose(self, alphas: Alphas, costs: Costs, snapshot: Snapshot, book: Book) -> Choice:
        """Daily rates, horizon weights and the state of every symbol. In the flatten window only day horizons count."""
        gross, net = self._rates(alphas, costs, snapshot)
        market = (snapshot.sigma_1d > 0) & (snapshot.price > 0) & ~snapshot.halted
        seen = np.isfinite(gross) & market
        known = seen.any(axis=0)
        gross = np.where(seen, gross, 0.0)
        net = np.where(seen & np.isfinite(net), net, 0.0)
        sigma = np.where(known, snapshot.sigma_1d, 1.0)
        side = np.sign(book.weights)
        support = np.where(gross * side > 0, gross, 0.0)
        new = np.asarray(net.any(axis=0))
        mix = self._mix(np.where(new, net, support), np.where(new, gross, support), sigma)
        torn = new & (mix.net * mix.gross <= 0)
        if torn.any():  # softmax only: survivors of both signs whose net and gross disagree admit nothing new
            new = np.asarray(new & ~torn)
            mix = self._mix(np.where(new, net, support), np.where(new, gross, support), sigma)
        unknown = np.asarray(~known | ((mix.gross == 0) & np.isnan(costs.one_way[0])))
        return _choice(mix, new, unknown, _Position(book, side, support, snapshot.phase))

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
        net = after_round_trip(alpha, costs.one_way) * PER_DAY
        return gross, net

    def _mix(self, basis: FloatArray, gross: FloatArray, sigma: FloatArray) -> _Mix:
        """Weights by the scores of `basis` (H, N), and the mixed rates of both."""
        score = basis / sigma
        weights = self._winner(score) if self.settings.method == "winner" else self._softmax(score)
        parts = weights * gross
        return _Mix(weights, (weights * basis).sum(axis=0), parts.sum(axis=0), parts[_FIRST_DAY:].sum(axis=0))

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
        weights[np.minimum(np.maximum(beside, 0), N_HORIZONS - 1), columns] += share
        return weights

    def _softmax(self, score: FloatArray) -> FloatArray:
        size = np.abs(score)
        alive = size > 0
        power = np.where(alive, np.exp(self.settings.beta / self.z_ref_ * (size - size.max(axis=0))), 0.0)
        total = power.sum(axis=0)
        return np.asarray(power / np.where(total > 0, total, 1.0))


def after_round_trip(alpha: FloatArray, one_way: FloatArray) -> FloatArray:
    """sign(a) * max(|a| - 2c, 0): what an expected return leaves after entering and leaving at `one_way` each.

    Shapes broadcast; both decimals over the horizon; NaN where either is unknown.

    >>> after_round_trip(np.array([5e-4, -5e-4, 1e-4]), np.array(2e-4)).round(12).tolist()
    [0.0001, -0.0001, 0.0]
    """
    return np.asarray(np.copysign(np.maximum(np.abs(alpha) - 2.0 * one_way, 0.0), alpha))


@dataclass(frozen=True, slots=True)
class _Mix:
    """Weights (H, N) and the mixed daily rates (N,); `day` is what the day horizons contribute to `gross`."""

    weights: FloatArray
    net: FloatArray
    gross: FloatArray
    day: FloatArray


@dataclass(frozen=True, slots=True)
class _Position:
    """What is held: the book, the `side` (N,) of each position, `support` (H, N) gross rates of its sign."""

    book: Book
    side: FloatArray
    support: FloatArray
    phase: Phase


def _choice(mix: _Mix, new: BoolArray, unknown: BoolArray, position: _Position) -> Choice:
    """New names by net and gross rate, held ones by gross rate alone, UNKNOWN ones NaN."""
    forecast = mix.gross != 0
    state = np.where(unknown, int(State.UNKNOWN), np.where(forecast, int(State.FORECAST), int(State.NO_EDGE)))
    share = _day_share(mix, state, position)
    net, gross = np.where(new, mix.net, 0.0), mix.gross
    if unknown.any():
        net, gross = np.where(unknown, np.nan, net), np.where(unknown, np.nan, gross)
    return Choice(net, gross, mix.weights, state, share)


def _day_part(mix: _Mix) -> FloatArray:
    """(N,) share of the mixed gross rate that comes from day horizons, in [0, 1]."""
    share = np.zeros_like(mix.gross)
    np.divide(mix.day, mix.gross, out=share, where=mix.gross != 0)
    return np.minimum(np.maximum(share, 0.0), 1.0)


def _day_share(mix: _Mix, state: IntArray, position: _Position) -> FloatArray:
    """(N,) in [0, 1]: the part that may stay overnight.

    That of the horizons just chosen, or, where it is larger, the mandate that the position already has while a day
    horizon still agrees with it. In the flatten window nothing new is granted; UNKNOWN keeps what it has.
    """
    held = position.side * position.book.weights
    mandate = position.book.carry.day_weight * position.side
    kept = np.where(mandate > 0, np.minimum(mandate / np.where(held > 0, held, 1.0), 1.0), 0.0)
    agrees = position.support[_FIRST_DAY:].any(axis=0) & (mix.gross * position.side > 0)
    kept = np.where(agrees | (state == int(State.UNKNOWN)), kept, 0.0)
    return kept if position.phase is not Phase.OPEN else np.maximum(_day_part(mix), kept)
