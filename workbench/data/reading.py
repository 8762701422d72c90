"""One file of bars, Parquet or CSV, as a frame in the house's words; what was guessed is told."""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from workbench.core.calendar import exchange_sessions
from workbench.core.errors import DataError
from workbench.core.units import NS_PER_MINUTE
from workbench.data.columns import guess_columns, symbol_of_file
from workbench.data.quality import is_daily
from workbench.data.times import (
    UNREADABLE,
    Stamp,
    Times,
    common_step,
    daily_ends,
    guess_interval,
    guess_stamp,
    read_times,
)

SUFFIXES = (".parquet", ".pq", ".csv", ".csv.gz")
UNKNOWN_NUMBERS = ["", "nan", "NaN", "NAN", "null", "NULL", "None", "NA", "N/A", "-"]
_BAD_GZIP = (gzip.BadGzipFile, zlib.error, EOFError)
_SIDES = {"timestart": "start", "start": "start", "barstart": "start", "timeend": "end", "end": "end", "barend": "end"}


@dataclass(frozen=True, slots=True)
class Options:
    """How to read: `columns` field -> name; `interval` minutes, `timezone` and `stamp` ("start", "end") or None."""

    columns: Mapping[str, str]
    interval: int | None = None
    timezone: str | None = None
    stamp: str | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """`frame` (symbol, ts = END of bar in UTC ns, fields, file, row) and what was found out about the file."""

    frame: pd.DataFrame
    columns: dict[str, str]
    ignored: tuple[str, ...]
    interval: int
    times: str
    stamp: str
    stamp_why: str


class EmptyFileError(DataError):
    """A file without a single row."""


def find_files(path: Path) -> list[Path]:
    """The file, or every file of bars below the folder, in order of name."""
    if path.is_file():
        if not path.name.lower().endswith(SUFFIXES):
            raise DataError(f"{path.name}: the workbench reads {', '.join(SUFFIXES)}; export the bars as one of them")
        return [path]
    if not path.is_dir():
        raise DataError(f"{path} does not exist; give a file of bars or a folder of them")
    files = sorted(p for p in path.rglob("*") if p.is_file() and p.name.lower().endswith(SUFFIXES))
    if not files:
        raise DataError(f"the folder {path} holds no file of bars ({', '.join(SUFFIXES)})")
    return files


def read_bars(file: Path, options: Options, label: str = "") -> Reading:
    """Read one file, told of as `label` (default: its name).

    :class:`DataError` names the file, what is wrong and the flag that helps.
    """
    table, columns, ignored = _table(file, options.columns)
    symbol = _symbols(table, columns, file)
    codes = symbol.cat.codes.to_numpy().astype(np.int64)
    times = read_times(_time_column(table, columns["ts"]), options.timezone, file.name)
    interval = _interval(codes, times, options, file)
    out: dict[str, object] = {"symbol": symbol}
    fields = {f: pd.to_numeric(table[c], errors="coerce").to_numpy(np.float64, na_value=np.nan)
              for f, c in columns.items() if f not in ("symbol", "ts")}  # fmt: skip
    stamp = _stamp(columns["ts"], codes, times, fields["volume"], interval, options, file)
    out["ts"] = _ends(times, interval, stamp.side)
    frame = pd.DataFrame(out | fields, copy=False)
    frame["file"] = pd.Categorical([label or file.name] * len(frame))
    frame["row"] = np.arange(len(frame))
    return Reading(frame, columns, ignored, interval, times.how, stamp.side, stamp.why)


def _table(file: Path, given: Mapping[str, str]) -> tuple[pd.DataFrame, dict[str, str], tuple[str, ...]]:
    found = _header(file)
    columns = guess_columns(found, given, file)
    wanted = [c for column in columns.values() for c in ([column] if column in found else column.split("+"))]
    ignored = tuple(c for c in found if c not in wanted)
    if file.suffix in (".parquet", ".pq"):
        table = _parquet(file, list(dict.fromkeys(wanted)))
    else:
        table = _csv(file, columns, wanted)
    if not len(table):
        raise EmptyFileError(f"{file.name} has a header but no rows; leave it out or export it again")
    return table.reset_index(drop=True), columns, ignored


def _parquet(file: Path, wanted: list[str]) -> pd.DataFrame:
    """The columns `wanted` as plain columns, also where pandas had written one of them as its index."""
    try:
        return pq.read_table(file, columns=wanted, partitioning=None).to_pandas(ignore_metadata=True)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{file.name} cannot be read as Parquet: {error}; export it again") from None


