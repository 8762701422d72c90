"""What trading costs, measured by randomised probe orders sent through the matching engine on past bars.

Each probe is a market order of random side, symbol, bar and size, alone in its market. Its cost is the slippage of its
mean price against the mid (without quotes, the last price) at the moment it was decided, `latency` before it arrives:

    cost = side * (mean price / arrival mid - 1)          decimal of the traded value, commission not included

Size is log-uniform in participation, so that the curve is seen at both ends; sides are balanced, so that drift cancels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol

import numpy as np

from workbench.config import Settings
from workbench.core.arrays import BoolArray, FloatArray, IntArray
from workbench.core.bars import Bars
from workbench.core.clock import ManualClock
from workbench.core.errors import InsufficientDataError
from workbench.core.types import OrderIntent, time_bucket
from workbench.core.units import BAR_MINUTES, NS_PER_SECOND
from workbench.decision.costs import CostObservations
from workbench.gateway.bar_market import BarMarket
from workbench.gateway.matching import MatchingEngine, MatchingRules

LOWEST_PARTICIPATION = 1e-4
"""Of the expected volume of a bar: the smallest probe."""


class ProbeHistory(Protocol):
    """What probes need of a FeatureHistory on the rows of the bars."""

    @property
    def ts(self) -> IntArray: ...
    @property
    def spread(self) -> FloatArray: ...
    @property
    def sigma_5m(self) -> FloatArray: ...
    @property
    def sigma_1d(self) -> FloatArray: ...
    def expected_volume(self, t: int) -> FloatArray: ...


@dataclass(frozen=True, slots=True)
class Probe:
    """One random order: row `t` of the bars, row `h` of the history, column `i`, `side` and `quantity` in shares."""

    t: int
    h: int
    i: int
    side: int
    quantity: int


def probe_costs(
    bars: Bars,
    history: ProbeHistory,
    settings: Settings,
    *,
    before_session: int | None = None,
    n: int = 1000,
    seed: int = 0,
) -> CostObservations:
    """Costs of at most `n` probes on the sessions before `before_session` (all if None).

    `spread` is the relative full spread known at the decision, `sigma_exec` = sigma_5m * sqrt(execution minutes / 5),
    `participation` the filled shares over the expected volume of the next bar, `bucket` the time of day.
    :class:`~workbench.core.errors.InsufficientDataError` if no row can be probed.
    """
    probes = draw_probes(bars, history, settings, before_session, n, seed)
    if not probes:
        raise InsufficientDataError(
            f"no bar before session {before_session} has a price, a spread, a volatility and an expected volume: "
            "costs cannot be probed; give more sessions, or keep the default cost settings"
        )
    sent = list(send_probes(probes, bars, history, settings))
    at = tuple(np.array([(p.h, p.i) for p, _, _ in sent], np.int64).reshape(-1, 2).T)
    return CostObservations(
        cost=np.array([cost for _, cost, _ in sent], np.float64),
        spread=history.spread[at],
        sigma_exec=history.sigma_5m[at] * np.sqrt(settings.costs.execution_minutes / BAR_MINUTES),
        sigma_1d=history.sigma_1d[at],
        participation=np.array([share for _, _, share in sent], np.float64),
        bucket=np.array([_bucket(bars, p.t) for p, _, _ in sent], np.int64),
    )


def _bucket(bars: Bars, t: int) -> int:
    since = (int(bars.bar_of_session[t]) + 1) * BAR_MINUTES
    return time_bucket(since, int(bars.bars_in_session[t]) * BAR_MINUTES - since)


def draw_probes(
    bars: Bars, history: ProbeHistory, settings: Settings, before_session: int | None, n: int, seed: int
) -> list[Probe]:
    """At most `n` probes in time order, no two in the same bar and symbol; none in the last bar of a session."""
    rng = np.random.default_rng(seed)
    rows = np.minimum(np.searchsorted(history.ts, bars.ts), max(len(history.ts) - 1, 0))
    cells = np.argwhere(_usable(bars, history, rows, before_session))
    chosen = cells[np.sort(rng.permutation(len(cells))[:n])]
    sides = np.where(rng.permutation(len(chosen)) % 2 == 0, 1, -1)
    lowest, highest = np.log(LOWEST_PARTICIPATION), np.log(settings.execution.max_participation)
    shares = np.exp(rng.uniform(lowest, max(lowest, highest), len(chosen)))
    probes = []
    for (t, i), side, share in zip(chosen.tolist(), sides.tolist(), shares.tolist()):
        quantity = share * float(history.expected_volume(int(rows[t]))[0, i])
        if np.isfinite(quantity):
            probes.append(Probe(t, int(rows[t]), i, side, max(1, round(quantity))))
    return probes


def send_probes(
    probes: list[Probe], bars: Bars, history: ProbeHistory, settings: Settings
) -> Iterator[tuple[Probe, float, float]]:
    """(probe, cost, participation) of every probe that was filled, at least in part, in the bar after it."""
    rows = np.minimum(np.searchsorted(history.ts, bars.ts), len(history.ts) - 1)
    clock = ManualClock(int(bars.ts[0]))
    rules = MatchingRules(
        plan=settings.costs.commission_plan,
        latency_ns=int(settings.execution.latency_s * NS_PER_SECOND),
        k3=settings.costs.k3,
        impact_exponent=settings.costs.impact_exponent,
        max_participation=settings.execution.max_participation,
    )
    market = BarMarket(MatchingEngine(clock, rules), bars, history.spread[rows], history.sigma_1d[rows])
    for t, group in groupby(probes, key=lambda p: p.t):
        clock.advance_to(int(bars.ts[t]))
        yield from _send_together(list(group), market, history, clock)


def _send_together(
    probes: list[Probe], market: BarMarket, history: ProbeHistory, clock: ManualClock
) -> Iterator[tuple[Probe, float, float]]:
    """Probes of one bar, each in a symbol of its own: sent, filled until the next bar ends, the rest cancelled."""
    engine, bars, t = market.engine, market.bars, probes[0].t
    by_ref = {f"probe-{t}-{p.i}": p for p in probes}
    mids = {p.i: _arrival_mid(bars, t, p.i) for p in probes}
    for ref, p in by_ref.items():
        mid, nan = mids[p.i], float("nan")
        intent = OrderIntent(
            ref, bars.symbols[p.i], p.side, p.quantity, "MKT", nan, "DAY", int(bars.ts[t]), mid, "probe"
        )
        engine.submit(intent)
    market.open_window(t, engine.active_symbols)
    clock.advance_to(int(bars.ts[t + 1]))
    engine.run()
    engine.expire("probe over")
    engine.drain()
    volume = history.expected_volume(probes[0].h)[0]
    for ref, p in by_ref.items():
        order = engine.order(ref)
        if order.filled and volume[p.i] > 0 and np.isfinite(mids[p.i]):
            yield p, p.side * (order.value / order.filled / mids[p.i] - 1), order.filled / float(volume[p.i])


def _arrival_mid(bars: Bars, t: int, i: int) -> float:
    if bars.bid is None or bars.ask is None:
        return float(bars.close[t, i])
    return float(bars.bid[t, i] + bars.ask[t, i]) / 2


def _usable(bars: Bars, history: ProbeHistory, rows: IntArray, before_session: int | None) -> BoolArray:
    """(T, N) cells that have everything a probe needs, in sessions before `before_session`."""
    in_time = history.ts[rows] == bars.ts if len(history.ts) else np.zeros(len(bars.ts), dtype=bool)
    if before_session is not None:
        in_time = in_time & (bars.session < before_session)
    in_time = in_time & (bars.bar_of_session < bars.bars_in_session - 1)
    in_time[-1:] = False
    numbers = (bars.close, history.spread[rows], history.sigma_5m[rows], history.sigma_1d[rows])
    sound = np.logical_and.reduce([np.isfinite(a) & (a > 0) for a in numbers])
    return np.asarray(sound & in_time[:, None])
