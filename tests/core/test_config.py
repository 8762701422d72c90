"""Settings: frozen, bounded, unknown keys refused by the nearest name, TOML round trip, the seed's flat dict."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from workbench.config import Settings
from workbench.core.errors import ConfigError

SEED = {
    "symbols": ["AAPL", "MSFT", "GOOGL"],
    "horizons": ["5m", "10m", "15m", "30m", "60m", "120m", "1d", "5d", "20d"],
    "model_dir": "TRAINING/models",
    "blender_dir": "TRAINING/blenders",
    "device": "cpu",
    "update_interval": 60,
    "g_min": 0.2,
    "gamma": 1.0,
    "delta": 0.5,
    "z_max": 3.0,
    "max_weight": 0.05,
    "target_gross": 0.5,
    "no_trade_band": 0.008,
}


def test_the_seeds_dict_is_taken_value_by_value():
    s = Settings.from_flat({**SEED, "k1": 0.6, "k2": 0.1, "k3": 0.2, "ibkr": {"host": "127.0.0.1", "port": 4002}})
    assert s.system.symbols == ("AAPL", "MSFT", "GOOGL")
    assert (s.sizing.no_trade_band, s.gating.delta, s.costs.k3) == (0.008, 0.5, 0.2)
    assert (s.broker.port, s.system.update_interval) == (4002, 60.0)


def test_settings_are_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        Settings().sizing.max_weight = 1.0  # type: ignore[misc]


def test_toml_round_trip_is_exact(tmp_path):
    s = Settings.from_flat(SEED).change(costs={"k1": 0.1 + 0.2})
    path = tmp_path / "config.toml"
    path.write_text(s.to_toml())
    assert Settings.from_toml(path) == s
    assert Settings.from_toml(path).digest == s.digest
    assert s.digest != Settings().digest


@pytest.mark.parametrize(
    ("flat", "message"),
    [
        ({"gama": 1.0}, "'gama' is unknown. Did you mean 'gamma'?"),
        ({"g_min": 1.5}, "gating.g_min.*1.5.*less than or equal to 1"),
        ({"max_weight": float("nan")}, "max_weight"),
        ({"max_weight": 0.6}, "must not exceed target_gross 0.5"),
        ({"horizons": ["7m"]}, "horizon '7m' is unknown"),
        ({"device": "tpu"}, "device.*tpu"),
        ({"symbols": ["A", "A"]}, "more than once"),
        ({"no_trade_band": -1.0}, "no_trade_band"),
        ({"ibkr": {"prot": 4001}}, "Did you mean 'port'?"),
    ],
)
def test_a_bad_setting_is_refused_by_name_value_and_bound(flat, message):
    with pytest.raises(ConfigError, match=message):
        Settings.from_flat(flat)


@pytest.mark.parametrize("minutes", [0, 4.9])
def test_the_book_is_flattened_at_a_decision_that_can_still_trade(minutes):
    """Decisions come 10, 5 and 0 minutes before the close, and the last sends nothing."""
    with pytest.raises(ConfigError, match=r"flatten_before_close.*greater than or equal to 5"):
        Settings().change(sizing={"flatten_before_close": minutes})


def test_a_mistyped_table_names_its_neighbour(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text("[sizing]\nmax_weigth = 0.1\n")
    with pytest.raises(ConfigError, match="Did you mean 'max_weight'"):
        Settings.from_toml(path)
    path.write_text("[sizing\n")
    with pytest.raises(ConfigError, match="not valid TOML"):
        Settings.from_toml(path)
    with pytest.raises(ConfigError, match="does not exist"):
        Settings.from_toml(tmp_path / "none.toml")


@pytest.mark.parametrize("multipliers", [(), (1.0, 1.0), (-1.0,)])
def test_spread_multipliers_are_some_and_each_once(multipliers):
    with pytest.raises(ConfigError, match="at least one multiplier"):
        Settings().change(backtest={"spread_multipliers": multipliers})


def test_horizons_come_back_in_order():
    assert Settings.from_flat({"horizons": ["1d", "5m"]}).system.horizons == ("5m", "1d")
