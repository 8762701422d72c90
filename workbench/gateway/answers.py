"""How every request is answered: a reply, an error, but never silence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from workbench.core.errors import DataError
from workbench.core.units import NS_PER_SECOND
from workbench.gateway.history import HistoryRefused
from workbench.gateway.hub import Client, Hub
from workbench.gateway.instruments import INCREMENTS, MARKET_RULE, ZONE
from workbench.gateway.margin import WhatIf
from workbench.gateway.subscriptions import FiveSeconds, Quotes, TickByTick
from workbench.gateway.tickets import Execution
from workbench.gateway.translation import (
    BadTime,
    commission_frame,
    execution_frame,
    moment,
    order_state,
    status_frame,
    ticket_of,
    what_if_state,
    wire_order,
)
from workbench.gateway.wire import messages as m
from workbench.gateway.wire import replies
from workbench.gateway.wire.contracts import WireContract
from workbench.gateway.wire.requests import Unsupported

MAX_LINES = 100
NO_SECURITY = "No security definition has been found for the request"
MAX_HISTORICAL_TICKS = 1000


class Answers:
    """Answers the requests of clients out of a hub."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self._handlers: dict[type[Any], Callable[[Client, Any], None]] = {
            m.ReqIds: lambda c, _: c.send(replies.next_valid_id(hub.brokerage.next_order_id(c.client_id))),
            m.ReqManagedAccts: lambda c, _: c.send(replies.managed_accounts([hub.brokerage.account])),
            m.ReqCurrentTime: lambda c, _: c.send(replies.current_time(hub.clock.now() // NS_PER_SECOND)),
            m.ReqContractDetails: self._contract_details,
            m.ReqMatchingSymbols: self._matching_symbols,
            m.ReqMarketRule: self._market_rule,
            m.ReqMktData: self._market_data,
            m.CancelMktData: self._cancel_market,
            m.ReqMarketDataType: self._market_data_type,
            m.ReqTickByTickData: self._tick_by_tick,
            m.CancelTickByTickData: self._cancel_market,
            m.ReqHistoricalData: self._history,
            m.CancelHistoricalData: self._cancel_history,
            m.ReqRealTimeBars: self._real_time_bars,
            m.CancelRealTimeBars: self._cancel_market,
            m.ReqHeadTimeStamp: self._head_timestamp,
            m.CancelHeadTimeStamp: lambda c, r: None,
            m.ReqHistoricalTicks: self._historical_ticks,
            m.PlaceOrder: self._place,
            m.CancelOrder: lambda c, r: self._then(lambda: hub.brokerage.cancel(c.client_id, r.order_id)),
            m.ReqGlobalCancel: lambda c, r: self._then(hub.brokerage.cancel_all),
            m.ReqOpenOrders: lambda c, _: self._open_orders(c, own=True),
            m.ReqAllOpenOrders: lambda c, _: self._open_orders(c, own=False),
            m.ReqAutoOpenOrders: self._auto_open_orders,
            m.ReqCompletedOrders: self._completed,
            m.ReqExecutions: self._executions,
            m.ReqAccountUpdates: self._account_updates,
            m.ReqAccountUpdatesMulti: self._account_multi,
            m.CancelAccountUpdatesMulti: lambda c, r: c.multis.discard(r.request_id),
            m.ReqAccountSummary: self._summary,
            m.CancelAccountSummary: lambda c, r: c.summaries.pop(r.request_id, None),
            m.ReqPositions: self._positions,
            m.CancelPositions: lambda c, _: setattr(c, "positions", False),
            m.ReqPnL: self._pnl,
            m.CancelPnL: lambda c, r: c.pnl.discard(r.request_id),
            m.ReqPnLSingle: self._pnl_single,
            m.CancelPnLSingle: lambda c, r: c.pnl_single.pop(r.request_id, None),
            Unsupported: self._unsupported,
        }

    def answer(self, client: Client, request: m.Request) -> None:
        """Answer one request of a client that has introduced itself."""
        try:
            self._handlers[type(request)](client, request)
        except (BadTime, DataError) as error:
            number = getattr(request, "request_id", getattr(request, "order_id", -1))
            client.send(replies.error(number, 321, f"Error validating request.-'bW' : cause - {error}"))

    def welcome(self, client: Client) -> None:
        """What a client is told when it has introduced itself."""
        client.send(replies.managed_accounts([self.hub.brokerage.account]))
        client.send(replies.next_valid_id(self.hub.brokerage.next_order_id(client.client_id)))
        for code, farm in ((2104, "usfarm"), (2106, "ushmds"), (2158, "secdefil")):
            kind = {2104: "Market data farm", 2106: "HMDS data farm", 2158: "Sec-def data farm"}[code]
            client.send(replies.error(-1, code, f"{kind} connection is OK:{farm}"))

    # ---- instruments ------------------------------------------------------------------------------------------

    def _found(self, client: Client, request_id: int, asked: WireContract) -> WireContract | None:
        found = self.hub.instruments.find(asked)
        if found is None:
            client.send(replies.error(request_id, 200, NO_SECURITY))
        return found

    def _contract_details(self, c: Client, r: m.ReqContractDetails) -> None:
        found = self._found(c, r.request_id, r.contract)
        if found is None:
            return
        routed = replace(found, exchange=r.contract.exchange or "SMART")
        details = self.hub.instruments.details(routed, self.hub.clock.now(), self.hub.brokerage.hours)
        c.send(replies.contract_details(r.request_id, details))
        c.send(replies.contract_details_end(r.request_id))

    def _matching_symbols(self, c: Client, r: m.ReqMatchingSymbols) -> None:
        found = self.hub.instruments.find(WireContract(symbol=r.pattern.upper(), sec_type="STK", currency="USD"))
        samples = [replies.SymbolSample(found, (), f"{found.symbol} (SIMULATED)")] if found else []
        c.send(replies.symbol_samples(r.request_id, samples))

    def _market_rule(self, c: Client, r: m.ReqMarketRule) -> None:
        if r.rule_id == MARKET_RULE:
            c.send(replies.market_rule(r.rule_id, INCREMENTS))
        else:
            c.send(
                replies.error(-1, 321, f"Error validating request.-'bW' : cause - market rule {r.rule_id} is unknown")
            )

    # ---- market data ------------------------------------------------------------------------------------------

    def _market_data_type(self, c: Client, r: m.ReqMarketDataType) -> None:
        c.data_type = r.data_type

    def _market_data(self, c: Client, r: m.ReqMktData) -> None:
        found = self._found(c, r.request_id, r.contract)
        if found is None or self._refuse_line(c, r.request_id):
            return
        hub, delayed = self.hub, c.data_type in (3, 4)
        generic = frozenset(int(g.split(":")[0]) for g in r.generic_ticks.split(",") if g.strip().isdigit())
        lines = hub.brokerage.borrow.line(found.symbol)
        quotes = Quotes(r.request_id, found.symbol, delayed, generic, lines.shares)
        c.send(replies.tick_req_params(r.request_id, 0.01, "9c0001", 3))
        if c.data_type != 1:
            c.send(replies.market_data_type(r.request_id, c.data_type))
        hub.feed.join(found.symbol)
        now = hub.clock.now()
        for frame in quotes.frames(hub.feed.tape(found.symbol, now), now, hub.brokerage.engine.halted(found.symbol)):
            c.send(frame)
        if r.snapshot:
            c.send(replies.tick_snapshot_end(r.request_id))
        else:
            c.market[r.request_id] = quotes

    def _refuse_line(self, c: Client, request_id: int) -> bool:
        if request_id in c.market:
            c.send(replies.error(request_id, 102, "Duplicate ticker id"))
            return True
        if sum(isinstance(s, Quotes) for s in c.market.values()) >= MAX_LINES:
            c.send(replies.error(request_id, 101, "Max number of tickers has been reached"))
            return True
        return False

    def _cancel_market(self, c: Client, r: Any) -> None:
        if c.market.pop(r.request_id, None) is None:
            c.send(replies.error(r.request_id, 300, f"Can't find EId with tickerId:{r.request_id}"))

    def _tick_by_tick(self, c: Client, r: m.ReqTickByTickData) -> None:
        found = self._found(c, r.request_id, r.contract)
        if found is None:
            return
        if r.tick_type not in ("Last", "AllLast", "BidAsk", "MidPoint"):
            c.send(replies.error(r.request_id, 10189, f"Failed to request tick-by-tick data:{r.tick_type} is unknown"))
            return
        self.hub.feed.join(found.symbol)
        c.market[r.request_id] = TickByTick(r.request_id, found.symbol, r.tick_type)

    def _real_time_bars(self, c: Client, r: m.ReqRealTimeBars) -> None:
        found = self._found(c, r.request_id, r.contract)
        if found is None:
            return
        if r.what_to_show not in ("TRADES", "MIDPOINT", "BID", "ASK"):
            c.send(replies.error(r.request_id, 420, f"Invalid Real-time Query:{r.what_to_show} is unknown"))
            return
        self.hub.feed.join(found.symbol)
        c.market[r.request_id] = FiveSeconds(r.request_id, found.symbol, r.what_to_show)

    # ---- history ----------------------------------------------------------------------------------------------

    def _history(self, c: Client, r: m.ReqHistoricalData) -> None:
        found = self._found(c, r.request_id, r.contract)
        if found is None:
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
            c.send(replies.error(r.request_id, 321, f"Error validating request.-'bW' : cause - {error}"))
            return
        if not bars:
            text = "Historical Market Data Service error message:HMDS query returned no data"
            c.send(replies.error(r.request_id, 162, text))
            return
        c.send(replies.historical_data(r.request_id, start, end, bars))
        if r.keep_up_to_date:
            c.growing[r.request_id] = found.symbol, r

    def _cancel_history(self, c: Client, r: m.CancelHistoricalData) -> None:
        if c.growing.pop(r.request_id, None) is None:
            c.send(replies.error(r.request_id, 366, f"No historical data query found for ticker id:{r.request_id}"))

    def _head_timestamp(self, c: Client, r: m.ReqHeadTimeStamp) -> None:
        found = self._found(c, r.request_id, r.contract)
        if found is not None:
            c.send(replies.head_timestamp(r.request_id, self.hub.past.head(found.symbol, r.format_date)))

    def _historical_ticks(self, c: Client, r: m.ReqHistoricalTicks) -> None:
        found = self._found(c, r.request_id, r.contract)
        if found is None:
            return
        now = self.hub.clock.now()
        at = moment(r.start or r.end) if (r.start or r.end) else now
        tape = self.hub.feed.tape(found.symbol, min(at, now))
        last = tape.row(now) + 1
        first = max(tape.row(at), 0) if r.start else 0
        stop = last if r.start else min(tape.row(at) + 1, last)
        count = min(r.count, MAX_HISTORICAL_TICKS)
        rows = list(range(first, stop))
        if r.what_to_show == "TRADES":
            rows = [s for s in rows if tape.volume[s]]
        rows = rows[:count] if r.start else rows[-count:]
        second = tape.open_ns // NS_PER_SECOND + 1
        if r.what_to_show == "TRADES":
            trades = [replies.LastTick(second + s, float(tape.last[s]), float(tape.volume[s]), "NASDAQ") for s in rows]
            c.send(replies.historical_ticks_last(r.request_id, trades))
        elif r.what_to_show == "BID_ASK":
            quotes = [
                replies.BidAskTick(
                    second + s, float(tape.bid[s]), float(tape.ask[s]), float(tape.bid_size[s]), float(tape.ask_size[s])
                )
                for s in rows
            ]
            c.send(replies.historical_ticks_bid_ask(r.request_id, quotes))
        else:
            mids = [replies.MidTick(second + s, float(tape.bid[s] + tape.ask[s]) / 2) for s in rows]
            c.send(replies.historical_ticks(r.request_id, mids))

    # ---- orders -----------------------------------------------------------------------------------------------

    def _then(self, work: Callable[[], None]) -> None:
        work()
        self.hub.settle()

    def _place(self, c: Client, r: m.PlaceOrder) -> None:
        found = self._found(c, r.order_id, r.contract)
        if found is None:
            return
        try:
            ticket = ticket_of(r.order_id, replace(found, exchange=r.contract.exchange or "SMART"), r.order)
        except ValueError as error:
            c.send(replies.error(r.order_id, 321, f"Error validating request.-'bW' : cause - {error}"))
            return
        if r.order.conditions:
            text = "Error validating request.-'bW' : cause - conditions on orders are not simulated"
            c.send(replies.error(r.order_id, 321, text))
            return
        self.hub.feed.join(found.symbol)
        if ticket.what_if:
            told = self.hub.brokerage.what_if(ticket)
            if isinstance(told, WhatIf):
                order = replace(r.order, order_id=r.order_id, client_id=c.client_id, account=self.hub.brokerage.account)
                c.send(replies.open_order(found, order, what_if_state(told)))
            else:
                c.send(replies.error(r.order_id, *told))
            return
        self.hub.sent[c.client_id, r.order_id] = r.order
        self._then(lambda: self.hub.brokerage.place(c.client_id, ticket))

    def _open_orders(self, c: Client, own: bool) -> None:
        for view in self.hub.brokerage.open_orders():
            if not own or view.client_id == c.client_id:
                c.send(self.hub.open_order_frame(view))
                c.send(status_frame(view))
        c.send(replies.open_order_end())

    def _auto_open_orders(self, c: Client, r: m.ReqAutoOpenOrders) -> None:
        if c.client_id != 0:
            c.send(replies.error(-1, 321, "Error validating request.-'bW' : cause - only client 0 may bind orders"))

    def _completed(self, c: Client, r: m.ReqCompletedOrders) -> None:
        for view in self.hub.brokerage.completed():
            sent = self.hub.sent.get((view.client_id, view.ticket.order_id))
            order = replace(wire_order(view, sent, self.hub.brokerage.account), filled_quantity=float(view.filled))
            c.send(replies.completed_order(self.hub.instruments.stock(view.ticket.symbol), order, order_state(view)))
        c.send(replies.completed_orders_end())

    def _executions(self, c: Client, r: m.ReqExecutions) -> None:
        for e in self.hub.brokerage.executions():
            if _wanted(e, r):
                c.send(execution_frame(r.request_id, e, self.hub.instruments.stock(e.symbol)))
                c.send(commission_frame(e))
        c.send(replies.exec_details_end(r.request_id))

    # ---- account ----------------------------------------------------------------------------------------------

    def _account_updates(self, c: Client, r: m.ReqAccountUpdates) -> None:
        c.account_updates = r.subscribe
        if r.subscribe:
            for frame in self.hub.account_frames():
                c.send(frame)

    def _account_multi(self, c: Client, r: m.ReqAccountUpdatesMulti) -> None:
        c.multis.add(r.request_id)
        account = self.hub.brokerage.account
        for key, value, currency in self.hub.values():
            c.send(replies.account_update_multi(r.request_id, account, r.model, key, value, currency))
        c.send(replies.account_update_multi_end(r.request_id))

    def _summary(self, c: Client, r: m.ReqAccountSummary) -> None:
        tags = tuple(t.strip() for t in r.tags.split(","))
        c.summaries[r.request_id] = tags
        for frame in self.hub.summary_frames(r.request_id, tags):
            c.send(frame)
        c.send(replies.account_summary_end(r.request_id))

    def _positions(self, c: Client, r: m.ReqPositions) -> None:
        c.positions = True
        for frame in self.hub.position_frames():
            c.send(frame)
        c.send(replies.position_end())

    def _pnl(self, c: Client, r: m.ReqPnL) -> None:
        c.pnl.add(r.request_id)
        p = self.hub.brokerage.pnl()
        c.send(replies.pnl(r.request_id, p.daily, p.unrealized, p.realized))

    def _pnl_single(self, c: Client, r: m.ReqPnLSingle) -> None:
        held = {p.con_id: p.symbol for p in self.hub.brokerage.positions()}
        symbol = held.get(r.con_id)
        if symbol is None:
            c.send(
                replies.error(r.request_id, 321, f"Error validating request.-'bW' : cause - no position in {r.con_id}")
            )
            return
        c.pnl_single[r.request_id] = symbol
        c.send(self.hub.pnl_single_frame(r.request_id, symbol))

    def _unsupported(self, c: Client, r: Unsupported) -> None:
        ends = {82: replies.no_depth_exchanges, 85: replies.no_news_providers, 24: replies.no_scanner_parameters}
        if r.message_id in ends:
            c.send(ends[r.message_id]())
        elif r.message_id == 18:
            c.send(replies.no_fa_data(max(r.request_id, 1)))
        else:
            what = r.name or f"message {r.message_id}"
            text = f"Error processing request.-'bW' : cause - {what} is not simulated"
            c.send(replies.error(r.request_id, 322, text))  # after a 321 ib_async would wait on, for ever


def _wanted(e: Execution, r: m.ReqExecutions) -> bool:
    """Whether an execution passes the filter of a request."""
    side = {"BUY": 1, "BOT": 1, "SELL": -1, "SLD": -1}.get(r.side.upper(), 0)
    return (
        (not r.client_id or e.client_id == r.client_id)
        and (not r.symbol or e.symbol == r.symbol)
        and (not side or e.side == side)
        and (not r.time or e.time >= moment(r.time))
        and (not r.account or e.account == r.account)
    )
