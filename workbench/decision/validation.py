"""Stage 9, PositionValidator: the last look at a target before it may become orders.

A breach of one symbol freezes that symbol (it keeps its weight and is not tradable); participation cuts its step. A
breach of the book leaves only steps that shrink a position; drawdown and daily loss can be set to halt or to flatten.
Turnover scales the step. Nothing here enlarges a step or invents one (flattening is the one thing that a user can ask
for). Every rule that bound is returned as a Breach with its value and its bound.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from workbench.config import SizingSettings, ValidationSettings
from workbench.core.arrays import BoolArray, FloatArray
from workbench.core.types import Book, Breach, Phase, Snapshot, Target

_TOLERANCE = 1e-9
"""Relative slack of the limits that stage 8 already holds exactly: a breach here means that something is wrong."""


class PositionValidator:
    """Checks targets against `settings`; caps, gross and net are those of `sizing`."""

    def __init__(self, settings: ValidationSettings, sizing: SizingSettings | None = None) -> None:
        self.settings = settings
        self.sizing = sizing or SizingSettings()

    def validate(self, target: FloatArray, snapshot: Snapshot, book: Book) -> tuple[Target, tuple[Breach, ...]]:
        """The weights that may be traded to (N,) and what was breached, symbols in order, then the book."""
        now = book.weights
        breaches: list[Breach] = []
        frozen = self._frozen(target, snapshot, book, breaches)
        weights = np.where(frozen, now, target)
        weights = self._participation(weights, snapshot, book, breaches)
        weights, action = self._book(weights, frozen, snapshot, book, breaches)
        if action != "flatten":
            weights = self._turnover(weights, book, breaches)
            # a frozen or cut leg may leave the others unbalanced: the net limit holds at the end
            weights = _bounded_net(now, weights, snapshot.leverage, self.sizing.max_net)
        tradable = ~frozen & (action != "halt") & (snapshot.phase is not Phase.CLOSED) & (snapshot.minutes_to_close > 0)
        return Target(np.where(tradable, weights, now), tradable), tuple(breaches)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {"settings": self.settings.model_dump(mode="json"), "sizing": self.sizing.model_dump(mode="json")}

    @classmethod
    def from_dict(
        cls, data: Mapping[str, Any], settings: ValidationSettings | None = None, sizing: SizingSettings | None = None
    ) -> Self:
        """The inverse of `to_dict`; arguments replace the settings that were saved."""
        return cls(settings or ValidationSettings(**data["settings"]), sizing or SizingSettings(**data["sizing"]))

    def _frozen(self, target: FloatArray, s: Snapshot, book: Book, breaches: list[Breach]) -> BoolArray:
        """(N,) symbols that must be left as they are, each with the first rule that it broke."""
        now, bound = book.weights, self.settings
        moves = target != now  # a NaN target moves
        grows = np.abs(target) > np.abs(now)
        cap = self.sizing.max_weight * (1 + _TOLERANCE)
        value = target * book.nav
        quoted = np.where(np.isfinite(s.mid) & (s.mid > 0), s.mid, s.price)
        gap, jump = _move(quoted, s.price), _move(s.price, book.carry.price)
        rules = (
            ("halted", s.halted & moves, s.halted, 0.0),
            ("finite", ~np.isfinite(target), target, 0.0),
            ("price", moves & ~(s.price > 0), s.price, 0.0),
            ("max_quote_age_s", moves & (s.quote_age_s > bound.max_quote_age_s), s.quote_age_s, bound.max_quote_age_s),
            ("max_price_move", moves & (np.abs(gap) > bound.max_price_move), gap, bound.max_price_move),
            ("max_price_move", moves & (np.abs(jump) > bound.max_price_move), jump, bound.max_price_move),
            ("max_weight", grows & (np.abs(s.leverage * target) > cap), s.leverage * target, self.sizing.max_weight),
            ("max_notional", grows & (np.abs(value) > bound.max_notional), value, bound.max_notional),
        )  # fmt: skip
        frozen = s.halted.copy()
        reported = np.zeros_like(frozen)
        for rule, broken, got, limit in rules:
            for i in np.flatnonzero(broken & ~reported) if broken.any() else ():
                breaches.append(Breach(rule, s.symbols[i], float(got[i]), float(limit), "freeze"))
            reported |= broken
        return frozen | reported

    def _participation(self, weights: FloatArray, s: Snapshot, book: Book, breaches: list[Breach]) -> FloatArray:
        """Cut each step to `max_participation` of the volume expected in the next bar; unknown volume: only shrink."""
        step = weights - book.weights
        room = self.settings.max_participation * s.expected_volume[0] * s.price / book.nav
        grows = np.abs(weights) > np.abs(book.weights)
        room = np.where(np.isnan(room), np.where(grows, 0.0, np.inf), np.maximum(room, 0.0))
        over = np.abs(step) > room
        if not over.any():
            return weights
        for i in np.flatnonzero(over):
            breaches.append(Breach("max_participation", s.symbols[i], float(abs(step[i])), float(room[i]), "scale"))
        return np.where(over, book.weights + np.copysign(room, step), weights)

    def _book(
        self, weights: FloatArray, frozen: BoolArray, s: Snapshot, book: Book, breaches: list[Breach]
    ) -> tuple[FloatArray, str]:
        """Rules of the whole book: (weights, the severest action: "halt", "flatten", "reduce_only" or "")."""
        delta, bound = s.leverage * weights, self.sizing
        losses = loss_breaches(book.nav, book.day_start_nav, book.peak_nav, self.settings)
        exposures = (
            ("target_gross", float(np.abs(delta).sum()), bound.target_gross * (1 + _TOLERANCE)),
            ("max_net", abs(float(delta.sum())), bound.max_net + _TOLERANCE),
        )
        whole = [*losses, *(Breach(rule, "", v, limit, "reduce_only") for rule, v, limit in exposures if v > limit)]
        breaches.extend(whole)
        actions = {b.action for b in whole}
        if "halt" in actions:
            return book.weights, "halt"
        if "flatten" in actions:
            return np.where(frozen, book.weights, 0.0), "flatten"
        if actions:
            return _only_shrink(book.weights, weights), "reduce_only"
        return weights, ""

    def _turnover(self, weights: FloatArray, book: Book, breaches: list[Breach]) -> FloatArray:
        """Scale what opens or grows to what is left of the day's turnover; what shrinks a position is free."""
        shrunk = _only_shrink(book.weights, weights)
        growth = weights - shrunk
        size = float(np.abs(growth).sum())
        room = max(self.settings.max_turnover_daily - book.turnover_today, 0.0)
        if size <= room:
            return weights
        breaches.append(Breach("max_turnover_daily", "", size + book.turnover_today,
                               self.settings.max_turnover_daily, "scale"))  # fmt: skip
        return np.asarray(shrunk + growth * (room / size))


