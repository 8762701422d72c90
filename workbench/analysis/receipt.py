"""The receipt of one symbol in one decision: what was known, said, expected, charged, gated, sized, ordered and filled.

Everything here is read off the decision and what it was made from; unknown numbers are NaN. Contribution of a horizon h
with weight w_h to the gross daily rate that is sized: w_h * alpha_h * 390 / m_h.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from workbench.core.errors import DataError, nearest_name
from workbench.core.horizon import HORIZONS
from workbench.core.types import Book, Breach, Decision, Fill, OrderIntent, Snapshot, State
from workbench.core.units import BPS, SESSION_MINUTES
from workbench.decision.arbitration import after_round_trip

MARKET = ("price", "bid", "ask", "quote_age_s", "spread", "sigma_5m", "sigma_1d")


@dataclass(frozen=True, slots=True)
class Market:
    """What the snapshot knew of the symbol; `known`: each of MARKET, `features` and `daily` by name."""

    known: dict[str, float]
    halted: bool
    phase: str
    features: dict[str, float]
    daily: dict[str, float]


@dataclass(frozen=True, slots=True)
class ModelLine:
    """One model: its forecast over its horizon, NaN where it abstained."""

    model: str
    horizon: str
    forecast_bps: float


@dataclass(frozen=True, slots=True)
class HorizonLine:
    """One horizon after blending, costs and arbitration, in basis points over the horizon unless said.

    `sigma_bps` of the return over the horizon; blended `raw_bps` before smoothing, `alpha_bps` after; one-way
    `cost_bps`; `net_bps` after a round trip; calibrated probabilities; `weight` of the arbitration; `share_bps_a_day`,
    what it contributes to the gross daily rate.
    """

    horizon: str
    sigma_bps: float
    raw_bps: float
    alpha_bps: float
    cost_bps: float
    net_bps: float
    p_peak: float
    p_valley: float
    weight: float
    share_bps_a_day: float


@dataclass(frozen=True, slots=True)
class Position:
    """What was held when it was decided; `nav` USD."""

    shares: float
    weight: float
    nav: float


@dataclass(frozen=True, slots=True)
class Receipt:
    """All stages of one symbol and one bar. `market`, `position`, `z` need the snapshot or the book, else unknown.

    `costs_bps`: part -> one-way cost of the reference trade. `z`: the gated rate in sigmas of a day.
    """

    symbol: str
    known_at: int
    digest: str
    market: Market | None
    position: Position | None
    models: tuple[ModelLine, ...]
    horizons: tuple[HorizonLine, ...]
    costs_bps: dict[str, float]
    state: str
    net_bps_a_day: float
    gross_bps_a_day: float
    gate: float
    z: float
    desired_weight: float
    target_weight: float
    tradable: bool
    breaches: tuple[Breach, ...]
    orders: tuple[OrderIntent, ...]
    fills: tuple[Fill, ...]

    @property
    def rate_steps(self) -> tuple[tuple[str, float], ...]:
        """(step, change in basis points a day) from nothing to the rate that is sized: horizons, then the gate."""
        parts = [(line.horizon, line.share_bps_a_day) for line in self.horizons if line.weight > 0]
        gate = self.gross_bps_a_day * (self.gate - 1.0)
        return (*parts, ("gate", float(gate))) if parts else ()

    @property
    def weight_steps(self) -> tuple[tuple[str, float], ...]:
        """(step, weight as a fraction of NAV) from what was held to what was filled, at mid; NaN unknown."""
        held = self.position.weight if self.position else float("nan")
        nav = self.position.nav if self.position else float("nan")
        ordered = sum(o.side * o.quantity * o.arrival_mid for o in self.orders) / nav
        filled = sum(f.side * f.quantity * f.mid for f in self.fills) / nav
        return (
            ("held", held), ("desired", self.desired_weight), ("target", self.target_weight),
            ("ordered", held + ordered), ("filled", held + filled),
        )  # fmt: skip

    @property
    def edge(self) -> dict[str, float]:
        """Horizon -> |alpha| in round trips of cost, with the sign of alpha: beyond +-1 it admits a new position."""
        return {h.horizon: h.alpha_bps / (2 * h.cost_bps) if h.cost_bps > 0 else float("nan") for h in self.horizons}

    @property
    def slippage_bps(self) -> float:
        """Fill prices against the mids they met, mean by value, paid > 0; NaN without fills."""
        value = sum(f.quantity * f.mid for f in self.fills)
        paid = sum(f.side * f.quantity * (f.price - f.mid) for f in self.fills)
        return paid / value / BPS if value else float("nan")


def receipt(
    decision: Decision,
    symbol: str,
    *,
    snapshot: Snapshot | None = None,
    book: Book | None = None,
    orders: Sequence[OrderIntent] = (),
    fills: Sequence[Fill] = (),
) -> Receipt:
    """The receipt of `symbol`, with those of `orders` and `fills` that are its own; :class:`DataError` names others."""
    d = decision
    if symbol not in d.symbols:
        raise DataError(
            f"nothing was decided on {symbol}.{nearest_name(symbol, d.symbols)} Choose one of {len(d.symbols)} symbols"
        )
    i = d.symbols.index(symbol)
    gross = float(d.choice.gross[i])
    sigma = float(snapshot.sigma_1d[i]) if snapshot is not None else float("nan")
    parts = {name: float(getattr(d.costs, name)[i] / BPS) for name in ("spread", "volatility", "impact", "commission")}
    return Receipt(
        symbol=symbol,
        known_at=d.known_at,
        digest=d.digest,
        market=None if snapshot is None else _market(snapshot, i),
        position=None if book is None else Position(float(book.positions[i]), float(book.weights[i]), book.nav),
        models=_models(d, i),
        horizons=_horizons(d, i, snapshot),
        costs_bps=parts,
        state=State(int(d.choice.state[i])).name,
        net_bps_a_day=float(d.choice.net[i] / BPS),
        gross_bps_a_day=gross / BPS,
        gate=float(d.gate[i]),
        z=float(d.gate[i]) * gross / sigma,
        desired_weight=float(d.desired[i]),
        target_weight=float(d.target.weights[i]),
        tradable=bool(d.target.tradable[i]),
        breaches=tuple(b for b in d.breaches if b.symbol in ("", symbol)),
        orders=tuple(o for o in orders if o.symbol == symbol),
        fills=tuple(f for f in fills if f.symbol == symbol),
    )


def _market(s: Snapshot, i: int) -> Market:
    features, daily = (dict(zip(f.names, map(float, f.latest[i]))) for f in (s.features, s.daily))
    known = {name: float(getattr(s, name)[i]) for name in MARKET}
    return Market(known, bool(s.halted[i]), str(s.phase), features, daily)


def _models(d: Decision, i: int) -> tuple[ModelLine, ...]:
    return tuple(
        ModelLine(f"{key.family}/{key.strategy}", key.horizon, float(row[i] / BPS))
        for key, row in zip(d.forecasts.keys, d.forecasts.expected_return)
    )


def _horizons(d: Decision, i: int, snapshot: Snapshot | None) -> tuple[HorizonLine, ...]:
    rows = []
    for h in HORIZONS:
        alpha, cost, weight = d.alphas.smoothed[h.order, i], d.costs.one_way[h.order, i], d.choice.weights[h.order, i]
        share = weight * alpha * SESSION_MINUTES / h.minutes if weight else 0.0
        rows.append(
            HorizonLine(
                horizon=h.label,
                sigma_bps=float("nan") if snapshot is None else float(snapshot.sigma_h[h.order, i] / BPS),
                raw_bps=float(d.alphas.raw[h.order, i] / BPS),
                alpha_bps=float(alpha / BPS),
                cost_bps=float(cost / BPS),
                net_bps=float(after_round_trip(alpha, cost) / BPS),
                p_peak=float(d.forecasts.p_peak[h.order, i]),
                p_valley=float(d.forecasts.p_valley[h.order, i]),
                weight=float(weight),
                share_bps_a_day=float(share / BPS),
            )
        )
    return tuple(rows)
