"""One run as a process of its own: ``python -m workbench.schedule.runner FOLDER`` does what ``run.json`` in it says.

It leaves an audit record in the folder: the executed notebooks and their pages, parameters, configuration, versions of
packages, a log without secrets, and ``outcome.json``, written last, with the digests of all of it. It outlives whoever
started it; SIGTERM and SIGINT stop the notebook cleanly.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, TextIO

import nbformat
import papermill
from nbclient.exceptions import DeadKernelError
from nbformat.sign import NotebookNotary
from papermill.exceptions import PapermillExecutionError

from workbench.core.errors import WorkbenchError
from workbench.engine.locks import FileLock, LockHeld
from workbench.logs import redact
from workbench.schedule.engine import NAME, Stopper, register
from workbench.schedule.history import RunState
from workbench.schedule.page import page

SPEC, OUTCOME, PROGRESS, LOG, LOCK = "run.json", "outcome.json", "progress.json", "log.txt", "run.lock"
LAST_WORDS = "runner.log"
"""What the process itself says, to its very end: no digest can be of it."""
BEAT_S = 1.0
START_S = 60.0
"""Real seconds that a process may take to its first heartbeat."""
EXIT = {RunState.SUCCEEDED: 0, RunState.FAILED: 1, RunState.STOPPED: 2, RunState.TIMED_OUT: 3}
RUN_VARIABLE = "WORKBENCH_RUN"
"""Environment variable by which a notebook knows the run that it is part of."""


@dataclass(frozen=True, slots=True)
class Step:
    """One notebook of a run, with the parameters it gets."""

    notebook: str
    parameters: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Spec:
    """What a run is. `timeout_s` real seconds (0: none); `lock` a file that runs which must not overlap share;
    `config` what it was asked for, for the record."""

    run: str
    job: str
    session: str
    steps: tuple[Step, ...]
    timeout_s: float
    lock: str
    config: dict[str, Any]

    def write(self, folder: Path) -> None:
        """Write ``run.json`` into a new folder."""
        folder.mkdir(parents=True)
        (folder / SPEC).write_text(json.dumps(asdict(self), indent=1), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Spec:
        """The spec in a folder."""
        told = json.loads((folder / SPEC).read_text(encoding="utf-8"))
        return cls(**{**told, "steps": tuple(Step(**step) for step in told["steps"])})


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended: `reason` in words, `seconds` it took, `files` name -> SHA-256 of everything it left."""

    state: RunState
    reason: str
    seconds: float
    files: dict[str, str]

    @property
    def digest(self) -> str:
        """One digest of all files."""
        return hashlib.sha256(json.dumps(self.files, sort_keys=True).encode()).hexdigest()


def run(folder: Path) -> Outcome:
    """Run the notebooks in order until one does not succeed; the outcome is written too.

    Until it is, the lock of the run is held: whoever finds it free and no outcome knows that the process was killed.
    """
    spec, begun = Spec.read(folder), time.monotonic()
    own = FileLock(folder / LOCK, f"run {spec.run}")
    own.acquire()
    try:
        state, reason = _run(spec, folder)
        _describe(folder, spec)
        outcome = Outcome(state, reason, round(time.monotonic() - begun, 3), _digests(folder))
        _write(folder / OUTCOME, {**asdict(outcome), "digest": outcome.digest})
    finally:
        own.release()
    return outcome


def _run(spec: Spec, folder: Path) -> tuple[RunState, str]:
    stopper = Stopper()
    with contextlib.ExitStack() as stack:
        log = stack.enter_context((folder / LOG).open("a", encoding="utf-8"))
        stack.enter_context(_stopped_by_signals(stopper))
        stack.enter_context(_time_limit(stopper, spec.timeout_s))
        told = stack.enter_context(_Progress(folder, spec))
        try:
            return _locked(spec, folder, stopper, told, _Redacted(log))
        except Exception as error:  # noqa: BLE001 -- the outermost boundary: who says nothing is taken for killed
            _Redacted(log).write(traceback.format_exc())
            return RunState.FAILED, redact(f"{type(error).__name__}: {error}")


