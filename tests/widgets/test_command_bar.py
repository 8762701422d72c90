"""The buttons of a page: what needs two presses and a reason, and what is sent then. No engine, no browser."""

from __future__ import annotations

import threading
import time

import pytest

from workbench.commands import CommandError
from workbench.widgets import command_bar
from workbench.widgets.command_bar import APART_S, CONFIRM_S, CommandBar


class Store:
    """Remembers what it was asked, answers when it may."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str]] = []
        self.answer: str | Exception = "done"
        self.may = threading.Event()
        self.may.set()

    def __call__(self, action: str, reason: str, system: str) -> str:
        self.asked.append((action, reason, system))
        assert self.may.wait(10)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(command_bar.time, "monotonic", lambda: now[0])
    return now


def confirm(bar: CommandBar, action: str, clock: list[float]) -> None:
    for _ in range(2):
        clock[0] += 1.0
        bar.param.trigger(action)


def test_no_start_and_no_stop_among_the_buttons() -> None:
    bar = CommandBar(("main",), Store())
    assert bar.turns == ("reason", "observe", "resume", "cancel_orders", "halt", "flatten", "cancel")
    assert [b.name for b in bar.controls()[1:]] == ["Observe", "Resume", "Cancel orders", "Halt", "Flatten", "Disarm"]
    two = CommandBar(("one", "two"), Store())
    assert "system" in two.turns
    assert two.controls()[1].name == "Act on"  # a page has another chooser, of what it shows


def test_without_a_reason_nothing_is_even_armed(clock: list[float]) -> None:
    store = Store()
    bar = CommandBar(("main",), store)
    bar.reason = "   "
    confirm(bar, "flatten", clock)
    assert (bar.armed, store.asked) == ("", [])
    assert bar.problem == "Flatten needs a reason: write why, then press again. It is journaled."
    bar.reason = "odd fills"
    clock[0] += 1
    bar.param.trigger("flatten")
    assert (bar.armed, bar.problem) == ("flatten", "")


def test_a_second_press_sends_with_the_reason(clock: list[float]) -> None:
    store = Store()
    bar = CommandBar(("main",), store)
    bar.reason = " odd fills "
    confirm(bar, "halt", clock)
    assert bar.wait() == "halt: done"
    assert bar.reason == ""  # the next command has a reason of its own
    bar.reason = "again"
    confirm(bar, "cancel_orders", clock)
    assert bar.wait() == "cancel orders: done"
    assert store.asked == [("halt", "odd fills", ""), ("cancel", "again", "")]


def test_the_button_that_disarms_is_there_only_while_something_is_armed(clock: list[float]) -> None:
    bar = CommandBar(("main",), Store())
    disarm = bar.controls()[-1]
    bar.reason = "try"
    assert not disarm.visible
    bar.param.trigger("halt")
    assert disarm.visible
    bar.param.trigger("cancel")
    assert (bar.armed, disarm.visible, bar.reason) == ("", False, "try")


def test_late_held_and_escaped_presses_send_nothing(clock: list[float]) -> None:
    store = Store()
    bar = CommandBar(("main",), store)
    bar.reason = "try"
    bar.param.trigger("flatten")
    clock[0] += CONFIRM_S + 0.1
    bar.param.trigger("flatten")
    for _ in range(20):
        clock[0] += APART_S / 2
        bar.param.trigger("flatten")
    assert bar.armed == "flatten"
    bar.disarm()
    clock[0] += 1
    bar.param.trigger("flatten")
    clock[0] += CONFIRM_S + 0.1
    bar.expire()
    assert (bar.armed, bar.param.flatten.label, store.asked) == ("", "Flatten", [])


def test_it_acts_on_the_chosen_system_and_orders_are_of_the_account(clock: list[float]) -> None:
    store = Store()
    bar = CommandBar(("one", "two"), store)
    bar.reason, bar.system = "try", "two"
    confirm(bar, "observe", clock)
    bar.wait()
    bar.reason = "try"
    bar.param.trigger("cancel_orders")
    assert "CANCEL ORDERS is armed for all systems (one, two)" in bar.ask_html()
    confirm(bar, "cancel_orders", clock)
    bar.wait()
    assert [(a, s) for a, _, s in store.asked] == [("observe", "two"), ("cancel", "")]


def test_one_at_a_time_and_refusals_are_told(clock: list[float]) -> None:
    store = Store()
    store.may.clear()
    store.answer = CommandError("nothing was sent: bob may look, not act")
    bar = CommandBar(("main",), store)
    bar.reason = "try"
    confirm(bar, "halt", clock)
    bar.param.trigger("flatten")
    assert (bar.busy, bar.armed) == ("halt", "")
    assert "halt: sent, waiting for the engine" in bar.ask_html()
    store.may.set()
    assert bar.wait() == ""
    assert bar.problem == "halt: nothing was sent: bob may look, not act"
    assert (bar.busy, len(store.asked)) == ("", 1)


def test_the_clock_of_the_bar_is_that_of_the_machine() -> None:
    bar = CommandBar(("main",), Store())
    bar.reason = "try"
    before = time.monotonic()
    bar.param.trigger("halt")
    assert before <= bar._armed_at <= time.monotonic()
