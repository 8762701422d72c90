"""The session, errors, and instruments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter

from workbench.gateway.wire.contracts import ContractDetails, WireContract
from workbench.gateway.wire.frames import frame

_HEAD = attrgetter("symbol", "sec_type", "last_trade_date", "strike", "right", "exchange", "currency", "local_symbol")
_HOURS = attrgetter(
    "contract_month", "industry", "category", "subcategory", "time_zone_id", "trading_hours", "liquid_hours",
    "ev_rule", "ev_multiplier",
)  # fmt: skip
_TAIL = attrgetter(
    "agg_group", "under_symbol", "under_sec_type", "market_rule_ids", "real_expiration_date", "stock_type",
    "min_size", "size_increment", "suggested_size_increment",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class SymbolSample:
    """An instrument that matches a pattern, and the types of derivatives on it (OPT, WAR ..)."""

    contract: WireContract
    derivative_types: tuple[str, ...] = ()
    description: str = ""


def next_valid_id(order_id: int) -> bytes:
    """9: the lowest order id that the client may use."""
    return frame(9, 1, order_id)


def managed_accounts(accounts: Sequence[str]) -> bytes:
    """15: the accounts that the client may trade."""
    return frame(15, 1, ",".join(accounts))


def error(request_id: int, code: int, text: str, advanced_reject: str = "") -> bytes:
    """4: `request_id` of a request or order, -1 for none; `advanced_reject` JSON that lets a user override."""
    return frame(4, 2, request_id, code, text, advanced_reject)


def current_time(epoch_s: int) -> bytes:
    """49: whole seconds since 1970."""
    return frame(49, 1, epoch_s)


def contract_details(request_id: int, details: ContractDetails) -> bytes:
    """10: one instrument. Clients undo escapes in the long name, so it is escaped."""
    d, c = details, details.contract
    return frame(
        10, request_id, *_HEAD(c), d.market_name, c.trading_class, c.con_id, d.min_tick, c.multiplier,
        d.order_types, d.valid_exchanges, d.price_magnifier, d.under_con_id,
        d.long_name.encode("unicode_escape").decode("ascii"), c.primary_exchange, *_HOURS(d),
        len(d.sec_ids), *(text for tag in d.sec_ids for text in tag), *_TAIL(d),
    )  # fmt: skip


def contract_details_end(request_id: int) -> bytes:
    """52: no more instruments."""
    return frame(52, 1, request_id)


def symbol_samples(request_id: int, samples: Sequence[SymbolSample]) -> bytes:
    """79: the instruments that match a pattern."""
    fields: list[object] = []
    for sample in samples:
        c, derivatives = sample.contract, sample.derivative_types
        fields += [c.con_id, c.symbol, c.sec_type, c.primary_exchange, c.currency, len(derivatives), *derivatives]
        fields += [sample.description, c.issuer_id]
    return frame(79, request_id, len(samples), *fields)


def market_rule(rule_id: int, increments: Sequence[tuple[float, float]]) -> bytes:
    """93: price increments in USD, each from a low edge in USD on."""
    return frame(93, rule_id, len(increments), *(value for increment in increments for value in increment))


def no_depth_exchanges() -> bytes:
    """80: no exchange offers market depth. Like the three below it ends a call that no error could end."""
    return frame(80, 0)


def no_news_providers() -> bytes:
    """85: no news."""
    return frame(85, 0)


def no_scanner_parameters() -> bytes:
    """19: nothing to scan for."""
    return frame(19, 1, '<?xml version="1.0"?><ScanParameterResponse/>')


def no_fa_data(data_type: int) -> bytes:
    """16: no groups (1), profiles (2) or aliases (3) of a financial adviser."""
    return frame(16, 1, data_type, "")
