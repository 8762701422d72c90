"""What the guards of every system must know of the account around them."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from workbench.core.clock import Clock
from workbench.core.types import OrderIntent
from workbench.core.units import NS_PER_MINUTE
from workbench.engine.live_tally import LiveTally
from workbench.execution.account_broker import AccountBroker
from workbench.execution.broker import BrokerTimeout, NotConnected
from workbench.execution.live_facts import Margin
from workbench.execution.reports import OutgoingOrder, Quote
from workbench.metrics import Metrics

ASK_AT_ONCE = 8
"""What-ifs in flight."""


class AccountSurroundings:
    """See :class:`~workbench.engine.live_guard.Surroundings`."""

    def __init__(
        self, connection: Any, account: AccountBroker, clock: Clock, metrics: Metrics, tally: LiveTally
    ) -> None:
        self.connection, self.account, self.clock, self.metrics, self.tally = connection, account, clock, metrics, tally

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
        """Orders of the account that may still fill."""
        return self.account.working()

    def orders_last_minute(self) -> int:
        """Orders that were sent within a minute, and those that are about to be."""
        since = self.clock.now() - NS_PER_MINUTE
        return sum(t > since for t in self.tally.sent) + self.account.collected

    def margin(self, growing: tuple[OrderIntent, ...]) -> Margin | None:
        """The broker's what-if for each order; None where it does not answer."""
        asked = [
            OutgoingOrder(0, "", i.symbol, i.side, i.quantity, i.order_type, i.limit_price, i.tif) for i in growing
        ]
        pool = ThreadPoolExecutor(ASK_AT_ONCE)
        try:
            with self.metrics.timed("what-if"):
                answers = list(pool.map(self.connection.what_if, asked))
        except (BrokerTimeout, NotConnected):
            return None
        finally:
            pool.shutdown(cancel_futures=True)  # one that is not answered is enough: the others are not waited for
        return Margin.of_orders(self.account.initial_margin, answers)
