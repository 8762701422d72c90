"""The embedded market's constants: what is drawn once per symbol, and the shape of a day.

Calibrated to figures measured on US stocks (docs/guides/data.md, "The embedded market"); no market data is shipped.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workbench.core.arrays import FloatArray, IntArray
from workbench.core.units import BAR_MINUTES, BARS_PER_SESSION, SESSION_MINUTES, SESSIONS_PER_YEAR

TICK = 0.01
SECTOR_TIES = np.array([0.60, 0.50, 0.38, 0.28, 0.22, 0.16, 0.12, 0.08])
"""Correlation of two symbols of each sector once the market is taken out."""

# (5-minute bar of the day, value): volatility relative to the day's average, volume relative to the day's mean bar,
# spread relative to midday. Linear between the knots.
_VOLATILITY = ((0, 3.60), (1, 2.17), (2, 1.90), (3, 1.77), (4, 1.58), (5, 1.43), (8, 1.25), (12, 1.12), (18, 1.00),
               (24, 0.88), (30, 0.77), (40, 0.69), (50, 0.64), (60, 0.60), (63, 0.58), (66, 0.63), (71, 0.63),
               (75, 0.70), (76, 1.01), (77, 0.98))  # fmt: skip
_VOLUME = ((0, 4.95), (1, 2.10), (2, 1.84), (4, 1.58), (6, 1.50), (9, 1.24), (13, 1.07), (18, 0.98), (24, 0.86),
           (30, 0.74), (36, 0.67), (44, 0.62), (51, 0.60), (60, 0.66), (65, 0.70), (70, 0.83), (72, 0.98),
           (74, 1.12), (75, 1.32), (76, 2.20), (77, 5.60))  # fmt: skip
_SPREAD = ((0, 3.10), (1, 2.30), (3, 1.70), (8, 1.28), (16, 1.08), (30, 1.00), (60, 0.95), (72, 0.82), (75, 0.60),
           (77, 0.50))  # fmt: skip
_FIRST_BAR = np.array([1.60, 1.05, 0.88, 0.72, 0.60])  # the five minutes of the opening bar, before normalisation


@dataclass(frozen=True, slots=True)
class MarketModel:
    """Constants of the process. Times in minutes, half-lives in minutes or sessions, sigmas in natural logs.

    Latent alphas are AR(1) of unit variance and independent between symbols: `tau_fast`, `tau_slow` minutes (drawn
    afresh each session), `day_phi` per session. Order flow per minute, in units of the expected volume times
    `flow_scale`, is ``flow_return * return / usual sigma + flow_fast * fast + flow_slow * slow + noise``; half the log
    ratio of the queues at a minute's end is ``queue_fast * fast + queue_slow * slow + noise``; the log volume of a
    session moves with ``day_volume * day alpha``.
    """

    ic: float
    overnight_share: float = 0.32
    gap_nu: float = 2.9
    # alpha: loadings in minute sigmas at an ic of .03, scaled with ic
    tau_fast: float = 4.0
    tau_slow: float = 60.0
    day_phi: float = 0.9
    fast_load: float = 0.0177
    slow_load: float = 0.0070
    day_ic: float = 0.040
    # order flow and queues
    flow_scale: float = 0.3
    flow_return: float = 0.80
    flow_fast: float = 0.40
    flow_slow: float = 0.18
    flow_noise: float = 0.52
    queue_fast: float = 0.60
    queue_slow: float = 0.25
    queue_noise: float = 0.45
    # log volatility of a session: a slow and a quick AR(1), each with a part common to all symbols
    vol_sd: float = 0.31
    vol_slow_phi: float = 0.97
    vol_slow_share: float = 0.60
    vol_quick_phi: float = 0.50
    vol_common: float = 0.45
    # activity within a session: three parts of log volatility with these half-lives and deviations
    activity_halflives: tuple[float, ...] = (2.0, 15.0, 90.0)
    activity_sds: tuple[float, ...] = (0.24, 0.22, 0.16)
    activity_common: float = 0.30
    innovation_nu: float = 6.0
    # volume
    volume_day_sd: float = 0.24
    volume_slow_phi: float = 0.985
    volume_slow_sd: float = 0.20
    volume_on_vol: float = 0.80
    volume_on_activity: float = 1.1
    volume_on_return: float = 0.70
    volume_minute_sd: float = 0.40
    volume_bar_sd: float = 0.25
    volume_bar_halflife: float = 10.0
    volume_centre: float = 0.05
    day_volume: float = 0.28
    # quotes and prints
    spread_noise: float = 0.22
    side_on_return: float = 0.10
    side_persistence: float = 0.35

    @property
    def strength(self) -> float:
        """Factor on every alpha loading: 1 at an ic of .03."""
        return self.ic / 0.03

    @property
    def phi_fast(self) -> float:
        """AR(1) coefficient of the fast alpha per minute."""
        return float(np.exp(-1 / self.tau_fast))

    @property
    def phi_slow(self) -> float:
        """AR(1) coefficient of the slow alpha per minute."""
        return float(np.exp(-1 / self.tau_slow))

    @property
    def day_load(self) -> float:
        """Drift of a minute, in minute sigmas, per unit of the day's alpha."""
        intraday = 1 - self.overnight_share
        return self.strength * self.day_ic * float(np.sqrt(intraday / SESSION_MINUTES))


