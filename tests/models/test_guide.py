"""The snippets of the guide run, and the family that a reader writes in it learns, exports and agrees."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from workbench.models.runtime import load_fitted

GUIDE = (Path(__file__).parents[2] / "docs" / "guides" / "models.md").read_text(encoding="utf-8")


def test_the_snippets_run_and_the_readers_family_works():
    names: dict = {"__name__": "guide"}
    for snippet in re.findall(r"```python\n(.*?)```", GUIDE, re.S):
        exec(compile(snippet, "models.md", "exec", dont_inherit=True), names)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2000, 3))
    y = 0.3 * x[:, 0] + rng.standard_normal(2000)
    fitted = names["mine"]["Means"].fit(x, y, seed=0)
    assert np.corrcoef(fitted.predict(x), x[:, 0])[0, 1] > 0.9
    np.testing.assert_allclose(load_fitted("Means", fitted.files()).predict(x), fitted.predict(x), atol=1e-5)


def test_every_family_is_in_the_table():
    from workbench.models.registry import FAMILIES

    table = GUIDE[: GUIDE.index("## What all families promise")]
    assert [name for name in FAMILIES if not re.search(rf"\b{name}\b", table)] == []
