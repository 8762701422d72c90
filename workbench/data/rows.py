"""Bars in long form on disk: zstd Parquet, a row per symbol and bar, each file whole and with its content digest."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from workbench.core.bars import QUOTE_FIELDS, TRADE_FIELDS, Bars
from workbench.core.digest import digest
from workbench.core.errors import DataError

ALL_FIELDS = (*TRADE_FIELDS, *QUOTE_FIELDS)
DIGEST_KEY = b"workbench.digest"


def replace_file(path: Path, content: bytes) -> None:
    """Write a file as a whole: a crash leaves the old one or the new one, never a part."""
    scratch = path.with_name(path.name + ".part")
    with scratch.open("wb") as f:
        f.write(content)
        f.flush()
        os.fsync(f.fileno())
    os.replace(scratch, path)


def write_parquet(frame: pd.DataFrame, path: Path, note: str = "") -> None:
    """Write a frame (its ``ts`` as UTC times) as zstd Parquet, as a whole; `note` is kept as its content digest."""
    table = pa.Table.from_pandas(
        frame.assign(ts=pd.DatetimeIndex(frame["ts"].to_numpy(), tz="UTC")), preserve_index=False
    )
    table = table.replace_schema_metadata({DIGEST_KEY: note.encode()})
    scratch = path.with_name(path.name + ".part")
    pq.write_table(table, scratch, compression="zstd", use_dictionary=["symbol"], write_page_checksum=True)
    os.replace(scratch, path)


def rows_of(bars: Bars) -> pd.DataFrame:
    """The known bars of a panel in long form: a row for each symbol and time with a price or a quote."""
    known = np.isfinite(bars.close)
    if bars.bid is not None:
        known |= np.isfinite(bars.bid)
    column, at = np.nonzero(known.T)
    out: dict[str, Any] = {"symbol": pd.Categorical.from_codes(column, list(bars.symbols)), "ts": bars.ts[at]}
    out |= {f: getattr(bars, f)[at, column] for f in ALL_FIELDS if getattr(bars, f) is not None}
    return pd.DataFrame(out, copy=False)


def merge_month(path: Path, rows: pd.DataFrame) -> None:
    """One month: the rows there, replaced where new ones have the same symbol and time, in order."""
    parts = [r for r in (read_rows([path]) if path.is_file() else None, rows) if r is not None]
    names = sorted({str(s) for part in parts for s in pd.unique(part["symbol"])})
    codes = np.concatenate([pd.Categorical(p["symbol"].astype(object), names).codes for p in parts]).astype(np.int64)
    both = pd.concat([p.drop(columns="symbol") for p in parts], ignore_index=True)
    order = np.lexsort((np.arange(len(both)), both["ts"].to_numpy(), codes))
    code, ts = codes[order], both["ts"].to_numpy()[order]
    last = np.r_[(np.diff(code) != 0) | (np.diff(ts) != 0), True]
    both = both.iloc[order[last]].reset_index(drop=True)
    both.insert(0, "symbol", pd.Categorical.from_codes(code[last], names))
    both = both[["symbol", "ts", *(f for f in ALL_FIELDS if f in both and both[f].notna().any())]]
    write_parquet(both, path, _content(both))


def _content(rows: pd.DataFrame) -> str:
    codes = rows["symbol"].cat.codes.to_numpy().astype(np.int32)
    numbers = {c: rows[c].to_numpy(float) for c in rows.columns if c not in ("symbol", "ts")}
    return digest(list(rows["symbol"].cat.categories), codes, rows["ts"].to_numpy(np.int64), numbers)


def read_table(path: Path, columns: list[str] | None = None) -> pa.Table:
    """A Parquet file of the store, its pages held against their checksums; :class:`DataError` if it is damaged."""
    try:
        return pq.read_table(path, columns=columns, partitioning=None, page_checksum_verification=True)
    except (pa.ArrowInvalid, OSError) as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(f"{path} is damaged ({error}); make the bars again, in another folder: simulate or import")


def stored_digest(path: Path) -> str:
    """The content digest that :func:`write_parquet` noted."""
    try:
        metadata = pq.read_schema(path).metadata or {}
    except (pa.ArrowInvalid, OSError) as error:
        raise _damaged(path, error) from None
    if DIGEST_KEY not in metadata:
        raise DataError(f"{path} was not written by the workbench; import it instead of copying it into the store")
    return metadata[DIGEST_KEY].decode()


def read_rows(files: list[Path]) -> pd.DataFrame | None:
    if not files:
        return None
    tables = [read_table(p) for p in files]
    table = pa.concat_tables(tables, promote_options="default").unify_dictionaries()
    symbol = table.column("symbol").combine_chunks().dictionary_encode()
    out = {"symbol": pd.Categorical.from_codes(symbol.indices.to_numpy(), symbol.dictionary.to_pylist())}
    out["ts"] = table.column("ts").cast(pa.timestamp("ns", "UTC")).cast(pa.int64()).to_numpy()
    out |= {name: table.column(name).to_numpy() for name in table.column_names if name in ALL_FIELDS}
    return pd.DataFrame(out, copy=False)


def symbols_of(path: Path) -> list[str]:
    return [str(s) for s in read_table(path, ["symbol"]).column("symbol").unique().to_pylist()]


def times_of(path: Path) -> np.ndarray:
    stamps = read_table(path, ["ts"]).column("ts")
    return stamps.cast(pa.timestamp("ns", "UTC")).cast(pa.int64()).to_numpy()


def first_ts(path: Path) -> int:
    return int(times_of(path).min())
