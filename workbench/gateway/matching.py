"""A matching engine with an injected clock: orders against quotes, trades, auctions and the volume of a bar.

An order sent at time s arrives at s + latency and meets the quote standing *then*. It takes the displayed shares at the
touch, walks beyond them along the impact curve (:mod:`workbench.gateway.liquidity`), never more than
`max_participation` of the window's volume, and never past its limit; the rest keeps working. A resting limit fills at
its own price when a quote becomes marketable for it, when prices trade *through* it, or when trades at its price have
eaten the queue ahead of it (:mod:`workbench.gateway.queueing`). An absent or crossed quote fills nothing, nor does a
halt. Commission follows the order's whole quantity, so the minimum is paid once. Deterministic: the same calls in the
same order give the same events.

Without `hours` the market is always open and orders live until they are cancelled: so the backtest uses it. With them,
orders wait for their hours, DAY orders end with them, and auctions (:mod:`workbench.gateway.auctions`) open and close
the day. Stops (:mod:`workbench.gateway.triggers`) and the Adaptive algorithm (:mod:`workbench.gateway.adaptive`) need
neither.
"""

from __future__ import annotations

from collections.abc import Callable
from math import nan

import numpy as np

from workbench.core.clock import Clock
from workbench.core.errors import DataError, LookAheadError
from workbench.core.types import OrderIntent
from workbench.gateway.auctions import CLOSING, REOPENING, check_auction, cross, takes_part
from workbench.gateway.desk import Desk, Screen
from workbench.gateway.events import Event, Refused, Rejected
from workbench.gateway.hours import TradingHours
from workbench.gateway.liquidity import Quote, Window
from workbench.gateway.orders import ACTIVE, RESTING, ExchangeOrder, Status, WorkingOrder, refusal
from workbench.gateway.queueing import SAME_PRICE, consumed, refreshed
from workbench.gateway.rules import MatchingRules

__all__ = ["MatchingEngine", "MatchingRules"]


