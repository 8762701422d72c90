"""Which systems an order of the account belongs to, and every fill, cost and end of it dealt out to them.

A record is made first (`split`: nothing changes), journaled, and then booked (`book`); a restart books the same records
again. So what a system was given can never differ from what the journal says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from workbench.core.types import Fill, OrderIntent
from workbench.execution.events import Commissioned, Corrected, LiveEvent
from workbench.execution.executions import revision
from workbench.execution.netting import Cross, Share, split_money, split_shares
from workbench.execution.records import build, flat
from workbench.gateway.events import Accepted, Cancelled, Filled, Rejected

NAN = float("nan")
Dealt = tuple[tuple[str, LiveEvent], ...]  # (system, its event)
Booking = tuple[str, dict[str, Any]]  # (kind, payload) of a journal entry


@dataclass(slots=True)
class Part:
    """What a system has in an order of the account; `filled` of `quantity` shares."""

    system: str
    intent: OrderIntent
    quantity: int
    filled: int = 0

    @property
    def remaining(self) -> int:
        return max(self.quantity - self.filled, 0)

    @property
    def left(self) -> OrderIntent:
        """What may still fill of it."""
        return replace(self.intent, quantity=self.remaining)


class Dealer:
    """The parts of every order of the account."""

    def __init__(self) -> None:
        self.parts: dict[str, tuple[Part, ...]] = {}  # order_ref of the account -> its parts
        self.parent: dict[tuple[str, str], str] = {}  # (system, its order_ref) -> order_ref of the account
        self.used: set[tuple[str, str]] = set()  # (system, its order_ref) that were ever sent or crossed
        self._split: dict[str, tuple[int, ...]] = {}  # name of an execution -> shares of each part
        self._crossed: set[str] = set()  # execIds of crossings that were booked

    def add(self, order_ref: str, shares: Sequence[Share]) -> None:
        """A new order of the account."""
        self.parts[order_ref] = tuple(Part(s.system, s.intent, s.quantity) for s in shares)
        for s in shares:
            self.parent[s.system, s.intent.order_ref] = order_ref
            self.used.add((s.system, s.intent.order_ref))

    def split(self, event: Filled | Commissioned | Corrected) -> Booking:
        """The journal entry that deals `event` out."""
        if isinstance(event, Filled):
            return "fill", self._fill(event)
        if isinstance(event, Commissioned):
            return "commission", self._commission(event)
        return "correction", self._correction(event)

    def crossings(self, cross: Cross, time: int) -> tuple[Booking, ...]:
        """The journal entries of systems trading with one another: fills without commission, one for each system."""
        self.used |= {(share.system, share.intent.order_ref) for share in cross.shares}
        return tuple(self._crossing(cross, share, time) for share in cross.shares)

    def book(self, kind: str, payload: Mapping[str, Any]) -> Dealt:
        """What the systems get from a journal entry made by `split` or `crossings`."""
        if kind == "commission":
            p = payload
            return tuple(
                (s["system"], Commissioned(s["order_ref"], p["exec_id"], p["symbol"], s["amount"], p["time"]))
                for s in p["shares"]
                if s["amount"]
            )
        return self._book_correction(payload) if kind == "correction" else self._book_fill(payload)

    def pass_on(self, event: Accepted | Cancelled | Rejected) -> Dealt:
        """The beginning or the end of an order of the account for each system that still waits for shares of it."""
        return tuple((p.system, _told(event, p)) for p in self.parts[event.order_ref] if p.remaining)

    # ---- making records -----------------------------------------------------------------------------------------

    def _fill(self, event: Filled) -> dict[str, Any]:
        parts, fill = self.parts[event.order_ref], event.fill
        given = _more(fill.quantity, parts)
        shares = [
            {"system": p.system, "order_ref": p.intent.order_ref, "quantity": q, "remaining": max(p.remaining - q, 0)}
            for p, q in zip(parts, given)
        ]
        return {"order_ref": event.order_ref, "fill": flat(fill), "remaining": event.remaining, "internal": False,
                "shares": shares}  # fmt: skip

    def _crossing(self, cross: Cross, share: Share, time: int) -> Booking:
        i = share.intent
        exec_id = f"{cross.cross_ref}-{i.order_ref}.01"
        price = cross.price
        fill = Fill(exec_id, cross.cross_ref, cross.symbol, i.side, share.quantity, price, 0.0, time, price)
        left = i.quantity - share.quantity
        dealt = {"system": share.system, "order_ref": i.order_ref, "quantity": share.quantity, "remaining": left}
        ref = cross.cross_ref
        return "fill", {"order_ref": ref, "fill": flat(fill), "remaining": 0, "internal": True, "shares": [dealt]}

    def _commission(self, event: Commissioned) -> dict[str, Any]:
        parts = self.parts[event.order_ref]
        weights = self._split.get(revision(event.exec_id)[0], ())
        amounts = split_money(event.amount, weights if any(weights) else [p.quantity for p in parts])
        shares = [{"system": p.system, "order_ref": p.intent.order_ref, "amount": a} for p, a in zip(parts, amounts)]
        return {**flat(event), "shares": shares}

    def _correction(self, event: Corrected) -> dict[str, Any]:
        parts = self.parts[event.order_ref]
        had = self._split[revision(event.before.exec_id)[0]]
        more = event.after.quantity - event.before.quantity
        if more < 0:
            has = split_shares(event.after.quantity, had)
        else:
            has = tuple(a + b for a, b in zip(had, _more(more, parts)))
        shares = [
            {"system": p.system, "order_ref": p.intent.order_ref, "before": a, "after": b}
            for p, a, b in zip(parts, had, has)
        ]
        return {**flat(event), "shares": shares}

    # ---- booking them -------------------------------------------------------------------------------------------

    def _book_fill(self, payload: Mapping[str, Any]) -> Dealt:
        fill, shares = build(Fill, payload["fill"]), payload["shares"]
        if payload["internal"]:
            self._crossed.add(fill.exec_id)
        else:
            self._split[revision(fill.exec_id)[0]] = tuple(s["quantity"] for s in shares)
            for part, s in zip(self.parts[payload["order_ref"]], shares):
                part.filled += s["quantity"]
        return tuple(
            (s["system"], Filled(_part_of(fill, s, s["quantity"]), s["remaining"], NAN, NAN))
            for s in shares
            if s["quantity"]
        )

    def _book_correction(self, payload: Mapping[str, Any]) -> Dealt:
        before, after = build(Fill, payload["before"]), build(Fill, payload["after"])
        shares = payload["shares"]
        self._split[revision(after.exec_id)[0]] = tuple(s["after"] for s in shares)
        for part, s in zip(self.parts[payload["order_ref"]], shares):
            part.filled += s["after"] - s["before"]
        return tuple(
            (s["system"], _correction_of(s, _part_of(before, s, s["before"]), _part_of(after, s, s["after"])))
            for s in shares
            if s["before"] or s["after"]
        )

    def booked(self, payload: Mapping[str, Any]) -> bool:
        """Whether this crossing was booked."""
        return build(Fill, payload["fill"]).exec_id in self._crossed


def _more(quantity: int, parts: Sequence[Part]) -> tuple[int, ...]:
    """`quantity` more shares for the parts: up to what each waits for; what is beyond that by their size.

    More than was ordered can come from an order that was doubled at the broker. It is our trade, so a system gets it:
    it then sees the position and trades it away.
    """
    waiting = [p.remaining for p in parts]
    within = min(quantity, sum(waiting))
    given = split_shares(within, waiting) if within else (0,) * len(parts)
    beyond = split_shares(quantity - within, [p.quantity for p in parts])
    return tuple(a + b for a, b in zip(given, beyond))


def _part_of(fill: Fill, share: Mapping[str, Any], quantity: int) -> Fill:
    return replace(fill, order_ref=share["order_ref"], quantity=quantity)


def _correction_of(share: Mapping[str, Any], before: Fill, after: Fill) -> Corrected:
    return Corrected(share["order_ref"], after.symbol, before, after, after.time)


def _told(event: Accepted | Cancelled | Rejected, part: Part) -> LiveEvent:
    ref = part.intent.order_ref
    if isinstance(event, Accepted):
        return replace(event, order_ref=ref)
    if isinstance(event, Rejected) and not part.filled and part.quantity == part.intent.quantity:
        return replace(event, order_ref=ref)
    return Cancelled(ref, event.symbol, event.time, part.remaining, event.reason)
