"""The steps of the research job, in order: data, train, blend, calibrate, backtest, report.

Each takes a :class:`~workbench.research.job.Job`, is skipped when its inputs have not changed, goes on where it was
interrupted, and returns its outcome as plain data (what ``--json`` prints).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from joblib import Parallel, delayed
from pydantic import ValidationError

from workbench.analysis.zoo import ZooCell
from workbench.artifacts import load_oofs
from workbench.artifacts.bundle import BLENDER_FORMAT, BLENDER_VERSION
from workbench.artifacts.history import CANDIDATES, SIGNATURES
from workbench.artifacts.models import MODELS_FORMAT, MODELS_VERSION
from workbench.artifacts.verified import read_folder
from workbench.config import Settings
from workbench.core.bars import Bars
from workbench.core.calendar import iso_date, session_of
from workbench.core.errors import ArtifactError, ConfigError, DataError, InsufficientDataError
from workbench.core.horizon import HORIZONS
from workbench.core.results import BacktestResult
from workbench.core.types import OofForecasts
from workbench.data.importers import import_bars
from workbench.data.simulate import MarketSettings
from workbench.data.simulate import simulate as simulate_market
from workbench.decision.costs import CostModel
from workbench.engine.backtest import naive_backtest, run_backtest
from workbench.engine.recall import BookKeeper, Books
from workbench.features.history import FeatureHistory
from workbench.progress import progress
from workbench.research.experiments import record
from workbench.research.job import Job
from workbench.research.report_inputs import report_inputs
from workbench.research.results_io import load_books, load_result, save_books, save_result
from workbench.research.workspace import STEPS, write_atomically
from workbench.research.zoo import FILE as ZOO
from workbench.research.zoo import survey, zoo
from workbench.stats.stack import BarrierStack
from workbench.training.bundles import save_stages, save_trained
from workbench.training.cost_probe import probe_costs
from workbench.training.fitting import FittedStages, Tranche, fit_stages, schedule
from workbench.training.probe import truncation_probe
from workbench.training.walkforward import Trained, make_plan
from workbench.training.walkforward import train as walk_forward

Outcome = dict[str, Any]

__all__ = ["Job", "backtest", "blend", "calibrate", "import_data", "report", "run_all", "simulate", "train"]


def run_all(job: Job) -> Outcome:
    """Everything after the data, and where the report is."""
    for step in (train, blend, calibrate, backtest):
        step(job)
    return report(job)


# 1 data --------------------------------------------------------------------------------------------------------------


def simulate(
    job: Job, *, symbols: int = 30, days: int = 120, daily: int = 756, seed: int = 7, ic: float = 0.03
) -> Outcome:
    """Fill the store with the embedded market."""
    try:
        market = MarketSettings(symbols=symbols, intraday_sessions=days, daily_sessions=daily, seed=seed, ic=ic)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))} {e['msg']}" for e in error.errors())
        raise ConfigError(f"this market cannot be simulated: {wrong.replace('Value error, ', '').strip()}") from None
    _refuse_other_origin(job, simulated=True)
    work = partial(_simulate, job, market)
    outcome = job.ws.run("data", ["simulate", market.digest], work, (job.ws.store_dir / "universe.toml",))
    job.forget()
    return outcome


def _simulate(job: Job, settings: MarketSettings) -> Outcome:
    with progress("simulated market") as report:
        market = simulate_market(settings, report)
        _empty(job.ws.store_dir)
        store = job.store
        store.write_universe(market.universe)
        for bars in (market.minute, market.bars, market.daily):
            if bars is not None:
                store.write(bars)
    return {
        "origin": "embedded",
        "symbols": len(market.universe),
        "sessions": settings.intraday_sessions,
        "daily_sessions": settings.daily_sessions,
        "seed": settings.seed,
        "planted_ic": settings.ic,
        "store": str(job.ws.store_dir),
    }


def import_data(
    job: Job,
    path: Path,
    universe: Path | None = None,
    columns: Mapping[str, str] | None = None,
    timezone: str | None = None,
    stamp: str | None = None,
    interval: int | None = None,
    accept: tuple[str, ...] = (),
) -> Outcome:
    """Fill the store with the user's bars (see :func:`import_bars`); importing the same files again changes nothing."""
    _refuse_other_origin(job, simulated=False)
    with progress("import") as note:
        told = import_bars(path, job.ws.store_dir, columns, interval, timezone, universe, stamp, accept, progress=note)
    outcome = {
        "origin": told.data_origin,
        "quarantined": dict(told.reasons),
        "quarantine_file": str(job.ws.store_dir / told.quarantine) if told.quarantine else "",
        "remarks": [str(f) for f in told.findings],
        "read": list(told.lines()),
    }
    job.forget()
    outcome = job.ws.run("data", ["import", job.store.digest, outcome], lambda: outcome)
    return outcome


