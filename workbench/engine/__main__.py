"""``python -m workbench.engine FOLDER``: the engine process; `workbench live` and LiveTradingSystem start it."""

from __future__ import annotations

import sys
from pathlib import Path

from workbench.core.errors import WorkbenchError
from workbench.engine.process import run_engine


def main() -> int:
    """0 stopped as asked, 2 it could not run; what went wrong is on standard error and in the state file."""
    if len(sys.argv) != 2:
        print("usage: python -m workbench.engine FOLDER", file=sys.stderr)
        return 2
    try:
        run_engine(Path(sys.argv[1]))
    except WorkbenchError as error:
        print(f"workbench engine: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
