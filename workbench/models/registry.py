"""The families by name. An immutable mapping: a user's own family makes a new one.

>>> sorted(FAMILIES)
['Ensemble', 'FTRLProximal', 'LSTM', 'LightGBM', 'MLP']
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TypeAlias

from workbench.core.errors import ConfigError, nearest_name
from workbench.models.base import Family
from workbench.models.families.ensemble import Ensemble
from workbench.models.families.ftrl import FTRLProximal
from workbench.models.families.lightgbm import LightGBM
from workbench.models.families.lstm import LSTM
from workbench.models.families.mlp import MLP

Registry: TypeAlias = Mapping[str, Family]


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


def _built_in() -> Registry:
    registry: Registry = MappingProxyType({})
    for family in (LightGBM(), MLP(), FTRLProximal(), Ensemble(), LSTM()):
        registry = register(registry, family)
    return registry


FAMILIES: Registry = _built_in()