def loss_breaches(
    nav: float, day_start_nav: float, peak_nav: float, settings: ValidationSettings
) -> tuple[Breach, ...]:
    """Drawdown and daily loss of a book (USD) that pass their bounds.

    >>> [b.rule for b in loss_breaches(90.0, 100.0, 100.0, ValidationSettings(max_daily_loss=0.05))]
    ['max_daily_loss']
    """
    losses = (
        ("max_drawdown", _loss(nav, peak_nav), settings.max_drawdown, settings.on_drawdown),
        ("max_daily_loss", _loss(nav, day_start_nav), settings.max_daily_loss, settings.on_daily_loss),
    )
    return tuple(Breach(rule, "", value, limit, action) for rule, value, limit, action in losses if value > limit)


def _only_shrink(now: FloatArray, target: FloatArray) -> FloatArray:
    """(N,) the target where it lies between 0 and what is held; 0 where the position would turn; else no step."""
    inside = np.where(target * now <= 0, 0.0, np.copysign(np.minimum(np.abs(target), np.abs(now)), now))
    return np.where(now == 0, 0.0, inside)


def _bounded_net(now: FloatArray, target: FloatArray, leverage: FloatArray, max_net: float) -> FloatArray:
    """(N,) as much of the step as keeps the net inside the larger of `max_net` and what it is now."""
    before, after = float((leverage * now).sum()), float((leverage * target).sum())
    bound = max(max_net, abs(before))
    if abs(after) <= bound:
        return target
    part = (np.copysign(bound, after) - before) / (after - before)
    return np.asarray(now + (target - now) * (part * (1.0 - 1e-12)))


def _loss(nav: float, from_nav: float) -> float:
    """1 - nav / from_nav; NaN where that is unknown or not positive."""
    return 1.0 - nav / from_nav if from_nav > 0 else float("nan")


def _move(price: FloatArray, reference: FloatArray) -> FloatArray:
    """(N,) price / reference - 1."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(price / reference - 1.0)
