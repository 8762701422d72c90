"""Every line is one JSON object with its context, the files stay bounded, and nothing secret is in any of them."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.logs import MAX_ITEMS, MAX_TEXT, LogError, bound, clean, is_secret, logger, logging_to, redact

ACCOUNTS = ("U1234567", "U12345678", "DU7654321", "DF1928374", "F1928374", "DUSIM000001", "DUSIMabc42")
PASSWORD = "hunter2correct"


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_context_stands_on_every_line_of_the_block(tmp_path) -> None:
    path = tmp_path / "deep" / "engine.log"
    with logging_to(path, stderr=False):
        log = logger("workbench.engine", session="s1")
        with bound(cycle=7):
            with bound(order_ref="main-7-AAA"):
                log.info("order sent", quantity=10)
            logging.getLogger("some.library").warning("from %s", "elsewhere")
        log.warning("after")
        log.debug("below the level")
    logger().error("after the block")
    first, second, third = lines(path)
    assert {k: first[k] for k in ("event", "session", "cycle", "order_ref", "quantity", "level", "logger")} == {
        "event": "order sent", "session": "s1", "cycle": 7, "order_ref": "main-7-AAA", "quantity": 10,
        "level": "info", "logger": "workbench.engine",
    }  # fmt: skip
    assert (second["event"], second["cycle"], second["logger"]) == ("from elsewhere", 7, "some.library")
    assert "order_ref" not in second
    assert (third["event"], third["session"], "cycle" in third) == ("after", "s1", False)
    assert first["timestamp"].endswith("Z")


@pytest.mark.parametrize("account", ACCOUNTS)
@pytest.mark.parametrize(
    "around", ["{}", "account {} is", "({})", "x={},", "ref_{}_7", "{}.AAA", '"{}"', "{}\n", "{}x"]
)
def test_account_ids_keep_their_ends(account, around) -> None:
    shown = redact(around.format(account))
    assert account not in shown
    assert f"{account[:2]}***" in shown
    assert account[2:-2] not in shown


@pytest.mark.parametrize(
    "text", ["UPRO bought 1234567 shares", "8f0a1234567c", "EURUSD", "U123", "order DAY 5", "AU1234567"]
)
def test_what_is_no_account_stays(text) -> None:
    assert redact(text) == text


@pytest.mark.parametrize(
    "text",
    [
        f"postgresql+psycopg://ann:{PASSWORD}@db:5432/x",
        f"postgresql://ann:{PASSWORD}@b@db/x",
        f"redis://:{PASSWORD}@db",
        f"https://{PASSWORD}@host/",
        f"connection to 'postgresql://ann:{PASSWORD}@db/x' failed",
        f"host=db user=ann password={PASSWORD} dbname=x",
        f"password='{PASSWORD} {PASSWORD}'",
        f'{{"db_password": "{PASSWORD}"}}',
        f"{{'token': '{PASSWORD}'}}",
        f"Authorization: Bearer {PASSWORD}",
        f"api_key={PASSWORD}",
        f"key={PASSWORD}&x=1",
        f"SECRET_TOKEN: {PASSWORD}",
        f"postgresql://db/x?password={PASSWORD}",
        f"PGPASSWORD={PASSWORD}",
    ],
)
def test_credentials_in_text(text) -> None:
    assert PASSWORD not in redact(text)
    assert "***" in redact(text)


def test_values_of_secret_names_are_hidden_at_every_depth() -> None:
    hidden = (
        "password",
        "Passwd",
        "db_password",
        "secret",
        "clientSecret",
        "token",
        "API-Token",
        "key",
        "hmac_key",
        "keys",
    )
    for name in hidden:
        assert is_secret(name), name
        assert clean({"a": [{name: {"deep": PASSWORD}}]}) == {"a": [{name: "***"}]}
    for name in ("symbol", "monkey", "keyword", "tokyo", "order_ref", "cycle"):
        assert not is_secret(name), name
    assert clean({"x": (1, 2.5, None, True, "t")}) == {"x": [1, 2.5, None, True, "t"]}


def test_lines_are_strict_json_and_long_lists_are_cut() -> None:
    assert clean({"a": float("nan"), "b": [float("-inf")]}) == {"a": "nan", "b": ["-inf"]}
    assert len(clean(list(range(10_000)))) == len(clean(dict.fromkeys(range(10_000)))) == MAX_ITEMS


class Thing:
    def __repr__(self) -> str:
        return f"Thing(account=U1234567, password={PASSWORD})"


def chained(account: str) -> None:
    try:
        raise ValueError(f"postgresql://ann:{PASSWORD}@db/x refused {account}")
    except ValueError as error:
        failure = RuntimeError(f"account {account} cannot trade")
        failure.add_note(f"token={PASSWORD}")
        raise failure from error


def log_everything(account: str) -> None:
    log = logger(account=account)
    log.info(f"hello {account}", thing=Thing(), nested={"a": [account, {"password": PASSWORD}]}, **{account: 1})
    log.info("args %s %s", account, Thing())
    logging.getLogger("library").info("account %s url %s", account, f"https://u:{PASSWORD}@h/")
    logging.getLogger("library").info({"account": account, "token": PASSWORD})
    with bound(session=account, token=PASSWORD):
        log.warning("bound")
    try:
        chained(account)
    except RuntimeError:
        log.exception("failed")
        logging.getLogger("library").exception("failed %s", account)
        log.error("failed", exc_info=True, stack_info=True)


@pytest.mark.parametrize("account", ACCOUNTS)
def test_nothing_leaks_into_file_or_stderr(tmp_path, capsys, account) -> None:
    path = tmp_path / "engine.log"
    with logging_to(path):
        log_everything(account)
    for text in (path.read_text(), capsys.readouterr().err):
        assert account not in text
        assert "U1234567" not in text
        assert PASSWORD not in text
        assert len(text.splitlines()) == 8
        assert "RuntimeError" in text
        assert "ValueError" in text


def test_a_library_that_tells_of_each_of_its_steps_does_not_fill_the_log(tmp_path) -> None:
    """An idle scheduler wrote 200 MB a day, with the one alert among it."""
    path = tmp_path / "log.jsonl"
    with logging_to(path, stderr=False):
        logging.getLogger("apscheduler.executors.default").info("Running job Scheduler._look")
        logging.getLogger("papermill").info("Executing Cell 3")
        logging.getLogger("apscheduler.scheduler").warning("Run time of job was missed")
    (line,) = path.read_text().splitlines()
    assert "was missed" in line


def test_uncaught_errors_of_threads_and_of_the_program_are_logged_redacted(tmp_path, capsys) -> None:
    path = tmp_path / "engine.log"
    before = sys.excepthook, threading.excepthook
    with logging_to(path):
        thread = threading.Thread(target=chained, args=("DU7654321",))
        thread.start()
        thread.join()
        try:
            chained("DU7654321")
        except RuntimeError:
            sys.excepthook(*sys.exc_info())
    assert (sys.excepthook, threading.excepthook) == before
    for text in (path.read_text(), capsys.readouterr().err):
        assert text.count("uncaught error") == 2
        assert "DU7654321" not in text
        assert PASSWORD not in text


secrets = st.text("abcXYZ0189!#$%+~", min_size=6, max_size=12)


@given(secrets, st.text(max_size=20), st.text(max_size=20))
def test_any_password_in_a_url_is_hidden(secret, before, after) -> None:
    hidden = "qq" + secret + "zz"
    for text in (f"{before} postgresql://u:{hidden}@h/ {after}", f"{before} password={hidden} {after}"):
        assert hidden not in redact(text)


@given(st.sampled_from(["U", "DU", "DF", "DUSIM"]), st.integers(10_000, 10**9), st.text(max_size=10))
def test_any_account_is_hidden_and_redaction_is_stable(prefix, number, after) -> None:
    account = f"{prefix}{number}"
    shown = redact(f"at {account} {after}")
    assert account not in shown
    assert redact(shown) == shown


def test_files_and_lines_stay_bounded(tmp_path) -> None:
    path = tmp_path / "engine.log"
    with logging_to(path, max_bytes=20_000, files=3, stderr=False):
        log = logger()
        for i in range(300):
            log.info("x" * 500, i=i)
        log.info("y" * 1_000_000)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["engine.log", "engine.log.1", "engine.log.2"]
    assert all(p.stat().st_size <= 20_000 for p in tmp_path.iterdir())
    last = lines(path)[-1]["event"]
    assert "the middle of 1000000 characters is left out" in last
    assert len(last) < MAX_TEXT + 100


@pytest.mark.parametrize("part", ["y", "://", "password=", 'key="', "a_", "U1234567", "key: ", "://@", "pwd  "])
def test_hostile_text_takes_no_long_time(part) -> None:
    assert len(clean(part * (1_000_000 // len(part)))) < MAX_TEXT + 100


def test_a_secret_at_the_cut_is_hidden_before_it_is_cut(tmp_path) -> None:
    for shift in range(12):
        text = "x" * (MAX_TEXT // 2 - shift - 1) + " U1234567 " + "y" * MAX_TEXT
        assert "U1234" not in clean(text)


def test_a_log_that_cannot_be_written_fails_nobody_and_tells_nothing(capsys) -> None:
    with logging_to("/dev/full"):
        for _ in range(3):
            logger().info("account U1234567")
    told = capsys.readouterr().err
    assert told.count("the log /dev/full lost a record: OSError; later losses are not told") == 1
    assert told.count("U1***67") == 3, "stderr still has every line"
    assert "U1234567" not in told


BROKEN = """
import sys
from workbench.logs import logger, logging_to
class Broken:
    def __repr__(self):
        raise ValueError("hunter2correct")
with logging_to(sys.argv[1]):
    logger().info("first", thing=Broken())
    logger().info("second")
"""


def test_what_cannot_be_shown_costs_its_own_line_alone(tmp_path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BROKEN, tmp_path / "x.log"], capture_output=True, text=True, timeout=60
    )
    assert [x["event"] for x in lines(tmp_path / "x.log")] == ["second"]
    assert done.returncode == 0
    assert "lost a record: ValueError" in done.stderr
    assert PASSWORD not in done.stderr


def test_bad_places(tmp_path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(LogError, match=r"log file .* cannot be opened: .*; give a path"),
        logging_to(tmp_path / "file" / "x"),
    ):
        pass
    with pytest.raises(LogError, match="cannot rotate; give 2 files or more"), logging_to(tmp_path / "x", files=1):
        pass
    assert not any(type(h).__module__ == "workbench.logs" for h in logging.getLogger().handlers)
