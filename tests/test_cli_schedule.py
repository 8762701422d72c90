"""`workbench schedule` and `workbench run-notebook` as a person types them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.schedule.books import book
from workbench.cli import app
from workbench.schedule.history import JOURNAL, Alert, History, Run, RunState
from workbench.schedule.plan import Schedule

TEXT = """
[desk]
folder = "desk"
notebooks = "books"

[[jobs]]
name = "train"
notebooks = ["one"]
at = "close+2h"
"""


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a schedule of one job, which is the working directory."""
    book(tmp_path / "books", "one", "print('n is', n)", parameters="n: int = 1  # a number")
    (tmp_path / "schedule.toml").write_text(TEXT)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, list(arguments))
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        return 1, f"{done.output}{done.exception}"
    return done.exit_code, done.output


def test_what_is_due_and_what_ran(desk: Path) -> None:
    code, told = call("schedule", "list")
    assert (code, "close+2h" in told, "one" in told) == (0, True, True)
    code, told = call("schedule", "next", "--count", "3", "--json")
    rows = json.loads(told)["next"]
    assert [r["job"] for r in rows] == ["train"] * 3
    assert [r["at"] for r in rows] == sorted(r["at"] for r in rows)
    assert call("schedule", "history") == (0, "nothing has run yet\n")
    with History(desk / "desk" / JOURNAL) as history:
        history.record(Run("train-1", "train", "2026-03-02", 10**18, state=RunState.FAILED, reason="no bars"), 1)
        history.alert(Alert(10**18, "train", "train-1", "failed: no bars"))
    code, told = call("schedule", "history", "--job", "train", "--json")
    assert [(r["run"], r["state"], r["reason"]) for r in json.loads(told)["runs"]] == [("train-1", "failed", "no bars")]
    code, told = call("schedule", "show", "train-1", "--json")
    assert json.loads(told)["alerts"][0].endswith("failed: no bars")


def test_one_notebook_now_and_once_more(desk: Path) -> None:
    code, told = call("run-notebook", "one", "-p", "n", "7", "--folder", "desk", "--json")
    assert code == 1
    assert "notebooks/one.ipynb does not exist" in told
    code, told = call("run-notebook", "books/one.ipynb", "-p", "n", "7", "--folder", "desk", "--json")
    assert code == 0, told
    ran = json.loads(told)
    assert (ran["state"], ran["reason"]) == ("succeeded", "")
    assert "n is 7" in (Path(ran["folder"]) / "01_one.html").read_text()
    with History(desk / "desk" / JOURNAL) as history:
        history.record(Run("train-1", "train", "2026-03-02", 10**18, state=RunState.FAILED), 1)
    code, told = call("schedule", "retry", "train-1", "--json")
    assert code == 0, told
    again = json.loads(told)
    assert again["state"] == "succeeded"
    assert again["run"].endswith("-2")
    code, told = call("schedule", "show", again["run"])
    assert "01_one.ipynb" in told


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("run-notebook", "books/one.ipynb", "-p", "n"), "1 parameters are named .-p. and 0 values given"),
        (("run-notebook", "books/one.ipynb", "-p", "n", "x"), "n='x' is no int"),
        (("run-notebook", "books/one.ipynb", "-p", "m", "1"), "has no parameter 'm'"),
        (("run-notebook", "books/one.ipynb", "-p", "n", "1", "-p", "n", "2"), "'n' is given twice"),
        (("schedule", "list", "--file", "nowhere.toml"), "nowhere.toml does not exist"),
        (("schedule", "history", "--job", "trian"), "Did you mean 'train'"),
        (("schedule", "show", "train-9"), "nothing has run yet"),
        (("schedule", "install",), "changes nothing on your machine: give --dry-run"),
        (("schedule", "rehearse", "--from", "2026-03-05", "--to", "2026-03-02"), "is before --from"),
        (("schedule", "rehearse", "--from", "monday", "--to", "2026-03-02"), "'monday' is no date"),
    ],
)  # fmt: skip
def test_wrong_input_is_one_clear_sentence(desk: Path, arguments: tuple[str, ...], told: str) -> None:
    import re

    code, said = call(*arguments)
    assert code != 0
    assert re.search(told, said), said


def test_a_unit_and_a_line_for_crontab_name_this_schedule(desk: Path) -> None:
    code, told = call("schedule", "install", "--dry-run")
    assert code == 0
    assert f"schedule run --file {desk / 'schedule.toml'}" in told
    assert "KillMode=process" in told
    assert f"@reboot cd {desk}" in told


def test_the_example_is_a_schedule(desk: Path) -> None:
    code, told = call("schedule", "example")
    assert code == 0
    root = Path(__file__).resolve().parents[1]
    (desk / "example.toml").write_text(told.replace('notebooks = "notebooks"', f'notebooks = "{root / "notebooks"}"'))
    schedule = Schedule.from_toml(desk / "example.toml")
    assert {j.name for j in schedule.jobs} == {"train", "candidate", "pre-open", "live", "report", "weekly"}
    assert [j.name for j in schedule.jobs if j.kind == "live"] == ["live"]
