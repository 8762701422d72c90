"""Events as they arrive give the same features as bars from a store."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.config import FeatureSettings
from workbench.core.bars import QUOTE_FIELDS, TRADE_FIELDS
from workbench.core.errors import DataError, LookAheadError
from workbench.core.types import MarketEvent
from workbench.features.engine import FeatureEngine


def events(bars, t, fields, kind="bar"):
    for i, symbol in enumerate(bars.symbols):
        payload = {name: float(getattr(bars, name)[t, i]) for name in fields}
        if not np.isnan(payload.get("close", 0.0)):
            yield MarketEvent(kind, symbol, int(bars.ts[t]) + 1_000_000_000, payload)


def test_events_and_bars_give_the_same_snapshot(market, holed):
    by_bars, by_events = (FeatureEngine(market.universe, FeatureSettings(), True) for _ in range(2))
    for engine in (by_bars, by_events):
        engine.advance(holed.rows(0, 700))
    for t in range(700, 760):
        by_bars.advance(holed.rows(t, t + 1))
        for event in [*events(holed, t, TRADE_FIELDS), *events(holed, t, QUOTE_FIELDS, "quote")]:
            by_events.on_event(event)
        by_events.on_event(MarketEvent("status", "anything", int(holed.ts[t]), {"halted": 1}))
        by_events.close_bar(int(holed.ts[t]))
        assert by_events.snapshot().digest == by_bars.snapshot().digest


def test_a_symbol_whose_bar_is_late_is_missing(market):
    engine = FeatureEngine(market.universe, FeatureSettings(), True)
    t = 100
    for event in events(market.bars, t, TRADE_FIELDS):
        if event.symbol != market.bars.symbols[4]:
            engine.on_event(event)
    part = engine.close_bar(int(market.bars.ts[t]))
    assert np.flatnonzero(np.isnan(part.price[0])).tolist() == [4]
    assert part.session[0] == market.bars.session[t]
    assert part.bar_of_session[0] == market.bars.bar_of_session[t]


def test_quotes_that_training_did_not_have_serve_costs_but_no_feature(market):
    engine = FeatureEngine(market.universe, FeatureSettings(), False)
    for event in [*events(market.bars, 0, TRADE_FIELDS), *events(market.bars, 0, ("bid", "ask"), "quote")]:
        engine.on_event(event)
    part = engine.close_bar(int(market.bars.ts[0]))
    assert not part.spread_estimated
    assert np.isfinite(part.spread).all()
    assert "ofi_1" not in part.names


def test_bad_events_are_named(market):
    engine = FeatureEngine(market.universe, FeatureSettings(), False)
    symbol, ts = market.bars.symbols[0], int(market.bars.ts[0])
    with pytest.raises(DataError, match=f"not in the universe. Did you mean '{symbol}'"):
        engine.on_event(MarketEvent("bar", symbol + "Q", ts, {"close": 1.0}))
    with pytest.raises(DataError, match="is not the end of a 5-minute bar"):
        engine.close_bar(ts + 1)
    engine.on_event(MarketEvent("bar", symbol, ts + 600 * 10**9, {"close": 1.0}))
    with pytest.raises(LookAheadError, match="is in the bar that ends at"):
        engine.close_bar(ts)
