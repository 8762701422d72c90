"""One door to a database: an SQLite file or any SQLAlchemy URL, with errors that say where, why and what to do.

SQLite runs in WAL mode with ``synchronous=FULL``, PostgreSQL never with ``synchronous_commit=off``: what a transaction
took is safe when it returns. Nothing waits longer than TIMEOUT_S. After an error the next transaction connects anew.
"""

from __future__ import annotations

import os
import re
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Connection, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import QueuePool

from workbench.core.errors import WorkbenchError

TIMEOUT_S = 10
"""Seconds that a connection attempt, a lock or a statement may take before it is an error."""


class Database:
    """A database at `address` (a path, or a SQLAlchemy URL) that holds `what`; failures are raised as `error`.

    `shown` is the address without credentials. A reader (`read_only`) cannot change anything. The file of a writer is
    created with its folder at the first transaction, never again later: a file that disappears is an error.
    """

    def __init__(self, address: str | Path, what: str, error: type[WorkbenchError], *, read_only: bool = False) -> None:
        self.what, self.read_only, self._error = what, read_only, error
        self._lock = threading.RLock()
        self._inode: tuple[int, int] | None = None
        self._opened = False
        url = self._parse(address)
        self.path = Path(url.database or "").absolute() if url.get_backend_name() == "sqlite" else None
        self.shown = str(self.path) if self.path else hide_credentials(str(url))
        self._password = url.password
        self._engine = self._make_engine(url)
        self.dialect = self._engine.dialect.name

    @contextmanager
    def writing(self, doing: str) -> Iterator[Connection]:
        """A transaction that may write, one at a time, committed after the block; `doing` completes an error's text."""
        with self._lock, self._guarded(doing), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def reading(self, doing: str) -> Iterator[Connection]:
        """A transaction that only reads and waits for no writer."""
        with self._guarded(doing), self._engine.execution_options(reading=True).begin() as connection:
            yield connection

    def close(self) -> None:
        """Close every connection; the next transaction opens the database again."""
        with self._lock:
            self._engine.dispose()

    # ---- inside -----------------------------------------------------------------------------------------------

    @contextmanager
    def _guarded(self, doing: str) -> Iterator[None]:
        try:
            self._watch_file()
            yield
            self._remember_file()
        except self._error:
            self._engine.dispose()
            raise
        except (SQLAlchemyError, OSError) as error:
            self._engine.dispose()
            raise self._error(self._explain(doing, error)) from error

    def _parse(self, address: str | Path) -> URL:
        if not str(address):
            raise self._error(f"the {self.what} has no address: give a path or a SQLAlchemy URL")
        if isinstance(address, Path) or "://" not in address:
            return URL.create("sqlite", database=str(address))
        try:
            url = make_url(address)
        except (ArgumentError, ValueError) as error:
            text = f"the {self.what}'s address {hide_credentials(address)} is no SQLAlchemy URL"
            raise self._error(f"{text}; write postgresql+psycopg://user:password@host:5432/name, or a path") from error
        if url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:"):
            raise self._error(f"a {self.what} in memory would be lost with the process; give the path of a file")
        return url.set(drivername="postgresql+psycopg") if url.drivername == "postgresql" else url

    def _make_engine(self, url: URL) -> Any:
        try:
            if self.path is not None:
                connect = partial(self._connect_sqlite, self.path)
                engine = create_engine("sqlite://", creator=connect, poolclass=QueuePool)
                event.listen(engine, "begin", _begin_sqlite)
                return engine
            postgres = url.get_backend_name() == "postgresql"
            arguments = _postgres_arguments(url, self.read_only) if postgres else {}
            return create_engine(url, connect_args=arguments, pool_pre_ping=True, hide_parameters=True)
        except (NoSuchModuleError, ModuleNotFoundError) as error:
            text = f"{self.what} {self.shown} needs a database driver that is not installed ({error})"
            raise self._error(f"{text}; for PostgreSQL: pip install 'psycopg[binary]'") from error

    def _connect_sqlite(self, path: Path) -> sqlite3.Connection:
        mode = "ro" if self.read_only else "rw" if self._opened else "rwc"
        if mode == "rwc":
            path.parent.mkdir(parents=True, exist_ok=True)
        db = sqlite3.connect(
            f"file:{quote(str(path))}?mode={mode}",
            uri=True, timeout=TIMEOUT_S, isolation_level=None, check_same_thread=False,
        )  # fmt: skip
        try:
            if not self.read_only:
                db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=FULL")
            db.execute("SELECT count(*) FROM sqlite_master")
        except sqlite3.Error:
            db.close()
            raise
        return db

    def _watch_file(self) -> None:
        """A file that was removed or replaced would go on taking records that nobody can ever read."""
        if self.path is None or self._inode is None or self._inode == _inode(self.path):
            return
        self._inode = None
        self._engine.dispose()
        if not self.read_only:
            raise FileNotFoundError("the file was removed or replaced while it was in use")

    def _remember_file(self) -> None:
        self._opened = True
        if self.path is not None and self._inode is None:
            self._inode = _inode(self.path)

    def _explain(self, doing: str, error: Exception) -> str:
        cause = str(error.orig if isinstance(error, DBAPIError) and error.orig is not None else error)
        cause = hide_credentials(" ".join(cause[:2000].split()))
        if self._password:
            cause = cause.replace(str(self._password), "***")
        return f"{self.what} {self.shown} {doing}: {cause}; {_remedy(cause, self.path)}"


