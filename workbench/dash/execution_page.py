"""The execution page: what the sessions of a journal paid to trade, whether live did what research promised, and the
record of a session as a file.

Sessions are read in threads, once per process for all who look; a session that goes on is read again when it has
something new. The page itself touches no database.
"""

from __future__ import annotations

import asyncio
import io
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING, Any

import panel as pn

from workbench.core.calendar import iso_time
from workbench.core.errors import WorkbenchError
from workbench.dash.export import session_page
from workbench.dash.feed import JournalFeed, Look, feed_of, label
from workbench.dash.guard import guarded
from workbench.dash.settings import DashSettings
from workbench.engine.session_record import FILL_KINDS, SessionRecord, read_session
from workbench.engine.verify import Verdict, verify_session
from workbench.journal import JournalError, SessionSummary
from workbench.widgets import html, style
from workbench.widgets.base import Text
from workbench.widgets.execution import ExecutionView, block
from workbench.widgets.pulse import Pulse
from workbench.widgets.session import verdict_html

if TYPE_CHECKING:
    from workbench.dash.access import Person

BEAT_MS = 1000
"""Milliseconds between two looks at the feed."""
AGAIN_S = 10.0
"""Seconds after which a session that goes on is looked at again."""
FRESH_S = 5.0
"""A feed that last read the journal longer ago than this says nothing about now."""
KEPT_RECORDS = 24
ENDED = {
    "dead": "The engine of the newest session gives no sign of life: what is shown of it ends there. Its "
    "watchdog cancels its orders; the live page tells more.",
    "failed": "The engine of the newest session has failed: what is shown of it ends there. The live page tells why.",
}
"""Phases in which an engine should be at work and is not, in words."""
SPINNER = """
.wb .turning { display: inline-block; width: 11px; height: 11px; margin: 0 9px -1px 0; border-radius: 50%;
               border: 2px solid #8a909955; border-top-color: #3b82c4; animation: turning .9s linear infinite; }
@keyframes turning { to { transform: rotate(360deg); } }
"""
KINDS = ("engine", "decision", "orders", "order_state", "change", "held_back", *FILL_KINDS)
"""Kinds of entries that change what this page shows."""


def page(settings: DashSettings, person: Person) -> pn.viewable.Viewable:
    """What stands under the frame's header. Everybody may look: nothing here acts."""
    return ExecutionPage(feed_of(settings.journal_address, settings.desk)).layout


class RecordShelf:
    """The records of sessions that this process read last, by address and session, each with its newest entry."""

    def __init__(self, keep: int = KEPT_RECORDS) -> None:
        self._keep = keep
        self._kept: OrderedDict[tuple[str, str], tuple[int, SessionRecord]] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, feed: JournalFeed, session: str) -> SessionRecord:
        """The record as the journal has it now, the very object as before where nothing is new. Not for an event loop.

        :class:`WorkbenchError` where the session decided nothing, or the journal cannot be read.
        """
        key = (str(feed.address), session)
        with self._lock, feed.reading() as journal:
            newest = journal.last(KINDS, session=session)
            number = 0 if newest is None else newest.number
            known = self._kept.get(key)
            if known is None or known[0] != number:
                known = self._kept[key] = (number, read_session(journal, session))
            self._kept.move_to_end(key)
            while len(self._kept) > self._keep:
                self._kept.popitem(last=False)
            return known[1]


SHELF = RecordShelf()


