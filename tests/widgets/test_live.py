"""The live view without a browser or an engine: a state file that the test writes, and a client that answers."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import re
import threading
import time
import weakref
from pathlib import Path
from typing import Any

import ipywidgets
import numpy as np
import pytest

from workbench.config import Settings
from workbench.core.errors import ConfigError, WorkbenchError
from workbench.engine.live import EngineClient, LiveTradingSystem
from workbench.engine.plan import EnginePlan
from workbench.engine.status import read_status
from workbench.widgets import command_bar, live_path, view
from workbench.widgets.live import LiveView, card

MAIN = {
    "symbols": ["AAA", "BBB", "CCC"], "mode": "LIVE", "reason": "as it started", "demo_bundle": False, "bundle": "b1",
    "positions": {"AAA": 120}, "weights": {"AAA": 0.03}, "nav": 1_000_500.0, "cash": 970_485.0, "gross": 0.03,
    "net": 0.03, "profit_today": 500.0, "drawdown": 0.001, "held_back": ["BBB: 10 shares, price band"],
    "last_decision": {"at": "2026-03-02T14:35:00Z", "digest": "f" * 32, "target": {"BBB": -0.02},
                      "breaches": ["gross: 0.6 against 0.5, scale"]},
}  # fmt: skip
STATE: dict[str, Any] = {
    "phase": "trading", "error": "", "session": "s1", "plan": "p", "heartbeat_s": 1.0, "account": "DUSIM000001",
    "kind": "simulated", "time": "2026-03-02T14:36:30Z", "connected": True, "reconciled": True, "cycles": 1,
    "missed": 0, "last_bar": "2026-03-02T14:35:00Z", "systems": {"main": MAIN},
    "open_orders": [{"ref": "r1", "symbol": "BBB", "side": "sell", "quantity": 40, "type": "LMT", "limit": 99.5}],
    "metrics": {"latencies": {"decide": {"count": 1, "p50_s": 0.0123, "p95_s": 0.02, "p99_s": 0.02, "max_s": 0.02}}},
}  # fmt: skip


class Client:
    """An engine's client that reads a real state file and remembers what it was asked."""

    def __init__(self, folder: Path, *names: str, host: str = "") -> None:
        base = Settings().change(system={"symbols": ("AAA",)}, live={"folder": str(folder)}, broker={"host": host})
        self.plan = EnginePlan(tuple(base.change(system={"name": n}) for n in names or ("main",)))
        self.folder, self.asked = folder, []
        self.answer: str | WorkbenchError = "done: main: OBSERVE"
        self.may_answer = threading.Event()
        self.may_answer.set()

    def write(self, **changes: Any) -> None:
        state = {**STATE, "pid": os.getpid(), "heartbeat": time.time_ns(), **changes}
        (self.folder / "engine.state.json").write_text(json.dumps(state), encoding="utf-8")

    def status(self) -> dict[str, Any]:
        return read_status(self.folder)

    def command(self, action: str, reason: str, *, system: str = "") -> str:
        self.asked.append((action, reason, system))
        assert self.may_answer.wait(10)
        if isinstance(self.answer, WorkbenchError):
            raise self.answer
        return self.answer

    def start(self) -> None:
        self.asked.append(("start", "", ""))

    def stop(self, reason: str) -> dict[str, Any]:
        self.asked.append(("stop", reason, ""))
        return {"phase": "stopped"}


@pytest.fixture
def client(tmp_path: Path) -> Client:
    made = Client(tmp_path)
    made.write()
    return made


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The view's own clock: a list whose only element is the time in seconds."""
    now = [1000.0]
    monkeypatch.setattr(command_bar.time, "monotonic", lambda: now[0])
    return now


def confirm(live: LiveView, action: str, clock: list[float]) -> None:
    """Press the button of `action` twice, a second apart."""
    for _ in range(2):
        clock[0] += 1.0
        live.param.trigger(action)


def words(html: str) -> str:
    """The text of a piece of HTML."""
    return re.sub(r"\s+", " ", re.sub(r"<style>.*?</style>|<[^>]+>", " ", html, flags=re.S))


