"""One cell of the walk-forward: one family on one horizon, fitted up to a cutoff, asked about one segment.

A cell is a pure function of its inputs, named by their digest. Its result is one .npz file that appears at once or
not at all, so that a killed run resumes where it was and an unchanged one reads everything back.
"""

from __future__ import annotations

import json
import os
import sys
import time
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np

import workbench.models
from workbench.core.arrays import FloatArray
from workbench.core.digest import digest
from workbench.core.errors import InsufficientDataError
from workbench.core.horizon import Horizon, horizon
from workbench.models.base import Budget, Family, Fitted, Inputs
from workbench.models.strategies import SingleTask
from workbench.models.windows import WindowView
from workbench.stats.splits import Segment
from workbench.training.dataset import (
    MIN_INFORMED,
    Panel,
    Rows,
    Sample,
    load_labels,
    load_panel,
    predictable,
    sample,
)
from workbench.training.labels import Labels

CELL_FORMAT = 1
"""Part of every cell's digest: raise it when the meaning of a cached result changes."""

PARITY_ROWS = 6
"""Rows of each axis on which every final model records its native prediction, so that a bundle can prove itself."""

LIBRARIES = ("numpy", "scikit-learn", "lightgbm", "torch")
"""Another version of one of these may fit other numbers."""

BARRIER_CAP_DIVISOR = 3
MIN_CAP = 500

NO_ROWS = Rows(np.empty(0, np.int64), np.empty(0, np.int64))

ABOUT = ("fitted_until", "available", "used", "reason", "seconds")
"""What a cached result says about itself in JSON."""

Target = Literal["value", "peak", "valley"]


@dataclass(frozen=True, slots=True)
class Cell:
    """What is fitted (`family`, `strategy`, `target` of `horizon`), on labels before `cutoff_ns`, for `segment`.

    `segment` None is the final model: fitted on everything before `cutoff_ns`, kept in the bundle, asked nothing.
    """

    horizon: str
    family: str
    strategy: str
    target: Target
    segment: Segment | None
    cutoff_ns: int

    @property
    def of(self) -> Horizon:
        return horizon(self.horizon)

    def __str__(self) -> str:
        part = "final" if self.segment is None else f"segment {self.segment.number}"
        what = "" if self.target == "value" else f" {self.target}"
        return f"{self.family} {self.horizon}{what}, {part}"


