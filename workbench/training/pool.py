"""Runs fits in worker processes and keeps their results on disk under the digest of their inputs."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from joblib.externals.loky import process_executor
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from workbench.core.digest import digest
from workbench.core.errors import WorkbenchError
from workbench.models.base import Family
from workbench.models.strategies import STRATEGIES
from workbench.progress import interruptible
from workbench.training.cells import Cell, CellOptions, CellResult, Work, read_result, run
from workbench.training.dataset import Panel, save_arrays, save_labels, save_probabilities
from workbench.training.labels import Labels
from workbench.training.learning import segment_ic, told
from workbench.training.scheduler import Scheduler

Progress = Callable[[int, int, str], None]
_ONE_FIT = threading.Lock()
"""Held during a fit: a Dask worker may have several threads, but torch has one source of random numbers per process."""

Probabilities = Mapping[str, NDArray[np.float32]]
"""Horizon label -> (T, N, 2) calibrated out-of-fold p_peak and p_valley, for cascades."""


@dataclass(frozen=True, slots=True)
class Material:
    """What all fits of a run read: `panels` "bars" and "days", `labels` by horizon."""

    panels: Mapping[str, Panel]
    labels: Mapping[str, Labels]

    def digests(self, probabilities: Probabilities) -> dict[tuple[str, str], str]:
        """(kind, name) -> content digest of everything that a cell may depend on."""
        out = {("panel", k): digest(p.values, p.bar_of_session, p.names) for k, p in self.panels.items()}
        out |= {("labels", k): table.digest for k, table in self.labels.items()}
        return out | {("probabilities", k): digest(p) for k, p in probabilities.items()}


class Pool:
    """Runs cells of one run: `families`, `options` by family name; results in `cache_dir`; `total` cells for progress.

    Every result is on disk before it counts, so that a run that is killed goes on where it was.
    """

    def __init__(
        self,
        families: Mapping[str, Family],
        options: Mapping[str, CellOptions],
        material: Material,
        cache_dir: Path,
        scheduler: Scheduler,
        progress: Progress,
        total: int,
    ) -> None:
        self._families = families
        self._options = options
        self._material = material
        self._cache_dir = cache_dir
        self._scheduler = scheduler
        self._progress = progress
        self._total = total
        self._done = 0
        self._fitted = 0
        self._share = cache(lambda axis: material.panels[axis].known_share())
        cache_dir.mkdir(parents=True, exist_ok=True)

    def run(self, cells: Sequence[Cell], probabilities: Probabilities | None = None) -> dict[Cell, CellResult]:
        """Cell -> its result, in the order of `cells`; those found on disk are read, the others are fitted."""
        probabilities = probabilities or {}
        paths = self._paths(cells, probabilities)
        results = {cell: r for cell in cells if (r := read_result(paths[cell])) is not None}
        missing = [cell for cell in cells if cell not in results]
        self._done += len(results)
        if missing:
            self._progress(self._done, self._total, f"{self._done} cells from the cache" if results else "training")
            with self._arrays(probabilities) as folder, interruptible() as check:
                for finished in self._scheduler.map(_one, self._work(missing, paths), folder):
                    check()
                    self._done += len(finished.cells)
                    self._progress(self._done, self._total, self._told(finished))
        self._fitted += len(missing)
        if self._done >= self._total and not self._fitted:
            self._progress(self._done, self._total, "nothing changed")
        return {cell: results[cell] if cell in results else _made(cell, paths[cell]) for cell in cells}

    def _told(self, finished: Work) -> str:
        """What was fitted and, where it forecast a segment, how well."""
        cell, result = finished.first, read_result(finished.paths[0])
        if result is None:
            return str(cell)
        return told(cell, segment_ic(cell, result, self._material.labels[cell.horizon], self._share(_axis(cell))))

    def _work(self, missing: Sequence[Cell], paths: Mapping[Cell, Path]) -> list[Work]:
        """The fits that serve `missing`, long ones first, so that no worker starts the longest one last."""
        fits: dict[Any, list[Cell]] = {}
        for cell in missing:
            fits.setdefault(cell.fit, []).append(cell)
        work = [
            Work(tuple(served), self._families[served[0].family], STRATEGIES.get(served[0].strategy),
                 self._options[served[0].family], tuple(paths[c] for c in served))
            for served in fits.values()
        ]  # fmt: skip
        return sorted(work, key=_order)

    def _paths(self, cells: Sequence[Cell], probabilities: Probabilities) -> dict[Cell, Path]:
        known = self._material.digests(probabilities)
        out = {}
        for cell in cells:
            inputs = [known["panel", _axis(cell)], *(known["labels", h] for h in cell.together or (cell.horizon,))]
            if "p_peak" in getattr(STRATEGIES.get(cell.strategy), "context", ()):
                inputs.append(known.get(("probabilities", cell.horizon), ""))
            name = self._options[cell.family].digest_with(cell, self._families[cell.family], tuple(inputs))
            out[cell] = self._cache_dir / f"{name}.npz"
        return out

    @contextmanager
    def _arrays(self, probabilities: Probabilities) -> Iterator[Path]:
        """A folder with the arrays that workers map; gone afterwards, also those that a killed run left behind."""
        for old in self._cache_dir.glob("arrays-*"):
            if not _alive(int(old.name.split("-")[1])):
                shutil.rmtree(old, ignore_errors=True)
        with TemporaryDirectory(prefix=f"arrays-{os.getpid()}-", dir=self._cache_dir) as name:
            folder = Path(name).absolute()
            for axis, panel in self._material.panels.items():
                save_arrays(folder / axis, panel, panel.known_share())
            for horizon, table in self._material.labels.items():
                save_labels(folder / f"labels-{horizon}", table)
            for horizon, p in probabilities.items():
                save_probabilities(folder, horizon, p)
            yield folder


def _one(work: Work, folder: Path) -> Work:
    """Runs in a worker, one fit at a time and with one thread: sums of another number of threads could differ in their
    last bits."""
    # loky takes mapped pages and imported libraries for a leak of 300 MB and replaces the worker in mid-run
    process_executor._MAX_MEMORY_LEAK_SIZE = 1 << 40
    with _ONE_FIT, _Named(work.first), threadpool_limits(1):
        run(work, folder)
    return work


class _Named:
    """Any error that leaves the block says which cell it came from."""

    def __init__(self, cell: Cell) -> None:
        self.cell = cell

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if error is not None:
            error.add_note(f"while training {self.cell}")


def _made(cell: Cell, path: Path) -> CellResult:
    result = read_result(path)
    if result is None:
        raise WorkbenchError(f"the result of {cell} at {path} cannot be read back; check the disk and run again")
    return result


def _order(work: Work) -> tuple[bool, bool, int]:
    """Long fits first."""
    cell, family = work.first, work.family
    return not (family.sequential or family.slow), cell.segment is not None, -cell.cutoff_ns


def _axis(cell: Cell) -> str:
    return "days" if cell.of.is_day else "bars"


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
