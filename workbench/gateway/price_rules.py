"""Price increments by rule: the smallest step that a price may have, by how high it is.

SEC rule 612 (17 CFR 242.612): orders in US stocks are priced in steps of 0.01 USD at or above 1 USD, and of 0.0001 USD
below. The half-penny step of the amended rule is not modelled.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor, isfinite

from workbench.core.errors import DataError

EPSILON = 1e-6
"""A price this close to the grid, in steps, lies on it."""


@dataclass(frozen=True, slots=True)
class PriceRule:
    """`steps`: (low edge, increment) in USD, ascending; an increment holds from its edge to the next."""

    steps: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        edges = [edge for edge, _ in self.steps]
        if not edges or edges[0] != 0 or edges != sorted(set(edges)) or min(i for _, i in self.steps) <= 0:
            raise DataError(f"price steps {self.steps} must start at 0, ascend, and have increments above 0")

    def increment(self, price: float) -> float:
        """The step in USD that holds at `price`.

        >>> RULE_612.increment(1.0), RULE_612.increment(0.9999)
        (0.01, 0.0001)
        """
        return next((step for edge, step in reversed(self.steps) if price >= edge), self.steps[0][1])

    def conforms(self, price: float) -> bool:
        """Whether `price` lies on the grid.

        >>> RULE_612.conforms(10.01), RULE_612.conforms(10.005), RULE_612.conforms(0.5001)
        (True, False, True)
        """
        if not isfinite(price):
            return False
        ratio = price / self.increment(price)
        return abs(ratio - round(ratio)) < EPSILON

    def rounded(self, price: float, up: bool) -> float:
        """`price` on the grid, the next one up or down; a price on the grid stays.

        >>> RULE_612.rounded(10.004, up=True), RULE_612.rounded(10.006, up=False)
        (10.01, 10.0)
        """
        return to_step(price, self.increment(price), up)


RULE_612 = PriceRule(((0.0, 0.0001), (1.0, 0.01)))


def to_step(price: float, step: float, up: bool) -> float:
    """`price` as a whole number of `step`, the next one up or down; to a millionth of a step it is on it.

    >>> to_step(10.00001, 0.0001, up=True)
    10.0001
    """
    ratio = price / step
    return round((ceil(ratio - EPSILON) if up else floor(ratio + EPSILON)) * step, 10)
