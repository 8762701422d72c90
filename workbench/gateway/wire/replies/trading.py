"""Orders, executions and commissions. Prices and money in USD, quantities in shares."""

from __future__ import annotations

from operator import attrgetter

from workbench.gateway.wire.contracts import WireContract, c11
from workbench.gateway.wire.frames import UNSET_DOUBLE, frame
from workbench.gateway.wire.order_writer import completed_order_fields, open_order_fields
from workbench.gateway.wire.orders import OrderState, WireExecution, WireOrder

_EXECUTION = attrgetter(
    "exec_id", "time", "account", "exchange", "side", "shares", "price", "perm_id", "client_id", "liquidation",
    "cum_qty", "avg_price", "order_ref", "ev_rule", "ev_multiplier", "model_code", "last_liquidity",
)  # fmt: skip


def order_status(
    order_id: int,
    status: str,
    filled: float,
    remaining: float,
    avg_fill_price: float,
    perm_id: int,
    parent_id: int,
    last_fill_price: float,
    client_id: int,
    why_held: str = "",
    mkt_cap_price: float = 0.0,
) -> bytes:
    """3: where an order stands."""
    return frame(
        3, order_id, status, filled, remaining, avg_fill_price, perm_id, parent_id, last_fill_price, client_id,
        why_held, mkt_cap_price,
    )  # fmt: skip


def open_order(contract: WireContract, order: WireOrder, state: OrderState) -> bytes:
    """5: an order that lives, or the margins of a what-if order."""
    return frame(5, *open_order_fields(contract, order, state))


def open_order_end() -> bytes:
    """53: no more open orders."""
    return frame(53, 1)


def exec_details(request_id: int, contract: WireContract, execution: WireExecution) -> bytes:
    """11: a fill; `request_id` -1 as it happens, else of the request for executions."""
    return frame(11, request_id, execution.order_id, *c11(contract), *_EXECUTION(execution))


def exec_details_end(request_id: int) -> bytes:
    """55: no more executions."""
    return frame(55, 1, request_id)


def commission_report(
    exec_id: str, commission: float, currency: str = "USD", realized_pnl: float | None = None
) -> bytes:
    """59: what a fill cost; `realized_pnl` None where it opened a position. Yields are for bonds: unknown."""
    pnl = UNSET_DOUBLE if realized_pnl is None else realized_pnl
    return frame(59, 1, exec_id, commission, currency, pnl, UNSET_DOUBLE, None)


def completed_order(contract: WireContract, order: WireOrder, state: OrderState) -> bytes:
    """101: an order that is done. Only between a request for them and the end: clients fail on it otherwise."""
    return frame(101, *completed_order_fields(contract, order, state))


def completed_orders_end() -> bytes:
    """102: no more completed orders."""
    return frame(102)
