"""What the features are: names, in the order of the columns, whether they need quotes, meaning and bounds.

All are unit-free, bounded (values beyond the bounds are set to them) and know neither the level of a price nor the name
of a symbol. `sigma` is the deseasonalised deviation of a five-minute return as known before the bar; *scaled* means
divided by the deviation that sigma, the profile of the window and the overnight variance let one expect. Windows count
the bars that are there.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FeatureSpec:
    """One feature. Values lie in [low, high]; NaN where a bar, a quote or history is missing."""

    name: str
    needs_quotes: bool
    description: str
    low: float
    high: float


def _specs(needs_quotes: bool, lines: str) -> tuple[FeatureSpec, ...]:
    """One spec per line: `name low high description`."""
    rows = [line.split(maxsplit=3) for line in lines.strip().splitlines()]
    return tuple(FeatureSpec(name, needs_quotes, text, float(low), float(high)) for name, low, high, text in rows)


BAR_FEATURES = _specs(
    False,
    """
ret_1 -5 5 scaled return over 1 bar, close to close, gap included
ret_2 -5 5 scaled return over 2 bars
ret_3 -5 5 scaled return over 3 bars
ret_6 -5 5 scaled return over 6 bars
ret_12 -5 5 scaled return over 12 bars
ret_24 -5 5 scaled return over 24 bars
ret_78 -5 5 scaled return over 78 bars
ret_open -5 5 scaled return since the session's open
ret_first30 -5 5 scaled return from the last close to 30 minutes after the open (to now before that); Gao et al. 2018
gap -5 5 scaled return from the last close to the open
vol_fast -2 2 log of root mean squared scaled return, half-life 6 bars
vol_slow -2 2 the same, half-life 39 bars
vol_level -1.5 1.5 log of sigma over its slow mean (four times the half-life)
vol_parkinson -2 2 log of the Parkinson deviation of 12 bars over sigma
vol_garman_klass -2 2 log of the Garman-Klass deviation of 12 bars over sigma
rsi_12 -1 1 relative strength: sum of 12 scaled returns over the sum of their sizes
rsi_39 -1 1 the same over 39
ma_12 -5 5 scaled distance of the log price from its mean over 12 bars
ma_39 -5 5 the same over 39
ma_78 -5 5 the same over 78
macd -5 5 scaled difference of exponential means of the log price, half-lives 6 and 24 bars
bollinger_24 -4 4 distance from the mean of 24 bars in their standard deviations
volume_ratio -3 3 log of volume over the volume expected at this time of day
volume_ratio_6 -3 3 the same over 6 bars
volume_z -4 4 the log ratio less its mean over 78 bars, in their standard deviations
volume_day -2 2 log of the session's volume so far over what was expected
signed_volume -3 3 location of the close in the bar's range (-1 low, 1 high) times the volume ratio, at most 3
signed_volume_6 -1 1 volume-weighted mean of the close's location over 6 bars
signed_volume_24 -1 1 the same over 24
vwap -5 5 scaled distance of the log price from the session's volume-weighted mean price
day_position -0.5 0.5 place of the close between the session's low and high
day_range -2 2 log of the session's range over the range expected by now
body -1 1 close less open, over the bar's range
autocov -1 1 mean product of neighbouring scaled returns, half-life 39 bars
seasonal_1 -4 4 mean past market residual at the next bar's time of day, in its deviations; Heston et al. 2010
seasonal_6 -4 4 the same over the next 6 bars
market_1 -5 5 market factor (mean scaled return, signed by leverage), 1 bar, in its deviations
market_3 -5 5 the same over 3 bars
market_12 -5 5 the same over 12 bars
resid_1 -5 5 scaled return less beta times the market factor
resid_3 -5 5 the same summed over 3 bars, over sqrt(3)
resid_12 -5 5 the same summed over 12 bars, over sqrt(12)
sector_resid_1 -5 5 market residual less its mean over the sector (none for a sector of one)
sector_resid_3 -5 5 the same summed over 3 bars, over sqrt(3)
sector_resid_12 -5 5 the same summed over 12 bars, over sqrt(12)
beta -3 3 slope of scaled returns on the market factor, half-life 390 bars, shrunk to the sign of leverage
breadth -0.5 0.5 share of symbols that rose less one half, signed by leverage
dispersion -1.5 1.5 log of the cross-sectional deviation of scaled returns
time_open 0 1 time since the open in full sessions
time_close 0 1 time to the close in full sessions
rank_ret_1 -0.5 0.5 rank of ret_1 among the symbols
rank_ret_12 -0.5 0.5 rank of ret_12
rank_volume -0.5 0.5 rank of volume_ratio
rank_resid_3 -0.5 0.5 rank of resid_3
rank_resid_12 -0.5 0.5 rank of resid_12
""",
)

QUOTE_FEATURES = _specs(
    True,
    """
