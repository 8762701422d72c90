"""The job behind the notebooks: every notebook opens the same workspace, and makes what is missing."""

from __future__ import annotations

from pathlib import Path

from workbench.config import Settings
from workbench.research import steps
from workbench.research.job import Job
from workbench.research.live_session import hold_out

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
) -> Job:
    """The job in the folder `workspace`, with bars in its store.

    A workspace that holds bars is opened as it is, whatever the other arguments say (`make demo` makes one in
    ``runs/demo``). Otherwise it is filled with the bars at `data`, a file or folder of Parquet or CSV; or, where `data`
    is empty, with an embedded market of `symbols` over `sessions` sessions and two more, which research does not see
    and the live session trades.
    """
    existing = Path(workspace, "config.toml").is_file()
    job = Job.open(workspace) if existing else Job.open(workspace, _settings(families, seed))
    if "data" in job.ws.records and not data:
        return job
    if data:
        steps.import_data(job, Path(data))
        return job
    steps.simulate(job, symbols=symbols, days=sessions + 2, daily=max(756, sessions + 2), seed=seed, ic=PLANTED_IC)
    return hold_out(job)


def _settings(families: tuple[str, ...], seed: int) -> Settings:
    """Small enough to walk through; only features that can also be observed live."""
    training = {"profile": "demo", "segments": 4, "max_rows": 20_000, "max_rows_slow": 3_000}
    chosen = {"families": tuple(families), "seed": seed}
    return Settings().change(training=training | chosen, features={"quotes": "top"})
