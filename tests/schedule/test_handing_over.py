"""What one scheduler leaves to the next, what two jobs or a person and a scheduler do at once, what cannot be started.

Runs are played, as in test_scheduler.
"""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path

import pytest

from tests.schedule.books import book
from tests.schedule.test_scheduler import JOBS, SPEED, desk, ns, until
from workbench.cli_schedule import rehearse
from workbench.core.errors import ConfigError, WorkbenchError
from workbench.schedule import attempts
from workbench.schedule import scheduler as module
from workbench.schedule.clock import RehearsalClock
from workbench.schedule.history import Alert, Run, RunState
from workbench.schedule.runner import OUTCOME, Spec, end_run, is_running
from workbench.schedule.scheduler import Scheduler
from workbench.schedule.times import Due

__all__ = ["desk"]
MONDAY = "2026-03-02"
GREEN = (RunState.SUCCEEDED, "")


def started(desk, at: str) -> Scheduler:
    made = Scheduler(desk.schedule, desk.history, clock=RehearsalClock(ns(at), SPEED))
    made.start()
    return made


def left(desk, folder: Path, job: str, at: str) -> Run:
    """A run of `job` that a scheduler before started and did not see the end of."""
    folder.mkdir()
    due = ns(at)
    stamp = at.replace("-", "").replace(":", "")
    run = Run(f"{job}-{stamp}-1", job, MONDAY, due, started=due, folder=str(folder))
    desk.history.record(run, due)
    return run


def over(folder: Path, state: RunState, reason: str) -> None:
    content = {"state": state, "reason": reason, "seconds": 1.0, "files": {}, "digest": ""}
    (folder / OUTCOME).write_text(json.dumps(content))


def states(desk, job: str) -> list[tuple[int, str]]:
    return [(r.attempt, str(r.state)) for r in reversed(desk.history.runs(job=job))]


def test_two_jobs_of_one_lock_that_are_due_at_once_run_one_after_the_other(desk) -> None:
    """They were both looked at before either ran, and the second failed on the lock."""
    lines = [f'[[jobs]]\nname = "{n}"\nnotebooks = ["book"]\ncron = "0 18 2 3 *"\nlock = "one"\nmisfire = "12h"\n'
             for n in "abc"]  # fmt: skip
    desk.write('[desk]\nnotebooks = "."\n' + "".join(lines))
    desk.played.hold = {n: threading.Event() for n in "abc"}
    scheduler = started(desk, f"{MONDAY}T17:59")
    try:
        for number in range(1, 4):
            until(lambda number=number: len(desk.played.specs) >= number)
            threading.Event().wait(0.5)
            assert len(desk.played.specs) == number
            desk.played.hold[desk.played.specs[-1].job].set()
    finally:
        scheduler.stop()


def test_a_run_that_was_taken_over_is_told_of_and_tried_again(desk, tmp_path, monkeypatch) -> None:
    lives = threading.Event()
    for where in (module, attempts):
        monkeypatch.setattr(where, "is_running", lambda folder: not lives.is_set())
    run = left(desk, tmp_path / "gone", "train", f"{MONDAY}T18:00")
    scheduler = started(desk, f"{MONDAY}T18:30")
    try:
        over(Path(run.folder), RunState.FAILED, "no bars")
        lives.set()
        until(lambda: states(desk, "train") == [(1, "failed"), (2, "succeeded")])
    finally:
        scheduler.stop()
    assert "train: failed: no bars; tried again in 10 min" in desk.alerts()


@pytest.mark.parametrize(("at", "again"), [("18:10", True), ("18:40", False)])
def test_a_run_that_a_reboot_ended_is_tried_again_while_it_may_still_start(desk, tmp_path, at: str, again) -> None:
    left(desk, tmp_path / "gone", "train", f"{MONDAY}T18:00")
    desk.go(f"{MONDAY}T{at}", f"{MONDAY}T19:30")
    assert states(desk, "train") == [(1, "lost"), *([(2, "succeeded")] if again else [])]
    assert [a.partition(":")[2][:6] for a in desk.alerts()] == [" lost:"]


def test_a_wait_for_the_next_attempt_outlives_the_scheduler(desk) -> None:
    failed = Run("train-20260302T230000-1", "train", MONDAY, ns(f"{MONDAY}T18:00"), state=RunState.FAILED, reason="x")
    desk.history.record(failed, ns(f"{MONDAY}T18:05"))
    desk.go(f"{MONDAY}T18:08", f"{MONDAY}T19:30")
    assert states(desk, "train") == [(1, "failed"), (2, "succeeded")]


