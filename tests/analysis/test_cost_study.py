"""What costs leave of alphas: the waterfall by hand, and the stage objects behind it."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from workbench.analysis import cost_study as study
from workbench.core.horizon import HORIZONS
from workbench.core.types import Choice, Costs, State
from workbench.decision.arbitration import CostArbitrator

BP = 1e-4


def costs(spread, impact=0.0) -> Costs:
    """Two names; volatility costs nothing, the commission is 0.5 bps."""
    parts = [np.array([spread, spread]) * BP, np.zeros(2), np.full(2, impact * BP), np.full(2, 0.5 * BP)]
    return Costs(np.broadcast_to(sum(parts), (9, 2)), *parts)


def test_the_waterfall_by_hand() -> None:
    """|alpha| 10 and 2 bps against a round trip of 2 * (1 + 0.5 + 0.5) = 4: mean 6, less 4, plus 1 spared, is 3."""
    alphas = np.full((1, 9, 2), np.nan)
    alphas[0, 3] = [-10 * BP, 2 * BP]
    falls = study.waterfalls(alphas, [costs(1.0, 0.5)])
    fall = falls[3]
    assert (fall.horizon, fall.rows, fall.admitted) == ("30m", 2, 0.5)
    assert [fall.gross / BP, fall.round_trip / BP, fall.spared / BP, fall.net / BP] == pytest.approx([6, 4, 1, 3])


def test_gross_less_costs_plus_spared_is_net(traded) -> None:
    """|a| - 2c + max(2c - |a|, 0) = max(|a| - 2c, 0), here over real decisions."""
    moments = list(traded.recall.moments(traded.recall.rows[::20]))
    model = moments[-1].stages.costs
    alphas = np.array([m.decision.alphas.smoothed for m in moments])
    made = study.estimates(model, moments)
    seen = [f for f in study.waterfalls(alphas, made) if f.rows]
    assert {f.horizon for f in seen} <= {"15m", "60m", "1d"}
    assert seen
    one_way = np.array([c.one_way for c in made])
    for f in seen:
        h = next(h.order for h in HORIZONS if h.label == f.horizon)
        a, c = alphas[:, h], one_way[:, h]
        known = np.isfinite(a) & np.isfinite(c)
        assert f.spared == pytest.approx(np.maximum(2 * c - np.abs(a), 0)[known].mean())
        assert f.net == pytest.approx(np.maximum(np.abs(a) - 2 * c, 0)[known].mean())
        assert f.gross - f.round_trip + f.spared == pytest.approx(f.net)


def test_a_horizon_without_forecasts_is_unknown() -> None:
    fall = study.waterfalls(np.full((1, 9, 2), np.nan), [costs(1.0)])[0]
    assert fall.rows == 0
    assert np.isnan(fall.gross)
    assert np.isnan(fall.net)
    assert np.isnan(fall.admitted)


def test_an_unknown_cost_leaves_its_name_out() -> None:
    known = costs(1.0)
    spread = np.array([1 * BP, np.nan])
    one_way = np.where(np.isnan(spread), np.nan, known.one_way)
    alphas = np.full((1, 9, 2), 8 * BP)
    fall = study.waterfalls(alphas, [Costs(one_way, spread, known.volatility, known.impact, known.commission)])[0]
    assert fall.rows == 1
    assert fall.net == pytest.approx(5 * BP)


def choices(net, gross, weights, state) -> study.Choices:
    return study.Choices(*(np.array(x) for x in (net, gross, weights, state)))


def test_agreement_counts_names_and_horizons() -> None:
    first, second = np.eye(9)[:1].T @ np.ones((1, 4)), np.eye(9)[1:2].T @ np.ones((1, 4))
    a = choices([[1.0, 1.0, 0.0, 0.0]], [[1.0, 1.0, 0.5, 0.0]], [first], [[2, 2, 2, 1]])
    b = choices([[1.0, 0.0, 2.0, 0.0]], [[-1.0, 0.0, 2.0, 0.0]], [second], [[2, 1, 2, 1]])
    got = study.agreement(a, b)
    assert (got.names, got.both, got.first, got.second, got.neither) == (4, 0.25, 0.25, 0.25, 0.25)
    assert got.same_side == 0.0
    assert got.same_horizon == 0.0
    assert np.isnan(got.correlation)
    assert a.admitted.tolist() == [2]
    assert a.forecasts.tolist() == [3]


def test_horizon_shares_are_means_over_names_with_a_forecast() -> None:
    weights = np.zeros((2, 9, 2))
    weights[0, 0] = 1.0
    weights[1, 1, 0], weights[1, 2, 0], weights[1, 5, 1] = 0.7, 0.3, 1.0
    state = [[2, 2], [2, int(State.NO_EDGE)]]
    made = choices(np.ones((2, 2)), np.ones((2, 2)), weights, state)
    shares = study.horizon_shares(made, np.array([0, 2]), 3)
    assert shares[0].tolist() == [1, 0, 0, 0, 0, 0, 0, 0, 0]
    assert shares[2].tolist() == [0, 0.7, 0.3, 0, 0, 0, 0, 0, 0]
    assert np.isnan(shares[1]).all()


def test_choices_are_those_of_the_arbitrator(traded) -> None:
    """With the costs of the run the choices are the recorded ones; at absurd costs nothing is admitted."""
    moments = list(traded.recall.moments(traded.recall.rows[5::40]))
    stages = moments[-1].stages
    own = [m for m in moments if m.stages is stages]
    made = study.choices(stages.arbitrator, study.estimates(stages.costs, own), own)
    recorded: list[Choice] = [m.decision.choice for m in own]
    np.testing.assert_array_equal(made.net, [c.net for c in recorded])
    np.testing.assert_array_equal(made.weights, [c.weights for c in recorded])
    dear = [costs_like(m, 1.0) for m in own]
    admits = study.choices(CostArbitrator(stages.costs, stages.arbitrator.settings), dear, own).admitted
    assert made.admitted.sum() > 0
    assert not admits.any()


def test_other_weights_change_their_own_term_alone(traded) -> None:
    moment = traded.recall.moment(int(traded.recall.rows[30]))
    model = moment.stages.costs
    one = model.estimate(moment.snapshot, 1e6)
    other = model.weighing(3 * model.k1_, model.k2_, 0.0).estimate(moment.snapshot, 1e6)
    np.testing.assert_allclose(other.spread, 3 * one.spread)
    np.testing.assert_array_equal(other.commission, one.commission)
    assert not other.impact.any()
    assert one.impact.any()
    with pytest.raises(ValueError, match=r"k2 = -1\.0 must be finite and >= 0"):
        model.weighing(0.5, -1.0, 0.1)


def costs_like(moment, value: float) -> Costs:
    n = len(moment.snapshot.symbols)
    return Costs(np.full((9, n), value), *(np.zeros(n) for _ in range(4)))


def test_half_hours_from_the_open() -> None:
    moments = [SimpleNamespace(snapshot=SimpleNamespace(bar_of_session=b)) for b in (0, 5, 6, 77)]
    assert study.day_groups(moments).tolist() == [0, 0, 1, 12]


def test_mean_parts_leave_out_what_is_unknown() -> None:
    got = study.mean_parts([costs(1.0), costs(3.0, np.nan)])
    assert got["spread"].tolist() == pytest.approx([2 * BP, 2 * BP])
    assert got["impact"].tolist() == [0.0, 0.0]
