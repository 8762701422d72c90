"""`workbench schedule` and `workbench run-notebook`: notebooks on the exchange's calendar, and one run now."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo

import typer

from workbench.cli_output import console, show
from workbench.core.errors import ConfigError, WorkbenchError

if TYPE_CHECKING:
    from workbench.schedule.history import Run
    from workbench.schedule.plan import Schedule

NEW_YORK = ZoneInfo("America/New_York")
File = Annotated[Path, typer.Option("--file", help="The schedule.")]
Json = Annotated[bool, typer.Option("--json", help="Print as JSON.")]
Count = Annotated[int, typer.Option("--count", min=1, max=1000, help="How many.")]
JobName = Annotated[str, typer.Option("--job", help="Of one job alone.")]
RunId = Annotated[str, typer.Argument(help="Id of the run (see `workbench schedule history`).")]
DEFAULT = Path("schedule.toml")

schedule_app = typer.Typer(
    add_completion=False, rich_markup_mode=None, no_args_is_help=True,
    help="A trading day unattended: notebooks run on the exchange's calendar.",
)  # fmt: skip


@schedule_app.command()
def run(file: File = DEFAULT) -> None:
    """Run the schedule until SIGTERM or Ctrl-C; times are of the exchange, early closes and holidays included.

    Example: workbench schedule run --file schedule.toml
    """
    from workbench.logs import logging_to
    from workbench.schedule.scheduler import Scheduler

    schedule = _schedule(file)
    folder = Path(schedule.desk.folder)
    with logging_to(folder / "schedule.log"), _history(schedule) as history:
        scheduler = Scheduler(schedule, history)
        print(f"workbench: {len(schedule.jobs)} jobs of {file}; runs, log and journal in {folder}", file=sys.stderr)
        scheduler.run()


@schedule_app.command()
def rehearse(
    first: Annotated[str, typer.Option("--from", help="Day on which it begins (ISO date, 00:00 New York).")],
    last: Annotated[str, typer.Option("--to", help="Day after which it ends.")],
    file: File = DEFAULT,
    speed: Annotated[float, typer.Option("--speed", min=1, help="Desk seconds per second while something runs.")] = 1,
) -> None:
    """Run the schedule on a clock that skips the hours in which nothing runs: a week of it, before it is real.

    Everything is really run, with the parameters of the schedule: give it a desk folder of its own, and a simulated
    gateway whose own clock runs fast (broker.speed).

    Example: workbench schedule rehearse --from 2026-06-22 --to 2026-06-26 --file rehearsal.toml
    """
    from workbench.schedule.clock import RehearsalClock
    from workbench.schedule.scheduler import Scheduler

    schedule = _schedule(file)
    begin, end = _midnight(first, "--from"), _midnight(last, "--to") + 86_400 * 10**9
    if end <= begin:
        raise ConfigError(f"--to {last} is before --from {first}")
    _refuse_real_brokers(schedule)
    with _history(schedule, heard=_say) as history:
        Scheduler(schedule, history, clock=RehearsalClock(begin, speed)).run(until=end)
        _print_runs(reversed(history.runs()), as_json=False)


@schedule_app.command("list")
def list_jobs(file: File = DEFAULT, as_json: Json = False) -> None:
    """The jobs: when they are due next, and how their last run ended.

    Example: workbench schedule list
    """
    import time

    schedule, now = _schedule(file), time.time_ns()
    with _history(schedule, read_only=True) as history:
        last = {job.name: history.last(job.name) for job in schedule.jobs} if history else {}
    jobs = {}
    for job in schedule.jobs:
        due, ran = next(job.times.after(now), None), last.get(job.name)
        jobs[job.name] = {
            "when": job.at or f"cron {job.cron}",
            "next": _when(due.at) if due else None,
            "last": None if ran is None else f"{ran.state}, {_when(ran.due)}",
            "notebooks": ", ".join(job.notebooks),
        }
    if as_json:
        show(jobs, True)
    else:
        _print_table(
            ("job", "when", "next", "last run", "notebooks"), [(name, *about.values()) for name, about in jobs.items()]
        )


@schedule_app.command("next")
def next_runs(file: File = DEFAULT, count: Count = 10, as_json: Json = False) -> None:
    """What is due next, in order.

    Example: workbench schedule next --count 20
    """
    import time

    schedule, now = _schedule(file), time.time_ns()
    due = sorted((d.at, job.name, d.session) for job in schedule.jobs for d in islice(job.times.after(now), count))
    rows = [{"at": _when(at), "job": name, "session": session} for at, name, session in due[:count]]
    if as_json:
        show({"next": rows}, True)
    else:
        _print_table(("at", "job", "session"), [tuple(row.values()) for row in rows])


@schedule_app.command()
def history(file: File = DEFAULT, job: JobName = "", count: Count = 20, as_json: Json = False) -> None:
    """What ran, newest first, and what should have.

    Example: workbench schedule history --job live
    """
    schedule = _schedule(file)
    if job:
        schedule.job(job)
    with _history(schedule, read_only=True) as found:
        runs = found.runs(count, job=job) if found else ()
        _print_runs(runs, as_json)


@schedule_app.command("show")
def show_run(run_id: RunId, file: File = DEFAULT, as_json: Json = False) -> None:
    """One run: how it ended, what it left and what was told of it.

    Example: workbench schedule show train-20260302T230000-1
    """
    with _history(_schedule(file), read_only=True) as found:
        if not found:
            raise WorkbenchError("nothing has run yet: there is no journal of the desk")
        ran = found.run(run_id)
        alerts = [f"{_when(a.at)}: {a.text}" for a in found.alerts(run=run_id)]
    folder = Path(ran.folder) if ran.folder else None
    left = sorted(p.name for p in folder.iterdir() if not p.name.startswith(".")) if folder and folder.is_dir() else []
    about = {"session": ran.session, "folder": ran.folder, "digest": ran.digest, "alerts": alerts, "left": left}
    show({**_row(ran), **about}, as_json)


@schedule_app.command()
def retry(run_id: RunId, file: File = DEFAULT, as_json: Json = False) -> None:
    """Run it once more, now, as the schedule has it; a live session that is not over too, since a person asks for it.

    Example: workbench schedule retry train-20260302T230000-1
    """
    from workbench.schedule.attempts import due_of
    from workbench.schedule.history import RunState
    from workbench.schedule.scheduler import Scheduler

    schedule = _schedule(file)
    with _history(schedule) as found:
        before = found.run(run_id)
        if before.state is RunState.RUNNING:
            raise WorkbenchError(f"{run_id} still runs; stop it first, or wait for its end")
        job = schedule.job(before.job)
        attempt = max(r.attempt for r in found.runs(job=job.name) if r.due == before.due) + 1
        _outcome(Scheduler(schedule, found).once(job, due_of(job, before), attempt), as_json)


@schedule_app.command()
def install(
    file: File = DEFAULT,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print; the only thing this command does.")] = False,
) -> None:
    """Print a systemd unit and a crontab line that start the scheduler with the machine.

    Example: workbench schedule install --dry-run
    """
    from workbench.schedule.install import crontab_line, systemd_unit

    _schedule(file)
    if not dry_run:
        raise ConfigError(
            "this command changes nothing on your machine: give --dry-run and put what it prints in place"
        )
    print(f"# ~/.config/systemd/user/workbench-schedule.service\n{systemd_unit(file)}")
    print(f"# or, for crontab -e\n{crontab_line(file)}")


@schedule_app.command()
def example() -> None:
    """Print an example of a schedule: training, checks, a live session and its report.

    Example: workbench schedule example > schedule.toml
    """
    from importlib.resources import files

    print((files("workbench.schedule") / "example.toml").read_text(encoding="utf-8"), end="")


def run_notebook(
    notebook: Annotated[str, typer.Argument(help="A notebook: its path, or its name in the folder `notebooks`.")],
    values: Annotated[list[str] | None, typer.Argument(metavar="", hidden=True)] = None,
    parameters: Annotated[
        list[str] | None, typer.Option("-p", metavar="KEY VALUE", help="A parameter; repeatable.")
    ] = None,
    folder: Annotated[
        Path, typer.Option("--folder", help="The desk's folder: the run leaves its record there.")
    ] = Path("runs/desk"),
    as_json: Json = False,
) -> None:
    """Run one notebook now, as the schedule would: checked parameters, and a folder with all that it leaves.

    Example: workbench run-notebook 03_train_models -p horizon 5m -p sessions 30
    """
    from workbench.schedule.now import run_now

    names, values = parameters or [], values or []
    if len(names) != len(values):
        raise ConfigError(f"{len(names)} parameters are named (-p) and {len(values)} values given; write -p NAME VALUE")
    if twice := sorted({n for n in names if names.count(n) > 1}):
        raise ConfigError(f"parameter {twice[0]!r} is given twice")
    _outcome(run_now(notebook, dict(zip(names, values, strict=True)), folder), as_json)


def _refuse_real_brokers(schedule: Schedule) -> None:
    """A rehearsal really runs everything, and its clock is not the broker's."""
    from workbench.schedule.live import system_of

    for job in schedule.jobs:
        if not (config := job.parameters.get("config")):
            continue
        broker = system_of(str(Path(schedule.desk.notebooks) / str(config))).client.plan.first.broker
        if broker.host:
            raise ConfigError(
                f"job {job.name}: {config} names a real broker ({broker.host}), where a rehearsal would really trade; "
                "give it a schedule and a live.toml of its own, without broker.host"
            )


