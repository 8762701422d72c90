"""What a distrustful reader found in the live path: each test is a scenario in which money would have been at risk."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
from rig import FROZEN, START, SYMBOLS, Rig, loud_bundle, trading_settings

from workbench.commands import Command
from workbench.core.errors import ConfigError, DataError, WorkbenchError
from workbench.core.units import NS_PER_MINUTE, NS_PER_SECOND
from workbench.engine.accounts import AccountError
from workbench.engine.agenda import next_bar_end
from workbench.engine.heart import Heart
from workbench.engine.modes import Mode
from workbench.engine.plan import EnginePlan
from workbench.engine.process import Engine
from workbench.engine.snapshots import requoted
from workbench.engine.status import read_status
from workbench.engine.systems import load_system
from workbench.engine.verify import verify_session
from workbench.execution.broker import NotConnected
from workbench.gateway.simulated import SimulatedGateway
from workbench.journal import JournalError, SqlJournal


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    return trading_settings(loud_bundle(tmp_path_factory.mktemp("bundle")))


@pytest.fixture(scope="module")
def system(settings):
    return load_system(settings, simulated=True)


@pytest.fixture
def rig(tmp_path, settings, system):
    with SimulatedGateway(speed=FROZEN, start=START) as gateway:
        rig = Rig(tmp_path, gateway, (settings,), (system,))
        yield rig
        rig.close()


def command(action, system=""):
    now = time.time_ns()
    return Command(f"{action}-{now}", action, system, "tester", "operator", "a test", now, now + 10**12)


def orders(rig):
    """Every order that the journal holds."""
    return [o for e in rig.host.journal.read("orders") for o in e.payload["orders"]]


def session_of(rig):
    return rig.host.desks[0].session


class NoCommands:
    def take(self, now, refused):
        return ()


def heart(folder, cancel, deliver):
    return Heart(folder, NoCommands(), 1.0, cancel, deliver)


# ---- panic, halt, commands ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "cancel", "please stop"])
def test_a_panic_flag_whatever_it_says_ends_trading_and_not_only_the_orders_of_this_bar(rig, tmp_path, text):
    rig.open()
    rig.bar()
    (tmp_path / "panic.flag").write_text(text)
    heart(tmp_path, lambda reason: None, rig.host.commands.put).beat()
    sent = len(orders(rig))
    rig.bar()
    assert session_of(rig).mode is Mode.OBSERVE
    assert len(orders(rig)) == sent


def test_a_halt_is_delivered_also_where_cancelling_fails(tmp_path):
    def fail(reason):
        raise NotConnected("the gateway went away")

    heard = []
    (tmp_path / "panic.flag").write_text("halt")
    with suppress(NotConnected):
        heart(tmp_path, fail, heard.append).beat()
    assert [c.action for c in heard] == ["halt"]


def test_nothing_is_sent_after_a_halt_that_came_while_the_engine_was_deciding(rig):
    host = rig.open()
    session = session_of(rig)
    decide = session.decide

    def slow(*arguments):
        host.commands.put(command("halt"))
        return decide(*arguments)

    session.decide = slow
    rig.bar()
    assert orders(rig) == []
    assert session.mode is Mode.OBSERVE


def test_nothing_is_sent_after_a_stop_that_came_while_bars_were_gathered(rig):
    host = rig.open()
    ask = host.connection.bars

    def slow(*arguments):
        host.commands.put(command("stop"))
        return ask(*arguments)

    host.connection.bars = slow
    rig.bar()
    assert host.stopping
    assert orders(rig) == []


def test_resume_is_refused_while_panic_flag_is_there(rig):
    host = rig.open()
    rig.bar()
    host.obey(command("halt"))
    folder = host.plan.folder
    folder.mkdir(parents=True, exist_ok=True)
    flag = folder / "panic.flag"
    flag.write_text("halt")
    try:
        host.obey(command("resume"))
    finally:
        flag.unlink()
    assert session_of(rig).mode is Mode.OBSERVE


def test_a_command_for_a_system_that_does_not_exist_is_refused_and_not_silently_done(rig):
    host = rig.open()
    host.obey(command("halt", "mian"))
    assert [e.payload["command"].action for e in host.journal.read("refused")] == ["halt"]


def test_a_halt_before_the_first_decision_outlives_a_restart(rig):
    rig.open().obey(command("halt"))
    rig.close()
    rig.open()
    rig.bar()
    assert session_of(rig).mode is Mode.OBSERVE
    assert rig.at_gateway == {}


def test_a_halt_that_the_journal_refused_outlives_a_restart(rig):
    host = rig.open(journal_type=Failing)
    rig.bar()
    Failing.broken = True
    try:
        session_of(rig).set_mode(Mode.OBSERVE, "halted while the disk was full", rig.clock.now())
    finally:
        Failing.broken = False
    rig.close()
    rig.open()
    assert host is not rig.host
    assert session_of(rig).mode is Mode.OBSERVE


# ---- hours and late data --------------------------------------------------------------------------------------------


def test_a_bar_that_is_decided_minutes_late_is_missed(rig):
    host = rig.open()
    rig.move_to(next_bar_end(rig.clock.now()) + 4 * NS_PER_MINUTE)
    host.turn()
    assert (host.tally.missed, orders(rig)) == (1, [])


def test_guards_know_that_the_session_has_closed_since_the_bar(rig):
    host = rig.open()
    rig.bar()
    desk = host.desks[0]
    book = desk.session.portfolio.book(rig.clock.now(), (), desk.session.carry)
    late = replace(desk.snapshot, minutes_to_close=5.0, known_at=rig.clock.now() - 6 * NS_PER_MINUTE)
    facts = desk.session.guard.facts(book, late)
    assert (facts.phase.name, facts.minutes_to_close) == ("CLOSED", 0.0)


# ---- marks and limits between bars ----------------------------------------------------------------------------------


class At:
    """A clock that stands."""

    def __init__(self, when):
        self.when = when

    def now(self):
        return self.when


def quoted(host, bid, ask, **changes):
    """Every symbol with these quotes, heard of now unless `changes` say otherwise."""
    now = host.clock.now()
    told = {s: replace(q, bid=bid(q), ask=ask(q), time=now) for s, q in host.connection.quotes().items()}
    host.connection.quotes = lambda: {s: replace(q, **changes) for s, q in told.items()}


@pytest.mark.parametrize("what", ["wide", "old"])
def test_a_book_is_not_marked_by_a_stub_quote_nor_by_an_old_one(rig, what):
    host = rig.open()
    rig.bar()
    before = session_of(rig).portfolio.peak_nav
    if what == "wide":
        quoted(host, lambda q: q.bid, lambda q: 100 * q.ask)
    else:
        quoted(host, lambda q: 2 * q.bid, lambda q: 2 * q.ask, time=host.clock.now() - 3600 * NS_PER_SECOND)
    host._update(host.clock.now())
    assert session_of(rig).portfolio.peak_nav < 1.02 * before


def test_quotes_of_the_night_and_before_the_first_bar_move_neither_nav_nor_limits(rig):
    host = rig.open()
    rig.bar()
    nav = session_of(rig).portfolio.nav
    host.clock = At(rig.clock.now() + 24 * 60 * NS_PER_MINUTE - 3 * NS_PER_MINUTE)  # the next day, 9:32
    quoted(host, lambda q: 0.5 * q.bid, lambda q: 0.5 * q.ask)
    host._update(host.clock.now())
    session = session_of(rig)
    assert (session.portfolio.nav, session.mode) == (nav, Mode.LIVE)


def test_a_loss_limit_that_flattens_takes_back_the_orders_that_still_work(rig):
    host = rig.open()
    rig.bar()
    session = session_of(rig)
    session.settings = session.settings.change(validation={"max_daily_loss": 0.01, "on_daily_loss": "flatten"})
    session.portfolio.day_start_nav *= 1.05
    cancelled = []
    waiting = replace(rig_intent(session), order_ref="waits")
    session.tracker.adopt(waiting)
    session.broker.cancel = cancelled.append
    session.watch(requoted(host.desks[0].snapshot, host.connection.quotes(), host.clock.now()))
    assert session.mode is Mode.EMERGENCY
    assert "waits" in cancelled


def rig_intent(session):
    """Any intent of the last decision."""
    return next(iter(session.tracker._intents.values()))


# ---- the journal fails ----------------------------------------------------------------------------------------------


class Failing(SqlJournal):
    broken = False

    def record_many(self, records):
        if Failing.broken:
            raise JournalError("the disk is full")
        return super().record_many(records)


def test_a_flattening_goes_out_where_the_journal_takes_nothing(rig):
    host = rig.open(journal_type=Failing)
    rig.bar()
    assert rig.at_gateway
    Failing.broken = True
    try:
        host.obey(command("flatten"))
        for _ in range(6):
            host.turn()
            rig.move(70)
        assert rig.at_gateway == {}
    finally:
        Failing.broken = False


# ---- books ----------------------------------------------------------------------------------------------------------


def test_a_symbol_can_be_added_to_a_system_that_has_traded(rig, tmp_path, settings):
    rig.open()
    rig.bar()
    rig.close()
    more = settings.change(system={"symbols": (*SYMBOLS, "DDD")})
    again = Rig(tmp_path, rig.gateway, (more,))
    again.sessions = 1
    again.open()
    again.host._update(again.clock.now())
    again.bar()
    assert again.in_books == again.at_gateway
    again.close()


def test_a_system_that_joins_an_account_must_say_with_what(rig, tmp_path, settings, system):
    rig.open()
    rig.bar()
    rig.close()
    both = (settings, settings.change(system={"name": "second", "capital": None}))
    again = Rig(tmp_path, rig.gateway, both)
    again.sessions = 1
    with pytest.raises(AccountError, match=r"system\.capital"):
        again.open()
    again.close()


def test_a_position_that_was_closed_by_hand_is_not_sold_again(rig):
    """Selling it would open a short that no guard has looked at."""
    host = rig.open()
    rig.bar()
    host.account._outside.accept({"positions": {s: -q for s, q in rig.at_gateway.items()}})
    sent = len(orders(rig))
    host.obey(command("flatten"))
    host.turn()
    assert len(orders(rig)) == sent


# ---- configuration and state ----------------------------------------------------------------------------------------


def test_systems_of_a_new_account_share_it_equally(tmp_path):
    """What the seed's manager does: two configurations, and not a word of capital."""
    bundle = loud_bundle(tmp_path / "bundle")
    both = tuple(trading_settings(bundle, system={"name": name, "capital": None}) for name in ("one", "two"))
    with SimulatedGateway(start="2026-03-02T09:45", speed=FROZEN, seed=3) as gateway:
        rig = Rig(tmp_path, gateway, both)
        rig.open()
        assert [desk.session.portfolio.nav for desk in rig.host.desks] == [500_000.0, 500_000.0]
        rig.close()


