"""A private PostgreSQL server for the tests, started from the installed binaries in a folder of its own."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest


class PrivateServer:
    """PostgreSQL on a Unix socket in `folder`; :meth:`fresh` gives the URL of a new, empty database.

    It runs without fsync, which tests of a process need not wait for: no test here cuts the power.
    """

    def __init__(self, binaries: Path, folder: Path) -> None:
        self.binaries, self.folder, self._numbers = binaries, folder, count(1)

    def call(self, program: str, *arguments: str) -> None:
        """Run one of the server's programs, as a user who is not root: they refuse to run as root."""
        who = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
        log = self.folder / "out.log"
        with log.open("ab") as out:
            done = subprocess.run(
                [self.binaries / program, *arguments], stdout=out, stderr=out, cwd=self.folder, timeout=60, **who
            )
        if done.returncode:
            raise RuntimeError(f"{program} failed: {log.read_text()[-2000:]}")

    def create(self) -> None:
        self.call("initdb", "-D", "data", "-U", "tester", "--auth=trust", "--no-sync", "-E", "UTF8")

    def start(self) -> None:
        settings = f"-k {self.folder} -c listen_addresses='' -c max_connections=30 -c fsync=off"
        self.call("pg_ctl", "-D", "data", "-w", "-o", settings, "-l", "server.log", "start")

    def stop(self) -> None:
        self.call("pg_ctl", "-D", "data", "-w", "-m", "immediate", "stop")

    def fresh(self) -> str:
        name = f"base{next(self._numbers)}"
        self.call("createdb", "-h", str(self.folder), "-U", "tester", name)
        return f"postgresql+psycopg://tester:opensesame@/{name}?host={self.folder}"


@pytest.fixture(scope="session")
def postgres() -> Iterator[PrivateServer]:
    """A running server; skipped where PostgreSQL is not installed, but a failure in continuous integration."""
    binaries = _binaries()
    if binaries is None:
        missing = "PostgreSQL (initdb, pg_ctl, createdb) is not installed: apt-get install postgresql"
        if os.environ.get("WORKBENCH_CI") == "1":
            pytest.fail(missing)
        pytest.skip(missing)
    folder = Path(tempfile.mkdtemp(prefix="pg", dir="/tmp"))
    try:
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(folder, user.pw_uid, user.pw_gid)
        server = PrivateServer(binaries, folder)
        server.create()
        server.start()
        yield server
        server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgresql"])
def fresh(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], str]:
    """Gives addresses of new, empty databases of each kind."""
    if request.param == "sqlite":
        numbers = count(1)
        return lambda: str(tmp_path / f"base{next(numbers)}.db")
    return request.getfixturevalue("postgres").fresh


def _binaries() -> Path | None:
    """The folder of the newest installed server."""
    found = shutil.which("initdb")
    candidates = [Path(found).parent] if found else []
    candidates += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name), reverse=True)
    needed = ("initdb", "pg_ctl", "createdb")
    return next((c for c in candidates if all((c / n).exists() for n in needed)), None)
