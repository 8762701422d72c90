"""Messages as plain mappings for the journal, and back: numbers, strings and lists only, NaN as None."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from math import isnan, nan
from typing import Any, TypeVar

from workbench.execution.reports import (
    CommissionReport,
    ErrorReport,
    ExecutionReport,
    Link,
    LinkReport,
    OrderReport,
    Report,
)

T = TypeVar("T")
REPORTS: dict[str, type] = {
    "order": OrderReport,
    "execution": ExecutionReport,
    "commission": CommissionReport,
    "error": ErrorReport,
    "link": LinkReport,
}  # name in the journal -> report


def flat(message: Any) -> Any:
    """A message, or a list of them, as plain mappings.

    >>> flat(CommissionReport("1.01", 0.35, "USD", nan, 7))["realized_pnl"] is None
    True
    """
    if is_dataclass(message):
        return {f.name: flat(getattr(message, f.name)) for f in fields(message)}
    if isinstance(message, (list, tuple)):
        return [flat(m) for m in message]
    if isinstance(message, Mapping):
        return {str(k): flat(v) for k, v in message.items()}
    if isinstance(message, Enum):
        return message.value
    return None if isinstance(message, float) and isnan(message) else message


def build(cls: type[T], value: Any) -> T:
    """The message of type `cls` that `value` describes; a message comes back as it is."""
    if isinstance(value, cls):
        return value
    return cls(**{f.name: _number(value[f.name], str(f.type)) for f in fields(cls) if f.name in value})  # type: ignore[arg-type]


def _number(value: Any, annotation: str) -> Any:
    return (nan if value is None else float(value)) if annotation == "float" else value


def report_payload(report: Report) -> dict[str, Any]:
    """A report with the name of its type."""
    name = next(name for name, cls in REPORTS.items() if isinstance(report, cls))
    return {"type": name, "report": flat(report)}


def report_of(payload: Mapping[str, Any]) -> Report:
    """The report that :func:`report_payload` wrote."""
    report: Report = build(REPORTS[payload["type"]], payload["report"])
    if isinstance(report, LinkReport):
        return LinkReport(Link(report.link), report.code, report.text, report.time)
    return report
