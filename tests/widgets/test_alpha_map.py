"""The heat map of alphas: every number of a cell, what is unknown, what a click does, and what is sent."""

from __future__ import annotations

import gc
from types import SimpleNamespace

import numpy as np
import pytest
from bokeh.document import Document
from made_decisions import NAN, SYMBOLS, made

from workbench.core.horizon import N_HORIZONS
from workbench.widgets.alpha_map import LABELS, AlphaMap, Shares, bound, cells, mean_shares


def cell(column: np.ndarray, horizon: str, symbol: str) -> float:
    return float(column.reshape(N_HORIZONS, -1)[LABELS.index(horizon), SYMBOLS.index(symbol)])


def test_every_quantity_of_a_cell() -> None:
    alpha = np.full((N_HORIZONS, 3), 4.0)
    alpha[LABELS.index("30m")] = (10.0, -3.0, NAN)
    d, s, _ = made(alpha_bps=alpha, cost_bps=2.0, sigma=2e-3)
    told = cells(d, s)
    assert cell(told["alpha"], "30m", "AAA") == pytest.approx(10.0)
    assert cell(told["net"], "30m", "AAA") == pytest.approx(6.0)  # less a round trip of 2 * 2
    assert cell(told["net"], "30m", "BBB") == pytest.approx(0.0)  # a cost turns no sign
    assert cell(told["sigmas"], "30m", "AAA") == pytest.approx(0.5)  # 10 bps of 20 bps
    assert cell(told["rate"], "30m", "AAA") == pytest.approx(130.0)  # 13 times in 390 minutes
    assert cell(told["rate"], "5d", "AAA") == pytest.approx(0.8)
    assert cell(told["weight"], "5m", "BBB") == 1.0
    assert all(np.isnan(cell(told[k], "30m", "CCC")) for k in ("alpha", "net", "sigmas", "rate"))


def test_cells_show_the_chosen_unit_and_unknown_ones_are_hatched() -> None:
    alpha = np.full((N_HORIZONS, 3), 1.0)
    alpha[0] = (12.0, -0.5, NAN)
    shown = AlphaMap(SYMBOLS)
    d, s, _ = made(alpha_bps=alpha, cost_bps=1.0)
    shown.show(d, s)
    columns = shown.columns.data
    assert columns["number"][:3] == ["+12.0", "-0.50", ""]
    assert columns["hatch"][:3].tolist() == [0.0, 0.0, 1.0]
    shown.unit = "net"
    assert shown.columns.data["number"][:3] == ["+10.0", "0", ""]
    assert "<td>+10.0</td>" in shown.numbers_html()
    assert "–" in shown.numbers_html()


def test_colours_are_symmetric_and_change_their_meaning_rarely() -> None:
    shown = AlphaMap(SYMBOLS)
    figure = shown.plot.get_root(Document()).children[0]
    mapper = figure.right[0].color_mapper
    for top, expected in ((3.1, 5.0), (4.9, 5.0), (5.1, 7.0)):
        d, s, _ = made(alpha_bps=np.array([top, -1.0, NAN]))
        shown.show(d, s)
        assert (mapper.low, mapper.high) == (-expected, expected)
    assert bound(np.array([0.00023])) == pytest.approx(0.0003)
    assert bound(np.array([-7.0])) == 7.0


def test_a_click_chooses_the_symbol_and_outlines_it() -> None:
    shown = AlphaMap(SYMBOLS)
    d, s, _ = made()
    shown.show(d, s)
    for x, symbol in ((1.5, "BBB"), (2.99, "CCC"), (-0.1, "CCC"), (3.0, "CCC")):
        shown._tapped(SimpleNamespace(x=x))
        assert shown.symbol == symbol
    assert shown.clicks == 2
    assert shown.columns.data["chosen"].reshape(N_HORIZONS, 3).tolist() == [[0.0, 0.0, 1.0]] * N_HORIZONS


def test_many_symbols_have_no_numbers_but_every_other_sign() -> None:
    many = tuple(f"S{i:03d}" for i in range(100))
    shown = AlphaMap(many)
    d, s, _ = made(many, alpha_bps=np.linspace(-5, 5, 100))
    shown.show(d, s)
    figure = shown.plot.get_root(Document()).children[0]
    assert set(shown.columns.data["number"]) == {""}
    assert list(figure.x_range.factors) == list(many)
    assert shown.numbers_html().count("<tr>") == 101


def test_figures_that_are_gone_leave_nothing_behind() -> None:
    view = AlphaMap(SYMBOLS)
    for _ in range(5):
        view._draw()
    gc.collect()
    assert (len(view._mappers), len(view.columns._sources)) == (0, 0)


def test_shares_are_the_mean_over_names_that_are_heard() -> None:
    weights = np.zeros((N_HORIZONS, 3))
    weights[0, 0], weights[1, 0], weights[0, 1] = 0.7, 0.3, 1.0  # CCC is not heard for any horizon
    shares = Shares()
    shares.show(weights, chosen=0)
    assert shares.columns.data["mean"][:3].tolist() == pytest.approx([0.85, 0.15, 0.0])
    assert shares.columns.data["one"][:2].tolist() == pytest.approx([0.7, 0.3])
    shares.show(weights, chosen=None)
    assert np.isnan(shares.columns.data["one"]).all()
    assert np.isnan(mean_shares(np.zeros((N_HORIZONS, 2)))).all()
