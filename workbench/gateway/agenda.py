"""What is due when, in time order and, at one time, in the order in which it was put down."""

from __future__ import annotations

from heapq import heappop, heappush
from typing import NamedTuple

from workbench.gateway.orders import ExchangeOrder


class Item(NamedTuple):
    """`action` on `order_ref` at `time`; void if the order's terms are no longer of `version` (-1: never void)."""

    time: int
    sequence: int
    action: str
    order_ref: str
    version: int
    terms: ExchangeOrder | None


class Agenda:
    """A heap of items."""

    def __init__(self) -> None:
        self._items: list[Item] = []
        self._sequence = 0

    def add(
        self, time: int, action: str, order_ref: str, version: int = -1, terms: ExchangeOrder | None = None
    ) -> None:
        """Put down `action` for `time`, UTC ns."""
        self._sequence += 1
        heappush(self._items, Item(time, self._sequence, action, order_ref, version, terms))

    def next_due(self, until: int) -> Item | None:
        """Take off the first item that is due by `until`; None if there is none."""
        return heappop(self._items) if self._items and self._items[0].time <= until else None

    @property
    def next_time(self) -> int | None:
        """When the next item is due, UTC ns; None if nothing is put down."""
        return self._items[0].time if self._items else None
