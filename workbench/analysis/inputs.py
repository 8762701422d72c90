"""What a report is made of: plain arrays, dicts and core types, so that analysis imports nothing above it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from workbench.core.arrays import FloatArray, IntArray
from workbench.core.horizon import horizon
from workbench.core.results import BacktestResult
from workbench.core.types import OofForecasts

SIDES = ("peak", "valley")


@dataclass(frozen=True, slots=True)
class DataSummary:
    """The bars behind the report. `missing` share of grid cells without a bar; `quarantined` reason -> rows set aside,
    kept in `quarantine_file`; `remarks` one sentence each (late starters, dead symbols, excluded duplicates)."""

    symbols: tuple[str, ...]
    sessions: int
    first_date: str
    last_date: str
    bars: int = 0
    missing: float = float("nan")
    daily_sessions: int = 0
    daily_first: str = ""
    daily_last: str = ""
    has_quotes: bool = False
    spread_estimated: bool = True
    quarantined: Mapping[str, int] = field(default_factory=dict)
    quarantine_file: str = ""
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HorizonBlend:
    """What the blender learned for one horizon (the last fit): `weights` model -> share (sum 1), ridge `penalty`,
    calibration `slope`, smoothing `halflife_bars`, independent `windows`; `abstained` is the reason, empty if it
    forecasts."""

    weights: Mapping[str, float]
    penalty: float = float("nan")
    slope: float = float("nan")
    halflife_bars: float = float("nan")
    windows: int = 0
    abstained: str = ""


@dataclass(frozen=True, slots=True)
class GateSample:
    """Out-of-fold rows (R,) of one barrier at one horizon: probability before and after calibration, outcome 0/1/NaN,
    session; `base` (R,) base rate known before each row, if kept; `method` the map that was chosen."""

    horizon: str
    side: str  # "peak" | "valley"
    p_raw: FloatArray
    p_calibrated: FloatArray
    outcome: FloatArray
    session: IntArray
    method: str = ""
    base: FloatArray | None = None

    def __post_init__(self) -> None:
        horizon(self.horizon)
        if self.side not in SIDES:
            raise ValueError(f"gate side {self.side!r} is unknown; use 'peak' or 'valley'")


@dataclass(frozen=True, slots=True)
class CostFit:
    """Cost model c = k1*spread + k2*sigma + k3*sigma_1d*participation^x: `fitted` and `default` map k1, k2, k3 to
    values; `observations` fills behind the fit; `reference_weight` fraction of NAV; `commission_plan`."""

    fitted: Mapping[str, float]
    default: Mapping[str, float]
    observations: int = 0
    reference_weight: float = float("nan")
    commission_plan: str = ""


@dataclass(frozen=True, slots=True)
class ProbeVerdict:
    """Truncation probe: `passed` None if it did not run; `detail` says what was cut and compared, or what differed."""

    passed: bool | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class LiveSummary:
    """A live session at the simulated gateway, and the backtest of the same bars. Money USD, NaN unknown.

    `slippage_bps` mean cost of the fills against the mid at the decision, weighted by value, with its standard error;
    `trades` (time, symbol, signed shares, filled, mean price, slippage bps) of the largest orders, oldest first;
    `held_back` guard -> orders it dropped or reduced; `latencies_ms` stage -> (p50, p95, max) real milliseconds;
    the verdicts are those of `workbench verify`.
    """

    session: str
    first: str
    last: str
    account: str
    speed: float
    decisions: int
    missed: int
    orders: int
    fills: int
    traded_usd: float
    commission_usd: float
    start_nav: float
    end_nav: float
    held_back: Mapping[str, int]
    trades: tuple[tuple[str, str, int, int, float, float], ...]
    slippage_bps: float
    slippage_se: float
    backtest_orders: int
    backtest_fills: int
    backtest_slippage_bps: float
    backtest_slippage_se: float
    latencies_ms: Mapping[str, tuple[float, float, float]]
    verdict_stages: str
    verdict_forecasts: str
    first_difference: str


@dataclass(frozen=True, slots=True)
class ReportInputs:
    """Everything a report shows. Only the first three are needed; a section without its input says so.

    `data_origin` "embedded" marks a simulated market. `oofs` and `blends` map a horizon's label. `results` maps the
    spread multiplier to its backtest; 1.0 is the one the report is about. `naive`: same-close entry, mid fills, no
    costs. `live` is a live session beside its backtest. `trials`: strategies tried before this one was chosen, 0
    counts the model cells. `embargo_sessions` for the diagram. `settings_summary`, `provenance` name -> value
    (digests); `timings` step -> seconds; `notes` what was capped or left out; `warnings` shown at the top.
    """

    title: str
    data_origin: str
    data: DataSummary
    oofs: Mapping[str, OofForecasts] = field(default_factory=dict)
    blends: Mapping[str, HorizonBlend] = field(default_factory=dict)
    gates: tuple[GateSample, ...] = ()
    costs: CostFit | None = None
    results: Mapping[float, BacktestResult] = field(default_factory=dict)
    naive: BacktestResult | None = None
    probe: ProbeVerdict = ProbeVerdict()
    live: LiveSummary | None = None
    features: int = 0
    daily_features: int = 0
    trials: int = 0
    embargo_sessions: int = 1
    settings_digest: str = ""
    settings_summary: Mapping[str, str] = field(default_factory=dict)
    provenance: Mapping[str, str] = field(default_factory=dict)
    timings: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    made_at: str = ""
    command: str = ""

    def __post_init__(self) -> None:
        for label in (*self.oofs, *self.blends):
            horizon(label)
        for multiplier in self.results:
            if not multiplier >= 0:
                raise ValueError(f"spread multiplier {multiplier} of a result must be >= 0")

    @property
    def simulated(self) -> bool:
        """Whether the market was simulated."""
        return self.data_origin == "embedded"

    @property
    def base(self) -> BacktestResult | None:
        """The backtest at 1x the spread, or the nearest to it; None if none ran."""
        if not self.results:
            return None
        return self.results[min(self.results, key=lambda m: (abs(m - 1.0), m))]
