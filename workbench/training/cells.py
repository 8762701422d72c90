"""One cell of the walk-forward: one family on one horizon, fitted up to a cutoff, asked about one segment.

A cell is a pure function of its inputs, named by their digest. Its result is one .npz file that appears at once or
not at all, so that a killed run resumes where it was and an unchanged one reads everything back.
"""

from __future__ import annotations

import json
import os
import sys
import time
import uuid
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np

import workbench.models
from workbench.artifacts import parity_context
from workbench.core.arrays import FloatArray
from workbench.core.calendar import iso_time
from workbench.core.digest import digest
from workbench.core.errors import InsufficientDataError
from workbench.core.horizon import Horizon, horizon
from workbench.models.base import Budget, Family, Fitted
from workbench.models.brought import Brought
from workbench.models.pooled import PooledFitted, place
from workbench.models.strategies import Strategy
from workbench.stats.splits import Segment
from workbench.training.dataset import MIN_INFORMED, Rows, load_labels, load_panel, load_probabilities, predictable
from workbench.training.lessons import ROUND_TRIP, Desk, Lesson

CELL_FORMAT = 2
"""Part of every cell's digest: raise it when the meaning of a cached result changes."""

PARITY_ROWS = 6
"""Rows of each axis on which every final model records its native prediction, so that a bundle can prove itself."""

