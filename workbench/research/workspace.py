"""A workspace: one folder that holds everything a research job made, and the record of what is up to date.

Layout: ``config.toml``, ``store/`` (bars), ``cells/`` (training cache), ``models/<id>/``, ``blenders/<id>/``,
``backtest/``, ``report.html``, ``summary.json`` and ``steps.json`` (step -> digest of its inputs, outcome, seconds).
A step whose inputs have the same digest is not run again; a step that was interrupted leaves no record.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import workbench
from workbench.config import Settings
from workbench.core.digest import digest
from workbench.core.errors import ArtifactError, ConfigError, WorkbenchError

ONLY_SHOWS = ("widgets/", "dash/", "schedule/", "cli", "doctor")
"""Sources that no result depends on, by how their path begins."""
STEPS = ("data", "train", "blend", "calibrate", "backtest", "live", "report")


class Workspace:
    """The folder `root` and its `settings`; `settings` None reads the folder's own ``config.toml``.

    Other settings than those of steps already done are no error: the steps that depend on what changed run again, the
    others are kept.
    """

    def __init__(self, root: Path | str, settings: Settings | None = None) -> None:
        self.root = Path(root)
        config = self.root / "config.toml"
        if settings is None:
            settings = Settings.from_toml(config) if config.is_file() else Settings()
        self.settings = settings
        blocked = next((p for p in (self.root, *self.root.parents) if p.exists() and not p.is_dir()), None)
        if blocked is not None:
            raise ConfigError(f"workspace {self.root}: {blocked} is a file; name a folder with --out")
        self.root.mkdir(parents=True, exist_ok=True)
        text = settings.to_toml()
        if not config.is_file() or config.read_text(encoding="utf-8") != text:  # who only reads leaves it alone
            write_atomically(config, text)

    @classmethod
    def existing(cls, root: Path | str) -> Workspace:
        """The workspace at `root`, unchanged; :class:`ConfigError` if there is none."""
        if not (Path(root) / "config.toml").is_file():
            raise ConfigError(f"{root} is no workspace; name one with --out (`workbench demo` makes one)")
        return cls(root)

    @property
    def store_dir(self) -> Path:
        return self.root / "store"

    @property
    def cells_dir(self) -> Path:
        return self.root / "cells"

    @property
    def models_dir(self) -> Path:
        return self.root / "models"

    @property
    def blenders_dir(self) -> Path:
        return self.root / "blenders"

    @property
    def backtest_dir(self) -> Path:
        return self.root / "backtest"

    @property
    def report_path(self) -> Path:
        return self.root / "report.html"

    @property
    def records(self) -> dict[str, dict[str, Any]]:
        """Step -> {"inputs": digest, "seconds": float, "outcome": {...}} of every step that was finished."""
        path = self.root / "steps.json"
        if not path.is_file():
            return {}
        try:
            records: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ArtifactError(
                f"{path} is damaged ({error}); delete it and run the steps again: bars and fitted cells are kept"
            ) from None
        return records

    def outcome(self, step: str) -> dict[str, Any]:
        """What a finished step left; :class:`WorkbenchError` names the command that runs a missing one."""
        record = self.records.get(step)
        if record is None:
            command = {"data": "simulate` or `workbench import"}.get(step, step)
            raise WorkbenchError(f"{self.root} has no finished step {step!r}; run `workbench {command}` first")
        outcome: dict[str, Any] = record["outcome"]
        return outcome

    def is_current(self, step: str, inputs: Any) -> bool:
        """Whether `step` was finished with these `inputs` by this code."""
        record = self.records.get(step)
        return record is not None and record["inputs"] == _input_digest(step, inputs)

    def run(
        self,
        step: str,
        inputs: Any,
        work: Callable[[], dict[str, Any]],
        made: tuple[Path, ...] = (),
        intact: Callable[[dict[str, Any]], bool] = lambda outcome: True,
    ) -> Any:
        """The outcome of `step`: from the record if `inputs` have the same digest, all of `made` exist and what the
        recorded outcome names is `intact`, or new."""
        name, record = _input_digest(step, inputs), self.records.get(step)
        same = self.is_current(step, inputs) and all(p.exists() for p in made)
        if record is not None and same and intact(record["outcome"]):
            return record["outcome"] | {"unchanged": True}
        start = time.monotonic()
        outcome = work()
        later = STEPS[STEPS.index(step) + 1 :]
        records = {k: v for k, v in self.records.items() if k not in later}
        records[step] = {"inputs": name, "seconds": round(time.monotonic() - start, 1), "outcome": outcome}
        write_atomically(self.root / "steps.json", json.dumps(records, indent=1))
        return outcome


def _input_digest(step: str, inputs: Any) -> str:
    return digest(step, code_digest(), inputs)


@cache
def code_digest() -> str:
    """Digest of the package's Python sources, without those that only show: what other code has made is out of date."""
    room = Path(workbench.__file__).parent
    names = (p for p in sorted(room.rglob("*.py")) if not p.relative_to(room).as_posix().startswith(ONLY_SHOWS))
    return digest(*(p.read_bytes() for p in names))


def write_atomically(path: Path, text: str) -> None:
    """Write `text` so that a reader, or a crash, sees the old file or the new one, never a part."""
    scratch = path.with_name(path.name + ".part")
    with scratch.open("w", encoding="utf-8") as f:
        f.write(text)
        f.flush()
        os.fsync(f.fileno())
    os.replace(scratch, path)
