"""A run as a process: what it leaves when it succeeds, fails, is stopped, killed or takes too long."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import psutil
import pytest

from tests.schedule.books import book, spec, start, wait_for
from workbench.engine.locks import FileLock
from workbench.schedule import runner
from workbench.schedule.attempts import launch
from workbench.schedule.engine import Stopper
from workbench.schedule.history import RunState
from workbench.schedule.page import page
from workbench.schedule.runner import Spec, is_running, read_outcome, run

BUSY = "import pathlib, time\npathlib.Path(mark).touch()\ntime.sleep(120)"
AWAITING = "import asyncio, pathlib\npathlib.Path(mark).touch()\nawait asyncio.sleep(120)"
STUBBORN = (
    "import pathlib, signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\npathlib.Path(mark).touch()\n"
    "while True:\n    time.sleep(0.1)"
)


def outputs(path: Path) -> str:
    return "".join(
        str(o.get("text", o.get("data", ""))) for c in nbformat.read(path, 4).cells for o in c.get("outputs", ())
    )


def test_a_run_leaves_an_audit_record(tmp_path) -> None:
    first = book(tmp_path, "first", "print('n is', n)", parameters="n: int = 1  # a number")
    second = book(tmp_path, "second", "import os; print(os.environ['HOME'][:0], 'account U1234567 password=hunter2')")
    folder = spec(tmp_path, first, second)
    told = json.loads((folder / "run.json").read_text())
    told["steps"][0]["parameters"] = {"n": 7}
    (folder / "run.json").write_text(json.dumps(told))
    outcome = run(folder)
    assert (outcome.state, outcome.reason) == (RunState.SUCCEEDED, "")
    assert read_outcome(folder) == outcome
    assert "n is 7" in outputs(folder / "01_first.ipynb")
    assert "n is 7" in (folder / "01_first.html").read_text()
    assert json.loads((folder / "parameters.json").read_text()) == {"01_first": {"n": 7}, "02_second": {}}
    versions = json.loads((folder / "versions.json").read_text())
    assert versions["packages"]["papermill"].startswith("2.")
    assert set(versions) == {"python", "platform", "packages"}
    log = (folder / "log.txt").read_text()
    assert "n is 7" in log
    assert "hunter2" not in log
    assert "U1234567" not in log
    for name, digest in outcome.files.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    assert {"01_first.ipynb", "01_first.html", "02_second.ipynb", "log.txt", "config.json"} <= set(outcome.files)
    timings = [c.metadata.papermill.duration for c in nbformat.read(folder / "01_first.ipynb", 4).cells]
    assert all(t is not None for t in timings)


def test_a_failing_cell_ends_the_run_and_what_ran_is_kept(tmp_path) -> None:
    bad = book(tmp_path, "bad", "print('before')", "raise ValueError('no such price')", "print('after')")
    folder = spec(tmp_path, bad, book(tmp_path, "next", "print('next')"))
    outcome = run(folder)
    assert (outcome.state, outcome.reason) == (RunState.FAILED, "bad, cell 2: ValueError: no such price")
    kept = outputs(folder / "01_bad.ipynb")
    assert "before" in kept
    assert "after" not in kept
    assert "no such price" in (folder / "01_bad.html").read_text()
    assert not (folder / "02_next.ipynb").exists()


def test_a_kernel_that_dies_fails_the_run(tmp_path) -> None:
    folder = spec(tmp_path, book(tmp_path, "dies", "print('before')", "import os; os._exit(9)", "print('after')"))
    outcome = run(folder)
    assert (outcome.state, outcome.reason) == (RunState.FAILED, "dies: the kernel died")
    assert "before" in outputs(folder / "01_dies.ipynb")


LATER = [pytest.param(AWAITING, marks=pytest.mark.slow), pytest.param(STUBBORN, marks=pytest.mark.slow)]


@pytest.mark.parametrize("cell", [BUSY, *LATER], ids=["blocks", "awaits", "ignores the interrupt"])
def test_a_run_that_is_stopped_keeps_what_it_had(tmp_path, cell: str) -> None:
    mark = tmp_path / "runs-now"
    waits = book(tmp_path, "waits", "print('before')", cell, "print('after')", parameters='mark: str = ""')
    folder = spec(tmp_path, waits, parameters={"mark": str(mark)})
    process = start(folder)
    wait_for(mark)
    assert is_running(folder)
    assert read_outcome(folder) is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(40) == 2
    assert not is_running(folder)
    outcome = read_outcome(folder)
    assert outcome is not None
    assert (outcome.state, outcome.reason) == (RunState.STOPPED, "waits: stopped by SIGTERM")
    kept = outputs(folder / "01_waits.ipynb")
    assert "before" in kept
    assert "after" not in kept


def test_a_run_that_takes_too_long_is_stopped(tmp_path) -> None:
    mark = tmp_path / "runs-now"
    waits = book(tmp_path, "waits", BUSY, parameters='mark: str = ""')
    outcome = run(spec(tmp_path, waits, parameters={"mark": str(mark)}, timeout_s=10.0))
    assert (outcome.state, outcome.reason) == (RunState.TIMED_OUT, "waits: the time it may take was over")


def test_a_run_that_is_killed_says_nothing_and_is_not_running(tmp_path) -> None:
    mark = tmp_path / "runs-now"
    waits = book(tmp_path, "waits", BUSY, parameters='mark: str = ""')
    folder = spec(tmp_path, waits, parameters={"mark": str(mark)})
    process = start(folder)
    wait_for(mark)
    process.kill()
    process.wait(20)
    assert not is_running(folder)
    assert read_outcome(folder) is None


def test_the_page_asks_nothing_of_the_internet_and_shows_what_came_of_the_code() -> None:
    view = {"application/vnd.jupyter.widget-view+json": {"model_id": "1"}, "text/plain": "HBox(FloatProgress)"}
    bar = nbformat.v4.new_output("display_data", data=view)
    made = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_markdown_cell("# The day"),
            nbformat.v4.new_code_cell(
                "secret_of_the_cell = 1", outputs=[nbformat.v4.new_output("stream", text="seen"), bar]
            ),
        ],
        metadata={"widgets": {"application/vnd.jupyter.widget-state+json": {"state": {}, "version_major": 2}}},
    )
    told = page(made, "10_session_report")
    assert not re.findall(r"""(?:src|href)\s*=\s*["']?(?:https?:)?//""", told)
    assert "unpkg" not in told
    assert "<title>10_session_report</title>" in told
    assert "The day" in told
    assert "seen" in told
    assert "secret_of_the_cell" not in told
    assert "FloatProgress" not in told
    assert len(made.cells[1].outputs) == 2
    assert "widgets" in made["metadata"]  # the notebook keeps them: JupyterLab shows their last state


