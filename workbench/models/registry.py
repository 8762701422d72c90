"""The families by name. An immutable mapping: a user's own family makes a new one.

>>> sorted(FAMILIES)  # doctest: +NORMALIZE_WHITESPACE
['CNN1D', 'ChangePoint', 'Ensemble', 'FTRLProximal', 'GAN', 'GMMRegime', 'LSTM', 'LightGBM', 'MLP',
 'MetaLearning', 'MultiTask', 'NGBoost', 'QuantileLightGBM', 'RewardBased', 'TabCNN', 'TabLSTM',
 'TabTransformer', 'Transformer', 'VAE', 'XGBoost']
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import TypeAlias

from workbench.core.errors import ConfigError, nearest_name
from workbench.models.base import Family
from workbench.models.families.change_point import ChangePoint
from workbench.models.families.cnn1d import CNN1D
from workbench.models.families.ensemble import Ensemble
from workbench.models.families.ftrl import FTRLProximal
from workbench.models.families.gan import GAN
from workbench.models.families.gmm_regime import GMMRegime
from workbench.models.families.lightgbm import LightGBM
from workbench.models.families.lstm import LSTM
from workbench.models.families.meta_learning import MetaLearning
from workbench.models.families.mlp import MLP
from workbench.models.families.multi_task import MultiTask
from workbench.models.families.ngboost import NGBoost
from workbench.models.families.quantile_lightgbm import QuantileLightGBM
from workbench.models.families.reward_based import RewardBased
from workbench.models.families.tab_cnn import TabCNN
from workbench.models.families.tab_lstm import TabLSTM
from workbench.models.families.tab_transformer import TabTransformer
from workbench.models.families.transformer import Transformer
from workbench.models.families.vae import VAE
from workbench.models.families.xgboost import XGBoost

Registry: TypeAlias = Mapping[str, Family]
GROUP = "workbench.families"


def register(registry: Registry, family: Family) -> Registry:
    """A new registry that also holds `family`; `registry` stays as it was.

    >>> from dataclasses import replace
    >>> mine = register(FAMILIES, replace(FAMILIES["LightGBM"], name="Mine"))
    >>> "Mine" in mine, "Mine" in FAMILIES
    (True, False)
    """
    if not isinstance(family, Family):
        raise ConfigError(f"{type(family).__name__} is no family: it lacks a member of workbench.models.base.Family")
    if family.name in registry:
        raise ConfigError(f"family {family.name!r} is registered already; give yours another name")
    return MappingProxyType({**registry, family.name: family})


def find(name: str, registry: Registry | None = None) -> Family:
    """The family called `name`; :class:`ConfigError` with the nearest known name if there is none."""
    known = FAMILIES if registry is None else registry
    if name not in known:
        raise ConfigError(f"family {name!r} is unknown: choose from {', '.join(known)}.{nearest_name(name, known)}")
    return known[name]


def installed() -> Registry:
    """FAMILIES and those that other packages bring by an entry point of the group ``workbench.families``.

    An entry point names a family, or a class or function that makes one without arguments.
    """
    registry = FAMILIES
    for point in sorted(entry_points(group=GROUP), key=lambda p: p.name):
        try:
            brought = point.load()
        except (ImportError, AttributeError) as error:
            raise ConfigError(f"the entry point {point.name!r} ({point.value}) cannot be loaded: {error}") from error
        family = brought() if isinstance(brought, type) or not isinstance(brought, Family) else brought
        registry = register(registry, family)
    return registry


def _built_in() -> Registry:
    registry: Registry = MappingProxyType({})
    for family in (
        LightGBM(), MLP(), FTRLProximal(), Ensemble(), LSTM(), CNN1D(), TabCNN(), TabLSTM(), TabTransformer(),
        Transformer(), XGBoost(), QuantileLightGBM(), NGBoost(), GMMRegime(), ChangePoint(), RewardBased(), VAE(),
        GAN(), MetaLearning(), MultiTask(),
    ):  # fmt: skip
        registry = register(registry, family)
    return registry


FAMILIES: Registry = _built_in()
