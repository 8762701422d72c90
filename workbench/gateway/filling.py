"""Where an order meets liquidity: the standing quotes, the volume windows, and the price of every execution."""

from __future__ import annotations

from collections.abc import Callable
from math import floor, inf, isnan, nan

from workbench.core.types import Fill
from workbench.core.units import NS_PER_DAY
from workbench.fees import commission
from workbench.gateway.events import Filled
from workbench.gateway.liquidity import NO_QUOTE, ImpactCurve, Quote, Window
from workbench.gateway.orders import RESTING, WorkingOrder
from workbench.gateway.price_rules import to_step
from workbench.gateway.rules import MatchingRules


class Liquidity:
    """What stands against orders, symbol by symbol; `filled` is told of every execution and books it."""

    def __init__(self, rules: MatchingRules, filled: Callable[[WorkingOrder, Filled], None]) -> None:
        self.rules, self._filled = rules, filled
        self._curve = ImpactCurve(rules.k3, rules.impact_exponent)
        self._quotes: dict[str, Quote] = {}  # symbol -> standing quote
        self._left: dict[str, list[int]] = {}  # symbol -> displayed shares left [for buyers, for sellers]
        self._windows: dict[str, Window] = {}  # symbol -> volume that trades now

    def quote(self, symbol: str) -> Quote:
        """The standing quote."""
        return self._quotes.get(symbol, NO_QUOTE)

    def stand(self, symbol: str, quote: Quote) -> bool:
        """Let `quote` stand from now on; False if it stood already: what was taken from it stays taken."""
        if quote == self._quotes.get(symbol):
            return False
        self._quotes[symbol] = quote
        self._left[symbol] = [quote.displayed(1), quote.displayed(-1)]
        return True

    def withdraw(self, symbol: str) -> None:
        """No quote stands any more."""
        self._quotes.pop(symbol, None)

    def open_window(self, symbol: str, window: Window) -> None:
        """`window` is the volume that trades in `symbol` from now on."""
        self._windows[symbol] = window

    def take(self, order: WorkingOrder, time: int) -> None:
        """Take liquidity: displayed shares at the touch, then walk, within the limit and the participation."""
        symbol, side = order.intent.symbol, order.intent.side
        quote = self._quotes.get(symbol, NO_QUOTE)
        if not quote.valid or side * (order.limit - quote.touch(side)) < 0:
            return
        window = self._window(symbol, time)
        room = inf if window is None else window.room(self.rules.max_participation)
        left = self._left[symbol]
        shown = int(min(order.workable, left[side < 0], room))
        if shown > 0:
            left[side < 0] -= shown
            self._fill(order, shown, quote.touch(side), quote, window, time)
        if window is not None and order.workable and order.status in RESTING:  # the watcher may have ended it
            self._walk(order, quote, window, time)

    def at_limit(self, order: WorkingOrder, mid: float, time: int, most: float = inf) -> int:
        """A resting limit trades at its own price, at most `most` shares; `mid` is where the market stands as it does.

        Returns the shares filled.
        """
        window = self._window(order.intent.symbol, time)
        room = inf if window is None else window.room(self.rules.max_participation)
        quantity = int(min(order.workable, room, most))
        if quantity > 0:
            self._fill(order, quantity, order.limit, Quote(mid, mid, nan, nan, time), window, time, adds=True)
        return max(quantity, 0)

    def at_print(self, order: WorkingOrder, quantity: int, price: float, time: int) -> None:
        """An auction fills `quantity` shares at `price`, charged as if they removed liquidity."""
        self._fill(order, quantity, price, Quote(price, price, nan, nan, time), None, time)

    def _window(self, symbol: str, time: int) -> Window | None:
        window = self._windows.get(symbol)
        return window if window is not None and time <= window.until else None

    def _walk(self, order: WorkingOrder, quote: Quote, window: Window, time: int) -> None:
        if isnan(window.volume) or window.volume <= 0:
            return
        sigma = self.rules.unknown_sigma_1d if isnan(window.sigma_1d) else window.sigma_1d
        side, touch = order.intent.side, quote.touch(order.intent.side)
        reach = inf
        if order.bounded:
            reach = self._curve.reach(window, side * (order.limit - touch) / quote.mid, sigma)
        quantity = floor(min(order.workable, window.room(self.rules.max_participation), reach))
        if quantity > 0:
            price = touch + side * quote.mid * self._curve.average(window, quantity, sigma)
            if self.rules.price_step:
                price = to_step(price, self.rules.price_step, up=side > 0)
            self._fill(order, quantity, price, quote, window, time)

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
        self._filled(order, Filled(fill, order.remaining, spread, walked))

    def _charge(self, order: WorkingOrder, time: int) -> float:
        """What the last execution adds to the commission of the whole order, USD."""
        average, session = order.value / order.filled, time // NS_PER_DAY
        total = commission(self.rules.plan, order.intent.side, order.filled, average, session, added=order.added)
        charged = max(0.0, total - order.commission)
        order.commission += charged
        return charged
