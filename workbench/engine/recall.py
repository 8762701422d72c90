"""A finished backtest from which every decision can be had again, exactly: decide() is pure, so its inputs are enough.

The snapshot of a bar follows from the history and its stages from the schedule; only the book has to be kept, because
it depends on every fill before. :class:`BookKeeper` keeps it while the backtest runs, :class:`Books` holds it as plain
arrays, :class:`Recall` decides again and checks the digest against the one that was recorded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

import numpy as np

from workbench.analysis.what_if import Moment, WhatIf
from workbench.config import Settings
from workbench.core.arrays import BoolArray, FloatArray, IntArray
from workbench.core.calendar import iso_time
from workbench.core.digest import digest
from workbench.core.errors import ArtifactError, DataError
from workbench.core.results import BacktestResult
from workbench.core.types import Book, Carry, Decision, Fill, OrderIntent, Snapshot
from workbench.decision.pipeline import Stages, decide
from workbench.engine.backtest import BarHistory
from workbench.engine.tranches import ScheduledStages, Tranche
from workbench.execution.portfolio import mark_prices

MONEY = ("nav", "cash", "day_start_nav", "peak_nav", "turnover_today")
ORDER_FIELDS = tuple(f.name for f in fields(OrderIntent))
KEPT = 32
"""Decisions that a recall holds on to after they were made again."""


@dataclass(frozen=True)
class Books:
    """The books that D decisions of a run over N symbols were made with, and K orders; arrays only.

    `ts` (D,) when each was made and `digest` (D,) of the decision; `positions` (D, N) shares, `weights` (D, N), `money`
    (D, 5) in the order of MONEY; the carry: `smoothed` (D, H, N), `gate`, `day_weight`, `unknown_bars`, `price` (D, N),
    `session` (D,). `orders`: column of :class:`OrderIntent` -> (K,), in the order of the decisions; `order_ts` (K,) the
    decision that each belongs to, `was_open` (K,) True where it was still working when that decision was made, else it
    was sent because of it.
    """

    symbols: tuple[str, ...]
    ts: IntArray
    digest: np.ndarray
    positions: FloatArray
    weights: FloatArray
    money: FloatArray
    smoothed: FloatArray
    gate: FloatArray
    day_weight: FloatArray
    unknown_bars: IntArray
    price: FloatArray
    session: IntArray
    order_ts: IntArray
    was_open: BoolArray
    orders: Mapping[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.ts)

    def book(self, number: int) -> Book:
        """The book of decision `number`, equal bit for bit to the one it was made with."""
        carry = Carry(
            self.smoothed[number], self.gate[number], self.day_weight[number], self.unknown_bars[number],
            int(self.session[number]), self.price[number],
        )  # fmt: skip
        money = dict(zip(MONEY, self.money[number].tolist(), strict=True))
        return Book(
            as_of=int(self.ts[number]), symbols=self.symbols, positions=self.positions[number],
            weights=self.weights[number], open_orders=self.intents(number, was_open=True), carry=carry, **money,
        )  # fmt: skip

    def intents(self, number: int, *, was_open: bool = False) -> tuple[OrderIntent, ...]:
        """The orders that decision `number` sent, or those that were still working when it was made."""
        first, last = np.searchsorted(self.order_ts, [self.ts[number], self.ts[number] + 1])
        rows = np.arange(first, last)[self.was_open[first:last] == was_open]
        columns = [self.orders[name][rows].tolist() for name in ORDER_FIELDS]
        return tuple(OrderIntent(*line) for line in zip(*columns, strict=True))


class BookKeeper:
    """A journal that keeps, of a backtest, the book and the digest of every decision and the orders that were sent.

    About 4 KB a decision for 30 symbols; everything else that is recorded is dropped.
    """

    def __init__(self) -> None:
        self._books: list[tuple[Book, str]] = []
        self._orders: list[tuple[int, bool, OrderIntent]] = []

    def record(self, kind: str, known_at: int, payload: Mapping[str, Any]) -> None:
        """Take what is needed of one record."""
        if kind == "decision":
            book = payload["book"]
            self._books.append((book, payload["digest"]))
            self._orders += [(known_at, True, order) for order in book.open_orders]
        elif kind == "intents":
            self._orders += [(known_at, False, order) for order in payload["orders"]]

    def books(self) -> Books:
        """All that was kept, as arrays; :class:`DataError` if nothing was decided."""
        if not self._books:
            raise DataError("the run decided nothing, so there are no books; pass this journal to run_backtest first")
        books, digests = zip(*self._books, strict=True)
        carries = [b.carry for b in books]

        def stacked(messages: Iterable[Any], name: str) -> np.ndarray:
            return np.array([getattr(m, name) for m in messages])

        names = ("smoothed", "gate", "day_weight", "unknown_bars", "price", "session")
        return Books(
            symbols=books[0].symbols,
            ts=stacked(books, "as_of"),
            digest=np.array(digests),
            positions=stacked(books, "positions"),
            weights=stacked(books, "weights"),
            money=np.array([[getattr(b, name) for name in MONEY] for b in books]),
            **{name: stacked(carries, name) for name in names},
            order_ts=np.array([ts for ts, _, _ in self._orders], np.int64),
            was_open=np.array([was for _, was, _ in self._orders], np.bool_),
            orders={name: np.array([getattr(o, name) for _, _, o in self._orders]) for name in ORDER_FIELDS},
        )


class Recall:
    """The decisions of the backtest `result`, had again from `history`, the stages of `schedule` and the kept `books`.

    `settings` are those of the run, `window` the bars of features it gave to models. :class:`ArtifactError` if the
    books are not those of the result. A row is a row of the result; one at which nothing was decided is a
    :class:`DataError`.
    """

    def __init__(
        self,
        result: BacktestResult,
        history: BarHistory,
        schedule: Sequence[Tranche],
        settings: Settings,
        books: Books,
        *,
        window: int = 0,
    ) -> None:
        if books.symbols != result.symbols or digest(books.digest.tolist()) != result.digest:
            raise ArtifactError(
                f"the books are of {len(books)} decisions of another run than the result {result.label!r}; "
                "run the backtest again, which keeps both"
            )
        self.result, self.history, self.settings, self.books, self.window = result, history, settings, books, window
        self._stages = ScheduledStages(schedule)
        self._number = {int(ts): i for i, ts in enumerate(books.ts)}  # known_at -> number of the decision
        self._fills: dict[str, list[Fill]] = {}  # order_ref -> its fills
        for fill in result.fills:
            self._fills.setdefault(fill.order_ref, []).append(fill)
        self._snapshot = lru_cache(KEPT)(self._make_snapshot)
        self._decision = lru_cache(KEPT)(self._decide_again)

    @property
    def rows(self) -> IntArray:
        """Rows of the result at which something was decided."""
        return np.flatnonzero(np.isin(self.result.ts, self.books.ts))

    def book(self, row: int) -> Book:
        """The book before the decision."""
        return self.books.book(self._of(row))

    def snapshot(self, row: int) -> Snapshot:
        """All that was known at the bar's end."""
        return self._snapshot(int(self.result.ts[self._check(row)]))

    def stages(self, row: int) -> Stages:
        """The stages that were in force."""
        stages: Stages = self._stages(self.snapshot(row))
        return stages

    def decision(self, row: int) -> Decision:
        """decide() once more; :class:`ArtifactError` if a single bit differs from what was recorded."""
        return self._decision(self._check(row))

    def orders(self, row: int) -> tuple[OrderIntent, ...]:
        """What was sent because of the decision: planned, and let through by the guards."""
        return self.books.intents(self._of(row))

    def fills(self, row: int) -> tuple[Fill, ...]:
        """The fills of those orders, order by order."""
        return tuple(fill for order in self.orders(row) for fill in self._fills.get(order.order_ref, ()))

    def moment(self, row: int) -> Moment:
        """The decision with everything that it was made from."""
        return Moment(self.decision(row), self.snapshot(row), self.book(row), self.stages(row))

    def moments(self, rows: Iterable[int] | None = None) -> Iterator[Moment]:
        """The moments of `rows` (None: of all), one after the other."""
        return (self.moment(int(row)) for row in (self.rows if rows is None else rows))

    def what_if(self, rows: Iterable[int] | None = None) -> WhatIf:
        """The decisions of consecutive `rows` (None: of all), to be asked with other gates or sizes."""
        chosen = self.rows if rows is None else np.array(list(rows), np.int64)
        after = [min(int(chosen[-1]) + 1, len(self.result.ts) - 1)] if len(chosen) else []
        marks = np.array([mark_prices(self.snapshot(int(row))) for row in (*chosen, *after)])
        moments = list(self.moments(chosen))
        return WhatIf(moments, marks, self.result, chosen, min_notional=self.settings.execution.min_notional)

    def _check(self, row: int) -> int:
        if not 0 <= row < len(self.result.ts):
            raise DataError(f"row {row} is outside the backtest's {len(self.result.ts)} bars; give 0 or more")
        return int(row)

    def _of(self, row: int) -> int:
        number = self._number.get(int(self.result.ts[self._check(row)]))
        if number is None:
            raise DataError(
                f"nothing was decided at {iso_time(self.result.ts[row])}: nobody traded in that bar; use .rows"
            )
        return number

    def _make_snapshot(self, known_at: int) -> Snapshot:
        at = int(np.searchsorted(self.history.ts, known_at))
        if at == len(self.history.ts) or self.history.ts[at] != known_at:
            raise DataError(f"the history has no bar at {iso_time(known_at)}; give the one that the backtest ran on")
        return self.history.snapshot(at, self.window)

    def _decide_again(self, row: int) -> Decision:
        recorded = str(self.books.digest[self._of(row)])
        again = decide(self.snapshot(row), self.book(row), self.stages(row))
        if again.digest != recorded:
            raise ArtifactError(
                f"the decision of {iso_time(again.known_at)} made again has digest {again.digest[:16]}, recorded was "
                f"{recorded[:16]}: data, settings, stages or code are not those of the backtest; run it again"
            )
        return again
