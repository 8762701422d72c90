"""What the live page is made of: its choosers, texts and figures, and where they stand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import panel as pn

from workbench.dash import live_texts
from workbench.dash.feed import JournalFeed
from workbench.dash.live_panels import DecisionPanels
from workbench.dash.live_travel import Travel
from workbench.dash.session_log import SessionLog
from workbench.widgets.command_bar import ALL
from workbench.widgets.hot import Columns, Told, side_by_side, titled
from workbench.widgets.live_path import LivePath
from workbench.widgets.pulse import Pulse

NEWEST = ""
"""Stands for the newest session, whichever it is."""


class LiveParts:
    """The parts of a live page over `feed`; `later` calls what changes them when they may be changed."""

    def __init__(self, feed: JournalFeed, later: Callable[[Callable[[], None]], None]) -> None:
        self.session = pn.widgets.Select(label="Session", options={"newest": NEWEST}, value=NEWEST, width=330)
        self.system = pn.widgets.Select(label="System", options=[ALL], value=ALL, width=170)
        self.pulse = Pulse(sizing_mode="stretch_width", height=20, margin=(26, 10, 0, 10))
        self.travel = Travel()
        css = live_texts.LOOK
        self.money, self.banner, self.waits, self.place = (Told(css) for _ in range(4))
        self.tiles, self.modes, self.asked = (Told(css) for _ in range(3))
        self.positions, self.orders, self.fills, self.latencies, self.happenings = (Told(css) for _ in range(5))
        self._mark = Columns(at=[])
        self.path = LivePath(self._mark)
        self.panels = DecisionPanels(feed, later)
        self._bar_at = pn.Column(sizing_mode="stretch_width", margin=0)
        self.shown = self._layout()

    def _layout(self) -> pn.viewable.Viewable:
        """Choosers, commands, banners; the rest comes when there is something to show: figures are not laid out unseen.

        What comes and goes stands below the commands: no button moves under the pointer.
        """
        wide: dict[str, Any] = {"sizing_mode": "stretch_width", "margin": 0}
        self._state_parts = (self.tiles, self.modes, self.travel, self.place, self.panels.shown)
        self._path_parts = (
            side_by_side(
                titled("Profit and loss since the day began", self.path.profit),
                titled("Drawdown", self.path.drawdown),
            ),
            side_by_side(
                titled("Net asset value", self.path.nav),
                titled("Gross and net exposure", self.path.exposure),
            ),
        )
        self._table_parts = (
            side_by_side(
                pn.Column(self.positions, self.orders, self.fills, **wide),
                pn.Column(self.happenings, self.latencies, **wide),
            ),
        )
        self._state_at, self._path_at, self._tables_at = (pn.Column(**wide) for _ in range(3))
        top = pn.Row(self.session, self.system, self.pulse, **wide)
        return pn.Column(top, self.money, self._bar_at, self.asked, self.banner, self.waits, self._state_at,
                         self._path_at, self._tables_at, max_width=1400, **wide)  # fmt: skip

    def lay_out(self, log: SessionLog | None) -> None:
        """Show the parts of which something is known, and no others."""
        known = log is not None and bool(log.state)
        drawn = log is not None and log.samples.count > 0
        for place, parts, there in (
            (self._state_at, self._state_parts, known), (self._path_at, self._path_parts, drawn),
            (self._tables_at, self._table_parts, known),
        ):  # fmt: skip
            if bool(place.objects) != there:
                place[:] = parts if there else ()
