"""The store of bars: Parquet by month, served on the exchange's grid as it was known at a moment, and never beyond.

Layout: ``bars_1min``, ``bars_5min`` and ``bars_daily`` with a file per month (columns symbol, ts = END of bar in UTC,
open .. volume and, where known, the quote), ``universe.toml``, ``meta.json`` with the origin of the data.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from workbench.core.bars import TRADE_FIELDS, Bars
from workbench.core.calendar import Sessions, exchange_sessions, iso_time
from workbench.core.digest import digest
from workbench.core.errors import DataError, LookAheadError
from workbench.core.units import BAR_MINUTES, SESSION_MINUTES
from workbench.core.universe import Universe
from workbench.data.aggregate import to_bars, to_daily
from workbench.data.rows import (
    ALL_FIELDS,
    first_ts,
    merge_month,
    read_rows,
    replace_file,
    rows_of,
    stored_digest,
    symbols_of,
    times_of,
)
from workbench.data.universe_file import read_universe, write_universe

FOLDERS = {1: "bars_1min", 5: "bars_5min", 390: "bars_daily"}
EMBEDDED = "embedded"
FORMAT = "workbench-store 1"


class Store:
    """Bars under `root`. With `as_of` (UTC ns) the store is a view of that moment: it serves nothing later, and asking
    for more is a :class:`LookAheadError`."""

    def __init__(self, root: Path | str, as_of: int | None = None) -> None:
        self.root = Path(root)
        self.as_of = as_of

    # reading ---------------------------------------------------------------------------------------------------------

    def serve(
        self, interval_minutes: int = BAR_MINUTES, as_of: int | None = None, symbols: Iterable[str] | None = None
    ) -> Bars:
        """All bars known at `as_of` (default: everything) on the dense grid of the sessions; a missing bar is NaN.

        Columns follow the universe, or `symbols`. 5-minute bars come from 1-minute ones, daily bars from 5-minute
        ones, wherever the store has no bar of that kind itself. A bar that ends after `as_of` is never shown; a daily
        bar is known at its session's close. :class:`DataError` when there is nothing to serve.
        """
        if interval_minutes not in FOLDERS:
            raise DataError(
                f"no bars of {interval_minutes} minutes: serve 1, {BAR_MINUTES} or {SESSION_MINUTES} (daily)"
            )
        as_of = self._limit(as_of)
        listed = self.universe().symbols
        names = tuple(symbols) if symbols is not None else listed
        unknown = [s for s in names if s not in listed]
        if unknown:
            raise DataError(f"{self.root} has no bars of {', '.join(unknown)}; its universe.toml lists what it has")
        stored = self._stored(interval_minutes, as_of, names)
        finer = {BAR_MINUTES: 1, SESSION_MINUTES: BAR_MINUTES}.get(interval_minutes)
        if finer and self._has(finer, as_of) and not _full(stored, self._last_ts(finer, as_of)):
            stored = _complete(stored, _coarsen(self.serve(finer, as_of, names), interval_minutes))
        if stored is None:
            raise DataError(self._nothing(interval_minutes, as_of))
        return stored

    def _limit(self, as_of: int | None) -> int:
        """The moment to serve: the smaller of the wish and the view's own; asking past the view is an error."""
        far = np.iinfo(np.int64).max
        limit = far if self.as_of is None else self.as_of
        if as_of is not None and as_of > limit:
            raise LookAheadError(
                f"this view of the store stands at {iso_time(limit)} and cannot show {iso_time(as_of)}; "
                f"open Store(root, as_of=...) at a later moment"
            )
        return limit if as_of is None else as_of

    def universe(self) -> Universe:
        """The instruments of the store, in the order of the columns."""
        path = self.root / "universe.toml"
        if not path.is_file():
            raise DataError(f"{self.root} is no store yet; fill it with `workbench simulate` or `workbench import`")
        return read_universe(path)

    @property
    def data_origin(self) -> str:
        """Where the bars come from: "embedded" for the simulated market, else the names of what was imported."""
        return "+".join(self._meta()["origins"])

    @property
    def digest(self) -> str:
        """Content digest of all bars, the universe and the origin, however they got there."""
        parts = {
            p.relative_to(self.root).as_posix(): stored_digest(p) for folder in FOLDERS for p in self._files(folder)
        }
        universe = self.root / "universe.toml"
        return digest(
            parts, universe.read_text(encoding="utf-8") if universe.is_file() else "", self._meta()["origins"]
        )

    def intervals(self) -> tuple[int, ...]:
        """Kinds of bars that are stored themselves (not derived)."""
        return tuple(i for i in FOLDERS if self._files(i))

    # writing ---------------------------------------------------------------------------------------------------------

    def write(self, bars: Bars) -> None:
        """Add bars; where a bar is already there the new one replaces it. Missing bars (NaN) are not written.

        :class:`DataError` if simulated and real bars would mix.
        """
        rows = rows_of(bars)
        self.write_rows(rows, bars.interval_minutes, bars.data_origin)

    def write_rows(self, rows: pd.DataFrame, interval_minutes: int, data_origin: str) -> None:
        """Add rows (symbol, ts in UTC ns, fields) of bars of one length; a month changes as a whole or not at all."""
        origins = self.origins_with(data_origin)
        folder = self.root / FOLDERS[interval_minutes]
        folder.mkdir(parents=True, exist_ok=True)
        self._write_meta(origins)  # first: a folder that holds a row says whose it is
        self._add_symbols(rows["symbol"])
        month = rows["ts"].to_numpy().astype("datetime64[ns]").astype("datetime64[M]")
        for name in np.unique(month):
            merge_month(folder / f"{name}.parquet", rows[month == name])

    def write_universe(self, universe: Universe) -> None:
        """Set the instruments and their order; :class:`DataError` if a symbol with bars would be lost."""
        self.root.mkdir(parents=True, exist_ok=True)
        if (self.root / "universe.toml").is_file():
            stored = {s for i in FOLDERS for p in self._files(i) for s in symbols_of(p)}
            universe.select(tuple(sorted(stored)))
        replace_file(self.root / "universe.toml", write_universe(universe).encode())

    # inside ----------------------------------------------------------------------------------------------------------

    def _files(self, interval: int) -> list[Path]:
        return sorted((self.root / FOLDERS[interval]).glob("????-??.parquet"))

    def _known_files(self, interval: int, as_of: int) -> list[Path]:
        last = "9999-99" if as_of >= np.iinfo(np.int64).max else iso_time(as_of)[:7]
        return [p for p in self._files(interval) if p.stem <= last]

    def _has(self, interval: int, as_of: int) -> bool:
        finer = {BAR_MINUTES: 1, SESSION_MINUTES: BAR_MINUTES}.get(interval)
        return any(first_ts(p) <= as_of for p in self._known_files(interval, as_of)[:1]) or bool(
            finer and self._has(finer, as_of)
        )

    def _last_ts(self, interval: int, as_of: int) -> int:
        """End of the last bar of this kind, stored or derivable; at most `as_of`."""
        kinds = [i for i in FOLDERS if i <= interval]
        ends = [int(times_of(files[-1]).max()) for i in kinds if (files := self._known_files(i, as_of))]
        return min(as_of, max(ends))

    def _stored(self, interval: int, as_of: int, names: tuple[str, ...]) -> Bars | None:
        rows = read_rows(self._known_files(interval, as_of))
        if rows is None or not (known := rows["ts"].to_numpy() <= as_of).any():
            return None
        return _dense(rows[known], interval, names, as_of, self.data_origin)

    def _nothing(self, interval: int, as_of: int) -> str:
        kind = {SESSION_MINUTES: "daily"}.get(interval, f"{interval}-minute")
        starts = [first_ts(p) for p in self._files(interval)[:1]]
        if starts:
            return f"{self.root}: no {kind} bar was known at {iso_time(as_of)}; the first one at {iso_time(starts[0])}"
        coarser = ", but daily ones only" if self.intervals() == (SESSION_MINUTES,) else ""
        return (
            f"{self.root} holds no {kind} bars, nor finer ones{coarser}; decisions are made on 5-minute bars: add some "
            f"of 1 or 5 minutes with `workbench import`, or simulate a market in another folder"
        )

    def _meta(self) -> dict[str, list[str]]:
        path = self.root / "meta.json"
        if not path.is_file():
            if self.intervals():
                raise DataError(
                    f"{path} is missing: nothing tells whether the bars beside it are simulated or real; make them "
                    f"again, in another folder"
                )
            return {"origins": []}
        try:
            meta: dict[str, list[str]] = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise DataError(f"{path} is damaged ({error}); make the bars again, in another folder") from None
        if meta.get("format") != FORMAT:
            raise DataError(f"{path} is not of the format {FORMAT!r}; import the data again into a new folder")
        return meta

    def origins_with(self, origin: str) -> list[str]:
        origins = self._meta()["origins"]
        if origins and (origin == EMBEDDED) != (EMBEDDED in origins):
            raise DataError(
                f"{self.root} holds bars of {'+'.join(origins)}; {origin} bars must not mix with them: simulated and "
                f"real data live in folders of their own. Choose another --out"
            )
        return sorted({*origins, origin})

    def _write_meta(self, origins: list[str]) -> None:
        text = json.dumps({"format": FORMAT, "data_origin": "+".join(origins), "origins": origins}, indent=1)
        replace_file(self.root / "meta.json", text.encode())

    def _add_symbols(self, symbols: pd.Series) -> None:
        """Plain stocks for symbols that the universe lacks, in alphabetical order after the others."""
        path = self.root / "universe.toml"
        known = read_universe(path).instruments if path.is_file() else ()
        have = {i.symbol for i in known}
        new = sorted(set(map(str, pd.unique(symbols))) - have)
        if new:
            text = write_universe(Universe((*known, *Universe.of(new).instruments)))
            replace_file(path, text.encode())


