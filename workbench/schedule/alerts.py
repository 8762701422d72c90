"""Telling people: an alert stands in the journal, where dashboards show it, and goes to a webhook if there is one."""

from __future__ import annotations

import json
import os
import threading
import time
import urllib.error
import urllib.request
from http.client import HTTPException
from urllib.parse import urlsplit

from workbench.core.calendar import iso_time
from workbench.core.errors import ConfigError
from workbench.journal import JournalError
from workbench.logs import logger, redact
from workbench.schedule.history import Alert, History

TIMEOUT_S = 10


class Alerts:
    """Writes alerts into `history`; `webhook` names an environment variable with the URL that is told too (JSON: text).

    A URL in a file that people share would be a secret there. A webhook that cannot be reached is logged: it never
    holds anything up, and never fails a job.
    """

    def __init__(self, history: History, webhook: str = "") -> None:
        self._history, self._url, self._log = history, "", logger("schedule")
        self._posts: list[threading.Thread] = []  # under way
        if webhook:
            self._url = os.environ.get(webhook, "").strip()
            if urlsplit(self._url).scheme not in ("http", "https"):
                raise ConfigError(
                    f"desk.webhook names the environment variable {webhook}, which holds no http(s) URL; set it, or "
                    "leave desk.webhook empty"
                )

    def tell(self, at: int, job: str, run: str, text: str) -> None:
        """Write an alert and pass it on."""
        told = redact(text)
        self._log.error("alert", job=job, run=run, text=told)
        try:
            self._history.alert(Alert(at, job, run, told))
        except JournalError as error:  # people are told all the same
            self._log.error("alert not journaled", error=str(error))
        if self._url:
            message = f"workbench, {iso_time(at)}: {job}: {told}"
            post = threading.Thread(target=self._post, args=(message,), name="webhook", daemon=True)
            self._posts = [*(p for p in self._posts if p.is_alive()), post]
            post.start()

    def close(self) -> None:
        """Wait for what is still being passed on, at most as long as one webhook may take."""
        until = time.monotonic() + TIMEOUT_S
        for post in self._posts:
            post.join(max(until - time.monotonic(), 0.0))

    def _post(self, message: str) -> None:
        body = json.dumps({"text": message}).encode()
        request = urllib.request.Request(self._url, body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S):  # the scheme was checked
                pass
        except HTTPException as error:  # its text may hold the address, which is a secret
            self._log.warning("webhook not reached", error=type(error).__name__)
        except (urllib.error.URLError, OSError, ValueError) as error:
            self._log.warning("webhook not reached", error=redact(str(error)))
