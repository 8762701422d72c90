"""Locks that end with the process that holds them: one engine per folder, and one per account on this machine."""

from __future__ import annotations

import fcntl
import hashlib
import os
from pathlib import Path
from typing import IO

import psutil

from workbench.core.errors import WorkbenchError


class LockHeld(WorkbenchError):
    """Somebody else holds the lock."""


class FileLock:
    """An exclusive lock on `path`, held until :meth:`release` or the end of the process, however it ends."""

    def __init__(self, path: Path, what: str) -> None:
        self.path, self.what = path, what
        self._file: IO[str] | None = None

    def acquire(self) -> None:
        """Take the lock; :class:`LockHeld` names the process that has it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = self.path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            file.close()
            raise LockHeld(f"{self.what} is in use by process {holder}; end it first") from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        self._file = file

    def release(self) -> None:
        """Give the lock back."""
        if self._file is not None:
            self._file.close()
            self._file = None


def process_runs(pid: int) -> bool:
    """Whether a process of this machine has that number and has not ended."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def account_lock(account: str) -> FileLock:
    """The lock of a real account on this machine, whatever folder an engine works in."""
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    name = hashlib.sha256(account.encode()).hexdigest()[:16]
    return FileLock(state / "workbench" / f"account-{name}.lock", "the account")
