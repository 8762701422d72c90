"""Your own bars into the store: read, check, quarantine what cannot be right, and say what was found.

Every row that comes in is either kept or stands in ``quarantine.parquet`` with its reason, file and row. An import that
is interrupted goes on where it was: each file's rows are put aside as soon as they are checked.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from workbench.core.digest import digest
from workbench.core.errors import DataError
from workbench.core.units import SESSION_MINUTES
from workbench.core.universe import Universe
from workbench.data.coarse import rows_to_daily, thin_sessions
from workbench.data.continuity import Finding, coverage, row_name, series_reasons
from workbench.data.import_report import FileReport, ImportReport
from workbench.data.quality import REASONS, check, duplicate_reasons, is_daily, split
from workbench.data.reading import EmptyFileError, Options, find_files, read_bars
from workbench.data.rows import replace_file, write_parquet
from workbench.data.store import EMBEDDED, Store
from workbench.data.times import GUESSED_INTERVALS, UNREADABLE
from workbench.data.universe_file import read_universe

Progress = Callable[[int, int, str], None]
VERSION = "import 1"
INTERVALS = (*GUESSED_INTERVALS, SESSION_MINUTES)
ACCEPTABLE = ("second source", "reused ticker")


def import_bars(
    path: Path | str,
    store_root: Path | str,
    columns: Mapping[str, str] | None = None,
    interval: int | None = None,
    timezone: str | None = None,
    universe: Path | str | Universe | None = None,
    stamp: str | None = None,
    accept: tuple[str, ...] = (),
    progress: Progress | None = None,
) -> ImportReport:
    """Import a file or a folder of files (Parquet or CSV) into the store at `store_root`.

    `columns` maps field -> column name; `interval` minutes per bar (1, 5, 390 for daily; others become daily bars);
    `timezone` of times that carry none; `stamp` "start" or "end"; what is not given is guessed and reported.
    `universe`: rows of other symbols are quarantined; without one every symbol is a plain stock. `accept`: reasons
    among "second source" and "reused ticker" that shall not quarantine. Importing the same twice changes nothing.
    :class:`DataError` if nothing usable remains or a file cannot be understood.
    """
    options = _options(columns, interval, timezone, stamp, accept)
    files, store = find_files(Path(path)), Store(store_root)
    listed = read_universe(universe) if isinstance(universe, (str, Path)) else universe
    job = _Job.of(files, options, listed, accept, Path(path), store)
    done = job.finished()
    if done is not None:
        return done
    parts = [job.part(i, progress) for i in range(len(files))]
    if progress:
        progress(len(files), len(files), "checking the whole and writing the store")
    return job.finish(parts)


def _options(
    columns: Mapping[str, str] | None, interval: int | None, timezone: str | None, stamp: str | None,
    accept: tuple[str, ...],
) -> Options:  # fmt: skip
    if stamp not in (None, "start", "end"):
        raise DataError(f"--stamp {stamp}: say start or end")
    if interval is not None and interval not in INTERVALS:
        known = ", ".join(map(str, INTERVALS[:-1]))
        raise DataError(f"--interval {interval}: minutes per bar must be {known} or {INTERVALS[-1]} (daily bars)")
    wrong = [a for a in accept if a not in ACCEPTABLE]
    if wrong:
        raise DataError(f"--accept {wrong[0]}: only {' and '.join(ACCEPTABLE)} can be accepted")
    return Options(dict(columns or {}), interval, timezone, stamp)


@dataclass(frozen=True, slots=True)
class _Part:
    """A file that was read and checked: its report (None: empty), clean and quarantined rows."""

    report: FileReport | None
    clean: pd.DataFrame
    bad: pd.DataFrame
    note: str = ""


@dataclass(frozen=True, slots=True)
class _Job:
    """One import: the files, how to read them and where to put them. `names` maps file number -> content digest."""

    files: list[Path]
    labels: list[str]
    names: list[str]
    options: Options
    universe: Universe | None
    accept: tuple[str, ...]
    origin: str
    store: Store
    id: str

    @classmethod
    def of(
        cls, files: list[Path], options: Options, universe: Universe | None, accept: tuple[str, ...], root: Path,
        store: Store,
    ) -> _Job:  # fmt: skip
        origin = root.resolve().name
        if origin == EMBEDDED:
            origin = f"{origin} (imported)"
        how = asdict(options)
        labels = [str(f.relative_to(root)) if root.is_dir() else f.name for f in files]
        names = [digest(VERSION, how, label, _file_digest(f)) for f, label in zip(files, labels)]
        listed = [asdict(i) for i in universe.instruments] if universe else None
        job = digest(names, origin, listed, list(accept))
        store.origins_with(origin)  # refuse to mix with the embedded market before any work
        return cls(files, labels, names, options, universe, accept, origin, store, job)

    @property
    def folder(self) -> Path:
        return self.store.root / "imports"

    @property
    def record(self) -> Path:
        return self.folder / f"{self.id}.json"

    def finished(self) -> ImportReport | None:
        """The report of the same import, if the store still holds what it left."""
        if not self.record.is_file():
            return None
        report = ImportReport.from_dict(json.loads(self.record.read_text(encoding="utf-8")))
        return replace(report, unchanged=True) if report.store_digest == self.store.digest else None

    def part(self, number: int, progress: Progress | None) -> _Part:
        """One file, from what an interrupted import put aside or read anew."""
        if progress:
            progress(number, len(self.files), f"reading {self.files[number].name}")
        base = self.folder / "parts" / self.names[number]
        record = base.with_suffix(".json")
        if not record.is_file():
            record.parent.mkdir(parents=True, exist_ok=True)
            part = _read(self.files[number], self.labels[number], self.options)
            write_parquet(part.clean, base.with_suffix(".clean"))
            write_parquet(part.bad, base.with_suffix(".bad"))
            told = {"report": asdict(part.report) if part.report else None, "note": part.note}
            replace_file(record, json.dumps(told).encode())
            return part
        told = json.loads(record.read_text(encoding="utf-8"))
        report = (
            FileReport(**{**told["report"], "ignored": tuple(told["report"]["ignored"])}) if told["report"] else None
        )
        return _Part(report, _load(base.with_suffix(".clean")), _load(base.with_suffix(".bad")), told["note"])

    def finish(self, parts: list[_Part]) -> ImportReport:
        """Check the whole, write the store and the quarantine, keep the report."""
        reports = tuple(p.report for p in parts if p.report)
        if not reports:
            raise DataError("; ".join(p.note for p in parts))
        interval = _one_interval(reports)
        clean = _sorted(pd.concat([p.clean for p in parts if p.report], ignore_index=True))
        bad = [p.bad for p in parts if len(p.bad)]
        findings = [Finding("empty file", "", label, p.note) for label, p in zip(self.labels, parts) if not p.report]
        clean = self._sieve(clean, duplicate_reasons(clean, np.ones(len(clean), bool)), bad)
        if self.universe is not None:
            strange = ~clean["symbol"].isin(self.universe.symbols).to_numpy()
            clean = self._sieve(clean, np.where(strange, "not in the universe", "").astype(object), bad)
        reason, told = series_reasons(clean, interval, self.accept)
        clean = self._sieve(clean, reason, bad)
        kept, stored = len(clean), clean
        if is_daily(interval) and interval < SESSION_MINUTES:
            clean = self._sieve(clean, thin_sessions(clean, interval), bad)
            kept, stored = len(clean), rows_to_daily(clean)
        lost = pd.concat(bad, ignore_index=True) if bad else clean.iloc[:0].assign(reason="")
        self._refuse_nothing(kept, lost)
        findings += told + coverage(clean, interval)
        kind = SESSION_MINUTES if is_daily(interval) else interval
        return self._write(reports, stored, kind, kept, lost, findings)

    def _sieve(self, frame: pd.DataFrame, reason: np.ndarray, bad: list[pd.DataFrame]) -> pd.DataFrame:
        checked = split(frame, reason)
        if len(checked.quarantined):
            bad.append(checked.quarantined)
        return checked.clean

    def _refuse_nothing(self, kept: int, lost: pd.DataFrame) -> None:
        if kept:
            return
        counts = ", ".join(f"{n} {reason}" for reason, n in lost["reason"].value_counts().items())
        raise DataError(
            f"no usable bar in {self.origin}: all {len(lost)} rows are bad ({counts}); "
            f"the first is {row_name(lost, 0)}: {REASONS[lost['reason'].iloc[0]]}"
        )

    def _write(
        self, reports: tuple[FileReport, ...], stored: pd.DataFrame, kind: int, kept: int, lost: pd.DataFrame,
        findings: list[Finding],
    ) -> ImportReport:  # fmt: skip
        symbols = sorted(map(str, stored["symbol"].unique()))
        if self.universe is not None:
            empty = [s for s in self.universe.symbols if s not in symbols]
            symbols = [s for s in self.universe.symbols if s in symbols]
            findings += [
                Finding("no bars", s, "the whole range", "in the universe, but without a good bar") for s in empty
            ]
        if len(symbols) == 1:
            detail = "nothing to compare it with: ranks and residuals across symbols stay unknown"
            findings.append(Finding("one symbol", symbols[0], "the whole range", detail))
        self._write_universe(symbols)
        self.store.write_rows(stored, kind, self.origin)
        report = ImportReport(
            reports, kind, kept + len(lost), kept, len(lost), *_counts(lost), tuple(findings), tuple(symbols),
            tuple(sorted(set(lost["symbol"].astype(str)) - set(symbols) - {""})),
            int(stored["ts"].min()), int(stored["ts"].max()), self.origin, self._quarantine(lost), self.store.digest,
        )  # fmt: skip
        replace_file(self.record, json.dumps(report.to_dict(), indent=1).encode())
        shutil.rmtree(self.folder / "parts", ignore_errors=True)
        return report

    def _write_universe(self, symbols: list[str]) -> None:
        """Instruments keep their places; new ones follow in the order of the file."""
        if self.universe is None:
            return
        path = self.store.root / "universe.toml"
        before = read_universe(path).instruments if path.is_file() else ()
        merged = {i.symbol: i for i in (*before, *self.universe.select(tuple(symbols)).instruments)}
        self.store.write_universe(Universe(tuple(merged.values())))

    def _quarantine(self, lost: pd.DataFrame) -> str:
        """Put the bad rows beside the store, in place of those of the same import; the file's name, "" if none."""
        path = self.store.root / "quarantine.parquet"
        rows = lost.assign(**{"import": self.id})
        if path.is_file():
            before = _load(path)
            rows = pd.concat([before[before["import"] != self.id], rows], ignore_index=True)
        if not len(rows):
            return ""
        path.parent.mkdir(parents=True, exist_ok=True)
        write_parquet(_plain(rows), path)
        return path.name if len(lost) else ""


