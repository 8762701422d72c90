"""The types that a live journal holds."""

from __future__ import annotations

from workbench.commands import Command
from workbench.core.bars import Bars
from workbench.engine.modes import Mode
from workbench.engine.snapshots import MarketBatch
from workbench.execution import events, guards, reports
from workbench.execution.ibkr.accounts import AccountKind
from workbench.gateway import events as market_events
from workbench.journal import Codec


def live_codec() -> Codec:
    """The codec of live journals: engine, watchdog, verify and dashboards read with the same."""
    return Codec().extended(
        Bars, MarketBatch, Mode, Command, AccountKind, guards.Held,
        events.Commissioned, events.Corrected,
        market_events.Accepted, market_events.Activated, market_events.Cancelled, market_events.Charged,
        market_events.Filled, market_events.Modified, market_events.Refused, market_events.Rejected,
        reports.AccountReport, reports.CommissionReport, reports.ErrorReport, reports.ExecutionReport, reports.Facts,
        reports.Link, reports.LinkReport, reports.OrderReport, reports.OutgoingOrder, reports.PositionReport,
    )  # fmt: skip
