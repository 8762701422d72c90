"""What clients ask: one class per message, named as the client libraries name the call (`Client.<name>`).

Ids are those of the client; dates and times are texts as it sent them; `options` and `generic_ticks` too.
"""

from __future__ import annotations

from dataclasses import dataclass

from workbench.gateway.wire.contracts import WireContract
from workbench.gateway.wire.orders import WireOrder


@dataclass(frozen=True, slots=True)
class Request:
    """Any message of a client."""


@dataclass(frozen=True, slots=True)
class _ById(Request):
    request_id: int


@dataclass(frozen=True, slots=True)
class _ForContract(_ById):
    contract: WireContract


@dataclass(frozen=True, slots=True)
class StartApi(Request):
    """71: The first message: who is calling."""

    client_id: int
    optional_capabilities: str = ""


@dataclass(frozen=True, slots=True)
class ReqIds(Request):
    """8: The next valid order id; `count` is ignored by TWS."""

    count: int = 1


@dataclass(frozen=True, slots=True)
class ReqManagedAccts(Request):
    """17: The accounts."""


@dataclass(frozen=True, slots=True)
class ReqCurrentTime(Request):
    """49: The gateway's time."""


@dataclass(frozen=True, slots=True)
class ReqContractDetails(_ForContract):
    """9: Every instrument that matches."""


@dataclass(frozen=True, slots=True)
class ReqMatchingSymbols(_ById):
    """81: Instruments whose symbol or name begins so."""

    pattern: str


@dataclass(frozen=True, slots=True)
class ReqMarketRule(Request):
    """91: The price increments of a rule."""

    rule_id: int


@dataclass(frozen=True, slots=True)
class ReqMktData(_ForContract):
    """1: Streaming or snapshot quotes; `generic_ticks` as ``233,236``."""

    generic_ticks: str
    snapshot: bool
    regulatory_snapshot: bool
    options: str


@dataclass(frozen=True, slots=True)
class CancelMktData(_ById):
    """2."""


@dataclass(frozen=True, slots=True)
class ReqMarketDataType(Request):
    """59: For all later requests: 1 live, 2 frozen, 3 delayed, 4 delayed and frozen."""

    data_type: int


@dataclass(frozen=True, slots=True)
class ReqTickByTickData(_ForContract):
    """97: `tick_type` Last, AllLast, BidAsk or MidPoint; `count` historical ticks first."""

    tick_type: str
    count: int
    ignore_size: bool


@dataclass(frozen=True, slots=True)
class CancelTickByTickData(_ById):
    """98."""


@dataclass(frozen=True, slots=True)
class ReqHistoricalData(_ForContract):
    """20: Bars that end at `end` (empty: now), or with `what_to_show` SCHEDULE the sessions."""

    end: str
    bar_size: str
    duration: str
    use_rth: bool
    what_to_show: str
    format_date: int
    keep_up_to_date: bool
    options: str


@dataclass(frozen=True, slots=True)
class CancelHistoricalData(_ById):
    """25."""


@dataclass(frozen=True, slots=True)
class ReqRealTimeBars(_ForContract):
    """50: Bars of 5 seconds."""

    bar_size: int
    what_to_show: str
    use_rth: bool
    options: str


@dataclass(frozen=True, slots=True)
class CancelRealTimeBars(_ById):
    """51."""


@dataclass(frozen=True, slots=True)
class ReqHeadTimeStamp(_ForContract):
    """87: The time of the oldest data."""

    use_rth: bool
    what_to_show: str
    format_date: int


@dataclass(frozen=True, slots=True)
class CancelHeadTimeStamp(_ById):
    """90."""


@dataclass(frozen=True, slots=True)
class ReqHistoricalTicks(_ForContract):
    """96: At most `count` ticks from `start` on or up to `end`."""

    start: str
    end: str
    count: int
    what_to_show: str
    use_rth: bool
    ignore_size: bool
    options: str


@dataclass(frozen=True, slots=True)
class PlaceOrder(Request):
    """3: A new order, or with a known order id a change of it."""

    order_id: int
    contract: WireContract
    order: WireOrder


@dataclass(frozen=True, slots=True)
class CancelOrder(Request):
    """4: `manual_time` is empty but for manual orders."""

    order_id: int
    manual_time: str


@dataclass(frozen=True, slots=True)
class ReqGlobalCancel(Request):
    """58: Cancels every order of the account."""


@dataclass(frozen=True, slots=True)
class ReqOpenOrders(Request):
    """5: The open orders of this client."""


@dataclass(frozen=True, slots=True)
class ReqAllOpenOrders(Request):
    """16: The open orders of every client."""


@dataclass(frozen=True, slots=True)
class ReqAutoOpenOrders(Request):
    """15: Client 0 only: be told of (and with `bind` own) the orders placed by hand."""

    bind: bool


@dataclass(frozen=True, slots=True)
class ReqCompletedOrders(Request):
    """99: Orders that are done; `api_only` leaves out those placed by hand."""

    api_only: bool


@dataclass(frozen=True, slots=True)
class ReqExecutions(_ById):
    """7: Today's executions; an empty field (or client id 0) does not filter."""

    client_id: int = 0
    account: str = ""
    time: str = ""
    symbol: str = ""
    sec_type: str = ""
    exchange: str = ""
    side: str = ""


@dataclass(frozen=True, slots=True)
class ReqAccountUpdates(Request):
    """6: Account values and portfolio, once and then on change."""

    subscribe: bool
    account: str


@dataclass(frozen=True, slots=True)
class ReqAccountUpdatesMulti(_ById):
    """76: Account values of an account or model."""

    account: str
    model: str
    ledger_and_nlv: bool


@dataclass(frozen=True, slots=True)
class CancelAccountUpdatesMulti(_ById):
    """77."""


@dataclass(frozen=True, slots=True)
class ReqAccountSummary(_ById):
    """62: `tags` apart by commas."""

    group: str
    tags: str


@dataclass(frozen=True, slots=True)
class CancelAccountSummary(_ById):
    """63."""


@dataclass(frozen=True, slots=True)
class ReqPositions(Request):
    """61: Positions, once and then on change."""


@dataclass(frozen=True, slots=True)
class CancelPositions(Request):
    """64."""


@dataclass(frozen=True, slots=True)
class ReqPnL(_ById):
    """92: The account's profit and loss, now and on change."""

    account: str
    model: str


@dataclass(frozen=True, slots=True)
class CancelPnL(_ById):
    """93."""


@dataclass(frozen=True, slots=True)
class ReqPnLSingle(_ById):
    """94: One position's profit and loss, now and on change."""

    account: str
    model: str
    con_id: int


@dataclass(frozen=True, slots=True)
class CancelPnLSingle(_ById):
    """95."""
