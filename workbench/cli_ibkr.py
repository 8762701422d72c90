"""Commands that speak to a broker: history into the store, and what stands in the way of trading there."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from workbench.core.errors import ConfigError

DEFAULT_CLIENT = 17
IMPORT_CLIENT = 18
"""Another one than the live engine's, so that both can run."""


def import_ibkr(
    symbols: Annotated[str, typer.Option("--symbols", help="AAPL,MSFT,...")],
    broker: Annotated[str, typer.Option("--broker", help="HOST:PORT of TWS or IB Gateway.")] = "127.0.0.1:4002",
    duration: Annotated[str, typer.Option("--duration", help="Back from now: 10D, 2W, 6M, 1Y.")] = "6M",
    interval: Annotated[int, typer.Option("--interval", help="Minutes per bar: 1, 5, or 390 for daily bars.")] = 5,
    client_id: Annotated[int, typer.Option("--client-id", min=0)] = IMPORT_CLIENT,
    out: Annotated[Path, typer.Option("--out", help="Folder of the workspace.")] = Path("runs/default"),
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Download bars from TWS or IB Gateway into the store; goes on where it was interrupted.

    Example: workbench import ibkr --symbols AAPL,MSFT --duration 6M --interval 5
    """
    from workbench.cli_output import show

    names = tuple(dict.fromkeys(s.strip().upper() for s in symbols.split(",") if s.strip()))
    if not names:
        raise ConfigError("--symbols names none; write --symbols AAPL,MSFT")
    show(_download(names, address(broker), duration, interval, client_id, out), as_json)


def doctor_broker(broker: str, client_id: int = DEFAULT_CLIENT, as_json: bool = False) -> bool:
    """Print what `workbench doctor --broker HOST:PORT` finds; whether nothing is wrong."""
    from workbench.cli_output import show
    from workbench.execution.ibkr.doctor import broker_doctor

    host, port = address(broker)
    found = broker_doctor(host, port, client_id)
    if as_json:
        show({"broker": [{"name": f.name, "ok": f.ok, "text": f.text, "remedy": f.remedy} for f in found]}, True)
    else:
        for f in found:
            print(f"{'ok  ' if f.ok else 'FAIL'}  {f.name}: {f.text}" + (f"\n      -> {f.remedy}" if f.remedy else ""))
    return all(f.ok for f in found)


def address(text: str) -> tuple[str, int]:
    """HOST:PORT.

    >>> address("127.0.0.1:4002")
    ('127.0.0.1', 4002)
    """
    host, colon, port = text.rpartition(":")
    if not (colon and host and port.isdigit() and 0 < int(port) < 65_536):
        raise ConfigError(f"--broker {text!r} is not HOST:PORT, for example 127.0.0.1:4002")
    return host.strip("[]"), int(port)


def _download(
    symbols: tuple[str, ...], where: tuple[str, int], duration: str, interval: int, client_id: int, out: Path
) -> dict[str, Any]:
    """The outcome of the step `data`, as `workbench import` leaves it."""
    import time

    from workbench.config import Settings
    from workbench.config.live import BrokerSettings
    from workbench.data.store import EMBEDDED
    from workbench.execution.ibkr.accounts import AccountKind
    from workbench.execution.ibkr.connection import IbkrConnection
    from workbench.execution.ibkr.download import Download, calendar_days
    from workbench.progress import progress
    from workbench.research.steps import Job

    calendar_days(duration)
    inside = out / "config.toml"
    job = Job.open(out, Settings.from_toml(inside) if inside.is_file() else Settings())
    settings = BrokerSettings(host=where[0], port=where[1], client_id=client_id)
    connection = IbkrConnection(settings, lambda report: None, time.time_ns, host=where[0], port=where[1])
    try:
        greeting = connection.open()
        # what the simulated gateway sells is the embedded market: no bundle made of it may meet a real account
        origin = EMBEDDED if greeting.kind is AccountKind.SIMULATED else "ibkr"
        with progress("import ibkr") as note:
            told = Download(connection, job.store, interval, origin).run(symbols, duration, greeting.server_time, note)
    finally:
        connection.close()
    outcome = _outcome(told, origin)
    if told.failed:
        print(f"workbench: {len(told.failed)} symbols failed; run it again, it asks for them alone", file=sys.stderr)
    if not told.bars and not told.known_before:
        return outcome
    job.forget()
    return dict(job.ws.run("data", ["import", job.store.digest, outcome], lambda: outcome))


def _outcome(told: Any, origin: str) -> dict[str, Any]:
    return {
        "origin": origin,
        "bars": told.bars,
        "sessions": told.sessions,
        "known_before": told.known_before,
        "no_data": dict(told.no_data),
        "bad": dict(told.bad),
        "failed": dict(told.failed),
    }
