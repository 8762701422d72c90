"""One system's view of the account: it collects what the system wants and tells it what became of that."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from workbench.core.types import Fill, OrderIntent
from workbench.execution.events import Commissioned, Corrected, LiveEvent
from workbench.execution.netting import Wish
from workbench.execution.sifting import Cut
from workbench.gateway.events import Cancelled, Charged, Filled, Rejected

if TYPE_CHECKING:
    from workbench.execution.account_broker import AccountBroker


class VirtualBook:
    """Cash (USD) and positions (symbol -> signed shares, no zeros) of one system, moved by events alone."""

    def __init__(self, cash: float, positions: dict[str, int]) -> None:
        self.cash = cash
        self.positions = {s: q for s, q in positions.items() if q}

    def apply(self, event: LiveEvent) -> None:
        """Book a fill, its correction, a commission or a charge."""
        if isinstance(event, Filled):
            self._book(event.fill, 1)
        elif isinstance(event, Corrected):
            self._book(event.before, -1)
            self._book(event.after, 1)
        elif isinstance(event, (Commissioned, Charged)):
            self.cash -= event.amount

    def _book(self, fill: Fill, sign: int) -> None:
        self.cash -= sign * (fill.side * fill.quantity * fill.price + fill.commission)
        quantity = self.positions.get(fill.symbol, 0) + sign * fill.side * fill.quantity
        self.positions[fill.symbol] = quantity
        if not quantity:
            del self.positions[fill.symbol]

    def copy(self) -> VirtualBook:
        return VirtualBook(self.cash, dict(self.positions))


class SystemBroker:
    """A :class:`~.broker.Broker` for the system `name`. `submit` only collects; `AccountBroker.flush` sends.

    `algo` and `priority`: by which algo of IB this system's orders go ("" or "Adaptive"). `cash` and `positions` are
    those after the events polled so far, so that a Session started on them counts nothing twice.
    """

    def __init__(self, account: AccountBroker, name: str, book: VirtualBook) -> None:
        self.name = name
        self.algo = self.priority = ""
        self._account = account
        self._book = book
        self._events: deque[LiveEvent] = deque()
        self._cuts: dict[str, Cut] = {}  # order_ref -> what was taken from it as it left, while it may still fill

    def submit(self, intent: OrderIntent) -> None:
        self._account.collect(Wish(self.name, intent, self.algo, self.priority))

    def cancel(self, order_ref: str) -> None:
        """Cancel; an order that other systems share in is cancelled as a whole."""
        self._account.cancel_for(self.name, order_ref)

    def change(self, order_ref: str, limit_price: float) -> bool:
        """Move the limit of an order in place; False where that cannot be done now."""
        return self._account.change_for(self.name, order_ref, limit_price)

    def poll(self) -> tuple[LiveEvent, ...]:
        self._account.poll_reports()
        events = tuple(self._events)
        self._events.clear()
        for event in events:
            self._book.apply(event)
        return events

    def tell(self, event: LiveEvent) -> None:
        """Keep an event for the next poll. What was cut from an order ends with its last fill."""
        self._events.append(event)
        over = isinstance(event, (Cancelled, Rejected)) or (isinstance(event, Filled) and event.remaining <= 0)
        cut = self._cuts.pop(event.order_ref, None) if over else None  # type: ignore[union-attr]
        if cut is not None and isinstance(event, Filled):
            self._events.append(Cancelled(event.order_ref, event.symbol, event.time, cut.quantity, cut.reason))

    def cut(self, cut: Cut) -> None:
        """Less than was submitted leaves; the order's end is told in time."""
        self._cuts[cut.wish.intent.order_ref] = cut

    def withdraw(self, wish: Wish, time: int) -> None:
        """A wish that was cancelled before it was sent."""
        i = wish.intent
        self.tell(Cancelled(i.order_ref, i.symbol, time, i.quantity, "cancelled before it was sent"))

    @property
    def open_orders(self) -> tuple[OrderIntent, ...]:
        """What this system still has at the broker; `quantity` is what remains. For a tracker after a restart."""
        return tuple(p.left for p in self._account.open_parts(self.name))

    @property
    def cash(self) -> float:
        return self._book.cash

    @property
    def positions(self) -> dict[str, int]:
        return dict(self._book.positions)
