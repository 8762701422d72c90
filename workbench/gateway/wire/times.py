"""Times as the wire spells them. Inside they are UTC int64 nanoseconds; the wire knows whole seconds."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

_SECOND = 1_000_000_000


def epoch(time_ns: int) -> int:
    """Whole seconds since 1970.

    >>> epoch(1_767_364_200_999_999_999)
    1767364200
    """
    return time_ns // _SECOND


def date_time(time_ns: int, zone: str = "America/New_York") -> str:
    """Date and time in a zone that the client's time zone database must know.

    >>> date_time(1_767_364_200_000_000_000)
    '20260102 09:30:00 America/New_York'
    """
    return f"{datetime.fromtimestamp(epoch(time_ns), ZoneInfo(zone)):%Y%m%d %H:%M:%S} {zone}"


def date(time_ns: int, zone: str = "America/New_York") -> str:
    """The date in a zone.

    >>> date(1_767_364_200_000_000_000)
    '20260102'
    """
    return f"{datetime.fromtimestamp(epoch(time_ns), ZoneInfo(zone)):%Y%m%d}"


def connected_at(time_ns: int) -> str:
    """The time in the server's answer to the handshake.

    >>> connected_at(1_767_364_200_000_000_000)
    '20260102 14:30:00 UTC'
    """
    return f"{datetime.fromtimestamp(epoch(time_ns), UTC):%Y%m%d %H:%M:%S} UTC"
