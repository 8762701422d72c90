"""Faults of the real gateway, as files: each says what happens at IBKR and what a correct client must end with."""

from __future__ import annotations

from pathlib import Path

from workbench.core.errors import ConfigError, nearest_name
from workbench.gateway.scenarios.spec import Scenario, read

FOLDER = Path(__file__).parent


def names() -> list[str]:
    """The scenarios that ship, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load(which: str | Path) -> Scenario:
    """A shipped scenario by its name, or any by the path of its file."""
    path = Path(which)
    if path.suffix == ".toml" or path.parent != Path():
        return read(path)
    if str(which) not in names():
        hint = nearest_name(str(which), names()) or f" These ship: {', '.join(names())}."
        raise ConfigError(f"scenario {str(which)!r} is unknown.{hint} Give such a name, or the path of a .toml file")
    return read(FOLDER / f"{which}.toml")
