"""The checks of a candidate, one function each: see :mod:`workbench.research.candidate`."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice, product
from typing import Any

import numpy as np

from workbench.analysis.bundle_study import Shadow, gap, moved, shadow_of
from workbench.analysis.gate_study import along_adverse
from workbench.analysis.model_table import model_name
from workbench.artifacts import Bundle
from workbench.core.calendar import iso_time
from workbench.core.errors import DataError, WorkbenchError
from workbench.core.horizon import HORIZONS
from workbench.core.types import TIME_BUCKETS, Book, Decision, Snapshot
from workbench.decision.blending import HorizonBlender
from workbench.decision.costs import CostModel
from workbench.decision.gating import BarrierGate
from workbench.engine.replay import Recorded, replay_session
from workbench.engine.systems import only_horizons
from workbench.journal import SqlJournal
from workbench.progress import Report, progress
from workbench.research.job import Job
from workbench.stats.splits import embargo_ns

SHADOW = "shadow decisions"
NO_JOURNAL = "not asked: no journal of a live engine was read (notebook 12 does, parameter `live`)"


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a candidate may change against the bundle that trades.

    `weights`: share of a horizon's blend that may lie with other models, 0 to 1. `k1`, `k2`, `k3`: |change| of the cost
    model's coefficients. `gates`: |change| of the gate, which is between 0 and 1, anywhere. Over the last `sessions` of
    the journal, `difference`: mean |difference| of a target weight, as a multiple of the mean |weight| decided (1: as
    far as a candidate that holds nothing); `turnover`: how many times more, or less, it asks for than what was decided.
    """

    weights: float = 0.5
    k1: float = 0.25
    k2: float = 0.25
    k3: float = 0.1
    gates: float = 0.25
    sessions: int = 3
    difference: float = 0.75
    turnover: float = 3.0


BOUNDS = Bounds()


@dataclass(frozen=True, slots=True)
class Check:
    """`passed` None: unsure; `detail` says why."""

    name: str
    passed: bool | None
    detail: str


# the candidate alone -------------------------------------------------------------------------------------------------


def probe(found: Bundle, trained: Mapping[str, Any]) -> Check:
    """Nothing in the past knows the future: the truncation probe of the training that made these very models."""
    told = trained.get("probe") or {}
    if trained["models"] != found.models.id or "passed" not in told:
        return Check("truncation probe", False, f"none of the models {found.models.id} is on record: train again")
    return Check("truncation probe", told["passed"] is True, str(told.get("detail", "")))


def parity(found: Bundle) -> Check:
    """Every model gives what the library that fitted it gave: proved when the bundle was loaded."""
    models, barriers = len(found.models.models), len(found.models.barriers)
    told = f"every byte as it was saved; {models} models and {barriers} barrier classifiers give their parity vectors"
    return Check("bytes and parity vectors", True, told)


def evidence(found: Bundle, trained: Mapping[str, Any]) -> Check:
    """Out of fold, at least one horizon is worth trading."""
    trading = ", ".join(_trading(found)) or "no horizon"
    beat = f"{trained.get('beat_a_constant', 'unknown')} of {trained.get('cells', 'unknown')} cells beat a constant"
    return Check("out-of-fold evidence", bool(_trading(found)), f"{trading} would trade; {beat}")


def embargo(found: Bundle, sessions: int) -> Check:
    """The forecasts behind it are out of fold: reading them proves each row's provenance; the embargo is as asked."""
    oofs = found.models.oofs()
    if not oofs:
        return Check("embargo", None, "the bundle keeps no out-of-fold forecasts")
    rows, least = sum(len(oof) for oof in oofs.values()), min(oof.embargo_ns for oof in oofs.values())
    told = f"{rows:,} forecasts of {len(oofs)} horizons, each of a model that knew nothing within the embargo"
    return Check("embargo", least >= embargo_ns(sessions), f"{told} ({sessions} session(s))")


