"""Before the open: is everything there that a live session needs? Looks, tells and never trades."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np

from workbench.artifacts.history import promoted
from workbench.commands import CommandError, read_panic
from workbench.config import Settings
from workbench.core.calendar import exchange_sessions, iso_date, iso_time
from workbench.core.errors import ConfigError, WorkbenchError
from workbench.engine.accounts import EMBEDDED
from workbench.engine.codec import live_codec
from workbench.engine.live import EngineClient
from workbench.engine.modes import STICKY, Mode
from workbench.engine.plan import EnginePlan
from workbench.engine.process import journal_address, open_commands
from workbench.engine.systems import System, load_system
from workbench.engine.verify import verify_session
from workbench.execution.ibkr.accounts import AccountKind
from workbench.execution.ibkr.doctor import ACCOUNT, Finding, broker_doctor
from workbench.journal import JournalError, SqlJournal
from workbench.schedule.live import abandoned_systems, same_engine

NEW_YORK = ZoneInfo("America/New_York")
MAX_AGE_SESSIONS = 5
FREE_GIB = 1.0
"""A session's journal and logs take a small part of this."""


class ChecksFailed(WorkbenchError):
    """Something is missing for the session; the message lists all of it."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at, by `name`: whether it `passed`, what was seen, and what to do where it did not."""

    name: str
    passed: bool
    detail: str
    remedy: str = ""


def pre_open(plan: EnginePlan, *, session: str = "", max_age_sessions: int = MAX_AGE_SESSIONS) -> tuple[Check, ...]:
    """Every check of `plan` for `session` (ISO date; empty: today in New York).

    `max_age_sessions`: so many sessions may have closed since the bundle was fitted.
    """
    day = session or datetime.now(NEW_YORK).date().isoformat()
    client = EngineClient(plan)
    loaded = [_load(settings) for settings in plan.systems]
    checks = [trading_day(day)]
    for found in loaded:
        checks += [found] if isinstance(found, Check) else bundle_checks(found, day, max_age_sessions)
    origins = {s.name: s.bundle.data_origin for s in loaded if isinstance(s, System)}
    checks += [no_panic(plan.folder), no_other_engine(client), *broker_checks(client, origins), disk(plan.folder)]
    checks += [commands_writable(plan), journal := journal_writable(plan)]
    return (*checks, *([last_mode(plan), last_parity(plan)] if journal.passed else []))


def require(checks: Iterable[Check]) -> None:
    """:class:`ChecksFailed` unless all passed."""
    if red := [c for c in checks if not c.passed]:
        told = "; ".join(f"{c.name}: {c.detail}{f' ({c.remedy})' if c.remedy else ''}" for c in red)
        raise ChecksFailed(f"the session must not begin, {len(red)} checks are red: {told}")


def trading_day(day: str) -> Check:
    """The exchange opens on `day`."""
    i = _session_index(day)
    every = exchange_sessions()
    if i is None:
        return Check("session", False, f"{day} is no session of the exchange", "run this on trading days only")
    opens, closes = (iso_time(int(t[i]))[11:16] for t in (every.open_ns, every.close_ns))
    return Check("session", True, f"{day}, open from {opens} to {closes} UTC")


def bundle_checks(system: System, day: str, max_age_sessions: int) -> list[Check]:
    """The bundle of one system, which was loaded: fresh, and the promoted one."""
    name, bundle = _bundle_name(system.settings), system.bundle
    found = Check(name, True, f"{bundle.id}, every byte verified, fitted on {bundle.data_origin} bars")
    if system.demo:
        return [found, Check(f"age of {name}", True, "the demo bundle that ships, for the simulated gateway only")]
    return [found, bundle_age(system, day, max_age_sessions), bundle_promoted(system)]


