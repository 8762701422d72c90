"""The `workbench` command: thin. It parses, shows progress on standard error and prints results on standard output.

Exit codes: 0 done, 1 something is missing (``doctor``), 2 bad input, 130 interrupted (the same command goes on).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.exceptions import TyperException

from workbench import __version__, cli_live
from workbench.cli_dash import dash_app
from workbench.cli_gateway import gateway
from workbench.cli_ibkr import doctor_broker, import_ibkr
from workbench.cli_lab import lab
from workbench.cli_output import show
from workbench.cli_schedule import run_notebook, schedule_app
from workbench.cli_zoo import print_zoo, promote, rollback, runs, zoo_app
from workbench.config import ALL_HORIZONS, Settings
from workbench.core.errors import ConfigError, DataError, WorkbenchError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Research-to-live trading workbench: bars in, decisions and an honest backtest out.",
)

import_app = typer.Typer(add_completion=False, rich_markup_mode=None)
Out = Annotated[Path, typer.Option("--out", help="Workspace folder; everything a job makes lies there.")]
Config = Annotated[Path | None, typer.Option("--config", help="TOML file of settings (`workbench config` prints one).")]
Data = Annotated[Path, typer.Option("--data", help="File or folder of bars: Parquet or CSV.")]
UniverseFile = Annotated[Path | None, typer.Option("--universe", help="TOML or CSV: symbol, type, leverage, ...")]
Columns = Annotated[list[str] | None, typer.Option("--column", help="FIELD=NAME, e.g. close=px_last; repeatable.")]
Zone = Annotated[str | None, typer.Option("--timezone", help="Zone of times that carry none.")]
Stamp = Annotated[str | None, typer.Option("--stamp", help="What a bar's time means: its start or its end.")]
Interval = Annotated[int | None, typer.Option("--interval", help="Minutes per bar; 390 for daily bars.")]
Accept = Annotated[
    list[str] | None, typer.Option("--accept", help='Keep what would be set aside: "second source", "reused ticker".')
]
Json = Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")]
Profile = Annotated[str | None, typer.Option("--profile", help="demo, default or full: how much work training does.")]
Families = Annotated[str | None, typer.Option("--families", help="Comma-separated families, or all.")]
Strategies = Annotated[str | None, typer.Option("--strategies", help="single_task, multi_task, cascade, or all.")]
Horizons = Annotated[str | None, typer.Option("--horizons", help="Comma-separated horizons, e.g. 5m,30m,1d, or all.")]
Device = Annotated[str | None, typer.Option("--device", help="cpu or cuda: where networks are trained.")]
Cluster = Annotated[
    str | None, typer.Option("--scheduler", help="Dask cluster: dask://127.0.0.1:8786, or tls://HOST:PORT.")
]
Jobs = Annotated[int | None, typer.Option("--jobs", min=1, help="Worker processes on this machine.")]
DEFAULT_OUT = Path("runs/default")
INTERRUPTED = 130
_STRATEGIES = ("single_task", "multi_task", "cascade")


@app.command()
def demo(out: Out = Path("runs/demo"), as_json: Json = False) -> None:
    """The whole job on a simulated market: 30 symbols, 122 days of bars, 3 years of daily bars; then a live session.

    Trains, fits and backtests on 120 days, then trades two hours of the last one at the simulated gateway.

    Example: workbench demo --out runs/demo
    """
    from workbench.research import live_session, steps

    settings = Settings().change(training={"profile": "demo"}, features={"quotes": "top"})
    job = steps.Job.open(out, settings)
    steps.simulate(job, days=120 + live_session.HELD_OUT, ic=live_session.PLANTED_IC)
    job = live_session.hold_out(job)
    for step in (steps.train, steps.blend, steps.calibrate, steps.backtest):
        step(job)
    steps.live(job, live_session.trade_session)
    show(steps.report(job), as_json)


@app.command()
def run(
    data: Data,
    universe: UniverseFile = None,
    config: Config = None,
    out: Out = DEFAULT_OUT,
    column: Columns = None,
    timezone: Zone = None,
    stamp: Stamp = None,
    interval: Interval = None,
    accept: Accept = None,
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """The whole job on your own bars: import, train, blend, calibrate, backtest, report.

    Example: workbench run --data bars/ --column close=px_last --timezone America/New_York
    """
    from workbench.research.steps import Job, import_data, run_all

    job = Job.open(out, _settings(config, out, profile))
    import_data(job, data, universe, _columns(column), timezone, stamp, interval, tuple(accept or ()))
    show(run_all(job), as_json)


@app.command()
def simulate(
    symbols: Annotated[int, typer.Option(min=2, max=500)] = 30,
    days: Annotated[int, typer.Option(min=20, max=1000, help="Sessions with intraday bars.")] = 120,
    daily: Annotated[int, typer.Option(min=60, max=5000, help="Sessions of daily bars, these included.")] = 756,
    seed: Annotated[int, typer.Option(min=0)] = 7,
    ic: Annotated[float, typer.Option(min=0.0, max=0.5, help="Planted information coefficient at 5 minutes.")] = 0.03,
    out: Out = DEFAULT_OUT,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Fill the store with a simulated market.

    Example: workbench simulate --symbols 30 --days 120 --seed 7
    """
    from workbench.research.steps import Job
    from workbench.research.steps import simulate as step

    job = Job.open(out, _settings(config, out, None))
    show(step(job, symbols=symbols, days=days, daily=daily, seed=seed, ic=ic), as_json)


