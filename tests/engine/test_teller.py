"""What readers of the journal are told of an engine, and that telling them never holds it up."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workbench.engine.codec import live_codec
from workbench.engine.teller import Teller
from workbench.journal import SqlJournal


@pytest.fixture
def address(tmp_path: Path) -> Path:
    SqlJournal(tmp_path / "journal.db").close()
    return tmp_path / "journal.db"


def read(address: Path) -> tuple[list[Any], Any]:
    with SqlJournal(address, read_only=True, codec=live_codec()) as journal:
        return [e.payload["n"] for e in journal.read("state")], journal.pulse()


def until(true: Callable[[], object], timeout_s: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s"
        time.sleep(0.02)


def test_a_phase_is_told_at_once_and_of_many_states_the_newest(address: Path) -> None:
    teller = Teller(address, "s")
    for n in range(50):  # before the thread runs: only the newest is kept
        teller.state("trading", "", 100 + n, {"n": n})
    teller.start()
    until(lambda: read(address)[0])
    states, pulse = read(address)
    assert states == [49]
    assert (pulse.session, pulse.phase, pulse.text) == ("s", "trading", "")
    teller.state("failed", "no broker", None, {"n": 50})
    until(lambda: read(address)[1].phase == "failed")
    teller.stop()
    states, pulse = read(address)
    assert states == [49]  # without the market's clock only the phase is told
    assert pulse.text == "no broker"


def test_the_last_word_is_written_before_it_ends(address: Path) -> None:
    teller = Teller(address, "s")
    teller.start()
    teller.state("trading", "", 100, {"n": 1})
    teller.state("stopped", "", 101, {"n": 2})
    teller.stop()
    states, pulse = read(address)
    assert states[-1] == 2
    assert pulse.phase == "stopped"


def test_without_a_sign_of_life_there_is_none_to_pass_on(address: Path) -> None:
    teller = Teller(address, "s")
    teller.start()
    teller.state("trading", "", 100, {"n": 1})
    until(lambda: read(address)[1] is not None)
    first = read(address)[1].at
    time.sleep(2.5)  # longer than between two signs of life: the step thread hangs
    assert read(address)[1].at == first
    teller.lives()
    until(lambda: read(address)[1].at > first)
    teller.stop()


def test_a_journal_that_is_locked_holds_nobody_up(address: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.database.TIMEOUT_S", 0.2)
    teller = Teller(address, "s")
    lock = sqlite3.connect(address, isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    teller.start()
    begun = time.monotonic()
    for n in range(1000):
        teller.state("trading" if n % 2 else "warming up", "", n, {"n": n})
        teller.lives()
    assert time.monotonic() - begun < 0.2  # none of a thousand waited for the lock, which alone takes as long
    lock.execute("ROLLBACK")
    lock.close()
    teller.state("trading", "", 1000, {"n": 1000})
    until(lambda: 1000 in read(address)[0])
    teller.stop()
