"""Instruments as the wire spells them: C12 is what clients send, C11 (no primaryExchange) what the gateway sends."""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from typing import NamedTuple

from workbench.gateway.wire.fields import Reader, read_steps, steps


class Tag(NamedTuple):
    """A named parameter: of an algorithm, of smart routing, or a security id."""

    tag: str
    value: str


@dataclass(frozen=True, slots=True)
class ComboLeg:
    """A leg of a combination; requests for data carry only the first four."""

    con_id: int = 0
    ratio: int = 0
    action: str = ""
    exchange: str = ""
    open_close: int = 0
    short_sale_slot: int = 0
    designated_location: str = ""
    exempt_code: int = -1


@dataclass(frozen=True, slots=True)
class DeltaNeutral:
    """The hedge of a delta-neutral combination."""

    con_id: int = 0
    delta: float = 0.0
    price: float = 0.0


@dataclass(frozen=True, slots=True)
class WireContract:
    """An instrument. `con_id` 0 and empty texts: not given."""

    con_id: int = 0
    symbol: str = ""
    sec_type: str = ""
    last_trade_date: str = ""
    strike: float = 0.0
    right: str = ""
    multiplier: str = ""
    exchange: str = ""
    primary_exchange: str = ""
    currency: str = ""
    local_symbol: str = ""
    trading_class: str = ""
    include_expired: bool = False
    sec_id_type: str = ""
    sec_id: str = ""
    issuer_id: str = ""
    legs: tuple[ComboLeg, ...] = ()
    legs_description: str = ""
    delta_neutral: DeltaNeutral | None = None


@dataclass(frozen=True, slots=True)
class ContractDetails:
    """An instrument and how it trades. Hours as ``20260102:0930-20260102:1600;20260103:CLOSED``; sizes in shares."""

    contract: WireContract
    market_name: str = ""
    min_tick: float = 0.01
    order_types: str = ""
    valid_exchanges: str = ""
    price_magnifier: int = 1
    under_con_id: int = 0
    long_name: str = ""
    contract_month: str = ""
    industry: str = ""
    category: str = ""
    subcategory: str = ""
    time_zone_id: str = ""
    trading_hours: str = ""
    liquid_hours: str = ""
    ev_rule: str = ""
    ev_multiplier: int | None = None
    sec_ids: tuple[Tag, ...] = ()
    agg_group: int | None = None
    under_symbol: str = ""
    under_sec_type: str = ""
    market_rule_ids: str = ""
    real_expiration_date: str = ""
    stock_type: str = ""
    min_size: float = 1.0
    size_increment: float = 1.0
    suggested_size_increment: float = 100.0


_C12 = steps(
    WireContract,
    "con_id symbol sec_type last_trade_date strike right multiplier exchange primary_exchange currency local_symbol "
    "trading_class",
)
_SHORT_LEG = steps(ComboLeg, "con_id ratio action exchange")
_LEG = steps(ComboLeg, "con_id ratio action exchange open_close short_sale_slot designated_location exempt_code")
_DELTA_NEUTRAL = steps(DeltaNeutral, "con_id delta price")

c11 = attrgetter(
    "con_id", "symbol", "sec_type", "last_trade_date", "strike", "right", "multiplier", "exchange", "currency",
    "local_symbol", "trading_class",
)  # fmt: skip
"""The eleven fields of a contract that the gateway sends."""

leg_fields = attrgetter(
    "con_id", "ratio", "action", "exchange", "open_close", "short_sale_slot", "designated_location", "exempt_code"
)
"""The eight fields of a leg that the gateway sends."""


def read_c12(reader: Reader) -> WireContract:
    """The twelve fields of a contract that a client sends."""
    return WireContract(**read_steps(reader, _C12))


def read_legs(reader: Reader, full: bool) -> tuple[ComboLeg, ...]:
    """A count and the legs, of eight fields in an order (`full`), else of four."""
    wanted = _LEG if full else _SHORT_LEG
    return tuple(ComboLeg(**read_steps(reader, wanted)) for _ in range(reader.count("legs")))


def read_delta_neutral(reader: Reader) -> DeltaNeutral | None:
    """A flag, and three fields if it is set."""
    return DeltaNeutral(**read_steps(reader, _DELTA_NEUTRAL)) if reader.bool_("deltaNeutral") else None


def read_tags(reader: Reader, name: str) -> tuple[Tag, ...]:
    """A count and pairs of tag and value."""
    return tuple(Tag(reader.text(name), reader.text(name)) for _ in range(reader.count(name)))


def delta_neutral_fields(contract: WireContract) -> tuple[object, ...]:
    """The flag that the gateway sends, and the three fields behind it."""
    hedge = contract.delta_neutral
    return (False,) if hedge is None else (True, hedge.con_id, hedge.delta, hedge.price)
