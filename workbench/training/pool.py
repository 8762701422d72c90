"""Runs cells in worker processes and keeps their results on disk under the digest of their inputs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from joblib import Parallel, delayed, parallel_config
from joblib.externals.loky import process_executor

from workbench.core.digest import digest
from workbench.core.errors import WorkbenchError
from workbench.models.base import Family
from workbench.models.strategies import SingleTask
from workbench.training.cells import Cell, CellOptions, CellResult, read_result, run_cell
from workbench.training.dataset import Panel, save_arrays, save_labels
from workbench.training.labels import Labels


def run_cells(
    cells: Sequence[Cell],
    families: Mapping[str, Family],
    strategies: Mapping[str, SingleTask],
    options: Mapping[str, CellOptions],
    panels: Mapping[str, Panel],
    labels: Mapping[str, Labels],
    cache_dir: Path,
    jobs: int,
    progress: Callable[[int, int, str], None],
) -> dict[Cell, CellResult]:
    """Cell -> its result, in the order of `cells`; those found in `cache_dir` are read, the others are run.

    Every result is on disk before it counts, so that a run that is killed goes on where it was.
    """
    cache_dir.mkdir(parents=True, exist_ok=True)
    paths = _paths(cells, families, options, panels, labels, cache_dir)
    results = {cell: r for cell in cells if (r := read_result(paths[cell])) is not None}
    missing = sorted((c for c in cells if c not in results), key=lambda c: _order(c, families[c.family]))
    if missing:
        progress(len(results), len(cells), f"{len(results)} cells from the cache" if results else "training")
        with _arrays(cache_dir, panels, labels) as folder:
            work = [
                (cell, families[cell.family], strategies.get(cell.strategy, SingleTask()), options[cell.family], folder,
                 paths[cell])
                for cell in missing
            ]  # fmt: skip
            for done, cell in enumerate(_finished(work, jobs), start=len(results) + 1):
                progress(done, len(cells), str(cell))
    else:
        progress(len(cells), len(cells), "nothing changed")
    return {cell: results[cell] if cell in results else _made(cell, paths[cell]) for cell in cells}


def _paths(
    cells: Sequence[Cell],
    families: Mapping[str, Family],
    options: Mapping[str, CellOptions],
    panels: Mapping[str, Panel],
    labels: Mapping[str, Labels],
    cache_dir: Path,
) -> dict[Cell, Path]:
    panel = {name: digest(p.values, p.bar_of_session, p.names) for name, p in panels.items()}
    label = {name: x.digest for name, x in labels.items()}
    out = {}
    for cell in cells:
        family = families[cell.family]
        name = options[cell.family].digest_with(cell, family, (panel[_axis(cell)], label[cell.horizon]))
        out[cell] = cache_dir / f"{name}.npz"
    return out


def _finished(work: Sequence[tuple[Any, ...]], jobs: int) -> Iterator[Cell]:
    """Each cell when its result is on disk; in this process for one job."""
    if jobs == 1 or len(work) == 1:
        yield from (_one(*job) for job in work)
        return
    with parallel_config(backend="loky", inner_max_num_threads=1):
        pool = Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1, max_nbytes=None)
        yield from pool(delayed(_one)(*job) for job in work)


def _one(cell: Cell, *rest: Any) -> Cell:
    # loky takes mapped pages and imported libraries for a leak of 300 MB and replaces the worker in mid-run
    process_executor._MAX_MEMORY_LEAK_SIZE = 1 << 40
    with _Named(cell):
        run_cell(cell, *rest)
    return cell


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


def _order(cell: Cell, family: Family) -> tuple[bool, bool, int]:
    """Long jobs first, so that no worker starts the longest one last."""
    return not (family.sequential or family.slow), cell.segment is not None, -cell.cutoff_ns


def _axis(cell: Cell) -> str:
    return "days" if cell.of.is_day else "bars"


@contextmanager
def _arrays(cache_dir: Path, panels: Mapping[str, Panel], labels: Mapping[str, Labels]) -> Iterator[Path]:
    """A folder with the arrays that workers map; gone afterwards, also those that a killed run left behind."""
    for old in cache_dir.glob("arrays-*"):
        if not _alive(int(old.name.split("-")[1])):
            shutil.rmtree(old, ignore_errors=True)
    with TemporaryDirectory(prefix=f"arrays-{os.getpid()}-", dir=cache_dir) as name:
        folder = Path(name)
        for axis, panel in panels.items():
            save_arrays(folder / axis, panel, panel.known_share())
        for horizon, table in labels.items():
            save_labels(folder / f"labels-{horizon}", table)
        yield folder


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
