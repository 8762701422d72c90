"""Stages fitted on out-of-fold forecasts: one set per tranche of the walk-forward, and one for the bundle.

The stages of segment k see only rows whose label matured before the segment's cutoff, the same that bounds its models.
What is learned, in order: stack and gate of the barriers; blender; z_ref, the root mean square of z over admitted rows;
and the reference trade, the median |dw| of :func:`decide` replayed over a few whole out-of-fold sessions in which every
target is filled at once. The replay stands in for the full backtest of those rows, which would take minutes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.config import Settings
from workbench.core.arrays import FloatArray
from workbench.core.digest import digest
from workbench.core.errors import InsufficientDataError
from workbench.core.types import Book, OofForecasts
from workbench.decision.arbitration import CostArbitrator
from workbench.decision.blending import DEFAULT_COST, HorizonBlender
from workbench.decision.costs import CostModel
from workbench.decision.gating import BarrierGate
from workbench.decision.pipeline import Predictor, Stages, decide, reference_z
from workbench.decision.sizing import PositionSizer
from workbench.decision.validation import PositionValidator
from workbench.models.recorded import RecordedForecasts
from workbench.stats.splits import Segment
from workbench.stats.stack import BarrierStack
from workbench.training.course import Plan

if TYPE_CHECKING:
    from workbench.features.history import FeatureHistory

REPLAYED_SESSIONS = 4
"""Whole out-of-fold sessions over which the reference trade is measured."""

COST_SNAPSHOTS = 50
"""Bars, evenly spaced, at which the typical one-way cost is estimated."""

MIN_TRADES = 30
"""Replayed trades below which the reference trade stays at its setting."""

CostSource = CostModel | Callable[[int], CostModel]
"""A fitted cost model, or how to fit one on what was known before a moment (ns)."""


@dataclass(frozen=True, slots=True)
class FittedStages:
    """Stages, the barrier stack inside their predictor, and what they know of.

    `fitted_until`: last moment (ns) of any label or model inside. `one_way_cost`: typical cost assumed while fitting.
    """

    stages: Stages
    stack: BarrierStack
    fitted_until: int
    one_way_cost: float

    def parts(self) -> dict[str, Any]:
        """The JSON of a blender bundle (see :mod:`workbench.artifacts`)."""
        s = self.stages
        return {
            "blender": s.blender.to_dict(),
            "gates": {"stack": self.stack.to_dict(), "gate": s.gate.to_dict()},
            "costs": s.costs.to_dict(),
            "sizing": {"sizer": s.sizer.to_dict(), "arbitrator": s.arbitrator.to_dict()},
        }


@dataclass(frozen=True, slots=True)
class Tranche:
    """Stages that decide from `first_session` to `last_session` (days since 1970, both included).

    `segment` is the number of the walk-forward segment, `stack` the barrier stack behind the stages' predictor,
    `fitted_until` the last moment (ns) that anything inside knows of.
    """

    first_session: int
    last_session: int
    stages: Stages
    fitted_until: int
    segment: int
    stack: BarrierStack


def fit_stages(
    oofs: Mapping[str, OofForecasts],
    as_of: int | None,
    settings: Settings,
    cost_model: CostSource,
    history: FeatureHistory,
    predictor: Callable[[BarrierStack], Predictor] | None = None,
) -> FittedStages:
    """All stages, fitted on the rows of `oofs` whose label matured before `as_of` (None: all that matured).

    `predictor` makes the stage 3 of the result from the fitted stack; None: these rows played back. A cost model that
    is passed is copied, never changed. :class:`InsufficientDataError` when no row has matured.
    """
    known = {label: _matured(oof, as_of) for label, oof in oofs.items()}
    known = {label: oof for label, oof in known.items() if len(oof)}
    if not known:
        raise InsufficientDataError("no out-of-fold row has matured: the first segments are too short to fit stages on")
    until = max(int(max(oof.matured_at.max(), oof.fitted_until.max())) for oof in known.values())
    costs = _own(cost_model, as_of if as_of is not None else until)
    typical = typical_cost(costs, history, known, settings.backtest.nav)
    stack = BarrierStack().fit(known)
    blender = HorizonBlender(settings.blending, settings.training.min_windows).fit(known, typical)
    z = reference_z(blender, known, typical)
    stages = Stages(
        predictor=predictor(stack) if predictor is not None else RecordedForecasts(known, stack),
        blender=blender,
        costs=costs,
        arbitrator=CostArbitrator(costs, settings.arbitration).fit(np.abs(z)),
        gate=BarrierGate(settings.gating).fit(known, stack),
        sizer=PositionSizer(settings.sizing).fit(z),
        validator=PositionValidator(settings.validation, settings.sizing),
        config_digest=settings.digest,
        artifacts_digest="",
    )
    trades = reference_trades(stages, known, stack, history, settings.backtest.nav)
    if len(trades) >= MIN_TRADES:
        costs.reference_weight_ = float(np.median(trades))
    fitted = FittedStages(stages, stack, until, typical)
    return replace(fitted, stages=replace(stages, artifacts_digest=digest(fitted.parts())))


def schedule(
    plan: Plan, oofs: Mapping[str, OofForecasts], settings: Settings, history: FeatureHistory, cost_model: CostSource
) -> tuple[Tranche, ...]:
    """Segments 2..K of `plan`, each decided by stages that know only what had matured before it.

    Segment 1 cannot be traded: nothing out of fold came before it. A segment before which nothing has matured, or in
    which nothing was forecast, is left out.
    """
    made = (_tranche(segment, plan, oofs, settings, history, cost_model) for segment in plan.intraday[1:])
    return tuple(tranche for tranche in made if tranche is not None)


def _tranche(
    segment: Segment,
    plan: Plan,
    oofs: Mapping[str, OofForecasts],
    settings: Settings,
    history: FeatureHistory,
    cost_model: CostSource,
) -> Tranche | None:
    as_of = min(s.cutoff_ns for s in (*plan.intraday, *plan.day) if s.number == segment.number)
    asked = {label: oof.take(segment.holds(oof.session)) for label, oof in oofs.items()}
    asked = {label: oof for label, oof in asked.items() if len(oof)}
    if not asked:
        return None
    try:
        fitted = fit_stages(oofs, as_of, settings, cost_model, history, _player(asked))
    except InsufficientDataError:
        return None
    models = max(int(oof.fitted_until.max()) for oof in asked.values())
    until = max(fitted.fitted_until, models)
    return Tranche(segment.first, segment.last, fitted.stages, until, segment.number, fitted.stack)


def _player(asked: Mapping[str, OofForecasts]) -> Callable[[BarrierStack], Predictor]:
    return lambda stack: RecordedForecasts(asked, stack)


def typical_cost(costs: CostModel, history: FeatureHistory, known: Mapping[str, OofForecasts], nav: float) -> float:
    """Median one-way cost over symbols and COST_SNAPSHOTS bars of the sessions of `known`; the blender's own default
    where nothing is known of it."""
    rows = _rows_of(history, known)
    if not len(rows):
        return DEFAULT_COST
    picked = rows[np.linspace(0, len(rows) - 1, min(COST_SNAPSHOTS, len(rows))).astype(int)]
    each = np.concatenate([costs.estimate(history.snapshot(int(t)), nav).one_way[0] for t in picked])
    each = each[np.isfinite(each)]
    return float(np.median(each)) if len(each) else DEFAULT_COST


def reference_trades(
    stages: Stages, known: Mapping[str, OofForecasts], stack: BarrierStack, history: FeatureHistory, nav: float
) -> FloatArray:
    """|dw| of every trade that `decide` makes over REPLAYED_SESSIONS whole sessions of `known`, filled at once."""
    rows = _rows_of(history, known)
    sessions = np.unique(history.session[rows])
    if not len(sessions):
        return np.empty(0)
    picked = sessions[np.unique(np.linspace(0, len(sessions) - 1, REPLAYED_SESSIONS).astype(int))]
    mine = {label: oof.take(np.isin(oof.session, picked)) for label, oof in known.items()}
    mine = {label: oof for label, oof in mine.items() if len(oof)}
    stages = replace(stages, predictor=RecordedForecasts(mine, stack))
    moves = []
    for session in picked:
        book = Book.flat(history.symbols, nav)
        for t in rows[history.session[rows] == session]:
            decision = decide(history.snapshot(int(t)), book, stages)
            moves.append(np.abs(decision.target.weights - book.weights))
            book = replace(book, weights=decision.target.weights, carry=decision.carry, as_of=decision.known_at)
    sizes = np.concatenate(moves)
    return sizes[sizes > 0]


def _rows_of(history: FeatureHistory, known: Mapping[str, OofForecasts]) -> Any:
    """Bars of the sessions that the intraday rows of `known` cover (of all rows where none is intraday)."""
    intraday = [oof for oof in known.values() if not oof.horizon.is_day] or list(known.values())
    sessions = np.unique(np.concatenate([np.unique(oof.session) for oof in intraday]))
    return np.flatnonzero(np.isin(history.session, sessions))


def _matured(oof: OofForecasts, as_of: int | None) -> OofForecasts:
    if as_of is not None:
        return oof.matured_before(as_of)
    return oof.take(np.isfinite(oof.label))


def _own(source: CostSource, as_of: int) -> CostModel:
    model = source if isinstance(source, CostModel) else source(as_of)
    return CostModel.from_dict(model.to_dict())
