"""Answers about the account: its values, positions, summaries and P&L, once and as they change."""

from __future__ import annotations

from collections.abc import Collection

from workbench.gateway import refusals
from workbench.gateway.hub import Client, Handlers, Hub
from workbench.gateway.limits import MAX_STANDING, MAX_SUMMARIES
from workbench.gateway.wire import messages as m
from workbench.gateway.wire import replies


class AccountAnswers:
    """Out of the account of `hub`."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub

    def handlers(self) -> Handlers:
        """Message -> what answers it."""
        return {
            m.ReqAccountUpdates: self._updates,
            m.ReqAccountUpdatesMulti: self._multi,
            m.CancelAccountUpdatesMulti: lambda c, r: c.multis.pop(r.request_id, None),
            m.ReqAccountSummary: self._summary,
            m.CancelAccountSummary: lambda c, r: c.summaries.pop(r.request_id, None),
            m.ReqPositions: self._positions,
            m.CancelPositions: lambda c, _: setattr(c, "positions", False),
            m.ReqPnL: self._pnl,
            m.CancelPnL: lambda c, r: c.pnl.discard(r.request_id),
            m.ReqPnLSingle: self._pnl_single,
            m.CancelPnLSingle: lambda c, r: c.pnl_single.pop(r.request_id, None),
        }

    def _updates(self, c: Client, r: m.ReqAccountUpdates) -> None:
        c.account_updates = r.subscribe
        if r.subscribe:
            for frame in self.hub.account_frames():
                c.send(frame)

    def _multi(self, c: Client, r: m.ReqAccountUpdatesMulti) -> None:
        if self._too_many(c, r.request_id, c.multis, MAX_STANDING, "account updates"):
            return
        c.multis[r.request_id] = r
        for frame in self.hub.multi_frames(r):
            c.send(frame)
        c.send(replies.account_update_multi_end(r.request_id))

    def _summary(self, c: Client, r: m.ReqAccountSummary) -> None:
        if self._too_many(c, r.request_id, c.summaries, MAX_SUMMARIES, "account summary"):
            return
        tags = tuple(t.strip() for t in r.tags.split(","))
        c.summaries[r.request_id] = tags
        for frame in self.hub.summary_frames(r.request_id, tags):
            c.send(frame)
        c.send(replies.account_summary_end(r.request_id))

    def _positions(self, c: Client, r: m.ReqPositions) -> None:
        c.positions = True
        for frame in self.hub.position_frames():
            c.send(frame)
        c.send(replies.position_end())

    def _pnl(self, c: Client, r: m.ReqPnL) -> None:
        if self._too_many(c, r.request_id, c.pnl, MAX_STANDING, "P&L"):
            return
        c.pnl.add(r.request_id)
        p = self.hub.brokerage.pnl()
        c.send(replies.pnl(r.request_id, p.daily, p.unrealized, p.realized))

    def _pnl_single(self, c: Client, r: m.ReqPnLSingle) -> None:
        held = {p.con_id: p.symbol for p in self.hub.brokerage.positions()}
        symbol = held.get(r.con_id)
        if symbol is None:
            c.send(refusals.invalid(r.request_id, f"no position in {r.con_id}"))
        elif not self._too_many(c, r.request_id, c.pnl_single, MAX_STANDING, "P&L"):
            c.pnl_single[r.request_id] = symbol
            c.send(self.hub.pnl_single_frame(r.request_id, symbol))

    @staticmethod
    def _too_many(c: Client, request_id: int, standing: Collection[int], limit: int, what: str) -> bool:
        """Whether a client that has `standing` requests may not have another one; it is told."""
        if request_id in standing or len(standing) < limit:
            return False
        c.send(refusals.unprocessed(request_id, f"Maximum number of {what} requests exceeded"))
        return True
