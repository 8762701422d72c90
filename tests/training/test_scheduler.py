"""Where fits run changes nothing: a real Dask cluster, one worker of it killed, against the local run."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from workbench.core.errors import ConfigError
from workbench.training import pool
from workbench.training.cells import Cell, Work
from workbench.training.scheduler import Scheduler
from workbench.training.walkforward import train


@pytest.mark.parametrize(
    "where", ["dask://10.0.0.7:8786", "dask://example.org:8786", "tcp://127.0.0.1:8786", "dask://127.0.0.1", "8786",
              "dask://127.0.0.1:99999", "dask://user@127.0.0.1:8786", "dask://127.0.0.1.evil.org:8786", ""],
)  # fmt: skip
def test_only_loopback_or_tls(where):
    with pytest.raises(ConfigError, match=r"not this machine.*tls://|is no address"):
        Scheduler.at(where)


@pytest.mark.parametrize(
    "where", ["dask://127.0.0.1:1", "dask://localhost:8786", "dask://[::1]:8786", "tls://10.0.0.7:8786"]
)
def test_addresses_that_may_be_used(where):
    assert Scheduler.at(where).address.startswith("tls://" if where.startswith("tls") else "tcp://")


def test_a_scheduler_that_does_not_answer_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:1"):
        list(Scheduler.at("dask://127.0.0.1:1").map(_touch, [_Task((tmp_path / "a",))], tmp_path))


def test_a_worker_with_several_threads_fits_one_model_at_a_time(monkeypatch, tmp_path):
    """torch has one source of random numbers per process: two fits side by side would draw from it in turn."""
    inside, most = [], []

    def fit(work, folder):
        inside.append(work)
        time.sleep(0.02)
        most.append(len(inside))
        inside.remove(work)

    monkeypatch.setattr(pool, "run", fit)
    tasks = [Work((cell,), None, None, None, ()) for cell in (Cell(h, "F", "", "value", None, 0) for h in ("5m", "1d"))]
    threads = [threading.Thread(target=pool._one, args=(task, tmp_path)) for task in tasks * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1, 1, 1, 1]


class _Task:
    def __init__(self, paths):
        self.paths = paths


def _touch(task, folder):
    for path in task.paths:
        path.touch()
    return task


@pytest.fixture
def cluster():
    import distributed

    with distributed.LocalCluster(
        n_workers=3, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address=None, silence_logs=50
    ) as cluster:
        yield cluster


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # sockets of the worker that was killed
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.slow
def test_a_cluster_that_loses_a_worker_gives_the_same_as_one_process(small, tmp_path, cluster):
    training = {"families": ("FTRLProximal", "LSTM"), "strategies": ("single_task", "multi_task", "cascade")}
    settings = small.settings.change(training=training, system={"horizons": ("5m", "30m")})
    m = small.market

    def run(settings, cells: Path):
        return train(m.bars, m.daily, small.history, small.labels, settings, cells)

    there = settings.change(training={"scheduler": cluster.scheduler_address.replace("tcp", "dask")})
    killed = []

    def kill_one():
        while not list((tmp_path / "there").glob("*.npz")):
            time.sleep(0.02)
        pid = next(iter(cluster.workers.values())).pid
        os.kill(pid, signal.SIGKILL)
        killed.append(pid)

    killer = threading.Thread(target=kill_one, daemon=True)
    killer.start()
    ours = run(there, tmp_path / "there")
    killer.join(timeout=5)
    assert killed
    local = run(settings, tmp_path / "here")
    assert {k: o.digest for k, o in ours.oofs.items()} == {k: o.digest for k, o in local.oofs.items()}
    assert [(x.key, x.target, dict(x.files)) for x in ours.models] == [
        (x.key, x.target, dict(x.files)) for x in local.models
    ]
    assert {p.name for p in (tmp_path / "there").glob("*.npz")} == {p.name for p in (tmp_path / "here").glob("*.npz")}
