"""The embedded market minute by minute: returns, order flow, queues, volume and the prints between bid and ask.

Sessions are independent given their day, so that all sessions of a block and all symbols run at once: arrays are
(D, M, N) over D sessions, M minutes (390; the tail of an early close is empty) and N symbols.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workbench.core.arrays import FloatArray, IntArray
from workbench.core.units import SESSION_MINUTES
from workbench.data.market_days import ar1, bridge_extremes, mixed, student
from workbench.data.market_model import TICK, MarketModel, Shape, Traits


@dataclass(frozen=True, slots=True)
class DayState:
    """What a block's D sessions start from, (D, N): `volatility` factor, `drift` (the alpha that drives the session),
    `log_activity` of the volume; and `minutes` (D,) of each session."""

    minutes: IntArray
    volatility: FloatArray
    drift: FloatArray
    log_activity: FloatArray


@dataclass(frozen=True, slots=True)
class Shapes:
    """(D, M, 1) shapes of the sessions; minutes past an early close are 0 in all of them."""

    volatility: FloatArray
    volume: FloatArray
    spread: FloatArray

    @classmethod
    def of(cls, minutes: IntArray) -> Shapes:
        """Shapes of sessions of `minutes` (D,)."""
        out = cls(*(np.zeros((len(minutes), SESSION_MINUTES, 1)) for _ in range(3)))
        for count in np.unique(minutes):
            day, rows = Shape.of(int(count)), minutes == count
            out.volatility[rows, :count, 0] = day.volatility
            out.volume[rows, :count, 0] = day.volume
            out.spread[rows, :count, 0] = day.spread
        return out


@dataclass(frozen=True, slots=True)
class MinutePath:
    """(D, M, N): log `price` at the minute's end, its `high` and `low`, all relative to the session's open; `noise`,
    the innovation in conditional sigmas; `activity` (log); the signals `flow` and `queue`; the latent alphas `fast` and
    `slow` at the minute's end, which drive the next minute."""

    price: FloatArray
    high: FloatArray
    low: FloatArray
    noise: FloatArray
    activity: FloatArray
    flow: FloatArray
    queue: FloatArray
    fast: FloatArray
    slow: FloatArray


def minute_path(
    state: DayState, shapes: Shapes, traits: Traits, model: MarketModel, rng: np.random.Generator
) -> MinutePath:
    """Draw the minutes of a block.

    log return of minute m = scale * (noise * exp(activity) + alpha known at the end of minute m - 1) - scale^2 / 2.
    """
    shape = (len(state.minutes), SESSION_MINUTES, len(traits.price))
    fast, fast_before = _latent(model.phi_fast, shape, rng)
    slow, slow_before = _latent(model.phi_slow, shape, rng)
    activity = _activity(shape, model, rng)
    noise = _innovations(shape, traits, model, rng)
    move = noise * np.exp(activity)
    move += model.strength * (model.fast_load * fast_before + model.slow_load * slow_before)
    move += model.day_load * state.drift[:, None, :]
    usual = traits.sigma_minute(model) * shapes.volatility
    scale = usual * state.volatility[:, None, :]
    step = scale * move - scale**2 / 2
    price = np.cumsum(step, axis=1)
    high, low = bridge_extremes(price - step, price, scale * np.exp(activity), rng)
    flow = model.flow_return * state.volatility[:, None, :] * move + model.flow_fast * fast + model.flow_slow * slow
    flow += model.flow_noise * rng.standard_normal(shape)
    queue = model.queue_fast * fast + model.queue_slow * slow + model.queue_noise * rng.standard_normal(shape)
    return MinutePath(price, high, low, noise, activity, flow, queue, fast, slow)


