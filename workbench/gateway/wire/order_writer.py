"""Messages 5 and 101, openOrder and completedOrder: their blocks in the order of the wire.

TWS opens the delta-neutral block of every order by the type ``None``; here it opens only for an order that has one.
"""

from __future__ import annotations

from operator import attrgetter
from typing import Any

from workbench.gateway.wire.conditions import condition_fields
from workbench.gateway.wire.contracts import WireContract, c11, delta_neutral_fields, leg_fields
from workbench.gateway.wire.frames import UNSET_DOUBLE, number
from workbench.gateway.wire.orders import OrderState, WireOrder


def _getter(names: str) -> attrgetter[Any]:
    return attrgetter(*names.split())


_HEAD = _getter(
    "action total_quantity order_type lmt_price aux_price tif oca_group account open_close origin order_ref"
)
_OPEN_IDS = _getter("client_id perm_id outside_rth hidden discretionary_amt good_after_time")
_COMPLETED_IDS = _getter("perm_id outside_rth hidden discretionary_amt good_after_time")
_GROUP = _getter(
    "fa_group fa_method fa_percentage fa_profile model_code good_till_date rule80_a percent_offset settling_firm "
    "short_sale_slot designated_location exempt_code"
)
_STOCK = _getter("starting_price stock_ref_price delta stock_range_lower stock_range_upper display_size")
_SIZES = _getter("sweep_to_fill all_or_none min_qty oca_type")
_QUOTES = _getter("e_trade_only firm_quote_only nbbo_price_cap parent_id")
_VOLATILITY = _getter("trigger_method volatility volatility_type delta_neutral_order_type delta_neutral_aux_price")
_OPEN_DELTA_NEUTRAL = _getter(
    "delta_neutral_con_id delta_neutral_settling_firm delta_neutral_clearing_account delta_neutral_clearing_intent "
    "delta_neutral_open_close delta_neutral_short_sale delta_neutral_short_sale_slot "
    "delta_neutral_designated_location"
)
_COMPLETED_DELTA_NEUTRAL = _getter(
    "delta_neutral_con_id delta_neutral_short_sale delta_neutral_short_sale_slot delta_neutral_designated_location"
)
_TRAIL = _getter("continuous_update reference_price_type trail_stop_price trailing_percent")
_SCALE = _getter("scale_init_level_size scale_subs_level_size scale_price_increment")
_SCALE_BLOCK = _getter(
    "scale_price_adjust_value scale_price_adjust_interval scale_profit_offset scale_auto_reset scale_init_position "
    "scale_init_fill_qty scale_random_percent"
)
_CLEARING = _getter("clearing_account clearing_intent not_held")
_PEG_BENCH = _getter(
    "reference_contract_id is_pegged_change_amount_decrease pegged_change_amount reference_change_amount "
    "reference_exchange_id"
)
_CONDITION_FLAGS = _getter("conditions_ignore_rth conditions_cancel_order")
_OPEN_TAIL = _getter(
    "adjusted_order_type trigger_price trail_stop_price lmt_price_offset adjusted_stop_price adjusted_stop_limit_price "
    "adjusted_trailing_amount adjustable_trailing_unit soft_dollar_name soft_dollar_value soft_dollar_display_name "
    "cash_qty dont_use_auto_price_for_hedge is_oms_container discretionary_up_to_limit_price use_price_mgmt_algo "
    "duration post_to_ats auto_cancel_parent"
)
_COMPLETED_TAIL = _getter(
    "trail_stop_price lmt_price_offset cash_qty dont_use_auto_price_for_hedge is_oms_container auto_cancel_date "
    "filled_quantity ref_futures_con_id auto_cancel_parent shareholder imbalance_only route_marketable_to_bbo "
    "parent_perm_id"
)
_OFFSETS = _getter("min_trade_qty min_compete_size compete_against_best_offset mid_offset_at_whole mid_offset_at_half")
_MARGINS = _getter(
    "init_margin_before maint_margin_before equity_with_loan_before init_margin_change maint_margin_change "
    "equity_with_loan_change init_margin_after maint_margin_after equity_with_loan_after commission min_commission "
    "max_commission"
)