def test_state_is_shown(client: Client) -> None:
    live = LiveView(client)
    state, tables = words(live.state_html()), words(live.tables_html())
    assert "DUSIM000001 (simulated)" in state
    assert "data are 1.5 min old" in state  # 14:36:30 less 14:35:00
    assert re.search(r"heartbeat 0 s ago", state)
    assert "1,000,500.00 +500.00 0.10 % 3.0 % 3.0 % 970,485.00" in tables
    assert "AAA main 120 3.00 % 0.00 % -3.00 %" in tables
    assert "BBB main 0 0.00 % -2.00 % -2.00 %" in tables
    assert "CCC" not in tables
    assert "BBB sell 40 LMT 99.5 r1" in tables
    assert "gross: 0.6 against 0.5, scale" in tables
    assert "BBB: 10 shares, price band" in tables
    assert "decide 1 12.3 20.0 20.0 20.0" in tables


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kind": "simulated"}, "Simulated gateway: no broker, no money"),
        ({"kind": "paper", "account": "DU123"}, "Paper account DU123"),
        ({"kind": "live", "account": "U123"}, "REAL MONEY: account U123"),
        (
            {"phase": "failed", "error": "the disk is full"},
            "THE ENGINE HAS FAILED, what is shown below is old: the disk",
        ),
        ({"heartbeat": 0}, "THE ENGINE IS DEAD, what is shown below is old: no heartbeat for"),
        ({"phase": "stopped"}, "The engine has been stopped"),
        ({"phase": "warming up"}, "The engine is warming up"),
        ({"connected": False}, "Not connected to the broker"),
        ({"systems": {"main": {**MAIN, "mode": "OBSERVE", "reason": "halt was asked for"}}}, "mode OBSERVE: halt was"),
        ({"heartbeat": -4.5}, "The last heartbeat is 4 s old"),
    ],
)
def test_banner_tells_whose_money_and_what_is_wrong(client: Client, changes: dict[str, Any], said: str) -> None:
    if changes.get("heartbeat") == -4.5:
        changes = {"heartbeat": time.time_ns() - int(4.4e9)}
    client.write(**changes)
    assert said in words(LiveView(client).banner_html())


def test_real_money_is_red_and_commands_still_go(client: Client, clock: list[float]) -> None:
    client.write(kind="live", account="U123")
    live = LiveView(client)
    assert "background:#b32438" in live.banner_html()
    confirm(live, "flatten", clock)
    live.wait()
    assert client.asked == [("flatten", "flatten was pressed in the live view", "")]


def test_no_engine_and_what_the_state_lacks(tmp_path: Path) -> None:
    client = Client(tmp_path)
    live = LiveView(client)
    assert "No engine has run here yet" in words(live.banner_html())
    assert "heartbeat –" in words(live.state_html())
    assert live.pulse.age_s < 0
    assert "nothing has been decided yet" in words(live.tables_html())
    live.__panel__().get_root()  # figures without a point
    assert live.path.columns.data["at"] == []
    client.write(systems={"main": {**MAIN, "nav": None, "profit_today": None, "weights": {"AAA": None}}})
    live.refresh()
    tables = words(live.tables_html())
    assert "main LIVE – – 0.10 %" in tables
    assert "AAA main 120 – 0.00 % –" in tables
    assert live.points() == []  # an unknown value is no point of the series


def test_second_press_within_ten_seconds_confirms(client: Client, clock: list[float]) -> None:
    live = LiveView(client)
    live.reason = "odd fills"
    live.param.trigger("halt")
    assert live.armed == "halt"
    assert live.param.halt.label == "Confirm halt"
    assert "HALT is armed" in live.ask_html()
    assert client.asked == []
    clock[0] += 9.9
    live.param.trigger("halt")
    assert live.wait() == "halt: done: main: OBSERVE"
    assert client.asked == [("halt", "odd fills", "")]
    assert (live.armed, live.busy, live.param.halt.label) == ("", "", "Halt")