def test_a_watchdog_less_patient_than_three_heartbeats_is_refused(settings):
    with pytest.raises(ConfigError, match="heartbeats"):
        EnginePlan((settings.change(live={"heartbeat_s": 30.0, "watchdog_s": 10.0}),))


def test_a_delayed_or_old_quote_is_not_the_quote_at_the_end_of_the_bar(rig):
    host = rig.open()
    rig.move_to(next_bar_end(rig.clock.now()))
    quoted(host, lambda q: q.bid, lambda q: q.ask, delayed=True)
    ts = rig.clock.now()
    batch = host.feed.gather(ts, ts, lambda: None)
    assert np.isnan(batch.quotes).all()
    assert np.isfinite(batch.status[:, 0]).all()


def test_the_state_file_is_there_as_soon_as_the_heart_beats(tmp_path):
    """Else the watchdog reads the state of the engine before, takes it for another one, and goes away."""
    beating = heart(tmp_path, lambda reason: None, lambda c: None)
    beating.every_s = 60.0
    beating.start()
    deadline = time.monotonic() + 5.0
    while not (tmp_path / "engine.state.json").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    there = (tmp_path / "engine.state.json").exists()
    beating._end.set()
    assert there
    assert json.loads((tmp_path / "engine.state.json").read_text())["phase"] == "starting"


