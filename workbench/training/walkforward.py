"""Nested walk-forward: every family on every horizon, fitted up to each segment, asked about the next.

The outcome is out-of-fold forecasts, which alone may teach blenders, gates and sizes, and the final models for the
bundle. Cells run in worker processes with one thread each, on arrays mapped from disk; results are cached by content.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from workbench.artifacts import ModelFiles, Parity
from workbench.config import Settings, TrainingSettings
from workbench.core.bars import Bars
from workbench.core.calendar import Sessions, exchange_sessions
from workbench.core.digest import digest
from workbench.core.errors import InsufficientDataError
from workbench.core.horizon import HORIZONS, Horizon
from workbench.core.types import ModelKey, OofForecasts
from workbench.models.base import Budget, Family
from workbench.models.registry import FAMILIES, Registry, find
from workbench.models.windows import WindowView
from workbench.stats.splits import Segment, day_walk_forward, embargo_ns, lead_in, walk_forward
from workbench.training.assembly import Assembly
from workbench.training.cascade import LEAD_IN, out_of_fold_probabilities
from workbench.training.cells import Cell, CellOptions, CellResult, parity_rows
from workbench.training.course import Course, Plan
from workbench.training.dataset import Panel
from workbench.training.labels import Labels
from workbench.training.pool import Material, Pool, Probabilities
from workbench.training.scheduler import Scheduler

if TYPE_CHECKING:
    from workbench.features.history import FeatureHistory

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class Trained:
    """What a walk-forward leaves.

    `oofs`: horizon label -> forecasts of segments that no predicting model had seen. `models`: the final models, fitted
    on everything. `notes`: what a reader must know (caps, abstentions). `abstained`: fit -> why it has no model.
    `silent`: cell that has no final model -> why. `constant`: cell -> share of its fits that found nothing better.
    """

    plan: Plan
    oofs: Mapping[str, OofForecasts]
    models: tuple[ModelFiles, ...]
    parity: Parity
    symbols: tuple[str, ...]
    names: tuple[str, ...]
    daily_names: tuple[str, ...]
    window: int
    per_symbol: bool
    data_origin: str
    notes: tuple[str, ...]
    abstained: Mapping[str, str]
    silent: Mapping[ModelKey, str]
    constant: Mapping[ModelKey, float]
    inputs_digest: str

    @property
    def fitted_until(self) -> int:
        """Last moment that any final model knows of (ns); 0 without models."""
        return max((m.fitted_until for m in self.models), default=0)


def make_plan(bars: Bars, daily: Bars, settings: TrainingSettings) -> Plan:
    """The segments for these bars: a pure function of their sessions."""
    intraday = walk_forward(
        _sessions(bars), settings.segments, settings.initial_fraction, settings.embargo_sessions
    )  # fmt: skip
    day = day_walk_forward(_sessions(daily), intraday, settings.initial_fraction, settings.embargo_sessions)
    return Plan(intraday, day, embargo_ns(settings.embargo_sessions))


def train(
    bars: Bars,
    daily: Bars,
    history: FeatureHistory,
    labels: Mapping[str, Labels],
    settings: Settings,
    cache_dir: Path | None = None,
    progress: Progress | None = None,
    *,
    plan: Plan | None = None,
    registry: Registry = FAMILIES,
    final: bool = True,
) -> Trained:
    """Out-of-fold forecasts and final models of every (family, strategy, horizon) of `settings`.

    `labels`: from :func:`make_labels` and :func:`make_daily_labels`. `cache_dir` keeps cells between runs; None keeps
    nothing. `progress(done, total, text)` is called after every cell. A family with too few rows abstains in that cell
    and is reported in ``abstained``. `plan` None: :func:`make_plan`. `final` False leaves the final models out.
    """
    plan = plan or make_plan(bars, daily, settings.training)
    used = [h for h in HORIZONS if h.label in labels and h.label in settings.system.horizons]
    panels = {
        "bars": Panel.of(history.values, history.bar_of_session, history.names),
        "days": Panel.of(
            history.daily_values, np.zeros(len(history.daily_session), np.int64), history.daily_names
        ),
    }  # fmt: skip
    chosen = {name: find(name, registry) for name in settings.training.families}
    course = Course(used, plan, settings.training, chosen, final, _has_day_windows(history))
    warned = {h.label: _warned(h, bars, daily, plan, settings.training) for h in used}
    barriers, direct, cascades = list(course.barriers(warned)), list(course.direct()), list(course.cascades())
    with TemporaryDirectory(prefix="cells-") as nowhere:
        pool = Pool(
            chosen, {name: _options(settings, family) for name, family in chosen.items()},
            Material(panels, {h.label: labels[h.label] for h in used}), cache_dir or Path(nowhere),
            _scheduler(settings.training), progress or _silent, len(barriers) + len(direct) + len(cascades),
        )  # fmt: skip
        results = pool.run(barriers)
        table = Assembly(panels, labels, history, results, bars.data_origin)
        probabilities = _probabilities(table, used, warned, plan.embargo_ns) if cascades else {}
        results |= pool.run([*direct, *cascades], probabilities)
    table = Assembly(panels, labels, history, results, bars.data_origin)
    made = ((h.label, table.oof(h, plan.of(h), plan.embargo_ns)) for h in used)
    oofs = {label: oof for label, oof in made if oof is not None and oof.keys}
    window = settings.features.window
    return Trained(
        plan=plan,
        oofs=oofs,
        models=tuple(_final_models(results)),
        parity=Parity(_parity(panels["bars"], window), _parity(panels["days"], window)),
        symbols=bars.symbols,
        names=panels["bars"].names,
        daily_names=panels["days"].names,
        window=window,
        per_symbol=any(family.per_symbol for family in chosen.values()),
        data_origin=bars.data_origin,
        notes=_notes(results, settings.training, chosen, used, oofs),
        abstained={str(c): r.reason for c, r in results.items() if r.reason},
        silent={
            _key(c): r.reason for c, r in results.items() if r.reason and c.target == "value" and c.segment is None
        },
        constant=_constant(results),
        inputs_digest=digest(history.digest, *(labels[h.label].digest for h in used)),
    )


def _scheduler(settings: TrainingSettings) -> Scheduler:
    return Scheduler.at(settings.scheduler) if settings.scheduler else Scheduler(settings.jobs)


def _warned(h: Horizon, bars: Bars, daily: Bars, plan: Plan, settings: TrainingSettings) -> tuple[Segment, ...]:
    """The segments of `h` and, where cascades are trained, the parts before them that the classifiers predict too."""
    segments = plan.of(h)
    if "cascade" not in settings.strategies or not segments:
        return segments
    sessions = _sessions(daily if h.is_day else bars)
    return (*lead_in(sessions, segments[0], LEAD_IN, settings.embargo_sessions, is_day=h.is_day), *segments)


def _probabilities(
    table: Assembly, used: list[Horizon], warned: Mapping[str, tuple[Segment, ...]], embargo_ns: int
) -> Probabilities:
    out = {}
    for h in used:
        oof, labels = table.oof(h, warned[h.label], embargo_ns), table.labels[h.label]
        if oof is not None:
            out[h.label] = out_of_fold_probabilities(
                oof, warned[h.label], labels.known_at, len(labels.symbols), labels.session
            )
    return out


def _has_day_windows(history: FeatureHistory) -> bool:
    return len(history.ts) > 0 and history.snapshot(0, 1).daily.window.shape[1] > 0


def _options(settings: Settings, family: Family) -> CellOptions:
    t = settings.training
    device = t.device if family.neural else "cpu"
    return CellOptions(
        getattr(t, _cap_setting(family)), settings.features.window, t.seed, Budget.named(t.profile), device
    )


def _key(cell: Cell) -> ModelKey:
    return ModelKey(cell.family, cell.strategy, cell.horizon)


def _constant(results: Mapping[Cell, CellResult]) -> dict[ModelKey, float]:
    """Share of the fits of each cell that learned nothing and say so."""
    fits: dict[ModelKey, list[bool]] = {}
    for cell, result in results.items():
        if cell.target == "value" and not result.reason:
            fits.setdefault(_key(cell), []).append(bool(result.info.get("constant")))
    return {key: sum(flags) / len(flags) for key, flags in fits.items()}


def _final_models(results: Mapping[Cell, CellResult]) -> Iterable[ModelFiles]:
    for cell, result in results.items():
        if cell.segment is None and not result.reason:
            yield ModelFiles(_key(cell), cell.target, result.files, result.fitted_until, result.parity)


def _parity(panel: Panel, length: int) -> NDArray[np.float32]:
    rows = parity_rows(panel.known_share())
    return WindowView(panel.values, panel.bar_of_session, rows.bar, rows.column, length).batch()


def _notes(
    results: Mapping[Cell, CellResult],
    settings: TrainingSettings,
    families: Mapping[str, Family],
    used: list[Horizon],
    oofs: Mapping[str, OofForecasts],
) -> tuple[str, ...]:
    capped = [_cap_note(name, results, settings, family) for name, family in families.items()]
    silent = [_silence_note(h.label, results, h.label in oofs) for h in used]
    return tuple(note for note in (*capped, *silent) if note)


def _cap_note(name: str, results: Mapping[Cell, CellResult], settings: TrainingSettings, family: Family) -> str:
    cells = [r for c, r in results.items() if c.family == name and c.target == "value" and r.used < r.available]
    if not cells:
        return ""
    also = "; its barrier classifiers on a third of that" if name in settings.barriers else ""
    setting = _cap_setting(family)
    return (
        f"{name} was fitted on at most {max(r.used for r in cells):,} of up to {max(r.available for r in cells):,} "
        f"rows, evenly spaced in time (training.{setting} = {getattr(settings, setting):,}){also}"
    )


def _silence_note(label: str, results: Mapping[Cell, CellResult], has_oof: bool) -> str:
    silent = {c.family for c, r in results.items() if c.horizon == label and c.target == "value" and r.reason}
    if not has_oof:
        return f"{label}: insufficient data, no family could be fitted out of sample"
    return f"{label}: {', '.join(sorted(silent))} abstained where there were too few rows" if silent else ""


def _cap_setting(family: Family) -> str:
    """The training setting that bounds the rows `family` learns from."""
    if family.sequential:
        return "max_rows_sequential"
    return "max_rows_slow" if family.slow else "max_rows"


def _sessions(bars: Bars) -> Sessions:
    """The exchange's sessions that `bars` hold; :class:`InsufficientDataError` when there is none."""
    dates = np.unique(bars.session)
    if not len(dates):
        raise InsufficientDataError("there are no bars to train on; import some first")
    every = exchange_sessions()
    place = np.searchsorted(every.date, dates)
    return Sessions(every.date[place], every.open_ns[place], every.close_ns[place])


def _silent(done: int, total: int, text: str) -> None:
    """Progress that nobody watches."""
