"""`workbench gateway`: one line that says where it listens, then service until a signal."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

import workbench
from workbench.cli_gateway import gateway
from workbench.core.errors import ConfigError, DataError
from workbench.gateway.keeping import KeptBooks

app = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode=None)
app.command()(gateway)
SCRIPT = """
import sys, typer
from workbench.cli_gateway import gateway
app = typer.Typer()
app.command()(gateway)
sys.exit(app(sys.argv[1:], standalone_mode=False) or 0)
"""


@contextmanager
def running(*arguments, errors=None):
    """The command in a process of its own; its first line has been read."""
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *map(str, arguments)], stdout=subprocess.PIPE, stderr=errors, text=True
    )
    try:
        yield process, process.stdout.readline()
    finally:
        process.kill()
        process.communicate()


def ended(process, number) -> int:
    process.send_signal(number)
    process.communicate(timeout=30)
    return process.returncode


def fails(*arguments) -> Exception:
    done = CliRunner().invoke(app, [str(a) for a in arguments])
    assert done.exit_code
    return done.exception


def test_it_says_where_it_listens_serves_and_keeps_its_books_at_sigterm(tmp_path):
    path = tmp_path / "books.json"
    with running("--json", "--books", path, "--cash", 5000, "--speed", 60, "--start", "2026-03-03") as (process, line):
        told = json.loads(line)
        assert told["host"] == "127.0.0.1"
        assert told["account"].startswith("DUSIM")
        assert told["time"].startswith("2026-03-03T14:30:0")
        with socket.create_connection(("127.0.0.1", told["port"]), timeout=10) as client:
            client.sendall(b"API\0\0\0\0\x09v157..176")
            assert client.recv(1000)[4:8] == b"176\0"
        assert ended(process, signal.SIGTERM) == 0
    kept = KeptBooks.read(path)
    assert kept.closed
    assert kept.account["books"]["cash"] == 5_000_000_000  # millionths of USD


def test_ctrl_c_ends_it_with_130():
    with running("--speed", "max") as (process, line):
        assert line.startswith("listening on 127.0.0.1:")
        assert "account DUSIM000001, simulated market of seed 0 at 2026-03-02T14:30:0" in line
        assert ended(process, signal.SIGINT) == 130


def test_a_recording_is_replayed_and_its_estimates_are_said(tmp_path):
    times = pd.date_range("2026-03-04 14:31", periods=390, freq="min", tz="UTC")
    price = 20 + np.arange(390) / 100
    bars = {"open": price, "high": price + 0.02, "low": price - 0.02, "close": price + 0.01, "volume": 5000}
    pd.DataFrame({"ts": times, **bars}).to_csv(tmp_path / "KO.csv", index=False)
    with running("--json", "--market", f"replay:{tmp_path / 'KO.csv'}", errors=subprocess.PIPE) as (process, line):
        assert json.loads(line)["market"] == "replayed bars"
        assert json.loads(line)["time"].startswith("2026-03-04T14:30:0")
        process.terminate()
        _, said = process.communicate(timeout=30)
    assert "1-minute bars of 1 symbols; quotes ESTIMATED" in said


@pytest.mark.parametrize(
    ("arguments", "kind", "text"),
    [
        (["--speed", "fast"], ConfigError, "--speed 'fast' is no number above 0; write 1, 60 or max"),
        (["--speed", "-1"], ConfigError, "is no number above 0"),
        (["--speed", "inf"], ConfigError, "is no number above 0"),
        (["--market", "real"], ConfigError, "--market 'real' is unknown; write simulated, or replay:PATH"),
        (["--market", "replay:"], ConfigError, "is unknown"),
        (["--market", "replay:nowhere"], DataError, "nowhere does not exist"),
        (["--market", "replay:nowhere", "--seed", "1"], ConfigError, "--seed 1 belongs to the simulated market"),
        (["--start", "2026-03-01"], ConfigError, "2026-03-01 is no session of the exchange"),
        (["--start", "monday"], ConfigError, "'monday' is no date"),
        (["--host", "0.0.0.0"], ConfigError, "--allow-remote"),
        (["--scenario", "mute_for_a_wile"], ConfigError, "mute_for_a_while"),
        (["--books", "nowhere/books.json"], DataError, "nowhere is no folder"),
    ],
)
def test_what_cannot_be_is_said(arguments, kind, text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    error = fails(*arguments)
    assert isinstance(error, kind), error
    assert text in str(error)


def test_a_port_that_is_taken_is_named():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        error = fails("--port", taken.getsockname()[1])
    assert isinstance(error, ConfigError)
    assert "choose another port" in str(error)


def test_the_folder_of_the_process_is_not_touched(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(workbench.__file__).parents[1]))
    monkeypatch.chdir(tmp_path)
    with running() as (process, _):
        assert ended(process, signal.SIGTERM) == 0
    assert not list(tmp_path.iterdir())
