"""Snapshots, books, forecasts and fitted stages to test decisions with: plain NumPy, seeded."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from workbench.config import Settings
from workbench.core.horizon import HORIZONS, N_HORIZONS, horizon
from workbench.core.types import (
    Book,
    Carry,
    Features,
    Forecasts,
    ModelKey,
    OofForecasts,
    Phase,
    Snapshot,
)
from workbench.core.units import NS_PER_DAY, NS_PER_MINUTE

FAMILIES = ("LightGBM", "MLP", "FTRLProximal", "Ensemble", "LSTM")
SESSION = 20_400
KNOWN_AT = SESSION * NS_PER_DAY + 15 * 60 * NS_PER_MINUTE
HORIZON_DAYS = np.array([h.minutes / 390 for h in HORIZONS])


def model_keys(families: tuple[str, ...] = FAMILIES) -> tuple[ModelKey, ...]:
    """One key per family and horizon."""
    return tuple(ModelKey(f, "single_task", h.label) for h in HORIZONS for f in families)


def correlation(n: int, rng: np.random.Generator) -> np.ndarray:
    """A random correlation matrix with a market factor."""
    load = rng.uniform(0.2, 0.7, (n, 1))
    c = load @ load.T
    np.fill_diagonal(c, 1.0)
    return c


def snapshot(n: int = 8, seed: int = 0, **changes: Any) -> Snapshot:
    """An ordinary moment in the middle of a session."""
    rng = np.random.default_rng(seed)
    price = rng.uniform(20, 400, n)
    spread = rng.uniform(1e-4, 8e-4, n)
    sigma_1d = rng.uniform(0.008, 0.03, n)
    values = {
        "known_at": KNOWN_AT,
        "symbols": tuple(f"S{i:02d}" for i in range(n)),
        "features": Features(("a", "b"), rng.normal(size=(n, 2)), np.zeros((n, 0, 2))),
        "daily": Features(("c",), rng.normal(size=(n, 1)), np.zeros((n, 0, 1))),
        "price": price,
        "bid": price * (1 - spread / 2),
        "ask": price * (1 + spread / 2),
        "bid_size": np.full(n, 300.0),
        "ask_size": np.full(n, 300.0),
        "quote_age_s": np.full(n, 1.0),
        "spread": spread,
        "sigma_5m": sigma_1d / np.sqrt(78),
        "sigma_1d": sigma_1d,
        "sigma_h": np.sqrt(HORIZON_DAYS)[:, None] * sigma_1d,
        "expected_volume": HORIZON_DAYS[:, None] * rng.uniform(2e6, 2e7, n),
        "correlation": correlation(n, rng),
        "leverage": np.ones(n),
        "halted": np.zeros(n, bool),
        "shortable": np.ones(n, bool),
        "eligible": np.ones(n, bool),
        "horizon_open": np.ones(N_HORIZONS, bool),
        "session": SESSION,
        "bar_of_session": 30,
        "minutes_to_close": 235.0,
        "bucket": 2,
        "phase": Phase.OPEN,
    }
    return Snapshot(**{**values, **changes})


def book_of(s: Snapshot, weights: Any = 0.0, nav: float = 1e6, **carry: Any) -> Book:
    """A book that holds `weights` at the snapshot's prices, its carry of the same session."""
    w = np.broadcast_to(np.asarray(weights, float), (len(s.symbols),)).copy()
    positions = np.where(np.isfinite(s.price), w * nav / s.price, w * nav / 100.0)
    c = replace(Carry.empty(len(w)), session=s.session, **carry)
    return Book(s.known_at, s.symbols, positions, w, nav, nav, nav, nav, 0.0, (), c)


def random_forecasts(s: Snapshot, seed: int = 0, strength: float = 0.05, missing: float = 0.0) -> Forecasts:
    """Forecasts of all keys, sigma-scaled, with barrier probabilities around one half."""
    rng = np.random.default_rng(seed + 1000)
    keys = model_keys()
    n = len(s.symbols)
    view = rng.normal(size=(N_HORIZONS, 1, n)) * strength
    value = (view + rng.normal(size=(N_HORIZONS, len(FAMILIES), n)) * strength / 2).reshape(-1, n)
    rows = np.array([horizon(k.horizon).order for k in keys])
    value = np.where(rng.random(value.shape) < missing, np.nan, value) * s.sigma_h[rows]
    p, q = (np.clip(rng.normal(0.45, 0.15, (N_HORIZONS, n)), 0.02, 0.98) for _ in range(2))
    return Forecasts(keys, value, p, q)