@import_app.callback(invoke_without_command=True)
def import_(
    context: typer.Context,
    data: Annotated[Path | None, typer.Option("--data", help="File or folder of bars: Parquet or CSV.")] = None,
    universe: UniverseFile = None,
    column: Columns = None,
    timezone: Zone = None,
    stamp: Stamp = None,
    interval: Interval = None,
    accept: Accept = None,
    out: Out = DEFAULT_OUT,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Fill the store with your own bars; bad rows go to quarantine.parquet with a reason. `import ibkr` downloads them.

    Example: workbench import --data bars.csv --timezone America/New_York
    """
    from workbench.research.steps import Job, import_data

    if context.invoked_subcommand is not None:
        return
    if data is None:
        raise ConfigError("import needs --data with a file or folder of bars, or the command `workbench import ibkr`")
    job = Job.open(out, _settings(config, out, None))
    show(import_data(job, data, universe, _columns(column), timezone, stamp, interval, tuple(accept or ())), as_json)


@app.command()
def train(
    families: Families = None,
    strategies: Strategies = None,
    horizons: Horizons = None,
    profile: Profile = None,
    device: Device = None,
    scheduler: Cluster = None,
    jobs: Jobs = None,
    out: Out = DEFAULT_OUT,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Nested walk-forward training of the models; goes on where a killed run stopped.

    Example: workbench train --families all --strategies all --horizons all --profile demo
    """
    from workbench.research import steps

    settings = _settings(config, out, profile)
    chosen = {
        "families": _names(families, lambda: _known_families(out)),
        "strategies": _names(strategies, lambda: _STRATEGIES),
        "device": device,
    }
    settings = settings.change(training={k: v for k, v in chosen.items() if v is not None})
    if (labels := _names(horizons, lambda: ALL_HORIZONS)) is not None:
        settings = settings.change(system={"horizons": labels})
    job = _existing(out, settings)
    job.run_on(scheduler, jobs)
    outcome = steps.train(job)
    if not as_json:
        print_zoo(out)
    show(outcome, as_json)


@app.command()
def blend(out: Out = DEFAULT_OUT, config: Config = None, as_json: Json = False) -> None:
    """Fit the per-horizon blenders and the cost model on out-of-fold forecasts.

    Example: workbench blend --out runs/mine
    """
    _step("blend", out, config, None, as_json)


@app.command()
def calibrate(out: Out = DEFAULT_OUT, config: Config = None, as_json: Json = False) -> None:
    """Calibrate the barrier gates; completes the blender bundle.

    Example: workbench calibrate --out runs/mine
    """
    _step("calibrate", out, config, None, as_json)


@app.command()
def backtest(out: Out = DEFAULT_OUT, config: Config = None, as_json: Json = False) -> None:
    """Trade the walk-forward stages through decide() and the matching engine.

    Example: workbench backtest --out runs/mine --json
    """
    _step("backtest", out, config, None, as_json)


@app.command()
def report(out: Out = DEFAULT_OUT, config: Config = None, as_json: Json = False) -> None:
    """Write report.html from what the other steps left.

    Example: workbench report --out runs/mine
    """
    _step("report", out, config, None, as_json)


@app.command()
def config() -> None:
    """Print every setting with its default, as TOML.

    Example: workbench config > my.toml
    """
    print(Settings().to_toml(), end="")


@app.command()
def doctor(
    broker: Annotated[str, typer.Option("--broker", help="HOST:PORT of TWS or IB Gateway: look at that too.")] = "",
    client_id: Annotated[int, typer.Option("--client-id", min=0, help="The id that the engine will use.")] = 17,
    as_json: Json = False,
) -> None:
    """Versions, instruction sets, how the kernels were built, and what is missing for live trading. Trades nothing.

    Example: workbench doctor --broker 127.0.0.1:4002
    """
    from workbench.doctor import examine

    if broker:
        if not doctor_broker(broker, client_id, as_json):
            raise typer.Exit(1)
        return
    found = examine()
    show(found, as_json)
    if found["problems"]:
        raise typer.Exit(1)


@app.command()
def version() -> None:
    """Print the version."""
    print(__version__)


app.add_typer(import_app, name="import")
import_app.command("ibkr")(import_ibkr)
app.command()(gateway)
for live_command in (
    cli_live.live, cli_live.status, cli_live.observe, cli_live.resume, cli_live.halt, cli_live.flatten, cli_live.stop,
    cli_live.explain, cli_live.verify,
):  # fmt: skip
    app.command()(live_command)
app.command()(lab)
app.add_typer(dash_app, name="dash")
app.add_typer(schedule_app, name="schedule")
app.command()(run_notebook)
app.command()(promote)
app.command()(rollback)
app.command()(runs)
app.add_typer(zoo_app, name="zoo")


def _step(name: str, out: Path, config: Path | None, profile: str | None, as_json: bool) -> None:
    from workbench.research import steps

    job = _existing(out, _settings(config, out, profile))
    show(getattr(steps, name)(job), as_json)


def _existing(out: Path, settings: Settings) -> Any:
    from workbench.research.steps import Job

    if not out.exists():
        raise DataError(f"{out} does not exist; `workbench simulate --out {out}` or `workbench import` fills it first")
    return Job.open(out, settings)


def _names(text: str | None, every: Callable[[], Iterable[str]]) -> tuple[str, ...] | None:
    """The names of a comma-separated list, or all of them; None where nothing was said."""
    if text is None:
        return None
    names = tuple(every()) if text.strip() == "all" else tuple(t.strip() for t in text.split(",") if t.strip())
    if not names:
        raise ConfigError(f"{text!r} names nothing; write for example LightGBM,MLP or all")
    return names


def _known_families(out: Path) -> Iterable[str]:
    from workbench.research.families import known_families

    return known_families(out)


def _settings(config: Path | None, out: Path, profile: str | None) -> Settings:
    """The settings of `config`, else those of the workspace, else the defaults; `profile` replaces the profile."""
    inside = out / "config.toml"
    chosen = config or (inside if inside.is_file() else None)
    if chosen and chosen.is_dir():
        raise ConfigError(f"--config {chosen} is a folder; name a TOML file (`workbench config` prints one)")
    settings = Settings.from_toml(chosen) if chosen else Settings()
    return settings.change(training={"profile": profile}) if profile else settings


def _columns(pairs: list[str] | None) -> dict[str, str]:
    bad = [p for p in pairs or [] if p.count("=") != 1]
    if bad:
        raise ConfigError(f"--column {bad[0]!r} is not FIELD=NAME; write for example --column close=px_last")
    return dict(p.split("=") for p in pairs or [])


def main() -> None:
    """Entry point: errors of ours are one message on standard error, never a traceback."""
    try:
        code = app(prog_name="workbench", standalone_mode=False) or 0
    except WorkbenchError as error:
        notes = "".join(f"\n  {note}" for note in getattr(error, "__notes__", []))
        print(f"workbench: {error}{notes}", file=sys.stderr)
        code = 2
    except (typer.Abort, KeyboardInterrupt):
        code = INTERRUPTED
    except TyperException as error:  # a usage error: click's own text, with the nearest command
        error.show()  # type: ignore[attr-defined]
        code = 2
    if code == INTERRUPTED:
        print("\nworkbench: interrupted; the same command goes on where it stopped", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
