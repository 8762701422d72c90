"""A matching engine with an injected clock: market and limit orders against quotes and the volume of a bar.

An order sent at time s arrives at s + latency and meets the quote standing *then*. It takes the displayed shares at the
touch, walks beyond them along the impact curve (:mod:`workbench.gateway.liquidity`), never more than
`max_participation` of the window's volume, and never past its limit; the rest keeps working. A resting limit fills at
its own price when a quote becomes marketable for it or when prices trade *through* it (a touch is not enough: nobody
knows the queue). An absent or crossed quote fills nothing. Commission follows the order's whole quantity, so the
minimum is paid once. Deterministic: the same calls in the same order give the same events.
"""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heappop, heappush
from math import floor, inf, isnan

import numpy as np

from workbench.core.clock import Clock
from workbench.core.errors import DataError, LookAheadError
from workbench.core.types import Fill, OrderIntent
from workbench.core.units import NS_PER_DAY
from workbench.fees import commission, plan_named
from workbench.gateway.events import Accepted, Cancelled, Event, Filled, Rejected
from workbench.gateway.liquidity import NO_QUOTE, ImpactCurve, Quote, Window
from workbench.gateway.orders import ACTIVE, RESTING, Status, WorkingOrder, refusal


@dataclass(frozen=True, slots=True)
class MatchingRules:
    """How the simulated exchange behaves.

    `latency_ns` from sending to arriving, plus uniform jitter below `jitter_ns`; a request to cancel takes
    `cancel_latency_ns`. `unknown_sigma_1d`: the daily volatility assumed for walking in a symbol without one (a
    pessimistic assumption of the simulator, never shown to a model).
    """

    plan: str = "tiered"
    latency_ns: int = 0
    jitter_ns: int = 0
    cancel_latency_ns: int = 0
    k3: float = 0.142
    impact_exponent: float = 0.6
    max_participation: float = 0.05
    unknown_sigma_1d: float = 0.03
    seed: int = 0

    def __post_init__(self) -> None:
        plan_named(self.plan)
        for name in ("latency_ns", "jitter_ns", "cancel_latency_ns", "k3", "unknown_sigma_1d"):
            if not getattr(self, name) >= 0:
                raise DataError(f"MatchingRules.{name} = {getattr(self, name)} must be at least 0")
        for name in ("impact_exponent", "max_participation"):
            if not 0 < getattr(self, name) <= 1:
                raise DataError(f"MatchingRules.{name} = {getattr(self, name)} must lie in (0, 1]")


