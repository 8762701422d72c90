"""When a stop is elected: the last price reaches it, which is IBKR's default for US stocks (trigger method 0)."""

from __future__ import annotations

from workbench.gateway.orders import RESTING, WorkingOrder


def elected_by(order: WorkingOrder, low: float, high: float) -> bool:
    """Whether trades between `low` and `high` elect `order`: at or above the stop for a buy, at or below for a sale.

    Outside its trading hours a stop sleeps on.
    """
    if order.elected or order.held or order.status not in RESTING or not order.intent.kind.stop:
        return False
    return high >= order.intent.aux_price if order.intent.side > 0 else low <= order.intent.aux_price
