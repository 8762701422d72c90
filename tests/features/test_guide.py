"""The guide names every feature with its bounds, and its snippets run."""

from __future__ import annotations

import re
from pathlib import Path

from workbench.features.catalogue import catalogue, daily_catalogue

GUIDE = (Path(__file__).parents[2] / "docs" / "guides" / "features.md").read_text(encoding="utf-8")


def test_the_guide_lists_the_catalogue():
    for spec in (*catalogue(True), *daily_catalogue()):
        assert f"| `{spec.name}` | {spec.low:g} .. {spec.high:g} | {spec.description} |" in GUIDE


def test_the_snippets_run():
    names: dict[str, object] = {}
    for snippet in re.findall(r"```python\n(.*?)```", GUIDE, re.S):
        exec(snippet, names)
    assert names["history"].names[-1] == "slope_10"
