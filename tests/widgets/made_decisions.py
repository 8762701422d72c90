"""Decisions whose every number a test knows: nothing is fitted and nothing decides."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from workbench.core.horizon import HORIZONS, N_HORIZONS
from workbench.core.types import (
    Alphas,
    Book,
    Carry,
    Choice,
    Costs,
    Decision,
    Features,
    Forecasts,
    ModelKey,
    Phase,
    Snapshot,
    Target,
)

SYMBOLS = ("AAA", "BBB", "CCC")
NAN = float("nan")


class Made(NamedTuple):
    decision: Decision
    snapshot: Snapshot
    book: Book


def made(symbols: tuple[str, ...] = SYMBOLS, *, known_at: int = 10**18, alpha_bps: Any = 2.0, cost_bps: float = 0.5,
         sigma: float = 1e-3, weights: Any = None, target: Any = 0.0, held: Any = 0.0, gate: Any = 0.5,
         state: Any = 2, nav: float = 1e6, day_start: float = 1e6, peak: float = 1e6) -> Made:  # fmt: skip
    """A decision on `symbols`; arrays broadcast to (H, N) or (N,). `weights` of the arbitration: 1 at 5m if None."""
    n = len(symbols)
    wide, flat = (N_HORIZONS, n), np.zeros(n)

    def full(value: Any, shape: tuple[int, ...] = (n,)) -> np.ndarray:
        return np.array(np.broadcast_to(np.asarray(value, float), shape))

    shares = np.eye(N_HORIZONS)[:, :1] * np.ones((1, n)) if weights is None else full(weights, wide)
    alpha, cost, none = full(alpha_bps, wide) * 1e-4, full(cost_bps, wide) * 1e-4, full(NAN, wide)
    decision = Decision(
        known_at, symbols, Forecasts((ModelKey("MLP", "single_task", "5m"),), full(1e-4, (1, n)), none, none),
        Alphas(alpha, alpha), Costs(cost, cost[0], flat, flat, flat),
        Choice(flat + 1e-3, flat + 2e-3, shares, np.broadcast_to(np.asarray(state), (n,)).copy(), flat),
        full(gate), full(target), Target(full(target), np.ones(n, bool)), Carry.empty(n), (), "config", "artifacts",
        "snapshot",
    )  # fmt: skip
    book = _book(symbols, known_at, full(held), nav, day_start, peak)
    return Made(decision, _snapshot(symbols, known_at, sigma), book)


def _snapshot(symbols: tuple[str, ...], known_at: int, sigma: float) -> Snapshot:
    n = len(symbols)
    ones, yes = np.ones(n), np.ones(n, bool)
    features = Features(("a",), np.zeros((n, 1)), np.zeros((n, 0, 1)))
    days = np.array([h.minutes / 390 for h in HORIZONS])[:, None]
    return Snapshot(
        known_at, symbols, features, features, 100 * ones, 99.9 * ones, 100.1 * ones, ones, ones, ones, 2e-3 * ones,
        sigma * ones, 0.01 * ones, np.full((N_HORIZONS, n), sigma), 1e6 * days * ones, np.eye(n), ones, ~yes, yes, yes,
        np.ones(N_HORIZONS, bool), 20_000, 1, 300.0, 1, Phase.OPEN,
    )  # fmt: skip


def _book(symbols: tuple[str, ...], at: int, weights: np.ndarray, nav: float, day_start: float, peak: float) -> Book:
    positions = weights * nav / 100.0
    return Book(at, symbols, positions, weights, nav, nav, day_start, peak, 0.0, (), Carry.empty(len(symbols)))
