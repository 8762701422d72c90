"""What became of a live session's forecasts, where its own journal already tells: labels from the bars it consumed.

The bars and quotes that the engine journaled go through the very labels that training uses, so that a live outcome and
a training label mean the same. Day horizons, and intraday ones that the session did not live to see, have none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from workbench.analysis.calibration import Calibration, calibration
from workbench.analysis.drift import FeatureDrift, feature_drift
from workbench.core.arrays import FloatArray, IntArray
from workbench.core.bars import TRADE_FIELDS, Bars
from workbench.core.calendar import exchange_sessions
from workbench.core.errors import DataError, WorkbenchError
from workbench.core.horizon import HORIZONS, INTRADAY_HORIZONS, N_HORIZONS, Horizon
from workbench.core.units import BAR_MINUTES
from workbench.engine.plan import EnginePlan
from workbench.engine.snapshots import QUOTES
from workbench.features.history import FeatureHistory
from workbench.journal import SqlJournal
from workbench.stats.ic import InformationCoefficient, information_coefficient
from workbench.training.labels import Labels, make_labels

LATEST = 60
"""Newest training sessions that a live session is compared with."""


@dataclass(frozen=True, slots=True)
class SessionOutcomes:
    """T grid bars, N symbols, H horizons, F features of one system's session; rows without a decision are NaN.

    `alpha`, `p_peak`, `p_valley` (H, T, N) as decided; `features` (T, N, F) of the snapshots; `labels`: horizon label
    -> what came of it, NaN where it is not known yet.
    """

    symbols: tuple[str, ...]
    ts: IntArray
    session: IntArray
    bar_of_session: IntArray
    alpha: FloatArray
    p_peak: FloatArray
    p_valley: FloatArray
    names: tuple[str, ...]
    features: FloatArray
    labels: Mapping[str, Labels]


@dataclass(frozen=True)
class _Sigmas:
    """sigma_h of the journaled snapshots: what the labels need of a feature history."""

    ts: IntArray
    daily_session: IntArray
    known: FloatArray

    def sigma_h(self, h: Horizon) -> FloatArray:
        values: FloatArray = self.known[h.order]
        return values

    def daily_sigma_h(self, h: Horizon) -> FloatArray:
        raise DataError(f"a live session tells nothing of {h.label}: day horizons need the days after it")


def session_outcomes(journal: SqlJournal, session: str, system: str = "") -> SessionOutcomes:
    """The outcomes of the decisions of `system` (empty: the first that decided) in `session`."""
    about = journal.last("engine", session=session)
    first = next(iter(journal.read("decision", session=session, limit=1)), None)
    if about is None or first is None:
        raise WorkbenchError(f"session {session} of the journal {journal.address} decided nothing")
    system = system or first.system
    plan = EnginePlan.from_json(about.payload["plan"])
    settings = next(s for s in plan.systems if s.system.name == system)
    decisions = list(journal.read("decision", session=session, system=system))
    symbols = decisions[0].payload["decision"].symbols
    batches = [e.payload["batch"].select(symbols) for e in journal.read("market", session=session)]
    bars = _bars(symbols, batches)
    row = {int(t): k for k, t in enumerate(bars.ts)}  # bar end -> row
    shape, names = bars.shape, decisions[0].payload["snapshot"].features.names
    alpha, sigma, peak, valley = (np.full((N_HORIZONS, *shape), np.nan) for _ in range(4))
    features = np.full((*shape, len(names)), np.nan)
    for entry in decisions:
        decision, snapshot = entry.payload["decision"], entry.payload["snapshot"]
        t = row[decision.known_at]
        alpha[:, t], sigma[:, t] = decision.alphas.smoothed, snapshot.sigma_h
        peak[:, t], valley[:, t] = decision.forecasts.p_peak, decision.forecasts.p_valley
        features[t] = snapshot.features.latest
    made = make_labels(bars, _Sigmas(bars.ts, np.unique(bars.session), sigma), settings.labels)
    labels = {label: _finished(of, row[batches[-1].ts]) for label, of in made.items()}
    return SessionOutcomes(
        symbols, bars.ts, bars.session, bars.bar_of_session, alpha, peak, valley, names, features, labels
    )


def live_calibration(outcomes: SessionOutcomes, horizon: str, side: str) -> Calibration:
    """Calibration of the probabilities that the gate used; `side` "peak" or "valley". Empty where nothing is known."""
    h = _intraday(horizon)
    said, came = getattr(outcomes, f"p_{side}")[h.order], getattr(outcomes.labels[horizon], side)
    day = np.repeat(outcomes.session, said.shape[1])
    return calibration(said.ravel(), came.ravel(), day, bins=5)


def live_ic(outcomes: SessionOutcomes, horizon: str) -> InformationCoefficient:
    """IC of the blended, smoothed alpha with what came, across the names of each decision.

    One session is one block: the estimate comes without an interval.
    """
    h = _intraday(horizon)
    label, n = outcomes.labels[horizon], len(outcomes.symbols)
    when, day = np.repeat(outcomes.ts, n), np.repeat(outcomes.session, n)
    told: Any = (outcomes.alpha[h.order].ravel(), label.value.ravel(), when, day)
    return information_coefficient(*told, sigma=label.sigma_h.ravel())


def live_drift(outcomes: SessionOutcomes, history: FeatureHistory) -> FeatureDrift:
    """The session's features against those of `history` (what the models were trained on), at the same times of day."""
    names = [n for n in outcomes.names if n in history.names]
    symbols = [s for s in outcomes.symbols if s in history.symbols]
    if not names or not symbols:
        raise DataError("the history given shares no feature or symbol with the session; pass the job's own history")
    decided = np.isfinite(outcomes.features).any(axis=(1, 2))
    ours = np.ix_(decided, *_places(symbols, outcomes.symbols, names, outcomes.names))
    live = outcomes.features[ours].reshape(-1, len(names))
    same_time = np.isin(history.bar_of_session, outcomes.bar_of_session[decided])
    before = same_time & (history.ts < outcomes.ts[0])
    theirs = _places(symbols, history.symbols, names, history.names)
    past = [
        history.values[np.ix_(before & (history.session == day), *theirs)].reshape(-1, len(names))
        for day in np.unique(history.session[before])[-LATEST:]
    ]
    return feature_drift(names, live, past)


