"""How the simulated exchange behaves: latency, impact, participation, auctions."""

from __future__ import annotations

from dataclasses import dataclass

from workbench.core.errors import DataError
from workbench.core.units import NS_PER_MINUTE
from workbench.fees import plan_named


@dataclass(frozen=True, slots=True)
class MatchingRules:
    """How the simulated exchange behaves.

    `plan`: by which commissions are charged, "fixed" or "tiered" (:data:`workbench.fees.PLANS`). `latency_ns` from
    sending to arriving, plus uniform jitter below `jitter_ns`; a request to cancel takes `cancel_latency_ns`.
    `unknown_sigma_1d`: the daily volatility assumed for walking in a symbol without one (a pessimistic assumption of
    the simulator, never shown to a model).

    `price_step` USD: the mean price of walking the book is rounded to it, against the taker; 0 leaves it as it is.
    With trading hours: MOC and LOC orders arrive and change until `close_cutoff_ns` before the close, and in Nasdaq's
    listings still arrive until `nasdaq_cutoff_ns` before it (IBKR's order page: NYSE by 15:50; Nasdaq by 15:55, no
    change after 15:50. That LOC orders have the same times is an assumption). Opening and closing prints are awaited
    for `auction_wait_ns` after the bell; we get at most `max_auction_share` of a print.
    """

    plan: str = "tiered"
    latency_ns: int = 0
    jitter_ns: int = 0
    cancel_latency_ns: int = 0
    k3: float = 0.142
    impact_exponent: float = 0.6
    max_participation: float = 0.05
    unknown_sigma_1d: float = 0.03
    seed: int = 0
    price_step: float = 0.0
    close_cutoff_ns: int = 10 * NS_PER_MINUTE
    nasdaq_cutoff_ns: int = 5 * NS_PER_MINUTE
    auction_wait_ns: int = NS_PER_MINUTE
    max_auction_share: float = 0.1

    def __post_init__(self) -> None:
        plan_named(self.plan)
        for name in ("latency_ns", "jitter_ns", "cancel_latency_ns", "k3", "unknown_sigma_1d", "price_step",
                     "close_cutoff_ns", "nasdaq_cutoff_ns", "auction_wait_ns"):  # fmt: skip
            if not getattr(self, name) >= 0:
                raise DataError(f"MatchingRules.{name} = {getattr(self, name)} must be at least 0")
        for name in ("impact_exponent", "max_participation", "max_auction_share"):
            if not 0 < getattr(self, name) <= 1:
                raise DataError(f"MatchingRules.{name} = {getattr(self, name)} must lie in (0, 1]")
