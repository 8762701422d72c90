"""Shipped scenarios about sockets, market data and history, seen by real ib_insync."""

from __future__ import annotations

import asyncio
from math import isnan

import pytest

from tests.gateway.scenarios.conftest import stock, until
from tests.gateway.scenarios.test_orders_under_faults import codes


def test_nightly_restart_keeps_the_order(play):
    async def story(b):
        ib = await b.connect()
        trade = b.limit(ib)
        await until(lambda: trade.orderStatus.status == "Submitted")
        perm_id = trade.order.permId
        await until(lambda: not ib.isConnected())
        with pytest.raises(ConnectionRefusedError):
            await b.connect()
        again = await b.reconnect()
        assert [t.order.permId for t in again.openTrades()] == [perm_id]

    play("nightly_restart", story)


def test_order_filled_while_nobody_was_connected(play):
    async def story(b):
        ib = await b.connect()
        b.limit(ib)
        await until(lambda: not ib.isConnected())
        again = await b.reconnect()
        assert b.position == 100
        assert [f.execution.shares for f in again.fills()] == [100]
        assert [p.position for p in again.positions()] == [100]

    play("fill_while_disconnected", story)


def test_part_before_and_part_after_the_socket_went(play):
    async def story(b):
        ib = await b.connect()
        trade = b.limit(ib)
        await until(lambda: trade.orderStatus.filled == 40)
        again = await b.reconnect_after(ib)
        assert sorted(f.execution.shares for f in again.fills()) == [40, 60]

    play("partial_fill_then_disconnect", story)


@pytest.mark.parametrize("name", ["connection_reset", "connection_closed"])
def test_order_survives_the_end_of_the_session(play, name):
    async def story(b):
        ib = await b.connect()
        trade = b.limit(ib, ref="kept")
        again = await b.reconnect_after(ib)
        assert [t.order.orderRef for t in again.openTrades()] == ["kept"]
        assert trade.order.orderId in b.open_ids
        assert len(b.open_ids) == 1

    play(name, story)


def test_client_id_stays_in_use(play):
    async def story(b):
        ib = await b.connect()
        await until(lambda: not ib.isConnected())
        with pytest.raises((ConnectionError, asyncio.TimeoutError)):
            await b.connect(timeout=0.15)
        assert (await b.reconnect()).isConnected()

    play("id_in_use_after_reconnect", story)


def test_half_open_socket_swallows_orders(play):
    async def story(b):
        ib = await b.connect()
        await until(lambda: b.hub.injector.guards)
        trade = b.limit(ib)
        await asyncio.sleep(0.3)
        assert ib.isConnected()
        assert trade.orderStatus.status == "PendingSubmit"
        assert b.broker.open_orders() == ()
        ib.disconnect()
        again = await b.reconnect(2)
        assert again.openTrades() == []
        sent = b.limit(again)
        await until(lambda: sent.orderStatus.status == "Submitted")

    play("half_open_socket", story)


def test_no_handshake_then_a_connection(play):
    async def story(b):
        with pytest.raises(asyncio.TimeoutError):
            await b.connect(timeout=0.15)
        assert (await b.reconnect()).isConnected()

    play("accept_without_handshake", story)


def test_nobody_listens_at_first(play):
    async def story(b):
        with pytest.raises(ConnectionRefusedError):
            await b.connect()
        assert (await b.reconnect()).isConnected()

    play("connection_refused_at_start", story)


def test_order_vanishes_in_the_second_of_the_restart(play):
    async def story(b):
        ib = await b.connect()
        b.limit(ib)
        again = await b.reconnect_after(ib)
        assert again.openTrades() == []
        assert b.broker.completed() == ()

    play("restart_swallows_order", story)


@pytest.mark.parametrize("name", ["frames_split", "slow_drip"])
def test_pieces_make_no_difference(play, name):
    async def story(b):
        ib = await b.connect(timeout=4)
        trade = b.market(ib)
        await until(lambda: trade.orderStatus.status == "Filled" and len(trade.fills) == 1)
        assert b.position == 100

    play(name, story)