def test_a_system_whose_features_fail_stops_sending_and_the_other_goes_on(tmp_path):
    """The session's own boundary begins only after the snapshot."""
    bundle = loud_bundle(tmp_path / "bundle")
    both = tuple(trading_settings(bundle, system={"name": name, "capital": 400_000.0}) for name in ("one", "two"))
    with SimulatedGateway(start=START, speed=FROZEN, seed=3) as gateway:
        rig = Rig(tmp_path, gateway, both)
        host = rig.open()

        def broken(batch):
            raise DataError("no features today")

        host.desks[0].snapshots.close = broken
        rig.bar()
        assert (host.desks[0].session.mode, host.desks[1].session.mode) == (Mode.OBSERVE, Mode.LIVE)
        assert {e.system for e in host.journal.read("decision")} == {"two"}
        assert [e.payload["system"] for e in host.journal.read("failed")] == ["one"]
        del host.desks[0].snapshots.close  # mended: it catches up, and only watches until a person says otherwise
        rig.bar()
        assert [e.system for e in host.journal.read("decision")] == ["two", "one", "two"]
        assert [d.session.mode for d in host.desks] == [Mode.OBSERVE, Mode.LIVE]
        verdict = verify_session(host.journal, "s1")
        assert verdict.stages == "equal", verdict.first
        rig.close()