ofi_1 -5 5 order-flow imbalance over its root mean square (half-life 390 bars); Cont et al. 2014
ofi_6 -5 5 the same summed over 6 bars, over sqrt(6)
rank_ofi -0.5 0.5 rank of ofi_1
queue_imbalance -1 1 bid size less ask size over their sum
queue_imbalance_6 -1 1 mean of it over 6 bars
microprice -3 3 scaled distance of the size-weighted mid from the mid
mid_ret_1 -5 5 scaled return of the mid over 1 bar
close_mid -3 3 scaled distance of the last trade from the mid
quoted_spread -4 4 log of the spread over the deviation of a bar's return
spread_ratio -2 2 log of the spread over its mean, half-life 156 bars
depth_ratio -3 3 log of bid plus ask size over its mean, half-life 156 bars
""",
)

DAILY_FEATURES = _specs(
    False,
    """
d_ret_1 -5 5 return of the last session over sigma (deviation of a day, half-life 20 sessions)
d_ret_2 -5 5 scaled return over 2 sessions
d_ret_5 -5 5 scaled return over 5 sessions
d_ret_20 -5 5 scaled return over 20 sessions
d_ret_60 -5 5 scaled return over 60 sessions
d_ret_120 -5 5 scaled return over 120 sessions, or what there is from 60 on
d_ret_250 -5 5 scaled return over 250 sessions, or what there is from 60 on
d_gap_1 -5 5 last overnight gap over its expected deviation
d_gap_5 -5 5 sum of 5 gaps, scaled
d_intraday_5 -5 5 sum of 5 open-to-close returns, scaled
d_vol_fast -2 2 log of root mean squared scaled return, half-life 3 sessions
d_vol_slow -1.5 1.5 log of sigma over its mean of half-life 120 sessions
d_range -2 2 log of the Parkinson deviation of 5 sessions over sigma
d_rsi_14 -1 1 relative strength over 14 sessions
d_ma_20 -5 5 scaled distance of the log price from its mean over 20 sessions
d_ma_50 -5 5 the same over 50
d_ma_200 -5 5 the same over 200, or what there is from 60 on
d_position_60 -0.5 0.5 place of the close between low and high of 60 sessions
d_close_location -1 1 place of the close in the last session's range
d_volume_1 -4 4 log volume less its mean over 60 sessions, in their deviations
d_volume_5 -4 4 the same for the mean of 5 sessions
d_volume_20 -4 4 the same for the mean of 20 sessions
d_autocov -1 1 mean product of neighbouring scaled returns, half-life 20 sessions
d_market_5 -5 5 market factor over 5 sessions, in its deviations
d_beta -3 3 slope of scaled returns on the market factor, half-life 120 sessions, shrunk
d_resid_1 -5 5 scaled return less beta times the market factor
d_resid_5 -5 5 the same summed over 5 sessions, over sqrt(5)
d_resid_20 -5 5 the same summed over 20 sessions, over sqrt(20)
d_sector_resid_5 -5 5 market residual less its mean over the sector, 5 sessions
d_sector_resid_20 -5 5 the same over 20 sessions
d_rank_ret_5 -0.5 0.5 rank of d_ret_5 among the symbols
d_rank_ret_20 -0.5 0.5 rank of d_ret_20
d_rank_ret_120 -0.5 0.5 rank of d_ret_120
""",
)


FLOW_FEATURES = ("ofi_1", "ofi_6", "rank_ofi")
"""Features of the order flow inside a bar: they need every quote update, not just the quote at the bar's end."""


def catalogue(has_quotes: bool, order_flow: bool = True) -> tuple[FeatureSpec, ...]:
    """The features of five-minute bars, in the order of the columns; those that need quotes only with them, and those
    of the order flow only with `order_flow`.

    >>> [s.name for s in catalogue(False)][:2], len(catalogue(True)) - len(catalogue(False))
    (['ret_1', 'ret_2'], 11)
    >>> len(catalogue(True)) - len(catalogue(True, order_flow=False))
    3
    """
    every = BAR_FEATURES + QUOTE_FEATURES if has_quotes else BAR_FEATURES
    return every if order_flow else tuple(s for s in every if s.name not in FLOW_FEATURES)


def daily_catalogue() -> tuple[FeatureSpec, ...]:
    """The features of daily bars, known before a session opens."""
    return DAILY_FEATURES
