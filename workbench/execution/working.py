"""What an order that works needs between two bars: nothing, another limit, the next slice, or its end. Pure.

    mid_step   stay j of n+1 equal stays until the bar ends has its limit j/n of the way from the mid to the touch,
               n = min(steps, max_replacements): the touch is reached within the budget of changes
    twap       slice k of `steps` equal slices is due at start + k/steps of the time until the bar ends

A limit is never moved away from the touch, nor past it. Within the budget it follows a quote that runs away, as long as
enough changes are left for the stays to come. A quote that is not sound, fresh, narrow and near the price at the
decision moves nothing. An order of any other policy works as it is; all but on-close orders end with the bar, and in a
halt, where a reopening auction would fill them at a price that nobody has seen yet.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import isfinite, nan

from workbench.config import ExecutionSettings, GuardSettings
from workbench.core.errors import DataError
from workbench.core.types import OrderIntent
from workbench.core.units import BPS, NS_PER_SECOND
from workbench.execution.policies import ON_CLOSE, between, marketable_limit, sound
from workbench.execution.reports import Quote

Touch = tuple[float, float]
"""Best bid and ask, USD; both NaN where they cannot be relied upon."""
UNKNOWN: Touch = (nan, nan)


@dataclass(frozen=True, slots=True)
class AtWork:
    """An order as its policy sees it. Times UTC ns, prices USD.

    `quantity` shares that were intended, `sent` of them so far (fewer only between slices), `filled`; `limit_price` at
    the broker now (NaN without); `arrival_mid` at the decision; `started` when it first left, `changed` when it last
    left or was changed; `replacements` changes so far.
    """

    order_ref: str
    side: int
    quantity: int
    sent: int
    filled: int
    order_type: str
    limit_price: float
    arrival_mid: float
    started: int
    changed: int
    replacements: int
    tick: float = 0.01
    lot: int = 1

    def __post_init__(self) -> None:
        if self.side not in (1, -1) or not 0 <= self.filled <= self.sent <= self.quantity:
            raise DataError(
                f"order {self.order_ref}: side {self.side}, {self.filled} filled of {self.sent} sent of "
                f"{self.quantity}; it must be +1 or -1, and 0 <= filled <= sent <= quantity"
            )


@dataclass(frozen=True, slots=True)
class Keep:
    """Leave it as it is, and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class Change:
    """Move its limit."""

    limit_price: float
    reason: str


@dataclass(frozen=True, slots=True)
class Cancel:
    """Take it back."""

    reason: str


@dataclass(frozen=True, slots=True)
class SendSlice:
    """Send another `quantity` shares of it at `limit_price`, as :func:`slice_of` says."""

    quantity: int
    limit_price: float
    number: int


Action = Keep | Change | Cancel | SendSlice


def work(
    order: AtWork, quote: Quote, now: int, bar_end: int, settings: ExecutionSettings, guards: GuardSettings
) -> Action:
    """What `order` needs at `now`, with the bar it was decided for ending at `bar_end`."""
    if order.order_type in ON_CLOSE:
        return Keep("it waits for the closing auction")
    if order.filled == order.quantity:
        return Keep("it is filled")
    if now >= bar_end:
        return Cancel("the bar is over")
    if quote.halted:
        return Cancel("trading is halted")
    stepping = settings.policy == "mid_step" and order.order_type == "LMT"
    slicing = settings.policy == "twap" and order.sent < order.quantity
    if not (stepping or slicing):
        return Keep("its policy leaves it alone")
    unsound = unsoundness(quote, order.arrival_mid, now, guards)
    if unsound:
        return Keep(unsound)
    return _step(order, quote, now, bar_end, settings) if stepping else _slice(order, quote, now, bar_end, settings)


def first_slice(intent: OrderIntent, lot: int, settings: ExecutionSettings) -> OrderIntent:
    """What leaves at once of `intent`, under its own reference: all of it, but a slice under ``twap``."""
    if settings.policy != "twap" or intent.order_type in ON_CLOSE:
        return intent
    return replace(intent, quantity=_due(intent.quantity, lot, 0, settings.steps))


