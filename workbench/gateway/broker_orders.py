"""The broker's own record of every order: who placed it, where it stands, which orders it belongs with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from enum import StrEnum
from math import nan
from typing import Any

from workbench.gateway.books import MICRO
from workbench.gateway.tickets import OrderView, Ticket


class Stage(StrEnum):
    """How far an order has come."""

    UNTRANSMITTED = "untransmitted"
    WAITING = "waiting"
    """A child whose parent has not filled."""
    LOCATING = "locating"
    """A short sale whose shares are looked for."""
    SENT = "sent"
    DONE = "done"


class State(StrEnum):
    """An order's status as TWS spells it."""

    PENDING_SUBMIT = "PendingSubmit"
    PENDING_CANCEL = "PendingCancel"
    PRE_SUBMITTED = "PreSubmitted"
    SUBMITTED = "Submitted"
    FILLED = "Filled"
    CANCELLED = "Cancelled"
    API_CANCELLED = "ApiCancelled"
    INACTIVE = "Inactive"


@dataclass(slots=True)
class BrokerOrder:
    """`value` and `commission` in millionths of USD (`charged`: whether any was said yet); times UTC ns."""

    client_id: int
    perm_id: int
    ticket: Ticket
    placed_at: int
    parent_perm_id: int = 0
    stage: Stage = Stage.UNTRANSMITTED
    status: State = State.PENDING_SUBMIT
    filled: int = 0
    value: int = 0
    last_price: float = 0.0
    commission: int = 0
    charged: bool = False
    added: int = 0
    why_held: str = ""
    completed_at: int = 0
    completed_status: str = ""
    acknowledged: bool = False
    """The exchange has it."""
    refused_cancel: bool = False
    """A cancel of this done order was answered once."""

    @property
    def reference(self) -> str:
        """Its name at the exchange."""
        return str(self.perm_id)

    @property
    def remaining(self) -> int:
        return int(self.ticket.quantity) - self.filled

    @property
    def open(self) -> bool:
        return self.stage is not Stage.DONE

    @property
    def group(self) -> tuple[int, str]:
        """Its one-cancels-all group: groups belong to a client."""
        return self.client_id, self.ticket.oca_group

    @property
    def average_price(self) -> float:
        """USD; 0 while nothing is filled."""
        return self.value / self.filled / MICRO if self.filled else 0.0

    def view(self) -> OrderView:
        """What it looks like from outside now."""
        return OrderView(
            client_id=self.client_id,
            perm_id=self.perm_id,
            ticket=self.ticket,
            status=str(self.status),
            filled=self.filled,
            remaining=self.remaining,
            average_price=self.average_price,
            last_price=self.last_price,
            commission=self.commission / MICRO if self.charged else nan,
            why_held=self.why_held,
            parent_perm_id=self.parent_perm_id,
            placed_at=self.placed_at,
            completed_at=self.completed_at,
            completed_status=self.completed_status,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values; NaN becomes None."""
        plain = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "ticket"}
        ticket = {f.name: _plain(getattr(self.ticket, f.name)) for f in fields(self.ticket)}
        return {**plain, "stage": str(self.stage), "status": str(self.status), "ticket": ticket}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> BrokerOrder:
        raw: dict[str, Any] = {name: nan if value is None else value for name, value in data["ticket"].items()}
        raw["algo_params"] = tuple((tag, value) for tag, value in raw["algo_params"])
        stage, status = Stage(data["stage"]), State(data["status"])
        return cls(**{**data, "ticket": Ticket(**raw), "stage": stage, "status": status})


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [list(pair) for pair in value]
    return None if value != value else value


@dataclass(slots=True)
class OrderRegister:
    """Every order of the day and every open one, by permId and by its client's number."""

    by_perm_id: dict[int, BrokerOrder] = field(default_factory=dict)
    by_client: dict[tuple[int, int], BrokerOrder] = field(default_factory=dict)  # (client_id, order_id) -> order
    last_id: dict[int, int] = field(default_factory=dict)  # client_id -> the highest order id it ever used
    bound: int = 0
    """Orders entered by hand that were given a number."""
    _open: dict[int, BrokerOrder] = field(default_factory=dict)  # permId -> order that was open when last looked

    def add(self, order: BrokerOrder) -> None:
        """Know `order`; a number of 0 (entered by hand) is nobody's."""
        number = order.ticket.order_id
        self.by_perm_id[order.perm_id] = self._open[order.perm_id] = order
        if number:
            self.by_client[order.client_id, number] = order
        if number > 0:
            self.last_id[order.client_id] = max(number, self.last_id.get(order.client_id, 0))

    def next_bound(self) -> int:
        """A number below 0, never used before, for an order that was entered by hand."""
        self.bound += 1
        return -self.bound

    def find(self, client_id: int, order_id: int) -> BrokerOrder | None:
        """The order with that number of that client."""
        return self.by_client.get((client_id, order_id))

    def open(self) -> list[BrokerOrder]:
        """Orders that are not done, oldest first."""
        self._open = {perm_id: o for perm_id, o in self._open.items() if o.open}
        return list(self._open.values())

    def children(self, parent: BrokerOrder) -> list[BrokerOrder]:
        """Open orders attached to `parent`."""
        return [o for o in self._open.values() if o.open and o.parent_perm_id == parent.perm_id]

    def partners(self, order: BrokerOrder) -> Iterator[BrokerOrder]:
        """The other open orders of its one-cancels-all group."""
        if order.ticket.oca_group:
            for other in list(self._open.values()):
                if other.open and other is not order and other.group == order.group:
                    yield other

    def for_sale(self, symbol: str, also: BrokerOrder) -> int:
        """Shares of `symbol` that orders at the exchange and `also` sell; partners of a group sell them once."""
        shares: dict[object, int] = {}  # group, or permId -> shares
        for order in self._open.values():
            sells = order.ticket.symbol == symbol and order.ticket.side < 0
            if sells and (order.stage is Stage.SENT or order is also):
                key = order.group if order.ticket.oca_group else order.perm_id
                shares[key] = max(order.remaining, shares.get(key, 0))
        return sum(shares.values())

    def trim(self) -> list[BrokerOrder]:
        """Forget done orders at the end of a day; returns them."""
        done = [o for o in self.by_perm_id.values() if not o.open]
        for order in done:
            del self.by_perm_id[order.perm_id]
            self.by_client.pop((order.client_id, order.ticket.order_id), None)
        return done
