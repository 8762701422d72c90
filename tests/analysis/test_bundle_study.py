"""Two bundles side by side: distances worked out by hand, and a shadow on stages that are known."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from workbench.analysis.bundle_study import Shadow, blend_ic, calibration_curve, gap, moved, shadow_of
from workbench.config import BlendingSettings
from workbench.core.errors import DataError
from workbench.core.horizon import horizon
from workbench.decision.blending import HorizonBlender
from workbench.stats.calibration import CalibrationMap
from workbench.stats.stack import BarrierStack, Side


def test_moved_is_half_of_what_differs():
    assert moved({"A": 1.0}, {"A": 1.0}) == 0.0
    assert moved({"A": 1.0}, {"B": 1.0}) == 1.0
    assert moved({"A": 0.7, "B": 0.3}, {"A": 0.2, "B": 0.3, "C": 0.5}) == pytest.approx(0.5)


@pytest.mark.parametrize("silent", [{}, {"A": 0.0}])
def test_nothing_moves_to_a_blend_without_weights(silent):
    assert math.isnan(moved({"A": 1.0}, silent))
    assert math.isnan(moved(silent, {"A": 1.0}))


def test_gap_counts_only_what_both_know():
    x = np.array([0.0, 0.25, 0.5, 1.0])
    found = gap(x, np.array([1.0, 1.0, np.nan, 0.2]), np.array([1.0, 0.4, 0.0, 0.5]))
    assert found.mean == pytest.approx((0.0 + 0.6 + 0.3) / 3)
    assert (found.largest, found.at) == (pytest.approx(0.6), 0.25)


def test_gap_of_curves_that_never_meet_is_unknown():
    found = gap(np.array([0.0, 1.0]), np.array([np.nan, 1.0]), np.array([1.0, np.nan]))
    assert all(math.isnan(v) for v in (found.mean, found.largest, found.at))


def test_calibration_curve_is_the_map_and_unknown_without_one():
    stack = BarrierStack()
    side = Side(((1.0, 0.0),), (1.0,), CalibrationMap("isotonic", (0.2, 0.4), (0.0, 1.0)), 0.1, 0.0)
    stack.sides_["15m"] = {"peak": side, "valley": side}
    p, q = calibration_curve(stack, "15m", "peak")
    np.testing.assert_allclose(q, 0.2 + 0.2 * p)
    assert (p[0], p[-1]) == (0.0, 1.0)
    assert np.isnan(calibration_curve(stack, "30m", "peak")[1]).all()


def test_ic_without_forecasts_says_why():
    unknown = blend_ic(HorizonBlender(BlendingSettings()), None)
    assert math.isnan(unknown.value)
    assert unknown.reason == "the bundle keeps no out-of-fold forecasts of the horizon"


@pytest.fixture
def shadow():
    return Shadow(
        ("A", "B"), np.array([1, 2]), decided=np.array([[0.2, 0.0], [0.1, -0.1]]),
        shadow=np.array([[0.1, 0.0], [0.3, 0.1]]), held=np.array([[0.0, 0.0], [0.2, 0.0]]),
    )  # fmt: skip


def test_differences_by_hand(shadow):
    np.testing.assert_allclose(shadow.apart, [0.1, 0.4])
    np.testing.assert_allclose(shadow.difference, [0.05, 0.2])
    assert len(shadow) == 2


def test_turnover_is_from_the_book_held(shadow):
    traded, other = shadow.turnover
    np.testing.assert_allclose(traded, [0.2, 0.2])  # 0.2 bought; then 0.1 sold and 0.1 shorted
    np.testing.assert_allclose(other, [0.1, 0.2])  # 0.1 bought; then 0.1 and 0.1 bought
    np.testing.assert_allclose(shadow.gross, [[0.2, 0.2], [0.1, 0.4]])


def test_likeness_and_sides(shadow):
    # sum of products .02 + .03 - .01 = .04; squares .04 + .01 + .01 = .06 and .01 + .09 + .01 = .11
    assert shadow.likeness == pytest.approx(0.04 / math.sqrt(0.06 * 0.11))
    assert shadow.opposed == pytest.approx(1 / 3)  # A twice the same side, B once opposed, B once not wanted


def test_names_that_differ_most_come_first(shadow):
    assert shadow.largest(5) == (
        ("A", pytest.approx(0.15), pytest.approx(0.2), pytest.approx(0.15)),
        ("B", pytest.approx(-0.05), pytest.approx(0.05), pytest.approx(0.1)),
    )
    assert [name for name, *_ in shadow.largest(1)] == ["A"]


def test_targets_that_agree(shadow):
    same = replace(shadow, shadow=shadow.decided)
    assert same.likeness == pytest.approx(1.0)
    assert same.opposed == 0.0
    assert same.largest(5) == ()


def test_nothing_wanted_is_unknown_not_zero(shadow):
    none = replace(shadow, shadow=np.zeros((2, 2)))
    assert math.isnan(none.likeness)
    assert math.isnan(none.opposed)


def test_shapes_are_checked():
    with pytest.raises(ValueError, match=r"Shadow.held has shape \(1, 1\), expected \(1, 2\)"):
        Shadow(("A", "B"), np.array([1]), np.zeros((1, 2)), np.zeros((1, 2)), np.zeros((1, 1)))


def test_the_stages_that_decided_shadow_themselves_exactly(traded):
    recall = traded.recall
    rows = recall.rows[:20]
    moments = [recall.moment(int(row)) for row in rows]
    told = shadow_of(((m.snapshot, m.book, m.decision) for m in moments), moments[0].stages)
    np.testing.assert_array_equal(told.ts, recall.books.ts[:20])
    np.testing.assert_array_equal(told.held, recall.books.weights[:20])
    np.testing.assert_array_equal(told.decided, [m.decision.target.weights for m in moments])
    np.testing.assert_array_equal(told.shadow, told.decided)
    assert told.symbols == recall.result.symbols


def test_a_shadow_smooths_its_own_alphas(traded):
    """With a half-life of two bars: m = d m_before + (1 - d) raw with d = 2^(-1/2), begun anew with the session."""
    recall = traded.recall
    moments = [recall.moment(int(row)) for row in recall.rows[:12]]
    stages, plain, seen = moments[0].stages, moments[0].stages.blender.to_dict(), []
    plain["fits"]["15m"]["halflife"] = 2.0

    class Watched:
        def choose(self, alphas, *rest):
            seen.append(alphas)
            return stages.arbitrator.choose(alphas, *rest)

    other = replace(stages, blender=HorizonBlender.from_dict(plain), arbitrator=Watched())
    shadow_of(((m.snapshot, m.book, m.decision) for m in moments), other)
    row, d = horizon("15m").order, 2**-0.5
    expected = seen[0].raw[row]
    assert np.isfinite(expected).all()
    for alphas in seen:
        if alphas is not seen[0]:
            expected = d * expected + (1 - d) * alphas.raw[row]
        np.testing.assert_allclose(alphas.smoothed[row], expected, rtol=1e-12)


def test_a_session_without_decisions_is_refused(traded):
    with pytest.raises(DataError, match="nothing was decided that could be asked again; name a session with decisions"):
        shadow_of([], traded.recall.moment(int(traded.recall.rows[0])).stages)
