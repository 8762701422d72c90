"""Times of bars: read without guessing zones, and brought to the END of the bar in UTC nanoseconds."""

from __future__ import annotations

from dataclasses import dataclass
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pandas as pd

from workbench.core.arrays import BoolArray, IntArray
from workbench.core.calendar import exchange_sessions
from workbench.core.errors import DataError
from workbench.core.units import NS_PER_DAY, NS_PER_MINUTE, SESSION_MINUTES

UNREADABLE = np.iinfo(np.int64).min
EXCHANGE_ZONE = "America/New_York"
_OFFSET = r"(?:Z|[+-]\d{2}:?\d{2}| ?UTC| ?GMT)$"
_DATE = r"^\d{4}-?\d{2}-?\d{2}$"
_EPOCHS = ((1e11, 1_000_000_000, "seconds"), (1e14, 1_000_000, "milliseconds"), (1e17, 1000, "microseconds"))
GUESSED_INTERVALS = (1, 2, 3, 5, 10, 15, 30, 60)


@dataclass(frozen=True, slots=True)
class Times:
    """`ns` (R,) UTC ns, UNREADABLE where there is none; `dates`: they are calendar dates without a time of day (ns of
    midnight UTC); `how`: what was read, in words."""

    ns: IntArray
    dates: bool
    how: str


def read_times(values: pd.Series, timezone: str | None, file: str) -> Times:
    """Times of a column. A column without zone is refused unless `timezone` names one; dates alone need none.

    :class:`DataError` for naive times, for a mixture of naive and zoned ones, and where nothing can be read.
    """
    if isinstance(values.dtype, pd.DatetimeTZDtype):
        return Times(_ns(values), False, f"zoned times ({values.dt.tz})")
    if pd.api.types.is_datetime64_dtype(values.dtype):
        return _naive(values, timezone, file)
    if pd.api.types.is_numeric_dtype(values.dtype):
        return _numbers(values, file)
    return _strings(values.astype("string").str.strip(), timezone, file)


def _ns(values: pd.Series) -> IntArray:
    out = values.dt.as_unit("ns").to_numpy(dtype="datetime64[ns]", na_value=np.datetime64("NaT")).astype(np.int64)
    return np.asarray(out, dtype=np.int64)


def _naive(values: pd.Series, timezone: str | None, file: str) -> Times:
    known = values.dropna()
    if len(known) and (known == known.dt.normalize()).all():
        return Times(_ns(values), True, "dates")
    if timezone is None:
        example = known.iloc[0] if len(known) else "NaT"
        raise DataError(
            f"{file}: times have no time zone (the first is {example}); say which it is, "
            f"for example --timezone {EXCHANGE_ZONE} or --timezone UTC"
        )
    try:
        zone = ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, IsADirectoryError):
        raise DataError(f"--timezone {timezone}: no such zone; use a name like {EXCHANGE_ZONE} or UTC") from None
    zoned = values.dt.tz_localize(zone, ambiguous="NaT", nonexistent="NaT")
    return Times(_ns(zoned), False, f"times of {timezone}")


def _numbers(values: pd.Series, file: str) -> Times:
    numbers = values.to_numpy(dtype=float, na_value=np.nan)
    known = np.abs(numbers[np.isfinite(numbers)])
    if not len(known):
        raise DataError(f"{file}: the time column holds no time")
    if known.min() > 19_000_000 and known.max() < 22_000_000:  # 20250512
        return _strings(values.astype("Int64").astype("string"), None, file)
    factor, name = next(((f, n) for bound, f, n in _EPOCHS if known.max() < bound), (1, "nanoseconds"))
    whole = np.where(np.isfinite(numbers), numbers, 0)
    exact = values.fillna(0).to_numpy(np.int64) if pd.api.types.is_integer_dtype(values.dtype) else np.rint(whole)
    ns = exact.astype(np.int64) * factor
    return Times(np.where(np.isfinite(numbers), ns, UNREADABLE), False, f"{name} since 1970 UTC")


def _strings(values: pd.Series, timezone: str | None, file: str) -> Times:
    known = values.notna() & (values != "")
    if known.any() and values[known].str.fullmatch(r"\d{9,}(?:\.\d+)?").all():
        return _numbers(pd.to_numeric(values.where(known)), file)
    zoned = values.str.contains(_OFFSET, regex=True).fillna(False) & known
    dates = values.str.contains(_DATE, regex=True).fillna(False) & known
    if zoned.any() and (known & ~zoned).any():
        at, other = int(np.argmax(zoned)), int(np.argmax(known & ~zoned))
        raise DataError(
            f"{file}: some times have a zone (row {at}: {values.iloc[at]}) and some have none (row {other}: "
            f"{values.iloc[other]}); write all with their offset, or none and give --timezone"
        )
    if zoned.any():
        parsed = pd.to_datetime(values.where(known), utc=True, format="ISO8601", errors="coerce")
        return Times(_some(parsed, values, file), False, "zoned times (ISO 8601)")
    parsed = pd.to_datetime(values.where(known), format="ISO8601", errors="coerce")
    if parsed.isna().all():
        parsed = pd.to_datetime(values.where(known), format="%Y%m%d %H:%M:%S", errors="coerce")
    _some(parsed, values, file)
    if (dates | ~known).all():
        return Times(_ns(parsed), True, "dates")
    return _naive(parsed, timezone, file)