# ---- two systems, of which one fails --------------------------------------------------------------------------------


@pytest.fixture
def two(tmp_path):
    """An engine of two systems after a bar; both hold something."""
    bundle = loud_bundle(tmp_path / "bundle")
    both = tuple(trading_settings(bundle, system={"name": name, "capital": 400_000.0}) for name in ("one", "two"))
    with SimulatedGateway(start=START, speed=FROZEN, seed=3) as gateway:
        rig = Rig(tmp_path, gateway, both)
        rig.open()
        rig.bar()
        assert all(desk.session.portfolio.shares.any() for desk in rig.host.desks)
        yield rig
        rig.close()


def failed(rig):
    """(system, why) of every failure in the journal."""
    return [(e.payload["system"], e.payload["why"]) for e in rig.host.journal.read("failed")]


def test_a_system_that_lost_more_than_it_had_can_be_flattened_and_the_other_goes_on(two):
    host, (one, other) = two.host, two.host.desks
    one.session.portfolio.cash = -10_000_000.0
    host.obey(command("flatten", "one"))
    for _ in range(6):
        host.turn()
        two.move(70)
    assert not one.session.portfolio.shares.any()
    assert other.session.portfolio.shares.any()
    assert two.in_books == two.at_gateway
    two.bar()
    assert [d.session.mode for d in host.desks] == [Mode.EMERGENCY, Mode.LIVE]
    assert [e.system for e in host.journal.read("decision")][-1] == "two"
    assert "net asset value fell to" in dict(failed(two))["one"]


def test_a_system_that_lost_more_than_it_had_sends_nothing_new(two):
    host, (one, _) = two.host, two.host.desks
    one.session.portfolio.cash = -10_000_000.0
    before = [e.number for e in host.journal.read("intents", system="one")]
    two.bar()
    assert [d.session.mode for d in host.desks] == [Mode.OBSERVE, Mode.LIVE]
    assert [e.system for e in host.journal.read("decision")] == ["one", "two", "two"]
    assert [e.number for e in host.journal.read("intents", system="one")] == before
    assert [system for system, _ in failed(two)] == ["one"]


@pytest.mark.parametrize("what", ["watch", "work"])
def test_a_system_that_fails_between_bars_stops_sending_and_the_other_is_looked_after(two, what, monkeypatch):
    host, (one, other) = two.host, two.host.desks

    def broken(*_):
        raise DataError("the book cannot be valued")

    watched = []
    monkeypatch.setattr(one.session, what, broken)
    monkeypatch.setattr(other.session, "watch", lambda snapshot: watched.append(snapshot.known_at))
    host._update(two.clock.now())
    assert [d.session.mode for d in host.desks] == [Mode.OBSERVE, Mode.LIVE]
    assert failed(two) == [("one", "DataError: the book cannot be valued")]
    assert watched == [two.clock.now()]
    monkeypatch.undo()
    two.bar()
    assert verify_session(host.journal, "s1").stages == "equal"  # the features went on in both


