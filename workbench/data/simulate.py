"""The embedded market: a whole universe with known alpha, for a first run without any data.

`simulate` draws years of daily bars and, for the last sessions, minutes with quotes, on the real sessions of the
exchange. Everything in it is invented; every result made from it carries ``data_origin = "embedded"``.

>>> market = simulate(MarketSettings(symbols=4, intraday_sessions=2, daily_sessions=5, minute=False))
>>> market.bars.shape, market.daily.shape, market.bars.data_origin
((156, 4), (5, 4), 'embedded')
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np
from pydantic import Field, field_validator, model_validator

from workbench.config import Branch
from workbench.core.arrays import FloatArray, IntArray
from workbench.core.bars import QUOTE_FIELDS, TRADE_FIELDS, Bars
from workbench.core.calendar import Sessions, exchange_sessions
from workbench.core.errors import DataError
from workbench.core.units import BAR_MINUTES, NS_PER_MINUTE, SESSION_MINUTES
from workbench.core.universe import Instrument, Universe
from workbench.data.aggregate import to_bars, to_daily
from workbench.data.market_days import DailyPath, Days, daily_path, draw_days
from workbench.data.market_minutes import DayState, MinutePath, Shapes, Tape, minute_path, on_tick, quote_and_print
from workbench.data.market_model import TICK, MarketModel, Traits, draw_traits
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
    ic: float = Field(0.03, ge=0, le=0.5)
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


def simulate(settings: MarketSettings | None = None, progress: Progress | None = None) -> Market:
    """Draw the market of `settings`; on one machine the same settings give the same market, bit for bit."""
    settings = settings or MarketSettings()
    model = MarketModel(ic=settings.ic)
    streams = np.random.SeedSequence(settings.seed).spawn(3)
    sessions = _sessions(settings)
    first = settings.daily_sessions - settings.intraday_sessions
    traits = draw_traits(settings.symbols, settings.sectors, np.random.default_rng(streams[0]))
    days = draw_days(len(sessions), traits, model, np.random.default_rng(streams[1]))
    universe = _universe(settings, traits)
    seeds = streams[2].spawn(1 + -(-settings.intraday_sessions // BLOCK_SESSIONS))
    past = daily_path(days, traits, model, np.random.default_rng(seeds[0]))
    minutes = (sessions.close_ns - sessions.open_ns) // NS_PER_MINUTE
    blocks = _blocks(minutes[first:], days, traits, model, seeds[1:], progress)
    minute = _panel(universe.symbols, _slice(sessions, first, len(sessions)), blocks)
    bars = to_bars(minute, BAR_MINUTES)
    daily = _daily(sessions, days, past, np.log(traits.price), bars)
    truth = Truth(
        model,
        traits,
        np.concatenate([b.fast for b in blocks]),
        np.concatenate([b.slow for b in blocks]),
        days.drift(),
        days.volatility,
        minutes,
        np.searchsorted(sessions.date, bars.session),
        bars.bar_of_session,
    )
    return Market(minute if settings.minute else None, bars, daily, universe, truth, settings)


def _sessions(settings: MarketSettings) -> Sessions:
    every = exchange_sessions()
    last = int(np.searchsorted(every.date, np.datetime64(settings.end, "D").astype(np.int64), side="right"))
    start = last - settings.daily_sessions
    if start < 0:
        raise DataError(
            f"{settings.daily_sessions} sessions before {settings.end} begin before the calendar does; ask for fewer"
        )
    return _slice(every, start, last)


def _slice(sessions: Sessions, start: int, stop: int) -> Sessions:
    return Sessions(sessions.date[start:stop], sessions.open_ns[start:stop], sessions.close_ns[start:stop])


@dataclass(frozen=True, slots=True)
class _Block:
    """The minutes of a block's sessions in a row, and the latent alphas at the ends of its 5-minute bars."""

    tape: dict[str, FloatArray]
    fast: FloatArray
    slow: FloatArray

    @classmethod
    def of(cls, tape: Tape, path: MinutePath, minutes: IntArray) -> _Block:
        """Cut the early closes to their length and lay the sessions end to end."""
        inside = np.arange(path.price.shape[1]) < minutes[:, None]
        ends = inside[:, BAR_MINUTES - 1 :: BAR_MINUTES]
        return cls(
            {name: getattr(tape, name)[inside] for name in (*TRADE_FIELDS, *QUOTE_FIELDS)},
            path.fast[:, BAR_MINUTES - 1 :: BAR_MINUTES][ends],
            path.slow[:, BAR_MINUTES - 1 :: BAR_MINUTES][ends],
        )


