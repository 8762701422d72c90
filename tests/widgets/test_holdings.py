"""What is held against what is wanted, and gates, by symbol."""

from __future__ import annotations

import gc
from types import SimpleNamespace

import numpy as np
import pytest
from bokeh.document import Document
from made_decisions import NAN, SYMBOLS, made

from workbench.widgets.holdings import LEAST, Holdings


def test_held_and_target_stand_side_by_side_and_an_unknown_gate_is_a_cross() -> None:
    shown = Holdings(SYMBOLS, lambda _: None)
    d, _, _ = made(target=(0.04, -0.01, 0.0), gate=(0.9, NAN, 0.2), state=(2, 0, 1))
    shown.show(d, np.array([0.03, NAN, 0.0]))
    told = shown.columns.data
    assert told["target"].tolist() == pytest.approx([0.04, -0.01, 0.0])
    np.testing.assert_allclose(told["held"], [0.03, NAN, 0.0], rtol=1e-6)
    assert np.isfinite(told["cross"]).tolist() == [False, True, False]
    assert told["state"] == [
        "an edge after costs (FORECAST)", "unknown: data or models are missing (UNKNOWN)",
        "nothing to earn after costs (NO_EDGE)",
    ]  # fmt: skip


def test_the_axis_reaches_round_numbers_beyond_both_ends() -> None:
    shown = Holdings(SYMBOLS, lambda _: None)
    figure = shown.weights.get_root(Document()).children[0]
    assert (figure.y_range.start, figure.y_range.end) == (0.0, LEAST)
    d, _, _ = made(target=(0.043, -0.012, 0.0))
    shown.show(d, np.zeros(3))
    assert (figure.y_range.start, figure.y_range.end) == pytest.approx((-0.015, 0.05))
    shown.hold(np.array([0.06, 0.0, 0.0]))
    assert figure.y_range.end == pytest.approx(0.07)


def test_a_click_tells_the_symbol() -> None:
    told: list[str] = []
    shown = Holdings(SYMBOLS, told.append)
    for x in (0.2, 2.7, 9.0, None):
        shown._tapped(SimpleNamespace(x=x))
    assert told == ["AAA", "CCC"]


def test_figures_that_are_gone_leave_nothing_behind() -> None:
    view = Holdings(SYMBOLS, print)
    for _ in range(5):
        view._draw_weights()
    gc.collect()
    assert (len(view._ranges), len(view.columns._sources)) == (0, 0)
