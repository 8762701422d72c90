"""What an order meets: the standing quote, and the volume that trades while it works.

Walking beyond the displayed size costs, at x shares already taken from a window of V shares, the *marginal* impact

    m(x) = (1 + e) * k3 * sigma_1d * (x / V)^e          decimal of the mid

so that the average over a whole order of q shares is k3 * sigma_1d * (q / V)^e: the cost model's own formula
(:func:`workbench.fees.impact`, Almgren et al. 2005). Displayed shares trade at the touch instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite, isnan


@dataclass(frozen=True, slots=True)
class Quote:
    """Best bid and ask in USD and the shares displayed there; NaN price = no quote, NaN size = nothing displayed."""

    bid: float
    ask: float
    bid_size: float
    ask_size: float
    time: int

    @property
    def valid(self) -> bool:
        """Whether it can be traded on: both sides there, positive, and not crossed."""
        return isfinite(self.bid) and isfinite(self.ask) and 0 < self.bid <= self.ask

    @property
    def mid(self) -> float:
        return (self.bid + self.ask) / 2

    def touch(self, side: int) -> float:
        """The price that a taker on `side` pays first: the ask for +1, the bid for -1."""
        return self.ask if side > 0 else self.bid

    def displayed(self, side: int) -> int:
        """Whole shares displayed against a taker on `side`."""
        size = self.ask_size if side > 0 else self.bid_size
        return 0 if isnan(size) else int(size)


NO_QUOTE = Quote(float("nan"), float("nan"), float("nan"), float("nan"), 0)


@dataclass(slots=True)
class Window:
    """The volume that trades in one symbol until `until`, and how much of it we took (`used` shares).

    `volume` shares and `sigma_1d` may be NaN: then only displayed shares can be had, and walking is refused.
    """

    volume: float
    sigma_1d: float
    until: int
    used: int = 0

    def room(self, max_participation: float) -> float:
        """Shares that may still be taken under `max_participation` of the volume; +inf where the volume is unknown."""
        if isnan(self.volume):
            return float("inf")
        return max(0.0, max_participation * self.volume - self.used)


@dataclass(frozen=True, slots=True)
class ImpactCurve:
    """`k3` and `exponent` e of the impact formula."""

    k3: float
    exponent: float

    def average(self, window: Window, quantity: float, sigma_1d: float) -> float:
        """Mean marginal impact of the next `quantity` > 0 shares: (F(u + q) - F(u)) / q, F(x) = k3 s x (x/V)^e."""
        v, e = window.volume, self.exponent
        u, x = window.used / v, (window.used + quantity) / v
        return float(self.k3 * sigma_1d * (x ** (1 + e) - u ** (1 + e)) / (x - u))

    def reach(self, window: Window, rate: float, sigma_1d: float) -> float:
        """Shares that can still be taken before the marginal impact passes `rate`; +inf without impact."""
        steep = (1 + self.exponent) * self.k3 * sigma_1d
        if steep <= 0:
            return float("inf")
        return max(0.0, window.volume * float((max(rate, 0.0) / steep) ** (1 / self.exponent)) - window.used)