def _refuse_other_origin(job: Job, *, simulated: bool) -> None:
    """A store never mixes a simulated market with real bars."""
    known = job.ws.records.get("data", {}).get("outcome", {}).get("origin")
    if known is not None and (known == "embedded") != simulated:
        raise DataError(f"{job.ws.root} already holds {known} bars; choose another folder with --out")


def _empty(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True) if folder.is_dir() else []:
        path.rmdir() if path.is_dir() else path.unlink()


# 3 predictions -------------------------------------------------------------------------------------------------------


def train(job: Job) -> Outcome:
    """Features, labels, nested walk-forward, final models and the truncation probe."""
    s = job.settings
    taught = s.training.model_copy(update={"jobs": 1, "scheduler": ""})  # where fits run changes nothing
    inputs = [
        job.data_digest,
        *(b.digest for b in (s.features, s.labels, taught)),
        s.system.digest,
        job.families_digest,
    ]
    outcome = job.ws.run("train", inputs, partial(_train, job), (job.ws.root / ZOO,), partial(_models_intact, job))
    record(job, ("train",), zoo_cells(job))
    return outcome


def _train(job: Job) -> Outcome:
    trained = train_models(job)
    with progress("truncation probe"):
        verdict = truncation_probe(job.bars, job.daily, job.universe, job.settings, full=job.history)
    _put_damaged_aside(job.ws.models_dir, MODELS_FORMAT, MODELS_VERSION)
    models = save_trained(trained, job.ws.models_dir)
    with progress("models against a constant"):
        cells = survey(job, trained, models)
    return {
        "models": models,
        "rows": {label: len(oof) for label, oof in trained.oofs.items()},
        "fitted": len(trained.models),
        "cells": sum(c.trained for c in cells),
        "beat_a_constant": sum(c.beats_constant for c in cells),
        "best": _best(cells),
        "probe": {"passed": verdict.passed, "detail": verdict.detail},
        "abstained": dict(trained.abstained),
        "notes": list(trained.notes),
    }


def _best(cells: list[ZooCell]) -> dict[str, dict[str, Any]]:
    """Horizon label -> the cell with the highest out-of-fold IC there."""
    out: dict[str, dict[str, Any]] = {}
    for cell in sorted((c for c in cells if c.ic == c.ic), key=lambda c: c.ic):
        out[cell.horizon] = {"model": f"{cell.family}/{cell.strategy}", "ic": cell.ic, "p_corrected": cell.p_corrected}
    return {h.label: out[h.label] for h in HORIZONS if h.label in out}


def train_models(job: Job) -> Trained:
    """The walk-forward itself; cells that are in the workspace's cache are not fitted again."""
    history, labels = job.history, job.labels
    with progress("training") as note:
        return walk_forward(
            job.bars, job.daily, history, labels, job.settings, job.ws.cells_dir, note, registry=job.registry
        )


def oofs(job: Job) -> dict[str, OofForecasts]:
    """The out-of-fold forecasts kept with the models, verified on the way in; read once per job."""
    models = job.ws.outcome("train")["models"]
    try:
        return job.once(f"forecasts of {models}", lambda: load_oofs(job.ws.models_dir, models))
    except ArtifactError as error:
        error.add_note(f"`workbench train --out {job.ws.root}` puts it aside and makes it again from the fitted cells")
        raise


def zoo_cells(job: Job) -> list[ZooCell]:
    """Every cell of the zoo after training: what it can do, does, weighs and costs."""
    return [ZooCell.from_dict(c) for c in zoo(job.ws.root)["cells"]]


def _models_intact(job: Job, outcome: Outcome) -> bool:
    return _intact(job.ws.models_dir / outcome["models"], MODELS_FORMAT, MODELS_VERSION)


def _blender_intact(job: Job, outcome: Outcome) -> bool:
    return _intact(job.ws.blenders_dir / outcome["bundle"], BLENDER_FORMAT, BLENDER_VERSION)


def _put_damaged_aside(root: Path, form: str, version: int) -> None:
    """A damaged bundle must not stand in the way of the same one made anew."""
    for bundle in sorted(p for p in root.glob("[!.]*") if p.is_dir() and p.name not in (SIGNATURES, CANDIDATES)):
        _intact(bundle, form, version)