class MatchingEngine:
    """Orders in (`submit`, `cancel`), market in (`on_quote`, `on_bar_volume`, `on_range`), events out (`drain`)."""

    def __init__(self, clock: Clock, rules: MatchingRules | None = None) -> None:
        self.clock = clock
        self.rules = rules or MatchingRules()
        self._curve = ImpactCurve(self.rules.k3, self.rules.impact_exponent)
        self._random = np.random.default_rng(self.rules.seed)
        self._orders: dict[str, WorkingOrder] = {}  # order_ref -> order, in the order of arrival here
        self._active: dict[str, WorkingOrder] = {}  # order_ref -> order that is not done
        self._by_symbol: dict[str, dict[str, WorkingOrder]] = {}  # symbol -> order_ref -> order that is not done
        self._quotes: dict[str, Quote] = {}  # symbol -> standing quote
        self._left: dict[str, list[int]] = {}  # symbol -> displayed shares left [for buyers, for sellers]
        self._windows: dict[str, Window] = {}  # symbol -> volume that trades now
        self._due: list[tuple[int, int, str, str]] = []  # heap of (time, sequence, "submit" | "cancel", order_ref)
        self._sequence = 0
        self._events: list[Event] = []

    # ---- orders -----------------------------------------------------------------------------------------------

    def submit(self, intent: OrderIntent) -> None:
        """Send an order now. A bad order, or a reference used before, comes back as :class:`Rejected`."""
        reason = refusal(intent)
        if not reason and intent.order_ref in self._orders:
            reason = f"order reference {intent.order_ref} was used before; each order needs its own"
        if reason:
            self._events.append(Rejected(intent.order_ref, intent.symbol, self.clock.now(), reason))
            return
        order = self._orders[intent.order_ref] = self._active[intent.order_ref] = WorkingOrder(intent)
        self._by_symbol.setdefault(intent.symbol, {})[intent.order_ref] = order
        jitter = int(self._random.integers(self.rules.jitter_ns)) if self.rules.jitter_ns else 0
        self._schedule(self.rules.latency_ns + jitter, "submit", intent.order_ref)

    def cancel(self, order_ref: str) -> None:
        """Ask to cancel; takes effect after the cancel latency, at once if there is none."""
        if order_ref not in self._orders:
            reason = f"no order {order_ref}: nothing to cancel"
            self._events.append(Rejected(order_ref, "", self.clock.now(), reason))
        elif self.rules.cancel_latency_ns == 0:
            self._cancel(order_ref, self.clock.now(), "requested")
        else:
            self._schedule(self.rules.cancel_latency_ns, "cancel", order_ref)

    def expire(self, reason: str = "end of session") -> None:
        """Cancel everything that is still alive, now: what the exchange does to day orders at the close."""
        for order_ref in list(self._active):
            self._cancel(order_ref, self.clock.now(), reason)

    def order(self, order_ref: str) -> WorkingOrder:
        """The order called `order_ref`; :class:`DataError` if there is none."""
        if order_ref not in self._orders:
            raise DataError(f"no order {order_ref} was ever sent to this gateway")
        return self._orders[order_ref]

    @property
    def active(self) -> tuple[WorkingOrder, ...]:
        """Orders that are not done, oldest first."""
        return tuple(self._active.values())

    @property
    def active_symbols(self) -> tuple[str, ...]:
        """Symbols with an order that is not done, each once."""
        return tuple(self._by_symbol)

    # ---- market -----------------------------------------------------------------------------------------------

    def on_quote(self, symbol: str, bid: float, ask: float, bid_size: float, ask_size: float, time: int) -> None:
        """The quote from `time` on. Orders due before `time` still meet the old one."""
        self._refuse_future(f"quote of {symbol}", time)
        self._run(time - 1)
        quote = Quote(bid, ask, bid_size, ask_size, time)
        if quote == self._quotes.get(symbol):  # said twice: what was taken from it stays taken
            return
        self._quotes[symbol] = quote
        self._left[symbol] = [quote.displayed(1), quote.displayed(-1)]
        self._match_resting(symbol, time)

    def on_bar_volume(self, symbol: str, volume: float, sigma_1d: float, time: int, until: int) -> None:
        """From `time` to `until`, `volume` shares trade in `symbol`, whose daily volatility is `sigma_1d`."""
        self._refuse_future(f"volume window of {symbol}", time)
        self._run(time - 1)
        self._windows[symbol] = Window(volume, sigma_1d, until)

    def on_range(self, symbol: str, low: float, high: float, time: int) -> None:
        """Trades between `low` and `high` happened up to `time`: resting limits that were traded through fill."""
        self._refuse_future(f"trades of {symbol}", time)
        self._run(time - 1)
        for order in self._resting(symbol):
            passed = low < order.limit if order.intent.side > 0 else high > order.limit
            if order.intent.order_type == "LMT" and passed:
                self._fill_at_limit(order, order.limit, self._window(symbol, time), time)

    def run(self) -> None:
        """Let everything happen that is due by now."""
        self._run(self.clock.now())

    def drain(self) -> tuple[Event, ...]:
        """The events since the last call, in order."""
        events, self._events = tuple(self._events), []
        return events

    # ---- inside -----------------------------------------------------------------------------------------------

    def _schedule(self, delay: int, action: str, order_ref: str) -> None:
        self._sequence += 1
        heappush(self._due, (self.clock.now() + delay, self._sequence, action, order_ref))

    def _refuse_future(self, what: str, time: int) -> None:
        if time > self.clock.now():
            raise LookAheadError(f"{what} at {time} ns lies after the clock ({self.clock.now()} ns); advance it first")

    def _run(self, until: int) -> None:
        while self._due and self._due[0][0] <= until:
            time, _, action, order_ref = heappop(self._due)
            if action == "submit":
                self._arrive(order_ref, time)
            else:
                self._cancel(order_ref, time, "requested")

    def _arrive(self, order_ref: str, time: int) -> None:
        order = self._orders[order_ref]
        if order.status is not Status.PENDING:  # cancelled on its way
            return
        order.become(Status.WORKING)
        self._events.append(Accepted(order_ref, order.intent.symbol, time))
        self._take(order, time)

    def _cancel(self, order_ref: str, time: int, reason: str) -> None:
        order = self._orders[order_ref]
        if order.status not in ACTIVE:
            return
        order.become(Status.CANCELLED)
        self._retire(order)
        self._events.append(Cancelled(order_ref, order.intent.symbol, time, order.remaining, reason))

    def _resting(self, symbol: str) -> list[WorkingOrder]:
        return [order for order in self._by_symbol.get(symbol, {}).values() if order.status in RESTING]

    def _retire(self, order: WorkingOrder) -> None:
        same = self._by_symbol[order.intent.symbol]
        del self._active[order.intent.order_ref], same[order.intent.order_ref]
        if not same:
            del self._by_symbol[order.intent.symbol]

    def _match_resting(self, symbol: str, time: int) -> None:
        for order in self._resting(symbol):
            quote = self._quotes[symbol]
            if order.intent.order_type == "LMT":
                if quote.valid and order.intent.side * (order.limit - quote.touch(order.intent.side)) >= 0:
                    self._fill_at_limit(order, quote.mid, self._window(symbol, time), time)
            else:
                self._take(order, time)

    def _window(self, symbol: str, time: int) -> Window | None:
        window = self._windows.get(symbol)
        return window if window is not None and time <= window.until else None

    def _take(self, order: WorkingOrder, time: int) -> None:
        """Take liquidity: displayed shares at the touch, then walk, within the limit and the participation."""
        symbol, side = order.intent.symbol, order.intent.side
        quote = self._quotes.get(symbol, NO_QUOTE)
        if not quote.valid or side * (order.limit - quote.touch(side)) < 0:
            return
        window = self._window(symbol, time)
        room = inf if window is None else window.room(self.rules.max_participation)
        left = self._left[symbol]
        shown = int(min(order.remaining, left[side < 0], room))
        if shown > 0:
            left[side < 0] -= shown
            self._fill(order, shown, quote.touch(side), quote, window, time)
        if window is not None and order.remaining:
            self._walk(order, quote, window, time)

    def _walk(self, order: WorkingOrder, quote: Quote, window: Window, time: int) -> None:
        if isnan(window.volume) or window.volume <= 0:
            return
        sigma = self.rules.unknown_sigma_1d if isnan(window.sigma_1d) else window.sigma_1d
        side, touch = order.intent.side, quote.touch(order.intent.side)
        reach = inf
        if order.intent.order_type == "LMT":
            reach = self._curve.reach(window, side * (order.limit - touch) / quote.mid, sigma)
        quantity = floor(min(order.remaining, window.room(self.rules.max_participation), reach))
        if quantity > 0:
            price = touch + side * quote.mid * self._curve.average(window, quantity, sigma)
            self._fill(order, quantity, price, quote, window, time)

    def _fill_at_limit(self, order: WorkingOrder, mid: float, window: Window | None, time: int) -> None:
        """A resting limit trades at its own price; `mid` is where the market stands as it does."""
        room = inf if window is None else window.room(self.rules.max_participation)
        quantity = int(min(order.remaining, room))
        if quantity > 0:
            quote = Quote(mid, mid, float("nan"), float("nan"), time)
            self._fill(order, quantity, order.limit, quote, window, time, adds=True)

    def _fill(
        self,
        order: WorkingOrder,
        quantity: int,
        price: float,
        quote: Quote,
        window: Window | None,
        time: int,
        adds: bool = False,
    ) -> None:
        order.fill(quantity, price, adds)
        if window is not None:
            window.used += quantity
        i, touch = order.intent, price if adds else quote.touch(order.intent.side)
        charged = self._charge(order, time)
        exec_id = f"{i.order_ref}.{order.executions:02d}"
        fill = Fill(exec_id, i.order_ref, i.symbol, i.side, quantity, price, charged, time, quote.mid)
        spread, walked = i.side * quantity * (touch - quote.mid), i.side * quantity * (price - touch)
        self._events.append(Filled(fill, order.remaining, spread, walked))
        if not order.remaining:
            self._retire(order)

    def _charge(self, order: WorkingOrder, time: int) -> float:
        """What the last execution adds to the commission of the whole order, USD."""
        average, session = order.value / order.filled, time // NS_PER_DAY
        total = commission(self.rules.plan, order.intent.side, order.filled, average, session, added=order.added)
        charged = max(0.0, total - order.commission)
        order.commission += charged
        return charged
