"""How long each stage takes and how often things happen: bounded, thread-safe, and plain to show."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from workbench.core.errors import DataError

KEEP = 4096
"""Newest samples of a stage from which the percentiles are taken."""
MAX_NAMES = 256
"""Stages, and counters, that there may be: names are of stages, not of orders or symbols."""


@dataclass(slots=True)
class _Stage:
    samples: deque[float] = field(default_factory=lambda: deque(maxlen=KEEP))
    count: int = 0
    unknown: int = 0
    max: float = math.nan


class Metrics:
    """Latencies by stage and counters by name, in memory.

    Percentiles are nearest-rank over the newest KEEP samples of a stage; `count` and `max` are over all of them. A NaN
    is counted as `unknown` and enters nothing else.

    >>> metrics = Metrics()
    >>> for ms in range(1, 101):
    ...     metrics.observe("decide", ms / 1000)
    >>> metrics.count("orders", 3); metrics.summary()["counters"]
    {'orders': 3}
    >>> {k: metrics.summary()["latencies"]["decide"][k] for k in ("count", "p50_s", "p95_s", "max_s")}
    {'count': 100, 'p50_s': 0.05, 'p95_s': 0.095, 'max_s': 0.1}
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stages: dict[str, _Stage] = {}  # stage -> its samples
        self._counters: Counter[str] = Counter()

    def observe(self, stage: str, seconds: float) -> None:
        """Add one latency of `stage`, in seconds; infinity is a :class:`DataError`."""
        if math.isinf(seconds):
            raise DataError(f"latency of {stage!r} is {seconds} s; give a finite time, or NaN for unknown")
        with self._lock:
            kept = self._stages.get(stage) or self._stages.setdefault(_room(self._stages, stage), _Stage())
            if math.isnan(seconds):
                kept.unknown += 1
                return
            kept.count += 1
            kept.samples.append(float(seconds))
            kept.max = seconds if math.isnan(kept.max) else max(kept.max, seconds)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Measure the block as one latency of `stage`, also where it fails."""
        start = time.perf_counter_ns()
        try:
            yield
        finally:
            self.observe(stage, (time.perf_counter_ns() - start) / 1e9)

    def count(self, name: str, by: int = 1) -> None:
        """Add `by` to the counter `name`."""
        with self._lock:
            if name not in self._counters:
                _room(self._counters, name)
            self._counters[name] += by

    def summary(self) -> dict[str, Any]:
        """``{"latencies": {stage: {count, unknown, p50_s, p95_s, p99_s, max_s}}, "counters": {name: n}}``, by name."""
        with self._lock:
            return {
                "latencies": {name: _summary(stage) for name, stage in sorted(self._stages.items())},
                "counters": dict(sorted(self._counters.items())),
            }


def _room(names: dict[str, Any], name: str) -> str:
    if len(names) >= MAX_NAMES:
        raise DataError(f"{name!r} would be name {MAX_NAMES + 1}; a metric is named by its stage, not by its content")
    return name


def _summary(stage: _Stage) -> dict[str, Any]:
    ordered = sorted(stage.samples)
    percentiles = {f"p{q}_s": _nearest_rank(ordered, q) for q in (50, 95, 99)}
    return {"count": stage.count, "unknown": stage.unknown, **percentiles, "max_s": float(stage.max)}


def _nearest_rank(ordered: list[float], percent: int) -> float:
    """The smallest sample that is not below `percent` of all; NaN without samples."""
    return ordered[-(-len(ordered) * percent // 100) - 1] if ordered else math.nan