def test_too_late_another_button_cancel_and_escape_send_nothing(client: Client, clock: list[float]) -> None:
    live = LiveView(client)
    live.param.trigger("halt")
    clock[0] += 10.1
    live.param.trigger("halt")  # arms anew
    assert live.armed == "halt"
    live.param.trigger("flatten")
    assert (live.armed, live.param.halt.label) == ("flatten", "Halt")
    live.param.trigger("cancel")
    assert live.armed == ""
    live.param.trigger("stop")
    live.pulse.escape += 1  # as the browser does
    assert live.armed == ""
    live.param.trigger("resume")
    clock[0] += 10.1
    live.refresh()
    assert live.armed == ""
    assert client.asked == []


def test_a_double_click_or_a_held_key_confirms_nothing(client: Client, clock: list[float]) -> None:
    live = LiveView(client)
    for _ in range(30):
        live.param.trigger("flatten")
        clock[0] += 0.05
    assert (client.asked, live.armed) == ([], "flatten")
    clock[0] += 0.4
    live.param.trigger("flatten")
    live.wait()
    assert [action for action, *_ in client.asked] == ["flatten"]


def test_what_is_armed_says_for_whom(tmp_path: Path, clock: list[float]) -> None:
    client = Client(tmp_path, "one", "two")
    client.write(systems={"one": MAIN, "two": MAIN})
    live = LiveView(client)
    live.param.trigger("flatten")
    assert "FLATTEN is armed for all systems (one, two): cancel all orders" in words(live.ask_html())
    live.system = "two"
    live.param.trigger("flatten")
    assert "FLATTEN is armed for two alone" in words(live.ask_html())
    live.param.trigger("stop")  # there is one engine
    assert "STOP is armed for all systems (one, two)" in words(live.ask_html())


def test_refusals_and_errors_are_messages(client: Client, clock: list[float]) -> None:
    live = LiveView(client)
    for answer in ("refused: panic.flag says halt: remove the file first", WorkbenchError("no engine runs in X")):
        client.answer = answer
        confirm(live, "resume", clock)
        live.wait()
    assert live.problem == "resume: no engine runs in X"
    assert live.outcome == ""
    assert live.busy == ""


def test_start_asks_twice_at_a_broker_only(tmp_path: Path, clock: list[float]) -> None:
    simulated = Client(tmp_path)
    live = LiveView(simulated)
    live.param.trigger("start")
    assert "started" in live.wait()
    broker = Client(tmp_path, host="127.0.0.1")
    live = LiveView(broker)
    live.param.trigger("start")
    assert (live.armed, broker.asked) == ("start", [])
    broker.write()
    live.refresh()
    assert live.param.start.constant  # one runs: nothing to start


def test_one_command_at_a_time(client: Client, clock: list[float]) -> None:
    client.may_answer.clear()
    live = LiveView(client)
    confirm(live, "halt", clock)
    live.param.trigger("flatten")
    assert (live.busy, live.armed) == ("halt", "")
    client.may_answer.set()
    live.wait()
    assert [a for a, *_ in client.asked] == ["halt"]


def test_series_adds_systems_in_dollars(tmp_path: Path) -> None:
    client = Client(tmp_path, "one", "two")
    systems = {"one": {**MAIN, "nav": 300.0, "gross": 0.5, "net": -0.5}, "two": {**MAIN, "nav": 100.0, "gross": 0.1}}
    client.write(systems=systems)
    live = LiveView(client)
    client.write(systems={**systems, "two": {**MAIN, "nav": 200.0}}, time="2026-03-02T14:37:30Z")
    live.refresh()
    live.refresh()  # the same moment again adds nothing
    told = live.path.columns.data
    assert told["nav"] == [400.0, 500.0]
    minutes = [str(np.datetime64(int(at), "ms"))[:19] for at in told["at"]]
    assert minutes == ["2026-03-02T14:36:30", "2026-03-02T14:37:30"]
    np.testing.assert_allclose(told["gross"], [100 * (150 + 10) / 400, 100 * (150 + 6) / 500])
    np.testing.assert_allclose(told["net"], [100 * (-150 + 3) / 400, 100 * (-150 + 6) / 500])
    live.system = "two"
    assert live.path.columns.data["nav"] == [100.0, 200.0]


