"""The live page over journals that the tests write: what it shows, what it says is wrong, looking back, commands."""

from __future__ import annotations

import asyncio
import gc
import re
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from workbench.commands import CommandError, CommandStore
from workbench.config import Settings
from workbench.core.errors import WorkbenchError
from workbench.dash import live_commands, live_texts
from workbench.dash.access import Person
from workbench.dash.feed import JournalFeed, Look
from workbench.dash.guard import guarded
from workbench.dash.live_commands import CommandSender
from workbench.dash.live_page import LivePage
from workbench.dash.live_travel import Chaser, Travel
from workbench.dash.settings import DashSettings
from workbench.engine.codec import live_codec
from workbench.engine.plan import EnginePlan
from workbench.journal import Mark, SqlJournal
from workbench.schedule.history import Alert
from workbench.widgets import live_tables
from workbench.widgets.command_bar import ALL

sys.path.append(str(Path(__file__).resolve().parents[1] / "widgets"))
from made_decisions import SYMBOLS, made

NS = 1_000_000_000
BAR = 300 * NS
FIRST = 1_772_461_800 * NS  # 2026-03-02T14:30:00Z
WATCHER, OPERATOR = Person("bob", "viewer"), Person("ann", "operator")


class Engine:
    """Writes a journal as an engine does."""

    def __init__(self, folder: Path, *names: str, session: str = "s1") -> None:
        self.folder, self.names = folder, names or ("main",)
        folder.mkdir(exist_ok=True)
        self.journal = SqlJournal(folder / "journal.db", session=session, codec=live_codec())
        branches = {"sizing": {"max_weight": 0.05, "target_gross": 0.5}}
        plan = EnginePlan(
            tuple(Settings().change(system={"name": n, "symbols": SYMBOLS}, **branches) for n in self.names)
        )
        about = {"account": "DU1", "kind": "simulated", "runtime": {}, "plan": plan.to_public_json(), "bundles": {}}
        self.journal.record("engine", FIRST, about)

    def state(self, at: int = FIRST, phase: str = "trading", **systems: Any) -> None:
        told = {n: {**SYSTEM, **systems.get(n, {})} for n in self.names}
        view = {"phase": phase, "account": "DU1", "kind": "simulated", "heartbeat_s": 1.0, "open_orders": [],
                "orders_last_minute": 3, "reports": 7, "cycles": 1, "missed": 0, "connected": True, "reconciled": True,
                "time": "2026-03-02T14:36:00Z", "last_bar": "2026-03-02T14:35:00Z", "systems": told,
                "metrics": {}}  # fmt: skip
        self.journal.record("state", at, view)
        self.journal.beat(phase)

    def decide(self, bar: int, system: str = "main", **values: Any) -> int:
        at = FIRST + bar * BAR
        d, snapshot, book = made(known_at=at, **values)
        payload = {"decision": d, "snapshot": snapshot, "book": book, "mode": "LIVE"}
        return self.journal.record("decision", at, payload, system=system)


SYSTEM = {
    "symbols": list(SYMBOLS), "mode": "LIVE", "reason": "as it started", "demo_bundle": False, "bundle": "b1",
    "positions": {"AAA": 40}, "weights": {"AAA": 0.04}, "nav": 1000.0, "cash": 960.0, "gross": 0.04, "net": 0.04,
    "profit_today": -5.0, "drawdown": 0.01, "last_decision": None, "held_back": [],
}  # fmt: skip


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    made_engine = Engine(tmp_path)
    yield made_engine
    made_engine.journal.close()


def page_of(folder: Path, person: Person = WATCHER, journal: str = "journal.db") -> LivePage:
    feed = JournalFeed(folder / journal)
    feed.refresh()
    return LivePage(DashSettings(folder=folder, secrets=folder), person, feed)


def again(page: LivePage) -> LivePage:
    """What happens every second."""
    page.feed.refresh()
    page.refresh()
    return page


def words(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub("<[^>]+>", " ", html)).strip()