def _latent(phi: float, shape: tuple[int, int, int], rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """A unit-variance AR(1) at the END and at the start of each minute, stationary from the open on."""
    d, m, n = shape
    path = ar1(phi, rng.standard_normal((d, m + 1, n)), axis=1)
    return path[:, 1:], path[:, :-1]


def _activity(shape: tuple[int, int, int], model: MarketModel, rng: np.random.Generator) -> FloatArray:
    """(D, M, N) log volatility within the session, centred so that the mean square of its exponential is 1."""
    d, m, _ = shape
    out = np.full(shape, -float(np.sum(np.square(model.activity_sds))))
    for halflife, sd in zip(model.activity_halflives, model.activity_sds):
        phi = 0.5 ** (1 / halflife)
        shared = ar1(phi, rng.standard_normal((d, m, 1)), axis=1)
        out += sd * mixed(model.activity_common, shared, ar1(phi, rng.standard_normal(shape), axis=1))
    return out


def _innovations(
    shape: tuple[int, int, int], traits: Traits, model: MarketModel, rng: np.random.Generator
) -> FloatArray:
    """(D, M, N) unit-variance Student t: market, sector and own part."""
    d, m, _ = shape
    sectors = int(traits.sector.max()) + 1
    out = traits.own * student(rng, model.innovation_nu, shape)
    out += traits.market * student(rng, model.innovation_nu, (d, m, 1))
    out += traits.sector_load * student(rng, model.innovation_nu, (d, m, sectors))[..., traits.sector]
    return out


@dataclass(frozen=True, slots=True)
class Tape:
    """(D, M, N) what a market-data feed would show of each minute: prices in USD, sizes and flow in shares.

    `ofi` is the order-flow imbalance of *all* quote updates inside the minute, of which the quote that stands at its
    end is only the last; it is not the imbalance between consecutive minute quotes, which has the same sign as a rule.
    """

    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume: FloatArray
    bid: FloatArray
    ask: FloatArray
    bid_size: FloatArray
    ask_size: FloatArray
    ofi: FloatArray


def quote_and_print(
    path: MinutePath,
    opening: FloatArray,
    state: DayState,
    shapes: Shapes,
    traits: Traits,
    model: MarketModel,
    rng: np.random.Generator,
) -> Tape:
    """Turn log prices into quotes on the tick and prints at the bid or the ask; `opening` (D, N) log opening mids."""
    base = opening[:, None, :]
    bid, ask = _quotes(np.exp(base + path.price), state, shapes, traits, model, rng)
    up = rng.random(path.price.shape) < 0.5 + model.side_on_return * np.tanh(path.noise)
    close = np.where(up, ask, bid)
    start = _opening_prints(np.exp(opening), bid, ask, up, model, rng)
    half = (ask - bid) / 2
    high = np.maximum(np.maximum(start, close), on_tick(np.exp(base + path.high) + half))
    low = np.minimum(np.minimum(start, close), on_tick(np.exp(base + path.low) - half))
    size = traits.depth * np.exp(rng.normal(0, 0.35, path.price.shape))
    expected = traits.shares * shapes.volume
    return Tape(
        start,
        high,
        np.maximum(low, TICK),
        close,
        _volume(path, expected, state, model, rng),
        bid,
        ask,
        round_lot(size * np.exp(path.queue)),
        round_lot(size * np.exp(-path.queue)),
        np.rint(model.flow_scale * expected * path.flow),
    )


def on_tick(price: FloatArray) -> FloatArray:
    """The nearest whole tick."""
    return np.round(price / TICK) / round(1 / TICK)


def round_lot(size: FloatArray) -> FloatArray:
    """Whole round lots of 100 shares, at least one."""
    return np.maximum(1, np.rint(size / 100)) * 100


def _quotes(
    mid: FloatArray, state: DayState, shapes: Shapes, traits: Traits, model: MarketModel, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Bid and ask on the tick around `mid`: width = base * time of day * sqrt(volatility) * noise, at least a tick."""
    width = 1e-4 * traits.spread_bps * shapes.spread * np.sqrt(state.volatility[:, None, :])
    width = width * mid * np.exp(model.spread_noise * rng.standard_normal(mid.shape))
    ticks = np.maximum(1, np.rint(width / TICK))
    lower = np.maximum(1, np.rint(mid / TICK - ticks / 2))
    per_dollar = round(1 / TICK)
    return lower / per_dollar, (lower + ticks) / per_dollar


def _opening_prints(
    opening: FloatArray, bid: FloatArray, ask: FloatArray, up: np.ndarray, model: MarketModel, rng: np.random.Generator
) -> FloatArray:
    """First print of each minute: at the quote that stood when it began, on the side of the last print more often."""
    out = np.empty_like(bid)
    side = rng.random(bid.shape)
    keep = side < model.side_persistence
    fresh = side < model.side_persistence + (1 - model.side_persistence) / 2
    buy = np.where(keep[:, 1:], up[:, :-1], fresh[:, 1:])
    out[:, 1:] = np.where(buy, ask[:, :-1], bid[:, :-1])
    half = (ask[:, 0] - bid[:, 0]) / 2
    out[:, 0] = on_tick(opening + np.where(side[:, 0] < 0.5, half, -half))
    return out


def _volume(
    path: MinutePath, expected: FloatArray, state: DayState, model: MarketModel, rng: np.random.Generator
) -> FloatArray:
    """(D, M, N) shares of the minute: profile x day x activity x response to the size of the move x noise, >= 1."""
    shape = path.price.shape
    phi = 0.5 ** (1 / model.volume_bar_halflife)
    log = model.volume_on_activity * path.activity + model.volume_on_return * np.log(np.abs(path.noise) + 0.2)
    log += model.volume_bar_sd * ar1(phi, rng.standard_normal(shape), axis=1)
    log += model.volume_minute_sd * rng.standard_normal(shape)
    log += state.log_activity[:, None, :] + model.volume_centre
    return np.maximum(1, np.rint(expected * np.exp(log)))
