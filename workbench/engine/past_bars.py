"""What the feature engines get besides the bars of now, journaled before it is fed: the warm-up, the daily bars of a
morning, and bars that were missed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from workbench.config import Settings
from workbench.core.calendar import iso_date, session_of
from workbench.core.units import NS_PER_DAY, NS_PER_SECOND
from workbench.engine.agenda import last_bar_end
from workbench.engine.comparison import compare_bars, payload
from workbench.engine.desk import Desk
from workbench.engine.feed import Feed
from workbench.engine.recovery import as_consumed
from workbench.journal import SqlJournal


class PastBars:
    """Asks `feed` and feeds `desks`; `record(kind, known_at, payload)` journals."""

    def __init__(
        self,
        feed: Feed,
        desks: Sequence[Desk],
        journal: SqlJournal,
        settings: Settings,
        record: Callable[[str, int, dict[str, Any]], None],
    ) -> None:
        self.feed, self.desks, self.journal, self.settings, self._record = feed, desks, journal, settings, record
        self._daily_until = -1  # session (days since 1970) of the last daily bar that was loaded

    def warm_up(self, now: int) -> int:
        """Fetch history, journal it, feed it; the end of its last bar. A snapshot of that bar is at hand afterwards."""
        live = self.settings.live
        end = max(
            last_bar_end(now - int(self.settings.data.bar_grace_s * NS_PER_SECOND)),
            min(desk.decided_at for desk in self.desks),  # decided on by all, perhaps within its grace: it is over
        )
        warm = self.feed.warm_up(end, live.warmup_sessions, live.warmup_days)
        bars, since = as_consumed(self.journal, warm.bars, self.feed.symbols)
        self._record("warmup", end, {"bars": bars, "daily": warm.daily, "missing": warm.missing, "since": since})
        for desk in self.desks:
            desk.snapshots.warm_up(bars, warm.daily, since)
        self._daily_until = int(warm.daily.session[-1])
        return end

    def morning(self, ts: int) -> None:
        """Before the first bar of a session, the daily bars up to the last close, if history has them all."""
        before = max(desk.snapshots.last_ts for desk in self.desks)
        if before < 0 or session_of(before) == session_of(ts):
            return
        self._compare(before)
        if self._daily_until >= session_of(before):
            return  # the warm-up had them
        daily = self.feed.daily(before, self.settings.live.warmup_days)
        lacking = [s for s, known in zip(daily.symbols, np.isfinite(daily.close[-1])) if not known]
        if lacking:  # the feature engine sums up its own bars then
            self._record("no_daily", ts, {"symbols": lacking})
            return
        self._record("daily", ts, {"bars": daily})
        self._daily_until = session_of(before)
        for desk in self.desks:
            desk.snapshots.load_daily(daily)

    def catch_up(self, ts: int) -> None:
        """Feed the bars before `ts` that were missed, as history has them."""
        known = min(desk.snapshots.last_ts for desk in self.desks)
        bars = self.feed.missed(known, ts - 1) if known else None
        if bars is None:
            return
        self._record("backfill", int(bars.ts[-1]), {"bars": bars})
        for desk in self.desks:
            desk.snapshots.catch_up(bars)

    def _compare(self, last: int) -> None:
        """The bars of the session that ended at `last` as they were consumed, beside history as it is now."""
        begin = last - NS_PER_DAY
        batches = [e.payload["batch"] for e in self.journal.read("market", since=begin, until=last)]
        history = self.feed.missed(begin, last) if batches else None
        if history is None:
            return
        self._record("bars_compared", last, payload(iso_date(session_of(last)), compare_bars(batches, history)))
