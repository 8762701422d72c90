"""What dashboards show and where their secrets lie: told by `workbench dash`, or the environment of `panel serve`."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

PREFIX = "WORKBENCH_DASH_"


def default_secrets() -> Path:
    """This install's folder for users and keys of dashboards."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "workbench"


@dataclass(frozen=True, slots=True)
class DashSettings:
    """`folder` of the engine; `journal` and `commands` as SQLAlchemy URLs and `key` as a file, where they are not in it
    (an engine on another machine); `job`: folder of the research; `desk`: of the schedule, whose alerts are shown;
    `secrets`: users, cookie secret.

    >>> DashSettings(folder=Path("runs/live")).journal_address
    PosixPath('runs/live/journal.db')
    """

    folder: Path = Path("runs/live")
    journal: str = ""
    commands: str = ""
    key: str = ""
    job: Path = Path("runs/demo")
    desk: Path = Path("runs/desk")
    secrets: Path = Path()

    def __post_init__(self) -> None:
        if self.secrets == Path():
            object.__setattr__(self, "secrets", default_secrets())

    @classmethod
    def from_environment(cls) -> Self:
        """From WORKBENCH_DASH_FOLDER, _JOURNAL, _COMMANDS, _KEY, _JOB, _DESK, _SECRETS; else the defaults."""
        told = {f.name: os.environ.get(PREFIX + f.name.upper(), "") for f in fields(cls)}
        paths = ("folder", "job", "desk", "secrets")
        return cls(**{name: Path(value) if name in paths else value for name, value in told.items() if value})

    @property
    def journal_address(self) -> str | Path:
        """Where the journal is: its URL, or the file in the folder."""
        return self.journal or self.folder / "journal.db"