def _schedule(file: Path) -> Schedule:
    from workbench.schedule.plan import Schedule

    return Schedule.from_toml(file)


class _Nothing:
    """The history of a desk where nothing has run yet."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        return None


def _say(ran: Run) -> None:
    """A line for each start and end, for who watches a rehearsal."""
    print(f"{_when(ran.due)}  {ran.id}  {ran.state}{': ' if ran.reason else ''}{ran.reason}", file=sys.stderr)


def _history(schedule: Schedule, *, read_only: bool = False, heard: Callable[[Run], None] = lambda run: None) -> Any:
    from workbench.schedule.history import JOURNAL, History

    address = schedule.desk.journal or Path(schedule.desk.folder) / JOURNAL
    if read_only and isinstance(address, Path) and not address.exists():
        return _Nothing()
    return History(address, read_only=read_only, heard=heard)


def _outcome(ran: Run | None, as_json: bool) -> None:
    if ran is None:
        raise WorkbenchError("the run did not end when it was told to; it goes on by itself")
    show({**_row(ran), "folder": ran.folder}, as_json)
    if ran.state != "succeeded":
        raise typer.Exit(1)


def _row(ran: Run) -> dict[str, Any]:
    took = (ran.ended - ran.started) / 1e9 if ran.ended >= ran.started > 0 else None  # a rehearsal may begin again
    return {
        "run": ran.id,
        "state": str(ran.state),
        "due": _when(ran.due),
        "took_s": took and round(took, 1),
        "reason": ran.reason,
    }


def _print_runs(runs: Iterable[Run], as_json: bool) -> None:
    found = list(runs)
    if as_json:
        show({"runs": [_row(r) for r in found]}, True)
    elif not found:
        print("nothing has run yet")
    else:
        _print_table(
            ("due", "run", "state", "took", "reason"),
            [(_when(r.due), r.id, r.state, _took(_row(r)["took_s"]), r.reason) for r in found],
        )


def _print_table(columns: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> None:
    """A table; what is unknown, or has not been, is a dash."""
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(Text("-" if cell is None else str(cell)) for cell in row))
    console().print(table)


def _took(seconds: float | None) -> str:
    """Hours and minutes, or seconds where there are few; nothing where it did not run.

    >>> _took(31076.5), _took(250), _took(12.3)
    ('8 h 37 min', '4 min', '12 s')
    """
    if seconds is None:
        return ""
    hours, minutes = divmod(int(seconds) // 60, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min" if minutes else f"{seconds:.0f} s"


def _when(at: int) -> str:
    return datetime.fromtimestamp(at / 1e9, NEW_YORK).strftime("%Y-%m-%d %H:%M %Z")


def _midnight(text: str, option: str) -> int:
    try:
        day = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"{option} {text!r} is no date; write for example 2026-03-02") from None
    return int(day.replace(tzinfo=NEW_YORK).timestamp()) * 10**9
