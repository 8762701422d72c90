"""The commands of live trading: live, status, observe, resume, halt, flatten, stop, explain, verify."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from workbench.cli_output import show
from workbench.core.errors import ConfigError, WorkbenchError

Folder = Annotated[Path, typer.Option("--folder", help="The engine's folder (live.folder).")]
Json = Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; it is journaled.")]
SystemName = Annotated[str, typer.Option("--system", help="One system; empty for all of the account.")]
DEFAULT_FOLDER = Path("runs/live")


def live(
    config: Annotated[Path, typer.Option("--config", help="TOML settings (`workbench config` prints them).")],
    live_account: Annotated[
        str, typer.Option("--live-account", help="Real money: the full id of the very account to trade.")
    ] = "",
    detach: Annotated[bool, typer.Option("--detach", help="Start the engine and return.")] = False,
    as_json: Json = False,
) -> None:
    """Trade until told to stop; Ctrl-C here leaves the engine running. `workbench stop` ends it.

    Example: workbench live --config live.toml
    """
    from workbench.engine.live import EngineClient
    from workbench.engine.plan import EnginePlan

    plan = EnginePlan.from_toml(config)
    if live_account:
        named = tuple(s.change(system={"live_account": live_account}) for s in plan.systems)
        plan = EnginePlan(named)
    client = EngineClient(plan)
    client.start()
    status = client.wait()
    if detach:
        show(_short(status), as_json)
        return
    print(f"workbench: trading {status['kind']} account from {client.folder}; Ctrl-C leaves the engine running, "
          f"`workbench stop --folder {client.folder}` ends it", file=sys.stderr)  # fmt: skip
    _follow(client)


def status(folder: Folder = DEFAULT_FOLDER, as_json: Json = False) -> None:
    """What the engine of a folder holds, wants and does.

    Example: workbench status --json
    """
    from workbench.engine.status import read_status

    found = read_status(folder)
    show(found if as_json else _short(found), as_json)
    if found["phase"] in ("none", "dead", "failed"):
        raise typer.Exit(1)


def observe(folder: Folder = DEFAULT_FOLDER, reason: Reason = "asked for", system: SystemName = "") -> None:
    """Go on deciding and journaling, send nothing.

    Example: workbench observe --reason "watching the news"
    """
    _command("observe", folder, reason, system)


def resume(folder: Folder = DEFAULT_FOLDER, reason: Reason = "asked for", system: SystemName = "") -> None:
    """Trade again after observe, halt or flatten.

    Example: workbench resume --reason "news understood"
    """
    _command("resume", folder, reason, system)


def halt(folder: Folder = DEFAULT_FOLDER, reason: Reason = "asked for", system: SystemName = "") -> None:
    """Cancel all orders and send nothing new; positions stay.

    Example: workbench halt --reason "odd fills"
    """
    _command("halt", folder, reason, system)


def flatten(folder: Folder = DEFAULT_FOLDER, reason: Reason = "asked for", system: SystemName = "") -> None:
    """Cancel all orders and close all positions; outside the session at the next open.

    Example: workbench flatten --reason "leaving"
    """
    _command("flatten", folder, reason, system)


def stop(folder: Folder = DEFAULT_FOLDER, reason: Reason = "asked for", as_json: Json = False) -> None:
    """Cancel orders, keep positions, end the engine. Exit code 1: it did not end, or orders could not be taken back.

    Example: workbench stop
    """
    found = _client(folder).stop(reason)
    show(_short(found), as_json)
    if found["phase"] not in ("stopped", "none"):
        raise typer.Exit(1)


def explain(
    symbol: Annotated[str, typer.Argument(help="The symbol.")],
    at: Annotated[str, typer.Option("--at", help="UTC time, e.g. 2026-03-02T15:05; empty for the last decision.")] = "",
    folder: Folder = DEFAULT_FOLDER,
    system: SystemName = "",
    as_json: Json = False,
) -> None:
    """The whole receipt of one decision on one symbol, from model outputs to fills.

    Example: workbench explain AAPL --at 2026-03-02T15:05
    """
    from workbench.engine.explain import explain as receipt
    from workbench.engine.explain import parse_time

    with _journal(folder) as journal:
        show(receipt(journal, symbol, parse_time(at) if at else 2**62, system), as_json)


def verify(
    session: Annotated[str, typer.Argument(help="Session id (see `workbench status`); empty for the last.")] = "",
    folder: Folder = DEFAULT_FOLDER,
    as_json: Json = False,
) -> None:
    """Two verdicts on a session: features and stages bit for bit, and forecasts inferred again. Exit code 1: different.

    Example: workbench verify
    """
    from workbench.engine.verify import verify_session

    with _journal(folder) as journal:
        sessions = [s.session for s in journal.sessions()]
        if not sessions:
            raise WorkbenchError(f"the journal of {folder} is empty: there is nothing to verify")
        verdict = verify_session(journal, session or sessions[-1])
    found = {
        "session": verdict.session,
        "decisions": verdict.decisions,
        "features and stages 4 to 9": verdict.stages,
        "forecasts": verdict.forecasts,
        "first difference": str(verdict.first or verdict.first_forecast or "none"),
        "recorded runtime": verdict.runtime,
    }
    show(found, as_json)
    if "different" in (verdict.stages, verdict.forecasts):
        raise typer.Exit(1)


def _command(action: str, folder: Path, reason: str, system: str) -> None:
    outcome = _client(folder).command(action, reason, system=system)
    print(f"{action}: {outcome}")
    if not outcome.startswith("done"):
        raise typer.Exit(1)


def _client(folder: Path) -> Any:
    from workbench.engine.live import EngineClient, check_folder
    from workbench.engine.plan import EnginePlan
    from workbench.engine.process import PLAN

    plan = EnginePlan.from_json((check_folder(folder) / PLAN).read_text(encoding="utf-8"))
    client = EngineClient(plan)
    client.folder = folder
    return client


def _journal(folder: Path) -> Any:
    from workbench.engine.codec import live_codec
    from workbench.engine.live import check_folder
    from workbench.engine.plan import EnginePlan
    from workbench.engine.process import JOURNAL, PLAN
    from workbench.journal import SqlJournal

    plan = EnginePlan.from_json((check_folder(folder) / PLAN).read_text(encoding="utf-8"))
    address = plan.first.live.journal or folder / JOURNAL
    if isinstance(address, Path) and not address.exists():
        raise ConfigError(f"{folder} holds no journal yet; start the engine first")
    return SqlJournal(address, read_only=True, codec=live_codec())


def _short(found: dict[str, Any]) -> dict[str, Any]:
    """What a person wants to see first."""
    top = (
        "phase",
        "error",
        "session",
        "kind",
        "time",
        "connected",
        "reconciled",
        "cycles",
        "missed",
        "last_bar",
        "age_s",
    )
    out = {k: found[k] for k in top if found.get(k) not in (None, "")}
    for name, own in found.get("systems", {}).items():
        if "mode" in own:
            out[name] = {k: own[k] for k in ("mode", "reason", "nav", "profit_today", "drawdown", "positions")}
    if found.get("open_orders"):
        out["open orders"] = [f"{o['side']} {o['quantity']} {o['symbol']} {o['type']}" for o in found["open_orders"]]
    return out


def _follow(client: Any) -> None:
    """A line whenever a cycle is over, until the engine ends."""
    seen = -1
    while True:
        found = client.status()
        if found["phase"] != "trading":
            print(f"workbench: the engine is {found['phase']}{': ' + found['error'] if found.get('error') else ''}")
            if found["phase"] != "stopped":
                raise typer.Exit(1)
            return
        if found["cycles"] != seen:
            seen = found["cycles"]
            books = ", ".join(f"{n} {s['mode']} NAV {s['nav']:,.0f}" for n, s in found["systems"].items() if "nav" in s)
            print(f"{found['time']}  cycle {seen}, {len(found['open_orders'])} open orders; {books}", flush=True)
        time.sleep(0.5)
