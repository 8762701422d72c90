"""The engine on the embedded market with the real feature history: what fills cost is what the cost model expects."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from workbench.config import Settings
from workbench.data.simulate import MarketSettings, simulate
from workbench.engine.backtest import run_backtest
from workbench.features.engine import build_history
from workbench.training.cost_probe import probe_costs

SETTINGS = Settings()


@pytest.fixture(scope="module")
def world() -> SimpleNamespace:
    market = simulate(MarketSettings(symbols=8, intraday_sessions=10, daily_sessions=60, minute=False))
    return SimpleNamespace(bars=market.bars, history=build_history(market.bars, market.daily, market.universe))


def trade_some(toy):
    """A few names a bar, flat ten minutes before the close."""

    def rule(snapshot, book):
        rng = np.random.default_rng(snapshot.known_at // 10**9)
        weights = book.weights.copy()
        weights[rng.integers(0, len(weights), 2)] = rng.uniform(-0.04, 0.04, 2)
        return weights * (snapshot.minutes_to_close > SETTINGS.sizing.flatten_before_close)

    return toy.follow(rule)


def test_money_adds_up_and_the_book_is_flat_overnight(toy, world) -> None:
    sessions = [s for s, _, _ in world.bars.sessions()]
    tranche = SimpleNamespace(first_session=sessions[6], last_session=sessions[-1], stages=None, fitted_until=0)
    r = run_backtest(world.bars, world.history, [tranche], SETTINGS, decide=trade_some(toy))
    costs = r.spread_cost + r.impact_cost + r.commission + r.borrow_cost
    np.testing.assert_allclose(r.net_pnl, r.gross_pnl - costs, rtol=0, atol=1e-6)
    last = np.r_[np.diff(r.session) != 0, True]
    assert r.gross[last].max() == 0.0
    assert r.gross[~last].max() > 0.05
    assert r.borrow_cost.sum() == 0.0
    assert len(r.fills) > 300


def test_probes_agree_with_the_cost_model_or_are_cheaper(world) -> None:
    seen = probe_costs(world.bars, world.history, SETTINGS, n=1500)
    model = 0.5 * seen.spread + 0.142 * seen.sigma_1d * seen.participation**0.6
    assert len(seen.cost) > 1000
    assert 0.4 < seen.cost.mean() / model.mean() < 1.1  # displayed shares cost no impact