def negated(f: Forecasts) -> Forecasts:
    """The mirror image: every return with the other sign, peak and valley swapped."""
    return Forecasts(f.keys, -f.expected_return, f.p_valley, f.p_peak)


def permuted(f: Forecasts, order: np.ndarray) -> Forecasts:
    """The same forecasts with the symbols in another order."""
    return Forecasts(f.keys, f.expected_return[:, order], f.p_peak[:, order], f.p_valley[:, order])


PER_SYMBOL = ("price", "bid", "ask", "bid_size", "ask_size", "quote_age_s", "spread", "sigma_5m", "sigma_1d",
              "leverage", "halted", "shortable", "eligible")  # fmt: skip


def permuted_snapshot(s: Snapshot, order: np.ndarray) -> Snapshot:
    """The same moment with the symbols in another order."""
    changed: dict[str, Any] = {name: getattr(s, name)[order] for name in PER_SYMBOL}
    changed |= {name: getattr(s, name)[:, order] for name in ("sigma_h", "expected_volume")}
    return replace(
        s,
        symbols=tuple(s.symbols[i] for i in order),
        correlation=s.correlation[np.ix_(order, order)],
        features=replace(s.features, latest=s.features.latest[order], window=s.features.window[order]),
        daily=replace(s.daily, latest=s.daily.latest[order], window=s.daily.window[order]),
        **changed,
    )


def permuted_book(b: Book, order: np.ndarray) -> Book:
    """The same book with the symbols in another order."""
    c = b.carry
    carry = Carry(
        c.smoothed[:, order], c.gate[order], c.day_weight[order], c.unknown_bars[order], c.session, c.price[order]
    )
    symbols = tuple(b.symbols[i] for i in order)
    return replace(b, symbols=symbols, positions=b.positions[order], weights=b.weights[order], carry=carry)


class Fixed:
    """A predictor that says what it was told to."""

    def __init__(self, forecasts: Forecasts) -> None:
        self.forecasts = forecasts

    def predict(self, snapshot: Snapshot) -> Forecasts:
        return self.forecasts


def oof_rows(
    label: str = "5m",
    days: int = 40,
    symbols: int = 12,
    good: int = 3,
    noise: int = 0,
    ic: float = 0.05,
    seed: int = 0,
    skill: float = 0.0,
    scales: bool = False,
    own_noise: float = 0.7,
) -> OofForecasts:
    """Out-of-fold rows in which `good` models see a signal of correlation `ic` with the label and `noise` see nothing.

    Barrier outcomes follow a logit of the signal with slope `skill`, which one classifier reports badly scaled.
    """
    rng = np.random.default_rng(seed)
    h = horizon(label)
    known, session, matured = _times(h.bars, h.days, days)
    rows = len(known) * symbols
    signal = rng.normal(size=rows)
    shock = rng.standard_t(5, size=rows) * np.sqrt(3 / 5) * 0.9 + np.repeat(rng.normal(size=len(known)), symbols) * 0.43
    y = ic * signal + np.sqrt(1 - ic**2) * shock
    sigma = 0.002 * np.sqrt(h.bars) * np.exp(rng.normal(size=rows) * 0.2)
    size = 10.0 ** rng.uniform(-3, 3, good + noise) if scales else np.full(good + noise, max(ic, 0.02))
    views = [signal + own_noise * rng.normal(size=rows) for _ in range(good)]
    views += [rng.normal(size=rows) for _ in range(noise)]
    forecast = np.array(views).T * size * sigma[:, None]
    true_p = 1 / (1 + np.exp(skill * signal))
    peak, valley = (rng.random(rows) < true_p) * 1.0, (rng.random(rows) < 1 - true_p) * 1.0
    raw = 1 / (1 + np.exp(2.5 * skill * signal + 0.4))
    names = [f"Good{i}" for i in range(good)] + [f"Noise{i}" for i in range(noise)]
    bucket = np.repeat((np.arange(len(known)) % 5), symbols)
    return OofForecasts(
        h, tuple(f"S{i:02d}" for i in range(symbols)), tuple(ModelKey(m, "single_task", label) for m in names),
        ("LightGBM",), np.repeat(known, symbols), np.repeat(matured, symbols),
        np.repeat(known, symbols) - 5 * NS_PER_DAY,
        np.repeat(session, symbols), np.tile(np.arange(symbols), len(known)), bucket, np.ones(rows, int), forecast,
        y * sigma, y * sigma, y * sigma, sigma, raw[:, None], (1 - raw)[:, None], peak, valley, NS_PER_DAY, "embedded",
    )  # fmt: skip


