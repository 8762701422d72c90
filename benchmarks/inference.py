"""What a cycle of forecasts costs: the shipped bundle for 100 symbols, against the same kinds of models in the
libraries that fitted them.

Claim: asking all models of the demo bundle about 100 symbols is cheaper than asking each model in its own library,
because one call serves all symbols and ONNX Runtime has less overhead per call than a training library.

    python benchmarks/inference.py [--cycles 40] [--json]

Prints, for each family, the median milliseconds per cycle of both, and their ratio with its spread (10th to 90th
percentile over cycles, the two measured in turn within every cycle).
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np

from workbench.artifacts import load_models
from workbench.models.base import BarrierKey, Budget, Fitted, RuntimeModel
from workbench.models.registry import FAMILIES
from workbench.models.windows import WindowView
from workbench.research.demo_bundle import DEMO_BUNDLE

SYMBOLS, ROWS = 100, 3000


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--cycles", type=int, default=40, help="cycles measured (default 40)")
    parser.add_argument("--json", action="store_true", help="print the table as JSON")
    arguments = parser.parse_args()
    bundle = load_models(DEMO_BUNDLE / "models")
    pairs = list(_pairs({**bundle.models, **bundle.barriers}))
    rows = measure(pairs, arguments.cycles)
    if arguments.json:
        print(json.dumps(rows, indent=1))
        return
    print(f"{len(pairs)} models of the demo bundle, {SYMBOLS} symbols, {arguments.cycles} cycles, one thread each")
    print(f"{'family':<16}{'models':>7}{'bundle ms':>11}{'native ms':>11}{'native / bundle':>18}   10 % .. 90 %")
    for r in rows:
        print(f"{r['family']:<16}{r['models']:>7}{r['bundle_ms']:>11.2f}{r['native_ms']:>11.2f}{r['ratio']:>18.2f}   "
              f"{r['ratio_p10']:.2f} .. {r['ratio_p90']:.2f}")  # fmt: skip


def _pairs(models: dict[Any, RuntimeModel]) -> Any:
    """(family, exported model, the same kind of model in its own library, inputs for both)."""
    rng = np.random.default_rng(0)
    native: dict[Any, Fitted] = {}  # (family, task, features, length) -> a fit of that shape
    for key, model in models.items():
        shape = key.family, isinstance(key, BarrierKey), model.n_features, model.length
        if shape not in native:
            native[shape] = _fit(*shape, rng)
        yield key.family, model, native[shape], _inputs(model.n_features, model.length, SYMBOLS, rng)


def _fit(family: str, classify: bool, features: int, length: int, rng: Any) -> Fitted:
    x = _inputs(features, length, ROWS, rng)
    latest = x.latest() if isinstance(x, WindowView) else x
    y = latest[:, 0] + rng.standard_normal(ROWS)
    return FAMILIES[family].fit(x, (y > 0).astype(float) if classify else y, seed=0, classify=classify,
                                budget=Budget.named("demo"))  # fmt: skip


def _inputs(features: int, length: int, rows: int, rng: Any) -> Any:
    if not length:
        return rng.standard_normal((rows, features)).astype(np.float32)
    bars = rows // SYMBOLS + length
    bar, column = np.divmod(np.arange(rows), SYMBOLS)
    values = rng.standard_normal((bars, SYMBOLS, features)).astype(np.float32)
    return WindowView(values, np.arange(bars) % 78, bar + length - 1, column, length)


def measure(pairs: list[Any], cycles: int) -> list[dict[str, Any]]:
    """A row per family and one for all."""
    spent: dict[str, list[list[float]]] = defaultdict(lambda: [[], []])  # family -> [bundle, native] seconds per cycle
    for _ in range(cycles + 2):
        cycle: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        for family, model, fitted, x in pairs:
            window = x.batch() if isinstance(x, WindowView) else x
            times = _timed(lambda: model.predict(window)), _timed(lambda: fitted.predict(x))  # noqa: B023
            for name in (family, "all"):
                cycle[name] = [a + b for a, b in zip(cycle[name], times, strict=True)]
        for name, (ours, theirs) in cycle.items():
            spent[name][0].append(ours)
            spent[name][1].append(theirs)
    return [_row(name, *(np.array(t[2:]) for t in both), pairs) for name, both in spent.items()]


def _row(name: str, ours: Any, theirs: Any, pairs: list[Any]) -> dict[str, Any]:
    low, middle, high = np.percentile(theirs / ours, (10, 50, 90))
    count = sum(name in ("all", family) for family, *_ in pairs)
    return {"family": name, "models": count, "bundle_ms": 1e3 * float(np.median(ours)),
            "native_ms": 1e3 * float(np.median(theirs)), "ratio": float(middle), "ratio_p10": float(low),
            "ratio_p90": float(high)}  # fmt: skip


def _timed(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
