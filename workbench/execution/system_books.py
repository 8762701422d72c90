"""The systems of an account as their broker keeps them: a book each, their parts of orders, and what they are told.

Record first, then book, then tell: what could not be recorded waits for the next call, in its place.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Sequence

from workbench.core.clock import Clock
from workbench.execution.dealing import Booking, Dealer, Dealt, Part
from workbench.execution.events import Commissioned, Corrected, LiveEvent
from workbench.execution.netting import Wish
from workbench.execution.recording import Recorder
from workbench.execution.sending import reduces
from workbench.execution.sifting import Cut
from workbench.execution.system_broker import SystemBroker, VirtualBook
from workbench.gateway.events import Filled, Rejected


class SystemBooks:
    """`books` and `brokers` by system; `dealer` knows whose each order is. All records go to `recorder`."""

    def __init__(self, recorder: Recorder, clock: Clock) -> None:
        self.recorder, self.clock = recorder, clock
        self.dealer = Dealer()
        self.books: dict[str, VirtualBook] = {}  # system -> its book with every recorded event
        self.brokers: dict[str, SystemBroker] = {}
        self._pending: deque[Booking | LiveEvent] = deque()  # to be recorded and told, in order

    def open_book(self, system: str, capital: float) -> None:
        """A book with `capital` USD and no positions, which is journaled."""
        self.recorder.record("capital", self.clock.now(), {"system": system, "cash": capital, "positions": {}})
        self.books[system] = VirtualBook(capital, {})

    @property
    def positions(self) -> dict[str, dict[str, int]]:
        """Signed shares of every system."""
        return {name: book.positions for name, book in self.books.items()}

    @property
    def held(self) -> Counter[str]:
        """Signed shares of all systems together."""
        total: Counter[str] = Counter()
        for book in self.books.values():
            for symbol, quantity in book.positions.items():
                total[symbol] += quantity
        return total

    def parts_of(self, system: str, order_refs: Iterable[str]) -> tuple[Part, ...]:
        """What `system` still has in these orders of the account."""
        parts = (p for ref in order_refs for p in self.dealer.parts[ref])
        return tuple(p for p in parts if p.system == system and p.remaining)

    def only_reduces(self, order_ref: str) -> bool:
        """Whether what is left of an order of the account brings every position that it is for closer to zero."""
        parts = self.dealer.parts[order_ref]
        return all(reduces(Wish(p.system, p.left), self.books[p.system].positions) for p in parts)

    # ---- record, book, tell -------------------------------------------------------------------------------------

    def later(self, items: Iterable[Booking | LiveEvent]) -> None:
        """What happened; recorded and told by the next :meth:`settle`."""
        self._pending.extend(items)

    def settle(self) -> None:
        """Record and tell what happened, in order."""
        while self._pending:
            self._tell(self._recorded(self._pending[0]))
            self._pending.popleft()

    def refuse(self, refused: Sequence[Cut], now: int) -> None:
        """Tell and record what may not go; of an order that leaves smaller the rest is told at its end."""
        for cut in refused:
            i = cut.wish.intent
            if cut.whole:
                self.brokers[cut.wish.system].tell(Rejected(i.order_ref, i.symbol, now, cut.reason))
        for cut in refused:
            i = cut.wish.intent
            payload = {"system": cut.wish.system, "order_ref": i.order_ref, "symbol": i.symbol}
            self.recorder.record("dropped", now, {**payload, "quantity": cut.quantity, "reason": cut.reason})

    def checkpoint(self) -> None:
        """Record every book as it stands."""
        now = self.clock.now()
        for name, book in self.books.items():
            payload = {"system": name, "cash": book.cash, "positions": dict(book.positions)}
            self.recorder.record("capital", now, payload)

    def _recorded(self, item: Booking | LiveEvent) -> Dealt:
        if isinstance(item, (Filled, Commissioned, Corrected)):
            item = self.dealer.split(item)
        if not isinstance(item, tuple):
            return self.dealer.pass_on(item)  # type: ignore[arg-type]
        kind, payload = item
        self.recorder.record(kind, self.clock.now(), payload)
        return () if kind == "order_state" else self.dealer.book(kind, payload)

    def _tell(self, dealt: Dealt) -> None:
        for system, event in dealt:
            self.books[system].apply(event)
            if system in self.brokers:
                self.brokers[system].tell(event)
