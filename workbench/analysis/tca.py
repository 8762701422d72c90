"""Transaction-cost analysis: what execution paid against the mids it could have had. Pure, over arrays.

With side s (+1 bought, -1 sold), price p, and the mids m: d at the decision, a at arrival (when the order first left),
f at the fill, i the mean while the order worked; positive is cost, for buys and sells alike:

    slippage against x  = s * (p / m_x - 1)                    decision, arrival, interval
    delay               = s * (m_a / m_d - 1)                  from the decision until the order left
    spread paid         = s * (p - m_f) / m_a                  what was given up to trade at that moment
    impact              = s * (m_f - m_a) / m_a                what the mid moved while the order worked, ours or not
    commission          = commission / (quantity * p)

spread paid + impact = slippage against arrival. Means are weighted by traded value; their standard errors treat an
order as one observation, since the fills of an order share its market. An unknown mid is NaN and is left out, and how
many were is told. Source: Perold (1988), The implementation shortfall; Kissell & Glantz (2003).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import numpy as np

from workbench.core.arrays import BoolArray, FloatArray, IntArray, check_shape, readonly
from workbench.core.errors import DataError
from workbench.core.units import BPS, NS_PER_SECOND
from workbench.decision.costs import CostObservations

T = TypeVar("T", "SentOrders", "Fills")
NEW_YORK = ZoneInfo("America/New_York")
SIZE_EDGES_USD = (1_000.0, 10_000.0, 100_000.0)
"""Edges between the buckets of order value."""


@dataclass(frozen=True, slots=True)
class SentOrders:
    """K orders that left. (K,) each; USD, NaN unknown.

    `system` that wanted it (several that share it: joined by "+"); `quantity` shares sent, `filled` of them,
    `cancelled`: it ended with shares unfilled; `replacements` changes. `decision_mid`, `arrival_mid`, `interval_mid`:
    see the module; `spread` relative quoted at arrival (else at the decision), `sigma_exec` of a return over the
    execution window, `sigma_1d` of a day's, `expected_volume` shares of that window; `bucket` the time of day
    (:data:`~workbench.core.types.TIME_BUCKETS`); `predicted` one-way cost without commission that the model expected at
    the decision for its reference trade, decimal.
    """

    order_ref: tuple[str, ...]
    system: tuple[str, ...]
    symbol: tuple[str, ...]
    policy: tuple[str, ...]
    side: IntArray
    quantity: FloatArray
    filled: FloatArray
    cancelled: BoolArray
    replacements: IntArray
    decision_mid: FloatArray
    arrival_mid: FloatArray
    interval_mid: FloatArray
    spread: FloatArray
    sigma_exec: FloatArray
    sigma_1d: FloatArray
    expected_volume: FloatArray
    bucket: IntArray
    predicted: FloatArray

    def __post_init__(self) -> None:
        _freeze(self, ints=("side", "replacements", "bucket"), flags=("cancelled",))
        ref, times = Counter(self.order_ref).most_common(1)[0] if self.order_ref else ("", 0)
        if times > 1:
            raise DataError(f"order {ref} is listed {times} times; give one line per order")
        if not np.isin(self.side, (1, -1)).all():
            k = int(np.argmin(np.isin(self.side, (1, -1))))
            raise DataError(f"side of order {self.order_ref[k]} is {self.side[k]}; it must be +1 (buy) or -1 (sell)")

    def __len__(self) -> int:
        return len(self.order_ref)


@dataclass(frozen=True, slots=True)
class Fills:
    """R executions of such orders, each once. (R,) each; USD, NaN unknown; `mid` at the fill; `time` UTC ns."""

    order_ref: tuple[str, ...]
    quantity: FloatArray
    price: FloatArray
    commission: FloatArray
    mid: FloatArray
    time: IntArray

    def __post_init__(self) -> None:
        _freeze(self, ints=("time",), flags=())

    def __len__(self) -> int:
        return len(self.order_ref)


@dataclass(frozen=True, slots=True)
class CostLines:
    """Every cost of every fill in basis points of its value, (R,) each, NaN unknown; `value` USD; `order` its row."""

    order: IntArray
    value: FloatArray
    decision_bps: FloatArray
    arrival_bps: FloatArray
    interval_bps: FloatArray
    delay_bps: FloatArray
    spread_bps: FloatArray
    impact_bps: FloatArray
    commission_bps: FloatArray


COSTS = ("decision_bps", "arrival_bps", "interval_bps", "delay_bps", "spread_bps", "impact_bps", "commission_bps")


@dataclass(frozen=True, slots=True)
class MeanCost:
    """Mean weighted by value and its standard error, basis points; NaN where nothing (or, `se`, one order) is known.

    `fills` that count and `unknown` that had to be left out.
    """

    mean: float
    se: float
    fills: int
    unknown: int


@dataclass(frozen=True, slots=True)
class CostGroup:
    """The fills and orders that share `key`. `costs`: name of COSTS -> mean. Rates in [0, 1], NaN without orders.

    `fill_rate` shares filled of shares sent; `cancel_rate` orders that ended with shares unfilled; `replacements` mean
    changes per order. By hour, orders are those that filled in it.
    """

    key: str
    orders: int
    fills: int
    value: float
    costs: Mapping[str, MeanCost]
    fill_rate: float
    cancel_rate: float
    replacements: float


def cost_lines(orders: SentOrders, fills: Fills) -> CostLines:
    """The costs of each fill. :class:`DataError` for a fill of an order that is not listed."""
    row = {ref: k for k, ref in enumerate(orders.order_ref)}  # order_ref -> row
    strange = next((ref for ref in fills.order_ref if ref not in row), None)
    if strange is not None:
        raise DataError(f"a fill belongs to order {strange}, which is not among the {len(orders)} orders given")
    k = np.array([row[ref] for ref in fills.order_ref], np.int64)
    side, price = orders.side[k], np.where(fills.price > 0, fills.price, np.nan)
    decision, arrival, interval = (_mid(m[k]) for m in (orders.decision_mid, orders.arrival_mid, orders.interval_mid))
    at_fill, value = _mid(fills.mid), fills.quantity * price
    return CostLines(
        order=k,
        value=value,
        decision_bps=side * (price / decision - 1) / BPS,
        arrival_bps=side * (price / arrival - 1) / BPS,
        interval_bps=side * (price / interval - 1) / BPS,
        delay_bps=side * (arrival / decision - 1) / BPS,
        spread_bps=side * (price - at_fill) / arrival / BPS,
        impact_bps=side * (at_fill - arrival) / arrival / BPS,
        commission_bps=fills.commission / value / BPS,
    )


def join(parts: Sequence[tuple[SentOrders, Fills]]) -> tuple[SentOrders, Fills]:
    """The orders and fills of several sessions of one journal, oldest first, as one table each.

    An order that two of them list (it outlived the first) stands once: as the later one has it.
    """
    if not parts:
        raise DataError("nothing to put together: give the orders and fills of at least one session")
    refs = [ref for orders, _ in parts for ref in orders.order_ref]
    last = np.array(sorted({ref: k for k, ref in enumerate(refs)}.values()), np.int64)
    return _stacked(SentOrders, [orders for orders, _ in parts], last), _stacked(Fills, [made for _, made in parts])


def _stacked(table: type[T], parts: Sequence[T], rows: IntArray | None = None) -> T:
    """Tables below one another; `rows` of them where not all are wanted."""
    columns: dict[str, Any] = {}
    for f in fields(table):  # type: ignore[arg-type]
        values = [getattr(part, f.name) for part in parts]
        if isinstance(values[0], tuple):
            whole = [x for value in values for x in value]
            columns[f.name] = tuple(whole if rows is None else (whole[k] for k in rows))
        else:
            whole_array = np.concatenate(values)
            columns[f.name] = whole_array if rows is None else whole_array[rows]
    return table(**columns)


def order_costs(orders: SentOrders, fills: Fills, cost: str) -> FloatArray:
    """(K,) one of COSTS for each order, bps: mean over its fills by value; NaN where one of them is unknown."""
    lines = cost_lines(orders, fills)
    paid = np.bincount(lines.order, weights=lines.value * getattr(lines, cost), minlength=len(orders))
    value = np.bincount(lines.order, weights=lines.value, minlength=len(orders))
    return np.asarray(np.divide(paid, value, out=np.full(len(orders), np.nan), where=value > 0))


def by_system(orders: SentOrders, fills: Fills) -> tuple[CostGroup, ...]:
    """One group per system; orders that several share are a group of their own."""
    return _grouped(orders, fills, np.array(orders.system, dtype=object))


def by_symbol(orders: SentOrders, fills: Fills) -> tuple[CostGroup, ...]:
    """One group per symbol, in their order."""
    return _grouped(orders, fills, np.array(orders.symbol, dtype=object))


def by_policy(orders: SentOrders, fills: Fills) -> tuple[CostGroup, ...]:
    """One group per execution policy."""
    return _grouped(orders, fills, np.array(orders.policy, dtype=object))


def by_size(orders: SentOrders, fills: Fills) -> tuple[CostGroup, ...]:
    """One group per bucket of order value at its arrival (or decision) mid; "unknown" where neither is known."""
    mid = np.where(np.isfinite(orders.arrival_mid), orders.arrival_mid, orders.decision_mid)
    value = orders.quantity * mid
    labels = np.array([_size_label(v) for v in value.tolist()], dtype=object)
    ranked = [_size_label(v) for v in (0.0, *SIZE_EDGES_USD, float("nan"))]
    return tuple(sorted(_grouped(orders, fills, labels), key=lambda g: ranked.index(g.key)))


def by_hour(orders: SentOrders, fills: Fills) -> tuple[CostGroup, ...]:
    """One group per hour of New York in which fills happened; an order counts in every hour that filled it."""
    hours = fills.time // (3600 * NS_PER_SECOND)
    local = {int(h): f"{datetime.fromtimestamp(int(h) * 3600, NEW_YORK):%H}:00" for h in np.unique(hours)}
    labels = np.array([local[int(h)] for h in hours], dtype=object)
    lines = cost_lines(orders, fills)
    return tuple(
        _group(key, orders, lines, labels == key, np.unique(lines.order[labels == key])) for key in sorted(set(labels))
    )


def overall(orders: SentOrders, fills: Fills) -> CostGroup:
    """Everything in one group."""
    lines = cost_lines(orders, fills)
    return _group("all", orders, lines, np.ones(len(fills), dtype=bool), np.arange(len(orders)))


def cost_observations(orders: SentOrders, fills: Fills) -> CostObservations:
    """One row per order that was filled: what :meth:`workbench.decision.costs.CostModel.fit` learns k1..k3 from.

    `cost` is that of the order's mean price against its arrival mid, without commission; participation the filled
    shares over `expected_volume`. An order is a row, not a fill: its fills share its market. Unknown stays NaN, and the
    fit leaves it out.
    """
    lines = cost_lines(orders, fills)
    shares = np.bincount(lines.order, weights=fills.quantity, minlength=len(orders))
    value = np.bincount(lines.order, weights=lines.value, minlength=len(orders))
    done = shares > 0
    mean = value[done] / shares[done]
    volume = np.where(orders.expected_volume > 0, orders.expected_volume, np.nan)
    return CostObservations(
        cost=orders.side[done] * (mean / _mid(orders.arrival_mid[done]) - 1),
        spread=orders.spread[done],
        sigma_exec=orders.sigma_exec[done],
        sigma_1d=orders.sigma_1d[done],
        participation=shares[done] / volume[done],
        bucket=orders.bucket[done],
    )


def interval_mid(times: IntArray, mids: FloatArray, start: int, end: int) -> float:
    """Mean of a mid over [start, end], weighted by how long each stood; the last one before `start` stands at first.

    `times` (Q,) ascending UTC ns, from when `mids` (Q,) stood. NaN where no known mid stood in the interval.

    >>> interval_mid(np.array([0, 10, 20]), np.array([100.0, 102.0, 110.0]), 5, 15)
    101.0
    """
    if end < start:
        raise DataError(f"the interval ends at {end} ns, before it starts at {start} ns")
    first = max(int(np.searchsorted(times, start, side="right")) - 1, 0)
    last = int(np.searchsorted(times, end, side="right"))
    edges = np.r_[np.maximum(times[first:last], start), end].astype(np.int64)
    span, level = np.diff(edges).astype(np.float64), np.asarray(mids[first:last], np.float64)
    if start == end and len(span):
        span = np.where(np.arange(len(span)) == len(span) - 1, 1.0, 0.0)
    known = np.isfinite(level) & (span > 0)
    return float(level[known] @ span[known] / span[known].sum()) if known.any() else float("nan")


def mean_cost(cost: FloatArray, value: FloatArray, order: IntArray) -> MeanCost:
    """Mean of `cost` (R,) weighted by `value` (R,), with a standard error clustered by `order` (R,).

        mean = sum v c / sum v;   se^2 = n/(n-1) * sum over orders of (sum of v (c - mean))^2 / (sum v)^2

    For n orders of one fill and equal value that is the usual s / sqrt(n).

    >>> mean_cost(np.array([1.0, 3.0, np.nan]), np.ones(3), np.arange(3))
    MeanCost(mean=2.0, se=1.0, fills=2, unknown=1)
    """
    known = np.isfinite(cost) & np.isfinite(value) & (value > 0)
    count, unknown = int(known.sum()), int((~known).sum())
    if not count:
        return MeanCost(float("nan"), float("nan"), 0, unknown)
    c, v = cost[known], value[known]
    mean = float(v @ c / v.sum())
    _, cluster = np.unique(order[known], return_inverse=True)
    sums = np.bincount(cluster, weights=v * (c - mean))
    n = len(sums)
    se = float(np.sqrt(n / (n - 1) * (sums @ sums)) / v.sum()) if n > 1 else float("nan")
    return MeanCost(mean, se, count, unknown)


def _grouped(orders: SentOrders, fills: Fills, label: np.ndarray) -> tuple[CostGroup, ...]:
    """Groups of orders by `label` (K,), each with the fills of its orders."""
    lines = cost_lines(orders, fills)
    of_fill = label[lines.order]
    return tuple(
        _group(str(key), orders, lines, of_fill == key, np.flatnonzero(label == key)) for key in sorted(set(label))
    )


def _group(key: str, orders: SentOrders, lines: CostLines, chosen: BoolArray, rows: IntArray) -> CostGroup:
    value, order = lines.value[chosen], lines.order[chosen]
    costs = {name: mean_cost(getattr(lines, name)[chosen], value, order) for name in COSTS}
    sent = float(orders.quantity[rows].sum())
    return CostGroup(
        key=key,
        orders=len(rows),
        fills=int(chosen.sum()),
        value=float(np.nansum(value)),
        costs=costs,
        fill_rate=float(orders.filled[rows].sum()) / sent if sent > 0 else float("nan"),
        cancel_rate=float(orders.cancelled[rows].mean()) if len(rows) else float("nan"),
        replacements=float(orders.replacements[rows].mean()) if len(rows) else float("nan"),
    )


def _size_label(value: float) -> str:
    if value != value:
        return "unknown"
    passed = [edge for edge in SIZE_EDGES_USD if value >= edge]
    return f"from {passed[-1]:,.0f} USD" if passed else f"below {SIZE_EDGES_USD[0]:,.0f} USD"


def _mid(mid: FloatArray) -> FloatArray:
    return np.where(mid > 0, mid, np.nan)


def _freeze(table: SentOrders | Fills, ints: tuple[str, ...], flags: tuple[str, ...]) -> None:
    """Read-only columns, all as long as the references."""
    for column in fields(table):
        value = getattr(table, column.name)
        if isinstance(value, tuple):
            if len(value) != len(table.order_ref):
                raise DataError(f"{column.name} has {len(value)} rows, order_ref {len(table.order_ref)}")
            continue
        dtype = np.int64 if column.name in ints else np.bool_ if column.name in flags else np.float64
        object.__setattr__(table, column.name, readonly(value, dtype))
        check_shape(f"{type(table).__name__}.{column.name}", getattr(table, column.name), (len(table.order_ref),))
