"""The store: what was written is served, on the dense grid, as of a moment and never beyond."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from workbench.core.bars import Bars
from workbench.core.calendar import sessions_between
from workbench.core.errors import DataError, LookAheadError
from workbench.core.universe import Instrument, Universe
from workbench.data.aggregate import to_bars, to_daily
from workbench.data.simulate import Market, MarketSettings, simulate
from workbench.data.store import Store

SETTINGS = MarketSettings(symbols=4, intraday_sessions=12, daily_sessions=40, end="2025-12-05")


@pytest.fixture(scope="module")
def market() -> Market:
    return simulate(SETTINGS)


@pytest.fixture
def store(market: Market, tmp_path: Path) -> Store:
    out = Store(tmp_path / "store")
    out.write_universe(market.universe)
    for bars in (market.minute, market.bars, market.daily):
        out.write(bars)
    return out


def test_what_was_written_is_served(store: Store, market: Market) -> None:
    assert store.serve(1).digest == market.minute.digest
    assert store.serve(5).digest == market.bars.digest
    assert store.serve(390).digest == market.daily.digest
    assert store.universe() == market.universe
    assert store.data_origin == "embedded"
    assert store.serve(5).data_origin == "embedded"
    assert store.intervals() == (1, 5, 390)


def test_a_moment_shows_exactly_what_ended_by_then(store: Store, market: Market) -> None:
    for as_of in (int(market.bars.ts[100]), int(market.bars.ts[100]) + 1, int(market.bars.ts[101]) - 1):
        assert store.serve(5, as_of).digest == market.bars.upto(as_of).digest
        assert store.serve(1, as_of).digest == market.minute.upto(as_of).digest
        assert store.serve(390, as_of).digest == market.daily.upto(as_of).digest


def test_the_past_does_not_change_when_the_future_is_rewritten(store: Store, market: Market) -> None:
    as_of = int(market.bars.ts[300])
    before = store.serve(5, as_of).digest
    later = market.bars.rows(301, len(market.bars.ts))
    store.write(replace(later, close=later.close * 1.01, high=later.high * 1.02))
    assert store.serve(5, as_of).digest == before


def test_a_view_refuses_to_look_ahead(store: Store, market: Market) -> None:
    moment = int(market.bars.ts[200])
    view = Store(store.root, as_of=moment)
    assert view.serve(5).ts[-1] == moment
    with pytest.raises(LookAheadError, match=r"stands at 2025-.*cannot show 2025-.*open Store\(root, as_of="):
        view.serve(5, moment + 1)


def test_before_the_first_bar_there_is_nothing(store: Store, market: Market) -> None:
    with pytest.raises(DataError, match=r"no 5-minute bar was known at .*; the first one at 2025-11"):
        store.serve(5, int(market.bars.ts[0]) - 1)


def test_coarser_bars_are_derived_where_none_are_stored(market: Market, tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write_universe(market.universe)
    store.write(market.minute)
    assert store.serve(5).digest == to_bars(market.minute, 5).digest
    assert store.serve(390).digest == to_daily(market.bars).digest
    inside = int(market.bars.ts[78 * 5 + 30])  # in the middle of the sixth session: no daily bar of it yet
    assert len(store.serve(390, inside).ts) == 5
    assert store.serve(5, inside + 60_000_000_000).ts[-1] == inside


def test_stored_daily_history_is_completed_by_derived_days(market: Market, tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write_universe(market.universe)
    store.write(market.daily.rows(0, 28))
    store.write(market.bars)
    assert store.serve(390).digest == market.daily.digest


def test_missing_bars_are_nan_on_the_whole_grid(tmp_path: Path) -> None:
    grid = sessions_between("2025-07-02", "2025-07-07").grid(5)
    close = np.full((len(grid[0]), 2), np.nan)
    close[[0, 77, -1], 0] = 10.0  # nothing at all on the early close of July 3
    bars = Bars(("AA", "BB"), 5, *grid, close, close, close, close, close * 100, data_origin="mine")
    store = Store(tmp_path)
    store.write(bars)
    served = store.serve(5)
    assert served.symbols == ("AA",)  # BB has no bar, so the store does not know it
    assert served.shape == (78 + 42 + 78, 1)
    assert np.isfinite(served.close[:, 0]).sum() == 3
    assert not served.has_quotes


def test_writing_twice_changes_nothing_and_a_correction_replaces(store: Store, market: Market) -> None:
    before = store.digest
    store.write(market.bars)
    assert store.digest == before
    fixed = market.bars.rows(10, 11)
    store.write(replace(fixed, volume=fixed.volume + 1))
    assert store.digest != before
    assert np.array_equal(store.serve(5).volume[10], market.bars.volume[10] + 1)


def test_the_order_of_writing_does_not_matter(market: Market, tmp_path: Path) -> None:
    one, two = Store(tmp_path / "a"), Store(tmp_path / "b")
    half = len(market.bars.ts) // 2
    parts = [market.bars.rows(0, half), market.bars.rows(half, len(market.bars.ts))]
    for store, order in ((one, parts), (two, parts[::-1])):
        store.write_universe(market.universe)
        for part in order:
            store.write(part)
    assert one.digest == two.digest


def test_simulated_and_real_bars_never_mix(store: Store, market: Market) -> None:
    with pytest.raises(DataError, match="holds bars of embedded; mine bars must not mix"):
        store.write(replace(market.bars, data_origin="mine"))


def test_symbols_can_be_chosen_and_unknown_ones_are_named(store: Store, market: Market) -> None:
    some = market.bars.symbols[2], market.bars.symbols[0]
    assert store.serve(5, symbols=some).digest == market.bars.select(some).digest
    with pytest.raises(DataError, match="no bars of NOPE"):
        store.serve(5, symbols=["NOPE"])


def test_the_universe_keeps_every_symbol_with_bars(store: Store, market: Market) -> None:
    with pytest.raises(DataError, match="the universe has no line for"):
        store.write_universe(Universe(market.universe.instruments[:2]))
    wider = Universe((*market.universe.instruments, Instrument("ZZZ")))
    store.write_universe(wider)
    assert np.isnan(store.serve(5).close[:, -1]).all()


def test_a_folder_that_is_no_store_says_how_to_fill_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no store yet; fill it with `workbench simulate`"):
        Store(tmp_path).serve(5)
    with pytest.raises(DataError, match="serve 1, 5 or 390"):
        Store(tmp_path).serve(15)


def test_no_half_written_file_is_ever_seen(store: Store) -> None:
    (store.root / "bars_5min" / "2025-11.parquet.part").write_bytes(b"torn")
    assert len(store.serve(5).ts) > 0


def test_a_damaged_store_is_refused(store: Store) -> None:
    """Bars that changed on disk are never served, and bars of unknown origin neither."""
    page = sorted((store.root / "bars_5min").glob("*.parquet"))[0]
    whole = page.read_bytes()
    middle = len(whole) // 2
    page.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
    with pytest.raises(DataError, match=r"\.parquet is damaged .* in another folder"):
        store.serve(5)
    page.write_bytes(whole[:middle])
    with pytest.raises(DataError, match=r"\.parquet is damaged"):
        store.serve(5)
    with pytest.raises(DataError, match=r"\.parquet is damaged"):
        _ = store.digest
    page.write_bytes(whole)
    meta = store.root / "meta.json"
    meta.write_text("{")
    with pytest.raises(DataError, match=r"meta.json is damaged"):
        _ = store.data_origin
    meta.unlink()
    with pytest.raises(DataError, match="whether the bars beside it are simulated or real"):
        _ = store.data_origin


def test_daily_bars_alone_say_what_is_missing(market: Market, tmp_path: Path) -> None:
    only = Store(tmp_path / "daily")
    only.write(market.daily)
    with pytest.raises(DataError, match="but daily ones only; decisions are made on 5-minute bars"):
        only.serve(5)
