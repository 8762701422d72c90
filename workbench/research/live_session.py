"""A live session at the simulated gateway on sessions that training never saw: the last step of `workbench demo`.

The gateway replays the store's last session at `SPEED` times real time; the engine trades it through the client library
with the bundle that the workspace holds, as it would trade at the broker. Beside it the backtest trades the same bars
with the same stages, so that the report can set one slippage against the other.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from workbench.analysis.inputs import LiveSummary
from workbench.analysis.tca import CostGroup, MeanCost, cost_lines, mean_cost, overall
from workbench.config import Settings
from workbench.core.calendar import exchange_sessions, iso_date, iso_time
from workbench.core.errors import DataError, WorkbenchError
from workbench.core.results import BacktestResult
from workbench.core.units import BAR_MINUTES, BPS, NS_PER_MINUTE
from workbench.engine.backtest import run_backtest
from workbench.engine.codec import live_codec
from workbench.engine.live import EngineClient
from workbench.engine.plan import EnginePlan
from workbench.engine.process import JOURNAL
from workbench.engine.session_record import SessionRecord, read_session
from workbench.engine.simulation import stop_gateway
from workbench.engine.systems import load_system
from workbench.engine.verify import Verdict, verify_session
from workbench.features.engine import build_history
from workbench.features.history import FeatureHistory
from workbench.journal import SqlJournal, plain
from workbench.progress import progress
from workbench.research.job import Job

HELD_OUT = 2
"""Sessions at the end of the store that training must not see: one between, and the one that is traded."""
PLANTED_IC = 0.06
"""Of the demo's market at 5 minutes: strong enough that something is left to trade after costs."""
SPEED = 100.0
MINUTES = 120
BEFORE_OPEN = "T09:00"
PATIENCE_S = 300.0
SHOWN = 12


def hold_out(job: Job) -> Job:
    """The same job, whose research sees nothing of the last HELD_OUT sessions."""
    sessions = np.unique(job.bars.session)
    if len(sessions) <= HELD_OUT:
        raise DataError(f"the store has {len(sessions)} sessions; a live session needs more than {HELD_OUT}")
    until = iso_date(int(sessions[-HELD_OUT - 1]))
    return Job.open(job.ws.root, job.ws.settings.change(data={"until": until}))


def live_settings(job: Job, folder: Path, symbols: tuple[str, ...], session: str) -> Settings:
    """Settings of the live system: what was trained, on the replayed store."""
    return job.settings.change(
        system={
            "symbols": symbols,
            "universe": str(job.ws.store_dir / "universe.toml"),
            "model_dir": str(job.ws.models_dir),
            "blender_dir": str(job.ws.blenders_dir),
        },
        broker={"host": "", "speed": SPEED, "start": session + BEFORE_OPEN, "market": f"replay:{job.ws.root}"},
        live={"folder": str(folder)},
        data={"bar_grace_s": 60.0},
    )


def trade_session(job: Job, minutes: int = MINUTES) -> dict[str, Any]:
    """Trade the first `minutes` of the store's last session live; the summary, as plain JSON types."""
    folder = job.ws.root / "live"
    every = job.store.serve(BAR_MINUTES, symbols=job.bars.symbols)
    session = int(every.session[-1])
    opens = exchange_sessions().open_ns[int(np.searchsorted(exchange_sessions().date, session))]
    until = int(opens) + minutes * NS_PER_MINUTE
    settings = live_settings(job, folder, every.symbols, iso_date(session))
    client = EngineClient(EnginePlan((settings,)))
    client.stop("another live session begins")  # one that an interrupted run left behind
    stop_gateway(folder)
    shutil.rmtree(folder, ignore_errors=True)
    _run(client, until)
    with SqlJournal(folder / JOURNAL, read_only=True, codec=live_codec()) as journal:
        name = journal.sessions()[-1].session
        record = read_session(journal, name)
        with progress("verify"):
            verdict = verify_session(journal, name)
    with progress("backtest of the same bars"):
        tested, history = _backtest(job, settings, session, record.last_bar)
    told: dict[str, Any] = plain(asdict(summary(record, verdict, tested, history)))
    return told