def test_what_is_no_error_of_ours_is_not_swallowed_between_bars(two, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(two.host.desks[0].session, "watch", broken)
    with pytest.raises(ZeroDivisionError):
        two.host._update(two.clock.now())


# ---- the end of the engine ------------------------------------------------------------------------------------------


@pytest.fixture
def working(tmp_path):
    """An engine whose orders still work: it steps its limits up from the mid."""
    policy = {"policy": "mid_step", "steps": 4, "max_replacements": 4}
    settings = trading_settings(loud_bundle(tmp_path / "bundle"), execution=policy, live={"folder": str(tmp_path)})
    with SimulatedGateway(start=START, speed=FROZEN, seed=3) as gateway:
        rig = Rig(tmp_path, gateway, (settings,))
        rig.open()
        rig.bar()
        assert gateway.brokerage.register.open()
        yield rig
        rig.close()


def ended(rig, monkeypatch):
    """The engine's end as its process has it, around the host that trades already."""
    host = rig.host
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setattr(Engine, "_host", lambda self: host)
    monkeypatch.setattr(host, "start", lambda: None)
    monkeypatch.setattr(host, "run", lambda until: None)
    engine = Engine(rig.plan, rig.folder, "s9")
    try:
        engine.run(None)
    finally:
        engine.close()
    return read_status(rig.folder)


def test_an_engine_that_could_not_take_its_orders_back_has_failed_and_names_them(working, monkeypatch):
    """The watchdog goes home where an engine has stopped, and acts where it has failed."""
    loop, wire = working.gateway._loop, working.host.connection
    loop.call_soon_threadsafe(working.gateway.server.close_door)
    wire._loop.do(lambda: wire._wire.abort("a test"), 1.0, "abort")
    left = working.host.account.working()
    with pytest.raises(WorkbenchError, match=f"{len(left)} orders of ours could not be taken back"):
        ended(working, monkeypatch)
    status = read_status(working.folder)
    assert status["phase"] == "failed"
    assert all(f"{o.quantity} {o.symbol}" in status["error"] for o in left)
    assert [o["ref"] for o in status["open_orders"]] == [o.order_ref for o in left]
    assert working.gateway.brokerage.register.open()  # as it says
    loop.call_soon_threadsafe(working.gateway.server.open_door)


def test_an_engine_whose_cancels_are_not_confirmed_has_failed_too(working, monkeypatch):
    monkeypatch.setattr("workbench.engine.host.STOP_S", 0.2)
    monkeypatch.setattr(working.host.connection, "cancel", lambda order_id: None)  # lost on its way
    with pytest.raises(WorkbenchError, match="may still fill"):
        ended(working, monkeypatch)
    (entry,) = working.host.journal.read("stopped")
    assert entry.payload["orders left"] == len(working.host.account.working()) > 0


def test_an_engine_that_took_its_orders_back_has_stopped(working, monkeypatch):
    working.host.account.cancel_all("a test")
    working.move(5)
    assert ended(working, monkeypatch)["phase"] == "stopped"
    (entry,) = working.host.journal.read("stopped")
    assert entry.payload["orders left"] == 0


def test_an_order_that_waits_for_its_auction_beyond_recall_is_no_failure(working, monkeypatch):
    monkeypatch.setattr("workbench.engine.host.beyond_recall", lambda entry, now: True)
    assert ended(working, monkeypatch)["phase"] == "stopped"


# ---- features -------------------------------------------------------------------------------------------------------


def test_an_order_that_grows_a_symbol_without_features_is_held_back_at_the_last_look(rig):
    rig.open()
    rig.bar()
    desk = rig.host.desks[0]
    session, snapshot = desk.session, desk.snapshot
    rows = snapshot.features.latest.copy()
    rows[0] = np.nan
    rows[1, 0] = np.nan  # one of many: the models learned from such rows
    blind = replace(snapshot, features=replace(snapshot.features, latest=rows))
    book = session.portfolio.book(rig.clock.now(), (), session.carry)
    held = book.positions
    more = tuple(
        replace(rig_intent(session), order_ref=s, symbol=s, side=1 if held[i] >= 0 else -1, quantity=1)
        for i, s in enumerate(SYMBOLS[:2])
    )
    before = {h.order_ref: h.reason for h in session.guard(more, book, snapshot, False).held}
    after = {h.order_ref: h.reason for h in session.guard(more, book, blind, False).held}
    assert before == {}
    assert after == {SYMBOLS[0]: "features: features of the symbol are missing"}
