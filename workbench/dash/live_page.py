"""The live page: what the systems of an engine believe, hold and do, now and at every decision before."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING, Any

import panel as pn

from workbench.core.errors import WorkbenchError
from workbench.dash import live_texts
from workbench.dash.feed import OVER, JournalFeed, Look, feed_of, label
from workbench.dash.guard import guarded
from workbench.dash.live_commands import CommandSender
from workbench.dash.live_parts import NEWEST, LiveParts
from workbench.dash.live_travel import Chaser
from workbench.dash.session_log import Decided, SessionLog
from workbench.dash.settings import DashSettings
from workbench.widgets import live_tables, style
from workbench.widgets.command_bar import ALL, CommandBar
from workbench.widgets.hot import MS
from workbench.widgets.limits import account_limits, system_limits
from workbench.widgets.live_path import Figures

if TYPE_CHECKING:
    from workbench.dash.access import Person

BEAT_MS = 1000
"""Milliseconds between two looks at the feed."""
FADED = "0.55"
"""Opacity of figures that nobody renews."""
FILLS = 60
"""Newest fills that are listed."""


def page(settings: DashSettings, person: Person) -> pn.viewable.Viewable:
    """The page for `person`, of the journal that `settings` name; it follows while it is open."""
    return LivePage(settings, person).shown


class LivePage(LiveParts):
    """One browser session's page over the process's one reader of the journal.

    `refresh` shows what is new; it touches only what changed, and no database. What must be loaded is loaded in
    threads: see :class:`~workbench.dash.live_travel.Chaser`.
    """

    def __init__(self, settings: DashSettings, person: Person, feed: JournalFeed | None = None) -> None:
        style.apply()
        self.settings, self.person = settings, person
        self.feed = feed_of(settings.journal_address, settings.desk) if feed is None else feed
        self._doc = pn.state.curdoc
        self._follower: Any = None
        self.log: SessionLog | None = None
        self._past: SessionLog | None = None
        self._seen: dict[str, Any] = {}  # what was shown last -> the version of it
        self._latest: dict[str, Figures] = {}
        self._rate = live_texts.Rate()
        super().__init__(self.feed, self._later)
        self.sender = CommandSender(self.settings, self.person, self._engine_lives)
        self.bar: CommandBar | None = None
        self._decisions: Chaser[int, Decided] = Chaser(self.feed.decision, self._arrived, self._later)
        self._sessions: Chaser[str, SessionLog] = Chaser(self.feed.past, self._turned_back, self._later)
        self.session.param.watch(lambda _: self._choose_session(), "value")
        self.system.param.watch(lambda _: self._choose_system(), "value")
        self.travel.param.watch(lambda *_: self._turn(), ["live", "place"])
        self.pulse.param.watch(lambda _: self.bar and self.bar.disarm(), "escape")
        self.refresh()
        if self._doc is not None:
            pn.state.onload(self._start)

    def _start(self) -> None:
        """The page is in a browser: follow from now on, until it is closed."""
        beat = guarded(self.refresh, self.asked.tell)
        self._follower = pn.state.add_periodic_callback(beat, period=BEAT_MS)
        pn.state.on_session_destroyed(lambda _: self.close())

    def close(self) -> None:
        """Follow no more, want nothing more."""
        if self._follower is not None:
            self._follower.stop()
            self._follower = None
        self._doc = None
        for chaser in (self._decisions, self._sessions):
            chaser.forget()
        self.panels.close()

    # ---- every second -----------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Show what is new."""
        now, look = time.time_ns(), self.feed.look
        log = self._past or look.log
        if log is not self.log:
            self._turn_to(log)
        self._offer(look)
        newest = look.status(now)
        status = self._over_status(log) if self._past is not None and self._past is not look.log else newest
        self.travel.alive = bool(newest["alive"])
        self.money.tell(live_texts.money(log, status))
        self.banner.tell(live_texts.banner(look, log, status, now))
        if self.bar is not None:
            self.bar.expire()
        if self.person.role == "operator":
            self._offer_commands()
        if log is not None:
            self._follow(log, status)
        over = status["phase"] in (*OVER, "past") or (status["phase"] == "dead" and status["age_s"] is not None)
        self.waits.tell(live_texts.waiting(look, log, self._one, over))
        self.lay_out(log)
        self.pulse.beat(newest.get("age_s"))  # last: a page that could show only a part grows old

    def _follow(self, log: SessionLog, status: dict[str, Any]) -> None:
        """What is new of the session that is shown."""
        marks = [m for m in log.marks.since() if m.system == self._one] if self._new("marks", log.marks.count) else None
        if marks is not None:
            self.travel.offer(marks, self._is_over)
        self._show_newest(log)
        if self._new("samples", log.samples.count):
            self._stream(log)
        if self._new("state", (log.state_at, status["phase"], status["alive"])):
            self._show_state(log, status)
        if self._new("happenings", log.happenings.count):
            self.happenings.tell(live_tables.happenings_table(log.happenings.since()))
        if self._new("fills", log.fill_changes):
            rows = _newest(list(log.fills.rows.values()), FILLS)
            self.fills.tell(live_tables.fills_table(rows, log.fills.commissions))
        self._tell_place()

    def _show_state(self, log: SessionLog, status: dict[str, Any]) -> None:
        systems, held = self._chosen, status.get("systems", {})
        faded = {"opacity": "1" if status["alive"] or self._is_over else FADED}  # a style left out would stay
        for told in (self.tiles, self.modes):
            if told.styles != faded:
                told.styles = faded
        self._rate.take(log.state_at, status.get("reports"))
        self.tiles.tell(live_texts.tiles(status, systems, self._rate.a_minute, _fast(log)))
        self.modes.tell(live_tables.systems_table(status, log.systems))
        self.positions.tell(live_tables.positions_table(status, systems))
        self.orders.tell(live_tables.orders_table(status))
        self.latencies.tell(live_tables.latency_table((status.get("metrics") or {}).get("latencies", {})))
        if log.plan is not None and self._one in log.systems:
            of = dict(zip(log.systems, log.plan.systems))
            limits = {name: system_limits(held.get(name, {}), of[name]) for name in systems}
            one = self._one
            self.panels.live_state(held.get(one, {}), of[one], account_limits(status, of[one]), limits)

    def _stream(self, log: SessionLog) -> None:
        """New points of the figures; all of them after another session or system was chosen."""
        before = self._seen.get("streamed", 0)
        made = live_texts.points(log.samples.since(before), self._latest, self._chosen)
        self._seen["streamed"] = log.samples.count
        (self.path.add if before else self.path.show)(made)

    def _show_newest(self, log: SessionLog) -> None:
        """While nobody looks back, the last decision."""
        newest = log.latest.get(self._one)
        if self.travel.live and newest is not None and self._new("decision", newest.mark.number):
            self.panels.show(newest, log.session, live=True, several=len(log.systems) > 1)

    # ---- what a person chooses --------------------------------------------------------------------------------

    @property
    def _chosen(self) -> tuple[str, ...]:
        """The systems that are shown."""
        return self.log.systems if self.log is not None and self.system.value == ALL else (self.system.value,)

    @property
    def _one(self) -> str:
        """The system whose decisions are shown: the chosen one, or the first."""
        return self._chosen[0] if self._chosen else ""

    @property
    def _is_over(self) -> bool:
        return self._past is not None and self._past is not self.feed.look.log

    def _offer(self, look: Look) -> None:
        """The sessions there are, newest first, and the systems of the one that is shown."""
        if self._new("sessions", (look.sessions, look.log and look.log.session)):
            newest = look.log.session if look.log else NEWEST
            past = {label(s): s.session for s in reversed(look.sessions) if s.session != newest}
            self.session.options = {f"newest: {newest or 'none yet'}": NEWEST, **past}
        if self.log is not None and self._new("systems", self.log.systems):
            names = list(self.log.systems)
            self.system.options = [ALL, *names] if len(names) != 1 else names
            self.system.value = self.system.options[0]

    def _choose_session(self) -> None:
        self._sessions.forget()
        if self.session.value == NEWEST:
            self._past = None
            self.refresh()
        else:
            self._sessions.ask(self.session.value)

    def _turned_back(self, session: str, found: SessionLog | WorkbenchError) -> None:
        """A past session is loaded."""
        if isinstance(found, WorkbenchError):
            self.asked.tell(live_texts.failed(f"session {session}", found))
            return
        self.asked.tell("")
        self._past = found
        self.refresh()

    def _turn_to(self, log: SessionLog | None) -> None:
        """Another session is shown from now on."""
        self.log, self._latest, self._rate = log, {}, live_texts.Rate()
        self._seen = {"sessions": self._seen.get("sessions")}
        self._decisions.forget()
        self.travel.start_over()
        self.panels.clear()
        for told in (self.tiles, self.modes, self.positions, self.orders, self.fills, self.latencies, self.happenings):
            told.tell("")
        self._mark.put(at=[])
        self.path.show([])

    def _choose_system(self) -> None:
        """Another system, or all: its decisions, its money."""
        for name in ("marks", "samples", "streamed", "state", "decision"):
            self._seen.pop(name, None)
        self._latest = {}
        self._decisions.forget()
        self.travel.start_over()
        self.panels.clear()
        if self.bar is not None and self.system.value in (ALL, *self.bar.names):
            self.bar.system = self.system.value  # a person who turns to one system means it
        if self.log is not None and self.log.systems:
            self.refresh()

    def _turn(self) -> None:
        """Somebody looks at another decision, or follows again."""
        mark = self.travel.mark
        looking = mark is not None and not self.travel.live
        self._mark.put(at=[mark.known_at / MS] if looking and mark else [])
        if looking and mark is not None:
            self._seen.pop("decision", None)
            self._decisions.ask(mark.number)
        else:
            self._decisions.forget()
        if self.log is not None:
            self._show_newest(self.log)
        self._tell_place()

    def _tell_place(self) -> None:
        """Which decision is looked at, where it is not the newest one of a session that trades."""
        mark = None if self.travel.live else self.travel.mark
        shown = None if self.panels.decided is None else self.panels.decided.mark
        self.place.tell(live_texts.place(mark, shown, self._is_over, self._engine_lives()))

    def _arrived(self, number: int, found: Decided | WorkbenchError) -> None:
        """The decision that is looked at is loaded."""
        if isinstance(found, WorkbenchError):
            self.asked.tell(live_texts.failed(f"decision {number}", found))
        elif self.log is not None:
            self.asked.tell("")
            self.panels.show(found, self.log.session, live=False, several=len(self.log.systems) > 1)
            self._tell_place()

    # ---- commands ---------------------------------------------------------------------------------------------

    def _offer_commands(self) -> None:
        """The buttons, for an operator, once there is somewhere to send commands to; none beside a past session, for
        they act on the engine of now, whose account may be another one."""
        self._bar_at.visible = not self._is_over
        if self._is_over and self.bar is not None:
            self.bar.disarm()
        log = self.feed.look.log
        names = () if log is None else log.systems
        if not names or (self.bar is not None and self.bar.names == names):
            return
        if problem := self.sender.problem():
            self.asked.tell(live_texts.sub(problem))
        else:
            self.asked.tell("")
            self.bar = CommandBar(names, self.sender)
            if self.system.value in names:
                self.bar.system = self.system.value if len(names) > 1 else ALL
            self._bar_at[:] = [self.bar]

    def _engine_lives(self) -> bool:
        return bool(self.feed.look.status(time.time_ns())["alive"])

    # ---- inside -----------------------------------------------------------------------------------------------

    def _new(self, what: str, version: Any) -> bool:
        """Whether `version` of `what` was not shown yet; it counts as shown from now on."""
        if what in self._seen and self._seen[what] == version:
            return False
        self._seen[what] = version
        return True

    def _later(self, act: Callable[[], None]) -> None:
        """Call `act` when the page may be changed."""
        if self._doc is not None and self._doc.session_context is not None:
            self._doc.add_next_tick_callback(act)
        elif self._doc is None or not pn.state.curdoc:
            act()

    def _over_status(self, log: SessionLog | None) -> dict[str, Any]:
        """How a past session ended."""
        state = {} if log is None else log.state
        return {"systems": {}, **state, "phase": "past", "alive": False, "age_s": None}


def _fast(log: SessionLog) -> bool:
    """Whether the market's clock is faster than ours, as a simulated gateway's may be."""
    return log.plan is not None and not log.plan.first.broker.host and log.plan.first.broker.speed > 1


def _newest(items: list[Any], count: int) -> list[Any]:
    return list(islice(reversed(items), count))
