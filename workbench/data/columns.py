"""Which column of a file is which: guessed from usual names, shown, and overridden by the user's own mapping."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from workbench.core.errors import DataError, nearest_name

SYNONYMS: dict[str, tuple[str, ...]] = {
    "symbol": ("symbol", "ticker", "sym", "instrument", "asset", "conid_symbol"),
    "ts": ("ts", "timestamp", "datetime", "date_time", "time_end", "bar_end", "end", "bar_time", "time_start", "start",
           "bar_start", "t", "date", "time"),
    "open": ("open", "o", "px_open", "open_price", "price_open"),
    "high": ("high", "h", "px_high", "high_price", "price_high"),
    "low": ("low", "l", "px_low", "low_price", "price_low"),
    "close": ("close", "c", "px_last", "px_close", "close_price", "price_close", "last"),
    "volume": ("volume", "vol", "v", "px_volume", "shares", "total_volume"),
    "bid": ("bid", "bid_price", "px_bid", "bid_close", "close_bid"),
    "ask": ("ask", "ask_price", "px_ask", "ask_close", "close_ask", "offer"),
    "bid_size": ("bid_size", "bidsize", "bid_qty", "bid_sz", "size_bid"),
    "ask_size": ("ask_size", "asksize", "ask_qty", "ask_sz", "size_ask"),
    "ofi": ("ofi", "order_flow_imbalance"),
}  # fmt: skip
"""Field -> names it goes by, the likeliest first; case and punctuation do not count."""

REQUIRED = ("ts", "open", "high", "low", "close", "volume")
FILE_NAME_SYMBOL = re.compile(r"[A-Z][A-Z0-9.\-]{0,9}")


def guess_columns(found: Sequence[str], given: Mapping[str, str], file: Path) -> dict[str, str]:
    """Field -> column of the file. `given` (field -> column) wins over the guess.

    A date and a time of day in columns of their own map as ``ts: "date+time"``. Without a symbol column the file must
    be named after its one symbol. :class:`DataError` lists the columns found and the flag that maps them.

    >>> guess_columns(["Ticker", "Date", "Time", "O", "H", "L", "C", "Vol"], {}, Path("x.csv"))["ts"]
    'Date+Time'
    """
    for field, column in given.items():
        if field not in SYNONYMS:
            raise DataError(f"--column {field}={column}: field {field!r} is unknown.{nearest_name(field, SYNONYMS)}")
        if column not in found:
            raise DataError(f"{file.name} has no column {column!r} for {field}; it has {', '.join(found)}")
    plain = {_plain(name): name for name in reversed(found)}
    mapping = {}
    for field, names in SYNONYMS.items():
        guess = next((plain[n] for n in map(_plain, names) if n in plain), None)
        if (column := given.get(field, guess)) is not None:
            mapping[field] = column
    if "ts" not in given and _plain(mapping.get("ts", "")) == "date" and "time" in plain:
        mapping["ts"] = f"{plain['date']}+{plain['time']}"
    _complete(mapping, found, file)
    parts = [c for column in mapping.values() for c in ([column] if column in found else column.split("+"))]
    twice = sorted({c for c in parts if found.count(c) > 1})
    if twice:
        raise DataError(f"{file.name} has {found.count(twice[0])} columns named {twice[0]!r}; keep one of them")
    return mapping


def symbol_of_file(file: Path) -> str | None:
    """The symbol a file is named after: ``AAPL.csv``, ``BRK.B.parquet``; None where the name is none.

    >>> symbol_of_file(Path("AAPL.csv.gz")), symbol_of_file(Path("2025-05.parquet"))
    ('AAPL', None)
    """
    stem = re.sub(r"\.(csv|parquet|gz|pq)", "", file.name)
    return stem if FILE_NAME_SYMBOL.fullmatch(stem) else None


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", str(name).lower())


def _complete(mapping: dict[str, str], found: Sequence[str], file: Path) -> None:
    missing = [field for field in REQUIRED if field not in mapping]
    if missing:
        if len(found) == 1 and (other := next((c for c in ";\t|" if c in found[0]), None)):
            raise DataError(f"{file.name}: its columns are separated by {other!r}; export it separated by commas")
        flags = " ".join(f"--column {field}=NAME" for field in missing)
        raise DataError(
            f"{file.name}: no column for {', '.join(missing)}; it has {', '.join(map(str, found)) or 'no columns'}. "
            f"Map with {flags}"
        )
    if "symbol" not in mapping and symbol_of_file(file) is None:
        raise DataError(
            f"{file.name}: no column for symbol, and the file is not named after one; it has {', '.join(found)}. "
            f"Map with --column symbol=NAME, or name the file like AAPL{file.suffix}"
        )
