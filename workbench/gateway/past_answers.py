"""Answers about the past: bars, schedules, head timestamps, ticks."""

from __future__ import annotations

from workbench.core.units import NS_PER_SECOND
from workbench.gateway import refusals
from workbench.gateway.history import BAR_SECONDS, HistoryRefused
from workbench.gateway.hub import Client, Handlers, Hub
from workbench.gateway.instruments import ZONE
from workbench.gateway.limits import MAX_OPEN_HISTORICAL, PACING, SMALL_BAR_S
from workbench.gateway.tape import Tape
from workbench.gateway.translation import moment
from workbench.gateway.wire import messages as m
from workbench.gateway.wire import replies

MAX_HISTORICAL_TICKS = 1000


class PastAnswers:
    """Out of the market of `hub`, up to its time."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub

    def handlers(self) -> Handlers:
        """Message -> what answers it."""
        return {
            m.ReqHistoricalData: self._history,
            m.CancelHistoricalData: self._cancel,
            m.ReqHeadTimeStamp: self._head_timestamp,
            m.CancelHeadTimeStamp: lambda c, r: None,
            m.ReqHistoricalTicks: self._ticks,
        }

    def _history(self, c: Client, r: m.ReqHistoricalData) -> None:
        found = self.hub.find(c, r.request_id, r.contract)
        if found is None or self._refused(c, r, found.symbol):
            return
        now, past = self.hub.clock.now(), self.hub.past
        try:
            if r.what_to_show == "SCHEDULE":
                start, end, told = past.schedule(r, now)
                c.send(replies.historical_schedule(r.request_id, start, end, ZONE, told))
                return
            start, end, bars = past.bars(found.symbol, r, now)
        except HistoryRefused as error:
            c.send(replies.error(r.request_id, error.code, str(error)))
            return
        except ValueError as error:
            c.send(refusals.invalid(r.request_id, error))
            return
        if not bars:
            c.send(refusals.history(r.request_id, "HMDS query returned no data"))
            return
        c.send(replies.historical_data(r.request_id, start, end, bars))
        if r.keep_up_to_date:
            c.growing[r.request_id] = found.symbol, r

    def _refused(self, c: Client, r: m.ReqHistoricalData, symbol: str) -> bool:
        """Whether too many requests are open, or those for small bars come too fast."""
        if r.request_id in c.growing:
            c.send(refusals.unprocessed(r.request_id, "Duplicate ticker ID for API historical data query"))
            return True
        if sum(len(client.growing) for client in self.hub.clients.values()) >= MAX_OPEN_HISTORICAL:
            text = f"Only {MAX_OPEN_HISTORICAL} simultaneous API historical data requests allowed."
            c.send(refusals.unprocessed(r.request_id, text))
            return True
        if r.what_to_show == "SCHEDULE" or BAR_SECONDS.get(r.bar_size, SMALL_BAR_S + 1) > SMALL_BAR_S:
            return False
        series = symbol, r.contract.exchange, r.what_to_show
        details = r.end, r.bar_size, r.duration, r.use_rth, r.keep_up_to_date
        if self.hub.pacing.refuses(series, details, 2 if r.what_to_show == "BID_ASK" else 1):
            c.send(refusals.history(r.request_id, PACING))
            return True
        return False

    def _cancel(self, c: Client, r: m.CancelHistoricalData) -> None:
        if c.growing.pop(r.request_id, None) is None:
            c.send(replies.error(r.request_id, 366, f"No historical data query found for ticker id:{r.request_id}"))

    def _head_timestamp(self, c: Client, r: m.ReqHeadTimeStamp) -> None:
        found = self.hub.find(c, r.request_id, r.contract)
        if found is not None:
            c.send(replies.head_timestamp(r.request_id, self.hub.past.head(found.symbol, r.format_date)))

    def _ticks(self, c: Client, r: m.ReqHistoricalTicks) -> None:
        found = self.hub.find(c, r.request_id, r.contract)
        if found is None:
            return
        now = self.hub.clock.now()
        at = moment(r.start or r.end) if (r.start or r.end) else now
        tape = self.hub.feed.tape(found.symbol, min(at, now))
        c.send(_ticks_frame(r, tape, _seconds(r, tape, at, now)))


def _seconds(r: m.ReqHistoricalTicks, tape: Tape, at: int, now: int) -> list[int]:
    """Rows of `tape` whose ticks are wanted: from `at` on where the request has a start, else up to `at`."""
    last = tape.row(now) + 1
    rows = range(max(tape.row(at), 0), last) if r.start else range(min(tape.row(at) + 1, last))
    kept = [s for s in rows if tape.volume[s]] if r.what_to_show == "TRADES" else list(rows)
    count = min(r.count, MAX_HISTORICAL_TICKS)
    return kept[:count] if r.start else kept[-count:]


def _ticks_frame(r: m.ReqHistoricalTicks, tape: Tape, rows: list[int]) -> bytes:
    second = tape.open_ns // NS_PER_SECOND + 1
    if r.what_to_show == "TRADES":
        trades = [replies.LastTick(second + s, float(tape.last[s]), float(tape.volume[s]), "NASDAQ") for s in rows]
        return replies.historical_ticks_last(r.request_id, trades)
    if r.what_to_show == "BID_ASK":
        bid, ask, sizes = tape.bid, tape.ask, (tape.bid_size, tape.ask_size)
        quotes = [
            replies.BidAskTick(second + s, float(bid[s]), float(ask[s]), float(sizes[0][s]), float(sizes[1][s]))
            for s in rows
        ]
        return replies.historical_ticks_bid_ask(r.request_id, quotes)
    mids = [replies.MidTick(second + s, float(tape.bid[s] + tape.ask[s]) / 2) for s in rows]
    return replies.historical_ticks(r.request_id, mids)