@dataclass(frozen=True, slots=True)
class Shape:
    """The shape of one session of `minutes`: (minutes,) arrays.

    `volatility` has mean square 1 over a full day, `volume` sums to 1 over a full day, `spread` is 1 at midday.
    An early close keeps the first and the last half of its minutes and leaves the middle of the day out.
    """

    volatility: FloatArray
    volume: FloatArray
    spread: FloatArray

    @classmethod
    def of(cls, minutes: int) -> Shape:
        """The shape of a session of `minutes` (390, or 210 on an early close)."""
        head = minutes // 2
        kept = np.r_[0:head, SESSION_MINUTES - (minutes - head) : SESSION_MINUTES]
        volatility = _minutes(_VOLATILITY, _FIRST_BAR)
        volume = _minutes(_VOLUME, _FIRST_BAR)
        spread = np.interp(np.arange(SESSION_MINUTES) / BAR_MINUTES - 0.4, *zip(*_SPREAD))
        volatility /= np.sqrt(np.mean(volatility**2))
        return cls(volatility[kept], (volume / volume.sum())[kept], spread[kept])


def _minutes(knots: tuple[tuple[int, float], ...], first: FloatArray) -> FloatArray:
    """(390,) knots of 5-minute bars as minutes: flat within a bar, but for the opening one."""
    bars = np.interp(np.arange(BARS_PER_SESSION), *zip(*knots))
    out = np.repeat(bars, BAR_MINUTES)
    out[:BAR_MINUTES] *= first / np.sqrt(np.mean(first**2))
    return out


@dataclass(frozen=True, slots=True)
class Traits:
    """What a symbol is, drawn once: (N,) each.

    `sigma_day`: typical sigma of a whole day; `market`, `own`: loadings; `sector_load`; `sector` index; `price` at the
    first intraday session; `shares` a day; `spread_bps` at midday; `depth` shares at the best quote.
    """

    sigma_day: FloatArray
    market: FloatArray
    sector_load: FloatArray
    own: FloatArray
    sector: IntArray
    price: FloatArray
    shares: FloatArray
    spread_bps: FloatArray
    depth: FloatArray

    def sigma_minute(self, model: MarketModel) -> FloatArray:
        """(N,) typical sigma of one minute, averaged over the day."""
        return self.sigma_day * np.sqrt((1 - model.overnight_share) / SESSION_MINUTES)


def draw_traits(n: int, sectors: int, rng: np.random.Generator) -> Traits:
    """Draw the traits of `n` symbols in `sectors` sectors."""
    sector = np.arange(n) % sectors
    annual = np.exp(rng.normal(np.log(0.41), 0.40, n))
    market = np.clip(rng.normal(0.18, 0.05, n), 0.05, 0.32)
    tightness = SECTOR_TIES[sector]
    within = np.clip(rng.normal(tightness, 0.04, n), 0.03, 0.5) * (1 - market)
    price = np.clip(np.exp(rng.normal(np.log(110), 0.7, n)), 30, 600)
    spread = np.clip(np.exp(rng.normal(np.log(3.2), 0.50, n)), 0.8, 12)
    shares = np.exp(rng.normal(np.log(6e8), 0.8, n)) / price
    bound = 1e4 * TICK / price / spread  # above 1: the tick is wider than the spread that the symbol wants
    depth = 600 * np.exp(rng.normal(0, 0.3, n)) * np.maximum(1, 3 * bound) ** 1.5
    return Traits(
        annual / np.sqrt(SESSIONS_PER_YEAR),
        np.sqrt(market),
        np.sqrt(within),
        np.sqrt(1 - market - within),
        sector,
        price,
        shares,
        spread,
        depth,
    )
