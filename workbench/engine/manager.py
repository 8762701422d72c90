"""LiveTradingManager: several systems of one account, in one engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from workbench.config import Settings
from workbench.engine.live import EngineClient, end_engine, portfolio_status
from workbench.engine.plan import EnginePlan


class LiveTradingManager:
    """Runs the systems of `configs` (flat dicts or settings) over one account: one planner nets their orders.

    Systems without a name are called system1, system2, ... in their order.
    """

    def __init__(self, configs: Sequence[Mapping[str, Any] | Settings]) -> None:
        self.client = EngineClient(EnginePlan.of(configs))

    @property
    def names(self) -> tuple[str, ...]:
        """The systems, in order."""
        return tuple(s.system.name for s in self.client.plan.systems)

    def start_all(self) -> None:
        """Start the engine with all systems and return at once."""
        self.client.start()

    def stop_all(self) -> None:
        """Cancel orders, keep positions, end the engine; see :func:`~workbench.engine.live.end_engine`."""
        end_engine(self.client)

    def get_all_status(self) -> dict[str, dict[str, Any]]:
        """System -> what `get_portfolio_status` of it would give."""
        status = self.client.status()
        return {name: portfolio_status(status, name) for name in self.names}