def _blocks(
    minutes: IntArray,
    days: Days,
    traits: Traits,
    model: MarketModel,
    seeds: list[np.random.SeedSequence],
    progress: Progress | None,
) -> list[_Block]:
    """Minutes of the last sessions, of `minutes` (S,) each, block by block, the price carried from one to the next."""
    out: list[_Block] = []
    first = len(days.gap) - len(minutes)
    drift, price = days.drift(), np.log(traits.price) - days.gap[first]
    for block, seed in enumerate(seeds):
        start = block * BLOCK_SESSIONS
        length = minutes[start : start + BLOCK_SESSIONS]
        rows = np.arange(first + start, first + start + len(length))
        state = DayState(length, days.volatility[rows], drift[rows], days.log_activity[rows])
        shapes, rng = Shapes.of(length), np.random.default_rng(seed)
        path = minute_path(state, shapes, traits, model, rng)
        moves = days.gap[rows] + path.price[:, -1]
        opening = price + np.cumsum(moves, axis=0) - path.price[:, -1]
        price = price + moves.sum(axis=0)
        out.append(_Block.of(quote_and_print(path, opening, state, shapes, traits, model, rng), path, length))
        if progress:
            progress(start + len(length), len(minutes), "simulating the embedded market")
    return out


def _panel(symbols: tuple[str, ...], sessions: Sessions, blocks: list[_Block]) -> Bars:
    """The blocks as 1-minute bars on the grid of `sessions`."""
    fields = {name: np.concatenate([b.tape[name] for b in blocks]) for name in (*TRADE_FIELDS, *QUOTE_FIELDS)}
    return Bars(symbols, 1, *sessions.grid(1), **fields, data_origin=EMBEDDED)


def _daily(sessions: Sessions, days: Days, past: DailyPath, opening: FloatArray, intraday: Bars) -> Bars:
    """Daily bars: `past` for the sessions before the intraday ones, ending where these begin (log mid `opening`)."""
    recent = to_daily(intraday)
    count = len(sessions) - len(recent.ts)
    moves = past.close[:count] + days.gap[1 : count + 1] if count else past.close[:0]
    level = opening - np.cumsum(moves[::-1], axis=0)[::-1] if count else moves  # log opening mid of each session
    prices = {
        name: np.maximum(TICK, on_tick(np.exp(level + part[:count])))
        for name, part in (("open", 0 * past.close), ("high", past.high), ("low", past.low), ("close", past.close))
    }
    prices["volume"] = np.rint(past.volume[:count])
    fields = {name: np.vstack([prices[name], getattr(recent, name)]) for name in TRADE_FIELDS}
    return Bars(recent.symbols, SESSION_MINUTES, *sessions.grid(SESSION_MINUTES), **fields, data_origin=EMBEDDED)


def _universe(settings: MarketSettings, traits: Traits) -> Universe:
    """Invented symbols: four letters, drawn without the seed so that every market of a size has the same names."""
    return Universe(
        tuple(
            Instrument(ticker(i), "STK", 1.0, "", f"SECTOR_{chr(65 + int(traits.sector[i]))}", TICK, 1)
            for i in range(settings.symbols)
        )
    )


def ticker(number: int) -> str:
    """An invented ticker that no exchange lists: X, a consonant, a vowel, another consonant from the 101st on, Z.

    >>> [ticker(i) for i in (0, 1, 100)], len({ticker(i) for i in range(2000)})
    (['XBAZ', 'XDEZ', 'XNABZ'], 2000)
    """
    consonants, vowels = "BCDFGHJKLMNPQRSTVWXZ", "AEIOU"
    first, vowel = consonants[(number * 2 + number // 10) % 20], vowels[number % 5]
    tail = "" if number < 100 else consonants[number // 100 - 1]
    return f"X{first}{vowel}{tail}Z"
