"""When jobs are due, against dates that were looked up in the exchange's published calendar."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice
from zoneinfo import ZoneInfo

import pytest

from workbench.core.errors import ConfigError
from workbench.schedule.times import CronTimes, Times, cron, parse_span, parse_times

NEW_YORK = ZoneInfo("America/New_York")


def ns(text: str) -> int:
    """UTC ns of a New York time."""
    return int(datetime.fromisoformat(text).replace(tzinfo=NEW_YORK).timestamp()) * 10**9


def first(times: Times, count: int, after: str) -> list[tuple[str, str]]:
    """New York times, and their sessions, of the next moments."""
    return [
        (datetime.fromtimestamp(d.at / 1e9, UTC).astimezone(NEW_YORK).strftime("%a %m-%d %H:%M"), d.session)
        for d in islice(times.after(ns(after)), count)
    ]


def test_times_follow_early_closes_and_holidays() -> None:
    """3 July 2025 closed at 13:00, the 4th was a holiday, then a weekend."""
    assert first(parse_times("close+15m"), 4, "2025-07-02T00:00") == [
        ("Wed 07-02 16:15", "2025-07-02"), ("Thu 07-03 13:15", "2025-07-03"), ("Mon 07-07 16:15", "2025-07-07"),
        ("Tue 07-08 16:15", "2025-07-08"),
    ]  # fmt: skip
    assert first(parse_times("open-15m"), 2, "2025-07-03T09:15") == [
        ("Mon 07-07 09:15", "2025-07-07"), ("Tue 07-08 09:15", "2025-07-08"),
    ]  # fmt: skip


def test_times_follow_the_clocks() -> None:
    """The clocks of New York went forward on 8 March 2026 and back on 1 November: wall-clock time stays."""
    for after, utc in (("2026-03-06T00:00", (14, 15)), ("2026-03-08T12:00", (13, 15)), ("2026-11-01T12:00", (14, 15))):
        due = next(parse_times("open-15m").after(ns(after)))
        at = datetime.fromtimestamp(due.at / 1e9, UTC)
        assert (at.hour, at.minute) == utc


def test_a_due_moment_knows_the_sessions_beside_it() -> None:
    due = next(parse_times("close").after(ns("2025-07-03T10:00")))
    assert (due.session, due.before, due.next) == ("2025-07-03", "2025-07-02", "2025-07-07")
    weekend = next(CronTimes("0 10 * * sat").after(ns("2025-07-03T20:00")))
    assert (weekend.session, weekend.before, weekend.next) == ("2025-07-03", "2025-07-02", "2025-07-07")
    assert weekend.at == ns("2025-07-05T10:00")


def test_a_moment_is_due_once() -> None:
    times = parse_times("open-15m")
    due = next(times.after(ns("2026-03-02T09:14")))
    assert due.at == ns("2026-03-02T09:15")
    assert next(times.after(due.at)).at == ns("2026-03-03T09:15")
    assert next(times.after(due.at - 1)) == due


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("0 10 * * sat", ["Sat 03-07 10:00", "Sat 03-14 10:00"]),
        ("0 10 * * 6", ["Sat 03-07 10:00", "Sat 03-14 10:00"]),
        ("0 10 * * 0", ["Sun 03-08 10:00", "Sun 03-15 10:00"]),
        ("0 10 * * 7", ["Sun 03-08 10:00", "Sun 03-15 10:00"]),
        ("30 17 * * 1-5", ["Mon 03-02 17:30", "Tue 03-03 17:30"]),
        ("30 17 * * 0-1", ["Mon 03-02 17:30", "Sun 03-08 17:30"]),
        ("0 6 * * mon,3", ["Mon 03-02 06:00", "Wed 03-04 06:00"]),
        ("0 0 1 * *", ["Wed 04-01 00:00", "Fri 05-01 00:00"]),
        ("0 6 * * 1-5/2", ["Mon 03-02 06:00", "Wed 03-04 06:00"]),
    ],
)
def test_cron_counts_the_days_of_the_week_as_cron_does(expression: str, expected: list[str]) -> None:
    assert [at for at, _ in first(CronTimes(expression), 2, "2026-03-01T23:00")] == expected


def test_cron_in_the_night_of_the_clock_change() -> None:
    """02:30 does not exist on 8 March 2026, and 01:30 exists twice on 1 November: never more than once a day."""
    spring = first(CronTimes("30 2 * * *"), 3, "2026-03-06T12:00")
    assert [at[:9] for at, _ in spring] in (
        ["Sat 03-07", "Sun 03-08", "Mon 03-09"], ["Sat 03-07", "Mon 03-09", "Tue 03-10"],
    )  # fmt: skip
    autumn = [at[:9] for at, _ in first(CronTimes("30 1 * * *"), 3, "2026-10-30T12:00")]
    assert autumn == ["Sat 10-31", "Sun 11-01", "Mon 11-02"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("lunch", "'lunch' is no time of a session; write for example open-15m"),
        ("open-15", "no time of a session"),
        ("open+-15m", "no time of a session"),
        ("open+8d", "more than 7 days from its session"),
    ],
)
def test_times_that_make_no_sense_are_refused(text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        parse_times(text)


@pytest.mark.parametrize(
    ("text", "told"),
    [("0 10 * *", "4 fields; it needs 5"), ("61 10 * * *", "not valid"), ("0 10 * * 5-1", "no range"),
     ("0 10 * * funday", "not valid")],
)  # fmt: skip
def test_cron_expressions_that_make_no_sense_are_refused(text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        cron(text)


def test_spans() -> None:
    assert [parse_span(t) // 10**9 for t in ("90s", "15m", "2h30m", "1d", "1.5h")] == [90, 900, 9000, 86400, 5400]
    with pytest.raises(ConfigError, match="no span of time"):
        parse_span("15")


def test_a_time_of_a_session_and_a_day_without_one() -> None:
    assert parse_times("close+15m").of("2025-07-03") == ns("2025-07-03T13:15")
    with pytest.raises(ConfigError, match="2025-07-04 is no session"):
        parse_times("close").of("2025-07-04")
