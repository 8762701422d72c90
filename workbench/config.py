"""One frozen, typed tree of settings; TOML in and out; also the seed's flat dict.

Every stage takes its own branch (``Settings().sizing``) and nothing else. Unknown keys are refused with the nearest
known name, values out of bounds with the bound.

>>> Settings().gating.g_min
0.2
>>> Settings.from_flat({"symbols": ["AAPL"], "max_weight": 0.04}).sizing.max_weight
0.04
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from workbench.core.digest import digest
from workbench.core.errors import ConfigError, nearest_name
from workbench.core.horizon import HORIZONS, horizon

ALL_HORIZONS = tuple(h.label for h in HORIZONS)
FOUNDATION_FAMILIES = ("LightGBM", "MLP", "FTRLProximal", "Ensemble", "LSTM")


class Branch(BaseModel):
    """A frozen branch of the tree that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @property
    def digest(self) -> str:
        """Content digest of the branch."""
        return digest(self.model_dump(mode="json"))


class DataSettings(Branch):
    """Stage 1. `bar_grace_s`: how long after a bar's end a symbol may be late."""

    bar_grace_s: float = Field(2.0, ge=0, le=120)


class FeatureSettings(Branch):
    """Stage 2. `window`: bars of history a sequential model sees; half-lives in sessions."""

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


class ExecutionSettings(Branch):
    """Stage 10. Money in USD."""

    policy: Literal["market", "marketable_limit"] = "market"
    limit_offset_bps: float = Field(5.0, ge=0, le=500)
    latency_s: float = Field(1.0, ge=0, le=300)
    min_notional: float = Field(200.0, ge=0)
    max_participation: float = Field(0.05, gt=0, le=1)


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


class BrokerSettings(Branch):
    """Where the broker listens; no host means the simulated gateway."""

    host: str = ""
    port: int = Field(0, ge=0, le=65535)
    client_id: int = Field(17, ge=0, le=2**31 - 1)


class SystemSettings(Branch):
    """What a live system needs besides the stages. `live_account` must name the very account, or none trades live."""

    symbols: tuple[str, ...] = ()
    horizons: tuple[str, ...] = ALL_HORIZONS
    model_dir: str = ""
    blender_dir: str = ""
    device: Literal["cpu", "cuda"] = "cpu"
    update_interval: float = Field(60.0, gt=0, le=3600)
    live_account: str = ""

    @field_validator("symbols")
    @classmethod
    def _symbols_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) != len(value):
            raise ValueError(f"names {sorted({s for s in value if value.count(s) > 1})} more than once")
        return value

    @field_validator("horizons")
    @classmethod
    def _known_horizons(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            raise ValueError("must name at least one horizon")
        return tuple(h.label for h in sorted({horizon(label) for label in value}))


class Settings(Branch):
    """The whole tree."""

    data: DataSettings = DataSettings()
    features: FeatureSettings = FeatureSettings()
    labels: LabelSettings = LabelSettings()
    training: TrainingSettings = TrainingSettings()
    blending: BlendingSettings = BlendingSettings()
    costs: CostSettings = CostSettings()
    arbitration: ArbitrationSettings = ArbitrationSettings()
    gating: GatingSettings = GatingSettings()
    sizing: SizingSettings = SizingSettings()
    validation: ValidationSettings = ValidationSettings()
    execution: ExecutionSettings = ExecutionSettings()
    backtest: BacktestSettings = BacktestSettings()
    broker: BrokerSettings = BrokerSettings()
    system: SystemSettings = SystemSettings()

    @classmethod
    def from_dict(cls, tree: dict[str, Any]) -> Self:
        """Settings from a nested mapping; :class:`ConfigError` names every bad key, value and bound."""
        try:
            return cls.model_validate(tree)
        except ValidationError as error:
            raise ConfigError(_explain(cls, error)) from None

    @classmethod
    def from_flat(cls, flat: dict[str, Any]) -> Self:
        """Settings from the seed's flat dict (``{"symbols": [...], "g_min": 0.2, ...}``)."""
        tree: dict[str, Any] = {}
        for key, value in flat.items():
            if key == "ibkr":
                tree["broker"] = dict(value)
                continue
            branch = _FLAT.get(key)
            if branch is None:
                raise ConfigError(f"setting {key!r} is unknown.{nearest_name(key, [*_FLAT, 'ibkr'])}")
            tree.setdefault(branch, {})[key] = tuple(value) if isinstance(value, list) else value
        return cls.from_dict(tree)

    @classmethod
    def from_toml(cls, path: Path | str) -> Self:
        """Settings from a TOML file whose tables are the branches."""
        try:
            tree = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ConfigError(f"config file {path} does not exist; `workbench config > {path}` writes one") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"config file {path} is not valid TOML: {error}") from None
        return cls.from_dict(tree)

    def to_toml(self) -> str:
        """The whole tree as TOML; settings that are None are left out. ``from_toml`` gives back an equal tree."""
        import tomli_w

        return tomli_w.dumps(self.model_dump(mode="json", exclude_none=True))

    def change(self, **branches: dict[str, Any]) -> Self:
        """A copy with some values changed: ``settings.change(sizing={"max_weight": 0.1})``."""
        tree = self.model_dump()
        for name, values in branches.items():
            tree[name] = {**tree.get(name, {}), **values}
        return self.from_dict(tree)


def _flat_names() -> dict[str, str]:
    """Flat key -> branch, for every name of the seed and the ones that stand in one branch only."""
    seed = {
        "system": ("symbols", "horizons", "model_dir", "blender_dir", "device", "update_interval", "live_account"),
        "gating": ("g_min", "gamma", "delta"),
        "sizing": ("z_max", "max_weight", "target_gross", "no_trade_band", "max_net"),
        "costs": ("k1", "k2", "k3"),
    }
    return {key: branch for branch, keys in seed.items() for key in keys}


_FLAT = _flat_names()


def _explain(model: type[BaseModel], error: ValidationError) -> str:
    lines = []
    for item in error.errors():
        path = ".".join(str(part) for part in item["loc"]) or "settings"
        if item["type"] == "extra_forbidden":
            hint = nearest_name(str(item["loc"][-1]), _known(model, item["loc"]))
            lines.append(f"setting {path!r} is unknown.{hint}")
        else:
            lines.append(f"setting {path!r} = {item['input']!r}: {item['msg']}")
    return "\n".join(lines)


def _known(model: type[BaseModel], loc: tuple[Any, ...]) -> list[str]:
    here: Any = model
    for part in loc[:-1]:
        here = here.model_fields[part].annotation
    return list(here.model_fields)