def read_outcome(folder: Path) -> Outcome | None:
    """How the run in a folder ended; None while it did not say."""
    try:
        told = json.loads((folder / OUTCOME).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return Outcome(RunState(told["state"]), told["reason"], told["seconds"], told["files"])


def is_running(folder: Path) -> bool:
    """Whether the process of that run lives, or has just been started and is not up yet."""
    if _starts(folder):
        return True
    lock = FileLock(folder / LOCK, "the run")
    try:
        lock.acquire()
    except LockHeld:
        return True
    lock.release()
    return False


def silent_s(folder: Path) -> float:
    """Real seconds since the run's last heartbeat; 0 while it has not begun to beat."""
    told = _read_progress(folder)
    return (time.time_ns() - told["beat"]) / 1e9 if told else 0.0


def end_run(folder: Path) -> bool:
    """Ask a run to stop: its notebook is interrupted and what it had is kept. Whether there was one to ask."""
    told = _read_progress(folder)
    if not told or not is_running(folder):
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(told["pid"], signal.SIGTERM)
    return True


def _starts(folder: Path) -> bool:
    """Whether its process may still be importing: it was described a moment ago, and nothing is heard of it."""
    try:
        age = time.time() - (folder / SPEC).stat().st_mtime
    except FileNotFoundError:
        return False
    return 0 <= age < START_S and not any((folder / name).exists() for name in (PROGRESS, OUTCOME))


def _read_progress(folder: Path) -> dict[str, Any]:
    try:
        told: dict[str, Any] = json.loads((folder / PROGRESS).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return told


def _locked(spec: Spec, folder: Path, stopper: Stopper, told: _Progress, log: _Redacted) -> tuple[RunState, str]:
    lock = FileLock(Path(spec.lock), f"the lock of job {spec.job}")
    try:
        lock.acquire()
    except LockHeld as error:
        return RunState.FAILED, str(error)
    try:
        for number, step in enumerate(spec.steps, 1):
            state, reason = _execute(folder, number, step, stopper, told, log)
            if state is not RunState.SUCCEEDED:
                return state, reason
    finally:
        lock.release()
    return RunState.SUCCEEDED, ""


def _execute(
    folder: Path, number: int, step: Step, stopper: Stopper, told: _Progress, log: _Redacted
) -> tuple[RunState, str]:
    """Run one notebook; what it became is saved whatever happens."""
    source = Path(step.notebook)
    made = folder / f"{number:02d}_{source.stem}.ipynb"
    told.notebook(number, source.stem)
    register()
    try:
        papermill.execute_notebook(
            str(source), str(made), step.parameters, engine_name=NAME, cwd=str(source.parent), progress_bar=False,
            stdout_file=log, stderr_file=log, stopper=stopper, told=told.cells,
        )  # fmt: skip
    except PapermillExecutionError as error:
        state, reason = RunState.FAILED, f"{source.stem}, cell {error.exec_count}: {error.ename}: {error.evalue}"
    except DeadKernelError:
        state, reason = RunState.FAILED, f"{source.stem}: the kernel died"
    except WorkbenchError as error:
        state, reason = RunState.FAILED, f"{source.stem}: {error}"
    else:
        state, reason = RunState.SUCCEEDED, ""
    if stopper.why:
        timed_out = stopper.why == _TIMED_OUT
        state, reason = RunState.TIMED_OUT if timed_out else RunState.STOPPED, f"{source.stem}: {stopper.why}"
    if made.is_file():
        executed = nbformat.read(made, as_version=4)
        NotebookNotary().sign(executed)  # JupyterLab shows widgets and scripts only of notebooks that their owner ran
        made.with_suffix(".html").write_text(page(executed, source.stem), encoding="utf-8")
    return state, redact(reason)


_TIMED_OUT = "the time it may take was over"


@contextlib.contextmanager
def _stopped_by_signals(stopper: Stopper) -> Iterator[None]:
    """SIGTERM and SIGINT stop the notebook in this block."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {s: signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGINT)}
    for which in before:
        signal.signal(which, lambda number, _: stopper.stop(f"stopped by {signal.Signals(number).name}"))
    try:
        yield
    finally:
        for which, handler in before.items():
            signal.signal(which, handler)


@contextlib.contextmanager
def _time_limit(stopper: Stopper, seconds: float) -> Iterator[None]:
    timer = threading.Timer(seconds, stopper.stop, (_TIMED_OUT,)) if seconds else None
    if timer is not None:
        timer.daemon = True
        timer.start()
    try:
        yield
    finally:
        if timer is not None:
            timer.cancel()


class _Progress:
    """``progress.json``: which notebook and cell, since when, and a heartbeat every BEAT_S that a reader can miss."""

    def __init__(self, folder: Path, spec: Spec) -> None:
        self._path, self._end = folder / PROGRESS, threading.Event()
        self._state: dict[str, Any] = {"pid": os.getpid(), "run": spec.run, "notebooks": len(spec.steps)}
        self._thread = threading.Thread(target=self._beat, name="beat", daemon=True)

    def __enter__(self) -> _Progress:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def notebook(self, number: int, name: str) -> None:
        """Notebook `number` begins."""
        self._state = {
            **self._state,
            "number": number,
            "notebook": name,
            "cell": 0,
            "cells": 0,
            "since": time.time_ns(),
        }

    def cells(self, done: int, of: int) -> None:
        """So many code cells are done."""
        self._state = {**self._state, "cell": done, "cells": of, "since": time.time_ns()}

    def _beat(self) -> None:
        while True:
            with contextlib.suppress(OSError):  # a disk that is full: the next beat may be written again
                _write(self._path, {**self._state, "beat": time.time_ns()})
            if self._end.wait(BEAT_S):
                return


class _Redacted:
    """A text file that takes what notebooks print, without secrets and account ids."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, text: str) -> None:
        """Write `text`, redacted."""
        self._file.write(redact(text))

    def flush(self) -> None:
        """Hand on what was written."""
        self._file.flush()


def _describe(folder: Path, spec: Spec) -> None:
    """Parameters, configuration and versions: what a reader needs to repeat the run. Never the environment."""
    _write(
        folder / "parameters.json",
        {f"{n:02d}_{Path(s.notebook).stem}": s.parameters for n, s in enumerate(spec.steps, 1)},
    )
    _write(folder / "config.json", spec.config)
    packages = {d.metadata["Name"]: d.version for d in metadata.distributions() if d.metadata["Name"]}
    about = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": dict(sorted(packages.items())),
    }
    _write(folder / "versions.json", about)


def _digests(folder: Path) -> dict[str, str]:
    """Of everything that stays as it is now."""
    files = sorted(p for p in folder.iterdir() if p.is_file() and p.name not in (OUTCOME, PROGRESS, LOCK, LAST_WORDS))
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def _write(path: Path, content: Any) -> None:
    """Replace a JSON file: readers see the old or the new one."""
    scratch = path.with_name(f".{path.name}.part")
    scratch.write_text(json.dumps(content, indent=1, default=str), encoding="utf-8")
    os.replace(scratch, path)


def main() -> int:
    """The process."""
    folder = Path(sys.argv[1])
    os.environ[RUN_VARIABLE] = Spec.read(folder).run
    outcome = run(folder)
    if outcome.reason:
        print(outcome.reason, file=sys.stderr)
    return EXIT[outcome.state]


if __name__ == "__main__":
    sys.exit(main())
