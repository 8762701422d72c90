"""Message 3, placeOrder: its blocks in the order of the wire, and the conditions under which a block is there."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from workbench.gateway.wire.conditions import read_conditions
from workbench.gateway.wire.contracts import WireContract, read_c12, read_delta_neutral, read_legs, read_tags
from workbench.gateway.wire.fields import MalformedRequest, Reader, read_steps, steps
from workbench.gateway.wire.orders import WireOrder

# spelling without a blank -> IBKR's name; ib_async sends such an order with the block of its type, ib_insync without
PEG_ALIASES = {"PEGBENCH": "PEG BENCH", "PEGBEST": "PEG BEST", "PEGMID": "PEG MID"}

_HEAD = steps(
    WireOrder,
    "action total_quantity order_type lmt_price aux_price tif oca_group account open_close origin order_ref transmit "
    "parent_id block_order sweep_to_fill display_size trigger_method outside_rth hidden",
)
_MIDDLE = steps(
    WireOrder,
    "discretionary_amt good_after_time good_till_date fa_group fa_method fa_percentage fa_profile model_code "
    "short_sale_slot designated_location exempt_code oca_type rule80_a settling_firm all_or_none min_qty "
    "percent_offset e_trade_only firm_quote_only nbbo_price_cap auction_strategy starting_price stock_ref_price delta "
    "stock_range_lower stock_range_upper override_percentage_constraints volatility volatility_type "
    "delta_neutral_order_type delta_neutral_aux_price",
)
_DELTA_NEUTRAL = steps(
    WireOrder,
    "delta_neutral_con_id delta_neutral_settling_firm delta_neutral_clearing_account delta_neutral_clearing_intent "
    "delta_neutral_open_close delta_neutral_short_sale delta_neutral_short_sale_slot "
    "delta_neutral_designated_location",
)
_TRAIL = steps(
    WireOrder,
    "continuous_update reference_price_type trail_stop_price trailing_percent scale_init_level_size "
    "scale_subs_level_size scale_price_increment",
)
_SCALE = steps(
    WireOrder,
    "scale_price_adjust_value scale_price_adjust_interval scale_profit_offset scale_auto_reset scale_init_position "
    "scale_init_fill_qty scale_random_percent",
)
_TABLE = steps(WireOrder, "scale_table active_start_time active_stop_time hedge_type")
_HEDGE = steps(WireOrder, "hedge_param")
_CLEARING = steps(WireOrder, "opt_out_smart_routing clearing_account clearing_intent not_held")
_ALGO = steps(WireOrder, "algo_strategy")
_FLAGS = steps(WireOrder, "algo_id what_if order_misc_options solicited randomize_size randomize_price")
_PEG_BENCH = steps(
    WireOrder,
    "reference_contract_id is_pegged_change_amount_decrease pegged_change_amount reference_change_amount "
    "reference_exchange_id",
)
_CONDITION_FLAGS = steps(WireOrder, "conditions_ignore_rth conditions_cancel_order")
_TAIL = steps(
    WireOrder,
    "adjusted_order_type trigger_price lmt_price_offset adjusted_stop_price adjusted_stop_limit_price "
    "adjusted_trailing_amount adjustable_trailing_unit ext_operator soft_dollar_name soft_dollar_value cash_qty "
    "mifid2_decision_maker mifid2_decision_algo mifid2_execution_trader mifid2_execution_algo "
    "dont_use_auto_price_for_hedge is_oms_container discretionary_up_to_limit_price use_price_mgmt_algo duration "
    "post_to_ats auto_cancel_parent advanced_error_override manual_order_time",
)
_MIN_TRADE = steps(WireOrder, "min_trade_qty")
_MIN_COMPETE = steps(WireOrder, "min_compete_size")
_MID_OFFSETS = steps(WireOrder, "mid_offset_at_whole mid_offset_at_half")


def read_place_order(fields: tuple[str, ...], request_id: int) -> tuple[int, WireContract, WireOrder]:
    """Order id, instrument and order. An order type spelled without its blank gets it, and its block is optional."""
    try:
        return _read(Reader(fields, 3, request_id), blocks=True)
    except MalformedRequest:
        if not PEG_ALIASES.keys() & set(fields[18:19]):
            raise
    return _read(Reader(fields, 3, request_id), blocks=False)


def _read(reader: Reader, blocks: bool) -> tuple[int, WireContract, WireOrder]:
    order_id = reader.int_("orderId")
    if order_id is None:
        raise reader.refuse("orderId", "", "must be set")
    contract = replace(read_c12(reader), sec_id_type=reader.text("secIdType"), sec_id=reader.text("secId"))
    values: dict[str, Any] = {"order_id": order_id, **read_steps(reader, _HEAD)}
    values["order_type"] = PEG_ALIASES.get(values["order_type"], values["order_type"])
    if contract.sec_type == "BAG":
        contract = replace(contract, legs=read_legs(reader, full=True))
        values |= _combination(reader)
    reader.text("sharesAllocation")
    values |= _prices(reader)
    values |= _clearing(reader)
    contract = replace(contract, delta_neutral=read_delta_neutral(reader))
    values |= _algo(reader)
    if values["order_type"] == "PEG BENCH" and blocks:
        values |= read_steps(reader, _PEG_BENCH)
    values |= _conditions(reader)
    values |= read_steps(reader, _TAIL)
    values |= _last(reader, contract.exchange, values["order_type"] if blocks else "")
    reader.end()
    return order_id, contract, WireOrder(**values)


def _combination(reader: Reader) -> dict[str, Any]:
    prices = tuple(reader.float_("comboLegPrice") for _ in range(reader.count("comboLegPrices")))
    return {
        "combo_leg_prices": prices,
        "smart_combo_routing_params": read_tags(reader, "smartComboRoutingParams"),
    }


def _prices(reader: Reader) -> dict[str, Any]:
    values = read_steps(reader, _MIDDLE)
    if values["delta_neutral_order_type"]:
        values |= read_steps(reader, _DELTA_NEUTRAL)
    values |= read_steps(reader, _TRAIL)
    if (values["scale_price_increment"] or 0.0) > 0:
        values |= read_steps(reader, _SCALE)
    return values


def _clearing(reader: Reader) -> dict[str, Any]:
    values = read_steps(reader, _TABLE)
    if values["hedge_type"]:
        values |= read_steps(reader, _HEDGE)
    return values | read_steps(reader, _CLEARING)


def _algo(reader: Reader) -> dict[str, Any]:
    values = read_steps(reader, _ALGO)
    if values["algo_strategy"]:
        values["algo_params"] = read_tags(reader, "algoParams")
    return values | read_steps(reader, _FLAGS)


def _conditions(reader: Reader) -> dict[str, Any]:
    conditions = read_conditions(reader)
    return {"conditions": conditions, **(read_steps(reader, _CONDITION_FLAGS) if conditions else {})}


def _last(reader: Reader, exchange: str, order_type: str) -> dict[str, Any]:
    values = read_steps(reader, _MIN_TRADE) if exchange == "IBKRATS" else {}
    if order_type == "PEG BEST":
        values |= read_steps(reader, _MIN_COMPETE)
        values["compete_against_best_offset"] = reader.offset("competeAgainstBestOffset")
    if order_type == "PEG MID" or values.get("compete_against_best_offset") == float("inf"):
        values |= read_steps(reader, _MID_OFFSETS)
    return values