def _run(client: EngineClient, until: int) -> None:
    """Start the engine, follow it until the simulated clock passes `until`, stop it and its gateway."""
    try:
        client.start()
        deadline = time.monotonic() + PATIENCE_S
        with progress("live session at the simulated gateway") as report:
            client.wait(PATIENCE_S)
            while (status := client.status())["phase"] == "trading" and status["time"] < iso_time(until):
                if time.monotonic() > deadline:
                    raise WorkbenchError(f"the live session is only at {status['time']} after {PATIENCE_S:g} s")
                report(status["cycles"], (MINUTES // BAR_MINUTES), f"live {status['time'][11:16]} UTC")
                time.sleep(0.25)
        if status["phase"] != "trading":
            raise WorkbenchError(f"the live session ended early: {status.get('error') or status['phase']}")
    finally:
        stopped = client.stop("the session is over")
        stop_gateway(client.folder)
    if stopped["phase"] == "failed":
        raise WorkbenchError(f"the live session did not end well: {stopped.get('error')}")


@dataclass(frozen=True, slots=True)
class _Tranche:
    """The bundle's stages for one session."""

    first_session: int
    last_session: int
    stages: Any
    fitted_until: int


def _backtest(job: Job, settings: Settings, session: int, last_bar: int) -> tuple[BacktestResult, FeatureHistory]:
    """The same stages over the same bars, in the backtest."""
    bundle = load_system(settings, simulated=True).bundle
    bars = job.store.serve(BAR_MINUTES, symbols=job.bars.symbols)
    stop = int(np.searchsorted(bars.ts, last_bar, side="right"))
    bars = bars.rows(0, min(stop + 1, len(bars.ts)))  # the orders of the last bar fill in the next
    history = build_history(bars, None, job.universe, settings.features)
    tranche = _Tranche(session, session, bundle.stages(settings), bundle.fitted_until)
    window = bundle.models.window
    return run_backtest(bars, history, (tranche,), settings, label="the same bars", window=window), history


def summary(record: SessionRecord, verdict: Verdict, tested: BacktestResult, history: FeatureHistory) -> LiveSummary:
    """What the report shows of the session."""
    group: CostGroup | None = overall(record.sent, record.fills) if len(record.sent) else None
    cost = _unknown() if group is None else group.costs["decision_bps"]
    test = _tested_cost(tested, history)
    stages = ("gather", "features", "decide", "what-if", "send", "cycle", "reconcile")
    return LiveSummary(
        session=iso_date(int(record.first_bar // (86_400 * 10**9))),
        first=iso_time(record.first_bar),
        last=iso_time(record.last_bar),
        account=record.kind,
        speed=SPEED,
        decisions=record.decisions,
        missed=record.missed,
        orders=len(record.sent),
        fills=len(record.fills),
        traded_usd=float(np.sum(record.fills.quantity * record.fills.price)),
        commission_usd=float(np.sum(record.fills.commission)),
        start_nav=record.nav[0],
        end_nav=record.nav[-1],
        held_back=dict(record.held_back),
        trades=_largest(record),
        slippage_bps=cost.mean,
        slippage_se=cost.se,
        backtest_orders=tested.orders,
        backtest_fills=len(tested.fills),
        backtest_slippage_bps=test.mean,
        backtest_slippage_se=test.se,
        latencies_ms={s: _latency(record.latencies[s]) for s in stages if s in record.latencies},
        verdict_stages=verdict.stages,
        verdict_forecasts=verdict.forecasts,
        first_difference=str(verdict.first or verdict.first_forecast or ""),
    )


def _largest(record: SessionRecord) -> tuple[tuple[str, str, int, int, float, float], ...]:
    """The SHOWN orders of the largest value, in the order of time."""
    sent, fills = record.sent, record.fills
    lines = cost_lines(sent, fills)
    row_of = {ref: k for k, ref in enumerate(sent.order_ref)}
    row = np.array([row_of[ref] for ref in fills.order_ref], np.int64)
    count, value, quantity = (np.zeros(len(sent)) for _ in range(3))
    np.add.at(value, row, lines.value)
    np.add.at(quantity, row, fills.quantity)
    np.add.at(count, row, lines.value * lines.decision_bps)
    shown = []
    for k in np.argsort(-value)[:SHOWN]:
        if quantity[k] > 0:
            when = iso_time(int(fills.time[row == k].min()))
            traded = sent.symbol[k], int(sent.side[k] * sent.quantity[k]), int(sent.filled[k])
            shown.append((when, *traded, float(value[k] / quantity[k]), float(count[k] / value[k])))
    return tuple(sorted(shown))


def _latency(stage: Any) -> tuple[float, float, float]:
    return tuple(1e3 * stage[name] for name in ("p50_s", "p95_s", "max_s"))  # type: ignore[return-value]


def _tested_cost(tested: BacktestResult, history: FeatureHistory) -> MeanCost:
    """Slippage of the backtest's fills against the mid at the decision, as live measures it."""
    if not tested.fills:
        return _unknown()
    f = tested.fills
    row = np.searchsorted(history.ts, [x.time for x in f], side="left") - 1
    column = [history.symbols.index(x.symbol) for x in f]
    bid, ask, last = (getattr(history, n)[row, column] for n in ("bid", "ask", "price"))
    mid = np.where((bid > 0) & (bid <= ask), (bid + ask) / 2, last)
    price, side = np.array([x.price for x in f]), np.array([x.side for x in f])
    value = price * np.array([x.quantity for x in f])
    _, order = np.unique([x.order_ref for x in f], return_inverse=True)
    return mean_cost(side * (price / mid - 1) / BPS, value, order)


def _unknown() -> MeanCost:
    return MeanCost(float("nan"), float("nan"), 0, 0)
