"""The gateway that an engine starts, by the words of its command."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from workbench.config import BrokerSettings
from workbench.engine import simulation
from workbench.engine.simulation import BOOKS, ensure_gateway, running_gateway


@pytest.fixture
def words(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that were started; each answers as a gateway that listens."""
    found: list[list[str]] = []

    def start(command: list[str], **_: Any) -> Any:
        found.append(command)
        line = json.dumps({"host": "127.0.0.1", "port": 4002, "account": "DUSIM1", "time": "", "market": ""})
        return SimpleNamespace(pid=os.getpid(), stdout=io.StringIO(line + "\n"))

    monkeypatch.setattr(simulation.subprocess, "Popen", start)
    return found


def started(folder: Path, words: list[list[str]], start: str) -> list[str]:
    (folder / simulation.ABOUT).unlink(missing_ok=True)
    ensure_gateway(folder, BrokerSettings(start=start, speed=60.0, market="replay:job"))
    return words[-1]


def test_books_that_are_there_are_told_where_to_begin_too(tmp_path, words) -> None:
    for _ in range(2):  # without books and with them: the gateway takes the later of its books and this
        command = started(tmp_path, words, "2026-03-03T09:15")
        assert command[command.index("--start") + 1] == "2026-03-03T09:15"
        assert command[command.index("--books") + 1] == str(tmp_path / BOOKS)
        (tmp_path / BOOKS).touch()
    assert "--start" not in started(tmp_path, words, "")


def test_one_that_runs_is_not_started_again(tmp_path, words) -> None:
    first = started(tmp_path, words, "2026-03-03")
    assert ensure_gateway(tmp_path, BrokerSettings(start="2026-03-04")) == running_gateway(tmp_path)
    assert words == [first]
