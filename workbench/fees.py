"""What a trade costs in fees: dated US schedules of Interactive Brokers, and the impact formula. Pure functions.

Commission of one order (USD), q shares at price P, value V = q*P, per IBKR Pro's published US stock schedule:

    broker = min(max(per_share * q, minimum), maximum_rate * V)         (the 1 % maximum beats the minimum)
    total  = broker + clearing * q + exchange * q [+ SEC * V + min(TAF * q, TAF cap)  on sells]

``fixed`` includes exchange and clearing; ``tiered`` passes them on. The regulatory rates on sells are dated tables; the
oldest row also serves earlier sessions, the newest serves later ones until a row is added.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from workbench.core.arrays import FloatArray
from workbench.core.errors import ConfigError, DataError, nearest_name


@dataclass(frozen=True, slots=True)
class CommissionPlan:
    """USD per share unless said; `minimum` USD per order; `maximum_rate` fraction of the traded value.

    `exchange` is what removing liquidity costs, `exchange_add` what adding it costs (rebates are not credited).
    """

    name: str
    per_share: float
    minimum: float
    maximum_rate: float
    clearing: float
    exchange: float
    exchange_add: float


# interactivebrokers.com, "Commissions: Stocks, United States", IBKR Pro; tiered shown for up to 300,000 shares a month.
# Exchange: the cap of SEC rule 610(c), 0.0030 USD a share, which the large exchanges charge for removing liquidity.
# Clearing: NSCC and DTC, 0.00020 USD a share.
PLANS: tuple[CommissionPlan, ...] = (
    CommissionPlan("fixed", 0.005, 1.00, 0.01, 0.0, 0.0, 0.0),
    CommissionPlan("tiered", 0.0035, 0.35, 0.01, 0.0002, 0.0030, 0.0),
)

# SEC section 31 fee on sells, USD per USD sold, from the session it took effect (SEC fee rate advisories).
# Checked against published notices: 2012-04, 2016, 2018 to 2021. The other rows are to be re-checked at sec.gov.
SEC_FEE: tuple[tuple[str, float], ...] = (
    ("2012-02-21", 18.00e-6),
    ("2012-04-01", 22.40e-6),
    ("2013-05-25", 17.40e-6),
    ("2014-03-18", 22.10e-6),
    ("2015-02-14", 18.40e-6),
    ("2016-02-16", 21.80e-6),
    ("2017-07-04", 23.10e-6),
    ("2018-05-22", 13.00e-6),
    ("2019-04-16", 20.70e-6),
    ("2020-02-18", 22.10e-6),
    ("2021-02-25", 5.10e-6),
    ("2022-05-14", 22.90e-6),
    ("2023-02-27", 8.00e-6),
    ("2024-05-22", 27.80e-6),
    ("2025-05-14", 0.0),
    ("2026-04-04", 20.60e-6),
)

# FINRA trading activity fee on sells: (from, USD per share, cap in USD per trade); FINRA by-laws, schedule A, sec. 1.
# Checked against published figures: 2012, 2024 and 2026. The other rows are to be re-checked at finra.org.
FINRA_TAF: tuple[tuple[str, float, float], ...] = (
    ("2012-07-01", 0.000119, 5.95),
    ("2022-01-01", 0.000130, 6.49),
    ("2023-01-01", 0.000145, 7.27),
    ("2024-01-01", 0.000166, 8.30),
    ("2026-01-01", 0.000195, 9.79),
)


def plan_named(name: str) -> CommissionPlan:
    """The plan called `name`; :class:`ConfigError` if there is none.

    >>> plan_named("fixed").minimum
    1.0
    """
    for plan in PLANS:
        if plan.name == name:
            return plan
    names = [p.name for p in PLANS]
    raise ConfigError(
        f"commission plan {name!r} is unknown: choose from {', '.join(names)}.{nearest_name(name, names)}"
    )


def commission(plan: str, side: int, quantity: float, price: float, session: int, *, added: float = 0.0) -> float:
    """USD charged for one order of `quantity` shares at the mean `price`; `side` +1 buys, -1 sells.

    `added` of the shares added liquidity, the others removed it. `session` is in days since 1970. NaN quantity or
    price gives NaN.

    >>> round(commission("fixed", 1, 100, 50.0, 20300), 4), round(commission("tiered", 1, 1000, 50.0, 20300), 4)
    (1.0, 6.7)
    """
    if side not in (1, -1):
        raise DataError(f"side {side} of a trade must be +1 (buy) or -1 (sell)")
    if quantity < 0 or price < 0:
        raise DataError(
            f"a trade of {quantity} shares at {price} USD: both must be at least 0; the side goes into `side`"
        )
    p = plan_named(plan)
    value = quantity * price
    broker = min(max(p.per_share * quantity, p.minimum), p.maximum_rate * value)
    passed_on = p.clearing * quantity + p.exchange * (quantity - added) + p.exchange_add * added
    if value != value:
        return float("nan")
    return broker + passed_on + (_sell_fees(quantity, value, session) if side < 0 else 0.0)


def _sell_fees(quantity: float, value: float, session: int) -> float:
    taf, cap = taf_rate(session)
    return sec_rate(session) * value + min(taf * quantity, cap)


def commission_rate(plan: str, trade_value: FloatArray, price: FloatArray, session: int) -> FloatArray:
    """(N,) commission of an order of `trade_value` USD as a decimal of that value, the mean of buying and selling.

    Includes the minimum per order, so small trades are dear (never above the plan's maximum plus pass-through); the
    limit is given for a value of 0. NaN (or a price of 0) gives NaN.

    >>> (commission_rate("fixed", np.array([1e3, 1e5]), np.array([50.0, 50.0]), 20300) * 1e4).round(3).tolist()
    [10.017, 1.017]
    """
    p = plan_named(plan)
    taf, cap = taf_rate(session)
    value = np.abs(np.asarray(trade_value, np.float64))
    price = np.where(np.asarray(price) > 0, price, np.nan)
    with np.errstate(divide="ignore"):
        floor, taf_cap = p.minimum / value, cap / value
    broker = np.minimum(np.maximum(p.per_share / price, floor), p.maximum_rate)
    sell = sec_rate(session) + np.minimum(taf / price, taf_cap)
    rate = broker + (p.clearing + p.exchange) / price + sell / 2
    return np.where(np.isfinite(value), rate, np.nan)


@lru_cache(maxsize=4096)
def sec_rate(session: int) -> float:
    """SEC section 31 fee in force at `session`, USD per USD sold.

    >>> sec_rate(19000) == 5.1e-6
    True
    """
    return SEC_FEE[_row(tuple(row[0] for row in SEC_FEE), session)][1]


@lru_cache(maxsize=4096)
def taf_rate(session: int) -> tuple[float, float]:
    """FINRA trading activity fee in force at `session`: (USD per share sold, cap in USD per trade).

    >>> taf_rate(20300)
    (0.000166, 8.3)
    """
    return FINRA_TAF[_row(tuple(row[0] for row in FINRA_TAF), session)][1:]


def _row(starts: tuple[str, ...], session: int) -> int:
    days = np.array(starts, dtype="datetime64[D]").astype(np.int64)
    return max(0, int(np.searchsorted(days, session, side="right")) - 1)


def impact(sigma_1d: FloatArray, participation: FloatArray, k3: float, exponent: float) -> FloatArray:
    """One-way market impact, decimal of price: k3 * sigma_1d * participation^exponent (Almgren et al. 2005).

    `sigma_1d`: standard deviation of a day's return; `participation` >= 0: traded shares over the market's volume of
    the same window. Shapes broadcast; NaN stays NaN.

    >>> round(float(impact(0.02, 0.05, 0.142, 0.6)) * 1e4, 3)
    4.707
    """
    return k3 * np.asarray(sigma_1d, np.float64) * np.asarray(participation, np.float64) ** exponent
