"""Percentiles agree with their definition, memory is bounded, threads lose nothing."""

from __future__ import annotations

import json
import math
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.core.errors import DataError
from workbench.metrics import KEEP, MAX_NAMES, Metrics


@given(st.lists(st.floats(-1e3, 1e6), min_size=1, max_size=300))
def test_percentiles_are_nearest_rank(seconds) -> None:
    metrics = Metrics()
    for s in seconds:
        metrics.observe("x", s)
    found = metrics.summary()["latencies"]["x"]
    assert (found["count"], found["max_s"]) == (len(seconds), max(seconds))
    for q in (50, 95, 99):
        value = found[f"p{q}_s"]
        assert value in seconds
        assert sum(s <= value for s in seconds) * 100 >= q * len(seconds)
        assert sum(s < value for s in seconds) * 100 < q * len(seconds)


def test_only_the_newest_samples_are_kept_but_all_are_counted() -> None:
    metrics = Metrics()
    for i in range(KEEP + 10):
        metrics.observe("x", 1e9 if i == 0 else 1.0)
    found = metrics.summary()["latencies"]["x"]
    assert (found["count"], found["p99_s"], found["max_s"]) == (KEEP + 10, 1.0, 1e9)


def test_unknown_is_counted_and_infinity_refused() -> None:
    metrics = Metrics()
    metrics.observe("x", math.nan)
    found = metrics.summary()["latencies"]["x"]
    assert (found["count"], found["unknown"]) == (0, 1)
    assert all(math.isnan(found[k]) for k in ("p50_s", "p95_s", "p99_s", "max_s"))
    with pytest.raises(DataError, match="latency of 'x' is inf s; give a finite time"):
        metrics.observe("x", math.inf)


def test_a_failing_block_is_measured_too() -> None:
    metrics = Metrics()
    with pytest.raises(ZeroDivisionError), metrics.timed("x"):
        _ = 1 / 0
    with metrics.timed("x"):
        pass
    found = metrics.summary()["latencies"]["x"]
    assert found["count"] == 2
    assert 0 <= found["p50_s"] <= found["max_s"]


def test_threads_lose_nothing_and_the_summary_is_plain() -> None:
    metrics = Metrics()

    def work() -> None:
        for _ in range(500):
            metrics.count("n")
            metrics.observe("x", 1.0)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    summary = json.loads(json.dumps(metrics.summary()))
    assert summary["counters"] == {"n": 2000}
    assert summary["latencies"]["x"]["count"] == 2000


def test_names_are_bounded() -> None:
    metrics = Metrics()
    for i in range(MAX_NAMES):
        metrics.observe(f"s{i}", 1.0)
        metrics.count(f"c{i}")
    metrics.count("c0")
    metrics.observe("s0", 1.0)
    with pytest.raises(DataError, match=f"'more' would be name {MAX_NAMES + 1}"):
        metrics.observe("more", 1.0)
    with pytest.raises(DataError, match="not by its content"):
        metrics.count("more")
