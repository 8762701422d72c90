"""Bars of 10 to 60 minutes as daily ones: too coarse to decide on, good enough for the history of days."""

from __future__ import annotations

import numpy as np
import pandas as pd

from workbench.core.bars import PRICE_FIELDS
from workbench.core.calendar import exchange_sessions
from workbench.core.units import NS_PER_MINUTE
from workbench.data.aggregate import MIN_COVERAGE


def thin_sessions(frame: pd.DataFrame, interval: int) -> np.ndarray:
    """Reason of the rows of sessions that coarse bars cover by less than MIN_COVERAGE."""
    sessions = exchange_sessions()
    at = sessions.index_of(frame["ts"].to_numpy())
    have = frame.groupby([frame["symbol"].cat.codes, at])["ts"].transform("size").to_numpy()
    whole = -(-(sessions.close_ns - sessions.open_ns)[at] // (interval * NS_PER_MINUTE))
    return np.where(have < MIN_COVERAGE * whole, "thin session", "").astype(object)


def rows_to_daily(frame: pd.DataFrame) -> pd.DataFrame:
    """Coarse intraday bars, sorted, as daily ones stamped with the close."""
    sessions = exchange_sessions()
    at = sessions.index_of(frame["ts"].to_numpy())
    groups = frame.groupby([frame["symbol"], pd.Series(at, name="at")], observed=True, sort=True)
    how = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}
    daily = groups.agg(how).reset_index()
    return daily.assign(ts=sessions.close_ns[daily["at"].to_numpy()])[["symbol", "ts", *PRICE_FIELDS, "volume"]]
