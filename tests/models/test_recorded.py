import time
from dataclasses import replace

import numpy as np
import pytest

from workbench.core.errors import DataError, ProvenanceError
from workbench.core.horizon import HORIZONS, horizon
from workbench.models.recorded import RecordedForecasts


@pytest.fixture
def oofs(oof_of):
    return {label: oof_of(label, seed=i) for i, label in enumerate(("1d", "5m", "60m"))}


def test_every_recorded_value_is_found_at_its_time(oofs, snapshot_of, half_stack):
    recorded = RecordedForecasts(oofs, half_stack())
    assert [k.horizon for k in recorded.keys] == ["5m", "5m", "60m", "60m", "1d", "1d"]
    for bar in range(6):
        out = recorded.predict(snapshot_of(known_at=1_000 + 10 * bar, session=20_000 + bar))
        for row, key in enumerate(out.keys):
            oof = oofs[key.horizon]
            for symbol in range(4):
                at = np.flatnonzero((oof.known_at == 1_000 + 10 * bar) & (oof.symbol == symbol))
                column = oof.keys.index(key)
                expected = oof.forecast[at[0], column] if len(at) else np.nan
                np.testing.assert_equal(out.expected_return[row, symbol], expected)
                peak = oof.p_peak[at[0], 0] / 2 if len(at) else np.nan
                np.testing.assert_equal(out.p_peak[oof.horizon.order, symbol], peak)
                valley = oof.p_valley[at[0], 0] / 2 if len(at) else np.nan
                np.testing.assert_equal(out.p_valley[oof.horizon.order, symbol], valley)


def test_day_rows_hold_all_session_and_intraday_rows_do_not(oofs, snapshot_of):
    out = RecordedForecasts(oofs, None).predict(snapshot_of(known_at=1_005, session=20_001))
    day = np.array([horizon(k.horizon).is_day for k in out.keys])
    assert np.isnan(out.expected_return[~day]).all()
    assert np.isfinite(out.expected_return[day]).any()
    assert np.isnan(out.p_peak).all()


def test_what_was_not_forecast_is_unknown(oofs, snapshot_of):
    out = RecordedForecasts(oofs, None).predict(snapshot_of(known_at=5, session=5))
    assert out.abstained.all()


def test_a_closed_horizon_abstains_and_the_record_is_untouched(oofs, snapshot_of, half_stack):
    recorded = RecordedForecasts(oofs, half_stack())
    whole = recorded.predict(snapshot_of()).digest
    shut = snapshot_of(horizon_open=np.array([h.label != "5m" for h in HORIZONS]))
    out = recorded.predict(shut)
    assert np.isnan(out.expected_return[:2]).all()
    assert np.isnan(out.p_peak[0]).all()
    assert recorded.predict(snapshot_of()).digest == whole


def test_horizons_can_be_chosen(oofs, snapshot_of):
    recorded = RecordedForecasts(oofs, None, (horizon("60m"), "1d"))
    assert {k.horizon for k in recorded.keys} == {"60m", "1d"}
    with pytest.raises(DataError, match=r"no out-of-fold forecasts for \['20d'\]"):
        RecordedForecasts(oofs, None, ["20d"])


def test_other_symbols_are_refused(oofs, oof_of, snapshot_of):
    with pytest.raises(DataError, match="5 symbols from S0, the forecasts 4"):
        RecordedForecasts(oofs, None).predict(snapshot_of(5))
    with pytest.raises(DataError, match="other symbols than those of 5m"):
        RecordedForecasts({**oofs, "60m": oof_of("60m", n=5)}, None)


def test_overlapping_folds_are_refused(oofs):
    twice = replace(oofs["5m"].take(np.r_[np.arange(12), 3]))
    with pytest.raises(ProvenanceError, match=r"5m: S2 is forecast twice at 1010 ns"):
        RecordedForecasts({"5m": twice}, None)


def test_a_look_up_is_fast(oof_of, snapshot_of, half_stack):
    oofs = {h.label: oof_of(h.label, bars=40, n=30, models=5) for h in HORIZONS}
    recorded = RecordedForecasts(oofs, half_stack())
    snapshot = snapshot_of(30, known_at=1_100)
    best = min(_seconds(recorded, snapshot) for _ in range(200))
    assert best < 150e-6  # about 20 microseconds on an idle core


def _seconds(recorded, snapshot):
    start = time.perf_counter()
    recorded.predict(snapshot)
    return time.perf_counter() - start
