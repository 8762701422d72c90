"""Where fits run: in this process, in worker processes of this machine, or on a Dask cluster; always through joblib.

A cluster's workers must see the workspace at the same path (a shared file system): they map its arrays and write their
results there. A worker that dies loses the fit that it was at; the scheduler gives it to another. What is fitted does
not depend on where: every fit has its own seed and one thread.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from joblib import Parallel, delayed, parallel_config

from workbench.core.errors import ConfigError, WorkbenchError

T = TypeVar("T")

POLL_S = 0.5
_ADDRESS = re.compile(r"(?P<scheme>dask|tls)://(?P<host>\[[0-9a-fA-F:]+\]|[^:/\s]+):(?P<port>\d{1,5})")


@dataclass(frozen=True, slots=True)
class Scheduler:
    """`jobs` worker processes of this machine, or the Dask scheduler at `address` ("" for none).

    >>> Scheduler.at("dask://127.0.0.1:8786").address
    'tcp://127.0.0.1:8786'
    """

    jobs: int = 1
    address: str = ""

    @classmethod
    def at(cls, where: str) -> Scheduler:
        """The cluster of ``dask://HOST:PORT`` (HOST on loopback) or ``tls://HOST:PORT``; ConfigError for anything else.

        Dask runs any code that it is sent: without TLS it may be reached from this machine alone.
        """
        found = _ADDRESS.fullmatch(where)
        if not found or int(found["port"]) > 65535:
            raise ConfigError(f"scheduler {where!r} is no address: write dask://127.0.0.1:8786 or tls://HOST:PORT")
        if found["scheme"] == "dask" and not _is_loopback(found["host"]):
            raise ConfigError(
                f"scheduler {where}: {found['host']} is not this machine, and a Dask scheduler without TLS lets anyone "
                f"who reaches it run code: start it with certificates and write tls://{found['host']}:{found['port']}"
            )
        scheme = "tls" if found["scheme"] == "tls" else "tcp"
        return cls(address=f"{scheme}://{found['host']}:{found['port']}")

    def map(self, function: Callable[[T, Path], T], work: Sequence[T], folder: Path) -> Iterator[T]:
        """Each of `work` when ``function(it, folder)`` is done."""
        if self.address:
            yield from self._on_dask(function, work, folder)
        elif self.jobs == 1 or len(work) == 1:
            yield from (function(one, folder) for one in work)
        else:
            with parallel_config(backend="loky", inner_max_num_threads=1):
                pool = Parallel(n_jobs=self.jobs, return_as="generator_unordered", batch_size=1, max_nbytes=None)
                yield from pool(delayed(function)(one, folder) for one in work)

    def _on_dask(self, function: Callable[[T, Path], T], work: Sequence[T], folder: Path) -> Iterator[T]:
        """joblib's Dask backend returns all at once; the results on disk tell meanwhile what is done."""
        with ThreadPoolExecutor(1) as aside:
            running = aside.submit(self._gather, function, work, folder)
            waiting = list(work)
            while not running.done():
                wait([running], POLL_S)
                finished = [one for one in waiting if _on_disk(one)]
                waiting = [one for one in waiting if not _on_disk(one)] if finished else waiting
                yield from finished
            _told(running, self.address)
            yield from waiting

    def _gather(self, function: Callable[[T, Path], T], work: Sequence[T], folder: Path) -> None:
        with _client(self.address) as client:
            _refuse_unseen(client, folder, self.address)
            with parallel_config(backend="dask", scheduler_host=self.address, wait_for_workers_timeout=30):
                Parallel(batch_size=1)(delayed(_nothing)(function, one, folder) for one in work)


def _nothing(function: Callable[[Any, Path], Any], one: Any, folder: Path) -> None:
    """The result is on disk; nothing needs to travel back."""
    function(one, folder)


def _on_disk(one: Any) -> bool:
    return all(path.exists() for path in one.paths)


def _client(address: str) -> Any:
    try:
        from distributed import Client
    except ImportError:
        raise ConfigError("--scheduler needs Dask: pip install 'ib-workbench[dask]'") from None
    try:
        return Client(address, timeout=10)
    except (OSError, TimeoutError) as error:
        raise ConfigError(
            f"no Dask scheduler answers at {address}: {error}; start one with `dask scheduler`"
        ) from error


def _refuse_unseen(client: Any, folder: Path, address: str) -> None:
    """Every worker must see `folder`."""
    seen = client.run(_sees, str(folder))  # worker address -> bool
    blind = sorted(worker for worker, sees in seen.items() if not sees)
    if not seen:
        raise ConfigError(
            f"the Dask scheduler at {address} has no workers; start some with `dask worker {address} --nworkers 4 "
            "--nthreads 1` (a process fits one model at a time)"
        )
    if blind:
        raise ConfigError(
            f"Dask worker {blind[0]} does not see {folder}: put the workspace on a file system that all workers share "
            "at the same path"
        )


def _sees(folder: str) -> bool:
    return Path(folder).is_dir()


def _told(running: Future[None], address: str) -> None:
    """Re-raise what went wrong on the cluster; an error of a fit is that error itself."""
    error = running.exception()
    if error is None:
        return
    if type(error).__module__.startswith("distributed"):
        raise WorkbenchError(
            f"the Dask cluster at {address} gave up: {error}; what was fitted is kept: run the same command again"
        ) from error
    raise error


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
