"""What the same decisions would have made with other gates or other sizes.

Forecasts, alphas and costs (stages 3 to 5) stay as they were decided; arbitration, gate, sizing and validation (6 to 9)
are done again, bar after bar, by the stage objects themselves with other settings, on a book that follows its own
targets, because zone, band, held names and limits all depend on what is held. With w_t the target of bar t, v_t what is
held when it is decided, r_t the return of the marks to the next decision and c_t(x) the one-way cost of a trade of size
x (stage 5)::

    gross_t = sum w_t r_t       cost_t = sum c_t(|w_t - v_t|) |w_t - v_t|       net_t = gross_t - cost_t
    v_t+1   = w_t (1 + r_t) / (1 + net_t)

It is an approximation of the backtest, not another one: see LEFT_OUT, and `own`, the backtest's numbers of these bars.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from workbench.analysis.gate_study import with_settings
from workbench.config import GatingSettings, SizingSettings
from workbench.core.arrays import FloatArray, IntArray, check_shape
from workbench.core.errors import DataError
from workbench.core.results import BacktestResult
from workbench.core.types import Book, Carry, Decision, Snapshot, State
from workbench.decision.pipeline import Ending, Stages, decide_from
from workbench.decision.sizing import PositionSizer
from workbench.decision.validation import PositionValidator

LEFT_OUT = (
    "Every target is reached at the marks of its bar, at the cost that stage 5 estimates: no rounding to whole shares, "
    "no partial fills or guards, no move between decision and fill, no borrow. Forecasts and costs stay those decided "
    "with the backtest's own NAV, and the flatten window stays where it was."
)
"""What a what-if does not see, in words for whoever looks at it."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A decision with everything that it was made from."""

    decision: Decision
    snapshot: Snapshot
    book: Book
    stages: Stages


@dataclass(frozen=True, slots=True)
class Gated:
    """Gates of T decisions with the horizons as they were chosen then.

    `gates` (T, N), NaN where a name is no FORECAST; `alpha` (T, N) gross daily rate before the gate. By side, (T, 2)
    for longs and shorts, NaN where there are none: `mean_gate`; `before` and `after`, the mean absolute daily rate.
    """

    gates: FloatArray
    alpha: FloatArray
    mean_gate: FloatArray
    before: FloatArray
    after: FloatArray


@dataclass(frozen=True, slots=True)
class Outcome:
    """T bars of one way to trade. Decimals of NAV, each (T,) unless said; what is made is made after the bar.

    `gross`, `cost`, `net` made until the next decision; `turnover` traded; `exposure` sum |w|; `weights` (T, N) held
    after trading; `unpriced` trades whose cost is unknown (they count as free).
    """

    ts: IntArray
    gross: FloatArray
    cost: FloatArray
    net: FloatArray
    turnover: FloatArray
    exposure: FloatArray
    weights: FloatArray
    unpriced: int = 0

    def __len__(self) -> int:
        return len(self.ts)

    def part(self, span: slice) -> Outcome:
        """Some of its bars."""
        return replace(self, **{f.name: getattr(self, f.name)[span] for f in fields(self) if f.name != "unpriced"})


