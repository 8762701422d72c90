"""How much a client may ask for: lines, ticks, summaries, and how fast for small bars."""

from __future__ import annotations

from typing import Any

from ib_checks.harness import Session, check, until

PACING = "Historical data request pacing violation"


def texts(s: Session) -> list[str]:
    """Texts of the errors that come from now on."""
    found: list[str] = []
    s.ib.errorEvent += lambda _, code, text, *__: found.append(f"{code} {text}")
    return found


async def small(s: Session, symbol: str, duration: str, size: str = "5 secs", what: str = "TRADES") -> Any:
    return await s.ib.reqHistoricalDataAsync(s.stock(symbol), "", duration, size, what, True)


@check(101)
async def a_hundred_lines_of_all_kinds(s: Session) -> None:
    names = [f"Q{chr(65 + i // 26)}{chr(65 + i % 26)}" for i in range(98)]
    known = await s.ib.qualifyContractsAsync(*(s.stock(name) for name in ("AAPL", "MSFT", "IBM", *names)))
    apple, microsoft, ibm, *others = known
    for contract in others:
        s.ib.reqMktData(contract)
    bars = s.ib.reqRealTimeBars(apple, 5, "TRADES", True)
    s.ib.reqTickByTickData(apple, "Last")
    await s.ib.reqCurrentTimeAsync()
    assert {code for _, code in s.errors} <= {2104, 2106, 2158}
    s.ib.reqMktData(microsoft)
    s.ib.reqRealTimeBars(microsoft, 5, "TRADES", True)
    s.ib.reqTickByTickData(microsoft, "Last")
    await until(lambda: sum(code == 101 for _, code in s.errors) == 3, "three refusals")
    s.ib.cancelRealTimeBars(bars)
    await s.quote(ibm)
    other = await s.another()
    codes: list[int] = []
    other.errorEvent += lambda _, code, *__: codes.append(code)
    other.reqMktData(microsoft)
    await until(lambda: 101 in codes, "the refusal of another client, for the lines are shared")
    other.disconnect()


@check(102)
async def a_number_has_one_line(s: Session) -> None:
    await s.quote(await s.known("AAPL"))
    number, other = s.ib.client.getReqId() - 1, s.stock("MSFT")
    s.ib.client.reqMktData(number, other, "", False, False, [])
    s.ib.client.reqTickByTickData(number, other, "Last", 0, False)
    s.ib.client.reqRealTimeBars(number, other, 5, "TRADES", True, [])
    await until(lambda: s.errors.count((number, 102)) == 3, "the refusal of quotes, ticks and bars")


@check(10190)
async def three_tick_by_tick(s: Session) -> None:
    for symbol in ("AAPL", "MSFT", "IBM"):
        s.ib.reqTickByTickData(await s.known(symbol), "BidAsk")
    await s.ib.reqCurrentTimeAsync()
    assert 10190 not in {code for _, code in s.errors}
    s.ib.reqTickByTickData(await s.known("GE"), "BidAsk")
    await until(lambda: 10190 in {code for _, code in s.errors}, "the refusal")


@check(162)
async def the_same_small_bars_again(s: Session) -> None:
    told = texts(s)
    assert len(await small(s, "AAPL", "60 S")) == 12
    assert not await small(s, "AAPL", "60 S")
    assert told == [f"162 Historical Market Data Service error message:{PACING}"]
    assert len(await small(s, "AAPL", "120 S")) == 24
    for _ in range(3):  # bars of a minute have no such limit
        assert await small(s, "AAPL", "1 D", "1 min")


@check(162)
async def six_of_a_series_at_once(s: Session) -> None:
    got = [await small(s, "MSFT", f"{n} S") for n in (10, 20, 30, 40, 50, 60)]
    assert [len(bars) for bars in got] == [2, 4, 6, 8, 10, 0]
    assert await small(s, "IBM", "60 S")
    got = [await small(s, "IBM", f"{n} S", what="BID_ASK") for n in (10, 20, 30)]
    assert [len(bars) for bars in got] == [2, 4, 0]  # each counts twice


@check(420)
async def real_time_bars_are_paced_too(s: Session) -> None:
    told = texts(s)
    for _ in range(2):
        s.ib.reqRealTimeBars(s.stock("PFE"), 5, "TRADES", True)
    await until(lambda: f"420 Invalid Real-time Query:{PACING}" in told, "the refusal")


@check(322)
async def fifty_histories_at_once(s: Session) -> None:
    contract, told = s.stock("KO"), texts(s)
    kept = [
        await s.ib.reqHistoricalDataAsync(contract, "", "60 S", "1 min", "TRADES", True, 1, True) for _ in range(50)
    ]
    assert all(kept)  # answered with bars; a kept list grows when a minute ends meanwhile
    assert not await small(s, "KO", "1 D", "1 min")
    assert any("Only 50 simultaneous API historical data requests" in text for text in told)
    s.ib.cancelHistoricalData(kept[0])
    assert await small(s, "KO", "1 D", "1 min")


@check(322)
async def two_summaries(s: Session) -> None:
    client = s.ib.client
    numbers = [client.getReqId() for _ in range(3)]
    for number in numbers:
        client.reqAccountSummary(number, "All", "NetLiquidation")
    await until(lambda: (numbers[2], 322) in s.errors, "the refusal of the third")
    assert not {(number, 322) for number in numbers[:2]} & set(s.errors)
