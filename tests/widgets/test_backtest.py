"""The backtest view draws the result, splits it so that it adds up, and opens any bar."""

from __future__ import annotations

from dataclasses import replace

import ipywidgets
import numpy as np
import pytest

from workbench.core.errors import ConfigError
from workbench.engine.backtest import naive_backtest
from workbench.research import steps
from workbench.research.results_io import load_result
from workbench.widgets import view
from workbench.widgets.backtest import POINTS, BacktestView
from workbench.widgets.notebook import card


@pytest.fixture(scope="module")
def wide(traded):
    """The same decisions at twice the spread."""
    return load_result(steps.backtest_files(traded.job)[2.0])


@pytest.fixture
def shown(traded, wide) -> BacktestView:
    return view(traded.recall.result, other=wide, recall=traded.recall)


def curves(overlay):
    """label -> frame of the curves of a figure."""
    return {x.label: x.dframe() for x in overlay if type(x).__name__ == "Curve"}


def bars(overlay):
    """label -> frame of the bars of a figure, by part."""
    return {x.label: x.dframe().set_index("part")["value"] for x in overlay if type(x).__name__ == "Rectangles"}


def test_equity_and_drawdown_are_those_of_both_runs(shown, traded, wide):
    drawn, result = curves(shown.equity()), traded.recall.result
    assert list(drawn) == ["1x spread", "2x spread"]
    for run in (result, wide):
        assert drawn[run.label]["value"].iloc[-1] == pytest.approx(100 * (run.nav[-1] / run.start_nav - 1))
    worst = 100 * (1 - result.nav / np.maximum.accumulate(np.append(result.start_nav, result.nav))[1:]).max()
    assert -curves(shown.fall())["1x spread"]["value"].min() == pytest.approx(worst)
    assert curves(shown.exposure())["gross"]["value"].max() == pytest.approx(100 * result.gross.max())
    assert curves(shown.turnover())["1x spread"]["turnover"].sum() == pytest.approx(100 * result.turnover.sum())


@pytest.mark.parametrize("split", ["symbol", "horizon", "hour"])
def test_profit_is_split_and_adds_up(shown, traded, wide, split):
    shown.split = split
    drawn = bars(shown.attribution())
    for run in (traded.recall.result, wide):
        assert drawn[run.label].sum() == pytest.approx(1e4 * (run.nav[-1] / run.start_nav - 1), abs=1e-6)
    told = shown.parts()
    assert f"{traded.recall.result.nav[-1] - traded.recall.result.start_nav:,.0f}" in told


def test_the_waterfall_goes_from_gross_to_net(shown):
    for made in bars(shown.waterfall()).values():
        assert made["gross"] + made[["spread", "impact", "commission", "borrow"]].sum() == pytest.approx(made["net"])
        assert (made[["spread", "impact"]] <= 0).all()
    made = bars(shown.waterfall())
    assert made["2x spread"]["spread"] < made["1x spread"]["spread"] < 0


def test_a_click_opens_the_bar_and_its_receipt(shown, traded):
    recall, body = traded.recall, shown.shown()
    assert shown.tap.source is not None
    row = next(int(r) for r in recall.rows if r > 100 and recall.fills(r))
    shown.tap.event(x=row + 0.3, y=0.0)
    assert shown.row_of_bar == row
    assert (shown.session, shown.bar) == (recall.result.session[row], row % 78)
    assert shown._receipt.receipt.digest == recall.decision(row).digest
    assert shown._receipt.receipt.fills == tuple(f for f in recall.fills(row) if f.symbol == shown.symbol)
    assert recall.decision(row).digest[:16] in shown._receipt.summary()
    assert len(body) == len(shown.shown())
    shown.tap.event(x=-50.0, y=0.0)
    assert shown.row_of_bar == 0
    (line,) = (x for x in shown.equity() if type(x).__name__ == "VLine")
    assert line.data == 0


def test_the_keyboard_opens_the_bar_too(shown, traded):
    box = shown.widget()
    by_name = {w.description: w for w in box.children[2].children}
    assert {"split profit by", "session", "bar", "symbol"} == set(by_name)
    assert isinstance(by_name["bar"], ipywidgets.IntSlider)
    by_name["session"].value = int(traded.recall.result.session[0])
    by_name["bar"].value = 7
    assert shown.row_of_bar == 7
    assert shown._receipt.receipt.digest == traded.recall.decision(7).digest
    by_name["symbol"].value = traded.recall.result.symbols[-1]
    assert shown._receipt.symbol == traded.recall.result.symbols[-1]


def test_one_run_without_recall_says_what_to_pass(traded):
    alone = BacktestView(traded.recall.result)
    assert list(curves(alone.equity())) == ["1x spread"]
    assert len(alone.controls()) == 1
    assert "Pass recall=recall_backtest(job)" in alone.chosen()
    alone.shown()


def test_a_naive_run_is_shown_and_not_split_by_symbol(traded):
    result = traded.recall.result
    naive = naive_backtest(result, traded.job.bars)
    beside = BacktestView(result, other=naive, recall=traded.recall)
    assert list(bars(beside.attribution())) == ["1x spread"]
    assert "keeps no fills" in beside.parts()
    beside.split = "hour"
    assert list(bars(beside.attribution())) == ["1x spread", "naive"]
    assert "keeps no fills" not in beside.parts()


def test_a_recall_of_another_run_is_refused(traded, wide):
    with pytest.raises(ConfigError, match=r"recall is of the run '1x spread', not of '2x spread'"):
        BacktestView(wide, recall=traded.recall)


def test_two_runs_of_one_label_are_told_apart(traded):
    result = traded.recall.result
    assert list(curves(BacktestView(result, other=replace(result)).equity())) == ["1x spread", "1x spread (other)"]


def test_a_long_run_is_thinned_to_its_end(traded):
    r = traded.recall.result
    t = 20_000
    long = {f: np.resize(getattr(r, f), t) for f in ("nav", "gross", "net", "gross_pnl", "spread_cost", "impact_cost",
                                                    "commission", "borrow_cost", "turnover")}  # fmt: skip
    panels = {f: np.resize(getattr(r, f), (t, 4)) for f in ("weights", "target", "state")}
    times = {"ts": r.ts[0] + np.arange(t) * 300 * 10**9, "session": r.session[0] + np.arange(t) // 78}
    many = replace(r, **long, **panels, **times, horizon_share=np.zeros((t, 9)), horizon_active=np.zeros((t, 9)))
    (drawn,) = curves(BacktestView(many).equity()).values()
    assert len(drawn) <= POINTS + 1
    assert drawn["bar"].iloc[-1] == t - 1


def test_the_card_tells_what_it_earned_and_traded(traded):
    r, told = traded.recall.result, card(traded.recall.result)
    assert f"{100 * (r.nav[-1] / r.start_nav - 1):.2f} %" in told
    assert f"{r.orders:,}, {len(r.fills):,}" in told
    assert r.digest[:16] in told
