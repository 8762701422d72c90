"""Every object of the walk has a card and a view, and what the lists name exists."""

from __future__ import annotations

from importlib import import_module

import pytest

from workbench.core.errors import ConfigError
from workbench.widgets import view
from workbench.widgets.base import StageView
from workbench.widgets.registry import CARDS, VIEWS, lookup


def named(name: str):
    module, _, attribute = name.partition(":")
    return getattr(import_module(module), attribute)


@pytest.mark.parametrize("kind", VIEWS)
def test_every_view_exists_and_is_one(kind):
    assert isinstance(named(kind), type)
    assert issubclass(named(VIEWS[kind]), StageView)


@pytest.mark.parametrize("kind", CARDS)
def test_every_card_exists(kind):
    assert isinstance(named(kind), type)
    assert callable(named(CARDS[kind]))


def test_what_the_issue_names_is_there():
    names = {name.partition(":")[2] for name in CARDS}
    assert names >= {
        "Store", "Bars", "Features", "OofForecasts", "HorizonBlender", "BarrierGate", "CostArbitrator", "PositionSizer",
        "PositionValidator", "OrderPlan", "Decision", "BacktestResult", "LiveTradingSystem",
    }  # fmt: skip


def test_an_object_without_a_view_is_told_what_has_one():
    with pytest.raises(ConfigError, match="int has no view; there are views of BacktestResult"):
        view(3)


def test_a_subclass_is_shown_as_its_base():
    class Mine(named("workbench.decision.gating:BarrierGate")):
        pass

    assert lookup(CARDS, Mine) is named(CARDS["workbench.decision.gating:BarrierGate"])
