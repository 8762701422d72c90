"""Orders as they are sent: SMART, regular hours only, the time in force always said."""

from __future__ import annotations

import math
from typing import Any

from workbench.core.errors import ConfigError
from workbench.execution.ibkr.backend import Order, TagValue
from workbench.execution.reports import OutgoingOrder

PRICED = frozenset({"LMT", "LOC"})
KINDS = frozenset({"MKT", "MOC", *PRICED})
AUCTION = frozenset({"MOC", "LOC"})
TIFS = frozenset({"DAY", "GTC", "IOC"})
PRIORITIES = frozenset({"Urgent", "Normal", "Patient"})


def library_order(order: OutgoingOrder, account: str, *, what_if: bool = False) -> Any:
    """The order in the library's terms; ConfigError for one that must not leave."""
    _check(order)
    limit = {"lmtPrice": float(order.limit_price)} if order.order_type in PRICED else {}
    algo: dict[str, Any] = {}
    if order.algo:
        algo = {"algoStrategy": order.algo, "algoParams": [TagValue("adaptivePriority", order.priority)]}
    return Order(
        action="BUY" if order.side > 0 else "SELL",
        totalQuantity=float(order.quantity),
        orderType=order.order_type,
        tif=order.tif,
        orderRef=order.order_ref,
        account=account,
        outsideRth=False,
        transmit=True,
        whatIf=what_if,
        **limit,
        **algo,
    )


def _check(order: OutgoingOrder) -> None:
    name = f"order {order.order_ref or order.order_id} of {order.symbol}"
    if order.side not in (1, -1) or order.quantity <= 0:
        raise ConfigError(f"{name}: side {order.side} must be +1 or -1 and quantity {order.quantity} above 0")
    if order.order_type not in KINDS or order.tif not in TIFS:
        raise ConfigError(
            f"{name}: type {order.order_type!r} must be among {', '.join(sorted(KINDS))} and tif {order.tif!r} among "
            f"{', '.join(sorted(TIFS))}"
        )
    if order.order_type in AUCTION and order.tif != "DAY":
        raise ConfigError(f"{name}: {order.order_type} must have tif DAY, not {order.tif}")
    if order.order_type in PRICED and not (math.isfinite(order.limit_price) and order.limit_price > 0):
        raise ConfigError(f"{name}: {order.order_type} needs a limit price above 0, not {order.limit_price}")
    if order.algo and (order.algo != "Adaptive" or order.priority not in PRIORITIES):
        raise ConfigError(f"{name}: algo {order.algo!r} must be Adaptive with priority {', '.join(sorted(PRIORITIES))}")
    if order.algo and order.order_type not in ("MKT", "LMT"):
        raise ConfigError(f"{name}: Adaptive works with MKT and LMT, not with {order.order_type}")