def _begin_sqlite(connection: Connection) -> None:
    """Writers queue up at the start of a transaction; one that began as a reader could fail in its middle."""
    connection.exec_driver_sql("BEGIN" if connection.get_execution_options().get("reading") else "BEGIN IMMEDIATE")


_REMEDIES = (
    ("disk is full", "free space on its disk; the next attempt works as soon as there is some"),
    ("no space left", "free space on its disk; the next attempt works as soon as there is some"),
    ("readonly database", "make the file and its folder writable for this user"),
    ("read-only transaction", "use an account of the database that may write"),
    ("permission denied", "make the file and its folder accessible for this user"),
    ("unable to open", "check that the folder exists and is accessible for this user"),
    ("removed or replaced", "put the file back, or start anew with another path"),
    ("not a database", "the file is something else: move it away or give another path"),
    ("malformed", "the file is damaged: keep it, restore a copy or start anew with another path"),
    ("is locked", f"another process has written for more than {TIMEOUT_S} s: end it"),
    ("no such table", "the database holds no such tables: check the address, or open it once for writing"),
    ("does not exist", "check the name in the address, or open it once for writing"),
    ("authentication failed", "check user and password in the address"),
)


def _remedy(cause: str, path: Path | None) -> str:
    for text, remedy in _REMEDIES:
        if text in cause.lower():
            return remedy
    return "check the path and its disk" if path else "check that the server runs and that the address is right"


def _postgres_arguments(url: URL, read_only: bool) -> dict[str, Any]:
    """Arguments of psycopg by which nothing waits for ever, commits are durable and readers cannot write."""
    options = [str(url.query.get("options", "")), f"-c statement_timeout={TIMEOUT_S * 1000}"]
    options += ["-c synchronous_commit=on", f"-c lock_timeout={TIMEOUT_S * 1000}"]
    if read_only:
        options.append("-c default_transaction_read_only=on")
    return {
        "connect_timeout": TIMEOUT_S,
        "tcp_user_timeout": TIMEOUT_S * 1000,
        "options": " ".join(o for o in options if o),
    }


def queue_up(connection: Connection, key: int) -> None:
    """Until the end of this transaction no other that names the same `key` goes on (SQLite's writers wait anyway)."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({int(key)})")


def hide_credentials(text: str) -> str:
    """`text` with the user and password of every URL in it, and values of secret-looking settings, replaced by ``***``.

    >>> hide_credentials("postgresql://bob:pass@db/journal?password=x")
    'postgresql://***@db/journal?password=***'
    """
    text = re.sub(r"(://)[^\s\"'<>]{0,1000}@", r"\1***@", text)
    return re.sub(r"(?i)((?:passw|passphrase|secret|token|sslkey)[a-z_]{0,40}\s?[=:]\s?)[^\s&;,]+", r"\1***", text)


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
