"""What a client may ask about the past: bars, schedules, ticks. Always from the same tapes as the live market."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np

from workbench.core.arrays import FloatArray
from workbench.gateway.hours import TradingHours
from workbench.gateway.instruments import ZONE
from workbench.gateway.market import Market
from workbench.gateway.tape import NS, Candles, Tape, bars_of
from workbench.gateway.translation import moment
from workbench.gateway.wire.messages import ReqHistoricalData
from workbench.gateway.wire.replies import Bar, TradingSession
from workbench.gateway.wire.times import date, date_time, epoch

BAR_SECONDS = {
    **{f"{n} secs": n for n in (1, 5, 10, 15, 30)},
    "1 min": 60,
    **{f"{n} mins": 60 * n for n in (2, 3, 5, 10, 15, 20, 30)},
    "1 hour": 3600,
    **{f"{n} hours": 3600 * n for n in (2, 3, 4, 8)},
}
DAILY = ("1 day", "1 week", "1 month")
SHOWN = ("TRADES", "MIDPOINT", "BID", "ASK", "BID_ASK", "ADJUSTED_LAST")
DAY_SPANS = {"D": 1, "W": 5}
MONTHS = {"M": 1, "Y": 12}
MAX_BARS = 60_000
_DURATION = re.compile(r"(\d+) ([SDWMY])")


class HistoryRefused(ValueError):
    """A request for the past that cannot be answered; `code` of the error reply."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True)
