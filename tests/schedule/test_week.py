"""A desk's week, rehearsed: training by night, checks, live sessions at the simulated gateway, reports.

Five sessions in two stretches: one with a holiday and an early close, one over the night in which the clocks change.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import nbformat
import pytest

from workbench.artifacts import load_bundle
from workbench.config import Settings
from workbench.data.simulate import MarketSettings
from workbench.engine.codec import live_codec
from workbench.engine.simulation import stop_gateway
from workbench.journal import SqlJournal
from workbench.research import steps
from workbench.research.job import Job
from workbench.research.live_session import live_settings
from workbench.schedule.clock import RehearsalClock
from workbench.schedule.history import History, RunState
from workbench.schedule.plan import Schedule
from workbench.schedule.runner import read_outcome
from workbench.schedule.scheduler import Scheduler

ROOT = Path(__file__).resolve().parents[2]
NEW_YORK = ZoneInfo("America/New_York")
SPEED = 600.0
"""Of the gateway's clock. The desk's own runs in real time and skips what nobody waits for."""
JOBS = """
[desk]
folder = "desk"
notebooks = "{notebooks}"

[[jobs]]
name = "pre-open"
notebooks = ["11_pre_open"]
at = "open-1h"
misfire = "30m"
parameters = {{ config = "{config}", session = "{{session}}" }}

[[jobs]]
name = "live"
notebooks = ["09_live_session"]
kind = "live"
at = "open-15m"
until = "close+15m"
left = "flatten"
after = ["pre-open"]
misfire = "30m"
parameters = {{ config = "{config}", start = "{{session}}T09:15" }}

[[jobs]]
name = "report"
notebooks = ["10_session_report"]
at = "close+30m"
after = ["live"]
misfire = "30m"
parameters = {{ config = "{config}", day = "{{session}}" }}

[[jobs]]
name = "train"
notebooks = ["03_train_models", "04_fit_blenders", "05_calibrate_gates"]
at = "close+1h"
after = ["report"]
misfire = "30m"
parameters = {{ workspace = "{workspace}", until = "{{session}}" }}
"""
STRETCHES = {
    "a holiday and an early close": (
        "2025-11-25", "2025-12-01", {"2025-11-26": 78, "2025-11-28": 42, "2025-12-01": 78},
    ),
    "the clocks go forward": ("2026-03-05", "2026-03-09", {"2026-03-06": 78, "2026-03-09": 78}),
}  # fmt: skip
"""Last day before, last day of, and bars of each session: the 27th was a holiday, the 28th closed at 13:00."""


def ns(day: str, clock: str) -> int:
    return int(datetime.fromisoformat(f"{day}T{clock}").replace(tzinfo=NEW_YORK).timestamp()) * 10**9


@pytest.fixture
def desk(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """A small job that knows nothing beyond the day before, a live system on its bundle, and the schedule."""
    before, last, bars = STRETCHES[request.param]
    monkeypatch.setattr(steps, "MarketSettings", partial(MarketSettings, end=last))
    settings = Settings().change(
        training={"profile": "demo", "families": ("FTRLProximal",), "barriers": ("FTRLProximal",), "segments": 2,
                  "initial_fraction": 0.5, "max_rows": 4000, "jobs": 1},
        features={"quotes": "top", "warmup_sessions": 3},
        system={"horizons": ("15m", "60m")},
        blending={"force_slope": 0.5},
        data={"until": before},
    )  # fmt: skip
    job = Job.open(tmp_path / "job", settings)
    steps.simulate(job, symbols=5, days=22, daily=260, ic=0.1)
    for step in (steps.train, steps.blend, steps.calibrate):
        step(job)
    live = live_settings(job, tmp_path / "live", job.bars.symbols, last).change(broker={"speed": SPEED, "start": ""})
    (tmp_path / "live.toml").write_text(live.to_toml())
    told = {"notebooks": ROOT / "notebooks", "config": tmp_path / "live.toml", "workspace": tmp_path / "job"}
    (tmp_path / "schedule.toml").write_text(JOBS.format(**told))
    yield SimpleNamespace(root=tmp_path, job=job, first=before, last=last, bars=bars)
    stop_gateway(tmp_path / "live")


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("desk", STRETCHES, indirect=True)
def test_a_week_runs_by_itself(desk: SimpleNamespace) -> None:
    schedule = Schedule.from_toml(desk.root / "schedule.toml")
    with History(desk.root / "desk" / "journal.db") as history:
        clock = RehearsalClock(ns(desk.first, "20:00"), 1.0)
        Scheduler(schedule, history, clock=clock).run(until=ns(desk.last, "23:00"))
        runs, alerts = history.runs()[::-1], history.alerts()
    assert alerts == ()
    wanted = [(job, day) for day in desk.bars for job in ("pre-open", "live", "report", "train")]
    assert sorted((r.job, r.session) for r in runs) == sorted(wanted)  # none missing, none doubled
    assert {(r.state, r.attempt) for r in runs} == {(RunState.SUCCEEDED, 1)}
    for run in runs:
        outcome = read_outcome(Path(run.folder))
        assert outcome is not None
        assert outcome.digest == run.digest
        for path in Path(run.folder).glob("*.ipynb"):
            nbformat.validate(nbformat.read(path, 4))
            assert path.with_suffix(".html").stat().st_size > 10_000
    check_sessions(desk)
    check_bundles(desk)
    for run in runs:
        if run.job == "report":
            page = (Path(run.folder) / "01_10_session_report.html").read_text()
            assert "bit for bit" in page
            assert run.session in page


def check_sessions(desk: SimpleNamespace) -> None:
    """Every bar of every session was decided on or missed with a reason, and the books agree with the gateway's."""
    decided: Counter[str] = Counter()
    with SqlJournal(desk.root / "live" / "journal.db", read_only=True, codec=live_codec()) as journal:
        for kind in ("cycle", "missed"):
            for entry in journal.read(kind):
                decided[datetime.fromtimestamp(entry.known_at / 1e9, UTC).date().isoformat()] += 1
        assert {day: decided[day] for day in desk.bars} == desk.bars
        assert sum(1 for _ in journal.read("cycle")) > sum(desk.bars.values()) / 2  # a slow machine misses bars
        assert not list(journal.read(("broken", "abandoned", "failed")))
        held = list(journal.read("state"))[-1].payload["systems"]["main"]["positions"]
    books = json.loads((desk.root / "live" / "gateway.books.json").read_text())
    assert held == positions_in(books)


def positions_in(books: dict[str, Any]) -> dict[str, int]:
    """What the gateway's file says that the account holds."""
    holdings = books["books"]["account"]["books"]["holdings"]
    return {h["symbol"]: int(h["quantity"]) for h in holdings if h["quantity"]}


def check_bundles(desk: SimpleNamespace) -> None:
    """Each night's training saw one session more than the one before, and never the session that was to come."""
    made = [load_bundle(desk.job.ws.models_dir, desk.job.ws.blenders_dir, wanted=p.name)
            for p in desk.job.ws.blenders_dir.iterdir() if (p / "manifest.json").is_file()]  # fmt: skip
    last_known = sorted(datetime.fromtimestamp(b.fitted_until / 1e9, NEW_YORK).date().isoformat() for b in made)
    assert last_known == [desk.first, *desk.bars]