def open_order_fields(contract: WireContract, order: WireOrder, state: OrderState) -> list[Any]:
    """The fields behind the id of openOrder. Unknown margins go as TWS's largest number: ib_async wants numbers."""
    return [
        order.order_id, *c11(contract), *_HEAD(order), *_OPEN_IDS(order), _allocation(order),
        *_GROUP(order), order.auction_strategy, *_STOCK(order), order.block_order, *_SIZES(order), *_QUOTES(order),
        *_VOLATILITY(order), *(_OPEN_DELTA_NEUTRAL(order) if order.delta_neutral_order_type else ()),
        *_TRAIL(order), order.basis_points, order.basis_points_type,
        *_combination(contract, order), *_scale_and_hedge(order), order.opt_out_smart_routing, *_CLEARING(order),
        *delta_neutral_fields(contract), *_algo(order), order.solicited, order.what_if,
        state.status, *(UNSET_DOUBLE if margin is None else margin for margin in _MARGINS(state)),
        state.commission_currency, state.warning_text,
        order.randomize_size, order.randomize_price, *_pegs_and_conditions(order),
        *_OPEN_TAIL(order), *_OFFSETS(order),
    ]  # fmt: skip


def completed_order_fields(contract: WireContract, order: WireOrder, state: OrderState) -> list[Any]:
    """The fields behind the id of completedOrder, which has neither order id nor client id."""
    return [
        *c11(contract), *_HEAD(order), *_COMPLETED_IDS(order), *_GROUP(order), *_STOCK(order), *_SIZES(order),
        *_VOLATILITY(order), *(_COMPLETED_DELTA_NEUTRAL(order) if order.delta_neutral_order_type else ()),
        *_TRAIL(order), *_combination(contract, order), *_scale_and_hedge(order), *_CLEARING(order),
        *delta_neutral_fields(contract), *_algo(order), order.solicited, state.status,
        order.randomize_size, order.randomize_price, *_pegs_and_conditions(order),
        *_COMPLETED_TAIL(order), state.completed_time, state.completed_status, *_OFFSETS(order),
    ]  # fmt: skip


def _allocation(order: WireOrder) -> str:
    """A field that clients skip; TWS fills it so."""
    return f"{order.perm_id}.0/{order.account}/{number(float(order.total_quantity)).removesuffix('.0')}"


def _combination(contract: WireContract, order: WireOrder) -> list[Any]:
    fields: list[Any] = [contract.legs_description, len(contract.legs)]
    for leg in contract.legs:
        fields += leg_fields(leg)
    return [*fields, len(order.combo_leg_prices), *order.combo_leg_prices, *_tags(order.smart_combo_routing_params)]


def _tags(tags: tuple[Any, ...]) -> list[Any]:
    return [len(tags), *(text for tag in tags for text in tag)]


def _scale_and_hedge(order: WireOrder) -> list[Any]:
    scale = _SCALE_BLOCK(order) if (order.scale_price_increment or 0.0) > 0 else ()
    return [*_SCALE(order), *scale, order.hedge_type, *((order.hedge_param,) if order.hedge_type else ())]


def _algo(order: WireOrder) -> list[Any]:
    return [order.algo_strategy, *(_tags(order.algo_params) if order.algo_strategy else ())]


def _pegs_and_conditions(order: WireOrder) -> list[Any]:
    fields = [*(_PEG_BENCH(order) if order.order_type == "PEG BENCH" else ()), len(order.conditions)]
    for condition in order.conditions:
        fields += condition_fields(condition)
    return [*fields, *(_CONDITION_FLAGS(order) if order.conditions else ())]
