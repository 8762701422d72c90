"""Structured logs: one JSON object per line, to a bounded file and to stderr, with nothing secret in them.

``session``, ``cycle`` and ``order_ref`` are bound with :func:`bound` and stand on every line of the block. Account ids
keep their first and last two characters; user and password in URLs and the values of names like password, secret,
token or key are replaced: in messages, values, nested values and the texts of exceptions, of our own records and of
every library that logs. Logging never fails the caller: what cannot be written is told once on stderr.
"""

from __future__ import annotations

import json
import logging
import math
import re
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager, suppress
from itertools import islice
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

import structlog

from workbench.core.errors import WorkbenchError

MAX_TEXT = 8_000
"""Characters of one value; the middle of a longer one is left out."""

MAX_ITEMS = 200
CHATTY = ("apscheduler", "papermill")
"""Libraries that tell of each of their steps; only their warnings are kept."""

_ACCOUNT = re.compile(r"(?<![A-Za-z0-9])(?:(?i:DUSIM)[A-Za-z0-9]+|(?i:DU|U)\d{4,}|(?:DF|DI|F|I)\d{4,})")
_URL = re.compile(r"(://)[^\s\"'<>]{0,1000}@")
_SECRET_WORDS = r"passw(?:or)?d|passwd|passphrase|pwd|secret|token|credentials?|authori[sz]ation|api[_-]?key"
_ASSIGNED = re.compile(
    rf"""(?i)((?:{_SECRET_WORDS}|(?<![a-z])key)s?(?:[_-][a-z0-9_-]{{0,40}})?["']?\s{{0,9}}[=:]\s{{0,9}}"""
    r"""(?:(?:bearer|basic)\s{1,9})?)("[^"]{0,1000}"|'[^']{0,1000}'|[^\s,;&)}\]]{1,1000})"""
)
_SECRET_NAME = re.compile(rf"{_SECRET_WORDS}|(?<![a-z])keys?(?![a-z])")
_HIDDEN = "***"
_WINDOW = 4 * MAX_TEXT  # characters from each end of a longer text that are looked at


class LogError(WorkbenchError):
    """The log file cannot be opened."""


def redact(text: str) -> str:
    """`text` without account ids, credentials in URLs and secrets given as ``name=value``.

    >>> redact("U1234567 and DUSIM000001 at postgresql://ann:hunter2@db/x, password=hunter2")
    'U1***67 and DU***01 at postgresql://***@db/x, password=***'
    """
    text = _URL.sub(rf"\1{_HIDDEN}@", text)
    text = _ASSIGNED.sub(rf"\1{_HIDDEN}", text)
    return _ACCOUNT.sub(lambda found: f"{found[0][:2]}{_HIDDEN}{found[0][-2:]}", text)


def clean_text(text: str) -> str:
    """`text` redacted and at most about MAX_TEXT long; the time it takes is bounded too."""
    if len(text) > 2 * _WINDOW:  # a word cut in two could hide from the patterns: both its parts go
        head, tail = text[:_WINDOW].rpartition(" ")[0], text[-_WINDOW:].partition(" ")[2]
        return _join(redact(head), redact(tail), len(text))
    text = redact(text)
    return text if len(text) <= MAX_TEXT else _join(text, text, len(text))


def is_secret(name: str) -> bool:
    """Whether a value called `name` must not be shown.

    >>> [is_secret(n) for n in ("password", "apiKey", "hmac_key", "API_TOKEN", "monkey", "cycle")]
    [True, True, True, True, False, False]
    """
    return bool(_SECRET_NAME.search(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()))


def clean(value: Any) -> Any:
    """`value` as JSON types, redacted throughout; whatever JSON cannot hold, NaN too, becomes its redacted text.

    Of more than MAX_ITEMS values in one place the first are kept.
    """
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(float(value))
    if isinstance(value, str):
        return clean_text(str(value))
    if isinstance(value, Mapping):
        return {clean_text(str(k)): _HIDDEN if is_secret(str(k)) else clean(v) for k, v in _first(value.items())}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [clean(v) for v in _first(value)]
    return clean_text(repr(value))


