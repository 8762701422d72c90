"""The `workbench gateway` command: a simulated IB Gateway until Ctrl-C."""

from __future__ import annotations

import asyncio
import json
import math
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.core.errors import ConfigError

if TYPE_CHECKING:
    from workbench.gateway.simulated import SimulatedGateway

INTERRUPTED = 130
REPLAY = "replay:"


def gateway(
    market: Annotated[
        str, typer.Option("--market", help="simulated, or replay:PATH of a store or bars.")
    ] = "simulated",
    speed: Annotated[str, typer.Option("--speed", help="Simulated seconds per second: 1, 60, ... or max.")] = "1",
    port: Annotated[int, typer.Option("--port", min=0, max=65_535, help="0: any that is free.")] = 0,
    start: Annotated[
        str | None, typer.Option("--start", help="Session (ISO date) at whose opening a new account begins.")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Of the simulated market.")] = None,
    cash: Annotated[float, typer.Option("--cash", min=0.0, help="USD of a new account.")] = 1_000_000.0,
    commission: Annotated[
        str | None, typer.Option("--commission", help="fixed or tiered, of a new account; tiered if not said.")
    ] = None,
    books: Annotated[Path | None, typer.Option("--books", help="File that keeps the account over restarts.")] = None,
    scenario: Annotated[
        str | None, typer.Option("--scenario", help="Faults to inject: a name, or a TOML file.")
    ] = None,
    host: Annotated[str, typer.Option("--host", help="Where to listen.")] = "127.0.0.1",
    allow_remote: Annotated[
        bool, typer.Option("--allow-remote", help="Let other machines in: there is no password.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print where it listens as JSON.")] = False,
) -> None:
    """A simulated IB Gateway for ib_insync and ib_async: one account, any stock; runs until Ctrl-C.

    Example: workbench gateway --port 4002 --speed 60 --books books.json
    """
    from workbench.gateway.replay import ReplayMarket
    from workbench.gateway.simulated import SimulatedGateway

    options: dict[str, Any] = {"start": start, "speed": _speed(speed), "port": port, "cash": cash, "books": books}
    options |= {"host": host, "allow_remote": allow_remote, "scenario": scenario, "commission": commission}
    path = _recording(market, seed)
    if path is None:
        options["seed"] = seed or 0
    else:
        options["market"] = replay = ReplayMarket.of(path)
        print(f"workbench: replays {replay.note}", file=sys.stderr)
    if asyncio.run(_serve(SimulatedGateway(**options), as_json)) == signal.SIGINT:
        sys.exit(INTERRUPTED)  # not typer.Exit: what main() says of an interrupted step is not true of a gateway


async def _serve(served: SimulatedGateway, as_json: bool) -> signal.Signals:
    """Serve until a signal says to stop; it is returned when the books are kept."""
    stop: asyncio.Future[signal.Signals] = asyncio.get_running_loop().create_future()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, lambda n=number: stop.done() or stop.set_result(n))
    await served.serve()
    print(_line(served, as_json), flush=True)
    try:
        return await stop
    finally:
        await served.close()


def _line(served: SimulatedGateway, as_json: bool) -> str:
    told = {"host": served.host, "port": served.port, "account": served.account, "time": served.now}
    told["market"] = served.hub.market.name
    if as_json:
        return json.dumps(told)
    return "listening on {host}:{port}, account {account}, {market} at {time}; Ctrl-C stops it".format(**told)


def _speed(text: str) -> float:
    """Simulated seconds per second; 0 for max, as the server counts."""
    if text == "max":
        return 0.0
    try:
        speed = float(text)
    except ValueError:
        speed = math.nan
    if not 0 < speed < math.inf:
        raise ConfigError(f"--speed {text!r} is no number above 0; write 1, 60 or max")
    return speed


def _recording(market: str, seed: int | None) -> Path | None:
    """The path of replay:PATH; None for the simulated market."""
    if market == "simulated":
        return None
    if not market.startswith(REPLAY) or market == REPLAY:
        raise ConfigError(f"--market {market!r} is unknown; write simulated, or replay:PATH of a store or of bars")
    if seed is not None:
        raise ConfigError(f"--seed {seed} belongs to the simulated market; a recording has none: leave it out")
    return Path(market.removeprefix(REPLAY))
