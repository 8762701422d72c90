"""The receipt view shows the numbers of the receipt, of whichever symbol and decision is chosen."""

from __future__ import annotations

import ipywidgets
import numpy as np
import pytest

from workbench.core.errors import ConfigError
from workbench.widgets import view
from workbench.widgets.notebook import card
from workbench.widgets.receipt import ReceiptView, telling


@pytest.fixture(scope="module")
def row(traded) -> int:
    """A bar on which something was ordered and filled."""
    recall = traded.recall
    return next(int(r) for r in recall.rows if len(recall.fills(r)) > 1)


@pytest.fixture
def shown(traded, row) -> ReceiptView:
    r = traded.recall
    return view(r.decision(row), snapshot=r.snapshot(row), book=r.book(row), orders=r.orders(row), fills=r.fills(row))


def layer(overlay, kind):
    """The first layer of one kind."""
    return next(x for x in overlay if type(x).__name__ == kind)


def test_it_begins_with_a_symbol_that_was_ordered(shown, traded, row):
    assert shown.symbol in {o.symbol for o in traded.recall.orders(row)}
    assert telling(traded.recall.decision(row)) in shown.param.symbol.objects


def test_figures_hold_the_decision(shown, traded, row):
    d = traded.recall.decision(row)
    i = d.symbols.index(shown.symbol)
    boxes = layer(shown.rate(), "Rectangles").dframe()
    assert boxes["y1"].iloc[-1] == pytest.approx(d.gate[i] * d.choice.gross[i] * 1e4)
    weights = layer(shown.weights(), "Rectangles").dframe().set_index("step")["y1"]
    assert weights["target"] == pytest.approx(100 * d.target.weights[i])
    assert list(weights.index) == ["held", "desired", "target", "ordered", "filled"]
    said = [x.dframe() for x in shown.models() if type(x).__name__ == "Points"]
    models, blend = said[0], said[-1]
    for key, value in zip(d.forecasts.keys, d.forecasts.expected_return[:, i], strict=True):
        assert models.set_index("horizon")["bps"][key.horizon] == pytest.approx(value * 1e4)
    sigma = traded.recall.snapshot(row).sigma_h[2, i]
    at_15m = blend.set_index("horizon").loc["15m"]
    assert at_15m["forecast"] == pytest.approx(d.alphas.smoothed[2, i] / sigma)
    edge = layer(shown.edge(), "Bars").dframe().set_index("horizon")
    assert edge["edge"]["15m"] == pytest.approx(d.alphas.smoothed[2, i] / d.costs.one_way[2, i] / 2)
    assert np.isnan(edge["edge"]["5m"])  # not traded: unknown, not zero


def test_choosing_another_symbol_turns_every_figure(shown, traded, row):
    d = traded.recall.decision(row)
    other = next(s for s in d.symbols if s != shown.symbol)
    before = layer(shown.weights(), "Rectangles").dframe()["y1"].tolist()
    shown.symbol = other
    assert layer(shown.weights(), "Rectangles").dframe()["y1"].tolist() != before
    assert other in shown.summary()


def test_showing_another_decision_keeps_the_symbol(shown, traded, row):
    r, chosen = traded.recall, shown.symbol
    shown.show(r.decision(row + 1), snapshot=r.snapshot(row + 1), book=r.book(row + 1))
    assert shown.symbol == chosen
    assert r.decision(row + 1).digest[:16] in shown.summary()
    assert "No order was sent" in shown.tables()


def test_orders_and_fills_are_in_the_table(shown, traded, row):
    told = shown.tables()
    mine = [f for f in traded.recall.fills(row) if f.symbol == shown.symbol]
    assert all(f.order_ref in told and f"{f.quantity:,}" in told for f in mine)
    assert "one-way cost" in told
    assert "features</summary>" in told


def test_what_is_missing_is_said(traded, row):
    alone = ReceiptView(traded.recall.decision(row))
    assert "came without its snapshot and book" in alone.summary()
    held = layer(alone.weights(), "Rectangles").dframe().set_index("step")["y1"]["held"]
    assert np.isnan(held)


def test_an_unknown_symbol_is_refused(traded, row):
    d = traded.recall.decision(row)
    with pytest.raises(ConfigError, match=f"nothing was decided on 'X'.* {len(d.symbols)} symbols"):
        ReceiptView(d, symbol="X")


def test_its_widget_is_made_of_ipywidgets_and_moves_the_symbol(shown):
    box = shown.widget()
    (turn,) = box.children[2].children
    assert isinstance(turn, (ipywidgets.Dropdown, ipywidgets.ToggleButtons))
    other = next(s for s in shown.param.symbol.objects if s != shown.symbol)
    turn.value = other
    assert shown.symbol == other


def test_the_card_tells_states_and_targets(traded, row):
    d = traded.recall.decision(row)
    told = card(d)
    largest = d.symbols[int(np.argmax(np.abs(d.target.weights)))]
    assert "Decision on 4 symbols" in told
    assert largest in told
    assert d.digest[:16] in told
    assert f"{100 * np.abs(d.target.weights).sum():.1f} %" in told