class ExecutionPage:
    """One browser session's page over the process's one reader of the journal."""

    def __init__(self, feed: JournalFeed, shelf: RecordShelf = SHELF) -> None:
        style.apply()
        self.feed, self.shelf = feed, shelf
        self.view: ExecutionView | None = None
        self.records: tuple[SessionRecord, ...] = ()
        self._turn = 0  # how often something was asked for: an older answer is not wanted any more
        self._listed: tuple[SessionSummary, ...] | None = None
        self._read_at = 0.0  # monotonic seconds when the chosen sessions were looked at last
        self._busy = False
        self._make()
        self.refresh()
        if pn.state.curdoc is not None:
            pn.state.onload(self._start)

    # ---- parts ------------------------------------------------------------------------------------------------

    def _make(self) -> None:
        self.sessions = pn.widgets.MultiChoice(
            label="Sessions, newest first", options={}, value=[], placeholder="choose one or several", width=430,
        )  # fmt: skip
        self.check = pn.widgets.Button(label="Check parity", description=(
            "Replay the newest of the chosen sessions from its journal: did live do what research promised?"
        ), margin=(24, 6, 5, 6), width=130)  # fmt: skip
        self.export = pn.widgets.FileDownload(
            callback=self.exported, filename="session.html", label="Export this session as HTML", width=240,
            margin=(24, 6, 5, 6), color="default",
        )  # fmt: skip
        self.pulse = Pulse(sizing_mode="stretch_width", height=20)
        self.told, self.state, self.verdict = (Text("", sizing_mode="stretch_width") for _ in range(3))
        self.state.object = block(_working("Reading the journal"))
        self.place = pn.Column(sizing_mode="stretch_width", margin=0)
        self.sessions.param.watch(self._chosen, "value")
        self.check.on_click(self._asked)
        self.layout = pn.Column(
            pn.FlexBox(self.sessions, self.check, self.export, gap="0 4px"), self.pulse, self.told, self.state,
            self.verdict, self.place, sizing_mode="stretch_width", max_width=1400, margin=(0, 10),
        )  # fmt: skip

    def _start(self) -> None:
        pn.state.add_periodic_callback(self._beat, period=BEAT_MS)
        self._refresh = guarded(self.refresh, lambda told: setattr(self.verdict, "object", block(told)))

    async def _beat(self) -> None:
        self._refresh()
        if not self._busy and time.monotonic() - self._read_at >= AGAIN_S:
            await self.load()

    def _chosen(self, _: Any) -> None:
        self.verdict.object = ""
        if pn.state.curdoc is not None:
            pn.state.execute(self.load)

    # ---- following --------------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Show what the feed knows: the sessions there are, what is wrong, and how old all this is."""
        look = self.feed.look
        now = time.time_ns()
        status = look.status(now)
        if look.read_at and now - look.read_at < FRESH_S * 1e9:
            self.pulse.beat(status["age_s"])
        self.told.object = _troubles(look, str(status["phase"]))
        if look.sessions != self._listed:
            self._list(look)
        for button in (self.check, self.export):
            button.disabled = not self.records

    def _list(self, look: Look) -> None:
        """Offer the sessions; where none is chosen, the newest."""
        first = not self._listed
        self._listed = look.sessions
        options = {label(s): s.session for s in reversed(look.sessions)}
        chosen = [s for s in self.sessions.value if s in options.values()]
        if first and look.sessions:
            chosen = [look.sessions[-1].session]
        self.sessions.param.update(options=options, value=chosen)

    async def load(self) -> None:
        """Read the chosen sessions in a thread and show them; what was chosen meanwhile wins."""
        self._turn += 1
        turn, wanted = self._turn, self._ordered()
        if not wanted:
            self._show((), [html.note("No session is chosen.")] if self.feed.look.sessions else [])
            return
        if tuple(r.session for r in self.records) != wanted:
            self.state.object = block(_working(f"Analysing {', '.join(wanted)} ..."))
        self._busy = True
        try:
            records, lacking = await asyncio.to_thread(self._read, wanted)
        finally:
            self._busy, self._read_at = False, time.monotonic()
        if turn == self._turn:
            await asyncio.sleep(0)  # what was said reaches the browser before figures are drawn
            self._show(records, lacking)

    def _ordered(self) -> tuple[str, ...]:
        """The chosen sessions, oldest first."""
        return tuple(s.session for s in self.feed.look.sessions if s.session in self.sessions.value)

    def _read(self, wanted: Iterable[str]) -> tuple[tuple[SessionRecord, ...], list[str]]:
        """The records that there are, and why the others are not."""
        records, lacking = [], []
        for session in wanted:
            try:
                records.append(self.shelf.read(self.feed, session))
            except WorkbenchError as error:
                lacking.append(_lacking(session, error))
        return tuple(records), lacking

    def _show(self, records: tuple[SessionRecord, ...], lacking: list[str]) -> None:
        """Show `records`; figures are drawn anew only where something is new in them."""
        self.state.object = block("".join(lacking)) + "".join(map(_about, records))
        changed = len(records) != len(self.records) or any(a is not b for a, b in zip(records, self.records))
        self.records = records
        self.refresh()
        if not changed:
            return
        if not records:
            self.view, self.place[:] = None, []
        elif self.view is None:
            self.view = ExecutionView(records)
            self.place[:] = [self.view]
        else:
            self.view.show(records)
        if records:
            self.export.filename = f"session-{records[-1].session}.html"

    # ---- on request -------------------------------------------------------------------------------------------

    async def _asked(self, _: Any) -> None:
        await self.verify()

    async def verify(self) -> None:
        """Check the parity of the newest chosen session in a thread, and show the verdict."""
        if not self.records or self.check.loading:
            return
        session = self.records[-1].session
        self.check.loading = True
        self.verdict.object = block(html.note(f"Replaying session {session} ..."))
        try:
            told = verdict_html(await asyncio.to_thread(self._verdict, session))
        except WorkbenchError as error:
            told = html.error(f"The parity of session {session} cannot be checked: {error}", _notes(error))
        finally:
            self.check.loading = False
        if self.records and self.records[-1].session == session:
            self.verdict.object = html.card(f"Parity of session {session}", "", told)

    def _verdict(self, session: str) -> Verdict:
        with self.feed.reading() as journal:
            return verify_session(journal, session)

    async def exported(self) -> io.StringIO:
        """The file of the newest chosen session; what goes wrong stands in it as on the page."""
        session = self.records[-1].session
        try:
            return io.StringIO(await asyncio.to_thread(session_page, self.feed.address, session))
        except WorkbenchError as error:
            told = html.error(f"Session {session} cannot be exported: {error}", _notes(error))
            self.verdict.object = block(told)
            return io.StringIO(told)