def _times(bars: int, horizon_days: int, days: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    day = np.arange(days) + SESSION - days - 30
    opens = day * NS_PER_DAY + 14 * 60 * NS_PER_MINUTE
    if horizon_days:
        return opens - 17 * 60 * NS_PER_MINUTE, day, opens + horizon_days * NS_PER_DAY
    number = np.arange(1, 79 - bars)
    known = (opens[:, None] + number * 5 * NS_PER_MINUTE).ravel()
    return known, np.repeat(day, len(number)), known + bars * 5 * NS_PER_MINUTE


def all_oofs(settings: Settings | None = None, **options: Any) -> dict[str, OofForecasts]:
    """Rows of a few horizons with signal, small enough for tests."""
    del settings
    return {
        "5m": oof_rows("5m", days=30, symbols=8, seed=1, ic=0.1, skill=0.6, **options),
        "30m": oof_rows("30m", days=40, symbols=8, seed=2, ic=0.15, skill=0.6, **options),
        "1d": oof_rows("1d", days=300, symbols=8, seed=3, ic=0.2, skill=0.6, **options),
        "20d": oof_rows("20d", days=100, symbols=8, seed=4, ic=0.2, skill=0.6, **options),
    }


def equal_blender(keys: tuple[ModelKey, ...], settings: Settings, slope: float = 0.05, halflife: float = 2.0) -> Any:
    """A blender in which all models of a horizon weigh the same."""
    from workbench.decision.blending import HorizonBlender

    fits = {}
    for h in HORIZONS:
        own = [list(k) for k in keys if k.horizon == h.label]
        n = len(own)
        fits[h.label] = {
            "keys": own, "weights": [1 / n] * n, "scale": [0.05] * n, "t": [3.0] * n, "penalty": 1.0, "slope": slope,
            "raw_slope": slope, "slope_lower": slope / 2, "halflife": 0.0 if h.is_day else halflife, "windows": 100,
            "rows": 1000, "reason": "", "abstains": False,
        }  # fmt: skip
    saved = {"settings": settings.blending.model_dump(mode="json"), "min_windows": 30, "fits": fits}
    return HorizonBlender.from_dict(saved)


def gate_with_base(settings: Settings, peak: Any = 0.45, valley: Any = 0.45) -> Any:
    """A gate whose base rates are given, numbers or (H, 5)."""
    from workbench.decision.gating import BarrierGate

    base = [np.broadcast_to(np.asarray(p, float), (N_HORIZONS, 5)).tolist() for p in (peak, valley)]
    saved = {"settings": settings.gating.model_dump(mode="json"), "degraded": [], "base_peak": base[0],
             "base_valley": base[1], "mean_gate": [[0.8, 0.8]] * N_HORIZONS}  # fmt: skip
    return BarrierGate.from_dict(saved)


def stages_for(forecasts: Forecasts, settings: Settings | None = None, **parts: Any) -> Any:
    """All stages around a fixed predictor."""
    from workbench.decision.arbitration import CostArbitrator
    from workbench.decision.costs import CostModel
    from workbench.decision.pipeline import Stages
    from workbench.decision.sizing import PositionSizer
    from workbench.decision.validation import PositionValidator

    settings = settings or Settings()
    costs = CostModel(settings.costs)
    values = {
        "predictor": Fixed(forecasts),
        "blender": equal_blender(forecasts.keys, settings),
        "costs": costs,
        "arbitrator": CostArbitrator(costs, settings.arbitration),
        "gate": gate_with_base(settings),
        "sizer": PositionSizer(settings.sizing),
        "validator": PositionValidator(settings.validation, settings.sizing),
        "config_digest": "config",
        "artifacts_digest": "artifacts",
    }
    return Stages(**{**values, **parts})
