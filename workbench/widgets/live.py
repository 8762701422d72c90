"""A live system in a cell: what its engine does, and the commands. The kernel is only a client of the engine."""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from typing import Any, ClassVar

import ipywidgets
import panel as pn
import param

from workbench.core.errors import ConfigError
from workbench.engine.live import EngineClient, LiveTradingSystem
from workbench.engine.manager import LiveTradingManager
from workbench.engine.modes import COMMANDS
from workbench.widgets import html, live_tables, style
from workbench.widgets.command_bar import ALL, COLOURS, Commanding
from workbench.widgets.hot import titled
from workbench.widgets.live_path import KEPT, Figures, LivePath, total
from workbench.widgets.pulse import OLD_S, Pulse

LEAST_S = 1.0
"""Seconds between two refreshes, at the least."""


class LiveView(Commanding):
    """The engine of a :class:`LiveTradingSystem`, :class:`LiveTradingManager` or :class:`EngineClient`.

    In a notebook and on a dashboard the view refreshes itself every `interval_s` from when it is first shown until
    `close`; a script calls `refresh`. How commands are confirmed: :class:`~workbench.widgets.command_bar.Commanding`.
    """

    title: ClassVar[str] = "Live"
    actions: ClassVar[tuple[str, ...]] = (*COMMANDS, "stop", "start")
    turns: ClassVar[tuple[str, ...]] = ("reason", *COMMANDS, "stop", "start", "cancel")

    status = param.Dict({}, precedence=-1, doc="The engine's state as it was read last")

    def __init__(
        self, engine: LiveTradingSystem | LiveTradingManager | EngineClient, *, interval_s: float = LEAST_S
    ) -> None:
        if not interval_s >= LEAST_S:
            raise ConfigError(f"interval_s={interval_s:g}: a live view refreshes at most once in {LEAST_S:g} s")
        self.client: EngineClient = getattr(engine, "client", engine)
        self.interval_s = interval_s
        self._series: deque[tuple[int, dict[str, Figures]]] = deque(maxlen=KEPT)
        self._task: asyncio.Task[None] | None = None
        self.path = LivePath()
        self.pulse = Pulse(old_s=max(OLD_S, 3 * interval_s), sizing_mode="stretch_width", height=20)
        super().__init__(tuple(s.system.name for s in self.client.plan.systems))
        self.turns = self.turns if len(self.names) == 1 else (*self.turns, "system")  # type: ignore[misc]
        self.param.watch(lambda _: self.path.show(self.points()), "system")
        self.pulse.param.watch(lambda _: self.disarm(), "escape")
        self.refresh()

    # ---- following --------------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Read the engine's state once and show it."""
        self.expire()
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

    def ask(self, action: str, reason: str, system: str) -> str:
        if action == "start":
            self.client.start()
            return "started; it connects, reconciles and warms up before it trades"
        if action == "stop":
            return f"the engine is {self.client.stop(reason)['phase']}"
        return self.client.command(action, reason, system=system)

    def ready(self, action: str) -> bool:
        return not (action == "start" and self.status.get("alive"))

    def at_once(self, action: str) -> bool:
        return action == "start" and not self.client.plan.first.broker.host

    def settle(self) -> None:
        self.refresh()

    # ---- figures ----------------------------------------------------------------------------------------------

    def body(self) -> pn.viewable.Viewable:
        return pn.Column(
            self.text(self.ask_html), self.text(self.banner_html), self.pulse, self.text(self.state_html),
            self.row(
                titled("Net asset value since this view was opened", self.path.nav),
                titled("Gross and net exposure", self.path.exposure),
            ),
            self.text(self.tables_html), sizing_mode="stretch_width",
        )  # fmt: skip

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

    @property
    def chosen(self) -> tuple[str, ...]:
        """The systems that are shown."""
        return self.names if self.system == ALL else (self.system,)

    def points(self) -> list[tuple[int, Figures]]:
        """(UTC ns, figures) of the states seen so far, chosen systems together."""
        return [(at, total(of, self.chosen)) for at, of in self._series]

    def _remember(self, status: dict[str, Any]) -> None:
        """Keep the portfolio of a healthy engine, once per moment of the market's clock."""
        if not status["alive"] or not status.get("time"):
            return
        when = int(live_tables.moment(status["time"]).timestamp()) * 10**9
        of = {name: live_tables.figures(s) for name, s in status.get("systems", {}).items()}
        if self._series and self._series[-1][0] >= when:
            return
        if any(v[0] == v[0] for v in of.values()):
            self._series.append((when, of))
            self.path.add([(when, total(of, self.chosen))])

    # ---- how it is shown --------------------------------------------------------------------------------------

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
