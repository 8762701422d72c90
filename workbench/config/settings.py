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
from typing import Any, Self

from pydantic import BaseModel, ValidationError

from workbench.config.branch import Branch
from workbench.config.live import (
    BrokerSettings,
    ExecutionSettings,
    GuardSettings,
    LiveSettings,
    SystemSettings,
)
from workbench.config.research import (
    ArbitrationSettings,
    BacktestSettings,
    BlendingSettings,
    CostSettings,
    DataSettings,
    FeatureSettings,
    GatingSettings,
    LabelSettings,
    SizingSettings,
    TrainingSettings,
    ValidationSettings,
)
from workbench.core.errors import ConfigError, nearest_name


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
    guards: GuardSettings = GuardSettings()
    broker: BrokerSettings = BrokerSettings()
    system: SystemSettings = SystemSettings()
    live: LiveSettings = LiveSettings()

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
