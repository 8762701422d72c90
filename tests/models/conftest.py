"""Small planted problems for the models room."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from workbench.core.horizon import N_HORIZONS, horizon
from workbench.core.types import Features, ModelKey, OofForecasts, Phase, Snapshot
from workbench.models.base import Budget, Family
from workbench.models.windows import WindowView

QUICK = Budget(rounds=60, trees=10, epochs=4, sequence_epochs=4, passes=3)
LENGTH = 8


@dataclass(frozen=True)
class Problem:
    """`x` inputs, `y` sigma-scaled label, `signal` its predictable part (unit variance)."""

    x: Any
    y: np.ndarray
    signal: np.ndarray

    def rows(self, index: slice) -> Problem:
        x = self.x.take(index) if isinstance(self.x, WindowView) else self.x[index]
        return Problem(x, self.y[index], self.signal[index])


def tabular(rows: int, ic: float = 0.4, seed: int = 0, features: int = 7) -> Problem:
    rng = np.random.default_rng(seed)
    x = rng.standard_t(5, (rows, features))
    signal = 0.8 * np.tanh(x[:, 0]) - 0.5 * np.tanh(x[:, 1]) + 0.3 * np.sign(x[:, 2])
    signal = (signal - signal.mean()) / signal.std()
    y = ic * signal + np.sqrt(1 - ic**2) * rng.standard_normal(rows)
    x = x * np.array([1e-4, 1.0, 1e3, 1e6, 1.0, 1.0, 1.0])[:features] + np.array([0, 0, 500, 1e7, 0, 0, 0])[:features]
    x[:, -1] = 3.5  # never varies
    x[rng.random(x.shape) < 0.03] = np.nan
    return Problem(x, y, signal)


def sequential(rows: int, ic: float = 0.4, seed: int = 0, symbols: int = 3, features: int = 3) -> Problem:
    rng = np.random.default_rng(seed)
    bars = -(-rows // symbols)
    values = rng.standard_normal((bars, symbols, features))
    signal = values[:, :, 0] + np.roll(values[:, :, 0], 1, axis=0)
    signal = (signal / signal.std()).ravel()[:rows]
    values = values * np.array([1.0, 1e-3, 1e3])[:features]
    values[rng.random(values.shape) < 0.02] = np.nan
    y = ic * signal + np.sqrt(1 - ic**2) * rng.standard_normal(rows)
    bar, column = np.divmod(np.arange(rows), symbols)
    return Problem(WindowView(values, np.arange(bars) % 10, bar, column, LENGTH), y, signal)


@pytest.fixture
def problem() -> Callable[..., Problem]:
    """problem(family, rows, **kwargs) -> Problem with the inputs that `family` takes."""

    def make(family: Family, rows: int, **kwargs: Any) -> Problem:
        return sequential(rows, **kwargs) if family.sequential else tabular(rows, **kwargs)

    return make


@pytest.fixture
def quick() -> Budget:
    return QUICK


NAMES, DAILY_NAMES = ("a", "b", "c"), ("d", "e")


def make_snapshot(n: int = 4, window: int = 0, seed: int = 0, **changes: Any) -> Snapshot:
    """A plausible snapshot of n symbols with intraday features a, b, c and daily features d, e."""
    rng = np.random.default_rng(seed)
    nan = np.full(n, np.nan)
    full = rng.standard_normal((n, max(window, 1), 3))
    fields: dict[str, Any] = {
        "known_at": 1_000, "symbols": tuple(f"S{i}" for i in range(n)),
        "features": Features(NAMES, full[:, -1], full[:, max(window, 1) - window :]),
        "daily": Features(DAILY_NAMES, rng.standard_normal((n, 2)), np.empty((n, 0, 2))),
        "price": np.full(n, 50.0), "bid": nan, "ask": nan, "bid_size": nan, "ask_size": nan, "quote_age_s": nan,
        "spread": nan, "sigma_5m": np.full(n, 0.002), "sigma_1d": np.full(n, 0.02),
        "sigma_h": np.linspace(0.001, 0.009, N_HORIZONS)[:, None] * np.arange(1, n + 1),
        "expected_volume": np.ones((N_HORIZONS, n)), "correlation": np.eye(n), "leverage": np.ones(n),
        "halted": np.zeros(n, bool), "shortable": np.ones(n, bool), "eligible": np.ones(n, bool),
        "horizon_open": np.ones(N_HORIZONS, bool), "session": 20_000, "bar_of_session": 5, "minutes_to_close": 300.0,
        "bucket": 1, "phase": Phase.OPEN,
    }  # fmt: skip
    return Snapshot(**{**fields, **changes})


def make_oof(label: str, bars: int = 6, n: int = 4, models: int = 2, seed: int = 0) -> OofForecasts:
    """Forecasts of every second (bar, symbol) from known_at 1000 on, one bar per 10 ns and per session."""
    rng = np.random.default_rng(seed)
    bar, symbol = np.divmod(np.arange(bars * n)[::2], n)
    rows = len(bar)
    return OofForecasts(
        horizon=horizon(label), symbols=tuple(f"S{i}" for i in range(n)),
        keys=tuple(ModelKey(f"F{m}", "single_task", label) for m in range(models)), barrier_families=("B",),
        known_at=1_000 + 10 * bar, matured_at=2_000 + 10 * bar, fitted_until=np.full(rows, 10), session=20_000 + bar,
        symbol=symbol, bucket=np.zeros(rows), fold=np.ones(rows), forecast=rng.standard_normal((rows, models)),
        label=rng.standard_normal(rows), skip_label=rng.standard_normal(rows), naive_label=rng.standard_normal(rows),
        sigma_h=np.ones(rows), p_peak=rng.random((rows, 1)), p_valley=rng.random((rows, 1)),
        peak=np.zeros(rows), valley=np.zeros(rows), embargo_ns=5, data_origin="embedded",
    )  # fmt: skip


class HalfStack:
    """A stack that halves the first classifier's probability."""

    def __init__(self, *labels: str, families: tuple[str, ...] = ("B",)) -> None:
        self.families_ = dict.fromkeys(labels, families)

    def apply(self, raw_peak: Any, raw_valley: Any, n: int | None = None) -> Any:
        out = []
        for raw in (raw_peak, raw_valley):
            p = np.full((N_HORIZONS, n), np.nan)
            for label, values in raw.items():
                p[horizon(label).order] = values[0] / 2
            out.append(p)
        return tuple(out)

    def apply_rows(self, oof: OofForecasts) -> Any:
        return oof.p_peak[:, 0] / 2, oof.p_valley[:, 0] / 2


@pytest.fixture
def snapshot_of() -> Callable[..., Snapshot]:
    return make_snapshot


@pytest.fixture
def oof_of() -> Callable[..., OofForecasts]:
    return make_oof


@pytest.fixture
def half_stack() -> type[HalfStack]:
    return HalfStack
