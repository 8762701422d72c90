"""The messages that pass between the ten stages: immutable, with their shapes and units.

T bars, N symbols, F features, M models, H = 9 horizons. Returns, alphas and costs are decimals over the horizon; only
names that end in ``_bps`` are basis points. Times are UTC int64 nanoseconds and mean *when it could be known*.
NaN is "unknown" and stays unknown; zero is a view.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from enum import IntEnum, StrEnum
from typing import Any, NamedTuple

import numpy as np

from workbench.core.arrays import BoolArray, FloatArray, IntArray, check_shape, readonly
from workbench.core.digest import digest
from workbench.core.errors import LookAheadError, ProvenanceError
from workbench.core.horizon import N_HORIZONS, Horizon


class State(IntEnum):
    """What the system knows about a symbol at a decision."""

    UNKNOWN = 0
    """Data or models are missing: hold, never increase, reduce only after `max_unknown` bars."""
    NO_EDGE = 1
    """A view that nothing is to be earned: the target is 0."""
    FORECAST = 2
    """A view with an expected return that survives costs, or that keeps a name already held."""


class Phase(StrEnum):
    """Phase of the exchange's session."""

    CLOSED = "closed"
    OPEN = "open"
    CLOSING = "closing"
    """Within `flatten_before_close` of the close: only day-horizon weight stays."""


class ModelKey(NamedTuple):
    """One cell of the zoo."""

    family: str
    strategy: str
    horizon: str

    def __str__(self) -> str:
        return f"{self.family}/{self.strategy}/{self.horizon}"


@dataclass(frozen=True, slots=True)
class MarketEvent:
    """A bar, quote or status as it arrived. `payload` maps field -> value (numbers and strings only)."""

    kind: str  # "bar" | "quote" | "status"
    symbol: str
    known_at: int
    payload: dict[str, float | int | str]


@dataclass(frozen=True, slots=True)
class Features:
    """`latest` (N, F); `window` (N, L, F), oldest first (L may be 0 where nobody needs it); names; schema hash."""

    names: tuple[str, ...]
    latest: FloatArray
    window: FloatArray
    schema: str = field(default="")

    def __post_init__(self) -> None:
        _freeze(self, ("latest", "window"))
        check_shape("Features.latest", self.latest, (-1, len(self.names)))
        check_shape("Features.window", self.window, (self.latest.shape[0], -1, len(self.names)))
        if not self.schema:
            object.__setattr__(self, "schema", schema_hash(self.names))