def test_fills_around_1100_are_found_by_asking(play):
    async def story(b):
        ib = await b.connect()
        seen = codes(ib)
        trade = b.limit(ib)
        await until(lambda: 1102 in seen)
        assert b.position == 100
        assert trade.fills == []
        assert trade.orderStatus.status == "Submitted"
        assert [f.execution.shares for f in await ib.reqExecutionsAsync()] == [100]

    play("fills_lost_around_1100", story)


def test_dead_data_after_a_farm_blip(play):
    async def story(b):
        ib = await b.connect()
        seen = codes(ib)
        old = ib.reqMktData(stock())
        await until(lambda: seen[-2:] == [2103, 2104])
        ticks: list[float] = []
        old.updateEvent += lambda t: ticks.append(t.bid)
        await asyncio.sleep(0.4)
        assert ticks == []
        new = ib.reqMktData(stock())
        await until(lambda: new.bid > 0 and new.ask > new.bid)

    play("farm_blip_data_dead", story)


def test_data_goes_on_after_1102(play):
    async def story(b):
        ib = await b.connect()
        seen = codes(ib)
        ticker, ticks = ib.reqMktData(stock()), []
        ticker.updateEvent += lambda t: ticks.append(t.bid)
        await until(lambda: 1102 in seen)
        count = len(ticks)
        await until(lambda: len(ticks) > count)

    play("connectivity_lost_data_kept", story)


def test_competing_session_stops_data_for_a_while(play):
    async def story(b):
        ib = await b.connect()
        seen = codes(ib)
        ticker = ib.reqMktData(stock())
        await until(lambda: 10197 in seen)
        ticks: list[float] = []
        ticker.updateEvent += lambda t: ticks.append(t.bid)
        await asyncio.sleep(0.2)
        assert ticks == []
        await until(lambda: ticks)

    play("competing_session", story)


def test_no_quotes_and_quotes_again(play):
    async def story(b):
        ib = await b.connect()
        ticker = ib.reqMktData(stock())
        await until(lambda: ticker.bid == -1 and ticker.ask == -1)
        await until(lambda: isnan(b.broker.engine.quote("AAPL").bid))
        await until(lambda: ticker.bid > 0 and ticker.ask > ticker.bid)

    play("no_quotes", story)


def test_crossed_quotes(play):
    async def story(b):
        ib = await b.connect()
        ticker = ib.reqMktData(stock())
        await until(lambda: ticker.bid > ticker.ask > 0)
        await until(lambda: 0 < ticker.bid < ticker.ask)

    play("crossed_quotes", story)


def test_halt_and_reopening(play):
    async def story(b):
        ib = await b.connect()
        ticker = ib.reqMktData(stock())
        b.limit(ib)
        await until(lambda: ticker.halted == 1)
        trade = b.market(ib)
        await asyncio.sleep(0.1)
        assert b.position == 0
        assert not trade.isDone()
        await until(lambda: ticker.halted == 0 and b.position == 100)

    play("halt_and_resume", story)


def test_skewed_clock(play):
    async def story(b):
        ib = await b.connect()
        told = await ib.reqCurrentTimeAsync()
        assert told.timestamp() - b.gateway.clock.now() / 1e9 == pytest.approx(90, abs=3)
        trade = b.market(ib)
        await until(lambda: trade.fills)
        (e,) = b.broker.executions()
        assert trade.fills[0].execution.time.timestamp() == e.time // 10**9 + 90

    play("clock_skew", story)


def test_pacing_violation_looks_like_an_empty_market(play):
    async def story(b):
        ib = await b.connect()
        seen = codes(ib)
        ask = dict(durationStr="1 D", barSizeSetting="1 min", whatToShow="TRADES", useRTH=True, endDateTime="")
        assert len(await ib.reqHistoricalDataAsync(stock(), **ask)) == 0
        assert 162 in seen
        assert len(await ib.reqHistoricalDataAsync(stock(), **ask)) > 0

    play("historical_pacing", story)


def test_unanswered_history(play):
    async def story(b):
        ib = await b.connect()
        ask = dict(durationStr="1 D", barSizeSetting="1 min", whatToShow="TRADES", useRTH=True, endDateTime="")
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(ib.reqHistoricalDataAsync(stock(), timeout=0, **ask), 0.3)

    play("history_unanswered", story)
