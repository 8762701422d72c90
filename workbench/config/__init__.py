"""One frozen, typed tree of settings; see :class:`~workbench.config.settings.Settings`."""

from workbench.config.branch import ALL_HORIZONS, Branch
from workbench.config.live import (
    BrokerSettings,
    ExecutionSettings,
    GuardSettings,
    LiveSettings,
    SystemSettings,
)
from workbench.config.research import (
    FOUNDATION_FAMILIES,
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
from workbench.config.settings import Settings

__all__ = [
    "ALL_HORIZONS",
    "FOUNDATION_FAMILIES",
    "ArbitrationSettings",
    "BacktestSettings",
    "BlendingSettings",
    "Branch",
    "BrokerSettings",
    "CostSettings",
    "DataSettings",
    "ExecutionSettings",
    "FeatureSettings",
    "GatingSettings",
    "GuardSettings",
    "LabelSettings",
    "LiveSettings",
    "Settings",
    "SizingSettings",
    "SystemSettings",
    "TrainingSettings",
    "ValidationSettings",
]