@dataclass(frozen=True, slots=True)
class CellOptions:
    """What else decides the outcome: `cap` rows, `window` bars of a sequential model, `seed`, `budget`.

    A barrier classifier sees a third of the cap: a base rate and its drift take fewer rows than an expected return.
    """

    cap: int
    window: int
    seed: int
    budget: Budget

    def cap_of(self, target: Target) -> int:
        """Rows at most for a fit of `target`."""
        return self.cap if target == "value" else max(self.cap // BARRIER_CAP_DIVISOR, MIN_CAP)

    def digest_with(self, cell: Cell, family: Family, inputs: tuple[str, ...]) -> str:
        """Name of the cell's result; `inputs` are the digests of the panel and of the labels."""
        part = cell.segment
        return digest(
            CELL_FORMAT, PARITY_ROWS, cell.horizon, cell.family, cell.strategy, cell.target, cell.cutoff_ns,
            None if part is None else (part.first, part.last), self.cap_of(cell.target), self.seed, repr(self.budget),
            self.window if family.sequential else 0, family_version(family), inputs,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class CellResult:
    """`prediction` (R,) over the segment's predictable rows: sigmas of return, or P(touched first); NaN abstains.

    `fitted_until`: last moment the model knows of (0 when nothing was fitted). `reason`: why nothing was fitted, or
    empty. `seconds` of processor time. `files`, `parity`: of a final model, else empty.
    """

    prediction: FloatArray
    fitted_until: int
    available: int
    used: int
    reason: str = ""
    seconds: float = 0.0
    info: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)
    parity: FloatArray = field(default_factory=lambda: np.empty(0))


ROWS = ("workbench.training.cells", "workbench.training.dataset", "workbench.stats.splits")
"""The modules that choose and weigh the rows of a fit."""


def family_version(family: Family) -> str:
    """Digest of the code that fits the family (its module, the models room, ROWS) and of the libraries beneath it.

    Editing a family of one's own refits its cells and no others.
    """
    return digest(repr(family), _source_digest(type(family).__module__), _models_digest(), *map(_source_digest, ROWS))


@cache
def _source_digest(module: str) -> str:
    file = getattr(sys.modules.get(module), "__file__", None)
    return digest(Path(file).read_bytes()) if file and Path(file).is_file() else module


@cache
def _models_digest() -> str:
    room = Path(workbench.models.__file__).parent
    shared = sorted(p for p in room.glob("*.py") if p.stem not in ("predictor", "registry", "runtime", "recorded"))
    shared += sorted((room / "networks").glob("*.py"))
    return digest(*(p.read_bytes() for p in shared), *(version(name) for name in LIBRARIES))


def run_cell(cell: Cell, family: Family, strategy: SingleTask, options: CellOptions, folder: Path, path: Path) -> None:
    """Fit and ask `cell` on the arrays mapped from `folder`; leave the result at `path`."""
    panel, share = load_panel(folder / ("days" if cell.of.is_day else "bars"))
    labels = load_labels(folder / f"labels-{cell.horizon}")
    start = time.process_time()
    taken = sample(labels, cell.target, share, cell.cutoff_ns, options.cap_of(cell.target))
    asked = NO_ROWS if cell.segment is None else predictable(labels, share, cell.segment)
    result = CellResult(np.full(len(asked), np.nan), 0, taken.available, len(taken.rows))
    try:
        fitted = _fit(cell, family, strategy, options, panel, labels, taken)
    except InsufficientDataError as error:
        write_result(path, replace(result, reason=str(error)))
        return
    length = options.window if family.sequential else 0
    prediction = fitted.predict(inputs(panel, asked, length)) if len(asked) else np.empty(0)
    result = replace(result, prediction=prediction, fitted_until=taken.fitted_until, info=fitted.info)
    if cell.segment is None:
        native = fitted.predict(inputs(panel, parity_rows(share), length))
        result = replace(result, files=fitted.files(), parity=native)
    write_result(path, replace(result, seconds=time.process_time() - start))


def _fit(
    cell: Cell, family: Family, strategy: SingleTask, options: CellOptions, panel: Panel, labels: Labels, taken: Sample
) -> Fitted:
    x = inputs(panel, taken.rows, options.window if family.sequential else 0)
    shared: dict[str, Any] = {"seed": options.seed, "budget": options.budget, "gap": taken.gap, "threads": 1}
    if cell.target != "value":
        return family.fit(x, taken.target, taken.weight, classify=True, **shared)
    return strategy.fit(family, x, taken.target, taken.rows.of(labels.sigma_h), taken.weight, **shared)


def parity_rows(share: FloatArray) -> Rows:
    """At most PARITY_ROWS rows of a panel, spread in time, of those that a model may learn from."""
    bar, column = np.nonzero(share >= MIN_INFORMED)
    pick = np.linspace(0, len(bar) - 1, min(PARITY_ROWS, len(bar))).astype(int)
    return Rows(bar[pick], column[pick])


def inputs(panel: Panel, rows: Rows, length: int) -> Inputs:
    """(R, F) float32 features, or the windows of `length` bars that end on `rows`."""
    if length:
        return WindowView(panel.values, panel.bar_of_session, rows.bar, rows.column, length)
    return rows.of(panel.values)


def write_result(path: Path, result: CellResult) -> None:
    """Write atomically: a reader, or a crash, sees the whole result or none."""
    about = {name: getattr(result, name) for name in ABOUT} | {"info": dict(result.info), "files": sorted(result.files)}
    arrays: dict[str, Any] = {
        "prediction": result.prediction,
        "parity": result.parity,
        "about": np.frombuffer(json.dumps(about, default=_plain).encode(), np.uint8),
    }
    for i, name in enumerate(sorted(result.files)):
        arrays[f"file{i}"] = np.frombuffer(result.files[name], np.uint8)
    scratch = path.with_name(f".{path.name}.{os.getpid()}.part")
    with scratch.open("wb") as f:
        np.savez(f, allow_pickle=False, **arrays)
    os.replace(scratch, path)


def read_result(path: Path) -> CellResult | None:
    """The result at `path`; None when there is none or it cannot be read (it is then made again)."""
    try:
        with path.open("rb") as f, np.load(f, allow_pickle=False) as z:
            about = json.loads(z["about"].tobytes())
            about["files"] = {name: z[f"file{i}"].tobytes() for i, name in enumerate(about["files"])}
            return CellResult(prediction=z["prediction"], parity=z["parity"], **about)
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
        return None


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} in a model's info; use numbers and strings")
