"""Orders on their way through the broker: transmission, brackets, groups, checks, and what clients are told.

Requests come from clients (`place`, `cancel`); what happens comes from the matching engine, event by event and at once
(`heard`). Every change of an order is said as TWS says it: openOrder, then orderStatus.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from workbench.gateway.broker_orders import BrokerOrder, OrderRegister, Stage, State
from workbench.gateway.events import Accepted, Activated, Cancelled, Event, Filled, Modified, Refused, Rejected
from workbench.gateway.matching import MatchingEngine
from workbench.gateway.order_texts import CANCELLED_TEXT, IGNORED_TEXT, LOCATE_TEXT, held_text, rejection_text
from workbench.gateway.tickets import BrokerEvent, OrderMessage, OrderOpened, OrderStatusChanged, Ticket

CANCEL_GROUP, REDUCE_BLOCKED, REDUCE = 1, 2, 3
"""OCA types."""

Check = Callable[[BrokerOrder], str]


class OrderFlow:
    """`unaffordable` and `unborrowable` say why an order may not be sent, or nothing; `booked` takes its fills."""

    def __init__(
        self,
        engine: MatchingEngine,
        register: OrderRegister,
        say: Callable[[BrokerEvent], None],
        unaffordable: Check,
        unborrowable: Check,
        booked: Callable[[BrokerOrder, Filled], None],
        locatable: Callable[[str], bool],
    ) -> None:
        self.engine, self.register, self.say = engine, register, say
        self._unaffordable, self._unborrowable, self._booked = unaffordable, unborrowable, booked
        self._locatable = locatable
        self._fresh: dict[int, BrokerOrder] = {}  # permId -> order at the exchange whose Submitted is not said yet
        self._unbalanced: list[tuple[BrokerOrder, int, int]] = []  # (order, remaining before, after) of OCA type 3
        engine.watch = self.heard

    # ---- from clients -----------------------------------------------------------------------------------------

    def enter(self, order: BrokerOrder) -> None:
        """Take a new order in, and transmit it with its family if it says so."""
        self.register.add(order)
        if order.ticket.transmit:
            self.transmit(order)
        else:
            self._become(order, State.PENDING_SUBMIT)

    def transmit(self, order: BrokerOrder) -> None:
        """Transmit the whole bracket that `order` belongs to, parent first."""
        parent = self.register.by_perm_id.get(order.parent_perm_id, order)
        for member in (parent, *self.register.children(parent)):
            if member.stage is Stage.UNTRANSMITTED:
                self._transmit_one(member)

    def _transmit_one(self, order: BrokerOrder) -> None:
        parent = self.register.by_perm_id.get(order.parent_perm_id)
        if parent is not None and parent.open:
            order.stage = Stage.WAITING
            order.why_held = "child,trigger" if "STP" in order.ticket.order_type else "child"
            self._become(order, State.PRE_SUBMITTED)
        elif parent is not None and not parent.filled:
            self.finish(order, State.CANCELLED, "parent order is gone")
        else:
            self.send(order)

    def send(self, order: BrokerOrder) -> None:
        """Check the order and send it to the exchange, or keep it while shares are located."""
        reason = self._unborrowable(order)
        if reason and self._locatable(order.ticket.symbol):
            if order.stage is not Stage.LOCATING:
                order.stage, order.why_held = Stage.LOCATING, "locate"
                self.message(order, 404, LOCATE_TEXT)
                self._become(order, State.INACTIVE)
            return
        reason = reason or self._unaffordable(order)
        if reason:
            self.reject(order, reason)
            return
        order.stage = Stage.SENT
        order.why_held = "trigger" if "STP" in order.ticket.order_type else ""
        terms = order.ticket.terms(order.reference)
        if order.ticket.outside_rth and not terms.extended:
            self.message(order, 2109, IGNORED_TEXT)
        self._become(order, State.PRE_SUBMITTED)
        self.engine.submit(terms)

    def _locate(self, order: BrokerOrder) -> None:
        """The shares may have been found, or the time of the order be over."""
        if self.engine.over(order.ticket.terms(order.reference), order.placed_at):
            self.finish(order, State.CANCELLED, "shares were not located in time")
        else:
            self.send(order)

    def change(self, order: BrokerOrder, ticket: Ticket) -> None:
        """New terms for an open order; its group and its parent stay what they were."""
        kept = replace(ticket, oca_group=order.ticket.oca_group, oca_type=order.ticket.oca_type)
        if order.stage is Stage.SENT:
            self.engine.modify(kept.terms(order.reference))
            return
        order.ticket = kept
        self._become(order, order.status)
        if order.stage is Stage.UNTRANSMITTED and ticket.transmit:
            self.transmit(order)

    def cancel(self, order: BrokerOrder) -> None:
        """Cancel an open order: at once if only the broker has it, else by asking the exchange."""
        if order.stage is Stage.UNTRANSMITTED:
            self.finish(order, State.API_CANCELLED, "")
        elif order.stage is not Stage.SENT:
            self.finish(order, State.CANCELLED, "")
        else:
            if self.engine.rules.cancel_latency_ns:
                self._become(order, State.PENDING_CANCEL)
            self.engine.cancel(order.reference)

    # ---- from the exchange ------------------------------------------------------------------------------------

    def heard(self, event: Event) -> None:
        """Follow what the engine says of one of our orders."""
        reference = getattr(event, "order_ref", "")
        order = self.register.by_perm_id.get(int(reference)) if reference.isdigit() else None
        if order is None or not order.open:
            return
        if isinstance(event, Filled):
            self._fill(order, event)
        elif isinstance(event, Accepted | Activated):
            self._accept(order, event)
        elif isinstance(event, Modified):
            self._modified(order)
        elif isinstance(event, Cancelled):
            early = event.reason == "requested" and not order.acknowledged
            reason = "" if event.reason == "requested" else event.reason
            self.finish(order, State.API_CANCELLED if early else State.CANCELLED, reason)
        elif isinstance(event, Rejected):
            self.reject(order, event.reason)
        elif isinstance(event, Refused):
            self._refused(order, event)

    def _accept(self, order: BrokerOrder, event: Accepted | Activated) -> None:
        order.acknowledged = True
        working = self.engine.order(order.reference)
        if isinstance(event, Activated):
            order.why_held = ""
        elif working.held:
            self.message(order, 399, held_text(order.ticket, working.starts))
        if working.live:
            self._fresh[order.perm_id] = order

    def _fill(self, order: BrokerOrder, event: Filled) -> None:
        before = order.remaining
        if order.status is not State.PENDING_CANCEL:
            order.status = State.SUBMITTED
        if not event.remaining:
            order.status = State.FILLED
            self._close(order)
            order.completed_status = f"Filled Size: {int(order.ticket.quantity)}"
        self._booked(order, event)
        if order.ticket.oca_group:
            self._rebalance(order, before)
        if not order.open:
            self._release_children(order)

    def _modified(self, order: BrokerOrder) -> None:
        terms = self.engine.order(order.reference).intent
        changed = replace(
            order.ticket,
            quantity=terms.quantity,
            order_type=terms.order_type,
            limit_price=terms.limit_price,
            aux_price=terms.aux_price,
            tif=terms.tif,
            good_till=terms.good_till,
            outside_rth=terms.outside_rth,
        )
        if terms.urgency != order.ticket.urgency:
            params = (("adaptivePriority", terms.urgency),) if terms.urgency else ()
            changed = replace(changed, algo="Adaptive" if terms.urgency else "", algo_params=params)
        order.ticket = changed
        order.why_held = "trigger" if terms.kind.stop and not self.engine.order(order.reference).elected else ""
        self._become(order, order.status)

    def _refused(self, order: BrokerOrder, event: Refused) -> None:
        if event.request == "cancel":
            self.message(order, 10148, f"{rejection_text(order, order.status)} ({event.reason})")
        else:
            self.message(order, 201, f"Order rejected - reason:{event.reason}")
        if order.status is State.PENDING_CANCEL:
            order.status = State.SUBMITTED if self.engine.order(order.reference).live else State.PRE_SUBMITTED
        self._become(order, order.status)

    # ---- groups and brackets ----------------------------------------------------------------------------------

    def _rebalance(self, order: BrokerOrder, before: int) -> None:
        """A member of a group was filled: at once with block, at the next settlement without."""
        if order.ticket.oca_type == REDUCE:
            self._unbalanced.append((order, before, order.remaining))
        else:
            self._reduce_partners(order, before, order.remaining)

    def _reduce_partners(self, order: BrokerOrder, before: int, after: int) -> None:
        """Partners keep the fraction after / before of what remains of them; type 1 leaves them nothing."""
        for partner in list(self.register.partners(order)):
            if not partner.open:  # it went with a parent of the group
                continue
            left = 0 if order.ticket.oca_type == CANCEL_GROUP else partner.remaining * after // before
            self._resize(partner, partner.filled + left, "OCA group")

    def _resize(self, order: BrokerOrder, quantity: int, reason: str) -> None:
        if quantity <= order.filled:
            self._take_back(order, reason)
        elif order.stage is Stage.SENT:
            self.engine.shrink(order.reference, quantity)
        elif quantity < order.ticket.quantity:
            order.ticket = replace(order.ticket, quantity=quantity)
            self._become(order, order.status)

    def _take_back(self, order: BrokerOrder, reason: str) -> None:
        if order.stage is Stage.SENT:
            self.engine.withdraw(order.reference, reason)
        else:
            self.finish(order, State.CANCELLED, reason)

    def _release_children(self, parent: BrokerOrder) -> None:
        """Children go with a parent that is gone; what it has filled activates them, for no more than that."""
        for child in self.register.children(parent):
            if not parent.filled and child.open:
                self._take_back(child, "parent order is gone")
            elif child.stage is Stage.WAITING:
                self._resize(child, min(int(child.ticket.quantity), parent.filled), "parent order is gone")
                self.send(child)

    # ---- what is said -----------------------------------------------------------------------------------------

    def settle(self) -> None:
        """After the engine has run: groups without block, shares that were located, orders that began to work."""
        pending, self._unbalanced = self._unbalanced, []
        for order, before, after in pending:
            self._reduce_partners(order, before, after)
        for order in self.register.open():
            if order.stage is Stage.LOCATING:
                self._locate(order)
        fresh, self._fresh = self._fresh, {}
        for order in fresh.values():
            if order.open and order.status is State.PRE_SUBMITTED and self.engine.order(order.reference).live:
                self._become(order, State.SUBMITTED)

    def reject(self, order: BrokerOrder, reason: str) -> None:
        """Error 201, then Inactive: the order is done."""
        self._close(order)
        self.message(order, 201, f"Order rejected - reason:{reason}")
        order.completed_status = reason
        self._become(order, State.INACTIVE)
        self._release_children(order)

    def finish(self, order: BrokerOrder, state: State, reason: str) -> None:
        """The order is cancelled; `reason` is empty when its owner asked."""
        self._close(order)
        order.completed_status = reason or "Cancelled by Trader"
        self._become(order, state)
        self.message(order, 202, CANCELLED_TEXT + reason)
        self._release_children(order)

    def message(self, order: BrokerOrder, code: int, text: str) -> None:
        """Tell the owner of `order`."""
        self.say(OrderMessage(order.client_id, order.ticket.order_id, code, text))

    def _close(self, order: BrokerOrder) -> None:
        order.stage, order.why_held = Stage.DONE, ""
        order.completed_at = self.engine.clock.now()

    def _become(self, order: BrokerOrder, state: State) -> None:
        order.status = state
        self.say(OrderOpened(order.view()))
        self.say(OrderStatusChanged(order.view()))