def test_a_candidate_whose_training_ended_unseen_is_put_in_force(desk, tmp_path, monkeypatch) -> None:
    asked = []
    monkeypatch.setattr(module, "promote_if_green", lambda root: asked.append(root) or {"bundle": "b1"})
    monkeypatch.setattr(module, "own_key", lambda root: None)
    book(Path(desk.schedule.desk.notebooks), "trains", "1", parameters='workspace: str = ""  # where')
    promoting = 'notebooks = ["trains"]\ncron = "0 10 * * sat"\npromote = true\nparameters.workspace = "w"'
    desk.write(JOBS.replace('notebooks = ["book"]\ncron = "0 10 * * sat"', promoting))
    run = left(desk, tmp_path / "done", "weekly", "2026-02-28T10:00")
    over(Path(run.folder), *GREEN)
    desk.go("2026-02-28T12:00", "2026-02-28T13:00")
    assert asked == [Path(desk.schedule.desk.notebooks) / "w"]


def test_a_notebook_that_a_person_runs_is_not_lost(desk, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(module, "is_running", lambda folder: True)
    left(desk, tmp_path / "by-hand", "run-notebook", f"{MONDAY}T18:00")
    desk.go(f"{MONDAY}T18:10", f"{MONDAY}T18:20")
    assert states(desk, "run-notebook") == [(1, "running")]
    assert desk.alerts() == []


def test_a_process_that_is_still_starting_is_not_gone(tmp_path) -> None:
    folder = tmp_path / "run"
    Spec("r", "train", MONDAY, (), 0.0, str(tmp_path / "lock"), {}).write(folder)
    assert is_running(folder)
    assert not end_run(folder), "it does not hear yet"
    (folder / OUTCOME).write_text("{}")
    assert not is_running(folder)


def test_who_just_starts_is_stopped_as_soon_as_it_hears(desk, monkeypatch) -> None:
    """A scheduler that is stopped within the seconds that a run takes to start left it running without a word."""
    asked: list[bool] = []

    def end(folder: Path) -> bool:
        asked.append(len(asked) == 2)
        if asked[-1]:
            desk.played.hold["train"].set()
        return asked[-1]

    monkeypatch.setattr(attempts, "end_run", end)
    desk.played.hold["train"] = threading.Event()
    scheduler = started(desk, f"{MONDAY}T17:59")
    until(lambda: desk.played.specs)
    scheduler.stop()
    assert asked == [False, False, True]
    assert states(desk, "train") == [(1, "succeeded")]


def test_what_cannot_be_started_has_failed_and_is_told(desk) -> None:
    (Path(desk.schedule.desk.notebooks) / "book.ipynb").unlink()
    desk.go(f"{MONDAY}T08:00", f"{MONDAY}T09:00")
    (check,) = desk.history.runs(job="check")
    assert check.state is RunState.FAILED
    assert "it could not be started: notebook" in check.reason
    assert len(desk.alerts()) == 1
    assert "book.ipynb does not exist" in desk.alerts()[0]


def test_an_attempt_that_a_person_made_meanwhile_is_not_made_again(desk) -> None:
    """The id of the person's attempt is the one that the scheduler would take; its record was overwritten."""
    desk.played.outcome = lambda spec: (RunState.FAILED, "no data") if spec.run.endswith("-1") else GREEN
    scheduler = started(desk, f"{MONDAY}T17:59")
    try:
        until(lambda: states(desk, "train") == [(1, "failed")])
        first = desk.history.last("train")
        Scheduler(desk.schedule, desk.history, clock=scheduler.clock).attempt(
            desk.schedule.job("train"), Due(first.due, MONDAY, MONDAY, MONDAY), 2
        )
        until(lambda: scheduler.clock.now() > ns(f"{MONDAY}T18:30"))
    finally:
        scheduler.stop()
    assert states(desk, "train")[:2] == [(1, "failed"), (2, "succeeded")]
    assert [s.run[-2:] for s in desk.played.specs if s.session == MONDAY] == ["-1", "-2"]


def test_a_live_session_that_is_over_does_not_begin(desk) -> None:
    """Asked for again on the next day, its engine would have traded that one for a moment."""
    clock = RehearsalClock(ns("2026-03-03T11:00"), SPEED)
    job = desk.schedule.job("live")
    ran = Scheduler(desk.schedule, desk.history, clock=clock).attempt(
        job, Due(ns(f"{MONDAY}T09:15"), MONDAY, MONDAY, MONDAY), 2
    )
    assert ran.state is RunState.FAILED
    assert "the session of 2026-03-02 was to end at 2026-03-02T21:15:00Z, and that is over" in ran.reason
    assert desk.played.specs == []


def test_the_check_of_the_day_before_is_not_the_check_of_today(desk) -> None:
    """Today's waits for a lock; yesterday's is young enough for `fresh`, and is not asked."""
    desk.write(JOBS.replace('fresh = "12h"', 'fresh = "30h"').replace('at = "open-1h"', 'at = "open-15m"'))
    desk.go(f"{MONDAY}T08:00", f"{MONDAY}T10:00")
    desk.played.hold["check"] = threading.Event()
    scheduler = started(desk, "2026-03-03T09:14")
    try:
        until(lambda: scheduler.clock.now() > ns("2026-03-03T09:20"))
        assert len(desk.runs("live")) == 1
        desk.played.hold["check"].set()
        until(lambda: len(desk.runs("live")) == 2)
    finally:
        scheduler.stop()


def test_a_person_who_waits_for_a_run_ends_it_with_ctrl_c(desk, monkeypatch) -> None:
    """It went on in the background without a word."""
    ended: list[Path] = []
    held = desk.played.hold["check"] = threading.Event()
    monkeypatch.setattr(attempts, "end_run", lambda folder: ended.append(folder) or held.set() or True)

    def press() -> None:
        until(lambda: desk.played.specs)
        os.kill(os.getpid(), signal.SIGINT)

    person = threading.Thread(target=press)
    person.start()
    scheduler = Scheduler(desk.schedule, desk.history, clock=RehearsalClock(ns(f"{MONDAY}T08:30"), SPEED))
    ran = scheduler.once(desk.schedule.job("check"), Due(ns(f"{MONDAY}T08:30"), MONDAY, MONDAY, MONDAY))
    person.join()
    assert [Path(ran.folder)] == ended


def test_the_password_of_the_journal_is_in_no_record(desk) -> None:
    told = desk.schedule.desk.model_copy(update={"journal": "postgresql://ann:hunter2@db/desk"})
    schedule = desk.schedule.model_copy(update={"desk": told})
    clock = RehearsalClock(ns(f"{MONDAY}T08:30"), SPEED)
    due = Due(ns(f"{MONDAY}T08:30"), MONDAY, MONDAY, MONDAY)
    ran = Scheduler(schedule, desk.history, clock=clock).attempt(desk.schedule.job("check"), due)
    written = (Path(ran.folder) / "run.json").read_text()
    assert "postgresql://***@db/desk" in written
    assert "hunter2" not in written


def test_a_rehearsal_never_trades_at_a_real_broker(desk) -> None:
    folder = Path(desk.schedule.desk.notebooks)
    (folder / "live.toml").write_text('[system]\nsymbols = ["AAA"]\n[broker]\nhost = "127.0.0.1"\nport = 4002\n')
    with_config(folder)
    with pytest.raises(ConfigError, match=r"job live: live\.toml names a real broker \(127\.0\.0\.1\)"):
        rehearse(MONDAY, MONDAY, folder / "schedule.toml")
    assert not (folder / "runs").exists()


def with_config(folder: Path) -> None:
    book(folder, "trades", "1", parameters='config: str = ""  # live.toml')
    check = 'name = "check"\nat = "open-1h"\nnotebooks = ["book"]\n'
    live = 'name = "live"\nkind = "live"\nat = "open"\nuntil = "close"\nnotebooks = ["trades"]\nafter = ["check"]\n'
    text = f'[desk]\nnotebooks = "."\n[[jobs]]\n{check}[[jobs]]\n{live}parameters.config = "live.toml"\n'
    (folder / "schedule.toml").write_text(text)


def test_what_was_told_of_an_old_run_is_found(desk) -> None:
    for number in range(150):
        desk.history.alert(Alert(number, "train", f"train-{number}", "failed"))
    assert [a.at for a in desk.history.alerts(run="train-7")] == [7]


def test_a_person_too_starts_no_live_session_without_a_green_check(desk) -> None:
    desk.played.outcome = lambda spec: (RunState.FAILED, "red") if spec.job == "check" else GREEN
    desk.go(f"{MONDAY}T08:00", f"{MONDAY}T09:40")
    scheduler = Scheduler(desk.schedule, desk.history, clock=RehearsalClock(ns(f"{MONDAY}T09:50"), SPEED))
    due = Due(ns(f"{MONDAY}T09:15"), MONDAY, MONDAY, MONDAY)
    with pytest.raises(WorkbenchError, match=r"live is not started: check failed: red\. See to that first"):
        scheduler.once(desk.schedule.job("live"), due, 2)
    desk.played.outcome = lambda spec: GREEN
    assert scheduler.once(desk.schedule.job("check"), Due(ns(f"{MONDAY}T08:30"), MONDAY, MONDAY, MONDAY), 2)
    assert scheduler.once(desk.schedule.job("live"), due, 2).state is RunState.SUCCEEDED
