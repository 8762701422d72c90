"""Every pre-open check, green and red, with what it says; nothing is sent and nothing is written but what was there."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from workbench.commands import Command
from workbench.config import Settings
from workbench.core.errors import ConfigError
from workbench.engine.codec import live_codec
from workbench.engine.following import LEFT
from workbench.engine.live import EngineClient
from workbench.engine.plan import EnginePlan
from workbench.engine.process import JOURNAL, PLAN
from workbench.engine.verify import Difference, Verdict
from workbench.execution.ibkr.doctor import ACCOUNT, Finding
from workbench.gateway.simulated import SimulatedGateway
from workbench.journal import SqlJournal
from workbench.schedule import checks
from workbench.schedule.checks import Check, ChecksFailed, pre_open, require

DAY = "2026-03-03"


def plan(folder: Path, **branches: dict[str, Any]) -> EnginePlan:
    base = Settings().change(system={"symbols": ("AAA", "BBB")}, live={"folder": str(folder / "live")})
    return EnginePlan((base.change(**branches),))


def by_name(found: tuple[Check, ...]) -> dict[str, Check]:
    assert len({c.name for c in found}) == len(found)
    return {c.name: c for c in found}


def system(fitted_until: str = "2026-02-27T21:00:00", **own: Any) -> Any:
    at = int(checks.np.datetime64(fitted_until, "ns").astype("int64"))
    settings = Settings().change(system={"symbols": ("AAA",), **own})
    return SimpleNamespace(name="main", settings=settings, bundle=SimpleNamespace(fitted_until=at, id="abc"))


def journal(of: EnginePlan, *entries: tuple[str, dict[str, Any], str]) -> EnginePlan:
    of.folder.mkdir(exist_ok=True)
    with SqlJournal(of.folder / JOURNAL, session="s0", codec=live_codec()) as made:
        for number, (kind, payload, name) in enumerate(entries):
            made.record(kind, number, payload, system=name)
    return of


def test_a_new_system_at_the_simulated_gateway_is_green(tmp_path) -> None:
    found = pre_open(plan(tmp_path), session=DAY)
    assert [c for c in found if not c.passed] == []
    told = by_name(found)
    assert told["session"].detail == "2026-03-03, open from 14:30 to 21:00 UTC"
    assert told["bundle of main"].detail.endswith("every byte verified, fitted on embedded bars")
    assert told["broker"].detail == "not looked at: the simulated gateway starts with the engine"
    assert told["mode"].detail == "no session has run yet"
    assert told["parity"].detail == "no session has decided anything yet"
    require(found)


def test_everything_that_is_red_is_told_at_once(tmp_path) -> None:
    of = plan(tmp_path, system={"model_dir": str(tmp_path / "none"), "blender_dir": str(tmp_path / "none")})
    of.folder.mkdir()
    (of.folder / "panic.flag").write_text("halt")
    with pytest.raises(
        ChecksFailed, match=r"2 checks are red: bundle of main: .*none does not exist.* says halt"
    ) as told:
        require(checks for checks in pre_open(of, session=DAY) if checks.name != "session")
    assert "remove the file once it is understood" in str(told.value)


@pytest.mark.parametrize(("day", "passed"), [("2026-03-03", True), ("2026-03-07", False), ("2026-07-03", False)])
def test_the_exchange_must_open(day: str, passed: bool) -> None:
    assert checks.trading_day(day).passed is passed


def test_an_early_close_is_seen() -> None:
    assert checks.trading_day("2026-11-27").detail == "2026-11-27, open from 14:30 to 18:00 UTC"


def test_a_day_that_is_no_date_is_refused() -> None:
    with pytest.raises(ConfigError, match="session='tomorrow' is no date; write for example 2026-03-02"):
        checks.trading_day("tomorrow")


@pytest.mark.parametrize(
    ("fitted", "most", "age"),
    [("2026-03-02T21:00:00", 0, 0), ("2026-03-02T20:55:00", 1, 1), ("2026-02-27T21:00:00", 1, 1)],
)
def test_a_bundle_may_be_so_many_sessions_old(fitted: str, most: int, age: int) -> None:
    found = checks.bundle_age(system(fitted), DAY, most)
    assert found.passed
    assert found.detail.endswith(f", {age} sessions ago")


def test_an_old_bundle_is_red() -> None:
    found = checks.bundle_age(system("2026-02-20T21:00:00"), DAY, 5)
    assert (found.passed, found.remedy) == (False, "train again; at most 5 sessions may pass")
    assert found.detail == "it knows the market until 2026-02-20T21:00:00Z, 6 sessions ago"


@pytest.mark.parametrize(("wanted", "passed"), [(None, True), ("abc", True), ("def", False)])
def test_where_bundles_are_promoted_the_promoted_one_trades(tmp_path, wanted: str | None, passed: bool) -> None:
    if wanted:
        (tmp_path / "PROMOTED").write_text(f"{wanted}\n")
    found = checks.bundle_promoted(system(blender_dir=str(tmp_path)))
    assert found.passed is passed
    if not passed:
        assert found.detail == "def is in force, abc would trade"


class Runs(EngineClient):
    """A client that sees a running engine."""

    def status(self) -> dict[str, Any]:
        return {"alive": True, "phase": "trading", "plan": "x", "connected": False}


def test_another_engine_in_the_folder_is_red(tmp_path) -> None:
    of = plan(tmp_path)
    of.folder.mkdir()
    (of.folder / PLAN).write_text(of.to_json())
    same = checks.no_other_engine(Runs(of))
    assert (same.passed, same.detail) == (True, "it runs already and is trading; the session attaches to it")
    other = checks.no_other_engine(Runs(plan(tmp_path, sizing={"max_weight": 0.01})))
    assert not other.passed
    assert "an engine with other settings runs in" in other.detail


def test_an_engine_that_has_lost_its_broker_is_red(tmp_path) -> None:
    (found,) = checks.broker_checks(Runs(plan(tmp_path, broker={"host": "127.0.0.1", "port": 4002})), {})
    assert (found.passed, found.detail) == (False, "the running engine is not connected")


@pytest.mark.parametrize(
    ("account", "named", "origin", "wrong"),
    [
        ("DU...01 is a simulated account", "", "embedded", ""),
        ("DU...67 is a paper account", "", "ibkr", ""),
        ("DU...67 is a paper account", "", "embedded", "the bundle of main was trained on the embedded"),
        ("U1...67 is a live account: real money", "", "ibkr", "it holds real money and is not named"),
        ("U1...67 is a live account: real money", "U1234567", "ibkr", ""),
        ("U1...67 is a live account: real money", "U1234567", "embedded", "the bundle of main was trained on"),
    ],
)
def test_an_account_must_be_meant_and_its_bundle_real(account: str, named: str, origin: str, wrong: str) -> None:
    found = checks.judged(
        [Finding(ACCOUNT, True, account), Finding("clock", False, "late", "ntp")], named, {"main": origin}
    )
    assert [c.name for c in found] == ["broker: account", "account may be traded", "broker: clock"]
    assert (found[2].passed, found[2].remedy) == (False, "ntp")
    assert found[1].passed is not wrong
    assert found[1].detail.startswith(wrong)


def test_a_gateway_is_really_asked(tmp_path) -> None:
    with SimulatedGateway(start=DAY, speed=1.0) as gateway:
        of = plan(tmp_path, broker={"host": "127.0.0.1", "port": gateway.port})
        found = checks.broker_checks(EngineClient(of), {"main": "embedded"})
    told = {c.name: c for c in found}
    assert told["broker: connection"].passed
    assert told["account may be traded"].passed
    gone = checks.broker_checks(EngineClient(of), {"main": "embedded"})
    assert [c.passed for c in gone] == [False]


def test_a_full_disk_is_red(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(checks.shutil, "disk_usage", lambda path: SimpleNamespace(free=2**29))
    found = checks.disk(tmp_path / "not" / "yet")
    assert (found.passed, found.remedy) == (False, "free some space: a session must find 1 GiB")
    assert found.detail.startswith("0.5 GiB free at")


def test_a_journal_that_is_something_else_is_red_and_nothing_is_read_from_it(tmp_path) -> None:
    of = plan(tmp_path)
    of.folder.mkdir()
    (of.folder / JOURNAL).write_text("this is no database, and longer than a header of one would be " * 20)
    found = by_name(pre_open(of, session=DAY))
    assert not found["journal"].passed
    assert "not a database" in found["journal"].detail
    assert "mode" not in found


def test_a_key_that_others_can_read_is_red(tmp_path) -> None:
    of = plan(tmp_path)
    assert checks.commands_writable(of).passed
    (of.folder / "commands.key").chmod(0o644)
    found = checks.commands_writable(of)
    assert (found.passed, found.remedy) == (False, "without it only panic.flag is heard")


def mode(to: str, why: str) -> tuple[str, dict[str, Any], str]:
    return "mode", {"from": "LIVE", "to": to, "reason": why}, "main"


@pytest.mark.parametrize(
    ("entries", "passed", "told"),
    [
        ((mode("OBSERVE", "halt was asked for"),), False, "main OBSERVE: only a person ends that"),
        ((mode("EMERGENCY", "drawdown 0.3 passed its bound 0.2"),), False, "main EMERGENCY: only a person ends that"),
        ((mode("DEGRADED", "loss"),), True, "main DEGRADED"),
        ((mode("EMERGENCY", "x"), mode("LIVE", "resume")), True, "main LIVE"),
    ],
)
def test_what_a_person_has_ended_only_a_person_begins(tmp_path, entries: Any, passed: bool, told: str) -> None:
    found = checks.last_mode(journal(plan(tmp_path), *entries))
    assert (found.passed, found.detail) == (passed, told)


def test_a_session_that_nobody_followed_is_told_and_resumed(tmp_path) -> None:
    why = f"flatten {LEFT}"
    asked = Command("left-1", "flatten", "", "live-7", "operator", why, 0, 1)
    found = checks.last_mode(
        journal(plan(tmp_path), ("command", {"command": asked}, ""), mode("EMERGENCY", f"by live-7: {why}"))
    )
    assert found.passed
    assert found.detail == "main EMERGENCY; nobody followed main any more, and the session resumes it"


@pytest.mark.parametrize(
    ("first", "passed"),
    [(None, True), (Difference("8 sizing", "desired", "AAA", "2026-03-02T15:00:00Z", "1", "2"), False)],
)
def test_the_last_session_must_replay(tmp_path, monkeypatch, first: Difference | None, passed: bool) -> None:
    of = journal(plan(tmp_path), ("decision", {"mode": "LIVE"}, "main"))
    verdict = Verdict("s0", 78, first, None, True, "here")
    monkeypatch.setattr(checks, "verify_session", lambda journal, session: verdict)
    found = checks.last_parity(of)
    assert found.passed is passed
    assert found.detail.startswith(f"session s0: stages {'equal' if passed else 'different'}")
    assert ("8 sizing, desired, AAA" in found.remedy) is not passed


def test_a_session_that_cannot_be_replayed_any_more_is_told(tmp_path) -> None:
    found = checks.last_parity(journal(plan(tmp_path), ("decision", {"mode": "LIVE"}, "main")))
    assert found.passed
    assert found.detail.startswith("session s0 cannot be replayed any more: ")


def test_nothing_that_a_reader_would_take_for_a_session_is_written(tmp_path) -> None:
    of = plan(tmp_path)
    pre_open(of, session=DAY)
    with SqlJournal(of.folder / JOURNAL, read_only=True, codec=live_codec()) as made:
        assert made.sessions() == ()
        assert made.pulse() is None
    assert sorted(p.name for p in of.folder.iterdir() if p.suffix == ".json") == []
