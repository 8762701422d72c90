"""The desk's day on a clock that skips: what is started, what waits, what is tried again, missed, skipped and told.

Runs are played: the process of each is over as soon as it began, with the outcome that the test wants.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from tests.schedule.books import book
from workbench.core.errors import ArtifactError, WorkbenchError
from workbench.engine.locks import LockHeld
from workbench.schedule import attempts
from workbench.schedule import scheduler as module
from workbench.schedule.clock import RehearsalClock
from workbench.schedule.history import History, Run, RunState
from workbench.schedule.plan import Schedule
from workbench.schedule.runner import OUTCOME, Spec
from workbench.schedule.scheduler import Scheduler

NEW_YORK = ZoneInfo("America/New_York")
SPEED = 300.0
JOBS = """
[desk]
notebooks = "."

[[jobs]]
name = "check"
notebooks = ["book"]
at = "open-1h"
misfire = "30m"

[[jobs]]
name = "live"
notebooks = ["book"]
kind = "live"
at = "open-15m"
until = "close+15m"
after = ["check"]
fresh = "12h"
left = "flatten"
misfire = "20m"

[[jobs]]
name = "train"
notebooks = ["book"]
at = "close+2h"
retries = 2
backoff = "10m"

[[jobs]]
name = "weekly"
notebooks = ["book"]
cron = "0 10 * * sat"
"""


def ns(text: str) -> int:
    """UTC ns of a New York time."""
    return int(datetime.fromisoformat(text).replace(tzinfo=NEW_YORK).timestamp()) * 10**9


def new_york(at: int) -> str:
    return datetime.fromtimestamp(at / 1e9, UTC).astimezone(NEW_YORK).strftime("%a %m-%d %H:%M")


class Played:
    """A process that is over at once; `outcome(spec)` gives the state and reason that it leaves, None to leave none."""

    def __init__(self, outcome: Callable[[Spec], tuple[RunState, str] | None]) -> None:
        self.outcome, self.specs = outcome, []  # type: ignore[var-annotated]
        self.hold: dict[str, threading.Event] = {}  # job -> over when set

    def __call__(self, folder: Path) -> Played:
        self.specs.append(spec := Spec.read(folder))
        if (told := self.outcome(spec)) is not None:
            state, reason = told
            content = {"state": state, "reason": reason, "seconds": 1.0, "files": {}, "digest": ""}
            (folder / OUTCOME).write_text(json.dumps(content))
        self.last = spec.job
        return Process(self.hold.get(spec.job))  # type: ignore[return-value]


class Process:
    """Lives until its event is set."""

    def __init__(self, event: threading.Event | None) -> None:
        self.event = event

    def poll(self) -> int | None:
        return 0 if self.event is None or self.event.is_set() else None


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """``desk(text, outcome)``: schedule, history and what is launched."""
    book(tmp_path, "book", "1", parameters='until: str = ""  # when it ends\nleft: str = "hold"  # policy')

    class Desk:
        def __init__(self) -> None:
            self.played = Played(lambda spec: (RunState.SUCCEEDED, ""))
            monkeypatch.setattr(attempts, "launch", self.played)
            self.write(JOBS)
            self.history = History(tmp_path / "desk.db")

        def write(self, text: str) -> None:
            (tmp_path / "schedule.toml").write_text(text)
            self.schedule = Schedule.from_toml(tmp_path / "schedule.toml")

        def go(self, start: str, end: str) -> None:
            """Rehearse from `start` to `end`, New York times."""
            clock = RehearsalClock(ns(start), SPEED)
            Scheduler(self.schedule, self.history, clock=clock).run(until=ns(end))

        def runs(self, job: str = "") -> list[tuple[str, str, str]]:
            return [(r.job, new_york(r.due), str(r.state)) for r in reversed(self.history.runs(job=job))]

        def alerts(self) -> list[str]:
            return [f"{a.job}: {a.text}" for a in reversed(self.history.alerts())]

    made = Desk()
    yield made
    made.history.close()


def test_a_week_with_an_early_close_and_a_holiday(desk) -> None:
    """3 July 2025 closed at 13:00, the 4th was a holiday; 5 July a Saturday."""
    desk.go("2025-07-02T08:00", "2025-07-07T20:00")
    done = "succeeded"
    assert desk.runs() == [
        ("check", "Wed 07-02 08:30", done), ("live", "Wed 07-02 09:15", done), ("train", "Wed 07-02 18:00", done),
        ("check", "Thu 07-03 08:30", done), ("live", "Thu 07-03 09:15", done), ("train", "Thu 07-03 15:00", done),
        ("weekly", "Sat 07-05 10:00", done),
        ("check", "Mon 07-07 08:30", done), ("live", "Mon 07-07 09:15", done), ("train", "Mon 07-07 18:00", done),
    ]  # fmt: skip
    assert desk.alerts() == []
    live = [s for s in desk.played.specs if s.job == "live"]
    assert [s.steps[0].parameters for s in live] == [
        {"until": "2025-07-02T20:15:00Z", "left": "flatten"}, {"until": "2025-07-03T17:15:00Z", "left": "flatten"},
        {"until": "2025-07-07T20:15:00Z", "left": "flatten"},
    ]  # fmt: skip


def test_the_clocks_go_forward(desk) -> None:
    """8 March 2026: the session of Monday opens an hour earlier by UTC, and nothing is late or doubled."""
    desk.go("2026-03-06T08:00", "2026-03-09T20:00")
    assert [due for _, due, _ in desk.runs("live")] == ["Fri 03-06 09:15", "Mon 03-09 09:15"]
    assert desk.alerts() == []


def test_a_failed_job_is_tried_again_with_growing_waits_and_then_told(desk) -> None:
    desk.played.outcome = lambda spec: (RunState.FAILED, "no data") if spec.job == "train" else (RunState.SUCCEEDED, "")
    desk.go("2026-03-02T17:00", "2026-03-02T22:00")
    runs = [r for r in reversed(desk.history.runs(job="train"))]
    assert [(r.attempt, str(r.state), r.reason) for r in runs] == [(n, "failed", "no data") for n in (1, 2, 3)]
    waits = [(b.started - a.ended) / 60e9 for a, b in pairwise(runs)]
    assert waits == pytest.approx([10, 20], abs=5)
    assert desk.alerts() == [
        "train: failed: no data; tried again in 10 min", "train: failed: no data; tried again in 20 min",
        "train: failed: no data",
    ]  # fmt: skip


def test_a_rehearsal_waits_for_nothing_that_cannot_come(desk) -> None:
    """At real speed: half an hour for a check that is red, and 30 minutes until training is tried the third time."""
    desk.played.outcome = lambda spec: (RunState.FAILED, "red") if spec.job != "live" else (RunState.SUCCEEDED, "")
    began = time.monotonic()
    clock = RehearsalClock(ns("2026-03-02T08:00"), 1.0)
    Scheduler(desk.schedule, desk.history, clock=clock).run(until=ns("2026-03-02T22:00"))
    assert time.monotonic() - began < 120
    assert desk.runs("live") == [("live", "Mon 03-02 09:15", "skipped")]
    assert [r.attempt for r in desk.history.runs(job="train")] == [3, 2, 1]
    first, second, third = reversed(desk.history.runs(job="train"))
    assert (second.started - first.ended, third.started - second.ended) == (
        pytest.approx(600e9, abs=60e9), pytest.approx(1200e9, abs=60e9),
    )  # fmt: skip


def test_a_live_session_is_never_tried_again(desk) -> None:
    desk.played.outcome = lambda spec: None if spec.job == "live" else (RunState.SUCCEEDED, "")
    desk.go("2026-03-02T08:00", "2026-03-02T17:00")
    assert desk.runs("live") == [("live", "Mon 03-02 09:15", "lost")]
    (told,) = desk.alerts()
    assert told.startswith("live: lost: its process is gone and left no word")


def test_no_live_session_without_a_green_check(desk) -> None:
    desk.played.outcome = lambda spec: (RunState.FAILED, "red") if spec.job == "check" else (RunState.SUCCEEDED, "")
    desk.go("2026-03-02T08:00", "2026-03-02T17:00")
    (live,) = desk.history.runs(job="live")
    assert (live.state, live.reason) == (RunState.SKIPPED, "check failed: red")
    assert "live" not in [s.job for s in desk.played.specs]
    assert desk.alerts() == ["check: failed: red", "live: skipped: check failed: red"]


def test_no_live_session_on_a_stale_check(desk) -> None:
    with_old = JOBS.replace('at = "open-1h"', 'cron = "0 8 2 3 *"')  # the check runs on 2 March alone
    desk.write(with_old)
    desk.go("2026-03-02T07:00", "2026-03-03T17:00")
    assert [(due, state) for _, due, state in desk.runs("live")] == [
        ("Mon 03-02 09:15", "succeeded"), ("Tue 03-03 09:15", "skipped"),
    ]  # fmt: skip
    assert "not within 12h" in desk.history.last("live").reason


def test_a_job_waits_for_what_it_needs_and_is_told_to_be_late(desk, monkeypatch) -> None:
    """The check hangs until 09:25; the session of 09:15 starts then."""
    monkeypatch.setattr(module, "LATE_NS", 300e9 / SPEED)  # five minutes of this clock
    desk.played.hold["check"] = threading.Event()
    clock = RehearsalClock(ns("2026-03-02T07:00"), SPEED)
    scheduler = Scheduler(desk.schedule, desk.history, clock=clock)
    scheduler.start()
    try:
        until(lambda: clock.now() > ns("2026-03-02T09:22"))
        assert desk.runs("live") == []
        desk.played.hold["check"].set()
        until(lambda: desk.runs("live"))
    finally:
        scheduler.stop()
    assert desk.runs("live") == [("live", "Mon 03-02 09:15", "succeeded")]
    (told,) = [a for a in desk.alerts() if a.startswith("live")]
    assert re.fullmatch(r"live: starts \d+ min late", told)


@pytest.mark.parametrize("red", [False, True])
def test_a_green_candidate_is_put_in_force_where_that_is_asked_for(desk, monkeypatch, red: bool) -> None:
    asked: list[Path] = []

    def promote(root: Path) -> dict[str, str]:
        asked.append(root)
        if red:
            raise ArtifactError("candidate b1 is red")
        return {"bundle": "b1"}

    monkeypatch.setattr(module, "promote_if_green", promote)
    monkeypatch.setattr(module, "own_key", lambda root: None)
    book(Path(desk.schedule.desk.notebooks), "trains", "1", parameters='workspace: str = ""  # where')
    when = 'cron = "0 21 2 3 *"\npromote = true\nparameters.workspace = "../w"\n'
    desk.write(f'{JOBS}\n[[jobs]]\nname = "nightly"\nnotebooks = ["trains"]\n{when}')
    desk.go("2026-03-02T20:00", "2026-03-02T22:00")
    assert asked == [Path(desk.schedule.desk.notebooks) / "../w"]
    assert desk.alerts() == ["nightly: not promoted: candidate b1 is red" if red else "nightly: promoted b1"]


def test_an_old_run_tried_again_by_a_person_changes_nothing_else(desk) -> None:
    """Monday's training, tried again on Wednesday and failing: Tuesday's stands, and the next night goes on."""
    desk.go("2026-03-02T17:00", "2026-03-03T22:00")
    monday = Run("train-again-2", "train", "2026-03-02", ns("2026-03-02T18:00"), attempt=2, state=RunState.FAILED)
    desk.history.record(monday, ns("2026-03-04T08:00"))
    assert new_york(desk.history.last("train").due) == "Tue 03-03 18:00"
    desk.go("2026-03-04T12:00", "2026-03-04T22:00")
    first = [(due, state) for r in [desk.runs("train")] for _, due, state in r if state != "failed"]
    assert sorted(first) == [(f"{d} 18:00", "succeeded") for d in ("Mon 03-02", "Tue 03-03", "Wed 03-04")]


def test_a_promotion_that_cannot_be_signed_is_refused_before_anything_runs(desk, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "nobody"))
    book(Path(desk.schedule.desk.notebooks), "trains", "1", parameters='workspace: str = ""  # where')
    when = 'cron = "0 21 2 3 *"\npromote = true\nparameters.workspace = "../w"\n'
    desk.write(f'{JOBS}\n[[jobs]]\nname = "nightly"\nnotebooks = ["trains"]\n{when}')
    with pytest.raises(WorkbenchError, match=r"promotion\.key does not exist; .*promote --new-key"):
        desk.go("2026-03-02T08:00", "2026-03-02T22:00")
    assert desk.runs() == []


def test_jobs_that_share_a_lock_do_not_overlap(desk) -> None:
    desk.write(JOBS.replace('name = "weekly"', 'name = "weekly"\nlock = "train"').replace("0 10 * * sat", "1 18 2 3 *"))
    desk.played.hold["train"] = threading.Event()
    clock = RehearsalClock(ns("2026-03-02T17:00"), SPEED)
    scheduler = Scheduler(desk.schedule, desk.history, clock=clock)
    scheduler.start()
    try:
        until(lambda: clock.now() > ns("2026-03-02T18:03"))
        assert [job for job, _, _ in desk.runs()] == ["train"]
        desk.played.hold["train"].set()
        until(lambda: desk.runs("weekly"))
    finally:
        scheduler.stop()
    assert [job for job, _, _ in desk.runs()] == ["train", "weekly"]


def test_what_was_due_while_no_scheduler_ran(desk, monkeypatch) -> None:
    """Down from Monday 17:00 to Wednesday 18:10: the trainings of Monday and Tuesday are missed, Wednesday's runs."""
    desk.go("2026-03-02T08:00", "2026-03-02T17:00")
    monkeypatch.setattr(module, "LATE_NS", 300e9 / SPEED)  # five minutes of this clock
    desk.history.record(Run("train-old", "train", "2026-02-27", ns("2026-02-27T18:00"), state=RunState.SUCCEEDED), 1)
    desk.go("2026-03-04T18:10", "2026-03-04T19:00")
    assert [(due, state) for _, due, state in desk.runs("train")][1:] == [
        ("Mon 03-02 18:00", "missed"), ("Tue 03-03 18:00", "missed"), ("Wed 03-04 18:00", "succeeded"),
    ]  # fmt: skip
    assert [(due, state) for _, due, state in desk.runs("live")] == [
        ("Mon 03-02 09:15", "succeeded"), ("Tue 03-03 09:15", "missed"), ("Wed 03-04 09:15", "skipped"),
    ]  # fmt: skip
    assert "train: missed 2 times while no scheduler ran" in desk.alerts()
    (late,) = [a for a in desk.alerts() if a.startswith("train: starts")]
    assert re.fullmatch(r"train: starts \d\d min late", late)  # some 10 minutes