def _intact(bundle: Path, form: str, version: int) -> bool:
    """Whether the bundle is as it was saved; a damaged one is put aside under another name, and that is told."""
    if not bundle.is_dir():
        return False
    try:
        read_folder(bundle, form, version)
    except ArtifactError as error:
        aside = next(p for i in range(1, 1000) if not (p := bundle.with_name(f".{bundle.name}.damaged{i}")).exists())
        bundle.rename(aside)
        print(f"  {error}; put aside as {aside.name} and made again", file=sys.stderr, flush=True)
        return False
    return True


# 4 to 8 blending, costs, gating, sizing ------------------------------------------------------------------------------


def blend(job: Job) -> Outcome:
    """The final blenders and the cost model: what the out-of-fold forecasts are worth, by horizon."""
    s = job.settings
    inputs = [job.ws.outcome("train")["models"], s.blending.digest, s.costs.digest, s.execution.digest]
    return job.ws.run("blend", inputs, partial(_blend, job))


def _blend(job: Job) -> Outcome:
    stages = final_stages(job).stages
    blends = {
        label: {
            "weights": {str(k): round(w, 4) for k, w in zip(fit.keys, fit.weights, strict=True) if w},
            "slope": fit.slope,
            "halflife_bars": fit.halflife,
            "windows": fit.windows,
            "abstains": fit.reason or None,
        }
        for label, fit in stages.blender.fits_.items()
    }
    costs = {"k1": stages.costs.k1_, "k2": stages.costs.k2_, "k3": stages.costs.k3_, "probes": stages.costs.rows_}
    return {"horizons": blends, "costs": costs}


def calibrate(job: Job) -> Outcome:
    """The gates, which complete the bundle that a live system loads."""
    s = job.settings
    inputs = [job.ws.records.get("blend"), job.ws.outcome("blend"), s.gating.digest, s.sizing.digest, s.digest]
    return job.ws.run("calibrate", inputs, partial(_calibrate, job), intact=partial(_blender_intact, job))


def _calibrate(job: Job) -> Outcome:
    fitted, models = final_stages(job), job.ws.outcome("train")["models"]
    _put_damaged_aside(job.ws.blenders_dir, BLENDER_FORMAT, BLENDER_VERSION)
    bundle = save_stages(fitted, job.ws.blenders_dir, job.ws.models_dir, models)
    skill = {
        label: {name: {"map": side.map.kind, "brier_skill": side.skill, "se": side.se} for name, side in both.items()}
        for label, both in fitted.stack.sides_.items()
    }
    return {"bundle": bundle, "models": models, "gates": skill}


def final_stages(job: Job) -> FittedStages:
    """The stages of the bundle: fitted on all out-of-fold rows. Computed once per job."""
    return job.once("final stages", lambda: fit_stages(oofs(job), None, job.settings, _cost_source(job), job.history))


def _cost_source(job: Job) -> Callable[[int], CostModel]:
    """How to fit costs on what was known before a moment: probe orders on earlier sessions only."""

    def fit(as_of: int) -> CostModel:
        model = CostModel(job.settings.costs)
        try:
            probes = probe_costs(
                job.bars, job.history, job.settings, before_session=session_of(as_of), seed=job.settings.training.seed
            )
        except InsufficientDataError:
            return model
        return model.fit(probes)

    return fit


# 3 to 10 backtest ----------------------------------------------------------------------------------------------------


def backtest(job: Job) -> Outcome:
    """The walk-forward stages, segment by segment, through decide() and the matching engine."""
    results, books = backtest_files(job), books_file(job)
    made = (*results.values(), books)

    def intact(_: Outcome) -> bool:
        return all(_loads(load_result, path) for path in results.values()) and _loads(load_books, books)

    return job.ws.run("backtest", _backtest_inputs(job), partial(_backtest, job), made, intact)


def _backtest_inputs(job: Job) -> list[Any]:
    return [job.ws.outcome("calibrate")["bundle"], job.data_digest, job.settings.digest]


def check_backtest(job: Job) -> None:
    """:class:`ConfigError` unless the backtest in the workspace is of these settings, this data and this code."""
    job.ws.outcome("backtest")
    if not job.ws.is_current("backtest", _backtest_inputs(job)):
        raise ConfigError(
            f"the backtest in {job.ws.root} was made with other settings, data or code: `workbench backtest --out "
            f"{job.ws.root}` makes it anew"
        )


def backtest_files(job: Job) -> dict[float | str, Path]:
    """Spread multiplier, or "naive", -> the file of its result."""
    names: tuple[float | str, ...] = (*job.settings.backtest.spread_multipliers, "naive")
    return {m: job.ws.backtest_dir / f"{m if isinstance(m, str) else format(m, 'g')}.npz" for m in names}