class WhatIf:
    """Consecutive `moments` (T) of one run, asked with other settings.

    `marks` (T + 1, N) at which the book was valued at each moment and at the one after the last, NaN unknown. `result`:
    the backtest, of which `rows` (T,) are the moments; its own numbers are `own`. A trade below `min_notional` USD that
    does not close a position is left out, as when orders are planned.
    """

    def __init__(
        self,
        moments: Sequence[Moment],
        marks: FloatArray,
        result: BacktestResult,
        rows: IntArray,
        *,
        min_notional: float = 0.0,
    ) -> None:
        if not moments:
            raise DataError("a what-if needs at least one decision; give the moments of a Recall")
        self.moments, self.min_notional = tuple(moments), min_notional
        self.symbols = moments[0].decision.symbols
        check_shape("marks", marks, (len(moments) + 1, len(self.symbols)))
        self.ts = np.array([m.decision.known_at for m in self.moments])
        self.session = np.array([m.snapshot.session for m in self.moments])
        self.returns = _returns(marks)
        self.own = _own(result, rows, self.returns)
        self._stack = _Stack.of(self.moments)

    def __len__(self) -> int:
        return len(self.moments)

    @property
    def gating(self) -> GatingSettings:
        """The gate's settings as they were."""
        return self.moments[-1].stages.gate.settings

    @property
    def sizing(self) -> SizingSettings:
        """The sizer's settings as they were."""
        return self.moments[-1].stages.sizer.settings

    def gated(self, gating: GatingSettings | None = None) -> Gated:
        """Gates of all moments at once with other settings (None: as they were)."""
        s, gates = self._stack, np.empty(self._stack.gross.shape)
        for stages, at in s.groups:
            gate = _changed(stages, gating, None).gate
            columns = (s.peak[at], s.valley[at], s.weights[at], s.gross[at], s.state[at], s.bucket[at], s.last[at])
            gates[at] = gate.gates(*columns)
        rate = np.where(s.state == int(State.FORECAST), s.gross, np.nan)
        sides = [np.where(rate > 0, 1.0, np.nan), np.where(rate < 0, 1.0, np.nan)]

        def by_side(values: FloatArray) -> FloatArray:
            return np.stack([_row_mean(values * side) for side in sides], axis=1)

        return Gated(gates, rate, by_side(gates), by_side(np.abs(rate)), by_side(np.abs(rate) * gates))

    def busiest(self, sessions: int) -> slice:
        """The moments of the `sessions` consecutive sessions in which the backtest traded most; the last of equals."""
        days, starts = np.unique(self.session, return_index=True)
        count, edges = min(sessions, len(days)), np.append(starts, len(self))
        traded = np.append(0.0, np.cumsum(np.add.reduceat(self.own.turnover, starts)))
        sums = (traded[count:] - traded[:-count])[::-1]
        first = len(sums) - 1 - int(np.argmax(sums))
        return slice(int(edges[first]), int(edges[first + count]))

    def run(
        self, gating: GatingSettings | None = None, sizing: SizingSettings | None = None, *, sessions: int | None = None
    ) -> Outcome:
        """Trade the busiest `sessions` sessions (None: all) with other settings (None: as they were).

        It begins with what the backtest held at the first of these bars.
        """
        span = slice(0, len(self)) if sessions is None else self.busiest(sessions)
        first = span.start
        twins = {id(stages): _changed(stages, gating, sizing) for stages, _ in self._stack.groups}
        n, count = len(self.symbols), span.stop - first
        weights, v = np.zeros((count, n)), np.zeros((4, count))  # gross, cost, turnover, exposure
        book, unpriced = self.moments[first].book, 0
        for t, moment in enumerate(self.moments[span]):
            end = _decide(moment, book, twins[id(moment.stages)])
            target = self._reached(end, book)
            cost, unknown = _cost(moment, np.abs(target - book.weights), book.nav)
            made = self.returns[first + t]
            weights[t] = target
            v[:, t] = target @ made, cost, np.abs(target - book.weights).sum(), np.abs(target).sum()
            unpriced += unknown
            if t + 1 < count:
                book = _next_book(book, end.carry, target, made, v[:, t], self.moments[first + t + 1].snapshot)
        gross, cost_, turnover, exposure = v
        return Outcome(self.ts[span], gross, cost_, gross - cost_, turnover, exposure, weights, unpriced)

    def sessions_within(self, seconds: float, gating: GatingSettings | None = None) -> int:
        """How many sessions a run gets through in `seconds` here, at least one: timed on the busiest one."""
        best = np.inf
        for _ in range(2):
            start = time.perf_counter()
            bars = len(self.run(gating, sessions=1))
            best = min(best, (time.perf_counter() - start) / bars)
        days, counts = np.unique(self.session, return_counts=True)
        fitting = int((np.cumsum(counts[::-1]) * best <= seconds).sum())
        return min(max(fitting, 1), len(days))

    def _reached(self, end: Ending, book: Book) -> FloatArray:
        """(N,) the target, without the steps that are too small to be ordered."""
        target, now = end.target.weights, book.weights
        small = (np.abs(target - now) * book.nav < self.min_notional) & (target != 0)
        return np.where(small, now, target)


