"""The market behind the gateway, second by second: any ticker exists, on every session, from nothing but a seed.

What a symbol did on a session is a pure function of (seed, symbol, session): history and the live session are two looks
at the same path, whoever asks first, and a restarted gateway finds the market as it left it. Made up, for plumbing:
nothing is to be learned from it (the embedded market of `workbench simulate` is the one with planted alpha).

Daily log returns r_d ~ N(0, sigma^2); a quarter of the variance comes overnight. Within a session the log mid runs from
open to close as a Brownian bridge in the time of the session's volatility profile. The spread is a multiple of the
tick; a second trades Poisson many lots of 100, at the bid or the ask; the last print of a session is its close.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np

from workbench.core.arrays import FloatArray, IntArray
from workbench.core.calendar import Sessions, exchange_sessions, iso_date
from workbench.core.digest import digest
from workbench.core.errors import DataError
from workbench.data.market_model import Shape

NS = 1_000_000_000
LOT = 100
OVERNIGHT_SHARE = 0.25
"""Of the variance of a day."""

FIRST_SESSION = 14_610  # 2010-01-01, days since 1970: the paths begin here
KEPT_TAPES, KEPT_SYMBOLS = 256, 2048


@dataclass(frozen=True, slots=True)
class Traits:
    """What a symbol is: `start` USD at the first session, `sigma_day` of a whole day, `shares` a day, `spread_bps` at
    midday, `depth` shares displayed on average, `shortable` shares that can be borrowed, `borrow_rate` a year."""

    start: float
    sigma_day: float
    shares: float
    spread_bps: float
    depth: float
    shortable: int
    borrow_rate: float


@dataclass(frozen=True, slots=True)
class Tape:
    """One symbol on one session, S seconds; row s is what stands at the *end* of second s, `open_ns` + (s + 1) s.

    `bid`, `ask` USD; `bid_size`, `ask_size` shares; `last` USD, the last print; `volume` shares printed in the second.
    """

    symbol: str
    session: int
    open_ns: int
    previous_close: float
    sigma_1d: float
    bid: FloatArray
    ask: FloatArray
    bid_size: IntArray
    ask_size: IntArray
    last: FloatArray
    volume: IntArray | FloatArray

    def __len__(self) -> int:
        return len(self.bid)

    def row(self, ns: int) -> int:
        """The second that is complete at `ns`: -1 before the first, the last one after the close."""
        return int(min((ns - self.open_ns) // NS, len(self))) - 1


@dataclass(frozen=True, slots=True)
class Candles:
    """B bars: `end_ns` (B,), `open`, `high`, `low`, `close`, `wap` USD, `volume` shares, `trades` count.

    A bar without a print stands at the last price with volume 0.
    """

    end_ns: IntArray
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume: IntArray
    wap: FloatArray
    trades: IntArray


class SyntheticMarket:
    """Tapes of any symbol.

    >>> market = SyntheticMarket(seed=1)
    >>> tape = market.tape("AAPL", 20_271)
    >>> len(tape), bool((tape.ask > tape.bid).all())
    (23400, True)
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        every = exchange_sessions()
        first = int(np.searchsorted(every.date, FIRST_SESSION))
        self._sessions = Sessions(every.date[first:], every.open_ns[first:], every.close_ns[first:])
        self._closes: OrderedDict[str, FloatArray] = OrderedDict()  # symbol -> log close of every session, start first
        self._tapes: OrderedDict[tuple[str, int], Tape] = OrderedDict()

    def traits(self, symbol: str) -> Traits:
        """The lasting properties of `symbol`."""
        rng = self._random(symbol, "traits")
        price, shares = float(np.exp(rng.uniform(np.log(12), np.log(450)))), float(np.exp(rng.normal(15.0, 1.0)))
        hard = rng.random() < 0.1
        return Traits(
            start=price,
            sigma_day=float(np.clip(np.exp(rng.normal(np.log(0.018), 0.35)), 0.008, 0.06)),
            shares=shares,
            spread_bps=float(np.clip(3.0 * (5e6 / shares) ** 0.35, 0.8, 25.0)),
            depth=float(np.clip(shares / 20_000, 100, 5_000)),
            shortable=int(shares * (0.002 if hard else 0.1)),
            borrow_rate=0.08 if hard else 0.0025,
        )

    def session_index(self, session: int) -> int:
        """Place of a session (days since 1970); DataError where the exchange is closed or no path runs."""
        i = int(np.searchsorted(self._sessions.date, session))
        if i >= len(self._sessions) or self._sessions.date[i] != session:
            raise DataError(f"{iso_date(session)} is no session between 2010 and 2035; choose a trading day")
        return i

    @property
    def name(self) -> str:
        """What kind of market it is."""
        return f"simulated market of seed {self.seed}"

    def latest(self, symbol: str, session: int) -> int | None:
        """Any symbol has a tape on any session."""
        return session

    def first(self, symbol: str) -> int:
        """The first session of every symbol."""
        return int(self._sessions.date[0])

    def close(self, symbol: str, session: int) -> float:
        """Closing price, USD."""
        return float(_on_tick(np.exp(self._path(symbol)[self.session_index(session) + 1])))

    def tape(self, symbol: str, session: int) -> Tape:
        """What `symbol` does on `session`; the last few are kept."""
        key = symbol, session
        if key not in self._tapes:
            self._tapes[key] = self._draw(symbol, self.session_index(session))
            while len(self._tapes) > KEPT_TAPES:
                self._tapes.popitem(last=False)
        self._tapes.move_to_end(key)
        return self._tapes[key]

    def candles(self, symbol: str, session: int, seconds: int, until_ns: int) -> Candles:
        """Bars of `seconds` of one session that ended by `until_ns`."""
        tape = self.tape(symbol, session)
        complete = min(tape.row(until_ns) + 1, len(tape))
        return bars_of(tape, seconds, complete - complete % seconds if complete < len(tape) else complete)

    def _random(self, *names: object) -> np.random.Generator:
        return np.random.default_rng(int(digest(self.seed, *map(str, names))[:16], 16))

    def _path(self, symbol: str) -> FloatArray:
        if symbol not in self._closes:
            traits = self.traits(symbol)
            moves = self._random(symbol, "days").normal(0, traits.sigma_day, len(self._sessions))
            log = np.cumsum(np.r_[np.log(traits.start), moves - traits.sigma_day**2 / 2])
            low, high = np.log(2.0), np.log(2_000.0)
            self._closes[symbol] = _reflected(log, low, high)  # a ticker neither dies nor needs a split
            while len(self._closes) > KEPT_SYMBOLS:
                self._closes.popitem(last=False)
        self._closes.move_to_end(symbol)
        return self._closes[symbol]

    def _draw(self, symbol: str, i: int) -> Tape:
        """The seconds of session `i`."""
        traits, path = self.traits(symbol), self._path(symbol)
        open_ns, close_ns = int(self._sessions.open_ns[i]), int(self._sessions.close_ns[i])
        seconds = int((close_ns - open_ns) // NS)
        rng = self._random(symbol, int(self._sessions.date[i]))
        shape = Shape.of(seconds // 60)
        mid = _bridge(path[i], path[i + 1], shape, traits.sigma_day, rng)
        bid, ask = _quotes(mid, np.repeat(shape.spread, 60), traits.spread_bps, rng)
        rate = np.repeat(shape.volume, 60) * traits.shares / (60 * LOT)
        volume = LOT * rng.poisson(rate)
        last = _prints(bid, ask, volume, rng)
        last[-1], volume[-1] = _on_tick(np.exp(path[i + 1])), max(volume[-1], LOT)
        sizes = LOT * np.maximum(rng.geometric(LOT / traits.depth, (2, seconds)), 1)
        previous = float(_on_tick(np.exp(path[i])))
        return Tape(symbol, int(self._sessions.date[i]), open_ns, previous, traits.sigma_day, bid, ask, sizes[0],
                    sizes[1], last, volume)  # fmt: skip


def bars_of(tape: Tape, seconds: int, complete: int, ago: int = 0) -> Candles:
    """Bars of `seconds` over the first `complete` seconds of a tape; the first began `ago` seconds before the opening,
    the last may be shorter."""
    starts = np.maximum(np.arange(-ago, complete, seconds), 0)
    ends = np.append(starts[1:], complete)
    if not len(starts):
        empty, none = np.empty(0), np.empty(0, np.int64)
        return Candles(none, empty, empty, empty, empty, none, empty, none)
    last, volume = tape.last[:complete], tape.volume[:complete]
    traded = np.add.reduceat(volume, starts)
    value = np.add.reduceat(last * volume, starts)
    close = last[ends - 1]
    return Candles(
        end_ns=tape.open_ns + ends * NS,
        open=last[starts],
        high=np.maximum.reduceat(last, starts),
        low=np.minimum.reduceat(last, starts),
        close=close,
        volume=traded,
        wap=np.where(traded > 0, value / np.maximum(traded, 1), close),
        trades=np.add.reduceat((volume > 0).astype(np.int64), starts),
    )


def _bridge(before: float, after: float, shape: Shape, sigma_day: float, rng: np.random.Generator) -> FloatArray:
    """(S,) mid, USD: from the open, an overnight move after the last close, to the close."""
    total = after - before
    opening = (
        before + OVERNIGHT_SHARE * total + rng.normal(0, sigma_day * np.sqrt(OVERNIGHT_SHARE * (1 - OVERNIGHT_SHARE)))
    )
    scale = np.repeat(shape.volatility, 60) * sigma_day * np.sqrt((1 - OVERNIGHT_SHARE) / len(shape.volatility) / 60)
    walk = np.cumsum(rng.standard_normal(len(scale)) * scale)
    time = np.cumsum(scale**2) / np.sum(scale**2)
    mid: FloatArray = np.exp(opening + walk + time * (after - opening - walk[-1]))
    return mid


def _quotes(
    mid: FloatArray, profile: FloatArray, spread_bps: float, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """(bid, ask), whole ticks apart and around the mid; they stand still for a few seconds at a time."""
    held = np.maximum.accumulate(np.where(rng.random(len(mid)) < 0.4, np.arange(len(mid)), 0))
    wide = np.maximum(np.round(mid * spread_bps * 1e-4 * profile / 0.01), 1)[held]
    bid = np.maximum(np.floor(mid[held] / 0.01 - wide / 2 + 0.5), 1)
    return np.round(bid * 0.01, 2), np.round((bid + wide) * 0.01, 2)


def _prints(bid: FloatArray, ask: FloatArray, volume: IntArray, rng: np.random.Generator) -> FloatArray:
    """(S,) price of the last print: at the bid or the ask; a second without one keeps the price before it."""
    side = np.where(rng.random(len(bid)) < 0.5, bid, ask)
    printed = volume > 0
    printed[0] = True  # the opening print
    at = np.maximum.accumulate(np.where(printed, np.arange(len(bid)), 0))
    last: FloatArray = side[at]
    return last


def _on_tick(price: FloatArray | float) -> FloatArray | float:
    return np.round(np.asarray(price), 2)


def _reflected(log: FloatArray, low: float, high: float) -> FloatArray:
    """A path folded back into [low, high]."""
    width = high - low
    folded = np.mod(log - low, 2 * width)
    out: FloatArray = low + np.where(folded > width, 2 * width - folded, folded)
    return out