def _read(file: Path, label: str, options: Options) -> _Part:
    try:
        reading = read_bars(file, options, label)
    except EmptyFileError as error:
        none = pd.DataFrame({"symbol": pd.Series([], dtype=str), "ts": np.array([], np.int64)})
        return _Part(None, none, none, str(error))
    checked = check(reading.frame, reading.interval)
    report = FileReport(
        label, len(reading.frame), reading.columns, reading.ignored, reading.interval, reading.times,
        reading.stamp, reading.stamp_why,
    )  # fmt: skip
    return _Part(report, checked.clean, checked.quarantined)


def _load(path: Path) -> pd.DataFrame:
    table = pq.read_table(path)
    ts = pc.fill_null(table.column("ts").cast(pa.timestamp("ns", "UTC")).cast(pa.int64()), UNREADABLE).to_numpy()
    return table.drop_columns(["ts"]).to_pandas().assign(ts=ts)


def _plain(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(**{c: rows[c].astype(str) for c in ("symbol", "file", "reason", "import")})


def _sorted(frame: pd.DataFrame) -> pd.DataFrame:
    """By symbol and time, the symbol as one category."""
    frame = frame.assign(symbol=pd.Categorical(frame["symbol"].astype(object)), file=frame["file"].astype(object))
    order = np.lexsort((frame["row"].to_numpy(), frame["ts"].to_numpy(), frame["symbol"].cat.codes.to_numpy()))
    return frame.iloc[order].reset_index(drop=True)


def _one_interval(reports: tuple[FileReport, ...]) -> int:
    found = {r.interval: r.name for r in reports}
    if len(found) > 1:
        told = ", ".join(f"{minutes} minutes in {name}" for minutes, name in sorted(found.items()))
        raise DataError(f"files of different bar lengths ({told}); import each kind by itself, into the same store")
    return next(iter(found))


def _counts(lost: pd.DataFrame) -> tuple[dict[str, int], dict[str, str]]:
    counts = {str(k): int(v) for k, v in lost["reason"].value_counts().items()}
    return counts, {reason: row_name(lost, int(np.argmax(lost["reason"] == reason))) for reason in counts}


def _file_digest(path: Path) -> str:
    with path.open("rb") as f:
        return hashlib.file_digest(f, "blake2b").hexdigest()
