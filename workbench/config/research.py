"""Settings of stages 1 to 9 and of research: what a bundle is fitted with."""

from __future__ import annotations

from datetime import date
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from workbench.config.branch import Branch

FOUNDATION_FAMILIES = ("LightGBM", "MLP", "FTRLProximal", "Ensemble", "LSTM")


class DataSettings(Branch):
    """Stage 1. `bar_grace_s`: how long after a bar's end a symbol may be late. `until`: ISO date of the last session
    that research may see, empty for all; what comes later is held out."""

    bar_grace_s: float = Field(10.0, ge=0, le=120)
    until: str = ""

    @field_validator("until")
    @classmethod
    def _date(cls, value: str) -> str:
        if value:
            date.fromisoformat(value)
        return value


class FeatureSettings(Branch):
    """Stage 2. `window`: bars of history a sequential model sees; half-lives in sessions.

    `quotes`: which features of quotes there are where the bars carry quotes: ``all``; ``top`` those of the quote that
    stands at the bar's end, which can be observed live; or ``none``. Order flow inside a bar (``all``) cannot be
    observed live, so a bundle with it is for research only.
    """

    quotes: Literal["none", "top", "all"] = "all"
    window: int = Field(64, ge=2, le=512)
    sigma_halflife_sessions: float = Field(7.0, ge=5)
    profile_halflife_sessions: float = Field(20.0, ge=5)
    warmup_sessions: int = Field(5, ge=2, le=60)
    correlation_sessions: int = Field(40, ge=5)
    duplicate_correlation: float = Field(0.95, gt=0, le=1)


class LabelSettings(Branch):
    """Labels: `latency_s` from decision to entry, barriers at `barrier_k` sigma of the horizon."""

    latency_s: float = Field(1.0, ge=0, le=300)
    barrier_k: float = Field(1.0, gt=0, le=5)


