"""The orders of one system between two bars, worked by its policy: limits that step, slices that leave one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from workbench.config import Settings
from workbench.core.types import OrderIntent
from workbench.core.universe import Universe
from workbench.execution.orders import DONE, OrderState, OrderTracker
from workbench.execution.reports import Quote
from workbench.execution.working import AtWork, Cancel, Change, SendSlice, first_slice, slice_of, work

WORKED = ("mid_step", "twap")
"""Policies under which something happens between bars."""


@dataclass(slots=True)
class _Working:
    """`whole` as it was decided; `refs` of what left of it, `sent` shares; times UTC ns."""

    whole: OrderIntent
    refs: list[str]
    sent: int
    limit: float
    started: int
    changed: int
    replacements: int = 0


@dataclass(frozen=True, slots=True)
class Moves:
    """What is to be done now: limits to change, slices to send, orders to take back."""

    changes: tuple[tuple[str, float], ...] = ()
    slices: tuple[OrderIntent, ...] = ()
    cancels: tuple[str, ...] = ()


class WorkingOrders:
    """Keeps what :func:`~workbench.execution.working.work` must know of each order since its decision.

    `change(order_ref, limit)` moves a limit at the broker; False where that cannot be done now.
    """

    def __init__(self, settings: Settings, universe: Universe, change: Callable[[str, float], bool]) -> None:
        self.settings, self._change = settings, change
        self._instrument = {i.symbol: i for i in universe.instruments}
        self._working: dict[str, _Working] = {}  # reference of the whole order -> its progress

    def begin(self, intents: Iterable[OrderIntent], now: int) -> tuple[OrderIntent, ...]:
        """Take in the orders of a decision; what leaves of each at once. Those of the decision before are over."""
        self._working.clear()
        first = []
        for whole in intents:
            part = first_slice(whole, self._instrument[whole.symbol].lot, self.settings.execution)
            self._working[whole.order_ref] = _Working(
                whole, [part.order_ref], part.quantity, part.limit_price, now, now
            )
            first.append(part)
        return tuple(first)

    def moves(self, tracker: OrderTracker, quotes: Mapping[str, Quote], now: int, bar_end: int) -> Moves:
        """What the orders need at `now`. Orders of which a part was cancelled or refused are left alone."""
        changes, slices, cancels = [], [], []
        for ref, working in list(self._working.items()):
            states = [tracker.state(r) for r in working.refs]
            if any(s in DONE and s is not OrderState.FILLED for s in states):
                del self._working[ref]
                continue
            quote = quotes.get(working.whole.symbol)
            if quote is None:
                continue
            order = self._at_work(working, tracker)
            action = work(order, quote, now, bar_end, self.settings.execution, self.settings.guards)
            if isinstance(action, Change):
                changes.append((ref, action.limit_price))
            elif isinstance(action, SendSlice):
                slices.append(slice_of(working.whole, action))
            elif isinstance(action, Cancel):
                cancels += [r for r, s in zip(working.refs, states) if s not in DONE]
        return Moves(tuple(changes), tuple(slices), tuple(cancels))

    def change(self, order_ref: str, limit: float, now: int) -> None:
        """Move the limit of an order, if the broker will."""
        if self._change(order_ref, limit):
            w = self._working[order_ref]
            w.limit, w.changed, w.replacements = limit, now, w.replacements + 1

    def sent(self, part: OrderIntent) -> None:
        """Another slice left."""
        w = self._working[part.order_ref.rsplit(".", 1)[0]]
        w.refs.append(part.order_ref)
        w.sent += part.quantity

    def _at_work(self, w: _Working, tracker: OrderTracker) -> AtWork:
        instrument = self._instrument[w.whole.symbol]
        left = sum(o.quantity for o in tracker.open_orders if o.order_ref in w.refs)
        return AtWork(
            w.whole.order_ref, w.whole.side, w.whole.quantity, w.sent, max(w.sent - left, 0), w.whole.order_type,
            w.limit, w.whole.arrival_mid, w.started, w.changed, w.replacements, instrument.min_tick, instrument.lot,
        )  # fmt: skip