def _dense(rows: pd.DataFrame, interval: int, names: tuple[str, ...], as_of: int, origin: str) -> Bars:
    """Long rows on the dense grid of the sessions from the first to the last bar, no further than `as_of`."""
    ts = rows["ts"].to_numpy()
    covered = exchange_sessions().between(int(ts.min()), int(ts.max()))
    grid = covered.grid(interval)
    keep = grid[0] <= as_of
    grid = tuple(g[keep] for g in grid)
    column_of = {name: i for i, name in enumerate(names)}
    codes = np.array([column_of.get(str(s), -1) for s in rows["symbol"].cat.categories])
    column = codes[rows["symbol"].cat.codes.to_numpy()]
    at = np.minimum(np.searchsorted(grid[0], ts), len(grid[0]) - 1)
    mine = (column >= 0) & (grid[0][at] == ts)
    found: dict[str, np.ndarray] = {}
    for field in ALL_FIELDS:
        if field in rows or field in TRADE_FIELDS:
            values = np.full((len(grid[0]), len(names)), np.nan)
            values[at[mine], column[mine]] = rows[field].to_numpy(float)[mine]
            found[field] = values
    return Bars(names, interval, *grid, **found, data_origin=origin)


def _coarsen(bars: Bars, interval: int) -> Bars | None:
    """Complete groups of finer bars: what is not over at the last bar is left for later."""
    if interval == SESSION_MINUTES:
        over = bars.bar_of_session == bars.bars_in_session - 1
        stop = int(np.flatnonzero(over)[-1]) + 1 if over.any() else 0
        return to_daily(bars.rows(0, stop)) if stop else None
    stop = len(bars.ts) - len(bars.ts) % (interval // bars.interval_minutes)
    return to_bars(bars.rows(0, stop), interval) if stop else None


def _complete(stored: Bars | None, derived: Bars | None) -> Bars | None:
    """`stored`, with the bars of `derived` wherever it has none; on the union of their grids."""
    if stored is None or derived is None:
        return derived if stored is None else stored
    every = exchange_sessions()
    span = every.between(min(int(stored.ts[0]), int(derived.ts[0])), max(int(stored.ts[-1]), int(derived.ts[-1])))
    grid = Sessions(span.date, span.open_ns, span.close_ns).grid(stored.interval_minutes)
    grid = tuple(g[grid[0] <= max(stored.ts[-1], derived.ts[-1])] for g in grid)
    found = {}
    a, b = np.searchsorted(grid[0], stored.ts), np.searchsorted(grid[0], derived.ts)
    fill = np.zeros((len(grid[0]), len(stored.symbols)), bool)
    fill[b] = np.isfinite(derived.close)
    fill[a] &= np.isnan(stored.close)
    for field in ALL_FIELDS:
        one, two = getattr(stored, field), getattr(derived, field)
        if one is None and two is None:
            continue
        values, other = np.full(fill.shape, np.nan), np.full(fill.shape, np.nan)
        if one is not None:
            values[a] = one
        if two is not None:
            other[b] = two
        found[field] = np.where(fill, other, values)
    return Bars(stored.symbols, stored.interval_minutes, *grid, **found, data_origin=stored.data_origin)


def _full(bars: Bars | None, last: int) -> bool:
    """Whether nothing could be added to `bars` from finer ones, the last of which ends at `last`."""
    if bars is None or np.isnan(bars.close).any():
        return False
    later = exchange_sessions().between(int(bars.ts[-1]) + 1, last)
    return not (
        (later.grid(bars.interval_minutes)[0] > bars.ts[-1]) & (later.grid(bars.interval_minutes)[0] <= last)
    ).any()
