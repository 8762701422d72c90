"""When a job is due: relative to the sessions of the exchange, or by a cron expression in the exchange's time zone.

``open-15m`` and ``close+2h30m`` follow early closes, holidays and daylight saving, since they are counted from the
opening and the close that the calendar gives for each session. A cron expression is of wall-clock time and of every
day: what it names in a night when the clocks change is at most once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol
from zoneinfo import ZoneInfo

import numpy as np
from apscheduler.triggers.cron import CronTrigger

from workbench.core.calendar import exchange_sessions, iso_date
from workbench.core.errors import ConfigError
from workbench.core.units import NS_PER_DAY, NS_PER_MINUTE, NS_PER_SECOND

NEW_YORK = ZoneInfo("America/New_York")
_UNITS = {"d": NS_PER_DAY, "h": 60 * NS_PER_MINUTE, "m": NS_PER_MINUTE, "s": NS_PER_SECOND}
_SPAN = re.compile(r"(?:\d+(?:\.\d+)?[dhms])+")
_AT = re.compile(rf"\s*(open|close)\s*(?:([+-])\s*({_SPAN.pattern}))?\s*")
FURTHEST_NS = 7 * NS_PER_DAY
"""How far from its session a time may be."""


@dataclass(frozen=True, slots=True)
class Due:
    """A moment (UTC ns) at which a job is due. `session`: ISO date of the session it is counted from; for a cron
    expression, of the last session that had opened by then. `before` and `next`: the sessions beside it."""

    at: int
    session: str
    before: str
    next: str


class Times(Protocol):
    """When something is due."""

    def after(self, now: int) -> Iterator[Due]:
        """The moments after `now` (UTC ns), in order, as far as the calendar goes."""
        ...


@dataclass(frozen=True, slots=True)
class SessionTimes:
    """`offset_ns` from the `anchor` ("open" or "close") of every session."""

    anchor: str
    offset_ns: int

    def after(self, now: int) -> Iterator[Due]:
        """See :class:`Times`."""
        every = exchange_sessions()
        at = (every.open_ns if self.anchor == "open" else every.close_ns) + self.offset_ns
        for i in range(int(np.searchsorted(at, now, side="right")), len(at)):
            yield _due(int(at[i]), i)

    def of(self, session: str) -> int:
        """UTC ns of the moment in the session of that ISO date; :class:`ConfigError` where there is none."""
        every = exchange_sessions()
        i = int(np.searchsorted(every.date, np.datetime64(session, "D").astype(np.int64)))
        if i == len(every) or iso_date(int(every.date[i])) != session:
            raise ConfigError(f"{session} is no session of the exchange; give a trading day")
        return int((every.open_ns if self.anchor == "open" else every.close_ns)[i]) + self.offset_ns


@dataclass(frozen=True, slots=True)
class CronTimes:
    """Five fields as cron has them: minute, hour, day of month, month, day of week (0, 7 or sun is Sunday).

    Wall-clock time of New York: a time that the clocks skip is an hour later, one that they repeat is its first.
    """

    expression: str

    def after(self, now: int) -> Iterator[Due]:
        """See :class:`Times`."""
        trigger, opens = cron(self.expression), exchange_sessions().open_ns
        wall = datetime.fromtimestamp(now / 1e9, NEW_YORK).replace(tzinfo=UTC)  # the trigger knows no clock changes
        fired: datetime | None = None
        while (fired := trigger.get_next_fire_time(fired, wall)) is not None:
            at = int(fired.replace(tzinfo=NEW_YORK).timestamp()) * NS_PER_SECOND
            if at > opens[-1]:
                return
            if at > now:
                yield _due(at, int(np.searchsorted(opens, at, side="right")) - 1)
            wall = fired


def parse_times(text: str) -> SessionTimes:
    """``open-15m``, ``close``, ``close+2h30m``.

    >>> parse_times("close+2h30m").offset_ns // 60_000_000_000
    150
    """
    found = _AT.fullmatch(text)
    if found is None:
        raise ConfigError(f"{text!r} is no time of a session; write for example open-15m, close or close+2h30m")
    offset = parse_span(found[3]) * (-1 if found[2] == "-" else 1) if found[3] else 0
    if abs(offset) > FURTHEST_NS:
        raise ConfigError(f"{text!r} is more than 7 days from its session; use a cron expression")
    return SessionTimes(found[1], offset)


def parse_span(text: str) -> int:
    """``90s``, ``15m``, ``2h30m``, ``1d`` in ns.

    >>> parse_span("1h30m") // 60_000_000_000
    90
    """
    if not _SPAN.fullmatch(text.strip()):
        raise ConfigError(f"{text!r} is no span of time; write for example 90s, 15m, 2h30m or 1d")
    return sum(round(float(n) * _UNITS[u]) for n, u in re.findall(r"(\d+(?:\.\d+)?)([dhms])", text))


def cron(expression: str) -> CronTrigger:
    """APScheduler's trigger of a cron expression, on wall-clock time; :class:`ConfigError` where it is none.

    APScheduler counts the days of the week from Monday, cron from Sunday: numbers are translated, names are the same.
    The trigger itself errs where the clocks change (it fires twice, or skips a month), so it is kept in UTC.
    """
    fields = expression.split()
    if len(fields) != 5:
        raise ConfigError(f"cron expression {expression!r} has {len(fields)} fields; it needs 5, e.g. '0 10 * * sat'")
    minute, hour, day, month, weekday = fields
    try:
        return CronTrigger(minute=minute, hour=hour, day=day, month=month, day_of_week=_weekdays(weekday), timezone=UTC)
    except ValueError as error:
        raise ConfigError(f"cron expression {expression!r} is not valid: {error}; e.g. '0 10 * * sat'") from None


_NAMES = ("sun", "mon", "tue", "wed", "thu", "fri", "sat", "sun")


def _weekdays(field: str) -> str:
    """Numbers as names; a range that begins on Sunday as a list, since APScheduler's week begins on Monday."""

    def named(part: str) -> str:
        base, _, step = part.partition("/")
        first, dash, last = (x.lower() for x in base.partition("-"))
        ends = [_NAMES.index(x) if x in _NAMES else int(x) if x.isdigit() and int(x) < 8 else -1 for x in (first, last)]
        if not dash:
            return part if ends[0] < 0 else _NAMES[ends[0]]
        if min(ends) < 0 or ends[0] > (ends[1] or 7):
            raise ConfigError(f"days of the week {part!r} are no range; write for example mon-fri or 1-5")
        return ",".join(_NAMES[d] for d in range(ends[0], (ends[1] or 7) + 1)[:: int(step or 1)])

    return ",".join(named(part) for part in field.split(","))


def _due(at: int, i: int) -> Due:
    """Due at `at`, counted from session number `i`."""
    dates = exchange_sessions().date
    beside = [iso_date(int(dates[min(max(j, 0), len(dates) - 1)])) for j in (i, i - 1, i + 1)]
    return Due(at, *beside)
