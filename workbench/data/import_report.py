"""What an import did and found, for people and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from workbench.core.calendar import iso_date
from workbench.core.units import NS_PER_DAY, SESSION_MINUTES
from workbench.data.continuity import Finding
from workbench.data.quality import REASONS


@dataclass(frozen=True, slots=True)
class FileReport:
    """One file: rows, the columns it was read by, and what was guessed about its times."""

    name: str
    rows: int
    columns: dict[str, str]
    ignored: tuple[str, ...]
    interval: int
    times: str
    stamp: str
    stamp_why: str


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did. ``rows_in == rows_kept + rows_quarantined``; `reasons` maps reason -> rows, `examples`
    reason -> the first such row; `unusable` symbols kept no row at all; times in UTC ns; `unchanged`: nothing had
    to be done."""

    files: tuple[FileReport, ...]
    interval_minutes: int
    rows_in: int
    rows_kept: int
    rows_quarantined: int
    reasons: dict[str, int]
    examples: dict[str, str]
    findings: tuple[Finding, ...]
    symbols: tuple[str, ...]
    unusable: tuple[str, ...]
    first: int
    last: int
    data_origin: str
    quarantine: str
    store_digest: str
    unchanged: bool = False

    def to_dict(self) -> dict[str, Any]:
        """The report as plain JSON types."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> ImportReport:
        files = tuple(FileReport(**{**f, "ignored": tuple(f["ignored"])}) for f in plain["files"])
        findings = tuple(Finding(**f) for f in plain["findings"])
        tuples = {name: tuple(plain[name]) for name in ("symbols", "unusable")}
        return cls(**{**plain, **tuples, "files": files, "findings": findings})

    def text(self) -> str:
        """The report for people."""
        return "\n".join(self.lines())

    def lines(self) -> tuple[str, ...]:
        """The report for people, a line per thing to know."""
        kind = "daily" if self.interval_minutes >= SESSION_MINUTES else f"{self.interval_minutes}-minute"
        lines = [
            f"{self.rows_kept} of {self.rows_in} rows kept: {kind} bars of {len(self.symbols)} symbols, "
            f"{_date(self.first)} to {_date(self.last)}"
        ]
        lines += _reading_lines(self.files)
        for reason, rows in self.reasons.items():
            lines.append(f"quarantined, {reason}: {rows} rows, first {self.examples[reason]} - {REASONS[reason]}")
        if self.rows_quarantined:
            lines.append(f"all of them with file, row and reason: {self.quarantine}")
        if self.unusable:
            lines.append(f"nothing usable at all: {', '.join(self.unusable)}")
        return (*lines, *_finding_lines(self.findings))


def _reading_lines(files: tuple[FileReport, ...]) -> list[str]:
    """How the files were read: a line or two for each way, with the number of files read so."""
    ways: dict[tuple[str, str, str], list[FileReport]] = {}
    for f in files:
        named = ", ".join(f"{field} = {column}" for field, column in f.columns.items() if field != column)
        ways.setdefault((named or "named as the fields are", f.times, f.stamp), []).append(f)
    lines = []
    for (columns, times, stamp), same in ways.items():
        which = same[0].name if len(same) == 1 else f"{same[0].name} and {len(same) - 1} more"
        ignored = f"; not read: {', '.join(same[0].ignored)}" if same[0].ignored else ""
        lines.append(f"{which}: columns {columns}{ignored}")
        lines.append(f"  times: {times}; stamped with the bar's {stamp} ({same[0].stamp_why})")
    return lines


def _finding_lines(findings: tuple[Finding, ...]) -> list[str]:
    """A line per finding; those that differ only in the symbol share one."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for f in findings:
        groups.setdefault((f.kind, f.when, f.detail), []).append(f.symbol or "all symbols")
    return [f"{kind}: {', '.join(symbols)}; {when}: {detail}" for (kind, when, detail), symbols in groups.items()]


def _date(ns: int) -> str:
    return iso_date(ns // NS_PER_DAY)
