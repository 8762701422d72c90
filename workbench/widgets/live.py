"""A live system in a cell: what its engine does, and the commands. The kernel is only a client of the engine."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
import weakref
from collections import deque
from typing import Any, ClassVar

import holoviews as hv
import ipywidgets
import numpy as np
import panel as pn
import param

from workbench.core.errors import ConfigError, WorkbenchError
from workbench.engine.live import EngineClient, LiveTradingSystem
from workbench.engine.manager import LiveTradingManager
from workbench.engine.modes import COMMANDS
from workbench.widgets import html, live_tables, style
from workbench.widgets.base import StageView
from workbench.widgets.pulse import OLD_S, Pulse

CONFIRM_S = 10.0
"""Seconds within which a second press confirms a command."""
APART_S = 0.4
"""Presses closer together are one: a double click, or a key held down, confirms nothing."""
LEAST_S = 1.0
"""Seconds between two refreshes, at the least."""
KEPT = 3600
"""Newest states of the portfolio that the figures show."""
ALL = "all systems"
ACTIONS = (*COMMANDS, "stop", "start")
DOES = {
    "start": "start the engine; one that runs already is found again",
    "observe": "go on deciding, send nothing, cancel open orders",
    "resume": "trade again",
    "halt": "cancel all orders, send nothing new, keep positions",
    "flatten": "cancel all orders and close all positions at the market",
    "stop": "cancel all orders, keep positions, end the engine",
}
COLOURS = {"resume": "success", "start": "primary", "halt": "warning", "flatten": "danger", "stop": "danger"}


def _event(action: str) -> param.Event:
    return param.Event(label=action.capitalize(), doc=DOES[action].capitalize())


class LiveView(StageView):
    """The engine of a :class:`LiveTradingSystem`, :class:`LiveTradingManager` or :class:`EngineClient`.

    The first press of a command arms it, a second within CONFIRM_S sends it, Cancel or Escape disarms it; a command
    runs in a thread, and what came of it is shown in `outcome`. In a notebook and on a dashboard the view refreshes
    itself every `interval_s` from when it is first shown until `close`; a script calls `refresh`.
    """

    title: ClassVar[str] = "Live"
    turns: ClassVar[tuple[str, ...]] = ("reason", *COMMANDS, "stop", "start", "cancel")

    reason = param.String("", label="Reason", doc="Why the command is given; it is journaled with it")
    observe, resume, halt, flatten = _event("observe"), _event("resume"), _event("halt"), _event("flatten")
    stop, start = _event("stop"), _event("start")
    cancel = param.Event(label="Cancel", doc="Disarm: send nothing. The Escape key does the same")
    system = param.Selector(default=ALL, objects=[ALL], label="System", doc="What is shown, and what commands act on")

    status = param.Dict({}, precedence=-1, doc="The engine's state as it was read last")
    armed = param.String("", precedence=-1, doc="The command that a second press sends")
    busy = param.String("", precedence=-1, doc="The command that is under way")
    outcome = param.String("", precedence=-1, doc="What came of the last command")
    samples = param.Integer(0, precedence=-1, doc="States of the portfolio that were seen")

    def __init__(
        self, engine: LiveTradingSystem | LiveTradingManager | EngineClient, *, interval_s: float = LEAST_S
    ) -> None:
        if not interval_s >= LEAST_S:
            raise ConfigError(f"interval_s={interval_s:g}: a live view refreshes at most once in {LEAST_S:g} s")
        self.client: EngineClient = getattr(engine, "client", engine)
        self.interval_s = interval_s
        self.names = tuple(s.system.name for s in self.client.plan.systems)
        self._series: deque[tuple[int, dict[str, tuple[float, ...]]]] = deque(maxlen=KEPT)
        self._results: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()  # (outcome, problem)
        self._armed_at = self._pressed_at = -CONFIRM_S
        self._task: asyncio.Task[None] | None = None
        self._command: threading.Thread | None = None
        self.pulse = Pulse(old_s=max(OLD_S, 3 * interval_s), sizing_mode="stretch_width", height=20)
        super().__init__()
        self.turns = self.turns if len(self.names) == 1 else (*self.turns, "system")  # type: ignore[misc]
        self.param.system.objects = [ALL, *self.names]
        self.param.watch(self._pressed, list(ACTIONS))
        self.param.watch(lambda _: self.disarm(), ["cancel", "system"])
        self.pulse.param.watch(lambda _: self.disarm(), "escape")
        self.refresh()

    # ---- following --------------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Read the engine's state once and show it."""
        self._take_results()
        if self.armed and time.monotonic() - self._armed_at > CONFIRM_S:
            self.disarm()
        status = self.client.status()
        self._remember(status)
        self.status = status
        self.param.start.constant = bool(status["alive"])
        self.pulse.beat(status.get("age_s"))

    def follow(self) -> LiveView:
        """Refresh every `interval_s` until `close`. :class:`ConfigError` where no event loop runs."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise ConfigError("nothing can be followed without an event loop; in a script call refresh()") from None
        if self._task is None or self._task.done():
            self._task = loop.create_task(_following(weakref.ref(self)))
        return self

    def close(self) -> None:
        """Refresh no more; the engine goes on, and the page says that it is old."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    # ---- commands ---------------------------------------------------------------------------------------------

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
        if self.busy or (action == "start" and self.status.get("alive")):
            return
        now = time.monotonic()
        again, self._pressed_at = now - self._pressed_at < APART_S, now
        fresh = now - self._armed_at <= CONFIRM_S
        if self.armed == action and again:
            return
        if (self.armed == action and fresh) or (action == "start" and not self.client.plan.first.broker.host):
            self.disarm()
            self._send(action)
        else:
            self._arm(action)

    def _arm(self, action: str) -> None:
        if self.armed in ACTIONS:
            self.param[self.armed].label = self.armed.capitalize()
        self.armed, self._armed_at = action, time.monotonic()
        if action:
            self.param[action].label = f"Confirm {action}"

    def _send(self, action: str) -> None:
        """Carry out `action` in a thread: it waits for the engine, and the kernel must not."""
        self.busy, self.outcome, self.problem = action, "", ""
        reason = self.reason.strip() or f"{action} was pressed in the live view"
        system = "" if self.system == ALL else self.system
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            loop = None
        self._command = threading.Thread(
            target=self._carry_out, args=(action, reason, system, loop), name=f"live view: {action}", daemon=True
        )
        self._command.start()

    def _carry_out(self, action: str, reason: str, system: str, loop: asyncio.AbstractEventLoop | None) -> None:
        """In the thread: touches nothing that is shown."""
        told = ("", f"{action} ended with an error that is not ours; the kernel's log tells it")
        try:
            told = (self._ask(action, reason, system), "")
        except WorkbenchError as error:
            told = ("", "\n".join([f"{action}: {error}", *getattr(error, "__notes__", [])]))
        finally:
            self._results.put(told)
            if loop is not None and loop.is_running():
                loop.call_soon_threadsafe(self.refresh)

    def _ask(self, action: str, reason: str, system: str) -> str:
        if action == "start":
            self.client.start()
            return "started; it connects, reconciles and warms up before it trades"
        if action == "stop":
            return f"the engine is {self.client.stop(reason)['phase']}"
        return self.client.command(action, reason, system=system)

    def _take_results(self) -> None:
        while not self._results.empty():
            told, problem = self._results.get_nowait()
            action, self.busy = self.busy, ""
            self.outcome, self.problem = (f"{action}: {told}" if told else ""), problem

    # ---- figures ----------------------------------------------------------------------------------------------

    def body(self) -> pn.viewable.Viewable:
        return pn.Column(
            self.text(self.ask_html), self.text(self.banner_html), self.pulse, self.text(self.state_html),
            self.row(
                self.plot(self.nav, "Net asset value since this view was opened", height=200),
                self.plot(self.exposure, "Gross and net exposure", height=200),
            ),
            self.text(self.tables_html), sizing_mode="stretch_width",
        )  # fmt: skip

    @param.depends("armed", "busy", "outcome")
    def ask_html(self) -> str:
        """What is armed or under way, and what came of the last command."""
        told = ""
        if self.armed:
            told = html.note(
                f"{self.armed.upper()} is armed{self._whom()}: {DOES[self.armed]}. Press it again "
                f"within {CONFIRM_S:g} s to send it; Cancel or Escape sends nothing."
            )
        elif self.busy:
            told = html.note(f"{self.busy}: sent, waiting for the engine.")
        elif self.outcome:
            told = html.note(self.outcome)
        return _block(f'<div role="status" aria-live="polite">{told}</div>')

    def _whom(self) -> str:
        """Whom the armed command acts on, where there are several systems; the engine starts and stops as one."""
        if len(self.names) == 1:
            return ""
        every = self.system == ALL or self.armed in ("start", "stop")
        return f" for all systems ({', '.join(self.names)})" if every else f" for {self.system} alone"

    @param.depends("status")
    def banner_html(self) -> str:
        """Whose money it is and what is wrong."""
        return _block(live_tables.banner(self.status, self.client.plan))

    @param.depends("status")
    def state_html(self) -> str:
        """Phase, account, clock, ages."""
        return _block(live_tables.state_facts(self.status))

    @param.depends("status", "system")
    def tables_html(self) -> str:
        """Systems, positions, orders, decision, latencies."""
        return _block(_tables(self.status, self.chosen))

    @param.depends("samples", "system")
    def nav(self) -> hv.Curve:
        """NAV of the chosen systems over the market's clock."""
        when, nav, _, _ = self.series()
        return hv.Curve((when, nav), "market clock (UTC)", "NAV (USD)").opts(
            tools=["hover"], yformatter="%.0f", interpolation="steps-post", framewise=True
        )

    @param.depends("samples", "system")
    def exposure(self) -> hv.Overlay:
        """Gross and net exposure of the chosen systems, percent of NAV."""
        when, _, gross, net = self.series()
        axes = ("market clock (UTC)", "exposure (% of NAV)")
        step = {"interpolation": "steps-post", "tools": ["hover"], "framewise": True}
        return hv.Overlay(
            [
                hv.Curve((when, 100 * gross), *axes, label="gross").opts(color=style.BLUE, **step),
                hv.Curve((when, 100 * net), *axes, label="net, delta-weighted").opts(color=style.ORANGE, **step),
            ]
        ).opts(legend_position="top")

    @property
    def chosen(self) -> tuple[str, ...]:
        """The systems that are shown."""
        return self.names if self.system == ALL else (self.system,)

    def series(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """(T,) market clock, NAV in USD, gross and net as fractions of it, of the states seen so far, chosen systems.

        Systems are added in dollars; unknown where one of them is.
        """
        when = np.array([t for t, _ in self._series], "datetime64[ns]")
        unknown = (np.nan,) * 3
        told = np.array([[of.get(name, unknown) for name in self.chosen] for _, of in self._series], np.float64)
        nav, gross, net = np.moveaxis(told.reshape(len(when), len(self.chosen), 3), 2, 0)
        total = nav.sum(axis=1)
        return when, total, (nav * gross).sum(axis=1) / total, (nav * net).sum(axis=1) / total

    def _remember(self, status: dict[str, Any]) -> None:
        """Keep the portfolio of a healthy engine, once per moment of the market's clock."""
        if not status["alive"] or not status.get("time"):
            return
        when = int(live_tables.moment(status["time"]).timestamp()) * 10**9
        of = {
            name: tuple(np.nan if s.get(key) is None else float(s[key]) for key in ("nav", "gross", "net"))
            for name, s in status.get("systems", {}).items()
        }
        if self._series and self._series[-1][0] >= when:
            return
        if any(v[0] == v[0] for v in of.values()):
            self._series.append((when, of))
            self.samples += 1

    # ---- how it is shown --------------------------------------------------------------------------------------

    def controls(self) -> list[pn.viewable.Viewable]:
        reason = pn.widgets.TextInput.from_param(self.param.reason, placeholder="why; it is journaled", width=190)
        buttons = [self._button(name) for name in (*ACTIONS, "cancel")]
        chooser = [pn.widgets.Select.from_param(self.param.system, width=160)] if "system" in self.turns else []
        return [reason, *chooser, *buttons]

    def _button(self, name: str) -> pn.widgets.Button:
        colour = COLOURS.get(name, "default")
        return pn.widgets.Button.from_param(self.param[name], width=104, margin=(24, 3, 5, 3), color=colour)

    def __panel__(self) -> pn.viewable.Viewable:
        self._follow_where_possible()
        return super().__panel__()

    def widget(self) -> ipywidgets.VBox:
        """The view as real ipywidgets; the labels of the buttons say what is armed."""
        self._follow_where_possible()
        made = super().widget()
        for name, button in zip(self.turns, made.children[2].children, strict=True):
            if isinstance(self.param[name], param.Event):
                button.disabled, button.button_style = bool(self.param[name].constant), COLOURS.get(name, "")
                self.param.watch(lambda e, b=button: setattr(b, "description", e.new), name, what="label")
        return made

    def _follow_where_possible(self) -> None:
        try:
            self.follow()
        except ConfigError:  # a script: it calls refresh()
            self.refresh()


async def _following(view: weakref.ref[LiveView]) -> None:
    """Refresh a view for as long as somebody holds it."""
    while (live := view()) is not None:
        live.refresh()
        pause = live.interval_s
        del live
        await asyncio.sleep(pause)


def card(engine: LiveTradingSystem | LiveTradingManager) -> str:
    """The state of a live system as it is now."""
    client = engine.client
    status = client.status()
    names = tuple(s.system.name for s in client.plan.systems)
    body = (live_tables.banner(status, client.plan), live_tables.state_facts(status))
    tables = _tables(status, names) if status.get("account") else ""
    return html.card(type(engine).__name__, f"systems {', '.join(names)}, folder {client.folder}", *body, tables)


def _tables(status: dict[str, Any], systems: tuple[str, ...]) -> str:
    latencies = (status.get("metrics") or {}).get("latencies", {})
    return "".join(
        (
            live_tables.systems_table(status, systems),
            live_tables.positions_table(status, systems),
            live_tables.orders_table(status),
            live_tables.decisions_table(status, systems),
            live_tables.latency_table(latencies),
        )
    )


def _block(body: str) -> str:
    return f'{style.CARD}<div class="wb">{body}</div>'
