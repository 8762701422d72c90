"""The orders of the exchange from their sending to their end: arrival, hours, elections, changes, cancels, expiry.

Every step is an item of the agenda, taken in time order by :meth:`Desk.run`. Whether an order *fills* is decided by
:class:`~workbench.gateway.filling.Liquidity`; the desk decides whether and when it may.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import nan

from workbench.core.calendar import iso_time
from workbench.gateway.adaptive import PACES, next_slice
from workbench.gateway.agenda import Agenda, Item
from workbench.gateway.events import Accepted, Activated, Cancelled, Event, Filled, Modified, Refused, Rejected
from workbench.gateway.filling import Liquidity
from workbench.gateway.hours import TradingHours
from workbench.gateway.liquidity import NO_QUOTE
from workbench.gateway.listings import listing
from workbench.gateway.orders import ACTIVE, RESTING, ExchangeOrder, Slice, Status, WorkingOrder
from workbench.gateway.queueing import joined
from workbench.gateway.rules import MatchingRules
from workbench.gateway.triggers import elected_by

Screen = Callable[[ExchangeOrder], str]
"""Asked as an order arrives; a reason refuses it (short shares that cannot be borrowed, for one)."""


class Desk:
    """Orders and what is due for them. `emit` takes every event as it happens."""

    def __init__(
        self, rules: MatchingRules, hours: TradingHours | None, screen: Screen | None, emit: Callable[[Event], None]
    ) -> None:
        self.rules, self.hours, self.screen, self.emit = rules, hours, screen, emit
        self.market = Liquidity(rules, self._filled)
        self.agenda = Agenda()
        self.halted: set[str] = set()
        self.orders: dict[str, WorkingOrder] = {}  # order_ref -> order, in the order of arrival here
        self.active: dict[str, WorkingOrder] = {}  # order_ref -> order that is not done
        self.by_symbol: dict[str, dict[str, WorkingOrder]] = {}  # symbol -> order_ref -> order that is not done

    def enlist(self, order: WorkingOrder) -> None:
        """Know `order` from now on."""
        ref, symbol = order.intent.order_ref, order.intent.symbol
        self.orders[ref] = self.active[ref] = order
        self.by_symbol.setdefault(symbol, {})[ref] = order

    def working(self, symbol: str) -> list[WorkingOrder]:
        """Orders that take part in continuous trading, by their priority in time."""
        return [o for o in self.by_symbol.get(symbol, {}).values() if o.live and o.status in RESTING]

    def run(self, until: int) -> None:
        """Do everything that is due by `until`."""
        while (item := self.agenda.next_due(until)) is not None:
            order = self.orders.get(item.order_ref)
            if order is not None and item.version in (-1, order.version):
                self._do(item, order)

    def _do(self, item: Item, order: WorkingOrder) -> None:
        if item.action == "submit":
            self._arrive(order, item.time)
        elif item.action == "cancel":
            self.cancel_on_request(order, item.time)
        elif item.terms is not None:
            self._change(order, item.terms, item.time)
        elif item.action == "wake":
            if self.wake(order, item.time):
                self.work(order, item.time)
        elif item.action == "rest":
            self._rest(order, item.time)
        elif item.action == "slice":
            self._turn_slice(order, item.time)
        else:
            self.cancel(order, item.time, item.action)

    # ---- arrival and change -----------------------------------------------------------------------------------

    def _arrive(self, order: WorkingOrder, time: int) -> None:
        if order.status is not Status.PENDING:  # cancelled on its way
            return
        ref, symbol = order.intent.order_ref, order.intent.symbol
        reason = self._too_late(order.intent, time) or (self.screen(order.intent) if self.screen else "")
        if reason:
            order.become(Status.REJECTED)
            self._retire(order)
            self.emit(Rejected(ref, symbol, time, reason))
            return
        order.become(Status.WORKING)
        self.prepare(order, time)
        self.emit(Accepted(ref, symbol, time))
        self.work(order, time)

    def take_up(self, order: WorkingOrder, time: int) -> None:
        """Work on with an order read from disk; its hours may have begun meanwhile."""
        self.prepare(order, time)
        if order.live:
            self.emit(Activated(order.intent.order_ref, order.intent.symbol, time))
        self.work(order, time)

    def prepare(self, order: WorkingOrder, time: int) -> None:
        """Work out whether the order may trade, and put down when that changes and when it ends."""
        i = order.intent
        if self.hours is not None:
            self._enter_hours(order, time, self.hours)
        if i.tif == "GTD":
            self._put(max(i.good_till, time), "good till its date", order)
        if i.urgency:
            order.slice = Slice(order.worst, 0)
        order.refresh()

    def _enter_hours(self, order: WorkingOrder, time: int, hours: TradingHours) -> None:
        start, end = hours.window(time, order.intent.extended)
        order.starts, order.held = start, time < start
        if order.intent.kind.at_close:
            self._put(end + self.rules.auction_wait_ns, "no closing auction print", order)
        elif order.held:
            wait = 0 if order.intent.extended else self.rules.auction_wait_ns
            self._put(start + wait, "wake", order)
        else:
            self._put(end, "rest", order)

    def over(self, terms: ExchangeOrder, since: int, time: int) -> bool:
        """Whether the date of `terms`, or the day that they were for when they came at `since`, is over at `time`."""
        if terms.tif == "GTD":
            return time >= terms.good_till
        if self.hours is None or terms.tif != "DAY":
            return False
        wait = self.rules.auction_wait_ns if terms.kind.at_close else 0
        return time >= self.hours.window(since, terms.extended)[1] + wait

    def work(self, order: WorkingOrder, time: int) -> None:
        """Let a live order meet the market; what an IOC order does not get at once is cancelled."""
        if order.live and order.status in RESTING:
            if order.intent.urgency:
                self._start_slice(order, time)
            elif order.intent.symbol not in self.halted:
                self.market.take(order, time)
                self._join(order)
        if order.intent.tif == "IOC" and order.status in RESTING:
            self.cancel(order, time, "immediate or cancel")

    def _join(self, order: WorkingOrder) -> None:
        quote = self.market.quote(order.intent.symbol)
        if order.bounded and order.remaining and quote.valid:
            order.ahead = joined(order.intent.side, order.limit, quote)

    def _change(self, order: WorkingOrder, terms: ExchangeOrder, time: int) -> None:
        reason = self._cannot_change(order, terms, time)
        if reason:
            self.emit(Refused(terms.order_ref, terms.symbol, time, "modify", reason))
        elif terms.quantity == order.filled:
            self.cancel(order, time, "reduced to what is filled")
        elif repr(replace(order.intent, quantity=terms.quantity)) == repr(terms) and terms.quantity <= (
            order.intent.quantity
        ):
            self.cut(order, terms.quantity, time)
        else:
            self._replace(order, terms, time)

    def _replace(self, order: WorkingOrder, terms: ExchangeOrder, time: int) -> None:
        """New terms, and the last place in the queue; a stop sleeps again if its type or its price changed."""
        old = order.intent
        if (old.order_type, repr(old.aux_price)) != (terms.order_type, repr(terms.aux_price)):
            order.elected = False
        order.intent, order.ahead, order.slice = terms, nan, None
        order.version += 1
        for table in (self.active, self.by_symbol[terms.symbol]):
            table[terms.order_ref] = table.pop(terms.order_ref)
        if order.status is Status.PENDING:
            self.emit(Modified(terms.order_ref, terms.symbol, time))
            return
        self.prepare(order, time)
        self.emit(Modified(terms.order_ref, terms.symbol, time))
        self.work(order, time)

    def cut(self, order: WorkingOrder, quantity: int, time: int) -> None:
        """Fewer shares, in the same place; an order cut to what is filled is done."""
        if quantity <= order.filled:
            self.cancel(order, time, "reduced to what is filled")
            return
        order.intent = replace(order.intent, quantity=quantity)
        self.emit(Modified(order.intent.order_ref, order.intent.symbol, time))

    def _cannot_change(self, order: WorkingOrder, terms: ExchangeOrder, time: int) -> str:
        ref = terms.order_ref
        if order.status not in ACTIVE:
            return f"order {ref} is {order.status} and cannot be modified"
        if terms.quantity < order.filled:
            return f"order {ref} cannot be cut to {terms.quantity} shares: {order.filled} are filled; cancel it instead"
        return self._locked(order, time) or self._too_late(terms, time)

    def _too_late(self, terms: ExchangeOrder, time: int) -> str:
        """Why an on-close order may not arrive (or change) at `time`, or the empty string."""
        if self.hours is None or not terms.kind.at_close:
            return ""
        start, end = self.hours.window(time)
        nasdaq = listing(terms.symbol) == "NASDAQ"
        margin = self.rules.nasdaq_cutoff_ns if nasdaq else self.rules.close_cutoff_ns
        if start <= time and end - time < margin:
            cutoff = iso_time(end - margin)
            return f"{terms.order_type} order {terms.order_ref} came after the cut-off at {cutoff}"
        return ""

    def _locked(self, order: WorkingOrder, time: int) -> str:
        """Why an on-close order that is in can no longer be cancelled or changed, or the empty string."""
        if self.hours is None or not order.intent.kind.at_close or order.status is Status.PENDING:
            return ""
        end = self.hours.window(order.starts)[1]
        if time > end - self.rules.close_cutoff_ns:
            cutoff = iso_time(end - self.rules.close_cutoff_ns)
            return f"{order.intent.order_type} order {order.intent.order_ref} cannot be withdrawn after {cutoff}"
        return ""

    # ---- hours, elections and slices --------------------------------------------------------------------------

    def wake(self, order: WorkingOrder, time: int) -> bool:
        """Its hours have begun; False if it was awake."""
        if order.status not in RESTING or not order.held or order.starts > time or self.hours is None:
            return False
        order.held = False
        order.refresh()
        self._put(self.hours.window(time, order.intent.extended)[1], "rest", order)
        if order.live:
            self.emit(Activated(order.intent.order_ref, order.intent.symbol, time))
        return True

    def _rest(self, order: WorkingOrder, time: int) -> None:
        """Its hours are over: a DAY order ends, every other waits for the next ones."""
        if order.status not in RESTING or self.hours is None:
            return
        if order.intent.tif == "DAY":
            self.cancel(order, time, "end of day")
            return
        order.ahead = nan
        self._enter_hours(order, time, self.hours)
        order.refresh()

    def elect(self, symbol: str, low: float, high: float, time: int) -> list[WorkingOrder]:
        """The sleeping stops in `symbol` that trades between `low` and `high` reach: they are live now."""
        reached = [o for o in self.by_symbol.get(symbol, {}).values() if elected_by(o, low, high)]
        for order in reached:
            order.elected = True
            order.refresh()
            self.emit(Activated(order.intent.order_ref, symbol, time))
        return reached

    def _start_slice(self, order: WorkingOrder, time: int) -> None:
        halted = order.intent.symbol in self.halted
        order.slice = next_slice(order, NO_QUOTE if halted else self.market.quote(order.intent.symbol))
        self.market.take(order, time)
        self._join(order)
        if order.remaining:
            self._put(time + PACES[order.intent.urgency].interval_ns, "slice", order)

    def _turn_slice(self, order: WorkingOrder, time: int) -> None:
        """The time of a slice is over: what is left of it crosses the spread, then the next one starts."""
        if order.status not in RESTING or not order.live or order.slice is None:
            return
        if order.intent.symbol not in self.halted:
            order.slice.limit = order.worst
            self.market.take(order, time)
        if order.status in RESTING:
            self._start_slice(order, time)

    # ---- the end ----------------------------------------------------------------------------------------------

    def cancel_on_request(self, order: WorkingOrder, time: int) -> None:
        """Cancel unless the closing auction has it already."""
        reason = self._locked(order, time) if order.status in ACTIVE else ""
        if reason:
            self.emit(Refused(order.intent.order_ref, order.intent.symbol, time, "cancel", reason))
        else:
            self.cancel(order, time, "requested")

    def cancel(self, order: WorkingOrder, time: int, reason: str) -> None:
        """The order ends here, if it has not ended before."""
        if order.status not in ACTIVE:
            return
        order.become(Status.CANCELLED)
        self._retire(order)
        self.emit(Cancelled(order.intent.order_ref, order.intent.symbol, time, order.remaining, reason))

    def end_close(self, orders: list[WorkingOrder], printed: bool, time: int) -> None:
        """After the closing auction its orders are over."""
        reason = "not filled in the closing auction" if printed else "no closing auction print"
        for order in orders:
            if order.intent.kind.at_close:
                self.cancel(order, time, reason)

    def _put(self, time: int, action: str, order: WorkingOrder) -> None:
        self.agenda.add(time, action, order.intent.order_ref, order.version)

    def _filled(self, order: WorkingOrder, event: Filled) -> None:
        if not order.remaining:
            self._retire(order)
        self.emit(event)

    def _retire(self, order: WorkingOrder) -> None:
        ref, symbol = order.intent.order_ref, order.intent.symbol
        same = self.by_symbol[symbol]
        del self.active[ref], same[ref]
        if not same:
            del self.by_symbol[symbol]
