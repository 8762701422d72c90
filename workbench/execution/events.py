"""What only a real broker says about executions after the fact: what they cost, and that they were reported wrongly."""

from __future__ import annotations

from dataclasses import dataclass

from workbench.core.types import Fill
from workbench.gateway.events import Event


@dataclass(frozen=True, slots=True)
class Commissioned:
    """The commission of one execution, `amount` USD: it comes apart from the fill, once for each execution.

    `amount` < 0 where a corrected execution turned out cheaper than what was already booked for it.
    """

    order_ref: str
    exec_id: str
    symbol: str
    amount: float
    time: int


@dataclass(frozen=True, slots=True)
class Corrected:
    """An execution was other than first reported: `after` takes the place of `before`, both of the same order."""

    order_ref: str
    symbol: str
    before: Fill
    after: Fill
    time: int


LiveEvent = Event | Commissioned | Corrected
