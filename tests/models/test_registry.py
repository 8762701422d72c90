from dataclasses import replace

import pytest

from workbench.config import FOUNDATION_FAMILIES
from workbench.core.errors import ConfigError
from workbench.models.base import Budget, Family
from workbench.models.registry import FAMILIES, find, register
from workbench.models.strategies import find_strategy

TWENTY = {
    "LightGBM", "XGBoost", "QuantileLightGBM", "NGBoost", "Ensemble", "MLP", "RewardBased", "GMMRegime", "ChangePoint",
    "FTRLProximal", "VAE", "GAN", "MetaLearning", "MultiTask", "CNN1D", "LSTM", "Transformer", "TabCNN", "TabLSTM",
    "TabTransformer",
}  # fmt: skip


def test_the_twenty_families_are_built_in():
    assert set(FAMILIES) == TWENTY
    assert set(FOUNDATION_FAMILIES) <= TWENTY
    for name, family in FAMILIES.items():
        assert family.name == name
        assert isinstance(family, Family)
        assert "Source:" in type(family).__doc__


def test_the_registry_cannot_be_changed_in_place():
    with pytest.raises(TypeError):
        FAMILIES["Mine"] = FAMILIES["MLP"]


def test_a_user_registers_a_family():
    mine = register(FAMILIES, replace(FAMILIES["MLP"], name="Mine"))
    assert find("Mine", mine).name == "Mine"
    with pytest.raises(ConfigError, match="'Mine' is registered already"):
        register(mine, mine["Mine"])
    with pytest.raises(ConfigError, match="str is no family"):
        register(FAMILIES, "LightGBM")


def test_unknown_names_get_a_hint():
    with pytest.raises(ConfigError, match=r"family 'LightGMB' is unknown.*Did you mean 'LightGBM'\?"):
        find("LightGMB")
    with pytest.raises(ConfigError, match=r"strategy 'single' is unknown.*Did you mean 'single_task'\?"):
        find_strategy("single")
    with pytest.raises(ConfigError, match=r"profile 'defualt' is unknown.*Did you mean 'default'\?"):
        Budget.named("defualt")
