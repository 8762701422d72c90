"""Universe files: round trips, defaults, and messages that name file, line and value."""

from __future__ import annotations

from pathlib import Path

import pytest

from workbench.core.errors import DataError
from workbench.core.universe import Instrument, Universe
from workbench.data.universe_file import read_universe, universe_to_csv, write_universe

UNIVERSE = Universe(
    (
        Instrument("AAPL", sector="TECH"),
        Instrument("TQQQ", "ETF", 3.0, "QQQ", "INDEX"),
        Instrument("SQQQ", "ETF", -3.0, "QQQ", "INDEX"),
    )
)


def test_toml_and_csv_round_trips(tmp_path: Path) -> None:
    for name, text in (("u.toml", write_universe(UNIVERSE)), ("u.csv", universe_to_csv(UNIVERSE))):
        (tmp_path / name).write_text(text, encoding="utf-8")
        assert read_universe(tmp_path / name) == UNIVERSE


def test_only_the_symbol_is_compulsory(tmp_path: Path) -> None:
    (tmp_path / "u.csv").write_text("\ufeffSymbol,Leverage\nAAPL,\nTQQQ, 3 \n", encoding="utf-8")
    read = read_universe(tmp_path / "u.csv")
    assert read.instruments == (Instrument("AAPL"), Instrument("TQQQ", leverage=3.0))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("u.toml", "", "lists no instrument"),
        ("u.toml", "[[instrument]\n", "u.toml is not valid TOML"),
        ("u.toml", "[instrument]\nsymbol='A'\n", "two brackets"),
        ("u.toml", "[[stock]]\nsymbol='A'\n", "'stock' is unknown"),
        (
            "u.toml",
            "[[instrument]]\nsymbol='A'\nlevrage=3\n",
            "instrument 1: 'levrage' is unknown. Did you mean 'leverage'",
        ),
        ("u.toml", "[[instrument]]\ntype='STK'\n", "instrument 1 has no symbol"),
        ("u.toml", "[[instrument]]\nsymbol='A'\nleverage=0\n", r"\(A\): A: leverage 0.0 must be finite and not zero"),
        ("u.csv", "ticker,type\nA,STK\n", "no column symbol; it has ticker, type"),
        ("u.csv", "symbol,leverage\nA,high\n", r"instrument 1 \(A\): leverage = 'high' must be a number"),
        ("u.csv", "symbol\nA\nA\n", "lists A more than once"),
        ("u.csv", "symbol,type\nA,FUT\n", "type 'FUT' is unknown"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        read_universe(tmp_path / name)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist; give a TOML or CSV file"):
        read_universe(tmp_path / "none.toml")


def test_the_example_of_the_guide_can_be_read() -> None:
    read = read_universe(Path(__file__).parents[2] / "docs" / "guides" / "universe_example.toml")
    assert {i.leverage for i in read.instruments} > {1.0, -3.0}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("instrument = [1, 2]", "one table per symbol"),
        ('[[instrument]]\nsymbol = "A"\nleverage = [1]', r"instrument 1 \(A\): leverage = \[1\] must be a number"),
        ('[[instrument]]\nsymbol = "A"\nlot = 1.5', "lot = 1.5 must be a whole number"),
        ('[[instrument]]\nsymbol = "A"\n' * 2, "u.toml: universe lists A more than once"),
    ],
)
def test_values_of_the_wrong_kind_are_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "u.toml").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        read_universe(tmp_path / "u.toml")
