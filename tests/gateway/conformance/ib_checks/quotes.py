"""Streaming, snapshots, generic ticks, tick-by-tick, five-second bars."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from ib_checks.harness import Session, check, until


def on_cent(price: float) -> bool:
    return abs(price * 100 - round(price * 100)) < 1e-6


@check()
async def streaming(s: Session) -> None:
    t = await s.quote(await s.known("AAPL"))
    await until(lambda: t.volume > 0 and t.open > 0 and t.close > 0, "the day's prices")
    assert t.marketDataType == 1
    assert t.bid < t.ask < 1.02 * t.bid
    await until(lambda: t.low <= min(t.last, t.open) and max(t.last, t.open) <= t.high, "a range that holds the prices")
    assert all(on_cent(p) for p in (t.bid, t.ask, t.last, t.high, t.low, t.open, t.close))
    assert t.bidSize >= 100
    assert t.askSize >= 100
    assert t.lastSize % 100 == 0
    assert t.halted == 0
    assert t.minTick == 0.01
    volume, updates = t.volume, []
    t.updateEvent += lambda ticker: updates.append((ticker.volume, ticker.low, ticker.high))
    await until(lambda: len(updates) > 10, "ten more ticks")
    assert updates == sorted(updates, key=lambda u: (u[0], -u[1], u[2]))
    assert t.volume > volume
    s.ib.cancelMktData(t.contract)


@check()
async def cancelled_is_silent(s: Session) -> None:
    t = await s.quote(await s.known("AAPL"))
    s.ib.cancelMktData(t.contract)
    await s.ib.reqCurrentTimeAsync()
    updates: list[object] = []
    t.updateEvent += updates.append
    other = await s.quote(await s.known("MSFT"))
    await until(lambda: other.volume > 0, "a volume")
    before = other.volume
    await until(lambda: other.volume > before, "the market to go on")
    assert updates == []


@check()
async def snapshot(s: Session) -> None:
    contracts = [await s.known("AAPL"), await s.known("MSFT")]
    tickers = await s.ib.reqTickersAsync(*contracts)
    assert [t.contract.symbol for t in tickers] == ["AAPL", "MSFT"]
    for t in tickers:
        assert 0 < t.bid < t.ask
        assert t.low <= t.last <= t.high
    assert tickers[0].bid != tickers[1].bid


@check()
async def generic_ticks(s: Session) -> None:
    t = s.ib.reqMktData(await s.known("AAPL"), "233,236,221")
    await until(lambda: t.rtVolume > 0 and t.shortableShares >= 0 and t.markPrice > 0, "generic ticks")
    await until(lambda: t.low - 0.01 <= t.vwap <= t.high + 0.01 and t.rtVolume == t.volume, "sums that agree")
    assert t.rtTime.astimezone(UTC) > datetime(2026, 3, 2, 14, 30, tzinfo=UTC)
    assert t.shortableShares > 1000
    await until(lambda: t.low <= t.markPrice <= t.high, "a mark within the range")


async def some_ticks(s: Session, contract: Any, *kinds: str) -> dict[str, list[Any]]:
    """More than 30 ticks of each kind."""
    seen: dict[str, list[Any]] = {kind: [] for kind in kinds}
    tickers = {}
    for kind in kinds:
        own = s.lib.Contract(
            **{f: getattr(contract, f) for f in ("conId", "symbol", "secType", "exchange", "currency")}
        )
        tickers[kind] = s.ib.reqTickByTickData(own, kind, 0, False)

    def heard(some: set[Any]) -> None:
        for kind, ticker in tickers.items():
            if ticker in some:  # ib_async keeps one ticker for equal contracts: all their ticks come in each
                seen[kind].extend(ticker.tickByTicks)

    s.ib.pendingTickersEvent += heard
    await until(lambda: all(len(ticks) > 30 for ticks in seen.values()), f"ticks of {kinds}")
    s.ib.pendingTickersEvent -= heard
    for kind, ticker in tickers.items():
        s.ib.cancelTickByTickData(ticker.contract, kind)
    return seen


def of_type(ticks: list[Any], name: str) -> list[Any]:
    return [t for t in ticks if type(t).__name__ == name]


@check()
async def tick_by_tick(s: Session) -> None:
    contract = await s.known("NVDA")
    seen = await some_ticks(s, contract, "Last", "BidAsk", "MidPoint")  # there are no more than three at once
    trades, quotes = of_type(seen["Last"], "TickByTickAllLast"), of_type(seen["BidAsk"], "TickByTickBidAsk")
    mids = of_type(seen["MidPoint"], "TickByTickMidPoint")
    assert {t.tickType for t in trades} == {1}
    assert all(t.size % 100 == 0 and on_cent(t.price) and t.exchange for t in trades)
    assert all(q.bidPrice < q.askPrice and q.bidSize > 0 and q.askSize > 0 for q in quotes)
    possible = {round((q.bidPrice + q.askPrice) / 2, 6) for q in quotes}
    assert sum(round(m.midPoint, 6) in possible for m in mids) >= len(mids) - 2  # the ends may miss a quote
    every = await some_ticks(s, await s.known("AMD"), "AllLast")
    assert {t.tickType for t in of_type(every["AllLast"], "TickByTickAllLast")} == {2}


@check()
async def five_second_bars(s: Session) -> None:
    contract = await s.known("AMZN")
    kinds = ("TRADES", "BID", "ASK", "MIDPOINT")
    bars = {kind: s.ib.reqRealTimeBars(contract, 5, kind, False) for kind in kinds}
    await until(lambda: all(len(b) > 4 for b in bars.values()), "five bars of each kind")
    for kind in kinds:
        s.ib.cancelRealTimeBars(bars[kind])
        starts = [b.time.timestamp() for b in bars[kind]]
        assert [b - a for a, b in pairwise(starts)] == [5.0] * (len(starts) - 1)
        assert starts[0] % 5 == 0
        assert all(b.low <= min(b.open_, b.close) <= max(b.open_, b.close) <= b.high for b in bars[kind])
    bids = {b.time: b.close for b in bars["BID"]}  # either may have begun a bar earlier
    assert len(both := [(a.close, bids[a.time]) for a in bars["ASK"] if a.time in bids]) > 2
    assert all(ask > bid for ask, bid in both)
    told = await s.ib.reqHistoricalDataAsync(contract, "", "1800 S", "5 secs", "TRADES", True, 2)
    past = {b.date.timestamp(): b for b in told}
    for b in bars["TRADES"]:
        p = past[b.time.timestamp()]
        assert (b.open_, b.high, b.low, b.close, b.volume) == (p.open, p.high, p.low, p.close, p.volume)


@check(200)
async def unknown_stock(s: Session) -> None:
    unknown = s.lib.Contract(conId=7, symbol="AAPL", secType="STK", exchange="SMART", currency="USD")
    t = s.ib.reqMktData(unknown)
    await until(lambda: any(code == 200 for _, code in s.errors), "the refusal")
    assert t.bid != t.bid
