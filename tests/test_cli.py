"""The command line: help, exit codes, messages instead of tracebacks, JSON and nothing else on standard output."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from workbench.config import Settings
from workbench.core.errors import ArtifactError
from workbench.research import steps

ROOT = Path(__file__).resolve().parent.parent
SMALL = '[training]\nfamilies = ["FTRLProximal"]\nsegments = 2\nmax_rows = 4000\njobs = 1\n'


def workbench(*args: str, **options) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "workbench.cli", *args], capture_output=True, text=True, cwd=ROOT, check=False, **options
    )


def minutes_of(day: str, n: int) -> pd.DatetimeIndex:
    return pd.date_range(f"{day} 09:35", periods=n, freq="5min", tz="America/New_York")


def frame(symbols=("AAA", "BBB"), days=("2025-06-02", "2025-06-03"), **columns) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    parts = []
    for symbol in symbols:
        for day in days:
            close = 100 * np.exp(np.cumsum(rng.normal(0, 1e-3, 78)))
            part = {"ts": minutes_of(day, 78), "symbol": symbol, "open": close, "high": close * 1.001,
                    "low": close * 0.999, "close": close, "volume": 1000.0}  # fmt: skip
            parts.append(pd.DataFrame(part))
    return pd.concat(parts, ignore_index=True).assign(**columns)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_help_lists_every_step():
    done = workbench("--help")
    assert done.returncode == 0
    for step in ("simulate", "import", "train", "blend", "calibrate", "backtest", "report", "doctor", "run", "demo"):
        assert step in done.stdout


@pytest.mark.parametrize("step", ["simulate", "import", "train", "blend", "calibrate", "backtest", "report", "run"])
def test_every_step_has_an_example_and_json(step):
    text = workbench(step, "--help").stdout
    assert "Example: workbench" in text
    assert "--json" in text


def test_doctor_tells_versions_and_build_and_what_live_needs():
    done = workbench("doctor", "--json")
    found = json.loads(done.stdout)
    assert done.returncode == 0
    assert found["packages"]["numpy"] == np.__version__
    assert "-ffp-contract=off" in found["kernels"]["flags"]
    assert found["missing_for_live"] == []


def test_a_mistyped_command_names_its_neighbour():
    done = workbench("trian")
    assert done.returncode == 2
    assert "train" in done.stderr


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["run", "--data", "no/such/folder"], "no/such/folder"),
        (["import", "--data", "README.md"], "README.md"),
        (["simulate", "--symbols", "1"], "symbols"),
        (["train", "--profile", "huge"], "huge"),
        (["run", "--data", ".", "--column", "close"], "FIELD=NAME"),
        (["train", "--config", "none.toml"], "none.toml"),
        (["simulate", "--config", "tests/research/wrong_family.toml"], "LightGBM"),
        (["train", "--config", "docs"], "docs is a folder"),
        (["report"], "does not exist; `workbench simulate"),
        (["simulate", "--days", "100", "--daily", "60"], "100 must not exceed daily_sessions 60"),
    ],
)
def test_bad_input_is_one_message_and_exit_2(args, message, tmp_path):
    done = workbench(*args, "--out", str(tmp_path / "out"))
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_step_without_its_predecessor_names_the_command(tmp_path):
    done = workbench("backtest", "--out", str(tmp_path))
    assert done.returncode == 2
    assert "run `workbench calibrate` first" in done.stderr
    done = workbench("train", "--out", str(tmp_path))
    assert "`workbench simulate` or `workbench import`" in done.stderr


def test_naive_times_are_refused_with_the_remedy_and_nothing_is_lost(tmp_path):
    naive = frame()
    naive["ts"] = naive["ts"].dt.tz_localize(None)
    naive.to_csv(tmp_path / "bars.csv", index=False)
    done = workbench("import", "--data", str(tmp_path / "bars.csv"), "--out", str(tmp_path / "out"))
    assert done.returncode == 2
    assert "--timezone" in done.stderr
    done = workbench(
        "import", "--data", str(tmp_path / "bars.csv"), "--out", str(tmp_path / "out"), "--json",
        "--timezone", "America/New_York",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["origin"] == "bars.csv"


def test_too_little_data_is_said_plainly(tmp_path):
    frame().to_parquet(tmp_path / "bars.parquet")
    done = workbench("run", "--data", str(tmp_path / "bars.parquet"), "--out", str(tmp_path / "out"))
    assert done.returncode == 2
    assert "sessions" in done.stderr
    assert "Traceback" not in done.stderr


def test_simulated_and_real_bars_never_share_a_store(tmp_path):
    out = str(tmp_path / "out")
    assert workbench("simulate", "--symbols", "3", "--days", "20", "--daily", "60", "--out", out).returncode == 0
    frame().to_parquet(tmp_path / "bars.parquet")
    done = workbench("import", "--data", str(tmp_path / "bars.parquet"), "--out", out)
    assert done.returncode == 2
    assert "choose another folder" in done.stderr


def test_config_prints_what_it_reads(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(workbench("config").stdout)
    out = str(tmp_path / "out")
    done = workbench("simulate", "--symbols", "3", "--days", "20", "--daily", "60", "--config", str(path), "--out", out)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_every_step_alone_makes_the_whole_job_and_the_second_time_nothing(tmp_path):
    """Simulate, train, blend, calibrate, backtest, report as separate processes; then all again, unchanged."""
    config, out = tmp_path / "small.toml", tmp_path / "out"
    config.write_text(SMALL)
    common = ["--out", str(out), "--config", str(config), "--json"]
    market = ["--symbols", "6", "--days", "30", "--daily", "120"]
    commands = [["simulate", *market], *([s] for s in ("train", "blend", "calibrate", "backtest", "report"))]
    for command in commands:
        done = workbench(*command, *common)
        assert done.returncode == 0, done.stderr
        assert "unchanged" not in json.loads(done.stdout, parse_constant=pytest.fail)  # JSON has no NaN
    page = out / "report.html"
    made = page.stat().st_mtime_ns
    assert "<svg" in page.read_text()
    for command in commands:
        assert json.loads(workbench(*command, *common).stdout)["unchanged"] is True
    assert page.stat().st_mtime_ns == made
    assert workbench("report", *common[:-1]).stdout.splitlines()[-1].endswith("report.html")


@pytest.mark.slow
def test_an_interrupted_training_goes_on(tmp_path):
    config, out = tmp_path / "small.toml", tmp_path / "out"
    config.write_text(SMALL.replace('["FTRLProximal"]', '["LightGBM", "Ensemble"]'))
    assert workbench("simulate", "--symbols", "6", "--days", "30", "--daily", "120", "--out", str(out)).returncode == 0
    command = [sys.executable, "-m", "workbench.cli", "train", "--out", str(out), "--config", str(config)]
    running = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while len(list((out / "cells").glob("*.npz"))) < 3:
        assert time.monotonic() < deadline
        assert running.poll() is None
        time.sleep(0.05)
    running.send_signal(2)
    _, told = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "goes on where it stopped" in told
    kept = {p.name: p.stat().st_mtime_ns for p in (out / "cells").glob("*.npz")}
    done = workbench("train", "--out", str(out), "--config", str(config), "--json")
    assert done.returncode == 0, done.stderr
    assert {name: (out / "cells" / name).stat().st_mtime_ns for name in kept} == kept


@pytest.mark.slow
def test_damaged_results_are_told_put_aside_and_made_again(tmp_path):
    """A flipped byte, a deleted file: the message names the command that mends it, and that command does."""
    settings = Settings().change(training={"families": ["FTRLProximal"], "segments": 2, "max_rows": 4000, "jobs": 1})
    steps.simulate(steps.Job.open(tmp_path, settings), symbols=4, days=25, daily=80)

    def again(*names: str) -> dict:
        return {name: getattr(steps, name)(steps.Job.open(tmp_path)) for name in names}

    later = ("train", "blend", "calibrate", "backtest", "report")
    done = again(*later)
    flip(next(tmp_path.glob("models/*/oof/5m.parquet")))
    flip(next(tmp_path.glob("blenders/*/gates.json")))
    flip(tmp_path / "backtest" / "1.npz")
    (tmp_path / "report.html").unlink()
    told = workbench("report", "--out", str(tmp_path))
    assert told.returncode == 2
    assert "run `workbench backtest` again" in told.stderr
    with pytest.raises(ArtifactError, match=r"5m\.parquet was changed") as error:
        again("backtest")
    assert f"`workbench train --out {tmp_path}` puts it aside" in error.value.__notes__[0]
    assert json.dumps(again(*later)) == json.dumps(done)
    for folder in ("models", "blenders"):
        assert len(list(tmp_path.glob(f"{folder}/.*.damaged1"))) == 1
    (tmp_path / "backtest" / "2.npz").unlink()
    assert again("backtest") == {"backtest": done["backtest"]}
    shutil.rmtree(next(tmp_path.glob("models/[!.]*/manifest.json")).parent)
    assert again("train") == {"train": done["train"]}
