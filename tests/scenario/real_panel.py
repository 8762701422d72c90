"""Where the private panel of real bars lies. Its absence is said aloud, and fails where it must be there."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import pytest

SHARED = Path(os.environ.get("WORKBENCH_SHARED_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))


def panel() -> Path:
    """The folder of 5-minute bars by month."""
    found = SHARED / "us_equity_5min"
    if found.is_dir():
        return found
    message = f"NOT TESTED ON REAL BARS: {found} is absent"
    if os.environ.get("WORKBENCH_CI"):
        pytest.fail(message)
    warnings.warn(message, stacklevel=2)
    pytest.skip(message)