def _working(told: str) -> str:
    """A line with a sign that turns."""
    return f'<style>{SPINNER}</style><p class="note" role="status"><i class="turning"></i>{escape(told)}</p>'


def _lacking(session: str, error: WorkbenchError) -> str:
    """Why nothing of a session is shown."""
    if isinstance(error, JournalError):
        return html.error(f"Session {session} cannot be read: {error}", _notes(error))
    return html.note(
        f"Session {session} decided nothing, so there is nothing to analyse. Choose an earlier session above, or wait: "
        "what a session decides and trades appears here by itself."
    )


def _minute(ns: int) -> str:
    return iso_time(ns)[:16].replace("T", " ")


def _about(record: SessionRecord) -> str:
    """Whose session it is, and what of it is shown."""
    bars = f"{_minute(record.first_bar)} to {_minute(record.last_bar)}"
    facts = {"session": record.session, "account": record.kind, "bars (UTC)": bars, "decisions": record.decisions,
             "missed bars": record.missed}  # fmt: skip
    money = {"live": html.error, "paper": html.note, "simulated": html.note}.get(record.kind, html.note)
    told = {"live": "REAL MONEY was traded here.", "paper": "Paper account: the broker's play money, real market."}
    other = "A simulated account: its costs are those of a simulated market."
    return block(html.facts(facts) + money(told.get(record.kind, other)))


def _troubles(look: Look, phase: str) -> str:
    """What a reader must know before all else."""
    if look.problem:
        old = "What is shown below is what was read last." if look.read_at else ""
        return html.card("The journal cannot be read", "", html.error(f"{look.problem} {old}"))
    if not look.read_at:
        return html.card("The journal is being opened", "", html.note("It is shown as soon as it is read."))
    if not look.sessions:
        empty = "Nothing was journaled yet: `workbench live` starts an engine, and its session appears here by itself."
        return html.card("The journal is empty", "", html.note(empty))
    if phase in ENDED:
        return html.card("The engine is not at work", "", html.error(ENDED[phase]))
    return ""


def _notes(error: WorkbenchError) -> list[str]:
    return list(getattr(error, "__notes__", []))
