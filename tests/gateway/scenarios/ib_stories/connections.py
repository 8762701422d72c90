"""Shipped scenarios about sockets, market data and history; at the end the gateway's books are as `expect` says."""

from __future__ import annotations

import asyncio

from ib_stories.bench import codes, fails, story, until


@story("nightly_restart")
async def nightly_restart_keeps_the_order(b):
    ib = await b.connect()
    trade = b.limit(ib)
    await until(lambda: trade.orderStatus.status == "Submitted")
    perm_id = trade.order.permId
    await until(lambda: not ib.isConnected())
    await fails(b.connect(), ConnectionRefusedError)
    again = await b.reconnect()
    assert [t.order.permId for t in again.openTrades()] == [perm_id]


@story("fill_while_disconnected")
async def order_filled_while_nobody_was_connected(b):
    ib = await b.connect()
    b.limit(ib)
    await until(lambda: not ib.isConnected())
    again = await b.reconnect()
    assert b.position == 100
    assert [f.execution.shares for f in again.fills()] == [100]
    assert [p.position for p in again.positions()] == [100]


@story("partial_fill_then_disconnect")
async def part_before_and_part_after_the_socket_went(b):
    ib = await b.connect()
    trade = b.limit(ib)
    await until(lambda: trade.orderStatus.filled == 40)
    again = await b.reconnect_after(ib)
    assert sorted(f.execution.shares for f in again.fills()) == [40, 60]


@story("connection_reset", "connection_closed")
async def order_survives_the_end_of_the_session(b):
    ib = await b.connect()
    trade = b.limit(ib, ref="kept")
    again = await b.reconnect_after(ib)
    assert [t.order.orderRef for t in again.openTrades()] == ["kept"]
    assert trade.order.orderId in b.open_ids
    assert len(b.open_ids) == 1


@story("id_in_use_after_reconnect")
async def client_id_stays_in_use(b):
    ib = await b.connect()
    await until(lambda: not ib.isConnected())
    await fails(b.connect(timeout=0.15), ConnectionError, asyncio.TimeoutError)
    assert (await b.reconnect()).isConnected()


@story("half_open_socket")
async def half_open_socket_swallows_orders(b):
    ib = await b.connect()
    await until(lambda: b.tell("guards"))
    trade = b.limit(ib)
    await b.passes(3)
    assert ib.isConnected()
    assert trade.orderStatus.status == "PendingSubmit"
    assert b.open_ids == []
    ib.disconnect()
    again = await b.reconnect(2)
    assert again.openTrades() == []
    sent = b.limit(again)
    await until(lambda: sent.orderStatus.status == "Submitted")


@story("accept_without_handshake")
async def no_handshake_then_a_connection(b):
    await fails(b.connect(timeout=0.15), asyncio.TimeoutError)
    assert (await b.reconnect()).isConnected()


@story("connection_refused_at_start")
async def nobody_listens_at_first(b):
    await fails(b.connect(), ConnectionRefusedError)
    assert (await b.reconnect()).isConnected()


@story("restart_swallows_order")
async def order_vanishes_in_the_second_of_the_restart(b):
    ib = await b.connect()
    b.limit(ib)
    again = await b.reconnect_after(ib)
    assert again.openTrades() == []
    assert b.tell("completed") == []


@story("frames_split", "slow_drip")
async def pieces_make_no_difference(b):
    ib = await b.connect(timeout=4)
    trade = b.market(ib)
    await until(lambda: trade.orderStatus.status == "Filled" and len(trade.fills) == 1)
    assert b.position == 100


@story("fills_lost_around_1100")
async def fills_around_1100_are_found_by_asking(b):
    ib = await b.connect()
    seen = codes(ib)
    trade = b.limit(ib)
    await until(lambda: 1102 in seen)
    assert b.position == 100
    assert trade.fills == []
    assert trade.orderStatus.status == "Submitted"
    assert [f.execution.shares for f in await ib.reqExecutionsAsync()] == [100]


@story("farm_blip_data_dead")
async def dead_data_after_a_farm_blip(b):
    ib = await b.connect()
    seen = codes(ib)
    old = ib.reqMktData(b.stock())
    await until(lambda: seen[-2:] == [2103, 2104])
    ticks: list[float] = []
    old.updateEvent += lambda t: ticks.append(t.bid)
    await b.passes(4)
    assert ticks == []
    new = ib.reqMktData(b.stock())
    await until(lambda: new.bid > 0 and new.ask > new.bid)


@story("connectivity_lost_data_kept")
async def data_goes_on_after_1102(b):
    ib = await b.connect()
    seen = codes(ib)
    ticker, ticks = ib.reqMktData(b.stock()), []
    ticker.updateEvent += lambda t: ticks.append(t.bid)
    await until(lambda: 1102 in seen)
    count = len(ticks)
    await until(lambda: len(ticks) > count)


@story("competing_session")
async def competing_session_stops_data_for_a_while(b):
    ib = await b.connect()
    seen = codes(ib)
    ticker = ib.reqMktData(b.stock())
    await until(lambda: 10197 in seen)
    ticks: list[float] = []
    ticker.updateEvent += lambda t: ticks.append(t.bid)
    await b.passes(2)
    assert ticks == []
    await until(lambda: ticks)


@story("no_quotes")
async def no_quotes_and_quotes_again(b):
    ib = await b.connect()
    ticker = ib.reqMktData(b.stock())
    await until(lambda: ticker.bid == -1 and ticker.ask == -1)
    await until(lambda: b.tell("bid") is None)
    await until(lambda: ticker.bid > 0 and ticker.ask > ticker.bid)


@story("crossed_quotes")
async def crossed_quotes(b):
    ib = await b.connect()
    ticker = ib.reqMktData(b.stock())
    await until(lambda: ticker.bid > ticker.ask > 0)
    await until(lambda: 0 < ticker.bid < ticker.ask)


@story("halt_and_resume")
async def halt_and_reopening(b):
    ib = await b.connect()
    ticker = ib.reqMktData(b.stock())
    b.limit(ib)
    await until(lambda: ticker.halted == 1)
    trade = b.market(ib)
    await b.passes(1)
    assert b.position == 0
    assert not trade.isDone()
    await until(lambda: ticker.halted == 0 and b.position == 100)


@story("clock_skew")
async def skewed_clock(b):
    ib = await b.connect()
    told = await ib.reqCurrentTimeAsync()
    assert abs(told.timestamp() - b.tell("now") - 90) < 5
    trade = b.market(ib)
    await until(lambda: trade.fills)
    (e,) = b.executions
    assert trade.fills[0].execution.time.timestamp() == e["time"] // 10**9 + 90


@story("historical_pacing")
async def pacing_violation_looks_like_an_empty_market(b):
    ib = await b.connect()
    seen = codes(ib)
    ask = dict(durationStr="1 D", barSizeSetting="1 min", whatToShow="TRADES", useRTH=True, endDateTime="")
    assert len(await ib.reqHistoricalDataAsync(b.stock(), **ask)) == 0
    assert 162 in seen
    assert len(await ib.reqHistoricalDataAsync(b.stock(), **ask)) > 0


@story("history_unanswered")
async def unanswered_history(b):
    ib = await b.connect()
    ask = dict(durationStr="1 D", barSizeSetting="1 min", whatToShow="TRADES", useRTH=True, endDateTime="")
    await fails(asyncio.wait_for(ib.reqHistoricalDataAsync(b.stock(), timeout=0, **ask), 0.3), asyncio.TimeoutError)
