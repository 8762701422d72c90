"""The watchdog's rounds: until the broker says that nothing of ours works, and who ends them before that."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from workbench.config import Settings
from workbench.core.errors import WorkbenchError
from workbench.engine import watchdog
from workbench.engine.plan import EnginePlan

PID = 2**22 + 7
"""Of no process: beyond what Linux gives out."""
PLAN = EnginePlan((Settings().change(broker={"host": "broker", "port": 4002}),))


class Watch:
    """Time that passes only in sleeps, and a broker that answers what the test says."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.now, self.asked = folder, 0.0, 0
        self.pauses: list[float] = []
        self.words: list[str] = []
        self.answer: Callable[[int], int] = lambda round_: 0
        self.state(PID)
        clock = SimpleNamespace(monotonic=lambda: self.now, sleep=self._sleep, time_ns=time.time_ns)
        monkeypatch.setattr(watchdog, "time", clock)
        monkeypatch.setattr(watchdog, "cancel_ours", self._asked)

    def _sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.words.append(self.read(watchdog.NOW))
        self.now += seconds

    def _asked(self, *_: object) -> int:
        self.asked += 1
        return self.answer(self.asked)

    def state(self, pid: int) -> None:
        told = {"phase": "failed", "pid": pid, "heartbeat": time.time_ns()}
        (self.folder / "engine.state.json").write_text(json.dumps(told))

    def read(self, name: str) -> str:
        path = self.folder / name
        return path.read_text() if path.is_file() else ""

    def act(self, plan: EnginePlan = PLAN) -> str:
        """Its last word, if it has an end."""
        watchdog.act(self.folder, PID, 0.0, plan)
        return self.read(watchdog.LAST)


@pytest.fixture
def watch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Watch:
    (tmp_path / "live").mkdir()
    return Watch(tmp_path / "live", monkeypatch)


def away(_: int) -> int:
    raise WorkbenchError("the gateway restarts")


def test_it_asks_again_until_nothing_works(watch: Watch) -> None:
    watch.answer = lambda n: (3, 3, 1, 0)[n - 1]
    assert "0 still worked" in watch.act()
    assert watch.pauses == [1.0, 2.0, 5.0]
    assert [word.split("; ")[1][0] for word in watch.words] == ["3", "3", "1"]
    assert not (watch.folder / watchdog.NOW).exists()


def test_a_gateway_that_is_away_for_minutes_is_waited_for(watch: Watch) -> None:
    watch.answer = lambda n: away(n) if n <= 25 else 0
    assert "0 still worked" in watch.act()
    assert watch.asked == 26
    assert watch.pauses == [1.0, 2.0, 5.0, *[30.0] * 22]
    assert all("may still work: the gateway restarts" in word for word in watch.words)


def test_another_engine_takes_over(watch: Watch) -> None:
    def taken(n: int) -> int:
        if n == 2:
            watch.state(PID + 1)
        return 1

    watch.answer = taken
    assert "another engine took over" in watch.act()
    assert watch.asked == 2


def test_a_state_that_cannot_be_told_is_no_other_engine(watch: Watch) -> None:
    (watch.folder / "engine.state.json").unlink()
    assert "0 still worked" in watch.act()
    assert not (watch.folder / "engine.state.json").exists()  # an empty one could not be read


def test_it_ends_with_its_folder_after_one_more_question(watch: Watch) -> None:
    def gone(n: int) -> int:
        if n == 3:
            for file in watch.folder.iterdir():
                file.unlink()
            watch.folder.rmdir()
        return away(n)

    watch.answer = gone
    watch.act()
    assert watch.asked == 3


def test_it_ends_where_the_simulated_gateway_has_ended(watch: Watch) -> None:
    word = watch.act(EnginePlan((Settings(),)))
    assert "the simulated gateway has ended" in word
    assert watch.asked == 0


def test_a_broker_that_never_comes_back_is_given_up_and_that_is_told(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert watchdog.LONGEST_S == 24 * 3600
    monkeypatch.setattr(watchdog, "LONGEST_S", 7200.0)
    watch.answer = away
    word = watch.act()
    assert "given up after 2 hours" in word
    assert "may still work" in word
    assert 7200 <= watch.now <= 7230


def test_a_disk_that_takes_no_word_ends_nothing(watch: Watch) -> None:
    (watch.folder / watchdog.NOW).mkdir()
    (watch.folder / watchdog.LAST).mkdir()
    watch.answer = lambda n: 3 - n
    watch.act()
    assert watch.asked == 3


@pytest.fixture
def engine() -> Iterator[psutil.Process]:
    """A process whose command line is that of an engine."""
    code = "import sys; sys.stdin.read()"
    child = subprocess.Popen([sys.executable, "-c", code, "workbench.engine"], stdin=subprocess.PIPE)
    yield psutil.Process(child.pid)
    child.kill()
    child.wait()
    assert child.stdin is not None
    child.stdin.close()


def test_only_the_very_process_is_killed(engine: psutil.Process) -> None:
    watchdog.fence(engine.pid, engine.create_time() - 1.0)  # the number was given to another engine
    assert engine.status() != psutil.STATUS_ZOMBIE
    watchdog.fence(engine.pid, engine.create_time())
    assert engine.status() == psutil.STATUS_ZOMBIE  # killed; its parent here has not waited for it yet


def test_the_birth_of_a_process_tells_it_from_another_of_its_number(engine: psutil.Process) -> None:
    assert watchdog.birth(engine.pid) == engine.create_time()
    assert watchdog.birth(PID) == 0.0
