"""Recorded bars played again: bars of the tape are the recorded bars, and what was not recorded does not exist."""

from __future__ import annotations

import asyncio

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ib_insync import IB, MarketOrder, Stock

from workbench.core.bars import Bars
from workbench.core.calendar import sessions_between
from workbench.core.errors import ConfigError, DataError
from workbench.data.store import Store
from workbench.gateway.replay import ReplayMarket
from workbench.gateway.simulated import SimulatedGateway

DAYS = sessions_between("2025-07-02", "2025-07-07")  # a full day, an early close, a full day after the holiday
FIELDS = ("open", "high", "low", "close", "volume")


def recorded(minutes=1, symbols=("AAA", "BBB"), seed=0, quotes=False, fractional=False, days=DAYS) -> Bars:
    """Random bars on the grid of `days`, a few of them missing."""
    rng = np.random.default_rng(seed)
    grid = days.grid(minutes)
    shape = len(grid[0]), len(symbols)
    c = np.round(50 * np.exp(np.cumsum(rng.normal(0, 0.001, shape), axis=0)), 2)
    o = np.round(c * np.exp(rng.normal(0, 0.0005, shape)), 2)
    h = np.round(np.maximum(o, c) * (1 + np.abs(rng.normal(0, 0.0004, shape))), 3)
    low = np.round(np.minimum(o, c) * (1 - np.abs(rng.normal(0, 0.0004, shape))), 3)
    h, low = np.maximum(h, np.maximum(o, c)), np.minimum(low, np.minimum(o, c))
    volume = np.floor(np.exp(rng.normal(6, 3, shape))) + (rng.random(shape) if fractional else 0)
    values = {"open": o, "high": h, "low": low, "close": c, "volume": volume}
    if quotes:
        values |= {"bid": c - 0.03, "ask": c + 0.04, "bid_size": np.full(shape, 300.0), "ask_size": volume + 1}
    gone = rng.random(shape) < 0.03
    return Bars(symbols, minutes, *grid, **{k: np.where(gone, np.nan, v) for k, v in values.items()}, data_origin="x")


def rebuilt(tape, seconds):
    """(open, high, low, close, volume) of each stretch of `seconds`, by the plain definition."""
    last, volume = tape.last.reshape(-1, seconds), tape.volume.reshape(-1, seconds)
    return last[:, 0], last.max(axis=1), last.min(axis=1), last[:, -1], volume.sum(axis=1)


@pytest.mark.parametrize("minutes", [1, 5])
@pytest.mark.parametrize("fractional", [False, True])
@pytest.mark.parametrize("quotes", [False, True])
def test_bars_of_the_tape_are_the_recorded_bars_exactly(minutes, fractional, quotes):
    bars = recorded(minutes, quotes=quotes, fractional=fractional)
    market = ReplayMarket(bars)
    for j, symbol in enumerate(bars.symbols):
        for session, a, b in bars.sessions():
            tape = market.tape(symbol, session)
            assert len(tape) == (b - a) * minutes * 60
            known = np.isfinite(bars.close[a:b, j])
            assert known.sum() > 10
            for name, values in zip(FIELDS, rebuilt(tape, minutes * 60)):
                np.testing.assert_array_equal(values[known], getattr(bars, name)[a:b, j][known], err_msg=name)
            assert not tape.volume.reshape(-1, minutes * 60)[~known].any()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 500_000), min_size=4, max_size=4),
    st.sampled_from([0.0, 1.0, 3.0, 4.0, 59.0, 61.5, 12_345_678.0]),
    st.sampled_from([0.01, 0.0001, 0.001]),
)
def test_any_single_bar_comes_back(prices, volume, tick):
    o, c, x, y = (p * tick for p in prices)
    h, low = max(o, c, x, y), min(o, c, x, y)
    days = sessions_between("2025-07-03", "2025-07-03")
    grid = days.grid(1)
    values = {name: np.full((len(grid[0]), 1), v) for name, v in zip(FIELDS, (o, h, low, c, volume))}
    tape = ReplayMarket(Bars(("A",), 1, *grid, **values)).tape("A", int(days.date[0]))
    for got, expected in zip(rebuilt(tape, 60), (o, h, low, c, volume)):
        assert (got == expected).all()
    assert (tape.bid < tape.ask).all()
    assert (tape.bid > 0).all()


def test_the_path_meets_the_nearer_extreme_first():
    days = sessions_between("2025-07-03", "2025-07-03")
    grid = days.grid(1)
    n = len(grid[0])
    shape = (n, 1)
    values = {"open": 10.0, "high": 10.2, "low": 9.0, "close": 9.5, "volume": 600.0}
    bars = Bars(("A",), 1, *grid, **{k: np.full(shape, v) for k, v in values.items()})
    last = ReplayMarket(bars).tape("A", int(days.date[0])).last[:60]
    assert int(np.argmax(last)) < int(np.argmin(last))
    assert (np.diff(last) < 0).sum() >= 15  # on its way, not in one leap


def test_the_recorded_quote_stands_at_the_end_of_its_bar_and_its_spread_until_the_next():
    bars = recorded(1, ("AAA",), quotes=True)
    session, a, b = next(iter(bars.sessions()))
    tape = ReplayMarket(bars).tape("AAA", session)
    known = np.isfinite(bars.close[a:b, 0])
    np.testing.assert_array_equal(tape.bid[59::60][known], bars.bid[a:b, 0][known])
    np.testing.assert_array_equal(tape.ask[59::60][known], bars.ask[a:b, 0][known])
    np.testing.assert_allclose((tape.ask - tape.bid)[60:], 0.07, atol=1e-9)
    assert (tape.bid_size[60:] == 300).all()