def fitted_until(job: Job, found: Bundle, trading: Bundle | None) -> Check:
    """It knows nothing later than the workspace's bars, and more than the bundle that trades."""
    name, mine = "fitted until", found.fitted_until
    try:
        last = int(max(job.bars.ts[-1], job.daily.ts[-1]))
    except WorkbenchError as error:
        return Check(name, None, f"the bars cannot be read: {error}")
    told = f"it knows labels until {iso_time(mine)}, bars end at {iso_time(last)}"
    if not 0 < mine <= last:
        return Check(name, False, told)
    if trading is None:
        return Check(name, True, told)
    newer = True if mine > trading.fitted_until else False if mine < trading.fitted_until else None
    word = {True: "newer than", False: "older than", None: "no newer than"}[newer]
    return Check(name, newer, f"{told}; {word} the bundle that trades ({iso_time(trading.fitted_until)})")


# beside the bundle that trades ---------------------------------------------------------------------------------------


Verdict = tuple[bool | None, str]


def beside(found: Bundle, trading: Bundle | None, bounds: Bounds, alone: str) -> Iterator[Check]:
    """The checks that compare the two; unsure, because of `alone`, where there is only one."""
    for name, check in COMPARED.items():
        yield Check(name, *((None, alone) if trading is None else check(found, trading, bounds)))


def origin(found: Bundle, trading: Bundle, _: Bounds) -> Verdict:
    """Fitted on bars of the same source."""
    told = f"{found.data_origin} bars; the bundle that trades: {trading.data_origin}"
    return found.data_origin == trading.data_origin, told


def weights(found: Bundle, trading: Bundle, bounds: Bounds) -> Verdict:
    """No horizon's blend moved too far to other models; that one begins or ceases to trade is for a person to see."""
    one, two = _trading(trading), _trading(found)
    turned = [f"{label} {'begins' if label in two else 'ceases'} to trade" for label in _ordered({*one} ^ {*two})]
    shares = {label: moved(one[label], two[label]) for label in one if label in two}
    far = [f"{label}: {share:.0%}" for label, share in shares.items() if share > bounds.weights]
    unknown = [f"{label}: one of the blends has no weights" for label, share in shares.items() if np.isnan(share)]
    most = max((share for share in shares.values() if share == share), default=0.0)
    told = f"at most {most:.0%} of a blend moved to other models (bound {bounds.weights:.0%})"
    return False if far else None if turned or unknown else True, "; ".join([told, *far, *unknown, *turned])


def costs(found: Bundle, trading: Bundle, bounds: Bounds) -> Verdict:
    """The cost model's coefficients stay near."""
    one, two = (CostModel.from_dict(bundle.parts["costs"]) for bundle in (trading, found))
    rows = [(name, getattr(one, f"{name}_"), getattr(two, f"{name}_")) for name in ("k1", "k2", "k3")]
    near = all(abs(b - a) <= getattr(bounds, name) for name, a, b in rows)
    return near, ", ".join(f"{name} {a:.4g} to {b:.4g} (bound {getattr(bounds, name):g})" for name, a, b in rows)


def gates(found: Bundle, trading: Bundle, bounds: Bounds) -> Verdict:
    """The gate of every horizon that trades in either, of both sides and at all times of day, stays near."""
    both = [BarrierGate.from_dict(bundle.parts["gates"]["gate"]) for bundle in (trading, found)]
    apart: list[tuple[float, str]] = []
    for label in _ordered({*_trading(found)} | {*_trading(trading)}):
        for (bucket, when), side in product(enumerate(TIME_BUCKETS), ("long", "short")):
            (p, one), (_, two) = (along_adverse(gate, label, bucket, short=side == "short") for gate in both)
            apart.append((gap(p, one, two).largest, f"{label}, {when}, {side}"))
    known = [pair for pair in apart if pair[0] == pair[0]]
    if not known:
        return None, "no horizon that trades has a gate in both"
    far, where = max(known)
    told = f"{len(known)} of {len(apart)} curves compared: at most {far:.3f} apart, at {where} (bound {bounds.gates:g})"
    return far <= bounds.gates, told


COMPARED: Mapping[str, Callable[[Bundle, Bundle, Bounds], Verdict]] = {
    "data origin": origin, "weights of the blends": weights, "costs": costs, "gates": gates,
}  # fmt: skip