def _some(parsed: pd.Series, values: pd.Series, file: str) -> IntArray:
    if parsed.isna().all():
        raise DataError(f"{file}: times like {values.iloc[0]!r} cannot be read; write ISO 8601, 2025-05-12T13:35:00Z")
    return _ns(parsed)


def common_step(symbol: IntArray, times: Times) -> int | None:
    """The commonest step (ns) from a bar to the next of its symbol; None where no symbol has two."""
    order = np.lexsort((times.ns, symbol))
    ns, same = times.ns[order], np.diff(symbol[order]) == 0
    steps = np.diff(ns)[same & (ns[:-1] != UNREADABLE)]
    steps = steps[steps > 0]
    if not len(steps):
        return None
    values, counts = np.unique(steps, return_counts=True)
    return int(values[np.argmax(counts)])


def guess_interval(symbol: IntArray, times: Times, file: str) -> int:
    """Minutes between bars: the commonest step within a symbol, 390 for daily bars. :class:`DataError` if unclear."""
    if times.dates:
        return SESSION_MINUTES
    step = common_step(symbol, times)
    if step is None:
        raise DataError(f"{file}: too few bars to tell their length; give --interval 1, 5 or 390 (daily)")
    if step >= 20 * 60 * NS_PER_MINUTE:
        return SESSION_MINUTES
    minutes, rest = divmod(step, NS_PER_MINUTE)
    if rest or minutes not in GUESSED_INTERVALS:
        raise DataError(
            f"{file}: bars lie {step / NS_PER_MINUTE:.3g} minutes apart; the workbench reads bars of 1 and 5 minutes, "
            f"daily bars, and bars of 10, 15, 30 and 60 minutes as daily ones. Aggregate finer ones to 1 minute first"
        )
    return minutes


@dataclass(frozen=True, slots=True)
class Stamp:
    """`side` "start" or "end" of the bar, and the evidence in words."""

    side: str
    why: str


def guess_stamp(symbol: IntArray, ns: IntArray, volume: np.ndarray, interval: int, file: str) -> Stamp:
    """Whether bars carry their start or their end.

    Bars stamped at the open exactly can only be starts, at the close only ends. A feed with extended hours has both:
    then the larger of the volumes at the open and one bar later tells which of them is the opening bar.
    :class:`DataError` if nothing tells: a wrong guess would let the future in.
    """
    at_open, at_close = _at_edges(ns)
    first, last = (len(np.unique(symbol[edge] * 10**6 + ns[edge] // NS_PER_DAY)) for edge in (at_open, at_close))
    if last > 2 * first:
        return Stamp("end", f"{last} sessions have a bar at the close, {first} at the open")
    if first > 2 * last:
        return Stamp("start", f"{first} sessions have a bar at the open, {last} at the close")
    later, _ = _at_edges(ns - interval * NS_PER_MINUTE)
    if first and later.any():
        opening, next_one = (float(np.nanmedian(volume[rows])) for rows in (at_open, later))
        side = "start" if opening > next_one else "end"
        return Stamp(side, f"bars at the open hold {opening:.0f} shares, the next ones {next_one:.0f} (medians)")
    raise DataError(
        f"{file}: nothing tells whether bars are stamped with their start or their end (no bar at the exact open or "
        f"close); say --stamp start or --stamp end. A wrong answer would let the future in"
    )


def _at_edges(ns: IntArray) -> tuple[BoolArray, BoolArray]:
    """(R,) at the exact open, at the exact close of a session."""
    sessions = exchange_sessions()
    at = np.minimum(np.searchsorted(sessions.close_ns, ns, side="left"), len(sessions) - 1)
    return ns == sessions.open_ns[at], ns == sessions.close_ns[at]


def daily_ends(times: Times) -> IntArray:
    """(R,) the close of the session that each daily bar belongs to; UNREADABLE where its date is no session.

    A time of day is read in New York, except midnight UTC, which stands for the date itself.
    """
    sessions = exchange_sessions()
    midnight = times.ns % NS_PER_DAY == 0
    unreadable = times.ns == UNREADABLE
    local = pd.DatetimeIndex(np.where(unreadable, 0, times.ns), tz="UTC").tz_convert(EXCHANGE_ZONE)
    wall = local.tz_localize(None).as_unit("ns").to_numpy().astype(np.int64)
    date = np.where(midnight | times.dates, times.ns, wall) // NS_PER_DAY
    at = np.minimum(np.searchsorted(sessions.date, date), len(sessions) - 1)
    known = (sessions.date[at] == date) & ~unreadable
    return np.where(known, sessions.close_ns[at], UNREADABLE)
