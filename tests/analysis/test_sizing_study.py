"""One bar sized again: equal to the decision with its own settings, limits that bind, risk by hand, bands."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.analysis import sizing_study as study
from workbench.config import SizingSettings


@pytest.fixture(scope="module")
def moment(traded):
    """A decision in the middle of the last session."""
    return traded.recall.moment(int(traded.recall.rows[-40]))


def test_with_its_own_settings_a_bar_is_decided_as_it_was(traded) -> None:
    for row in traded.recall.rows[::13]:
        m = traded.recall.moment(int(row))
        got = study.resize(m)
        assert got.target.weights.tobytes() == m.decision.target.weights.tobytes()
        assert got.trace.sizing.desired.tobytes() == m.decision.desired.tobytes()
        assert got.breaches == m.decision.breaches


def test_the_steps_are_the_written_formulas(moment) -> None:
    """z, u, the ridge system and the level, computed again with numpy alone."""
    t, s, d = study.resize(moment).trace, moment.snapshot, moment.decision
    use = t.sized
    assert use.any()
    sizer = moment.stages.sizer
    z = d.gate * d.choice.gross / s.sigma_1d
    np.testing.assert_allclose(t.z[use], z[use])
    u = np.clip(z / sizer.z_ref_, -sizer.settings.z_max, sizer.settings.z_max)[use]
    np.testing.assert_allclose(t.u[use], u)
    assert np.isnan(t.u[~use]).all()
    assert np.isnan(t.y[~use]).all()
    lam = sizer.settings.ridge_lambda
    y = np.linalg.solve(np.nan_to_num(s.correlation[np.ix_(use, use)]) + lam * np.eye(use.sum()), lam * u)
    np.testing.assert_allclose(t.y[use], y, atol=1e-12)
    np.testing.assert_allclose(t.v[use], y / s.sigma_1d[use], atol=1e-9)
    assert t.strength == pytest.approx(min(1.0, np.sqrt(np.mean(u**2))))
    gross = np.abs(s.leverage[use] * t.raw[use]).sum()
    assert gross == pytest.approx(sizer.settings.target_gross * t.strength)


def test_zone_and_band_by_their_definition(moment) -> None:
    got = study.resize(moment, moment.stages.sizer.settings.model_copy(update={"no_trade_band": 0.01}))
    t = got.trace
    lo, hi = t.sizing.desired - t.below, t.sizing.desired + t.above
    use = t.sized
    np.testing.assert_array_equal(t.edge[use], np.clip(t.now, lo, hi)[use])
    assert t.band == 0.01
    assert (t.target[t.kept] == t.now[t.kept]).all()
    assert (np.abs(t.edge - t.now)[t.kept] < 0.01).all()


def test_limits_bind_when_they_are_narrow(moment) -> None:
    wide = SizingSettings(max_weight=1.0, target_gross=1.0, max_net=10.0, no_trade_band=0.0)
    narrow = SizingSettings(max_weight=0.002, target_gross=0.5, max_net=10.0, no_trade_band=0.0)
    told = {limit.name: limit for limit in study.limits(study.resize(moment, narrow))}
    assert told["largest weight"].binds
    assert told["largest weight"].value == pytest.approx(0.002)
    assert told["largest weight"].asked > 0.002
    assert not told["net"].binds
    assert not {limit.name: limit for limit in study.limits(study.resize(moment, wide))}["largest weight"].binds
    assert any("at max_weight" in text for text in study.remarks(study.resize(moment, narrow)))


def test_a_clipped_score_is_told(moment) -> None:
    settings = moment.stages.sizer.settings.model_copy(update={"z_max": 1e-3})
    got = study.resize(moment, settings)
    assert np.abs(got.trace.u[got.trace.sized]).max() == pytest.approx(1e-3)
    assert all("z clipped" in text for text, use in zip(study.remarks(got), got.trace.sized) if use)


def test_risk_by_hand() -> None:
    """0.1 and 0.2 of names of 1 % and 2 % a day, correlation one half: variance 1e-6 * (1 + 4 * 4 + 2 * 0.5 * 4)."""
    r = study.risk_contributions(np.array([0.1, 0.2]), np.array([0.01, 0.02]), np.array([[1.0, 0.5], [0.5, 1.0]]))
    assert r.volatility == pytest.approx(1e-3 * np.sqrt(1 + 16 + 4))
    assert r.share.tolist() == pytest.approx([3 / 21, 18 / 21])


def test_risk_of_nothing_and_of_the_unknown() -> None:
    empty = study.risk_contributions(np.zeros(2), np.array([0.01, np.nan]), np.eye(2))
    assert empty.volatility == 0.0
    assert np.isnan(empty.share).all()
    unknown = study.risk_contributions(np.array([0.1, 0.1]), np.array([0.01, np.nan]), np.eye(2))
    assert np.isnan(unknown.volatility)
    assert np.isnan(unknown.share).all()


def test_a_band_wider_than_any_step_trades_less_than_none(traded) -> None:
    last = traded.recall.rows[-78:]
    what_if = traded.recall.what_if(last)
    swept = study.band_sweep(what_if, what_if.sizing, (0.0, 0.01, 0.5), 1)
    assert swept.sessions == 1
    assert swept.turnover[0] > 0
    assert swept.turnover[2] < swept.turnover[0]
    alone = what_if.run(sizing=what_if.sizing.model_copy(update={"no_trade_band": 0.01}))
    assert swept.turnover[1] == pytest.approx(alone.turnover.sum())
    assert swept.net[1] == pytest.approx(alone.net.sum())