def _header(file: Path) -> list[str]:
    if file.stat().st_size == 0:
        raise EmptyFileError(f"{file.name} is empty; leave it out or export it again")
    try:
        if file.suffix in (".parquet", ".pq"):
            return [str(n) for n in pq.read_schema(file).names]
        with _open_text(file) as f:
            return next(csv.reader(f), [])
    except (pa.ArrowInvalid, UnicodeDecodeError, csv.Error, *_BAD_GZIP) as error:
        raise DataError(f"{file.name} cannot be read as {file.suffix[1:]}: {error}; export it again") from None


def _open_text(file: Path) -> TextIO:
    if file.suffix == ".gz":
        return gzip.open(file, "rt", encoding="utf-8-sig")
    return file.open(encoding="utf-8-sig")


def _csv(file: Path, columns: dict[str, str], wanted: list[str]) -> pd.DataFrame:
    texts = {c: str for c in wanted if c in columns["ts"].split("+") or c == columns.get("symbol")}
    numbers = {c: UNKNOWN_NUMBERS for c in wanted if c not in texts}
    try:
        return pd.read_csv(
            file, usecols=wanted, dtype=texts, na_values=numbers, keep_default_na=False, encoding="utf-8-sig",
            low_memory=False,
        )  # fmt: skip
    except (pd.errors.ParserError, UnicodeDecodeError, *_BAD_GZIP) as error:
        raise DataError(f"{file.name} cannot be read as CSV: {error}; export it again") from None


def _symbols(table: pd.DataFrame, columns: dict[str, str], file: Path) -> pd.Series:
    if "symbol" not in columns:
        return pd.Series(pd.Categorical.from_codes(np.zeros(len(table), np.int8), [symbol_of_file(file)]))
    values = pd.Categorical(table[columns["symbol"]].astype(object).where(table[columns["symbol"]].notna(), ""))
    clean = [str(c).strip() for c in values.categories]
    names = sorted(set(clean) | {""})
    return pd.Series(pd.Categorical.from_codes(np.array([names.index(c) for c in clean])[values.codes], names))


def _time_column(table: pd.DataFrame, column: str) -> pd.Series:
    if column in table:
        values = table[column]
    else:
        date, time = column.split("+")
        values = table[date].astype("string").str.strip() + " " + table[time].astype("string").str.strip()
    if values.dtype == object and len(values.dropna()) and not isinstance(values.dropna().iloc[0], str):
        return values.astype("string")  # dates, or times of several zones, as objects: each writes its own offset
    return values


def _interval(codes: np.ndarray, times: Times, options: Options, file: Path) -> int:
    """Minutes per bar: as told, unless bars that lie closer together than that contradict it; else guessed."""
    if options.interval is None:
        return guess_interval(codes, times, file.name)
    step = common_step(codes, times)
    if step is not None and step < options.interval * NS_PER_MINUTE:
        raise DataError(
            f"{file.name}: --interval {options.interval}, but its bars lie {step / NS_PER_MINUTE:.3g} minutes apart "
            f"and would overlap; leave --interval out, or aggregate them first"
        )
    return options.interval


def _stamp(
    column: str, codes: np.ndarray, times: Times, volume: np.ndarray, interval: int, options: Options, file: Path
) -> Stamp:
    if is_daily(interval) and interval >= 390:
        return Stamp("end", "a daily bar is known at the close of its date")
    if options.stamp:
        return Stamp(options.stamp, "as told")
    named = _SIDES.get(column.lower().replace("_", "").replace(" ", ""))
    if named:
        return Stamp(named, f"the column is called {column}")
    return guess_stamp(codes, times.ns, volume, interval, file.name)


def _ends(times: Times, interval: int, side: str) -> np.ndarray:
    """(R,) END of each bar; a time that is no time of a session stays as it is, for the quality check to name."""
    if interval >= 390:
        ends = daily_ends(times)
        return np.where(ends == UNREADABLE, times.ns, ends)
    if side == "end":
        return times.ns
    ends = np.where(times.ns == UNREADABLE, UNREADABLE, times.ns + interval * NS_PER_MINUTE)
    if interval <= 5:
        return ends
    sessions = exchange_sessions()  # a coarse last bar is cut by the close
    at = np.maximum(sessions.index_of(times.ns + 1), 0)
    inside = (times.ns >= sessions.open_ns[at]) & (times.ns < sessions.close_ns[at])
    return np.where(inside, np.minimum(ends, sessions.close_ns[at]), ends)
