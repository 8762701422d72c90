"""Orders, their state and executions as the wire spells them: every field of placeOrder, openOrder, completedOrder.

None is unset. Prices and money in USD, quantities in shares, per cents as numbers (5.0 is 5 %).
"""

from __future__ import annotations

from dataclasses import dataclass

from workbench.gateway.wire.conditions import Condition
from workbench.gateway.wire.contracts import Tag


@dataclass(frozen=True, slots=True)
class WireOrder:
    """An order. Names are IBKR's in lower case (`lmt_price` is lmtPrice)."""

    order_id: int = 0
    client_id: int = 0
    perm_id: int = 0
    action: str = ""
    total_quantity: float = 0.0
    order_type: str = ""
    lmt_price: float | None = None
    aux_price: float | None = None
    tif: str = ""
    active_start_time: str = ""
    active_stop_time: str = ""
    oca_group: str = ""
    oca_type: int = 0
    order_ref: str = ""
    transmit: bool = True
    parent_id: int = 0
    block_order: bool = False
    sweep_to_fill: bool = False
    display_size: int = 0
    trigger_method: int = 0
    outside_rth: bool = False
    hidden: bool = False
    good_after_time: str = ""
    good_till_date: str = ""
    rule80_a: str = ""
    all_or_none: bool = False
    min_qty: int | None = None
    percent_offset: float | None = None
    override_percentage_constraints: bool = False
    trail_stop_price: float | None = None
    trailing_percent: float | None = None
    fa_group: str = ""
    fa_profile: str = ""
    fa_method: str = ""
    fa_percentage: str = ""
    designated_location: str = ""
    open_close: str = "O"
    origin: int = 0
    short_sale_slot: int = 0
    exempt_code: int = -1
    discretionary_amt: float = 0.0
    e_trade_only: bool = False
    firm_quote_only: bool = False
    nbbo_price_cap: float | None = None
    opt_out_smart_routing: bool = False
    auction_strategy: int = 0
    starting_price: float | None = None
    stock_ref_price: float | None = None
    delta: float | None = None
    stock_range_lower: float | None = None
    stock_range_upper: float | None = None
    randomize_price: bool = False
    randomize_size: bool = False
    volatility: float | None = None
    volatility_type: int | None = None
    delta_neutral_order_type: str = ""
    delta_neutral_aux_price: float | None = None
    delta_neutral_con_id: int = 0
    delta_neutral_settling_firm: str = ""
    delta_neutral_clearing_account: str = ""
    delta_neutral_clearing_intent: str = ""
    delta_neutral_open_close: str = ""
    delta_neutral_short_sale: bool = False
    delta_neutral_short_sale_slot: int = 0
    delta_neutral_designated_location: str = ""
    continuous_update: bool = False
    reference_price_type: int | None = None
    basis_points: float | None = None
    basis_points_type: int | None = None
    scale_init_level_size: int | None = None
    scale_subs_level_size: int | None = None
    scale_price_increment: float | None = None
    scale_price_adjust_value: float | None = None
    scale_price_adjust_interval: int | None = None
    scale_profit_offset: float | None = None
    scale_auto_reset: bool = False
    scale_init_position: int | None = None
    scale_init_fill_qty: int | None = None
    scale_random_percent: bool = False
    scale_table: str = ""
    hedge_type: str = ""
    hedge_param: str = ""
    account: str = ""
    settling_firm: str = ""
    clearing_account: str = ""
    clearing_intent: str = ""
    algo_strategy: str = ""
    algo_params: tuple[Tag, ...] = ()
    smart_combo_routing_params: tuple[Tag, ...] = ()
    algo_id: str = ""
    what_if: bool = False
    not_held: bool = False
    solicited: bool = False
    model_code: str = ""
    combo_leg_prices: tuple[float | None, ...] = ()
    order_misc_options: str = ""
    """As sent: ``tag=value;tag=value;``."""
    reference_contract_id: int = 0
    pegged_change_amount: float = 0.0
    is_pegged_change_amount_decrease: bool = False
    reference_change_amount: float = 0.0
    reference_exchange_id: str = ""
    adjusted_order_type: str = ""
    trigger_price: float | None = None
    adjusted_stop_price: float | None = None
    adjusted_stop_limit_price: float | None = None
    adjusted_trailing_amount: float | None = None
    adjustable_trailing_unit: int = 0
    lmt_price_offset: float | None = None
    conditions: tuple[Condition, ...] = ()
    conditions_cancel_order: bool = False
    conditions_ignore_rth: bool = False
    ext_operator: str = ""
    soft_dollar_name: str = ""
    soft_dollar_value: str = ""
    soft_dollar_display_name: str = ""
    cash_qty: float | None = None
    mifid2_decision_maker: str = ""
    mifid2_decision_algo: str = ""
    mifid2_execution_trader: str = ""
    mifid2_execution_algo: str = ""
    dont_use_auto_price_for_hedge: bool = False
    is_oms_container: bool = False
    discretionary_up_to_limit_price: bool = False
    auto_cancel_date: str = ""
    filled_quantity: float | None = None
    ref_futures_con_id: int = 0
    auto_cancel_parent: bool = False
    shareholder: str = ""
    imbalance_only: bool = False
    route_marketable_to_bbo: bool = False
    parent_perm_id: int = 0
    use_price_mgmt_algo: bool = False
    duration: int | None = None
    post_to_ats: int | None = None
    advanced_error_override: str = ""
    manual_order_time: str = ""
    min_trade_qty: int | None = None
    min_compete_size: int | None = None
    compete_against_best_offset: float | None = None
    """Infinite where the offset is up to the mid; then the two below say how far."""
    mid_offset_at_whole: float | None = None
    mid_offset_at_half: float | None = None


@dataclass(frozen=True, slots=True)
class OrderState:
    """Status, and for a what-if order the margins in USD before it, by it and after it; None is unknown."""

    status: str = ""
    init_margin_before: float | None = None
    maint_margin_before: float | None = None
    equity_with_loan_before: float | None = None
    init_margin_change: float | None = None
    maint_margin_change: float | None = None
    equity_with_loan_change: float | None = None
    init_margin_after: float | None = None
    maint_margin_after: float | None = None
    equity_with_loan_after: float | None = None
    commission: float | None = None
    min_commission: float | None = None
    max_commission: float | None = None
    commission_currency: str = ""
    warning_text: str = ""
    completed_time: str = ""
    """As ``20260102 15:59:58 America/New_York``; completed orders only."""
    completed_status: str = ""
    """As ``Filled Size: 100``; completed orders only."""


@dataclass(frozen=True, slots=True)
class WireExecution:
    """A fill. `side` BOT or SLD; `time` as ``20260102 09:30:00 America/New_York``; the contract says the venue too."""

    exec_id: str
    time: str
    account: str
    exchange: str
    side: str
    shares: float
    price: float
    perm_id: int
    client_id: int
    order_id: int
    cum_qty: float
    avg_price: float
    liquidation: int = 0
    order_ref: str = ""
    ev_rule: str = ""
    ev_multiplier: float | None = None
    model_code: str = ""
    last_liquidity: int = 0
    """1 added, 2 removed, 3 routed out; 0 unknown."""
