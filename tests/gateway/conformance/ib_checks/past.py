"""Historical bars, ticks, schedules, head timestamps: what is said about the same past agrees with itself."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

from ib_checks.harness import Session, check, until

FRIDAY = "20260227 16:00:00 America/New_York"
OPEN, CLOSE = datetime(2026, 2, 27, 14, 30, tzinfo=UTC), datetime(2026, 2, 27, 21, tzinfo=UTC)


async def bars(s: Session, duration: str, size: str, what: str = "TRADES", end: str = FRIDAY, form: int = 1) -> Any:
    contract = await s.known("AAPL")
    return await s.ib.reqHistoricalDataAsync(contract, end, duration, size, what, True, form)


@check()
async def minutes(s: Session) -> None:
    got = await bars(s, "1 D", "1 min")
    assert len(got) == 390
    assert got[0].date == OPEN
    assert all(b.date - a.date == timedelta(minutes=1) for a, b in pairwise(got))
    assert all(b.low <= min(b.open, b.close, b.average) for b in got)
    assert all(b.high >= max(b.open, b.close, b.average) for b in got)
    assert all(b.volume >= 0 and b.barCount >= 0 for b in got)
    assert [b.date for b in await bars(s, "1 D", "1 min", form=2)] == [b.date for b in got]


@check()
async def sizes_agree(s: Session) -> None:
    fine = await bars(s, "1 D", "1 min")
    sizes = {"2 mins": 2, "3 mins": 3, "5 mins": 5, "10 mins": 10, "15 mins": 15, "30 mins": 30}
    for size, n in sizes.items():
        coarse = await bars(s, "1 D", size)
        assert len(coarse) == 390 // n
        for i, b in enumerate(coarse):
            part = fine[i * n : i * n + n]
            assert (b.date, b.open, b.close) == (part[0].date, part[0].open, part[-1].close)
            assert (b.high, b.low) == (max(p.high for p in part), min(p.low for p in part))
            assert b.volume == sum(p.volume for p in part)


@check()
async def seconds_agree(s: Session) -> None:
    minute = (await bars(s, "60 S", "1 min"))[-1]
    for size, n in {"1 secs": 60, "5 secs": 12, "10 secs": 6, "15 secs": 4, "30 secs": 2}.items():
        got = await bars(s, "60 S", size)
        assert len(got) == n
        assert got[0].date == minute.date
        assert (got[0].open, got[-1].close) == (minute.open, minute.close)
        assert sum(b.volume for b in got) == minute.volume
        assert max(b.high for b in got) == minute.high


@check()
async def hours_begin_on_the_hour(s: Session) -> None:
    fine = await bars(s, "1 D", "30 mins")
    hours = await bars(s, "1 D", "1 hour")
    assert [b.date for b in hours] == [fine[0].date] + [b.date for b in fine[1::2]]
    assert hours[0].volume == fine[0].volume
    assert [b.volume for b in hours[1:]] == [a.volume + b.volume for a, b in zip(fine[1::2], fine[2::2], strict=True)]
    four = await bars(s, "1 D", "4 hours")
    assert [b.date.astimezone(UTC).hour for b in four] == [14, 17]
    assert sum(b.volume for b in four) == sum(b.volume for b in fine)


@check()
async def days_weeks_months(s: Session) -> None:
    days = await bars(s, "5 D", "1 day")
    assert [b.date for b in days] == [date(2026, 2, d) for d in (23, 24, 25, 26, 27)]
    fine = await bars(s, "1 D", "1 min")
    last = days[-1]
    assert (last.open, last.close) == (fine[0].open, fine[-1].close)
    assert (last.high, last.low) == (max(b.high for b in fine), min(b.low for b in fine))
    assert last.volume == sum(b.volume for b in fine)
    week = (await bars(s, "1 W", "1 week"))[-1]
    assert (week.open, week.close, week.high) == (days[0].open, last.close, max(b.high for b in days))
    assert week.volume == sum(b.volume for b in days)
    months = await bars(s, "1 Y", "1 month")
    assert 12 <= len(months) <= 13
    assert months[-1].close == last.close


@check()
async def what_to_show(s: Session) -> None:
    bid, ask, mid = [await bars(s, "1 D", "5 mins", what) for what in ("BID", "ASK", "MIDPOINT")]
    for b, a, m in zip(bid, ask, mid, strict=True):
        assert b.close < m.close < a.close
        assert abs((b.close + a.close) / 2 - m.close) < 1e-6
        assert (b.volume, b.barCount) == (-1, -1)
    both = await bars(s, "1 D", "5 mins", "BID_ASK")
    assert [(x.high, x.low) for x in both] == [(a.high, b.low) for a, b in zip(ask, bid, strict=True)]
    seconds = [await bars(s, "300 S", "1 secs", what) for what in ("BID", "ASK")]
    means = [sum(b.close for b in side) / 300 for side in seconds]
    assert abs(both[-1].open - means[0]) < 1e-4
    assert abs(both[-1].close - means[1]) < 1e-4
    adjusted = await bars(s, "5 D", "1 day", "ADJUSTED_LAST", end="")
    assert [b.close for b in adjusted][:-1] == [b.close for b in await bars(s, "5 D", "1 day", end="")][:-1]


@check()
async def keep_up_to_date(s: Session) -> None:
    contract = await s.known("MSFT")
    got = await s.ib.reqHistoricalDataAsync(contract, "", "600 S", "5 secs", "TRADES", True, 2, keepUpToDate=True)
    count, news = len(got), []
    got.updateEvent += lambda _, new: news.append(new)
    await until(lambda: len(got) > count + 2, "two new bars")
    assert sum(news) == len(got) - count
    assert all(b.date - a.date == timedelta(seconds=5) for a, b in pairwise(got[-6:]))
    s.ib.cancelHistoricalData(got)
    await s.ib.reqCurrentTimeAsync()
    size, done = len(got), got[count : len(got) - 1]
    told = {b.date: b for b in await s.ib.reqHistoricalDataAsync(contract, "", "600 S", "5 secs", "TRADES", True, 2)}
    for b in done:
        p = told[b.date]
        assert (b.open, b.high, b.low, b.close, b.volume) == (p.open, p.high, p.low, p.close, p.volume)
    assert len(got) == size


@check()
async def ticks(s: Session) -> None:
    contract, start = await s.known("AAPL"), "20260227 10:00:00 America/New_York"
    trades, quotes, mids = [
        await s.ib.reqHistoricalTicksAsync(contract, start, "", 200, what, True, False)
        for what in ("TRADES", "BID_ASK", "MIDPOINT")
    ]  # fmt: skip
    first = OPEN + timedelta(minutes=30)
    for some in (trades, quotes, mids):
        assert len(some) == 200
        assert some[0].time >= first
        assert [t.time for t in some] == sorted(t.time for t in some)
    assert all(t.price > 0 and t.size > 0 and t.exchange for t in trades)
    at = {q.time: q for q in quotes}
    assert all(q.priceBid < q.priceAsk and q.sizeBid > 0 for q in quotes)
    shared = [m for m in mids if m.time in at]
    assert len(shared) > 100
    assert all(abs(m.price - (at[m.time].priceBid + at[m.time].priceAsk) / 2) < 1e-9 for m in shared)
    before = await s.ib.reqHistoricalTicksAsync(contract, "", FRIDAY, 50, "TRADES", True, False)
    assert len(before) == 50
    assert before[-1].time <= CLOSE
    minute = (await bars(s, "60 S", "1 min"))[-1]
    assert before[-1].price == minute.close


@check()
async def schedule(s: Session) -> None:
    told = await s.ib.reqHistoricalScheduleAsync(await s.known("AAPL"), 3, FRIDAY)
    assert told.timeZone == "America/New_York"
    assert [(x.refDate, x.startDateTime, x.endDateTime) for x in told.sessions] == [
        (f"202602{d}", f"202602{d}-09:30:00", f"202602{d}-16:00:00") for d in (25, 26, 27)
    ]


@check()
async def head_timestamp(s: Session) -> None:
    contract = await s.known("AAPL")
    one = await s.ib.reqHeadTimeStampAsync(contract, "TRADES", True, 1)
    two = await s.ib.reqHeadTimeStampAsync(contract, "TRADES", True, 2)
    assert (one.year, one.month, one.day, one.hour, one.minute) == (2010, 1, 4, 14, 30)
    assert two == one.replace(tzinfo=two.tzinfo)


@check(162, 200)
async def refused(s: Session) -> None:
    contract = await s.known("AAPL")
    assert not await s.ib.reqHistoricalDataAsync(contract, "", "1 D", "1 min", "YIELD_BID", True)
    assert not await s.ib.reqHistoricalDataAsync(s.stock("NO-SUCH!"), "", "1 D", "1 min", "TRADES", True)
    assert await s.ib.reqHistoricalTicksAsync(s.stock("NO-SUCH!"), "", FRIDAY, 10, "TRADES", True) == []
