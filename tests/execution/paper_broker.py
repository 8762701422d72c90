"""A scripted broker behind the Connection protocol: the truth of orders and money, and reports that can be tampered
with. It shares nothing with the order book under test but the vocabulary of reports."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

from workbench.core.clock import ManualClock
from workbench.execution.broker import NotConnected
from workbench.execution.reports import (
    AccountReport,
    CommissionReport,
    ErrorReport,
    ExecutionReport,
    Facts,
    Link,
    LinkReport,
    OrderReport,
    OutgoingOrder,
    PositionReport,
    Report,
)

SECOND = 1_000_000_000
CLIENT = 7
CASH = 1_000_000.0


@dataclass
class Resting:
    order: OutgoingOrder
    perm_id: int
    filled: int = 0
    status: str = "Submitted"
    client_id: int = CLIENT

    @property
    def live(self) -> bool:
        return self.status == "Submitted"


@dataclass
class PaperBroker:
    clock: ManualClock
    connected: bool = True
    swallow: bool = False
    """The next placement is read, then dropped."""
    mute: bool = False
    """Reports get lost."""
    orders: dict[int, Resting] = field(default_factory=dict)  # permId -> order
    executions: list[ExecutionReport] = field(default_factory=list)
    commissions: list[CommissionReport] = field(default_factory=list)
    positions: Counter = field(default_factory=Counter)
    outbox: list[Report] = field(default_factory=list)
    placed: list[OutgoingOrder] = field(default_factory=list)
    cancels: list[int] = field(default_factory=list)
    next_id: int = 100
    ours: set[str] = field(default_factory=set)  # execIds (latest revision) of API orders

    # ---- Connection ---------------------------------------------------------------------------------------------

    def place(self, order: OutgoingOrder) -> None:
        self._up()
        self.placed.append(order)
        if self.swallow:
            self.swallow = False
            return
        known = [r for r in self.orders.values() if r.order.order_id == order.order_id]
        if known and not known[0].live:
            self.error(104, order.order_id, order.order_ref)
            return
        if known:
            known[0].order = order
            self._tell(self.status(known[0]))
            return
        resting = Resting(order, len(self.orders) + 9001)
        self.orders[resting.perm_id] = resting
        self._tell(self.status(resting))

    def cancel(self, order_id: int) -> None:
        self._up()
        self.cancels.append(order_id)
        known = [r for r in self.orders.values() if r.order.order_id == order_id]
        if any(r.live for r in known):
            resting = next(r for r in known if r.live)
            resting.status = "Cancelled"
            self.error(202, order_id, resting.order.order_ref)
            self._tell(self.status(resting))
        else:
            self.error(10148 if known else 10147, order_id, known[0].order.order_ref if known else "")

    def facts(self) -> Facts:
        self._up()
        now = self.clock.now()
        live = [r for r in self.orders.values() if r.live]
        done = [r for r in self.orders.values() if not r.live]
        return Facts(
            now,
            now,
            tuple(self.status(r) for r in live),
            tuple(replace(self.status(r), order_id=0, client_id=0) for r in done),
            tuple(self.executions),
            tuple(self.commissions),
            tuple(PositionReport(s, q, 0.0) for s, q in self.positions.items() if q),
            AccountReport("DUSIM1", CASH, CASH, CASH, CASH),
        )

    def server_time(self) -> int:
        self._up()
        return self.clock.now() // SECOND * SECOND

    def reserve_order_id(self, above: int) -> int:
        self._up()
        self.next_id = max(self.next_id, above) + 1
        return self.next_id

    # ---- what happens there -------------------------------------------------------------------------------------

    def fill(self, perm_id: int, quantity: int, price: float, commission: float = 1.0) -> None:
        resting = self.orders[perm_id]
        o = resting.order
        quantity = min(quantity, o.quantity - resting.filled)
        if not (resting.live and quantity):
            return
        resting.filled += quantity
        if resting.filled == o.quantity:
            resting.status = "Filled"
        exec_id = f"e{len(self.executions)}.01"
        ref = o.order_ref
        report = ExecutionReport(
            exec_id, ref, o.order_id, perm_id, resting.client_id, o.symbol, o.side, quantity, price, self.clock.now()
        )
        self.executions.append(report)
        if resting.client_id == CLIENT:
            self.ours.add(exec_id)
        self.positions[o.symbol] += o.side * quantity
        self._tell(report)
        self._tell(self.status(resting))
        cost = CommissionReport(exec_id, commission, "USD", float("nan"), self.clock.now())
        self.commissions.append(cost)
        self._tell(cost)

    def correct(self, index: int, price: float, quantity: int) -> None:
        old = self.executions[index]
        name, number = old.exec_id.split(".")
        new = replace(old, exec_id=f"{name}.{int(number) + 1:02d}", price=price, quantity=quantity)
        self.executions[index] = new
        if old.exec_id in self.ours:
            self.ours.remove(old.exec_id)
            self.ours.add(new.exec_id)
        self.positions[old.symbol] += old.side * (quantity - old.quantity)
        self._tell(new)

    def manual(self, symbol: str, quantity: int) -> None:
        side = 1 if quantity > 0 else -1
        order = OutgoingOrder(0, "", symbol, side, abs(quantity), "MKT", float("nan"), "DAY")
        resting = Resting(order, len(self.orders) + 9001, client_id=0)
        self.orders[resting.perm_id] = resting
        self.fill(resting.perm_id, abs(quantity), 50.0)

    def error(self, code: int, order_id: int, ref: str) -> None:
        self._tell(ErrorReport(code, "as scripted", order_id, ref, self.clock.now()))

    def cut(self) -> None:
        self.connected = False
        self.outbox.append(LinkReport(Link.DOWN, 0, "socket closed", self.clock.now()))

    def join(self) -> None:
        self.connected = True
        self.outbox.append(LinkReport(Link.UP, 0, "", self.clock.now()))

    def status(self, r: Resting, **changes) -> OrderReport:
        o = r.order
        left = o.quantity - r.filled
        plain = OrderReport(
            o.order_ref, o.order_id, r.perm_id, r.client_id, o.symbol, o.side, o.quantity, o.order_type,
            o.limit_price, o.tif, r.status, r.filled, left, "", self.clock.now(),
        )  # fmt: skip
        return replace(plain, **changes)

    def _tell(self, report: Report) -> None:
        if self.connected and not self.mute:
            self.outbox.append(report)

    def _up(self) -> None:
        if not self.connected:
            raise NotConnected("not connected to the paper broker; nothing was sent")