def slice_of(intent: OrderIntent, action: SendSlice) -> OrderIntent:
    """The order that `action` asks for, a part of the whole `intent` under a reference of its own.

    >>> whole = OrderIntent("ab12", "A", 1, 100, "LMT", 10.0, "DAY", 0, 10.0)
    >>> later = slice_of(whole, SendSlice(25, 10.1, 2))
    >>> later.order_ref, later.quantity, later.limit_price
    ('ab12.2', 25, 10.1)
    """
    reference = f"{intent.order_ref}.{action.number}"
    limit = action.limit_price
    return replace(intent, order_ref=reference, quantity=action.quantity, order_type="LMT", limit_price=limit)


def unsoundness(quote: Quote, arrival_mid: float, now: int, guards: GuardSettings) -> str:
    """Why nothing may be priced by `quote`; empty where it is sound."""
    if not sound(quote.bid, quote.ask):
        return f"no sound quote (bid {quote.bid:g}, ask {quote.ask:g})"
    mid, age = (quote.bid + quote.ask) / 2, (now - quote.time) / NS_PER_SECOND
    if quote.delayed or quote.halted is None:
        return "the quote is not real-time" if quote.delayed else "not told whether it trades"
    if quote.time <= 0 or age > guards.max_quote_age_s:
        return f"the quote is {age:.6g} s old, max_quote_age_s {guards.max_quote_age_s:g}"
    if (quote.ask - quote.bid) / mid > guards.max_spread_bps * BPS:
        return f"the spread is {(quote.ask - quote.bid) / mid / BPS:.6g} bps, max_spread_bps {guards.max_spread_bps:g}"
    if isfinite(arrival_mid) and abs(mid / arrival_mid - 1) > guards.max_price_move:
        return f"the mid {mid:g} left {arrival_mid:g} by more than max_price_move {guards.max_price_move:g}"
    return ""


def touch(quote: Quote | None, now: int, max_age_s: float) -> Touch:
    """Bid and ask of a quote that tells the market of `now`: real-time, not crossed, at most `max_age_s` old.

    However wide: what a wide market cost is to be known most of all.

    >>> q = Quote("A", 9.99, 10.01, 1.0, 1.0, 10.0, 10**9, False, nan, False)
    >>> touch(q, 3 * 10**9, 5.0), touch(q, 9 * 10**9, 5.0), touch(None, 0, 5.0)
    ((9.99, 10.01), (nan, nan), (nan, nan))
    """
    if quote is None or quote.delayed or quote.time <= 0 or not sound(quote.bid, quote.ask):
        return UNKNOWN
    return (quote.bid, quote.ask) if now - quote.time <= max_age_s * NS_PER_SECOND else UNKNOWN


def _step(order: AtWork, quote: Quote, now: int, bar_end: int, settings: ExecutionSettings) -> Action:
    stays = min(settings.steps, settings.max_replacements)
    if order.replacements >= settings.max_replacements:
        return Keep(f"{order.replacements} changes, max_replacements {settings.max_replacements}")
    stay, last = (_stay(t, order.started, bar_end, stays) for t in (now, order.changed))
    limit = between(order.side, quote.bid, quote.ask, stay / stays, order.tick)
    if isfinite(order.limit_price) and not order.side * (limit - order.limit_price) > order.tick / 2:
        return Keep("its limit is as near to the touch already")
    if stay == last and settings.max_replacements - order.replacements <= stays - stay:
        return Keep(f"the changes left are for the {stays - stay} stays to come")
    return Change(limit, f"stay {stay} of {stays}")


def _stay(t: int, start: int, end: int, stays: int) -> int:
    """Index 0..stays of the stay that `t` lies in."""
    if end <= start:
        return stays
    return min(max((t - start) * (stays + 1) // (end - start), 0), stays)


def _slice(order: AtWork, quote: Quote, now: int, bar_end: int, settings: ExecutionSettings) -> Action:
    steps = settings.steps
    number = min(_stay(now, order.started, bar_end, steps - 1), steps - 1)
    missing = _due(order.quantity, order.lot, number, steps) - order.sent
    if missing <= 0:
        return Keep("its next slice is not due")
    touch = quote.ask if order.side > 0 else quote.bid
    return SendSlice(missing, marketable_limit(order.side, touch, settings.limit_offset_bps, order.tick), number)


def _due(quantity: int, lot: int, number: int, steps: int) -> int:
    """Shares that slices 0 .. `number` of `steps` hold together: whole lots, rounded up, so that the first has some."""
    return min(quantity, -(-quantity * (number + 1) // (steps * lot)) * lot)
