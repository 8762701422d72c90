"""features.quotes: which features of quotes there are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from workbench.config import FeatureSettings
from workbench.core.errors import DataError
from workbench.features.catalogue import FLOW_FEATURES
from workbench.features.engine import FeatureEngine, build_history

TOP, NONE = FeatureSettings(quotes="top"), FeatureSettings(quotes="none")


def test_top_is_all_without_the_order_flow_bit_for_bit(market):
    every = build_history(market.bars, None, market.universe)
    top = build_history(market.bars, None, market.universe, TOP)
    kept = [i for i, name in enumerate(every.names) if name not in FLOW_FEATURES]
    assert top.names == tuple(every.names[i] for i in kept)
    np.testing.assert_array_equal(top.values, every.values[:, :, kept])
    np.testing.assert_array_equal(top.spread, every.spread)


def test_top_needs_no_order_flow_and_is_the_same_without_it(market):
    top = build_history(market.bars, None, market.universe, TOP)
    without = build_history(replace(market.bars, ofi=None), None, market.universe, TOP)
    assert without.digest == top.digest


def test_none_keeps_quotes_for_costs_alone(market):
    history = build_history(market.bars, None, market.universe, NONE)
    assert not any("quote" in n or "queue" in n or "ofi" in n for n in history.names)
    assert not history.spread_estimated


def test_in_chunks_as_in_one_go(market):
    engine = FeatureEngine(market.universe, TOP, True)
    cut = len(market.bars.ts) - 7
    engine.advance(market.bars.rows(0, cut))
    part = engine.advance(market.bars.rows(cut, len(market.bars.ts)))
    whole = build_history(market.bars, None, market.universe, TOP)
    np.testing.assert_array_equal(part.values, whole.values[cut:])


def test_missing_top_quotes_are_named(market):
    with pytest.raises(DataError, match="lack bid_size, ask_size"):
        FeatureEngine(market.universe, TOP, True).advance(replace(market.bars, bid_size=None, ask_size=None))