def bundle_age(system: System, day: str, most: int) -> Check:
    """No more than `most` sessions closed between the bundle's last fact and the opening of `day`."""
    every, name = exchange_sessions(), f"age of {_bundle_name(system.settings)}"
    opening = int(np.datetime64(day, "D").astype("datetime64[ns]").astype(np.int64))
    age = int(np.count_nonzero((every.close_ns > system.bundle.fitted_until) & (every.close_ns < opening)))
    told = f"it knows the market until {iso_time(system.bundle.fitted_until)}, {age} sessions ago"
    return Check(name, age <= most, told, "" if age <= most else f"train again; at most {most} sessions may pass")


def bundle_promoted(system: System) -> Check:
    """Where bundles are promoted, the one that trades is the promoted one."""
    own = system.settings.system
    wanted, name = promoted(Path(own.blender_dir or own.model_dir)), f"promotion of {_bundle_name(system.settings)}"
    if wanted is None:
        return Check(name, True, "nothing is ever promoted there: what was trained last trades")
    told = f"{wanted} is in force, {system.bundle.id} would trade"
    good = wanted == system.bundle.id
    return Check(name, good, told, "" if good else "`workbench promote` or `workbench rollback` puts one in force")


def no_panic(folder: Path) -> Check:
    """Nobody has pulled the brake."""
    word = read_panic(folder)
    if word is None:
        return Check("panic.flag", True, "none")
    return Check("panic.flag", False, f"panic.flag in {folder} says {word}", "remove the file once it is understood")


def no_other_engine(client: EngineClient) -> Check:
    """No engine runs in the folder, or the very same one."""
    status = client.status()
    if not status["alive"]:
        return Check("engine", True, f"none runs in {client.folder}")
    if same_engine(client):
        return Check("engine", True, f"it runs already and is {status['phase']}; the session attaches to it")
    told = f"an engine with other settings runs in {client.folder}"
    return Check("engine", False, told, f"`workbench stop --folder {client.folder}`, or set another live.folder")


def broker_checks(client: EngineClient, origins: Mapping[str, str]) -> list[Check]:
    """The gateway answers, the account may be traded, the clocks agree, quotes come; nothing is sent.

    `origins`: system -> data_origin of its bundle.
    """
    settings = client.plan.first
    broker, status = settings.broker, client.status()
    if not broker.host:
        return [Check("broker", True, "not looked at: the simulated gateway starts with the engine")]
    if status["alive"]:
        told = f"the running engine is {'connected' if status.get('connected') else 'not connected'}"
        return [Check("broker", bool(status.get("connected")), told, "see its log; it connects again by itself")]
    account = settings.system.live_account
    return judged(broker_doctor(broker.host, broker.port, broker.client_id, account=account), account, origins)


def judged(findings: Iterable[Finding], live_account: str, origins: Mapping[str, str]) -> list[Check]:
    """The doctor's findings, and whether the account is one that these bundles may trade."""
    checks = []
    for f in findings:
        checks.append(Check(f"broker: {f.name}", f.ok, f.text, f.remedy))
        if f.name == ACCOUNT and f.ok:
            checks.append(may_trade(f.text, live_account, origins))
    return checks


def may_trade(account: str, live_account: str, origins: Mapping[str, str]) -> Check:
    """`account` as the doctor words it: real money must be named, an embedded bundle is for simulated accounts only."""
    name = "account may be traded"
    if f"a {AccountKind.LIVE} account" in account and not live_account:
        return Check(name, False, "it holds real money and is not named", "set system.live_account to its full id")
    embedded = [system for system, origin in origins.items() if origin == EMBEDDED]
    if embedded and f"a {AccountKind.SIMULATED} account" not in account:
        told = f"the bundle of {', '.join(embedded)} was trained on the embedded (simulated) market"
        return Check(name, False, told, "train on real bars; there is no way around it")
    return Check(name, True, "it is the one that was meant, and the bundles were fitted for its kind")