def schema_hash(names: tuple[str, ...]) -> str:
    """Hash of an ordered list of feature names: a model accepts only the schema it was trained on."""
    return digest(tuple(names))


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that is known at `known_at`; the only market input of ``decide``.

    Shapes (N,) unless said. `spread` is relative (decimal of price), observed or, where the source has no quotes,
    estimated (`spread_estimated`). `sigma_5m`, `sigma_1d`: standard deviation of one 5-minute / one full-day return;
    `sigma_h` (H, N) of the return over each horizon's actual window. `expected_volume` (H, N) shares over each
    horizon. `horizon_open` (H,): False where the horizon would pass the close. `eligible`: False for all but one of
    a cluster of near-duplicates. `bucket`: time-of-day bucket, see :func:`time_bucket`.
    """

    known_at: int
    symbols: tuple[str, ...]
    features: Features
    daily: Features
    price: FloatArray
    bid: FloatArray
    ask: FloatArray
    bid_size: FloatArray
    ask_size: FloatArray
    quote_age_s: FloatArray
    spread: FloatArray
    sigma_5m: FloatArray
    sigma_1d: FloatArray
    sigma_h: FloatArray
    expected_volume: FloatArray
    correlation: FloatArray
    leverage: FloatArray
    halted: BoolArray
    shortable: BoolArray
    eligible: BoolArray
    horizon_open: BoolArray
    session: int
    bar_of_session: int
    minutes_to_close: float
    bucket: int
    phase: Phase
    spread_estimated: bool = False

    def __post_init__(self) -> None:
        n = len(self.symbols)
        vectors = ("price", "bid", "ask", "bid_size", "ask_size", "quote_age_s", "spread", "sigma_5m", "sigma_1d",
                   "leverage")  # fmt: skip
        _freeze(self, (*vectors, "sigma_h", "expected_volume", "correlation"))
        _freeze(self, ("halted", "shortable", "eligible", "horizon_open"), np.bool_)
        for name in (*vectors, "halted", "shortable", "eligible"):
            check_shape(f"Snapshot.{name}", getattr(self, name), (n,))
        check_shape("Snapshot.sigma_h", self.sigma_h, (N_HORIZONS, n))
        check_shape("Snapshot.expected_volume", self.expected_volume, (N_HORIZONS, n))
        check_shape("Snapshot.correlation", self.correlation, (n, n))
        check_shape("Snapshot.horizon_open", self.horizon_open, (N_HORIZONS,))

    @property
    def mid(self) -> FloatArray:
        """(N,) middle of the quote; NaN without one."""
        return (self.bid + self.ask) / 2

    @property
    def digest(self) -> str:
        """Content digest of every field."""
        return _digest(self)


TIME_BUCKETS = ("open", "morning", "midday", "afternoon", "close")


def time_bucket(minutes_since_open: float, minutes_to_close: float) -> int:
    """Index in TIME_BUCKETS: first 30 minutes, to 11:30, to 14:00, to 15:30, last 30 minutes.

    >>> [time_bucket(m, 390 - m) for m in (5, 60, 200, 300, 385)]
    [0, 1, 2, 3, 4]
    """
    if minutes_to_close < 30:
        return 4
    return int(np.searchsorted([30, 120, 270], minutes_since_open, side="right"))


@dataclass(frozen=True, slots=True)
class Forecasts:
    """What the models say: `expected_return` (M, N) decimals over each model's horizon, NaN where it abstains.

    `p_peak`, `p_valley` (H, N): calibrated probability that the lower (peak: a fall comes first) or the upper (valley)
    barrier is touched first within the horizon; NaN = abstains.
    """

    keys: tuple[ModelKey, ...]
    expected_return: FloatArray
    p_peak: FloatArray
    p_valley: FloatArray

    def __post_init__(self) -> None:
        _freeze(self, ("expected_return", "p_peak", "p_valley"))
        check_shape("Forecasts.expected_return", self.expected_return, (len(self.keys), -1))
        n = self.expected_return.shape[1]
        check_shape("Forecasts.p_peak", self.p_peak, (N_HORIZONS, n))
        check_shape("Forecasts.p_valley", self.p_valley, (N_HORIZONS, n))

    @property
    def abstained(self) -> BoolArray:
        """(M, N) True where a model has no view."""
        return np.isnan(self.expected_return)

    @property
    def digest(self) -> str:
        return _digest(self)


@dataclass(frozen=True, slots=True)
class OofForecasts:
    """Out-of-fold forecasts of one horizon, R rows, with the proof that each was made before it could be checked.

    `known_at`, `matured_at`, `fitted_until` (R,) ns: when the row's features were known, when its label was, and the
    last moment of which the predicting model (or any scaling inside it) knew. Construction fails with
    :class:`ProvenanceError` unless fitted_until + embargo_ns <= known_at < matured_at in every row.

    `forecast` (R, M) expected return over the horizon; `label` (R,) realised return from a tradable entry;
    `skip_label` the same entered one bar later; `naive_label` entered at the signal's own close (shown, never used);
    `sigma_h` (R,); `symbol` (R,) column index in `symbols`; `bucket` (R,); `fold` (R,) segment that was predicted;
    `p_peak`, `p_valley` (R, B) raw probabilities of the B barrier classifiers named in `barrier_families`; `peak`,
    `valley` (R,) realised 0/1, NaN unknown.
    """

    horizon: Horizon
    symbols: tuple[str, ...]
    keys: tuple[ModelKey, ...]
    barrier_families: tuple[str, ...]
    known_at: IntArray
    matured_at: IntArray
    fitted_until: IntArray
    session: IntArray
    symbol: IntArray
    bucket: IntArray
    fold: IntArray
    forecast: FloatArray
    label: FloatArray
    skip_label: FloatArray
    naive_label: FloatArray
    sigma_h: FloatArray
    p_peak: FloatArray
    p_valley: FloatArray
    peak: FloatArray
    valley: FloatArray
    embargo_ns: int
    data_origin: str

    def __post_init__(self) -> None:
        ints = ("known_at", "matured_at", "fitted_until", "session", "symbol", "bucket", "fold")
        floats = ("label", "skip_label", "naive_label", "sigma_h", "peak", "valley")
        _freeze(self, ints, np.int64)
        _freeze(self, (*floats, "forecast", "p_peak", "p_valley"))
        rows = len(self.known_at)
        for name in (*ints, *floats):
            check_shape(f"OofForecasts.{name}", getattr(self, name), (rows,))
        check_shape("OofForecasts.forecast", self.forecast, (rows, len(self.keys)))
        check_shape("OofForecasts.p_peak", self.p_peak, (rows, len(self.barrier_families)))
        check_shape("OofForecasts.p_valley", self.p_valley, (rows, len(self.barrier_families)))
        early = self.fitted_until + self.embargo_ns > self.known_at
        if early.any():
            row = int(np.argmax(early))
            raise ProvenanceError(
                f"{self.horizon}: row {row} is not out of fold: its model saw data up to {self.fitted_until[row]} ns, "
                f"which with the embargo of {self.embargo_ns} ns passes the row's own time {self.known_at[row]} ns"
            )
        if (self.matured_at <= self.known_at).any():
            row = int(np.argmax(self.matured_at <= self.known_at))
            raise ProvenanceError(f"{self.horizon}: row {row} matures before it is known")

    def __len__(self) -> int:
        return len(self.known_at)

    def take(self, rows: Any) -> OofForecasts:
        """The rows chosen by a slice, mask or index array."""
        changed = {f.name: v[rows] for f in fields(self) if isinstance(v := getattr(self, f.name), np.ndarray)}
        return replace(self, **changed)

    def matured_before(self, when_ns: int) -> OofForecasts:
        """The rows whose label was known before `when_ns`: all that may be fitted on at that time."""
        return self.take(self.matured_at < when_ns)

    @property
    def digest(self) -> str:
        return _digest(self)


@dataclass(frozen=True, slots=True)
class Alphas:
    """`raw` and `smoothed` (H, N): blended expected return over each horizon; NaN = unknown."""

    raw: FloatArray
    smoothed: FloatArray

    def __post_init__(self) -> None:
        _freeze(self, ("raw", "smoothed"))
        check_shape("Alphas.raw", self.raw, (N_HORIZONS, -1))
        check_shape("Alphas.smoothed", self.smoothed, self.raw.shape)


@dataclass(frozen=True, slots=True)
class Costs:
    """`one_way` (H, N): cost of trading the reference size once, decimal of the traded value; NaN = unknown.

    The parts (N,) add up to a row of it: `spread`, `volatility`, `impact`, `commission`.
    """

    one_way: FloatArray
    spread: FloatArray
    volatility: FloatArray
    impact: FloatArray
    commission: FloatArray

    def __post_init__(self) -> None:
        _freeze(self, ("one_way", "spread", "volatility", "impact", "commission"))
        check_shape("Costs.one_way", self.one_way, (N_HORIZONS, -1))


@dataclass(frozen=True, slots=True)
class Choice:
    """The horizons chosen: `net` and `gross` (N,) daily rates, `weights` (H, N), `state` (N,) of :class:`State`.

    `net` is the after-cost rate that admits new positions; `gross` the before-cost rate that sizes them. `day_share`
    (N,) is the part of `gross` that comes from day horizons and may stay overnight, in [0, 1].
    """

    net: FloatArray
    gross: FloatArray
    weights: FloatArray
    state: IntArray
    day_share: FloatArray

    def __post_init__(self) -> None:
        _freeze(self, ("net", "gross", "weights", "day_share"))
        _freeze(self, ("state",), np.int64)
        n = self.net.shape[0]
        check_shape("Choice.gross", self.gross, (n,))
        check_shape("Choice.weights", self.weights, (N_HORIZONS, n))
        check_shape("Choice.state", self.state, (n,))
        check_shape("Choice.day_share", self.day_share, (n,))


@dataclass(frozen=True, slots=True)
class Target:
    """`weights` (N,) as signed fractions of NAV; `tradable` (N,) False where the symbol must be left as it is."""

    weights: FloatArray
    tradable: BoolArray

    def __post_init__(self) -> None:
        _freeze(self, ("weights",))
        _freeze(self, ("tradable",), np.bool_)
        check_shape("Target.tradable", self.tradable, self.weights.shape)


@dataclass(frozen=True, slots=True)
class Carry:
    """What one decision hands to the next, so that ``decide`` can stay pure.

    `smoothed` (H, N) alphas; `gate` (N,) last gate; `day_weight` (N,) the part of the position with an overnight
    mandate; `unknown_bars` (N,) consecutive decisions without a view; `session` of the decision (-1 before the first);
    `price` (N,) last known price, against which the next one is checked (NaN before the first).
    """

    smoothed: FloatArray
    gate: FloatArray
    day_weight: FloatArray
    unknown_bars: IntArray
    session: int
    price: FloatArray

    def __post_init__(self) -> None:
        _freeze(self, ("smoothed", "gate", "day_weight", "price"))
        _freeze(self, ("unknown_bars",), np.int64)
        n = self.gate.shape[0]
        check_shape("Carry.smoothed", self.smoothed, (N_HORIZONS, n))
        check_shape("Carry.day_weight", self.day_weight, (n,))
        check_shape("Carry.unknown_bars", self.unknown_bars, (n,))
        check_shape("Carry.price", self.price, (n,))

    @classmethod
    def empty(cls, n: int) -> Carry:
        """The carry before the first decision: nothing smoothed, no gate, no mandate."""
        nan = np.full(n, np.nan)
        return cls(np.full((N_HORIZONS, n), np.nan), nan, np.zeros(n), np.zeros(n, np.int64), -1, nan)


@dataclass(frozen=True, slots=True)
class OrderIntent:
    """An order as decided. `side` +1 buys, -1 sells; `quantity` > 0 shares; `order_ref` is deterministic."""

    order_ref: str
    symbol: str
    side: int
    quantity: int
    order_type: str  # "MKT" | "LMT"
    limit_price: float  # NaN for MKT
    tif: str
    decided_at: int
    arrival_mid: float  # mid (or last price) when it was decided; NaN unknown
    reason: str = "target"

    @property
    def digest(self) -> str:
        return _digest(self)


@dataclass(frozen=True, slots=True)
class Fill:
    """An execution. `side` +1 bought, -1 sold; `quantity` > 0 shares; `commission` USD >= 0; `mid` at the fill."""

    exec_id: str
    order_ref: str
    symbol: str
    side: int
    quantity: int
    price: float
    commission: float
    time: int
    mid: float = float("nan")


@dataclass(frozen=True, slots=True)
class Book:
    """The account at `as_of`: `positions` (N,) shares, `weights` (N,) fractions of NAV, money in USD.

    `turnover_today` is the traded value of the session as a fraction of NAV.
    """

    as_of: int
    symbols: tuple[str, ...]
    positions: FloatArray
    weights: FloatArray
    nav: float
    cash: float
    day_start_nav: float
    peak_nav: float
    turnover_today: float
    open_orders: tuple[OrderIntent, ...]
    carry: Carry

    def __post_init__(self) -> None:
        _freeze(self, ("positions", "weights"))
        check_shape("Book.positions", self.positions, (len(self.symbols),))
        check_shape("Book.weights", self.weights, (len(self.symbols),))

    @classmethod
    def flat(cls, symbols: tuple[str, ...], nav: float, as_of: int = 0) -> Book:
        """An account of `nav` USD in cash and no positions."""
        n = len(symbols)
        zero = np.zeros(n)
        return cls(as_of, symbols, zero, zero, nav, nav, nav, nav, 0.0, (), Carry.empty(n))


@dataclass(frozen=True, slots=True)
class Breach:
    """A limit that was reached. `symbol` empty: the whole book. `action` is what was done about it."""

    rule: str
    symbol: str
    value: float
    bound: float
    action: str  # "freeze" | "scale" | "reduce_only" | "halt" | "flatten"


@dataclass(frozen=True, slots=True)
class Decision:
    """Everything that one call of ``decide`` computed: enough to explain it and to repeat it bit for bit.

    `gate` (N,) multiplies alpha; `desired` (N,) weights before zone, band and validation.
    """

    known_at: int
    symbols: tuple[str, ...]
    forecasts: Forecasts
    alphas: Alphas
    costs: Costs
    choice: Choice
    gate: FloatArray
    desired: FloatArray
    target: Target
    carry: Carry
    breaches: tuple[Breach, ...]
    config_digest: str
    artifacts_digest: str
    snapshot_digest: str

    def __post_init__(self) -> None:
        _freeze(self, ("gate", "desired"))

    @property
    def digest(self) -> str:
        """Equal digests mean equal bits in every field."""
        return _digest(self)


def refuse_future(what: str, known_at: int, as_of: int) -> None:
    """LookAheadError if something known at `known_at` would be used at `as_of` before it."""
    if known_at > as_of:
        raise LookAheadError(f"{what} is known only at {known_at} ns and cannot be used at {as_of} ns")


def _freeze(message: Any, names: tuple[str, ...], dtype: Any = np.float64) -> None:
    for name in names:
        object.__setattr__(message, name, readonly(getattr(message, name), dtype))


def _digest(message: Any) -> str:
    return digest(*(_plain(getattr(message, f.name)) for f in fields(message)))


def _plain(value: Any) -> Any:
    if isinstance(value, tuple) and value and hasattr(value[0], "__dataclass_fields__"):
        return [_digest(v) for v in value]
    return _digest(value) if hasattr(value, "__dataclass_fields__") else value
