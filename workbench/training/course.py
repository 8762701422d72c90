"""What a run fits: the cells of every family, strategy and horizon over the segments of the walk-forward."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from workbench.config import TrainingSettings
from workbench.core.horizon import Horizon
from workbench.models.base import Family
from workbench.models.strategies import Strategy, find_strategy
from workbench.stats.splits import Segment
from workbench.training.cells import Cell, Target

BARRIERS: tuple[Target, Target] = ("peak", "valley")


@dataclass(frozen=True, slots=True)
class Plan:
    """The segments of both axes and the embargo between what is learned and what is asked."""

    intraday: tuple[Segment, ...]
    day: tuple[Segment, ...]
    embargo_ns: int

    def of(self, h: Horizon) -> tuple[Segment, ...]:
        """The segments of the axis of `h`."""
        return self.day if h.is_day else self.intraday


@dataclass(frozen=True, slots=True)
class Course:
    """The cells of a run: every able family of every strategy on every horizon, and the barriers."""

    used: list[Horizon]
    plan: Plan
    settings: TrainingSettings
    families: Mapping[str, Family]
    final: bool
    day_windows: bool

    def barriers(self, parts: Mapping[str, tuple[Segment, ...]]) -> Iterable[Cell]:
        """Classifiers of both barriers for the `parts` of each horizon."""
        chosen = [name for name in self.settings.barriers if name in self.families and self.families[name].classifies]
        chosen = chosen or [name for name, family in self.families.items() if family.classifies][:2]
        for h in self.used:
            for part in self._parts(parts[h.label]):
                for name in self._able(h, chosen):
                    for target in BARRIERS:
                        yield Cell(h.label, name, "", target, part, _cutoff(part))

    def direct(self) -> Iterable[Cell]:
        """The cells that need nothing but features."""
        return self._of(lambda strategy: not strategy.context)

    def cascades(self) -> Iterable[Cell]:
        """The cells that need probabilities of the barriers."""
        return self._of(lambda strategy: bool(strategy.context))

    def _of(self, wanted: Callable[[Strategy], bool]) -> Iterable[Cell]:
        for strategy in filter(wanted, map(find_strategy, self.settings.strategies)):
            for h in self.used:
                for name in self._able(h, self.families):
                    if supports(self.families[name], strategy, h):
                        continue
                    together = self._together(h, name) if strategy.joint else ()
                    if strategy.joint and len(together) < 2:
                        continue  # with one horizon it would be single_task under another name
                    for part in self._parts(self.plan.of(h)):
                        yield Cell(h.label, name, strategy.name, "value", part, _cutoff(part), together)

    def _parts(self, segments: tuple[Segment, ...]) -> list[Segment | None]:
        return [*segments, *([None] if self.final else [])]

    def _together(self, h: Horizon, name: str) -> tuple[str, ...]:
        axis = [other for other in self.used if other.is_day == h.is_day]
        return tuple(other.label for other in axis if name in self._able(other, [name]))

    def _able(self, h: Horizon, names: Iterable[str]) -> list[str]:
        """Families that serve `h` and can be asked about it live: windows of days must come with the snapshot."""
        return [
            n
            for n in names
            if not (self.families[n].horizons and h.label not in self.families[n].horizons)
            and not (h.is_day and self.families[n].sequential and not self.day_windows)
        ]


def supports(family: Family, strategy: Strategy, h: Horizon) -> str:
    """Why `family` cannot be trained by `strategy` on `h`; empty where it can."""
    if family.horizons and h.label not in family.horizons:
        return f"{family.name} was made for {', '.join(family.horizons)}"
    if family.knows_until and (strategy.joint or strategy.context):
        return f"{family.name} was fitted elsewhere and cannot be fitted by {strategy.name}"
    if strategy.joint and not family.shares and (family.sequential or family.needs):
        what = "reads windows" if family.sequential else f"learns from {family.needs[0]}"
        return f"{family.name} {what} and one label at a time, so its horizons cannot be pooled by {strategy.name}"
    return ""


def _cutoff(part: Segment | None) -> int:
    return part.cutoff_ns if part is not None else np.iinfo(np.int64).max
