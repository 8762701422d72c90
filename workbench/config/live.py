"""Settings of stage 10 and of a live system: execution, guards, the broker, the processes around it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from workbench.config.branch import ALL_HORIZONS, Branch
from workbench.core.horizon import horizon


class ExecutionSettings(Branch):
    """Stage 10. Money in USD.

    `policy`: market orders; limits `limit_offset_bps` beyond the touch (``marketable_limit``); a limit at the mid that
    steps towards the touch in `steps` parts until the next bar (``mid_step``); IB's Adaptive algo with `priority`
    (``adaptive``); equal slices until the next bar (``twap``). Weight of day horizons may trade in the closing auction
    (`day_auction`). `max_replacements`: changes that one order may cost.
    """

    policy: Literal["market", "marketable_limit", "mid_step", "adaptive", "twap"] = "market"
    limit_offset_bps: float = Field(5.0, ge=0, le=500)
    latency_s: float = Field(1.0, ge=0, le=300)
    min_notional: float = Field(200.0, ge=0)
    max_participation: float = Field(0.05, gt=0, le=1)
    steps: int = Field(4, ge=1, le=20)
    priority: Literal["Urgent", "Normal", "Patient"] = "Normal"
    day_auction: bool = False
    max_replacements: int = Field(8, ge=0, le=100)


class GuardSettings(Branch):
    """The last look before an order leaves, live. Each bound drops or reduces orders, never enlarges them.

    `blackout_open_minutes`, `blackout_close_minutes`: no order that opens a position that near the open or the close;
    `max_spread_bps` of the mid; `max_order_notional` USD; `max_orders_per_minute` and `max_open_orders` of the account;
    `min_excess_liquidity`: fraction of NAV that the broker's what-if must leave; `max_borrow_rate` a year for new
    shorts; `min_models`: fraction of the models that must have a view; `max_clock_skew_s` between us and the broker.
    """

    max_quote_age_s: float = Field(15.0, gt=0, le=3600)
    max_spread_bps: float = Field(100.0, gt=0, le=10_000)
    max_price_move: float = Field(0.1, gt=0, le=1)
    blackout_open_minutes: float = Field(0.0, ge=0, le=120)
    blackout_close_minutes: float = Field(0.0, ge=0, le=120)
    max_order_notional: float = Field(250_000.0, gt=0)
    max_orders_per_minute: int = Field(200, ge=1, le=2_000)
    max_open_orders: int = Field(200, ge=1, le=5_000)
    min_excess_liquidity: float = Field(0.1, ge=0, le=1)
    max_borrow_rate: float = Field(0.5, ge=0, le=10)
    min_models: float = Field(0.5, ge=0, le=1)
    max_clock_skew_s: float = Field(5.0, gt=0, le=60)


class BrokerSettings(Branch):
    """Where the broker listens; no host means the simulated gateway, which is started on demand.

    `speed`: simulated seconds per second of that gateway; `start`: session (ISO date) at whose opening its clock
    begins, or a time of that day, unless its books are later; empty for the gateway's own; `market`: simulated, or
    replay:PATH. `market_lines`: market data lines that may be used at once. `unknown_orders`: what becomes of working
    orders that we did not send.
    """

    host: str = ""
    port: int = Field(0, ge=0, le=65535)
    client_id: int = Field(17, ge=0, le=2**31 - 1)
    connect_timeout_s: float = Field(10.0, gt=0, le=120)
    request_timeout_s: float = Field(30.0, gt=0, le=600)
    market_lines: int = Field(100, ge=1, le=10_000)
    unknown_orders: Literal["leave", "cancel"] = "leave"
    speed: float = Field(1.0, gt=0, le=600)
    start: str = ""
    market: str = "simulated"


class SystemSettings(Branch):
    """What a live system needs besides the stages. `live_account` must name the very account, or none trades live.

    `name` tells the systems of one account apart; `capital` USD of its virtual book (None: an equal part of what the
    account holds when the system first starts). `universe`: file with type, leverage and sector of the symbols (empty:
    plain stocks of unknown sector).
    """

    name: str = Field("main", pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,31}$")
    capital: float | None = Field(None, gt=0)
    symbols: tuple[str, ...] = ()
    universe: str = ""
    horizons: tuple[str, ...] = ALL_HORIZONS
    model_dir: str = ""
    blender_dir: str = ""
    device: Literal["cpu", "cuda"] = "cpu"
    update_interval: float = Field(60.0, gt=0, le=3600)
    live_account: str = ""

    @field_validator("symbols")
    @classmethod
    def _symbols_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) != len(value):
            raise ValueError(f"names {sorted({s for s in value if value.count(s) > 1})} more than once")
        return value

    @field_validator("horizons")
    @classmethod
    def _known_horizons(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            raise ValueError("must name at least one horizon")
        return tuple(h.label for h in sorted({horizon(label) for label in value}))


class LiveSettings(Branch):
    """The processes around a live system.

    `folder` holds the journal, the commands and the logs of an account; `journal` and `commands` are SQLAlchemy URLs
    (empty: SQLite in the folder; give both for dashboards on another machine); `warmup_sessions` of bars fetched before
    the first decision; `reconcile_s` between reconciliations; `watchdog_s` without a heartbeat after which the watchdog
    cancels our orders; `retention_days` of records.
    """

    folder: str = "runs/live"
    journal: str = ""
    commands: str = ""
    warmup_sessions: int = Field(45, ge=6, le=250)
    warmup_days: int = Field(300, ge=60, le=2_000)
    reconcile_s: float = Field(60.0, gt=0, le=3600)
    heartbeat_s: float = Field(1.0, gt=0, le=60)
    watchdog_s: float = Field(10.0, gt=0, le=600)
    retention_days: int = Field(400, ge=30, le=10_000)
