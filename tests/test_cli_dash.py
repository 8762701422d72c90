"""`workbench dash` as it is typed: users, and what it refuses to start."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from workbench.cli import app
from workbench.core.errors import WorkbenchError

WORDS = "correct horse battery"


@pytest.fixture(autouse=True)
def secrets(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setenv("WORKBENCH_DASH_SECRETS", str(tmp_path / "secrets"))
    return tmp_path / "secrets"


def typed(*args: str, answers: str = "") -> str:
    """What `workbench dash ARGS` prints; errors of ours are raised."""
    done = CliRunner().invoke(app, ["dash", *args], input=answers)
    if isinstance(done.exception, WorkbenchError):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


def test_users_are_added_listed_and_removed(secrets):
    assert "nobody" in typed("user", "list")
    added = typed("user", "add", "ann", "--role", "operator", "--password-stdin", answers=WORDS + "\n")
    assert added == "ann is operator\n"
    assert typed("user", "add", "octocat", "--no-password") == "octocat is viewer\n"
    listed = [line.split()[:3] for line in typed("user", "list").splitlines()]
    assert listed == [["ann", "operator", "password"], ["octocat", "viewer", "elsewhere"]]
    assert typed("user", "remove", "ann") == "ann is removed\n"
    told = json.loads((secrets / "dash_users.json").read_text())
    assert list(told["users"]) == ["octocat"]


def test_a_password_is_asked_for_twice_and_not_shown(secrets):
    from workbench.dash.users import Users

    told = typed("user", "add", "ann", answers=f"{WORDS}\nanother password\n{WORDS}\n{WORDS}\n")
    assert WORDS not in told
    assert "do not match" in told
    assert Users.load(secrets).check("ann", WORDS)


@pytest.mark.parametrize(
    ("args", "answers", "told"),
    [
        (("user", "add", "ann", "--password-stdin"), "short\n", "the password has 5 characters; 12 to 256"),
        (("user", "add", "ann", "--role", "boss", "--no-password"), "", "role 'boss' is unknown"),
        (("user", "add", "ann", "--no-password", "--password-stdin"), "", "contradict each other"),
        (("user", "add", "ann", "--role", "god"), "", "role 'god' is unknown"),
        (("user", "add", "an n"), "", "user name 'an n' cannot be used"),
        (("user", "add", "ann"), "", "no password was given, so nobody was added"),
        (("--address", "300.1.1.1"), "", "--address 300.1.1.1 is no address of this machine"),
        (("user", "remove", "ann"), "", "there is no user 'ann'"),
        (("--origin", "*"), "", r"--origin '\*' is not HOST:PORT"),
        (("--origin", "https://desk.example:443"), "", "is not HOST:PORT"),
        (("--certificate", "none.pem"), "", "--certificate none.pem is no file"),
        (("--certificate", __file__), "", "--certificate and --key-file belong together"),
        (("--address", "0.0.0.0"), "", "nobody has a password yet; `workbench dash user add NAME --role operator`"),
        (("--oauth", "githob"), "", "--oauth githob is unknown: choose from"),
        (("--oauth", "github"), "", "--oauth github needs PANEL_OAUTH_KEY, PANEL_OAUTH_SECRET in the environment"),
    ],
)
def test_wrong_input_gives_one_clear_sentence(args, answers, told):
    with pytest.raises(WorkbenchError, match=told) as caught:
        typed(*args, answers=answers)
    assert "\n" not in str(caught.value)


def test_a_name_that_exists_is_refused_before_the_password_is_asked_for():
    typed("user", "add", "ann", "--no-password")
    done = CliRunner().invoke(app, ["dash", "user", "add", "ann"], input=f"{WORDS}\n{WORDS}\n")
    assert "user 'ann' exists" in str(done.exception)
    assert "Password" not in done.output


def test_a_user_who_comes_by_oauth_alone_does_not_open_the_door_to_other_machines():
    typed("user", "add", "octocat", "--no-password")
    with pytest.raises(WorkbenchError, match="nobody has a password yet"):
        typed("--address", "0.0.0.0")


def test_a_users_file_that_others_can_read_stops_the_start(secrets):
    typed("user", "add", "octocat", "--no-password")
    (secrets / "dash_users.json").chmod(0o644)
    with pytest.raises(WorkbenchError, match="mode 0644"):
        typed("--no-browser")


def test_a_port_that_is_taken_is_named_on_one_line():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "workbench.cli", "dash", "--no-browser", "--port", str(port)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ), timeout=120)
    assert done.returncode == 2
    assert f"http://127.0.0.1:{port} cannot be served" in done.stderr
    assert "choose another --port" in done.stderr
    assert len([line for line in done.stderr.splitlines() if "check --" not in line]) == 1


@pytest.mark.parametrize("args", [(), ("user", "add"), ("user", "list"), ("user", "remove")])
def test_every_help_has_an_example(args):
    assert "Example: workbench dash" in typed(*args, "--help")
