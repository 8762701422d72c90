"""The embedded market: a whole universe with known alpha, for a first run without any data.

`simulate` draws years of daily bars and, for the last sessions, minutes with quotes, on the real sessions of the
exchange. Everything in it is invented; every result made from it carries ``data_origin = "embedded"``.

>>> market = simulate(MarketSettings(symbols=4, intraday_sessions=2, daily_sessions=5, minute=False))
>>> market.bars.shape, market.daily.shape, market.bars.data_origin
((156, 4), (5, 4), 'embedded')
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from pydantic import Field, field_validator, model_validator

from workbench.config import Branch
from workbench.core.arrays import FloatArray
from workbench.core.bars import QUOTE_FIELDS, TRADE_FIELDS, Bars
from workbench.core.calendar import Sessions, exchange_sessions
from workbench.core.errors import DataError
from workbench.core.units import BAR_MINUTES, NS_PER_MINUTE
from workbench.core.universe import Instrument, Universe
from workbench.data.aggregate import to_bars, to_daily
from workbench.data.market_days import DailyPath, Days, daily_path, draw_days
from workbench.data.market_minutes import DayState, MinutePath, Shapes, Tape, minute_path, on_tick, quote_and_print
from workbench.data.market_model import MarketModel, Traits, draw_traits
from workbench.data.market_truth import Truth

EMBEDDED = "embedded"
BLOCK_SESSIONS = 20
Progress = Callable[[int, int, str], None]
"""``progress(done, total, what)``."""


class MarketSettings(Branch):
    """What to simulate.

    `ic`: planted latent information coefficient at 5 minutes, 0 for a market without any alpha; `daily_sessions` end
    on the last session at or before `end`, the last `intraday_sessions` of them with minutes and quotes; `minute`
    keeps the 1-minute bars.
    """

    symbols: int = Field(30, ge=1, le=2000)
    intraday_sessions: int = Field(120, ge=1, le=2000)
    daily_sessions: int = Field(756, ge=1, le=5000)
    seed: int = Field(7, ge=0)
    ic: float = Field(0.03, ge=0, le=0.2)
    end: str = "2026-06-30"
    sectors: int = Field(8, ge=1, le=8)
    minute: bool = True

    @field_validator("end")
    @classmethod
    def _is_a_date(cls, value: str) -> str:
        np.datetime64(value, "D")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.intraday_sessions > self.daily_sessions:
            raise ValueError(
                f"intraday_sessions {self.intraday_sessions} must not exceed daily_sessions {self.daily_sessions}"
            )
        return self


@dataclass(frozen=True, slots=True)
class Market:
    """A simulated market: `minute` bars (None unless asked for), 5-minute `bars` with quotes, `daily` bars without,
    the `universe`, and the `truth` that no model may see."""

    minute: Bars | None
    bars: Bars
    daily: Bars
    universe: Universe
    truth: Truth
    settings: MarketSettings


def simulate(settings: MarketSettings = MarketSettings(), progress: Progress | None = None) -> Market:
    """Draw the market of `settings`; the same settings give the same market, bit for bit, on one machine."""
    model = MarketModel(ic=settings.ic)
    streams = np.random.SeedSequence(settings.seed).spawn(3)
    sessions = _sessions(settings)
    first = settings.daily_sessions - settings.intraday_sessions
    traits = draw_traits(settings.symbols, settings.sectors, np.random.default_rng(streams[0]))
    days = draw_days(len(sessions), traits, model, np.random.default_rng(streams[1]))
    universe = _universe(settings, traits)
    seeds = streams[2].spawn(1 + -(-settings.intraday_sessions // BLOCK_SESSIONS))
    past = daily_path(days, traits, model, np.random.default_rng(seeds[0]))
    minute, truth = _intraday(sessions, first, days, traits, model, universe.symbols, seeds[1:], progress)
    bars = to_bars(minute, BAR_MINUTES)
    daily = _daily(sessions, first, days, past, traits, bars)
    return Market(minute if settings.minute else None, bars, daily, universe, truth, settings)


def _sessions(settings: MarketSettings) -> Sessions:
    every = exchange_sessions()
    last = int(np.searchsorted(every.date, np.datetime64(settings.end, "D").astype(np.int64), side="right"))
    start = last - settings.daily_sessions
    if start < 0:
        raise DataError(
            f"{settings.daily_sessions} sessions before {settings.end} begin before the calendar does; ask for fewer"
        )
    return Sessions(every.date[start:last], every.open_ns[start:last], every.close_ns[start:last])


def _intraday(
    sessions: Sessions,
    first: int,
    days: Days,
    traits: Traits,
    model: MarketModel,
    symbols: tuple[str, ...],
    seeds: list[np.random.SeedSequence],
    progress: Progress | None,
) -> tuple[Bars, Truth]:
    """Minutes of the sessions from `first` on, block by block, the price carried from one to the next."""
    total = len(sessions) - first
    opening = np.log(traits.price)
    blocks: list[tuple[Tape, MinutePath, np.ndarray]] = []
    drift = days.drift()
    minutes = ((sessions.close_ns - sessions.open_ns) // NS_PER_MINUTE)[first:]
    for block, seed in enumerate(seeds):
        rows = np.arange(first + block * BLOCK_SESSIONS, min(first + (block + 1) * BLOCK_SESSIONS, len(sessions)))
        state = DayState(minutes[rows - first], days.volatility[rows], drift[rows], days.log_activity[rows])
        shapes = Shapes.of(state.minutes)
        rng = np.random.default_rng(seed)
        path = minute_path(state, shapes, traits, model, rng)
        opens, opening = _openings(opening, path.price[:, -1], days.gap, rows, rows[0] == first)
        inside = np.arange(path.price.shape[1]) < state.minutes[:, None]
        tape = quote_and_print(path, opens, state, shapes, traits, model, rng)
        blocks.append((tape, path, inside))
        if progress:
            progress(int(rows[-1]) - first + 1, total, "simulating the embedded market")
    return _flatten(blocks, sessions, first, symbols, days, traits, model)