@dataclass(frozen=True, slots=True)
class _Stack:
    """What the gates of T moments need, (T, H, N), (T, N) or (T,); `groups`: stages and the moments they decided."""

    peak: FloatArray
    valley: FloatArray
    weights: FloatArray
    gross: FloatArray
    state: IntArray
    bucket: IntArray
    last: FloatArray
    groups: tuple[tuple[Stages, slice], ...]

    @classmethod
    def of(cls, moments: Sequence[Moment]) -> _Stack:
        d, weights = [m.decision for m in moments], np.array([m.decision.choice.weights for m in moments])
        used = weights > 0  # a probability of a horizon without weight says nothing: 0 times whatever it is
        starts = [i for i, m in enumerate(moments) if i == 0 or m.stages is not moments[i - 1].stages]
        ends = [*starts[1:], len(moments)]
        return cls(
            peak=np.where(used, np.array([x.forecasts.p_peak for x in d]), np.nan),
            valley=np.where(used, np.array([x.forecasts.p_valley for x in d]), np.nan),
            weights=weights,
            gross=np.array([x.choice.gross for x in d]),
            state=np.array([x.choice.state for x in d]),
            bucket=np.array([m.snapshot.bucket for m in moments]),
            last=np.array([m.book.carry.gate for m in moments]),
            groups=tuple((moments[a].stages, slice(a, b)) for a, b in zip(starts, ends, strict=True)),
        )


def _changed(stages: Stages, gating: GatingSettings | None, sizing: SizingSettings | None) -> Stages:
    """`stages` with other settings, what they learned kept."""
    gate, sizer, validator = stages.gate, stages.sizer, stages.validator
    if gating is not None:
        gate = with_settings(gate, gating)
    if sizing is not None:
        sizer = PositionSizer.from_dict(sizer.to_dict(), sizing)
        validator = PositionValidator(validator.settings, sizing)
    return replace(stages, gate=gate, sizer=sizer, validator=validator)


def _decide(moment: Moment, book: Book, stages: Stages) -> Ending:
    d = moment.decision
    return decide_from(d.forecasts, d.alphas, d.costs, moment.snapshot, book, stages)


def _cost(moment: Moment, size: FloatArray, nav: float) -> tuple[float, int]:
    """Cost of the trades (decimal of NAV), and how many of them have an unknown one."""
    if not size.any():
        return 0.0, 0
    each = moment.stages.costs.at_size(moment.decision.costs, size, moment.snapshot, nav) * size
    each = each[size > 0]
    return float(np.nansum(each)), int(np.isnan(each).sum())


def _next_book(
    book: Book, carry: Carry, target: FloatArray, made: FloatArray, v: FloatArray, snapshot: Snapshot
) -> Book:
    """The book at the next decision, on `snapshot`, from the target held and what it made."""
    gross, cost, turnover, _ = v.tolist()
    growth = 1.0 + gross - cost
    nav, today = book.nav * growth, snapshot.session == carry.session
    return replace(
        book,
        as_of=snapshot.known_at,
        weights=target * (1.0 + made) / growth,
        nav=nav,
        day_start_nav=book.day_start_nav if today else book.nav,
        peak_nav=max(book.peak_nav, nav),
        turnover_today=book.turnover_today + turnover if today else 0.0,
        open_orders=(),
        carry=carry,
    )


def _returns(marks: FloatArray) -> FloatArray:
    """(T, N) return of the last known marks from each moment to the next; 0 before the first one."""
    known = np.array(marks)
    for t in range(1, len(known)):
        known[t] = np.where(np.isfinite(known[t]), known[t], known[t - 1])
    return np.nan_to_num(known[1:] / known[:-1] - 1.0)


def _own(result: BacktestResult, rows: IntArray, returns: FloatArray) -> Outcome:
    """What the backtest itself made from each moment to the next, without borrow; fractions of NAV at the moment."""
    edges = np.append(rows, len(result.ts) - 1 if rows[-1] == len(result.ts) - 1 else rows[-1] + 1)

    def until_next(values: FloatArray) -> FloatArray:
        running = np.append(0.0, np.cumsum(values))
        return running[edges[1:] + 1] - running[edges[:-1] + 1]

    nav = result.nav[rows]
    gross = until_next(result.gross_pnl) / nav
    cost = until_next(result.spread_cost + result.impact_cost + result.commission) / nav
    held = result.weights[edges[1:]]
    turnover = until_next(result.turnover * result.nav) / nav
    return Outcome(result.ts[rows], gross, cost, gross - cost, turnover, np.abs(held).sum(axis=1), held)


def _row_mean(values: FloatArray) -> FloatArray:
    """(T,) mean of what is known in each row, NaN where nothing is."""
    known = np.isfinite(values)
    count = known.sum(axis=1)
    return np.where(count > 0, np.where(known, values, 0.0).sum(axis=1) / np.maximum(count, 1), np.nan)