def logger(name: str = "workbench", **context: Any) -> Any:
    """A structlog logger with `context` on each line; it writes where :func:`logging_to` says."""
    wrapped = structlog.wrap_logger(
        logging.getLogger(name),
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        context_class=dict,
    )
    return wrapped.bind(**context)


@contextmanager
def bound(**context: Any) -> Iterator[None]:
    """Put `context` (``session``, ``cycle``, ``order_ref``) on each line that this thread logs in the block."""
    with structlog.contextvars.bound_contextvars(**context):
        yield


@contextmanager
def logging_to(
    path: str | Path, *, level: str = "INFO", max_bytes: int = 10_000_000, files: int = 5, stderr: bool = True
) -> Iterator[None]:
    """Inside the block the whole process logs to `path` (at most `files` of `max_bytes`) and to stderr.

    Uncaught errors of the main and of other threads are logged too, instead of being printed as they are.
    """
    root, before = logging.getLogger(), logging.getLogger().level
    handlers = _handlers(Path(path), max_bytes, files, stderr)
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(level)
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    hooks = sys.excepthook, threading.excepthook
    sys.excepthook, threading.excepthook = (
        _log_uncaught,
        lambda a: _log_uncaught(a.exc_type, a.exc_value, a.exc_traceback),
    )
    try:
        yield
    finally:
        sys.excepthook, threading.excepthook = hooks
        root.setLevel(before)
        for handler in handlers:
            root.removeHandler(handler)
            handler.close()


# ---- inside ---------------------------------------------------------------------------------------------------


def _handlers(path: Path, max_bytes: int, files: int, stderr: bool) -> list[logging.Handler]:
    if max_bytes < 1 or files < 2:
        raise LogError(
            f"a log of {files} files of {max_bytes} bytes cannot rotate; give 2 files or more, of 1 byte or more"
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handlers: list[logging.Handler] = [_File(path, maxBytes=max_bytes, backupCount=files - 1, encoding="utf-8")]
    except OSError as error:
        raise LogError(f"log file {path} cannot be opened: {error}; give a path that this user may write") from error
    if stderr:
        handlers.append(_Stream(sys.stderr))
    for handler in handlers:
        handler.setFormatter(_formatter())
    return handlers


def _formatter() -> logging.Formatter:
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.contextvars.merge_contextvars],
        processors=[
            *shared,
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            _redact_event,
            structlog.processors.JSONRenderer(serializer=json.dumps),
        ],
    )


def _redact_event(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The last step before the line is written: whatever came together is redacted."""
    return dict(clean(event))


class _Quiet:
    """A failure to log is told once, without the record: the record may hold what must not be shown."""

    _told = False

    def handleError(self, record: logging.LogRecord) -> None:
        if not self._told:
            self._told = True
            error = sys.exception()
            place = redact(str(getattr(self, "baseFilename", "stderr")))
            sys.stderr.write(f"the log {place} lost a record: {type(error).__name__}; later losses are not told\n")


class _File(_Quiet, RotatingFileHandler):
    def close(self) -> None:
        with suppress(OSError):  # what is left in the buffer of a full disk was told when it did not get there
            super().close()


class _Stream(_Quiet, logging.StreamHandler):  # type: ignore[type-arg]
    pass


def _log_uncaught(kind: Any, error: Any, traceback: Any) -> None:
    logger().critical("uncaught error", exc_info=(kind, error, traceback))


def _first(values: Iterable[Any]) -> Iterator[Any]:
    return islice(values, MAX_ITEMS)


def _join(head: str, tail: str, length: int) -> str:
    half = MAX_TEXT // 2
    return f"{head[:half]} ... the middle of {length} characters is left out ... {tail[-half:]}"
