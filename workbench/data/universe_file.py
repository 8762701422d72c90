"""Universe files: one line per instrument, in TOML or CSV.

TOML::

    [[instrument]]
    symbol = "AAPL"
    type = "STK"          # STK or ETF
    leverage = 1.0        # delta of one dollar: 3 for a 3x fund, -3 for an inverse one
    underlying = ""       # what a leveraged fund follows
    sector = "TECH"

CSV: the same names in a header line. Only `symbol` is compulsory; what is left out is a plain stock of unknown sector.
"""

from __future__ import annotations

import csv
import io
import tomllib
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from workbench.core.errors import DataError, nearest_name
from workbench.core.universe import Instrument, Universe

_KINDS: dict[str, type] = {"leverage": float, "min_tick": float, "lot": int}
NAMES = tuple(f.name for f in fields(Instrument))


def read_universe(path: Path | str) -> Universe:
    """The universe of a TOML or CSV file; :class:`DataError` names file, line and what is wrong with it."""
    path = Path(path)
    if not path.is_file():
        raise DataError(f"universe file {path} does not exist; give a TOML or CSV file with a line per symbol")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"universe file {path.name} is not UTF-8 text: {error}") from None
    lines = _from_csv(text, path.name) if path.suffix.lower() == ".csv" else _from_toml(text, path.name)
    if not lines:
        raise DataError(f"universe file {path.name} lists no instrument; write one [[instrument]] (or CSV line) each")
    instruments = tuple(_instrument(line, f"{path.name}, instrument {i + 1}") for i, line in enumerate(lines))
    try:
        return Universe(instruments)
    except DataError as error:
        raise DataError(f"universe file {path.name}: {error}") from None


def write_universe(universe: Universe) -> str:
    """The universe as TOML text; `read_universe` gives back an equal one."""
    import tomli_w

    return tomli_w.dumps({"instrument": [asdict(i) for i in universe.instruments]})


def universe_to_csv(universe: Universe) -> str:
    """The universe as CSV text."""
    out = io.StringIO()
    writer = csv.DictWriter(out, NAMES, lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(i) for i in universe.instruments)
    return out.getvalue()


def _from_toml(text: str, name: str) -> list[dict[str, Any]]:
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise DataError(f"universe file {name} is not valid TOML: {error}") from None
    unknown = [key for key in tree if key != "instrument"]
    if unknown:
        raise DataError(f"universe file {name}: {unknown[0]!r} is unknown; write [[instrument]] tables")
    lines = tree.get("instrument", [])
    if not isinstance(lines, list) or not all(isinstance(line, dict) for line in lines):
        raise DataError(f"universe file {name}: write [[instrument]] with two brackets, one table per symbol")
    return lines


def _from_csv(text: str, name: str) -> list[dict[str, Any]]:
    rows = csv.DictReader(io.StringIO(text))
    header = [h.strip().lower() for h in rows.fieldnames or []]
    rows.fieldnames = header
    if "symbol" not in header:
        raise DataError(f"universe file {name} has no column symbol; it has {', '.join(header) or 'none'}")
    return [{k: v.strip() for k, v in row.items() if k and v and v.strip()} for row in rows]


def _instrument(line: dict[str, Any], where: str) -> Instrument:
    if "symbol" not in line:
        raise DataError(f"universe file {where} has no symbol")
    for key in line:
        if key not in NAMES:
            raise DataError(f"universe file {where}: {key!r} is unknown.{nearest_name(key, NAMES)}")
    where = f"{where} ({line['symbol']})"
    values = {key: _value(key, value, where) for key, value in line.items()}
    try:
        return Instrument(**values)
    except DataError as error:
        raise DataError(f"universe file {where}: {error}") from None


def _value(key: str, value: Any, where: str) -> Any:
    """`value` as the type of the field `key`: text, a number or a whole number."""
    kind = _KINDS.get(key, str)
    try:
        if isinstance(value, (str, int, float)) and (kind is not int or int(value) == float(value)):
            return kind(value)
    except ValueError:
        pass
    told = {float: "a number", int: "a whole number", str: "text"}[kind]
    raise DataError(f"universe file {where}: {key} = {value!r} must be {told}")
