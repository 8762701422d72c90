"""What happens to requests between the socket and their answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from workbench.gateway.hub import Client
from workbench.gateway.scenarios import broker_faults
from workbench.gateway.translation import status_frame, ticket_of
from workbench.gateway.wire import messages as m
from workbench.gateway.wire import replies

if TYPE_CHECKING:
    from workbench.gateway.scenarios.injector import Context, Injector


@dataclass(slots=True, eq=False)
class Guard:
    """`effect` (drop, delay, refuse, hang_up, false_cancel, double) on requests of `kinds`, `left` times, of the
    clients `only` (empty: of all)."""

    effect: str
    kinds: tuple[type[m.Request], ...]
    left: int = 1
    seconds: float = 0.0
    code: int = 0
    text: str = ""
    only: frozenset[Client] = frozenset()

    def takes(self, client: Client, request: m.Request) -> bool:
        """Whether it is about this request."""
        return self.left > 0 and isinstance(request, self.kinds) and (not self.only or client in self.only)

    def meet(self, injector: Injector, context: Context, request: m.Request, answer: Callable[[], None]) -> None:
        """What becomes of `request`."""
        client = context.client
        assert client is not None
        match self.effect:
            case "delay":
                injector.later(self.seconds, lambda: injector.answer(request, answer))
            case "refuse":
                number = context.order_id if isinstance(request, m.PlaceOrder | m.CancelOrder) else context.request_id
                client.send(replies.error(number, self.code, self.text))
            case "hang_up":
                client.send = lambda _: None
                injector.answer(request, answer)
                injector.hang_up_on(client)
            case "false_cancel":
                _false_cancel(injector, context, self.seconds)
            case "double" if isinstance(request, m.PlaceOrder) and context.order is not None:
                ticket = ticket_of(request.order_id, request.contract, request.order)
                broker_faults.double(injector.hub, context.order, ticket)


def _false_cancel(injector: Injector, context: Context, seconds: float) -> None:
    """Tell the client that its order is cancelled, and fill it later all the same."""
    client, order = context.client, context.order
    if client is None or order is None:
        return
    view = order.view()
    told = replace(view, status="Cancelled")
    client.send(status_frame(told))
    client.send(replies.error(context.order_id, 202, "Order Canceled - reason:"))
    injector.later(seconds, lambda: broker_faults.fill(injector.hub, order))


def contract_symbol(request: Any) -> str:
    """The symbol that a request is about; empty if none."""
    contract = getattr(request, "contract", None)
    return contract.symbol if contract is not None else ""