def _trading(bundle: Bundle) -> dict[str, dict[str, float]]:
    """Horizon that trades -> model -> weight, the shortest horizon first."""
    fits = HorizonBlender.from_dict(bundle.parts["blender"]).fits_
    return {
        label: {model_name(key.family, key.strategy): w for key, w in zip(fit.keys, fit.weights, strict=True)}
        for label in _ordered(fits) if not (fit := fits[label]).reason
    }  # fmt: skip


def _ordered(labels: Container[str]) -> list[str]:
    return [h.label for h in HORIZONS if h.label in labels]


# shadow --------------------------------------------------------------------------------------------------------------


def shadow(found: Bundle, trading: Bundle | None, journal: SqlJournal | None, bounds: Bounds) -> Check:
    """What the candidate would have decided in the last journaled sessions is not too far from what was decided."""
    if journal is None:
        return Check(SHADOW, None, NO_JOURNAL)
    try:
        asked = tuple(islice(decided_sessions(journal), bounds.sessions))
        made = [shadow_session(journal, session, found, _system(journal, session, trading)) for session in asked]
    except WorkbenchError as error:
        return Check(SHADOW, None, f"not asked: {error}")
    if not made:
        return Check(SHADOW, None, f"not asked: no session of {journal.address} decided anything")
    return _near(made, bounds)


def _near(made: list[Shadow], bounds: Bounds) -> Check:
    """The shadows within their bounds; not to be said where either wanted nothing at all."""
    decided, other = (np.concatenate([getattr(s, name).ravel() for s in made]) for name in ("decided", "shadow"))
    size, apart = float(np.abs(decided).mean()), float(np.abs(other - decided).mean())
    one, two = (float(sum(s.turnover[k].sum() for s in made)) for k in (0, 1))
    told = f"{sum(map(len, made))} decisions of {len(made)} session(s)"
    if not (size > 0 and one > 0 and other.any()):
        whose = "the candidate" if size > 0 and one > 0 else "what traded"
        return Check(SHADOW, None, f"{told}: {whose} wanted nothing, so there is nothing to compare")
    times, ratio = apart / size, two / one
    near = times <= bounds.difference and 1 / bounds.turnover <= ratio <= bounds.turnover
    told += f": mean |difference| of a weight {apart:.3%} of NAV, {times:.2f} times the mean |weight| decided (bound "
    told += f"{bounds.difference:g}); turnover {ratio:.2f} times (bound {bounds.turnover:g}, up or down)"
    return Check(SHADOW, near, told)


def decided_sessions(journal: SqlJournal) -> Iterator[str]:
    """Sessions that decided something, the last first."""
    return (s.session for s in reversed(journal.sessions()) if journal.last("decision", session=s.session) is not None)


def _system(journal: SqlJournal, session: str, trading: Bundle | None) -> str:
    """The system that traded with the bundle in force, of engines that run several; empty: the first."""
    about = journal.last("engine", session=session)
    bundles = {} if about is None or trading is None else about.payload["bundles"]
    return next((name for name, of in bundles.items() if trading and of["digest"] == trading.digest), "")


def shadow_session(journal: SqlJournal, session: str, candidate: Bundle, system: str = "") -> Shadow:
    """What `candidate` would have decided in a journaled session, with the settings of `system` (empty: the first).

    The session is replayed, which takes seconds; :class:`WorkbenchError` where the bundle that traded it is gone,
    nothing was decided, or the candidate reads features that were not made.
    """
    items = replay_session(journal, session)
    first = next((item for item in items if system in ("", item.system.name)), None)
    if first is None:
        raise DataError(f"session {session} of {journal.address} decided nothing: there is nothing to shadow")
    settings = first.system.settings
    stages = only_horizons(candidate, settings.system.horizons).stages(settings)
    mine = (item for item in chain([first], items) if item.system.name == first.system.name)
    with progress(f"shadow of session {session}") as report:
        return shadow_of(_told(mine, report), stages)


def _told(items: Iterable[Recorded], report: Report) -> Iterator[tuple[Snapshot, Book, Decision]]:
    for number, item in enumerate(items, 1):
        report(number, 0, f"bar {iso_time(item.decision.known_at)[11:16]} UTC")
        yield item.snapshot, item.book, item.decision
