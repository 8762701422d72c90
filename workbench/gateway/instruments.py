"""Which instruments exist behind the gateway: every US stock that anybody can spell."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np

from workbench.core.units import NS_PER_SECOND
from workbench.gateway.hours import TradingHours
from workbench.gateway.listings import listing, symbol_code
from workbench.gateway.wire.contracts import ContractDetails, WireContract
from workbench.gateway.wire.times import date

ZONE = "America/New_York"
VENUES = ("NASDAQ", "NYSE", "ARCA", "BATS", "IEX")
MARKET_RULE = 26
"""IBKR's rule for US stocks: 0.0001 below 1 USD, 0.01 from there on."""

INCREMENTS = ((0.0, 0.0001), (1.0, 0.01))
ORDER_TYPES = "ACTIVETIM,AD,ADJUST,ALGO,DAY,GTC,GTD,IOC,LMT,LOC,MKT,MOC,STP,STPLMT,WHATIF"
HOURS_DAYS = 6
KEPT_IDS = 100_000
_SYMBOL = re.compile(r"[A-Z][A-Z0-9]{0,7}([ .][A-Z]{1,3})?")


class Instruments:
    """Stocks in USD by symbol or contract id; an id is a pure function of the symbol. `knows`: which symbols exist."""

    def __init__(self, knows: Callable[[str], bool] = lambda symbol: True) -> None:
        self._knows = knows
        self._by_id: dict[int, str] = {}  # contract id -> symbol, of the last KEPT_IDS that were asked for

    def find(self, asked: WireContract) -> WireContract | None:
        """The whole contract of what a client names by symbol or id; None if there is no such stock."""
        if asked.sec_type not in ("STK", "") or asked.currency not in ("USD", ""):
            return None
        symbol = asked.symbol.upper() or self._by_id.get(asked.con_id, "")
        if not _SYMBOL.fullmatch(symbol) or not self._knows(symbol):
            return None
        found = self.stock(symbol)
        wrong_id = asked.con_id and asked.con_id != found.con_id
        wrong_listing = asked.primary_exchange not in ("", *VENUES)  # where a stock is listed is made up here
        if wrong_id or wrong_listing or asked.exchange not in ("", "SMART", *VENUES):
            return None
        return found

    def stock(self, symbol: str) -> WireContract:
        """The contract of a symbol, routed SMART."""
        code, listed = symbol_code(symbol), listing(symbol)
        con_id = 1_000_000 + code % 900_000_000
        self._by_id[con_id] = symbol
        if len(self._by_id) > KEPT_IDS:
            del self._by_id[next(iter(self._by_id))]
        return WireContract(
            con_id=con_id, symbol=symbol, sec_type="STK", exchange="SMART", currency="USD", local_symbol=symbol,
            primary_exchange=listed, trading_class="NMS" if listed == "NASDAQ" else symbol,
        )  # fmt: skip

    def details(self, contract: WireContract, now_ns: int, hours: TradingHours) -> ContractDetails:
        """How it trades, with the hours of the next days."""
        liquid, extended = (_hours_text(now_ns, hours, wide) for wide in (False, True))
        return ContractDetails(
            contract, market_name=contract.trading_class, order_types=ORDER_TYPES,
            valid_exchanges=",".join(("SMART", *VENUES)), long_name=f"{contract.symbol} (SIMULATED)",
            industry="Simulated", category="Simulated", subcategory="Simulated", time_zone_id=ZONE,
            trading_hours=extended, liquid_hours=liquid, agg_group=1, stock_type="COMMON",
            market_rule_ids=",".join([str(MARKET_RULE)] * (1 + len(VENUES))),
        )  # fmt: skip


def _hours_text(now_ns: int, hours: TradingHours, extended: bool) -> str:
    """``20260102:0930-20260102:1600;20260103:CLOSED`` for HOURS_DAYS calendar days."""
    today = np.datetime64(f"{date(now_ns)[:4]}-{date(now_ns)[4:6]}-{date(now_ns)[6:]}", "D")
    sessions = {int(d): i for i, d in enumerate(hours.sessions.date)}
    parts = []
    for step in range(HOURS_DAYS):
        day = today + step
        text, i = str(day).replace("-", ""), sessions.get(int(day.astype(np.int64)))
        if i is None:
            parts.append(f"{text}:CLOSED")
            continue
        start, end = hours.window(int(hours.sessions.open_ns[i]), extended)
        parts.append(f"{text}:{_clock(start)}-{text}:{_clock(end)}")
    return ";".join(parts)


def _clock(ns: int) -> str:
    return f"{datetime.fromtimestamp(ns // NS_PER_SECOND, ZoneInfo(ZONE)):%H%M}"
