"""What an engine runs, and which account it may trade: refusals say the thing, the value and the remedy."""

from __future__ import annotations

import pytest

from workbench.config import Settings
from workbench.core.errors import ArtifactError, ConfigError
from workbench.engine.accounts import AccountError, check_account
from workbench.engine.plan import EnginePlan
from workbench.engine.systems import load_system, quotes_of
from workbench.execution.ibkr.accounts import AccountKind
from workbench.features.catalogue import catalogue

REAL, EMBEDDED = {"main": "ibkr"}, {"main": "embedded"}


def test_simulated_and_paper_accounts_need_no_name_and_real_ones_their_own():
    assert check_account("DUSIM0001", "", EMBEDDED) is AccountKind.SIMULATED
    assert check_account("DU1234567", "", REAL) is AccountKind.PAPER
    assert check_account("U1234567", "U1234567", REAL) is AccountKind.LIVE
    with pytest.raises(AccountError, match=r"U1\*\*\*67 holds real money .* --live-account"):
        check_account("U1234567", "", REAL)
    with pytest.raises(AccountError, match="live_account names"):
        check_account("U1234567", "U7654321", REAL)


def test_naming_a_live_account_and_finding_a_paper_one_is_refused_too():
    with pytest.raises(AccountError, match="log in to the account that you named"):
        check_account("DU1234567", "U1234567", REAL)


@pytest.mark.parametrize("account", ["DU1234567", "U1234567"])
def test_a_bundle_of_the_embedded_market_meets_no_account_that_is_not_simulated(account):
    with pytest.raises(AccountError, match="embedded"):
        check_account(account, account if account.startswith("U") else "", EMBEDDED)


def test_flat_dicts_become_systems_with_names_of_their_own():
    plan = EnginePlan.of([{"symbols": ["AAPL", "MSFT"]}, {"symbols": ["MSFT", "XOM"], "target_gross": 0.7}])
    assert [s.system.name for s in plan.systems] == ["system1", "system2"]
    assert plan.symbols == ("AAPL", "MSFT", "XOM")
    assert EnginePlan.from_json(plan.to_json()) == plan


def test_systems_of_one_engine_share_broker_and_guards():
    a, b = Settings().change(system={"name": "a"}), Settings().change(system={"name": "b"}, broker={"client_id": 3})
    with pytest.raises(ConfigError, match=r"system b has another \[broker\] than a"):
        EnginePlan((a, b))
    with pytest.raises(ConfigError, match="different names"):
        EnginePlan((a, a))
    with pytest.raises(ConfigError, match="at least one system"):
        EnginePlan(())


def test_a_toml_file_with_systems(tmp_path):
    path = tmp_path / "live.toml"
    path.write_text(
        '[guards]\nmax_open_orders = 7\n[[systems]]\n[systems.system]\nname = "fast"\nsymbols = ["A"]\n'
        '[[systems]]\n[systems.system]\nname = "slow"\nsymbols = ["B"]\n[systems.sizing]\nmax_weight = 0.1\n'
    )
    plan = EnginePlan.from_toml(path)
    assert [(s.system.name, s.guards.max_open_orders, s.sizing.max_weight) for s in plan.systems] == [
        ("fast", 7, 0.05),
        ("slow", 7, 0.1),
    ]
    with pytest.raises(ConfigError, match="does not exist"):
        EnginePlan.from_toml(tmp_path / "none.toml")
    path.write_text("[guards\n")
    with pytest.raises(ConfigError, match="not valid TOML"):
        EnginePlan.from_toml(path)


def test_features_of_order_flow_cannot_be_traded_live():
    assert quotes_of(tuple(s.name for s in catalogue(True, order_flow=False))) == "top"
    with pytest.raises(ArtifactError, match=r"ofi_1.*features\.quotes"):
        quotes_of(tuple(s.name for s in catalogue(True)))
    with pytest.raises(ArtifactError, match="does not compute: mine"):
        quotes_of((*(s.name for s in catalogue(False)), "mine"))


def test_what_a_system_lacks_is_said_before_anything_starts():
    with pytest.raises(ConfigError, match="names no symbols"):
        load_system(Settings(), simulated=True)
    named = Settings().change(system={"symbols": ("AAPL",)})
    with pytest.raises(ConfigError, match="has a broker but no bundle"):
        load_system(named, simulated=False)
    with pytest.raises(ArtifactError, match="does not exist"):
        load_system(named.change(system={"model_dir": "nowhere", "blender_dir": "nowhere"}), simulated=True)
    system = load_system(named.change(system={"horizons": ("5m", "30m")}), simulated=True)
    assert system.demo
    assert {k.horizon for k in system.stages.predictor.models} == {"5m", "30m"}
