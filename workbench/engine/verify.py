"""`workbench verify`: did live do what research promised? Two verdicts over a journaled session.

1. Features and stages 4 to 9: the journaled events through the feature engine, and the journaled forecasts through
   decide(), must give the journaled decisions bit for bit.
2. Forecasts: inferred again they must be equal bit for bit under the recorded runtime, threads and instruction set;
   under another they are "not comparable", never "equal".

The first difference is named by stage, symbol and bar.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import numpy as np

from workbench.core.calendar import iso_time
from workbench.core.machine import instruction_sets
from workbench.core.types import Decision, Forecasts, Snapshot
from workbench.decision.pipeline import decide
from workbench.engine.replay import Recorded, replay_session
from workbench.engine.session import without_windows
from workbench.journal import SqlJournal

# field of a Decision -> the stage that computes it
STAGE = {
    "forecasts": "3 predictions", "alphas": "4 blending", "costs": "5 costs", "choice": "6 arbitration",
    "gate": "7 gating", "desired": "8 sizing", "target": "9 validation", "breaches": "9 validation",
    "carry": "carry", "snapshot_digest": "2 features", "config_digest": "configuration",
    "artifacts_digest": "artifacts", "known_at": "clock", "symbols": "universe",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Difference:
    """Where two runs part: `stage`, `symbol` (empty: not of one symbol), the bar's end, and both values as text."""

    stage: str
    what: str
    symbol: str
    bar: str
    journaled: str
    again: str

    def __str__(self) -> str:
        where = f"{self.stage}, {self.what}{f', {self.symbol}' if self.symbol else ''}, bar {self.bar}"
        return f"{where}: {self.journaled} journaled, {self.again} now"


@dataclass(frozen=True, slots=True)
class Verdict:
    """`decisions` compared; `first` difference of the stages, and of the forecasts; `comparable` forecasts."""

    session: str
    decisions: int
    first: Difference | None
    first_forecast: Difference | None
    comparable: bool
    runtime: str

    @property
    def stages(self) -> str:
        """Verdict 1 in a word."""
        if not self.decisions:
            return "nothing to compare"
        return "equal" if self.first is None else "different"

    @property
    def forecasts(self) -> str:
        """Verdict 2 in a word."""
        if not self.decisions:
            return "nothing to compare"
        if not self.comparable:
            return "not comparable"
        return "equal" if self.first_forecast is None else "different"


class _Journaled:
    """A predictor that says again what was journaled."""

    def __init__(self, forecasts: Forecasts) -> None:
        self._forecasts = forecasts

    def predict(self, snapshot: Snapshot) -> Forecasts:
        return self._forecasts


def verify_session(journal: SqlJournal, session: str) -> Verdict:
    """Both verdicts for `session`."""
    about = journal.last("engine", session=session)
    recorded_runtime = "" if about is None else str(about.payload.get("runtime", ""))
    comparable = recorded_runtime == runtime()
    first = first_forecast = None
    count = 0
    for item in replay_session(journal, session):
        count += 1
        first = first or _stages(item)
        if comparable and first_forecast is None:
            first_forecast = _forecasts(item)
    return Verdict(session, count, first, first_forecast, comparable, recorded_runtime)


def runtime() -> str:
    """What forecasts may depend on beside their inputs: ONNX Runtime, NumPy, instruction sets, threads."""
    import onnxruntime

    flags = "+".join(instruction_sets() or ["unknown"])
    return f"onnxruntime {onnxruntime.__version__}, numpy {np.__version__}, {flags}, {os.cpu_count()} cores"


def _stages(item: Recorded) -> Difference | None:
    bar = iso_time(item.decision.known_at)
    for path, symbol, was, now in differences(item.journaled, without_windows(item.snapshot), item.decision.symbols):
        return Difference("2 features", path, symbol, bar, was, now)
    stages = replace(item.system.stages, predictor=_Journaled(item.decision.forecasts))
    again = decide(item.snapshot, item.book, stages)
    if again.digest == item.digest == item.decision.digest:
        return None
    return _first(item.decision, again, bar) or Difference(
        "decision", "digest", "", bar, item.digest[:16], again.digest[:16]
    )


def _forecasts(item: Recorded) -> Difference | None:
    again = item.system.stages.predictor.predict(item.snapshot)
    for path, symbol, was, now in differences(item.decision.forecasts, again, item.decision.symbols):
        return Difference("3 predictions", path, symbol, iso_time(item.decision.known_at), was, now)
    return None


def _first(was: Decision, now: Decision, bar: str) -> Difference | None:
    """The first stage, in the order of the pipeline, that differs."""
    for name, stage in STAGE.items():
        for path, symbol, a, b in differences(getattr(was, name), getattr(now, name), was.symbols):
            return Difference(stage, f"{name}{f'.{path}' if path else ''}", symbol, bar, a, b)
    return None


def differences(was: Any, now: Any, symbols: tuple[str, ...], path: str = "") -> Iterator[tuple[str, str, str, str]]:
    """(path, symbol, was, now) of every leaf that is not equal bit for bit; arrays by their first differing element.

    >>> a, b = np.array([1.0, 2.0]), np.array([1.0, 2.5])
    >>> list(differences({"x": a}, {"x": b}, ("A", "B")))
    [('x', 'B', '2.0', '2.5')]
    """
    if isinstance(was, np.ndarray) and isinstance(now, np.ndarray):
        yield from _array_difference(was, now, symbols, path)
    elif is_dataclass(was) and type(was) is type(now):
        for f in fields(was):
            yield from differences(getattr(was, f.name), getattr(now, f.name), symbols, _join(path, f.name))
    elif isinstance(was, dict) and isinstance(now, dict):
        for key in sorted({*was, *now}, key=str):
            yield from differences(was.get(key), now.get(key), symbols, _join(path, str(key)))
    elif isinstance(was, float) and isinstance(now, float):
        if np.float64(was).tobytes() != np.float64(now).tobytes():
            yield path, "", repr(was), repr(now)
    elif isinstance(was, tuple) and isinstance(now, tuple) and len(was) == len(now):
        for i, (a, b) in enumerate(zip(was, now)):
            yield from differences(a, b, symbols, _join(path, str(i)))
    elif was != now:
        yield path, "", str(was)[:80], str(now)[:80]


def _array_difference(
    was: np.ndarray, now: np.ndarray, symbols: tuple[str, ...], path: str
) -> Iterator[tuple[str, str, str, str]]:
    if was.shape != now.shape or was.dtype != now.dtype:
        yield path, "", f"{was.dtype}{was.shape}", f"{now.dtype}{now.shape}"
        return
    same = (was == now) | (np.isnan(was) & np.isnan(now)) if was.dtype.kind == "f" else was == now
    if was.dtype.kind == "f":
        same &= np.signbit(was) == np.signbit(now)
    if same.all():
        return
    at = tuple(int(k) for k in np.argwhere(~same)[0])
    axis = [k for k, size in enumerate(was.shape) if size == len(symbols)]
    by_row = "features" in path or "daily" in path  # (N, F); everything else has its symbols last
    symbol = symbols[at[axis[0 if by_row else -1]]] if axis else ""
    place = f"{path}[{', '.join(map(str, at))}]" if len(at) > 1 or not symbol else path
    yield place, symbol, str(was[at]), str(now[at])


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
