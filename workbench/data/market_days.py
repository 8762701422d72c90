"""The embedded market at the grain of a session: volatility, alpha, activity and gaps of every day."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter

from workbench.core.arrays import FloatArray
from workbench.data.market_model import MarketModel, Traits


@dataclass(frozen=True, slots=True)
class Days:
    """(S, N) each. `volatility`: factor on the usual sigma; `alpha`: known from session s on, drives session s + 1;
    `log_activity`: log of the session's volume over the usual; `gap`: log return from the last close to the open."""

    volatility: FloatArray
    alpha: FloatArray
    log_activity: FloatArray
    gap: FloatArray

    def drift(self) -> FloatArray:
        """(S, N) alpha that drives each session: that of the session before (0 on the first)."""
        return np.vstack([np.zeros_like(self.alpha[:1]), self.alpha[:-1]])


def ar1(phi: float, shocks: FloatArray, axis: int = 0) -> FloatArray:
    """Stationary AR(1) of unit variance from standard normal `shocks` along `axis`; the first shock is the start."""
    scaled = np.moveaxis(shocks, axis, 0) * np.sqrt(1 - phi**2)
    scaled[0] /= np.sqrt(1 - phi**2)
    return np.moveaxis(lfilter([1.0], [1.0, -phi], scaled, axis=0), 0, axis)


def mixed(common: float, shared: FloatArray, own: FloatArray) -> FloatArray:
    """Unit-variance mixture: a share `common` of the variance is the same for every symbol."""
    return np.sqrt(common) * shared + np.sqrt(1 - common) * own


def student(rng: np.random.Generator, nu: float, shape: tuple[int, ...]) -> FloatArray:
    """Student t of unit variance."""
    return rng.standard_t(nu, shape) * np.sqrt((nu - 2) / nu)


def draw_days(sessions: int, traits: Traits, model: MarketModel, rng: np.random.Generator) -> Days:
    """Draw `sessions` days for every symbol."""
    n = len(traits.price)
    log_vol = model.vol_sd * _log_volatility(sessions, n, model, rng)
    volatility = np.exp(log_vol - model.vol_sd**2)  # mean square 1
    alpha = ar1(model.day_phi, rng.standard_normal((sessions, n)))
    log_activity = (
        model.volume_on_vol * log_vol
        + model.day_volume * alpha
        + model.volume_slow_sd * ar1(model.volume_slow_phi, rng.standard_normal((sessions, n)))
        + model.volume_day_sd * rng.standard_normal((sessions, n))
    )
    days = Days(volatility, alpha, log_activity, np.zeros((sessions, n)))
    noise = (
        traits.market * student(rng, model.gap_nu, (sessions, 1))
        + traits.sector_load * student(rng, model.gap_nu, (sessions, int(traits.sector.max()) + 1))[:, traits.sector]
        + traits.own * student(rng, model.gap_nu, (sessions, n))
    )
    sigma = traits.sigma_day * volatility
    drift = np.vstack([np.zeros((1, n)), days.drift()[:-1]])  # the night after session s is driven as session s was
    share = model.overnight_share
    gap = sigma * (np.sqrt(share) * noise + share * model.strength * model.day_ic * drift) - share * sigma**2 / 2
    return Days(volatility, alpha, log_activity, gap)


def _log_volatility(sessions: int, n: int, model: MarketModel, rng: np.random.Generator) -> FloatArray:
    """(S, N) unit-variance log volatility: a slow and a quick AR(1), each partly common."""
    out = np.zeros((sessions, n))
    for phi, share in ((model.vol_slow_phi, model.vol_slow_share), (model.vol_quick_phi, 1 - model.vol_slow_share)):
        shared = ar1(phi, rng.standard_normal((sessions, 1)))
        own = ar1(phi, rng.standard_normal((sessions, n)))
        out += np.sqrt(share) * mixed(model.vol_common, shared, own)
    return out


@dataclass(frozen=True, slots=True)
class DailyPath:
    """(S, N) log returns from open: `high`, `low`, `close` relative to the session's open; `volume` in shares."""

    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume: FloatArray


def daily_path(days: Days, traits: Traits, model: MarketModel, rng: np.random.Generator) -> DailyPath:
    """The sessions without intraday bars, drawn at their own grain with the variance of the intraday process."""
    s, n = days.gap.shape
    sigma = traits.sigma_day * days.volatility * np.sqrt(1 - model.overnight_share)
    noise = (
        traits.market * student(rng, 6.0, (s, 1))
        + traits.sector_load * student(rng, 6.0, (s, int(traits.sector.max()) + 1))[:, traits.sector]
        + traits.own * student(rng, 6.0, (s, n))
    )
    drift = np.sqrt(1 - model.overnight_share) * model.strength * model.day_ic * days.drift()
    close = sigma * (noise + drift) - sigma**2 / 2
    high, low = bridge_extremes(np.zeros_like(close), close, sigma, rng)
    surprise = np.log(np.abs(noise) + 0.2)
    log_volume = days.log_activity + 0.12 * (surprise + 0.46) + 0.08 * rng.standard_normal((s, n))
    return DailyPath(high, low, close, traits.shares * np.exp(log_volume))


def bridge_extremes(
    start: FloatArray, end: FloatArray, sigma: FloatArray, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Highest and lowest point of a Brownian bridge between `start` and `end` with deviation `sigma`.

    The law of the maximum is exact: ((a + b) + sqrt((b - a)^2 - 2 sigma^2 log U)) / 2; the two are drawn apart.
    """
    middle, move = start + end, (end - start) ** 2
    variance = 2 * sigma**2
    high = (middle + np.sqrt(move + variance * rng.standard_exponential(end.shape))) / 2
    low = (middle - np.sqrt(move + variance * rng.standard_exponential(end.shape))) / 2
    return high, low
