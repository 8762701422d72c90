"""The orders of a decision: those of its :class:`~workbench.execution.order_plan.OrderPlan`, and nothing else."""

from __future__ import annotations

from workbench.config import ExecutionSettings
from workbench.core.arrays import FloatArray
from workbench.core.types import Book, OrderIntent, Snapshot, Target
from workbench.core.universe import Universe
from workbench.execution.order_plan import order_plan, order_reference, wanted_shares

__all__ = ["order_reference", "plan_orders", "wanted_shares"]


def plan_orders(
    target: Target,
    book: Book,
    snapshot: Snapshot,
    settings: ExecutionSettings,
    universe: Universe,
    *,
    system: str = "main",
    reason: str = "target",
    day_weight: FloatArray | None = None,
) -> tuple[OrderIntent, ...]:
    """The orders that take `book` towards `target`; see :func:`~workbench.execution.order_plan.order_plan`."""
    plan = order_plan(target, book, snapshot, settings, universe, system=system, reason=reason, day_weight=day_weight)
    return plan.intents
