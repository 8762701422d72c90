"""The job behind the notebooks: every notebook opens the same workspace, and makes what is missing."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from workbench.config import Settings
from workbench.core.errors import ConfigError, WorkbenchError, nearest_name
from workbench.core.units import BAR_MINUTES
from workbench.research import steps
from workbench.research.job import Job
from workbench.research.live_session import HELD_OUT, hold_out

FAMILIES = ("LightGBM", "FTRLProximal", "MLP")
"""What the walk trains unless told otherwise: trees, online learning and a network, within a minute."""

PLANTED_IC = 0.10
"""Of the embedded market at 5 minutes: far more than real markets offer, so that every stage has something to show."""


def walk(
    workspace: Path | str = "runs/walk",
    data: Path | str = "",
    *,
    symbols: int = 12,
    sessions: int = 60,
    families: tuple[str, ...] = FAMILIES,
    seed: int = 7,
    until: str = "",
) -> Job:
    """The job in the folder `workspace`, with bars in its store.

    A workspace that holds bars is opened as it is, whatever the other arguments say (`make demo` makes one in
    ``runs/demo``). Otherwise it is filled with the bars at `data`, a file or folder of Parquet or CSV; or, where `data`
    is empty, with an embedded market of `symbols` over `sessions` sessions and two more, which research does not see
    and the live session trades.

    `until`: ISO date of the last session that research may see; what depends on it is made again where it is another
    one than before. Empty: as the workspace has it.
    """
    job = _opened(workspace, data, symbols=symbols, sessions=sessions, families=families, seed=seed)
    if until in ("", job.ws.settings.data.until):
        return job
    return Job.open(job.ws.root, job.ws.settings.change(data={"until": until}))


def _opened(
    workspace: Path | str, data: Path | str, *, symbols: int, sessions: int, families: tuple[str, ...], seed: int
) -> Job:
    """The job as its folder has it, or a new one."""
    existing = Path(workspace, "config.toml").is_file()
    with _told_in_a_notebook(workspace, data):
        job = Job.open(workspace) if existing else Job.open(workspace, _settings(families, seed))
        if data:
            steps.import_data(job, Path(data))
            return job
    if "data" in job.ws.records:
        _tell_what_is_kept(job, symbols=symbols, sessions=sessions, families=tuple(families))
        return job
    steps.simulate(
        job, symbols=symbols, days=sessions + HELD_OUT, daily=max(756, sessions + HELD_OUT), seed=seed, ic=PLANTED_IC
    )
    return hold_out(job)


def pick(known: Mapping[str, Any] | Collection[str], name: str, what: str) -> Any:
    """What a notebook's parameter names: ``known[name]``, or `name` itself where `known` are names only.

    :class:`ConfigError` lists what there is; `what` says what is named.
    """
    if name not in known:
        there = ", ".join(known) if len(known) <= 12 else f"{len(known)} others"
        raise ConfigError(f"no {what} {name!r}.{nearest_name(name, known)} There are {there}")
    return known[name] if isinstance(known, Mapping) else name


def _tell_what_is_kept(job: Job, **asked: Any) -> None:
    """One line where a workspace is not what the parameters would have made."""
    data = job.ws.outcome("data")
    made = {"families": job.ws.settings.training.families}
    if data["origin"] == "embedded":
        there = len(np.unique(job.store.serve(BAR_MINUTES).session))  # whatever research may see of them by now
        made |= {"symbols": data["symbols"], "sessions": there - HELD_OUT}
    kept = [f"{name} {_words(made[name])}, not {_words(asked[name])}" for name in made if made[name] != asked[name]]
    if kept:
        print(f"{job.ws.root} is opened as it is: {'; '.join(kept)}. Other parameters need another workspace.")


def _words(value: Any) -> str:
    return ", ".join(value) if isinstance(value, tuple) else str(value)


@contextmanager
def _told_in_a_notebook(workspace: Path | str, data: Path | str) -> Iterator[None]:
    """Errors that name options of the command line say what a notebook can do about them."""
    try:
        yield
    except WorkbenchError as error:
        if "--out" in str(error):
            error.add_note("in a notebook, --out is the parameter `workspace`")
        elif " --" in str(error):
            command = f"workbench import --data {Path(data).resolve()} --out {Path(workspace).resolve()}"
            error.add_note(f"options are of the command: `{command}` with them, then run this again with `data` empty")
        raise


def _settings(families: tuple[str, ...], seed: int) -> Settings:
    """Small enough to walk through; only features that can also be observed live."""
    training = {"profile": "demo", "segments": 4, "max_rows": 20_000, "max_rows_slow": 3_000}
    chosen = {"families": tuple(families), "seed": seed}
    return Settings().change(training=training | chosen, features={"quotes": "top"})
