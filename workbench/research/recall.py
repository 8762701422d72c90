"""The workspace's backtests, and every decision of the base run at hand again."""

from __future__ import annotations

from workbench.core.errors import ConfigError
from workbench.core.results import BacktestResult
from workbench.engine.recall import Recall
from workbench.research.job import Job
from workbench.research.results_io import load_books, load_result
from workbench.research.steps import backtest_files, base_multiplier, books_file, check_backtest, tranches


def recall_backtest(job: Job) -> Recall:
    """The run at 1x the spread (or the nearest to it), from which each decision can be made again bit for bit.

    :class:`~workbench.core.errors.WorkbenchError` names the command if the backtest is missing or out of date. Its
    stages are fitted again where this process has not fitted them yet, which takes seconds.
    """
    return Recall(
        load_backtest(job, base_multiplier(job)), job.history, tranches(job), job.settings, load_books(books_file(job))
    )


def load_backtest(job: Job, spread: float | str) -> BacktestResult:
    """The run at a multiplier of the spread, or the one called "naive".

    :class:`ConfigError` names the runs that there are, :class:`~workbench.core.errors.WorkbenchError` the command if
    the backtest is missing or out of date.
    """
    check_backtest(job)
    files = backtest_files(job)
    if spread not in files:
        known = ", ".join(m if isinstance(m, str) else f"{m:g}" for m in files)
        raise ConfigError(
            f"no backtest at spread {spread!r}; there are {known}. "
            f"Set backtest.spread_multipliers in {job.ws.root}/config.toml for more"
        )
    return load_result(files[spread])
