"""The market view: what the map, the candles and the tables hold, and that both kinds of widgets turn them."""

from __future__ import annotations

from dataclasses import replace

import ipywidgets
import numpy as np
import pandas as pd
import pytest

from workbench.core.bars import QUOTE_FIELDS, TRADE_FIELDS
from workbench.core.calendar import iso_date
from workbench.core.errors import DataError
from workbench.data.importers import import_bars
from workbench.data.simulate import MarketSettings, simulate
from workbench.data.store import Store
from workbench.widgets import view
from workbench.widgets.market import MarketView, bars_card, coverage_cells, store_card


@pytest.fixture(scope="module")
def market():
    """Eight sessions that end on 2025-07-08: 2025-07-03 closes early."""
    return simulate(MarketSettings(symbols=3, intraday_sessions=8, daily_sessions=30, seed=5, end="2025-07-08"))


@pytest.fixture(scope="module")
def store(market, tmp_path_factory):
    made = Store(tmp_path_factory.mktemp("store"))
    made.write_universe(market.universe)
    for bars in (market.minute, market.bars, market.daily):
        made.write(bars)
    return made


def holed(bars, rows, column):
    """The same bars, of which those rows of a column are unknown."""
    changed = {}
    for name in (*TRADE_FIELDS, *QUOTE_FIELDS):
        changed[name] = getattr(bars, name).copy()
        changed[name][rows, column] = np.nan
    return replace(bars, **changed)


def part(figure, kind):
    """The first element of an overlay that is of this type."""
    return next(e for e in figure.traverse(lambda e: e) if type(e).__name__ == kind)


def test_the_map_counts_an_early_close_as_whole_and_a_hole_as_missing(market):
    shown = MarketView(holed(market.bars, slice(0, 39), 1))
    cells = coverage_cells(shown.coverage).set_index(["symbol", "days"])
    hole = cells.loc[(market.bars.symbols[1], iso_date(market.bars.session[0]))]
    assert (hole["found"], hole["expected"], hole["class"]) == (39, 78, "half and more")
    early = cells.loc[(market.bars.symbols[0], "2025-07-03")]
    assert (early["found"], early["expected"], early["early"], early["class"]) == (42, 42, "yes", "complete")
    drawn = list(shown.coverage_map())
    assert {r.label for r in drawn} == {"complete", "half and more"}
    assert sum(len(r) for r in drawn) == 3 * 8


def test_years_are_pooled_into_columns_that_fit(market, monkeypatch):
    monkeypatch.setattr("workbench.widgets.market.COLUMNS", 3)
    shown = MarketView(market.bars)
    assert sum(len(r) for r in shown.coverage_map()) == 3 * 3
    assert "Columns hold several sessions" in shown.coverage_legend()


def test_gaps_are_told_with_the_exchange_s_time(market):
    told = MarketView(holed(market.bars, slice(80, 90), 2)).gap_table()
    day = iso_date(market.bars.session[80])
    assert f"{day} 09:45" in told
    assert f"{day} 10:30" in told
    assert "10 5 min bars are missing, in 1 runs" in told
    assert "No bar is missing" in MarketView(market.bars).gap_table()


def test_candles_are_the_bars_of_the_chosen_symbol_session_and_length(store, market):
    shown = view(store)
    assert (shown.session, shown.symbol) == ("2025-07-08", market.bars.symbols[0])
    shown.symbol, shown.session = market.bars.symbols[2], "2025-07-03"
    body = part(shown.candlesticks(), "Rectangles").dframe()
    day = market.bars.session == np.datetime64("2025-07-03", "D").astype(int)
    assert len(body) == 42
    for name in ("Open", "High", "Low", "Close"):
        np.testing.assert_array_equal(body[name], getattr(market.bars, name.lower())[day, 2])
    assert body["Bar end"].tolist()[:2] == ["09:35", "09:40"]
    assert body["time"].iloc[0] > pd.Timestamp("2025-07-03 09:30"), "drawn before its END, after its start"
    assert body["to"].iloc[0] < pd.Timestamp("2025-07-03 09:35")
    np.testing.assert_array_equal(shown.volume().dframe()["shares"], market.bars.volume[day, 2])
    wide = (market.bars.ask - market.bars.bid)[day, 2] / market.bars.mid[day, 2] * 1e4
    np.testing.assert_allclose(shown.spread().dframe()["spread"], wide, rtol=1e-9)
    shown.interval = "1 min"
    assert len(part(shown.candlesticks(), "Rectangles")) == 210


