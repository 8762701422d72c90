"""Snapshots and books of three symbols, for planning and guards."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from workbench.core.horizon import N_HORIZONS
from workbench.core.types import Book, Features, OrderIntent, Phase, Snapshot
from workbench.core.universe import Instrument, Universe

sys.path.insert(0, str(Path(__file__).parent))  # paper_broker

SYMBOLS = ("AAA", "BBB", "CCC")
PRICES = np.array([50.0, 100.0, 20.0])


def snapshot(**changes) -> Snapshot:
    n = len(SYMBOLS)
    none = Features((), np.zeros((n, 0)), np.zeros((n, 0, 0)))
    whole = Snapshot(
        known_at=10**18,
        symbols=SYMBOLS,
        features=none,
        daily=none,
        price=PRICES,
        bid=PRICES - 0.01,
        ask=PRICES + 0.01,
        bid_size=np.full(n, 100.0),
        ask_size=np.full(n, 100.0),
        quote_age_s=np.zeros(n),
        spread=0.02 / PRICES,
        sigma_5m=np.full(n, 0.002),
        sigma_1d=np.full(n, 0.02),
        sigma_h=np.full((N_HORIZONS, n), 0.01),
        expected_volume=np.full((N_HORIZONS, n), 1e6),
        correlation=np.eye(n),
        leverage=np.ones(n),
        halted=np.zeros(n, bool),
        shortable=np.ones(n, bool),
        eligible=np.ones(n, bool),
        horizon_open=np.ones(N_HORIZONS, bool),
        session=20_300,
        bar_of_session=10,
        minutes_to_close=335.0,
        bucket=1,
        phase=Phase.OPEN,
    )
    return replace(whole, **changes)


def book(positions=(0.0, 0.0, 0.0), nav=1e6, open_orders: tuple[OrderIntent, ...] = ()) -> Book:
    shares = np.asarray(positions, float)
    flat = Book.flat(SYMBOLS, nav)
    return replace(flat, positions=shares, weights=shares * PRICES / nav, open_orders=open_orders)


@pytest.fixture(scope="session")
def desk() -> SimpleNamespace:
    return SimpleNamespace(
        symbols=SYMBOLS,
        prices=PRICES,
        snapshot=snapshot,
        book=book,
        universe=Universe.of(SYMBOLS),
        lots=Universe(tuple(Instrument(s, lot=100) for s in SYMBOLS)),
    )