def disk(folder: Path) -> Check:
    """There is room for the journal and the logs of a session."""
    there = next(p for p in (folder.resolve(), *folder.resolve().parents) if p.exists())
    free = shutil.disk_usage(there).free / 2**30
    remedy = "" if free >= FREE_GIB else f"free some space: a session must find {FREE_GIB:g} GiB"
    return Check("disk", free >= FREE_GIB, f"{free:,.1f} GiB free at {folder}", remedy)


def journal_writable(plan: EnginePlan) -> Check:
    """The journal can be opened for writing; nothing is written."""
    try:
        with SqlJournal(journal_address(plan), session="pre-open", codec=live_codec()) as journal:
            return Check("journal", True, f"{journal.address} takes records")
    except JournalError as error:
        return Check("journal", False, str(error), "without it nothing is sent")


def commands_writable(plan: EnginePlan) -> Check:
    """The command store and its key can be used."""
    try:
        plan.folder.mkdir(parents=True, exist_ok=True)
        with open_commands(plan, plan.folder):
            return Check("commands", True, "the command store takes commands")
    except (CommandError, ConfigError, OSError) as error:
        return Check("commands", False, str(error), "without it only panic.flag is heard")


def last_mode(plan: EnginePlan) -> Check:
    """No system was left watching or flattened by a person or a limit; what an abandoned session left is resumed."""
    modes = _last_modes(plan)
    gone = abandoned_systems(plan) if modes else ()
    told = ", ".join(f"{name} {mode}" for name, mode in modes.items()) or "no session has run yet"
    if sticky := [name for name, mode in modes.items() if mode in STICKY and name not in gone]:
        how = f"start it (`workbench live`), then `workbench resume --system {sticky[0]}`, once that is understood"
        return Check("mode", False, f"{told}: only a person ends that", how)
    if gone:
        told += f"; nobody followed {', '.join(gone)} any more, and the session resumes it"
    return Check("mode", True, told)


def last_parity(plan: EnginePlan) -> Check:
    """The last session that decided anything, replayed: live did what research promised, as far as it can be told."""
    with SqlJournal(journal_address(plan), read_only=True, codec=live_codec()) as journal:
        decided = journal.last("decision")
        if decided is None:
            return Check("parity", True, "no session has decided anything yet")
        try:
            verdict = verify_session(journal, decided.session)
        except WorkbenchError as error:
            return Check("parity", True, f"session {decided.session} cannot be replayed any more: {error}")
    told = f"session {verdict.session}: stages {verdict.stages}, forecasts {verdict.forecasts}"
    first = verdict.first or verdict.first_forecast
    remedy = f"first difference: {first}; a defect, trade nothing before it is found" if first else ""
    return Check("parity", first is None, told, remedy)


def _load(settings: Settings) -> System | Check:
    """The system, or why it cannot be loaded."""
    try:
        return load_system(settings, simulated=not settings.broker.host)
    except (WorkbenchError, OSError) as error:
        remedy = "train and save one: notebooks 03 to 05, or `workbench run`"
        return Check(_bundle_name(settings), False, str(error), remedy)


def _bundle_name(settings: Settings) -> str:
    return f"bundle of {settings.system.name}"


def _last_modes(plan: EnginePlan) -> dict[str, Mode]:
    """System -> the mode that the journal knows it in last; absent where it never decided nor changed it."""
    modes = {}
    with SqlJournal(journal_address(plan), read_only=True, codec=live_codec()) as journal:
        for name in (s.system.name for s in plan.systems):
            last = journal.last(("mode", "decision"), system=name)
            if last is not None:
                modes[name] = Mode(last.payload["to" if last.kind == "mode" else "mode"])
    return modes


def _session_index(day: str) -> int | None:
    try:
        wanted = int(np.datetime64(day, "D").astype(np.int64))
    except ValueError:
        raise ConfigError(f"session={day!r} is no date; write for example 2026-03-02") from None
    dates = exchange_sessions().date
    i = int(np.searchsorted(dates, wanted))
    return i if i < len(dates) and iso_date(int(dates[i])) == day else None
