"""Commands to an engine from a page: the first press arms, a second one sends, and what came of it is told."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable
from html import escape
from typing import Any, ClassVar

import panel as pn
import param
from bokeh.models import Tooltip

from workbench.core.errors import WorkbenchError
from workbench.engine.modes import COMMANDS
from workbench.widgets import html, style
from workbench.widgets.base import StageView

CONFIRM_S = 10.0
"""Seconds within which a second press confirms a command."""
APART_S = 0.4
"""Presses closer together are one: a double click, or a key held down, confirms nothing."""
ALL = "all systems"
DOES = {
    "start": "start the engine; one that runs already is found again",
    "observe": "go on deciding, send nothing, cancel open orders",
    "resume": "trade again",
    "cancel_orders": "cancel all open orders of the account and go on as before",
    "halt": "cancel all orders, send nothing new, keep positions",
    "flatten": "cancel all orders and close all positions at the market",
    "stop": "cancel all orders, keep positions, end the engine",
}
WHOLE = ("start", "stop", "cancel_orders")
"""What is of the engine or the account as one, whatever system is chosen."""
DONE = f"border-left-color:{style.GOOD}"
TIP = ":host { white-space: initial; max-width: 260px; }"
WIDTHS = {"cancel_orders": 192, "cancel": 84}
"""Pixels of the buttons that need other than usual room for "Confirm ..."."""
COLOURS = {"resume": "success", "start": "primary", "halt": "warning", "flatten": "danger", "stop": "danger"}


def _label(action: str) -> str:
    return action.replace("_", " ").capitalize()


def _event(action: str) -> param.Event:
    return param.Event(label=_label(action), doc=DOES[action].capitalize())


class Commanding(StageView):
    """A view that gives commands: a subclass says which (`actions`), and how in `ask`.

    The first press arms a command, a second within CONFIRM_S sends it, Disarm or Escape disarms it; it runs in a
    thread, and what came of it is shown in `outcome`. `needs_reason`: none is sent without one. The reason is
    forgotten once the command was carried out: the next one has a reason of its own.
    """

    actions: ClassVar[tuple[str, ...]] = tuple(COMMANDS)
    needs_reason: ClassVar[bool] = False

    reason = param.String("", label="Reason", doc="Why the command is given; it is journaled with it")
    observe, resume, halt, flatten = _event("observe"), _event("resume"), _event("halt"), _event("flatten")
    cancel_orders, stop, start = _event("cancel_orders"), _event("stop"), _event("start")
    cancel = param.Event(label="Disarm", doc="Send nothing. The Escape key does the same")
    system = param.Selector(default=ALL, objects=[ALL], label="System", doc="What is shown, and what commands act on")

    armed = param.String("", precedence=-1, doc="The command that a second press sends")
    busy = param.String("", precedence=-1, doc="The command that is under way")
    outcome = param.String("", precedence=-1, doc="What came of the last command")

    def __init__(self, names: tuple[str, ...], **params: Any) -> None:
        self.names = names
        self._results: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()  # (outcome, problem)
        self._armed_at = self._pressed_at = -CONFIRM_S
        self._command: threading.Thread | None = None
        super().__init__(**params)
        self.param.system.objects = [ALL, *names]
        self.param.watch(self._pressed, list(self.actions))
        self.param.watch(lambda _: self.disarm(), ["cancel", "system"])

    # ---- what a subclass gives --------------------------------------------------------------------------------

    def ask(self, action: str, reason: str, system: str) -> str:
        """Have `action` done to `system` (empty: all); what came of it. Runs in a thread: touches nothing shown."""
        raise NotImplementedError

    def ready(self, action: str) -> bool:
        """Whether `action` can be given now."""
        return True

    def at_once(self, action: str) -> bool:
        """Whether `action` needs no second press."""
        return False

    def settle(self) -> None:
        """Called on the event loop when a command has ended."""
        self.expire()

    # ---- from press to outcome --------------------------------------------------------------------------------

    def expire(self) -> None:
        """Show what came of a command, and disarm what nobody confirmed in time. To be called every second or so."""
        self._take_results()
        if self.armed and time.monotonic() - self._armed_at > CONFIRM_S:
            self.disarm()

    def disarm(self) -> None:
        """Forget what was armed."""
        self._arm("")

    def wait(self, timeout_s: float = 60.0) -> str:
        """Wait for the command that is under way; its outcome. For scripts and tests."""
        if self._command is not None:
            self._command.join(timeout_s)
        self._take_results()
        return self.outcome

    def _pressed(self, event: Any) -> None:
        action = event.name
        if self.busy or not self.ready(action):
            return
        if self.needs_reason and not self.reason.strip():
            self.problem = f"{_label(action)} needs a reason: write why, then press again. It is journaled."
            return
        now = time.monotonic()
        again, self._pressed_at = now - self._pressed_at < APART_S, now
        fresh = now - self._armed_at <= CONFIRM_S
        if self.armed == action and again:
            return
        if (self.armed == action and fresh) or self.at_once(action):
            self.disarm()
            self._send(action)
        else:
            self._arm(action)

    def _arm(self, action: str) -> None:
        if self.armed:
            self.param[self.armed].label = _label(self.armed)
        self.armed, self._armed_at = action, time.monotonic()
        if action:
            self.problem = ""
            self.param[action].label = f"Confirm {_label(action).lower()}"

    def _send(self, action: str) -> None:
        """Carry out `action` in a thread: it waits for the engine, and the page must not."""
        self.busy, self.outcome, self.problem = action, "", ""
        reason = self.reason.strip() or f"{action} was pressed in the live view"
        system = "" if self.system == ALL or action in WHOLE else self.system
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            loop = None
        self._command = threading.Thread(
            target=self._carry_out, args=(action, reason, system, loop), name=f"command: {action}", daemon=True
        )
        self._command.start()

    def _carry_out(self, action: str, reason: str, system: str, loop: asyncio.AbstractEventLoop | None) -> None:
        """In the thread: touches nothing that is shown."""
        told = ("", f"{action} ended with an error that is not ours; the server's log tells it")
        try:
            told = (self.ask(action, reason, system), "")
        except WorkbenchError as error:
            told = ("", "\n".join([f"{action}: {error}", *getattr(error, "__notes__", [])]))
        finally:
            self._results.put(told)
            if loop is not None and loop.is_running():
                loop.call_soon_threadsafe(self.settle)

    def _take_results(self) -> None:
        while not self._results.empty():
            told, problem = self._results.get_nowait()
            action, self.busy = self.busy, ""
            self.outcome, self.problem = (f"{_label(action).lower()}: {told}" if told else ""), problem
            if not problem:
                self.reason = ""

    # ---- how it is shown --------------------------------------------------------------------------------------

    @param.depends("armed", "busy", "outcome")
    def ask_html(self) -> str:
        """What is armed or under way, and what came of the last command."""
        told = ""
        if self.armed:
            told = html.note(
                f"{_label(self.armed).upper()} is armed{self._whom()}: {DOES[self.armed]}. Press it again "
                f"within {CONFIRM_S:g} s to send it; Disarm or Escape sends nothing."
            )
        elif self.busy:
            told = html.note(f"{_label(self.busy).lower()}: sent, waiting for the engine.")
        elif self.outcome:
            told = f'<p class="note" role="note" style="{DONE}">{escape(self.outcome)}</p>'
        return f'{style.CARD}<div class="wb"><div role="status" aria-live="polite">{told}</div></div>'

    def _whom(self) -> str:
        """Whom the armed command acts on, where there are several systems; some act on the engine as one."""
        if len(self.names) == 1:
            return ""
        every = self.system == ALL or self.armed in WHOLE
        return f" for all systems ({', '.join(self.names)})" if every else f" for {self.system} alone"

    def controls(self) -> list[pn.viewable.Viewable]:
        reason = pn.widgets.TextInput.from_param(self.param.reason, placeholder="why; it is journaled", width=190)
        buttons = [self._button(name) for name in (*self.actions, "cancel")]
        chooser = [pn.widgets.Select.from_param(self.param.system, width=160)] if "system" in self.turns else []
        return [reason, *chooser, *buttons]

    def _button(self, name: str) -> pn.widgets.Button:
        """A button with room for "Confirm ..."; the one that disarms is there only while there is something to."""
        asked: dict[str, Any] = {"visible": pn.bind(bool, self.param.armed)} if name == "cancel" else {}
        told = Tooltip(content=self.param[name].doc, position="bottom", stylesheets=[TIP])  # beside it are others
        return pn.widgets.Button.from_param(
            self.param[name], width=WIDTHS.get(name, 132), margin=(24, 3, 5, 3),
            color=COLOURS.get(name, "default"), description=told, **asked,
        )  # fmt: skip


class CommandBar(Commanding):
    """Buttons for the commands of a running engine; `send` (action, reason, system) does what is confirmed.

    `send` runs in a thread and must itself refuse who may not: that a page shows no button is no protection.
    """

    title: ClassVar[str] = "Commands"
    actions: ClassVar[tuple[str, ...]] = ("observe", "resume", "cancel_orders", "halt", "flatten")
    needs_reason: ClassVar[bool] = True

    system = param.Selector(default=ALL, objects=[ALL], label="Act on", doc="The system that commands act on, or all")

    def __init__(self, names: tuple[str, ...], send: Callable[[str, str, str], str]) -> None:
        self._sender = send
        super().__init__(names)
        self.turns = ("reason", *(("system",) if len(names) > 1 else ()), *self.actions, "cancel")  # type: ignore[misc]

    def ask(self, action: str, reason: str, system: str) -> str:
        return self._sender("cancel" if action == "cancel_orders" else action, reason, system)

    def body(self) -> pn.viewable.Viewable:
        return pn.Column(self.text(self.ask_html), sizing_mode="stretch_width", margin=0)

    def __panel__(self) -> pn.viewable.Viewable:
        turns = pn.FlexBox(*self.controls(), gap="0 8px")
        return pn.Column(turns, self._told, self.shown(), sizing_mode="stretch_width", margin=0)