def test_series_is_bounded(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_path, "KEPT", 3)
    live = LiveView(client)
    for minute in range(40, 50):
        client.write(time=f"2026-03-02T14:{minute}:00Z")
        live.refresh()
    assert [int(at / 60_000) % 60 for at in live.path.columns.data["at"]] == [47, 48, 49]


def test_commands_go_to_the_chosen_system(tmp_path: Path, clock: list[float]) -> None:
    client = Client(tmp_path, "one", "two")
    client.write(systems={"one": MAIN, "two": MAIN})
    live = LiveView(client)
    live.system = "two"
    confirm(live, "observe", clock)
    live.wait()
    assert client.asked[0][2] == "two"
    assert "one" not in words(live.tables_html()).replace("none", "")


def test_follows_until_closed_and_shows_outcomes_from_the_loop(client: Client) -> None:
    shown_by: list[int] = []

    async def kernel() -> None:
        live = LiveView(client)
        live.param.watch(lambda _: shown_by.append(threading.get_ident()), "outcome")
        live.__panel__()
        beats = live.pulse.beats
        live.param.trigger("halt")
        await asyncio.sleep(1.2 * command_bar.APART_S)
        live.param.trigger("halt")
        for _ in range(100):
            await asyncio.sleep(0.02)
            if live.outcome:
                break
        assert live.outcome == "halt: done: main: OBSERVE"
        assert live.pulse.beats > beats
        live.close()
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    before = set(threading.enumerate())
    asyncio.run(kernel())
    assert set(shown_by) == {threading.get_ident()}
    assert set(threading.enumerate()) <= before


def test_following_ends_with_the_view(client: Client) -> None:
    async def kernel() -> None:
        live = LiveView(client, interval_s=1.0)
        live.follow()
        alive, task = weakref.ref(live), live._task
        assert task is not None
        await asyncio.sleep(0)
        del live
        gc.collect()
        assert alive() is None
        task.cancel()

    asyncio.run(kernel())


def test_script_is_told_to_refresh_by_itself(client: Client) -> None:
    with pytest.raises(ConfigError, match="in a script call refresh"):
        LiveView(client).follow()
    with pytest.raises(ConfigError, match=r"interval_s=0\.5: .* at most once in 1 s"):
        LiveView(client, interval_s=0.5)


def test_widget_is_made_of_ipywidgets(client: Client, clock: list[float]) -> None:
    live = LiveView(client)
    turns = live.widget().children[2].children
    buttons = {b.description: b for b in turns if isinstance(b, ipywidgets.Button)}
    assert set(buttons) == {"Observe", "Halt", "Flatten", "Resume", "Stop", "Start", "Disarm"}
    assert buttons["Start"].disabled
    assert all(b.tooltip for b in buttons.values())
    turns[0].value = "why not"
    buttons["Halt"].click()
    assert buttons["Halt"].description == "Confirm halt"
    clock[0] += 1.0
    buttons["Confirm halt" if "Confirm halt" in buttons else "Halt"].click()
    live.wait()
    assert client.asked == [("halt", "why not", "")]
    assert buttons["Halt"].description == "Halt"


def test_refresh_is_cheap(client: Client) -> None:
    live = LiveView(client)
    began = time.perf_counter()
    for _ in range(20):
        live.refresh()
    assert (time.perf_counter() - began) / 20 < 0.25


def test_card_and_view_of_a_system(tmp_path: Path) -> None:
    settings = Settings().change(system={"symbols": ("AAA",)}, live={"folder": str(tmp_path)})
    system = LiveTradingSystem(settings)
    assert "No engine has run here yet" in card(system)
    Client(tmp_path).write(kind="live", account="U9")
    assert "REAL MONEY: account U9" in card(system)
    made = view(system)
    assert isinstance(made, LiveView)
    assert isinstance(made.client, EngineClient)
    assert made.status["phase"] == "trading"
