"""From collected wishes to orders on the wire: net, record, then send. Nothing is sent that was not recorded first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from workbench.execution.broker import BrokerTimeout, Connection, NotConnected
from workbench.execution.netting import NetOrder, Netted, Wish, net
from workbench.execution.order_ledger import OrderLedger
from workbench.execution.order_states import OrderState
from workbench.execution.recording import Recorder
from workbench.execution.records import flat
from workbench.execution.reports import OutgoingOrder
from workbench.execution.sifting import Refuse, shrinking
from workbench.execution.working import Touch
from workbench.journal import JournalError

Quoted = Callable[[str], Touch]  # symbol -> its bid and ask


def write_ahead(
    recorder: Recorder,
    number: Callable[[Netted], tuple[tuple[NetOrder, OutgoingOrder], ...]],
    wishes: Sequence[Wish],
    positions: Mapping[str, Mapping[str, int]],
    now: int,
    refuse: Refuse,
    quoted: Quoted,
) -> tuple[Netted, tuple[tuple[NetOrder, OutgoingOrder], ...]]:
    """What is recorded and may now be sent. Where the journal refuses: only what reduces, recorded in the fallback.

    `number` gives the orders their ids; `positions` of each system; `quoted` the market as it is now, recorded with the
    orders for those who ask later what sending them cost. :class:`JournalError` if neither takes it.
    """
    planned = net(wishes)
    numbered = number(planned)
    try:
        recorder.journal.record("orders", now, _payload(planned, numbered, quoted))
        recorder.down = False
    except JournalError as error:
        recorder.down = True
        small = [w for w in wishes if reduces(w, positions.get(w.system, {}))]
        for wish in wishes:
            if wish not in small:
                refuse(wish, f"the journal refuses records ({error}): only what reduces a position is sent")
        planned = net(small, cross=False)
        numbered = number(planned)
        if recorder.fallback is None:
            raise
        if numbered:
            recorder.fallback.record("orders", now, _payload(planned, numbered, quoted))
    return planned, numbered


def reduces(wish: Wish, positions: Mapping[str, int]) -> bool:
    """Whether an order does nothing but bring the system's position closer to zero."""
    return shrinking(wish.intent, positions) == wish.intent.quantity


def place_all(
    connection: Connection,
    ledger: OrderLedger,
    orders: Sequence[OutgoingOrder],
    now: Callable[[], int],
    held: Callable[[], str] = str,
) -> tuple[tuple[str, str], ...]:
    """Send; (order_ref, why) of those that certainly did not leave. An order that may have left counts as sent.

    `held` says before each order why nothing more may leave. An error of another kind goes up to the caller; what was
    not reached by then stays INTENDED.
    """
    unsent: list[tuple[str, str]] = []
    for order in orders:
        if why := held():
            unsent.append((order.order_ref, why))
            continue
        try:
            connection.place(order)
        except NotConnected as error:
            unsent.append((order.order_ref, str(error)))
            continue
        except BrokerTimeout:
            ledger.doubt(order.order_ref, "it may have been written or not", now())
            continue
        if ledger.orders[order.order_ref].state is OrderState.INTENDED:
            ledger.sent(order.order_ref, now())
    return tuple(unsent)


def outgoing(order: NetOrder, order_id: int) -> OutgoingOrder:
    """A net order with its number."""
    o = order
    return OutgoingOrder(
        order_id, o.order_ref, o.symbol, o.side, o.quantity, o.order_type, o.limit_price, o.tif, o.algo, o.priority
    )


def number_orders(
    connection: Connection, ledger: OrderLedger, planned: Netted
) -> tuple[tuple[NetOrder, OutgoingOrder], ...]:
    """Each order with an id that was never used before."""
    above, numbered = ledger.last_order_id, []
    for order in planned.orders:
        above = connection.reserve_order_id(above)
        numbered.append((order, outgoing(order, above)))
    return tuple(numbered)


def _payload(planned: Netted, numbered: Sequence[tuple[NetOrder, OutgoingOrder]], quoted: Quoted) -> dict[str, Any]:
    """`arrival_mid` is the mid at the decision, as intents call it; `quote_at_sending` (bid, ask) as it leaves."""
    orders = [
        {
            "order": flat(sent),
            "decided_at": net_order.decided_at,
            "arrival_mid": flat(net_order.arrival_mid),
            "quote_at_sending": flat(quoted(sent.symbol)),
            "shares": flat(net_order.shares),
        }
        for net_order, sent in numbered
    ]
    return {"orders": orders, "crosses": flat(planned.crosses)}
