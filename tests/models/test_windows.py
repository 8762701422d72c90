import numpy as np
import pytest

from workbench.models.windows import WindowView, session_marker, with_marker


def slow_window(values, bar_of_session, row, column, length):
    """One window, bar by bar."""
    out = np.full((length, values.shape[2] + 1), np.nan, np.float32)
    out[:, -1] = 0
    for j in range(length):
        at = row - length + 1 + j
        if at >= 0:
            out[j, :-1] = values[at, column]
        if at == row - bar_of_session[row]:
            out[j, -1] = 1
    return out


@pytest.fixture
def view():
    rng = np.random.default_rng(0)
    values = rng.standard_normal((50, 4, 3))
    values[rng.random(values.shape) < 0.1] = np.nan
    bar, column = np.divmod(np.arange(200), 4)
    return WindowView(values, np.arange(50) % 12, bar, column, 7)


def test_batches_agree_with_the_obvious_loop(view):
    whole = view.batch()
    assert whole.shape == (200, 7, 4)
    assert whole.dtype == np.float32
    for r in (0, 3, 5, 100, 199):
        expected = slow_window(view.values, view.bar_of_session, view.rows[r], view.columns[r], 7)
        np.testing.assert_array_equal(whole[r], expected)
    np.testing.assert_array_equal(np.concatenate([w for _, w in view.batches(33)]), whole)
    np.testing.assert_array_equal(view.batch(10, 20), whole[10:20])


def test_a_window_never_leaves_its_symbol(view):
    values = view.values.copy()
    values[:, 1] = 1e6
    other = WindowView(values, view.bar_of_session, view.rows, view.columns, 7)
    rows = view.columns != 1
    np.testing.assert_array_equal(other.take(rows).batch(), view.take(rows).batch())


def test_live_windows_equal_those_of_training(view):
    at = 30
    live = view.values[at - 6 : at + 1].transpose(1, 0, 2)
    training = view.take(view.rows == at).batch()
    np.testing.assert_array_equal(with_marker(live, int(view.bar_of_session[at])), training)


def test_latest_and_take(view):
    picked = view.take(slice(20, 30))
    assert len(picked) == 10
    np.testing.assert_array_equal(picked.latest(), picked.batch()[:, -1, :-1])


def test_marker_falls_on_the_first_bar_of_the_session():
    marker = session_marker(np.arange(8), 4)
    assert marker.sum(1).tolist() == [1, 1, 1, 1, 0, 0, 0, 0]
    assert marker.argmax(1)[:4].tolist() == [3, 2, 1, 0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"length": 0}, "length is 0, must be at least 1"),
        ({"rows": np.array([50]), "columns": np.array([0])}, "rows runs from 50 to 50, outside 0..49"),
        ({"rows": np.array([0]), "columns": np.array([-1])}, "columns runs from -1 to -1, outside 0..3"),
        ({"rows": np.array([0, 1]), "columns": np.array([0])}, "columns has shape"),
        ({"bar_of_session": np.zeros(3)}, "bar_of_session has shape"),
    ],
)
def test_bad_views_are_named(view, change, message):
    fields = {n: getattr(view, n) for n in ("values", "bar_of_session", "rows", "columns", "length")}
    with pytest.raises(ValueError, match=message):
        WindowView(**{**fields, **change})
