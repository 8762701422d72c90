"""Whoever follows an engine and is gone without a word: what was left behind is done, once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from workbench.commands import Command
from workbench.core.errors import ConfigError
from workbench.engine.following import FOLLOWER, Follower, Vigil, follow, let_go
from workbench.engine.heart import Heart

SECOND = 10**9


class NoCommands:
    """A command store with nothing in it."""

    def take(self, now: int, refused: object) -> tuple[Command, ...]:
        return ()


class Machine:
    """Its clocks: one that may be set, and one that never is; both stand still unless told."""

    def __init__(self) -> None:
        self.wall, self.uptime = 1_800_000_000.0, 5_000.0

    def time_ns(self) -> int:
        return int(self.wall * SECOND)

    def monotonic(self) -> float:
        return self.uptime


class Heard:
    """A heart in `folder` that has lived for an hour, and everything that it asked for."""

    def __init__(self, folder: Path, machine: Machine) -> None:
        self.folder, self.machine = folder, machine
        self.delivered: list[Command] = []
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.cancelled: list[str] = []
        self.heart = Heart(folder, NoCommands(), 1.0, self.cancelled.append, self.delivered.append,  # type: ignore[arg-type]
                           lambda kind, payload: self.told.append((kind, payload)))  # fmt: skip
        machine.wall, machine.uptime = machine.wall + 3600, machine.uptime + 3600

    def sign(self, left: str, who: str = "run 7", ago: float = 0) -> None:
        """A sign of life."""
        follow(self.folder, Follower(who, left, self.machine.time_ns() - int(ago * SECOND), patience_s=15.0))

    def live(self, seconds: int) -> None:
        """So many seconds, a beat in each."""
        for _ in range(seconds):
            self.heart.beat()
            self.machine.wall, self.machine.uptime = self.machine.wall + 1, self.machine.uptime + 1


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine()
    monkeypatch.setattr("workbench.engine.heart.time", made)
    return made


@pytest.fixture
def heard(tmp_path: Path, machine: Machine) -> Heard:
    return Heard(tmp_path, machine)


def test_a_follower_is_gone_when_its_patience_is_over(tmp_path) -> None:
    vigil = Vigil(tmp_path)
    assert vigil.gone(0.0) is None
    told = Follower("run 7", "flatten", 100 * SECOND, patience_s=5.0)
    follow(tmp_path, told)
    assert [vigil.gone(50.0 + s) for s in range(6)] == [None] * 6  # first seen at 50, whatever its own clock said
    assert vigil.gone(55.0) is None
    assert vigil.gone(55.1) == told
    let_go(tmp_path)
    let_go(tmp_path)
    assert vigil.gone(999.0) is None


def test_a_machine_that_slept_has_seen_nobody_die(tmp_path) -> None:
    """Whoever is woken beside the engine needs a moment for the next sign."""
    vigil, told = Vigil(tmp_path), Follower("run 7", "flatten", 100 * SECOND, patience_s=15.0)
    follow(tmp_path, told)
    assert vigil.gone(0.0) is None
    assert vigil.gone(3600.0) is None
    follow(tmp_path, Follower("run 7", "flatten", 101 * SECOND, patience_s=15.0))
    assert [vigil.gone(3601.0 + s) for s in range(16)] == [None] * 16
    assert vigil.gone(3617.0) is not None


ODD = [
    "", "{", "[1]", '{"who": "x"}', '{"who": "x", "left": "sell", "at": 1}', '{"who": "x", "left": "hold", "at": null}',
    '{"who": [], "left": "flatten", "at": 1}', '{"who": "x", "left": "flatten", "at": "1"}',
]  # fmt: skip


@pytest.mark.parametrize("content", ODD)
def test_a_sign_of_life_that_cannot_be_read_sells_nothing(heard, content: str) -> None:
    (heard.folder / FOLLOWER).write_text(content)
    vigil = Vigil(heard.folder)
    (gone,) = {vigil.gone(float(s)) for s in range(60)} - {None}
    assert gone.left == "hold"
    heard.live(60)
    assert heard.delivered == []


def test_flatten_is_done_once_for_each_follower_that_is_gone(heard) -> None:
    heard.sign("flatten")
    heard.live(15)
    assert heard.delivered == []
    heard.live(5)
    (command,) = heard.delivered
    assert (command.action, command.system, command.issuer) == ("flatten", "", "run 7")
    assert command.reason == "flatten was left for the case that nobody follows any more"
    assert heard.cancelled == ["run 7 is gone"]
    assert heard.told == [("abandoned", {"by": "run 7", "silent s": 16, "left": "flatten"})]
    heard.sign("flatten", "run 8")
    heard.live(20)
    assert [c.issuer for c in heard.delivered] == ["run 7", "run 8"]


def test_an_engine_that_starts_again_does_not_do_it_again(tmp_path, machine) -> None:
    """Somebody may have resumed meanwhile, and would be sold out by what was left behind days ago."""
    first = Heard(tmp_path, machine)
    first.sign("flatten")
    first.live(20)
    second = Heard(tmp_path, machine)
    second.live(20)
    assert [len(h.delivered) for h in (first, second)] == [1, 0]
    second.sign("flatten", ago=7200)  # left before this engine was born
    second.live(20)
    assert second.delivered == []
    assert second.told == []


def test_who_dies_while_the_engine_starts_is_missed(tmp_path, machine) -> None:
    """The kernel gave its last sign, started the engine, and was killed before the engine's first beat."""
    machine.wall += 100
    follow(tmp_path, Follower("run 7", "flatten", machine.time_ns(), patience_s=15.0))
    machine.wall += 20  # imports, on a busy machine
    heard = Heard(tmp_path, machine)
    heard.live(20)
    assert [c.action for c in heard.delivered] == ["flatten"]


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_that_is_set_neither_sells_nor_hides_a_death(heard, hours: int) -> None:
    for _ in range(30):
        heard.sign("flatten")
        heard.live(1)
    heard.machine.wall += hours * 3600
    heard.live(3)
    for _ in range(30):
        heard.sign("flatten")
        heard.live(1)
    assert heard.delivered == []
    heard.machine.wall -= hours * 3600
    heard.live(20)
    assert [c.action for c in heard.delivered] == ["flatten"]


def test_a_folder_that_cannot_be_written_neither_stops_the_heart_nor_flattens_twice(heard, monkeypatch) -> None:
    heard.sign("flatten")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("workbench.engine.following.os.replace", full)
    heard.live(30)
    assert (heard.folder / FOLLOWER).exists()
    assert len(heard.delivered) == len(heard.cancelled) == 1


def test_hold_changes_nothing_and_is_told(heard) -> None:
    heard.sign("hold")
    heard.live(60)
    assert heard.delivered == []
    assert heard.cancelled == []
    assert [kind for kind, _ in heard.told] == ["abandoned"]


def test_a_follower_that_comes_back_and_goes_again_is_missed_again(heard) -> None:
    for seconds in (20, 3, 20):
        heard.sign("hold")
        heard.live(seconds)
    assert len(heard.told) == 2


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ConfigError, match="left='sell' is no policy: choose from hold, flatten"):
        Follower("x", "sell", 0)
    with pytest.raises(ConfigError, match="patience_s=0 must be above 0"):
        Follower("x", "hold", 0, patience_s=0)
