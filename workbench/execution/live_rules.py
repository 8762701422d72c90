"""What may be wrong with a live order: a table of named rules over facts, each with its reason. Pure.

An order has a part that only brings its position closer to zero, and a part that opens or grows one. Three kinds of
rules:

* nothing passes: no sure link, a halt, a closed exchange, an order of ours on the other side, a price off the band;
* only what shrinks passes: whatever makes opening unwise, or is unknown. Not being able to get out is the greater risk;
* what grows is cut to a number of shares.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import floor, isfinite

from workbench.config import GuardSettings, ValidationSettings
from workbench.core.types import OrderIntent, Phase
from workbench.core.units import BPS
from workbench.execution.live_facts import LiveFacts


@dataclass(frozen=True, slots=True)
class Look:
    """One order under a rule: `quantity` shares that earlier rules left, of which `shrinking` only shrink.

    `i` is its column in `facts`; `position`, `buying`, `selling` shares in its symbol, with the orders of this basket
    that passed; `passed` how many did; `reduce_only`: the session allows nothing else.
    """

    intent: OrderIntent
    i: int
    quantity: int
    shrinking: int
    position: float
    buying: float
    selling: float
    passed: int
    facts: LiveFacts
    bounds: GuardSettings
    limits: ValidationSettings
    reduce_only: bool

    @property
    def shrink(self) -> int:
        """Shares of `quantity` that only shrink the position."""
        return min(self.shrinking, self.quantity)


Verdict = tuple[int, str]
"""Shares that may go, and why no more."""
Rule = Callable[[Look], Verdict]


def _link(look: Look) -> Verdict:
    f = look.facts
    if not f.link_up:
        return 0, "the broker does not hear us"
    return (look.quantity, "") if f.reconciled else (0, "our books are not reconciled with the broker's")


def _halt(look: Look) -> Verdict:
    halted = float(look.facts.halted[look.i])
    if halted == 0:
        return look.quantity, ""
    return (look.shrink, "not told whether it trades") if halted != halted else (0, "trading is halted")


def _session(look: Look) -> Verdict:
    if look.facts.phase is Phase.CLOSED:
        return 0, "the exchange is closed"
    return _bounded(look, look.facts.phase is Phase.CLOSING, "the session closes: positions only shrink")


def _opposite(look: Look) -> Verdict:
    other = look.selling if look.intent.side > 0 else look.buying
    return (look.quantity, "") if other == 0 else (0, f"{other:g} shares of ours work on the other side")


def _reduce_only(look: Look) -> Verdict:
    return _bounded(look, look.reduce_only, "the session only reduces")


def _blackout(look: Look) -> Verdict:
    f, b = look.facts, look.bounds
    since, left = f.minutes_since_open, f.minutes_to_close
    if not (isfinite(since) and isfinite(left)):
        return look.shrink, "the minutes since the open or to the close are unknown"
    if since < b.blackout_open_minutes:
        return look.shrink, f"{since:.6g} minutes since the open, blackout_open_minutes {b.blackout_open_minutes:g}"
    near = left < b.blackout_close_minutes
    return _bounded(look, near, f"{left:.6g} minutes to the close, blackout_close_minutes {b.blackout_close_minutes:g}")


def _delayed(look: Look) -> Verdict:
    return _bounded(look, bool(look.facts.delayed[look.i]), "the quote is not real-time")


def _quote_age(look: Look) -> Verdict:
    return _at_most(look, float(look.facts.quote_age_s[look.i]), "max_quote_age_s", look.bounds.max_quote_age_s)


def _spread(look: Look) -> Verdict:
    f, i = look.facts, look.i
    wide = float((f.ask[i] - f.bid[i]) / f.mid[i]) / BPS
    return _at_most(look, wide, "max_spread_bps", look.bounds.max_spread_bps)


def _price_band(look: Look) -> Verdict:
    f, i, bound = look.facts, look.i, look.bounds.max_price_move
    reference, limit = float(f.reference[i]), look.intent.limit_price
    if isfinite(reference) and isfinite(limit) and abs(limit / reference - 1) > bound:
        return 0, f"limit {limit:g} is {abs(limit / reference - 1):.6g} off {reference:g}, max_price_move {bound:g}"
    last = float(f.price[i])
    move = abs(float(f.mid[i]) / last - 1) if last > 0 else float("nan")
    return _at_most(look, move, "max_price_move", bound)


def _notional(look: Look) -> Verdict:
    bound = look.bounds.max_order_notional
    price = float(look.facts.reference[look.i])
    value = look.intent.quantity * price
    return _growing_to(look, bound / price - look.shrink, f"{value:.2f} USD, max_order_notional {bound:g}")


def _participation(look: Look) -> Verdict:
    bound = look.limits.max_participation
    room = bound * float(look.facts.expected_volume[look.i])
    why = f"{look.intent.quantity} shares of {room / bound:.6g} expected, max_participation {bound:g}"
    return _growing_to(look, room - look.shrink, why)


def _shorts(look: Look) -> Verdict:
    if look.intent.side > 0:
        return look.quantity, ""
    there = float(look.facts.shortable_shares[look.i])
    promised = max(look.selling - max(look.position, 0.0), 0.0)
    return _growing_to(look, there - promised, f"shortable_shares {there:g}, {promised:g} of them promised")


def _borrow(look: Look) -> Verdict:
    if look.intent.side > 0:
        return look.quantity, ""
    return _at_most(look, float(look.facts.borrow_rate[look.i]), "max_borrow_rate", look.bounds.max_borrow_rate)


def _features(look: Look) -> Verdict:
    return _bounded(look, not look.facts.features_ok[look.i], "features of the symbol are missing")


def _models(look: Look) -> Verdict:
    alive, bound = look.facts.models_alive, look.bounds.min_models
    return _bounded(look, not alive >= bound, f"a fraction {alive:.6g} of the models has a view, min_models {bound:g}")


def _clock(look: Look) -> Verdict:
    return _at_most(look, abs(look.facts.clock_skew_s), "max_clock_skew_s", look.bounds.max_clock_skew_s)


def _daily_loss(look: Look) -> Verdict:
    return _at_most(look, _loss(look.facts.nav, look.facts.day_start_nav), "max_daily_loss", look.limits.max_daily_loss)


def _drawdown(look: Look) -> Verdict:
    return _at_most(look, _loss(look.facts.nav, look.facts.peak_nav), "max_drawdown", look.limits.max_drawdown)


def _rate(look: Look) -> Verdict:
    sent, bound = look.facts.orders_last_minute + look.passed, look.bounds.max_orders_per_minute
    return _bounded(look, not sent < bound, f"{sent:g} orders within a minute, max_orders_per_minute {bound}")


def _open_orders(look: Look) -> Verdict:
    there, bound = look.facts.open_orders + look.passed, look.bounds.max_open_orders
    return _bounded(look, not there < bound, f"{there:g} orders are open, max_open_orders {bound}")


def _bounded(look: Look, breached: bool, why: str) -> Verdict:
    """Only what shrinks, if `breached`."""
    return (look.shrink, why) if breached else (look.quantity, "")


def _at_most(look: Look, value: float, name: str, bound: float) -> Verdict:
    """Only what shrinks where `value` is above `bound`, or unknown."""
    if value <= bound:
        return look.quantity, ""
    return look.shrink, f"{value:.6g}, {name} {bound:g}" if value == value else f"unknown, {name} {bound:g}"


def _growing_to(look: Look, shares: float, why: str) -> Verdict:
    """What shrinks and `shares` that grow; none where that number is unknown."""
    if shares != shares:
        return look.shrink, f"unknown: {why}"
    return look.shrink + floor(min(max(shares, 0.0), look.quantity)), why


def _loss(nav: float, start: float) -> float:
    return 1.0 - nav / start if start > 0 else float("nan")


# name of a rule -> what it lets through, in the order in which they are asked
RULES: tuple[tuple[str, Rule], ...] = (
    ("link", _link),
    ("halt", _halt),
    ("session", _session),
    ("opposite order", _opposite),
    ("reduce only", _reduce_only),
    ("blackout", _blackout),
    ("delayed data", _delayed),
    ("quote age", _quote_age),
    ("spread", _spread),
    ("price band", _price_band),
    ("features", _features),
    ("models", _models),
    ("clock", _clock),
    ("daily loss", _daily_loss),
    ("drawdown", _drawdown),
    ("shorts", _shorts),
    ("borrow", _borrow),
    ("notional", _notional),
    ("participation", _participation),
    ("rate", _rate),
    ("open orders", _open_orders),
)