def test_the_chosen_session_is_marked_among_the_days(store, market):
    shown = view(store)
    shown.session = "2025-07-07"
    days = part(shown.sessions(), "Rectangles").dframe()
    at = part(shown.sessions(), "VLine").data
    assert days["Session"].iloc[int(at)] == "2025-07-07"
    assert days["Session"].iloc[-1] == "2025-07-08"


def test_the_session_table_shows_unknown_as_a_dash_never_as_zero(market):
    shown = MarketView(holed(market.bars, slice(0, 78), 1))
    shown.session = iso_date(market.bars.session[0])
    row = shown.overview().split(f"<td>{market.bars.symbols[1]}</td>")[1].split("</tr>")[0]
    assert row.count("–") == 9
    assert "0 of 78" in row
    shown.session = "2025-07-03"
    assert "42 bars expected; early close" in shown.overview()


def test_an_ipywidget_turns_the_view_and_follows_it(store, market):
    shown = view(store)
    symbol, session, interval = shown.widget().children[2].children
    assert isinstance(symbol, ipywidgets.Dropdown | ipywidgets.ToggleButtons)
    symbol.value = market.bars.symbols[1]
    assert shown.symbol == market.bars.symbols[1]
    shown.session = "2025-07-02"
    assert session.value == "2025-07-02"
    assert [o[1] for o in interval.options] == ["5 min", "1 min"]


def test_quarantined_rows_stand_there_with_reason_file_and_row(market, tmp_path):
    bars = market.bars.rows(0, 156).select(market.bars.symbols[:1])
    rows = pd.DataFrame({n: getattr(bars, n)[:, 0] for n in TRADE_FIELDS})
    rows.insert(0, "time", pd.to_datetime(bars.ts, utc=True))
    rows.insert(0, "symbol", "ABC")
    rows.loc[10, "low"] = -1.0
    (tmp_path / "in").mkdir()
    rows.to_csv(tmp_path / "in" / "abc.csv", index=False)
    import_bars(tmp_path / "in", tmp_path / "store", stamp="end")
    told = view(Store(tmp_path / "store")).quarantine()
    assert "1 rows were kept out of the store" in told
    assert "price not above zero" in told
    assert "abc.csv" in told
    assert "<td>-1</td>" in told
    assert "Simulated market" not in store_card(Store(tmp_path / "store"))


def test_a_panel_says_that_it_has_no_quarantine_and_daily_bars_need_no_session_chart(market):
    shown = view(market.daily)
    assert "pass its Store" in shown.quarantine()
    assert shown.coverage.expected.tolist() == [1] * 30
    assert len(shown.body().objects) == len(view(market.bars).body().objects) - 3


def test_an_empty_panel_is_refused_with_the_remedy(market):
    with pytest.raises(DataError, match="holds no bar; serve a longer range"):
        MarketView(market.bars.rows(0, 0))


def test_cards_say_what_there_is_and_that_it_is_simulated(store, market):
    told = store_card(store)
    assert "Store: embedded" in told
    assert "planted alpha" in told
    assert "1,764 of 1,764" in told  # 3 symbols x (7 x 78 + 42) bars
    assert "with quotes" in bars_card(market.bars)
    assert "no bar" in bars_card(market.bars.rows(0, 0))
    assert "no bars yet" in store_card(Store(store.root / "nothing"))
