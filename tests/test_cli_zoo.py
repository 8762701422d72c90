"""`workbench zoo add`, `promote` and `rollback`: help, JSON, passphrases that stay secret."""

from __future__ import annotations

import json
import logging
import pickle
import shutil

import numpy as np
import pytest
import typer
from onnx import TensorProto, helper, numpy_helper
from typer.testing import CliRunner

from workbench import cli_zoo
from workbench.artifacts.signing import TRUSTED
from workbench.cli_zoo import promote, rollback, zoo_app
from workbench.config import Settings
from workbench.core.errors import ArtifactError, ConfigError
from workbench.research import steps
from workbench.research.brought_models import brought_models
from workbench.research.promotion_key import PASSPHRASE_FILE

SECRET = "correct horse battery"
FAMILY = {"families": ["FTRLProximal"], "segments": 2, "max_rows": 4000, "jobs": 1}

app = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode=None)
app.add_typer(zoo_app, name="zoo")
app.command()(promote)
app.command()(rollback)


def run(*args: object, fails: type[Exception] | None = None):
    done = CliRunner().invoke(app, [str(a) for a in args])
    if fails is None:
        assert done.exit_code == 0, (done.output, done.exception)
    else:
        assert isinstance(done.exception, fails), done.exception
    return done


@pytest.fixture(autouse=True)
def outside_jupyter(monkeypatch, tmp_path):
    for name in ("JPY_PARENT_PID", "JPY_SESSION_NAME", "JUPYTER_SERVER_URL", PASSPHRASE_FILE, TRUSTED):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """A market, trained and calibrated."""
    root = tmp_path_factory.mktemp("job")
    job = steps.Job.open(root, Settings().change(training=FAMILY, blending={"force_slope": 0.5}))
    steps.simulate(job, symbols=4, days=25, daily=80, ic=0.1)
    for step in (steps.train, steps.blend, steps.calibrate):
        step(job)
    return root


@pytest.fixture
def model(tmp_path):
    weights = numpy_helper.from_array(np.ones(2, np.float32), "w")
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (("f", ["n", 2]), ("y", ["n"])))
    graph = helper.make_graph([helper.make_node("MatMul", ["f", "w"], ["y"])], "g", [x], [y], [weights])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    (tmp_path / "mine.onnx").write_bytes(made.SerializeToString())
    (tmp_path / "schema.json").write_text('["ret_1", "gap"]')
    return tmp_path / "mine.onnx"


@pytest.mark.parametrize("command", [["zoo", "add"], ["promote"], ["rollback"]])
def test_help_has_examples_and_json(command):
    text = run(*command, "--help").output
    assert f"Example: workbench {' '.join(command)}" in text
    assert "--json" in text


def test_promotion_takes_no_passphrase_as_an_argument():
    assert "--pass" not in run("promote", "--help").output


def test_a_model_is_added_and_told(workspace, model):
    told = run("zoo", "add", model, "--horizon", "30m", "--horizon", "5m", "--schema", model.parent / "schema.json",
               "--fitted-until", "2025-01-31", "--out", workspace, "--json").stdout  # fmt: skip
    outcome = json.loads(told)
    assert outcome["horizons"] == ["5m", "30m"]
    assert outcome["knows_until"] == "2025-02-01T04:59:59Z"
    assert [f.name for f in brought_models(workspace)] == ["mine"]
    text = run("zoo", "add", model, "--horizon", "30m", "--schema", model.parent / "schema.json", "--name", "Other",
               "--out", workspace).stdout  # fmt: skip
    assert "model" in text
    assert "Other" in text


def test_bad_input_is_an_error_of_ours(workspace, model):
    run("zoo", "add", model, "--horizon", "30m", "--out", workspace, fails=ConfigError)  # no schema
    run("zoo", "add", model, "--horizon", "31m", "--out", workspace, fails=ConfigError)
    run("zoo", "add", model, "--horizon", "30m", "--fitted-until", "soon", "--out", workspace, fails=ConfigError)
    assert run("zoo", "add", model, fails=SystemExit).exit_code == 2  # a horizon must be named


def test_a_pickle_needs_the_flag(workspace, tmp_path):
    (tmp_path / "m.joblib").write_bytes(pickle.dumps([1]))
    add = ("zoo", "add", tmp_path / "m.joblib", "--horizon", "30m", "--out", workspace)
    assert "can run any code" in str(run(*add, fails=ArtifactError).exception)
    assert "holds a list" in str(run(*add, "--trust-pickle", fails=ArtifactError).exception)