def until(done: Callable[[], bool]) -> Any:
    """Let the event loop run until `done`."""

    async def wait() -> None:
        for _ in range(500):
            if done():
                return
            await asyncio.sleep(0.01)
        raise AssertionError("it did not happen within 5 s")

    return wait()


# ---- what is shown ------------------------------------------------------------------------------------------------


def test_the_newest_decision_and_what_is_held_now(engine: Engine) -> None:
    engine.state()
    engine.decide(1, alpha_bps=3.0, target=(0.03, -0.01, 0.0), held=0.0, gate=0.7)
    page = page_of(engine.folder)
    assert page.panels.map is not None
    assert page.panels.holdings is not None
    assert set(page.panels.map.columns.data["number"]) == {"+3.00"}
    told = page.panels.holdings.columns.data
    assert told["target"].tolist() == pytest.approx([0.03, -0.01, 0.0])
    assert told["held"].tolist() == pytest.approx([0.04, 0.0, 0.0])  # the state of now, not the book of then
    tiles = words(page.tiles.object)
    for part in ("NAV, USD 1,000", "P&amp;L today, USD -5", "drawdown 1.00 %", "orders / min 3", "data age 1.0 min"):
        assert part in tiles
    assert re.search("main LIVE 1,000.00 .* as it started", words(page.modes.object))
    assert "largest weight 4.00 % of 5.00 % near" in words(page.panels.limits.object)
    assert "AAA main 40 4.00 %" in words(page.positions.object)
    assert page.panels.shares.columns.data["mean"][0] == 1.0
    assert page.travel.mark is not None
    assert page.place.object == ""


def test_a_cycle_changes_cells_and_weights_and_nothing_else_is_touched(engine: Engine) -> None:
    engine.state()
    engine.decide(1, alpha_bps=3.0)
    page = page_of(engine.folder)
    touched: list[str] = []
    for name in ("banner", "tiles", "modes", "positions", "orders", "fills", "latencies", "happenings"):
        getattr(page, name).param.watch(lambda _, n=name: touched.append(n), "object")
    again(page)
    assert touched == []
    engine.decide(2, alpha_bps=-1.0, target=0.02)
    again(page)
    assert page.panels.map is not None
    assert set(page.panels.map.columns.data["number"]) == {"-1.00"}
    assert page.travel.place == 1
    assert touched == []
    engine.state(FIRST + NS, main={"nav": 1100.0, "weights": {"AAA": 0.05}})
    again(page)
    assert set(touched) == {"tiles", "modes", "positions"}
    assert page.path.columns.data["nav"] == [1000.0, 1100.0]
    assert page.path.columns.data["drawdown"] == [-1.0, -1.0]
    assert page.panels.holdings is not None
    assert page.panels.holdings.columns.data["held"][0] == pytest.approx(0.05)


def test_all_systems_of_a_manager_are_added_or_one_is_chosen(tmp_path: Path) -> None:
    engine = Engine(tmp_path, "one", "two")
    engine.state(one={"nav": 300.0, "gross": 0.5}, two={"nav": 100.0, "gross": 0.1})
    engine.decide(1, "one", alpha_bps=1.0)
    engine.decide(1, "two", alpha_bps=2.0)
    page = page_of(tmp_path)
    assert page.system.options == [ALL, "one", "two"]
    assert "NAV, USD 400" in words(page.tiles.object)
    assert "gross 40.0 %" in words(page.tiles.object)  # (150 + 10) / 400
    assert page.path.columns.data["nav"] == [400.0]
    assert "one, decided at 2026-03-02 14:35:00 UTC" in words(page.panels.about.object)
    page.system.value = "two"
    assert "NAV, USD 100" in words(page.tiles.object)
    assert page.path.columns.data["nav"] == [100.0]
    assert page.panels.map is not None
    assert set(page.panels.map.columns.data["number"]) == {"+2.00"}
    engine.journal.close()