class TrainingSettings(Branch):
    """Stage 3, training. Row caps bound what the slow families see and are always reported.

    `barriers`: families that also learn the barriers, of those that are trained (of none of them: the first two that
    can). `device`: where networks are trained. `scheduler`: a Dask cluster, dask://HOST:PORT or tls://HOST:PORT; empty
    for `jobs` processes of this machine.

    `segments` walk-forward segments after `initial_fraction` of the sessions; `embargo_sessions` between the last
    training label and the first predicted row, on top of the purge of one label length.
    """

    profile: Literal["demo", "default", "full"] = "default"
    families: tuple[str, ...] = FOUNDATION_FAMILIES
    strategies: tuple[str, ...] = ("single_task",)
    barriers: tuple[str, ...] = ("LightGBM", "FTRLProximal")
    segments: int = Field(5, ge=2, le=50)
    initial_fraction: float = Field(0.35, gt=0, lt=0.9)
    embargo_sessions: int = Field(1, ge=1, le=20)
    max_rows: int = Field(200_000, ge=500)
    max_rows_slow: int = Field(60_000, ge=500)
    max_rows_sequential: int = Field(20_000, ge=500)
    min_windows: int = Field(30, ge=10)
    seed: int = Field(7, ge=0)
    jobs: int = Field(2, ge=1, le=256)
    device: Literal["cpu", "cuda"] = "cpu"
    scheduler: str = ""

    @field_validator("families", "strategies", "barriers")
    @classmethod
    def _not_empty(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or len(set(value)) != len(value):
            raise ValueError("must name at least one, each once")
        return value


class BlendingSettings(Branch):
    """Stage 4. `lambdas`: ridge penalties tried by time-ordered cross-validation; `min_mass`: surviving weight below
    which a horizon is UNKNOWN; `force_slope` replaces the fitted calibration slope (experiments only)."""

    lambdas: tuple[float, ...] = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
    min_mass: float = Field(0.5, ge=0, le=1)
    halflives_bars: tuple[float, ...] = (0.0, 1.0, 2.0, 4.0, 8.0)
    force_slope: float | None = Field(None, ge=0)

    @field_validator("lambdas")
    @classmethod
    def _positive(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if not value or min(value) <= 0:
            raise ValueError("needs at least one penalty, all > 0")
        return value


class CostSettings(Branch):
    """Stage 5: one-way c = k1*spread + k2*sigma_exec + k3*sigma_1d*participation^impact_exponent + commission.

    `execution_minutes`: the window an order works in; `reference_weight`: size of the reference trade (fraction of
    NAV) until the median OOF trade is known; `crowding`: extra cost per unit of mean absolute correlation above the
    universe's; `spread_multiplier` is for sensitivity runs.
    """

    k1: float = Field(0.5, ge=0, le=5)
    k2: float = Field(0.0, ge=0, le=5)
    k3: float = Field(0.142, ge=0, le=5)
    impact_exponent: float = Field(0.6, gt=0, le=1)
    execution_minutes: int = Field(5, ge=1, le=390)
    reference_weight: float = Field(0.005, gt=0, le=1)
    session_aware: bool = True
    crowding: float = Field(0.25, ge=0, le=5)
    spread_multiplier: float = Field(1.0, ge=0, le=10)
    commission_plan: Literal["fixed", "tiered"] = "tiered"


class ArbitrationSettings(Branch):
    """Stage 6. `force_trading` admits every forecast whatever its cost (experiments only)."""

    method: Literal["winner", "softmax"] = "winner"
    beta: float = Field(1.0, gt=0, le=100)
    winner_share: float = Field(0.7, gt=0, le=1)
    force_trading: bool = False


class GatingSettings(Branch):
    """Stage 7. g(p) = (1-p_peak)^gamma * (1/2 + p_valley/2)^delta, relative to the base rate, in [g_min, 1]."""

    g_min: float = Field(0.2, ge=0, le=1)
    gamma: float = Field(1.0, ge=0, le=10)
    delta: float = Field(0.5, ge=0, le=10)


class SizingSettings(Branch):
    """Stage 8. Weights are fractions of NAV. `no_trade_band` None: 0.25 * target_gross / N, at most 0.008.

    `flatten_before_close` minutes: at least a bar, since the last decision that can still trade comes 5 minutes before.
    """

    method: Literal["ridge", "qp"] = "ridge"
    z_max: float = Field(3.0, gt=0, le=20)
    max_weight: float = Field(0.05, gt=0, le=1)
    target_gross: float = Field(0.5, gt=0, le=10)
    max_net: float = Field(0.2, ge=0, le=10)
    max_overnight_gross: float = Field(0.5, ge=0, le=10)
    flatten_before_close: float = Field(10.0, ge=5, le=120)
    ridge_lambda: float = Field(1.0, gt=0, le=1e6)
    risk_aversion: float = Field(5.0, gt=0, le=1e6)
    demean: bool = False
    no_trade_band: float | None = Field(None, ge=0, le=1)
    allow_short: bool = True
    max_unknown: int = Field(6, ge=1)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.max_weight > self.target_gross:
            raise ValueError(f"max_weight {self.max_weight} must not exceed target_gross {self.target_gross}")
        return self


class ValidationSettings(Branch):
    """Stage 9. Fractions of NAV; `on_drawdown` / `on_daily_loss`: what a breach of the book does."""

    max_drawdown: float = Field(0.2, gt=0, le=1)
    max_daily_loss: float = Field(0.03, gt=0, le=1)
    max_notional: float = Field(1e9, gt=0)
    max_participation: float = Field(0.05, gt=0, le=1)
    max_turnover_daily: float = Field(5.0, gt=0)
    max_price_move: float = Field(0.2, gt=0)
    max_quote_age_s: float = Field(900.0, gt=0)
    on_drawdown: Literal["reduce_only", "halt", "flatten"] = "reduce_only"
    on_daily_loss: Literal["reduce_only", "halt", "flatten"] = "reduce_only"


class BacktestSettings(Branch):
    """`nav` USD at the start; `borrow_rate` a year for shorts held overnight."""

    nav: float = Field(1_000_000.0, gt=0)
    borrow_rate: float = Field(0.01, ge=0, le=2)
    spread_multipliers: tuple[float, ...] = (0.5, 1.0, 2.0)
    embargo_sessions: int = Field(1, ge=1)

    @field_validator("spread_multipliers")
    @classmethod
    def _some(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if not value or min(value) < 0 or len(set(value)) != len(value):
            raise ValueError("must name at least one multiplier of the spread, each once and >= 0")
        return value
