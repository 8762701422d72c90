"""What the guards of every system must know of the account around them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np

from workbench.core.clock import Clock
from workbench.core.types import OrderIntent
from workbench.core.units import NS_PER_MINUTE
from workbench.engine.desk import Desk
from workbench.engine.live_tally import LiveTally
from workbench.execution.account_broker import AccountBroker
from workbench.execution.broker import BrokerTimeout, NotConnected
from workbench.execution.live_facts import LiveFacts, Margin
from workbench.execution.reports import OutgoingOrder, Quote, WhatIf
from workbench.execution.sifting import Most
from workbench.metrics import Metrics

ASK_AT_ONCE = 8
"""What-ifs in flight."""


class AccountSurroundings:
    """See :class:`~workbench.engine.live_guard.Surroundings`."""

    def __init__(
        self, connection: Any, account: AccountBroker, clock: Clock, metrics: Metrics, tally: LiveTally
    ) -> None:
        self.connection, self.account, self.clock, self.metrics, self.tally = connection, account, clock, metrics, tally
        self._rise: dict[str, float] = {}  # order_ref -> USD that a share of it raises the initial margin, as was told

    def now(self) -> int:
        """UTC ns of the clock that is traded by."""
        return self.clock.now()

    def quotes(self) -> Mapping[str, Quote]:
        """The latest quote of each symbol."""
        told: Mapping[str, Quote] = self.connection.quotes()
        return told

    def link_up(self) -> bool:
        """Whether the broker hears us."""
        return bool(self.connection.connected)

    def reconciled(self) -> bool:
        """Whether our books were compared with the broker's since the link came back."""
        return self.account.reconciled

    def clock_skew_s(self) -> float:
        """Our clock less the broker's."""
        return float(self.account.clock_skew_s)

    def open_orders(self) -> tuple[OrderIntent, ...]:
        """Orders of the account that may still fill, and those that are about to be sent."""
        return self.account.working() + self.account.collected

    def orders_last_minute(self) -> int:
        """Orders that were sent within a minute, and those that are about to be."""
        since = self.clock.now() - NS_PER_MINUTE
        return sum(t > since for t in self.tally.sent) + len(self.account.collected)

    def margin(self, growing: tuple[OrderIntent, ...]) -> Margin | None:
        """The broker's what-if for each order, above what is about to be sent; None where it does not answer.

        The broker does not know yet what other systems were granted since orders last left, so it is added: of each
        order as much of the rise that was told for it as its shares are of those that were asked about.
        """
        answers = self._what_if(growing)
        if answers is None:
            return None
        wanted, before = self.account.collected, self.account.initial_margin
        self._rise = {i.order_ref: self._rise[i.order_ref] for i in wanted if i.order_ref in self._rise}
        granted = sum(self._rise[i.order_ref] * i.quantity for i in wanted if i.order_ref in self._rise)
        for i, told in zip(growing, answers):
            self._rise[i.order_ref] = float(np.maximum(told.initial_margin_after - before, 0.0)) / i.quantity
        alone = Margin.of_orders(before, answers)
        return Margin(alone.equity_with_loan, alone.before + granted, alone.after + granted)

    def most(self, desks: Iterable[Desk], system: str, symbol: str) -> Most:
        """What one order of the account may have in a symbol, by the bounds of the guards of one of the systems.

        Shares: the lesser of max_order_notional / price and max_participation of the volume that is expected; NaN where
        the system has no snapshot yet, or the price or the volume is unknown.
        """
        desk = next(d for d in desks if d.system.name == system)
        snapshot, settings = desk.snapshot, desk.system.settings
        if snapshot is None:
            return Most(np.nan)
        i = snapshot.symbols.index(symbol)
        known = replace(LiveFacts.unknown((symbol,)), price=snapshot.price[i : i + 1])
        price = float(known.with_quotes(self.quotes(), self.now()).reference[0])
        volume = settings.validation.max_participation * float(snapshot.expected_volume[0, i])
        lot = desk.system.universe.instruments[i].lot
        return Most(float(np.minimum(settings.guards.max_order_notional / price, volume)), lot)

    def _what_if(self, orders: tuple[OrderIntent, ...]) -> list[WhatIf] | None:
        asked = [OutgoingOrder(0, "", i.symbol, i.side, i.quantity, i.order_type, i.limit_price, i.tif) for i in orders]
        pool = ThreadPoolExecutor(ASK_AT_ONCE)
        try:
            with self.metrics.timed("what-if"):
                return list(pool.map(self.connection.what_if, asked))
        except (BrokerTimeout, NotConnected):
            return None
        finally:
            pool.shutdown(cancel_futures=True)  # one that is not answered is enough: the others are not waited for
