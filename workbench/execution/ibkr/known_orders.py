"""What the gateway has said about orders, put together: a status names no symbol, an openOrder no filled quantity."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from workbench.execution.ibkr.backend import UNSET
from workbench.execution.reports import OrderReport, OutgoingOrder

KEPT = 20_000
NOWHERE = ""


def whole(number: float) -> int:
    """Shares; 0 where there is no number.

    >>> whole(100.0), whole(1.7976931348623157e308)
    (100, 0)
    """
    return 0 if number == UNSET else round(number)


def price(number: float | None) -> float:
    """A price, NaN where there is none."""
    return float("nan") if number is None or number in (UNSET, 0.0) else float(number)


class KnownOrders:
    """The last report of each order, by permId and by (client id, order id); the oldest are forgotten."""

    def __init__(self) -> None:
        self._by_perm: dict[int, OrderReport] = {}
        self._by_id: dict[tuple[int, int], OrderReport] = {}
        self.highest: dict[int, int] = {}  # client id -> highest order id seen

    def placed(self, client_id: int, order: OutgoingOrder, time: int) -> None:
        """We are about to send this order."""
        if (client_id, order.order_id) not in self._by_id:
            self._keep(
                OrderReport(
                    order.order_ref, order.order_id, 0, client_id, order.symbol, order.side, order.quantity,
                    order.order_type, order.limit_price, order.tif, NOWHERE, 0, order.quantity, "", time,
                )
            )  # fmt: skip

    def ref(self, client_id: int, order_id: int) -> str:
        """The order_ref of an order, "" where it is not known."""
        known = self._by_id.get((client_id, order_id))
        return "" if known is None else known.order_ref

    def opened(self, symbol: str, order: Any, state: Any, time: int) -> OrderReport:
        """An openOrder, with the filled quantity that was told last."""
        before = self._find(order.permId, order.clientId, order.orderId)
        quantity = whole(order.totalQuantity)
        filled = before.filled if before else 0
        report = OrderReport(
            order.orderRef, order.orderId, order.permId, order.clientId, symbol, 1 if order.action == "BUY" else -1,
            quantity, order.orderType, price(order.lmtPrice), order.tif, state.status, filled,
            before.remaining if before and before.quantity == quantity else quantity - filled,
            before.why_held if before else "", time,
        )  # fmt: skip
        return self._keep(report)

    def status(
        self, order_id: int, status: str, filled: float, remaining: float, perm_id: int, client_id: int, why: str,
        time: int,
    ) -> OrderReport:  # fmt: skip
        """An orderStatus, with what the last openOrder said about the order."""
        before = self._find(perm_id, client_id, order_id)
        told: dict[str, Any] = {
            "status": status,
            "filled": whole(filled),
            "remaining": whole(remaining),
            "why_held": why,
            "time": time,
        }
        if before is None:
            nan = float("nan")
            quantity = whole(filled + remaining)
            before = OrderReport(
                "", order_id, perm_id, client_id, "", 0, quantity, "", nan, "", "", 0, 0, "", time
            )  # fmt: skip
        return self._keep(replace(before, perm_id=perm_id or before.perm_id, **told))

    def _find(self, perm_id: int, client_id: int, order_id: int) -> OrderReport | None:
        """By permId; an order of that number only if it has no other permId."""
        if perm_id and perm_id in self._by_perm:
            return self._by_perm[perm_id]
        found = self._by_id.get((client_id, order_id)) if order_id else None
        return found if found is None or not perm_id or found.perm_id in (0, perm_id) else None

    def _keep(self, report: OrderReport) -> OrderReport:
        if report.perm_id:
            _put(self._by_perm, report.perm_id, report)
        if report.order_id:
            _put(self._by_id, (report.client_id, report.order_id), report)
            self.highest[report.client_id] = max(report.order_id, self.highest.get(report.client_id, 0))
        return report


def _put(table: dict[Any, OrderReport], key: Any, report: OrderReport) -> None:
    table.pop(key, None)
    table[key] = report
    if len(table) > KEPT:
        del table[next(iter(table))]
