"""Which rows a fit sees, with which weights."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.core.calendar import sessions_between
from workbench.core.horizon import horizon
from workbench.models.registry import FAMILIES
from workbench.models.strategies import STRATEGIES
from workbench.stats.splits import Segment, average_uniqueness
from workbench.training.dataset import (
    Panel,
    load_labels,
    load_panel,
    predictable,
    save_arrays,
    save_labels,
    trainable,
)
from workbench.training.labels import Labels
from workbench.training.lessons import Desk, Lesson


@pytest.fixture
def labels():
    """Ten sessions, three symbols, 30-minute labels; symbol 2 has no label on one day."""
    ts, session, number, count = sessions_between("2025-07-07", "2025-07-18").grid(5)
    h = horizon("30m")
    inside = number + h.bars < count
    rng = np.random.default_rng(0)
    value = np.where(inside[:, None], rng.normal(0, 0.01, (len(ts), 3)), np.nan)
    value[78:156, 2] = np.nan
    touched = (value > 0).astype(float)
    sigma = np.full(value.shape, 0.01)
    sigma[:10] = np.nan
    matured = np.where(inside, ts + h.minutes * 60_000_000_000, -1)
    return Labels(
        h, ("A", "B", "C"), ts, matured, session, value, value, value, touched, 1 - touched, value, value, sigma
    )


def sample(labels: Labels, target: str, share, cutoff: int, cap: int) -> Lesson:
    panel = Panel.of(np.zeros((*share.shape, 1)), np.zeros(len(share), np.int64), ("a",))
    desk = Desk(panel, share, length=0, cap=cap)
    return desk.one(FAMILIES["LightGBM"], STRATEGIES["single_task"], labels, target, cutoff)


def share_of(labels, value=1.0):
    return np.full(labels.value.shape, value)


def test_only_matured_known_and_informed_rows_are_trainable(labels):
    share = share_of(labels)
    share[20, 0] = 0.4
    cutoff = int(labels.known_at[300])
    mask = trainable(labels, "value", share, cutoff)
    for t in range(len(mask)):
        for n in range(3):
            want = 0 <= labels.matured_at[t] < cutoff and np.isfinite(labels.value[t, n]) and t >= 10
            assert mask[t, n] == (want and (t, n) != (20, 0))


def test_a_label_that_matures_at_the_cutoff_itself_is_left_out(labels):
    at = 100
    mask = trainable(labels, "value", share_of(labels), int(labels.matured_at[at]))
    assert not mask[at].any()
    assert mask[at - 1].any()


def test_rows_are_asked_without_regard_to_their_labels(labels):
    part = Segment(1, int(labels.session[78]), int(labels.session[78]), 0)
    share = share_of(labels)
    share[80, 1] = 0
    rows = predictable(labels, share, part)
    assert len(rows) == 72 * 3 - 1
    assert set(labels.session[rows.bar]) == {labels.session[78]}


def test_weights_are_the_uniqueness_among_the_rows_that_may_be_seen(labels):
    cutoff = int(labels.known_at[500])
    taken = sample(labels, "value", share_of(labels), cutoff, 10**9)
    weight = average_uniqueness(trainable(labels, "value", share_of(labels), cutoff), 6)
    expected = weight[taken.rows.bar, taken.rows.column]
    np.testing.assert_allclose(taken.weight, expected / expected.mean())
    assert taken.weight.mean() == pytest.approx(1)
    assert taken.available == len(taken.rows)
    assert taken.fitted_until == labels.matured_at[taken.rows.bar].max() < cutoff
    assert taken.gap == np.ceil(6 * len(taken.rows) / len(np.unique(taken.rows.bar)))


def test_a_cap_thins_evenly_keeps_order_and_still_knows_until_when_it_saw(labels):
    whole = sample(labels, "value", share_of(labels), 2**62, 10**9)
    few = sample(labels, "value", share_of(labels), 2**62, 100)
    assert len(few.rows) == 100
    assert few.available == whole.available
    assert few.fitted_until == whole.fitted_until
    assert (np.diff(few.rows.bar) >= 0).all()
    assert np.bincount(few.rows.column).min() > 15


def test_nothing_to_learn_from_is_an_empty_sample(labels):
    taken = sample(labels, "value", share_of(labels), 0, 100)
    assert (len(taken.rows), taken.available, taken.fitted_until, taken.gap) == (0, 0, 0, 0)


def test_a_panel_holds_float32_and_treats_infinities_as_unknown(tmp_path, labels):
    values = np.zeros((len(labels.known_at), 3, 2))
    values[0, 0] = np.inf, 1e300
    values[1, 1, 0] = np.nan
    panel = Panel.of(values, np.zeros(len(values), np.int64), ("a", "b"))
    assert np.isnan(panel.values[0, 0]).all()
    share = panel.known_share()
    assert (share[0, 0], share[1, 1], share[2, 2]) == (0, 0.5, 1)
    save_arrays(tmp_path / "bars", panel, share)
    back, again = load_panel(tmp_path / "bars")
    np.testing.assert_array_equal(back.values, panel.values)
    np.testing.assert_array_equal(again, share)
    assert back.names == ("a", "b")
    save_labels(tmp_path / "labels", labels)
    assert load_labels(tmp_path / "labels").digest == labels.digest