def test_a_key_is_made_and_a_trained_bundle_promoted_without_a_word_of_the_passphrase(
    workspace, tmp_path, monkeypatch, caplog
):
    """What the real steps left is promoted; the passphrase is in no output, log or file but its own."""
    caplog.set_level(logging.DEBUG)
    secret = tmp_path / "secret"
    secret.write_text(SECRET + "\n")
    secret.chmod(0o600)
    monkeypatch.setenv(PASSPHRASE_FILE, str(secret))
    made = run("promote", "--new-key", "--out", workspace, "--json")
    key = json.loads(made.stdout)
    assert key["private"] == str(tmp_path / "config" / "workbench" / "promotion.key")
    done = run("promote", "--out", workspace, "--note", "J. Doe", "--json")
    told = json.loads(done.stdout)
    assert told["key"] == key["key"]
    assert (workspace / "blenders" / "PROMOTED").read_text().strip() == told["bundle"]
    assert told["data_origin"] == "embedded"
    run("promote", "--new-key", "--out", workspace, fails=ConfigError)  # never overwritten
    said = made.output + done.output + caplog.text
    assert SECRET not in said
    for path in (p for p in tmp_path.rglob("*") if p.is_file() and p != secret):
        assert SECRET.encode() not in path.read_bytes()


@pytest.fixture
def signing(workspace, tmp_path, monkeypatch) -> None:
    """A key, and its passphrase in a file; nothing is promoted yet."""
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    monkeypatch.setenv(PASSPHRASE_FILE, str(secret))
    run("promote", "--new-key")
    shutil.rmtree(workspace / "blenders" / "signatures", ignore_errors=True)
    (workspace / "blenders" / "PROMOTED").unlink(missing_ok=True)


def test_the_checks_are_shown_before_anything_is_signed(workspace, signing):
    done = run("promote", "--out", workspace, "--json")
    assert json.loads(done.stdout)["verdict"] == "unsure"
    assert "is unsure\n  passed  truncation probe: " in done.stderr
    assert "  unsure  shadow decisions: not asked" in done.stderr
    assert "what is unsure has not passed" in done.stderr


def test_automation_decides_nothing(workspace, signing):
    refused = run("promote", "--out", workspace, "--automatic", fails=ArtifactError)
    assert "is unsure and is not promoted by itself" in str(refused.exception)
    for more in (("--note", "x"), ("--despite", "x"), ("--bundle", "x"), ("--new-key",)):
        refused = run("promote", "--out", workspace, "--automatic", *more, fails=ConfigError)
        assert "--automatic takes --out and --key only" in str(refused.exception)
    bundle = json.loads(run("promote", "--out", workspace, "--json").stdout)["bundle"]
    told = run("promote", "--out", workspace, "--automatic", "--json").stdout
    assert json.loads(told) == {"promoted": "nothing: the candidate is in force already"}
    assert (workspace / "blenders" / "PROMOTED").read_text().strip() == bundle


def test_the_history_and_the_way_back(workspace, signing):
    assert "nothing was ever promoted" in run("rollback", "--out", workspace, "--list").stdout
    run("rollback", "--out", workspace, fails=ArtifactError)
    bundle = json.loads(run("promote", "--out", workspace, "--note", "J. Doe", "--json").stdout)["bundle"]
    (line,) = json.loads(run("rollback", "--out", workspace, "--list", "--json").stdout)["changes"]
    assert (line["bundle"], line["note"], line["what"], line["state"]) == (bundle, "J. Doe", "promotion", "in force")
    assert bundle in run("rollback", "--out", workspace, "--list").stdout
    first = run("rollback", "--out", workspace, fails=ArtifactError)
    assert f"before {bundle} nothing was in force" in str(first.exception)
    both = run("rollback", "--out", workspace, "--list", "--to", bundle, fails=ConfigError)
    assert "--list changes nothing" in str(both.exception)
    (workspace / "blenders" / "PROMOTED").unlink()
    back = json.loads(run("rollback", "--out", workspace, "--to", bundle, "--json").stdout)
    assert (back["bundle"], back["instead_of"]) == (bundle, None)
    assert "an engine that runs goes on" in back["running"]


def test_a_failed_probe_of_the_real_records_is_not_promoted(workspace, tmp_path, monkeypatch):
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    monkeypatch.setenv(PASSPHRASE_FILE, str(secret))
    run("promote", "--new-key", "--out", workspace)
    records = workspace / "steps.json"
    whole = records.read_text()
    spoilt = json.loads(whole)
    spoilt["train"]["outcome"]["probe"]["passed"] = False
    records.write_text(json.dumps(spoilt))
    failed = run("promote", "--out", workspace, fails=ArtifactError)
    records.write_text(whole)
    assert "truncation probe" in str(failed.exception)


def test_the_passphrase_is_asked_for_twice_when_a_key_is_made(workspace, tmp_path, monkeypatch):
    answers = iter([SECRET, SECRET + "!", SECRET, SECRET, "wrong pass"])
    monkeypatch.setattr(cli_zoo.getpass, "getpass", lambda text: next(answers))
    run("promote", "--new-key", "--out", workspace, fails=ConfigError)  # no terminal: CliRunner's standard input
    monkeypatch.setattr(cli_zoo, "_keyboard", lambda: True)
    differ = run("promote", "--new-key", "--out", workspace, fails=ConfigError)
    assert "the two passphrases differ" in str(differ.exception)
    assert not (tmp_path / "config").exists()
    run("promote", "--new-key", "--out", workspace)
    wrong = run("promote", "--out", workspace, fails=ConfigError)
    assert "wrong passphrase" in str(wrong.exception)
    assert "wrong pass " not in str(wrong.exception)