LIBRARIES = ("numpy", "scikit-learn", "lightgbm", "xgboost-cpu", "torch", "onnxruntime")
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
    `together`: the horizons learned in the same fit, this one among them, of a joint strategy; else empty.
    """

    horizon: str
    family: str
    strategy: str
    target: Target
    segment: Segment | None
    cutoff_ns: int
    together: tuple[str, ...] = ()

    @property
    def fit(self) -> tuple[Any, ...]:
        """Equal for the cells that one fit serves."""
        own = self.together or (self.horizon,)
        return self.family, self.strategy, self.target, self.segment, self.cutoff_ns, own

    @property
    def of(self) -> Horizon:
        return horizon(self.horizon)

    def __str__(self) -> str:
        part = "final" if self.segment is None else f"segment {self.segment.number}"
        what = "" if self.target == "value" else f" {self.target}"
        strategy = "" if self.strategy in ("", "single_task") else f" {self.strategy}"
        return f"{self.family}{strategy} {self.horizon}{what}, {part}"


@dataclass(frozen=True, slots=True)
class CellOptions:
    """What else decides the outcome: `cap` rows, `window` bars of a sequential model, `seed`, `budget`.

    A barrier classifier sees a third of the cap: a base rate and its drift take fewer rows than an expected return.
    """

    cap: int
    window: int
    seed: int
    budget: Budget
    device: str = "cpu"

    def cap_of(self, target: Target) -> int:
        """Rows at most for a fit of `target`."""
        return self.cap if target == "value" else max(self.cap // BARRIER_CAP_DIVISOR, MIN_CAP)

    def digest_with(self, cell: Cell, family: Family, inputs: tuple[str, ...]) -> str:
        """Name of the cell's result; `inputs` are the digests of what it learns from: panel, labels, probabilities."""
        part = cell.segment
        return digest(
            CELL_FORMAT, PARITY_ROWS, cell.horizon, cell.family, cell.strategy, cell.target, cell.cutoff_ns,
            None if part is None else (part.first, part.last), self.cap_of(cell.target), self.seed, repr(self.budget),
            self.window if family.sequential else 0, family_version(family), inputs, cell.together, self.device,
            ROUND_TRIP,
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


ROWS = (
    "workbench.training.cells",
    "workbench.training.dataset",
    "workbench.training.lessons",
    "workbench.stats.splits",
)
"""The modules that choose and weigh the rows of a fit."""


def family_version(family: Family) -> str:
    """Digest of the code that fits the family (its module, the models room, ROWS) and of the libraries beneath it.

    Editing a family of one's own refits its cells and no others. One whose code or settings cannot be read (written in
    a notebook, or a class without a `__repr__`) has another version each time, and so is never taken from the cache.
    """
    told = repr(family) if type(family).__repr__ is not object.__repr__ else uuid.uuid4().hex
    return digest(told, _source_digest(type(family).__module__), _models_digest(), _rows_digest())


def _source_digest(module: str) -> str:
    """Read anew each time: in a notebook a module may be edited and loaded again."""
    file = getattr(sys.modules.get(module), "__file__", None)
    return digest(Path(file).read_bytes()) if file and Path(file).is_file() else uuid.uuid4().hex


@cache
def _rows_digest() -> str:
    return digest(*map(_source_digest, ROWS))


@cache
def _models_digest() -> str:
    room = Path(workbench.models.__file__).parent
    shared = sorted(p for p in room.glob("*.py") if p.stem not in ("predictor", "registry", "runtime", "recorded"))
    shared += sorted((room / "networks").glob("*.py"))
    return digest(*(p.read_bytes() for p in shared), *(version(name) for name in LIBRARIES))


@dataclass(frozen=True, slots=True)
class Work:
    """One fit and the cells that it serves, as a worker gets it. `paths`: where each cell's result goes."""

    cells: tuple[Cell, ...]
    family: Family
    strategy: Strategy | None
    options: CellOptions
    paths: tuple[Path, ...]

    @property
    def first(self) -> Cell:
        return self.cells[0]


def run(work: Work, folder: Path) -> None:
    """Fit and ask `work` on the arrays mapped from `folder`; leave the result of each cell at its path."""
    start = time.process_time()
    lesson, made = _learn(work, folder)
    for cell, path, model in zip(work.cells, work.paths, made, strict=True):
        asked, desk = _asked(cell, work, folder)
        result = CellResult(np.full(len(asked), np.nan), 0, lesson.available, len(lesson))
        if isinstance(model, str):
            result = replace(result, reason=model)
        else:
            result = _ask(cell, model, desk, asked, lesson, work.family.knows_until, result)
        seconds = (time.process_time() - start) / len(work.cells)
        write_result(path, replace(result, seconds=seconds))


def _learn(work: Work, folder: Path) -> tuple[Lesson, tuple[Fitted | str, ...]]:
    """The lesson, and for every cell its model or the reason why there is none."""
    family, strategy, cell = work.family, work.strategy, work.first
    desk = _desk(cell, work, folder)
    if isinstance(family, Brought):
        family = family.on(desk.panel.names)
    shared: dict[str, Any] = {"seed": work.options.seed, "budget": work.options.budget, "threads": 1,
                              "device": work.options.device}  # fmt: skip
    if not cell.together or strategy is None:
        lesson = desk.one(family, strategy, load_labels(folder / f"labels-{cell.horizon}"), cell.target, cell.cutoff_ns)
        shared["classify"] = cell.target != "value"
        teach = family.fit
    else:
        tables = [load_labels(folder / f"labels-{h}") for h in cell.together]
        lesson = (desk.shared if family.shares else desk.pooled)(family, strategy, tables, cell.cutoff_ns)
        teach = family.fit_tasks if family.shares else family.fit  # type: ignore[assignment]
    if family.knows_until >= cell.cutoff_ns:
        late = f"{family.name} knows data up to {iso_time(family.knows_until)}, too late for {cell}"
        return lesson, (late,) * len(work.cells)
    try:
        made = teach(lesson.x, lesson.y, lesson.weight, gap=lesson.gap, context=lesson.context,
                     auxiliary=lesson.auxiliary, **shared)  # fmt: skip
    except InsufficientDataError as error:
        return lesson, (str(error),) * len(work.cells)
    if not cell.together:
        return lesson, (made,)
    if family.shares:
        models = dict(zip(cell.together, made, strict=True))
        return lesson, tuple(models[c.horizon] for c in work.cells)
    width = desk.panel.values.shape[2]
    return lesson, tuple(PooledFitted(made, width, place(c.of), family.linear) for c in work.cells)


def _desk(cell: Cell, work: Work, folder: Path) -> Desk:
    panel, share = load_panel(folder / ("days" if cell.of.is_day else "bars"))
    length = work.options.window if work.family.sequential else 0
    needed = work.strategy is not None and "p_peak" in work.strategy.context
    probabilities = load_probabilities(folder, cell.horizon) if needed else None
    return Desk(panel, share, length, work.options.cap_of(cell.target), probabilities)


def _asked(cell: Cell, work: Work, folder: Path) -> tuple[Rows, Desk]:
    desk = _desk(cell, work, folder)
    if cell.segment is None:
        return NO_ROWS, desk
    return predictable(load_labels(folder / f"labels-{cell.horizon}"), desk.share, cell.segment), desk


def _ask(
    cell: Cell, model: Fitted, desk: Desk, asked: Rows, lesson: Lesson, knows_until: int, result: CellResult
) -> CellResult:
    prediction = model.predict(desk.inputs(asked, lesson.context)) if len(asked) else np.empty(0)
    until = max(lesson.fitted_until, knows_until)
    result = replace(result, prediction=prediction, fitted_until=until, info=model.info)
    if cell.segment is not None:
        return result
    rows = parity_rows(desk.share)
    native = model.predict(desk.inputs(rows, lesson.context, parity_context(lesson.context, len(rows))))
    return replace(result, files=model.files(), parity=native)


def parity_rows(share: FloatArray) -> Rows:
    """At most PARITY_ROWS rows of a panel, spread in time, of those that a model may learn from."""
    bar, column = np.nonzero(share >= MIN_INFORMED)
    pick = np.linspace(0, len(bar) - 1, min(PARITY_ROWS, len(bar))).astype(int)
    return Rows(bar[pick], column[pick])


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