def _finished(labels: Labels, last: int) -> Labels:
    """Only windows that end at row `last` or before: of the others those that touched a barrier early are known, and
    keeping these alone would teach that barriers are touched."""
    over = (np.arange(len(labels.known_at)) + labels.horizon.bars <= last)[:, None]
    return labels.map_panels(lambda _, panel: np.where(over, panel, np.nan))


def _places(
    symbols: list[str], all_symbols: tuple[str, ...], names: list[str], all_names: tuple[str, ...]
) -> tuple[list[int], list[int]]:
    return [all_symbols.index(s) for s in symbols], [all_names.index(n) for n in names]


def _intraday(label: str) -> Horizon:
    found = next((h for h in INTRADAY_HORIZONS if h.label == label), None)
    if found is None:
        known = ", ".join(h.label for h in INTRADAY_HORIZONS)
        what = "ends on a later day" if label in {h.label for h in HORIZONS} else "is no horizon"
        raise DataError(f"{label} {what}; a session tells the outcome of {known}")
    return found


def _bars(symbols: tuple[str, ...], batches: list[Any]) -> Bars:
    """The journaled batches on the exchange's grid; bars that did not arrive are NaN."""
    calendar = exchange_sessions().between(batches[0].ts - 1, batches[-1].ts)
    ts, session, bar, count = calendar.grid(BAR_MINUTES)
    columns = {name: np.full((len(ts), len(symbols)), np.nan) for name in (*TRADE_FIELDS, *QUOTES)}
    row = {int(t): k for k, t in enumerate(ts)}
    for batch in batches:
        t = row[batch.ts]
        for k, name in enumerate(TRADE_FIELDS):
            columns[name][t] = np.where(batch.bar_known > 0, batch.bars[:, k], np.nan)
        for k, name in enumerate(QUOTES):
            columns[name][t] = np.where(batch.quote_known > 0, batch.quotes[:, k], np.nan)
    return Bars(symbols, BAR_MINUTES, ts, session, bar, count, **columns, data_origin="a live journal")
