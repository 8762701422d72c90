"""Whoever follows an engine and is gone without a word: what was left behind is done, once."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from workbench.commands import Command
from workbench.core.errors import ConfigError
from workbench.engine.following import FOLLOWER, Follower, abandoned, follow, let_go
from workbench.engine.heart import Heart

SECOND = 10**9


class NoCommands:
    """A command store with nothing in it."""

    def take(self, now: int, refused: object) -> tuple[Command, ...]:
        return ()


class Heard:
    """A heart in `folder` and everything that it asked for."""

    def __init__(self, folder: Path) -> None:
        self.delivered: list[Command] = []
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.cancelled: list[str] = []
        self.heart = Heart(folder, NoCommands(), 1.0, self.cancelled.append, self.delivered.append,  # type: ignore[arg-type]
                           lambda kind, payload: self.told.append((kind, payload)))  # fmt: skip
        self.heart._born -= 3600 * SECOND  # it has lived for an hour


def silent(left: str, seconds: float, who: str = "run 7") -> Follower:
    return Follower(who, left, time.time_ns() - int(seconds * SECOND), patience_s=15.0)


def test_a_follower_is_gone_when_its_patience_is_over(tmp_path) -> None:
    assert abandoned(tmp_path, 0) is None
    told = Follower("run 7", "flatten", 100 * SECOND, patience_s=5.0)
    follow(tmp_path, told)
    assert abandoned(tmp_path, 105 * SECOND) is None
    assert abandoned(tmp_path, 105 * SECOND + 1) == told
    let_go(tmp_path)
    let_go(tmp_path)
    assert abandoned(tmp_path, 999 * SECOND) is None


ODD = [
    "", "{", "[1]", '{"who": "x"}', '{"who": "x", "left": "sell", "at": 1}', '{"who": "x", "left": "hold", "at": null}',
    '{"who": [], "left": "flatten", "at": 1}', '{"who": "x", "left": "flatten", "at": "1"}',
]  # fmt: skip


@pytest.mark.parametrize("content", ODD)
def test_a_sign_of_life_that_cannot_be_read_sells_nothing(tmp_path, content: str) -> None:
    (tmp_path / FOLLOWER).write_text(content)
    gone = abandoned(tmp_path, 10**18)
    assert gone is not None
    assert gone.left == "hold"


def test_flatten_is_done_once_for_each_follower_that_is_gone(tmp_path) -> None:
    heard = Heard(tmp_path)
    follow(tmp_path, silent("flatten", 3))
    heard.heart.beat()
    assert heard.delivered == []
    follow(tmp_path, silent("flatten", 20))
    for _ in range(3):
        heard.heart.beat()
    (command,) = heard.delivered
    assert (command.action, command.system, command.issuer) == ("flatten", "", "run 7")
    assert command.reason == "flatten was left for the case that nobody follows any more"
    assert heard.cancelled == ["run 7 is gone"]
    assert heard.told == [("abandoned", {"by": "run 7", "silent s": 20, "left": "flatten"})]
    follow(tmp_path, silent("flatten", 0, "run 8"))
    heard.heart.beat()
    follow(tmp_path, silent("flatten", 16, "run 8"))
    heard.heart.beat()
    assert [c.issuer for c in heard.delivered] == ["run 7", "run 8"]


def test_an_engine_that_starts_again_does_not_do_it_again(tmp_path) -> None:
    """Somebody may have resumed meanwhile, and would be sold out by what was left behind days ago."""
    first = Heard(tmp_path)
    follow(tmp_path, silent("flatten", 20))
    first.heart.beat()
    second = Heard(tmp_path)
    second.heart.beat()
    assert [len(h.delivered) for h in (first, second)] == [1, 0]
    follow(tmp_path, silent("flatten", 7200))  # left before this engine was born
    second.heart.beat()
    assert second.delivered == []
    assert second.told == []


def test_a_folder_that_cannot_be_written_neither_stops_the_heart_nor_flattens_twice(tmp_path, monkeypatch) -> None:
    heard = Heard(tmp_path)
    follow(tmp_path, silent("flatten", 20))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("workbench.engine.following.os.replace", full)
    for _ in range(3):
        heard.heart._miss_follower()
    assert (tmp_path / FOLLOWER).exists()
    assert len(heard.delivered) == len(heard.cancelled) == 1


def test_hold_changes_nothing_and_is_told(tmp_path) -> None:
    heard = Heard(tmp_path)
    follow(tmp_path, silent("hold", 60))
    heard.heart.beat()
    assert heard.delivered == []
    assert heard.cancelled == []
    assert [kind for kind, _ in heard.told] == ["abandoned"]


def test_a_follower_that_comes_back_and_goes_again_is_missed_again(tmp_path) -> None:
    heard = Heard(tmp_path)
    for seconds in (20, 0, 20):
        follow(tmp_path, silent("hold", seconds))
        heard.heart.beat()
    assert len(heard.told) == 2


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ConfigError, match="left='sell' is no policy: choose from hold, flatten"):
        Follower("x", "sell", 0)
    with pytest.raises(ConfigError, match="patience_s=0 must be above 0"):
        Follower("x", "hold", 0, patience_s=0)
