"""What a client is kept informed of: quotes, five-second bars, ticks. One object per request id."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import inf
from typing import Protocol

from workbench.core.units import NS_PER_SECOND
from workbench.gateway.tape import NS, Tape
from workbench.gateway.wire import replies
from workbench.gateway.wire.times import epoch

BID, ASK, LAST, BID_SIZE, ASK_SIZE, LAST_SIZE, HIGH, LOW, VOLUME, CLOSE, OPEN = 1, 2, 4, 0, 3, 5, 6, 7, 8, 9, 14
DELAYED = {0: 69, 1: 66, 2: 67, 3: 70, 4: 68, 5: 71, 6: 72, 7: 73, 8: 74, 9: 75, 14: 76}
HALTED, DELAYED_HALTED, LAST_TIME, DELAYED_LAST_TIME, RT_VOLUME, SHORTABLE, SHORTABLE_SHARES, MARK = (
    49, 90, 45, 88, 48, 46, 89, 37,
)  # fmt: skip
DELAY_S = 900
BAR_S = 5


class Subscription(Protocol):
    """Something that has frames to send as time goes on."""

    symbol: str

    def frames(self, tape: Tape, ns: int, halted: bool) -> Iterator[bytes]:
        """What is new at `ns`, a whole second, on `tape`."""
        ...


@dataclass(slots=True)
class DaySoFar:
    """What a session has seen until `row`: `volume` shares, `value` USD, `high` and `low` USD."""

    session: int = -1
    row: int = -1
    volume: float = 0.0
    value: float = 0.0
    high: float = -inf
    low: float = inf

    def go_on(self, tape: Tape, row: int) -> None:
        """Take in the seconds up to `row`; from the beginning where that is another day, or earlier."""
        if tape.session != self.session or row < self.row:
            self.session, self.row, self.volume, self.value, self.high, self.low = tape.session, -1, 0.0, 0.0, -inf, inf
        if row == self.row + 1:  # the usual case, without arrays
            price, shares = float(tape.last[row]), float(tape.volume[row])
            self.volume, self.value = self.volume + shares, self.value + price * shares
            self.high, self.low, self.row = max(self.high, price), min(self.low, price), row
        elif row > self.row:
            last, volume = tape.last[self.row + 1 : row + 1], tape.volume[self.row + 1 : row + 1]
            self.volume += float(volume.sum())
            self.value += float(last @ volume)
            self.high, self.low = max(self.high, float(last.max())), min(self.low, float(last.min()))
            self.row = row


@dataclass(slots=True)
class Quotes:
    """reqMktData: what changed since the last second. `delayed` shows the market of 15 minutes ago; `generic` ticks."""

    request_id: int
    symbol: str
    delayed: bool = False
    generic: frozenset[int] = frozenset()
    shortable: int = 0
    sent: dict[int, object] = field(default_factory=dict)  # tick type -> what was sent last
    day: DaySoFar = field(default_factory=DaySoFar)

    def frames(self, tape: Tape, ns: int, halted: bool) -> Iterator[bytes]:
        """Price ticks with their sizes, then sizes, then the rest; nothing trades and nothing is quoted in a halt."""
        row = tape.row(ns - DELAY_S * NS if self.delayed else ns)
        if row < 0:
            yield from self._price(CLOSE, tape.previous_close, None)
            return
        if halted:
            yield from self._price(BID, -1.0, 0.0)
            yield from self._price(ASK, -1.0, 0.0)
        else:
            yield from self._price(BID, float(tape.bid[row]), float(tape.bid_size[row]))
            yield from self._price(ASK, float(tape.ask[row]), float(tape.ask_size[row]))
        if not halted:
            yield from self._trades(tape, row)
        yield from self._number(DELAYED_HALTED if self.delayed else HALTED, float(halted))
        if 236 in self.generic:
            yield from self._number(SHORTABLE, 3.0 if self.shortable > 1000 else 2.0 if self.shortable else 1.0)
            yield from self._size(SHORTABLE_SHARES, float(self.shortable))
        if 221 in self.generic:
            yield from self._price(MARK, float(tape.last[row]), 0.0)

    def _trades(self, tape: Tape, row: int) -> Iterator[bytes]:
        day = self.day
        day.go_on(tape, row)
        printed = tape.volume[row] > 0
        size = float(tape.volume[row]) if printed else None
        if printed or LAST not in self.sent:
            time = tape.open_ns + (row + 1) * NS
            kind = DELAYED_LAST_TIME if self.delayed else LAST_TIME
            yield replies.tick_string(self.request_id, kind, str(epoch(time)))
            yield from self._price(LAST, float(tape.last[row]), size or 0.0)
            yield from self._size(VOLUME, day.volume)
            yield from self._price(HIGH, day.high, 0.0)
            yield from self._price(LOW, day.low, 0.0)
            if 233 in self.generic and printed:
                wap = day.value / max(day.volume, 1.0)
                text = f"{tape.last[row]};{tape.volume[row]};{time // 1_000_000};{day.volume:.0f};{wap:.4f};true"
                yield replies.tick_string(self.request_id, RT_VOLUME, text)
        yield from self._price(CLOSE, tape.previous_close, 0.0)
        yield from self._price(OPEN, float(tape.last[0]), 0.0)

    def _kind(self, kind: int) -> int:
        return DELAYED.get(kind, kind) if self.delayed else kind

    def _price(self, kind: int, price: float, size: float | None) -> Iterator[bytes]:
        if self.sent.get(kind) != (price, size):
            self.sent[kind] = price, size
            yield replies.price_size_tick(self.request_id, self._kind(kind), price, size)

    def _size(self, kind: int, size: float) -> Iterator[bytes]:
        if self.sent.get(kind) != size:
            self.sent[kind] = size
            yield replies.tick_size(self.request_id, self._kind(kind), size)

    def _number(self, kind: int, value: float) -> Iterator[bytes]:
        if self.sent.get(kind) != value:
            self.sent[kind] = value
            yield replies.tick_generic(self.request_id, kind, value)


@dataclass(slots=True)
class FiveSeconds:
    """reqRealTimeBars: a bar at every multiple of five seconds. `what` TRADES, MIDPOINT, BID or ASK."""

    request_id: int
    symbol: str
    what: str = "TRADES"

    def frames(self, tape: Tape, ns: int, halted: bool) -> Iterator[bytes]:
        """The bar that ended at `ns`, stamped with its start."""
        row = tape.row(ns)
        if halted or row < BAR_S - 1 or (row + 1) % BAR_S or (row + 1) * NS + tape.open_ns != ns:
            return
        part = slice(row + 1 - BAR_S, row + 1)
        start = epoch(ns) - BAR_S
        if self.what == "TRADES":
            last, volume = tape.last[part], tape.volume[part]
            total = int(volume.sum())
            wap = float((last * volume).sum()) / total if total else float(last[-1])
            o, h, low, c = float(last[0]), float(last.max()), float(last.min()), float(last[-1])
            count = int((volume > 0).sum())
            yield replies.realtime_bar(self.request_id, start, o, h, low, c, float(total), wap, count)
            return
        prices = {"BID": tape.bid, "ASK": tape.ask, "MIDPOINT": (tape.bid + tape.ask) / 2}[self.what][part]
        o, h, low, c = float(prices[0]), float(prices.max()), float(prices.min()), float(prices[-1])
        yield replies.realtime_bar(self.request_id, start, o, h, low, c, -1.0, -1.0, -1)


@dataclass(slots=True)
class TickByTick:
    """reqTickByTickData: `kind` Last, AllLast, BidAsk or MidPoint."""

    request_id: int
    symbol: str
    kind: str
    before: tuple[float, ...] = ()

    def frames(self, tape: Tape, ns: int, halted: bool) -> Iterator[bytes]:
        """The trade or the changed quote of the second."""
        row = tape.row(ns)
        if row < 0 or tape.open_ns + (row + 1) * NS != ns or halted:
            return
        when = ns // NS_PER_SECOND
        if self.kind in ("Last", "AllLast"):
            if tape.volume[row]:
                price, size = float(tape.last[row]), float(tape.volume[row])
                yield replies.tick_by_tick_last(self.request_id, self.kind == "AllLast", when, price, size, "NASDAQ")
            return
        quote = float(tape.bid[row]), float(tape.ask[row]), float(tape.bid_size[row]), float(tape.ask_size[row])
        now = quote if self.kind == "BidAsk" else ((quote[0] + quote[1]) / 2,)
        if now != self.before:
            self.before = now
            if self.kind == "BidAsk":
                yield replies.tick_by_tick_bid_ask(self.request_id, when, *quote)
            else:
                yield replies.tick_by_tick_mid(self.request_id, when, now[0])
