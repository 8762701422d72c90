"""A research job: a workspace, and what its steps share in memory so that a whole run computes each thing once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from workbench.config import Settings
from workbench.core.bars import Bars
from workbench.core.calendar import iso_time
from workbench.core.digest import digest
from workbench.core.errors import DataError
from workbench.core.units import BAR_MINUTES, SESSION_MINUTES
from workbench.core.universe import Universe
from workbench.data.store import Store
from workbench.features.engine import build_history
from workbench.features.history import FeatureHistory
from workbench.models.registry import Registry, find
from workbench.models.strategies import find_strategy
from workbench.progress import progress
from workbench.research.families import known_families
from workbench.research.workspace import Workspace
from workbench.training.cells import family_version
from workbench.training.labels import Labels, make_daily_labels, make_labels
from workbench.training.presets import profile_settings
from workbench.training.scheduler import Scheduler

T = TypeVar("T")


class Job:
    """The workspace `ws` and, computed when first asked for, its bars, features and labels."""

    def __init__(self, ws: Workspace) -> None:
        self.ws = ws
        self.settings = profile_settings(ws.settings, ws.settings.training.profile)
        self._made: dict[str, Any] = {}  # what it is -> the object, for steps of one process that share it

    @classmethod
    def open(cls, out: Path | str, settings: Settings | None = None) -> Job:
        """The job of the folder `out`; `settings` None reads those of the folder.

        The training profile is applied here and not written down: the next command may name another. Names of
        families and strategies that nobody registered are refused before anything is written.
        """
        if settings is not None:
            registry = known_families(Path(out))
            for family in (*settings.training.families, *settings.training.barriers):
                find(family, registry)
            for strategy in settings.training.strategies:
                find_strategy(strategy)
            check_place(settings.training.device, settings.training.scheduler)
        return cls(Workspace(out, settings))

    def run_on(self, scheduler: str | None, jobs: int | None) -> None:
        """Where this process has its fits done; not written down, for it changes no result."""
        if scheduler is not None:
            check_place("cpu", scheduler)
        chosen = {"scheduler": scheduler, "jobs": jobs}
        self.settings = self.settings.change(training={k: v for k, v in chosen.items() if v is not None})

    @cached_property
    def registry(self) -> Registry:
        """The built-in families, those of installed packages and those brought into the workspace."""
        return known_families(self.ws.root)

    @property
    def families_digest(self) -> str:
        """What the chosen families are, a user's own and brought ones too: training depends on their code."""
        return digest(*(family_version(self.registry[name]) for name in self.settings.training.families))

    def forget(self) -> None:
        """Drop what was computed from the store, because the store has changed."""
        for name in ("store", "universe", "bars", "daily", "minute", "history", "labels"):
            self.__dict__.pop(name, None)
        self._made.clear()

    def once(self, what: str, make: Callable[[], T]) -> T:
        """`make()`, the first time that `what` is asked for in this process; shown as progress."""
        if what not in self._made:
            with progress(what):
                self._made[what] = make()
        made: T = self._made[what]
        return made

    @cached_property
    def store(self) -> Store:
        return Store(self.ws.store_dir)

    @cached_property
    def universe(self) -> Universe:
        return self.store.universe()

    @cached_property
    def bars(self) -> Bars:
        """The 5-minute bars, of the configured symbols or of all."""
        return self._seen(self.store.serve(BAR_MINUTES, symbols=self.settings.system.symbols or None))

    @cached_property
    def daily(self) -> Bars:
        """The daily bars of the same symbols; those that the source lacks are summed up from the intraday bars."""
        return self._seen(self.store.serve(SESSION_MINUTES, symbols=self.bars.symbols))

    @cached_property
    def minute(self) -> Bars | None:
        """The 1-minute bars, where there are any: they tell which barrier was touched first."""
        if 1 not in self.store.intervals():
            return None
        return self._seen(self.store.serve(1, symbols=self.bars.symbols))

    def _seen(self, bars: Bars) -> Bars:
        """What research may see of `bars`: sessions up to ``data.until``."""
        if not self.settings.data.until:
            return bars
        last = int(np.datetime64(self.settings.data.until, "D").astype(np.int64))
        seen = bars.rows(0, int(np.searchsorted(bars.session, last, side="right")))
        if not len(seen.ts):
            raise DataError(
                f"data.until = {self.settings.data.until} lies before the first bar, {iso_time(bars.ts[0])}; "
                "set a later date, or none"
            )
        return seen

    @cached_property
    def history(self) -> FeatureHistory:
        with progress("features") as report:
            return build_history(
                self.bars,
                self.daily,
                self.universe,
                self.settings.features,
                report,
                closing_minutes=self.settings.sizing.flatten_before_close,
            )

    @cached_property
    def labels(self) -> Mapping[str, Labels]:
        """Horizon label -> labels, for the configured horizons."""
        with progress("labels"):
            both: dict[str, Any] = {
                **make_labels(self.bars, self.history, self.settings.labels, self.minute),
                **make_daily_labels(self.daily, self.history, self.settings.labels),
            }
        return {label: both[label] for label in self.settings.system.horizons if label in both}

    @property
    def data_digest(self) -> str:
        """What the later steps depend on: the store's content, and how much of it research may see."""
        if not self.ws.store_dir.is_dir():
            raise DataError(f"{self.ws.root} has no bars yet: run `workbench simulate` or `workbench import` first")
        return digest(self.store.digest, self.settings.data.until)


def check_place(device: str, scheduler: str) -> None:
    """ConfigError unless networks can be trained on `device` and `scheduler` may be used."""
    if scheduler:
        Scheduler.at(scheduler)
    if device != "cpu":
        from workbench.models.neural import check_training_device

        check_training_device(device)