def test_a_run_is_not_over_before_its_outcome_is_written(tmp_path, monkeypatch) -> None:
    """Who looked in between took it for killed: seen when a scheduler had been killed and another took over."""
    seen: list[bool] = []
    describe = runner._describe

    def slowly(folder: Path, made: Spec) -> None:
        seen.append(is_running(folder))
        describe(folder, made)

    monkeypatch.setattr(runner, "_describe", slowly)
    folder = spec(tmp_path, book(tmp_path, "one", "1"))
    outcome = run(folder)
    assert seen == [True]
    assert not is_running(folder)
    assert read_outcome(folder) == outcome


def test_runs_with_one_lock_do_not_overlap(tmp_path) -> None:
    lock = FileLock(tmp_path / "job.lock", "the lock")
    lock.acquire()
    outcome = run(spec(tmp_path, book(tmp_path, "one", "1")))
    assert outcome.state is RunState.FAILED
    assert "the lock of job job is in use by process" in outcome.reason
    lock.release()
    assert run(spec(tmp_path, book(tmp_path, "one", "1"))).state is RunState.SUCCEEDED


def test_a_heartbeat_is_seen_while_it_runs(tmp_path) -> None:
    mark = tmp_path / "runs-now"
    waits = book(tmp_path, "waits", BUSY, parameters='mark: str = ""')
    folder = spec(tmp_path, waits, parameters={"mark": str(mark)})
    process = start(folder)

    def told() -> dict[str, object]:
        return json.loads((folder / "progress.json").read_text())

    try:
        wait_for(mark)
        first, deadline = told()["beat"], time.monotonic() + 30
        while told()["beat"] == first or "notebook" not in told():
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert (told()["notebook"], told()["number"], told()["notebooks"]) == ("waits", 1, 1)
    finally:
        process.terminate()
        process.wait(40)


def test_what_nobody_foresaw_is_told_and_recorded(tmp_path) -> None:
    """A kernel that is not installed: the run looked killed, and left neither outcome nor parameters."""
    path = book(tmp_path, "strange", "1")
    made = nbformat.read(path, 4)
    made.metadata["kernelspec"]["name"] = "no-such-kernel"
    nbformat.write(made, path)
    folder = spec(tmp_path, path)
    outcome = run(folder)
    assert outcome.state is RunState.FAILED
    assert "NoSuchKernel" in outcome.reason
    assert "Traceback" in (folder / "log.txt").read_text()
    assert {"parameters.json", "config.json", "versions.json", "log.txt"} <= set(outcome.files)


def test_the_digests_are_of_what_stays(tmp_path) -> None:
    """The process says its reason when the digests are made: its last words have none."""
    folder = spec(tmp_path, book(tmp_path, "bad", "raise ValueError('no such price')"))
    assert launch(folder).wait(60) == 1
    assert "no such price" in (folder / "runner.log").read_text()
    files = read_outcome(folder).files
    assert set(files) > {"01_bad.ipynb", "01_bad.html", "run.json"}
    for name, digest in files.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest, name


def test_a_kernel_that_does_not_stop_is_killed_with_what_it_started() -> None:
    """Workers of a training would go on, beside the ones of the next attempt."""
    inner = (
        "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); print('up', flush=True); time.sleep(300)"
    )
    script = f"import signal, subprocess, sys\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n" \
             f"subprocess.run([sys.executable, '-c', {inner!r}])"  # fmt: skip
    kernel = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, start_new_session=True)
    kernel.stdout.readline()
    (worker,) = psutil.Process(kernel.pid).children()
    try:
        stopper = Stopper(grace_s=0.05)
        stopper.runs(kernel.pid)
        stopper.stop("the time was over")
        kernel.wait(10)
        worker.wait(10)
    finally:
        for process in (kernel, worker):
            with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
                process.kill()
        kernel.stdout.close()
