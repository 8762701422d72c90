"""How commands print what they return."""

from __future__ import annotations

import json
import math
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

WIDTH = 150


def console() -> Console:
    """Where tables are printed: as wide as the terminal, or wide enough for all of it in a file."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else WIDTH)


def show(outcome: dict[str, Any], as_json: bool) -> None:
    """Print an outcome: as JSON, or as aligned lines with the report last."""
    if as_json:
        print(json.dumps(_plain(outcome), indent=1, sort_keys=True, allow_nan=False))
        return
    last = {k: v for k, v in outcome.items() if k == "report"}
    for line in _lines({k: v for k, v in outcome.items() if k not in last} | last):
        print(line)


def _plain(value: Any) -> Any:
    """The same with null for every number that is unknown: JSON has no NaN."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _lines(tree: dict[str, Any], indent: str = "") -> list[str]:
    """A mapping as aligned `name  value` lines; the value of ``report`` stands alone in the last one."""
    lines: list[str] = []
    width = max((len(str(k)) for k in tree), default=0)
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            lines += [f"{indent}{key}", *_lines(value, indent + "  ")]
        elif isinstance(value, (list, tuple)) and value:
            lines += [f"{indent}{key}", *(f"{indent}  - {item}" for item in value)]
        else:
            lines.append(f"{indent}{key!s:<{width}}  {value}")
    return lines
