"""What the strategies teach: several labels at once, pooled horizons, probabilities that were out of fold."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.core.horizon import horizon
from workbench.models.learner import Learner
from workbench.models.pooled import place
from workbench.models.registry import FAMILIES
from workbench.models.strategies import STRATEGIES
from workbench.models.windows import WindowView
from workbench.stats.splits import Segment
from workbench.stats.stack import BarrierStack
from workbench.training.cascade import out_of_fold_probabilities
from workbench.training.dataset import Panel
from workbench.training.lessons import ROUND_TRIP, Desk
from workbench.training.walkforward import train

NEEDY = Learner(name="Needy", needs=("peak", "valley", "highest", "lowest", "cost"))


@pytest.fixture
def desk(small):
    h = small.history
    panel = Panel.of(h.values, h.bar_of_session, h.names)
    return Desk(panel, panel.known_share(), length=0, cap=10**9)


def tables(small):
    return [small.labels["5m"], small.labels["30m"]]


def cutoff(small):
    return int(small.labels["5m"].known_at[1500])


def test_a_shared_lesson_has_a_label_per_horizon_and_none_from_the_future(small, desk):
    until = cutoff(small)
    lesson = desk.shared(NEEDY, STRATEGIES["multi_task"], tables(small), until)
    rows = lesson.rows
    for k, table in enumerate(tables(small)):
        known = np.isfinite(lesson.y[:, k])
        value = table.value[rows.bar, rows.column] / table.sigma_h[rows.bar, rows.column]
        np.testing.assert_array_equal(lesson.y[known, k], value[known])
        assert (table.matured_at[rows.bar[known]] < until).all()
        late = (table.matured_at[rows.bar] >= until) | (table.matured_at[rows.bar] < 0)
        assert not known[late].any()
        assert (lesson.weight[~known, k] == 0).all()
        assert (lesson.weight[known, k] > 0).all()
        highest = table.highest[rows.bar, rows.column] / table.sigma_h[rows.bar, rows.column]
        np.testing.assert_array_equal(lesson.auxiliary["highest"][:, k], np.where(known, highest, np.nan))
    assert np.isfinite(lesson.y[:, 0]).sum() > np.isfinite(lesson.y[:, 1]).sum() > 0
    assert lesson.fitted_until < until
    assert np.isfinite(lesson.y).any(axis=1).all()
    assert set(lesson.auxiliary) == set(NEEDY.needs)
    sigma = small.labels["5m"].sigma_h[rows.bar, rows.column]
    np.testing.assert_allclose(lesson.auxiliary["cost"][:, 0], ROUND_TRIP / sigma)


def day_desk(small, share=None):
    h = small.history
    panel = Panel.of(h.daily_values, np.zeros(len(h.daily_session), np.int64), h.daily_names)
    return Desk(panel, panel.known_share() if share is None else share, length=0, cap=10**9)


def test_what_a_shared_lesson_teaches_beside_the_label_is_none_from_the_future_either(small):
    """A row whose 1d label has matured is in the lesson; what happened to it over 5d is not known by then."""
    tables = [small.labels["1d"], small.labels["5d"]]
    until = int(tables[0].known_at[150])
    lesson = day_desk(small).shared(NEEDY, STRATEGIES["multi_task"], tables, until)
    unripe = tables[1].matured_at[lesson.rows.bar] >= until
    assert unripe.any()
    for name in NEEDY.needs:
        assert np.isnan(lesson.auxiliary[name][unripe, 1]).all()
        assert np.isfinite(lesson.auxiliary[name][:, 0]).any()

    def other(table):
        late = (table.matured_at >= until)[:, None]
        return table.map_panels(lambda _, values: np.where(late, 1 - values, values))

    again = day_desk(small).shared(NEEDY, STRATEGIES["multi_task"], [other(t) for t in tables], until)
    np.testing.assert_array_equal(lesson.y, again.y)
    for name in NEEDY.needs:
        np.testing.assert_array_equal(lesson.auxiliary[name], again.auxiliary[name])


def crossing(lesson, labels, fraction=0.2):
    """Bars by which the label of the last early row of each horizon reaches past the first later row."""
    later = len(lesson) - round(fraction * len(lesson))
    bar, places = lesson.rows.bar, lesson.x[:, -1]
    early = np.arange(len(lesson)) < later - lesson.gap
    last = [
        (bar[early & (places == np.float32(place(t.horizon)))].max(initial=-(10**6)), t.horizon.days or t.horizon.bars)
        for t in labels
    ]
    return max(row + span - bar[later] for row, span in last)


def test_no_label_of_a_pool_reaches_across_its_gap_however_dense_its_rows_are(small, desk):
    names = ("5m", "10m", "15m", "30m", "60m", "120m")
    pools = [
        (desk, [small.labels[n] for n in names]),
        (day_desk(small), [small.labels[n] for n in ("1d", "5d", "20d")]),
    ]
    for place_, labels in pools:
        for at in np.linspace(0.5, 1.0, 15):
            until = int(labels[0].known_at[int(at * (len(labels[0].known_at) - 1))])
            lesson = place_.pooled(FAMILIES["FTRLProximal"], STRATEGIES["multi_task"], labels, until)
            assert crossing(lesson, labels) <= 0


def test_the_gap_holds_in_a_universe_that_grows(small):
    labels = small.labels["5d"]
    share = day_desk(small).share.copy()
    for column in range(share.shape[1]):
        share[: column * len(share) // 9, column] = 0.0
    lesson = day_desk(small, share).one(NEEDY, STRATEGIES["single_task"], labels, "value", 2**62)
    later = len(lesson) - round(0.2 * len(lesson))
    assert lesson.rows.bar[later - lesson.gap - 1] + 5 <= lesson.rows.bar[later]


def test_a_pool_holds_every_trainable_pair_in_time_order_with_its_place(small, desk):
    until = cutoff(small)
    lesson = desk.pooled(NEEDY, STRATEGIES["multi_task"], tables(small), until)
    one = [desk.one(NEEDY, STRATEGIES["single_task"], t, "value", until) for t in tables(small)]
    assert len(lesson) == sum(map(len, one)) == lesson.available
    assert (np.diff(lesson.rows.bar) >= 0).all()
    places = lesson.x[:, -1]
    for single, table in zip(one, tables(small), strict=True):
        mine = places == np.float32(place(table.horizon))
        np.testing.assert_array_equal(lesson.y[mine], single.y)
        np.testing.assert_array_equal(lesson.x[mine, :-1], single.x)
        ratio = lesson.weight[mine] / single.weight
        np.testing.assert_allclose(ratio, ratio[0])
    wide = desk.pooled(FAMILIES["FTRLProximal"], STRATEGIES["multi_task"], tables(small), until)
    f = desk.panel.values.shape[2]
    assert wide.x.shape[1] == 2 * f + 1
    np.testing.assert_array_equal(wide.x[:, f : 2 * f], wide.x[:, :f] * wide.x[:, -1:])


def test_context_comes_last_and_a_cascade_learns_only_from_rows_that_have_it(small):
    h = small.history
    panel = Panel.of(h.values, h.bar_of_session, h.names)
    p = np.full((*panel.values.shape[:2], 2), np.nan, np.float32)
    p[800:1000, :, 0], p[800:1000, :, 1] = 0.25, 0.75
    p[900, 3, 1] = np.nan
    desk = Desk(panel, panel.known_share(), 0, 10**9, p)
    lesson = desk.one(NEEDY, STRATEGIES["cascade"], small.labels["5m"], "value", 2**62)
    assert lesson.context == ("p_peak", "p_valley")
    assert lesson.rows.bar.min() >= 800
    assert lesson.rows.bar.max() < 1000
    assert not ((lesson.rows.bar == 900) & (lesson.rows.column == 3)).any()
    np.testing.assert_array_equal(np.unique(lesson.x[:, -2:], axis=0), [[0.25, 0.75]])
    windowed = Desk(panel, panel.known_share(), 8, 50, p).one(
        FAMILIES["LSTM"], STRATEGIES["cascade"], small.labels["5m"], "value", 2**62
    )
    assert isinstance(windowed.x, WindowView)
    batch = windowed.x.batch()
    np.testing.assert_array_equal(np.unique(batch[:, :, -3:-1].reshape(-1, 2), axis=0), [[0.25, 0.75]])
    own = Learner(name="Own", per_symbol=True)
    coded = desk.one(own, STRATEGIES["single_task"], small.labels["5m"], "value", 2**62)
    np.testing.assert_array_equal(coded.x[:, -1], coded.rows.column)
    assert (
        len(
            Desk(panel, panel.known_share(), 0, 100).one(own, STRATEGIES["cascade"], small.labels["5m"], "value", 2**62)
        )
        == 0
    )


@pytest.fixture(scope="module")
def trained(small):
    settings = small.settings.change(
        system={"horizons": ("5m", "30m")}, training={"strategies": ("single_task", "cascade")}
    )
    m = small.market
    return train(m.bars, m.daily, small.history, small.labels, settings)


def test_a_probability_is_calibrated_on_what_had_matured_before_its_part(small, trained):
    """Part 3 by hand: a stack of the rows that matured before its cutoff, applied to its own rows."""
    oof, labels = trained.oofs["30m"], small.labels["30m"]
    parts = trained.plan.intraday
    p = out_of_fold_probabilities(oof, parts, labels.known_at, len(labels.symbols), labels.session)
    assert p.shape == (*labels.value.shape, 2)
    first, last = parts[0], parts[-1]
    assert np.isnan(p[first.holds(labels.session)]).all()  # nothing had been said before it
    before = oof.take(oof.matured_at < last.cutoff_ns)
    mine = oof.take(oof.fold == last.number)
    peak, valley = BarrierStack().fit({"30m": before}).apply_rows(mine)
    row = np.searchsorted(labels.known_at, mine.known_at)
    np.testing.assert_allclose(p[row, mine.symbol], np.column_stack([peak, valley]), rtol=1e-6)
    assert np.isfinite(p).any(axis=2).sum() == sum(np.isin(oof.fold, [s.number for s in parts[1:]]))


def test_later_outcomes_change_no_earlier_probability(small, trained):
    oof, labels = trained.oofs["30m"], small.labels["30m"]
    parts, shape = trained.plan.intraday, labels.value.shape
    from dataclasses import replace

    late = oof.matured_at >= parts[-1].cutoff_ns
    other = replace(oof, peak=np.where(late, 1 - oof.peak, oof.peak), valley=np.where(late, 1 - oof.valley, oof.valley))
    one, two = (out_of_fold_probabilities(o, parts, labels.known_at, shape[1], labels.session) for o in (oof, other))
    np.testing.assert_array_equal(one, two)


def test_cascades_speak_in_every_segment_thanks_to_the_parts_before_the_first(trained):
    for oof in trained.oofs.values():
        column = [k.strategy for k in oof.keys].index("cascade")
        for part in trained.plan.of(oof.horizon):
            assert np.isfinite(oof.forecast[oof.fold == part.number, column]).mean() > 0.9
        single = [k.strategy for k in oof.keys].index("single_task")
        assert not np.array_equal(oof.forecast[:, column], oof.forecast[:, single])


def test_multi_task_with_one_horizon_on_its_axis_is_left_out(small):
    settings = small.settings.change(training={"strategies": ("single_task", "multi_task")})
    m = small.market
    t = train(m.bars, m.daily, small.history, small.labels, settings, final=False)
    said = {label: {k.strategy for k in oof.keys} for label, oof in t.oofs.items()}
    assert said == {"5m": {"single_task", "multi_task"}, "30m": {"single_task", "multi_task"}, "1d": {"single_task"}}


def test_an_unknown_segment_gives_no_probabilities(trained, small):
    oof, labels = trained.oofs["30m"], small.labels["30m"]
    nowhere = (Segment(99, 0, 1, 0),)
    p = out_of_fold_probabilities(oof, nowhere, labels.known_at, len(labels.symbols), labels.session)
    assert np.isnan(p).all()
    assert horizon("30m").label == oof.horizon.label