def books_file(job: Job) -> Path:
    """The file of the books of the base run, next to its result."""
    path = backtest_files(job)[base_multiplier(job)]
    return path.with_name(f"{path.stem}.books.npz")


def base_multiplier(job: Job) -> float:
    """1x the spread, or the nearest to it that is run."""
    return min(job.settings.backtest.spread_multipliers, key=lambda m: (abs(m - 1.0), m))


def _loads(load: Callable[[Path], Any], path: Path) -> bool:
    try:
        load(path)
    except ArtifactError:
        return False
    return True


def _backtest(job: Job) -> Outcome:
    stages, s, base_at = tranches(job), job.settings, base_multiplier(job)
    with progress("backtests"):
        runs = Parallel(n_jobs=min(s.training.jobs, len(s.backtest.spread_multipliers)))(
            delayed(_run)(job.bars, job.history, stages, s, m, m == base_at) for m in s.backtest.spread_multipliers
        )
    results = {m: result for m, (result, _) in zip(s.backtest.spread_multipliers, runs, strict=True)}
    job.ws.backtest_dir.mkdir(exist_ok=True)
    base = results[base_at]
    naive = naive_backtest(base, job.bars, leverage=job.history.universe.leverage)
    for result, path in zip((*results.values(), naive), backtest_files(job).values(), strict=True):
        save_result(path, result)
    save_books(books_file(job), next(books for _, books in runs if books is not None))
    return {
        "first": iso_date(base.session[0]),
        "last": iso_date(base.session[-1]),
        "bars": len(base.ts),
        "orders": base.orders,
        "fills": len(base.fills),
        "net_return": float(base.nav[-1] / base.start_nav - 1),
        "net_return_by_spread": {f"{m:g}x": float(r.nav[-1] / r.start_nav - 1) for m, r in results.items()},
        "naive_return": float(naive.nav[-1] / naive.start_nav - 1),
        "breaches": dict(base.breaches),
        "decisions": base.digest,
    }


def _run(
    bars: Bars, history: FeatureHistory, stages: Sequence[Tranche], settings: Settings, multiplier: float, keep: bool
) -> tuple[BacktestResult, Books | None]:
    """One run, in a process of its own perhaps; with the books where they are to be kept."""
    keeper = BookKeeper() if keep else None
    label = f"{multiplier:g}x spread"
    result = run_backtest(bars, history, stages, settings, label=label, spread_multiplier=multiplier, journal=keeper)
    return result, None if keeper is None else keeper.books()


def tranches(job: Job) -> tuple[Tranche, ...]:
    """The stages of each segment that can be traded. Computed once per job."""
    plan = make_plan(job.bars, job.daily, job.settings.training)
    return job.once(
        "stages by segment", lambda: schedule(plan, oofs(job), job.settings, job.history, _cost_source(job))
    )


def stacks(job: Job) -> dict[int, BarrierStack]:
    """Segment -> the barrier stack in force there, fitted on earlier segments only."""
    return {tranche.segment: tranche.stack for tranche in tranches(job)}


def live(job: Job, session: Callable[[Job], Outcome]) -> Outcome:
    """A session that the workspace's bundle trades live; `session` is :func:`~.live_session.trade_session`."""
    inputs = [job.ws.outcome("calibrate")["bundle"], job.data_digest, job.settings.digest]
    return job.ws.run("live", inputs, partial(session, job))


# report --------------------------------------------------------------------------------------------------------------


def report(job: Job) -> Outcome:
    """One self-contained HTML file; its path is the outcome's last entry."""
    live_session = job.ws.records.get("live", {}).get("outcome")
    inputs = [job.ws.outcome("backtest"), job.ws.outcome("train"), live_session, job.settings.digest]
    check_backtest(job)
    outcome = job.ws.run("report", inputs, partial(_report, job), (job.ws.report_path,))
    record(job, STEPS, zoo_cells(job))
    return outcome


def _report(job: Job) -> Outcome:
    from workbench.analysis.report import find, render_report, report_summary  # draws: nobody else waits for it

    files = backtest_files(job)
    results = {m: load_result(files[m]) for m in job.settings.backtest.spread_multipliers}
    naive = load_result(files["naive"])
    with progress("report"):
        inputs = report_inputs(job, oofs(job), final_stages(job).stages, stacks(job), results, naive)
        findings = find(inputs)
        render_report(inputs, job.ws.report_path, findings)
        summary = report_summary(inputs, findings)
    write_atomically(job.ws.root / "summary.json", json.dumps(summary, indent=1, sort_keys=True))
    return {"verdict": summary["verdict"], "report": str(job.ws.report_path)}
