"""Makes the builders and the slow reference of the decision stages importable."""

from __future__ import annotations

import sys
from pathlib import Path

_tests = Path(__file__).resolve().parent.parent
for folder in ("decision", "reference"):
    if str(_tests / folder) not in sys.path:
        sys.path.append(str(_tests / folder))