class Past:
    """Looks back on `market` by the exchange's `hours`."""

    market: Market
    hours: TradingHours

    def bars(self, symbol: str, ask: ReqHistoricalData, now: int) -> tuple[str, str, list[Bar]]:
        """(start, end, bars) of a request made at `now`; the last bar may still be growing."""
        _check(ask)
        end = min(moment(ask.end) if ask.end else now, now)
        first, last = self._span(ask.duration, end)
        daily = ask.bar_size in DAILY
        out: list[Bar] = []
        for i in range(first, last + 1):
            session = int(self.hours.sessions.date[i])
            if self.market.latest(symbol, session) != session:
                continue
            tape = self.market.tape(symbol, session)
            complete = tape.row(end) + 1
            if complete > 0:
                out += self._of(tape, complete, ask, daily)
        if ask.duration.strip().endswith("S") and not daily:
            out = out[-max(1, int(ask.duration.split()[0]) // BAR_SECONDS[ask.bar_size]) :]
        if len(out) > MAX_BARS:
            raise HistoryRefused(162, f"Historical Market Data Service error message:{len(out)} bars are too many")
        if ask.bar_size in ("1 week", "1 month"):
            out = _grouped(out, ask.bar_size)
        opened = int(self.hours.sessions.open_ns[first])
        return date_time(opened), date_time(end), out

    def _of(self, tape: Tape, complete: int, ask: ReqHistoricalData, daily: bool, last: int = 0) -> list[Bar]:
        """The bars of the first `complete` seconds; only the `last` ones unless that is 0."""
        seconds = len(tape) if daily else BAR_SECONDS[ask.bar_size]
        ago = 0 if daily else self._ago(tape.open_ns, seconds)
        if ask.what_to_show == "BID_ASK":
            told = _quoted(tape, seconds, complete, ago)
        else:
            told = bars_of(_shown(tape, ask.what_to_show), seconds, complete, ago)
        traded = ask.what_to_show in ("TRADES", "ADJUSTED_LAST")
        starts = np.append(tape.open_ns, told.end_ns[:-1])
        n = len(told.end_ns)
        return [
            Bar(_name(int(starts[b]), daily, ask.format_date),
                float(told.open[b]), float(told.high[b]), float(told.low[b]), float(told.close[b]),
                float(told.volume[b]) if traded else -1.0, round(float(told.wap[b]), 4) if traded else -1.0,
                int(told.trades[b]) if traded else -1)
            for b in range(n - last if last else 0, n)
        ]  # fmt: skip

    def growing(self, symbol: str, ask: ReqHistoricalData, now: int) -> Bar | None:
        """The bar that grows at `now`; None while the market is closed."""
        i = int(np.searchsorted(self.hours.sessions.open_ns, now, side="left")) - 1
        session = int(self.hours.sessions.date[i])
        if self.market.latest(symbol, session) != session:
            return None
        tape = self.market.tape(symbol, session)
        row = tape.row(now)
        if row < 0 or tape.open_ns + (row + 1) * NS != now:
            return None
        daily = ask.bar_size == "1 day"
        return self._of(tape, row + 1, ask, daily, last=1)[-1]

    @staticmethod
    def _ago(open_ns: int, seconds: int) -> int:
        """Seconds from the start of the first bar to the opening: bars begin at whole multiples since midnight."""
        opened = datetime.fromtimestamp(open_ns // NS, ZoneInfo(ZONE))
        return (opened.hour * 3600 + opened.minute * 60 + opened.second) % seconds

    def schedule(self, ask: ReqHistoricalData, now: int) -> tuple[str, str, list[TradingSession]]:
        """(start, end, sessions) for SCHEDULE."""
        end = moment(ask.end) if ask.end else now
        first, last = self._span(ask.duration, end)
        s = self.hours.sessions
        told = [
            TradingSession(_dashed(int(s.open_ns[i])), _dashed(int(s.close_ns[i])), date(int(s.open_ns[i])))
            for i in range(first, last + 1)
        ]
        return told[0].start, told[-1].end, told

    def head(self, symbol: str, format_date: int) -> str:
        """When the oldest data of `symbol` begin."""
        first = np.searchsorted(self.hours.sessions.date, self.market.first(symbol))
        opened = int(self.hours.sessions.open_ns[first])
        return str(epoch(opened)) if format_date == 2 else f"{date(opened)}-{date_time(opened, 'UTC')[9:17]}"

    def _span(self, duration: str, end: int) -> tuple[int, int]:
        """First and last session of a duration that ends at `end`."""
        found = _DURATION.fullmatch(duration.strip())
        if found is None:
            raise HistoryRefused(
                321, f"Error validating request.-'bW' : cause - duration {duration!r} is not like '2 D'"
            )
        last = int(np.searchsorted(self.hours.sessions.open_ns, end, side="left")) - 1
        count, unit = int(found[1]), found[2]
        dates = self.hours.sessions.date
        oldest = int(np.searchsorted(dates, 14_610))
        if unit in MONTHS:
            begin = _months_before(int(dates[last]), count * MONTHS[unit])
            return max(int(np.searchsorted(dates, begin, side="right")), oldest), last
        span = -(-count // 23_400) + 1 if unit == "S" else count * DAY_SPANS[unit]
        return max(last - span + 1, oldest), last


def _months_before(day: int, months: int) -> int:
    """The same day of the month `months` earlier, or that month's last; days since 1970.

    >>> [str(np.datetime64(_months_before(int(np.datetime64(d, "D").astype(int)), 1), "D"))
    ...  for d in ("2026-03-31", "2026-01-15")]
    ['2026-02-28', '2025-12-15']
    """
    date = np.datetime64(day, "D")
    month = date.astype("datetime64[M]") - months
    within = int((date - date.astype("datetime64[M]")).astype(int))
    length = int(((month + 1).astype("datetime64[D]") - month.astype("datetime64[D]")).astype(int))
    return int(month.astype("datetime64[D]").astype(int)) + min(within, length - 1)


def _check(ask: ReqHistoricalData) -> None:
    if ask.bar_size not in BAR_SECONDS and ask.bar_size not in DAILY:
        known = ", ".join((*BAR_SECONDS, *DAILY))
        raise HistoryRefused(
            321, f"Error validating request.-'bW' : cause - bar size {ask.bar_size!r} is none of {known}"
        )
    if ask.keep_up_to_date and (ask.end or ask.bar_size in ("1 week", "1 month")):
        why = "bars that grow end now" if ask.end else f"bars of {ask.bar_size} do not grow"
        raise HistoryRefused(321, f"Error validating request.-'bW' : cause - {why}")
    if ask.what_to_show not in SHOWN:
        raise HistoryRefused(162, f"Historical Market Data Service error message:No data of type {ask.what_to_show}")


def _shown(tape: Tape, what: str) -> Tape:
    """The tape with the wanted price in place of the prints."""
    prices: dict[str, FloatArray] = {"BID": tape.bid, "ASK": tape.ask, "MIDPOINT": (tape.bid + tape.ask) / 2}
    if what not in prices:
        return tape
    kept = {name: getattr(tape, name) for name in Tape.__slots__}
    return Tape(**{**kept, "last": prices[what]})


def _quoted(tape: Tape, seconds: int, complete: int, ago: int) -> Candles:
    """BID_ASK bars: the mean bid (open), the highest ask, the lowest bid, the mean ask (close), each over the seconds
    of the bar (IBKR, "Historical Bar Data")."""
    bid, ask = (bars_of(_shown(tape, side), seconds, complete, ago) for side in ("BID", "ASK"))
    ends = (bid.end_ns - tape.open_ns) // NS
    means = [
        np.diff(np.r_[0.0, np.cumsum(side[:complete])][np.r_[0, ends]]) / np.diff(np.r_[0, ends])
        for side in (tape.bid, tape.ask)
    ]
    return replace(bid, open=np.round(means[0], 4), high=ask.high, close=np.round(means[1], 4))


def _name(start_ns: int, daily: bool, format_date: int) -> str:
    if daily:
        return date(start_ns)
    return str(epoch(start_ns)) if format_date == 2 else date_time(start_ns, ZONE)


def _dashed(ns: int) -> str:
    text = date_time(ns)
    return f"{text[:8]}-{text[9:17]}"


def _grouped(days: list[Bar], size: str) -> list[Bar]:
    """Weeks or months of daily bars, named by their last day."""
    groups: dict[str, list[Bar]] = {}
    for bar in days:
        day = np.datetime64(f"{bar.date[:4]}-{bar.date[4:6]}-{bar.date[6:8]}", "D")
        week = str((day.astype(np.int64) + 3) // 7)
        groups.setdefault(week if size == "1 week" else bar.date[:6], []).append(bar)
    return [
        Bar(g[-1].date, g[0].open, max(b.high for b in g), min(b.low for b in g), g[-1].close,
            sum(b.volume for b in g) if g[0].volume >= 0 else -1.0, g[-1].wap, sum(b.count for b in g))
        for g in groups.values()
    ]  # fmt: skip
