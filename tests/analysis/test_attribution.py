"""Attribution adds up to the result, and each part is what can be computed for it by hand."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.analysis.attribution import NO_HORIZON, OVERNIGHT, by_horizon, by_hour, by_symbol
from workbench.core.errors import DataError
from workbench.core.horizon import HORIZONS
from workbench.core.results import BacktestResult
from workbench.core.types import Fill
from workbench.engine.backtest import naive_backtest


@pytest.fixture(scope="module")
def result(traded) -> BacktestResult:
    return traded.recall.result


@pytest.mark.parametrize("split", [by_symbol, by_horizon, by_hour])
def test_the_parts_add_up_to_the_result(result, split):
    parts = split(result)
    assert parts.gross.sum() == pytest.approx(result.gross_pnl.sum(), abs=1e-3)
    assert parts.slippage.sum() == pytest.approx((result.spread_cost + result.impact_cost).sum(), abs=1e-3)
    assert parts.commission.sum() == pytest.approx(result.commission.sum(), abs=1e-6)
    assert parts.borrow.sum() == pytest.approx(result.borrow_cost.sum(), abs=1e-6)
    assert parts.net.sum() == pytest.approx(result.nav[-1] - result.start_nav, abs=1e-3)
    assert parts.traded.sum() == pytest.approx((result.turnover * result.nav).sum(), rel=1e-9)
    assert result.gross_pnl.any()
    assert result.borrow_cost.any()


def test_a_symbol_earns_what_its_shares_and_the_mids_say(result, traded):
    """Shares from the fills, marks off the bars, bar by bar."""
    bars, parts = traded.job.bars, by_symbol(result)
    rows = np.searchsorted(bars.ts, result.ts)
    mark = ((bars.bid + bars.ask) / 2)[rows]
    for i, symbol in enumerate(result.symbols):
        cash, shares = 0.0, 0
        for f in result.fills:
            if f.symbol == symbol:
                cash -= f.side * f.quantity * f.price + f.commission
                shares += f.side * f.quantity
        net = cash + shares * mark[-1, i]
        assert parts.net[i] + parts.borrow[i] == pytest.approx(net, abs=1e-3)
    assert len(set(np.sign(parts.gross))) == 2


def small(**changes) -> BacktestResult:
    """Two sessions of two bars and one symbol: 100 shares bought for 10.01 at a mid of 10, worth 11, 12, 12, 15."""
    zero, nav = np.zeros(4), 1000.0 + np.array([99.0, 199.0, 198.0, 498.0])
    value = np.array([1100.0, 1200.0, 1200.0, 1500.0])
    share = np.full((4, 9), np.nan)
    share[[0, 2]] = 0.0
    share[0, 2], share[2, [0, 8]] = 1.0, (0.25, 0.75)
    fill = Fill("e", "o", "A", 1, 100, 10.01, 0.0, 5, 10.0)
    plain = {
        "label": "small", "symbols": ("A",), "ts": np.array([10, 20, 30, 40]), "session": np.array([1, 1, 2, 2]),
        "nav": nav, "gross": zero, "net": zero, "weights": (value / nav)[:, None], "target": zero[:, None],
        "state": zero[:, None], "horizon_share": share, "horizon_active": share, "start_nav": 1000.0, "orders": 1,
        "gross_pnl": np.array([100.0, 100.0, 0.0, 300.0]), "spread_cost": np.array([1.0, 0, 0, 0]),
        "impact_cost": zero, "commission": zero, "borrow_cost": np.array([0.0, 0, 1.0, 0]),
        "turnover": np.array([1001.0 / 1099.0, 0, 0, 0]), "fills": (fill,), "breaches": (), "digest": "",
    }  # fmt: skip
    return BacktestResult(**(plain | changes))


def test_a_bar_belongs_to_the_horizons_of_the_decision_before_it():
    parts = by_horizon(small())
    earned = dict(zip(parts.names, parts.gross.tolist(), strict=True))
    assert earned["15m"] == 100.0  # the second bar: decided on the first; the third made nothing
    assert earned[HORIZONS[0].label] == 75.0
    assert earned["20d"] == 225.0
    assert earned[NO_HORIZON] == 100.0
    assert dict(zip(parts.names, parts.borrow.tolist(), strict=True))["15m"] == 1.0


def test_the_first_bar_of_a_session_stands_apart():
    parts = by_hour(small())
    assert parts.names == (OVERNIGHT, "09:30")
    assert parts.gross.tolist() == [100.0, 400.0]
    assert parts.net.tolist() == [98.0, 400.0]


def test_hours_are_counted_from_the_open(result):
    parts = by_hour(result)
    assert parts.names == (OVERNIGHT, "09:30", "10:30", "11:30", "12:30", "13:30", "14:30", "15:30")
    within = np.arange(len(result.ts)) % 78
    assert parts.gross[2] == pytest.approx(result.gross_pnl[(within >= 12) & (within < 24)].sum())


def test_borrow_falls_on_the_shorts():
    long, short = np.array([1200.0, 1200.0, 1200.0, 1200.0]), np.array([-100.0, -300.0, -300.0, -300.0])
    nav = np.full(4, 1000.0)
    flat = np.zeros((4, 3))
    weights = np.stack([long, short, 3 * short], axis=1) / nav[:, None]
    held = small(
        symbols=("A", "B", "C"), weights=weights, nav=nav, target=flat,
        state=flat, gross_pnl=np.array([-1200.0, 0, 0, 0]), spread_cost=np.zeros(4), fills=(
            Fill("1", "o", "A", 1, 100, 12.0, 0.0, 5, 12.0), Fill("2", "o", "B", -1, 30, 0.0, 0.0, 5, 0.0),
            Fill("3", "o", "C", -1, 90, 0.0, 0.0, 5, 0.0),
        ), borrow_cost=np.array([0.0, 0, 4.0, 0]),
    )  # fmt: skip
    assert by_symbol(held).borrow.tolist() == [0.0, 1.0, 3.0]


def test_what_cannot_be_split_is_told(result, traded):
    naive = naive_backtest(result, traded.job.bars)
    with pytest.raises(DataError, match=r"fills of 'naive' leave .* USD of its profit unexplained.*keeps no fills"):
        by_symbol(naive)
    assert by_hour(naive).gross.sum() == pytest.approx(naive.gross_pnl.sum())
