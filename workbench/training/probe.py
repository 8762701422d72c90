"""Probes that a research result must pass: the future cut off, and labels that mean nothing.

*Truncation.* Everything from features to calibrators is computed twice: on all bars, and on the bars up to a cut. What
lies before the cut must be the same, bit for bit; whatever differs has looked ahead.

*Shuffled labels.* With sessions permuted and signs drawn at random there is nothing to find; a chain that finds
something has learned from the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from workbench.config import FeatureSettings, Settings
from workbench.core.arrays import FloatArray
from workbench.core.bars import Bars
from workbench.core.calendar import iso_time
from workbench.core.errors import DataError, LookAheadError
from workbench.core.types import OofForecasts
from workbench.core.universe import Universe
from workbench.decision.blending import HorizonBlender
from workbench.decision.gating import BarrierGate
from workbench.stats.splits import Segment
from workbench.stats.stack import BarrierStack
from workbench.training.course import Plan
from workbench.training.labels import PANELS, Labels, make_daily_labels, make_labels
from workbench.training.walkforward import Trained, make_plan, train

if TYPE_CHECKING:
    from workbench.features.history import FeatureHistory

Build = Callable[[Bars, Bars, Universe, FeatureSettings], "FeatureHistory"]

PROBE_FAMILY = "FTRLProximal"
PROBE_HORIZONS = ("5m", "1d")
PROBE_ROWS = 5_000


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """What a passed probe compared: `cut` ns, `values` numbers per stage, `segments` walked before the cut.

    A probe that fails raises; a report exists only of one that passed.
    """

    cut: int
    values: Mapping[str, int]
    segments: int

    @property
    def passed(self) -> bool:
        """True: nothing changed."""
        return True

    @property
    def detail(self) -> str:
        """One line for a reader."""
        parts = ", ".join(f"{count:,} {stage}" for stage, count in self.values.items())
        return f"cut at {iso_time(self.cut)}: {parts} unchanged over {self.segments} segments"


def truncation_probe(
    bars: Bars,
    daily: Bars,
    universe: Universe,
    settings: Settings,
    cut: int | None = None,
    *,
    build: Build | None = None,
    horizons: tuple[str, ...] = PROBE_HORIZONS,
    family: str = PROBE_FAMILY,
    full: FeatureHistory | None = None,
) -> ProbeReport:
    """Recompute all on what was known at `cut` (ns) and compare. None: amid the session after the last but one segment,
    so that what looks ahead within a session is seen too.

    `build` makes features (default :func:`workbench.features.engine.build_history`); `full` is the history of all bars
    where it exists already. One fast `family` on two `horizons` stands for the models. :class:`LookAheadError` names
    stage, symbol and bar of the first difference.
    """
    build = build or _build_history
    plan = make_plan(bars, daily, settings.training)
    cut = _amid_session_after(bars, plan.intraday[-2]) if cut is None else cut
    kept = _before(plan, bars, daily, cut)
    history = full if full is not None else build(bars, daily, universe, settings.features)
    part_bars, part_daily = bars.upto(cut), daily.upto(cut)
    part = build(part_bars, part_daily, universe, settings.features)
    values = {"features": _same_features(history, part, cut)}
    all_labels, part_labels = _labels(bars, daily, history, settings), _labels(part_bars, part_daily, part, settings)
    values["labels"] = sum(
        _same_labels(whole, part_labels[h], int(part_daily.ts[-1]) if whole.horizon.is_day else cut)
        for h, whole in all_labels.items()
    )
    small = _small(settings, family, horizons)
    whole = train(bars, daily, history, all_labels, small, _NOWHERE, plan=kept, final=False)
    again = train(part_bars, part_daily, part, part_labels, small, _NOWHERE, plan=kept, final=False)
    values["forecasts"] = sum(_same_forecasts(whole, again, h) for h in horizons)
    if not values["forecasts"]:
        raise DataError(f"{family} forecasts neither {' nor '.join(horizons)} before {iso_time(cut)}, so the probe has "
                        "nothing to compare: bring more sessions, or choose a later cut")  # fmt: skip
    values["calibrators"] = _same_calibrators(whole, again, kept, cut, settings)
    return ProbeReport(cut, values, len(kept.intraday))


_NOWHERE: Path | None = None  # a probe trusts no cache


def shuffle_labels(labels: Mapping[str, Labels], seed: int) -> dict[str, Labels]:
    """`labels` with nothing left to find: sessions permuted within each symbol, their signs drawn at random.

    Sessions trade places only with sessions of as many rows, so that the time of day keeps its place; a flipped
    session swaps peak and valley, highest and lowest. What is NaN throughout (not matured yet) stays. All label kinds
    move together.
    """
    return {h: _shuffled(table, np.random.default_rng([seed, table.horizon.order])) for h, table in labels.items()}


def _shuffled(labels: Labels, rng: np.random.Generator) -> Labels:
    source, sign = _moves(labels, rng)
    columns = np.arange(len(labels.symbols))

    def moved(name: str, panel: FloatArray) -> FloatArray:
        if name in ("value", "skip", "naive"):
            return panel[source, columns] * sign
        other = getattr(labels, _MIRROR[name])[source, columns]
        return np.where(sign > 0, panel[source, columns], -other if name in ("highest", "lowest") else other)

    return labels.map_panels(moved)


_MIRROR = {"peak": "valley", "valley": "peak", "highest": "lowest", "lowest": "highest"}
"""What a label becomes when the price is turned upside down (an excursion also changes its sign)."""


def _moves(labels: Labels, rng: np.random.Generator) -> tuple[NDArray[np.int64], FloatArray]:
    """(T, N) the row that each label comes from, and its sign."""
    t, n = labels.value.shape
    source = np.tile(np.arange(t)[:, None], (1, n))
    sign = np.ones((t, n))
    starts = np.flatnonzero(np.r_[True, np.diff(labels.session) != 0])
    lengths = np.diff(np.r_[starts, t])
    live = np.array([np.isfinite(labels.value[a : a + c]).any() for a, c in zip(starts, lengths)])
    for length in np.unique(lengths[live]):
        first = starts[live & (lengths == length)]
        rows = first[:, None] + np.arange(length)
        for column in range(n):
            source[rows, column] = rows[rng.permutation(len(first))]
            sign[rows, column] = rng.choice([-1.0, 1.0], len(first))[:, None]
    return source, sign


def _build_history(bars: Bars, daily: Bars, universe: Universe, settings: FeatureSettings) -> FeatureHistory:
    from workbench.features.engine import build_history

    return build_history(bars, daily, universe, settings)


def _small(settings: Settings, family: str, horizons: tuple[str, ...]) -> Settings:
    """Few rows, in this process, and single_task whatever else was chosen: with one horizon of each axis multi_task
    would leave nothing to compare."""
    strategies = tuple(dict.fromkeys(("single_task", *settings.training.strategies)))
    rows = {"max_rows": PROBE_ROWS, "max_rows_slow": PROBE_ROWS, "max_rows_sequential": PROBE_ROWS}
    training = {"families": (family,), "strategies": strategies, "profile": "demo", "jobs": 1, "scheduler": "", **rows}
    return settings.change(training=training, system={"horizons": horizons})


def _labels(bars: Bars, daily: Bars, history: FeatureHistory, settings: Settings) -> dict[str, Labels]:
    return {**make_labels(bars, history, settings.labels), **make_daily_labels(daily, history, settings.labels)}


def _before(plan: Plan, bars: Bars, daily: Bars, cut: int) -> Plan:
    """The segments whose every row was known by `cut`, with all of their daily features."""
    kept = Plan(
        tuple(s for s in plan.intraday if _end_of(bars, s) <= cut),
        tuple(s for s in plan.day if _end_of(daily, s) <= cut),
        plan.embargo_ns,
    )
    if not kept.intraday or not kept.day:
        raise DataError(f"no walk-forward segment ends before {iso_time(cut)}: choose a later cut for the probe")
    return kept


def _amid_session_after(bars: Bars, segment: Segment) -> int:
    after = np.flatnonzero(bars.session > segment.last)
    first = after[bars.session[after] == bars.session[after[0]]]
    return int(bars.ts[first[len(first) // 2]])


def _end_of(bars: Bars, segment: Segment) -> int:
    inside = bars.ts[segment.holds(bars.session)]
    return int(inside[-1]) if len(inside) else 0


def _same_features(whole: FeatureHistory, part: FeatureHistory, cut: int) -> int:
    """Compare every array of the two histories over the bars, sessions and daily rows of `part`."""
    axes = {len(whole.ts): whole.ts, len(whole.daily_session): whole.daily_session,
            len(whole.intraday_session): whole.intraday_session}  # fmt: skip
    count = 0
    for field in fields(part):
        ours, theirs = getattr(part, field.name), getattr(whole, field.name)
        if isinstance(ours, np.ndarray) and len(theirs) in axes:
            rows = min(len(ours), len(theirs))
            place = Place(f"features: {field.name}", axes[len(theirs)], whole.symbols, _names(whole, field.name))
            _compare(place, theirs[:rows], ours[:rows])
            count += ours[:rows].size
    return count


def _names(history: FeatureHistory, field: str) -> tuple[str, ...]:
    return {"values": history.names, "daily_values": history.daily_names}.get(field, ())


def _same_labels(whole: Labels, part: Labels, cut: int) -> int:
    """Compare what had matured by `cut`: the cut itself, on the day axis the last whole daily bar before it."""
    rows = np.flatnonzero(part.exists & (part.matured_at <= cut))
    for name in PANELS:
        place = Place(f"labels {whole.horizon}: {name}", whole.known_at[rows], whole.symbols)
        ours, theirs = getattr(part, name)[rows], getattr(whole, name)[rows]
        if name == "skip":  # it matures one bar later than the others, perhaps after the cut
            theirs = np.where(np.isnan(ours), np.nan, theirs)
        _compare(place, theirs, ours)
    return len(PANELS) * len(rows) * len(whole.symbols)


def _same_forecasts(whole: Trained, part: Trained, label: str) -> int:
    if label not in whole.oofs and label not in part.oofs:
        return 0
    if label not in whole.oofs or label not in part.oofs:
        raise LookAheadError(
            f"forecasts {label}: they exist only {'with' if label in whole.oofs else 'without'} the future"
        )
    ours, theirs = part.oofs[label], whole.oofs[label]
    if not np.array_equal(ours.known_at, theirs.known_at) or not np.array_equal(ours.symbol, theirs.symbol):
        raise LookAheadError(f"forecasts {label}: other rows were forecast once the future was cut off")
    for name in ("fitted_until", "forecast", "p_peak", "p_valley"):
        differs = _differs(getattr(theirs, name), getattr(ours, name)).reshape(len(ours), -1).any(axis=1)
        if differs.any():
            row = int(np.argmax(differs))
            symbol, when = ours.symbols[ours.symbol[row]], iso_time(ours.known_at[row])
            raise LookAheadError(f"forecasts {label}: {name} of {symbol} at {when} changes when the future is cut off")
    return ours.forecast.size


def _same_calibrators(whole: Trained, part: Trained, plan: Plan, cut: int, settings: Settings) -> int:
    """Fit stack, gate and blender on what had matured at each cutoff, from both sets of forecasts."""
    count = 0
    for segment in plan.intraday[1:]:
        fits = [_calibrators(t.oofs, segment.cutoff_ns, settings) for t in (whole, part)]
        for name in fits[0]:
            if fits[0][name] != fits[1][name]:
                when = iso_time(segment.cutoff_ns)
                raise LookAheadError(f"calibrators: the {name} fitted at {when} changes when the future is cut off")
        count += len(fits[0])
    return count


def _calibrators(oofs: Mapping[str, OofForecasts], cutoff: int, settings: Settings) -> dict[str, Any]:
    known = {label: oof.matured_before(cutoff) for label, oof in oofs.items()}
    known = {label: oof for label, oof in known.items() if len(oof)}
    stack = BarrierStack().fit(known)
    gate = BarrierGate(settings.gating).fit(known, stack)
    blender = HorizonBlender(settings.blending, settings.training.min_windows).fit(known)
    return {"stack": repr(stack.to_dict()), "gate": repr(gate.to_dict()), "blender": repr(blender.to_dict())}


@dataclass(frozen=True, slots=True)
class Place:
    """How to name a place of a (rows, symbols, names) array: `stamp` (rows,) ns or days since 1970."""

    what: str
    stamp: NDArray[np.int64]
    symbols: tuple[str, ...]
    names: tuple[str, ...] = ()

    def name(self, index: tuple[int, ...], shape: tuple[int, ...]) -> str:
        """For a message: what, of which symbol, when."""
        stamp = int(self.stamp[index[0]])
        when = iso_time(stamp) if stamp > 10**9 else str(np.datetime64(stamp, "D"))
        symbol = f" of {self.symbols[index[1]]}" if len(index) > 1 and shape[1] == len(self.symbols) else ""
        name = f" {self.names[index[2]]}" if self.names and len(index) > 2 else ""
        return f"{self.what}{name}{symbol} at {when}"


def _compare(place: Place, whole: NDArray[Any], part: NDArray[Any]) -> None:
    """LookAheadError that names the first difference of two (rows, ...) arrays; NaN equals NaN."""
    differs = _differs(whole, part)
    if differs.any():
        at = tuple(int(i[0]) for i in np.nonzero(differs))
        raise LookAheadError(
            f"{place.name(at, differs.shape)} is {whole[at]} with the future and {part[at]} without it: it looks ahead"
        )


def _differs(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.bool_]:
    same = a == b
    if a.dtype.kind == "f":
        same |= np.isnan(a) & np.isnan(b)
    return ~same
