"""While training runs, each finished fit tells its IC: the one that its forecasts turn out to have."""

from __future__ import annotations

import re

import numpy as np
import pytest

from workbench.stats.ic import information_coefficient
from workbench.training.cells import Cell
from workbench.training.learning import told
from workbench.training.walkforward import train


def test_the_ic_told_is_that_of_the_forecasts(small):
    said = []
    settings = small.settings.change(
        training={"families": ("FTRLProximal",), "barriers": ("FTRLProximal",)}, system={"horizons": ("30m",)}
    )
    t = train(small.market.bars, small.market.daily, small.history, small.labels, settings,
              progress=lambda done, total, text: said.append(text))  # fmt: skip
    oof = t.oofs["30m"]
    heard = {int(m[1]): float(m[2]) for text in said
             if (m := re.fullmatch(r"FTRLProximal 30m, segment (\d+): IC ([+-][\d.]+)", text))}  # fmt: skip
    assert set(heard) == set(np.unique(oof.fold).tolist())
    for fold, ic in heard.items():
        r = oof.take(oof.fold == fold)
        kind = "cross_section" if len(r.symbols) >= 5 else "pooled"
        whole = information_coefficient(r.forecast, r.label, r.known_at, r.session, sigma=r.sigma_h, kind=kind)
        assert ic == pytest.approx(whole.value[0], abs=5e-4)
    assert any(text == "FTRLProximal 30m, final" for text in said)
    assert any("peak" in text and "IC" not in text for text in said)


def test_a_fit_without_forecasts_is_only_named():
    assert told(Cell("5m", "MLP", "single_task", "peak", None, 0), float("nan")) == "MLP 5m peak, final"
    assert told(Cell("5m", "MLP", "single_task", "value", None, 0), -0.0123) == "MLP 5m, final: IC -0.012"