def test_a_restarted_engine_takes_the_place_of_the_one_before(engine: Engine) -> None:
    engine.state(main={"nav": 1.0})
    engine.decide(1, alpha_bps=3.0)
    page = page_of(engine.folder)
    engine.journal.close()
    newer = Engine(engine.folder, session="s2")
    newer.state(main={"nav": 2.0})
    again(page)
    assert page.log is not None
    assert page.log.session == "s2"
    assert page.path.columns.data["nav"] == [2.0]
    assert "decided nothing in this session yet" in words(page.waits.object)
    assert page.panels.shown.objects == []
    assert list(page.session.options.values()) == ["", "s1"]
    newer.journal.close()


# ---- what is wrong ------------------------------------------------------------------------------------------------


def test_no_journal_and_an_empty_one_say_what_is_waited_for(tmp_path: Path) -> None:
    page = page_of(tmp_path)
    assert "THE JOURNAL CANNOT BE READ: there is no journal journal.db" in words(page.banner.object)
    SqlJournal(tmp_path / "journal.db", session="s1", codec=live_codec()).close()
    again(page)
    assert page.banner.object == ""
    assert "The journal is empty: no engine has written to it yet" in words(page.waits.object)
    assert [part.objects for part in (page._state_at, page._path_at, page._tables_at)] == [[], [], []]
    engine = Engine(tmp_path)
    again(page)
    assert "Session s1 has only begun" in words(page.waits.object)
    engine.state()
    again(page)
    assert "main has decided nothing in this session yet" in words(page.waits.object)
    engine.journal.close()


def test_a_journal_that_goes_away_leaves_what_was_known_with_its_age(engine: Engine) -> None:
    engine.state()
    engine.decide(1)
    page = page_of(engine.folder)
    engine.journal.close()
    for file in engine.folder.glob("journal.db*"):
        file.unlink()
    again(page)
    assert re.search(r"THE JOURNAL CANNOT BE READ: .* What is shown was read \d+ s ago", words(page.banner.object))
    assert "NAV, USD 1,000" in words(page.tiles.object)


