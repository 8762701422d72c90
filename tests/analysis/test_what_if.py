"""What other gates and sizes would have made: near the backtest with nothing changed, right where it can be checked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from workbench.analysis.what_if import WhatIf
from workbench.config import GatingSettings
from workbench.core.errors import DataError
from workbench.core.horizon import N_HORIZONS
from workbench.core.results import BacktestResult
from workbench.decision.gating import BarrierGate


@pytest.fixture(scope="module")
def asked(traded) -> WhatIf:
    return traded.recall.what_if()


@pytest.fixture(scope="module")
def doubtful(asked) -> WhatIf:
    """The same decisions with made-up probabilities at the first of its horizons that the gate must listen to."""
    rng = np.random.default_rng(3)
    gate = asked.moments[0].stages.gate.to_dict()
    gate |= {"base_peak": [[0.45] * 5] * N_HORIZONS, "base_valley": [[0.45] * 5] * N_HORIZONS}
    stages = replace(asked.moments[0].stages, gate=BarrierGate.from_dict(gate))
    moments = []
    for m in asked.moments:
        peak, valley = rng.uniform(0.1, 0.9, (2, N_HORIZONS, 4))
        peak[rng.random(peak.shape) < 0.05] = np.nan
        forecasts = replace(m.decision.forecasts, p_peak=peak, p_valley=valley)
        moments.append(replace(m, decision=replace(m.decision, forecasts=forecasts), stages=stages))
    return WhatIf(moments, _marks(asked), _no_result(asked.moments), np.arange(len(asked)))


def _marks(asked):
    return np.cumprod(np.vstack([np.ones(4), 1 + asked.returns]), axis=0)


def test_unchanged_it_is_near_the_backtest(asked):
    """Seen: gross and turnover within 1 %, cost within 10 %, correlation of the bars' profit above 0.999."""
    made, own = asked.run(), asked.own
    assert np.corrcoef(made.net, own.net)[0, 1] > 0.995
    assert made.turnover.sum() == pytest.approx(own.turnover.sum(), rel=0.03)
    assert made.cost.sum() == pytest.approx(own.cost.sum(), rel=0.25)
    assert made.gross.sum() == pytest.approx(own.gross.sum(), abs=3e-4)
    assert np.abs(made.weights - own.weights).mean() < 1e-3
    assert made.exposure.mean() == pytest.approx(own.exposure.mean(), rel=0.02)


def test_its_own_numbers_are_those_of_the_result(asked, traded):
    """Profit of bar t+1 over NAV of bar t, added up by hand; borrow is left out."""
    r = traded.recall.result
    gross = r.gross_pnl[1:] / r.nav[:-1]
    cost = (r.spread_cost + r.impact_cost + r.commission)[1:] / r.nav[:-1]
    np.testing.assert_allclose(asked.own.gross[:-1], gross, atol=1e-15)
    np.testing.assert_allclose(asked.own.net[:-1], gross - cost, atol=1e-15)
    assert asked.own.gross[-1] == asked.own.turnover[-1] == 0.0


def test_profit_is_weights_times_the_next_return_of_the_mids(asked, traded):
    bars, made = traded.job.bars, asked.run()
    rows = np.searchsorted(bars.ts, made.ts)
    mid = (bars.bid + bars.ask)[rows] / 2
    np.testing.assert_allclose(made.gross[:-1], (made.weights[:-1] * (mid[1:] / mid[:-1] - 1)).sum(axis=1), atol=1e-12)
    np.testing.assert_allclose(made.net, made.gross - made.cost, atol=0)
    drifted = made.weights[:-1] * (mid[1:] / mid[:-1]) / (1 + made.net[:-1, None])
    np.testing.assert_allclose(made.turnover[1:], np.abs(made.weights[1:] - drifted).sum(axis=1), atol=1e-12)


def test_all_gates_at_once_are_those_of_the_decisions(asked):
    recorded = np.array([m.decision.gate for m in asked.moments])
    assert np.isfinite(recorded).any()
    np.testing.assert_array_equal(asked.gated().gates, recorded)


@pytest.mark.parametrize("settings", [GatingSettings(), GatingSettings(g_min=0.05, gamma=4.0, delta=3.0)])
def test_all_gates_at_once_are_the_gates_one_by_one(doubtful, settings):
    one_by_one = [
        BarrierGate.from_dict(m.stages.gate.to_dict(), settings).gate(
            m.decision.forecasts, m.decision.choice, m.snapshot, m.book.carry
        )
        for m in doubtful.moments
    ]
    np.testing.assert_array_equal(doubtful.gated(settings).gates, one_by_one)
    assert 0.1 < np.nanmean(one_by_one) < 0.95