def test_a_new_desk_has_missed_nothing(desk) -> None:
    desk.go("2026-03-04T12:00", "2026-03-04T17:00")
    assert desk.runs() == []
    assert desk.alerts() == []


def test_a_scheduler_that_starts_again_starts_nothing_twice(desk) -> None:
    desk.go("2026-03-02T08:00", "2026-03-02T10:00")
    desk.go("2026-03-02T09:10", "2026-03-02T10:00")  # its clock is even set back
    assert [(job, due) for job, due, _ in desk.runs()] == [("check", "Mon 03-02 08:30"), ("live", "Mon 03-02 09:15")]


def test_runs_that_another_scheduler_left_are_seen_to(desk, tmp_path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    desk.history.record(Run("train-1", "train", "2026-03-02", ns("2026-03-02T18:00"), folder=str(gone), started=1), 1)
    desk.go("2026-03-03T03:00", "2026-03-03T04:00")
    (train,) = desk.history.runs(job="train")
    assert train.state is RunState.LOST
    assert desk.alerts()[0].startswith("train: lost")


def test_one_scheduler_per_desk(desk) -> None:
    scheduler = Scheduler(desk.schedule, desk.history, clock=RehearsalClock(ns("2026-03-04T12:00"), 1.0))
    scheduler.start()
    try:
        with pytest.raises(LockHeld, match=r"the desk .* is in use by process"):
            Scheduler(desk.schedule, desk.history).start()
    finally:
        scheduler.stop()


def test_a_run_that_is_not_there_is_told(desk) -> None:
    desk.history.record(Run("train-1", "train", "2026-03-02", 1), 1)
    with pytest.raises(WorkbenchError, match=r"there is no run 'train-2'\. Did you mean 'train-1'"):
        desk.history.run("train-2")


def until(true: Callable[[], object], timeout_s: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s"
        time.sleep(0.02)