def test_a_dead_a_failed_and_a_stopped_engine_are_told_apart(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    engine.state()
    engine.decide(1)
    page = page_of(engine.folder)
    assert page.travel._switch.label == "● Live"
    for phase, said in (("failed", "THE ENGINE HAS FAILED"), ("stopped", "The engine has been stopped")):
        engine.state(FIRST + NS, phase=phase)
        again(page)
        assert said in words(page.banner.object)
        assert page.travel._switch.label == "Newest"
    engine.state(FIRST + 2 * NS)
    page.feed.refresh()
    later = time.time_ns() + 60 * NS
    monkeypatch.setattr(time, "time_ns", lambda: later)
    page.refresh()
    assert "THE ENGINE IS DEAD, what is shown below is old: no sign of life for" in words(page.banner.object)
    assert "The journal was last read" in words(page.banner.object)  # nobody reads: the page does not look alive


def test_an_engine_that_lives_but_shows_no_new_state_does_not_look_current(engine: Engine) -> None:
    engine.state()
    page = page_of(engine.folder)
    look, log = page.feed.look, page.log
    assert log is not None
    patience = 3 * Settings().system.update_interval
    for late, warned in ((patience - 5, False), (patience + 5, True)):
        now = log.state_at + late * NS
        told = words(live_texts.banner(replace(look, read_at=now), log, {**look.status(0), "alive": True}, now))
        assert ("The engine lives, but last showed its state" in told) is warned


def test_a_page_that_can_show_only_a_part_does_not_say_that_it_was_updated(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.state()
    page = page_of(engine.folder)
    beats = page.pulse.beats

    def broken(log: Any) -> None:
        raise LookupError("a figure")

    monkeypatch.setattr(page, "lay_out", broken)
    with pytest.raises(LookupError):
        page.refresh()
    assert page.pulse.beats == beats
    monkeypatch.undo()
    page.refresh()
    assert page.pulse.beats == beats + 1


def test_real_money_is_red(engine: Engine) -> None:
    view = {"phase": "trading", "kind": "live", "account": "U1", "open_orders": [], "systems": {"main": SYSTEM}}
    engine.journal.record("state", FIRST, view)
    engine.journal.beat("trading")
    assert "REAL MONEY: account U1" in words(page_of(engine.folder).money.object)


# ---- looking back -------------------------------------------------------------------------------------------------


def test_dragging_back_shows_that_decision_and_live_goes_on(engine: Engine) -> None:
    engine.state()
    for bar in range(1, 4):
        engine.decide(bar, alpha_bps=float(bar), held=0.01 * bar, gate=0.1 * bar)
    page = page_of(engine.folder)
    panels = page.panels

    async def look_back() -> None:
        page.travel._slider.value = 0
        await until(lambda: panels.decided is not None and panels.decided.mark.known_at == FIRST + BAR)
        assert panels.map is not None
        assert panels.holdings is not None
        assert set(panels.map.columns.data["number"]) == {"+1.00"}
        assert panels.holdings.columns.data["held"].tolist() == pytest.approx([0.01] * 3)  # the book of then
        assert "You look at 14:35 UTC of 2026-03-02" in words(page.place.object)
        assert "live goes on" in words(page.place.object)
        assert page._mark.data["at"] == [(FIRST + BAR) / 1e6]
        assert "gross 3.00 %" in words(panels.limits.object)
        engine.decide(4, alpha_bps=4.0)
        engine.state(FIRST + NS, main={"weights": {"AAA": 0.5}})
        again(page)
        assert set(panels.map.columns.data["number"]) == {"+1.00"}  # it stays where one looks
        assert panels.holdings.columns.data["held"].tolist() == pytest.approx([0.01] * 3)
        assert page.travel.place == 0
        page.travel._next.clicks += 1
        await until(lambda: panels.decided is not None and panels.decided.mark.known_at == FIRST + 2 * BAR)
        page.travel._switch.value = True
        assert set(panels.map.columns.data["number"]) == {"+4.00"}
        assert page.place.object == ""
        assert panels.holdings.columns.data["held"][0] == pytest.approx(0.5)

    asyncio.run(look_back())


def test_a_past_session_is_shown_as_it_ended(engine: Engine) -> None:
    engine.state(main={"nav": 111.0})
    engine.decide(1, alpha_bps=7.0)
    engine.journal.close()
    newer = Engine(engine.folder, session="s2")
    newer.state(main={"nav": 222.0})
    newer.decide(1, alpha_bps=1.0)
    page = page_of(engine.folder)

    async def turn_back() -> None:
        page.session.value = "s1"
        await until(lambda: page.log is not None and page.log.session == "s1")
        await until(lambda: page.panels.decided is not None)
        assert "NAV, USD 111" in words(page.tiles.object)
        assert "This session is over: what is shown is how it ended" in words(page.banner.object)
        assert page.panels.map is not None
        assert set(page.panels.map.columns.data["number"]) == {"+7.00"}
        assert page.travel.over
        page.session.value = ""
        assert "NAV, USD 222" in words(page.tiles.object)
        assert set(page.panels.map.columns.data["number"]) == {"+1.00"}

    asyncio.run(turn_back())
    newer.journal.close()


def test_no_command_is_given_from_a_past_session_whose_account_may_be_another(engine: Engine) -> None:
    view = {"phase": "trading", "kind": "live", "account": "U1", "open_orders": [], "systems": {"main": SYSTEM}}
    engine.journal.record("state", FIRST, view)
    engine.journal.close()
    newer = Engine(engine.folder, session="s2")
    newer.state()
    CommandStore(engine.folder / "commands.db", engine.folder / "commands.key").close()
    page = page_of(engine.folder, OPERATOR)
    assert page.bar is not None
    page.bar.reason = "odd fills"
    page.bar.param.trigger("flatten")
    assert (page._bar_at.visible, page.bar.armed) == (True, "flatten")

    async def turn_back() -> None:
        page.session.value = "s1"
        await until(lambda: page.log is not None and page.log.session == "s1")
        told = words(page.money.object)
        assert "REAL MONEY: account U1." in told
        assert "Every command on this page acts on it" not in told
        assert page.bar is not None
        assert (page._bar_at.visible, page.bar.armed) == (False, "")
        page.session.value = ""
        assert page._bar_at.visible
        assert "Simulated gateway" in words(page.money.object)

    asyncio.run(turn_back())
    newer.journal.close()


def test_the_receipt_opens_where_one_clicks_and_follows_the_decision(engine: Engine) -> None:
    engine.state()
    for bar in (1, 2):
        engine.decide(bar, alpha_bps=float(bar), target=0.01 * bar)
    page = page_of(engine.folder)

    async def click() -> None:
        panels = page.panels
        panels._tapped("BBB")
        await until(lambda: panels.receipt is not None)
        assert panels.receipt is not None
        assert panels.receipt.symbol == "BBB"
        assert panels.receipt.receipt.target_weight == pytest.approx(0.02)
        page.travel.go(0)
        await until(lambda: panels.receipt is not None and panels.receipt.receipt.known_at == FIRST + BAR)
        assert panels.receipt.receipt.target_weight == pytest.approx(0.01)
        panels._tapped("CCC")
        assert panels.receipt.symbol == "CCC"
        panels._tapped("CCC")
        assert panels.receipt is None
        assert panels._receipt_at.objects == []

    asyncio.run(click())


def test_the_latest_drag_wins_and_the_event_loop_is_never_blocked() -> None:
    may, shown, loaded = threading.Event(), [], []

    def load(key: int) -> str:
        loaded.append(key)
        assert may.wait(10)
        if key == 9:
            raise WorkbenchError("it is gone")
        return f"decision {key}"

    async def drag() -> None:
        chaser = Chaser(load, lambda key, found: shown.append((key, str(found))), lambda act: act())
        for key in range(6):
            chaser.ask(key)
            await asyncio.sleep(0)
        await until(lambda: bool(loaded))  # runs on while the first one loads
        may.set()
        await until(lambda: not chaser.busy)
        assert shown == [(5, "decision 5")]
        assert loaded[-1] == 5
        assert len(loaded) <= 2
        chaser.ask(9)
        await until(lambda: not chaser.busy)
        assert shown[-1] == (9, "it is gone")
        chaser.ask(7)
        chaser.forget()
        await until(lambda: not chaser.busy)
        assert len(shown) == 2

    asyncio.run(drag())


def test_the_slider_keeps_the_decision_when_older_ones_are_forgotten() -> None:
    travel = Travel()
    travel.offer([Mark(n, n, "main") for n in (10, 20, 30)], over=False)
    assert (travel.place, travel.live) == (2, True)
    travel.go(1)
    travel.offer([Mark(n, n, "main") for n in (20, 30, 40)], over=False)
    assert (travel.mark, travel.live) == (Mark(20, 20, "main"), False)
    travel.follow(True)
    assert travel.mark == Mark(40, 40, "main")
    travel.go(99)
    assert travel.place == 2


def test_a_closed_page_leaves_nothing_behind(engine: Engine) -> None:
    engine.state()
    engine.decide(1)
    page = page_of(engine.folder)
    feed, gone = page.feed, weakref.ref(page)
    page.close()
    del page
    gc.collect()
    assert gone() is None
    assert feed.look.log is not None


# ---- commands -----------------------------------------------------------------------------------------------------


def test_a_viewer_has_no_buttons_and_an_operator_only_where_they_work(engine: Engine) -> None:
    engine.state()
    CommandStore(engine.folder / "commands.db", engine.folder / "commands.key").close()
    assert page_of(engine.folder, WATCHER).bar is None
    assert page_of(engine.folder, OPERATOR).bar is not None
    (engine.folder / "commands.key").unlink()
    page = page_of(engine.folder, OPERATOR)
    assert page.bar is None
    assert "there is no key commands.key" in words(page.asked.object)
    assert not (engine.folder / "commands.key").exists()  # a page makes none


@pytest.fixture
def store(tmp_path: Path) -> Iterator[CommandStore]:
    with CommandStore(tmp_path / "commands.db", tmp_path / "commands.key") as made_store:
        yield made_store


def test_what_an_operator_confirms_reaches_the_engine_with_his_name(tmp_path: Path, store: CommandStore) -> None:
    sender = CommandSender(DashSettings(folder=tmp_path, secrets=tmp_path), OPERATOR, lambda: True)
    told: list[str] = []
    asking = threading.Thread(target=lambda: told.append(sender("flatten", "odd fills", "main")))
    asking.start()
    for _ in range(500):
        if taken := store.take(time.time_ns()):
            break
        asking.join(0.01)
    (command,) = taken
    assert (command.action, command.issuer, command.role, command.reason, command.system) == (
        "flatten", "ann", "operator", "odd fills", "main",
    )  # fmt: skip
    store.acknowledge(command.id, "done: main: EMERGENCY", time.time_ns())
    asking.join(10)
    assert told == ["done: main: EMERGENCY"]


def test_a_viewer_is_refused_where_it_counts_and_a_dead_engine_is_not_asked(
    tmp_path: Path, store: CommandStore
) -> None:
    settings = DashSettings(folder=tmp_path, secrets=tmp_path)
    with pytest.raises(CommandError, match="bob has the role viewer, which may look, not act"):
        CommandSender(settings, WATCHER, lambda: True)("flatten", "why not", "")
    removed = Person("carl", "operator", "an-entry-that-is-gone")
    with pytest.raises(CommandError, match="carl is no longer among the users"):
        CommandSender(settings, removed, lambda: True)("flatten", "why not", "")
    for action in ("resume", "observe"):
        with pytest.raises(CommandError, match="no engine gives a sign of life"):
            CommandSender(settings, OPERATOR, lambda: False)(action, "why not", "")
    assert store.history() == ()


@pytest.mark.parametrize("action", ["halt", "flatten", "cancel"])
def test_what_ends_trading_is_sent_to_an_engine_that_only_seems_dead(
    tmp_path: Path, store: CommandStore, monkeypatch: pytest.MonkeyPatch, action: str
) -> None:
    """Its step hangs, or the journal is locked: its heart takes these commands all the same."""
    monkeypatch.setattr(live_commands, "PATIENCE_S", 0.0)
    sender = CommandSender(DashSettings(folder=tmp_path, secrets=tmp_path), OPERATOR, lambda: False)
    with pytest.raises(CommandError, match=r"not taken within 0 s.*positions stay.*workbench live.*hangs.*panic\.flag"):
        sender(action, "odd fills", "")
    (command,) = store.take(time.time_ns())
    assert (command.action, command.issuer) == (action, "ann")


def test_a_command_that_nobody_takes_is_told(
    tmp_path: Path, store: CommandStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_commands, "PATIENCE_S", 0.0)
    sender = CommandSender(DashSettings(folder=tmp_path, secrets=tmp_path), OPERATOR, lambda: True)
    with pytest.raises(CommandError, match=r"not taken within 0 s; it expires by itself, look at the happenings$"):
        sender("halt", "try", "")
    (outcome,) = store.history()
    assert outcome.state == "waiting"


# ---- words --------------------------------------------------------------------------------------------------------


def test_unknown_figures_are_dashes() -> None:
    told = words(live_texts.tiles({"systems": {"main": {"nav": None}}}, ("main",), float("nan")))
    assert "NAV, USD –" in told
    assert "open orders –" in told
    assert "messages / min –" in told
    assert "Opening the journal" in live_texts.banner(Look(), None, {}, 0)


def test_an_empty_journal_is_not_opened_for_ever(tmp_path: Path) -> None:
    with SqlJournal(tmp_path / "journal.db", session="s1", codec=live_codec()):
        page = page_of(tmp_path)
    assert page.banner.object == ""
    assert "The journal is empty" in words(page.waits.object)


def test_a_session_that_ended_before_it_decided_promises_nothing(engine: Engine) -> None:
    engine.state(phase="failed")
    assert words(page_of(engine.folder).waits.object) == "Session s1 ended before main decided anything."


def test_figures_are_grey_while_nobody_renews_them_and_not_after(engine: Engine) -> None:
    engine.state()
    page = page_of(engine.folder)
    assert page.tiles.styles == page.modes.styles == {"opacity": "1"}
    engine.state(FIRST + NS, phase="stopped")
    again(page)
    assert page.tiles.styles == {"opacity": "0.55"}
    engine.journal.close()
    newer = Engine(engine.folder, session="s2")
    newer.state()
    again(page)
    assert page.tiles.styles == page.modes.styles == {"opacity": "1"}  # {} would leave the browser's as it was
    newer.journal.close()


def test_with_several_systems_every_title_says_whose_it_is_and_commands_follow_the_choice(tmp_path: Path) -> None:
    engine = Engine(tmp_path, "one", "two")
    engine.state(one={"gross": 0.5}, two={"gross": 0.6})
    engine.decide(1, "one")
    engine.decide(1, "two")
    CommandStore(tmp_path / "commands.db", tmp_path / "commands.key").close()
    page = page_of(tmp_path, OPERATOR)
    titles, limits = page.panels.titles, page.panels.limits
    assert page.bar is not None
    assert page.bar.system == ALL
    assert words(titles["map"].object).startswith("Alpha of one by horizon")
    assert words(titles["limits"].object) == "Exposures of each system against limits"
    assert re.search("one 50.00 of 50 % near .* two 60.00 of 50 % OVER", words(limits.object))
    page.system.value = "two"
    assert page.bar.system == "two"
    assert words(titles["gates"].object).startswith("Gate of two:")
    assert words(titles["limits"].object) == "Exposures of two against limits"
    assert "gross 60.00 % of 50.00 % OVER" in words(limits.object)
    page.system.value = ALL
    assert page.bar.system == ALL
    engine.journal.close()


def test_a_decision_that_wants_nothing_says_why(engine: Engine) -> None:
    engine.state()
    alpha = np.full((9, 3), 0.1)
    alpha[2, 1] = -3.0
    engine.decide(1, alpha_bps=alpha, cost_bps=4.0, state=1)
    page = page_of(engine.folder)
    assert words(page.panels.idle.object) == (
        "Nothing is held and nothing is wanted: no alpha earns the round trip that it would cost. "
        "The nearest is BBB over 15m: 3.00 bps against a round trip of 8.00 bps."
    )
    for bar, values, said in (
        (2, {"state": 0, "cost_bps": np.nan}, "everything is unknown: no cost."),
        (3, {"state": 2}, "3 names have an edge after costs, but gate"),
        (4, {"state": 2, "target": 0.01}, ""),
        (5, {"state": 1, "held": 0.01}, ""),
    ):
        engine.decide(bar, **values)
        again(page)
        told = words(page.panels.idle.object)
        assert said in told if said else told == ""


@pytest.mark.parametrize(
    ("now", "said"),
    [
        ("2026-03-02T14:30:00Z", ""),  # the opening itself
        ("2026-03-02T14:29:59Z", "closed until Monday 2 March 2026, 09:30 in New York (14:30 UTC)"),
        ("2026-03-06T21:00:01Z", "closed until Monday 9 March 2026, 09:30 in New York (13:30 UTC)"),  # summer time
        ("2026-11-27T18:30:00Z", "closed until Monday 30 November 2026, 09:30 in New York (14:30 UTC)"),  # early close
        ("", ""),
    ],
)
def test_a_closed_exchange_says_when_it_opens(now: str, said: str) -> None:
    told = live_texts.closed_until(now)
    assert said in words(told) if said else told == ""


def test_ages_by_a_fast_clock_and_the_day_of_a_profit_are_named() -> None:
    status = {"systems": {}, "time": "2026-03-03T03:00:00Z", "last_bar": "2026-03-02T21:00:00Z"}
    told = words(live_texts.tiles(status, ("main",), 1.0, fast=True))
    assert "age, market time 6 h" in told
    assert "P&amp;L of 2026-03-02, USD" in told
    assert "data age 6 h" in words(live_texts.tiles(status, ("main",), 1.0))


def test_a_dead_engine_says_what_becomes_of_positions_and_systems_share_a_reason(tmp_path: Path) -> None:
    dead = {"phase": "dead", "alive": False, "error": "no sign of life for 60 s"}
    told = words(live_tables.troubles(dead))
    assert "positions stay" in told
    assert "`workbench live` starts it again" in told
    why = {"mode": "DEGRADED", "reason": "the broker is away"}
    status = {"phase": "trading", "alive": True, "systems": {"a": why, "b": why, "c": {"mode": "LIVE"}}}
    assert words(live_tables.troubles(status)) == "a, b are in mode DEGRADED: the broker is away"


def test_an_engine_that_refuses_is_no_success(tmp_path: Path, store: CommandStore) -> None:
    sender = CommandSender(DashSettings(folder=tmp_path, secrets=tmp_path), OPERATOR, lambda: True)
    refused: list[str] = []

    def ask() -> None:
        with pytest.raises(CommandError) as caught:
            sender("resume", "try", "main")
        refused.append(str(caught.value))

    asking = threading.Thread(target=ask)
    asking.start()
    with CommandStore(tmp_path / "commands.db", tmp_path / "other.key") as stranger:  # whose key is another
        while asking.is_alive():
            stranger.take(time.time_ns())
            asking.join(0.01)
    (told,) = refused
    assert told.startswith("refused: forged")


def test_a_page_that_fails_every_second_says_so_and_recovers(caplog: pytest.LogCaptureFixture) -> None:
    told: list[str] = []
    broken = [True]

    def refresh() -> None:
        if broken[0]:
            raise LookupError("secret detail")

    beat = guarded(refresh, told.append)
    beat()
    beat()
    assert len(told) == 1  # not every second
    assert "This page failed; the server&#x27;s log says why." in told[0]
    assert "secret detail" not in told[0]
    assert len([r for r in caplog.records if r.exc_info]) == 1
    broken[0] = False
    beat()
    assert told[1:] == [""]


def test_points_come_when_the_last_system_has_told() -> None:
    from workbench.dash.session_log import Sample

    samples = [Sample(1, "a", 10.0, 0.1, 0.1, 1.0, 0.0), Sample(1, "b", 30.0, 0.5, -0.5, 2.0, 0.0)]
    latest: dict[str, Any] = {}
    assert live_texts.points(samples[:1], latest, ("a", "b")) == []
    ((at, figures),) = live_texts.points(samples[1:], latest, ("a", "b"))
    assert (at, figures[0], figures[3]) == (1, 40.0, 3.0)
    np.testing.assert_allclose(figures[1], (1 + 15) / 40)


def test_alerts_of_the_desk_stand_above_everything_for_a_day() -> None:
    at = 1_772_461_800 * 10**9
    look = Look(
        read_at=at, alerts=(Alert(at, "live", "live-1", "no heartbeat <for> 30 s"), Alert(5, "train", "", "old"))
    )
    told = live_texts.banner(look, None, {"alive": False, "phase": "none"}, at + 10**9)
    assert "2026-03-02 14:30 UTC, desk, live: no heartbeat &lt;for&gt; 30 s" in told
    assert "train" not in told
    assert "desk" not in live_texts.banner(look, None, {"alive": False, "phase": "none"}, at + 2 * 86_400 * 10**9)
