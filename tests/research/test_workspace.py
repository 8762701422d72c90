"""The record of what is up to date: nothing runs twice, nothing stale is kept, nothing half-written is believed."""

from __future__ import annotations

import json

import pytest

from workbench.config import Settings
from workbench.core.errors import ConfigError, WorkbenchError
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


def test_writes_are_whole(tmp_path):
    path = tmp_path / "steps.json"
    write_atomically(path, json.dumps({"a": 1}))
    assert json.loads(path.read_text()) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]