class MatchingEngine:
    """Orders in (`submit`, `modify`, `cancel`), market in (`on_...`), events out (`drain`, or `watch` as they happen).

    `watch` is called with every event at once, in the middle of the matching: it may send, withdraw and shrink orders.
    """

    def __init__(
        self,
        clock: Clock,
        rules: MatchingRules | None = None,
        hours: TradingHours | None = None,
        screen: Screen | None = None,
    ) -> None:
        self.clock, self.rules = clock, rules or MatchingRules()
        self.watch: Callable[[Event], None] | None = None
        self._random = np.random.default_rng(self.rules.seed)
        self._desk = Desk(self.rules, hours, screen, self._emit)
        self._market = self._desk.market
        self._last: dict[str, float] = {}  # symbol -> price of the last trade or print told to us
        self._events: list[Event] = []

    # ---- orders -----------------------------------------------------------------------------------------------

    def submit(self, intent: OrderIntent | ExchangeOrder) -> None:
        """Send an order now. A bad order, or a reference used before, comes back as :class:`Rejected`."""
        order = ExchangeOrder.of(intent) if isinstance(intent, OrderIntent) else intent
        reason = refusal(order)
        if not reason and order.order_ref in self._desk.orders:
            reason = f"order reference {order.order_ref} was used before; each order needs its own"
        if reason:
            self._emit(Rejected(order.order_ref, order.symbol, self.clock.now(), reason))
            return
        self._desk.enlist(WorkingOrder(order))
        self._desk.agenda.add(self._arrival(), "submit", order.order_ref)

    def modify(self, order: ExchangeOrder) -> None:
        """Ask that the order with the same reference have these terms, as soon as they arrive.

        It keeps its place in the queue only if nothing but the quantity shrinks. What cannot be changed comes back as
        :class:`Refused`, and the order works on as it was.
        """
        reason = refusal(order)
        old = self._desk.orders.get(order.order_ref)
        if old is None:
            reason = f"no order {order.order_ref}: nothing to modify"
        elif not reason and (old.intent.symbol, old.intent.side) != (order.symbol, order.side):
            reason = f"order {order.order_ref} cannot change symbol or side; cancel it and send another"
        if reason:
            self._emit(Refused(order.order_ref, order.symbol, self.clock.now(), "modify", reason))
        else:
            self._desk.agenda.add(self._arrival(), "modify", order.order_ref, terms=order)

    def cancel(self, order_ref: str) -> None:
        """Ask to cancel; takes effect after the cancel latency, at once if there is none."""
        now = self.clock.now()
        if order_ref not in self._desk.orders:
            self._emit(Rejected(order_ref, "", now, f"no order {order_ref}: nothing to cancel"))
        elif self.rules.cancel_latency_ns == 0:
            self._desk.cancel_on_request(self._desk.orders[order_ref], now)
        else:
            self._desk.agenda.add(now + self.rules.cancel_latency_ns, "cancel", order_ref)

    def withdraw(self, order_ref: str, reason: str) -> None:
        """The broker takes an order back at once, whatever the latency and the cut-offs."""
        self._desk.cancel(self.order(order_ref), self.clock.now(), reason)

    def shrink(self, order_ref: str, quantity: int) -> None:
        """The broker cuts an order to `quantity` shares in all, at once; what is filled of it stays the least."""
        order = self.order(order_ref)
        if order.status in ACTIVE and quantity < order.intent.quantity:
            self._desk.cut(order, max(quantity, order.filled), self.clock.now())

    def adopt(self, order: WorkingOrder) -> None:
        """Take over an order in the middle of its life (books read from disk); it works on from now."""
        if order.intent.order_ref in self._desk.orders or order.status not in ACTIVE:
            raise DataError(f"order {order.intent.order_ref} ({order.status}) is known or done and cannot be adopted")
        self._desk.enlist(order)
        if order.status is Status.PENDING:
            self._desk.agenda.add(self._arrival(), "submit", order.intent.order_ref)
        elif self._desk.over(order.intent, order.starts, self.clock.now()):
            self._desk.cancel(order, self.clock.now(), "end of day")
        else:
            self._desk.take_up(order, self.clock.now())

    def over(self, order: ExchangeOrder, since: int) -> bool:
        """Whether the time of an order with these terms that began at `since` (UTC ns) is over."""
        return self._desk.over(order, since, self.clock.now())

    def expire(self, reason: str = "end of session") -> None:
        """Cancel everything that is still alive, now, GTC orders included."""
        for order in list(self._desk.active.values()):
            self._desk.cancel(order, self.clock.now(), reason)

    def order(self, order_ref: str) -> WorkingOrder:
        """The order called `order_ref`; :class:`DataError` if there is none."""
        if order_ref not in self._desk.orders:
            raise DataError(f"no order {order_ref} was ever sent to this gateway")
        return self._desk.orders[order_ref]

    def forget(self, order_ref: str) -> None:
        """Drop a done order from memory; its reference may be used again."""
        if order_ref not in self._desk.active:
            self._desk.orders.pop(order_ref, None)

    @property
    def active(self) -> tuple[WorkingOrder, ...]:
        """Orders that are not done, oldest first."""
        return tuple(self._desk.active.values())

    @property
    def active_symbols(self) -> tuple[str, ...]:
        """Symbols with an order that is not done, each once."""
        return tuple(self._desk.by_symbol)

    # ---- market -----------------------------------------------------------------------------------------------

    def on_quote(self, symbol: str, bid: float, ask: float, bid_size: float, ask_size: float, time: int) -> None:
        """The quote from `time` on. Orders due before `time` still meet the old one."""
        self._turn("quote", symbol, time)
        if self._market.stand(symbol, Quote(bid, ask, bid_size, ask_size, time)) and symbol not in self._desk.halted:
            self._match_resting(symbol, time)

    def on_bar_volume(self, symbol: str, volume: float, sigma_1d: float, time: int, until: int) -> None:
        """From `time` to `until`, `volume` shares trade in `symbol`, whose daily volatility is `sigma_1d`."""
        self._turn("volume window", symbol, time)
        self._market.open_window(symbol, Window(volume, sigma_1d, until))

    def on_range(self, symbol: str, low: float, high: float, time: int) -> None:
        """Trades between `low` and `high` happened up to `time`: resting limits that were traded through fill.

        Stops inside the range are elected and meet the next quote: the standing one is older than the range.
        """
        self._turn("trades", symbol, time)
        if symbol in self._desk.halted:
            return
        for order in self._desk.working(symbol):
            passed = low < order.limit if order.intent.side > 0 else high > order.limit
            if order.bounded and passed and order.status in RESTING:
                self._market.at_limit(order, order.limit, time)
        self._desk.elect(symbol, low, high, time)

    def on_trade(self, symbol: str, price: float, size: float, time: int) -> None:
        """`size` shares of others traded at `price`: limits traded through fill, those at `price` once the queue
        ahead of them is eaten, and stops are elected and take the standing quote."""
        self._turn("trade", symbol, time)
        self._last[symbol] = price
        if symbol in self._desk.halted:
            return
        taken = 0.0
        for order in self._desk.working(symbol):
            if not order.bounded or order.status not in RESTING:
                continue
            through = order.intent.side * (order.limit - price)
            if through > SAME_PRICE:
                self._market.at_limit(order, order.limit, time)
            elif through >= -SAME_PRICE:
                order.ahead, ours = consumed(order.ahead, size, taken)
                taken += self._market.at_limit(order, order.limit, time, ours)
        for order in self._desk.elect(symbol, price, price, time):
            self._desk.work(order, time)

    def on_auction(self, symbol: str, kind: str, price: float, volume: float, time: int) -> None:
        """The one print of the "open", "close" or "reopen" auction: `volume` shares at `price`; NaN: no print.

        The opening print comes before the first quote of the session. A reopening ends a halt.
        """
        check_auction(kind, price, volume)
        self._turn(f"{kind} auction", symbol, time)
        if kind == REOPENING:
            self._desk.halted.discard(symbol)
        elif symbol in self._desk.halted:
            price = nan
        here = list(self._desk.by_symbol.get(symbol, {}).values())
        woken = [o for o in here if self._desk.wake(o, time)]
        ours = [o for o in here if takes_part(o, kind)]
        if price == price:
            self._last[symbol] = price
            for order, quantity in cross(ours, price, volume, self.rules.max_auction_share):
                if order.status in RESTING:
                    self._market.at_print(order, min(quantity, order.remaining), price, time)
            woken += self._desk.elect(symbol, price, price, time)
        if kind == CLOSING:
            self._desk.end_close(ours, price == price, time)
            return
        for order in woken:
            self._desk.work(order, time)
        if symbol not in self._desk.halted:
            self._match_resting(symbol, time)

    def on_halt(self, symbol: str, time: int) -> None:
        """Trading stops and the quote is gone; orders rest until the reopening auction (or one with no print)."""
        self._turn("halt", symbol, time)
        if self._market.quote(symbol).valid:
            self._last.setdefault(symbol, self._market.quote(symbol).mid)
        self._desk.halted.add(symbol)
        self._market.withdraw(symbol)

    def halted(self, symbol: str) -> bool:
        """Whether `symbol` is halted now."""
        return symbol in self._desk.halted

    @property
    def halts(self) -> tuple[str, ...]:
        """Symbols that are halted now, sorted."""
        return tuple(sorted(self._desk.halted))

    def quote(self, symbol: str) -> Quote:
        """The standing quote; NaN prices without one."""
        return self._market.quote(symbol)

    def mark(self, symbol: str) -> float:
        """USD that a share is worth now: the middle of the quote, or else the last trade; NaN unknown."""
        quote = self._market.quote(symbol)
        seen = quote.valid and symbol not in self._desk.halted
        return quote.mid if seen else self._last.get(symbol, nan)

    def run(self) -> None:
        """Let everything happen that is due by now."""
        self._desk.run(self.clock.now())

    @property
    def next_due(self) -> int | None:
        """When something will happen without the market moving (an arrival, an expiry), UTC ns; None: never."""
        return self._desk.agenda.next_time

    def drain(self) -> tuple[Event, ...]:
        """The events since the last call, in order."""
        events, self._events = tuple(self._events), []
        return events

    # ---- inside -----------------------------------------------------------------------------------------------

    def _emit(self, event: Event) -> None:
        self._events.append(event)
        if self.watch is not None:
            self.watch(event)

    def _arrival(self) -> int:
        jitter = int(self._random.integers(self.rules.jitter_ns)) if self.rules.jitter_ns else 0
        return self.clock.now() + self.rules.latency_ns + jitter

    def _turn(self, what: str, symbol: str, time: int) -> None:
        """Refuse the future, and do what was due before `time`."""
        if time > self.clock.now():
            raise LookAheadError(
                f"{what} of {symbol} at {time} ns lies after the clock ({self.clock.now()} ns); advance it first"
            )
        self._desk.run(time - 1)

    def _match_resting(self, symbol: str, time: int) -> None:
        for order in self._desk.working(symbol):
            if order.status not in RESTING:  # ended meanwhile by the watcher
                continue
            quote, side = self._market.quote(symbol), order.intent.side
            if not order.bounded:
                self._market.take(order, time)
            elif quote.valid and side * (order.limit - quote.touch(side)) >= 0:
                self._market.at_limit(order, quote.mid, time)
            else:
                order.ahead = refreshed(order.ahead, side, order.limit, quote)