def test_alpha_before_and_after_by_side(doubtful):
    found = doubtful.gated(GatingSettings(g_min=0.05, gamma=4.0))
    for side, sign in enumerate((1.0, -1.0)):
        mine = np.sign(found.alpha) == sign
        rows = mine.any(axis=1)
        assert rows.any()
        t = int(np.argmax(rows))
        gates, alpha = found.gates[t, mine[t]], np.abs(found.alpha[t, mine[t]])
        assert found.mean_gate[t, side] == pytest.approx(gates.mean())
        assert found.before[t, side] == pytest.approx(alpha.mean())
        assert found.after[t, side] == pytest.approx((alpha * gates).mean())
        assert np.isnan(found.mean_gate[~rows, side]).all()
        assert (found.after[rows, side] < found.before[rows, side]).mean() > 0.5


def test_a_gate_that_lets_everything_through_holds_more(doubtful):
    closed = doubtful.run(GatingSettings(g_min=0.01, gamma=10.0))
    opened = doubtful.run(GatingSettings(g_min=1.0))
    assert opened.exposure.mean() > closed.exposure.mean() * 1.05
    assert closed.unpriced == opened.unpriced == 0


def test_a_band_as_wide_as_the_cap_trades_only_out_of_what_is_held(asked):
    wide = asked.sizing.model_copy(update={"no_trade_band": 1.0})
    assert not asked.moments[0].book.weights.any()
    made = asked.run(sizing=wide)
    assert not made.turnover.any()
    assert not made.net.any()
    narrow = asked.run(sizing=asked.sizing.model_copy(update={"no_trade_band": 0.0}))
    assert narrow.turnover.sum() > asked.run().turnover.sum() > 0


def test_limits_hold_with_other_sizes(asked):
    small = asked.sizing.model_copy(update={"target_gross": 0.1, "max_weight": 0.02, "max_net": 0.01})
    made = asked.run(sizing=small)
    assert 0 < made.exposure.max() <= 0.1 * (1 + 0.01)  # drift between decisions
    assert np.abs(made.weights).max() <= 0.02 * (1 + 0.02)


def test_the_busiest_sessions_begin_with_what_was_held(asked, traded):
    made, result = asked.run(sessions=2), traded.recall.result
    assert len(made) == 2 * 78
    by_day = asked.own.turnover.reshape(4, 78).sum(axis=1)
    first = 78 * int(np.argmax(by_day[1:] + by_day[:-1]))
    assert asked.busiest(2) == slice(first, first + 2 * 78)
    assert made.ts[0] == result.ts[first]
    moved = np.abs(made.weights[0] - asked.moments[first].book.weights).sum()
    assert moved == pytest.approx(made.turnover[0], abs=1e-15)
    assert len(asked.run(sessions=99)) == len(asked) == 4 * 78
    assert asked.own.part(slice(3 * 78, None)).ts[0] == result.ts[3 * 78]


def test_small_steps_are_left_out_but_not_those_that_close(asked):
    """With a bound above any step there can be, what is held at noon can only be closed."""
    noon = asked.moments[40:]
    assert noon[0].book.weights.any()
    patient = WhatIf(noon, _marks(asked)[40:], _no_result(noon), np.arange(len(noon)), min_notional=150_000.0)
    made = patient.run()
    drifted = made.weights[:-1] * (1 + patient.returns[:-1]) / (1 + made.net[:-1, None])
    stepped = np.abs(made.weights[1:] - drifted) > 1e-9
    assert stepped.any()
    assert not made.weights[1:][stepped].any()


def _no_result(moments):
    """A result of the same bars in which nothing is made: only its shape is used."""
    t, n = len(moments), 4
    first = moments[0].snapshot
    zero, panel = np.zeros(t), np.zeros((t, n))
    return BacktestResult(
        "", first.symbols, np.arange(t), np.zeros(t), zero + 1e6, zero, zero, panel, panel, panel, np.zeros((t, 9)),
        np.zeros((t, 9)), zero, zero, zero, zero, zero, zero, 1e6, 0, (), (), "",
    )  # fmt: skip


def test_a_skipped_bar_belongs_to_the_moment_before(asked, traded):
    """Leave out every second moment: what was made in between is added to the one before it."""
    recall = traded.recall
    sparse = recall.what_if(recall.rows[::2])
    full = asked.own
    total = np.cumsum(full.gross * recall.result.nav)
    np.testing.assert_allclose(
        (sparse.own.gross * recall.result.nav[::2])[:-1], np.diff(np.append(0.0, total[1::2]))[:-1], atol=1e-6
    )


def test_nothing_to_ask_is_told(asked):
    with pytest.raises(DataError, match="at least one decision"):
        WhatIf([], np.zeros((1, 4)), None, np.zeros(0, int))
    with pytest.raises(ValueError, match=r"marks has shape \(3, 4\), expected \(2, 4\)"):
        WhatIf(asked.moments[:1], np.zeros((3, 4)), None, np.zeros(1, int))


def test_it_says_how_many_sessions_it_gets_through(asked):
    assert asked.sessions_within(0.0) == 1
    assert asked.sessions_within(1e9) == 4
    assert replace(asked.own.part(slice(-1, None)), unpriced=1).unpriced == 1
