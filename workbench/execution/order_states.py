"""The life of an order as named sets of states, and the one table of what may follow what."""

from __future__ import annotations

from enum import StrEnum


class OrderState(StrEnum):
    """What we know about an order. A report may arrive late or twice; the state never moves backwards."""

    INTENDED = "intended"
    """Journaled, not yet sent."""
    SENT = "sent"
    """Written to the gateway; nothing was heard of it."""
    ACCEPTED = "accepted"
    PARTIAL = "partial"
    CANCELLING = "cancelling"
    """A cancel is on its way; the order may still fill."""
    UNKNOWN = "unknown"
    """An acknowledgement or the connection was lost: it may live or not, only the broker's facts can say."""
    FILLED = "filled"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    ABSENT = "absent"
    """Proved never to have arrived."""


OPEN = frozenset(
    {
        OrderState.INTENDED,
        OrderState.SENT,
        OrderState.ACCEPTED,
        OrderState.PARTIAL,
        OrderState.CANCELLING,
        OrderState.UNKNOWN,
    }
)
AT_BROKER = OPEN - {OrderState.INTENDED}
DONE = frozenset({OrderState.FILLED, OrderState.CANCELLED, OrderState.REJECTED, OrderState.ABSENT})
DOUBTED = frozenset({OrderState.UNKNOWN})

# state -> the states that may follow. A fill may overtake the acceptance. Only the broker's facts take an order out of
# doubt into work again, and only they bring back (into doubt) one that was held to be over.
NEXT: dict[OrderState, frozenset[OrderState]] = {
    OrderState.INTENDED: (OPEN | DONE) - {OrderState.INTENDED},
    OrderState.SENT: (OPEN | DONE) - {OrderState.INTENDED, OrderState.SENT},
    OrderState.ACCEPTED: frozenset({OrderState.PARTIAL, OrderState.CANCELLING, OrderState.UNKNOWN})
    | (DONE - {OrderState.ABSENT}),
    OrderState.PARTIAL: frozenset(
        {OrderState.PARTIAL, OrderState.CANCELLING, OrderState.UNKNOWN, OrderState.FILLED, OrderState.CANCELLED}
    ),
    OrderState.CANCELLING: DOUBTED | DONE,
    OrderState.UNKNOWN: frozenset({OrderState.ACCEPTED, OrderState.PARTIAL, OrderState.CANCELLING}) | DONE,
    OrderState.FILLED: frozenset(),
    OrderState.CANCELLED: DOUBTED | {OrderState.FILLED},
    OrderState.REJECTED: DOUBTED,
    OrderState.ABSENT: DOUBTED,
}
