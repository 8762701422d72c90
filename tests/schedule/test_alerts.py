"""Alerts: what stands in the journal, and what a webhook is told, at a receiver that listens."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from workbench.core.errors import ConfigError
from workbench.journal import JournalError
from workbench.schedule.alerts import Alerts
from workbench.schedule.history import Alert, History

NOON = 1_772_452_800 * 10**9  # 2026-03-02T12:00:00Z
ACCOUNT = "token=s3cret-of-the-desk"


class Receiver(ThreadingHTTPServer):
    """Keeps what is posted: content type and JSON. Waits for `answer` before it answers, with `status`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Keeping)
        self.told: list[tuple[str, dict[str, str]]] = []
        self.answer, self.status = threading.Event(), 200
        self.answer.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hooks/desk"


class _Keeping(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.answer.wait(20)
        self.server.told.append((self.headers["Content-Type"], json.loads(body)))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    with History(tmp_path / "desk.db") as made:
        yield made


def test_an_alert_stands_in_the_journal_and_reaches_the_webhook(history, receiver, monkeypatch) -> None:
    monkeypatch.setenv("DESK_HOOK", receiver.url)
    receiver.answer.clear()
    alerts = Alerts(history, "DESK_HOOK")
    alerts.tell(NOON, "train", "train-1", "failed: no bars")
    assert history.alerts() == (Alert(NOON, "train", "train-1", "failed: no bars"),)  # the webhook holds nothing up
    assert receiver.told == []
    receiver.answer.set()
    alerts.close()
    assert receiver.told == [
        ("application/json", {"text": "workbench, 2026-03-02T12:00:00Z: train: failed: no bars"}),
    ]


def test_a_secret_in_a_text_is_told_to_nobody(history, receiver, monkeypatch) -> None:
    monkeypatch.setenv("DESK_HOOK", receiver.url)
    alerts = Alerts(history, "DESK_HOOK")
    alerts.tell(NOON, "train", "", f"the broker refused {ACCOUNT}")
    alerts.close()
    ((_, posted),) = receiver.told
    for text in (posted["text"], history.alerts()[0].text):
        assert "s3cret-of-the-desk" not in text
        assert "the broker refused" in text


@pytest.mark.parametrize("broken", ["refuses", "gone"])
def test_a_webhook_that_does_not_take_it_fails_nothing(history, receiver, monkeypatch, broken: str) -> None:
    monkeypatch.setenv("DESK_HOOK", receiver.url)
    receiver.status = 500
    if broken == "gone":
        monkeypatch.setenv("DESK_HOOK", "http://127.0.0.1:9/hooks")  # nobody listens on discard's port
    alerts = Alerts(history, "DESK_HOOK")
    alerts.tell(NOON, "live", "live-1", "late")
    alerts.close()
    assert [a.text for a in history.alerts()] == ["late"]


@pytest.mark.parametrize("value", [None, "", "hooks.example.com/desk", "file:///etc/passwd"])
def test_a_webhook_that_is_no_address_is_refused_at_the_door(history, monkeypatch, value: str | None) -> None:
    monkeypatch.delenv("DESK_HOOK", raising=False)
    if value is not None:
        monkeypatch.setenv("DESK_HOOK", value)
    with pytest.raises(ConfigError, match="DESK_HOOK, which holds no http") as told:
        Alerts(history, "DESK_HOOK")
    assert value in (None, "") or value not in str(told.value)


def test_an_address_that_is_malformed_is_not_told_to_anybody(history, monkeypatch, capfd, caplog) -> None:
    """A space in it: the thread died with the secret path in its traceback."""
    monkeypatch.setenv("DESK_HOOK", "http://127.0.0.1:9/hooks/T0 S3CRET\n")
    alerts = Alerts(history, "DESK_HOOK")
    alerts.tell(NOON, "live", "live-1", "late")
    alerts.close()
    assert "S3CRET" not in caplog.text + "".join(capfd.readouterr())
    assert [a.text for a in history.alerts()] == ["late"]


def test_a_journal_that_does_not_take_it_keeps_nobody_from_being_told(receiver, monkeypatch) -> None:
    monkeypatch.setenv("DESK_HOOK", receiver.url)

    class Locked:
        def alert(self, alert: Alert) -> None:
            raise JournalError("journal desk.db is locked")

    alerts = Alerts(Locked(), "DESK_HOOK")  # type: ignore[arg-type]
    alerts.tell(NOON, "live", "live-1", "lost")
    alerts.close()
    assert [told["text"][-10:] for _, told in receiver.told] == ["live: lost"]
