"""Answers about instruments and the market as it is: contracts, quotes, ticks, five-second bars."""

from __future__ import annotations

from dataclasses import replace

from workbench.gateway import refusals
from workbench.gateway.hub import Client, Handlers, Hub
from workbench.gateway.instruments import INCREMENTS, MARKET_RULE
from workbench.gateway.limits import MAX_LINES, MAX_TICK_BY_TICK, PACING
from workbench.gateway.subscriptions import FiveSeconds, Quotes, Subscription, TickByTick
from workbench.gateway.wire import messages as m
from workbench.gateway.wire import replies
from workbench.gateway.wire.contracts import WireContract

TICK_KINDS = ("Last", "AllLast", "BidAsk", "MidPoint")
BAR_KINDS = ("TRADES", "MIDPOINT", "BID", "ASK")


class MarketAnswers:
    """Out of the instruments and the feed of `hub`."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub

    def handlers(self) -> Handlers:
        """Message -> what answers it."""
        return {
            m.ReqContractDetails: self._contract_details,
            m.ReqMatchingSymbols: self._matching_symbols,
            m.ReqMarketRule: self._market_rule,
            m.ReqMarketDataType: lambda c, r: setattr(c, "data_type", r.data_type),
            m.ReqMktData: self._market_data,
            m.ReqTickByTickData: self._tick_by_tick,
            m.ReqRealTimeBars: self._real_time_bars,
            m.CancelMktData: self._cancel,
            m.CancelTickByTickData: self._cancel,
            m.CancelRealTimeBars: self._cancel,
        }

    # ---- instruments ------------------------------------------------------------------------------------------

    def _contract_details(self, c: Client, r: m.ReqContractDetails) -> None:
        found = self.hub.find(c, r.request_id, r.contract)
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
            c.send(refusals.invalid(-1, f"market rule {r.rule_id} is unknown"))

    # ---- market data ------------------------------------------------------------------------------------------

    def _market_data(self, c: Client, r: m.ReqMktData) -> None:
        found = self.hub.find(c, r.request_id, r.contract)
        if found is None or self._refused(c, r.request_id):
            return
        hub, delayed = self.hub, c.data_type in (3, 4)
        generic = frozenset(int(g.split(":")[0]) for g in r.generic_ticks.split(",") if g.strip().isdigit())
        quotes = Quotes(r.request_id, found.symbol, delayed, generic, hub.brokerage.borrow.line(found.symbol).shares)
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

    def _tick_by_tick(self, c: Client, r: m.ReqTickByTickData) -> None:
        found = self.hub.find(c, r.request_id, r.contract)
        if found is None:
            return
        if r.tick_type not in TICK_KINDS:
            c.send(replies.error(r.request_id, 10189, f"Failed to request tick-by-tick data:{r.tick_type} is unknown"))
        elif self.hub.lines(TickByTick) >= MAX_TICK_BY_TICK:
            c.send(replies.error(r.request_id, 10190, "Max number of tick-by-tick requests has been reached"))
        elif not self._refused(c, r.request_id):
            self._subscribe(c, r.request_id, TickByTick(r.request_id, found.symbol, r.tick_type))

    def _real_time_bars(self, c: Client, r: m.ReqRealTimeBars) -> None:
        found = self.hub.find(c, r.request_id, r.contract)
        if found is None:
            return
        series = found.symbol, r.contract.exchange, r.what_to_show
        if r.what_to_show not in BAR_KINDS:
            self._invalid_bars(c, r, f"{r.what_to_show} is unknown")
        elif self._refused(c, r.request_id):
            return
        elif self.hub.pacing.refuses(series, ("5-second bars", r.use_rth)):
            self._invalid_bars(c, r, PACING)
        else:
            self._subscribe(c, r.request_id, FiveSeconds(r.request_id, found.symbol, r.what_to_show))

    @staticmethod
    def _invalid_bars(c: Client, r: m.ReqRealTimeBars, why: str) -> None:
        c.send(replies.error(r.request_id, 420, f"Invalid Real-time Query:{why}"))

    def _subscribe(self, c: Client, request_id: int, line: Subscription) -> None:
        self.hub.feed.join(line.symbol)
        c.market[request_id] = line

    def _refused(self, c: Client, request_id: int) -> bool:
        """Whether there is no line for another subscription, or its number has one."""
        if request_id in c.market:
            c.send(replies.error(request_id, 102, "Duplicate ticker id"))
            return True
        if self.hub.lines() >= MAX_LINES:
            c.send(replies.error(request_id, 101, "Max number of tickers has been reached"))
            return True
        return False

    def _cancel(self, c: Client, r: m.CancelMktData | m.CancelTickByTickData | m.CancelRealTimeBars) -> None:
        if c.market.pop(r.request_id, None) is None:
            c.send(replies.error(r.request_id, 300, f"Can't find EId with tickerId:{r.request_id}"))
