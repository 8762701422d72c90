"""The messages: read-only, shaped, and provenance that cannot be faked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from workbench.core.bars import Bars
from workbench.core.calendar import sessions_between
from workbench.core.clock import ManualClock
from workbench.core.digest import digest
from workbench.core.errors import DataError, LookAheadError, ProvenanceError
from workbench.core.horizon import DAY_HORIZONS, HORIZONS, horizon
from workbench.core.types import Book, Carry, ModelKey, OofForecasts
from workbench.core.units import NS_PER_DAY
from workbench.core.universe import Instrument, Universe


def oof(rows: int = 4, **changes) -> OofForecasts:
    known = np.arange(rows, dtype=np.int64) * 300 + 10 * NS_PER_DAY
    values = {
        "horizon": horizon("5m"),
        "symbols": ("A",),
        "keys": (ModelKey("LightGBM", "single_task", "5m"),),
        "barrier_families": (),
        "known_at": known,
        "matured_at": known + 300,
        "fitted_until": known - NS_PER_DAY,
        "embargo_ns": NS_PER_DAY,
        "data_origin": "embedded",
        "forecast": np.zeros((rows, 1)),
        "p_peak": np.zeros((rows, 0)),
        "p_valley": np.zeros((rows, 0)),
    }
    for name in ("session", "symbol", "bucket", "fold"):
        values[name] = np.zeros(rows, np.int64)
    for name in ("label", "skip_label", "naive_label", "sigma_h", "peak", "valley"):
        values[name] = np.zeros(rows)
    return OofForecasts(**{**values, **changes})


def bars(sessions=("2025-07-02", "2025-07-07"), symbols=("A", "B")) -> Bars:
    ts, session, number, count = sessions_between(*sessions).grid(5)
    price = np.full((len(ts), len(symbols)), 100.0)
    return Bars(symbols, 5, ts, session, number, count, price, price, price, price, price)


def test_out_of_fold_means_out_of_fold():
    assert len(oof()) == 4
    with pytest.raises(ProvenanceError, match="row 0 is not out of fold"):
        oof(fitted_until=oof().fitted_until + 1)
    with pytest.raises(ProvenanceError, match="matures before"):
        oof(matured_at=oof().known_at)


def test_matured_before_is_strict():
    table = oof()
    assert len(table.matured_before(int(table.matured_at[2]))) == 2


def test_messages_do_not_change():
    book = Book.flat(("A", "B"), 1e6)
    with pytest.raises(ValueError, match="read-only"):
        book.weights[0] = 1.0
    given = np.zeros(2)
    Carry(np.full((9, 2), np.nan), given, given, np.zeros(2, np.int64), -1, given)
    given[0] = 1.0  # the caller's own array stays his


def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match=r"Book.weights has shape \(3,\), expected \(2,\)"):
        replace(Book.flat(("A", "B"), 1e6), weights=np.zeros(3))


def test_the_calendar_knows_early_closes_holidays_and_daylight_saving():
    table = bars()
    per_session = [stop - start for _, start, stop in table.sessions()]
    assert per_session == [78, 42, 78]  # 3 July closes at 13:00, 4 July is a holiday
    march = sessions_between("2026-03-06", "2026-03-09")
    hours = (march.open_ns // 3_600_000_000_000) % 24
    assert hours.tolist() == [14, 13]  # 09:30 in New York, before and after the clocks change


def test_a_bar_belongs_to_the_session_that_its_end_closes():
    s = sessions_between("2025-07-02", "2025-07-02")
    inside = s.index_of(np.array([s.open_ns[0], s.open_ns[0] + 1, s.close_ns[0], s.close_ns[0] + 1]))
    assert inside.tolist() == [-1, 0, 0, -1]


def test_bars_show_no_future_and_keep_their_grid():
    table = bars()
    cut = table.upto(int(table.ts[80]))
    assert cut.shape == (81, 2)
    assert table.upto(int(table.ts[80]) - 1).shape == (80, 2)
    with pytest.raises(DataError, match="row 1"):
        table.rows(0, 2)._map(lambda a: a[::-1])
    with pytest.raises(DataError, match="no bars for Z"):
        table.select(("Z",))


def test_digest_depends_on_every_value():
    table = bars()
    moved = replace(table, close=np.where(np.arange(table.shape[0])[:, None] == 5, 101.0, table.close))
    assert table.digest == bars().digest != moved.digest
    assert digest(1.0) != digest(True)
    with pytest.raises(TypeError, match="no digest"):
        digest(object())


def test_horizons_are_trading_minutes_in_order():
    assert [h.minutes for h in HORIZONS] == [5, 10, 15, 30, 60, 120, 390, 1950, 7800]
    assert [h.days for h in DAY_HORIZONS] == [1, 5, 20]


def test_a_clock_never_runs_backwards():
    clock = ManualClock(5)
    with pytest.raises(LookAheadError, match="cannot go back to 4"):
        clock.advance_to(4)


@pytest.mark.parametrize(
    ("fields", "message"),
    [({"leverage": 0.0}, "leverage 0.0"), ({"type": "FUT"}, "FUT"), ({"min_tick": 0.0}, "min_tick")],
)
def test_bad_instruments_are_refused(fields, message):
    with pytest.raises(DataError, match=message):
        Instrument("A", **fields)


def test_universe_order_and_gaps():
    u = Universe((Instrument("A"), Instrument("B", leverage=-3.0)))
    assert u.select(("B", "A")).leverage.tolist() == [-3.0, 1.0]
    with pytest.raises(DataError, match="no line for C"):
        u.select(("C",))
    with pytest.raises(DataError, match="more than once"):
        Universe.of(["A", "A"])