def test_without_quotes_the_spread_is_one_estimate_that_is_said():
    market = ReplayMarket(recorded(5))
    tape = market.tape("AAA", int(DAYS.date[0]))
    wide = tape.ask - tape.bid
    assert (wide > 0.0099).all()
    assert wide.max() < 50 * 26e-4
    assert "ESTIMATED" in market.note
    assert "ESTIMATED" not in ReplayMarket(recorded(5, quotes=True)).note


def test_what_was_not_recorded_does_not_exist():
    bars = recorded(5)
    late = {f: np.array(getattr(bars, f)) for f in FIELDS}
    for values in late.values():
        values[bars.session < DAYS.date[1], 1] = np.nan  # BBB begins on the second day
    market = ReplayMarket(
        Bars(bars.symbols, 5, bars.ts, bars.session, bars.bar_of_session, bars.bars_in_session, **late)
    )
    assert [market.latest("BBB", int(d)) for d in DAYS.date] == [None, int(DAYS.date[1]), int(DAYS.date[2])]
    assert market.latest("AAA", int(DAYS.date[2]) + 30) == int(DAYS.date[2])
    assert market.latest("CCC", int(DAYS.date[0])) is None
    with pytest.raises(DataError, match=r"BBB was not recorded on 2025-07-02"):
        market.tape("BBB", int(DAYS.date[0]))
    with pytest.raises(DataError, match=r"AAB was not recorded\. Did you mean"):
        market.tape("AAB", int(DAYS.date[0]))
    with pytest.raises(DataError, match=r"recorded on 2025-07-08; the recording runs from 2025-07-02 to 2025-07-07"):
        SimulatedGateway(market=market, start="2025-07-08")
    with pytest.raises(ConfigError, match="is no session"):
        SimulatedGateway(market=market, start="2025-07-04")
    assert SimulatedGateway(market=market).now == "2025-07-02T13:30:01Z"


def test_a_store_a_workspace_and_a_file_replay_alike(tmp_path):
    bars = recorded(1, ("AAA",))
    store = Store(tmp_path / "job" / "store")
    store.write(bars)
    known = np.isfinite(bars.close[:, 0])
    frame = pd.DataFrame({f: getattr(bars, f)[known, 0] for f in FIELDS})
    frame.insert(0, "ts", pd.to_datetime(bars.ts[known], utc=True))
    frame.to_csv(tmp_path / "AAA.csv", index=False)
    markets = [ReplayMarket.of(tmp_path / name) for name in ("job", "job/store", "AAA.csv")]
    tapes = [m.tape("AAA", int(DAYS.date[1])) for m in markets]
    for other in tapes[1:]:
        np.testing.assert_array_equal(tapes[0].last, other.last)
        np.testing.assert_array_equal(tapes[0].volume, other.volume)
    with pytest.raises(DataError, match="nowhere does not exist"):
        ReplayMarket.of(tmp_path / "nowhere")


async def session_with(port):
    """What ib_insync learns on the third recorded day."""
    ib, errors = IB(), []
    ib.errorEvent += lambda request, code, text, contract: errors.append(code)
    await ib.connectAsync("127.0.0.1", port, clientId=1, timeout=10)
    known = (await ib.qualifyContractsAsync(Stock("AAA", "SMART", "USD")))[0]
    nobody = await ib.qualifyContractsAsync(Stock("NFLX", "SMART", "USD"))
    ask = {"useRTH": True, "formatDate": 2, "whatToShow": "TRADES", "timeout": 10}
    minutes = await ib.reqHistoricalDataAsync(known, "20250703 21:00:00 UTC", "2 D", "1 min", **ask)
    days = await ib.reqHistoricalDataAsync(known, "", "1 M", "1 day", **ask)
    head = await ib.reqHeadTimeStampAsync(known, "TRADES", True, 1)
    bought = ib.placeOrder(known, MarketOrder("BUY", 100))
    for _ in range(500):
        await asyncio.sleep(0.02)
        if bought.isDone():
            break
    price = bought.orderStatus.avgFillPrice
    ib.disconnect()
    return nobody, errors, minutes, days, head, price


def test_ib_insync_sees_the_recorded_bars_and_trades_at_recorded_prices():
    bars = recorded(1, ("AAA",))
    with SimulatedGateway(market=ReplayMarket(bars), start="2025-07-07", speed=20.0) as gateway:
        nobody, errors, minutes, days, head, price = asyncio.run(session_with(gateway.port))
    assert nobody == []
    assert errors.count(200) == 1
    assert [str(d.date) for d in days] == ["2025-07-02", "2025-07-03", "2025-07-07"]
    assert head.date().isoformat() == "2025-07-02"
    told = {int(b.date.timestamp()): (b.open, b.high, b.low, b.close, b.volume) for b in minutes}
    assert len(told) == 600
    for i in np.flatnonzero(np.isfinite(bars.close[:600, 0])):
        expected = tuple(getattr(bars, f)[i, 0] for f in FIELDS)
        assert told[int(bars.ts[i]) // 10**9 - 60] == expected
    morning = bars.session == DAYS.date[2]
    assert np.nanmin(bars.low[morning]) - 0.5 < price < np.nanmax(bars.high[morning]) + 0.5
