"""What an engine runs: the systems of one account, as settings, from TOML or a dict; kept as JSON in its folder."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from workbench.config import Settings
from workbench.core.digest import digest
from workbench.core.errors import ConfigError
from workbench.database import hide_credentials

SHARED = ("broker", "live", "guards")
"""Branches that all systems of an account have in common."""
BEATS = 3
"""Heartbeats that a watchdog must miss at the least."""


@dataclass(frozen=True, slots=True)
class EnginePlan:
    """One Settings per system; they share broker, guards and folder."""

    systems: tuple[Settings, ...]

    def __post_init__(self) -> None:
        if not self.systems:
            raise ConfigError("an engine needs at least one system; give its settings")
        names = [s.system.name for s in self.systems]
        if len(set(names)) != len(names):
            twice = sorted({n for n in names if names.count(n) > 1})
            raise ConfigError(f"systems of one account need different names; {', '.join(twice)} is used twice")
        for branch in SHARED:
            odd = [s.system.name for s in self.systems if getattr(s, branch) != getattr(self.systems[0], branch)]
            if odd:
                raise ConfigError(
                    f"system {odd[0]} has another [{branch}] than {names[0]}; systems of one account share it: "
                    "give it once"
                )
        live = self.systems[0].live
        if live.watchdog_s < BEATS * live.heartbeat_s:
            raise ConfigError(
                f"live.watchdog_s={live.watchdog_s:g} is less than {BEATS} heartbeats (live.heartbeat_s="
                f"{live.heartbeat_s:g}): the watchdog would kill a healthy engine; raise one or lower the other"
            )
        if len({s.system.live_account for s in self.systems}) > 1:
            raise ConfigError("systems of one engine name different live accounts; one engine trades one account")

    @property
    def first(self) -> Settings:
        """Settings of the first system: broker, live and guards are those of all."""
        return self.systems[0]

    @property
    def folder(self) -> Path:
        """Where journal, commands, logs and state lie."""
        return Path(self.first.live.folder)

    @property
    def symbols(self) -> tuple[str, ...]:
        """Every symbol of any system, in the order in which they are named first."""
        return tuple(dict.fromkeys(s for settings in self.systems for s in settings.system.symbols))

    @property
    def digest(self) -> str:
        """An engine with another digest is another engine."""
        return digest(*(s.digest for s in self.systems))

    @classmethod
    def of(cls, configs: Sequence[Mapping[str, Any] | Settings]) -> Self:
        """Flat dicts of the seed or settings, one per system; those without a name are system1, system2, ..."""
        made = [c if isinstance(c, Settings) else Settings.from_flat(dict(c)) for c in configs]
        if len(made) > 1:
            made = [
                s.change(system={"name": f"system{i + 1}"}) if s.system.name == "main" else s
                for i, s in enumerate(made)
            ]
        return cls(tuple(made))

    @classmethod
    def from_toml(cls, path: Path) -> Self:
        """Settings as `workbench config` prints them; ``[[systems]]`` tables say what differs for each system."""
        if not path.is_file():
            raise ConfigError(f"config file {path} does not exist; `workbench config > {path}` writes one")
        try:
            tree = tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"config file {path} is not valid TOML: {error}") from None
        parts = tree.pop("systems", [{}])
        base = Settings.from_dict(tree)
        return cls(tuple(base.change(**part) for part in parts))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The inverse of `to_json`."""
        return cls(tuple(Settings.from_dict(tree) for tree in json.loads(text)))

    def to_json(self) -> str:
        """All settings of all systems, passwords in addresses among them: for the engine's own folder."""
        return json.dumps([s.model_dump(mode="json") for s in self.systems], indent=1)

    def to_public_json(self) -> str:
        """As `to_json`, without the credentials in addresses: for the journal, and so for every dashboard."""
        hidden = {name: hide_credentials(getattr(self.first.live, name)) for name in ("journal", "commands")}
        return EnginePlan(tuple(s.change(live=hidden) for s in self.systems)).to_json()
