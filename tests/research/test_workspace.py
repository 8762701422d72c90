"""The record of what is up to date: nothing runs twice, nothing stale is kept, nothing half-written is believed."""

from __future__ import annotations

import json

import pytest

from workbench.config import Settings
from workbench.core.errors import ArtifactError, ConfigError, WorkbenchError
from workbench.research.job import Job
from workbench.research.workspace import Workspace, write_atomically


def test_a_step_with_the_same_inputs_runs_once(tmp_path):
    ws = Workspace(tmp_path)
    calls = []
    work = lambda: calls.append(1) or {"rows": 3}  # noqa: E731
    assert ws.run("data", ["a"], work) == {"rows": 3}
    assert ws.run("data", ["a"], work) == {"rows": 3, "unchanged": True}
    assert ws.run("data", ["b"], work) == {"rows": 3}
    assert len(calls) == 2


def test_a_changed_step_forgets_the_later_ones(tmp_path):
    ws = Workspace(tmp_path)
    for step in ("data", "train", "blend"):
        ws.run(step, ["a"], dict)
    ws.run("train", ["b"], dict)
    assert sorted(ws.records) == ["data", "train"]


def test_a_lost_product_is_made_again(tmp_path):
    ws = Workspace(tmp_path)
    product = tmp_path / "product"
    ws.run("data", ["a"], lambda: {"n": product.write_text("first")}, (product,))
    ws.run("data", ["a"], lambda: {"n": product.write_text("not run")}, (product,))
    assert product.read_text() == "first"
    product.unlink()
    ws.run("data", ["a"], lambda: {"n": product.write_text("again")}, (product,))
    assert product.read_text() == "again"


def test_an_interrupted_step_leaves_no_record(tmp_path):
    ws = Workspace(tmp_path)

    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ws.run("data", ["a"], interrupted)
    assert ws.records == {}


def test_a_missing_step_names_its_command(tmp_path):
    with pytest.raises(WorkbenchError, match="run `workbench train` first"):
        Workspace(tmp_path).outcome("train")
    with pytest.raises(WorkbenchError, match="`workbench simulate` or `workbench import`"):
        Workspace(tmp_path).outcome("data")


def test_the_folder_keeps_its_settings(tmp_path):
    Workspace(tmp_path, Settings().change(gating={"g_min": 0.3}))
    assert Workspace(tmp_path).settings.gating.g_min == 0.3
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(ConfigError, match="is a file"):
        Workspace(file)
    with pytest.raises(ConfigError, match="is a file"):
        Workspace(file / "below")


def test_the_profile_is_applied_and_not_written_down(tmp_path):
    """What a profile caps must not look like the user's own choice to the next profile."""
    assert Job.open(tmp_path, Settings().change(training={"profile": "demo"})).settings.training.max_rows == 80_000
    full = Workspace(tmp_path).settings.change(training={"profile": "full"})
    assert Job.open(tmp_path, full).settings.training.max_rows == 5_000_000
    assert Job.open(tmp_path).settings.training.max_rows == 5_000_000


def test_a_damaged_record_says_what_to_do(tmp_path):
    (tmp_path / "steps.json").write_text('{"x')
    with pytest.raises(ArtifactError, match="delete it and run the steps again"):
        Workspace(tmp_path).outcome("train")


def test_what_is_not_intact_is_made_again(tmp_path):
    ws = Workspace(tmp_path)
    ws.run("data", ["a"], lambda: {"n": 1})
    assert "unchanged" not in ws.run("data", ["a"], lambda: {"n": 1}, intact=lambda outcome: outcome["n"] != 1)
    assert ws.run("data", ["a"], lambda: {"n": 2}, intact=lambda outcome: True) == {"n": 1, "unchanged": True}


def test_writes_are_whole(tmp_path):
    path = tmp_path / "steps.json"
    write_atomically(path, json.dumps({"a": 1}))
    assert json.loads(path.read_text()) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]
