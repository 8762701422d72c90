"""A tiny market, its history and a decide() that does what a test says: no feature engine and no fitted stage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest

from workbench.core.bars import Bars
from workbench.core.calendar import sessions_between
from workbench.core.horizon import N_HORIZONS
from workbench.core.types import (
    Alphas,
    Book,
    Carry,
    Choice,
    Costs,
    Decision,
    Features,
    Forecasts,
    Phase,
    Snapshot,
    State,
    Target,
)
from workbench.core.units import NS_PER_MINUTE
from workbench.core.universe import Universe

SYMBOLS = ("AAA", "BBB", "CCC")


def make_bars(first: str = "2025-06-02", last: str = "2025-06-05", *, quotes: bool = True, seed: int = 1) -> Bars:
    """A few sessions of 5-minute bars of three symbols; one-cent-per-10-dollars spreads, 20,000 shares a bar."""
    rng = np.random.default_rng(seed)
    ts, session, number, count = sessions_between(first, last).grid(5)
    shape = (len(ts), len(SYMBOLS))
    close = np.array([50.0, 100.0, 20.0]) * np.exp(np.cumsum(rng.normal(0, 2e-3, shape), axis=0))
    opened = np.vstack([close[:1], close[:-1]]) * (1 + rng.normal(0, 1e-4, shape))
    high, low = np.maximum(opened, close) * 1.0005, np.minimum(opened, close) * 0.9995
    volume = rng.integers(10_000, 30_000, shape).astype(float)
    half = close * 5e-4
    quote = {}
    if quotes:
        quote = {"bid": close - half, "ask": close + half}
        quote |= {"bid_size": np.full(shape, 200.0), "ask_size": np.full(shape, 200.0)}
    return Bars(SYMBOLS, 5, ts, session, number, count, opened, high, low, close, volume, **quote)


@dataclass
class ToyHistory:
    """The part of a FeatureHistory that the engine reads, straight from bars."""

    bars: Bars

    def __post_init__(self) -> None:
        self.symbols, self.ts = self.bars.symbols, self.bars.ts
        self.universe = Universe.of(self.symbols)
        self.spread = np.full(self.bars.shape, 1e-3)
        self.sigma_1d = np.full(self.bars.shape, 0.02)
        self.sigma_5m = self.sigma_1d / np.sqrt(78)
        self.session = self.bars.session

    def expected_volume(self, t: int) -> np.ndarray:
        return np.full((N_HORIZONS, len(self.symbols)), 20_000.0)

    def snapshot(self, t: int, window: int = 0) -> Snapshot:
        bars, n = self.bars, len(self.symbols)
        nan = np.full(n, np.nan)
        left = float((bars.bars_in_session[t] - 1 - bars.bar_of_session[t]) * 5)
        none = Features((), np.zeros((n, 0)), np.zeros((n, 0, 0)))
        fields = {k: getattr(bars, k) for k in ("bid", "ask", "bid_size", "ask_size")}
        quote = {k: nan if v is None else v[t] for k, v in fields.items()}
        return Snapshot(
            known_at=int(bars.ts[t]),
            symbols=self.symbols,
            features=none,
            daily=none,
            price=bars.close[t],
            **quote,
            quote_age_s=np.zeros(n),
            spread=self.spread[t],
            sigma_5m=self.sigma_5m[t],
            sigma_1d=self.sigma_1d[t],
            sigma_h=np.full((N_HORIZONS, n), 0.01),
            expected_volume=self.expected_volume(t),
            correlation=np.eye(n),
            leverage=np.ones(n),
            halted=np.zeros(n, bool),
            shortable=np.ones(n, bool),
            eligible=np.ones(n, bool),
            horizon_open=np.ones(N_HORIZONS, bool),
            session=int(bars.session[t]),
            bar_of_session=int(bars.bar_of_session[t]),
            minutes_to_close=left,
            bucket=0,
            phase=Phase.OPEN,
            spread_estimated=not bars.has_quotes,
        )


def make_decision(snapshot: Snapshot, weights: np.ndarray, breaches: tuple = ()) -> Decision:
    """A decision whose target is `weights` (N,), everything else empty."""
    n = len(snapshot.symbols)
    hn, zero = np.zeros((N_HORIZONS, n)), np.zeros(n)
    return Decision(
        known_at=snapshot.known_at,
        symbols=snapshot.symbols,
        forecasts=Forecasts((), np.zeros((0, n)), hn, hn),
        alphas=Alphas(hn, hn),
        costs=Costs(hn, zero, zero, zero, zero),
        choice=Choice(zero, weights, hn + 1 / N_HORIZONS, np.full(n, State.FORECAST), zero),
        gate=np.ones(n),
        desired=weights,
        target=Target(weights, np.ones(n, bool)),
        carry=Carry.empty(n),
        breaches=breaches,
        config_digest="c",
        artifacts_digest="a",
        snapshot_digest=snapshot.digest,
    )


def follow(rule: Callable[[Snapshot, Book], np.ndarray]) -> Callable:
    """A decide() whose target weights are rule(snapshot, book)."""
    return lambda snapshot, book, stages: make_decision(snapshot, np.asarray(rule(snapshot, book), float))


def random_weights(scale: float = 0.04) -> Callable[[Snapshot, Book], np.ndarray]:
    """Weights drawn from the bar's time alone, so that every run of any length agrees on them."""

    def rule(snapshot: Snapshot, book: Book) -> np.ndarray:
        rng = np.random.default_rng(snapshot.known_at // NS_PER_MINUTE)
        return rng.uniform(-scale, scale, len(snapshot.symbols))

    return rule


def tranche_of(bars: Bars, first: int = 1, stages: object = None) -> SimpleNamespace:
    """One tranche over the sessions of `bars` from number `first`, fitted long before."""
    sessions = [s for s, _, _ in bars.sessions()]
    return SimpleNamespace(first_session=sessions[first], last_session=sessions[-1], stages=stages, fitted_until=0)


def builders() -> SimpleNamespace:
    """All builders in one place."""
    return SimpleNamespace(
        bars=make_bars,
        history=ToyHistory,
        decision=make_decision,
        follow=follow,
        random_weights=random_weights,
        tranche=tranche_of,
        symbols=SYMBOLS,
    )


@pytest.fixture
def toy() -> SimpleNamespace:
    """The builders for one test."""
    return builders()


@pytest.fixture(scope="module")
def toy_module() -> SimpleNamespace:
    """The builders for fixtures that live as long as a module."""
    return builders()
